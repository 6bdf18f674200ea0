"""The processor: the journal in order, group by group, each group one transaction.

The literal list of steps every message takes is ``STEPS``. The transaction carries the journal position, so a crash
anywhere repeats nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from relay.clock import Clock
from relay.config import Site
from relay.errors import StoreError, StoreRefused
from relay.identity import measure
from relay.identity.evidence import Evidence
from relay.model import DropReason, Trust
from relay.observe import describe
from relay.pipeline import integration, parse, requests, steps, suspect
from relay.pipeline.steps import End, Work
from relay.store.base import Store, Transaction
from relay.store.rows import Entry, JournalRow

log = logging.getLogger("relay.process")

#: Requests processed in one transaction: enough to share a sync, few enough to hold the writer only briefly.
GROUP = 100
#: How often the journal is looked at when nobody rings: another process may collect (``serve --web-only``).
POLL_SECONDS = 0.5
#: How long to wait when the database cannot be written.
RETRY_SECONDS = 1.0

#: The way of a message. Order matters: nothing is stored before consent, nothing is claimed twice.
STEPS: tuple[Callable[[Work], End | None], ...] = (
    requests.hear_requests,
    steps.refuse_bots,
    steps.ask_consent,
    steps.speak_canonical,
    steps.hear_claims,
    steps.keep,
    steps.hear_klaviyo,
    integration.hear_integration,
    steps.resolve,
    suspect.suspect,
    steps.end_the_story,
    steps.queue_deliveries,
)


class Processor:
    """Processes the journal of one site. One processor a site: identity rules run in one order."""

    def __init__(
        self,
        site: Site,
        store: Store,
        clock: Clock,
        *,
        journal_rings: asyncio.Event,
        outbox_rings: asyncio.Event,
        secrets: Sequence[str] = (),
    ) -> None:
        """``secrets``: what our own link tokens are signed with, newest first."""
        self._site = site
        self._store = store
        self._clock = clock
        self._journal_rings = journal_rings
        self._outbox_rings = outbox_rings
        self._secrets = tuple(secrets)
        self._position: int | None = None
        self._off: frozenset[Evidence] = frozenset()

    async def run(self) -> None:
        """Process until cancelled. A database that cannot be written is tried again; nothing is skipped."""
        while True:
            self._journal_rings.clear()
            try:
                processed = await self.process_next()
            except StoreError as error:
                log.error("processing waits for the database", extra={"problem": type(error).__name__})
                await self._clock.wait(asyncio.Event(), RETRY_SECONDS)
                continue
            if not processed:
                await self._clock.wait(self._journal_rings, POLL_SECONDS)

    async def process_next(self) -> int:
        """Process the next group of requests; how many there were. Raises StoreError."""
        site_id = self._site.site_id
        if self._position is None:
            self._position = await self._store.read(lambda tx: tx.ledger.position(site_id))
        rows = await self._store.entries(site_id, self._position, GROUP)
        if rows:
            done = await self._store.transact(lambda tx: self._process(tx, rows), site_id)
            self._position = rows[-1].seq if done else None
            self._outbox_rings.set()
        return len(rows)

    def _process(self, tx: Transaction, rows: Sequence[JournalRow]) -> bool:
        """Whether the rows were still to be done. They are not when a commit that seemed to fail did not, or when
        another process has taken over: nobody works twice, whatever the lease says."""
        if tx.ledger.position(self._site.site_id) != self._position:
            return False
        sums: dict[tuple[str, str], int] = {}
        self._off = measure.switched_off(measure.scores(tx.ledger.labels(self._site.site_id)), self._site.min_precision)
        for row in rows:
            if row.is_damaged:
                log.error(
                    "a row of the journal cannot be read and is set aside",
                    extra={"site": self._site.site_id, "problem": f"row {row.seq}"},
                )
                tx.ledger.note_unreadable(self._site.site_id, row.seq, at=self._clock.now())
            # The relay's own entries are not messages received from anybody.
            internal = row.entry.trust is Trust.KLAVIYO
            for end in self._ends(tx, row):
                if not internal:
                    _add(sums, "received", "")
                    _add(sums, end.name, end.reason)
            for reason, n in row.entry.drops.items():
                _add(sums, "received", "", n)
                _add(sums, "dropped", reason, n)
        for (name, reason), n in sums.items():
            tx.ledger.count(self._site.site_id, name, reason, n)
        tx.ledger.advance(self._site.site_id, rows[-1].seq)
        return True

    def _ends(self, tx: Transaction, row: JournalRow) -> Iterator[End]:
        for received in row.entry.messages:
            try:
                yield tx.attempt(partial(self._take, tx, row.entry, received))
            except Exception as error:
                if isinstance(error, StoreError) and not isinstance(error, StoreRefused):
                    raise
                # A fault of ours in one message must stop neither its neighbours nor those behind it.
                log.error("a message could not be processed", extra={"problem": describe(error)})
                tx.ledger.note_failure(self._site.site_id, row.seq, received.message_id, at=self._clock.now())
                yield End("dropped", DropReason.PROCESSING_FAILED)

    def _take(self, tx: Transaction, entry: Entry, received: parse.Received) -> End:
        work = Work(
            tx=tx,
            site=self._site,
            entry=entry,
            message=parse.read_body(received),
            now=self._clock.now(),
            secrets=self._secrets,
            off=self._off,
        )
        for step in STEPS:
            if (end := step(work)) is not None:
                return end
        return End("accepted")


def _add(sums: dict[tuple[str, str], int], name: str, reason: str, n: int = 1) -> None:
    sums[name, reason] = sums.get((name, reason), 0) + n
