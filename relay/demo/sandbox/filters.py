"""The ``filter`` parameter of Klaviyo's list endpoints: ``equals(email,"a@b.co")``, ``any(id,["x","y"])``.

A small recursive-descent reader over the whole text. Values are quoted strings in which only a backslash
escapes; so a quote inside a value either is escaped or ends the value and makes the rest a syntax error.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Struct

from relay.demo.sandbox.answers import Refused, invalid
from relay.demo.sandbox.mailing import Lists, MailingList
from relay.demo.sandbox.profiles import Directory, Profile

#: field -> operators (OpenAPI document, ``x-klaviyo-filters`` of get_profiles; suppression fields are left out).
PROFILE_FILTERS = {
    "id": {"equals", "any"},
    "email": {"equals", "any"},
    "phone_number": {"equals", "any"},
    "external_id": {"equals", "any"},
    "_kx": {"equals"},
    "created": {"greater-than", "less-than"},
    "updated": {"greater-than", "less-than"},
}
LIST_FILTERS = {
    "name": {"equals", "any"},
    "id": {"equals", "any"},
    "created": {"greater-than"},
    "updated": {"greater-than"},
}
METRIC_FILTERS = {"integration.name": {"equals"}, "integration.category": {"equals"}}

_HEAD = re.compile(r"\s*([a-z-]+)\(\s*([A-Za-z_.]+)\s*,\s*")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'')
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:T[0-9:.]+(?:Z|[+-]\d\d:?\d\d)?)?")


class Condition(Struct, frozen=True):
    """One ``operator(field,values)``."""

    operator: str
    field: str
    values: tuple[str, ...]


def parse(text: str, allowed: dict[str, set[str]]) -> list[Condition]:
    """The conditions, all of which must hold. ``Refused`` (400, parameter ``filter``) for anything not allowed."""
    conditions = []
    position = 0
    while True:
        head = _HEAD.match(text, position)
        if head is None:
            raise _bad("Invalid filter provided")
        operator, field = head.groups()
        if operator not in allowed.get(field, ()):
            raise _bad(f"'{field}' with '{operator}' is not a valid filter for this endpoint.")
        values, position = _values(text, head.end())
        if (operator == "any" or field == "name") and not text.startswith("[", head.end()):
            raise _bad(f"'{field}' with '{operator}' takes a list of values.")
        if operator not in ("any", "equals") or field == "_kx":
            _exactly_one(values)
        if not text.startswith(")", position):
            raise _bad("Invalid filter provided")
        conditions.append(Condition(operator, field, tuple(values)))
        position += 1
        if position == len(text):
            return conditions
        if text[position] != ",":
            raise _bad("Invalid filter provided")
        position += 1


def select(profiles: Directory, conditions: list[Condition]) -> list[Profile]:
    """The profiles for which every condition holds."""
    chosen = list(profiles)
    for condition in conditions:
        keep = _test(profiles, condition)
        chosen = [profile for profile in chosen if keep(profile)]
    return chosen


def select_lists(lists: Lists, conditions: list[Condition]) -> list[MailingList]:
    """The lists for which every condition holds."""

    def holds(one: MailingList, condition: Condition) -> bool:
        if condition.operator == "greater-than":
            return float(getattr(one, condition.field)) > _moment(condition.values[0])
        return getattr(one, condition.field) in condition.values

    return [one for one in lists if all(holds(one, condition) for condition in conditions)]


def _test(profiles: Directory, condition: Condition) -> Callable[[Profile], bool]:
    if condition.field in ("created", "updated"):
        limit = _moment(condition.values[0])
        if condition.operator == "greater-than":
            return lambda profile: float(getattr(profile, condition.field)) > limit
        return lambda profile: float(getattr(profile, condition.field)) < limit
    kind = "kx" if condition.field == "_kx" else condition.field
    owners = {owner.id for value in condition.values if (owner := profiles.owner(kind, value))}
    return lambda profile: profile.id in owners


def _values(text: str, position: int) -> tuple[list[str], int]:
    if not text.startswith("[", position):
        value, position = _value(text, position)
        return [value], position
    values = []
    while True:
        value, position = _value(text, position + 1)
        values.append(value)
        if text.startswith("]", position):
            return values, position + 1
        if not text.startswith(",", position):
            raise _bad("Invalid filter provided")


def _value(text: str, position: int) -> tuple[str, int]:
    while text.startswith(" ", position):
        position += 1
    if string := _STRING.match(text, position):
        raw = string[1] if string[1] is not None else string[2]
        return re.sub(r"\\(.)", r"\1", raw), string.end()
    if date := _DATE.match(text, position):
        return date[0], date.end()
    raise _bad("Invalid filter provided")


def _exactly_one(values: list[str]) -> None:
    if len(values) != 1:
        raise _bad("This operator takes a single value.")


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _bad("Invalid ISO 8601 date and time.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _bad(detail: str) -> Refused:
    return invalid(detail, parameter="filter")
