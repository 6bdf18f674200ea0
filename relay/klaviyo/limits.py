"""Klaviyo's limits on what an event or a profile may hold, applied so that a body is never refused for its size.

Sources: the API's reference for Create Event (400 properties, 100 KB a string, 5 MB in all, metric names under 128
characters) and Create or Update Profile (100 KB in all), and its page on rate limits and error handling (arrays of 4000
items, ten levels).
"""

import math
from collections.abc import Callable
from typing import Any

import msgspec

MAX_PROPERTIES = 400
MAX_STRING_BYTES = 100_000
MAX_ITEMS = 4000
MAX_DEPTH = 10  #: levels of objects and arrays, the properties object included
MAX_METRIC_NAME = 127  #: characters
MAX_EXTERNAL_ID = 64  #: characters
MAX_PROFILE_BYTES = 100_000
#: Klaviyo takes 5 MB; a little is left, so that the event fits into a bulk call too.
MAX_EVENT_BYTES = 4_800_000
#: What the relay itself says begins with this; callers may not.
OWN = "Backflow"

_LARGEST_INTEGER = 2**63
_SURELY_SHORT = MAX_STRING_BYTES // 4  #: no UTF-8 character is longer than four bytes


def clean(value: str) -> str:
    """Return text that UTF-8 and Klaviyo's database can hold: no NUL, no half of a surrogate pair."""
    if value.isascii():
        return value.replace("\0", "\ufffd") if "\0" in value else value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def weight(value: Any) -> int:
    """Return the size of a JSON value on the wire, in bytes."""
    return len(msgspec.json.encode(value))


def lighten(held: dict[str, Any], excess: int, may_go: Callable[[str], bool]) -> int:
    """Take the largest members that ``may_go`` out of ``held``, one by one, until ``excess`` bytes are gone.

    Returns how many bytes are still too many.
    """
    sizes = sorted(((weight(value), name) for name, value in held.items() if may_go(name)), reverse=True)
    for size, name in sizes:
        if excess <= 0:
            break
        del held[name]
        excess -= size + weight(name) + 2
    return excess


def _is_plain(text: str) -> bool:
    """Whether text is surely within the limits as it stands: nearly all is."""
    return len(text) < _SURELY_SHORT and text.isascii() and "\0" not in text


class Trimmer:
    """Makes values fit; ``trimmed`` tells whether anything had to be cut or left out for its size."""

    __slots__ = ("trimmed",)

    def __init__(self) -> None:
        self.trimmed = False

    def text(self, value: str) -> str:
        """Return clean text of at most 100 KB, cut between two characters."""
        if _is_plain(value):
            return value
        value = clean(value)
        if len(raw := value.encode()) > MAX_STRING_BYTES:
            self.trimmed = True
            return raw[:MAX_STRING_BYTES].decode(errors="ignore")
        return value

    def value(self, value: Any, depth: int = 2) -> Any:
        """Return a JSON value within the limits, None for one that says nothing or cannot be sent.

        ``depth`` is the level an object or array at this place would be on.
        """
        kind = type(value)
        if kind is str:
            return (value if _is_plain(value) else self.text(value)) or None
        if kind is float:
            return value if math.isfinite(value) else None
        if kind is bool:
            return value
        if kind is int:
            if -_LARGEST_INTEGER < value < _LARGEST_INTEGER:
                return value
            self.trimmed = True
            return None
        if kind is dict or kind is list or kind is tuple:
            if not value:
                return None
            if depth > MAX_DEPTH:
                self.trimmed = True
                return None
            return (self._object(value, depth + 1) if kind is dict else self._array(value, depth + 1)) or None
        return None

    def _object(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        found = self._members(value, depth)
        if _is_plain("".join(found)) and "" not in found:  # one look at all names together
            return found
        return {key: kept for name, kept in found.items() if (key := self.text(name))}

    def _members(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        """The members that say something, under names that are not looked at. What nearly every member is, a short text
        or a number, is told apart here: a call for each would double the cost of an event."""
        found = {}
        for name, raw in value.items():
            if raw is None:
                continue
            if type(raw) is str and raw.isascii() and len(raw) < _SURELY_SHORT and "\0" not in raw:
                if raw:
                    found[name] = raw
            elif (kept := self.value(raw, depth)) is not None:
                found[name] = kept
        return found

    def _array(self, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        if len(value) > MAX_ITEMS:
            self.trimmed = True
            value = value[:MAX_ITEMS]
        return [found for raw in value if (found := self.value(raw, depth)) is not None]

    def properties(self, own: dict[str, Any], custom: dict[str, Any], *, mark: str) -> dict[str, Any]:
        """Return our own properties, then the caller's that fit beside them.

        The caller's never replace ours and may not use Klaviyo's reserved ``$`` names, save ``$extra``, nor names that
        begin like our own. ``mark`` is set when anything was cut.
        """
        result = self._members(own, 2)
        room = MAX_PROPERTIES - 1
        for name, raw in custom.items():
            key = self.text(name)
            if not key or key in result or (key[0] == "$" and key != "$extra") or key.startswith(OWN):
                continue
            if (found := self.value(raw)) is None:
                continue
            if len(result) >= room:
                self.trimmed = True
                break
            result[key] = found
        if self.trimmed:
            result[mark] = True
        return result
