"""The second door: a delivery is queued once, claimed by one, sent to one recipient, and settled by who holds it."""

import asyncio

import pytest

from relay.delivery.states import State
from relay.errors import IllegalTransition
from relay.model import DeliveryKind, Reason, Recipient
from relay.store.base import Transaction
from relay.store.rows import Claimed, Unsent, Want
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
        delivery, state, person_id=person_id, reason=Reason.KLAVIYO_ABSENT, evidence="found", confidence=0.9,
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


# --- claims ----------------------------------------------------------------------------------------------------------


def test_a_claim_carries_all_that_sending_needs(opened: OpenStore) -> None:
    event = factories.stored_event()
    event_id = opened.do(lambda tx: tx.ledger.add_event(event))
    draft = opened.add(event_id=event_id, line=2, backfill=True)
    (claimed,) = opened.claim()
    for field in ("site_id", "kind", "unique_id", "metric", "action", "line", "occurred_at", "cause", "evidence",
                  "confidence", "person_id", "payload"):  # fmt: skip
        assert getattr(claimed, field) == getattr(draft, field), field
    assert claimed.backfill is True
    assert claimed.event == event.body
    assert claimed.recipient == factories.recipient()
    assert (claimed.attempts, claimed.first_attempt_at) == (1, NOW)


def test_a_delivery_is_claimed_by_one_worker_only(opened: OpenStore) -> None:
    for _ in range(5):
        opened.add()
    first, second = opened.claim(owner="a", limit=3), opened.claim(owner="b", limit=10)
    assert (len(first), len(second)) == (3, 2)
    assert {c.delivery_id for c in first} & {c.delivery_id for c in second} == set()
    assert opened.claim(owner="c") == []


def test_workers_that_claim_at_the_same_time_share_the_work(opened: OpenStore) -> None:
    for _ in range(40):
        opened.add()

    async def one(owner: str) -> list[int]:
        claimed = await opened.store.transact(
            lambda tx: tx.dispatch.claim(
                "shop", Want(kind=DeliveryKind.EVENT, limit=7), now=NOW, lease_owner=owner, lease_until=NOW + 60,
                recipient=lambda person, visitor: factories.recipient(),
            )
        )  # fmt: skip
        return [delivery.delivery_id for delivery in claimed]

    async def story() -> list[int]:
        return [each for claimed in await asyncio.gather(*[one(f"w{n}") for n in range(8)]) for each in claimed]

    claimed = opened.run(story())
    assert len(claimed) == len(set(claimed)) == 40


def test_the_longest_due_goes_first(opened: OpenStore) -> None:
    names = {due: opened.add(due_at=NOW - due).unique_id for due in (10, 30, 20)}
    second_of_30 = opened.add(due_at=NOW - 30).unique_id
    assert [c.unique_id for c in opened.claim(limit=3)] == [names[30], second_of_30, names[20]]


def test_nothing_is_claimed_before_it_is_due(opened: OpenStore) -> None:
    opened.add(due_at=NOW + 10)
    opened.add(state=State.HELD, due_at=NOW + 180)
    assert opened.claim(now=NOW + 9.9) == []
    assert len(opened.claim(now=NOW + 10)) == 1
    assert len(opened.claim(now=NOW + 180)) == 1


@pytest.mark.parametrize("state", [State.WAITING, State.SUPPRESSED])
def test_what_is_not_to_be_sent_is_not_claimed(opened: OpenStore, state: State) -> None:
    opened.add(state=state, due_at=NOW - DAY)
    assert opened.claim() == []


def test_only_the_kinds_asked_for_are_claimed(opened: OpenStore) -> None:
    for kind in DeliveryKind:
        opened.add(kind=kind, person_id=f"person {kind}")
    claimed = opened.claim(kinds=[DeliveryKind.PROFILE, DeliveryKind.EVENT])
    assert {c.kind for c in claimed} == {DeliveryKind.PROFILE, DeliveryKind.EVENT}
    assert opened.claim(kinds=[]) == []
    assert len(opened.claim()) == len(DeliveryKind) - 2


def test_a_site_claims_its_own_only(opened: OpenStore) -> None:
    opened.add(site_id="other")
    assert opened.claim(site_id="shop") == []


# --- recipients ------------------------------------------------------------------------------------------------------


def test_the_recipient_is_frozen_at_the_first_claim(opened: OpenStore) -> None:
    opened.add()
    (first,) = opened.claim(recipient=lambda person: Recipient(email=f"old-{person}@shop.example"))
    settle(opened, first, State.READY, due_at=NOW)
    (retry,) = opened.claim(recipient=lambda person: Recipient(email="new@shop.example"))
    assert retry.recipient == first.recipient == Recipient(email="old-person@shop.example")
    assert (retry.attempts, retry.first_attempt_at) == (2, NOW)


def test_the_recipient_stays_though_the_person_has_no_address_any_more(opened: OpenStore) -> None:
    opened.add()
    (first,) = opened.claim()
    settle(opened, first, State.READY, due_at=NOW)
    (retry,) = opened.claim(recipient=lambda person: None)
    assert retry.recipient == first.recipient


def test_a_delivery_nobody_can_receive_is_suppressed_not_sent(opened: OpenStore) -> None:
    opened.add()
    opened.add(person_id="somebody")
    claimed = opened.claim(recipient=lambda person: factories.recipient() if person == "somebody" else None)
    assert [c.person_id for c in claimed] == ["somebody"]
    assert opened.states()["suppressed", "unsendable"] == 1


def test_a_delivery_with_a_payload_asks_for_no_recipient(opened: OpenStore) -> None:
    opened.add(kind=DeliveryKind.DELETION, payload="jane@shop.example", person_id="person")
    (claimed,) = opened.claim(recipient=lambda person: None)
    assert (claimed.payload, claimed.recipient) == ("jane@shop.example", None)


def test_addresses_go_once_they_are_delivered(opened: OpenStore) -> None:
    opened.add(kind=DeliveryKind.LOOKUP, payload="secret-kx")
    opened.add()
    for claimed in opened.claim():
        assert settle(opened, claimed, State.DELIVERED, status=202)
        assert opened.row(claimed.delivery_id, "payload", "recipient") == (None, None)


# --- settling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.DELIVERED, State.DEAD, State.SUPPRESSED])
def test_an_end_is_noted_with_its_answer(opened: OpenStore, state: State) -> None:
    opened.add()
    (claimed,) = opened.claim()
    assert settle(opened, claimed, state, at=NOW + 1, status=400, error="invalid", reason=Reason.REFUSED)
    columns = ("state", "reason", "status", "error", "settled_at", "lease_owner", "lease_until")
    assert opened.row(claimed.delivery_id, *columns) == (state, "refused", 400, "invalid", NOW + 1, None, None)
    assert opened.claim(now=NOW + DAY) == []


def test_a_retry_waits_until_it_is_due(opened: OpenStore) -> None:
    opened.add()
    (claimed,) = opened.claim()
    assert settle(opened, claimed, State.READY, due_at=NOW + 30, status=503, error="unavailable")
    assert opened.claim(now=NOW + 29) == []
    (retry,) = opened.claim(now=NOW + 30)
    assert (retry.attempts, retry.first_attempt_at) == (2, NOW)
    assert opened.row(claimed.delivery_id, "settled_at") == (None,)


def test_a_try_that_did_not_count_is_taken_back(opened: OpenStore) -> None:
    opened.add()
    (claimed,) = opened.claim()
    settle(opened, claimed, State.READY, counts=False)
    assert opened.claim()[0].attempts == 1


@pytest.mark.parametrize("state", [State.WAITING, State.HELD, State.SENDING, State.EXPIRED])
def test_a_send_cannot_end_in_a_state_the_drawing_does_not_have(opened: OpenStore, state: State) -> None:
    opened.add()
    (claimed,) = opened.claim()
    with pytest.raises(IllegalTransition):
        settle(opened, claimed, state)
    assert opened.row(claimed.delivery_id, "state", "lease_owner") == ("sending", "worker")


def test_who_has_lost_the_lease_cannot_settle(opened: OpenStore) -> None:
    opened.add()
    (slow,) = opened.claim(owner="slow", lease=60)
    opened.do(lambda tx: tx.dispatch.rescue("shop", lease_before=NOW + 61, owner="me"))
    (quick,) = opened.claim(owner="quick", now=NOW + 61)
    assert settle(opened, slow, State.DEAD, owner="slow") is False
    assert settle(opened, quick, State.DELIVERED, owner="quick") is True
    assert settle(opened, slow, State.DEAD, owner="slow") is False
    assert opened.row(slow.delivery_id, "state") == ("delivered",)


def test_a_delivery_is_settled_once(opened: OpenStore) -> None:
    opened.add()
    (claimed,) = opened.claim()
    assert settle(opened, claimed, State.DELIVERED)
    assert settle(opened, claimed, State.DEAD) is False


# --- leases ----------------------------------------------------------------------------------------------------------


def test_a_lease_that_ran_out_is_given_back(opened: OpenStore) -> None:
    opened.add()
    (lost,) = opened.claim(owner="died", lease=60)
    assert opened.do(lambda tx: tx.dispatch.rescue("shop", lease_before=NOW + 60, owner="me")) == 0
    assert opened.claim(now=NOW + 60) == []
    assert opened.do(lambda tx: tx.dispatch.rescue("shop", lease_before=NOW + 60.1, owner="me")) == 1
    (found,) = opened.claim(now=NOW + 61)
    assert (found.delivery_id, found.attempts) == (lost.delivery_id, 2)


def test_rescue_is_for_one_site(opened: OpenStore) -> None:
    opened.add(site_id="other")
    opened.claim(site_id="other")
    assert opened.do(lambda tx: tx.dispatch.rescue("shop", lease_before=float("inf"), owner="me")) == 0


def test_a_claim_outlives_the_process_and_can_be_rescued(opened: OpenStore) -> None:
    opened.add()
    opened.claim()
    opened.reopen()
    assert opened.claim() == []
    assert opened.do(lambda tx: tx.dispatch.rescue("shop", lease_before=float("inf"), owner="me")) == 1
    assert len(opened.claim()) == 1


def test_the_next_due_is_the_earliest_of_due_times_and_leases(opened: OpenStore) -> None:
    def next_due() -> float | None:
        return opened.do(lambda tx: tx.dispatch.next_due("shop"))

    assert next_due() is None
    opened.add(state=State.WAITING, due_at=NOW - DAY)
    opened.add(site_id="other", due_at=NOW - DAY)
    assert next_due() is None
    opened.add(state=State.HELD, due_at=NOW + 180)
    assert next_due() == NOW + 180
    opened.add(due_at=NOW)
    assert next_due() == NOW
    opened.claim(lease=60)
    assert next_due() == NOW + 60


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


# --- replay ----------------------------------------------------------------------------------------------------------


def dead(opened: OpenStore, *, at: float = NOW, reason: Reason = Reason.REFUSED, **changes: object) -> int:
    opened.add(**changes)
    (claimed,) = opened.claim(site_id=str(changes.get("site_id", "shop")))
    assert settle(opened, claimed, State.DEAD, at=at, reason=reason, error="invalid", status=400)
    return claimed.delivery_id


def replay(
    opened: OpenStore,
    *,
    now: float = NOW,
    reason: str | None = None,
    metric: str | None = None,
    since: float = 0,
    until: float = NOW + DAY,
) -> int:
    return opened.do(
        lambda tx: tx.dispatch.replay("shop", now=now, reason=reason, metric=metric, since=since, until=until)
    )


def test_the_dead_come_back_with_fresh_attempts_and_the_same_recipient(opened: OpenStore) -> None:
    dead(opened)
    assert replay(opened, now=NOW + DAY) == 1
    (again,) = opened.claim(now=NOW + DAY, recipient=lambda person: Recipient(email="changed@shop.example"))
    assert (again.attempts, again.first_attempt_at, again.recipient) == (1, NOW + DAY, factories.recipient())


def test_only_the_dead_come_back(opened: OpenStore) -> None:
    for state in (State.DELIVERED, State.SUPPRESSED):
        opened.add()
        settle(opened, opened.claim()[0], state)
    opened.add(state=State.WAITING)
    dead(opened, site_id="other")
    assert replay(opened) == 0


def test_replay_takes_those_of_a_reason_a_metric_and_a_time(opened: OpenStore) -> None:
    dead(opened, at=NOW, metric="A")
    dead(opened, at=NOW + 10, metric="A", reason=Reason.RETRIES_EXHAUSTED)
    dead(opened, at=NOW + 20, metric="B")
    assert replay(opened, metric="B", reason="retries_exhausted") == 0
    assert replay(opened, since=NOW + 21) == 0
    assert replay(opened, metric="B") == 1
    assert replay(opened, since=NOW + 5) == 1
    assert replay(opened, reason="refused") == 1
    assert replay(opened) == 0


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
