"""Links of e-mails that name their recipient: by our own token, Klaviyo's profile ID in a parameter, or its ``_kx``.

Each says that this browser opened what was sent to somebody; none says that it is that person's own. So each ties the
visitor with an evidence that is not strong, and an order, a login or a form in the same browser goes before it.
"""

import hashlib

from relay.config import Site
from relay.identity.claims import Claims
from relay.identity.evidence import Evidence
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.link_token import LinkTokens
from relay.model import DeliveryKind, Kind, Message, Reason, Trust
from relay.pipeline import recall
from relay.pipeline.growth import watched
from relay.pipeline.late import release
from relay.pipeline.sender import Sender
from relay.pipeline.whose import signed_out_at
from relay.pipeline.work import Work
from relay.store.base import Transaction
from relay.store.rows import Draft

#: Where the ledger counts how tokens ended.
NOTED = "noted_link"


def follow(work: Work, sender: Sender) -> None:
    """Tie the visitor to whom the links name that it came by; let go what waits for them."""
    if sender.visitor_id is None or work.commerce.kind is Kind.SIGNED_OUT:
        return
    if work.claims.link_token is not None:
        person_id = recipient_of(work, work.claims.link_token)
        if person_id is not None:
            _tie(work.tx, work.site, work.message, sender, sender.visitor_id, person_id, Evidence.LINK)
    if work.claims.profile_id is not None:
        person_id = _owner_of(work, work.claims.profile_id)
        _tie(work.tx, work.site, work.message, sender, sender.visitor_id, person_id, Evidence.PROFILE_LINK)


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


def follow_exchange(
    tx: Transaction, site: Site, message: Message, claims: Claims, sender: Sender, visitor_id: str
) -> None:
    """Tie the visitor to the recipient of the link with the ``_kx`` it came by, whoever that is, and have Klaviyo asked
    once who it is. Where no link was opened now, Klaviyo's cookie still has the ID."""
    graph, site_id, at = tx.graph, site.site_id, message.occurred_at
    if claims.exchange_id is None:
        return
    identifier = Identifier(IdentifierKind.KX, claims.exchange_id)
    if graph.is_refuted(site_id, identifier):
        return
    if claims.exchange_is_left_behind and _has_signed_out(tx, site_id, visitor_id):
        return  # Klaviyo's script does not forget at a sign-out: its cookie still names whoever has left
    owner = graph.owners(site_id, [identifier]).get(identifier)
    person_id = owner.person_id if owner else graph.new_person(site_id, at)
    if owner is None:
        graph.attach(site_id, identifier, person_id, trust=Trust.BROWSER, at=at, message_id=message.message_id)
        # By the message too: one that had given way to newer ones, or was erased, is asked for anew.
        digest = hashlib.sha256(f"{claims.exchange_id} {message.message_id}".encode()).hexdigest()
        tx.outbox.add(
            Draft.errand(
                DeliveryKind.LOOKUP,
                site_id=site_id,
                unique_id=f"backflow:lookup:{digest}",
                reason=Reason.IDENTITY_PENDING,
                payload=claims.exchange_id,
                occurred_at=at,
                now=sender.now,
            )
        )
    _tie(tx, site, message, sender, visitor_id, person_id, Evidence.KX)


def _has_signed_out(tx: Transaction, site_id: str, visitor_id: str) -> bool:
    """In this jar; of one that has never been tied also in the browser's others (each page has the cookie: it is asked
    at little cost)."""
    if tx.graph.was_tied(site_id, visitor_id):
        return tx.graph.signed_out_at(site_id, visitor_id) is not None
    return signed_out_at(tx, site_id, visitor_id) is not None


def end_unknown(tx: Transaction, site: Site, exchange_id: str, *, at: float) -> None:
    """Klaviyo knows no such ``_kx``: whoever came with it is nobody."""
    identifier = Identifier(IdentifierKind.KX, exchange_id)
    owner = tx.graph.owners(site.site_id, [identifier]).get(identifier)
    tx.graph.refute(site.site_id, identifier)
    if owner is not None:
        tx.graph.end_evidence(site.site_id, owner.person_id, Evidence.KX, at=at, reason="unknown_kx")


def _tie(
    tx: Transaction, site: Site, message: Message, sender: Sender, visitor_id: str, person_id: str, evidence: Evidence
) -> None:
    """Tie the visitor to the recipient, and let go what waits for them; where their links have gone round, recall what
    rests on one alone."""
    at = message.occurred_at
    with watched(tx, site, person_id, now=sender.now):
        tx.graph.tie(site.site_id, visitor_id, person_id, evidence, at=at, message_id=message.message_id)
    if tx.graph.is_passed_on(site.site_id, person_id):
        recall.for_links_gone_round(tx, site, person_id, now=sender.now)
    elif tx.graph.is_sendable(site.site_id, person_id):
        release(tx, site, person_id, sign_at=at, sender=sender)
