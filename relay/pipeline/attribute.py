"""Whose event this is: claims become changes of the graph, the graph answers with a person or nobody.

The rules are ``identity.resolve``'s; this module carries them out inside the processor's transaction, and lets
waiting events go when their person is found (late identity).
"""

import hashlib
import hmac
from collections.abc import Sequence

from msgspec import Struct

from relay.config import Site
from relay.delivery.states import State
from relay.identity.evidence import STRONG, WORTH, Evidence, Recognition
from relay.identity.identifiers import Claims, Identifier, IdentifierKind
from relay.identity.resolve import SESSION_SECONDS, Link, Resolution, late, plan, proven, resolve
from relay.model import ABANDONMENT_KINDS, DeliveryKind, Kind, Message, Reason, Trust
from relay.pipeline.decide import send
from relay.store.base import Transaction
from relay.store.rows import Draft, Unsent


class Sender(Struct, frozen=True, kw_only=True):
    """Where a message came from, as far as identity is concerned. ``now`` is when it is processed."""

    trust: Trust
    visitor_id: str | None
    recognition: Recognition
    now: float


class Attribution(Struct, frozen=True, kw_only=True):
    """The outcome: the resolution, whether the call itself names its person, and whether there is something new to tell
    of their profile."""

    resolution: Resolution
    is_named: bool = False
    has_news: bool = False


def forgetting_hash(secret: str, identifier: Identifier) -> bytes:
    """The keyed hash that stays of an erased identifier."""
    return hmac.digest(secret.encode(), f"{identifier.kind}:{identifier.value}".encode(), hashlib.sha256)


def attribute(tx: Transaction, site: Site, message: Message, kind: Kind, claims: Claims, sender: Sender) -> Attribution:
    """Apply what ``message`` claims and say whose it is."""
    visitor_id = sender.visitor_id
    if kind is Kind.SIGNED_OUT and visitor_id is not None:
        links = sign_out(tx, site, visitor_id, at=message.occurred_at, now=sender.now)
        return Attribution(resolution=resolve(links, sender.recognition, message.occurred_at))
    direct, has_news = _apply_claims(tx, site, message, kind, claims, sender)
    if claims.exchange_id is not None and visitor_id is not None:
        _follow_link(tx, site, message, claims.exchange_id, visitor_id, sender)
    if direct is not None:
        # Also when there is no address yet: the call has named its person, and it is nobody else's.
        return Attribution(resolution=direct, is_named=True, has_news=has_news)
    if visitor_id is not None:
        links = tx.graph.links(site.site_id, visitor_id)
        return Attribution(resolution=resolve(links, sender.recognition, message.occurred_at))
    return Attribution(resolution=Resolution(reason=Reason.NO_IDENTITY))


def sign_out(tx: Transaction, site: Site, visitor_id: str, *, at: float, now: float) -> Sequence[Link]:
    """End the visitor's links; returns those there were.

    What still waits there was done by one of those who had signed in, and now nobody can say by whom: the next person
    in this browser must not get it.
    """
    links = tx.graph.links(site.site_id, visitor_id)
    tx.graph.untie(site.site_id, visitor_id, at=at, reason="signed_out")
    if any(WORTH[link.evidence].strength >= STRONG for link in links):
        for delivery in tx.outbox.unsent(site.site_id, visitors=[visitor_id]):
            if delivery.state is State.WAITING and delivery.person_id is None and delivery.occurred_at <= at:
                tx.outbox.suppress(delivery, Reason.SHARED_DEVICE, at=now)
    return links


def end_unknown_link(tx: Transaction, site: Site, exchange_id: str, *, at: float) -> None:
    """Klaviyo knows no such ``_kx``: whoever came with it is nobody."""
    identifier = Identifier(IdentifierKind.KX, exchange_id)
    owner = tx.graph.owners(site.site_id, [identifier]).get(identifier)
    tx.graph.refute(site.site_id, identifier)
    if owner is not None:
        tx.graph.end_evidence(site.site_id, owner.person_id, Evidence.KX, at=at, reason="unknown_kx")


def _apply_claims(
    tx: Transaction, site: Site, message: Message, kind: Kind, claims: Claims, sender: Sender
) -> tuple[Resolution | None, bool]:
    """The person the call itself names (None when it names nobody) and whether their profile has become another: by a
    trait, or by what an identify call says of who they are. Another call's event carries that itself."""
    if not claims.identifiers:
        return None, False
    graph, site_id, at = tx.graph, site.site_id, message.occurred_at
    identifiers = claims.identifiers
    owners = graph.owners(site_id, [*identifiers, *([claims.former] if claims.former else [])])
    if claims.former in owners:
        # Somebody known goes by another ID now. Who has an address comes first: the other is the same person then.
        identifiers = tuple(
            sorted([*identifiers, claims.former], key=lambda i: i not in owners or not owners[i].sendable)
        )
    planned = plan(identifiers, owners, sender.trust)
    person_id = planned.person_id or graph.new_person(site_id, at)
    is_new_here = any(owners.get(i) is None or owners[i].person_id != person_id for i in planned.attach)
    for identifier in planned.attach:
        graph.attach(site_id, identifier, person_id, trust=sender.trust, at=at, message_id=message.message_id)
    for other in planned.unite:
        graph.unite(site_id, other, person_id, at=at, message_id=message.message_id)
    has_news = graph.remember_traits(site_id, person_id, claims.traits)
    evidence = Evidence.SIGNED_CUSTOMER if claims.is_signed else _evidence(sender.trust, kind)
    if sender.visitor_id is not None and claims.is_author:
        graph.tie(site_id, sender.visitor_id, person_id, evidence, at=at, message_id=message.message_id)
    if not graph.is_sendable(site_id, person_id):
        pending = proven(person_id, evidence, Recognition.DIRECT)
        return (
            Resolution(
                person_id=person_id,
                reason=Reason.IDENTITY_PENDING,
                evidence=pending.evidence,
                confidence=pending.confidence,
            ),
            has_news,
        )
    release(tx, site, person_id, sign_at=at, sender=sender)
    has_news |= is_new_here and message.type == "identify"
    return proven(person_id, evidence, Recognition.DIRECT), has_news


def _evidence(trust: Trust, kind: Kind) -> Evidence:
    if trust is Trust.BROWSER:
        return Evidence.FORM
    return Evidence.ORDER if kind is Kind.ORDER_COMPLETED and trust is Trust.SERVER else Evidence.SERVER


def _follow_link(
    tx: Transaction, site: Site, message: Message, exchange_id: str, visitor_id: str, sender: Sender
) -> None:
    """Tie the visitor to the link's recipient, whoever that is, and have Klaviyo asked once who it is."""
    graph, site_id, at = tx.graph, site.site_id, message.occurred_at
    identifier = Identifier(IdentifierKind.KX, exchange_id)
    if graph.is_refuted(site_id, identifier):
        return
    owner = graph.owners(site_id, [identifier]).get(identifier)
    person_id = owner.person_id if owner else graph.new_person(site_id, at)
    if owner is None:
        graph.attach(site_id, identifier, person_id, trust=Trust.BROWSER, at=at, message_id=message.message_id)
        digest = hashlib.sha256(exchange_id.encode()).hexdigest()
        tx.outbox.add(
            Draft.errand(
                DeliveryKind.LOOKUP,
                site_id=site_id,
                unique_id=f"backflow:lookup:{digest}",
                reason=Reason.IDENTITY_PENDING,
                payload=exchange_id,
                occurred_at=at,
                now=sender.now,
            )
        )
    graph.tie(site_id, visitor_id, person_id, Evidence.KX, at=at, message_id=message.message_id)
    if owner is not None and owner.sendable:
        release(tx, site, person_id, sign_at=at, sender=sender)


def release(tx: Transaction, site: Site, person_id: str, *, sign_at: float, sender: Sender) -> None:
    """Late identity: let what waits for the person go, on every one of their visitors. Only what waits: an event that
    has been filed under an anonymous ID is not sent again under a name."""
    visitors = tx.graph.visitors_of(site.site_id, person_id)
    bought_at = last_order(tx, site, visitors, person_id)
    waiting = {
        delivery.delivery_id: delivery
        for member in tx.graph.members(site.site_id, person_id)  # also what was done under an ID that is theirs now
        for delivery in tx.outbox.unsent(site.site_id, visitors=visitors, person_id=member, states=[State.WAITING])
    }
    for _, delivery in sorted(waiting.items()):
        if sender.now - delivery.occurred_at > site.waiting_seconds:
            continue  # too late: it expires when the house is kept next
        found = _late_resolution(tx, site, delivery, person_id, sign_at=sign_at, sender=sender)
        if found is None:
            continue
        decision = send(delivery.cause, site, occurred_at=delivery.occurred_at, now=sender.now)
        tx.outbox.release(
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
        )


def is_over(kind: str, occurred_at: float, bought_at: float | None) -> bool:
    """Whether an order has ended the story of this event: nobody has abandoned what was bought afterwards."""
    return kind in ABANDONMENT_KINDS and bought_at is not None and occurred_at <= bought_at


def last_order(tx: Transaction, site: Site, visitors: Sequence[str], person_id: str | None) -> float | None:
    """When these visitors, or this person, last placed an order; None if they never did."""
    persons = tx.graph.members(site.site_id, person_id) if person_id is not None else []
    return tx.outbox.last_order_at(site.site_id, visitors=visitors, person_ids=persons)


def _late_resolution(
    tx: Transaction, site: Site, delivery: Unsent, person_id: str, *, sign_at: float, sender: Sender
) -> Resolution | None:
    # A list or a subscription is for whom the call has named, never for who was in the same browser.
    if delivery.visitor_id is not None and delivery.cause is not Reason.ASKED:
        links = tx.graph.links(site.site_id, delivery.visitor_id)
        if _is_of_another(tx, site, delivery, person_id, links, sign_at):
            return None
        mine = [link for link in links if link.person_id == person_id]
        if mine and late(links, person_id, delivery.occurred_at, sign_at):
            best = max(mine, key=lambda link: WORTH[link.evidence].strength)
            same_visitor = delivery.visitor_id == sender.visitor_id
            recognition = sender.recognition if same_visitor else Recognition.COOKIE
            return proven(person_id, best.evidence, recognition)
    if delivery.person_id is not None and tx.graph.canonical(site.site_id, delivery.person_id) == person_id:
        # The call named this person itself; only the address was missing.
        return Resolution(person_id=person_id, evidence=delivery.evidence, confidence=delivery.confidence)
    return None


def _is_of_another(
    tx: Transaction, site: Site, delivery: Unsent, person_id: str, links: Sequence[Link], sign_at: float
) -> bool:
    """Whether another person did this, who had signed in by an ID alone: then it waits for their address.

    Whoever gives an address in the same browser, the same session and without signing out in between, is that person.
    """
    if delivery.person_id is None:
        return False
    owner = tx.graph.canonical(site.site_id, delivery.person_id)
    if owner == person_id:
        return False
    is_session = 0 <= sign_at - delivery.occurred_at <= SESSION_SECONDS
    if is_session and owner in {link.person_id for link in links}:
        return False
    # Known by nothing but a link's _kx: that is the link's recipient, not somebody who had signed in.
    return any(i.kind is not IdentifierKind.KX for i in tx.graph.identifiers_of(site.site_id, owner))
