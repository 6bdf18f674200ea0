"""Longer forms of tests run by a flag."""

from collections.abc import Iterator

import pytest

from tests.postgres import Server, any_server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--crashes", type=int, default=20, help="how often the crash test kills the relay (long form: 200)"
    )
    parser.addoption("--store", default="sqlite", choices=("sqlite", "postgres"), help="what the stories are told on")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright keeps an event loop running, beside which ``asyncio.run`` refuses to work."""
    items.sort(key=lambda item: "e2e" in item.path.parts)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server; skips, and says so, where there is none."""
    with any_server() as server:
        yield server
