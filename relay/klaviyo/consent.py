"""Consent to marketing as Klaviyo tells it, and whether an opt-in still counts. Pure.

Subscribing lifts what a person has withdrawn, whenever that was (API reference): who sends an opt-in that is older than
the withdrawal has subscribed somebody who left. So Klaviyo is asked first.
"""

import math
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from relay.model import Recipient, SubscriptionChange

CHANNELS = ("email", "sms")
#: Suppressions that are no word of the person's and that subscribing does not lift; all others are withdrawals.
_BOUNCES = ("HARD_BOUNCE", "INVALID_EMAIL")


class Channel(Struct, frozen=True):
    """Consent to one channel's marketing, as Klaviyo spells it."""

    consent: str = "NEVER_SUBSCRIBED"
    withdrawn_at: float | None = None  #: None: not withdrawn; infinity: at a time that is not told


class Subscriber(Struct, frozen=True, kw_only=True):
    """What Klaviyo tells of one profile."""

    klaviyo_id: str
    email: str | None = None
    phone_number: str | None = None
    channels: dict[str, Channel] = {}  #: empty where consent was not asked for
    left_lists: dict[str, float] = {}  #: lists this person has unsubscribed from, and when


def standing(found: Collection[Subscriber], recipient: Recipient) -> Subscriber | None:
    """What Klaviyo tells of a person's addresses, which may be those of two profiles; None if nobody has them.

    ``found`` are the profiles of answers that were asked for every address of ``recipient``. Where none has the address
    the profile with the person's ID speaks for it: it may be known by a second address that Klaviyo does not show.
    """
    known = {one.klaviyo_id: one for one in found}
    own = known.get(recipient.klaviyo_id or "")
    owners = {
        "email": _owner(found, "email", recipient.email) or own,
        "sms": _owner(found, "phone_number", recipient.phone_number) or own,
    }
    first = owners["email"] or owners["sms"]
    if first is None:
        return None
    channels = {}
    for channel, owner in owners.items():
        if owner is None:
            channels[channel] = Channel()  # nobody has this address: nothing was withdrawn from it
        elif channel in owner.channels:
            channels[channel] = owner.channels[channel]
    left = owners["email"].left_lists if owners["email"] else {}
    return msgspec.structs.replace(first, channels=channels, left_lists=left)


def _owner(found: Collection[Subscriber], field: str, address: str | None) -> Subscriber | None:
    if not address:
        return None
    return next((one for one in found if (getattr(one, field) or "").lower() == address.lower()), None)


def may_subscribe(state: Subscriber | None, change: SubscriptionChange) -> bool:
    """Whether every channel of ``change`` may be subscribed (see ``fresh_channels``)."""
    return len(fresh_channels(state, change)) == len(change.channels)


def fresh_channels(state: Subscriber | None, change: SubscriptionChange) -> tuple[str, ...]:
    """The channels of ``change`` whose opt-in counts: nothing was withdrawn since the person gave it.

    ``state`` None: Klaviyo knows nobody with these addresses. Withdrawn counts everywhere, and from the list in
    question. Klaviyo's times are of whole seconds, so an opt-in of the same second is none after it. What is not told
    is not assumed.
    """
    if state is None:
        return change.channels
    fresh = []
    for channel in change.channels:
        if channel not in state.channels:
            continue
        withdrawn = [state.channels[channel].withdrawn_at]
        if channel == "email" and change.list_id is not None:
            withdrawn.append(state.left_lists.get(change.list_id))
        if all(at is None or change.consented_at // 1 > at for at in withdrawn):
            fresh.append(channel)
    return tuple(fresh)


class _Stamp(Struct):
    reason: str = ""
    list_id: str = ""
    timestamp: str | None = None


class _Marketing(Struct):
    consent: str = "NEVER_SUBSCRIBED"
    consent_timestamp: str | None = None
    last_updated: str | None = None
    suppression: list[_Stamp] | None = None
    list_suppressions: list[_Stamp] | None = None


class _Kinds(Struct):
    marketing: _Marketing | None = None


class _Channels(Struct):
    email: _Kinds | None = None
    sms: _Kinds | None = None


class _Attributes(Struct):
    email: str | None = None
    phone_number: str | None = None
    subscriptions: _Channels | None = None


class _Profile(Struct):
    id: str
    attributes: _Attributes


class _Answer(Struct):
    data: list[_Profile]


def profiles_found(document: Any) -> dict[str, Subscriber]:
    """Return the profiles of an answer to ``GET /api/profiles`` by their ID; consent where it was asked for.

    Raises ValueError for anything else: that Klaviyo knows nobody is a different answer.
    """
    try:
        answer = msgspec.convert(document, _Answer)
    except msgspec.ValidationError:
        raise ValueError("the answer is none about profiles") from None
    return {profile.id: _subscriber(profile.id, profile.attributes) for profile in answer.data}


def _subscriber(klaviyo_id: str, told: _Attributes) -> Subscriber:
    channels: dict[str, Channel] = {}
    left: dict[str, float] = {}
    if told.subscriptions is not None:
        for name in CHANNELS:
            kinds: _Kinds | None = getattr(told.subscriptions, name)
            marketing = (kinds.marketing if kinds else None) or _Marketing()
            channels[name] = Channel(marketing.consent, _withdrawn_at(marketing))
            for one in marketing.list_suppressions or ():
                left[one.list_id] = max(left.get(one.list_id, -math.inf), _seconds(one.timestamp))
    return Subscriber(
        klaviyo_id=klaviyo_id,
        email=told.email,
        phone_number=told.phone_number,
        channels=channels,
        left_lists=left,
    )


def _withdrawn_at(told: _Marketing) -> float | None:
    """When consent was withdrawn last. Suppressions tell it best; without one any change of the consent may be it."""
    suppressed = [one.timestamp for one in told.suppression or () if one.reason not in _BOUNCES]
    if told.consent != "UNSUBSCRIBED" and not suppressed:
        return None
    moments = [*suppressed, told.consent_timestamp] if suppressed else [told.consent_timestamp, told.last_updated]
    known = [_seconds(moment) for moment in moments if moment is not None]
    return max(known, default=math.inf)


def _seconds(moment: str | None) -> float:
    """Unix seconds of an ISO 8601 time, infinity for one that cannot be read."""
    try:
        at = datetime.fromisoformat(moment or "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return math.inf
