"""Late identity: what waited for its person goes out when the person is found, on any of their browsers."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import msgspec

from relay.config import Site
from relay.delivery.states import State
from relay.identity.evidence import WORTH, Evidence, Recognition
from relay.identity.identifiers import IdentifierKind
from relay.identity.resolve import SESSION_SECONDS, Link, Resolution, Sign, late, proven
from relay.model import ABANDONMENT_KINDS, Reason
from relay.pipeline.decide import send
from relay.pipeline.sender import Sender
from relay.pipeline.whose import is_kiosk, others, own, signed_out_at, whose
from relay.store.base import Transaction
from relay.store.rows import Unsent


def release(tx: Transaction, site: Site, person_id: str, *, sign_at: float, sender: Sender) -> None:
    """Let what waits for the person go, on every one of their visitors, and on those that are the same browsers. Only
    what waits: an event that has been filed under an anonymous ID is not sent again under a name."""
    # Once their links have gone round, those who merely opened one are not theirs, and may be any number.
    gone_round = tx.graph.is_passed_on(site.site_id, person_id)
    visitors = tx.graph.visitors_of(site.site_id, person_id, only_strong=gone_round)
    bought_at = last_order(tx, site, visitors, person_id)
    # The browser of the sign may be tied to them by an ID alone that it has claimed for them.
    here = [] if sender.visitor_id is None else [sender.visitor_id]
    reached = list(dict.fromkeys([*visitors, *here, *_same_browsers(tx, site, visitors)]))
    waiting = {
        delivery.delivery_id: delivery
        for member in tx.graph.members(site.site_id, person_id)  # also what was done under an ID that is theirs now
        for delivery in tx.outbox.unsent(site.site_id, visitors=reached, person_id=member, states=[State.WAITING])
    }
    links = cache(partial(own, tx, site.site_id))  # asked once a visitor, however much waits there
    for _, delivery in sorted(waiting.items()):
        if sender.now - delivery.occurred_at > site.waiting_seconds:
            continue  # too late: it expires when the house is kept next
        found = _resolution(tx, site, delivery, person_id, links, sign_at=sign_at, sender=sender)
        if found is None:
            continue
        decision = send(delivery.cause, site, occurred_at=delivery.occurred_at, now=sender.now)
        tx.outbox.release(
            site.site_id,
            delivery,
            decision.state,
            person_id=person_id,
            reason=decision.reason,
            evidence=found.evidence,
            confidence=found.confidence,
            due_at=decision.due_at,
            backfill=decision.backfill
            or delivery.backfill
            or is_over(delivery.commerce_kind, delivery.occurred_at, bought_at),
            proof=proof(found),
        )


def proof(resolution: Resolution) -> str | None:
    """What a resolution rests on, as it is kept with the delivery."""
    return None if resolution.sign is None else msgspec.json.encode(resolution.sign).decode()


def is_over(kind: str, occurred_at: float, bought_at: float | None) -> bool:
    """Whether an order has ended the story of this event: nobody has abandoned what was bought afterwards."""
    return kind in ABANDONMENT_KINDS and bought_at is not None and occurred_at <= bought_at


def last_order(tx: Transaction, site: Site, visitors: Sequence[str], person_id: str | None) -> float | None:
    """When these visitors, or this person, last placed an order; None if they never did."""
    persons = tx.graph.members(site.site_id, person_id) if person_id is not None else []
    return tx.outbox.last_order_at(site.site_id, visitors=visitors, person_ids=persons)


def _same_browsers(tx: Transaction, site: Site, visitors: Sequence[str]) -> list[str]:
    """The visitors that are the browsers of these too."""
    return [other for visitor in visitors for other in others(tx, site.site_id, visitor)]


def _resolution(
    tx: Transaction,
    site: Site,
    delivery: Unsent,
    person_id: str,
    links_of: Callable[[str], Sequence[Link]],
    *,
    sign_at: float,
    sender: Sender,
) -> Resolution | None:
    # A list or a subscription is for whom the call has named, never for who was in the same browser.
    if delivery.visitor_id is not None and delivery.cause is not Reason.ASKED:
        links = links_of(delivery.visitor_id)
        if _is_of_another(tx, site, delivery, person_id, links, sign_at):
            return None
        if _is_after_sign_out(tx, site, delivery, sign_at):
            return None
        mine = [link for link in links if link.person_id == person_id]
        same_visitor = delivery.visitor_id == sender.visitor_id
        recognition = sender.recognition if same_visitor else Recognition.COOKIE
        kiosk = is_kiosk(tx, site.site_id, delivery.visitor_id, links, sign_at)
        if mine and late(links, person_id, delivery.occurred_at, sign_at, is_kiosk=kiosk):
            trusted = [link for link in mine if link.evidence not in sender.off]
            if trusted:
                return proven(max(trusted, key=lambda link: WORTH[link.evidence].strength), recognition)
        if not links:
            found = whose(tx, site.site_id, delivery.visitor_id, recognition, sign_at, off=sender.off)
            if found.person_id == person_id and found.reason is None:
                return found
    if delivery.person_id is not None and _filed_under(tx, site, delivery, delivery.person_id) == person_id:
        # The call named this person itself; only the address was missing.
        return Resolution(person_id=person_id, evidence=delivery.evidence, confidence=delivery.confidence)
    return None


def _filed_under(tx: Transaction, site: Site, delivery: Unsent, person_id: str) -> str:
    """Who it is now that the call had named; what a browser had named by an ID, by what it has said of the ID since."""
    owner = tx.graph.canonical(site.site_id, person_id)
    if delivery.visitor_id is None:
        return owner
    kept = tx.outbox.proof(site.site_id, delivery.delivery_id)
    if kept is None or msgspec.json.decode(kept, type=Sign).evidence is not Evidence.FORM:
        return owner
    return tx.graph.known_here(site.site_id, delivery.visitor_id, owner)


def _is_after_sign_out(tx: Transaction, site: Site, delivery: Unsent, sign_at: float) -> bool:
    """Whether somebody had signed out before this was done, and the sign is of a later visit: the browser had been
    passed on, and nobody can say to whom."""
    if delivery.visitor_id is None or 0 <= sign_at - delivery.occurred_at <= SESSION_SECONDS:
        return False
    left_at = signed_out_at(tx, site.site_id, delivery.visitor_id)
    return left_at is not None and left_at <= delivery.occurred_at


def _is_of_another(
    tx: Transaction, site: Site, delivery: Unsent, person_id: str, links: Sequence[Link], sign_at: float
) -> bool:
    """Whether another person did this, who had signed in by an ID alone: then it waits for their address.

    Whoever gives an address in the same browser, the same session and without signing out in between, is that person.
    """
    if delivery.person_id is None:
        return False
    owner = _filed_under(tx, site, delivery, delivery.person_id)
    if owner == person_id:
        return False
    is_session = 0 <= sign_at - delivery.occurred_at <= SESSION_SECONDS
    if is_session and owner in {link.person_id for link in links}:
        return False
    # Known by nothing but a link's _kx: that is the link's recipient, not somebody who had signed in.
    return any(i.kind is not IdentifierKind.KX for i in tx.graph.identifiers_of(site.site_id, owner))
