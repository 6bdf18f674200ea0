"""Operations on consent: subscribe and unsubscribe, many profiles a call.

Klaviyo checks the call, answers 202 and acts later; here it acts at once.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Raw
from starlette.responses import Response

from relay.demo.sandbox import bodies, list_bodies, rules
from relay.demo.sandbox.answers import Fault, Refused, accepted
from relay.demo.sandbox.call import Call
from relay.demo.sandbox.consent import KINDS
from relay.demo.sandbox.lists import join, log
from relay.demo.sandbox.mailing import MailingList
from relay.demo.sandbox.profiles import Identifiers, Profile

MAX_SUBSCRIBED = 1000
MAX_UNSUBSCRIBED = 100
PROFILES = "/data/attributes/profiles/data"
#: What a channel reaches a person by.
_ADDRESS = {"email": "email", "sms": "phone_number"}

Person = list_bodies.Subscriber | list_bodies.Unsubscriber


def subscribe(call: Call) -> Response:
    """Record consent; with a list the new subscribers join it. Lifts suppressions, whatever was withdrawn since."""
    call.only_query()
    job = bodies.decode(call.raw, list_bodies.SubscribeJob).data
    people, faults = _people(job.attributes.profiles.data, list_bodies.Subscriber, MAX_SUBSCRIBED)
    historical = bool(job.attributes.historical_import)
    for where, person in people:
        for _, at, sent in _asked(person):
            if isinstance(sent, list_bodies.Subscribed):
                pointer = f"{where}/attributes/subscriptions/{at}/consented_at"
                _check_time(sent.consented_at, pointer, historical, call.account.now(), faults)
    rules.refuse(faults)
    one = _named_list(call, job.relationships)
    opt_in = one.opt_in_process if one else call.account.opt_in_process
    waits = opt_in == "double_opt_in" and not historical
    for _, person in people:
        _subscribe(call, person, one, source=job.attributes.custom_source, waits=waits)
    return accepted()


def unsubscribe(call: Call) -> Response:
    """Withdraw consent. With a list: from that list alone, but everywhere for a profile that is not on it."""
    call.only_query()
    job = bodies.decode(call.raw, list_bodies.UnsubscribeJob).data
    people, faults = _people(job.attributes.profiles.data, list_bodies.Unsubscriber, MAX_UNSUBSCRIBED)
    rules.refuse(faults)
    one = _named_list(call, job.relationships)
    for _, person in people:
        _unsubscribe(call, person, one)
    return accepted()


def _subscribe(call: Call, person: Person, one: MailingList | None, *, source: str | None, waits: bool) -> None:
    now = call.account.now()
    times = {kind: _seconds(getattr(sent, "consented_at", None)) for kind, _, sent in _asked(person)}
    for profile, kinds in _owners(call, person):
        action = "confirmation_asked" if waits else "subscribed"
        consented_at = next((times[kind] for kind in kinds if times[kind] is not None), None)
        log(call, profile, action, kinds=kinds, source=source, consented_at=consented_at, **_named(one))
        if waits:
            continue
        for kind in kinds:
            list_id = one.id if one is not None else None
            profile.consents.subscribe(kind, now=now, at=times[kind], source=source, list_id=list_id)
        if one is not None:
            join(call, one, profile)


def _unsubscribe(call: Call, person: Person, one: MailingList | None) -> None:
    """SMS has no suppression by list in Klaviyo's schema, so it always ends everywhere."""
    now = call.account.now()
    for profile, kinds in _owners(call, person):
        is_member = one is not None and profile.id in one.members
        by_list = ["email"] if one is not None and is_member and "email" in kinds else []
        everywhere = [kind for kind in kinds if kind not in by_list]
        if one is not None and by_list:
            del one.members[profile.id]
            profile.consents.unsubscribe_from(one.id, now=now)
            log(call, profile, "unsubscribed", kinds=by_list, **_named(one))
        if everywhere:
            for kind in everywhere:
                profile.consents.unsubscribe(kind, now=now)
            missed = one is not None and not is_member
            if missed:
                call.note("unsubscribed everywhere: not on the list")
            log(call, profile, "unsubscribed", kinds=everywhere, everywhere=True, not_on_list=missed, **_named(one))


def _owners(call: Call, person: Person) -> list[tuple[Profile, list[str]]]:
    """Whose consent it is, and to what. An id decides alone, and an address beside it becomes its profile's; without
    one each address is its owner's, and a new one goes to the profile of the other or makes one.
    """
    directory, now = call.account.profiles, call.account.now()
    sent = person.attributes
    profile_id = getattr(person, "id", None)
    if profile_id and directory.get(profile_id) is None:
        missed = {"reason": "unknown profile", "metric": "Subscription", "unique_id": None, "at": now}
        call.account.vanished.append(missed)
        call.note("unknown profile")
        return []
    email = sent.email.lower() if sent.email else None
    identifiers = Identifiers(id=profile_id, email=email, phone_number=sent.phone_number or None)
    found = directory.matches(identifiers)
    first = found[0] if found else directory.create(now)
    directory.identify(first, identifiers, replace=bool(profile_id))
    owners: dict[str, tuple[Profile, list[str]]] = {}
    for kind, at, _ in _asked(person):
        address = _ADDRESS[at.partition("/")[0]]
        value = getattr(identifiers, address)
        profile = first if profile_id else directory.owner(address, value)
        if profile is None:  # the profile of the other address has another one of this kind
            profile = directory.create(now)
            directory.identify(profile, Identifiers(**{address: value}), replace=True)
        owners.setdefault(profile.id, (profile, []))[1].append(kind)
        profile.updated = now
    return list(owners.values())


def _asked(person: Person) -> Iterator[tuple[str, str, Any]]:
    """What a person (un)subscribes: its place in ``Consents``, the end of its pointer, and what was sent."""
    for (channel, message), kind in KINDS.items():
        if sent := getattr(getattr(person.attributes.subscriptions, channel), message, None):
            yield kind, f"{channel}/{message}", sent


def _people(sent: list[Raw], kind: type[Any], most: int) -> tuple[list[tuple[str, Any]], list[Fault]]:
    """The profiles of a job with their pointers, and all that is wrong with them."""
    faults: list[Fault] = []
    if not 1 <= len(sent) <= most:
        faults.append(Fault(detail=f"Between 1 and {most} profiles are allowed per request.", pointer=PROFILES))
    people = bodies.items(sent, kind, PROFILES, faults)
    for where, person in people:
        _check_person(person, f"{where}/attributes", faults)
    return people, faults


def _check_person(person: Person, where: str, faults: list[Fault]) -> None:
    sent = person.attributes
    if sent.email:
        rules.check_email(sent.email, f"{where}/email", faults)
    if sent.phone_number:
        rules.check_phone(sent.phone_number, f"{where}/phone_number", faults)
    asked = [at for _, at, _ in _asked(person)]
    if not asked:
        detail = "At least one kind of message of a channel is required."
        faults.append(Fault(detail=detail, pointer=f"{where}/subscriptions"))
    for channel in ("whatsapp", "push"):
        if getattr(sent.subscriptions, channel) is not None:
            detail = f"The sandbox speaks e-mail and SMS; '{channel}' is not part of it."
            faults.append(Fault(detail=detail, pointer=f"{where}/subscriptions/{channel}"))
    for channel in sorted({at.partition("/")[0] for at in asked}):
        if not getattr(sent, _ADDRESS[channel]):
            detail = f"'{_ADDRESS[channel]}' is required for the channel '{channel}'."
            faults.append(Fault(detail=detail, pointer=f"{where}/{_ADDRESS[channel]}"))


def _check_time(text: str | None, pointer: str, historical: bool, now: float, faults: list[Fault]) -> None:
    """A time of consent belongs to a historical import, to all of it, and lies in the past (API reference)."""
    if not historical:
        if text is not None:
            faults.append(Fault(detail="'consented_at' may only be set for a historical import.", pointer=pointer))
        return
    seconds = _seconds(text)
    if text is None:
        faults.append(Fault(detail="'consented_at' is required for a historical import.", pointer=pointer))
    elif seconds is None:
        faults.append(Fault(detail="Invalid ISO 8601 date and time.", pointer=pointer))
    elif seconds >= now:
        faults.append(Fault(detail="'consented_at' must be in the past.", pointer=pointer))


def _seconds(text: str | None) -> float | None:
    return rules.timestamp(text) if text else None


def _named_list(call: Call, sent: list_bodies.JobRelationships | None) -> MailingList | None:
    named = sent.list.data if sent and sent.list else None
    if named is None:
        return None
    found = call.account.lists.get(named.id)
    if found is None:
        detail = f"A list with id {named.id} does not exist."
        pointer = "/data/relationships/list/data/id"
        raise Refused(404, Fault(code="not_found", title="Not found.", detail=detail, pointer=pointer))
    return found


def _named(one: MailingList | None) -> dict[str, str]:
    return {"list_id": one.id, "list_name": one.name} if one is not None else {}
