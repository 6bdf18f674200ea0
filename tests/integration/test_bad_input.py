"""Whatever is sent: a named refusal or a counted drop, the good kept beside the bad, nothing private in answers or
logs, and a relay that answers the next request as if nothing had happened.
"""

import asyncio
import gzip
import json
import logging
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct, field

from relay.errors import RequestRefused
from relay.pipeline.parse import MAX_BATCH_BYTES, MAX_MESSAGE_BYTES
from relay.web import body as web_body
from tests.factories import ORIGIN, PUBLIC_KEY, SERVER_KEY, call
from tests.integration.door import Answer, Door, basic

#: What no answer and no log line may ever show.
MARKER = "jane.marker@private.example"
KEY = basic(SERVER_KEY)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with Door(tmp_path) as door:
        yield door


def total(sums: dict[tuple[str, str], int], name: str) -> int:
    return sum(n for (end, _), n in sums.items() if end == name)


def assert_works_as_ever(door: Door) -> None:
    message = call()
    assert door.browser([message]).json["success"] is True
    assert door.kept_ids()[-1] == message["messageId"]


def batch(*messages: bytes, **envelope: Any) -> bytes:
    rest = msgspec.json.encode(envelope)[1:] if envelope else b"}"
    return b'{"batch":[' + b",".join(messages) + b"]" + (b"," if envelope else b"") + rest


def good(**changes: Any) -> bytes:
    return msgspec.json.encode(call(**changes))


def deep(levels: int) -> bytes:
    nested = b"[" * levels + f'"{MARKER}"'.encode() + b"]" * levels
    return b'{"type":"track","event":"e","properties":{"a":' + nested + b"}}"


def padded(size: int, **changes: Any) -> bytes:
    """A message of exactly ``size`` bytes."""
    empty = good(properties={"pad": MARKER}, **changes)
    return empty.replace(MARKER.encode(), MARKER.encode() + b"x" * (size - len(empty)))


def full(size: int) -> bytes:
    """A batch of exactly ``size`` bytes whose messages are all small enough."""
    messages = [padded(30_000) for _ in range(size // 30_100)]
    rest = size - len(batch(*messages)) - 1
    body = batch(*messages, padded(rest))
    assert len(body) == size
    return body


# --- the corpus ------------------------------------------------------------------------------------------------------


class Case(Struct, frozen=True):
    """A request, the answer's status (and error code), and which of its messages are kept and dropped."""

    name: str
    body: bytes
    status: int
    code: str = ""
    kept: int = 0
    dropped: int = 0
    path: str = "/v1/batch"
    headers: dict[str, str] = field(default_factory=lambda: KEY)


def message(**fields: Any) -> bytes:
    return json.dumps(call(**fields)).encode()


WRONG = {
    "type": 7, "event": [MARKER], "name": 1, "messageId": 7, "userId": {"email": MARKER}, "previousId": [MARKER],
    "groupId": 1.5, "anonymousId": [MARKER], "timestamp": 1_800_000_000_000, "originalTimestamp": {}, "traits": MARKER,
    "properties": [MARKER], "context": MARKER, "integrations": [MARKER],
}  # fmt: skip
GZIPPED = {**KEY, "content-encoding": "gzip"}

CORPUS = [
    # not a body
    Case("empty", b"", 400, "invalid_json"),
    Case("no JSON", f"email={MARKER}".encode(), 400, "invalid_json"),
    Case("cut off", batch(message(userId=MARKER))[:-10], 400, "invalid_json"),
    Case("NUL", b"\x00" * 100, 400, "invalid_json"),
    Case("raw NUL in a string", batch(b'{"type":"page","name":"' + MARKER.encode() + b'\x00"}'), 400, "invalid_json"),
    Case("UTF-16", json.dumps({"batch": []}).encode("utf-16"), 400, "invalid_json"),
    Case("a string", f'"{MARKER}"'.encode(), 400, "invalid_body"),
    Case("an array", f'["{MARKER}"]'.encode(), 400, "invalid_body"),
    Case("no batch", f'{{"email":"{MARKER}"}}'.encode(), 400, "invalid_body"),
    Case("batch of the wrong type", f'{{"batch":"{MARKER}"}}'.encode(), 400, "invalid_body"),
    Case("visitor of the wrong type", f'{{"batch":[],"visitor":["{MARKER}"]}}'.encode(), 400, "invalid_body"),
    Case("key of the wrong type", f'{{"batch":[],"writeKey":["{MARKER}"]}}'.encode(), 400, "invalid_body"),
    Case("only brackets", b"[" * 400_000, 400, "invalid_body"),
    Case("only open objects", b'{"batch":[' * 40_000, 400, "invalid_json"),
    Case("quotes that never end", b'"' + rb"\"" * 240_000, 400, "invalid_json"),
    Case("too many messages", batch(*[b"0"] * 240_000), 413, "too_many_messages"),
    # bad messages in a good batch
    *[
        Case(f"wrong type for {name}", batch(good(), message(**{name: value}), good()), 200, kept=2, dropped=1)
        for name, value in WRONG.items()
    ],
    Case("no objects", batch(good(), b"null", b"1", f'"{MARKER}"'.encode(), b"[]", b"true"), 200, kept=1, dropped=5),
    Case("unknown type", batch(good(), message(type=MARKER)), 200, kept=1, dropped=1),
    Case("missing event", batch(good(), message(event=...)), 200, kept=1, dropped=1),
    Case("blank event", batch(good(), message(event=" \n")), 200, kept=1, dropped=1),
    Case("year 1", batch(good(), message(timestamp="0001-01-01T00:00:00Z")), 200, kept=1, dropped=1),
    Case("year 9999", batch(good(), message(timestamp="9999-12-31T23:59:59Z")), 200, kept=1, dropped=1),
    Case("1970", batch(good(), message(timestamp="1970-01-01T00:00:00Z")), 200, kept=1, dropped=1),
    Case("two years ahead", batch(good(), message(timestamp="2029-02-01T00:00:00Z")), 200, kept=1, dropped=1),
    Case("no time", batch(good(), message(timestamp=MARKER)), 200, kept=1, dropped=1),
    Case("long ID", batch(good(), message(messageId=MARKER * 20)), 200, kept=1, dropped=1),
    Case("empty ID", batch(good(), message(messageId="")), 200, kept=1, dropped=1),
    Case("33 KB", batch(good(), padded(33 * 1024), good()), 200, kept=2, dropped=1),
    Case("10,000 levels", batch(good(), deep(10_000), good()), 200, kept=2, dropped=1),
    Case("120 levels", batch(good(), deep(120), good()), 200, kept=2, dropped=1),
    Case("endless number", batch(good(), b'{"type":"page","properties":{"a":1e999}}'), 200, kept=1, dropped=1),
    Case("5,000 digits", batch(good(), b'{"type":"page","userId":' + b"7" * 5000 + b"}"), 200, kept=1, dropped=1),
    # odd messages that are kept
    Case("dead clock", batch(message(timestamp="1970-01-01T00:00:05Z"), sentAt="1970-01-01T00:00:09Z"), 200, kept=1),
    Case("clock without sense", batch(good(), sentAt=MARKER), 200, kept=1),
    Case("half an emoji", batch(good(), rb'{"type":"track","event":"cut \ud83d"}'), 200, kept=2),
    Case("half an emoji in a name", batch(good(), rb'{"type":"page","properties":{"\udc00":1}}'), 200, kept=2),
    Case("broken UTF-8", batch(good(), b'{"type":"track","event":"cut \xe2\x82"}'), 200, kept=2),
    Case("broken UTF-8 deep inside", batch(good(), b'{"type":"page","context":{"a":["\xff"]}}'), 200, kept=2),
    Case("broken UTF-8 in an unknown field", batch(good(), b'{"type":"page","x":"\xff"}'), 200, kept=2),
    Case("NaN and Infinity", batch(good(), b'{"type":"page","properties":{"a":NaN,"b":-Infinity}}'), 200, kept=2),
    Case("NUL escaped", batch(rb'{"type":"track","event":"\u0000","userId":"\u0000","traits":{"\u0000":"\u0000"}}'),
         200, kept=1),
    Case("400 digits", batch(b'{"type":"track","event":"Product Added","properties":{"price":' + b"9" * 400 + b"}}"),
         200, kept=1),
    Case("beyond 64 bits", batch(b'{"type":"page","properties":{"a":18446744073709551616,"b":-9223372036854775809}}'),
         200, kept=1),
    Case("everything null", batch(json.dumps(dict.fromkeys(WRONG) | {"type": "page"}).encode()), 200, kept=1),
    Case("odd properties", batch(message(properties={
        "price": {"amount": []}, "quantity": "many", "products": [None, 7, [], {"products": 1}], "currency": 7,
        "product_id": {"a": 1}, "name": ["x"], "url": 9, "categories": {"a": None}, "value": "1e999", "email": [MARKER],
    })), 200, kept=1),
    Case("odd context", batch(message(context={
        "page": [1], "clickIds": 7, "cookies": [MARKER], "klaviyo": "yes", "consent": 7, "capture": {}, "traits": 1,
    })), 200, kept=1),
    Case("odd traits", batch(message(type="identify", traits={
        "email": [MARKER], "phone": {"a": 1}, "address": "x", "firstName": 7, "birthday": None,
    })), 200, kept=1),
    Case("every object empty", batch(message(properties={}, context={}, traits={}, integrations={})), 200, kept=1),
    # single calls
    Case("single, no JSON", MARKER.encode(), 400, "invalid_json", path="/v1/track"),
    Case("single, wrong type", message(properties=MARKER), 400, "invalid_message", dropped=1, path="/v1/track"),
    Case("single, missing event", message(event=...), 400, "missing_event", dropped=1, path="/v1/track"),
    Case("single, bad time", message(timestamp=MARKER), 400, "invalid_timestamp", dropped=1, path="/v1/page"),
    Case("single, 33 KB", padded(33 * 1024), 413, "message_too_large", dropped=1, path="/v1/track"),
    Case("single, 120 levels", deep(120), 400, "message_too_deep", dropped=1, path="/v1/track"),
    Case("single, 10,000 levels", deep(10_000), 400, "message_too_deep", path="/v1/track"),
    Case("single, half an emoji", rb'{"event":"cut \ud83d"}', 200, kept=1, path="/v1/track"),
    Case("single, broken UTF-8", b'{"event":"cut \xff"}', 200, kept=1, path="/v1/track"),
    Case("single, NaN", b'{"event":"e","properties":{"a":NaN}}', 200, kept=1, path="/v1/track"),
    Case("single, 501 KB", padded(513_024), 413, "body_too_large", path="/v1/track"),
    # sizes
    Case("as large as a message may be", batch(padded(MAX_MESSAGE_BYTES)), 200, kept=1),
    Case("a byte more than a message may be", batch(padded(MAX_MESSAGE_BYTES + 1)), 200, dropped=1),
    Case("as large as a batch may be", full(MAX_BATCH_BYTES), 200, kept=17),
    Case("a byte more than a batch may be", full(MAX_BATCH_BYTES + 1), 413, "body_too_large"),
    Case("501 KB", full(501_000), 413, "body_too_large"),
    # compressed
    Case("gzip", gzip.compress(batch(good())), 200, kept=1, headers=GZIPPED),
    Case("gzip, as large as may be", gzip.compress(full(MAX_BATCH_BYTES)), 200, kept=17, headers=GZIPPED),
    Case("gzip, a byte more", gzip.compress(full(MAX_BATCH_BYTES + 1)), 413, "body_too_large", headers=GZIPPED),
    Case("gzip of broken JSON", gzip.compress(MARKER.encode()), 400, "invalid_json", headers=GZIPPED),
    Case("not gzip", batch(good()), 400, "invalid_gzip", headers=GZIPPED),
    Case("nothing as gzip", b"", 400, "invalid_gzip", headers=GZIPPED),
    Case("zlib as gzip", zlib.compress(batch(good())), 400, "invalid_gzip", headers=GZIPPED),
    Case("gzip cut off", gzip.compress(batch(good()))[:-6], 400, "invalid_gzip", headers=GZIPPED),
    Case("gzip header only", gzip.compress(batch(good()))[:10], 400, "invalid_gzip", headers=GZIPPED),
    Case("gzip, wrong sum", gzip.compress(batch(good()))[:-8] + b"\x00" * 8, 400, "invalid_gzip", headers=GZIPPED),
    Case("brotli", batch(good()), 415, "unsupported_encoding", headers={**KEY, "content-encoding": "br"}),
    Case("a form", f"email={MARKER}".encode(), 415, "unsupported_media_type",
         headers={**KEY, "content-type": "application/x-www-form-urlencoded"}),
    # keys
    Case("key with an address", batch(good(), writeKey=MARKER), 401, "invalid_write_key", headers={}),
    Case("user with an address", batch(good()), 401, "invalid_write_key", headers=basic(MARKER, MARKER)),
    Case("no key", batch(message(userId=MARKER)), 401, "missing_write_key", headers={}),
    Case("foreign origin", batch(message(userId=MARKER), writeKey=PUBLIC_KEY), 403, "origin_not_allowed",
         headers={"origin": f"https://{MARKER}"}),
    Case("unknown call", good(userId=MARKER), 404, "not_found", path=f"/v1/{MARKER}"),
]  # fmt: skip


def everything_logged(caplog: pytest.LogCaptureFixture) -> str:
    """The messages and every field of every record, tracebacks too."""
    return caplog.text + "".join(repr(vars(record)) for record in caplog.records)


@pytest.mark.parametrize("case", CORPUS, ids=[case.name for case in CORPUS])
def test_bad_input(door: Door, caplog: pytest.LogCaptureFixture, case: Case) -> None:
    caplog.set_level(logging.DEBUG)
    answer = door.post(case.path, case.body, case.headers)

    assert answer.status == case.status
    if case.code:
        assert answer.error["code"] == case.code
    else:
        assert answer.json["success"] is True
        assert len(answer.json.get("dropped", [])) == case.dropped
        assert all(set(drop) == {"index", "reason"} for drop in answer.json.get("dropped", []))
    assert len(door.kept_ids()) == case.kept
    assert sum(door.drops().values()) == case.dropped
    assert MARKER not in answer.body.decode()
    assert MARKER not in str(answer.headers)

    # What was taken can be processed, and every message ends in exactly one place.
    sums = door.process()
    assert total(sums, "received") == case.kept + case.dropped
    assert total(sums, "received") == total(sums, "accepted") + total(sums, "duplicate") + total(sums, "dropped")
    assert ("dropped", "processing_failed") not in sums
    assert MARKER not in everything_logged(caplog)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []

    assert_works_as_ever(door)


def test_all_of_it_one_after_the_other_leaves_the_relay_as_it_was(door: Door) -> None:
    for case in CORPUS:
        assert door.post(case.path, case.body, case.headers).status == case.status, case.name
    sums = door.process()
    assert total(sums, "received") == sum(case.kept + case.dropped for case in CORPUS)
    assert total(sums, "dropped") >= sum(case.dropped for case in CORPUS)
    assert_works_as_ever(door)


# --- duplicates ------------------------------------------------------------------------------------------------------


def ends(door: Door) -> dict[str, int]:
    sums = door.process()
    return {name: total(sums, name) for name in ("received", "accepted", "duplicate", "dropped")}


def test_duplicates_in_one_batch_are_accepted_once(door: Door) -> None:
    message = call()
    assert door.browser([message, message, call()]).status == 200
    assert ends(door) == {"received": 3, "accepted": 2, "duplicate": 1, "dropped": 0}


def test_duplicates_across_batches_are_accepted_once(door: Door) -> None:
    message = call()
    for _ in range(3):
        assert door.browser([message]).status == 200
    assert ends(door) == {"received": 3, "accepted": 1, "duplicate": 2, "dropped": 0}


def test_the_first_of_two_with_one_id_stays(door: Door) -> None:
    message = call()
    door.browser([message])
    door.browser([message | {"event": "Another Thing"}])
    door.process()
    names = door.run(door.store.transact(lambda tx: list(tx.connection.execute("SELECT name FROM events"))))
    assert names == [("Product Added",)]


def test_a_browser_cannot_use_up_a_servers_id(door: Door) -> None:
    # Anybody can read the public key and guess an ID such as an order's number.
    message = call(messageId="order-1001", event="Order Completed", userId="7")
    assert door.browser([message]).status == 200
    assert door.server([message]).status == 200
    assert ends(door) == {"received": 2, "accepted": 2, "duplicate": 0, "dropped": 0}


# --- bodies that come in pieces --------------------------------------------------------------------------------------


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)] or [b""]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_body_in_pieces_is_read_whole(door: Door, size: int) -> None:
    answer = door.run(door.call("POST", "/v1/batch", pieces(batch(good()), size), KEY))
    assert (answer.status, len(door.kept_ids())) == (200, 1)


def test_a_body_in_pieces_over_the_cap_is_refused_without_content_length(door: Door) -> None:
    answer = door.run(door.call("POST", "/v1/batch", pieces(full(600_000), 16_384), KEY))
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")
    assert_works_as_ever(door)


def test_a_body_without_end_is_not_read_to_the_end() -> None:
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 65_536
        assert read < 5 * MAX_BATCH_BYTES
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    with pytest.raises(RequestRefused) as refused:
        asyncio.run(web_body.read({}, receive))
    assert refused.value.status == 413


@pytest.mark.parametrize("chunks", [[None], [b'{"batch":[', None], [batch(good()), None]], ids=["none", "some", "all"])
def test_a_caller_who_goes_away_amid_the_body_leaves_nothing(door: Door, chunks: list[bytes | None]) -> None:
    answer = door.run(door.call("POST", "/v1/batch", chunks, KEY))
    assert (answer.status, answer.error["code"]) == (400, "incomplete_body")
    assert door.journal() == []
    assert_works_as_ever(door)


def test_a_compression_bomb_is_not_unpacked(door: Door) -> None:
    bomb = gzip.compress(b" " * 100_000_000, compresslevel=1)
    assert len(bomb) < MAX_BATCH_BYTES
    tracemalloc.start()
    try:
        answer = door.post("/v1/batch", bomb, GZIPPED)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")
    assert peak < 8 * MAX_BATCH_BYTES
    assert_works_as_ever(door)


# --- headers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("origin", "\xff\xfe"),
        ("authorization", "Basic \xff"),
        ("authorization", "Basic " + "A" * 10_000),
        ("cookie", "__Host-bf=" + "x" * 8000),
        ("cookie", ";=;\xff;__Host-bf=\xe9"),
        ("user-agent", "\xff" * 2000),
        ("content-type", ";"),
        ("sec-gpc", "\xff"),
    ],
    ids=["origin", "authorization", "long authorization", "long cookie", "odd cookie", "user agent", "type", "gpc"],
)
def test_odd_headers_are_no_fault(door: Door, name: str, value: str) -> None:
    headers = {"origin": ORIGIN} | {name: value}
    answer: Answer = door.post("/v1/batch", batch(good(), writeKey=PUBLIC_KEY), headers)
    assert answer.status in (200, 403)
    assert_works_as_ever(door)


def test_an_odd_user_agent_is_kept_short(door: Door) -> None:
    door.browser([call()], headers={"user-agent": "a" * 5000})
    assert door.journal()[0].user_agent == "a" * 512


def test_a_batch_of_one_large_answer_stays_small(door: Door) -> None:
    # The answer names every drop: it must not become many times the request.
    answer = door.post("/v1/batch", batch(*[b"0"] * 5000), KEY)
    assert answer.status == 200
    assert len(answer.body) < MAX_BATCH_BYTES
    assert door.drops() == {"invalid_message": 5000}
