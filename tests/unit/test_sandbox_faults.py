"""The sandbox's scripted answers: which requests meet them, and what a refusal points at."""

import json
from typing import Any

import pytest

from relay.demo.sandbox.answers import Refused
from relay.demo.sandbox.faults import Script, Scripts, places

BODY = json.dumps({"data": [{"id": "m1", "name": "ok"}, {"id": "poison-2", "tags": ["x", "a poison-2"]}]}).encode()


def scripts(*given: dict[str, Any]) -> Scripts:
    made = Scripts()
    made.add(json.dumps(given).encode())
    return made


def test_a_script_for_a_text_is_met_only_by_bodies_with_it() -> None:
    waiting = scripts({"path": "/api/events", "body_contains": "poison", "status": 400, "times": 2})
    assert waiting.take("POST", "/api/events", b'{"id": "m1"}') is None
    assert waiting.take("POST", "/api/other", BODY) is None
    met = waiting.take("POST", "/api/events", BODY)
    assert met is not None
    assert [script.times for script in waiting.waiting()] == [1]


def test_a_request_without_the_text_meets_the_next_script() -> None:
    waiting = scripts(
        {"path": "/api/*", "body_contains": "poison", "status": 400}, {"path": "/api/events", "status": 503}
    )
    met = waiting.take("POST", "/api/events", b"{}")
    assert met is not None
    assert met.status == 503


@pytest.mark.parametrize(
    ("raw", "text", "expected"),
    [
        (BODY, "poison-2", ["/data/1/id", "/data/1/tags/1"]),
        (BODY, "m1", ["/data/0/id"]),
        (BODY, "nowhere", []),
        (b'{"a/b": {"c~d": "x"}}', "x", ["/a~1b/c~0d"]),
        (b"no json with m1", "m1", []),
        (b"", "m1", []),
    ],
    ids=["twice", "once", "nowhere", "escaped", "no_json", "empty"],
)
def test_the_places_of_a_text_in_a_body(raw: bytes, text: str, expected: list[str]) -> None:
    assert places(text, raw) == expected


@pytest.mark.parametrize(
    ("script", "pointers"),
    [
        (Script(path="/", status=400, body_contains="poison-2", points_at_text=True), ["/data/1/id", "/data/1/tags/1"]),
        (Script(path="/", status=400, pointer="/data/7"), ["/data/7"]),
        (Script(path="/", status=400, body_contains="poison-2"), ["/data"]),
        (Script(path="/", status=400, body_contains="gone", points_at_text=True), ["/data"]),
    ],
    ids=["at_the_text", "at_a_fixed_place", "at_nothing_in_particular", "at_a_text_that_is_not_there"],
)
def test_a_scripted_refusal_points(script: Script, pointers: list[str]) -> None:
    refused = script.refusal(400, BODY)
    assert (refused.status, [fault.pointer for fault in refused.faults]) == (400, pointers)


@pytest.mark.parametrize(
    ("script", "pointer"),
    [
        ({"path": "/", "status": 400, "body_contains": ""}, "/body_contains"),
        ({"path": "/", "status": 400, "points_at_text": True}, "/points_at_text"),
        ({"path": "/", "status": 200, "pointer": "/data"}, "/status"),
        ({"path": "/", "pointer": "/data"}, "/status"),
        ({"path": "/", "reset_after_bytes": -1}, "/reset_after_bytes"),
        ({"path": "/", "reset": True, "reset_after_bytes": 1}, "/reset_after_bytes"),
    ],
    ids=["empty_text", "at_no_text", "good_status", "no_status", "negative", "reset_twice"],
)
def test_a_script_that_makes_no_sense_is_refused(script: dict[str, Any], pointer: str) -> None:
    waiting = Scripts()
    with pytest.raises(Refused) as caught:
        waiting.add(json.dumps([script]).encode())
    assert caught.value.faults[0].pointer == pointer
    assert waiting.waiting() == []
