"""Events are accepted once, kept for their time, emptied on request; pauses say what Klaviyo refuses."""

from functools import partial

import pytest

from relay.delivery.states import State
from relay.identity.tenure import Tenure
from relay.model import DeliveryKind, Trust
from relay.store.base import Transaction
from relay.store.rows import Pause, StoredEvent
from tests import factories
from tests.contract.conftest import OpenStore
from tests.factories import DAY, NOW

LONG_AGO = NOW - 100 * DAY


def add(opened: OpenStore, **changes: object) -> int | None:
    event = factories.stored_event(**changes)
    return opened.do(lambda tx: tx.ledger.add_event(event))


def bodies(opened: OpenStore) -> list[bytes]:
    sql = "SELECT site_id, body FROM events ORDER BY event_id"
    return [
        opened.opened(site, "events.body", body)
        for site, body in opened.do(lambda tx: list(tx.connection.execute(sql)))
    ]


def visitors(opened: OpenStore, table: str) -> list[str | None]:
    sql = f"SELECT visitor_id FROM {table} ORDER BY visitor_id NULLS FIRST"  # noqa: S608 - the tests' own names
    return [row[0] for row in opened.do(lambda tx: list(tx.connection.execute(sql)))]


# --- accepted once ---------------------------------------------------------------------------------------------------


def test_a_message_is_accepted_once(opened: OpenStore) -> None:
    first = add(opened, message_id="m")
    assert first is not None
    assert add(opened, message_id="m") is None
    assert add(opened, message_id="m", visitor_id="another", name="Another") is None
    assert len(bodies(opened)) == 1


@pytest.mark.parametrize("changes", [{"site_id": "other"}, {"source": Trust.SERVER}, {"message_id": "M"}], ids=str)
def test_the_same_id_of_another_site_or_source_is_another_message(
    opened: OpenStore, changes: dict[str, object]
) -> None:
    first, second = add(opened, message_id="m"), add(opened, **({"message_id": "m"} | changes))
    assert None not in (first, second)
    assert first != second


def test_a_duplicate_stays_one_after_a_restart(opened: OpenStore) -> None:
    add(opened, message_id="m")
    opened.reopen()
    assert add(opened, message_id="m") is None


def test_odd_ids_are_told_apart(opened: OpenStore) -> None:
    ids = ["a", "a ", "A", "a\x00", "a\x00b", "ä", "a\u0308", "\ufffd"]
    assert None not in [add(opened, message_id=each) for each in ids]
    assert [add(opened, message_id=each) for each in ids] == [None] * len(ids)


# --- metrics ---------------------------------------------------------------------------------------------------------


def add_metric(tx: Transaction, site_id: str, name: str) -> None:
    tx.ledger.add_metric(site_id, name, at=NOW)


def test_a_metric_is_made_once_for_each_site(opened: OpenStore) -> None:
    for site_id, name in (("shop", "Quiz Done"), ("shop", "Quiz Done"), ("shop", "quiz done"), ("other", "Quiz Done")):
        opened.do(partial(add_metric, site_id=site_id, name=name))
    assert opened.do(lambda tx: [tx.ledger.metrics(site_id) for site_id in ("shop", "other", "third")]) == [2, 1, 0]
    asked = [("shop", "Quiz Done"), ("shop", "quiz done"), ("shop", "Quiz"), ("third", "Quiz Done")]
    assert opened.do(lambda tx: [tx.ledger.has_metric(*each) for each in asked]) == [True, True, False, False]
    opened.reopen()
    assert opened.do(lambda tx: tx.ledger.has_metric("shop", "Quiz Done"))


# --- retention -------------------------------------------------------------------------------------------------------


def delete(opened: OpenStore, site_id: str = "shop") -> int:
    return opened.do(lambda tx: tx.ledger.delete_events(site_id, received_before=NOW - 90 * DAY))


def settled(opened: OpenStore, state: State, **changes: object) -> None:
    opened.add(**changes)
    (claimed,) = opened.claim()
    opened.do(lambda tx: tx.dispatch.settle(claimed, state, lease_owner="worker", at=LONG_AGO))


@pytest.mark.parametrize("state", [State.DELIVERED, State.DEAD, State.SUPPRESSED])
def test_old_events_go_with_their_settled_deliveries(opened: OpenStore, state: State) -> None:
    settled(opened, state, event_id=add(opened, received_at=LONG_AGO))
    add(opened, received_at=LONG_AGO)  # one that told Klaviyo nothing
    assert delete(opened) == 2
    assert (bodies(opened), opened.states()) == ([], {})


@pytest.mark.parametrize("state", [State.WAITING, State.HELD, State.READY])
def test_events_stay_while_a_delivery_of_theirs_is_open(opened: OpenStore, state: State) -> None:
    event_id = add(opened, received_at=LONG_AGO)
    settled(opened, State.DELIVERED, event_id=event_id)
    opened.add(event_id=event_id, state=state)
    assert delete(opened) == 0
    assert sum(opened.states().values()) == 2


def test_events_stay_while_they_are_being_sent(opened: OpenStore) -> None:
    opened.add(event_id=add(opened, received_at=LONG_AGO))
    opened.claim()
    assert delete(opened) == 0


def test_young_events_and_other_sites_stay(opened: OpenStore) -> None:
    add(opened, received_at=NOW - 89 * DAY)
    add(opened, received_at=LONG_AGO, site_id="other")
    assert delete(opened) == 0
    assert len(bodies(opened)) == 2


def test_old_settled_deliveries_without_event_go_too(opened: OpenStore) -> None:
    settled(opened, State.DEAD, kind=DeliveryKind.LOOKUP, payload="secret")
    settled(opened, State.DELIVERED, kind=DeliveryKind.PROFILE)
    opened.add(kind=DeliveryKind.DELETION, created_at=LONG_AGO, due_at=LONG_AGO)
    opened.add(kind=DeliveryKind.PROFILE, state=State.WAITING, created_at=LONG_AGO)
    delete(opened)
    assert opened.states() == {("ready", "klaviyo_absent"): 1, ("waiting", "klaviyo_absent"): 1}
    delete(opened, "other")
    assert sum(opened.states().values()) == 2


# --- erasure ---------------------------------------------------------------------------------------------------------


def erase(opened: OpenStore, *, visitors: list[str] | None = None, persons: list[str] | None = None) -> None:
    tenures = [Tenure(visitor_id=visitor) for visitor in visitors or []]
    opened.do(lambda tx: tx.ledger.erase_events("shop", tenures=tenures, person_ids=persons or []))


def _added(tx: Transaction, event: StoredEvent) -> int | None:
    return tx.ledger.add_event(event)


def event_of(opened: OpenStore, visitor: str, person: str | None, **changes: object) -> StoredEvent:
    event = factories.stored_event(visitor_id=visitor, body=factories.kept(page_url=f"https://{visitor}.example"))
    event_id = opened.do(lambda tx: tx.ledger.add_event(event))
    opened.add(event_id=event_id, visitor_id=visitor, person_id=person, **changes)
    return event


def test_erasing_a_visitor_empties_its_events_and_leaves_the_others(opened: OpenStore) -> None:
    event_of(opened, "jane", None, state=State.WAITING)
    other = event_of(opened, "john", "john")
    erase(opened, visitors=["jane"])
    emptied, untouched = bodies(opened)
    assert b"jane" not in emptied
    assert untouched == other.body
    assert visitors(opened, "events") == [None, "john"]
    assert visitors(opened, "deliveries") == [None, "john"]


def test_erasing_a_person_empties_the_events_of_all_their_browsers(opened: OpenStore) -> None:
    event_of(opened, "phone", "jane")
    event_of(opened, "laptop", "jane")
    event_of(opened, "laptop", "john")
    erase(opened, persons=["jane"])
    assert [b"example" in body for body in bodies(opened)] == [False, False, True]


def test_what_was_done_in_a_visitor_outside_the_persons_time_stays(opened: OpenStore) -> None:
    for number, at in enumerate((NOW - 1, NOW, NOW + 5, NOW + 6)):
        event = factories.stored_event(visitor_id="shared", message_id=f"m{number}", occurred_at=at)
        event_id = opened.do(partial(_added, event=event))
        opened.add(event_id=event_id, visitor_id="shared", person_id=None, occurred_at=at, unique_id=f"u{number}")
    tenure = Tenure(visitor_id="shared", since=NOW, until=NOW + 5)
    assert opened.do(lambda tx: tx.ledger.erase_events("shop", tenures=[tenure], person_ids=[])) == 2
    for table in ("events", "deliveries"):
        assert visitors(opened, table) == [None, None, "shared", "shared"]


def test_what_a_delivery_rested_on_is_erased_with_it(opened: OpenStore) -> None:
    for name in ("jane", "john", "mary"):
        event_of(opened, name, name, unique_id=name, proof=f'{{"visitor_id":"{name}"}}')
    erase(opened, visitors=["jane"], persons=["mary"])
    sql = "SELECT body FROM proofs"
    assert opened.do(lambda tx: list(tx.connection.execute(sql))) == [('{"visitor_id":"john"}',)]


def test_an_erased_recipient_is_gone(opened: OpenStore) -> None:
    event_of(opened, "jane", "jane")
    (claimed,) = opened.claim()
    opened.do(lambda tx: tx.dispatch.settle(claimed, State.READY, lease_owner="worker", at=NOW, due_at=NOW))
    erase(opened, persons=["jane"])
    assert opened.row(claimed.delivery_id, "recipient", "visitor_id") == (None, None)
    assert opened.claim(recipient=lambda person: None) == []


def test_an_erased_event_is_still_known_as_a_duplicate(opened: OpenStore) -> None:
    event = event_of(opened, "jane", "jane")
    erase(opened, visitors=["jane"], persons=["jane"])
    assert opened.do(lambda tx: tx.ledger.add_event(event)) is None


def test_erasure_is_for_one_site(opened: OpenStore) -> None:
    add(opened, site_id="other", visitor_id="jane")
    before = bodies(opened)
    erase(opened, visitors=["jane"], persons=["jane"])
    assert bodies(opened) == before


# --- pauses ----------------------------------------------------------------------------------------------------------


def test_a_pause_lasts_until_it_is_resumed(opened: OpenStore) -> None:
    def pauses(site_id: str = "shop") -> list[Pause]:
        return list(opened.do(lambda tx: tx.ledger.pauses(site_id)))

    first = Pause("event", NOW + 60, "unauthorized", NOW)

    def refuse_again(tx: Transaction) -> None:
        tx.ledger.pause("shop", Pause("event", NOW + 120, "forbidden", NOW + 60))
        tx.ledger.pause("shop", Pause("profile", NOW + 60, "forbidden", NOW + 60))

    opened.do(lambda tx: tx.ledger.pause("shop", first))
    assert pauses() == [first]
    opened.do(refuse_again)
    # Since when it has been refused does not change with the next refusal.
    assert pauses() == [
        Pause("event", NOW + 120, "forbidden", NOW),
        Pause("profile", NOW + 60, "forbidden", NOW + 60),
    ]
    assert pauses("other") == []
    opened.do(lambda tx: tx.ledger.resume("shop", "event"))
    assert [pause.scope for pause in pauses()] == ["profile"]
