"""What is kept of people: sealed, found by a keyed hash, erased for good, and every request written down."""

from typing import Any

import pytest
from msgspec import Raw

from relay.errors import SettingsError
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.model import DeliveryKind, Trust
from relay.store import vault
from relay.store.base import Transaction
from relay.store.postgres import PostgresStore
from relay.store.retention import SETTLING_SECONDS, scrub_erased
from relay.store.sqlite import SqliteStore
from tests import factories
from tests.contract.conftest import OpenStore
from tests.factories import NOW

JANE = Identifier(IdentifierKind.EMAIL, "jane@shop.example")
NAMED = (JANE.kind.value, JANE.value)
NEWER = "a-newer-signing-key"


def somebody(tx: Transaction) -> str:
    person_id = tx.graph.new_person("shop", NOW)
    tx.graph.attach("shop", JANE, person_id, trust=Trust.SERVER, at=NOW, message_id="m")
    tx.graph.remember_traits("shop", person_id, {"firstName": "Jane"})
    return person_id


def renew(opened: OpenStore, *secrets: str) -> None:
    """End the process and start another with these keys."""
    store = opened.store
    opened.run(store.close())
    if isinstance(store, SqliteStore):
        opened.store = SqliteStore(store.path, secrets, ["shop"])
    else:
        assert isinstance(store, PostgresStore)
        opened.store = PostgresStore(url_of(store), secrets, ["shop"])


def url_of(store: PostgresStore) -> str:
    given = store._address.parameters
    return f"postgresql:///{given['dbname']}?host={given.get('host', '')}&user={given.get('user', '')}"


def wrapped(opened: OpenStore) -> bytes:
    row = opened.do(lambda tx: tx.connection.execute("SELECT wrapped FROM data_keys WHERE site_id = 'shop'").fetchone())
    return bytes(row[0])


# --- sealed ----------------------------------------------------------------------------------------------------------


def test_no_column_holds_a_plain_value(opened: OpenStore) -> None:
    recipient = b'{"email":"jane@shop.example"}'

    def work(tx: Transaction) -> None:
        somebody(tx)
        tx.ledger.add_event(factories.stored_event(body=factories.kept(page_url="https://shop.example/jane")))
        tx.outbox.add(factories.draft(kind=DeliveryKind.DELETION, payload=JANE.value, recipient=recipient))
        tx.privacy.plan_scrub("shop", [JANE.value], erased_at=NOW)
        tx.privacy.note("shop", "export", by="operator", subject=NAMED, counts={"events": 1}, at=NOW)
        tx.privacy.remember_erasure("shop", [NAMED], at=NOW)

    opened.do(work)
    tables = "persons", "identifiers", "events", "deliveries", "scrubs", "audit", "forgotten", "data_keys"

    def everything(tx: Transaction) -> list[Any]:
        rows = [tx.connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]  # noqa: S608 - ours
        assert all(rows)
        return [
            bytes(value) if isinstance(value, bytes) else str(value).encode() for t in rows for r in t for value in r
        ]

    values = opened.do(everything)
    assert [value for value in values if b"jane" in value.lower()] == []


def test_a_value_is_sealed_anew_each_time_and_found_by_the_same_hash(opened: OpenStore) -> None:
    opened.do(somebody)
    (before,) = opened.do(lambda tx: tx.connection.execute("SELECT hash, value FROM identifiers").fetchall())
    opened.do(lambda tx: tx.graph.forget("shop", tx.graph.owners("shop", [JANE])[JANE].person_id))
    opened.do(somebody)
    (after,) = opened.do(lambda tx: tx.connection.execute("SELECT hash, value FROM identifiers").fetchall())
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_two_sites_find_the_same_address_by_different_hashes(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        for site in ("shop", "other"):
            person_id = tx.graph.new_person(site, NOW)
            tx.graph.attach(site, JANE, person_id, trust=Trust.SERVER, at=NOW, message_id="m")

    opened.do(work)
    assert len(opened.do(lambda tx: tx.connection.execute("SELECT DISTINCT hash FROM identifiers").fetchall())) == 2


def test_a_value_copied_to_another_row_does_not_open(opened: OpenStore) -> None:
    opened.do(somebody)
    opened.do(lambda tx: tx.connection.execute("UPDATE identifiers SET kind = 'phone'"))
    with pytest.raises(vault.Unreadable):
        opened.do(lambda tx: tx.holdings.identifiers("shop", [row[0] for row in persons(tx)]))


def persons(tx: Transaction) -> list[tuple[str]]:
    return list(tx.connection.execute("SELECT person_id FROM persons").fetchall())


def test_a_changed_journal_row_is_unreadable_and_says_nothing_of_what_it_holds(opened: OpenStore) -> None:
    opened.append()
    (row,) = opened.entries()
    broken = opened.store
    if isinstance(broken, SqliteStore):
        opened.run(
            broken._journal.run(
                lambda c: c.execute("UPDATE journal SET body = CAST(substr(body, 1, length(body) - 1) AS BLOB)")
            )
        )
    else:
        opened.do(lambda tx: tx.connection.execute("UPDATE journal SET body = body || '\\x00'::bytea"))
    (damaged,) = opened.entries()
    assert (damaged.is_damaged, damaged.entry.messages) == (True, [])
    assert row.entry.messages != []


# --- keys ------------------------------------------------------------------------------------------------------------


def test_everything_is_found_after_the_signing_keys_are_renewed(opened: OpenStore) -> None:
    person_id = opened.do(somebody)
    opened.append()
    before = wrapped(opened)
    renew(opened, NEWER, factories.SIGNING_KEY)
    assert wrapped(opened) != before
    # Wrapped with the newest now, so the old one may go.
    renew(opened, NEWER)
    assert opened.do(lambda tx: tx.graph.owners("shop", [JANE])[JANE].person_id) == person_id
    assert opened.do(lambda tx: tx.graph.traits("shop", person_id)) == {"firstName": "Jane"}
    assert len(opened.entries()) == 1
    assert opened.run(opened.store.opens())["shop"] is True


def test_opening_with_the_same_keys_wraps_nothing_anew(opened: OpenStore) -> None:
    before = wrapped(opened)
    renew(opened, factories.SIGNING_KEY, NEWER)
    assert wrapped(opened) == before


def test_keys_that_open_nothing_stop_the_start(opened: OpenStore) -> None:
    opened.do(somebody)
    with pytest.raises(SettingsError, match="RELAY_SECRET_KEYS") as stopped:
        renew(opened, NEWER)
    assert stopped.value.key == "RELAY_SECRET_KEYS"
    assert NEWER not in str(stopped.value)
    renew(opened, factories.SIGNING_KEY)
    assert JANE in opened.do(lambda tx: tx.graph.owners("shop", [JANE]))


# --- erased ----------------------------------------------------------------------------------------------------------


def test_what_was_erased_is_known_by_a_hash_and_counts_from_the_last_time(opened: OpenStore) -> None:
    def erase(tx: Transaction) -> None:
        for at in (NOW, NOW + 10):
            tx.privacy.remember_erasure("shop", [NAMED, ("visitor", "v")], at=at)

    opened.do(erase)

    def ask(site_id: str, *named: tuple[str, str]) -> float | None:
        return opened.do(lambda tx: tx.privacy.erased_at(site_id, named))

    assert ask("shop", ("phone", "+4930"), NAMED) == NOW + 10
    assert ask("shop", ("visitor", "v")) == NOW + 10
    assert ask("other", NAMED) is None
    assert ask("shop", ("email", "john@shop.example")) is None
    assert ask("shop") is None


def test_the_hash_of_the_erased_is_not_the_one_they_are_found_by(opened: OpenStore) -> None:
    """Or the tables would tell who came again."""
    opened.do(somebody)
    opened.do(lambda tx: tx.privacy.remember_erasure("shop", [NAMED], at=NOW))
    (found,) = opened.do(lambda tx: tx.connection.execute("SELECT hash FROM identifiers").fetchall())
    (erased,) = opened.do(lambda tx: tx.connection.execute("SELECT hash FROM forgotten").fetchall())
    assert found != erased


# --- the journal -----------------------------------------------------------------------------------------------------


def row_of(text: str, **changes: object) -> dict[str, object]:
    body = Raw(f'{{"traits":{{"email":"{text}"}}}}'.encode())
    return {"messages": [factories.received(body=body)]} | changes


def test_rows_are_found_whatever_their_letter_case_and_escapes(opened: OpenStore) -> None:
    for text in ("JANE@Shop.Example", "jane\\u0040shop.example", "john@shop.example"):
        opened.append(**row_of(text))
    found = opened.run(opened.store.mentions("shop", ["jane@shop.example"]))
    assert [row.seq for row in found] == [row.seq for row in opened.entries()[:2]]
    assert opened.run(opened.store.mentions("other", ["jane@shop.example"])) == []
    assert opened.run(opened.store.mentions("shop", [])) == []


def test_more_rows_than_a_chunk_are_searched(opened: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.store.journal.CHUNK", 3)
    for number in range(10):
        opened.append(**row_of("jane@shop.example" if number % 2 else "john@shop.example"))
    last = opened.entries()[-1].seq
    opened.do(lambda tx: tx.ledger.advance("shop", last))
    assert opened.run(opened.store.scrub("shop", ["jane@shop.example"])) == 5
    assert len(opened.entries()) == 5


def test_a_row_that_waits_at_the_erasure_goes_once_it_is_processed(opened: OpenStore) -> None:
    opened.append(**row_of(JANE.value, received_at=NOW - 1))
    opened.append(**row_of("john@shop.example", received_at=NOW - 1))
    (jane, john) = opened.entries()
    opened.do(lambda tx: tx.privacy.plan_scrub("shop", [JANE.value], erased_at=NOW))

    def scrub(now: float) -> int:
        return opened.run(scrub_erased(opened.store, "shop", now))

    assert scrub(NOW + SETTLING_SECONDS) == 0
    assert len(opened.do(lambda tx: tx.privacy.scrubs("shop"))) == 1
    opened.do(lambda tx: tx.ledger.advance("shop", john.seq))
    assert scrub(NOW + 2 * SETTLING_SECONDS) == 1
    assert [row.seq for row in opened.entries()] == [john.seq]
    assert opened.do(lambda tx: tx.privacy.scrubs("shop")) == []
    assert jane.seq < john.seq


def test_an_erasure_is_not_done_with_before_what_was_under_way_has_arrived(opened: OpenStore) -> None:
    opened.do(lambda tx: tx.privacy.plan_scrub("shop", [JANE.value], erased_at=NOW))
    opened.run(scrub_erased(opened.store, "shop", NOW))
    assert [scrub.marks for scrub in opened.do(lambda tx: tx.privacy.scrubs("shop"))] == [(JANE.value,)]


# --- the audit -------------------------------------------------------------------------------------------------------


def test_the_audit_tells_what_was_asked_and_not_about_whom(opened: OpenStore) -> None:
    def note(tx: Transaction) -> None:
        tx.privacy.note("shop", "erasure", by="shopify", subject=NAMED, counts={"events": 3}, at=NOW)
        tx.privacy.note("shop", "export", by="operator", subject=("email", "john@shop.example"), counts={}, at=NOW + 1)

    opened.do(note)
    newest, oldest = opened.do(lambda tx: tx.privacy.audit("shop", limit=10))
    assert (newest.action, newest.asked_by, newest.counts) == ("export", "operator", {})
    assert (oldest.action, oldest.asked_by, oldest.counts, oldest.at) == ("erasure", "shopify", {"events": 3}, NOW)
    assert opened.do(lambda tx: tx.privacy.audit("shop", limit=10, subject=NAMED)) == [oldest]
    assert opened.do(lambda tx: tx.privacy.audit("shop", limit=1)) == [newest]
    assert opened.do(lambda tx: tx.privacy.audit("other", limit=10)) == []
