"""The contract of every store. A new store joins ``STORES`` and is held to all of it."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest

from relay.model import DeliveryKind, Recipient
from relay.store.base import Store, Transaction
from relay.store.postgres import PostgresStore
from relay.store.rows import Claimed, Draft, JournalRow, Want
from relay.store.sqlite import SqliteStore
from tests import factories
from tests.factories import NOW
from tests.postgres import Server

T = TypeVar("T")

#: Opens the store of a test; a second opening finds what the first one kept.
Opens = Callable[[Path], Store]
STORES = ("sqlite", "postgres")


def sqlite(folder: Path) -> Store:
    return SqliteStore(folder / "relay.db", *factories.KEYS)


class OpenStore:
    """A store under test, driven step by step."""

    def __init__(self, opens: Opens, folder: Path) -> None:
        self._opens = opens
        self._folder = folder
        self._runner = asyncio.Runner()
        self.store = opens(folder)

    def run(self, story: Awaitable[T]) -> T:
        async def told() -> T:
            return await story

        return self._runner.run(told())

    def do(self, work: Callable[[Transaction], T]) -> T:
        """One transaction."""
        return self.run(self.store.transact(work))

    def reopen(self) -> None:
        """End the process, so to speak, and start another."""
        self.run(self.store.close())
        self.store = self._opens(self._folder)

    def opened(self, site_id: str, place: str, sealed: bytes) -> bytes:
        """A value as it was before it was sealed."""
        assert isinstance(self.store, SqliteStore | PostgresStore)
        return self.store._keys.of(site_id).open(place, bytes(sealed))

    def close(self) -> None:
        self.run(self.store.close())
        self._runner.close()

    # The journal

    def append(self, **changes: object) -> None:
        self.run(self.store.append(factories.entry(**changes)))

    def entries(self, site_id: str = "shop", after: int = 0, limit: int = 1000) -> Sequence[JournalRow]:
        return self.run(self.store.entries(site_id, after, limit))

    def kept_ids(self, site_id: str = "shop") -> list[str]:
        return [message.message_id for row in self.entries(site_id) for message in row.entry.messages]

    def overwrite(self, seq: int, body: bytes) -> bytes:
        """Put other bytes in the place of a row's, as a failing disk would; what was there."""
        read, write = "SELECT body FROM journal WHERE seq = ?", "UPDATE journal SET body = ? WHERE seq = ?"
        if isinstance(self.store, SqliteStore):
            with closing(sqlite3.connect(self.store.journal_path)) as connection, connection:
                (before,) = connection.execute(read, (seq,)).fetchone()
                connection.execute(write, (body, seq))
        else:
            (before,) = self.do(lambda tx: tx.connection.execute(read, (seq,)).fetchone())
            self.do(lambda tx: tx.connection.execute(write, (body, seq)))
        return bytes(before)

    # The outbox

    def add(self, **changes: object) -> Draft:
        """Queue a delivery that was not there."""
        draft = factories.draft(**changes)
        assert self.do(lambda tx: tx.outbox.add(draft))
        return draft

    def claim(
        self,
        *,
        now: float = NOW,
        limit: int = 100,
        owner: str = "worker",
        lease: float = 60,
        kinds: Sequence[DeliveryKind] = tuple(DeliveryKind),
        site_id: str = "shop",
        recipient: Callable[[str], Recipient | None] = lambda person: factories.recipient(),
    ) -> list[Claimed]:
        def claim(tx: Transaction) -> list[Claimed]:
            found: list[Claimed] = []
            for kind in kinds:
                found += tx.dispatch.claim(
                    site_id,
                    Want(kind=kind, limit=limit - len(found)),
                    now=now,
                    lease_owner=owner,
                    lease_until=now + lease,
                    recipient=lambda person, visitor: recipient(person or ""),
                )
            return found

        return self.do(claim)

    def states(self, site_id: str = "shop") -> dict[tuple[str, str], int]:
        """How many deliveries stand where: {(state, reason): n}."""
        return {
            (state, reason): n for site, state, reason, n in self.do(lambda tx: tx.outbox.sums()) if site == site_id
        }

    def row(self, delivery_id: int, *columns: str) -> tuple[object, ...]:
        """Columns of a delivery as they are stored."""
        sql = f"SELECT {', '.join(columns)} FROM deliveries WHERE delivery_id = ?"  # noqa: S608 - the tests' own names
        return tuple(self.do(lambda tx: tx.connection.execute(sql, (delivery_id,)).fetchone()))


@pytest.fixture(params=STORES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    if request.param == "sqlite":
        store = OpenStore(sqlite, tmp_path)
        yield store
        store.close()
        return
    server: Server = request.getfixturevalue("postgres")
    url = server.database()
    store = OpenStore(lambda folder: PostgresStore(url, *factories.KEYS), tmp_path)
    yield store
    store.close()
    server.forget(url)
