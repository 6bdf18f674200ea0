"""Keeping house: what found nobody expires, what is old goes, and nothing else."""

import pytest

from relay.delivery.states import State
from relay.errors import StoreUnavailable
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.model import Trust
from relay.store.base import Transaction
from relay.store.retention import EVENT_SECONDS, JOURNAL_SECONDS, keep_house
from tests import factories
from tests.contract.conftest import OpenStore
from tests.factories import DAY, NOW

SITE = factories.site()


def keep(opened: OpenStore, now: float = NOW) -> None:
    opened.run(keep_house(opened.store, SITE, now))


def test_the_times_are_those_of_the_promise() -> None:
    assert (JOURNAL_SECONDS, EVENT_SECONDS, SITE.waiting_seconds) == (7 * DAY, 90 * DAY, 14 * DAY)


def test_processed_requests_go_after_a_week(opened: OpenStore) -> None:
    opened.append(received_at=NOW)
    (row,) = opened.entries()
    opened.do(lambda tx: tx.ledger.advance("shop", row.seq))
    keep(opened, NOW + 7 * DAY)
    assert len(opened.entries()) == 1
    keep(opened, NOW + 7 * DAY + 1)
    assert opened.entries() == []


def test_unprocessed_requests_never_go(opened: OpenStore) -> None:
    opened.append(received_at=NOW)
    keep(opened, NOW + 1000 * DAY)
    assert len(opened.entries()) == 1


def test_waiting_deliveries_expire_when_their_window_ends_and_go_with_their_event(opened: OpenStore) -> None:
    event_id = opened.do(lambda tx: tx.ledger.add_event(factories.stored_event()))
    opened.add(event_id=event_id, state=State.WAITING)
    keep(opened, NOW + 14 * DAY)
    assert opened.states() == {("waiting", "klaviyo_absent"): 1}
    keep(opened, NOW + 14 * DAY + 1)
    assert opened.states() == {("expired", "too_old"): 1}
    keep(opened, NOW + 90 * DAY + 1)
    assert opened.states() == {}


def test_the_name_of_a_links_recipient_goes_with_what_was_filed_under_it(opened: OpenStore) -> None:
    def fold(tx: Transaction) -> tuple[str, str]:
        jane, opener = (tx.graph.new_person("shop", NOW) for _ in range(2))
        kx = Identifier(IdentifierKind.KX, "kx-1")
        tx.graph.attach("shop", kx, opener, trust=Trust.BROWSER, at=NOW, message_id="m")
        assert tx.graph.fold("shop", opener, jane, at=NOW, message_id="m")
        return jane, opener

    jane, opener = opened.do(fold)
    keep(opened, NOW + 90 * DAY)
    assert opened.do(lambda tx: tx.graph.everybody("shop", jane)) == [jane, opener]
    keep(opened, NOW + 90 * DAY + 1)
    assert opened.do(lambda tx: tx.graph.everybody("shop", jane)) == [jane]


def test_what_is_still_to_be_sent_is_kept_however_old(opened: OpenStore) -> None:
    event_id = opened.do(lambda tx: tx.ledger.add_event(factories.stored_event()))
    opened.add(event_id=event_id)
    keep(opened, NOW + 1000 * DAY)
    assert opened.claim(now=NOW + 1000 * DAY)[0].event is not None


def test_the_house_of_another_site_is_left_alone(opened: OpenStore) -> None:
    opened.append(site_id="other", received_at=NOW)
    opened.do(lambda tx: tx.ledger.advance("other", 10))
    opened.add(site_id="other", state=State.WAITING)
    opened.do(lambda tx: tx.ledger.add_event(factories.stored_event(site_id="other")))
    keep(opened, NOW + 1000 * DAY)
    assert len(opened.entries("other")) == 1
    assert opened.states("other") == {("waiting", "klaviyo_absent"): 1}


def test_keeping_house_twice_changes_nothing_more(opened: OpenStore) -> None:
    opened.add(state=State.WAITING)
    for _ in range(2):
        keep(opened, NOW + 20 * DAY)
    assert opened.states() == {("expired", "too_old"): 1}


def test_a_house_that_cannot_be_kept_says_so(opened: OpenStore) -> None:
    opened.run(opened.store.close())
    with pytest.raises(StoreUnavailable):
        keep(opened)
