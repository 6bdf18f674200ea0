"""What PostgreSQL adds to the contract: several relays on one database, and a server that may be away for a while."""

import asyncio
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from relay.errors import SettingsError, StoreBusy, StoreRefused, StoreUnavailable
from relay.pipeline.process import Processor
from relay.store import leases, partitions, postgres, sessions
from relay.store.base import Transaction
from relay.store.dialect import translated
from relay.store.postgres import PostgresStore
from relay.store.sqlite import SqliteStore
from tests import factories
from tests.contract.conftest import OpenStore
from tests.factories import NOW
from tests.fakes.clock import FakeClock
from tests.postgres import Server, own_server

PASSWORD = "do-not-show-this"


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    """A fresh database."""
    url = postgres.database()
    yield url
    postgres.forget(url)


@pytest.fixture
def relays(url: str, tmp_path: Path) -> Iterator[list[OpenStore]]:
    """Two relays on one database."""
    opened = [OpenStore(lambda folder: PostgresStore(url, *factories.KEYS), tmp_path) for _ in range(2)]
    yield opened
    for each in opened:
        each.close()


@pytest.fixture
def opened(relays: list[OpenStore]) -> OpenStore:
    return relays[0]


def store_of(opened: OpenStore) -> PostgresStore:
    assert isinstance(opened.store, PostgresStore)
    return opened.store


def session_of(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url, autocommit=True)


def end_sessions(url: str) -> int:
    """End every session of the database but the asking one; how many."""
    with session_of(url) as session:
        ended = session.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return len(ended.fetchall())


def waiting_for_locks(session: psycopg.Connection[Any], n: int) -> None:
    """Return when ``n`` sessions wait for an advisory lock."""
    asked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    for _ in range(2000):
        row = session.execute(asked).fetchone()
        if row and row[0] >= n:
            return
        threading.Event().wait(0.005)
    raise AssertionError(f"{n} sessions should wait for a lock")


# --- one schema ------------------------------------------------------------------------------------------------------


def test_both_databases_have_the_same_tables_and_columns(url: str, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.db", *factories.KEYS)
    expected: dict[str, list[str]] = {}
    for writer in (store._journal, store._state):
        names = [row[0] for row in writer._reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            if not name.startswith(("sqlite_", "_yoyo", "yoyo")):
                expected[name] = sorted(row[1] for row in writer._reader.execute(f"PRAGMA table_info({name})"))
    asyncio.run(store.close())
    with session_of(url) as session:
        rows = session.execute(
            "SELECT table_name, column_name FROM information_schema.columns JOIN pg_class ON relname = table_name"
            " WHERE table_schema = current_schema() AND NOT relispartition AND table_name !~ 'yoyo'"
            " ORDER BY column_name"
        ).fetchall()
    found: dict[str, list[str]] = {}
    for table, column in rows:
        found.setdefault(table, []).append(column)
    assert {name: sorted(columns) for name, columns in found.items()} == expected
    assert {"journal", "events", "deliveries", "identifiers"} <= set(found)


def test_every_key_begins_with_the_site(url: str) -> None:
    with session_of(url) as session:
        rows = session.execute(
            "SELECT indrelid::regclass::text, attname FROM pg_index JOIN pg_class c ON c.oid = indrelid"
            " JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]"
            " WHERE indisunique AND relnamespace = current_schema()::regnamespace"
            " AND indrelid::regclass::text !~ 'yoyo'"
        ).fetchall()
    assert {column for _, column in rows} == {"site_id"}
    assert len(rows) >= 12


def test_relays_that_start_together_migrate_once(postgres: Server) -> None:
    url = postgres.empty_database("together")
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(lambda url: PostgresStore(url, *factories.KEYS), [url] * 4))
    for store in stores:
        asyncio.run(store.close())
    with session_of(url) as session:
        applied = session.execute("SELECT migration_id FROM _yoyo_migration").fetchall()
    assert len(applied) == len(set(applied)) >= 2
    postgres.forget(url)


def test_a_relay_killed_while_migrating_locks_nobody_out(url: str) -> None:
    with session_of(url) as session:
        session.execute("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")
    asyncio.run(PostgresStore(url, *factories.KEYS).close())


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("SELECT a FROM t WHERE b = ? AND c = ?", "SELECT a FROM t WHERE b = $1 AND c = $2"),
        ("a = ?1 OR b = ?1", "a = $1 OR b = $1"),
        ("a = '?' AND b = 'it''s ?' AND c = ?", "a = '?' AND b = 'it''s ?' AND c = $1"),
        ("LIMIT ? /*pg FOR UPDATE */", "LIMIT $1 FOR UPDATE"),
        ("a LIKE '%x%' AND b % 2 = ?", "a LIKE '%x%' AND b % 2 = $1"),
    ],
)
def test_one_sql_for_both(written: str, read: str) -> None:
    assert translated(written) == read


# --- the journal: no row is skipped ----------------------------------------------------------------------------------


def test_a_later_number_is_not_seen_before_an_earlier_one(relays: list[OpenStore], url: str) -> None:
    """An append that has its number and not yet its commit holds back the next one of its site, and of no other."""
    slow, fast = relays
    lock = store_of(slow)._key("journal", "shop")

    async def story(held: psycopg.Connection[Any]) -> None:
        reader = PostgresStore(url, *factories.KEYS)
        later = factories.entry(messages=[factories.received(message_id="b")])
        append = asyncio.ensure_future(fast.store.append(later))
        await asyncio.to_thread(waiting_for_locks, held, 1)
        assert not append.done()
        assert await reader.entries("shop", 0, 10) == []
        other = PostgresStore(url, *factories.KEYS)
        await other.append(factories.entry(site_id="other"))
        held.execute("COMMIT")
        await append
        ids = [message.message_id for row in await reader.entries("shop", 0, 10) for message in row.entry.messages]
        assert ids == ["a", "b"]
        await reader.close()
        await other.close()

    body = factories.entry(messages=[factories.received(message_id="a")])
    with closing(session_of(url)) as held:
        held.execute("BEGIN")
        held.execute("SELECT pg_advisory_xact_lock(%s)", (lock,))
        held.execute(
            "INSERT INTO journal (site_id, received_at, body) VALUES ('shop', 1, %s)",
            (msgspec.json.encode(body),),
        )
        fast.run(story(held))


def test_a_reader_that_follows_four_relays_skips_nothing_however_late_they_commit(url: str) -> None:
    with session_of(url) as session:
        # Each append lasts a random while between its numbers and its commit.
        session.execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(random() * 0.01); RETURN NULL; END'"
        )
        session.execute("CREATE TRIGGER dawdle AFTER INSERT ON journal FOR EACH ROW EXECUTE FUNCTION dawdle()")

    async def story() -> tuple[list[str], list[str]]:
        relays = [PostgresStore(url, *factories.KEYS) for _ in range(4)]
        reader = PostgresStore(url, *factories.KEYS)
        sent: list[str] = []
        found: list[str] = []
        done = asyncio.Event()

        async def send(relay: PostgresStore) -> None:
            for _ in range(40):
                entry = factories.entry()
                await relay.append(entry)
                sent.append(entry.messages[0].message_id)

        async def follow() -> None:
            position = 0
            while True:
                was_done = done.is_set()
                rows = await reader.entries("shop", position, 3)
                found.extend(message.message_id for row in rows for message in row.entry.messages)
                position = rows[-1].seq if rows else position
                if was_done and not rows:
                    return

        following = asyncio.create_task(follow())
        await asyncio.gather(*[send(relay) for relay in relays for _ in range(2)])
        done.set()
        await following
        for store in (*relays, reader):
            await store.close()
        return sent, found

    sent, found = asyncio.run(story())
    assert len(sent) == 320
    assert sorted(found) == sorted(sent)


def test_requests_that_arrive_during_a_commit_share_the_next(opened: OpenStore, url: str) -> None:
    async def story(held: psycopg.Connection[Any]) -> None:
        appends = [asyncio.ensure_future(opened.store.append(factories.entry())) for _ in range(100)]
        await asyncio.to_thread(waiting_for_locks, held, 1)
        held.execute("SELECT pg_advisory_unlock_all()")
        await asyncio.gather(*appends)

    with closing(session_of(url)) as held:
        held.execute("SELECT pg_advisory_lock(%s)", (store_of(opened)._key("journal", "shop"),))
        opened.run(story(held))
        row = held.execute("SELECT count(*), count(DISTINCT xmin::text) FROM journal").fetchone()
    assert row == (100, 1)


def test_a_full_queue_sends_callers_away(opened: OpenStore, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "MAX_QUEUED", 3)

    async def story(held: psycopg.Connection[Any]) -> list[BaseException | None]:
        first = asyncio.ensure_future(opened.store.append(factories.entry()))
        await asyncio.to_thread(waiting_for_locks, held, 1)
        others = [asyncio.ensure_future(opened.store.append(factories.entry())) for _ in range(5)]
        await asyncio.sleep(0)
        held.execute("SELECT pg_advisory_unlock_all()")
        return await asyncio.gather(first, *others, return_exceptions=True)

    with closing(session_of(url)) as held:
        held.execute("SELECT pg_advisory_lock(%s)", (store_of(opened)._key("journal", "shop"),))
        outcomes = opened.run(story(held))
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 4 + [StoreBusy] * 2
    assert len(opened.entries()) == 4


def test_the_journal_grows_by_ranges_and_gives_back_the_empty_ones(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "ROWS", 10)
    url = postgres.empty_database("ranges")
    opened = OpenStore(lambda folder: PostgresStore(url, *factories.KEYS), tmp_path)

    def ranges() -> list[int]:
        with session_of(url) as session:
            return partitions._existing(session)

    assert ranges() == [0, 1]
    for _ in range(35):  # past the ranges that were provided: the append makes the next
        opened.append(received_at=NOW)
    assert ranges() == [0, 1, 2, 3]
    rows = opened.entries()
    assert len(rows) == 35
    assert opened.run(opened.store.trim("shop", rows[24].seq, NOW + 1)) == 25
    assert ranges() == [2, 3, 4]
    assert opened.entries() == rows[25:]
    for _ in range(40):
        opened.append(received_at=NOW)
    assert len(opened.entries()) == 50
    opened.close()
    postgres.forget(url)


# --- the state: a site's transactions have an order ------------------------------------------------------------------


def test_transactions_of_two_relays_lose_no_count(relays: list[OpenStore]) -> None:
    def read_then_write(tx: Transaction) -> None:
        tx.ledger.advance("shop", tx.ledger.position("shop") + 1)

    def many(opened: OpenStore) -> None:
        async def story() -> None:
            await asyncio.gather(*[opened.store.transact(read_then_write, "shop") for _ in range(40)])

        opened.run(story())

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(many, relays))
    assert relays[0].do(lambda tx: tx.ledger.position("shop")) == 80


@pytest.mark.parametrize(
    ("first", "second", "waits"),
    [("shop", "shop", True), ("shop", "other", False), ("shop", None, True), (None, "shop", True)],
)
def test_who_waits_for_whom(
    relays: list[OpenStore], url: str, first: str | None, second: str | None, waits: bool
) -> None:
    inside, goes_on = threading.Event(), threading.Event()
    done: list[str] = []

    def hold(tx: Transaction) -> None:
        inside.set()
        assert goes_on.wait(20)
        done.append("first")

    with ThreadPoolExecutor(2) as threads, session_of(url) as watch:
        holding = threads.submit(lambda: relays[0].run(relays[0].store.transact(hold, first)))
        assert inside.wait(20)
        story = relays[1].store.transact(lambda tx: done.append("second"), second)
        other = threads.submit(lambda: relays[1].run(story))
        if waits:
            waiting_for_locks(watch, 1)
        else:
            other.result(20)
        goes_on.set()
        holding.result(20)
        other.result(20)
    assert done == (["first", "second"] if waits else ["second", "first"])


def test_reading_waits_for_nobody_and_sees_one_moment(relays: list[OpenStore]) -> None:
    inside, goes_on = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        tx.ledger.advance("shop", 7)
        inside.set()
        assert goes_on.wait(20)

    def look(tx: Transaction) -> list[int]:
        before = tx.ledger.position("shop")
        goes_on.set()
        holding.result(20)
        return [before, tx.ledger.position("shop")]

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(lambda: relays[0].do(hold))
        assert inside.wait(20)
        assert relays[1].run(relays[1].store.read(look)) == [0, 0]
    assert relays[1].do(lambda tx: tx.ledger.position("shop")) == 7


def test_reading_cannot_write(opened: OpenStore) -> None:
    with pytest.raises(StoreUnavailable):
        opened.run(opened.store.read(lambda tx: tx.ledger.count("shop", "received")))
    assert opened.do(lambda tx: tx.ledger.counts()) == []


def test_two_processors_on_one_journal_process_each_message_once(relays: list[OpenStore]) -> None:
    """Whatever the leases say: a position that has moved is not processed again."""
    for _ in range(30):
        relays[0].append()

    async def story(store: PostgresStore) -> int:
        rings = asyncio.Event()
        processor = Processor(factories.site(), store, FakeClock(), journal_rings=rings, outbox_rings=rings)
        return sum([n async for n in _until_empty(processor)])

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda each: each.run(story(store_of(each))), relays))
    counts = {name: n for _, name, _, n in relays[0].do(lambda tx: tx.ledger.counts())}
    assert counts == {"received": 30, "accepted": 30}
    assert sum(relays[0].states().values()) == 30


async def _until_empty(processor: Processor) -> Any:
    while n := await processor.process_next():
        yield n


# --- values ----------------------------------------------------------------------------------------------------------


def test_a_text_with_the_one_character_postgres_cannot_keep_is_kept_without_it(opened: OpenStore) -> None:
    event = factories.stored_event(name="a\x00b", message_id="m\x00")
    assert opened.do(lambda tx: tx.ledger.add_event(event)) is not None
    assert opened.do(lambda tx: tx.ledger.add_event(event)) is None
    assert opened.do(lambda tx: tx.connection.execute("SELECT name FROM events").fetchall()) == [("a\ufffdb",)]


def test_a_value_the_database_refuses_is_named_without_being_shown(opened: OpenStore) -> None:
    secret = "".join(chr(33 + random.Random(n).randrange(90)) for n in range(20_000))
    with pytest.raises(StoreRefused) as refused:
        opened.do(lambda tx: tx.ledger.add_event(factories.stored_event(message_id=secret)))
    assert secret[:20] not in str(refused.value)
    opened.do(lambda tx: tx.ledger.count("shop", "received"))
    with pytest.raises(StoreRefused) as refused:
        opened.do(
            lambda tx: [
                tx.connection.execute("INSERT INTO positions (site_id, seq) VALUES (?, ?)", (PASSWORD, 1))
                for _ in range(2)
            ]
        )
    assert PASSWORD not in str(refused.value)


def test_a_refused_value_costs_its_message_and_no_other(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        tx.ledger.count("shop", "received")
        with pytest.raises(StoreRefused):
            tx.attempt(lambda: tx.connection.execute("INSERT INTO positions (site_id, seq) VALUES (NULL, 1)"))
        tx.ledger.count("shop", "received")

    opened.do(work)
    assert opened.do(lambda tx: tx.ledger.counts()) == [("shop", "received", "", 2)]


# --- the server goes away and comes back -----------------------------------------------------------------------------


def test_sessions_that_the_server_has_ended_are_replaced_before_they_are_used(opened: OpenStore, url: str) -> None:
    opened.append()
    opened.do(lambda tx: None)
    assert end_sessions(url) >= 2
    opened.append()
    opened.do(lambda tx: tx.ledger.count("shop", "received"))
    assert len(opened.entries()) == 2


def test_a_session_lost_in_the_middle_leaves_nothing_and_says_so(opened: OpenStore, url: str) -> None:
    def work(tx: Transaction) -> None:
        tx.ledger.count("shop", "received")
        assert end_sessions(url) >= 1
        tx.attempt(lambda: tx.ledger.count("shop", "received"))

    with pytest.raises(StoreUnavailable):
        opened.do(work)
    assert opened.do(lambda tx: tx.ledger.counts()) == []


def test_a_server_that_was_away_is_used_again_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(sessions, "RECONNECT_SECONDS", 0.5)
    with own_server() as server:
        url = server.database()
        opened = OpenStore(lambda folder: PostgresStore(url, *factories.KEYS), tmp_path)
        opened.append()
        server.stop()
        for story in (
            lambda: opened.store.append(factories.entry()),
            lambda: opened.store.entries("shop", 0, 1),
            lambda: opened.store.transact(lambda tx: None, "shop"),
            lambda: opened.store.read(lambda tx: None),
            lambda: opened.store.check(),
        ):
            with pytest.raises(StoreUnavailable):
                opened.run(story())
        server.start()
        for _ in range(20):
            try:
                opened.append()
            except StoreUnavailable:
                continue
            break
        opened.run(opened.store.check())
        assert len(opened.entries()) == 2
        opened.close()


def test_a_database_that_only_reads_cannot_take_messages(postgres: Server, url: str, tmp_path: Path) -> None:
    opened = OpenStore(lambda folder: PostgresStore(url, *factories.KEYS), tmp_path)
    with session_of(url) as session:
        name = str(conninfo_to_dict(url)["dbname"])
        readonly = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(sql.Identifier(name))
        session.execute(readonly)
    end_sessions(url)
    with pytest.raises(StoreUnavailable):
        opened.append()
    opened.close()


def test_a_statement_that_takes_too_long_is_given_up(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "WORK_SECONDS", 0.1)
    opened = OpenStore(lambda folder: PostgresStore(url, *factories.KEYS), tmp_path)
    with pytest.raises(StoreUnavailable, match="statement timeout"):
        opened.do(lambda tx: tx.connection.execute("SELECT pg_sleep(20)"))
    opened.close()


def test_a_relay_that_hangs_inside_a_transaction_holds_up_nobody_for_long(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "IDLE_IN_TRANSACTION_SECONDS", 1)
    hanging, other = (OpenStore(lambda folder: PostgresStore(url, *factories.KEYS), tmp_path) for _ in range(2))
    inside, goes_on = threading.Event(), threading.Event()

    def hang(tx: Transaction) -> None:
        tx.ledger.count("shop", "received")
        inside.set()
        assert goes_on.wait(20)

    with ThreadPoolExecutor(1) as threads:
        hung = threads.submit(lambda: hanging.do(hang))
        assert inside.wait(20)
        other.do(lambda tx: tx.ledger.count("shop", "accepted"))
        goes_on.set()
        with pytest.raises(StoreUnavailable):
            hung.result(20)
    assert other.do(lambda tx: tx.ledger.counts()) == [("shop", "accepted", "", 1)]
    for opened in (hanging, other):
        opened.close()


# --- the address -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [f"postgresql://relay:{PASSWORD}@host:port/db", f"postgresql://relay:{PASSWORD}@[::1/db",
     f"postgresql://relay:{PASSWORD}@host/db?no_such_setting=1"],
)  # fmt: skip
def test_a_bad_url_names_its_key_and_shows_no_password(url: str) -> None:
    with pytest.raises(SettingsError, match="RELAY_DATABASE_URL") as stopped:
        PostgresStore(url, *factories.KEYS)
    assert PASSWORD not in str(stopped.value)


def test_a_server_that_is_not_there_names_the_key_and_shows_no_password() -> None:
    with pytest.raises(StoreUnavailable, match=r"RELAY_DATABASE_URL: postgresql://relay@127.0.0.1:1/db") as stopped:
        PostgresStore(f"postgresql://relay:{PASSWORD}@127.0.0.1:1/db", *factories.KEYS)
    assert PASSWORD not in str(stopped.value)


def test_a_database_of_another_encoding_is_refused(postgres: Server) -> None:
    postgres.do("CREATE DATABASE {} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0", "backflow_test_latin")
    url = postgres.url_of("backflow_test_latin")
    with pytest.raises(StoreUnavailable, match="encoding is LATIN1; expected UTF8"):
        PostgresStore(url, *factories.KEYS)
    postgres.forget(url)


def test_commits_are_on_disk_even_where_the_server_would_not_wait(url: str) -> None:
    with closing(sessions.open_session(sessions.address(url), statement_seconds=1)) as session:
        assert session.execute("SHOW synchronous_commit").fetchone() == ("on",)
    lazy = make_conninfo(url, options="-c synchronous_commit=off")
    with closing(sessions.open_session(sessions.address(lazy), statement_seconds=1)) as session:
        assert session.execute("SHOW synchronous_commit").fetchone() == ("on",)


# --- who works -------------------------------------------------------------------------------------------------------


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.05)


def heard(opened: OpenStore, bells: list[str] | None = None) -> leases.SessionLeases:
    return store_of(opened).leases((bells if bells is not None else []).append)


@pytest.mark.usefixtures("_quick")
def test_a_role_of_a_site_is_held_by_one_and_handed_over(relays: list[OpenStore]) -> None:
    async def story() -> None:
        first, second = (heard(each) for each in relays)
        lost = await first.take("shop", "sender")
        assert await first.take("shop", "sender") is lost
        waiting = asyncio.ensure_future(second.take("shop", "sender"))
        # Another role, and the same role of another site, are others' to have.
        await second.take("shop", "processor")
        await second.take("other", "sender")
        assert not waiting.done()
        assert not lost.is_set()
        await first.close()
        assert lost.is_set()
        await waiting
        await second.close()

    relays[0].run(asyncio.wait_for(story(), 20))


@pytest.mark.usefixtures("_quick")
def test_a_holder_whose_session_is_gone_is_told_and_another_takes_over(relays: list[OpenStore], url: str) -> None:
    async def story() -> None:
        first, second = (heard(each) for each in relays)
        lost = await first.take("shop", "processor")
        waiting = asyncio.ensure_future(second.take("shop", "processor"))
        await second.take("other", "processor")
        with session_of(url) as session:
            session.execute(
                "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database ON oid = l.database"
                " WHERE locktype = 'advisory' AND datname = current_database() AND granted"
            )
        await lost.wait()
        # Either may be the one now, and only one.
        again = asyncio.ensure_future(first.take("shop", "processor"))
        done, _ = await asyncio.wait((again, waiting), return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        await first.close()
        await waiting
        again.cancel()
        await second.close()

    relays[0].run(asyncio.wait_for(story(), 20))


def test_a_frozen_holder_loses_its_leases(relays: list[OpenStore], monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        monkeypatch.setattr(leases, "LEASE_SECONDS", 1)
        monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 3600)
        frozen = heard(relays[0])
        await frozen.take("shop", "sender")
        monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.05)
        second = heard(relays[1])
        await second.take("shop", "sender")
        await frozen.close()
        await second.close()

    relays[0].run(asyncio.wait_for(story(), 20))


def test_a_bell_rings_in_the_other_process_and_not_in_its_own(relays: list[OpenStore]) -> None:
    async def story() -> None:
        heard_by_first: list[str] = []
        rung = asyncio.Event()
        first = store_of(relays[0]).leases(heard_by_first.append)
        second = store_of(relays[1]).leases(lambda bell: rung.set() if bell == "journal shop" else None)
        await asyncio.gather(first.take("a", "sender"), second.take("b", "sender"))
        store_of(relays[0]).ring("journal shop")
        await rung.wait()
        assert heard_by_first == []
        await first.close()
        await second.close()

    relays[0].run(asyncio.wait_for(story(), 20))
