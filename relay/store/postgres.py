"""PostgreSQL: several relays and workers on one database, the journal and the state beside each other in it.

Two orders have to be kept, and both are advisory locks that end with their transaction:

- The journal of a site. Numbers are given before the commit, so of two appends the later number could be seen first,
  and a processor that went on behind it would never see the earlier one. Appends of a site therefore take turns: the
  lock is taken before the numbers and goes after the commit, so whoever sees a row sees every row before it. All of an
  append goes to the server in one piece: the lock is never held while a relay thinks or hangs, and requests that
  arrive meanwhile share the next commit.
- The state of a site. Its transactions run one after the other, as on SQLite, so the rules have one world to think
  of: an erasure and a login at the same moment have an order. Sites do not wait for each other.
"""

import asyncio
import hashlib
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import psycopg

from relay.errors import StoreBusy, StoreRefused, StoreUnavailable
from relay.store import journal, keyring, migrate, partitions, sealing, sessions
from relay.store.base import Transaction
from relay.store.dialect import Session, Speaking, told
from relay.store.keyring import Keyring
from relay.store.leases import SessionLeases, channel
from relay.store.rows import Entry, JournalRow

T = TypeVar("T")

#: Requests that may wait for the journal before callers are told to come back (503).
MAX_QUEUED = 1000
#: Requests that share one commit at most: bounds how long the first of them waits.
MAX_GROUP = 256
#: Sessions for processing, sending and reading. The journal has one of its own, so collecting waits for none of them.
WORK_SESSIONS = 6
#: How long a statement may take, waiting for a lock included, in seconds: a caller at the door gets its 503 sooner.
DOOR_SECONDS, WORK_SECONDS, MIGRATION_SECONDS = 5.0, 30.0, 600.0
#: Rows deleted by one statement of ``trim``: well within its time.
TRIMMED_AT_ONCE = 20_000
#: Bells are rung at most this often: each costs PostgreSQL a transaction.
RING_SECONDS = 0.05

_APPEND = (
    "INSERT INTO journal (site_id, received_at, body) SELECT site_id, received_at, body"
    " FROM unnest($1::text[], $2::float8[], $3::bytea[]) WITH ORDINALITY AS t(site_id, received_at, body, n) ORDER BY n"
)
_TRIM = (
    "DELETE FROM journal WHERE site_id = $1 AND seq IN"
    " (SELECT seq FROM journal WHERE site_id = $1 AND seq <= $2 AND received_at < $3 ORDER BY seq LIMIT $4)"
)


class PostgresStore:
    """The Store contract on a PostgreSQL database."""

    def __init__(self, url: str, secrets: Sequence[str], sites: Iterable[str]) -> None:
        """Connect and migrate, for these sites. ``secrets`` are RELAY_SECRET_KEYS, newest first.

        Raises SettingsError for a bad URL or when none of the secrets opens what is kept, StoreUnavailable when the
        database is not there.
        """
        self._secrets = secrets
        self._address = sessions.address(url)
        self.shown = self._address.shown
        try:
            with sessions.open_session(self._address, statement_seconds=MIGRATION_SECONDS) as session:
                sessions.examine(session)
                migrate.postgres(session, self._address.parameters)
                partitions.provide(session)
                self._keys = _unlocked(session, secrets, sites)
                row = session.execute("SELECT current_database() || '.' || current_schema()").fetchone()
        except (psycopg.Error, StoreUnavailable) as error:
            raise StoreUnavailable(f"RELAY_DATABASE_URL: {self.shown} cannot be used: {told(error)}") from error
        #: What the locks belong to: two schemas of one database share nothing.
        self._home = str(row[0]) if row else ""
        self._name = uuid.uuid4().hex[:8]
        self._door = sessions.open_pool(self._address, 1, statement_seconds=DOOR_SECONDS)
        self._desk = sessions.open_pool(self._address, WORK_SESSIONS, statement_seconds=WORK_SECONDS)
        self._door_thread = ThreadPoolExecutor(1, "journal")
        self._desk_threads = ThreadPoolExecutor(WORK_SESSIONS, "state")
        self._queue: deque[tuple[Sequence[Entry], asyncio.Future[None]]] = deque()
        self._appending: asyncio.Task[None] | None = None
        self._bells: set[str] = set()
        self._ringing: asyncio.Task[None] | None = None
        self._closed = False

    # The journal

    async def append(self, *entries: Entry) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if len(self._queue) >= MAX_QUEUED:
            raise StoreBusy("the write queue is full")
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((entries, kept))
        if self._appending is None:
            self._appending = asyncio.create_task(self._append_queued())
        await kept

    async def _append_queued(self) -> None:
        """Commit what waits, group by group, until nothing does."""
        while self._queue:
            group = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_GROUP))]
            try:
                await self._run(self._door_thread, self._append, [entry for entries, _ in group for entry in entries])
            except BaseException as error:  # every request must hear of it, whatever it was
                for _, kept in group:
                    if not kept.done():
                        kept.set_exception(error)
            else:
                for _, kept in group:
                    if not kept.done():
                        kept.set_result(None)
        self._appending = None

    def _append(self, entries: Sequence[Entry]) -> None:
        columns = (
            [entry.site_id for entry in entries],
            [entry.received_at for entry in entries],
            [journal.sealed(self._keys, entry) for entry in entries],
        )
        # In one order, so that two relays never wait for each other.
        locks = sorted({self._key("journal", entry.site_id) for entry in entries})

        def append(session: Session) -> None:
            with session.pipeline():  # one piece: no answer is waited for before the COMMIT is on its way
                session.execute("BEGIN")
                for lock in locks:
                    session.execute("SELECT pg_advisory_xact_lock($1)", (lock,))
                session.execute(_APPEND, columns)
                session.execute("COMMIT")

        try:
            sessions.in_session(self._door, append)
        except StoreRefused as error:
            if not isinstance(error.__cause__, psycopg.errors.CheckViolation):
                raise
            # The journal has outgrown its ranges before the house was kept.
            sessions.in_session(self._door, partitions.provide)
            sessions.in_session(self._door, append)

    async def entries(self, site_id: str, after: int, limit: int) -> Sequence[JournalRow]:
        sql = "SELECT seq, received_at, body FROM journal WHERE site_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"

        def read(session: Session) -> list[JournalRow]:
            rows = session.execute(sql, (site_id, after, limit))
            opened = partial(journal.opened, self._keys, site_id)
            return [JournalRow.read(seq, site_id, at, body, opened) for seq, at, body in rows]

        return await self._at_desk(read)

    async def trim(self, site_id: str, up_to: int, older_than: float) -> int:
        def trim(session: Session) -> int:
            return session.execute(_TRIM, (site_id, up_to, older_than, TRIMMED_AT_ONCE)).rowcount

        deleted = 0
        while n := await self._at_desk(trim):
            deleted += n
        await self._at_desk(partitions.provide)
        await self._at_desk(partitions.drop_empty)
        return deleted

    async def mentions(self, site_id: str, marks: Collection[str]) -> Sequence[JournalRow]:
        found = [row async for row in self._mentions(site_id, marks)]
        return [JournalRow(seq, journal.decoded(text)) for seq, text in found]

    async def scrub(self, site_id: str, marks: Collection[str]) -> int:
        position = await self.read(lambda tx: tx.ledger.position(site_id))
        found = [seq async for seq, _ in self._mentions(site_id, marks) if seq <= position]
        sql = "DELETE FROM journal WHERE site_id = $1 AND seq = ANY($2)"

        def delete(group: Sequence[int], session: Session) -> None:
            session.execute(sql, (site_id, group))

        for group in journal.groups(found):
            await self._at_desk(partial(delete, group))
        return len(found)

    async def _mentions(self, site_id: str, marks: Collection[str]) -> AsyncIterator[tuple[int, bytes]]:
        """Rows that hold one of ``marks``, opened, chunk by chunk at the desk."""

        def look(session: Session, after: int) -> tuple[list[tuple[int, bytes]], int | None]:
            return journal.search(self._keys, site_id, marks, after, Speaking(session))

        after: int | None = 0
        while after is not None:
            found, after = await self._at_desk(partial(look, after=after))
            for row in found:
                yield row

    async def opens(self) -> dict[str, bool]:
        return await self._at_desk(lambda session: keyring.opens(Speaking(session), self._secrets))

    # The state

    async def transact(self, work: Callable[[Transaction], T], site_id: str | None = None) -> T:
        every = self._key("state", "")

        def transact(session: Session) -> T:
            with session.transaction():
                if site_id is None:
                    session.execute("SELECT pg_advisory_xact_lock($1)", (every,))
                else:
                    locks = "SELECT pg_advisory_xact_lock_shared($1), pg_advisory_xact_lock($2)"
                    session.execute(locks, (every, self._key("state", site_id)))
                return work(Transaction.on(Speaking(session), self._keys, told))

        return await self._at_desk(transact)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        def read(session: Session) -> T:
            with session.transaction():
                session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                return work(Transaction.on(Speaking(session), self._keys, told))

        return await self._at_desk(read)

    # The house

    def leases(self, hear: Callable[[str], None]) -> SessionLeases:
        """Begin to take part in the work; ``hear`` is told what other processes ``ring``."""
        return SessionLeases(self._address, self._home, self._name, hear, lambda role, site: self._key(role, site))

    def ring(self, bell: str) -> None:
        """Tell the other processes at work, soon."""
        self._bells.add(bell)
        if self._ringing is None and not self._closed:
            self._ringing = asyncio.create_task(self._ring())

    async def _ring(self) -> None:
        try:
            while self._bells and not self._closed:
                bells, self._bells = self._bells, set()
                await self._at_desk(partial(_notify, channel(self._home), self._name, bells))
                await asyncio.sleep(RING_SECONDS)
        except StoreUnavailable:
            self._bells.clear()
        finally:
            self._ringing = None

    async def check(self) -> None:
        # A message to nobody in the write-ahead log: a real, durable write that changes nothing.
        def write(session: Session) -> None:
            session.execute("SELECT pg_logical_emit_message(true, 'backflow', '')")

        await self._run(self._door_thread, sessions.in_session, self._door, write)
        await self._at_desk(write)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._appending is not None:
            await self._appending
        if self._ringing is not None:
            self._ringing.cancel()
            await asyncio.gather(self._ringing, return_exceptions=True)
        for threads, pool in ((self._door_thread, self._door), (self._desk_threads, self._desk)):
            await asyncio.to_thread(threads.shutdown)
            await asyncio.to_thread(pool.close)

    async def _at_desk(self, work: Callable[[Session], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        result: T = await self._run(self._desk_threads, sessions.in_session, self._desk, work)
        return result

    async def _run(self, threads: ThreadPoolExecutor, do: Callable[..., Any], *arguments: Any) -> Any:
        """In a thread, so that the loop never waits for the database."""
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, do, *arguments)
        except RuntimeError as error:
            if self._closed:
                raise StoreUnavailable("the store is closed") from error
            raise

    def _key(self, what: str, site_id: str) -> int:
        """The number of a lock: 64 bits of a hash, so that no two are the same by chance."""
        digest = hashlib.blake2b(f"{self._home}\0{what}\0{site_id}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, signed=True)


def _unlocked(session: Session, secrets: Sequence[str], sites: Iterable[str]) -> Keyring:
    """The data keys, and the database with nothing plain left in it."""
    # Relays that start together carry over one after the other.
    session.execute("SELECT pg_advisory_lock(hashtextextended('backflow seal', 0))")
    speaking = Speaking(session)
    keys = keyring.load(speaking, secrets, {*sites, *sealing.sites(speaking)})
    sealing.postgres(session, keys)
    session.execute("SELECT pg_advisory_unlock_all()")  # after a failure the session ends, and the lock with it
    return keys


def _notify(where: str, who: str, bells: set[str], session: Session) -> None:
    for bell in sorted(bells):
        session.execute("SELECT pg_notify($1, $2)", (where, f"{who} {bell}"))
