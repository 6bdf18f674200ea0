"""What every store promises.

    collect --append--> JOURNAL --entries--> process --transact--> STATE + OUTBOX --claim--> deliver --settle-->

``append`` returns after the commit is on disk. ``transact`` commits all of its work or none. Nothing else of the
relay opens the database. Callers give and get plain values; personal data lies encrypted (``store.vault``).
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from relay.store.connection import Connection
from relay.store.dispatch import Dispatch
from relay.store.graph import Graph
from relay.store.history import History
from relay.store.holdings import Holdings
from relay.store.keyring import Keyring
from relay.store.ledger import Ledger
from relay.store.outbox import Outbox
from relay.store.privacy import Privacy
from relay.store.requests import Requests
from relay.store.rows import Entry, JournalRow
from relay.store.sketches import Sketches
from relay.store.traces import Traces

T = TypeVar("T")
#: Turns a driver's error into one of ours and leaves every other as it is.
Told = Callable[[BaseException], BaseException]


class Transaction(Struct, frozen=True):
    """The state's tables inside one transaction, by subject."""

    graph: Graph
    traces: Traces
    outbox: Outbox
    dispatch: Dispatch
    ledger: Ledger
    privacy: Privacy
    holdings: Holdings
    requests: Requests
    history: History
    sketches: Sketches
    connection: Connection
    told: Told

    @classmethod
    def on(cls, connection: Connection, keys: Keyring, told: Told = lambda error: error) -> "Transaction":
        return cls(
            graph=Graph(connection, keys),
            traces=Traces(connection, keys),
            outbox=Outbox(connection, keys),
            dispatch=Dispatch(connection, keys),
            ledger=Ledger(connection, keys),
            privacy=Privacy(connection, keys),
            holdings=Holdings(connection, keys),
            requests=Requests(connection, keys),
            history=History(connection, keys),
            sketches=Sketches(connection, keys),
            connection=connection,
            told=told,
        )

    def attempt(self, work: Callable[[], T]) -> T:
        """Run ``work`` inside the transaction; when it raises, only its own changes are undone.

        What the database's driver raises leaves as StoreUnavailable or StoreRefused.
        """
        try:
            return self._attempt(work)
        except BaseException as error:
            mine = self.told(error)
            if mine is error:
                raise
        raise mine  # out here: it shall not hold on to the driver's error, which holds on to cursors

    def _attempt(self, work: Callable[[], T]) -> T:
        self.connection.execute("SAVEPOINT attempt")
        try:
            result = work()
        except BaseException:
            self.connection.execute("ROLLBACK TO attempt")
            raise
        finally:
            self.connection.execute("RELEASE attempt")
        return result


class Leases(Protocol):
    """Who works: of all processes on a database, one at a time has a role (``processor``, ``sender``) of a site, and
    sends for an ``account``. All that a process holds is lost together."""

    async def take(self, name: str, role: str) -> asyncio.Event:
        """Wait until the role is ours; the event is set when it is lost. Asked again while it is ours: at once.

        ``name`` is the site's, or the account's.
        """
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...


class Store(Protocol):
    """The contract every database keeps."""

    #: The database as it may be shown to the operator.
    shown: str

    async def append(self, *entries: Entry) -> None:
        """Put a request into the journal, all of it or nothing; returns after its commit.

        Raises StoreBusy or StoreUnavailable.
        """
        ...

    async def entries(self, site_id: str, after: int, limit: int) -> Sequence[JournalRow]:
        """The site's journal rows behind position ``after``, in order."""
        ...

    async def trim(self, site_id: str, up_to: int, older_than: float) -> int:
        """Delete the site's journal rows up to position ``up_to`` received before ``older_than``; how many."""
        ...

    async def transact(self, work: Callable[[Transaction], T], site_id: str | None = None) -> T:
        """Run ``work`` and commit; on any exception nothing of it stays. Raises StoreUnavailable or StoreRefused.

        Transactions of a site happen one after the other; one that names no ``site_id`` is alone with all sites.
        """
        ...

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work``, which only reads, out of the writers' way. Raises StoreUnavailable."""
        ...

    async def mentions(self, site_id: str, marks: Collection[str]) -> Sequence[JournalRow]:
        """The site's journal rows that hold any of these words, in any letter case, processed or not."""
        ...

    async def scrub(self, site_id: str, marks: Collection[str]) -> int:
        """Delete the site's processed journal rows that hold any of these words, in any letter case; how many."""
        ...

    async def opens(self) -> dict[str, bool]:
        """Whether the data key of each site opens as it is kept now. Raises StoreUnavailable."""
        ...

    def leases(self, hear: Callable[[str], None]) -> Leases:
        """Begin to take part in the work; ``hear`` is told what other processes ``ring``.

        Raises SettingsError when another process works on a database that allows only one.
        """
        ...

    def ring(self, bell: str) -> None:
        """Tell the other processes at work, soon. A hint that may get lost: they look for work on their own too."""
        ...

    async def check(self) -> None:
        """Prove that both the journal and the state can be written now. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Finish what is queued and close. May be called twice."""
        ...
