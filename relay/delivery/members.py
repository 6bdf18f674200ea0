"""Who is who at Klaviyo: the profiles behind the people of a batch, asked for a hundred at a time."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, TypeVar

from msgspec import Struct

from relay.delivery.sent import Sent, recipient
from relay.klaviyo.answer import Answer
from relay.klaviyo.client import MOST_FOUND, KlaviyoClient
from relay.klaviyo.consent import Subscriber, profiles_found
from relay.model import Recipient
from relay.store.rows import Claimed

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

#: What profiles are looked for by, the strongest first: the field of Klaviyo's filter, and of a recipient.
_FIELDS = {"id": "klaviyo_id", "email": "email", "phone_number": "phone_number", "external_id": "external_id"}


class Members(Struct, frozen=True, kw_only=True):
    """The profiles of a batch by the index of their delivery. ``unasked``: there was no answer, and how it ended."""

    found: dict[int, list[Subscriber]]
    unasked: dict[int, Sent]


async def find(client: KlaviyoClient, batch: Sequence[Claimed]) -> Members:
    """Look for the profile of every delivery's person, by the strongest of their identifiers."""
    return await _find(client, batch, lambda whom: _identifiers(whom, _FIELDS)[:1], subscriptions=False)


async def find_addresses(client: KlaviyoClient, batch: Sequence[Claimed]) -> Members:
    """Look for the profiles that have an address of every delivery's person, with what they are subscribed to."""
    return await _find(client, batch, lambda whom: _identifiers(whom, ("email", "phone_number")), subscriptions=True)


async def _find(
    client: KlaviyoClient,
    batch: Sequence[Claimed],
    by: Callable[[Recipient], list[tuple[str, str]]],
    *,
    subscriptions: bool,
) -> Members:
    wanted: dict[str, dict[str, list[int]]] = {}
    for index, delivery in enumerate(batch):
        for field, value in by(recipient(delivery)):
            wanted.setdefault(field, {}).setdefault(value, []).append(index)
    found: dict[int, list[Subscriber]] = {}
    unasked: dict[int, Sent] = {}
    for field, indexes in wanted.items():
        left = [list(values) for values in chunks(list(indexes), MOST_FOUND)]
        while left:
            values = left.pop(0)
            answer = await client.find_profiles(field, values, subscriptions=subscriptions)
            try:
                profiles = profiles_found(answer.document) if answer.is_good else {}
            except ValueError:
                answer = Answer(status=None, error="unreadable")
            if answer.status == 400 and len(values) > 1:  # one of them is no address to Klaviyo: the others go on
                left += [values[: len(values) // 2], values[len(values) // 2 :]]
                continue
            if not answer.is_good:
                unasked |= {index: Sent(answer=answer) for value in values for index in indexes[value]}
            for profile in profiles.values():
                for index in indexes.get(_value(profile, field), ()):
                    found.setdefault(index, []).append(profile)
    return Members(found=found, unasked=unasked)


def chunks(values: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """``values`` in their order, so many at a time."""
    for start in range(0, len(values), most):
        yield values[start : start + most]


def groups(values: Sequence[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """``values`` by what they have in common, in their order."""
    found: dict[K, list[T]] = {}
    for value in values:
        found.setdefault(key(value), []).append(value)
    return found


def _identifiers(whom: Recipient, fields: Sequence[str] | dict[str, str]) -> list[tuple[str, str]]:
    return [(field, value) for field in fields if (value := getattr(whom, _FIELDS[field]))]


def _value(profile: Subscriber, field: str) -> str:
    value: Any = profile.klaviyo_id if field == "id" else getattr(profile, field, None)
    return str(value or "").lower() if field == "email" else str(value or "")
