"""The second door: a delivery is queued once, claimed by one, sent to one recipient, and settled by who holds it."""

import pytest

from relay.delivery.states import State
from relay.errors import IllegalTransition
from relay.model import DeliveryKind, Reason, Trust
from relay.store.base import Transaction
from relay.store.rows import Claimed, Unsent
from tests import factories
from tests.contract.conftest import OpenStore
from tests.factories import DAY, NOW


def unsent(opened: OpenStore, *visitors: str, site_id: str = "shop") -> list[Unsent]:
    return opened.do(lambda tx: tx.outbox.unsent(site_id, visitors=visitors or ["visitor"]))


def settle(opened: OpenStore, delivery: Claimed, state: State, *, owner: str = "worker", **fields: object) -> bool:
    at = fields.pop("at", NOW)
    return opened.do(
        lambda tx: tx.dispatch.settle(delivery, state, lease_owner=owner, at=at, **fields)  # type: ignore[arg-type]
    )


def release(tx: Transaction, delivery: Unsent, state: State = State.READY, person_id: str = "person") -> None:
    tx.outbox.release(
        "shop", delivery, state, person_id=person_id, reason=Reason.KLAVIYO_ABSENT, evidence="found", confidence=0.9,
        due_at=NOW, backfill=True,
    )  # fmt: skip


# --- queued once -----------------------------------------------------------------------------------------------------


def test_the_same_thing_is_queued_once(opened: OpenStore) -> None:
    draft = opened.add()
    again = factories.draft(unique_id=draft.unique_id, metric="Another", person_id="somebody else")
    assert opened.do(lambda tx: tx.outbox.add(again)) is False
    (claimed,) = opened.claim()
    assert (claimed.metric, claimed.person_id) == (draft.metric, draft.person_id)


def test_two_sites_may_queue_the_same_thing(opened: OpenStore) -> None:
    draft = opened.add()
    opened.add(site_id="other", unique_id=draft.unique_id)
    assert (len(opened.claim()), len(opened.claim(site_id="other"))) == (1, 1)


@pytest.mark.parametrize("state", [State.READY, State.HELD])
def test_a_waiting_duplicate_gives_way_to_one_that_knows_its_person(opened: OpenStore, state: State) -> None:
    waiting = opened.add(state=State.WAITING, reason=Reason.NO_IDENTITY, person_id=None, visitor_id="browser")
    known = factories.draft(
        unique_id=waiting.unique_id, state=state, person_id="jane", visitor_id=None, metric="Better"
    )
    assert opened.do(lambda tx: tx.outbox.add(known)) is True
    (claimed,) = opened.claim()
    assert (claimed.person_id, claimed.metric) == ("jane", "Better")
    assert unsent(opened, "browser") == []


@pytest.mark.parametrize("state", [State.WAITING, State.SUPPRESSED])
def test_a_waiting_delivery_does_not_give_way_to_one_that_knows_no_better(opened: OpenStore, state: State) -> None:
    waiting = opened.add(state=State.WAITING, person_id=None)
    again = factories.draft(unique_id=waiting.unique_id, state=state, person_id=None, visitor_id="another")
    assert opened.do(lambda tx: tx.outbox.add(again)) is False
    assert len(unsent(opened)) == 1


@pytest.mark.parametrize("settled", [State.DELIVERED, State.DEAD, State.SUPPRESSED])
def test_what_is_settled_is_not_queued_again(opened: OpenStore, settled: State) -> None:
    draft = opened.add()
    settle(opened, opened.claim()[0], settled)
    assert opened.do(lambda tx: tx.outbox.add(factories.draft(unique_id=draft.unique_id))) is False
    assert opened.claim() == []


def test_what_is_being_sent_is_not_queued_again(opened: OpenStore) -> None:
    draft = opened.add()
    opened.claim()
    assert opened.do(lambda tx: tx.outbox.add(factories.draft(unique_id=draft.unique_id))) is False


# --- before they leave -----------------------------------------------------------------------------------------------


def test_unsent_are_found_by_visitor_and_by_person_once_each_oldest_first(opened: OpenStore) -> None:
    expected = [
        opened.add(state=State.WAITING, visitor_id="a", person_id=None),
        opened.add(state=State.HELD, visitor_id="b", person_id="jane"),
        opened.add(visitor_id="a", person_id="jane"),
    ]
    opened.add(visitor_id="c", person_id="john")
    opened.add(site_id="other", visitor_id="a", person_id="jane")
    opened.add(visitor_id="a", state=State.SUPPRESSED)
    found = opened.do(lambda tx: tx.outbox.unsent("shop", visitors=["a"], person_id="jane"))
    assert [delivery.state for delivery in found] == [draft.state for draft in expected]
    assert [delivery.delivery_id for delivery in found] == sorted(delivery.delivery_id for delivery in found)
    assert opened.do(lambda tx: tx.outbox.unsent("shop")) == []


def test_what_is_being_sent_is_not_unsent(opened: OpenStore) -> None:
    opened.add()
    opened.claim()
    assert unsent(opened) == []


@pytest.mark.parametrize("state", [State.READY, State.HELD])
def test_a_waiting_delivery_is_released_to_its_person(opened: OpenStore, state: State) -> None:
    opened.add(state=State.WAITING, person_id=None, reason=Reason.NO_IDENTITY)
    (waiting,) = unsent(opened)
    opened.do(lambda tx: release(tx, waiting, state, person_id="jane"))
    (claimed,) = opened.claim()
    assert (claimed.person_id, claimed.evidence, claimed.confidence, claimed.backfill) == ("jane", "found", 0.9, True)


@pytest.mark.parametrize("state", [State.DELIVERED, State.WAITING, State.SENDING, State.DEAD])
def test_a_waiting_delivery_is_not_released_into_other_states(opened: OpenStore, state: State) -> None:
    opened.add(state=State.WAITING)
    (waiting,) = unsent(opened)
    with pytest.raises(IllegalTransition):
        opened.do(lambda tx: release(tx, waiting, state))
    assert unsent(opened)[0].state is State.WAITING


@pytest.mark.parametrize("state", [State.WAITING, State.HELD, State.READY])
def test_what_has_not_left_can_be_suppressed(opened: OpenStore, state: State) -> None:
    opened.add(state=state)
    (delivery,) = unsent(opened)
    opened.do(lambda tx: tx.outbox.suppress(delivery, Reason.NATIVE_REPLAYED, at=NOW + 5))
    assert opened.states() == {("suppressed", "native_replayed"): 1}
    assert opened.row(delivery.delivery_id, "settled_at") == (NOW + 5,)
    assert opened.claim(now=NOW + DAY) == []


def test_what_stands_elsewhere_by_now_is_not_moved(opened: OpenStore) -> None:
    opened.add()
    (delivery,) = unsent(opened)
    opened.claim()
    with pytest.raises(IllegalTransition):
        opened.do(lambda tx: tx.outbox.suppress(delivery, Reason.NATIVE, at=NOW))
    assert opened.states() == {("sending", "klaviyo_absent"): 1}


def test_only_what_has_never_been_tried_turns_out_to_be_another_persons(opened: OpenStore) -> None:
    opened.add(person_id="ann")

    def reassign(tx: Transaction) -> None:
        (delivery,) = tx.outbox.unsent("shop", visitors=["visitor"])
        tx.outbox.reassign("shop", delivery, person_id="bob", evidence="found", confidence=0.9, proof=None)

    opened.do(reassign)
    (claimed,) = opened.claim()
    assert claimed.person_id == "bob"
    settle(opened, claimed, State.READY, status=503)
    (tried,) = unsent(opened)
    assert tried.is_tried
    with pytest.raises(IllegalTransition, match="has been tried"):
        opened.do(reassign)


def test_what_shall_only_be_recorded_starts_no_flow(opened: OpenStore) -> None:
    opened.add(backfill=False)
    (delivery,) = unsent(opened)
    opened.do(lambda tx: tx.outbox.only_record(delivery))
    assert opened.claim()[0].backfill is True


def test_waiting_deliveries_expire_by_the_age_of_what_happened(opened: OpenStore) -> None:
    limit = NOW - 14 * DAY
    opened.add(state=State.WAITING, occurred_at=limit - 1, created_at=limit - 1)
    opened.add(state=State.WAITING, occurred_at=limit + 1, created_at=limit + 1)
    opened.add(state=State.WAITING, occurred_at=limit - 1, created_at=NOW)  # came in late
    opened.add(state=State.READY, occurred_at=limit - 1, created_at=limit - 1)
    opened.add(state=State.HELD, occurred_at=limit - 1, created_at=limit - 1)
    opened.add(state=State.WAITING, occurred_at=limit - 1, created_at=limit - 1, site_id="other")
    assert opened.do(lambda tx: tx.outbox.expire("shop", occurred_before=limit, at=NOW)) == 2
    assert opened.states()["expired", "too_old"] == 2
    assert opened.states("other") == {("waiting", "klaviyo_absent"): 1}


# --- books -----------------------------------------------------------------------------------------------------------


def test_sums_are_by_site_state_and_reason(opened: OpenStore) -> None:
    opened.add()
    opened.add()
    opened.add(state=State.WAITING, reason=Reason.NO_IDENTITY)
    opened.add(site_id="other")
    assert opened.states() == {("ready", "klaviyo_absent"): 2, ("waiting", "no_identity"): 1}
    assert opened.states("other") == {("ready", "klaviyo_absent"): 1}


def test_the_newest_are_shown_without_addresses(opened: OpenStore) -> None:
    for number in range(3):
        opened.add(metric=f"Metric {number}", kind=DeliveryKind.LOOKUP, payload="jane@shop.example")
    opened.claim(limit=2)
    shown = opened.do(lambda tx: tx.outbox.recent("shop", limit=2))
    assert [row["metric"] for row in shown] == ["Metric 2", "Metric 1"]
    assert "jane" not in repr(shown)
    assert opened.do(lambda tx: tx.outbox.recent("other", limit=2)) == []
    sending = opened.do(lambda tx: tx.outbox.recent("shop", limit=9, states=[State.SENDING]))
    assert [row["metric"] for row in sending] == ["Metric 1", "Metric 0"]


def test_what_is_to_be_tried_again_is_counted_with_its_next_error(opened: OpenStore) -> None:
    for due, error in ((20, "later"), (10, "sooner")):
        opened.add()
        settle(opened, opened.claim()[0], State.READY, due_at=NOW + due, error=error)
    opened.add()
    assert opened.do(lambda tx: tx.outbox.retrying("shop")) == (2, "sooner")
    assert opened.do(lambda tx: tx.outbox.retrying("other")) == (0, "")


def test_a_delivery_says_whose_it_is_whether_it_has_left_or_not(opened: OpenStore) -> None:
    event_id = told(opened, Trust.SERVER)
    opened.add(unique_id="backflow:placed_order:1001", person_id="jane", event_id=event_id)
    opened.add(unique_id="backflow:placed_order:1002", person_id=None, event_id=event_id)

    def whose(unique_id: str, site_id: str = "shop", by: Trust = Trust.SERVER) -> str | None:
        return opened.do(lambda tx: tx.outbox.person_of(site_id, unique_id, told_by=by))

    assert whose("backflow:placed_order:1001") == "jane"
    assert whose("backflow:placed_order:1002") is None
    assert whose("backflow:placed_order:1003") is None
    assert whose("backflow:placed_order:1001", "other") is None
    assert whose("backflow:placed_order:1001", by=Trust.BROWSER) is None
    opened.do(lambda tx: tx.connection.execute("UPDATE deliveries SET state = 'delivered'"))
    assert whose("backflow:placed_order:1001") == "jane"


def told(opened: OpenStore, source: Trust) -> int:
    """An event that ``source`` has told; its ID."""
    event_id = opened.do(lambda tx: tx.ledger.add_event(factories.stored_event(source=source)))
    assert event_id is not None
    return event_id


ORDER = "backflow:placed_order:1001"


@pytest.mark.parametrize(
    ("source", "first", "by", "second", "given_way"),
    [
        (Trust.BROWSER, {"state": State.WAITING}, Trust.SERVER, {}, True),
        (Trust.BROWSER, {"state": State.HELD}, Trust.SERVER, {}, True),
        (Trust.BROWSER, {"state": State.READY}, Trust.SERVER, {}, True),
        (Trust.BROWSER, {"state": State.EXPIRED, "reason": Reason.TOO_OLD}, Trust.SERVER, {}, True),
        (Trust.BROWSER, {"state": State.SUPPRESSED, "reason": Reason.GPC}, Trust.SERVER, {}, True),
        (Trust.BROWSER, {"state": State.SUPPRESSED, "reason": Reason.CONSENT_WITHDRAWN}, Trust.SERVER, {}, True),
        (Trust.BROWSER, {"state": State.SUPPRESSED, "reason": Reason.CLAIM_REFUSED}, Trust.SERVER, {}, True),
        (Trust.BROWSER, {"state": State.SUPPRESSED, "reason": Reason.NATIVE}, Trust.SERVER, {}, False),
        (Trust.BROWSER, {"state": State.SUPPRESSED, "reason": Reason.FORGOTTEN}, Trust.SERVER, {}, False),
        (Trust.BROWSER, {"state": State.READY, "person_id": "bob"}, Trust.SERVER, {}, False),
        (Trust.BROWSER, {"state": State.SENDING}, Trust.SERVER, {}, False),
        (Trust.BROWSER, {"state": State.DELIVERED}, Trust.SERVER, {}, False),
        (Trust.BROWSER, {"state": State.DEAD}, Trust.SERVER, {}, False),
        (Trust.BROWSER, {"state": State.READY}, Trust.BROWSER, {}, False),
        (Trust.BROWSER, {"state": State.READY}, Trust.SERVER, {"state": State.WAITING}, False),
        (Trust.SERVER, {"state": State.READY}, Trust.SERVER, {}, False),
        (Trust.SERVER, {"state": State.SUPPRESSED, "reason": Reason.GPC}, Trust.SERVER, {}, False),
    ],
)
def test_what_a_browser_alone_has_told_gives_way_to_the_servers_word(
    opened: OpenStore,
    source: Trust,
    first: dict[str, object],
    by: Trust,
    second: dict[str, object],
    given_way: bool,
) -> None:
    opened.add(**({"unique_id": ORDER, "person_id": "ann", "event_id": told(opened, source)} | first))
    again = factories.draft(**({"unique_id": ORDER, "person_id": "bob", "event_id": told(opened, by)} | second))
    assert opened.do(lambda tx: tx.outbox.add(again)) is given_way
    (row,) = opened.do(lambda tx: tx.connection.execute("SELECT person_id, state FROM deliveries").fetchall())
    assert tuple(row) == (("bob", "ready") if given_way else (first.get("person_id", "ann"), first["state"]))


def test_a_retried_delivery_keeps_its_person_whatever_the_server_says(opened: OpenStore) -> None:
    opened.add(unique_id=ORDER, person_id="ann", event_id=told(opened, Trust.BROWSER))
    settle(opened, opened.claim()[0], State.READY, due_at=NOW + 10)
    again = factories.draft(unique_id=ORDER, person_id="bob", event_id=told(opened, Trust.SERVER))
    assert not opened.do(lambda tx: tx.outbox.add(again))
