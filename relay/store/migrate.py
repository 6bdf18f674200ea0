"""Bring a database to the present schema (yoyo-migrations; the SQL is in ``store/migrations``)."""

import contextlib
import errno
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from yoyo import get_backend, read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import default_migration_table

from relay.store.dialect import Session

_FOLDER = Path(__file__).parent / "migrations"


def sqlite(path: Path, part: str) -> list[str]:
    """Apply what is missing of ``part`` (``journal`` or ``state``); the names of the migrations applied."""
    logging.getLogger("yoyo").setLevel(logging.WARNING)
    wanted = read_migrations(str(_FOLDER / part))
    with alone(path):
        if _applied(path) >= {migration.hash for migration in wanted}:
            return []
        backend = get_backend(f"sqlite:///{path.absolute()}")
        try:
            # yoyo's own lock is a row, which outlives a process that was killed; ours ends with its process.
            backend.break_lock()
            return _apply(backend, wanted)
        finally:
            backend.connection.close()


def _apply(backend: Any, wanted: Any) -> list[str]:
    """What is missing of ``wanted``, each migration and the note that it is there in one transaction: yoyo's own way
    has two, and a process that is killed between them leaves a database that no later start can bring any further."""
    backend.ensure_internal_schema_updated()
    missing = backend.to_apply(wanted)
    for migration in missing:
        with backend.transaction():
            migration.process_steps(backend, "apply")
            backend.mark_one(migration)
    return [migration.id for migration in missing]


def _applied(path: Path) -> set[str]:
    """The hashes of what the file at ``path`` has been brought to, asked without writing: a start must get by beside a
    program that holds the lock. Raises PermissionError where the file may not be written, and sqlite3.Error."""
    if path.exists() and not os.access(path, os.W_OK):  # SQLite would open it all the same, to read
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        known = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
        if connection.execute(known, (default_migration_table,)).fetchone() == (0,):
            return set()
        return {hash_ for (hash_,) in connection.execute(f"SELECT migration_hash FROM {default_migration_table}")}


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Relays that start together on one database migrate one after the other."""
    name = path.with_name(f"{path.name}.migrating")
    while True:
        with name.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, name):
                continue  # who had it has taken it away, and another may hold a new one
            yield
            name.unlink(missing_ok=True)
            return


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def postgres(guard: Session, parameters: Mapping[str, Any]) -> list[str]:
    """Apply what is missing to the database that ``guard`` is a session of; ``parameters`` lead there too."""
    logging.getLogger("yoyo").setLevel(logging.WARNING)
    # Relays that start together migrate one after the other. The lock ends with the session, as yoyo's own does not.
    guard.execute("SELECT pg_advisory_lock(hashtextextended('backflow migrate', 0))")
    known = {name: parameters.get(name) for name in ("user", "password", "host", "port", "dbname")}
    others = {name: value for name, value in parameters.items() if name not in known}
    user, password, host, port, database = known.values()
    uri = DatabaseURI("postgresql+psycopg", user, password, host, port, database, others)
    backend = PostgresqlPsycopgBackend(uri, default_migration_table)
    try:
        backend.init_database()
        backend.break_lock()
        return _apply(backend, read_migrations(str(_FOLDER / "postgres")))
    finally:
        backend.connection.close()
        guard.execute("SELECT pg_advisory_unlock_all()")
