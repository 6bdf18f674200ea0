"""All of a transaction or none of it; a position moves only together with what it stands for."""

import asyncio

import pytest

from relay.errors import StoreError
from relay.store.base import Transaction
from tests import factories
from tests.contract.conftest import OpenStore


class Oops(Exception):
    """A fault of ours."""


def count(tx: Transaction) -> None:
    tx.ledger.count("shop", "received")


def received(opened: OpenStore) -> int:
    return sum(n for _, name, _, n in opened.do(lambda tx: tx.ledger.counts()) if name == "received")


def test_a_transaction_answers_what_its_work_returns(opened: OpenStore) -> None:
    assert opened.do(lambda tx: 42) == 42


def test_a_committed_transaction_outlives_the_process(opened: OpenStore) -> None:
    opened.do(count)
    opened.reopen()
    assert received(opened) == 1


@pytest.mark.parametrize("error", [Oops("x"), StoreError("x"), ValueError("x"), KeyboardInterrupt()], ids=repr)
def test_nothing_stays_of_a_transaction_that_raised(opened: OpenStore, error: BaseException) -> None:
    def work(tx: Transaction) -> None:
        count(tx)
        tx.outbox.add(factories.draft())
        tx.ledger.add_event(factories.stored_event())
        tx.ledger.advance("shop", 7)
        raise error

    with pytest.raises(type(error)):
        opened.do(work)
    assert received(opened) == 0
    assert opened.states() == {}
    assert opened.do(lambda tx: tx.ledger.position("shop")) == 0
    opened.do(count)
    assert received(opened) == 1


def test_a_transaction_that_raised_takes_nothing_of_its_neighbours(opened: OpenStore) -> None:
    def fail(tx: Transaction) -> None:
        count(tx)
        raise Oops

    async def story() -> list[BaseException | None]:
        works = [fail if index % 3 == 1 else count for index in range(30)]
        return list(await asyncio.gather(*[opened.store.transact(work) for work in works], return_exceptions=True))

    outcomes = opened.run(story())
    assert [isinstance(outcome, Oops) for outcome in outcomes] == [index % 3 == 1 for index in range(30)]
    assert received(opened) == 20


def test_transactions_at_the_same_time_lose_no_count(opened: OpenStore) -> None:
    def read_then_write(tx: Transaction) -> None:
        before = tx.ledger.position("shop")
        tx.ledger.advance("shop", before + 1)

    async def story() -> None:
        await asyncio.gather(*[opened.store.transact(read_then_write) for _ in range(50)])

    opened.run(story())
    assert opened.do(lambda tx: tx.ledger.position("shop")) == 50


# --- attempts inside a transaction -----------------------------------------------------------------------------------


def test_an_attempt_that_raised_undoes_only_itself(opened: OpenStore) -> None:
    def fail(tx: Transaction) -> None:
        count(tx)
        tx.outbox.add(factories.draft())
        raise Oops

    def work(tx: Transaction) -> str:
        count(tx)
        with pytest.raises(Oops):
            tx.attempt(lambda: fail(tx))
        tx.attempt(lambda: count(tx))
        return "went on"

    assert opened.do(work) == "went on"
    assert received(opened) == 2
    assert opened.states() == {}


def test_attempts_may_stand_within_attempts(opened: OpenStore) -> None:
    def inner(tx: Transaction) -> None:
        count(tx)
        raise Oops

    def outer(tx: Transaction) -> None:
        count(tx)
        with pytest.raises(Oops):
            tx.attempt(lambda: inner(tx))
        count(tx)

    opened.do(lambda tx: tx.attempt(lambda: outer(tx)))
    assert received(opened) == 2


def test_an_attempt_does_not_outlive_its_transaction(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        tx.attempt(lambda: count(tx))
        raise Oops

    with pytest.raises(Oops):
        opened.do(work)
    assert received(opened) == 0


# --- positions -------------------------------------------------------------------------------------------------------


def test_a_position_never_goes_back(opened: OpenStore) -> None:
    for seq in (3, 7, 5):
        opened.do(lambda tx, seq=seq: tx.ledger.advance("shop", seq))  # type: ignore[misc]
    assert opened.do(lambda tx: tx.ledger.position("shop")) == 7


def test_each_site_has_a_position_of_its_own(opened: OpenStore) -> None:
    opened.do(lambda tx: tx.ledger.advance("shop", 7))
    assert opened.do(lambda tx: (tx.ledger.position("shop"), tx.ledger.position("other"))) == (7, 0)


# --- sums ------------------------------------------------------------------------------------------------------------


def test_counts_add_up_by_site_name_and_reason(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        tx.ledger.count("shop", "received", n=3)
        tx.ledger.count("shop", "received")
        tx.ledger.count("shop", "dropped", "bot", 2)
        tx.ledger.count("shop", "dropped", "no_consent")
        tx.ledger.count("other", "received")

    opened.do(work)
    assert opened.do(lambda tx: tx.ledger.counts()) == [
        ("other", "received", "", 1),
        ("shop", "dropped", "bot", 2),
        ("shop", "dropped", "no_consent", 1),
        ("shop", "received", "", 4),
    ]
