"""What operators see: log lines of known fields only, and metrics that show the database's own sums."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from relay.errors import StoreUnavailable
from relay.identity.identifiers import normal_exchange_id
from relay.klaviyo.profiles import profile_body
from relay.model import Proof, Reason, Recipient
from relay.observe import FIELDS, LineFormatter, Sums, describe, set_up_logging

ANN = "ann@mail.com"


def line(**fields: object) -> dict[str, object]:
    record = logging.makeLogRecord({"name": "relay.x", "levelname": "ERROR", "msg": "it broke", **fields})
    text = LineFormatter().format(record)
    assert "\n" not in text
    found: dict[str, object] = json.loads(text)
    return found


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    root, levels = logging.getLogger(), {}
    handlers, level = root.handlers[:], root.level
    for name in ("httpx", "httpcore", "yoyo"):
        levels[name] = logging.getLogger(name).level
    yield
    root.handlers[:], root.level = handlers, level
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


def test_a_line_says_when_where_and_what() -> None:
    found = line(problem="KeyError at steps.py:7", site="shop")
    assert set(found) == {"time", "level", "logger", "message", "problem", "site"}
    assert (found["level"], found["logger"], found["message"]) == ("error", "relay.x", "it broke")


def test_a_line_holds_no_field_that_is_not_on_the_list() -> None:
    found = line(email=ANN, body={"email": ANN}, payload=ANN, args=())
    assert ANN not in json.dumps(found)
    assert set(found) <= {"time", "level", "logger", "message", *FIELDS}


def test_an_exception_is_not_written_out() -> None:
    try:
        raise ValueError(ANN)
    except ValueError:
        assert ANN not in json.dumps(line(exc_info=sys.exc_info()))


def test_a_line_stays_one_line() -> None:
    assert line(msg="first\nsecond")["message"] == "first\nsecond"


def test_httpx_does_not_log_urls_which_hold_identifiers(
    logging_as_it_was: None, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging("DEBUG")
    logging.getLogger("httpx").info('HTTP Request: GET https://a.klaviyo.com/api/profiles?filter=equals(_kx,"x")')
    logging.getLogger("httpcore").debug("send_request_headers.started")
    logging.getLogger("relay").info("kept house", extra={"deleted": 3})
    (shown,) = capsys.readouterr().err.splitlines()
    assert json.loads(shown)["deleted"] == 3


# Exceptions


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_an_exception_is_described_without_its_text() -> None:
    described = describe(raised(ValueError(f"cannot read {ANN}")))
    assert described.startswith("ValueError at test_observe.py:")
    assert ANN not in described


def test_the_place_named_is_ours_and_not_a_librarys() -> None:
    recipient, proof = Recipient(), Proof(reason=Reason.NATIVE, evidence="", confidence=0)
    with pytest.raises(ValueError, match="identifier") as caught:
        profile_body(recipient, proof)
    assert describe(caught.value).startswith("ValueError at profiles.py:")

    class Strange(str):
        def strip(self, chars: str | None = None) -> str:
            raise RuntimeError(ANN)

    with pytest.raises(RuntimeError) as deeper:
        normal_exchange_id(Strange("x"))
    assert describe(deeper.value).startswith("RuntimeError at identifiers.py:")


def test_an_exception_that_was_never_raised_is_only_its_type() -> None:
    assert describe(KeyError(ANN)) == "KeyError"


def test_the_databases_own_words_are_told() -> None:
    assert describe(raised(StoreUnavailable("disk full"))) == "StoreUnavailable: disk full"


# Metrics


def scraped(sums: Sums) -> str:
    registry = CollectorRegistry()
    registry.register(sums)
    return generate_latest(registry).decode()


def test_the_metrics_show_what_was_read() -> None:
    sums = Sums()
    sums.refresh(
        [("shop", "received", "", 3), ("shop", "dropped", "bot", 1)],
        [("shop", "delivered", "klaviyo_absent", 2)],
        [("shop", "everything")],
    )
    text = scraped(sums)
    assert 'backflow_messages_total{end="received",reason="",site="shop"} 3.0' in text
    assert 'backflow_messages_total{end="dropped",reason="bot",site="shop"} 1.0' in text
    assert 'backflow_deliveries{reason="klaviyo_absent",site="shop",state="delivered"} 2.0' in text
    assert 'backflow_destination_paused{scope="everything",site="shop"} 1.0' in text


def test_what_is_over_is_not_shown_any_more() -> None:
    sums = Sums()
    sums.refresh([], [("shop", "ready", "klaviyo_absent", 2)], [("shop", "everything")])
    sums.refresh([], [], [])
    text = scraped(sums)
    assert "shop" not in text
    assert "# TYPE backflow_destination_paused gauge" in text
