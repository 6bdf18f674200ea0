"""SQLite: one process, two files, one writer thread each.

The journal and the state are separate files, so collecting never waits for processing. Requests that arrive while
a commit is being synced share the next one (group commit without a timer: a timer brings nothing, as measured).
WAL with synchronous=FULL: a commit that returned is on disk.
"""

import asyncio
import fcntl
import queue
import sqlite3
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from relay.errors import SettingsError, StoreBusy, StoreRefused, StoreUnavailable
from relay.store import journal, keyring, migrate, sealing, statistics
from relay.store.base import Transaction
from relay.store.keyring import Keyring
from relay.store.rows import Entry, JournalRow

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]

#: Requests that may wait for the journal before callers are told to come back (503).
MAX_QUEUED = 1000
#: Requests that share one commit at most: bounds how long the first of them waits.
MAX_GROUP = 256
#: How long to wait for another process that holds the database's lock, in seconds.
BUSY_SECONDS = 5.0


class SqliteStore:
    """The Store contract on two SQLite files."""

    def __init__(self, path: Path, secrets: Sequence[str], sites: Iterable[str]) -> None:
        """Open (and migrate) the database at ``path`` and its journal beside it, for these sites.

        ``secrets`` are RELAY_SECRET_KEYS, newest first. Raises StoreUnavailable, or SettingsError when none of the
        secrets opens what is kept.
        """
        self.path = path
        self.journal_path = path.with_name(f"{path.stem}.journal{path.suffix or '.db'}")
        self.shown = f"{path} and {self.journal_path}"
        self._secrets = secrets
        _migrated(self.journal_path, "journal")
        _migrated(path, "state")
        self._keys = _unlocked(path, self.journal_path, secrets, sites)
        self._journal = _opened(self.journal_path, shared_commits=True)
        try:
            self._state = _opened(path, shared_commits=False)
        except StoreUnavailable:
            self._journal.close()
            raise
        _number_on(self.journal_path, path)

    async def append(self, *entries: Entry) -> None:
        rows = [(entry.site_id, entry.received_at, journal.sealed(self._keys, entry)) for entry in entries]
        await self._journal.run(lambda connection: connection.executemany(_APPEND, rows))

    async def entries(self, site_id: str, after: int, limit: int) -> Sequence[JournalRow]:
        def read(connection: sqlite3.Connection) -> list[JournalRow]:
            rows = connection.execute(
                "SELECT seq, received_at, body FROM journal WHERE site_id = ? AND seq > ? ORDER BY seq LIMIT ?",
                (site_id, after, limit),
            )
            opened = partial(journal.opened, self._keys, site_id)
            return [JournalRow.read(seq, site_id, at, body, opened) for seq, at, body in rows]

        return await self._journal.read(read)

    async def trim(self, site_id: str, up_to: int, older_than: float) -> int:
        sql = "DELETE FROM journal WHERE site_id = ? AND seq <= ? AND received_at < ?"
        deleted: int = await self._journal.run(lambda c: c.execute(sql, (site_id, up_to, older_than)).rowcount)
        return deleted

    async def transact(self, work: Callable[[Transaction], T], site_id: str | None = None) -> T:
        result: T = await self._state.run(lambda connection: work(Transaction.on(connection, self._keys, told)))
        return result

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._state.read(lambda connection: work(Transaction.on(connection, self._keys, told)))

    async def mentions(self, site_id: str, marks: Collection[str]) -> Sequence[JournalRow]:
        found = [row async for row in self._mentions(site_id, marks)]
        return [JournalRow(seq, journal.decoded(text)) for seq, text in found]

    async def scrub(self, site_id: str, marks: Collection[str]) -> int:
        position = await self.read(lambda tx: tx.ledger.position(site_id))
        found = [(site_id, seq) async for seq, _ in self._mentions(site_id, marks) if seq <= position]
        sql = "DELETE FROM journal WHERE site_id = ? AND seq = ?"
        for group in journal.groups(found):
            await self._journal.run(partial(_each, sql, group))
        return len(found)

    async def _mentions(self, site_id: str, marks: Collection[str]) -> AsyncIterator[tuple[int, bytes]]:
        """Rows that hold one of ``marks``, opened, chunk by chunk in the reading thread."""
        after: int | None = 0
        while after is not None:
            look = partial(journal.search, self._keys, site_id, marks, after)
            found, after = await self._journal.read(look)
            for row in found:
                yield row

    async def opens(self) -> dict[str, bool]:
        return await self._state.read(lambda connection: keyring.opens(connection, self._secrets))

    async def check(self) -> None:
        # user_version is written in place, so this is a real write that changes nothing.
        await self._journal.run(lambda c: c.execute("PRAGMA user_version = 1"))
        await self._state.run(lambda c: c.execute("PRAGMA user_version = 1"))
        # That touches the first page only; a damaged file shows in the others.
        await self._journal.read(lambda c: c.execute("SELECT max(seq) FROM journal").fetchone())
        await self._state.read(lambda c: c.execute("SELECT max(event_id) FROM events").fetchone())

    async def close(self) -> None:
        await asyncio.gather(asyncio.to_thread(self._journal.close), asyncio.to_thread(self._state.close))

    def leases(self, hear: Callable[[str], None]) -> "WorkLock":
        """Be the only process that works on this database. Raises SettingsError when another one does."""
        return WorkLock(self.path.with_name(f"{self.path.name}.lock"))

    def ring(self, bell: str) -> None:
        """Nobody hears: a process that only collects (``serve --web-only``) relies on the worker's own looking."""


def _each(sql: str, rows: Sequence[tuple[Any, ...]], connection: sqlite3.Connection) -> None:
    connection.executemany(sql, rows)


_APPEND = "INSERT INTO journal (site_id, received_at, body) VALUES (?, ?, ?)"


def told(error: BaseException) -> BaseException:
    """SQLite's error as one of ours; any other error as it is."""
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
        return StoreRefused(str(error))
    return StoreUnavailable(str(error)) if isinstance(error, sqlite3.Error) else error


class WorkLock:
    """Held by the process that processes and delivers; the system frees it when the process ends, however it ends.

    All roles of all sites are its own, and are never lost.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: IO[bytes] = path.open("wb")
        except OSError as error:
            raise StoreUnavailable(f"RELAY_DATABASE_URL: {path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            problem = "another relay is at work on this database, and SQLite allows one"
            raise SettingsError("RELAY_DATABASE_URL", problem) from None

    async def take(self, name: str, role: str) -> asyncio.Event:
        return asyncio.Event()

    def release(self) -> None:
        self._file.close()

    async def close(self) -> None:
        self.release()


class _Job:
    """A piece of work for the writer and where its outcome goes."""

    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None

    def finish(self) -> None:
        if self.future.cancelled():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class _Writer:
    """One file's writing thread, and a reading connection beside it.

    With ``shared_commits`` jobs that wait together are committed together: right for appends, which cannot fail
    one by one. Otherwise each job is a transaction of its own.
    """

    def __init__(self, path: Path, *, shared_commits: bool) -> None:
        self._path = path
        self._limit = MAX_GROUP if shared_commits else 1
        self._jobs: queue.Queue[_Job | None] = queue.Queue(MAX_QUEUED)
        self._connection = _open(path)
        self._reader = _open(path)
        self._reading = ThreadPoolExecutor(1, f"reader {path.name}")
        self._is_broken = False
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._work, name=f"writer {path.name}", daemon=True)
        self._thread.start()

    async def run(self, work: Work) -> Any:
        """Run ``work`` in a transaction; returns its result after the commit."""
        job = _Job(work, asyncio.get_running_loop())
        with self._closing:  # what is queued is queued before the end, so somebody will take it up
            if self._closed:
                raise StoreUnavailable("the store is closed")
            try:
                self._jobs.put_nowait(job)
            except queue.Full:
                raise StoreBusy("the write queue is full") from None
        return await job.future

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a thread and on a connection of its own, on one state of the file."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reading, self._read, work)
        except RuntimeError as error:  # the executor's word for being shut down
            raise StoreUnavailable("the store is closed") from error
        except sqlite3.Error as error:
            raise told(error) from error

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._reader.execute("BEGIN")
        try:
            return work(self._reader)
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # as in _commit
            raise
        finally:
            self._reader.execute("ROLLBACK")

    def close(self) -> None:
        """Finish what is queued, then close the file."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._jobs.put(None)
        self._thread.join()
        self._reading.shutdown()
        self._connection.close()
        self._reader.close()

    def _work(self) -> None:
        while (group := self._next_group()) is not None:
            self._commit(group)
            # One call into the loop wakes every request of the group.
            group[0].loop.call_soon_threadsafe(_finish, group)

    def _next_group(self) -> list[_Job] | None:
        first = self._jobs.get()
        if first is None:
            return None
        group = [first]
        while len(group) < self._limit:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            group.append(job)
        return group

    def _commit(self, group: list[_Job]) -> None:
        try:
            if self._is_broken:
                self._connection = _open(self._path)
                self._is_broken = False
            self._connection.execute("BEGIN IMMEDIATE")
            for job in group:
                result = job.work(self._connection)
                # A cursor must die in this thread: freed by another one, it breaks the statement at work here.
                job.result = None if isinstance(result, sqlite3.Cursor) else result
                del result
            self._connection.execute("COMMIT")
        except BaseException as error:  # every job must hear of it, whatever it was
            traceback.clear_frames(error.__traceback__)  # they may hold cursors
            self._roll_back()
            failure = told(error)
            for job in group:
                job.error = failure

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            # The connection is of no use any more (the disk is gone): the next job gets a new one.
            self._connection.close()
            self._is_broken = True


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What goes wrong with a file leaves as StoreUnavailable, which names the file."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"RELAY_DATABASE_URL: {path} cannot be opened: {error}") from error


def _migrated(path: Path, part: str) -> None:
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        migrate.sqlite(path, part)


def _unlocked(state: Path, journal: Path, secrets: Sequence[str], sites: Iterable[str]) -> Keyring:
    """The data keys, and both files with nothing plain left in them."""
    with _named(state), migrate.alone(state), closing(_open(state)) as books:
        with _named(journal), closing(_open(journal)) as door:
            known = {*sites, *sealing.sites(books), *sealing.sites(door)}
            keyring.adopt(books, door, secrets)
            keys = keyring.load(books, secrets, known)
            keyring.copy(books, door)
            sealing.sqlite(door, keys)
            statistics.tell(door)
        sealing.sqlite(books, keys)
        statistics.tell(books)
        return keys


def _opened(path: Path, *, shared_commits: bool) -> _Writer:
    with _named(path):
        return _Writer(path, shared_commits=shared_commits)


def _number_on(journal: Path, state: Path) -> None:
    """A journal that begins anew (its file was lost) goes on behind what counts as processed, or the processor would
    pass over what it holds."""
    with closing(_open(state)) as connection:
        (position,) = connection.execute("SELECT coalesce(max(seq), 0) FROM positions").fetchone()
    with closing(_open(journal)) as connection:
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").fetchone()
        if row is None and position:
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', ?)", (position,))


def _finish(group: list[_Job]) -> None:
    for job in group:
        job.finish()


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
