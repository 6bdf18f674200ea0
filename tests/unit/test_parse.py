"""Bytes to messages: each kept, or dropped with a reason that names the field and never its content."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from relay.errors import RequestRefused
from relay.model import DropReason
from relay.pipeline import parse
from relay.pipeline.mend import MAX_DEPTH
from relay.pipeline.parse import (
    MAX_MESSAGE_BYTES,
    MAX_MESSAGES,
    TYPES,
    Drop,
    Received,
    clock_skew,
    parse_time,
    read_body,
    read_envelope,
    read_message,
)
from relay.store.rows import Entry
from tests import factories
from tests.factories import DAY, NOW
from tests.unit.test_mend import JSON

MARKER = "jane.doe@private.example"
YEAR = 365 * DAY


def take(message: Any, *, call: str = "batch", skew: float = 0.0) -> Received | Drop:
    raw = Raw(message if isinstance(message, bytes) else json.dumps(message).encode())
    read = read_message(raw, call=call, received_at=NOW, skew=skew)
    return read if isinstance(read, Drop) else read[0]


def keep(message: Any, *, call: str = "batch", skew: float = 0.0) -> Received:
    read = take(message, call=call, skew=skew)
    assert isinstance(read, Received), read
    return read


def drop(message: Any, *, call: str = "batch", skew: float = 0.0) -> Drop:
    read = take(message, call=call, skew=skew)
    assert isinstance(read, Drop), read
    return read


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


# --- kept ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", TYPES)
def test_every_type_of_the_spec_is_kept(type_: str) -> None:
    assert keep({"type": type_, "event": "x"}).type == type_
    assert keep({"event": "x"}, call=type_).type == type_


def test_a_single_calls_path_says_its_type() -> None:
    assert keep({"type": "track", "messageId": "m"}, call="page").type == "page"
    assert keep({"type": "nonsense"}, call="page").type == "page"


def test_a_message_without_id_gets_one_of_its_own() -> None:
    first, second = keep({"type": "page"}).message_id, keep({"type": "page", "messageId": None}).message_id
    assert first != second
    assert len(first) == 36


def test_the_whole_message_is_read_again_by_the_processor() -> None:
    message = read_body(
        keep(
            {
                "type": "track",
                "event": " Product Added ",
                "messageId": "m-1",
                "userId": 42,
                "previousId": "before",
                "groupId": 7,
                "anonymousId": "a",
                "name": "Home",
                "traits": {"a": 1},
                "properties": {"b": [None]},
                "context": {"c": {"d": True}},
                "integrations": {"All": False},
                "unknown": {"field": 1},
            }
        )
    )
    assert (message.type, message.event, message.message_id, message.name) == ("track", "Product Added", "m-1", "Home")
    assert (message.user_id, message.previous_id, message.group_id) == ("42", "before", "7")
    assert (message.traits, message.properties) == ({"a": 1}, {"b": [None]})
    assert (message.context, message.integrations) == ({"c": {"d": True}}, {"All": False})


def test_where_an_identify_comes_from_is_read_of_its_context() -> None:
    context = {
        "ip": "192.0.2.7",
        "location": {"latitude": 51.5, "longitude": -0.1, "city": "London"},
        "traits": {"plan": "gold", "ip": "192.0.2.8"},
    }
    body = Raw(msgspec.json.encode({"type": "identify", "traits": {"email": "ann@mail.com"}, "context": context}))
    traits = {"email": "ann@mail.com", "plan": "gold", "ip": "192.0.2.8", "latitude": 51.5, "longitude": -0.1}
    assert parse.read_body(parse.Received("identify", "m1", 1.0, body)).traits == traits
    assert parse.read_body(parse.Received("track", "m1", 1.0, body)).traits == {"email": "ann@mail.com"}


def test_null_is_the_same_as_absent() -> None:
    names = ("userId", "previousId", "groupId", "anonymousId", "name", "traits", "properties", "context", "timestamp")
    message = read_body(keep({"type": "page", "messageId": "m"} | dict.fromkeys(names)))
    assert message == read_body(keep({"type": "page", "messageId": "m"}))


@pytest.mark.parametrize("given_id", [7, "7"], ids=["number", "text"])
def test_a_visitors_name_may_be_a_number(given_id: object) -> None:
    assert keep({"type": "page", "anonymousId": given_id}).anonymous_id == "7"


def test_two_long_names_do_not_become_one() -> None:
    long = "a" * 300
    assert keep({"type": "page", "anonymousId": f"{long}1"}).anonymous_id != keep(
        {"type": "page", "anonymousId": f"{long}2"}
    ).anonymous_id  # fmt: skip


@pytest.mark.parametrize(
    ("damaged", "title"),
    [
        (rb'"Lamp \ud83d"', "Lamp \ufffd"),
        (b'"Lamp \xff"', "Lamp \ufffd"),
        (rb'"Lamp \u0000"', "Lamp \x00"),
        (b"NaN", None),
        (b"-Infinity", None),
    ],
    ids=["half an emoji", "broken UTF-8", "NUL", "NaN", "Infinity"],
)
@pytest.mark.parametrize("call", ["batch", "track"])
def test_damaged_values_are_replaced_and_the_message_kept(damaged: bytes, title: str | None, call: str) -> None:
    message = b'{"type":"track","event":"e","messageId":"m","properties":{"title":' + damaged + b"}}"
    body = b'{"batch":[' + message + b"]}" if call == "batch" else message
    (raw,) = read_envelope(body, call).batch
    read = read_message(raw, call=call, received_at=NOW, skew=0)
    assert not isinstance(read, Drop)
    assert read_body(read[0]).properties == {"title": title}


# --- times -----------------------------------------------------------------------------------------------------------

TIMES = [
    ("none", {}, 0.0, NOW),
    ("in UTC", {"timestamp": "2027-01-15T07:00:00Z"}, 0.0, NOW - 3600),
    ("with milliseconds", {"timestamp": "2027-01-15T07:59:59.500Z"}, 0.0, NOW - 0.5),
    ("with nanoseconds", {"timestamp": "2027-01-15T07:59:59.500000000Z"}, 0.0, NOW - 0.5),
    ("with an offset", {"timestamp": "2027-01-15T08:30:00+01:00"}, 0.0, NOW - 1800),
    ("without zone", {"timestamp": "2027-01-15T07:00:00"}, 0.0, NOW - 3600),
    ("a date", {"timestamp": "2027-01-15"}, 0.0, NOW - 8 * 3600),
    ("original goes before", {"timestamp": iso(NOW), "originalTimestamp": iso(NOW - 60)}, 0.0, NOW - 60),
    ("a clock behind", {"timestamp": iso(NOW - 500)}, 400.0, NOW - 100),
    ("a clock ahead", {"timestamp": iso(NOW + 300)}, -400.0, NOW - 100),
    ("a dead clock", {"timestamp": iso(5)}, clock_skew(iso(10), NOW), NOW - 5),
    ("a slow request", {"timestamp": iso(NOW - 12)}, clock_skew(iso(NOW - 10), NOW), NOW - 12),
    ("a clock a little ahead", {"timestamp": iso(NOW + 8)}, clock_skew(iso(NOW + 10), NOW), NOW - 2),
    ("a clock behind, not a request", {"timestamp": iso(NOW - 42)}, clock_skew(iso(NOW - 40), NOW), NOW - 2),
    ("a little ahead is now", {"timestamp": iso(NOW + 3)}, 0.0, NOW),
    ("a year ahead is now", {"timestamp": iso(NOW + YEAR)}, 0.0, NOW),
    ("as early as is taken", {"timestamp": "1990-01-01T00:00:00Z"}, 0.0, parse.EARLIEST),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "skew", "expected"), [row[1:] for row in TIMES], ids=[row[0] for row in TIMES])
def test_when_it_occurred(fields: dict[str, str], skew: float, expected: float) -> None:
    assert keep({"type": "page"} | fields, skew=skew).occurred_at == pytest.approx(expected)


ABSURD_TIMES = [
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00",
    "1970-01-01T00:00:00Z", "1989-12-31T23:59:59Z", iso(NOW + YEAR + 1), "", " ", "now", "15/01/2027", "1800000000",
    "2027-13-01", "2027-01-15T25:00:00Z", "2027-01-15T07:00:00Z extra", "\x00", "٢٠٢٧-01-15x",
]  # fmt: skip


@pytest.mark.parametrize("text", ABSURD_TIMES)
@pytest.mark.parametrize("field", ["timestamp", "originalTimestamp"])
def test_absurd_times_are_dropped_and_named(text: str, field: str) -> None:
    if field == "originalTimestamp" and not text:
        assert keep({"type": "page", field: text}).occurred_at == NOW  # an empty one says nothing
        return
    dropped = drop({"type": "page", field: text})
    assert dropped.reason is DropReason.INVALID_TIMESTAMP
    assert dropped.text.startswith(f"{field}: expected")


def test_a_clock_is_corrected_by_what_it_says_of_now() -> None:
    assert clock_skew(iso(NOW - 100), NOW) == pytest.approx(100)
    assert clock_skew(iso(NOW + 100), NOW) == pytest.approx(-100)


@pytest.mark.parametrize("sent_at", [None, "", "soon", "2027-99-99"])
def test_an_unreadable_sent_at_corrects_nothing(sent_at: str | None) -> None:
    assert clock_skew(sent_at, NOW) == 0


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_a_time_or_none(text: str) -> None:
    assert parse_time(text) is None or isinstance(parse_time(text), float)


# --- dropped ---------------------------------------------------------------------------------------------------------

TRACK = {"type": "track", "event": "e"}
WRONG_TYPES: list[tuple[str, list[Any], str]] = [
    ("type", [1, True, ["track"], {"a": 1}, 1.5], "a string"),
    ("event", [1, False, [], {}], "a string"),
    ("name", [1, [], {}], "a string"),
    ("messageId", [1, 1.5, [], {}, True], "a string"),
    ("userId", [1.5, True, [], {}], "a string"),
    ("previousId", [1.5, [], {}], "a string"),
    ("groupId", [1.5, True, {}], "a string"),
    ("anonymousId", [1.5, [], {}], "a string"),
    ("timestamp", [1_800_000_000_000, 1.5, {}, []], "a string"),
    ("originalTimestamp", [1_800_000_000_000, {}], "a string"),
    ("traits", [MARKER, 1, [], True], "an object"),
    ("properties", [MARKER, 1, [MARKER], True], "an object"),
    ("context", [MARKER, 1, []], "an object"),
    ("integrations", [MARKER, True, []], "an object"),
]
EVERY_WRONG_TYPE = [(field, value, words) for field, values, words in WRONG_TYPES for value in values]


@pytest.mark.parametrize(
    ("field", "value", "words"), EVERY_WRONG_TYPE, ids=[f"{field}={value!r}" for field, value, _ in EVERY_WRONG_TYPE]
)
def test_a_field_of_the_wrong_type_is_named_with_what_was_expected(field: str, value: object, words: str) -> None:
    dropped = drop(TRACK | {field: value})
    assert dropped.reason is DropReason.INVALID_MESSAGE
    assert dropped.text.startswith(f"{field}: expected ")
    assert words in dropped.text
    assert MARKER not in dropped.text


DROPPED = [
    ("null", b"null", DropReason.INVALID_MESSAGE, "message: expected an object"),
    ("number", b"1", DropReason.INVALID_MESSAGE, "message: expected an object"),
    ("text", f'"{MARKER}"'.encode(), DropReason.INVALID_MESSAGE, "message: expected an object"),
    ("array", b"[{}]", DropReason.INVALID_MESSAGE, "message: expected an object"),
    ("no type", {}, DropReason.UNKNOWN_TYPE, "type: expected one of identify, track, page, screen, group, alias"),
    ("unknown type", {"type": MARKER}, DropReason.UNKNOWN_TYPE, "type: expected one of identify,"),
    ("type in capitals", {"type": "Track", "event": "e"}, DropReason.UNKNOWN_TYPE, "type: expected one of identify,"),
    ("missing event", {"type": "track"}, DropReason.MISSING_EVENT, "event: expected a non-empty string"),
    ("null event", {"type": "track", "event": None}, DropReason.MISSING_EVENT, "event: expected a non-empty string"),
    ("empty event", {"type": "track", "event": ""}, DropReason.MISSING_EVENT, "event: expected a non-empty string"),
    ("blank event", {"type": "track", "event": " \t"}, DropReason.MISSING_EVENT, "event: expected a non-empty string"),
    ("empty ID", TRACK | {"messageId": ""}, DropReason.INVALID_MESSAGE, "messageId: expected 1 to 256 characters"),
    ("long ID", TRACK | {"messageId": "a" * 257}, DropReason.INVALID_MESSAGE, "messageId: expected 1 to 256 char"),
    ("endless number", b'{"type":"page","properties":{"a":1e999}}', DropReason.INVALID_MESSAGE, "properties: expected"),
    ("5,000 digits", b'{"type":"page","userId":' + b"9" * 5000 + b"}", DropReason.INVALID_MESSAGE, "userId: expected"),
    ("broken", b'{"type":"page"', DropReason.INVALID_MESSAGE, "message: expected valid JSON in UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "reason", "text"), [row[1:] for row in DROPPED], ids=[row[0] for row in DROPPED])
def test_what_is_dropped_has_its_reason(message: Any, reason: DropReason, text: str) -> None:
    dropped = drop(message)
    assert dropped.reason is reason
    assert dropped.text.startswith(text)
    assert MARKER not in dropped.text


@pytest.mark.parametrize(("length", "kept"), [(1, True), (256, True), (257, False)])
def test_a_message_id_has_256_characters_at_most(length: int, kept: bool) -> None:
    assert isinstance(take(TRACK | {"messageId": "é" * length}), Received) is kept


def sized(size: int) -> bytes:
    empty = b'{"type":"page","properties":{"a":""}}'
    return empty.replace(b'""', b'"' + b"a" * (size - len(empty)) + b'"')


@pytest.mark.parametrize(("size", "kept"), [(MAX_MESSAGE_BYTES, True), (MAX_MESSAGE_BYTES + 1, False)])
@pytest.mark.parametrize("call", ["batch", "page"])
def test_a_message_has_32_kb_at_most(size: int, kept: bool, call: str) -> None:
    assert MAX_MESSAGE_BYTES == 32_768
    message = sized(size)
    assert len(message) == size
    read = take(message, call=call)
    assert isinstance(read, Received) is kept
    if isinstance(read, Drop):
        assert (read.reason, read.text) == (DropReason.TOO_LARGE, f"message: expected at most 32768 bytes, got {size}")


@pytest.mark.parametrize(("levels", "kept"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False), (5000, False)])
def test_a_message_has_100_levels_at_most(levels: int, kept: bool) -> None:
    inner = b"[" * (levels - 2) + b"]" * (levels - 2)
    read = take(b'{"type":"page","properties":{"a":' + inner + b"}}")
    assert isinstance(read, Received) is kept
    if isinstance(read, Drop):
        assert read.reason is DropReason.TOO_DEEP


# --- envelopes -------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[str, bytes, str, int, str, str]] = [
    ("empty", b"", "batch", 400, "invalid_json", "the body is not valid JSON"),
    ("no JSON", MARKER.encode(), "batch", 400, "invalid_json", "the body is not valid JSON"),
    ("cut off", b'{"batch":[{"type":"page"}', "batch", 400, "invalid_json", "the body is not valid JSON"),
    ("two bodies", b'{"batch":[]}{"batch":[]}', "batch", 400, "invalid_json", "the body is not valid JSON"),
    ("raw newline in a string", b'{"batch":["a\nb"]}', "batch", 400, "invalid_json", "the body is not valid JSON"),
    ("unknown escape", rb'{"batch":["\x41"]}', "batch", 400, "invalid_json", "the body is not valid JSON"),
    ("comment", b'{"batch":[]/**/}', "batch", 400, "invalid_json", "the body is not valid JSON"),
    ("array", b"[]", "batch", 400, "invalid_body", "message: expected an object"),
    ("null", b"null", "batch", 400, "invalid_body", "message: expected an object"),
    ("text", f'"{MARKER}"'.encode(), "batch", 400, "invalid_body", "message: expected an object"),
    ("no batch", b'{"writeKey":"k"}', "batch", 400, "invalid_body", "batch: is missing"),
    ("null batch", b'{"batch":null}', "batch", 400, "invalid_body", "batch: expected an array"),
    ("object for batch", b'{"batch":{}}', "batch", 400, "invalid_body", "batch: expected an array"),
    ("bad key", b'{"batch":[],"writeKey":1}', "batch", 400, "invalid_body", "writeKey: expected a string or null"),
    ("number for time", b'{"batch":[],"sentAt":1}', "batch", 400, "invalid_body", "sentAt: expected a string or null"),
    ("bad visitor", b'{"batch":[],"visitor":{}}', "batch", 400, "invalid_body", "visitor: expected a string or null"),
    ("single call of text", f'"{MARKER}"'.encode(), "track", 400, "invalid_body", "message: expected an object"),
    ("single call, bad key", b'{"writeKey":[1]}', "track", 400, "invalid_body", "writeKey: expected a string or null"),
    ("single call, cut off", b'{"event":"e"', "track", 400, "invalid_json", "the body is not valid JSON"),
    ("40,000 arrays never closed", b'{"batch":[' * 40_000, "batch", 400, "invalid_json", "the body is not valid JSON"),
    ("too many messages", b'{"batch":[' + b"1," * MAX_MESSAGES + b"1]}", "batch", 413, "too_many_messages",
     "batch: expected at most 5000 messages"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "call", "status", "code", "text"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_body_that_cannot_be_read_is_refused_in_words(
    body: bytes, call: str, status: int, code: str, text: str
) -> None:
    with pytest.raises(RequestRefused) as refused:
        read_envelope(body, call)
    assert (refused.value.status, refused.value.code, refused.value.message) == (status, code, text)


@pytest.mark.parametrize("padding", [b"", b" ", b"\n"], ids=["bare", "space", "newline"])
def test_a_single_call_too_deep_is_refused_as_such(padding: bytes) -> None:
    body = padding + b'{"event":"e","properties":{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}}" + padding
    with pytest.raises(RequestRefused) as refused:
        read_envelope(body, "track")
    assert (refused.value.status, refused.value.code) == (400, DropReason.TOO_DEEP)


def test_one_message_too_deep_costs_only_itself() -> None:
    deep = b'{"type":"track","event":"e","properties":{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}}"
    body = b'{"batch":[{"type":"page"},' + deep + b',{"type":"page"}]}'
    reads = [take(bytes(raw)) for raw in read_envelope(body, "batch").batch]
    assert [isinstance(read, Received) for read in reads] == [True, False, True]
    assert isinstance(reads[1], Drop)
    assert reads[1].reason is DropReason.TOO_DEEP


def test_as_many_messages_as_a_batch_may_have() -> None:
    body = b'{"batch":[' + b",".join([b'{"type":"page"}'] * MAX_MESSAGES) + b"]}"
    assert len(read_envelope(body, "batch").batch) == MAX_MESSAGES


def test_the_envelope_says_who_and_when() -> None:
    body = b'{"batch":[],"writeKey":"k","visitor":"v","sentAt":"2027-01-15T08:00:00Z","unknown":1}'
    envelope = read_envelope(body, "batch")
    assert (envelope.write_key, envelope.visitor, envelope.sent_at) == ("k", "v", "2027-01-15T08:00:00Z")


def test_a_single_call_is_a_batch_of_itself() -> None:
    body = b'{"event":"e","sentAt":"2027-01-15T08:00:00Z","properties": {"a" : 1e2}}'
    assert [bytes(raw) for raw in read_envelope(body, "track").batch] == [body]


def test_a_single_call_says_who_and_when_and_leaves_keys_and_tokens_at_the_door() -> None:
    body = b'{"event":"e","writeKey":"k","visitor":"v","sentAt":"2027-01-15T08:00:00Z","properties":{"writeKey":1}}'
    envelope = read_envelope(body, "track")
    assert [bytes(raw) for raw in envelope.batch] == [
        b'{"event":"e","sentAt":"2027-01-15T08:00:00Z","properties":{"writeKey":1}}'
    ]
    assert (envelope.write_key, envelope.visitor, envelope.sent_at) == ("k", "v", "2027-01-15T08:00:00Z")


# --- whatever comes --------------------------------------------------------------------------------------------------

FIELDS = (
    "type", "event", "name", "messageId", "userId", "previousId", "groupId", "anonymousId", "timestamp",
    "originalTimestamp", "traits", "properties", "context", "integrations",
)  # fmt: skip
LIKELY = {
    "type": st.sampled_from(TYPES),
    "event": st.text(),
    "messageId": st.text(max_size=300),
    "timestamp": st.datetimes().map(lambda time: time.isoformat()),
    "userId": st.integers() | st.text(),
}
#: Objects that look like messages: known names, often with a value of the right type.
MESSAGES = st.fixed_dictionaries({}, optional={name: LIKELY.get(name, st.nothing()) | JSON for name in FIELDS}) | JSON
BODIES = (
    st.binary(max_size=400)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.builds(lambda batch: json.dumps({"batch": batch}).encode(), st.lists(MESSAGES, max_size=5))
)


def assert_everything_kept_can_be_processed(body: bytes, call: str) -> None:
    """Only RequestRefused leaves the door, and what was accepted survives the journal and can be read whole."""
    try:
        envelope = read_envelope(body, call)
    except RequestRefused:
        return
    received, dropped = [], 0
    for raw in envelope.batch:
        read = read_message(raw, call=call, received_at=NOW, skew=clock_skew(envelope.sent_at, NOW))
        if isinstance(read, Drop):
            dropped += 1
        else:
            received.append(read[0])
    assert len(envelope.batch) == len(received) + dropped
    stored = msgspec.json.decode(msgspec.json.encode(factories.entry(messages=received)), type=Entry)
    for message in stored.messages:
        whole = read_body(message)
        assert parse.EARLIEST <= whole.occurred_at <= NOW
        assert 0 < len(whole.message_id) <= 256
        msgspec.json.encode(whole)


@settings(deadline=None)
@given(BODIES, st.sampled_from(["batch", *TYPES]))
def test_any_body_is_refused_or_taken_apart(body: bytes, call: str) -> None:
    assert_everything_kept_can_be_processed(body, call)


@settings(deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=4), st.sampled_from(["batch", *TYPES]), st.data())
def test_a_damaged_body_is_refused_or_taken_apart(messages: list[Any], call: str, data: st.DataObject) -> None:
    body = json.dumps({"batch": messages} if call == "batch" else messages[0]).encode()
    at = data.draw(st.integers(0, len(body)))
    damage = data.draw(st.sampled_from([b"", b"\xff", rb"\ud800", b"NaN", b'"', b"\\", b"\x00", b"1e999", b"[" * 200]))
    assert_everything_kept_can_be_processed(body[:at] + damage + body[at:], call)


DAMAGES = [rb'"\udfff"', b'"\xc3"', b"NaN", b'{"a":1e999}', b"[" * 150 + b"]" * 150]


@settings(deadline=None)
@given(st.lists(st.sampled_from(DAMAGES), max_size=4))
def test_good_messages_beside_damaged_ones_are_all_kept(damages: list[bytes]) -> None:
    parts = []
    for index, damage in enumerate(damages):
        parts += [
            f'{{"type":"page","messageId":"good-{index}"}}'.encode(),
            b'{"type":"page","properties":' + damage + b"}",
        ]
    parts.append(b'{"type":"page","messageId":"last"}')
    reads = [take(bytes(raw)) for raw in read_envelope(b'{"batch":[' + b",".join(parts) + b"]}", "batch").batch]
    assert len(reads) == len(parts)
    ids = {read.message_id for read in reads if isinstance(read, Received)}
    assert ids >= {f"good-{index}" for index in range(len(damages))} | {"last"}


# --- what a batch says for all its messages ---------------------------------------------------------------------------


def test_context_of_the_batch_holds_for_each_message_and_its_own_members_win() -> None:
    body = (
        b'{"context": {"locale": "de-DE", "consent": {"marketing": true}}, "integrations": {"All": false}, "batch": ['
        b'{"type": "track", "event": "a"},'
        b'{"type": "track", "event": "b", "context": {"locale": "fr-FR"}, "integrations": {"Klaviyo": true}},'
        b'{"type": "track", "event": "c", "context": null}, 5]}'
    )
    envelope = parse.read_envelope(body, "batch")
    common = parse.common_fields(envelope)
    read = [parse.read_message(raw, call="batch", received_at=NOW, skew=0, common=common) for raw in envelope.batch]

    kept = [parse.read_body(one[0]) for one in read if not isinstance(one, parse.Drop)]
    assert [message.context.get("locale") for message in kept] == ["de-DE", "fr-FR", "de-DE"]
    assert all(message.context["consent"] == {"marketing": True} for message in kept)
    assert [message.integrations for message in kept] == [
        {"All": False},
        {"All": False, "Klaviyo": True},
        {"All": False},
    ]
    assert isinstance(read[3], parse.Drop), "a bad neighbour stays the only loss"


def test_context_of_the_batch_that_is_no_object_is_named() -> None:
    envelope = parse.read_envelope(b'{"context": [1], "batch": []}', "batch")
    with pytest.raises(RequestRefused, match="context: expected an object") as refused:
        parse.common_fields(envelope)
    assert refused.value.status == 400
