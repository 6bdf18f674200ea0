"""Requests about personal data: noted once, open until they are carried out, then without whom they were about."""

from functools import partial

import pytest

from relay.store.base import Transaction
from relay.store.postgres import PostgresStore
from relay.store.requests import ERASED, Request, Subject, Topic
from relay.store.sqlite import SqliteStore
from tests import factories
from tests.contract.conftest import OpenStore
from tests.factories import DAY, NOW

ANN = Subject(email="ann@mail.com", phone="+12025550123", customer_id="7")
#: How to ask each database for its tables with a site in them.
TABLES = {
    SqliteStore: "SELECT DISTINCT m.name FROM sqlite_master m, pragma_table_info(m.name) c"
    " WHERE m.type = 'table' AND c.name = 'site_id'",
    PostgresStore: "SELECT DISTINCT table_name FROM information_schema.columns WHERE column_name = 'site_id'",
}
#: What stays when a shop's customers are erased: it names nobody, or only the shop.
KEPT = {
    "positions",
    "counts",
    "forgotten",
    "destinations",
    "metrics",
    "comparisons",
    "privacy_requests",
    "leases",
    "data_keys",
    "audit",
}


def request(**changes: object) -> Request:
    default: dict[str, object] = {
        "site_id": "shop",
        "request_id": "w1",
        "topic": Topic.REDACT_CUSTOMER,
        "subject": ANN,
        "received_at": NOW,
    }
    return Request(**(default | changes))  # type: ignore[arg-type]


def column(tx: Transaction, sql: str) -> list[str]:
    return [row[0] for row in tx.connection.execute(sql)]


def subjects(opened: OpenStore) -> list[bytes]:
    sql = "SELECT subject FROM privacy_requests ORDER BY site_id, request_id"
    return [row[0] for row in opened.do(lambda tx: list(tx.connection.execute(sql)))]


def test_a_request_is_noted_once(opened: OpenStore) -> None:
    assert opened.do(lambda tx: tx.requests.add(request())) is True
    assert opened.do(lambda tx: tx.requests.add(request(received_at=NOW + 1))) is False
    assert opened.do(lambda tx: tx.requests.add(request(site_id="other"))) is True
    assert opened.do(lambda tx: tx.requests.open("shop")) == [request()]


def test_requests_are_open_until_they_are_closed_oldest_first(opened: OpenStore) -> None:
    later, earlier = request(request_id="a", received_at=NOW + 1), request(request_id="b")
    opened.do(lambda tx: [tx.requests.add(one) for one in (later, earlier)])
    assert opened.do(lambda tx: tx.requests.open("shop")) == [earlier, later]
    opened.do(lambda tx: tx.requests.close("shop", "b", at=NOW))
    assert opened.do(lambda tx: tx.requests.open("shop")) == [later]


def test_a_closed_request_does_not_say_whom_it_was_about(opened: OpenStore) -> None:
    opened.do(lambda tx: tx.requests.add(request()))
    opened.do(lambda tx: tx.requests.close("shop", "w1", at=NOW))
    assert subjects(opened) == [b""]
    assert opened.do(lambda tx: tx.requests.add(request())) is False  # Shopify may still repeat it


def test_what_nobody_closes_is_closed_when_its_time_is_over(opened: OpenStore) -> None:
    tell = Topic.TELL_CUSTOMER
    opened.do(lambda tx: tx.requests.add(request(request_id="old", topic=tell, received_at=NOW - 31 * DAY)))
    opened.do(lambda tx: tx.requests.add(request(request_id="new", topic=tell)))
    opened.do(lambda tx: tx.requests.add(request(request_id="other", received_at=NOW - 31 * DAY)))
    opened.do(lambda tx: tx.requests.close_old("shop", tell, received_before=NOW - 30 * DAY, at=NOW))
    assert [r.request_id for r in opened.do(lambda tx: tx.requests.open("shop"))] == ["other", "new"]


def fill(tx: Transaction, site_id: str) -> None:
    event_id = tx.ledger.add_event(factories.stored_event(site_id=site_id))
    tx.outbox.add(factories.draft(site_id=site_id, event_id=event_id))
    tx.graph.new_person(site_id, NOW)


@pytest.mark.parametrize("site_id", ["shop", "other"])
def test_erasing_a_shop_leaves_other_shops_alone(opened: OpenStore, site_id: str) -> None:
    for each in ("shop", "other"):
        opened.do(partial(fill, site_id=each))
    assert opened.do(lambda tx: tx.requests.erase_site(site_id)) is True
    for table in ("events", "deliveries", "persons"):
        sql = f"SELECT site_id FROM {table}"  # noqa: S608 - the tests' own names
        assert opened.do(partial(column, sql=sql)) == ["other" if site_id == "shop" else "shop"]


def test_who_has_asked_a_shop_for_their_data_is_erased_with_it(opened: OpenStore) -> None:
    tell = Topic.TELL_CUSTOMER
    mine = [request(request_id="w1", topic=tell), request(request_id="w2"), request(request_id="w3", topic=tell)]
    opened.do(lambda tx: [tx.requests.add(one) for one in mine])
    opened.do(lambda tx: tx.requests.add(request(site_id="other", topic=tell)))
    opened.do(lambda tx: tx.requests.close("shop", "w3", at=NOW))
    opened.do(lambda tx: tx.requests.erase_site("shop"))
    assert [r.request_id for r in opened.do(lambda tx: tx.requests.open("shop"))] == ["w2"], "still to be carried out"
    assert len(opened.do(lambda tx: tx.requests.open("other"))) == 1


def test_what_is_on_its_way_is_erased_when_it_is_back(opened: OpenStore) -> None:
    opened.do(lambda tx: fill(tx, "shop"))
    opened.do(lambda tx: tx.connection.execute("UPDATE deliveries SET state = 'sending'"))
    assert opened.do(lambda tx: tx.requests.erase_site("shop")) is False
    opened.do(lambda tx: tx.connection.execute("UPDATE deliveries SET state = 'delivered'"))
    assert opened.do(lambda tx: tx.requests.erase_site("shop")) is True


def test_every_table_of_a_site_is_erased_or_names_nobody(opened: OpenStore) -> None:
    """A new table has to be put into one of the two lists."""

    found = opened.do(partial(column, sql=TABLES[type(opened.store)]))
    assert {name for name in found if not name.startswith("journal")} - KEPT == set(ERASED)
