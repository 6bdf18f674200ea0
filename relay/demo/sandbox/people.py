"""Operations on profiles: import, look-up, one, deletion."""

from typing import Any

from starlette.responses import Response

from relay.demo.sandbox import bodies, filters, rules
from relay.demo.sandbox.answers import Fault, accepted, document, invalid, not_found
from relay.demo.sandbox.call import Call
from relay.demo.sandbox.profiles import Profile
from relay.demo.sandbox.resources import list_resource, profile_resource, sparse, subscriptions

PROFILE_FIELDS = frozenset(
    {"id", "created", "email", "external_id", "first_name", "image", "last_event_date", "last_name", "locale"}
    | {"location", "organization", "phone_number", "properties", "subscriptions", "title", "updated"}
    | {f"location.{name}" for name in bodies.Location.__struct_fields__}
)
LIST_FIELDS = frozenset({"created", "id", "name", "opt_in_process", "updated"})


def import_profile(call: Call) -> Response:
    """Create (201) or update (200) a profile and show it whole."""
    call.only_query("additional-fields[profile]", "fields[profile]")
    fields = call.fields("profile", PROFILE_FIELDS)
    sent = bodies.decode(call.raw, bodies.ProfileUpsert).data
    faults: list[Fault] = []
    rules.check_profile(sent, "/data", faults)
    rules.refuse(faults)
    profile, new = call.account.upsert(sent)
    return document({"data": _shown(call, profile, fields)}, status=201 if new else 200)


def get_profiles(call: Call) -> Response:
    """Profiles by filter, sorted, page by page."""
    call.only_query("filter", "page[size]", "page[cursor]", "sort", "fields[profile]", "additional-fields[profile]")
    fields = call.fields("profile", PROFILE_FIELDS)
    size = call.page_size()
    conditions = filters.parse(call.query["filter"], filters.PROFILE_FILTERS) if "filter" in call.query else []
    name, descending = call.sorting("id", "created", "updated", "email")
    found = filters.select(call.account.profiles, conditions)
    found.sort(key=lambda profile: (getattr(profile, name) or "", profile.id), reverse=descending)
    for condition in conditions:
        lookup = {"field": condition.field, "operator": condition.operator, "values": len(condition.values)}
        call.account.lookups.append(lookup | {"found": len(found), "at": call.account.now()})
    page, links = call.page(found, size)
    return document({"data": [_shown(call, profile, fields) for profile in page], "links": links})


def get_profile(call: Call) -> Response:
    """One profile by its id, or 404; with its lists where they are asked for."""
    call.only_query("fields[profile]", "additional-fields[profile]", "include", "fields[list]")
    fields = call.fields("profile", PROFILE_FIELDS)
    list_fields = call.fields("list", LIST_FIELDS)
    profile_id = call.path.rpartition("/")[2]
    profile = call.account.profiles.get(profile_id)
    if profile is None:
        raise not_found(f"A profile with id {profile_id} does not exist.")
    shown = _shown(call, profile, fields)
    answer: dict[str, Any] = {"data": shown, "links": {"self": call.link({})}}
    if call.asks_for("include", "lists"):
        lists = call.account.lists.of(profile.id)
        shown["relationships"]["lists"]["data"] = [{"type": "list", "id": one.id} for one in lists]
        answer["included"] = [sparse(list_resource(one, call.base), list_fields) for one in lists]
    return document(answer)


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


def _shown(call: Call, profile: Profile, fields: set[str] | None) -> dict[str, Any]:
    shown = profile_resource(profile, call.base)
    attributes = shown["attributes"]
    if call.asks_for("additional-fields[profile]", "subscriptions"):
        attributes["subscriptions"] = subscriptions(profile.consents, has_phone=bool(profile.phone_number))
    if fields is not None:
        inside = {name.partition(".")[2] for name in fields if "." in name}
        if inside and "location" not in fields:
            fields = fields | {"location"}
            attributes["location"] = {name: attributes["location"][name] for name in sorted(inside)}
    return sparse(shown, fields)
