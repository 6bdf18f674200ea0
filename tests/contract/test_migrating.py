"""A database is brought to the present schema step by step, and a start that dies at any of them costs nothing."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yoyo.backends.base import DatabaseBackend

from relay.store import migrate
from relay.store.postgres import PostgresStore
from tests import factories
from tests.postgres import Server

_FOLDER = Path(migrate.__file__).parent / "migrations"


class Killed(BaseException):
    """Nothing of ours catches it, as nothing catches SIGKILL."""


def _steps(part: str) -> range:
    return range(len(list((_FOLDER / part).glob("*.sql"))))


def _dies_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The process dies when the steps of a migration are done and before it is noted; once."""
    mark: Callable[..., None] = DatabaseBackend.mark_one
    left = [step]

    def dying(self: DatabaseBackend, migration: Any, log: bool = True) -> None:
        if left[0] == 0:
            left[0] -= 1
            raise Killed
        left[0] -= 1
        mark(self, migration, log)

    monkeypatch.setattr(DatabaseBackend, "mark_one", dying)


def _schema(path: Path) -> list[tuple[str]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name NOT LIKE '%yoyo%' ORDER BY 1"
        ).fetchall()


@pytest.mark.parametrize(
    ("part", "step"), [(part, step) for part in ("journal", "state") for step in _steps(part)]
)  # fmt: skip
def test_a_start_that_dies_between_a_migration_and_its_note_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, step: int
) -> None:
    straight, broken = tmp_path / "straight.db", tmp_path / "broken.db"
    all_of_them = migrate.sqlite(straight, part)
    _dies_at(monkeypatch, step)
    with pytest.raises(Killed):
        migrate.sqlite(broken, part)
    assert migrate.sqlite(broken, part) == all_of_them[step:]
    assert migrate.sqlite(broken, part) == []
    assert _schema(broken) == _schema(straight)


def test_a_start_on_postgresql_that_dies_there_is_made_up_for(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in _steps("postgres"):
        url = postgres.empty_database(f"dying_{step}")
        _dies_at(monkeypatch, step)
        with pytest.raises(Killed):
            PostgresStore(url, *factories.KEYS)
        asyncio.run(PostgresStore(url, *factories.KEYS).close())
