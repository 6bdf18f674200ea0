"""Many events in one call: the body of ``POST /api/event-bulk-create-jobs``, and whom an error points at. Pure.

Klaviyo takes up to 1,000 events and 5 MB, grouped by profile, and processes all of them or none (API reference, Bulk
Create Events). A ``unique_id`` that is repeated for the same profile and metric makes the whole call fail.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

MAX_EVENTS = 1000
#: Klaviyo takes 5 MB; a little is left for what counts bytes in another way.
MAX_BYTES = 4_900_000

_POINTER = re.compile(r"/events-bulk-create/data/(\d+)(?:/attributes/events/data/(\d+))?(?:/|$)")
_GROUP_BYTES = len('{"type":"event-bulk-create","attributes":{"profile":,"events":{"data":[]}}},')


class Bulk(Struct, frozen=True, kw_only=True):
    """``body`` carries the events that have a place (group, event); ``too_large`` fit into no call with others."""

    body: dict[str, Any]
    places: tuple[tuple[int, int] | None, ...]  #: of each event given; None: it goes with the next call
    too_large: frozenset[int] = frozenset()

    def pointed(self, pointers: Iterable[str]) -> set[int]:
        """Indexes of the events that these pointers of Klaviyo's name, by themselves or by their profile."""
        named = [(int(m[1]), None if m[2] is None else int(m[2])) for p in pointers if (m := _POINTER.search(p))]
        return {
            index
            for index, place in enumerate(self.places)
            if place is not None and any(place[0] == group and event in (None, place[1]) for group, event in named)
        }


def bulk(bodies: Sequence[dict[str, Any]]) -> Bulk:
    """Return one call for these bodies of ``POST /api/events``, in their order within each profile."""
    groups: dict[bytes, list[Raw]] = {}
    numbers: dict[bytes, int] = {}
    places: list[tuple[int, int] | None] = []
    seen: set[tuple[bytes, str, str]] = set()
    too_large: set[int] = set()
    size = 200
    for index, body in enumerate(bodies):
        attributes = dict(body["data"]["attributes"])
        profile = msgspec.json.encode(attributes.pop("profile"))
        event = msgspec.json.encode({"type": "event", "attributes": attributes})
        key = (profile, attributes["metric"]["data"]["attributes"]["name"], attributes["unique_id"])
        cost = len(event) + 1 + (0 if profile in groups else len(profile) + _GROUP_BYTES)
        if 200 + len(event) + len(profile) + _GROUP_BYTES > MAX_BYTES:
            too_large.add(index)
        if index in too_large or key in seen or size + cost > MAX_BYTES or len(seen) == MAX_EVENTS:
            places.append(None)
            continue
        seen.add(key)
        size += cost
        group = groups.setdefault(profile, [])
        number = numbers.setdefault(profile, len(numbers))
        places.append((number, len(group)))
        group.append(Raw(event))
    data = [
        {"type": "event-bulk-create", "attributes": {"profile": Raw(profile), "events": {"data": events}}}
        for profile, events in groups.items()
    ]
    job = {"type": "event-bulk-create-job", "attributes": {"events-bulk-create": {"data": data}}}
    return Bulk(body={"data": job}, places=tuple(places), too_large=frozenset(too_large))
