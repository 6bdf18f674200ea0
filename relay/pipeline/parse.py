"""Bytes to messages: the first station after the door. Pure; every message is kept or dropped with a reason.

Limits are Segment's own: 32 KB a message, 500 KB a batch. Sub-objects stay raw here: the answer needs to know
only whether a message can be kept, the processor reads the rest.
"""

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct

from relay.errors import RequestRefused
from relay.model import DropReason, Message
from relay.pipeline import mend

MAX_MESSAGE_BYTES = 32 * 1024
#: Decimal, so that "500 KB" refuses 501 KB however it is counted; Segment's clients stay below 475,000.
MAX_BATCH_BYTES = 500_000
#: Real messages are longer than 100 bytes each; more of them than this in a batch are nothing but work for the relay.
MAX_MESSAGES = 5000
MAX_ID = 256
#: Klaviyo takes times after 1990 and at most a year ahead.
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
LATEST_AHEAD = 365 * 86400.0

Context = dict[str, Any]

TYPES = ("identify", "track", "page", "screen", "group", "alias")
#: What a shop asks on behalf of a customer (``pipeline.requests``). No caller can write it: the door takes ``TYPES``.
REQUEST_TYPE = "privacy"


class Envelope(Struct, kw_only=True, rename="camel"):
    """A batch as received; for a single call ``batch`` holds the body itself."""

    batch: list[Raw]
    write_key: str | None = None
    visitor: str | None = None
    sent_at: str | None = None
    context: Raw = Raw(b"null")
    integrations: Raw = Raw(b"null")


class Received(Struct, frozen=True, array_like=True):
    """A message that is kept, in the form the journal holds it."""

    type: str
    message_id: str
    occurred_at: float
    body: Raw
    anonymous_id: str | None = None


class Drop(Struct, frozen=True):
    """A message that is not kept. ``text`` names the field and what was expected, never its content."""

    reason: DropReason
    text: str


class _Message(Struct, kw_only=True, rename="camel"):
    """A call read whole: what can be read at the door can be read again by the processor."""

    type: str | None = None
    event: str | None = None
    name: str | None = None
    message_id: str | None = None
    user_id: str | int | None = None
    previous_id: str | int | None = None
    group_id: str | int | None = None
    anonymous_id: str | int | None = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    sent_at: Any = None
    traits: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    integrations: dict[str, Any] | None = None


class _Common(Struct, kw_only=True, rename="camel"):
    write_key: str | None = None
    visitor: str | None = None
    sent_at: str | None = None


_envelopes = msgspec.json.Decoder(Envelope)
_commons = msgspec.json.Decoder(_Common)
_fields = msgspec.json.Decoder(dict[str, Raw])
_messages = msgspec.json.Decoder(_Message)
_objects = msgspec.json.Decoder(dict[str, Any])
_NOTHING_COMMON: Mapping[str, Raw] = {}


def read_envelope(body: bytes, call: str) -> Envelope:
    """The envelope of a request to ``/v1/<call>``. Raises RequestRefused (400, 413) naming what is wrong."""
    try:
        return _decode_envelope(body, call)
    except msgspec.ValidationError as error:
        raise RequestRefused(400, "invalid_body", _explain(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        mended = mend.mend(body, message_level=3 if call == "batch" else 1)
        if mended.strip() == mend.TOO_DEEP:
            raise RequestRefused(400, DropReason.TOO_DEEP, f"message: expected at most {mend.MAX_DEPTH} levels")
        return _decode_envelope(mended, call)
    except msgspec.ValidationError as error:
        raise RequestRefused(400, "invalid_body", _explain(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RequestRefused(400, "invalid_json", "the body is not valid JSON") from None


def _decode_envelope(body: bytes, call: str) -> Envelope:
    if call == "batch":
        envelope = _envelopes.decode(body)
        if len(envelope.batch) > MAX_MESSAGES:
            raise RequestRefused(413, "too_many_messages", f"batch: expected at most {MAX_MESSAGES} messages")
        return envelope
    common = _commons.decode(body)
    if common.write_key is not None or common.visitor is not None:
        # Neither the shop's secret key nor a visitor's token has a place in the journal.
        fields = _fields.decode(body)
        body = msgspec.json.encode({name: fields[name] for name in fields if name not in ("writeKey", "visitor")})
    return Envelope(batch=[Raw(body)], write_key=common.write_key, visitor=common.visitor, sent_at=common.sent_at)


def read_message(
    raw: Raw, *, call: str, received_at: float, skew: float, common: Mapping[str, Raw] = _NOTHING_COMMON
) -> tuple[Received, Context] | Drop:
    """One message of an envelope and its context. ``call`` is the single call's type, or ``batch``.

    ``skew`` is how many seconds the sender's clock is behind the relay's; times in epoch seconds. ``common`` is what
    the batch says for all of its messages (see ``common_fields``).
    """
    body = bytes(raw)
    if len(body) > MAX_MESSAGE_BYTES:
        return Drop(DropReason.TOO_LARGE, f"message: expected at most {MAX_MESSAGE_BYTES} bytes, got {len(body)}")
    if body == mend.TOO_DEEP or mend.is_too_deep(body):
        return Drop(DropReason.TOO_DEEP, f"message: expected at most {mend.MAX_DEPTH} levels of nesting")
    try:
        try:
            head = _messages.decode(body)
        except UnicodeDecodeError:
            # The envelope's decoder passes over what it keeps raw: a broken byte comes to light only here.
            raw = Raw(mend.mend(body, message_level=1))
            head = _messages.decode(raw)
        if common:
            raw = _with_common(raw, common)
            head = _messages.decode(raw)
    except msgspec.ValidationError as error:
        return Drop(DropReason.INVALID_MESSAGE, _explain(error))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Drop(DropReason.INVALID_MESSAGE, "message: expected valid JSON in UTF-8")
    type_ = head.type if call == "batch" else call
    if type_ not in TYPES:
        return Drop(DropReason.UNKNOWN_TYPE, f"type: expected one of {', '.join(TYPES)}")
    if type_ == "track" and not (head.event and head.event.strip()):
        return Drop(DropReason.MISSING_EVENT, "event: expected a non-empty string")
    if head.message_id is not None and not 0 < len(head.message_id) <= MAX_ID:
        return Drop(DropReason.INVALID_MESSAGE, f"messageId: expected 1 to {MAX_ID} characters")
    field = "originalTimestamp" if head.original_timestamp is not None else "timestamp"
    written = head.original_timestamp or head.timestamp
    occurred_at = received_at
    if written is not None:
        time = parse_time(written)
        if time is None:
            return Drop(DropReason.INVALID_TIMESTAMP, f"{field}: expected an ISO 8601 date-time")
        if not skew and isinstance(head.sent_at, str):
            skew = clock_skew(head.sent_at, received_at)  # some clients date each message of a batch
        occurred_at = time + skew
        if not EARLIEST <= occurred_at <= received_at + LATEST_AHEAD:
            return Drop(DropReason.INVALID_TIMESTAMP, f"{field}: expected a time after 1990, at most a year ahead")
        occurred_at = min(occurred_at, received_at)  # nothing has happened that is yet to come
    # An alias says of the anonymous ID of before whose it is: it speaks of that visitor.
    named = head.previous_id if type_ == "alias" and head.anonymous_id is None else head.anonymous_id
    anonymous_id = None if named is None else str(named)
    message_id = head.message_id or str(uuid.uuid4())
    return Received(type_, message_id, occurred_at, raw, anonymous_id), head.context or {}


def common_fields(envelope: Envelope) -> dict[str, Raw]:
    """The ``context`` and ``integrations`` of a batch that hold for each of its messages (Segment's HTTP API).

    Raises RequestRefused (400) when one of them is no object.
    """
    common = {"context": envelope.context, "integrations": envelope.integrations}
    common = {name: raw for name, raw in common.items() if bytes(raw) != b"null"}
    for name, raw in common.items():
        try:
            _objects.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RequestRefused(400, "invalid_body", f"{name}: expected an object") from None
    return common


def _with_common(raw: Raw, common: Mapping[str, Raw]) -> Raw:
    """The message with the batch's common objects in it; its own members win."""
    fields = _fields.decode(raw)
    for name, shared in common.items():
        own = fields.get(name)
        merged = _fields.decode(shared) | (_fields.decode(own) if own is not None and bytes(own) != b"null" else {})
        fields[name] = Raw(msgspec.json.encode(merged))
    return Raw(msgspec.json.encode(fields))


def read_body(received: Received) -> Message:
    """The whole of a kept message, as the processor needs it."""
    body = _messages.decode(received.body)
    traits, context = body.traits or {}, body.context or {}
    if received.type == "identify":
        traits = {**_beside(context), **traits}
    return Message(
        type=received.type,
        message_id=received.message_id,
        occurred_at=received.occurred_at,
        event=body.event.strip() if body.event else None,
        name=body.name,
        user_id=None if body.user_id is None else str(body.user_id),
        previous_id=None if body.previous_id is None else str(body.previous_id),
        group_id=None if body.group_id is None else str(body.group_id),
        traits=traits,
        properties=body.properties or {},
        context=context,
        integrations=body.integrations or {},
    )


def _beside(context: Context) -> Context:
    """What the context of an identify call says of the person: their traits, where RudderStack's SDKs put them, and
    where they are, as far as its caller tells."""
    found = {"ip": context["ip"]} if isinstance(context.get("ip"), str) else {}
    if isinstance(place := context.get("location"), dict):
        found |= {name: place[name] for name in ("latitude", "longitude") if name in place}
    return found | beside if isinstance(beside := context.get("traits"), dict) else found


def parse_time(text: str) -> float | None:
    """Epoch seconds of an ISO 8601 date-time (UTC when it names no zone), or None."""
    try:
        time = datetime.fromisoformat(text.strip())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


#: A browser gives up a request after less. What it took to arrive is no fault of the sender's clock: added to the
#: times, what went out by a slow request would come after what the same browser did later.
_LONGEST_UPLOAD = 30.0


def clock_skew(sent_at: str | None, received_at: float) -> float:
    """Seconds to add to the sender's times (Segment: receivedAt - sentAt); 0 without a readable ``sentAt``, and where
    the request may have been that long on its way."""
    sent = parse_time(sent_at) if sent_at else None
    skew = 0.0 if sent is None else received_at - sent
    return 0.0 if 0 < skew <= _LONGEST_UPLOAD else skew


def _explain(error: msgspec.ValidationError) -> str:
    """A validation error in the house's words: the field and what was expected; never what was sent."""
    text = str(error)
    path = re.search(r"at `\$\.?([^`]*)`", text)
    if missing := re.search(r"missing required field `([^`]*)`", text):
        return f"{missing[1]}: is missing"
    field = re.sub(r"\[\.\.\.\]", "", path[1]) if path else ""
    expected = re.match(r"Expected `([^`]*)`", text)
    wanted = " or ".join(_WORDS.get(t, t) for t in expected[1].split(" | ")) if expected else "a valid value"
    return f"{field or 'message'}: expected {wanted}"


_WORDS = {"str": "a string", "int": "a whole number", "object": "an object", "array": "an array"}
