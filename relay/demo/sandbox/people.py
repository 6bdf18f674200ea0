"""Operations on profiles: import, look-up, one, deletion."""

from starlette.responses import Response

from relay.demo.sandbox import bodies, filters, rules
from relay.demo.sandbox.answers import Fault, accepted, document, invalid, not_found
from relay.demo.sandbox.call import Call, cursor
from relay.demo.sandbox.profiles import Profile
from relay.demo.sandbox.resources import profile_resource

PROFILE_FIELDS = frozenset(
    {"id", "created", "email", "external_id", "first_name", "image", "last_event_date", "last_name", "locale"}
    | {"location", "organization", "phone_number", "properties", "subscriptions", "title", "updated"}
    | {f"location.{name}" for name in bodies.Location.__struct_fields__}
)
_SORTS = ("id", "created", "updated", "email")


def import_profile(call: Call) -> Response:
    """Create (201) or update (200) a profile and show it whole."""
    call.only_query("additional-fields[profile]", "fields[profile]")
    fields = _sparse(call)
    sent = bodies.decode(call.raw, bodies.ProfileUpsert).data
    faults: list[Fault] = []
    rules.check_profile(sent, "/data", faults)
    rules.refuse(faults)
    profile, new = call.account.upsert(sent)
    return document({"data": _shown(call, profile, fields)}, status=201 if new else 200)


def get_profiles(call: Call) -> Response:
    """Profiles by filter, sorted, page by page."""
    call.only_query("filter", "page[size]", "page[cursor]", "sort", "fields[profile]", "additional-fields[profile]")
    fields = _sparse(call)
    size = call.page_size()
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
    start = call.offset()
    page = found[start : start + size]
    links = {"self": call.link({}), "prev": None, "next": None}
    if start + size < len(found):
        links["next"] = call.link({"page[cursor]": cursor(start + size)})
    if start > 0:
        links["prev"] = call.link({"page[cursor]": cursor(max(0, start - size))})
    return document({"data": [_shown(call, profile, fields) for profile in page], "links": links})


def get_profile(call: Call) -> Response:
    """One profile by its id, or 404."""
    call.only_query("fields[profile]", "additional-fields[profile]")
    fields = _sparse(call)
    profile_id = call.path.rpartition("/")[2]
    profile = call.account.profiles.get(profile_id)
    if profile is None:
        raise not_found(f"A profile with id {profile_id} does not exist.")
    return document({"data": _shown(call, profile, fields), "links": {"self": call.link({})}})


def request_deletion(call: Call) -> Response:
    """Forget whoever has the one identifier given."""
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


def _shown(call: Call, profile: Profile, fields: set[str] | None) -> dict[str, object]:
    additional = call.query.get("additional-fields[profile]", "")
    if additional not in ("", "subscriptions"):
        raise invalid(f"'{additional}' is not a valid additional field.", parameter="additional-fields[profile]")
    shown = profile_resource(profile, call.base, subscriptions=bool(additional))
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
