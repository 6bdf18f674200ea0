"""What goes into the outbox for one message, or is kept out of it, each with its reason.

In this order: subscriptions and lists, then the profile, then the events. Klaviyo hears of one person's changes in the
order they were queued.
"""

import logging
from collections.abc import Iterator
from typing import Any

import msgspec

from relay.config import Forward
from relay.delivery.states import State
from relay.identity.identifiers import IdentifierKind
from relay.klaviyo import mapping
from relay.model import (
    ABANDONMENT_KINDS,
    ORDER_KINDS,
    DeliveryKind,
    ListChange,
    Reason,
    Recipient,
    SubscriptionChange,
    Trust,
)
from relay.pipeline import decide, event_lists, integration, late, metrics, optin, pages, withdrawals
from relay.pipeline.withdrawals import unique_id
from relay.pipeline.work import Work
from relay.store.rows import Draft

log = logging.getLogger("relay.metrics")

#: By which field of a recipient a channel reaches them, and what names it in a call.
_REACHES = {"email": ("email", IdentifierKind.EMAIL), "sms": ("phone_number", IdentifierKind.PHONE)}


def queue(work: Work) -> None:
    """Put what Klaviyo must be told, or is spared, into the outbox."""
    decision = decide.decide(
        work.klaviyo,
        work.resolution,
        work.site,
        may_forward=work.permission.forward,
        occurred_at=work.message.occurred_at,
        now=work.now,
        may_be_anonymous=work.entry.visitor_id is not None and work.commerce.kind not in ORDER_KINDS,
        is_integrations=integration.tells(work.message, work.commerce),
        why_not=work.permission.reason,
    )
    if not work.instructions.is_for_klaviyo and work.permission.forward:
        decision = msgspec.structs.replace(
            decision, state=State.SUPPRESSED, reason=Reason.NOT_FOR_KLAVIYO, backfill=False
        )
    if work.entry.is_history:
        decision = decide.of_the_past(decision)
    for draft in (*_changes(work), *_profile(work, decision), *_events(work, decision)):
        work.tx.outbox.add(draft)


def _events(work: Work, decision: decide.Decision) -> Iterator[Draft]:
    commerce, message = work.commerce, work.message
    if work.instructions.is_membership:
        return
    if decision.state in (State.HELD, State.READY) and commerce.kind in ABANDONMENT_KINDS and not decision.backfill:
        visitors = [work.entry.visitor_id] if work.entry.visitor_id else []
        bought_at = late.last_order(work.tx, work.site, visitors, work.resolution.person_id)
        over = late.is_over(commerce.kind, message.occurred_at, bought_at)
        decision = msgspec.structs.replace(decision, backfill=over)
    if decision.state is not State.SUPPRESSED and not event_lists.lets_through(message, commerce.kind, work.site):
        decision = msgspec.structs.replace(
            decision, state=State.SUPPRESSED, reason=Reason.EVENT_NOT_ALLOWED, backfill=False
        )
    for action in mapping.actions(commerce, pages.events(message, work.site), work.site.order_event):
        yield _draft(
            work,
            _unless_too_many(work, action.metric, decision),
            kind=DeliveryKind.EVENT,
            unique_id=mapping.unique_id(action, message.message_id, commerce),
            event_id=work.event_id,
            commerce_kind=commerce.kind,
            metric=action.metric,
            action=action.key,
            line=action.line,
            payload=None if decision.state is State.SUPPRESSED else _named(work),
        )


def _named(work: Work) -> str | None:
    """The address that the call itself names its person by: it is told to that one, or to nobody."""
    if not work.is_named:
        return None
    given = {identifier.kind: identifier.value for identifier in work.claims.identifiers}
    if email := given.get(IdentifierKind.EMAIL):
        return msgspec.json.encode(Recipient(email=email)).decode()
    if phone := given.get(IdentifierKind.PHONE):
        return msgspec.json.encode(Recipient(phone_number=phone)).decode()
    return None


def _unless_too_many(work: Work, metric: str, decision: decide.Decision) -> decide.Decision:
    """Keep back an event whose metric the shop may not make; note one that it makes."""
    if decision.state is State.SUPPRESSED:
        return decision
    site, ledger = work.site, work.tx.ledger
    name = mapping.bare_name(metric, site.metric_suffix)
    is_known = ledger.has_metric(site.site_id, name)
    n = 0 if is_known else ledger.metrics(site.site_id)
    refused = metrics.refusal(name, is_known=is_known, n=n, allowed=site.metrics)
    if refused is not None:
        return msgspec.structs.replace(decision, state=State.SUPPRESSED, reason=refused, backfill=False)
    if not is_known:
        ledger.add_metric(site.site_id, name, at=work.now)
        if metrics.is_nearly_full(n + 1):
            used = f"{n + 1} of {metrics.ROOM} metrics in use"
            log.warning("the Klaviyo account fills with metrics", extra={"site": site.site_id, "reason": used})
    return decision


def _profile(work: Work, decision: decide.Decision) -> Iterator[Draft]:
    """Tell what is new of the person; a change that was asked for travels with it."""
    patch = work.instructions.patch
    if patch is not None:
        decision = _asked(work, is_proven=work.is_named)
    elif not work.has_news:
        return
    elif work.site.forward is Forward.SHADOW:
        decision = msgspec.structs.replace(decision, state=State.SUPPRESSED, reason=Reason.SHADOW, backfill=False)
    elif decision.state is State.WAITING and _has_one_waiting(work):
        return  # it will tell all that is known by then
    payload = None if patch is None else msgspec.json.encode(patch).decode()
    yield _draft(work, decision, kind=DeliveryKind.PROFILE, unique_id=unique_id(work, "profile"), payload=payload)


def _has_one_waiting(work: Work) -> bool:
    person_id = work.resolution.person_id
    waiting = work.tx.outbox.unsent(work.site.site_id, person_id=person_id, states=[State.WAITING])
    return any(delivery.kind is DeliveryKind.PROFILE for delivery in waiting)


def _changes(work: Work) -> Iterator[Draft]:
    """Subscriptions and lists: as the call says, for whom it names."""
    asked = work.instructions
    known = _recipient(work)
    if not work.permission.forward:
        yield from withdrawals.drafts(work)
        asked = msgspec.structs.replace(asked, unsubscribe=None)
    for kind, change in ((DeliveryKind.UNSUBSCRIBE, asked.unsubscribe), (DeliveryKind.SUBSCRIBE, asked.subscribe)):
        if change is not None:
            yield from _subscription(work, kind, change, known)
    is_proven = any(_is_theirs(work, channel, known) for channel in _REACHES)
    for kind, list_id in ((DeliveryKind.LIST_REMOVE, asked.leaves), (DeliveryKind.LIST_ADD, asked.joins)):
        if list_id is not None:
            decision = _asked(work, is_proven=is_proven)
            if work.entry.is_history and kind is DeliveryKind.LIST_ADD and decision.state is not State.SUPPRESSED:
                decision = msgspec.structs.replace(decision, state=State.SUPPRESSED, reason=Reason.HISTORY)
            yield _draft(
                work,
                decision,
                kind=kind,
                unique_id=unique_id(work, kind, list_id),
                payload=msgspec.json.encode(ListChange(list_id=list_id)).decode(),
            )


def _subscription(
    work: Work, kind: DeliveryKind, change: SubscriptionChange, known: Recipient | None
) -> Iterator[Draft]:
    theirs = tuple(channel for channel in change.channels if _is_theirs(work, channel, known))
    decision = _asked(work, is_proven=bool(theirs))
    is_old = change.historical or (work.entry.is_history and kind is DeliveryKind.SUBSCRIBE)
    change = msgspec.structs.replace(change, channels=theirs or change.channels, historical=is_old)
    person_id, graph, site_id = work.resolution.person_id, work.tx.graph, work.site.site_id
    if decision.state is not State.SUPPRESSED and person_id is not None:
        subscribes = kind is DeliveryKind.SUBSCRIBE
        found = graph.traits(site_id, person_id).get(optin.MEMORY)
        memory = found if isinstance(found, dict) else {}
        if subscribes:
            channels = optin.new_channels(change, memory, is_dated=work.instructions.is_dated)
            if not channels:
                work.tx.ledger.count(site_id, "refused_instruction", "repeated_subscribe")
                return
            change = msgspec.structs.replace(change, channels=channels)
        after = optin.remember(memory, change, subscribes=subscribes)
        graph.remember_traits(site_id, person_id, {optin.MEMORY: after})
    yield _draft(
        work,
        decision,
        kind=kind,
        unique_id=unique_id(work, kind, change.list_id),
        payload=msgspec.json.encode(change).decode(),
        # Consent is an address's: it is not told of another one the person may have got by the time it goes out.
        recipient=msgspec.json.encode(msgspec.structs.replace(known, traits={})) if known and theirs else None,
    )


def _recipient(work: Work) -> Recipient | None:
    """Whom Klaviyo would be told of, as far as anything is asked for."""
    asked, person_id = work.instructions, work.resolution.person_id
    if person_id is None or not (asked.subscribe or asked.unsubscribe or asked.joins or asked.leaves):
        return None
    return work.tx.graph.recipient(work.site.site_id, person_id)


def _is_theirs(work: Work, channel: str, known: Recipient | None) -> bool:
    """Whether the call may speak for this channel of its person.

    An address that it gives must be the one Klaviyo is told: never another person's, nor an older one. A server that
    names its person may leave it out, a browser may not: anybody can name a customer there.
    """
    field, kind = _REACHES[channel]
    given = [identifier.value for identifier in work.claims.identifiers if identifier.kind is kind]
    if given:
        return known is not None and getattr(known, field) == given[0]
    return work.entry.trust is Trust.SERVER and work.is_named


def _asked(work: Work, *, is_proven: bool) -> decide.Decision:
    return decide.asked(
        work.resolution,
        work.site,
        may_forward=work.permission.forward,
        is_proven=is_proven,
        now=work.now,
        why_not=work.permission.reason,
    )


def _draft(work: Work, decision: decide.Decision, **fields: Any) -> Draft:
    return Draft(
        site_id=work.site.site_id,
        visitor_id=work.entry.visitor_id,
        person_id=work.resolution.person_id,
        state=decision.state,
        reason=decision.reason,
        cause=decision.cause,
        due_at=decision.due_at,
        backfill=decision.backfill,
        evidence=work.resolution.evidence,
        confidence=work.resolution.confidence,
        proof=late.proof(work.resolution),
        occurred_at=work.message.occurred_at,
        created_at=work.now,
        **fields,
    )
