"""How deliveries leave: claimed by one, in one person's order, sent to one recipient, settled by the lease holder."""

import asyncio

import msgspec
import pytest

from relay.delivery.link_property import LinkProperty
from relay.delivery.states import State
from relay.errors import IllegalTransition
from relay.identity.link_token import LinkTokens
from relay.model import STATE_KINDS, DeliveryKind, Reason, Recipient
from relay.store.dispatch import HEAD_START_SECONDS
from relay.store.rows import Claimed, Want
from relay.store.vault import Unreadable
from tests import factories
from tests.contract.conftest import OpenStore
from tests.factories import DAY, NOW
from tests.fakes.clock import FakeClock


def settle(opened: OpenStore, delivery: Claimed, state: State, *, owner: str = "worker", **fields: object) -> bool:
    at = fields.pop("at", NOW)
    return opened.do(
        lambda tx: tx.dispatch.settle(delivery, state, lease_owner=owner, at=at, **fields)  # type: ignore[arg-type]
    )


def claim(opened: OpenStore, want: Want, *, now: float = NOW, profiles_first: bool = True) -> list[Claimed]:
    return opened.do(
        lambda tx: tx.dispatch.claim(
            "shop", want, now=now, lease_owner="worker", lease_until=now + 60, profiles_first=profiles_first,
            recipient=lambda person, visitor: factories.recipient(),
        )
    )  # fmt: skip


def names(claimed: list[Claimed]) -> list[str]:
    return [delivery.unique_id for delivery in claimed]


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


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("UPDATE events SET body = ?", id="event"),
        pytest.param("UPDATE deliveries SET payload = ? WHERE unique_id = 'damaged'", id="payload"),
        pytest.param("UPDATE deliveries SET recipient = ? WHERE unique_id = 'damaged'", id="recipient"),
    ],
)
def test_a_damaged_delivery_is_dead_and_holds_up_nobody(opened: OpenStore, damage: str) -> None:
    event_id = opened.do(lambda tx: tx.ledger.add_event(factories.stored_event()))
    opened.add(unique_id="damaged", event_id=event_id, payload="{}")
    opened.add(unique_id="sound")
    opened.do(lambda tx: tx.connection.execute(damage, (b"\x01damaged",)))
    assert names(opened.claim()) == ["sound"]
    (dying,) = opened.do(lambda tx: tx.dispatch.dead("shop", reason=None, metric=None, since=0.0, until=NOW))
    assert (dying.n, dying.reason) == (1, Reason.UNREADABLE)
    assert opened.claim() == []


def test_a_delivery_whose_person_is_damaged_is_dead_and_holds_up_nobody(opened: OpenStore) -> None:
    opened.add(unique_id="damaged", person_id="ann")
    opened.add(unique_id="sound", person_id="bob")

    def recipient(person: str) -> Recipient:
        if person == "ann":
            raise Unreadable("a value of identifiers.email does not open")
        return factories.recipient()

    assert names(opened.claim(recipient=recipient)) == ["sound"]
    (dying,) = opened.do(lambda tx: tx.dispatch.dead("shop", reason=None, metric=None, since=0.0, until=NOW))
    assert (dying.n, dying.reason) == (1, Reason.UNREADABLE)


def test_an_erasure_waits_for_what_is_under_way_to_its_person_and_for_nobody_else(opened: OpenStore) -> None:
    opened.add(unique_id="event", person_id="ann")
    opened.add(unique_id="other", person_id="bob")
    (event, _) = opened.claim()
    opened.add(unique_id="erasure", kind=DeliveryKind.DELETION, person_id="ann", payload="ann@mail.com")
    opened.add(unique_id="stranger", kind=DeliveryKind.DELETION, person_id=None, payload="eve@mail.com")
    deletions = Want(kind=DeliveryKind.DELETION, limit=10)
    assert names(claim(opened, deletions)) == ["stranger"]
    assert settle(opened, event, State.DELIVERED)
    assert names(claim(opened, deletions)) == ["erasure"]


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
    assert (first.is_own, retry.is_own) == (True, False)


@pytest.mark.parametrize(
    ("named", "person", "told"),
    [
        pytest.param(
            Recipient(email="jane@shop.example"),
            Recipient(email="jane@shop.example", phone_number="+4930123", traits={"plan": "new"}),
            Recipient(email="jane@shop.example", phone_number="+4930123", traits={"plan": "new"}),
            id="their own address",
        ),
        pytest.param(
            Recipient(email="jane@shop.example"),
            Recipient(email="new@shop.example", external_id="7", traits={"plan": "new"}),
            Recipient(email="jane@shop.example"),
            id="another address of theirs",
        ),
        pytest.param(
            Recipient(phone_number="+4930123"),
            Recipient(phone_number="+4930999", traits={"plan": "new"}),
            Recipient(phone_number="+4930123"),
            id="another number of theirs",
        ),
        pytest.param(
            Recipient(phone_number="+4930123"),
            Recipient(email="jane@shop.example", phone_number="+4930999"),
            Recipient(email="jane@shop.example", phone_number="+4930999"),
            id="a number of somebody with an address",
        ),
    ],
)
def test_an_event_is_told_to_the_address_that_its_call_named(
    opened: OpenStore, named: Recipient, person: Recipient, told: Recipient
) -> None:
    opened.add(payload=msgspec.json.encode(named).decode())
    (first,) = opened.claim(recipient=lambda _: person)
    assert first.recipient == told
    assert first.is_own == (told == person)
    settle(opened, first, State.READY, due_at=NOW, counts=False, was_sent=False)
    (again,) = opened.claim(recipient=lambda _: person)
    assert again.recipient == told


def test_only_the_persons_own_profile_gets_their_link_token(opened: OpenStore) -> None:
    """Who opens a mail that another profile gets, or one at a former address, is not taken for the person."""
    site, tokens = factories.site(link_property="Link"), LinkTokens([factories.SIGNING_KEY], "shop", 30 * DAY)
    of = LinkProperty(site, tokens, FakeClock()).of
    opened.add()
    opened.add(payload=msgspec.json.encode(Recipient(email="till@shop.example")).decode())
    jane, till = opened.claim(recipient=lambda _: Recipient(email="jane@shop.example"))
    assert (list(of(jane)), list(of(till))) == (["Link"], [])
    settle(opened, jane, State.READY, due_at=NOW)
    (retry,) = opened.claim(recipient=lambda _: Recipient(email="new@shop.example"))
    assert of(retry) == {}


def test_an_event_whose_person_is_gone_is_told_to_nobody_it_named(opened: OpenStore) -> None:
    opened.add(payload=msgspec.json.encode(Recipient(email="jane@shop.example")).decode())
    assert opened.claim(recipient=lambda _: None) == []
    assert opened.states() == {("suppressed", "unsendable"): 1}


def test_what_is_told_of_the_recipient_is_read_anew_at_every_claim(opened: OpenStore) -> None:
    """So that the retry of an older delivery does not overwrite what a newer one has told."""
    opened.add()
    old = Recipient(email="jane@shop.example", traits={"firstName": "Jane", "plan": "old"})
    new = Recipient(email="new@shop.example", traits={"firstName": "Janet"})
    (first,) = opened.claim(recipient=lambda person: old)
    assert first.recipient == old
    assert "Jane" not in str(opened.row(first.delivery_id, "recipient")), "what can change is not stored"
    settle(opened, first, State.READY, due_at=NOW)
    (retry,) = opened.claim(recipient=lambda person: new)
    assert retry.recipient == Recipient(email="jane@shop.example", traits={"firstName": "Janet"})


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


def test_what_klaviyo_said_last_stands_while_nothing_is_sent(opened: OpenStore) -> None:
    opened.add()
    (claimed,) = opened.claim()
    settle(opened, claimed, State.READY, due_at=NOW, status=503, error="unavailable")
    (again,) = opened.claim()
    settle(opened, again, State.READY, counts=False, was_sent=False)
    assert opened.row(claimed.delivery_id, "status", "error", "attempts") == (503, "unavailable", 1)


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
    opened.do(lambda tx: tx.dispatch.rescue("shop", lease_before=NOW + 61, owner="me", now=NOW))
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
    assert opened.do(lambda tx: tx.dispatch.rescue("shop", lease_before=NOW + 60, owner="me", now=NOW)) == 0
    assert opened.claim(now=NOW + 60) == []
    assert opened.do(lambda tx: tx.dispatch.rescue("shop", lease_before=NOW + 60.1, owner="me", now=NOW)) == 1
    (found,) = opened.claim(now=NOW + 61)
    assert (found.delivery_id, found.attempts) == (lost.delivery_id, 2)


def test_who_asks_loses_nothing_to_the_rescue(opened: OpenStore) -> None:
    """A sender knows what it has under way, whatever the clock says."""
    opened.add()
    opened.claim(owner="me", lease=60)
    assert opened.do(lambda tx: tx.dispatch.rescue("shop", lease_before=NOW + DAY, owner="me", now=NOW)) == 0
    assert opened.do(lambda tx: tx.dispatch.rescue("shop", lease_before=NOW + DAY, owner="you", now=NOW)) == 1


def test_rescue_is_for_one_site(opened: OpenStore) -> None:
    opened.add(site_id="other")
    opened.claim(site_id="other")
    assert opened.do(lambda tx: tx.dispatch.rescue("shop", lease_before=float("inf"), owner="me", now=NOW)) == 0


def test_a_claim_outlives_the_process_and_can_be_rescued(opened: OpenStore) -> None:
    opened.add()
    opened.claim()
    opened.reopen()
    assert opened.claim() == []
    assert opened.do(lambda tx: tx.dispatch.rescue("shop", lease_before=float("inf"), owner="me", now=NOW)) == 1
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


# --- the order of one person's deliveries --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STATE_KINDS)
def test_one_persons_changes_go_one_after_the_other(opened: OpenStore, kind: DeliveryKind) -> None:
    before = DeliveryKind.PROFILE if kind is DeliveryKind.PROFILE else DeliveryKind.LIST_REMOVE
    first = opened.add(kind=before).unique_id
    second = opened.add(kind=kind, due_at=NOW - 60).unique_id
    other = opened.add(kind=kind, person_id="somebody").unique_id
    claimed = opened.claim(kinds=[before, kind])
    assert names(claimed) == [first, other]
    assert opened.claim(kinds=[kind]) == [], "the first is still under way"
    settle(opened, claimed[0], State.DELIVERED)
    assert names(opened.claim(kinds=[kind])) == [second]


def test_a_profile_does_not_wait_for_a_list_or_a_subscription(opened: OpenStore) -> None:
    """Events wait for their profile: they must not wait for an endpoint that is closed."""
    opened.add(kind=DeliveryKind.SUBSCRIBE)
    opened.add(kind=DeliveryKind.PROFILE)
    assert [delivery.kind for delivery in opened.claim(kinds=[DeliveryKind.PROFILE])] == [DeliveryKind.PROFILE]


def test_a_profile_that_is_never_tried_holds_up_its_events_for_some_minutes_only(opened: OpenStore) -> None:
    opened.add()
    opened.add(kind=DeliveryKind.PROFILE)
    assert opened.claim(kinds=[DeliveryKind.EVENT], now=NOW + HEAD_START_SECONDS - 1) == []
    assert len(opened.claim(kinds=[DeliveryKind.EVENT], now=NOW + HEAD_START_SECONDS)) == 1


@pytest.mark.parametrize("reason", [Reason.NATIVE_REPLAYED, Reason.CONSENT_WITHDRAWN, Reason.FORGOTTEN])
def test_what_is_recalled_while_it_is_under_way_is_not_tried_again(opened: OpenStore, reason: Reason) -> None:
    for _ in range(3):
        opened.add()
    came_back, arrived, lost = opened.claim(lease=60)
    under_way = opened.do(lambda tx: tx.outbox.unsent("shop", person_id="person", and_gone=True))
    assert len(under_way) == 3
    for delivery in under_way:
        opened.do(lambda tx, delivery=delivery: tx.outbox.suppress(delivery, reason, at=NOW))  # type: ignore[misc]
    settle(opened, came_back, State.READY, status=429, counts=False, was_sent=False)
    settle(opened, arrived, State.DELIVERED, status=202)
    opened.do(lambda tx: tx.dispatch.rescue("shop", lease_before=NOW + 61, owner="me", now=NOW + 61))
    assert opened.row(came_back.delivery_id, "state", "reason", "recipient") == ("suppressed", reason, None)
    assert opened.row(arrived.delivery_id, "state", "reason") == ("delivered", "klaviyo_absent")
    assert opened.row(lost.delivery_id, "state", "reason", "settled_at") == ("suppressed", reason, NOW + 61)
    assert opened.claim(now=NOW + DAY) == []


def test_a_change_waits_for_the_retry_of_an_earlier_one(opened: OpenStore) -> None:
    first = opened.add(kind=DeliveryKind.SUBSCRIBE).unique_id
    second = opened.add(kind=DeliveryKind.UNSUBSCRIBE).unique_id
    (tried,) = opened.claim()
    settle(opened, tried, State.READY, due_at=NOW + 30, status=503)
    assert opened.claim(now=NOW + 29) == []
    (retry,) = opened.claim(now=NOW + 30)
    assert retry.unique_id == first
    settle(opened, retry, State.DEAD, reason=Reason.REFUSED)
    assert names(opened.claim(now=NOW + 30)) == [second]


def test_a_change_does_not_wait_for_one_that_is_still_held(opened: OpenStore) -> None:
    """It may never be sent; and who wants no more mail has not to wait for it."""
    opened.add(kind=DeliveryKind.PROFILE, state=State.HELD, due_at=NOW + 180)
    opened.add(kind=DeliveryKind.UNSUBSCRIBE)
    assert [delivery.kind for delivery in opened.claim()] == [DeliveryKind.UNSUBSCRIBE]


def test_a_change_is_not_under_way_beside_an_event_of_the_same_person(opened: OpenStore) -> None:
    """An event carries what was known of the person when it left: arriving later it would undo the change."""
    opened.add()
    (event,) = opened.claim()
    opened.add(kind=DeliveryKind.PROFILE)
    assert opened.claim() == []
    settle(opened, event, State.DELIVERED)
    assert len(opened.claim()) == 1


def test_a_due_profile_goes_before_the_events_of_its_person(opened: OpenStore) -> None:
    event, other = opened.add(due_at=NOW - 60), opened.add(person_id="somebody")
    opened.add(kind=DeliveryKind.PROFILE)
    assert names(opened.claim(kinds=[DeliveryKind.EVENT])) == [other.unique_id]
    (profile,) = opened.claim(kinds=[DeliveryKind.PROFILE])
    assert opened.claim(kinds=[DeliveryKind.EVENT]) == []
    settle(opened, profile, State.DELIVERED)
    assert names(opened.claim(kinds=[DeliveryKind.EVENT])) == [event.unique_id]


def test_a_profile_that_is_held_longer_holds_up_no_event(opened: OpenStore) -> None:
    opened.add()
    opened.add(kind=DeliveryKind.PROFILE, state=State.HELD, due_at=NOW + 1)
    assert len(opened.claim(kinds=[DeliveryKind.EVENT])) == 1


def test_a_profile_that_does_not_get_through_holds_up_its_events_for_some_minutes_only(opened: OpenStore) -> None:
    opened.add(kind=DeliveryKind.PROFILE)
    (profile,) = opened.claim()
    settle(opened, profile, State.READY, due_at=NOW + 10, status=503)
    opened.add()
    assert opened.claim(kinds=[DeliveryKind.EVENT], now=NOW + HEAD_START_SECONDS - 1) == []
    assert len(opened.claim(kinds=[DeliveryKind.EVENT], now=NOW + HEAD_START_SECONDS)) == 1


def test_events_wait_for_no_profile_that_cannot_be_sent_at_all(opened: OpenStore) -> None:
    opened.add()
    opened.add(kind=DeliveryKind.PROFILE)
    assert claim(opened, Want(kind=DeliveryKind.EVENT, limit=10)) == []
    assert len(claim(opened, Want(kind=DeliveryKind.EVENT, limit=10), profiles_first=False)) == 1


# --- live and backlog ------------------------------------------------------------------------------------------------


def test_a_claim_is_bounded_by_when_its_deliveries_were_due(opened: OpenStore) -> None:
    old, edge, new = (opened.add(due_at=NOW - age).unique_id for age in (61, 60, 0))
    live = Want(kind=DeliveryKind.EVENT, limit=10, due_since=NOW - 60)
    assert names(claim(opened, live)) == [edge, new]
    assert names(claim(opened, Want(kind=DeliveryKind.EVENT, limit=10, due_before=NOW - 60))) == [old]


def test_what_klaviyo_may_have_seen_is_told_from_what_it_has_not(opened: OpenStore) -> None:
    for _ in range(4):
        opened.add()
    timed_out, refused, not_sent, cut_off = opened.claim()
    settle(opened, timed_out, State.READY, due_at=NOW, error="ReadTimeout")
    settle(opened, refused, State.READY, status=429, counts=False, was_sent=False)
    settle(opened, not_sent, State.READY, counts=False, was_sent=False)
    settle(opened, cut_off, State.READY, error="stopped", counts=False, was_sent=True)
    never = opened.add().unique_id
    untried = claim(opened, Want(kind=DeliveryKind.EVENT, limit=10, untried=True))
    assert sorted(names(untried)) == sorted([refused.unique_id, not_sent.unique_id, never])
    tried = claim(opened, Want(kind=DeliveryKind.EVENT, limit=10, untried=False))
    assert sorted(names(tried)) == sorted([timed_out.unique_id, cut_off.unique_id])
    assert {delivery.attempts for delivery in untried} == {1}


def test_a_backlog_is_counted_no_further_than_asked(opened: OpenStore) -> None:
    want = Want(kind=DeliveryKind.EVENT, limit=1000, due_before=NOW)
    for _ in range(3):
        opened.add(due_at=NOW - 1)
    opened.add(due_at=NOW)
    opened.add(due_at=NOW - 1, site_id="other")
    opened.add(due_at=NOW - 1, kind=DeliveryKind.PROFILE)
    assert opened.do(lambda tx: tx.dispatch.has_backlog("shop", want, 3, now=NOW)) is True
    assert opened.do(lambda tx: tx.dispatch.has_backlog("shop", want, 4, now=NOW)) is False


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


def test_the_dead_are_listed_by_what_they_died_of(opened: OpenStore) -> None:
    for at in (NOW + 5, NOW):
        dead(opened, at=at, metric="A")
    dead(opened, at=NOW + 9, metric="", kind=DeliveryKind.PROFILE, reason=Reason.RETRIES_EXHAUSTED)
    dead(opened, site_id="other")
    opened.add()

    def found(**filters: object) -> list[tuple[object, ...]]:
        which = {"reason": None, "metric": None, "since": 0.0, "until": NOW + DAY} | filters
        dying = opened.do(lambda tx: tx.dispatch.dead("shop", **which))  # type: ignore[arg-type]
        return [(d.what, d.reason, d.status, d.error, d.n, d.first_at, d.last_at) for d in dying]

    events = ("A", "refused", 400, "invalid", 2, NOW, NOW + 5)
    profile = ("profile", "retries_exhausted", 400, "invalid", 1, NOW + 9, NOW + 9)
    assert found() == [events, profile]
    assert found(reason="refused") == found(metric="A") == found(until=NOW + 8) == [events]
    assert found(since=NOW + 6) == [profile]
    assert found(metric="B") == []


def test_the_dead_that_come_back_are_no_live_events(opened: OpenStore) -> None:
    """They were due long ago, so that what happens now goes first; and Klaviyo may have seen them, so they go alone."""
    dead(opened, due_at=NOW - 3600)
    replay(opened, now=NOW + DAY)
    assert claim(opened, Want(kind=DeliveryKind.EVENT, limit=1, due_since=NOW - 60), now=NOW + DAY) == []
    assert claim(opened, Want(kind=DeliveryKind.EVENT, limit=1, untried=True), now=NOW + DAY) == []
    assert len(claim(opened, Want(kind=DeliveryKind.EVENT, limit=1, untried=False), now=NOW + DAY)) == 1


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
    assert replay(opened, until=NOW - 1) == 0
    assert replay(opened, metric="B") == 1
    assert replay(opened, since=NOW + 5) == 1
    assert replay(opened, reason="refused") == 1
    assert replay(opened) == 0
