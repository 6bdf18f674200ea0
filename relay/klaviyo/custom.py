"""The caller's own properties: which of an event's go along, and under which names. Pure.

Mapped properties begin with a capital, so none is an attribute of Klaviyo's profiles. A caller's property that is
called like one would be mistaken for the person's in templates and segments: those that identify somebody are left out,
the others get the prefix ``event_`` (``title`` becomes ``event_title``).
"""

from typing import Any

from relay.klaviyo.limits import MAX_PROPERTIES
from relay.model import Action, Commerce, Kind

#: What identifies somebody has its place in the event's profile; among the properties it may be a friend's.
_IDENTIFIERS = frozenset(
    {
        "email", "Email", "phone", "Phone", "phone_number", "phoneNumber", "external_id", "externalId", "anonymous_id",
        "anonymousId", "_kx",
    }
)  # fmt: skip
#: The other attributes of Klaviyo's profiles.
_ATTRIBUTES = frozenset({"first_name", "last_name", "organization", "title", "image", "locale", "location"})
_TAKEN = _IDENTIFIERS | _ATTRIBUTES


def properties(commerce: Commerce, action: Action) -> dict[str, Any]:
    """Return the caller's properties that go along: an ordered product carries those of its line only."""
    if action.line is not None:
        found = commerce.items[action.line].extra
    elif commerce.kind is Kind.PAGE:
        return {}  # its properties are all mapped
    elif commerce.product is not None and commerce.product.extra:
        found = {**commerce.product.extra, **commerce.properties}
    else:
        found = commerce.properties
    if _TAKEN.isdisjoint(found):
        return found
    return {
        f"event_{name}" if name in _ATTRIBUTES else name: value
        for name, value in found.items()
        if name not in _IDENTIFIERS
    }


def flattened(own: dict[str, Any]) -> dict[str, Any]:
    """Return properties with every object among them taken apart into ``outer.inner``, and lists that hold objects into
    ``outer[0].inner``: Klaviyo's segments read neither. A list of plain values stays one: those they do read."""
    nested = [name for name, value in own.items() if type(value) is dict or _holds_objects(value)]
    if not nested:
        return own
    found = {name: value for name, value in own.items() if name not in nested}
    for name in nested:  # behind the plain ones: a large object must not take their places
        _flatten(name, own[name], found)
    return found


def _flatten(name: str, value: Any, found: dict[str, Any]) -> None:
    if len(found) > MAX_PROPERTIES:
        return  # Klaviyo takes no more, and a list may hold a hundred thousand
    if type(value) is dict:
        for inner, one in value.items():
            _flatten(f"{name}.{inner}", one, found)
    elif _holds_objects(value):
        for place, one in enumerate(value):
            _flatten(f"{name}[{place}]", one, found)
    else:
        found.setdefault(name, value)


def _holds_objects(value: Any) -> bool:
    return type(value) is list and any(type(one) is dict or type(one) is list for one in value)
