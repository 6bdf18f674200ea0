"""For operators and their machines: alive, ready, and sums that are true across restarts."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.delivery.states import State
from relay.identity.evidence import Evidence
from relay.model import Reason
from relay.store.rows import Pause
from tests import factories
from tests.factories import NOW, PUBLIC_KEY, SERVER_KEY, call
from tests.integration.door import Door

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with Door(tmp_path) as door:
        yield door


def metrics(door: Door) -> Samples:
    answer = door.get("/metrics")
    assert answer.status == 200
    assert answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def messages(samples: Samples, end: str, reason: str = "") -> float:
    labels = {"site": "shop", "end": end, "reason": reason}
    return samples.get(("backflow_messages_total", frozenset(labels.items())), 0)


# --- alive and ready -------------------------------------------------------------------------------------------------


def test_a_relay_that_answers_is_alive(door: Door) -> None:
    answer = door.get("/healthz")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


def test_a_relay_that_can_write_is_ready(door: Door) -> None:
    answer = door.get("/readyz")
    assert (answer.status, answer.json) == (200, {"status": "ready"})


@pytest.mark.parametrize("part", ["journal", "state"])
def test_a_relay_that_cannot_write_is_alive_but_not_ready(door: Door, part: str) -> None:
    writer = door.store._journal if part == "journal" else door.store._state
    writer._connection.execute("PRAGMA query_only = 1").close()
    answer = door.get("/readyz")
    assert answer.status == 503
    assert answer.json == {"status": "unavailable", "problem": "the database cannot be written"}
    assert answer.header("retry-after") == "5"
    assert door.get("/healthz").status == 200
    writer._connection.execute("PRAGMA query_only = 0").close()
    assert door.get("/readyz").status == 200


def test_a_locked_database_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.store.files.BUSY_SECONDS", 0.05)
    with Door(tmp_path) as door:
        with closing(sqlite3.connect(door.store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert door.get("/readyz").status == 503
        assert door.get("/readyz").status == 200


def test_being_asked_leaves_no_trace(door: Door) -> None:
    for _ in range(3):
        door.get("/readyz")
        door.get("/metrics")
    assert door.journal() == []
    assert metrics(door) == metrics(door)


# --- sums ------------------------------------------------------------------------------------------------------------


def test_received_is_accepted_plus_duplicate_plus_dropped(door: Door) -> None:
    twice = call()
    door.browser([twice, twice, call(event=" "), {"type": "nonsense"}, 7])
    door.browser([call(context={"consent": {"marketing": False}})])
    door.post("/v1/track", b'{"event":"","writeKey":"server-key-of-the-shop"}')
    door.process()
    samples = metrics(door)
    assert messages(samples, "received") == 7
    assert messages(samples, "accepted") == 1
    assert messages(samples, "duplicate") == 1
    dropped = {
        dict(labels)["reason"]: value
        for (name, labels), value in samples.items()
        if name == "backflow_messages_total" and dict(labels)["end"] == "dropped"
    }
    assert dropped == {"missing_event": 2, "unknown_type": 1, "invalid_message": 1, "no_consent": 1}
    assert messages(samples, "received") == 1 + 1 + sum(dropped.values())


def test_sums_survive_a_restart(tmp_path: Path) -> None:
    with Door(tmp_path) as door:
        door.browser([call(), call()])
        door.process()
        before = metrics(door)
    with Door(tmp_path) as door:
        assert metrics(door) == before
        door.browser([call()])
        door.process()
        assert messages(metrics(door), "received") == 3


def test_deliveries_are_counted_by_state_and_reason(door: Door) -> None:
    states = [State.READY, State.READY, State.WAITING]
    for state in states:
        delivery = factories.draft(state=state, reason=Reason.NO_IDENTITY)
        door.run(door.store.transact(lambda tx, delivery=delivery: tx.outbox.add(delivery)))  # type: ignore[misc]
    found = {
        (dict(labels)["state"], dict(labels)["reason"]): value
        for (name, labels), value in metrics(door).items()
        if name == "backflow_deliveries"
    }
    assert found == {("ready", "no_identity"): 2, ("waiting", "no_identity"): 1}


def test_a_refused_key_is_shown_until_klaviyo_takes_it(door: Door) -> None:
    paused = ("backflow_destination_paused", frozenset({("site", "shop"), ("scope", "event")}))
    pause = Pause("event", NOW + 60, "unauthorized", NOW)
    door.run(door.store.transact(lambda tx: tx.ledger.pause("shop", pause)))
    assert metrics(door)[paused] == 1
    door.run(door.store.transact(lambda tx: tx.ledger.resume("shop", "event")))
    assert paused not in metrics(door)


def test_each_class_of_evidence_shows_its_labels_and_whether_it_is_off(door: Door) -> None:
    for label, n in (("kx:right", 3), ("kx:wrong", 30), ("cookie:right", 7), ("analytics_id:missed", 2)):
        door.run(door.store.transact(lambda tx, label=label, n=n: tx.ledger.count("shop", "label", label, n)))  # type: ignore[misc]
    samples = metrics(door)

    def labels(evidence: str, verdict: str) -> float:
        names = {"site": "shop", "evidence": evidence, "verdict": verdict}
        return samples["backflow_identity_labels_total", frozenset(names.items())]

    assert [labels("kx", "right"), labels("kx", "wrong"), labels("cookie", "right")] == [3, 30, 7]
    assert labels("analytics_id", "missed") == 2
    off = {dict(key[1])["evidence"]: n for key, n in samples.items() if key[0] == "backflow_identity_evidence_off"}
    assert off == {evidence: float(evidence == "kx") for evidence in Evidence}
    assert not any(dict(key[1]).get("end") == "label" for key in samples), "they are no messages"


def test_metrics_show_nobodys_data_and_no_keys(door: Door) -> None:
    door.browser([call(userId="jane@private.example", properties={"email": "jane@private.example"})])
    door.process()
    text = door.get("/metrics").body.decode()
    assert "jane" not in text
    assert PUBLIC_KEY not in text
    assert SERVER_KEY not in text


def test_metrics_without_a_database_say_so(door: Door) -> None:
    door.run(door.store.close())
    answer = door.get("/metrics")
    assert answer.status == 503
    assert answer.body == b"the database cannot be read\n"


# --- the rest --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_path_prefix_arrives_stripped_or_passed_on(tmp_path: Path, path: str) -> None:
    with Door(tmp_path, factories.settings(path_prefix="/_r")) as door:
        assert {door.get(path).status, door.get(f"/_r{path}").status} == {200}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_only_reading_is_allowed(door: Door, path: str) -> None:
    answer = door.post(path, b"")
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")


def test_an_unknown_page_is_an_error_of_the_contract(door: Door) -> None:
    answer = door.get("/nowhere")
    assert (answer.status, answer.error["code"], answer.error["message"]) == (404, "not_found", "Not Found")
