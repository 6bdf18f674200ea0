"""A database made before values were sealed: everything is found again, and nothing plain is left."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

import relay.store
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.tenure import Tenure
from relay.model import DeliveryKind, Recipient
from relay.store import sealing
from relay.store.base import Transaction
from relay.store.dialect import translated
from relay.store.keyring import Keyring
from relay.store.postgres import PostgresStore
from relay.store.sqlite import SqliteStore
from relay.store.vault import Vault
from tests import factories
from tests.contract.conftest import STORES, OpenStore
from tests.factories import NOW
from tests.postgres import OwnServer, Server

MIGRATIONS = Path(relay.store.__file__).parent / "migrations"
#: Words of the old rows that must be nowhere in the end.
WORDS = (b"jane@shop.example", b"customer-jane", b"+4930123", b"Janet", b"secret-page", b"secret-kx")
PEOPLE = 7

Old = Callable[[], OpenStore]


class Kill(BaseException):
    """The process is killed, so to speak."""


def schema_before(part: str) -> str:
    """Every migration older than the one that seals."""
    files = sorted((MIGRATIONS / part).glob("*.sql"))
    return "\n".join(file.read_text() for file in files if file.name < "0005")


def old_rows() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """What an older relay has written, of several people."""
    for n in range(PEOPLE):
        yield "INSERT INTO persons (site_id, person_id, created_at, traits) VALUES (?, ?, ?, ?)", (
            "shop", f"person-{n}", NOW, b'{"firstName":"Janet"}')  # fmt: skip
        for kind, value in (
            ("email", f"{n}.jane@shop.example"),
            ("customer_id", f"customer-jane-{n}"),
            ("phone", f"+4930123{n}"),
        ):
            yield (
                (
                    "INSERT INTO identifiers (site_id, kind, value, person_id, trust, first_at, last_at, message_id)"
                    " VALUES (?, ?, ?, ?, 'server', ?, ?, 'm')"
                ),
                ("shop", kind, value, f"person-{n}", NOW, NOW),
            )
        yield (
            (
                "INSERT INTO events (event_id, site_id, source, message_id, visitor_id, kind, name,"
                " occurred_at, received_at, body)"
                " VALUES (?, 'shop', 'browser', ?, 'v', 'page', 'page', ?, ?, ?)"
            ),
            (n + 1, f"m{n}", NOW, NOW, factories.kept(page_url="https://shop.example/secret-page")),
        )
        for kind, event_id, payload, recipient in (
            ("event", n + 1, None, b'{"email":"jane@shop.example"}'),
            ("lookup", None, f"secret-kx-{n}", None),
        ):
            yield (
                (
                    "INSERT INTO deliveries (site_id, kind, unique_id, event_id, person_id, occurred_at, created_at,"
                    " state, reason, cause, due_at, payload, recipient)"
                    " VALUES ('shop', ?, ?, ?, ?, ?, ?, 'ready', 'asked', 'asked', ?, ?, ?)"
                ),
                (kind, f"{kind}-{n}", event_id, f"person-{n}", NOW, NOW, NOW, payload, recipient),
            )


def old_journal() -> list[tuple[str, float, bytes]]:
    body = msgspec.Raw(b'{"traits":{"email":"jane@shop.example"}}')
    entries = [factories.entry(messages=[factories.received(body=body)]) for _ in range(PEOPLE)]
    return [(entry.site_id, entry.received_at, msgspec.json.encode(entry)) for entry in entries]


@pytest.fixture(params=STORES)
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Old]:
    """Opens a database that was made and filled by an older relay."""
    monkeypatch.setattr(sealing, "_BATCH", 2)
    opened: list[OpenStore] = []
    if request.param == "sqlite":
        for part, name in (("state", "relay.db"), ("journal", "relay.journal.db")):
            with closing(sqlite3.connect(tmp_path / name)) as connection:
                connection.executescript(schema_before(part))
                connection.execute("PRAGMA journal_mode = WAL")
                if part == "state":
                    for sql, values in old_rows():
                        connection.execute(sql, values)
                else:
                    connection.executemany(
                        "INSERT INTO journal (site_id, received_at, body) VALUES (?, ?, ?)", old_journal()
                    )
                connection.commit()

        def opens(folder: Path) -> SqliteStore | PostgresStore:
            return SqliteStore(folder / "relay.db", *factories.KEYS)
    else:
        server: Server = request.getfixturevalue("postgres")
        url = server.empty_database("old")
        with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.RawCursor) as session:
            session.execute(schema_before("postgres").encode())
            session.execute("CREATE TABLE journal_00000000 PARTITION OF journal FOR VALUES FROM (0) TO (1000000)")
            for sql, values in old_rows():
                session.execute(translated(sql).encode(), values)
            for row in old_journal():
                session.execute("INSERT INTO journal (site_id, received_at, body) VALUES ($1, $2, $3)", row)

        def opens(folder: Path) -> SqliteStore | PostgresStore:
            return PostgresStore(url, *factories.KEYS)

    def open_old() -> OpenStore:
        opened.append(OpenStore(opens, tmp_path))
        return opened[-1]

    yield open_old
    for each in opened:
        each.close()
    if request.param == "postgres":
        server.forget(url)


def check_everything_is_there(opened: OpenStore) -> None:
    def look(tx: Transaction) -> None:
        for n in range(PEOPLE):
            email = Identifier(IdentifierKind.EMAIL, f"{n}.jane@shop.example")
            assert tx.graph.owners("shop", [email])[email].person_id == f"person-{n}"
            assert tx.graph.recipient("shop", f"person-{n}") == Recipient(
                email=email.value, phone_number=f"+4930123{n}", traits={"firstName": "Janet"}
            )
            assert tx.graph.customer_id("shop", f"person-{n}") == f"customer-jane-{n}"
        assert len(tx.holdings.events("shop", [], [Tenure(visitor_id="v")])) == PEOPLE

    opened.do(look)
    claimed = opened.claim(kinds=[DeliveryKind.EVENT, DeliveryKind.LOOKUP])
    assert {delivery.payload for delivery in claimed} == {None, *(f"secret-kx-{n}" for n in range(PEOPLE))}
    assert [d.recipient.email for d in claimed if d.recipient] == ["jane@shop.example"] * PEOPLE
    assert all(b"secret-page" in delivery.event for delivery in claimed if delivery.event)
    assert [b"jane@shop.example" in bytes(row.entry.messages[0].body) for row in opened.entries()] == [True] * PEOPLE


def plain_words(files: list[Path]) -> set[tuple[str, bytes]]:
    held = {file.name: file.read_bytes() for file in files}
    return {(name, word) for name, content in held.items() for word in WORDS if word in content}


def files_of(opened: OpenStore, request: pytest.FixtureRequest) -> list[Path]:
    """The files the database is kept in."""
    store = opened.store
    if isinstance(store, SqliteStore):
        return [path for path in store.path.parent.iterdir() if path.name.startswith("relay.")]
    server = request.getfixturevalue("postgres")
    if not isinstance(server, OwnServer):
        return []  # somebody else's server: its files are out of reach
    number = opened.do(
        lambda tx: tx.connection.execute(
            "SELECT oid::text FROM pg_database WHERE datname = current_database()"
        ).fetchone()[0]
    )
    with psycopg.connect(server.url, autocommit=True) as session:
        session.execute("CHECKPOINT")
    return [path for path in (server._folder / "data" / "base" / number).iterdir() if path.is_file()]


def test_an_old_database_is_carried_over_whole(old: Old) -> None:
    check_everything_is_there(old())


def test_nothing_plain_is_left_in_the_files(old: Old, request: pytest.FixtureRequest) -> None:
    opened = old()
    files = files_of(opened, request)
    assert plain_words(files) == set()
    assert opened.do(lambda tx: sealing.remaining(tx.connection)) == []


def test_a_carry_over_that_is_killed_anywhere_goes_on(
    old: Old, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal = Vault.seal
    deaths = 0
    for after in (1, 4, 8, 15, 3, 2):
        left = after

        def mortal(vault: Vault, place: str, plain: bytes) -> bytes:
            nonlocal left
            left -= 1
            if left < 0:
                raise Kill
            return seal(vault, place, plain)

        monkeypatch.setattr(Vault, "seal", mortal)
        with pytest.raises(Kill):
            old()
        deaths += 1
    monkeypatch.setattr(Vault, "seal", seal)
    opened = old()
    assert deaths == 6
    assert plain_words(files_of(opened, request)) == set()
    check_everything_is_there(opened)


def test_a_database_that_is_carried_over_is_left_alone(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    old()

    def refuse(*_: object) -> None:
        raise AssertionError("there is nothing left to seal")

    monkeypatch.setattr(sealing, "_seal_in_place", refuse)
    monkeypatch.setattr(sealing, "_seal_identifiers", refuse)
    check_everything_is_there(old())


def test_a_request_of_a_relay_of_the_version_before_is_read(old: Old) -> None:
    """Its door may stay open until every relay is renewed."""
    opened = old()
    (site_id, at, body) = old_journal()[0]
    if isinstance(opened.store, SqliteStore):
        sql = "INSERT INTO journal (site_id, received_at, body) VALUES (?, ?, ?)"
        opened.run(opened.store._journal.run(lambda c: c.execute(sql, (site_id, at, body))))
    else:
        sql = "INSERT INTO journal (site_id, received_at, body) VALUES (?, ?, ?)"
        opened.do(lambda tx: tx.connection.execute(sql, (site_id, at, body)))
    assert len(opened.entries()) == PEOPLE + 1


def test_how_far_it_is_can_be_read_in_the_log(old: Old, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "relay.sealing"):
        old()
    told = [record.getMessage() for record in caplog.records if record.name == "relay.sealing"]
    assert any("persons" in line for line in told)
    assert any("anew" in line for line in told)
    assert not any(word.decode() in line for word in WORDS for line in told)


def test_a_store_without_the_key_of_a_site_seals_nothing_with_another() -> None:
    keys = Keyring({"shop": Vault("shop", bytes(32))})
    with pytest.raises(relay.errors.StoreUnavailable, match="without the site other"):
        keys.of("other")
