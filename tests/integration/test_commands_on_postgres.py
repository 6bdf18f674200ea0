"""The commands on PostgreSQL: the same work, and the database's password shows nowhere."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from typer.testing import Result

from relay.delivery.states import State
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.model import Reason, Trust
from relay.store.base import Transaction
from relay.store.postgres import PostgresStore
from tests import factories
from tests.integration import test_command_line as command_line
from tests.postgres import Server

PASSWORD = "do-not-show-this"
JANE = Identifier(IdentifierKind.EMAIL, "jane@harbour.example")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    """A fresh database, not migrated yet; its URL has a password."""
    made = postgres.empty_database("commands")
    yield made if "password" in conninfo_to_dict(made) else f"{made}&password={PASSWORD}"
    postgres.forget(made)


def run(url: str, *arguments: str) -> Result:
    result = command_line.run(*arguments, RELAY_DATABASE_URL=url)
    assert PASSWORD not in result.output
    return result


def tell(url: str, *works: object) -> list[object]:
    """Transactions on the database, and what they answer."""

    async def story() -> list[object]:
        store = PostgresStore(url, [command_line.SIGNING_KEY], ["default"])
        answers: list[object] = [await store.transact(work) for work in works]  # type: ignore[arg-type]
        await store.close()
        return answers

    return asyncio.run(story())


def test_migrate_says_where_and_can_be_repeated(url: str) -> None:
    for _ in range(2):
        result = run(url, "migrate")
        assert result.exit_code == 0, result.output
        assert "The database is at the present schema: postgresql://" in result.output


def test_doctor_finds_the_database_well(url: str) -> None:
    result = run(url, "doctor")
    assert "ok   Database: postgresql://" in result.output


def test_replay_puts_dead_deliveries_back(url: str) -> None:
    dead = factories.draft(site_id="default", state=State.DEAD, reason=Reason.REFUSED)

    def die(tx: Transaction) -> None:
        assert tx.outbox.add(dead)
        tx.connection.execute("UPDATE deliveries SET settled_at = extract(epoch FROM now())")

    tell(url, die)
    assert "refused" in run(url, "replay", "--list").output
    assert "1 deliveries put back" in run(url, "replay").output
    assert "0 deliveries put back" in run(url, "replay").output
    (sums,) = tell(url, lambda tx: tx.outbox.sums())
    assert sums == [("default", "ready", "refused", 1)]


def test_forget_erases_the_person(url: str) -> None:
    def know(tx: Transaction) -> None:
        person = tx.graph.new_person("default", 1.0)
        tx.graph.attach("default", JANE, person, trust=Trust.SERVER, at=1.0, message_id="m")

    tell(url, know)
    assert "Erased on 1 site(s)." in run(url, "forget", JANE.value).output
    (owners,) = tell(url, lambda tx: tx.graph.owners("default", [JANE]))
    assert owners == {}


@pytest.mark.parametrize("command", ["migrate", "doctor", "replay", "work", "serve"])
@pytest.mark.parametrize(
    "address",
    [f"postgresql://relay:{PASSWORD}@127.0.0.1:1/db", f"postgres://relay:{PASSWORD}@127.0.0.1:port/db"],
    ids=["nobody there", "no port"],
)
def test_a_database_that_cannot_be_used_is_named_in_one_line(
    command: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.cli.running.set_up_logging", lambda: None)
    result = run(address, command)
    assert result.exit_code == 1
    assert "RELAY_DATABASE_URL" in result.output
    assert len(result.output.strip().splitlines()) == 1
