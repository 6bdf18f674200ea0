"""A database made before values were sealed is carried over, once, when it is first opened.

In batches, each a transaction of its own. Cut off at any moment, it goes on at the next start: what is sealed already
is known by its first byte, and a part counts as done (table ``unsealed``) only after its last batch. At the end the
files are written anew, so that no plain value stays in pages that are free now.
"""

import logging
import sqlite3
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from relay.store import vault
from relay.store.connection import Connection
from relay.store.dialect import Session, Speaking
from relay.store.keyring import Keyring

log = logging.getLogger("relay.sealing")

#: Rows of a transaction, and after how many rows the log says how far it is.
_BATCH, _TOLD_EVERY = 500, 50_000
#: Stands in ``unsealed`` from the first value sealed in place until the files are written anew.
_FILES = "files"


class _Part(Struct, frozen=True):
    """A table whose values are sealed in place: its key, and its columns."""

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]


_PARTS = (
    _Part("persons", ("site_id", "person_id"), ("traits",)),
    _Part("events", ("event_id",), ("body",)),
    _Part("deliveries", ("delivery_id",), ("payload", "recipient")),
    _Part("journal", ("site_id", "seq"), ("body",)),
)


def remaining(connection: Connection) -> list[str]:
    """The parts that are still to be sealed."""
    return sorted({row[0] for row in connection.execute("SELECT part FROM unsealed").fetchall()})


def sites(connection: Connection) -> set[str]:
    """The sites that have rows in these parts."""
    return {
        row[0]
        for part in remaining(connection)
        if part != _FILES
        for row in connection.execute(f"SELECT DISTINCT site_id FROM {part}").fetchall()
    }


def sqlite(connection: sqlite3.Connection, keys: Keyring) -> None:
    """Seal what is left of a file. ``connection`` is in autocommit, and nobody else migrates. Raises sqlite3.Error."""
    _carry_over(connection, keys, "BEGIN IMMEDIATE")
    if _FILES in remaining(connection):
        log.info("writing the database file anew: plain values must not stay in its free pages")
        connection.execute("VACUUM")
        (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            log.warning("another process reads the database: its file is written anew at the next start")
        else:
            connection.execute("DELETE FROM unsealed WHERE part = ?", (_FILES,))


def postgres(session: Session, keys: Keyring) -> None:
    """Seal what is left of the database. ``session`` is in autocommit, and nobody else seals. Raises psycopg.Error."""
    if not remaining(connection := Speaking(session)):
        return
    session.execute("SET statement_timeout = 0")
    kind = "SELECT data_type FROM information_schema.columns WHERE table_schema = current_schema()"
    row = session.execute(f"{kind} AND table_name = 'deliveries' AND column_name = 'payload'").fetchone()
    if row == ("text",):
        session.execute("ALTER TABLE deliveries ALTER COLUMN payload TYPE BYTEA USING convert_to(payload, 'UTF8')")
    _carry_over(connection, keys, "BEGIN")
    if _FILES in remaining(connection):
        log.info("writing the tables anew: plain values must not stay in their dead rows")
        for part in _PARTS:
            session.execute(f"VACUUM (FULL) {part.table}".encode())
        session.execute("DELETE FROM unsealed WHERE part = 'files'")


def _carry_over(connection: Connection, keys: Keyring, begin: str) -> None:
    left = remaining(connection)
    for part in _PARTS:
        if part.table in left:
            _seal_in_place(connection, keys, begin, part)
    if "identifiers" in left:
        _seal_identifiers(connection, keys, begin)


def _seal_in_place(connection: Connection, keys: Keyring, begin: str, part: _Part) -> None:
    n = 0
    for rows in _batches(connection, part):
        changes = [change for row in rows if (change := _sealed(keys, part, row))]
        if not changes:
            continue
        connection.execute(begin)
        if n == 0:
            connection.execute("INSERT INTO unsealed (part) VALUES (?)", (_FILES,))
        where = " AND ".join(f"{name} = ?" for name in part.key)
        for key, values in changes:
            sets = ", ".join(f"{name} = ?" for name in values)
            connection.execute(f"UPDATE {part.table} SET {sets} WHERE {where}", (*values.values(), *key))
        connection.execute("COMMIT")
        n = _told(part.table, n, len(changes))
    connection.execute("DELETE FROM unsealed WHERE part = ?", (part.table,))


def _batches(connection: Connection, part: _Part) -> Iterator[list[tuple[Any, ...]]]:
    """The rows in the order of their key: the key, the site, the columns."""
    names, marks = ", ".join(part.key), ", ".join("?" * len(part.key))
    select = f"SELECT {names}, site_id, {', '.join(part.columns)} FROM {part.table}"
    rows = connection.execute(f"{select} ORDER BY {names} LIMIT {_BATCH}").fetchall()
    while rows:
        yield rows
        after = rows[-1][: len(part.key)]
        sql = f"{select} WHERE ({names}) > ({marks}) ORDER BY {names} LIMIT {_BATCH}"
        rows = connection.execute(sql, after).fetchall()


def _sealed(keys: Keyring, part: _Part, row: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, bytes]] | None:
    """The key of the row and its values sealed; None when there is nothing left to seal."""
    key, site_id, values = row[: len(part.key)], row[len(part.key)], row[len(part.key) + 1 :]
    changed = {}
    for name, value in zip(part.columns, values, strict=True):
        plain = value.encode() if isinstance(value, str) else bytes(value or b"")
        if plain and not vault.is_sealed(plain):
            changed[name] = keys.of(site_id).seal(f"{part.table}.{name}", plain)
    return (key, changed) if changed else None


def _seal_identifiers(connection: Connection, keys: Keyring, begin: str) -> None:
    n = 0
    others = "person_id, trust, first_at, last_at, message_id"
    select = f"SELECT site_id, kind, value, {others} FROM identifiers LIMIT {_BATCH}"
    while rows := connection.execute(select).fetchall():
        connection.execute(begin)
        if n == 0:
            connection.execute("INSERT INTO unsealed (part) VALUES (?)", (_FILES,))
        for site_id, kind, value, *rest in rows:
            site = keys.of(site_id)
            sealed = site.seal(f"identifiers.{kind}", value.encode())
            connection.execute(
                f"INSERT INTO sealed_identifiers (site_id, kind, hash, value, {others})"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (site_id, kind, hash) DO NOTHING",
                (site_id, kind, site.look_up(kind, value), sealed, *rest),
            )
            connection.execute(
                "DELETE FROM identifiers WHERE site_id = ? AND kind = ? AND value = ?", (site_id, kind, value)
            )
        connection.execute("COMMIT")
        n = _told("identifiers", n, len(rows))
    connection.execute(begin)
    connection.execute("DROP TABLE identifiers")
    connection.execute("ALTER TABLE sealed_identifiers RENAME TO identifiers")
    connection.execute("DELETE FROM unsealed WHERE part = 'identifiers'")
    connection.execute("COMMIT")


def _told(part: str, before: int, more: int) -> int:
    if before == 0 or before // _TOLD_EVERY != (before + more) // _TOLD_EVERY:
        log.info(f"encrypting what was kept before: {before + more} rows of {part}")
    return before + more
