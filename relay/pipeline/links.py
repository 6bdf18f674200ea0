"""Links of e-mails that name their recipient: our own token, and Klaviyo's profile ID in a parameter of the shop's.

Both say that this browser opened what was sent to somebody; neither says that it is that person's own. So each ties the
visitor with an evidence that is not strong, and an order, a login or a form in the same browser goes before it.
"""

from relay.identity.evidence import Evidence
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.link_token import LinkTokens
from relay.model import Kind, Trust
from relay.pipeline import recall
from relay.pipeline.late import release
from relay.pipeline.sender import Sender
from relay.pipeline.work import Work

#: Where the ledger counts how tokens ended.
NOTED = "noted_link"


def follow(work: Work, sender: Sender) -> None:
    """Tie the visitor to whom the links name that it came by; let go what waits for them."""
    if sender.visitor_id is None or work.commerce.kind is Kind.SIGNED_OUT:
        return
    if work.claims.link_token is not None:
        person_id = recipient_of(work, work.claims.link_token)
        if person_id is not None:
            _tie(work, sender, sender.visitor_id, person_id, Evidence.LINK)
    if work.claims.profile_id is not None:
        person_id = _owner_of(work, work.claims.profile_id)
        _tie(work, sender, sender.visitor_id, person_id, Evidence.PROFILE_LINK)


def recipient_of(work: Work, token: str) -> str | None:
    """The person that our own token names, if it is genuine, in time, and they are still there. Counts why not."""
    site_id, graph = work.site.site_id, work.tx.graph
    opened = LinkTokens(work.secrets, site_id, work.site.link_seconds).read(token, work.entry.received_at)
    if opened is None or opened.is_expired:
        work.tx.ledger.count(site_id, NOTED, "forged" if opened is None else "expired")
        return None
    person_id = graph.canonical(site_id, opened.person_id)
    if not graph.is_known(site_id, person_id):  # erased: nobody comes back by an old link
        work.tx.ledger.count(site_id, NOTED, "nobody")
        return None
    return person_id


def _owner_of(work: Work, profile_id: str) -> str:
    """Whoever has this profile at Klaviyo; a new person when it is heard of for the first time.

    No other identifier is tied to it by that: anybody can write a URL.
    """
    site_id, graph, at = work.site.site_id, work.tx.graph, work.message.occurred_at
    identifier = Identifier(IdentifierKind.KLAVIYO_ID, profile_id)
    owner = graph.owners(site_id, [identifier]).get(identifier)
    person_id = owner.person_id if owner else graph.new_person(site_id, at)
    if owner is None:
        graph.attach(site_id, identifier, person_id, trust=Trust.BROWSER, at=at, message_id=work.message.message_id)
    return person_id


def _tie(work: Work, sender: Sender, visitor_id: str, person_id: str, evidence: Evidence) -> None:
    site, message = work.site, work.message
    work.tx.graph.tie(
        site.site_id, visitor_id, person_id, evidence, at=message.occurred_at, message_id=message.message_id
    )
    if work.tx.graph.is_passed_on(site.site_id, person_id):
        recall.for_links_gone_round(work.tx, site, person_id, now=work.now)
    elif work.tx.graph.is_sendable(site.site_id, person_id):
        release(work.tx, site, person_id, sign_at=message.occurred_at, sender=sender)
