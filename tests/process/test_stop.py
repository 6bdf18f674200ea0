"""The real program told to stop, or started twice: what is under way ends well, the rest is given back untouched."""

import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from e2e.servers import RelayProcess, SandboxControl, free_port, served, wait_until
from relay.demo.sandbox import Account, build_sandbox
from relay.klaviyo.client import CONNECTIONS
from relay.workers import DRAIN_SECONDS
from tests.process.callers import Carts, Effect

EVENTS = "/api/events"
#: What stopping may take beside the draining, on a busy machine.
MARGIN = 5.0


@pytest.fixture
def klaviyo() -> Iterator[SandboxControl]:
    with served(build_sandbox(Account()), free_port()) as url:
        yield SandboxControl(url)


_made: list[RelayProcess] = []


@pytest.fixture(autouse=True)
def _none_outlives_its_test() -> Iterator[None]:
    yield
    while _made:
        _made.pop().kill()


def relay_on(folder: Path, klaviyo_url: str, **settings: str) -> RelayProcess:
    relay = RelayProcess(
        folder, port=free_port(), shop_url="http://localhost", klaviyo_url=klaviyo_url, hold_seconds="0", **settings
    )
    _made.append(relay)
    return relay


def carts(relay: RelayProcess, n: int) -> Carts:
    """So many carts, acknowledged."""
    caller = Carts(relay.url)
    caller.rest = 0.0
    caller.start()
    wait_until(lambda: len(caller.acknowledged) >= n, "batches are taken")
    caller.finish()
    return caller


def outbox(folder: Path) -> list[dict[str, Any]]:
    """Every event's row, as another program sees it."""
    with closing(sqlite3.connect(folder / "relay.db")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM deliveries WHERE kind = 'event'")]


def states(folder: Path) -> Counter[str]:
    return Counter(row["state"] for row in outbox(folder))


def all_arrives_once(relay: RelayProcess, klaviyo: SandboxControl, folder: Path, *callers: Carts) -> None:
    """After the next start everything is at Klaviyo, and nothing was sent to it twice."""
    expected = sorted(effect for caller in callers for effect in caller.effects)
    relay.start()
    wait_until(lambda: states(folder) == {"delivered": len(expected)}, "everything is delivered", 60)
    events = klaviyo.state()["events"]
    arrived = [Effect(event["metric"], event["profile"]["email"], event["unique_id"]) for event in events]
    assert sorted(arrived) == expected
    assert {event["deduplicated_repeats"] for event in events} == {0}
    assert relay.stop() == 0


def test_stopping_relay_finishes_what_it_sends_and_gives_the_rest_back(tmp_path: Path, klaviyo: SandboxControl) -> None:
    relay = relay_on(tmp_path, klaviyo.url).start()
    klaviyo.answers({"path": EVENTS, "times": CONNECTIONS, "delay_seconds": 1.0})
    caller = carts(relay, 100)
    wait_until(lambda: states(tmp_path)["sending"] > CONNECTIONS, "calls are under way, and more are claimed")

    assert relay.stop() == 0
    for row in outbox(tmp_path):
        assert row["lease_owner"] is row["lease_until"] is None, "no lease is kept"
        seen = row["state"] == "delivered"
        assert (row["attempts"], row["first_attempt_at"] is not None) == (int(seen), seen), "nothing unsent counts"
    assert states(tmp_path)["delivered"] == len(klaviyo.state()["events"]) >= 1
    assert states(tmp_path)["ready"] >= 1
    all_arrives_once(relay, klaviyo, tmp_path, caller)


def test_a_stop_while_klaviyo_hangs_ends_in_time_and_spends_no_attempt_on_what_was_not_sent(
    tmp_path: Path, klaviyo: SandboxControl
) -> None:
    relay = relay_on(tmp_path, klaviyo.url).start()
    first = carts(relay, 5)  # now the customers' profiles are told, and their events wait for nothing else
    wait_until(lambda: states(tmp_path) == {"delivered": len(first.effects)}, "everything is delivered", 60)
    assert relay.stop() == 0
    with socket.socket() as hanging:  # takes calls and never answers
        hanging.bind(("127.0.0.1", 0))
        hanging.listen(2 * CONNECTIONS)
        relay = relay_on(tmp_path, f"http://127.0.0.1:{hanging.getsockname()[1]}").start()
        caller = carts(relay, 100)
        wait_until(lambda: states(tmp_path)["sending"] > CONNECTIONS, "calls are under way, and more are claimed")

        begun = time.monotonic()
        assert relay.stop() == 0
        assert time.monotonic() - begun < DRAIN_SECONDS + MARGIN
    assert states(tmp_path) == {"delivered": len(first.effects), "ready": len(caller.effects)}
    rows = [row for row in outbox(tmp_path) if row["state"] == "ready"]
    assert all(row["lease_owner"] is row["lease_until"] is None for row in rows)
    maybe_seen = [row for row in rows if row["first_attempt_at"] is not None]
    assert 1 <= len(maybe_seen) <= CONNECTIONS
    assert {row["attempts"] for row in rows if row["first_attempt_at"] is None} == {0}
    assert {row["attempts"] for row in maybe_seen} <= {0, 1}, "timed out, or cut off by the stop"
    all_arrives_once(relay_on(tmp_path, klaviyo.url), klaviyo, tmp_path, first, caller)


@pytest.mark.parametrize("command", ["serve", "work"])
def test_being_told_to_stop_again_and_again_is_as_good_as_once(
    tmp_path: Path, klaviyo: SandboxControl, command: str
) -> None:
    relay = relay_on(tmp_path, klaviyo.url).start()
    klaviyo.scopes()
    caller = carts(relay, 60)
    wait_until(lambda: len(outbox(tmp_path)) == len(caller.effects), "everything is in the outbox")
    assert relay.stop() == 0
    klaviyo.reset()
    klaviyo.answers({"path": EVENTS, "times": 200, "delay_seconds": 1.0})
    with relay.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "relay", command], env=relay._environment, stdout=log, stderr=log
        )
    wait_until(lambda: states(tmp_path)["sending"] > 0, "calls are under way")
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        threading.Event().wait(0.1)  # a moment between two signals
    assert process.wait(30) == 0
    assert "Traceback" not in relay.log.read_text()
    assert states(tmp_path)["sending"] == 0
    assert states(tmp_path)["delivered"] >= 1
    all_arrives_once(relay, klaviyo, tmp_path, caller)


def test_a_relay_told_to_stop_while_it_starts_leaves_a_database_that_starts(
    tmp_path: Path, klaviyo: SandboxControl
) -> None:
    relay = relay_on(tmp_path, klaviyo.url)
    for moment in ("relay.db", "relay.journal.db", "relay.db.lock", "relay.log"):
        with relay.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "relay", "serve"], env=relay._environment, stdout=log, stderr=log
            )
        file = tmp_path / moment
        wait_until(lambda file=file: file.exists(), f"{moment} is there")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
        assert "Traceback" not in relay.log.read_text()
    relay.start()
    caller = carts(relay, 20)
    assert relay.stop() == 0
    all_arrives_once(relay, klaviyo, tmp_path, caller)


def test_a_second_start_on_one_database_is_refused_and_the_first_goes_on(
    tmp_path: Path, klaviyo: SandboxControl
) -> None:
    relay = relay_on(tmp_path, klaviyo.url).start()
    caller = Carts(relay.url)
    caller.start()
    for command in ("serve", "work"):
        second = subprocess.run(
            [sys.executable, "-m", "relay", command],
            env=relay._environment | {"RELAY_PORT": str(free_port())},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 1
        assert second.stderr.startswith("relay: RELAY_DATABASE_URL: another relay is at work on this database")
        assert len(second.stderr.strip().splitlines()) == 1
    before = len(caller.acknowledged)
    wait_until(lambda: len(caller.acknowledged) > before, "the first one still takes batches")
    caller.finish()
    assert not caller.refusals
    wait_until(lambda: states(tmp_path) == {"delivered": len(caller.effects)}, "everything is delivered", 60)
    assert relay.stop() == 0
    all_arrives_once(relay, klaviyo, tmp_path, caller)


def test_a_second_start_on_one_port_harms_nobody(tmp_path: Path, klaviyo: SandboxControl) -> None:
    relay = relay_on(tmp_path, klaviyo.url).start()
    second = subprocess.run(
        [sys.executable, "-m", "relay", "serve"],
        env=relay._environment | {"RELAY_DATABASE_URL": f"sqlite:///{tmp_path / 'other.db'}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode != 0
    assert "address already in use" in second.stderr
    assert "Traceback" not in second.stderr
    caller = carts(relay, 20)
    assert relay.stop() == 0
    all_arrives_once(relay, klaviyo, tmp_path, caller)
