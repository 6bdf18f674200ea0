"""The collecting route: the public contract, who a visitor is, and that a 2xx means committed."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay.config import Secret
from relay.model import Trust
from relay.pipeline.parse import TYPES, read_body
from relay.web.security import RateLimit
from tests import factories
from tests.factories import NOW, ORIGIN, PUBLIC_KEY, SERVER_KEY, call
from tests.integration.door import Answer, Door, basic

FOREIGN = "https://evil.example"


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with Door(tmp_path) as door:
        yield door


def with_site(folder: Path, **changes: Any) -> Door:
    return Door(folder, factories.settings(sites=(factories.site(**changes),)))


def public(message: dict[str, Any]) -> bytes:
    return msgspec.json.encode(message | {"writeKey": PUBLIC_KEY})


# --- the six calls and the batch -------------------------------------------------------------------------------------


def test_a_batch_is_kept_whole_and_in_order(door: Door) -> None:
    messages = [call(), call(type="page", event=...), call(type="identify", event=..., userId="7")]
    answer = door.browser(messages)
    assert answer.status == 200
    assert set(answer.json) == {"success", "visitor", "handle"}
    assert answer.json["success"] is True
    (entry,) = door.journal()
    assert [message.message_id for message in entry.messages] == [message["messageId"] for message in messages]
    assert [message.type for message in entry.messages] == ["track", "page", "identify"]
    assert (entry.trust, entry.received_at, entry.drops) == (Trust.BROWSER, NOW, {})
    assert read_body(entry.messages[0]).properties == messages[0]["properties"]


@pytest.mark.parametrize("type_", TYPES)
def test_each_single_call_is_kept(door: Door, type_: str) -> None:
    message = call(type=...)
    answer = door.post(f"/v1/{type_}", public(message), {"origin": ORIGIN, "content-type": "text/plain"})
    assert (answer.status, answer.json["success"]) == (200, True)
    (entry,) = door.journal()
    assert [(m.type, m.message_id) for m in entry.messages] == [(type_, message["messageId"])]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "TEXT/PLAIN", None])
def test_content_types_that_are_read(door: Door, content_type: str | None) -> None:
    headers = basic(SERVER_KEY) | ({"content-type": content_type} if content_type else {})
    assert door.post("/v1/track", msgspec.json.encode(call()), headers).status == 200


def test_gzip_bodies_are_read(door: Door) -> None:
    body = gzip.compress(msgspec.json.encode({"batch": [call()]}))
    answer = door.post("/v1/batch", body, basic(SERVER_KEY) | {"content-encoding": "GZIP"})
    assert answer.status == 200
    assert len(door.kept_ids()) == 1


def test_an_empty_batch_is_a_success_that_keeps_nothing(door: Door) -> None:
    answer = door.browser([])
    assert (answer.status, answer.json) == (200, {"success": True})
    assert door.journal() == []


def test_bad_messages_are_named_and_the_good_ones_kept(door: Door) -> None:
    good = [call(), call()]
    answer = door.browser([good[0], {"type": "nonsense"}, good[1], call(event=" ")])
    assert answer.status == 200
    assert answer.json["dropped"] == [
        {"index": 1, "reason": "type: expected one of identify, track, page, screen, group, alias"},
        {"index": 3, "reason": "event: expected a non-empty string"},
    ]
    assert answer.json["success"] is True
    assert door.kept_ids() == [message["messageId"] for message in good]
    assert door.drops() == {"unknown_type": 1, "missing_event": 1}


def test_a_batch_of_bad_messages_only_is_answered_and_counted(door: Door) -> None:
    answer = door.browser([{"type": "nonsense"}])
    assert answer.status == 200
    assert [drop["index"] for drop in answer.json["dropped"]] == [0]
    assert answer.cookie is None
    assert (door.kept_ids(), door.drops()) == ([], {"unknown_type": 1})


def test_a_bad_single_call_is_refused_and_counted(door: Door) -> None:
    answer = door.post("/v1/track", msgspec.json.encode(call(event=...)), basic(SERVER_KEY))
    assert answer.status == 400
    assert answer.error["code"] == "missing_event"
    assert answer.error["message"] == "event: expected a non-empty string"
    assert (door.kept_ids(), door.drops()) == ([], {"missing_event": 1})


def test_times_are_corrected_by_the_senders_clock(door: Door) -> None:
    message = call(timestamp="1970-01-01T00:00:05Z")
    door.browser([message], sentAt="1970-01-01T00:00:10Z")
    assert door.journal()[0].messages[0].occurred_at == pytest.approx(NOW - 5)


# --- who may call ----------------------------------------------------------------------------------------------------


def test_browser_answers_name_the_origin_exactly(door: Door) -> None:
    answer = door.browser([call()])
    assert answer.header("access-control-allow-origin") == ORIGIN
    assert answer.header("access-control-allow-credentials") == "true"
    assert answer.header("access-control-expose-headers") == "Retry-After"
    assert answer.header("vary") == "Origin"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-type") == "application/json"
    assert answer.header("content-length") == str(len(answer.body))


def assert_no_cors(answer: Answer) -> None:
    assert [name for name, _ in answer.headers if name.startswith("access-control-allow-origin")] == []
    assert answer.header("access-control-allow-credentials") is None
    assert answer.header("vary") == "Origin"


def test_a_foreign_origin_is_refused_and_may_not_read_why(door: Door) -> None:
    answer = door.browser([call()], origin=FOREIGN)
    assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
    assert_no_cors(answer)
    assert answer.cookie is None
    assert door.journal() == []


def test_the_public_key_without_origin_is_refused(door: Door) -> None:
    answer = door.browser([call()], origin=None)
    assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
    assert_no_cors(answer)
    assert door.journal() == []


def test_the_server_key_needs_no_origin(door: Door) -> None:
    answer = door.server([call()])
    assert (answer.status, answer.json) == (200, {"success": True})
    assert door.journal()[0].trust is Trust.SERVER


def test_the_server_key_may_stand_in_the_body(door: Door) -> None:
    body = msgspec.json.encode(call() | {"writeKey": SERVER_KEY})
    assert door.post("/v1/track", body).status == 200
    assert door.journal()[0].trust is Trust.SERVER


def test_the_server_key_from_a_foreign_origin_shows_that_origin_nothing(door: Door) -> None:
    answer = door.server([call()], headers={"origin": FOREIGN})
    assert answer.status == 200
    assert_no_cors(answer)


@pytest.mark.parametrize(
    ("headers", "envelope", "code"),
    [
        ({}, {}, "missing_write_key"),
        ({}, {"writeKey": None}, "missing_write_key"),
        ({}, {"writeKey": ""}, "missing_write_key"),
        ({}, {"writeKey": "wrong"}, "invalid_write_key"),
        ({"origin": ORIGIN}, {"writeKey": "wrong"}, "invalid_write_key"),
        (basic("wrong"), {}, "invalid_write_key"),
        (basic(SERVER_KEY[:-1]), {}, "invalid_write_key"),
        ({"authorization": f"Bearer {SERVER_KEY}"}, {}, "missing_write_key"),
    ],
)
def test_a_wrong_key_is_refused(door: Door, headers: dict[str, str], envelope: dict[str, Any], code: str) -> None:
    answer = door.post("/v1/batch", msgspec.json.encode({"batch": [call()]} | envelope), headers)
    assert (answer.status, answer.error["code"]) == (401, code)
    assert "wrong" not in answer.body.decode()
    assert door.journal() == []


def test_one_site_does_not_get_anothers_messages(tmp_path: Path) -> None:
    other = factories.site(
        site_id="other", write_key="other", server_key=Secret("other-secret"), allowed_origins=frozenset({FOREIGN})
    )
    with Door(tmp_path, factories.settings(sites=(factories.site(), other))) as door:
        answer = door.browser([call()], writeKey="other", origin=FOREIGN)
        assert answer.status == 200
        assert answer.header("access-control-allow-origin") == FOREIGN
        assert (len(door.kept_ids("other")), door.kept_ids("shop")) == (1, [])
        assert door.browser([call()], writeKey="other", origin=ORIGIN).status == 403
        # The other site's tokens are not ours.
        ours = door.browser([call()], cookie=answer.cookie, visitor=answer.mirror)
        assert ours.cookie is not None
        assert door.journal()[0].visitor_id != door.journal("other")[0].visitor_id


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/track"])
def test_preflight_is_answered_for_an_allowed_origin(door: Door, path: str) -> None:
    headers = {"origin": ORIGIN, "access-control-request-method": "POST"}
    answer = door.get(path, headers, method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("access-control-allow-origin") == ORIGIN
    assert answer.header("access-control-allow-credentials") == "true"
    assert answer.header("access-control-allow-methods") == "POST"
    allowed = answer.header("access-control-allow-headers") or ""
    assert set(allowed.split(", ")) == {
        "content-type", "content-encoding", "authorization", "x-retry-count", "anonymousid", "rsa-retry-attempt",
        "rsa-since-last-attempt", "rsa-since-first-attempt", "rsa-retry-reason", "rsa-recovered",
        "sentat",
    }  # fmt: skip
    assert answer.header("access-control-max-age") == "86400"
    assert answer.header("content-length") is None
    assert answer.header("set-cookie") is None


def test_preflight_of_a_foreign_origin_allows_nothing(door: Door) -> None:
    answer = door.get("/v1/batch", {"origin": FOREIGN, "access-control-request-method": "POST"}, method="OPTIONS")
    assert answer.status == 204
    assert_no_cors(answer)


def test_refusals_can_be_read_by_the_tag(door: Door) -> None:
    answer = door.browser([call()], writeKey="wrong")
    assert answer.status == 401
    assert answer.header("access-control-allow-origin") == ORIGIN


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/v1/", "/v1/tracks", "/v1/batch/", "/v1/BATCH", "/v1/x/batch", "/v1//batch", "/v1/v1"]
)
def test_an_unknown_call_is_not_found(door: Door, path: str) -> None:
    answer = door.post(path, msgspec.json.encode(call()), basic(SERVER_KEY))
    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert door.journal() == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_only_post_is_allowed(door: Door, method: str) -> None:
    answer = door.get("/v1/batch", method=method)
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert answer.header("allow") == "POST, OPTIONS"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-type": "application/x-www-form-urlencoded"}, "unsupported_media_type"),
        ({"content-type": "multipart/form-data; boundary=x"}, "unsupported_media_type"),
        ({"content-type": "text/html"}, "unsupported_media_type"),
        ({"content-encoding": "br"}, "unsupported_encoding"),
        ({"content-encoding": "deflate"}, "unsupported_encoding"),
        ({"content-encoding": "gzip, gzip"}, "unsupported_encoding"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_is_unsupported(door: Door, headers: dict[str, str], code: str) -> None:
    answer = door.post("/v1/batch", msgspec.json.encode({"batch": [call()]}), basic(SERVER_KEY) | headers)
    assert (answer.status, answer.error["code"]) == (415, code)


def test_too_many_requests_from_one_address_are_told_when_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.web.collect.RateLimit", lambda: RateLimit(per_minute=5))
    with Door(tmp_path) as door:
        answers = [door.browser([call()]) for _ in range(11)]  # more than two windows take
        refused = [answer for answer in answers if answer.status == 429]
        assert refused
        assert refused[0].error["code"] == "rate_limited"
        assert refused[0].header("retry-after") == "30"
        assert refused[0].header("access-control-allow-origin") == ORIGIN
        assert len(door.kept_ids()) == len(answers) - len(refused)
        assert {door.server([call()]).status for _ in range(11)} == {200}  # the shop's own server is not limited


def test_a_fault_of_ours_is_a_500_in_the_same_shape(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **fields: object) -> None:
        raise ZeroDivisionError("jane@private.example")

    monkeypatch.setattr("relay.web.collect.permission", fail)
    answer = door.browser([call()])
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert "jane" not in answer.body.decode()
    assert answer.cookie is None
    assert door.journal() == []


def test_a_failure_is_logged_under_the_id_its_answer_names(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    door.run(door.store.close())
    answer = door.browser([call(userId="jane@private.example")])
    (record,) = caplog.records
    assert (record.levelname, vars(record)["request_id"]) == ("ERROR", answer.error["request_id"])
    assert vars(record)["problem"].startswith("StoreUnavailable")
    assert "jane" not in caplog.text + repr(vars(record))


def test_the_secret_key_of_a_single_call_is_not_kept(door: Door) -> None:
    body = msgspec.json.encode(call() | {"writeKey": SERVER_KEY, "visitor": "token"})
    assert door.post("/v1/track", body).status == 200
    kept = msgspec.json.encode(door.journal()[0])
    assert SERVER_KEY.encode() not in kept
    assert b"token" not in kept


def test_every_error_has_a_request_id_of_its_own(door: Door) -> None:
    ids = {door.post("/v1/batch", b"").error["request_id"] for _ in range(5)}
    assert len(ids) == 5


# --- where it is mounted ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/batch", "/_r/v1/batch"])
def test_a_path_prefix_arrives_stripped_or_passed_on(tmp_path: Path, path: str) -> None:
    with Door(tmp_path, factories.settings(path_prefix="/_r")) as door:
        body = msgspec.json.encode({"batch": [call()], "writeKey": SERVER_KEY})
        assert door.post(path, body).status == 200
        assert len(door.kept_ids()) == 1


@pytest.mark.parametrize("path", ["/other/v1/batch", "/_r/v1", "/v1", "/"])
def test_other_paths_do_not_collect(tmp_path: Path, path: str) -> None:
    with Door(tmp_path, factories.settings(path_prefix="/_r")) as door:
        body = msgspec.json.encode({"batch": [call()], "writeKey": SERVER_KEY})
        assert door.post(path, body).status in (404, 405)
        assert door.journal() == []
