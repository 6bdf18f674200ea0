"""A connection to an SQLite file, as durable as the store promises, and what goes wrong with one in our words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relay.errors import StoreRefused, StoreUnavailable

#: How long to wait for another process that holds the database's lock, in seconds.
BUSY_SECONDS = 5.0


def told(error: BaseException) -> BaseException:
    """SQLite's error as one of ours; any other error as it is."""
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
        return StoreRefused(str(error))
    return StoreUnavailable(str(error)) if isinstance(error, sqlite3.Error) else error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What goes wrong with a file at its opening leaves as StoreUnavailable, which names the file."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"RELAY_DATABASE_URL: {path} cannot be opened: {error}") from error


def connect(path: Path, *, carry_over_at: int | None = None) -> sqlite3.Connection:
    """A connection in autocommit to the file at ``path``. Raises sqlite3.Error.

    ``carry_over_at``: the pages of the log from which on a commit carries it over into the file (None: SQLite's 1000).
    """
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if carry_over_at is not None:
            connection.execute(f"PRAGMA wal_autocheckpoint = {carry_over_at}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
