"""SQLite's log is carried over into its file beside the commits, not within one.

Left to itself SQLite does it in the commit that fills the log's thousandth page, and who waits for that commit waits
the longer the more people are stored, as the changed pages lie further apart (tests/benchmarks/identity_scale.py: the
99th percentile of an event was 9 ms, and is 4). Nothing depends on it: what is committed is in the log, and synced.
"""

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from relay.store.files import connect

#: Rows that are written between two rounds: with their indexes some 1,100 pages of the state.
EVERY_ROWS = 500
#: Pages of the log from which on SQLite carries over within a commit after all: where commits leave no gap, only that
#: lets the log begin anew. Most pages are carried over by then.
PAGES = 4000
#: A round is repeated for what was committed meanwhile. When all is carried over the next commit begins the log anew.
_ROUNDS = 3


class Checkpoints:
    """Of one file; for its writing thread."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error."""
        self._connection = connect(path)
        self._thread = ThreadPoolExecutor(1, f"checkpoints {path.name}")
        self._round: Future[None] | None = None
        self._rows = 0

    def after_commit(self, rows: int) -> None:
        """Begin a round when it is time; ``rows`` have been written since the last call."""
        self._rows += rows
        if self._rows >= EVERY_ROWS and (self._round is None or self._round.done()):
            self._rows = 0
            self._round = self._thread.submit(self._carry_over)

    def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()

    def _carry_over(self) -> None:
        with suppress(sqlite3.Error):  # a full disk, say: the next commit hears of it, and tells
            for _ in range(_ROUNDS):
                _, pages, carried = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if carried == pages:
                    return
