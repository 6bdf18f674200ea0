"""What is held is looked at again when something new is heard of its browser: it has not left yet.

| heard                                                | what is held for another                                     |
|------------------------------------------------------|--------------------------------------------------------------|
| somebody else gives a strong sign in the session     | theirs, if the other was known from before the session or by |
|                                                      | a link alone; it stays, if the other has signed in in this    |
|                                                      | session or has signed out since                              |
| the same shopper corrects the address just typed     | theirs; what names the wrong address is not sent             |
| either, of what has been tried: Klaviyo may have it  | the other's; not tried again where the address was wrong     |
| a recipient's links have gone round                  | nobody's, as far as it rests on such a link alone            |
"""

from functools import cache

import msgspec

from relay.config import Site
from relay.delivery.states import State
from relay.identity import guards
from relay.identity.claims import Claims
from relay.identity.evidence import LINKS, STRONG, WORTH, Recognition
from relay.identity.identifiers import IdentifierKind
from relay.identity.resolve import SESSION_SECONDS, Resolution, Sign
from relay.model import DeliveryKind, Reason
from relay.pipeline.late import proof
from relay.pipeline.whose import signed_out_at
from relay.store.base import Transaction
from relay.store.rows import Unsent

#: With what is under way and may come back, and what is dead and may be replayed: never for whom it is not.
_HELD = (State.HELD, State.READY)


def for_sign(
    tx: Transaction, site: Site, visitor_id: str, named: Resolution, claims: Claims, *, at: float, now: float
) -> None:
    """``named.person_id`` has just given a strong sign in this browser at ``at``."""
    person_id = named.person_id
    left_at = signed_out_at(tx, site.site_id, visitor_id) or 0.0

    @cache
    def is_corrected(other: str) -> bool:
        """Asked once a person, however much is held for them."""
        return _corrects(tx, site, other, claims, since=at - SESSION_SECONDS)

    for delivery in tx.outbox.unsent(site.site_id, visitors=[visitor_id], states=_HELD, and_gone=True):
        is_session = 0 <= at - delivery.occurred_at <= SESSION_SECONDS
        if delivery.kind is not DeliveryKind.EVENT or delivery.cause is Reason.ASKED or not is_session:
            continue
        if delivery.occurred_at <= left_at <= at:
            continue
        other = delivery.person_id and tx.graph.canonical(site.site_id, delivery.person_id)
        sign = sign_of(tx, site.site_id, delivery)
        if other is None or other == person_id or sign is None or person_id is None:
            continue
        if sign.recognition is Recognition.DIRECT or delivery.is_tried:
            # What Klaviyo may have keeps its recipient: under another name it would be a second event.
            if is_corrected(other):
                tx.outbox.suppress(delivery, Reason.ADDRESS_CORRECTED, at=now)
        elif is_corrected(other) or not _in_this_session(sign, at):
            tx.outbox.reassign(
                site.site_id,
                delivery,
                person_id=person_id,
                evidence=named.evidence,
                confidence=named.confidence,
                proof=proof(named),
            )
    for link in tx.graph.links(site.site_id, visitor_id):
        if link.person_id != person_id and is_corrected(link.person_id):
            tx.graph.unlink(site.site_id, visitor_id, link.person_id, None, at=at, reason="corrected")


def for_links_gone_round(tx: Transaction, site: Site, person_id: str, *, now: float) -> None:
    """The person's links have been opened by too many browsers."""
    for delivery in tx.outbox.unsent(site.site_id, person_id=person_id, states=_HELD, and_gone=True):
        sign = sign_of(tx, site.site_id, delivery)
        if sign is not None and sign.evidence in LINKS:
            tx.outbox.suppress(delivery, Reason.FORWARDED_LINK, at=now)


def _in_this_session(sign: Sign, at: float) -> bool:
    """Whether the other person gave a sign of their own in the session in which somebody else now gives one."""
    return sign.bridge is None and WORTH[sign.evidence].strength >= STRONG and at - sign.at <= SESSION_SECONDS


def _corrects(tx: Transaction, site: Site, other: str, claims: Claims, *, since: float) -> bool:
    """Whether the address now given corrects the other's, which was first heard in this session and is all there is."""
    given = next((i.value for i in claims.identifiers if i.kind is IdentifierKind.EMAIL), None)
    if given is None or not tx.graph.is_new(site.site_id, other, since=since):
        return False
    theirs = [i.value for i in tx.graph.identifiers_of(site.site_id, other) if i.kind is IdentifierKind.EMAIL]
    return len(theirs) == 1 and guards.is_correction(theirs[0], given)


def sign_of(tx: Transaction, site_id: str, delivery: Unsent) -> Sign | None:
    """What the delivery's person rests on; None where nothing was kept of it."""
    kept = tx.outbox.proof(site_id, delivery.delivery_id)
    return None if kept is None else msgspec.json.decode(kept, type=Sign)
