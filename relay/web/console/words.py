"""What the console says: every state, reason and drop of the house in a sentence for a merchant. Pure.

The names themselves (``held``, ``suppressed``, ...) are those of the code, so that a page, a metric and a log line
can be laid side by side.
"""

from msgspec import Struct

from relay.config import Forward, Site
from relay.delivery.states import State
from relay.model import DeliveryKind, DropReason, Reason

#: Why a delivery stands where it stands.
REASONS: dict[Reason, str] = {
    Reason.KLAVIYO_ABSENT: (
        "Klaviyo's script was not on the page: the browser blocked it, or the shop's server reported this."
    ),
    Reason.KLAVIYO_UNIDENTIFIED: "Klaviyo's script was on the page but did not know this shopper.",
    Reason.FORWARD_ALL: "This shop sends every event of a shopper it recognises, whatever Klaviyo's script saw.",
    Reason.ASKED: "The call itself asks for this.",
    Reason.NATIVE: (
        "Klaviyo handles this itself: its own script knew this shopper, or its integration with Shopify reports the"
        " checkout. A second copy would mean a second e-mail."
    ),
    Reason.NATIVE_REPLAYED: (
        "Klaviyo learned shortly afterwards who the shopper is, by its own script or its integration with Shopify, and"
        " sends this itself. A second copy would mean a second e-mail."
    ),
    Reason.NO_IDENTITY: "Nobody knows yet who this shopper is.",
    Reason.SHARED_DEVICE: "Several people use this browser and nothing says which of them it was. No guess is made.",
    Reason.KIOSK: "Many people have used this browser on one day (a till, a kiosk). No guess is made.",
    Reason.FORWARDED_LINK: (
        "This browser is known by an e-mail's link alone, and that shopper's links were opened in too many browsers:"
        " the e-mail has been passed on, and nobody can tell who reads it."
    ),
    Reason.SHARED_MAILBOX: (
        "Only the address of a mailbox that is no person's own was given in this browser (info@, office@, a"
        " marketplace's), and that visit is over."
    ),
    Reason.ADDRESS_CORRECTED: "It names an address that the shopper corrected a moment later: a typing error.",
    Reason.CLAIM_REFUSED: (
        "The call names a shopper, but too many were named from the same internet address within an hour. It is not"
        " believed, and nobody else is told of it."
    ),
    Reason.UNLINKED: (
        "It rested on a tie between this browser and a person that was taken back (relay unlink), and nothing else says"
        " whose it is."
    ),
    Reason.EVIDENCE_OFF: (
        "What ties this browser to a person has named the wrong one too often in this shop, so it is switched off"
        " (RELAY_MIN_PRECISION)."
    ),
    Reason.IDENTITY_PENDING: "The shopper is known, but not yet an address that Klaviyo could be told.",
    Reason.ANONYMOUS: (
        "Nobody knows yet who this shopper is. This shop has such events filed under an anonymous ID: they start no"
        " flow, and are not sent again under a name."
    ),
    Reason.GPC: "The browser asks every site not to pass data on (Global Privacy Control), so nothing is sent.",
    Reason.NOT_FOR_KLAVIYO: "The call says that it is not for Klaviyo (in its integrations), so it is only kept here.",
    Reason.UNPROVEN: (
        "The call asks for a list or a subscription but does not name whose, or a browser asked it for an address that"
        " the shopper has not given in the same call. Nobody is signed up or off by a guess."
    ),
    Reason.SHADOW: (
        "This shop only watches for now (shadow mode), so profiles, lists and subscriptions in Klaviyo are left as they"
        " are."
    ),
    Reason.UNSENDABLE: "The shopper's address is gone, so there is nobody left to send it to.",
    Reason.CONSENT_WITHDRAWN: "The shopper withdrew consent before it had left.",
    Reason.FORGOTTEN: "The shopper asked to be forgotten.",
    Reason.TOO_OLD: "Nobody recognised the shopper in time, so it was given up.",
    Reason.NO_READ_SCOPE: (
        "The API key may not read profiles, so Klaviyo could not be asked. Events of this shopper go out under the"
        " message link's own ID."
    ),
    Reason.HISTORY: (
        "This came with an import of old events. Joining a list now would start that list's flows, so nobody is put on"
        " one; events and profiles of the import are told to Klaviyo."
    ),
    Reason.EVENT_NOT_ALLOWED: (
        "The shop's lists of events (RELAY_EVENTS_ALLOW, RELAY_EVENTS_BLOCK) keep events of this name here."
    ),
    Reason.METRIC_NOT_ALLOWED: (
        "This event's name is not in the shop's list of metrics (RELAY_METRICS), so Klaviyo gets no metric of it."
    ),
    Reason.METRIC_LIMIT: (
        "A Klaviyo account holds 200 metrics and this shop has nearly filled them, so no metric is made for a new name."
        " Allow only the names you need with RELAY_METRICS."
    ),
    Reason.CREATION_DISABLED: (
        "Klaviyo has no profile of this shopper, and this shop makes no new ones (RELAY_CREATE_PROFILES is off)."
    ),
    Reason.UPDATE_DISABLED: (
        "Klaviyo has a profile of this shopper already, and this shop changes none (RELAY_UPDATE_PROFILES is off)."
    ),
    Reason.NOT_A_MEMBER: (
        "The shopper is not on this list. Klaviyo would have unsubscribed them from everything instead."
    ),
    Reason.STALE_OPT_IN: "The shopper has unsubscribed since this opt-in. Only a new one may subscribe them again.",
    Reason.REFUSED: "Klaviyo refused it, and would refuse the same again.",
    Reason.RETRIES_EXHAUSTED: "Klaviyo did not take it within three days of trying.",
    Reason.UNREADABLE: "What the relay keeps of it, or of its person, is damaged. Restore the database, then replay.",
}

#: Reasons to send: they explain a delivery's end too, when that end has a reason of its own.
CAUSES = frozenset({Reason.KLAVIYO_ABSENT, Reason.KLAVIYO_UNIDENTIFIED, Reason.FORWARD_ALL, Reason.ASKED})

#: Why a received message was not kept.
DROPS: dict[DropReason, str] = {
    DropReason.INVALID_MESSAGE: "not a message of the Segment format, or a field of the wrong type",
    DropReason.TOO_LARGE: "larger than the 32 KB a message may have",
    DropReason.TOO_DEEP: "nested too deeply",
    DropReason.UNKNOWN_TYPE: "of a type that is not identify, track, page, screen, group or alias",
    DropReason.MISSING_EVENT: "an event without a name",
    DropReason.INVALID_TIMESTAMP: "with a time that cannot be read or cannot be true",
    DropReason.CONSENT: "the shopper has not given consent, or refused it: counted, nothing kept",
    DropReason.BOT: "sent by a search engine or another robot",
    DropReason.UNKNOWN_TOPIC: "a webhook on a topic the relay has no use for",
    DropReason.TEST_ORDER: "a test order of the shop's own",
    DropReason.NOTHING_TO_TELL: "a webhook that says nothing for Klaviyo, such as a checkout without an address yet",
    DropReason.INVALID_LINK: "a link whose token is not ours, or too old: the shopper got to the shop, nobody was tied",
    DropReason.PROCESSING_FAILED: (
        "a fault of the relay: kept in the journal for seven days; the log says what went wrong"
    ),
    DropReason.UNREADABLE: "a damaged row of the journal, kept there for seven days; relay doctor says what to do",
}

#: What each state means, in the order of a delivery's life.
STATES: dict[State, str] = {
    State.DELIVERED: "Klaviyo has taken it",
    State.HELD: "waits a moment, in case Klaviyo recognises the shopper itself",
    State.WAITING: "nobody knows the shopper yet",
    State.READY: "next in line, or to be tried again",
    State.SENDING: "on its way to Klaviyo now",
    State.SUPPRESSED: "must not be sent, each for a reason",
    State.DEAD: "given up after a refusal or three days of trying",
    State.EXPIRED: "the shopper was never recognised in time",
}

#: What a delivery that is not an event asks of Klaviyo: its title, and why.
ERRANDS: dict[DeliveryKind, tuple[str, str]] = {
    DeliveryKind.PROFILE: ("Profile update", "The shop told something new about this shopper."),
    DeliveryKind.LOOKUP: (
        "Whose link is this?",
        "A shopper came through a link of a Klaviyo message, so Klaviyo is asked whom it was sent to.",
    ),
    DeliveryKind.DELETION: ("Erasure", "A shopper asked to be forgotten, so Klaviyo is asked to erase the profile."),
    DeliveryKind.LIST_ADD: (
        "Joins a list",
        "A call asked to put this shopper on a list. Their consent stays as it is.",
    ),
    DeliveryKind.LIST_REMOVE: ("Leaves a list", "A call asked to take this shopper off a list."),
    DeliveryKind.SUBSCRIBE: ("Subscription", "The shopper agreed to marketing messages."),
    DeliveryKind.UNSUBSCRIBE: ("Unsubscription", "The shopper wants no more marketing messages."),
}

#: What was remarkable about an address, number or request in a call, as the ledger counts it.
NOTES: dict[str, str] = {
    "invalid_email": "an e-mail address that is none: left out",
    "invalid_phone": "a phone number that is none (or lacks its country): left out, the event is kept",
    "invalid_customer_id": "a customer ID that stands for nobody, such as null or guest: left out",
    "long_customer_id": "a customer ID longer than the 64 characters Klaviyo takes: not sent as external_id",
    "role_email": "a mailbox of a role such as info@ or support@, read by several people",
    "relay_email": "a marketplace's relay address: its mails reach nobody once the order is done",
    "reserved_email": "an address for examples and tests (at example.com and the like): Klaviyo drops it silently",
    "repeated_subscribe": "the same subscribe as before: no new opt-in unless consentedAt says so",
    "unreadable_subscribe": "subscribe was neither true nor false: nobody was signed up or off",
    "unreadable_consent": "consent named no channel (email, sms): nobody was signed up or off",
    "unreadable_list": "a list's ID that cannot be one: left out",
    "unreadable_audience": "an audience without a true or false, or without the ID of its list: left out",
    "email_without_address": "a wish for e-mails without a valid address: left out",
    "sms_without_phone": "a wish for SMS without a valid phone number: left out",
    "unreadable_value": "a value, total or revenue that is no number: the event goes without it",
    "unreadable_price": "a price that is no number: left as it is among the properties",
    "unreadable_currency": "a currency that is no code of three letters: the event goes without it",
    "unreadable_patch": "a property to clear, append or take away that has no name or value for that: left out",
}

#: What the guards of identity have kept out or noticed, as the ledger counts it.
GUARDS: dict[str, str] = {
    "claims_of_one_browser": "a browser that claimed to be too many people in a day: not tied to one more",
    "claims_of_one_address": "an internet address that brought too many new identifiers within an hour: not believed",
    "many_browsers": "a person who gained many browsers within a week: worth a look, a link may have leaked",
    **{
        f"limit_{kind}": f"one {words} too many for one person: not taken"
        for kind, words in (
            ("email", "e-mail address"),
            ("phone", "phone number"),
            ("customer_id", "customer ID"),
            ("klaviyo_id", "Klaviyo profile"),
            ("kx", "Klaviyo link"),
        )
    },
}

FORWARD: dict[Forward, str] = {
    Forward.BACKUP: "Sends only what Klaviyo's own script could not file under a shopper.",
    Forward.ALL: "Sends every event of a shopper it recognises, beside what Klaviyo's own script sends.",
    Forward.SHADOW: "Shadow mode: everything is only recorded in Klaviyo; no flow starts and no profile changes.",
}


class Problem(Struct, frozen=True, kw_only=True):
    """Something about the destination that is not as it should be. ``blocking``: deliveries wait because of it."""

    title: str
    advice: str
    blocking: bool
    scope: str = ""
    reason: str = ""
    since: float | None = None


#: The pause for everything, as the sender names it; the other scopes are kinds of delivery.
EVERYTHING = "everything"

#: By scope: what is wrong, whether deliveries wait for it, and what the key needs.
_PAUSES: dict[str, tuple[str, bool, str]] = {
    EVERYTHING: ("Klaviyo does not accept the API key", True, ""),
    DeliveryKind.EVENT: ("The API key may not write events", True, "events:write"),
    DeliveryKind.PROFILE: ("The API key may not write profiles", True, "profiles:write"),
    DeliveryKind.LOOKUP: ("The API key may not read profiles", False, "profiles:read"),
    DeliveryKind.DELETION: ("The API key may not erase profiles", True, "data-privacy:write"),
    DeliveryKind.LIST_ADD: ("The API key may not change lists", True, "lists:write and profiles:write"),
    DeliveryKind.LIST_REMOVE: ("The API key may not take profiles off lists", True, "lists:write and profiles:read"),
    DeliveryKind.SUBSCRIBE: (
        "The API key may not subscribe profiles",
        True,
        "subscriptions:write, lists:write and profiles:read",
    ),
    DeliveryKind.UNSUBSCRIBE: (
        "The API key may not unsubscribe profiles",
        True,
        "subscriptions:write, lists:write, lists:read and profiles:read",
    ),
}


def key_setting(site: Site) -> str:
    """Where the operator writes the site's Klaviyo key."""
    return "RELAY_KLAVIYO_API_KEY" if site.site_id == "default" else f"klaviyo_api_key of the site {site.site_id}"


def missing_key(site: Site) -> Problem:
    return Problem(
        title="No Klaviyo API key is set",
        advice=(
            f"Create a private API key in Klaviyo (Settings, API keys), put it into {key_setting(site)} and restart"
            " the relay. Until then nothing is sent and nothing is lost: deliveries wait here."
        ),
        blocking=True,
    )


def pause(site: Site, scope: str, reason: str, since: float) -> Problem:
    """What Klaviyo refuses and what to do about it. ``since`` in epoch seconds."""
    title, blocking, missing = _PAUSES.get(scope, (f"Klaviyo refuses: {scope}", True, ""))
    if scope == EVERYTHING:
        advice = (
            f"Check in Klaviyo (Settings, API keys) that the private key still exists, put a valid one into"
            f" {key_setting(site)} and restart the relay."
        )
    else:
        needed = f" with the scope {missing}" if missing else ""
        advice = (
            f"In Klaviyo (Settings, API keys) create a private key{needed}, put it into {key_setting(site)} and restart"
            " the relay."
        )
    if blocking:
        advice += " Nothing is lost: deliveries wait and Klaviyo is asked again every minute."
    else:
        advice += (
            " Events are sent all the same; only shoppers who come through a link of a Klaviyo message are told"
            " apart less well."
        )
    return Problem(title=title, advice=advice, blocking=blocking, scope=scope, reason=reason, since=since)


def metrics(n: int, most: int) -> Problem:
    """The shop has made ``n`` of the ``most`` metrics it may make."""
    return Problem(
        title=f"{n} of {most} metrics are in use",
        advice=(
            "Klaviyo allows 200 metrics an account, and the relay leaves room for Klaviyo's own. Events of new names"
            " are no longer sent once they are used up. Allow only the names you need with RELAY_METRICS, and look for"
            " names that contain an ID or a product."
        ),
        blocking=False,
    )


def retrying(n: int, error: str) -> Problem:
    """Klaviyo answers with errors of its own, asks to slow down, or does not answer."""
    some = "One delivery is" if n == 1 else f"{n:,} deliveries are"
    return Problem(
        title=f"{some} being tried again",
        advice=(
            "Klaviyo did not take the last try. There is nothing to do: each is tried again, at growing intervals,"
            " for three days. If it lasts, look at status.klaviyo.com and at the relay's way out to the internet."
        ),
        blocking=False,
        reason=error,
    )
