"""Consent to marketing on its way to Klaviyo: the bodies that subscribe and unsubscribe. Pure.

A consent belongs to an address: a profile is named by the addresses of the channels in question alone, for an ID or
another address beside them would have Klaviyo rewrite the profile's. Only marketing is meant, never transactional
messages.
"""

import re
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

from msgspec import Struct

from relay.klaviyo.profiles import rfc3339
from relay.model import Reason, Recipient, SubscriptionChange

#: Profiles a call may subscribe, and unsubscribe (API reference).
MAX_SUBSCRIBED, MAX_UNSUBSCRIBED = 1000, 100

_ADDRESS = {"email": "email", "sms": "phone_number"}
_POINTER = re.compile(r"/data/attributes/profiles/data/(\d+)(?:/|$)")

Wish = tuple[Recipient, SubscriptionChange]


class Job(Struct, frozen=True, kw_only=True):
    """One call for several changes. ``body`` None: there is nobody to name in it."""

    body: dict[str, Any] | None
    places: tuple[int | None, ...]  #: of each change given: its profile in the call; None: not in it
    left_out: dict[int, Reason] = {}  #: changes that can be in no call, and why; the other ones not in it go next

    def pointed(self, pointers: Iterable[str]) -> set[int]:
        """Indexes of the changes that these pointers of Klaviyo's name."""
        named = {int(match[1]) for pointer in pointers if (match := _POINTER.match(pointer))}
        return {index for index, place in enumerate(self.places) if place in named}


def subscribe_body(changes: Sequence[Wish]) -> Job:
    """Return the body of ``POST /api/profile-subscription-bulk-create-jobs`` for up to 1,000 changes.

    One call has one list, one source and one ``historical_import``: changes that differ in these from the first, and a
    second one for an address, go with the next call. A channel whose address is unknown is left out, and so is a change
    without any channel left. The time of consent is told for what was said long ago only: Klaviyo takes no other.
    """
    return _job("create", changes, MAX_SUBSCRIBED, lambda one: (one.list_id, one.source, one.historical), _consent)


def unsubscribe_body(changes: Sequence[Wish]) -> Job:
    """Return the body of ``POST /api/profile-subscription-bulk-delete-jobs`` for up to 100 changes, as above.

    With a list, whoever is not on it is unsubscribed from everything: ``may_unsubscribe`` has to be asked before.
    """
    withdrawn = {"consent": "UNSUBSCRIBED"}
    return _job("delete", changes, MAX_UNSUBSCRIBED, lambda one: (one.list_id,), lambda _: withdrawn)


def may_unsubscribe(lists: Container[str], change: SubscriptionChange) -> bool:
    """Whether ``change`` unsubscribes from no more than it says; ``lists`` are those the person is on."""
    return change.list_id is None or change.list_id in lists


def _job(
    kind: str,
    changes: Sequence[Wish],
    most: int,
    asks: Callable[[SubscriptionChange], tuple[Any, ...]],
    consent: Callable[[SubscriptionChange], dict[str, Any]],
) -> Job:
    people: list[dict[str, Any]] = []
    places: list[int | None] = []
    left_out: dict[int, Reason] = {}
    first: SubscriptionChange | None = None
    seen: set[str] = set()
    for index, (recipient, change) in enumerate(changes):
        named = {
            channel: address
            for channel, field in _ADDRESS.items()
            if channel in change.channels and (address := getattr(recipient, field))
        }
        if not named:
            left_out[index] = Reason.UNSENDABLE
        first = first or (change if named else None)
        together = first is not None and asks(change) == asks(first)
        if not named or not together or len(people) == most or not seen.isdisjoint(named.values()):
            places.append(None)
            continue
        seen.update(named.values())
        places.append(len(people))
        attributes: dict[str, Any] = {_ADDRESS[channel]: address for channel, address in named.items()}
        attributes["subscriptions"] = {channel: {"marketing": consent(change)} for channel in named}
        people.append({"type": "profile", "attributes": attributes})
    body = None if first is None else _body(kind, people, first)
    return Job(body=body, places=tuple(places), left_out=left_out)


def _body(kind: str, people: list[dict[str, Any]], change: SubscriptionChange) -> dict[str, Any]:
    attributes: dict[str, Any] = {"profiles": {"data": people}}
    if kind == "create":
        if change.source:
            attributes["custom_source"] = change.source
        if change.historical:
            attributes["historical_import"] = True
    data: dict[str, Any] = {"type": f"profile-subscription-bulk-{kind}-job", "attributes": attributes}
    if change.list_id is not None:
        data["relationships"] = {"list": {"data": {"type": "list", "id": change.list_id}}}
    return {"data": data}


def _consent(change: SubscriptionChange) -> dict[str, Any]:
    given: dict[str, Any] = {"consent": "SUBSCRIBED"}
    if change.historical:
        given["consented_at"] = rfc3339(change.consented_at)
    return given
