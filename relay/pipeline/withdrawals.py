"""Unsubscriptions from calls of which nothing may be forwarded: under GPC, with a refusal, or from before one.

Who wants no more messages is heard every time. It goes out for whom the call itself proves: nobody is tied by it,
nobody becomes known by it, and nothing else is told.
"""

from collections.abc import Iterator

import msgspec

from relay.config import Forward
from relay.delivery.states import State
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.plan import plan
from relay.model import DeliveryKind, Reason, Recipient, SubscriptionChange, Trust
from relay.pipeline import optin
from relay.pipeline.work import Work
from relay.store.rows import Draft

_CHANNELS = {"email": IdentifierKind.EMAIL, "sms": IdentifierKind.PHONE}


def drafts(work: Work) -> Iterator[Draft]:
    """What the call asks for in this way."""
    change = work.instructions.unsubscribe
    if change is None:
        return
    person_id, addresses = _whom(work, change)
    state, reason = State.READY, Reason.ASKED
    if work.site.forward is Forward.SHADOW:
        state, reason = State.SUPPRESSED, Reason.SHADOW
    elif not addresses:
        state, reason = State.SUPPRESSED, Reason.UNPROVEN
    change = msgspec.structs.replace(change, channels=tuple(addresses) or change.channels)
    if state is State.READY and person_id is not None:
        _forget_opt_in(work, person_id, change)
    whom = Recipient(email=addresses.get("email"), phone_number=addresses.get("sms"))
    yield Draft(
        site_id=work.site.site_id,
        kind=DeliveryKind.UNSUBSCRIBE,
        unique_id=unique_id(work, DeliveryKind.UNSUBSCRIBE, change.list_id),
        state=state,
        reason=reason,
        cause=Reason.ASKED,
        occurred_at=work.message.occurred_at,
        created_at=work.now,
        due_at=work.now,
        person_id=person_id,
        payload=msgspec.json.encode(change).decode(),
        recipient=msgspec.json.encode(whom) if addresses else None,
    )


def unique_id(work: Work, kind: str, list_id: str | None = None) -> str:
    """What a change that a call asks for goes by: the same call asks once."""
    return ":".join(("backflow", kind, work.message.message_id, *([list_id] if list_id else [])))


def _whom(work: Work, change: SubscriptionChange) -> tuple[str | None, dict[str, str]]:
    """Whom the call names, if they are known here, and the address for each channel: the one that it gives, unless that
    is somebody else's. A server that names its customer may leave it out."""
    site_id, graph, identifiers = work.site.site_id, work.tx.graph, work.claims.identifiers
    if not identifiers:
        return None, {}
    owners = graph.owners(site_id, identifiers)
    person_id = plan(identifiers, owners, work.entry.trust).person_id
    known = None if person_id is None else graph.recipient(site_id, person_id)
    given: dict[IdentifierKind, Identifier] = {each.kind: each for each in identifiers}
    is_server = work.entry.trust is Trust.SERVER
    found: dict[str, str] = {}
    for channel in change.channels:
        named = given.get(_CHANNELS[channel])
        if named is not None:
            is_moved = is_server and named.kind is IdentifierKind.EMAIL  # as ``identity.plan`` moves it
            if named not in owners or owners[named].person_id == person_id or is_moved:
                found[channel] = named.value
        elif is_server and known is not None:
            address = known.email if channel == "email" else known.phone_number
            found |= {channel: address} if address else {}
    return person_id, found


def _forget_opt_in(work: Work, person_id: str, change: SubscriptionChange) -> None:
    """So that who comes back is heard (``optin.new_channels``)."""
    found = work.tx.graph.traits(work.site.site_id, person_id).get(optin.MEMORY)
    if isinstance(found, dict):
        after = optin.remember(found, change, subscribes=False)
        work.tx.graph.remember_traits(work.site.site_id, person_id, {optin.MEMORY: after})
