"""The real program and a disk that fails it: full, read-only, damaged, locked. Callers are told to come back, what was
acknowledged arrives once the disk is well again, and a start that cannot succeed says so in one line."""

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from e2e.servers import RelayProcess, SandboxControl, free_port, served, wait_until
from relay.demo.sandbox import Account, build_sandbox
from relay.demo.sandbox.account import ALL_SCOPES
from tests.process.callers import Caller, Carts, Effect

STATE, JOURNAL = "relay.db", "relay.journal.db"
CART = "Added to Cart - Backup Flow"
PAGE = 4096


class BigCarts(Carts):
    """Twenty kilobytes a batch, so that space runs out soon."""

    rest = 0.02
    properties = {"note": "x" * 4000}


@pytest.fixture
def klaviyo() -> Iterator[SandboxControl]:
    with served(build_sandbox(Account()), free_port()) as url:
        yield SandboxControl(url)


@pytest.fixture
def relay(tmp_path: Path, klaviyo: SandboxControl) -> Iterator[RelayProcess]:
    (tmp_path / "data").mkdir()
    relay = RelayProcess(
        tmp_path,
        port=free_port(),
        shop_url="http://localhost",
        klaviyo_url=klaviyo.url,
        hold_seconds="0",
        database_url=f"sqlite:///{data(tmp_path) / STATE}",
    )
    yield relay
    relay.kill()


def data(folder: Path) -> Path:
    """Where the relay of these tests has its database; its log is elsewhere."""
    return folder / "data"


def is_ready(relay: RelayProcess) -> bool:
    return httpx.get(f"{relay.url}/readyz", timeout=20).status_code == 200


def refused(relay: RelayProcess) -> httpx.Response:
    """A call, of the size of the others, that is not acknowledged."""
    batch = 5 * [{"type": "track", "event": "Product Added", "userId": "7", "properties": BigCarts.properties}]
    answer = httpx.post(f"{relay.url}/v1/batch", auth=("journey-server-key", ""), json={"batch": batch}, timeout=20)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["error"]["code"] == "unavailable"
    assert "sqlite" not in answer.text.lower()
    return answer


def is_refused_ready(relay: RelayProcess) -> bool:
    answer = httpx.get(f"{relay.url}/readyz", timeout=20)
    return answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0


def all_arrives(klaviyo: SandboxControl, *callers: Caller) -> None:
    """What was acknowledged, exactly once and at the right person."""
    expected = sorted(effect for caller in callers for effect in caller.effects)
    assert expected
    wait_until(lambda: len(klaviyo.state()["events"]) >= len(expected), f"{len(expected)} events arrive", 60)
    arrived = [Effect(e["metric"], e["profile"]["email"], e["unique_id"]) for e in klaviyo.state()["events"]]
    assert sorted(arrived) == expected


def log_of(relay: RelayProcess) -> str:
    return relay.log.read_text()


def refused_start(relay: RelayProcess, *before: str) -> str:
    """What the program says when it does not start: one line, and no traceback."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "relay", "serve"],
        env=relay._environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = (done.stdout + done.stderr).strip()
    assert done.returncode == 1, said
    assert len(said.splitlines()) == 1, said
    assert said.startswith("relay: RELAY_DATABASE_URL: ")
    return said


# Full


@contextlib.contextmanager
def no_room(relay: RelayProcess, size: int) -> Iterator[None]:
    """No file of the relay's grows beyond ``size``: what it has may be written anew, as on a full disk."""
    assert relay._process is not None
    soft, hard = resource.prlimit(relay._process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(relay._process.pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(relay._process.pid, resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_a_503_and_room_again_is_enough(
    relay: RelayProcess, klaviyo: SandboxControl, tmp_path: Path
) -> None:
    relay.start()
    caller = BigCarts(relay.url)
    caller.start()
    wait_until(lambda: len(caller.acknowledged) >= 50, "batches are taken")
    with no_room(relay, max(file.stat().st_size for file in data(tmp_path).iterdir()) + 20 * PAGE):
        wait_until(lambda: caller.refusals[503] >= 3, "there is no room left")
        kept = len(caller.acknowledged)
        wait_until(lambda: is_refused_ready(relay), "the relay is not ready any more")
        for _ in range(5):
            refused(relay)
        assert httpx.get(f"{relay.url}/healthz").status_code == 200, "a restart would not help"
        assert len(caller.acknowledged) == kept, "nothing is acknowledged that is not kept"
    wait_until(lambda: is_ready(relay), "the relay is ready again, without a restart")
    wait_until(lambda: len(caller.acknowledged) >= kept + 50, "batches are taken again")
    caller.finish()
    all_arrives(klaviyo, caller)
    assert set(caller.refusals) == {503}
    assert "a worker failed" not in log_of(relay)
    assert relay.stop() == 0


def test_a_disk_too_full_to_settle_repeats_nothing_at_klaviyo(
    relay: RelayProcess, klaviyo: SandboxControl, tmp_path: Path
) -> None:
    relay.start()
    klaviyo.answers({"path": "/api/events", "times": 5, "delay_seconds": 1.5})
    caller = BigCarts(relay.url)
    caller.start()
    wait_until(lambda: len(caller.acknowledged) >= 5, "a batch is taken")
    caller.finish()
    wait_until(lambda: in_state(tmp_path, "sending") >= 5, "calls are under way")
    with no_room(relay, (data(tmp_path) / f"{STATE}-wal").stat().st_size):
        wait_until(lambda: len(klaviyo.state()["events"]) >= 5, "Klaviyo has counted them")
        wait_until(lambda: "delivery waits for the database" in log_of(relay), "they cannot be settled")
    all_arrives(klaviyo, caller)
    wait_until(lambda: in_state(tmp_path, "delivered") >= len(caller.effects), "they are settled")
    assert {event["deduplicated_repeats"] for event in klaviyo.state()["events"]} == {0}
    assert relay.stop() == 0


def in_state(folder: Path, state: str) -> int:
    with closing(sqlite3.connect(data(folder) / STATE)) as connection:
        sql = "SELECT count(*) FROM deliveries WHERE kind = 'event' AND state = ?"
        (n,) = connection.execute(sql, (state,)).fetchone()
        return int(n)


# Read-only

#: Runs a program that permissions bind, also where the tests' own user may ignore them.
BOUND = (sys.executable, "-m", "tests.process.bound_by_permissions")


def made_before(relay: RelayProcess) -> Carts:
    """A caller whose batches a relay that has ended since has kept."""
    relay.start()
    caller = Carts(relay.url)
    caller.start()
    wait_until(lambda: len(caller.acknowledged) >= 20, "batches are taken")
    caller.finish()
    assert relay.stop() == 0
    return caller


def test_a_folder_that_may_not_be_written_stops_the_start_in_one_line(relay: RelayProcess, tmp_path: Path) -> None:
    data(tmp_path).chmod(0o555)
    said = refused_start(relay, *BOUND)
    data(tmp_path).chmod(0o755)
    assert str(data(tmp_path)) in said
    assert list(data(tmp_path).iterdir()) == []
    relay.start()
    assert relay.stop() == 0


@pytest.mark.parametrize("name", [STATE, JOURNAL])
def test_a_file_that_may_not_be_written_stops_the_start_in_one_line(
    relay: RelayProcess, klaviyo: SandboxControl, tmp_path: Path, name: str
) -> None:
    caller = made_before(relay)
    file = data(tmp_path) / name
    file.chmod(0o444)
    said = refused_start(relay, *BOUND)
    assert f"{file} cannot be opened" in said
    file.chmod(0o644)
    relay.start()
    all_arrives(klaviyo, caller)
    assert relay.stop() == 0


def test_permissions_taken_from_a_running_relay_stop_only_the_next_start(
    relay: RelayProcess, klaviyo: SandboxControl, tmp_path: Path
) -> None:
    """What is open stays open: the system asks for permissions when a file is opened, and never again."""
    relay.start()
    caller = Carts(relay.url)
    caller.start()
    wait_until(lambda: len(caller.acknowledged) >= 20, "batches are taken")
    for file in data(tmp_path).iterdir():
        file.chmod(0o444)
    data(tmp_path).chmod(0o555)
    before = len(caller.acknowledged)
    wait_until(lambda: len(caller.acknowledged) >= before + 20, "batches are still taken")
    caller.finish()
    assert not caller.refusals
    all_arrives(klaviyo, caller)
    assert is_ready(relay)
    relay.kill()
    refused_start(relay, *BOUND)
    data(tmp_path).chmod(0o755)
    for file in data(tmp_path).iterdir():
        file.chmod(0o644)
    relay.start()
    assert relay.messages("accepted") == len(caller.acknowledged)
    assert relay.stop() == 0


# Damaged


def overwrite(file: Path, start: int = 0, end: int | None = None) -> None:
    """Put noise in the place of what is there."""
    with file.open("r+b") as opened:
        opened.seek(start)
        opened.write(b"\xa5\x5a" * (((end or file.stat().st_size) - start) // 2))


def move_away(folder: Path, name: str) -> None:
    """What an operator does with a damaged file: out of the way, with what belongs to it."""
    for file in data(folder).glob(f"{name}*"):
        if file.suffix != ".lock":
            file.rename(folder / file.name)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no database": lambda file: file.write_text("these are notes, and no database\n" * 200),
    "header": lambda file: overwrite(file, 0, 100),
    "schema": lambda file: overwrite(file, 100, PAGE),
    "all but the header": lambda file: overwrite(file, PAGE),
    "cut to half": lambda file: os.truncate(file, file.stat().st_size // 2),
}


@pytest.mark.parametrize("name", [STATE, JOURNAL])
def test_a_damaged_file_stops_the_start_in_one_line_that_names_it(
    relay: RelayProcess, klaviyo: SandboxControl, tmp_path: Path, name: str
) -> None:
    caller = made_before(relay)
    file = data(tmp_path) / name
    sound = file.read_bytes()
    for damage in DAMAGES.values():
        damage(file)
        assert f"{file} cannot be opened" in refused_start(relay)
        file.write_bytes(sound)
    relay.start()
    all_arrives(klaviyo, caller)
    assert relay.stop() == 0


def damage_while_it_runs(folder: Path, name: str) -> None:
    """Noise in the place of every page but the first; the relay shall not go on with what it remembers of them."""
    file = data(folder) / name
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        overwrite(file, PAGE)
        connection.execute("PRAGMA user_version = 2")


def test_damage_to_the_state_loses_nothing_that_the_journal_has(
    relay: RelayProcess, klaviyo: SandboxControl, tmp_path: Path
) -> None:
    klaviyo.scopes(*(ALL_SCOPES - {"events:write"}))
    relay.start()
    caller = Carts(relay.url)
    caller.start()
    wait_until(lambda: relay.messages("accepted") >= 20, "messages are processed")
    damage_while_it_runs(tmp_path, STATE)
    before = len(caller.acknowledged)
    wait_until(lambda: len(caller.acknowledged) >= before + 20, "collecting needs the journal alone")
    wait_until(lambda: is_refused_ready(relay), "the operator is told")
    caller.finish()
    klaviyo.scopes(*ALL_SCOPES)
    assert relay.stop() == 0
    refused_start(relay)

    move_away(tmp_path, STATE)
    relay.start()
    all_arrives(klaviyo, caller)
    assert relay.messages("accepted") == len(caller.acknowledged)
    assert relay.stop() == 0


def test_damage_to_the_journal_is_a_503_and_loses_nothing_that_was_processed(
    relay: RelayProcess, klaviyo: SandboxControl, tmp_path: Path
) -> None:
    klaviyo.scopes(*(ALL_SCOPES - {"events:write"}))
    relay.start()
    caller, later = Carts(relay.url), Carts(relay.url)
    caller.start()
    wait_until(lambda: len(caller.acknowledged) >= 20, "batches are taken")
    caller.finish()
    wait_until(lambda: relay.messages("accepted") == len(caller.acknowledged), "all is processed")
    damage_while_it_runs(tmp_path, JOURNAL)
    refused(relay)
    assert is_refused_ready(relay)
    klaviyo.scopes(*ALL_SCOPES)
    assert relay.stop() == 0
    refused_start(relay)

    move_away(tmp_path, JOURNAL)
    relay.start()
    # Also what is taken from now on: a new journal does not begin among what counts as processed.
    later.start()
    wait_until(lambda: len(later.acknowledged) >= 20, "batches are taken")
    later.finish()
    all_arrives(klaviyo, caller, later)
    assert relay.stop() == 0


def test_copies_of_a_running_relays_files_put_back_lose_nothing_and_repeat_nothing(
    relay: RelayProcess, klaviyo: SandboxControl, tmp_path: Path
) -> None:
    relay.start()
    caller = Carts(relay.url)
    caller.start()
    klaviyo.events(CART, 20)
    copy(tmp_path, STATE)
    before = len(caller.acknowledged)
    wait_until(lambda: len(caller.acknowledged) >= before + 20, "the state has gone on")
    caller.finish()
    copy(tmp_path, JOURNAL)
    relay.kill()

    for name in (STATE, JOURNAL):
        move_away(tmp_path, name)
        (data(tmp_path) / f"copy of {name}").rename(data(tmp_path) / name)
    relay.start()
    all_arrives(klaviyo, caller)
    wait_until(lambda: relay.messages("accepted") == len(caller.acknowledged), "all is processed")
    assert relay.stop() == 0
    all_arrives(klaviyo, caller)


def copy(folder: Path, name: str) -> None:
    """What ``sqlite3 relay.db ".backup copy"`` does."""
    source, target = data(folder) / name, data(folder) / f"copy of {name}"
    with closing(sqlite3.connect(source)) as file, closing(sqlite3.connect(target)) as kept:
        file.backup(kept)


def test_a_damaged_row_of_the_journal_is_set_aside_and_taken_up_once_it_is_restored(
    relay: RelayProcess, klaviyo: SandboxControl, tmp_path: Path
) -> None:
    relay.start()
    damaged, later = Carts(relay.url), Carts(relay.url)
    with locked(tmp_path, STATE):  # what is collected now is not processed yet
        damaged.start()
        wait_until(lambda: len(damaged.acknowledged) >= 10, "batches are taken")
        damaged.finish()
        relay.kill()
    with closing(sqlite3.connect(data(tmp_path) / JOURNAL)) as journal, journal:
        sound = journal.execute("SELECT seq, body FROM journal").fetchall()
        journal.executemany("UPDATE journal SET body = ? WHERE seq = ?", [(b"\xa5" * len(b), n) for n, b in sound])
    relay.start()
    later.start()
    wait_until(lambda: len(later.acknowledged) >= 20, "batches are taken")
    later.finish()
    all_arrives(klaviyo, later)
    assert relay.messages("dropped") == len(sound)
    assert log_of(relay).count("a row of the journal cannot be read and is set aside") == len(sound)
    assert "customer-" not in log_of(relay)
    assert f"{len(sound)} rows are damaged and set aside" in command(relay, "doctor")
    assert command(relay, "replay", "--failed").startswith("0 messages"), "damaged they stay"
    assert f"{len(sound)} rows are damaged and set aside" in command(relay, "doctor")

    assert relay.stop() == 0
    with closing(sqlite3.connect(data(tmp_path) / JOURNAL)) as journal, journal:
        journal.executemany("UPDATE journal SET body = ? WHERE seq = ?", [(body, seq) for seq, body in sound])
    assert command(relay, "replay", "--failed").startswith(f"{len(damaged.acknowledged)} messages")
    assert "are damaged" not in command(relay, "doctor")
    relay.start()
    all_arrives(klaviyo, damaged, later)
    assert relay.messages("accepted") == len(damaged.acknowledged) + len(later.acknowledged)
    assert relay.stop() == 0


def command(relay: RelayProcess, *arguments: str) -> str:
    """What another command says beside the relay."""
    run = [sys.executable, "-m", "relay", *arguments]
    done = subprocess.run(run, env=relay._environment, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    return done.stdout


# Locked


def test_a_lock_held_by_another_program_is_a_503_until_it_is_gone(
    relay: RelayProcess, klaviyo: SandboxControl, tmp_path: Path
) -> None:
    relay.start()
    caller = Carts(relay.url)
    caller.start()
    wait_until(lambda: len(caller.acknowledged) >= 20, "batches are taken")
    with locked(tmp_path):
        wait_until(lambda: caller.refusals[503] >= 1, "the caller is told to come back")
        kept = len(caller.acknowledged)
    wait_until(lambda: len(caller.acknowledged) >= kept + 20, "batches are taken again")
    caller.finish()
    all_arrives(klaviyo, caller)
    assert is_ready(relay)
    assert set(caller.refusals) == {503}
    assert "a worker failed" not in log_of(relay)
    assert relay.stop() == 0


def test_a_relay_that_stops_while_the_database_is_locked_leaves_nothing_behind(
    relay: RelayProcess, klaviyo: SandboxControl, tmp_path: Path
) -> None:
    relay.start()
    klaviyo.answers({"path": "/api/events", "times": 5, "delay_seconds": 1.0})
    caller = Carts(relay.url)
    caller.start()
    wait_until(lambda: in_state(tmp_path, "sending") >= 5, "calls are under way")
    caller.finish()
    with locked(tmp_path):
        assert relay.stop() == 0
    assert "Traceback" not in log_of(relay)
    assert "never retrieved" not in log_of(relay)
    assert log_of(relay).count("what has come back could not be settled") == 1
    relay.start()
    all_arrives(klaviyo, caller)
    wait_until(lambda: in_state(tmp_path, "delivered") == len(caller.effects), "what has arrived is settled")
    assert relay.stop() == 0


def test_a_start_beside_a_lock_takes_up_its_work_when_the_lock_is_gone(
    relay: RelayProcess, klaviyo: SandboxControl, tmp_path: Path
) -> None:
    caller = made_before(relay)
    with locked(tmp_path):
        with relay.log.open("ab") as log:
            relay._process = subprocess.Popen(
                [sys.executable, "-m", "relay", "serve"], env=relay._environment, stdout=log, stderr=log
            )
        wait_until(lambda: is_alive(relay), "the relay answers")
        assert is_refused_ready(relay)
    wait_until(lambda: is_ready(relay), "the relay is ready")
    later = Carts(relay.url)
    later.start()
    wait_until(lambda: len(later.acknowledged) >= 5, "batches are taken")
    later.finish()
    all_arrives(klaviyo, caller, later)
    assert "Traceback" not in log_of(relay)
    assert relay.stop() == 0


@contextlib.contextmanager
def locked(folder: Path, *names: str) -> Iterator[None]:
    """Another program writes in both files, or in the named ones, and takes its time."""
    with contextlib.ExitStack() as stack:
        for name in names or (STATE, JOURNAL):
            other = stack.enter_context(closing(sqlite3.connect(data(folder) / name, isolation_level=None)))
            other.execute("BEGIN EXCLUSIVE")
        yield


def is_alive(relay: RelayProcess) -> bool:
    try:
        with urllib.request.urlopen(f"{relay.url}/healthz", timeout=30) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
