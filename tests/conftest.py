"""Longer forms of tests run by a flag; every query of every test is watched."""

import os
import sqlite3
from collections.abc import Iterator
from functools import partial

import pytest

from tests import plans
from tests.postgres import Server, any_server

# What programs print, how wide and in which colours, must not depend on where the tests run.
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "PY_COLORS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(name, None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--crashes", type=int, default=20, help="how often the crash test kills the relay (long form: 200)"
    )
    parser.addoption("--soak-days", type=int, default=132, help="how long the soak test's shop lives (long form: 400)")
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


@pytest.fixture(scope="session", autouse=True)
def _watched() -> Iterator[None]:
    """Every SQLite connection of this process tells how it finds its rows."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=plans.Watched))
        yield


@pytest.fixture(autouse=True)
def _no_query_looks_through_a_whole_site() -> Iterator[None]:
    before = len(plans.HEARD)
    yield
    assert plans.wrong(list(plans.HEARD.values())[before:]) == []
