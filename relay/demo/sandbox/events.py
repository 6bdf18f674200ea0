"""Operations on events: one by one, in bulk, and the browser's own calls."""

from starlette.responses import Response

from relay.demo.sandbox import bodies, profiles, rules
from relay.demo.sandbox.answers import Fault, accepted
from relay.demo.sandbox.call import Call

#: One event of a bulk call: its pointer, itself, and the profile and the ``backfill`` of its group.
BulkEvent = tuple[str, bodies.BulkEntryAttributes, bodies.Profile, bool | None]


def create_event(call: Call) -> Response:
    """One event of a server."""
    call.only_query()
    _record_one(call, via="server")
    return accepted()


def bulk_create_events(call: Call) -> Response:
    """Up to 1000 events of several profiles: all are taken or none."""
    call.only_query()
    sent = bodies.decode(call.raw, bodies.BulkCreateJob).data.attributes.events_bulk_create.data
    faults: list[Fault] = []
    groups = bodies.items(sent, bodies.Bulk, "/data/attributes/events-bulk-create/data", faults)
    _record_bulk(call, groups, faults, "server")
    return accepted()


def client_event(call: Call) -> Response:
    """One event of the on-page script."""
    sent = _record_one(call, via="script")
    return accepted(_exchange_id(call, sent))


def client_bulk(call: Call) -> Response:
    """Up to 1000 events of one visitor, kept until somebody knew who it was."""
    group = bodies.decode(call.raw, bodies.ClientBulkCreate).data
    _record_bulk(call, [("/data", group)], [], "script")
    return accepted(_exchange_id(call, group.attributes.profile.data))


def client_profile(call: Call) -> Response:
    """What the on-page script learned of a visitor."""
    sent = bodies.decode(call.raw, bodies.ClientProfile).data
    faults: list[Fault] = []
    rules.check_profile(sent, "/data", faults)
    rules.refuse(faults)
    _, problem = call.account.observe(sent)
    call.note(problem)
    return accepted(_exchange_id(call, sent))


def _record_one(call: Call, *, via: str) -> bodies.Profile:
    event = bodies.decode(call.raw, bodies.EventCreate).data.attributes
    faults: list[Fault] = []
    sent = event.profile.data
    rules.check_event(event, "/data/attributes", faults, call.account.now())
    rules.check_profile(sent, "/data/attributes/profile/data", faults, revision=call.revision)
    rules.refuse(faults)
    call.note(call.account.record(event, sent, via=via))
    return sent


def _record_bulk(call: Call, groups: list[tuple[str, bodies.Bulk]], faults: list[Fault], via: str) -> None:
    """All events of a bulk call, or none: then every bad one is named. ``faults`` are those of groups left out."""
    now = call.account.now()
    total = sum(len(group.attributes.events.data) for _, group in groups)
    if total > rules.MAX_BULK_EVENTS or not (total or faults):
        faults.append(Fault(detail="Between 1 and 1000 events are allowed per request.", pointer="/data/attributes"))
    events: list[BulkEvent] = []
    for where, group in groups:
        at = f"{where}/attributes"
        sent = group.attributes.profile.data
        rules.check_profile(sent, f"{at}/profile/data", faults)
        for place, entry in bodies.items(group.attributes.events.data, bodies.BulkEntry, f"{at}/events/data", faults):
            rules.check_event(entry.attributes, f"{place}/attributes", faults, now)
            events.append((place, entry.attributes, sent, group.attributes.backfill))
    rules.refuse(faults)
    rules.refuse(call.account.repeats([(place, event, sent) for place, event, sent, _ in events]))
    for _, event, sent, backfill in events:
        call.note(call.account.record(event, sent, via=via, backfill=backfill))


def _exchange_id(call: Call, sent: bodies.Profile) -> dict[str, str]:
    """The sandbox's own way to hand the on-page script its exchange id."""
    found = call.account.profiles.matches(profiles.Identifiers.of(sent))
    if not found:
        return {}
    known = found[0].exchange_ids
    return {"X-Sandbox-Exchange-Id": known[-1] if known else call.account.profiles.mint_exchange_id(found[0])}
