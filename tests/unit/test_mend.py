"""Damaged JSON made readable: what is mended, what is left alone, and that no input makes it slow."""

import json
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.pipeline.mend import MAX_DEPTH, TOO_DEEP, is_too_deep, mend
from relay.pipeline.parse import MAX_BATCH_BYTES

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

MENDED = [
    ("half an emoji at the end", rb'"cut \ud83d"', rb'"cut \ufffd"'),
    ("half an emoji amid", rb'"a\ud83db"', rb'"a\ufffdb"'),
    ("the other half", rb'"\uDE00b"', rb'"\ufffdb"'),
    ("halves in the wrong order", rb'"\ude00\ud83d"', rb'"\ufffd\ufffd"'),
    ("two first halves and a second", rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
    ("a whole emoji stays", rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
    ("an escaped backslash before u stays", rb'"\\ud83d"', rb'"\\ud83d"'),
    ("three backslashes", rb'"\\\ud83d"', rb'"\\\ufffd"'),
    ("a broken byte", b'"a\xffb"', '"a\ufffdb"'.encode()),
    ("a character cut in two", b'"\xe2\x82"', '"\ufffd"'.encode()),
    ("NaN", b'{"a":NaN}', b'{"a":null}'),
    ("Infinity", b"[Infinity,-Infinity]", b"[null,null]"),
    ("NaN as text stays", b'["NaN","-Infinity","a \\" NaN"]', b'["NaN","-Infinity","a \\" NaN"]'),
    ("a word with NaN in it stays", b"[NaNny]", b"[NaNny]"),
    ("escapes stay", rb'"\n\t\"\\\/\u00e9"', rb'"\n\t\"\\\/\u00e9"'),
]  # fmt: skip


@pytest.mark.parametrize(("damaged", "expected"), [row[1:] for row in MENDED], ids=[row[0] for row in MENDED])
def test_damage_is_mended_and_nothing_else(damaged: bytes, expected: bytes) -> None:
    assert mend(damaged, message_level=1) == expected


def nested(levels: int, bracket: bytes = b"[]") -> bytes:
    opening, closing = (b"[", b"]") if bracket == b"[]" else (b'{"a":', b"}")
    return opening * levels + b"1" * (bracket != b"[]") + closing * levels


@pytest.mark.parametrize("bracket", [b"[]", b"{}"], ids=["arrays", "objects"])
@pytest.mark.parametrize(("levels", "too_deep"), [(1, False), (100, False), (101, True), (10_000, True)])
def test_depth_is_counted_in_levels(levels: int, too_deep: bool, bracket: bytes) -> None:
    assert is_too_deep(nested(levels, bracket)) is too_deep


def test_brackets_in_strings_are_no_depth() -> None:
    assert not is_too_deep(json.dumps({"a": "[" * 5000 + '"' + "{" * 5000}).encode())


def test_many_brackets_side_by_side_are_no_depth() -> None:
    assert not is_too_deep(b"[" + b",".join([b"[]"] * 5000) + b"]")


def test_a_message_too_deep_is_cut_out_and_its_neighbours_stay() -> None:
    body = b'{"batch":[{"a":1},{"b":' + nested(10_000) + b'},{"c":3}]}'
    assert mend(body, message_level=3) == b'{"batch":[{"a":1},' + TOO_DEEP + b',{"c":3}]}'


def test_several_messages_too_deep_are_all_cut_out() -> None:
    deep = b'{"b":' + nested(500) + b"}"
    body = b'{"batch":[' + deep + b',{"a":"]}"},' + deep + b"]}"
    assert mend(body, message_level=3) == b'{"batch":[' + TOO_DEEP + b',{"a":"]}"},' + TOO_DEEP + b"]}"


def test_depth_is_counted_from_the_message() -> None:
    just_right = b'{"batch":[' + nested(MAX_DEPTH) + b"]}"
    assert mend(just_right, message_level=3) == just_right
    assert TOO_DEEP in mend(b'{"batch":[' + nested(MAX_DEPTH + 1) + b"]}", message_level=3)


@settings(deadline=None)
@given(JSON, st.booleans(), st.sampled_from([1, 3]))
def test_valid_json_means_the_same_after_mending(value: object, ascii_only: bool, level: int) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert json.loads(mend(body, message_level=level)) == value


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([1, 3]))
def test_mending_twice_is_mending_once(body: bytes, level: int) -> None:
    once = mend(body, message_level=level)
    assert mend(once, message_level=level) == once


@settings(deadline=None)
@given(st.lists(JSON, max_size=4), st.sampled_from([rb'"\ud800"', b'"\xff"', b"NaN", b"-Infinity", nested(300)]))
def test_what_stands_beside_the_damage_is_kept(values: list[object], damage: bytes) -> None:
    parts = [json.dumps(value).encode() for value in values]
    body = b'{"batch":[' + b",".join([*parts, damage]) + b"]}"
    decoded = msgspec.json.decode(mend(body, message_level=3))
    assert decoded["batch"][: len(values)] == msgspec.json.decode(b"[" + b",".join(parts) + b"]")
    assert len(decoded["batch"]) == len(values) + 1


ADVERSARIES = {
    "escaped quotes in a string that never ends": b'"' + rb"\"" * 250_000,
    "escaped quotes and a lone backslash": b'"' + rb"\"" * 249_999 + b"\\",
    "quotes": b'"' * MAX_BATCH_BYTES,
    "backslashes": b"\\" * MAX_BATCH_BYTES,
    "quotes and backslashes": rb'"\\' * (MAX_BATCH_BYTES // 3),
    "open brackets": b"[" * MAX_BATCH_BYTES,
    "open objects": b'{"a":' * (MAX_BATCH_BYTES // 5),
    "closed brackets": b"]" * MAX_BATCH_BYTES,
    "halves of emojis": rb"\ud83d" * (MAX_BATCH_BYTES // 6),
    "no numbers": b"-NaN" * (MAX_BATCH_BYTES // 4),
    "minuses": b"-" * MAX_BATCH_BYTES,
    "broken bytes": b"\xff" * MAX_BATCH_BYTES,
    "deep messages side by side": b'{"batch":[' + b",".join([nested(120)] * 2000) + b"]}",
}


@pytest.mark.parametrize("body", ADVERSARIES.values(), ids=ADVERSARIES)
def test_no_body_takes_more_than_linear_time(body: bytes) -> None:
    # Quadratic takes minutes at this size, linear a fraction of a second: the bound lies far from both.
    begin = time.process_time()
    mend(body, message_level=3)
    is_too_deep(body)
    assert time.process_time() - begin < 10
