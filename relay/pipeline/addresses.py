"""What kind of mailbox an e-mail address is. Pure; nothing here refuses an address.

All but personal ones are counted and shown; what is a role's or a relay's ties a browser only for the visit in which it
was given.
"""

from enum import StrEnum


class AddressKind(StrEnum):
    PERSONAL = "personal"
    ROLE = "role"  #: read by several people, or by nobody
    RELAY = "relay"  #: a marketplace's stand-in: it ends with the order
    RESERVED = "reserved"  #: for examples and tests: Klaviyo drops its events without a word


#: RFC 2142's mailboxes, and what shops and companies usually call theirs.
# fmt: off
_ROLES = frozenset({
    "abuse", "accounting", "accounts", "admin", "administrator", "all", "billing", "bookings", "buchhaltung", "careers",
    "compliance", "contact", "customercare", "customerservice", "dataprotection", "dpo", "enquiries", "enquiry",
    "everyone", "feedback", "finance", "ftp", "gdpr", "help", "helpdesk", "hostmaster", "hr", "info", "inquiries",
    "inquiry", "invoice", "invoices", "jobs", "kontakt", "kundenservice", "legal", "list", "listrequest", "mail",
    "mailerdaemon", "marketing", "media", "newsletter", "noc", "noreply", "donotreply", "nobody", "office", "order",
    "orders", "postmaster", "press", "privacy", "purchasing", "reception", "returns", "root", "sales", "security",
    "service", "shop", "spam", "store", "support", "sysadmin", "team", "tech", "unsubscribe", "usenet", "uucp",
    "webmaster", "www",
})
# fmt: on
#: Second-level names under which marketplaces hand out addresses in every country (``marketplace.amazon.co.uk``).
_RELAYS = ("marketplace.amazon.", "members.ebay.")
_RELAY_DOMAINS = frozenset({"relay.walmart.com", "guest.booking.com", "guest.airbnb.com", "reply.craigslist.org"})
#: RFC 2606 and 6761.
_RESERVED_DOMAINS = ("example.com", "example.net", "example.org")
_RESERVED_TLDS = frozenset({"example", "test", "invalid", "localhost"})


def address_kind(email: str) -> AddressKind:
    """Return the kind of an address in its normal form (lower case).

    Apple's, Mozilla's and DuckDuckGo's private relays are a person's own: mails to them arrive.
    """
    local, _, domain = email.rpartition("@")
    if domain.rpartition(".")[2] in _RESERVED_TLDS or f".{domain}".endswith(tuple(f".{d}" for d in _RESERVED_DOMAINS)):
        return AddressKind.RESERVED
    if domain in _RELAY_DOMAINS or domain.startswith(_RELAYS):
        return AddressKind.RELAY
    name = local.partition("+")[0].replace("-", "").replace("_", "").replace(".", "")
    return AddressKind.ROLE if name in _ROLES else AddressKind.PERSONAL
