"""What SQLite adds to the contract: two files, WAL and FULL, shared commits, one process at work."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from relay.errors import SettingsError, StoreBusy, StoreUnavailable
from relay.store.base import Transaction
from relay.store.checkpoints import EVERY_ROWS, PAGES
from relay.store.sqlite import SqliteStore, WorkLock
from relay.store.writer import MAX_GROUP, Writer
from tests import factories
from tests.contract import conftest
from tests.contract.conftest import OpenStore
from tests.factories import NOW

PARTS = ("journal", "state")


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[OpenStore]:
    opened = OpenStore(conftest.sqlite, tmp_path)
    yield opened
    opened.close()


def writer(opened: OpenStore, part: str) -> Writer:
    assert isinstance(opened.store, SqliteStore)
    return opened.store._journal if part == "journal" else opened.store._state


def path_of(opened: OpenStore, part: str) -> Path:
    assert isinstance(opened.store, SqliteStore)
    return opened.store.journal_path if part == "journal" else opened.store.path


async def until_queued(opened: OpenStore, part: str, n: int) -> None:
    while writer(opened, part)._jobs.qsize() < n:  # noqa: ASYNC110 - a thread's queue knows no asyncio.Event
        await asyncio.sleep(0)


class Held:
    """The writing thread of a part, held at work until released: what comes meanwhile waits together."""

    def __init__(self, opened: OpenStore, part: str) -> None:
        self._writer = writer(opened, part)
        self._holds, self._gate = threading.Event(), threading.Event()

    def _work(self, connection: sqlite3.Connection) -> None:
        self._holds.set()
        assert self._gate.wait(30)

    async def __aenter__(self) -> "Held":
        self._job = asyncio.create_task(self._writer.run(self._work))
        while not self._holds.is_set():  # noqa: ASYNC110 - set in another thread
            await asyncio.sleep(0)
        return self

    def release(self) -> None:
        self._gate.set()

    async def __aexit__(self, *error: object) -> None:
        self.release()
        await self._job


# --- files -----------------------------------------------------------------------------------------------------------


def test_journal_and_state_are_two_files(sqlite: OpenStore, tmp_path: Path) -> None:
    assert path_of(sqlite, "state") == tmp_path / "relay.db"
    assert path_of(sqlite, "journal") == tmp_path / "relay.journal.db"
    sqlite.append()
    sqlite.add()
    tables = {}
    for part in PARTS:
        with closing(sqlite3.connect(path_of(sqlite, part))) as connection:
            tables[part] = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "journal" in tables["journal"]
    assert {"events", "deliveries", "positions", "identifiers"} <= tables["state"]
    assert not {"events", "deliveries"} & tables["journal"]
    assert "journal" not in tables["state"]


@pytest.mark.parametrize("part", PARTS)
def test_a_commit_that_returned_is_on_disk(sqlite: OpenStore, part: str) -> None:
    connection = writer(sqlite, part)._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_connection_opened_anew_is_as_durable(sqlite: OpenStore) -> None:
    writer(sqlite, "journal")._connection.close()
    with pytest.raises(StoreUnavailable):
        sqlite.append()
    sqlite.append()
    connection = writer(sqlite, "journal")._connection
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_what_is_committed_can_be_read_by_another_process(sqlite: OpenStore) -> None:
    sqlite.append()
    script = (
        "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM journal').fetchone()[0])"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, str(path_of(sqlite, "journal"))], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "1"


def test_opening_again_changes_nothing(sqlite: OpenStore) -> None:
    sqlite.append()
    sqlite.add()
    for _ in range(2):
        sqlite.reopen()
    assert (len(sqlite.entries()), len(sqlite.states())) == (1, 1)


def test_folders_are_made(tmp_path: Path) -> None:
    opened = OpenStore(lambda folder: SqliteStore(folder / "a" / "b" / "relay.db", *factories.KEYS), tmp_path)
    opened.append()
    opened.close()


@pytest.mark.parametrize("what", ["folder", "no database", "below a file"])
def test_a_place_that_cannot_be_used_says_so(tmp_path: Path, what: str) -> None:
    path = tmp_path / "relay.db"
    if what == "folder":
        path.mkdir()
    elif what == "no database":
        path.write_bytes(b"this is no database, however long it may be" * 100)
    else:
        path.write_bytes(b"")
        path /= "relay.db"
    with pytest.raises(StoreUnavailable, match="RELAY_DATABASE_URL"):
        SqliteStore(path, *factories.KEYS)


# --- shared commits --------------------------------------------------------------------------------------------------


def commits(statements: list[str]) -> int:
    return statements.count("COMMIT")


def traced(opened: OpenStore, part: str) -> list[str]:
    statements: list[str] = []
    writer(opened, part)._connection.set_trace_callback(statements.append)
    return statements


def test_requests_that_wait_together_share_one_commit(sqlite: OpenStore) -> None:
    statements = traced(sqlite, "journal")

    async def story() -> None:
        async with Held(sqlite, "journal") as held:
            appends = [asyncio.create_task(sqlite.store.append(factories.entry())) for _ in range(100)]
            await until_queued(sqlite, "journal", 100)
            assert commits(statements) == 0
            held.release()
            await asyncio.gather(*appends)

    sqlite.run(story())
    assert commits(statements) == 2  # the one that held, and one for all hundred
    assert len(sqlite.entries()) == 100


def test_a_group_is_bounded(sqlite: OpenStore) -> None:
    statements = traced(sqlite, "journal")

    async def story() -> None:
        async with Held(sqlite, "journal") as held:
            appends = [asyncio.create_task(sqlite.store.append(factories.entry())) for _ in range(2 * MAX_GROUP + 1)]
            await until_queued(sqlite, "journal", len(appends))
            held.release()
            await asyncio.gather(*appends)

    sqlite.run(story())
    assert commits(statements) == 1 + 3
    assert len(sqlite.entries()) == 2 * MAX_GROUP + 1


def test_a_request_alone_does_not_wait_for_others(sqlite: OpenStore) -> None:
    statements = traced(sqlite, "journal")
    for _ in range(3):
        sqlite.append()
    assert commits(statements) == 3


def test_transactions_on_the_state_do_not_share_commits(sqlite: OpenStore) -> None:
    statements = traced(sqlite, "state")

    async def story() -> None:
        work = [sqlite.store.transact(lambda tx: tx.ledger.count("shop", "received")) for _ in range(5)]
        await asyncio.gather(*work)

    sqlite.run(story())
    assert commits(statements) == 5


def test_a_group_that_fails_fails_for_all_of_it_and_the_next_loses_nothing(sqlite: OpenStore) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async def story() -> list[BaseException | None]:
        async with Held(sqlite, "journal") as held:
            first = [asyncio.ensure_future(sqlite.store.append(factories.entry())) for _ in range(3)]
            await until_queued(sqlite, "journal", 3)
            broken = asyncio.ensure_future(writer(sqlite, "journal").run(fail))
            await until_queued(sqlite, "journal", 4)
            held.release()
            outcomes = await asyncio.gather(*first, broken, return_exceptions=True)
        await asyncio.gather(*[sqlite.store.append(factories.entry()) for _ in range(3)])
        return list(outcomes)

    outcomes = sqlite.run(story())
    # Nobody is told that something was kept which was not.
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 4
    assert len(sqlite.entries()) == 3


@pytest.mark.parametrize("part", PARTS)
def test_a_commit_that_fails_is_heard_by_its_caller(sqlite: OpenStore, part: str) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}").close()
        for number in range(20):  # more than the pages that are free
            connection.execute(f"CREATE TABLE too_much_{number} (x)").close()

    with pytest.raises(StoreUnavailable):
        sqlite.run(writer(sqlite, part).run(fill))
    writer(sqlite, part)._connection.execute("PRAGMA max_page_count = 1000000").close()
    sqlite.append()
    sqlite.add()
    assert (len(sqlite.entries()), len(sqlite.states())) == (1, 1)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.store.writer.MAX_QUEUED", 2)
    opened = OpenStore(conftest.sqlite, tmp_path)

    async def story() -> None:
        async with Held(opened, "journal") as held:
            taken = [asyncio.create_task(opened.store.append(factories.entry())) for _ in range(2)]
            await until_queued(opened, "journal", 2)
            with pytest.raises(StoreBusy):
                await opened.store.append(factories.entry())
            held.release()
            await asyncio.gather(*taken)
            await opened.store.append(factories.entry())

    opened.run(story())
    assert len(opened.entries()) == 3
    opened.close()


def test_closing_a_full_queue_finishes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.store.writer.MAX_QUEUED", 2)
    opened = OpenStore(conftest.sqlite, tmp_path)

    async def story() -> None:
        async with Held(opened, "journal") as held:
            taken = [asyncio.create_task(opened.store.append(factories.entry())) for _ in range(2)]
            await until_queued(opened, "journal", 2)
            closing = asyncio.create_task(opened.store.close())
            while not writer(opened, "journal")._closed:  # noqa: ASYNC110 - set in another thread
                await asyncio.sleep(0)
            with pytest.raises(StoreUnavailable):
                await opened.store.append(factories.entry())
            held.release()
            await asyncio.gather(*taken, closing)

    opened.run(story())
    opened.reopen()
    assert len(opened.entries()) == 2
    opened.close()


def test_a_lock_held_by_another_is_waited_for(sqlite: OpenStore) -> None:
    async def story() -> None:
        with closing(sqlite3.connect(path_of(sqlite, "journal"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            append = asyncio.create_task(sqlite.store.append(factories.entry()))
            await asyncio.sleep(0)
            while writer(sqlite, "journal")._jobs.qsize():  # noqa: ASYNC110 - a thread takes it up
                await asyncio.sleep(0)
            assert not append.done()
            other.execute("ROLLBACK")
            await append

    sqlite.run(story())
    assert len(sqlite.entries()) == 1


def test_reading_the_journal_does_not_wait_for_its_writer(sqlite: OpenStore) -> None:
    sqlite.append()

    async def story() -> int:
        async with Held(sqlite, "journal"):
            return len(await sqlite.store.entries("shop", 0, 10))

    assert sqlite.run(story()) == 1


# --- the log and the file --------------------------------------------------------------------------------------------


def in_the_file_alone(opened: OpenStore, folder: Path) -> int:
    """Rows of the journal that are in the file itself, whatever its log holds."""
    copy = folder / "alone.db"
    shutil.copy(path_of(opened, "journal"), copy)
    with closing(sqlite3.connect(copy)) as alone:
        (n,) = alone.execute("SELECT count(*) FROM journal").fetchone()
    return int(n)


def test_the_log_is_carried_over_beside_the_commits(sqlite: OpenStore, tmp_path: Path) -> None:
    sqlite.run(sqlite.store.append(*(factories.entry() for _ in range(EVERY_ROWS - 1))))
    assert in_the_file_alone(sqlite, tmp_path) == 0
    sqlite.append()
    sqlite.run(sqlite.store.append())  # the thread at work is done with the one before
    carried_over = writer(sqlite, "journal")._checkpoints._round
    assert carried_over is not None
    carried_over.result(30)
    assert in_the_file_alone(sqlite, tmp_path) == EVERY_ROWS


@pytest.mark.parametrize("part", PARTS)
def test_no_commit_waits_for_the_log_to_be_carried_over_before_it_is_long(sqlite: OpenStore, part: str) -> None:
    for _ in range(2):
        pages = writer(sqlite, part)._connection.execute("PRAGMA wal_autocheckpoint").fetchone()
        assert pages == (PAGES,)
        writer(sqlite, part)._connection.close()
        with pytest.raises(StoreUnavailable):
            sqlite.run(writer(sqlite, part).run(lambda connection: None))
        sqlite.run(writer(sqlite, part).run(lambda connection: None))  # opened anew


def test_a_log_that_cannot_be_carried_over_loses_nothing(sqlite: OpenStore) -> None:
    checkpoints = writer(sqlite, "journal")._checkpoints
    checkpoints._connection.close()
    for _ in range(3):
        sqlite.run(sqlite.store.append(*(factories.entry() for _ in range(EVERY_ROWS))))
    sqlite.reopen()
    assert len(sqlite.entries(limit=3 * EVERY_ROWS + 1)) == 3 * EVERY_ROWS


# --- one process at work ---------------------------------------------------------------------------------------------


def test_a_second_process_may_not_work_on_the_database(sqlite: OpenStore) -> None:
    assert isinstance(sqlite.store, SqliteStore)
    lock = sqlite.store.leases(lambda bell: None)
    with pytest.raises(SettingsError, match="another relay is at work") as refused:
        sqlite.store.leases(lambda bell: None)
    assert refused.value.key == "RELAY_DATABASE_URL"
    lock.release()
    sqlite.store.leases(lambda bell: None).release()


def test_the_lock_is_freed_when_its_process_ends_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "relay.db.lock"
    script = (
        "import sys; from pathlib import Path; from relay.store.sqlite import WorkLock\n"
        "lock = WorkLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(SettingsError):
            WorkLock(path)
        other.kill()
    WorkLock(path).release()


def test_collecting_needs_no_lock(sqlite: OpenStore, tmp_path: Path) -> None:
    assert isinstance(sqlite.store, SqliteStore)
    lock = sqlite.store.leases(lambda bell: None)
    web_only = OpenStore(conftest.sqlite, tmp_path)
    web_only.append()
    web_only.close()
    lock.release()
    assert len(sqlite.entries()) == 1


# --- killed in between -----------------------------------------------------------------------------------------------


def test_position_and_effects_are_one_commit(sqlite: OpenStore) -> None:
    """A reader from outside, as the next process would be, never sees one without the other."""
    seen: list[tuple[int, int]] = []

    def look() -> None:
        with closing(sqlite3.connect(path_of(sqlite, "state"))) as other:
            position = other.execute("SELECT coalesce(max(seq), 0) FROM positions").fetchone()[0]
            seen.append((position, other.execute("SELECT count(*) FROM events").fetchone()[0]))

    def work(tx: Transaction) -> None:
        tx.ledger.add_event(factories.stored_event(received_at=NOW))
        look()
        tx.ledger.advance("shop", 1)
        look()

    sqlite.do(work)
    look()
    assert seen == [(0, 0), (0, 0), (1, 1)]


# --- data keys -------------------------------------------------------------------------------------------------------


def test_a_journal_is_readable_when_the_state_is_lost(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.db", *factories.KEYS)
    asyncio.run(store.append(factories.entry()))
    asyncio.run(store.close())
    for name in ("relay.db", "relay.db-wal", "relay.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    again = SqliteStore(tmp_path / "relay.db", *factories.KEYS)
    (row,) = asyncio.run(again.entries("shop", 0, 10))
    asyncio.run(again.close())
    assert (row.is_damaged, len(row.entry.messages)) == (False, 1)


def test_a_journal_older_than_the_state_takes_nothing_that_would_be_passed_over(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.db", *factories.KEYS)
    asyncio.run(store.append(factories.entry()))
    asyncio.run(store.close())
    shutil.copy(tmp_path / "relay.journal.db", tmp_path / "copy.db")
    store = SqliteStore(tmp_path / "relay.db", *factories.KEYS)
    for _ in range(3):
        asyncio.run(store.append(factories.entry()))
    (*_, last) = asyncio.run(store.entries("shop", 0, 10))
    asyncio.run(store.transact(lambda tx: tx.ledger.advance("shop", last.seq)))
    asyncio.run(store.close())
    shutil.copy(tmp_path / "copy.db", tmp_path / "relay.journal.db")
    again = SqliteStore(tmp_path / "relay.db", *factories.KEYS)
    asyncio.run(again.append(factories.entry()))
    assert len(asyncio.run(again.entries("shop", last.seq, 10))) == 1
    asyncio.run(again.close())


def test_a_journal_of_another_database_is_refused(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        asyncio.run(SqliteStore(tmp_path / folder / "relay.db", *factories.KEYS).close())
    shutil.copy(tmp_path / "other" / "relay.journal.db", tmp_path / "one" / "relay.journal.db")
    with pytest.raises(SettingsError, match="RELAY_DATABASE_URL: the journal beside this database was written with"):
        SqliteStore(tmp_path / "one" / "relay.db", *factories.KEYS)


def test_the_key_of_a_site_that_is_no_longer_served_is_left_alone(tmp_path: Path) -> None:
    asyncio.run(SqliteStore(tmp_path / "relay.db", ["a former key"], ["former"]).close())
    asyncio.run(SqliteStore(tmp_path / "relay.db", ["a key of today"], ["shop"]).close())
    asyncio.run(SqliteStore(tmp_path / "relay.db", ["a former key"], ["former"]).close())
