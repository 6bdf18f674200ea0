"""The stories are told on SQLite, and with ``--store postgres`` on PostgreSQL."""

from collections.abc import Iterator, Sequence
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
    urls: dict[Path, str] = {}

    def opens(path: Path, secrets: Sequence[str], sites: Sequence[str]) -> PostgresStore:
        if path not in urls:
            urls[path] = server.database()
        return PostgresStore(urls[path], secrets, sites)

    monkeypatch.setattr("tests.integration.world.SqliteStore", opens)
    yield
    for url in urls.values():
        server.forget(url)
