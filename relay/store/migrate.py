"""Bring a database to the present schema (yoyo-migrations; the SQL is in ``store/migrations``)."""

import logging
from pathlib import Path

from yoyo import get_backend, read_migrations

_FOLDER = Path(__file__).parent / "migrations"


def sqlite(path: Path, part: str) -> list[str]:
    """Apply what is missing of ``part`` (``journal`` or ``state``); the names of the migrations applied."""
    logging.getLogger("yoyo").setLevel(logging.WARNING)
    backend = get_backend(f"sqlite:///{path.absolute()}")
    try:
        migrations = backend.to_apply(read_migrations(str(_FOLDER / part)))
        if migrations:
            with backend.lock():
                backend.apply_migrations(migrations)
        return [migration.id for migration in migrations]
    finally:
        backend.connection.close()
