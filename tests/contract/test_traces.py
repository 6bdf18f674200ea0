"""Traces in both databases: who was last at work with a value is right, though not every sighting is written."""

from functools import partial

import pytest

from relay.identity.evidence import Evidence
from relay.identity.tenure import Tenure
from relay.identity.traces import NOTE_EVERY_SECONDS, Sighting, Trace, TraceKind
from relay.store.base import Transaction
from relay.store.traces import CartCall
from tests import factories
from tests.contract.conftest import OpenStore
from tests.factories import NOW

CART = Trace(TraceKind.CART, "hWN1xPt0ken")
SOON, LATER, LATEST = 300.0, 660.0, 700.0
assert LATEST < NOTE_EVERY_SECONDS


def use(tx: Transaction, visitor: str, after: float, *, told: float | None = None) -> bool:
    """The visitor does something with the cart ``after`` seconds; the relay hears of it ``told`` seconds after."""
    at = NOW + after
    event = factories.stored_event(
        visitor_id=visitor, message_id=f"{visitor}-{after}", occurred_at=at, received_at=NOW + (told or after) + 1
    )
    tx.ledger.add_event(event)
    return tx.traces.note("shop", CART, visitor, at=at, network="7f0000/24", browser="iOS/Safari")


def spans(opened: OpenStore) -> dict[str, tuple[float, float]]:
    jars: list[Sighting] = opened.do(lambda tx: tx.traces.jars("shop", CART))
    return {jar.visitor_id: (jar.first_at - NOW, jar.last_at - NOW) for jar in jars}


def test_what_one_jar_uses_alone_is_written_now_and_then(opened: OpenStore) -> None:
    assert opened.do(lambda tx: [use(tx, "ann", after) for after in (0, SOON, LATER)]) == [True, False, False]
    assert spans(opened) == {"ann": (0, 0)}
    opened.do(lambda tx: use(tx, "ann", NOTE_EVERY_SECONDS + 1))
    assert spans(opened) == {"ann": (0, NOTE_EVERY_SECONDS + 1)}


def test_who_uses_it_after_another_has_begun_is_noted_at_once(opened: OpenStore) -> None:
    for visitor, after in (("ann", 0.0), ("bob", SOON), ("ann", LATER)):
        opened.do(partial(use, visitor=visitor, after=after))
    assert spans(opened) == {"ann": (0, LATER), "bob": (SOON, SOON)}


def test_another_beginning_that_is_told_late_finds_who_was_still_at_work(opened: OpenStore) -> None:
    opened.do(lambda tx: [use(tx, "ann", after) for after in (0, LATER, LATEST)])
    opened.do(lambda tx: use(tx, "bob", SOON, told=LATEST))
    assert spans(opened) == {"ann": (0, LATEST), "bob": (SOON, SOON)}


def test_a_first_sighting_that_moves_back_does_so_too(opened: OpenStore) -> None:
    opened.do(lambda tx: [use(tx, "ann", after) for after in (0, LATER)])
    opened.do(lambda tx: use(tx, "bob", LATEST))
    assert spans(opened) == {"ann": (0, 0), "bob": (LATEST, LATEST)}, "nobody was at work after him"
    opened.do(lambda tx: use(tx, "bob", SOON, told=LATEST + 1))
    assert spans(opened) == {"ann": (0, LATER), "bob": (SOON, LATEST)}


@pytest.mark.parametrize("other", [Trace(TraceKind.CHECKOUT, CART.value), Trace(TraceKind.CART, "an0therToken")])
def test_another_value_in_another_jar_makes_nobody_write(opened: OpenStore, other: Trace) -> None:
    opened.do(lambda tx: use(tx, "ann", 0))
    opened.do(lambda tx: tx.traces.note("shop", other, "bob", at=NOW + SOON, network=None, browser=None))
    opened.do(lambda tx: tx.traces.note("other", CART, "bob", at=NOW + SOON, network=None, browser=None))
    opened.do(lambda tx: use(tx, "ann", LATER))
    assert spans(opened) == {"ann": (0, 0)}


def test_what_a_visitor_has_left_while_it_was_a_persons_is_forgotten(opened: OpenStore) -> None:
    values = [Trace(TraceKind.CART, f"hWN1xPt0ken{n}") for n in range(3)]

    def leave(tx: Transaction) -> None:
        for n, value in enumerate(values):
            tx.traces.note("shop", value, "ann", at=NOW + n, network=None, browser=None)
            tx.graph.untie("shop", "ann", at=NOW + n, reason=f"reason {n}")
        tx.traces.note("shop", values[1], "bob", at=NOW + 1, network=None, browser=None)
        tx.traces.forget("shop", Tenure(visitor_id="ann", since=NOW + 0.5, until=NOW + 1))

    opened.do(leave)
    found = opened.do(lambda tx: [[jar.visitor_id for jar in tx.traces.jars("shop", value)] for value in values])
    assert found == [["ann"], ["bob"], ["ann"]]
    sql = "SELECT reason FROM unties ORDER BY reason"
    assert opened.do(lambda tx: [row[0] for row in tx.connection.execute(sql)]) == ["reason 0", "reason 2"]


CALL = CartCall(message_id="order", person_id="ann", evidence=Evidence.ORDER, at=NOW)
CHECKOUT = Trace(TraceKind.CHECKOUT, "640ac4541c951dfd")


def test_what_a_server_says_of_a_cart_is_found_by_each_of_its_values_until_it_is_answered(opened: OpenStore) -> None:
    def look(tx: Transaction) -> list[list[CartCall]]:
        return [tx.traces.calls("shop", trace) for trace in (CART, CHECKOUT)] + [tx.traces.calls("other", CART)]

    opened.do(lambda tx: tx.traces.note_call("shop", [CART, CHECKOUT], CALL, now=NOW))
    opened.do(lambda tx: tx.traces.note_call("shop", [CART], CALL, now=NOW + 1))  # told again
    assert opened.do(look) == [[CALL], [CALL], []]
    opened.do(lambda tx: use(tx, "ann", 0))
    jars = opened.do(lambda tx: tx.traces.jars_of_call("shop", CALL))
    assert sorted([jar.visitor_id for jar in each] for each in jars) == [[], ["ann"]]
    opened.do(lambda tx: tx.traces.end_call("other", CALL.message_id))
    assert opened.do(look)[0] == [CALL]
    opened.do(lambda tx: tx.traces.end_call("shop", CALL.message_id))
    assert opened.do(look) == [[], [], []]


def test_what_a_server_says_of_a_cart_is_kept_for_its_time_and_no_longer_than_its_person(opened: OpenStore) -> None:
    opened.do(lambda tx: tx.traces.note_call("shop", [CART], CALL, now=NOW))
    opened.do(lambda tx: tx.traces.delete("shop", seen_before=NOW, claimed_before=NOW))
    assert opened.do(lambda tx: tx.traces.calls("shop", CART)) == [CALL]
    opened.do(lambda tx: tx.traces.delete("shop", seen_before=NOW, claimed_before=NOW + 1))
    assert opened.do(lambda tx: tx.traces.calls("shop", CART)) == []
    opened.do(lambda tx: tx.traces.note_call("shop", [CART], CALL, now=NOW))
    opened.do(lambda tx: tx.graph.forget("shop", "bob"))
    assert opened.do(lambda tx: tx.traces.calls("shop", CART)) == [CALL]
    opened.do(lambda tx: tx.graph.forget("shop", "ann"))
    assert opened.do(lambda tx: tx.traces.calls("shop", CART)) == []
