"""The operations the sandbox speaks, as a table: path, scope, rates, size and handler of each.

Rates and scopes are those of the OpenAPI document. A handler gets a ``Call`` that has passed the gate and
returns an answer or raises ``Refused``.
"""

import base64
import binascii
from collections.abc import Callable
from urllib.parse import urlencode

from msgspec import Struct
from starlette.datastructures import QueryParams
from starlette.responses import Response

from relay.demo.sandbox import bodies, filters, profiles, rules
from relay.demo.sandbox.account import Account
from relay.demo.sandbox.answers import Fault, accepted, document, invalid, not_found
from relay.demo.sandbox.limits import Rate

FIVE_MEGABYTES = 5_000_000
PROFILE_FIELDS = frozenset(
    {"id", "created", "email", "external_id", "first_name", "image", "last_event_date", "last_name", "locale"}
    | {"location", "organization", "phone_number", "properties", "subscriptions", "title", "updated"}
    | {f"location.{name}" for name in bodies.Location.__struct_fields__}
)
_SORTS = ("id", "created", "updated", "email")


class Call(Struct):
    """A request past the gate. ``notes`` go into the log; ``headers`` onto the answer."""

    account: Account
    path: str
    query: QueryParams
    raw: bytes
    base: str
    revision: str
    notes: list[str]
    headers: dict[str, str]

    def note(self, what: str | None) -> None:
        if what is not None:
            self.notes.append(what)

    def only_query(self, *allowed: str) -> None:
        """Refuse query parameters the endpoint does not have, and repeated ones."""
        for name in self.query:
            if name not in allowed:
                raise invalid(f"'{name}' is not a valid query parameter.", parameter=name)
            if len(self.query.getlist(name)) > 1:
                raise invalid(f"'{name}' may be given once.", parameter=name)


class Endpoint(Struct, frozen=True):
    method: str
    path: str
    scopes: tuple[str, ...]
    rate: Rate
    handler: Callable[[Call], Response]
    max_bytes: int = FIVE_MEGABYTES


def create_event(call: Call) -> Response:
    call.only_query()
    _record_one(call, via="server")
    return accepted()


def bulk_create_events(call: Call) -> Response:
    call.only_query()
    groups = bodies.decode(call.raw, bodies.BulkCreateJob).data.attributes.events_bulk_create.data
    _record_bulk(call, [(f"/data/attributes/events-bulk-create/data/{i}", g) for i, g in enumerate(groups)], "server")
    return accepted()


def import_profile(call: Call) -> Response:
    call.only_query("additional-fields[profile]", "fields[profile]")
    fields = _sparse(call)
    sent = bodies.decode(call.raw, bodies.ProfileUpsert).data
    faults: list[Fault] = []
    rules.check_profile(sent, "/data", faults)
    rules.refuse(faults)
    profile, new = call.account.upsert(sent)
    return document({"data": _shown(call, profile, fields)}, status=201 if new else 200)


def get_profiles(call: Call) -> Response:
    call.only_query("filter", "page[size]", "page[cursor]", "sort", "fields[profile]", "additional-fields[profile]")
    fields = _sparse(call)
    size = _page_size(call)
    conditions = filters.parse(call.query["filter"], filters.PROFILE_FILTERS) if "filter" in call.query else []
    sort = call.query.get("sort", "id")
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    if name not in _SORTS:
        raise invalid(f"'{sort}' is not a valid sort.", parameter="sort")
    found = filters.select(call.account.profiles, conditions)
    found.sort(key=lambda profile: (getattr(profile, name) or "", profile.id), reverse=descending)
    for condition in conditions:
        lookup = {"field": condition.field, "operator": condition.operator, "values": len(condition.values)}
        call.account.lookups.append(lookup | {"found": len(found), "at": call.account.now()})
    start = _offset(call)
    page = found[start : start + size]
    links = {"self": _link(call, {}), "prev": None, "next": None}
    if start + size < len(found):
        links["next"] = _link(call, {"page[cursor]": _cursor(start + size)})
    if start > 0:
        links["prev"] = _link(call, {"page[cursor]": _cursor(max(0, start - size))})
    return document({"data": [_shown(call, profile, fields) for profile in page], "links": links})


def get_profile(call: Call) -> Response:
    call.only_query("fields[profile]", "additional-fields[profile]")
    fields = _sparse(call)
    profile_id = call.path.rpartition("/")[2]
    profile = call.account.profiles.get(profile_id)
    if profile is None:
        raise not_found(f"A profile with id {profile_id} does not exist.")
    return document({"data": _shown(call, profile, fields), "links": {"self": _link(call, {})}})


def request_deletion(call: Call) -> Response:
    call.only_query()
    sent = bodies.decode(call.raw, bodies.DeletionJob).data.attributes.profile.data
    where = "/data/attributes/profile/data"
    given = {"id": sent.id, "email": sent.attributes.email, "phone_number": sent.attributes.phone_number}
    named = [(kind, value) for kind, value in given.items() if value]
    if len(named) != 1:
        raise invalid("Exactly one of id, email and phone_number is required.", where)
    kind, value = named[0]
    faults: list[Fault] = []
    if kind == "email":
        rules.check_email(value, f"{where}/attributes/email", faults)
    elif kind == "phone_number":
        rules.check_phone(value, f"{where}/attributes/phone_number", faults)
    rules.refuse(faults)
    call.account.forget(kind, value)
    return accepted()


def get_accounts(call: Call) -> Response:
    call.only_query("fields[account]")
    company = call.account.company_id
    attributes = {
        "test_account": True,
        "contact_information": {
            "default_sender_name": "Demo shop",
            "default_sender_email": "shop@example.com",
            "website_url": None,
            "organization_name": "Demo shop",
            "street_address": dict.fromkeys(("address1", "address2", "city", "region", "country", "zip")),
        },
        "industry": None,
        "timezone": "Etc/UTC",
        "preferred_currency": "EUR",
        "public_api_key": company,
        "locale": "en-US",
    }
    self_link = f"{call.base}/api/accounts/{company}/"
    account = {"type": "account", "id": company, "attributes": attributes, "links": {"self": self_link}}
    return document({"data": [account], "links": {"self": _link(call, {}), "prev": None, "next": None}})


def get_metrics(call: Call) -> Response:
    call.only_query("filter", "page[cursor]", "fields[metric]")
    conditions = filters.parse(call.query["filter"], filters.METRIC_FILTERS) if "filter" in call.query else []
    matching = [m for m in call.account.metrics.values() if all(c.values == ("API",) for c in conditions)]
    start = _offset(call)
    data = [
        {
            "type": "metric",
            "id": metric.id,
            "attributes": {
                "name": metric.name,
                "created": profiles.iso(metric.created),
                "updated": profiles.iso(metric.created),
                "integration": {"object": "integration", "id": "0rG4eQ", "name": "API", "category": "API"},
            },
            "relationships": {"flow-triggers": {"links": {"self": "", "related": ""}}},
            "links": {"self": f"{call.base}/api/metrics/{metric.id}/"},
        }
        for metric in matching[start : start + 200]
    ]
    following = _link(call, {"page[cursor]": _cursor(start + 200)}) if start + 200 < len(matching) else None
    return document({"data": data, "links": {"self": _link(call, {}), "prev": None, "next": following}})


def client_event(call: Call) -> Response:
    sent = _record_one(call, via="script")
    return accepted(_exchange_id(call, sent))


def client_bulk(call: Call) -> Response:
    group = bodies.decode(call.raw, bodies.ClientBulkCreate).data
    _record_bulk(call, [("/data", group)], "script")
    return accepted(_exchange_id(call, group.attributes.profile.data))


def client_profile(call: Call) -> Response:
    sent = bodies.decode(call.raw, bodies.ClientProfile).data
    faults: list[Fault] = []
    rules.check_profile(sent, "/data", faults)
    rules.refuse(faults)
    _, problem = call.account.observe(sent)
    call.note(problem)
    return accepted(_exchange_id(call, sent))


_FAST = Rate(350, 3500)
_MEDIUM = Rate(75, 750)
_BULK = Rate(10, 150)
_SLOW = Rate(3, 60)

ENDPOINTS = (
    Endpoint("POST", "/api/events", ("events:write",), _FAST, create_event),
    Endpoint("POST", "/api/event-bulk-create-jobs", ("events:write",), _BULK, bulk_create_events),
    Endpoint("POST", "/api/profile-import", ("profiles:write",), _MEDIUM, import_profile, 100_000),
    Endpoint("GET", "/api/profiles", ("profiles:read",), _MEDIUM, get_profiles),
    Endpoint("GET", "/api/profiles/{id}", ("profiles:read",), _MEDIUM, get_profile),
    Endpoint("POST", "/api/data-privacy-deletion-jobs", ("data-privacy:write",), _SLOW, request_deletion),
    Endpoint("GET", "/api/accounts", ("accounts:read",), Rate(1, 15), get_accounts),
    Endpoint("GET", "/api/metrics", ("metrics:read",), _BULK, get_metrics),
    Endpoint("POST", "/client/events", (), _FAST, client_event),
    Endpoint("POST", "/client/event-bulk-create", (), _BULK, client_bulk),
    Endpoint("POST", "/client/profiles", (), _FAST, client_profile),
)


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


def _shown(call: Call, profile: profiles.Profile, fields: set[str] | None) -> dict[str, object]:
    additional = call.query.get("additional-fields[profile]", "")
    if additional not in ("", "subscriptions"):
        raise invalid(f"'{additional}' is not a valid additional field.", parameter="additional-fields[profile]")
    shown = profiles.resource(profile, call.base, subscriptions=bool(additional))
    if fields is not None:
        attributes = shown["attributes"]
        inside = {name.partition(".")[2] for name in fields if "." in name}
        if inside and "location" not in fields:
            fields = fields | {"location"}
            attributes["location"] = {name: attributes["location"][name] for name in sorted(inside)}
        shown["attributes"] = {name: value for name, value in attributes.items() if name in fields}
    return shown


def _sparse(call: Call) -> set[str] | None:
    if "fields[profile]" not in call.query:
        return None
    fields = set(call.query["fields[profile]"].split(","))
    for name in sorted(fields - PROFILE_FIELDS):
        raise invalid(f"'{name}' is not a valid field for this resource.", parameter="fields[profile]")
    return fields


def _page_size(call: Call) -> int:
    text = call.query.get("page[size]", "20")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100:
        raise invalid("Page size must be an integer between 1 and 100.", parameter="page[size]")
    return int(text)


def _offset(call: Call) -> int:
    if "page[cursor]" not in call.query:
        return 0
    try:
        kind, _, number = base64.urlsafe_b64decode(call.query["page[cursor]"]).decode("ascii").partition("::")
        if kind == "from" and int(number) >= 0:
            return int(number)
    except (binascii.Error, ValueError):
        pass
    raise invalid("Invalid page cursor.", parameter="page[cursor]")


def _cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(f"from::{offset}".encode()).decode("ascii")


def _link(call: Call, changes: dict[str, str]) -> str:
    query = urlencode(dict(call.query) | changes)
    return f"{call.base}{call.path}" + (f"?{query}" if query else "")
