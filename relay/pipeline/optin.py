"""Who wants marketing messages, or no more of them: the words of RudderStack's and Segment's calls. Pure.

Only ``subscribe: true`` signs anybody up and only ``subscribe: false`` signs them off; the text ``"false"`` does
neither. Signing up is for e-mail unless ``consent`` (``["email", "sms"]``) or ``smsConsent`` say otherwise; signing off
without them is for both, since who wants no more wants none. A channel needs the address the call speaks of: one that
it gives wrongly is not replaced by an older one, and a browser speaks only of those that it gives.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from relay.identity.identifiers import Claims, IdentifierKind
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


class Wish(Struct, frozen=True, kw_only=True):
    """What a call wants of its person's subscriptions. ``change`` None: nothing, or nothing that can be read."""

    subscribes: bool = False
    change: SubscriptionChange | None = None
    is_said: bool = False  #: something stood there
    notes: tuple[str, ...] = ()


def wish(said: Mapping[str, Any], list_id: str | None, message: Message, claims: Claims, trust: Trust) -> Wish:
    """Read ``said``, the traits that hold the words above; ``list_id`` is the list that they are about."""
    subscribes = said.get("subscribe")
    if subscribes is None:
        return Wish()
    if not isinstance(subscribes, bool):
        return Wish(is_said=True, notes=("unreadable_subscribe",))
    wanted = _channels(said, subscribes)
    if not wanted:
        return Wish(is_said=True, notes=("unreadable_consent",))
    channels = wanted
    if trust is Trust.SERVER or _names_an_address(claims):  # else it is nobody's wish, and ends as that
        channels = tuple(channel for channel in wanted if _is_meant(channel, claims, trust, subscribes=subscribes))
    notes = tuple(_MISSING[channel] for channel in wanted if channel not in channels)
    if not channels:
        return Wish(is_said=True, notes=notes)
    consented_at, historical = _when(said, message, trust)
    change = SubscriptionChange(
        channels=channels,
        consented_at=consented_at,
        list_id=list_id,
        source=_source(said),
        historical=historical and subscribes,
    )
    return Wish(subscribes=subscribes, change=change, is_said=True, notes=notes)


def _channels(said: Mapping[str, Any], subscribes: bool) -> tuple[str, ...]:
    """The channels that are named, or those that are meant where none is; empty where they cannot be read."""
    consent = said.get("consent")
    if isinstance(consent, dict):
        consent = [name for name, value in consent.items() if value is True]
    elif isinstance(consent, str):
        consent = consent.split(",")
    if consent is None:
        named = {"email"} if subscribes else set(_CHANNELS)
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


def _when(said: Mapping[str, Any], message: Message, trust: Trust) -> tuple[float, bool]:
    """When the person said so, and whether that was long ago and elsewhere. A browser's word is always of now."""
    text = values.text(said.get("consentedAt", said.get("consented_at")))
    at = parse_time(text) if text and trust is Trust.SERVER else None
    if at is None or at > message.occurred_at:
        return message.occurred_at, False
    return at, said.get("historicalImport", said.get("historical_import")) is True


def _source(said: Mapping[str, Any]) -> str | None:
    for name in ("consentSource", "customSource", "custom_source"):
        if (found := values.text(said.get(name))) is not None:
            return found[:_MAX_SOURCE]
    return None
