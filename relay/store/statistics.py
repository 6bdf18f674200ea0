"""What SQLite's planner is told of the rows, so that it finds an event's few among all that are kept.

Every key begins with ``site_id``, which selects nearly all there is. Without statistics SQLite takes each column of an
index to narrow a search alike, and looks through a whole site where an index of the visitor or person stands beside.
Counting rows (``ANALYZE``) would take long, and say of a young database that a site is small. The shape is known from
the schema, so it is written down instead (``sqlite_stat1``, https://sqlite.org/fileformat2.html#stat1tab).

A connection reads the statistics with the schema: those opened after ``tell`` go by them. PostgreSQL counts by itself.
"""

import sqlite3
from collections.abc import Iterator, Sequence

#: Rows of a table that has grown, of one of its sites, and of one ID, hash or moment. Of several sites none must
#: look through the others' rows either (the journal).
_ALL, _SITE, _FEW = 1_000_000, 100_000, 10
#: Columns with a handful of values, each of which leaves this part of the rows.
COARSE, _PART = frozenset({"evidence", "feature", "is_same", "kind", "name", "reason", "scope", "source", "state"}), 8

#: A row of ``sqlite_stat1``: the table, the index, and how many rows its first 0, 1, 2 ... columns leave.
Shape = tuple[str, str, str]


def tell(connection: sqlite3.Connection) -> None:
    """Have the file hold the shape of each of its indexes. ``connection`` is in autocommit; raises sqlite3.Error.

    What an operator's own ``ANALYZE`` has found gives way: it was so on that day.
    """
    told, tables = sorted(_shapes(connection)), _names(connection, "table")
    is_sampled = "sqlite_stat4" in tables  # where SQLite was built to do so, samples go before shapes
    if "sqlite_stat1" in tables and not is_sampled:
        kept = connection.execute("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY tbl, idx").fetchall()
        if kept == told:
            return  # nothing is written: a start must get by beside a program that holds the lock
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ANALYZE sqlite_master")  # makes the table and counts nothing
    connection.execute("DELETE FROM sqlite_stat1")
    connection.executemany("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", told)
    if is_sampled:
        connection.execute("DROP TABLE sqlite_stat4")
    connection.execute("COMMIT")


def _shapes(connection: sqlite3.Connection) -> Iterator[Shape]:
    listed = _names(connection, "index")
    for table in _names(connection, "table"):
        for _, index, is_unique, _, is_partial in connection.execute(f"PRAGMA index_list({table})").fetchall():
            columns = [row[2] for row in connection.execute(f"PRAGMA index_info({index})")]
            # A table WITHOUT ROWID is its primary key, which goes by the table's name.
            name = index if index in listed else table
            yield table, name, " ".join(map(str, _left(columns, bool(is_unique), bool(is_partial))))


def _left(columns: Sequence[str], is_unique: bool, is_partial: bool) -> Iterator[int]:
    """How many rows are left by the first 0, 1, 2 ... columns."""
    # What has an index of its own (unsent, under way, orders) is a part of all.
    rows = _ALL // _PART if is_partial else _ALL
    yield rows
    for number, name in enumerate(columns, 1):
        if is_unique and number == len(columns):
            rows = 1
        elif name == "site_id":
            rows = rows * _SITE // _ALL
        elif name in COARSE:
            rows = max(rows // _PART, 1)
        else:
            rows = min(rows, _FEW)
        yield rows


def _names(connection: sqlite3.Connection, of: str) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = ?", (of,))}
