"""What every store promises.

    collect --append--> JOURNAL --entries--> process --transact--> STATE + OUTBOX --claim--> deliver --settle-->

``append`` returns after the commit is on disk. ``transact`` commits all of its work or none. Nothing else of the
relay opens the database.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from relay.store.connection import Connection
from relay.store.dispatch import Dispatch
from relay.store.graph import Graph
from relay.store.ledger import Ledger
from relay.store.outbox import Outbox
from relay.store.rows import Entry, JournalRow

T = TypeVar("T")


class Transaction(Struct, frozen=True):
    """The state's tables inside one transaction, by subject."""

    graph: Graph
    outbox: Outbox
    dispatch: Dispatch
    ledger: Ledger
    connection: Connection

    @classmethod
    def on(cls, connection: Connection) -> "Transaction":
        return cls(Graph(connection), Outbox(connection), Dispatch(connection), Ledger(connection), connection)

    def attempt(self, work: Callable[[], T]) -> T:
        """Run ``work`` inside the transaction; when it raises, only its own changes are undone."""
        self.connection.execute("SAVEPOINT attempt")
        try:
            result = work()
        except BaseException:
            self.connection.execute("ROLLBACK TO attempt")
            raise
        finally:
            self.connection.execute("RELEASE attempt")
        return result


class Store(Protocol):
    """The contract every database keeps."""

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

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` and commit; on any exception nothing of it stays. Raises StoreUnavailable."""
        ...

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work``, which only reads, out of the writers' way. Raises StoreUnavailable."""
        ...

    async def scrub(self, site_id: str, email: str) -> int:
        """Delete the site's processed journal rows that hold this address; how many."""
        ...

    async def check(self) -> None:
        """Prove that both the journal and the state can be written now. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Finish what is queued and close. May be called twice."""
        ...
