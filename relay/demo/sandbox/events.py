"""Operations on events: one by one, in bulk, and the browser's own calls."""

from starlette.responses import Response

from relay.demo.sandbox import bodies, profiles, rules
from relay.demo.sandbox.answers import Fault, accepted
from relay.demo.sandbox.call import Call


def create_event(call: Call) -> Response:
    """One event of a server."""
    call.only_query()
    _record_one(call, via="server")
    return accepted()


def bulk_create_events(call: Call) -> Response:
    """Up to 1000 events of several profiles: all are taken or none."""
    call.only_query()
    groups = bodies.decode(call.raw, bodies.BulkCreateJob).data.attributes.events_bulk_create.data
    _record_bulk(call, [(f"/data/attributes/events-bulk-create/data/{i}", g) for i, g in enumerate(groups)], "server")
    return accepted()


def client_event(call: Call) -> Response:
    """One event of the on-page script."""
    sent = _record_one(call, via="script")
    return accepted(_exchange_id(call, sent))


def client_bulk(call: Call) -> Response:
    """Up to 1000 events of one visitor, kept until somebody knew who it was."""
    group = bodies.decode(call.raw, bodies.ClientBulkCreate).data
    _record_bulk(call, [("/data", group)], "script")
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


def _record_bulk(call: Call, groups: list[tuple[str, bodies.Bulk]], via: str) -> None:
    """All events of a bulk call, or none."""
    faults: list[Fault] = []
    total = sum(len(group.attributes.events.data) for _, group in groups)
    if not 1 <= total <= rules.MAX_BULK_EVENTS:
        faults.append(Fault(detail="Between 1 and 1000 events are allowed per request.", pointer="/data/attributes"))
    for where, group in groups:
        at = f"{where}/attributes"
        rules.check_profile(group.attributes.profile.data, f"{at}/profile/data", faults)
        for index, entry in enumerate(group.attributes.events.data):
            rules.check_event(entry.attributes, f"{at}/events/data/{index}/attributes", faults, call.account.now())
    rules.refuse(faults)
    call.account.refuse_repeats([(f"{where}/attributes", group.attributes) for where, group in groups])
    for _, group in groups:
        sent, backfill = group.attributes.profile.data, group.attributes.backfill
        for entry in group.attributes.events.data:
            call.note(call.account.record(entry.attributes, sent, via=via, backfill=backfill))


def _exchange_id(call: Call, sent: bodies.Profile) -> dict[str, str]:
    """The sandbox's own way to hand the on-page script its exchange id."""
    found = call.account.profiles.matches(profiles.Identifiers.of(sent))
    if not found:
        return {}
    known = found[0].exchange_ids
    return {"X-Sandbox-Exchange-Id": known[-1] if known else call.account.profiles.mint_exchange_id(found[0])}
