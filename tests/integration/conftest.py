"""The stories are told on SQLite, and with ``--store postgres`` on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.store.postgres import PostgresStore
from tests.postgres import Server


@pytest.fixture(autouse=True)
def _store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.config.getoption("--store") == "sqlite":
        yield
        return
    server: Server = request.getfixturevalue("postgres")
    urls: list[str] = []

    def opens(path: Path) -> PostgresStore:
        urls.append(server.database())
        return PostgresStore(urls[-1])

    monkeypatch.setattr("tests.integration.world.SqliteStore", opens)
    yield
    for url in urls:
        server.forget(url)
