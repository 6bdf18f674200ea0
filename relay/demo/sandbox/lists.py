"""Operations on lists: read, make, who is on them. Being on a list is no consent (API reference)."""

from typing import Any

from starlette.responses import Response

from relay.demo.sandbox import bodies, filters, rules
from relay.demo.sandbox.answers import Fault, Refused, document, not_found
from relay.demo.sandbox.call import Call
from relay.demo.sandbox.list_bodies import ListCreate, Member, Members
from relay.demo.sandbox.mailing import MailingList, short_id
from relay.demo.sandbox.people import LIST_FIELDS
from relay.demo.sandbox.profiles import Profile
from relay.demo.sandbox.records import Change
from relay.demo.sandbox.resources import list_resource, sparse

MAX_MEMBERS = 1000
LISTS_A_PAGE = 10


def get_lists(call: Call) -> Response:
    """Lists by filter, sorted, ten a page."""
    call.only_query("filter", "page[size]", "page[cursor]", "sort", "fields[list]")
    fields = call.fields("list", LIST_FIELDS)
    size = call.page_size(LISTS_A_PAGE, LISTS_A_PAGE)
    name, descending = call.sorting("id", "created", "name", "updated")
    conditions = filters.parse(call.query["filter"], filters.LIST_FILTERS) if "filter" in call.query else []
    found = filters.select_lists(call.account.lists, conditions)
    found.sort(key=lambda one: (getattr(one, name), one.id), reverse=descending)
    page, links = call.page(found, size)
    return document({"data": [sparse(list_resource(one, call.base), fields) for one in page], "links": links})


def get_list(call: Call) -> Response:
    """One list by its id, or 404; with the number of its members where that is asked for."""
    call.only_query("fields[list]", "additional-fields[list]")
    fields = call.fields("list", LIST_FIELDS | {"profile_count"})
    one = _list(call, call.path.rpartition("/")[2])
    shown = list_resource(one, call.base)
    if call.asks_for("additional-fields[list]", "profile_count"):
        shown["attributes"]["profile_count"] = len(one.members)
    return document({"data": sparse(shown, fields), "links": {"self": call.link({})}})


def create_list(call: Call) -> Response:
    """A new list. Names need not be unique."""
    call.only_query("fields[list]")
    fields = call.fields("list", LIST_FIELDS)
    sent = bodies.decode(call.raw, ListCreate).data.attributes
    if not sent.name.strip():
        rules.refuse([Fault(detail="'name' may not be blank.", pointer="/data/attributes/name")])
    opt_in = sent.opt_in_process or call.account.opt_in_process
    made = call.account.lists.create(sent.name, call.account.now(), opt_in=opt_in)
    return document({"data": sparse(list_resource(made, call.base), fields)}, status=201)


def add_profiles(call: Call) -> Response:
    """Put profiles on a list: all of them or none. One that is on it already stays."""
    one, profiles = _members(call)
    for profile in profiles:
        if profile.id not in one.members:
            join(call, one, profile, action="added")
    return Response(status_code=204)


def remove_profiles(call: Call) -> Response:
    """Take profiles off a list; consent stays as it is."""
    one, profiles = _members(call)
    for profile in profiles:
        if one.members.pop(profile.id, None) is not None:
            one.updated = call.account.now()
            log(call, profile, "removed", list_id=one.id, list_name=one.name)
    return Response(status_code=204)


def join(call: Call, one: MailingList, profile: Profile, *, action: str | None = None) -> None:
    """Put a profile on a list; with ``action`` the log tells it."""
    one.members.setdefault(profile.id, call.account.now())
    one.updated = call.account.now()
    if action is not None:
        log(call, profile, action, list_id=one.id, list_name=one.name)


def log(call: Call, profile: Profile, action: str, **facts: Any) -> None:
    """Remember a change of lists or consent (see ``records.Change``)."""
    change = Change(id=short_id(), action=action, profile_id=profile.id, at=call.account.now(), **facts)
    call.account.changes.append(change)


def _members(call: Call) -> tuple[MailingList, list[Profile]]:
    """The list and the profiles a body names. 404 for an unknown one of either; every unknown profile is told."""
    call.only_query()
    sent = bodies.decode(call.raw, Members).data
    faults: list[Fault] = []
    if not 1 <= len(sent) <= MAX_MEMBERS:
        detail = f"Between 1 and {MAX_MEMBERS} profiles are allowed per request."
        faults.append(Fault(detail=detail, pointer="/data"))
    named = bodies.items(sent, Member, "/data", faults)
    rules.refuse(faults)
    one = _list(call, call.path.split("/")[-3])
    profiles = []
    for where, member in named:
        profile = call.account.profiles.get(member.id)
        if profile is not None:
            profiles.append(profile)
        else:
            detail = f"A profile with id {member.id} does not exist."
            faults.append(Fault(code="not_found", title="Not found.", detail=detail, pointer=f"{where}/id"))
    if faults:
        raise Refused(404, *faults)
    return one, profiles


def _list(call: Call, list_id: str) -> MailingList:
    found = call.account.lists.get(list_id)
    if found is None:
        raise not_found(f"A list with id {list_id} does not exist.")
    return found
