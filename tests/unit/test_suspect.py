"""What behaviour costs: the statements of one message, counted on a real database in memory."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import relay.store
from relay.config import Behaviour
from relay.identity.behaviour import CANDIDATES, MOST_ITEMS_A_MESSAGE, PAIRS
from relay.identity.evidence import Evidence
from relay.model import Commerce, Kind, Message, Product
from relay.pipeline.suspect import judge, suspect
from relay.pipeline.work import Work
from relay.store import keyring
from relay.store.base import Transaction
from tests import factories
from tests.factories import NOW

SCHEMA = sorted((Path(relay.store.__file__).parent / "migrations" / "state").glob("*.sql"))
SITE = factories.site(behaviour=Behaviour.SUSPECT)


class Counted:
    """A database that counts what it is asked."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.n = 0

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> sqlite3.Cursor:
        self.n += 1
        return self._connection.execute(sql, parameters)


class Desk:
    """Messages of visitors of one home, one after the other."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        for migration in SCHEMA:
            connection.executescript(migration.read_text())
        self._database = Counted(connection)
        keys = keyring.load(connection, ["a key"], ["shop"])
        self.tx = Transaction.on(self._database, keys)

    def message(self, visitor: str, *products: str, site: Any = SITE) -> int:
        """How many statements a message about these products costs."""
        lines = tuple(Product(product_id=product) for product in products)
        work = Work(
            tx=self.tx,
            site=site,
            entry=factories.entry(visitor_id=visitor),
            message=Message(type="track", message_id="m", occurred_at=NOW),
            now=NOW,
            commerce=Commerce(kind=Kind.CART_VIEWED, name="Cart Viewed", items=lines),
        )
        before = self._database.n
        assert suspect(work) is None
        return self._database.n - before

    def tie(self, visitor: str, person: str) -> int:
        """Somebody signs in; how many statements judging that costs."""
        before = self._database.n
        judge(self.tx, SITE, visitor, person)
        cost = self._database.n - before
        self.tx.graph.tie("shop", visitor, person, Evidence.FORM, at=NOW, message_id="m")
        return cost


@pytest.fixture
def desk() -> Iterator[Desk]:
    with closing(sqlite3.connect(":memory:")) as connection:
        yield Desk(connection)


def test_it_costs_nothing_when_it_is_off(desk: Desk) -> None:
    assert desk.message("v", "lamp", site=factories.site()) == 0


def test_a_message_that_shows_nothing_new_costs_one_statement(desk: Desk) -> None:
    desk.message("v", "lamp", "sofa")
    assert desk.message("v", "sofa", "lamp") == 1


def test_each_new_value_costs_two_statements_and_a_message_brings_only_so_many(desk: Desk) -> None:
    first = desk.message("v", "lamp")
    # The visitor, network, browser, product, cart; then: was anybody tied here, the sketch, the model (two).
    assert first == 1 + 2 * 5 + 4 + 1
    most = desk.message("w", *map(str, range(500)))
    assert most <= 1 + 2 * (3 + 2 * MOST_ITEMS_A_MESSAGE) + 8


def test_candidates_cost_three_statements_each_and_are_bounded(desk: Desk) -> None:
    for n in range(2 * CANDIDATES - 2):
        desk.message(f"known {n}", "lamp")
        desk.tie(f"known {n}", f"person {n}")
    cost = desk.message("v", "lamp")
    assert CANDIDATES * 3 <= cost - (1 + 2 * 5) <= 8 + 3 * CANDIDATES


def test_a_login_costs_a_bounded_number_of_statements(desk: Desk) -> None:
    costs = []
    for n in range(4 * PAIRS):
        desk.message(f"hers {n:02}", "lamp")
        costs.append(desk.tie(f"hers {n:02}", "ann"))
    assert max(costs) <= 60 + 2 * PAIRS
    assert costs[-1] <= max(costs[: 2 * PAIRS + 1]), "it does not grow with the person's browsers"
    assert desk.tie("hers 00", "ann") <= 3, "known here already: nothing to judge"


def test_a_visitor_without_a_sketch_is_not_judged(desk: Desk) -> None:
    assert desk.tie("v", "ann") == 2
