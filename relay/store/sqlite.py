"""SQLite: one process, two files, one writer thread each (``store.writer``).

The journal and the state are separate files, so collecting never waits for processing.
"""

import asyncio
import fcntl
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from relay.errors import SettingsError, StoreUnavailable
from relay.store import journal, keyring, migrate, sealing, statistics
from relay.store.base import Transaction
from relay.store.files import connect, naming, told
from relay.store.keyring import Keyring
from relay.store.rows import Entry, JournalRow
from relay.store.writer import Writer

T = TypeVar("T")


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
        self._journal = Writer(self.journal_path, shared_commits=True)
        try:
            self._state = Writer(path, shared_commits=False)
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


def _migrated(path: Path, part: str) -> None:
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        migrate.sqlite(path, part)


def _unlocked(state: Path, journal: Path, secrets: Sequence[str], sites: Iterable[str]) -> Keyring:
    """The data keys, and both files with nothing plain left in them and the shape of their rows told to the planner."""
    with naming(state), migrate.alone(state), closing(connect(state)) as books:
        with naming(journal), closing(connect(journal)) as door:
            known = {*sites, *sealing.sites(books), *sealing.sites(door)}
            keyring.adopt(books, door, secrets)
            keys = keyring.load(books, secrets, known)
            keyring.copy(books, door)
            sealing.sqlite(door, keys)
            statistics.tell(door)
        sealing.sqlite(books, keys)
        statistics.tell(books)
        return keys


def _number_on(journal: Path, state: Path) -> None:
    """A journal that begins anew (its file was lost), or is older than the state (a copy was put back), goes on behind
    what counts as processed, or the processor would pass over what it is given now."""
    with closing(connect(state)) as connection:
        (position,) = connection.execute("SELECT coalesce(max(seq), 0) FROM positions").fetchone()
    with closing(connect(journal)) as connection:
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").fetchone()
        if row is None and position:
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', ?)", (position,))
        elif row is not None and row[0] < position:
            connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'journal'", (position,))
