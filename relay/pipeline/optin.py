"""Who wants marketing messages, or no more of them: the words of RudderStack's and Segment's calls. Pure.

Only ``subscribe: true`` signs anybody up and only ``subscribe: false`` signs them off; the text ``"false"`` does
neither. Signing up is for the site's channels unless ``consent`` (``["email", "sms"]``) or ``smsConsent`` say
otherwise; signing off without them is for both, since who wants no more wants none. A channel needs the address the
call speaks of: one that it gives wrongly is not replaced by an older one, and a browser speaks only of those that it
gives.

SDKs repeat what they have once been told with every identify call, and whoever unsubscribes at Klaviyo in between does
not tell them. So the same ``subscribe: true`` again is no new opt-in, unless ``consentedAt`` says that it is a later
one or the person has unsubscribed here meanwhile. Unsubscribing is heard every time.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from relay.identity.claims import Claims
from relay.identity.identifiers import IdentifierKind
from relay.model import Message, SubscriptionChange, Trust
from relay.pipeline import values
from relay.pipeline.parse import parse_time

#: What of the traits is an instruction and no property of the person.
WORDS = frozenset(
    {
        "subscribe", "consent", "smsConsent", "sms_consent", "listId", "list_id", "consentedAt", "consented_at",
        "consentSource", "customSource", "custom_source", "historicalImport", "historical_import",
    }
)  # fmt: skip
_CHANNELS = {"email": IdentifierKind.EMAIL, "sms": IdentifierKind.PHONE}
_MISSING = {"email": "email_without_address", "sms": "sms_without_phone"}
_MAX_SOURCE = 250
#: The trait under which a person's opt-ins are remembered: Klaviyo's reserved names are never sent.
MEMORY = "$opt_ins"


class Wish(Struct, frozen=True, kw_only=True):
    """What a call wants of its person's subscriptions. ``change`` None: nothing, or nothing that can be read."""

    subscribes: bool = False
    change: SubscriptionChange | None = None
    is_dated: bool = False  #: the call says when
    is_said: bool = False  #: something stood there
    notes: tuple[str, ...] = ()


def wish(
    said: Mapping[str, Any],
    list_id: str | None,
    message: Message,
    claims: Claims,
    trust: Trust,
    default_channels: tuple[str, ...],
) -> Wish:
    """Read ``said``, the traits that hold the words above; ``list_id`` is the list that they are about, and
    ``default_channels`` are those that somebody signs up for who names none."""
    subscribes = said.get("subscribe")
    if subscribes is None:
        return Wish()
    if not isinstance(subscribes, bool):
        return Wish(is_said=True, notes=("unreadable_subscribe",))
    wanted = _channels(said, default_channels if subscribes else tuple(_CHANNELS), subscribes=subscribes)
    if not wanted:
        return Wish(is_said=True, notes=("unreadable_consent",))
    channels = wanted
    if trust is Trust.SERVER or _names_an_address(claims):  # else it is nobody's wish, and ends as that
        channels = tuple(channel for channel in wanted if _is_meant(channel, claims, trust, subscribes=subscribes))
    notes = tuple(_MISSING[channel] for channel in wanted if channel not in channels)
    if not channels:
        return Wish(is_said=True, notes=notes)
    dated_at = _when(said, message)
    historical = said.get("historicalImport", said.get("historical_import")) is True and trust is Trust.SERVER
    change = SubscriptionChange(
        channels=channels,
        consented_at=message.occurred_at if dated_at is None else dated_at,
        list_id=list_id,
        source=_source(said),
        historical=historical and subscribes and dated_at is not None,
    )
    return Wish(subscribes=subscribes, change=change, is_dated=dated_at is not None, is_said=True, notes=notes)


def new_channels(change: SubscriptionChange, memory: Mapping[str, Any], *, is_dated: bool) -> tuple[str, ...]:
    """Return the channels for which this opt-in is not the same as one that was heard before."""
    known = {channel: memory.get(_key(channel, change.list_id)) for channel in change.channels}
    return tuple(
        channel
        for channel, heard in known.items()
        if not isinstance(heard, int | float) or (is_dated and change.consented_at > heard)
    )


def remember(memory: Mapping[str, Any], change: SubscriptionChange, *, subscribes: bool) -> dict[str, Any]:
    """Return what is to be remembered of a person's opt-ins after ``change``; without a list it ends them all."""
    keys = {_key(channel, change.list_id) for channel in change.channels}
    if subscribes:
        return {**memory, **dict.fromkeys(keys, change.consented_at)}
    if change.list_id is None:
        return {key: at for key, at in memory.items() if key.partition(":")[0] not in change.channels}
    return {key: at for key, at in memory.items() if key not in keys}


def _key(channel: str, list_id: str | None) -> str:
    return channel if list_id is None else f"{channel}:{list_id}"


def _channels(said: Mapping[str, Any], default: tuple[str, ...], *, subscribes: bool) -> tuple[str, ...]:
    """The channels that are named, or the ``default`` where none is; empty where they cannot be read."""
    consent = said.get("consent")
    if isinstance(consent, dict):
        consent = [name for name, value in consent.items() if value is True]
    elif isinstance(consent, str):
        consent = consent.split(",")
    if consent is None:
        named = set(default)
    elif isinstance(consent, list):
        named = {word.strip().lower() for word in consent if isinstance(word, str)}
    else:
        return ()
    sms = said.get("smsConsent", said.get("sms_consent"))
    if isinstance(sms, bool):
        # True: SMS may be sent; false: it may not.
        named = named | {"sms"} if sms is subscribes else named - {"sms"}
    return tuple(channel for channel in _CHANNELS if channel in named)


def _names_an_address(claims: Claims) -> bool:
    return any(identifier.kind in _CHANNELS.values() for identifier in claims.identifiers)


def _is_meant(channel: str, claims: Claims, trust: Trust, *, subscribes: bool) -> bool:
    kind = _CHANNELS[channel]
    if any(identifier.kind is kind for identifier in claims.identifiers):
        return True
    return trust is Trust.SERVER and not (subscribes and f"invalid_{kind}" in claims.refused)


def _when(said: Mapping[str, Any], message: Message) -> float | None:
    """When the person said so, where the call tells; nobody has agreed to anything in the future."""
    text = values.text(said.get("consentedAt", said.get("consented_at")))
    at = parse_time(text) if text else None
    return at if at is not None and at <= message.occurred_at else None


def _source(said: Mapping[str, Any]) -> str | None:
    for name in ("consentSource", "customSource", "custom_source"):
        if (found := values.text(said.get(name))) is not None:
            return found[:_MAX_SOURCE]
    return None
