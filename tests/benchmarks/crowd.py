"""A crowd of known shoppers, straight into a state database's tables: the processor would take hours for a million.

Each person has a value of five kinds (sealed, found by keyed hash), and a visitor with a link, an analytics ID, and a
page view of last week, of which Klaviyo was not to be told. Every hash is one that the relay looks for, every sealed
value opens. Hashing and sealing is done in all cores; rows go in in the order of their keys, and the indexes are made
once the rows are there.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import track

from relay.identity.evidence import Evidence
from relay.identity.identifiers import IdentifierKind
from relay.identity.traces import TraceKind
from relay.model import Commerce, Kept, Kind
from relay.store import keyring
from relay.store.ledger import BODY
from relay.store.vault import Vault

#: Persons of one piece of work.
CHUNK = 20_000
#: Odd, so that every number has an ID of its own, and without order as real ones are.
_SPREAD = 0x9E3779B97F4A7C15F39CC0605CEDC835

Row = tuple[Any, ...]


def visitor(n: int) -> str:
    return f"{n * _SPREAD % 2**128:032x}"


def person(n: int) -> str:
    return f"{~n * _SPREAD % 2**128:032x}"


def message(n: int) -> str:
    return f"{n:08x}-0000-4000-8000-{n:012x}"


def email(n: int) -> str:
    return f"shopper{n}@mail.com"


def ga(n: int) -> str:
    """The analytics ID in the visitor's browser."""
    return f"{100_000_000 + n}.1700000000"


def value(kind: IdentifierKind, n: int) -> str:
    match kind:
        case IdentifierKind.EMAIL:
            return email(n)
        case IdentifierKind.PHONE:
            return f"+4930{n:08d}"
        case IdentifierKind.CUSTOMER_ID:
            return f"customer-{n}"
        case IdentifierKind.KLAVIYO_ID:
            return f"01H{n:023d}"
        case IdentifierKind.KX:
            return f"{n:043d}.DEMO42"
        case _:
            raise ValueError(kind)


KINDS = (
    IdentifierKind.EMAIL,
    IdentifierKind.PHONE,
    IdentifierKind.CUSTOMER_ID,
    IdentifierKind.KLAVIYO_ID,
    IdentifierKind.KX,
)


def fill(path: Path, secrets: Sequence[str], site_id: str, persons: int, now: float, told: Console) -> None:
    """Fill the state database at ``path``, which a store has made and closed. ``now`` in seconds since the epoch."""
    parts = [range(at, min(at + CHUNK, persons)) for at in range(0, persons, CHUNK)]
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        # Nobody else is here, and what is cut off is thrown away.
        db.execute("PRAGMA journal_mode=OFF")
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA temp_store=MEMORY")
        db.execute("PRAGMA cache_size=-400000")
        db.execute("PRAGMA threads=2")
        indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
        with ProcessPoolExecutor(os.cpu_count(), initializer=_open, initargs=(path, secrets, site_id)) as cores:
            for words, make, insert in _tables(site_id, now):
                rows: list[Row] = []
                for made in track(cores.map(make, parts), words, len(parts), console=told, transient=True):
                    rows += made
                rows.sort()
                db.execute("BEGIN")
                db.executemany(insert, rows)
                db.execute("COMMIT")
        for _, sql in track(indexes, "indexes", console=told, transient=True):
            db.execute(sql)


def _tables(site_id: str, now: float) -> Iterator[tuple[str, Callable[[range], list[Row]], str]]:
    """What is made of a range of persons, each row beginning with its key, and how it goes in."""
    week = now - 7 * 86400
    of_site = f"VALUES ('{site_id}'"
    for kind in KINDS:
        yield (
            f"identifiers: {kind}",
            partial(_identifiers, kind),
            "INSERT INTO identifiers (site_id, kind, trust, first_at, last_at, hash, value, person_id, message_id)"
            f" {of_site}, '{kind}', 'server', {week}, {week}, ?, ?, ?, ?)",
        )
    yield "persons", _persons, f"INSERT INTO persons (site_id, created_at, person_id) {of_site}, {week}, ?)"
    yield (
        "links",
        _links,
        "INSERT INTO links (site_id, evidence, first_at, last_at, visitor_id, person_id, message_id)"
        f" {of_site}, '{Evidence.FORM}', {week}, {week}, ?, ?, ?)",
    )
    yield (
        "traces",
        _traces,
        "INSERT INTO traces (site_id, kind, first_at, last_at, network, browser, hash, visitor_id)"
        f" {of_site}, '{TraceKind.GA}', {week}, {week}, 'cb0071/24', 'Windows/Chrome', ?, ?)",
    )
    yield (
        "events",
        _events,
        "INSERT INTO events (site_id, source, kind, name, occurred_at, received_at, event_id, message_id, visitor_id,"
        f" body) {of_site}, 'browser', '{Kind.PAGE}', '{Kind.PAGE}', {week}, {week}, ?, ?, ?, ?)",
    )
    yield (
        "deliveries",
        _deliveries,
        "INSERT INTO deliveries (site_id, kind, metric, action, occurred_at, created_at, state, reason, cause, due_at,"
        " settled_at, delivery_id, event_id, unique_id, visitor_id, person_id)"
        f" {of_site}, 'event', 'Viewed Page', 'viewed_page', {week}, {week}, 'suppressed', 'native', 'native', {week},"
        f" {week}, ?1, ?1, ?2, ?3, ?4)",
    )


# In the other cores


def _open(path: Path, secrets: Sequence[str], site_id: str) -> None:
    global _vault
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        _vault = keyring.load(db, secrets, [site_id]).of(site_id)


_vault: Vault


def _identifiers(kind: IdentifierKind, numbers: range) -> list[Row]:
    place, rows = f"identifiers.{kind}", []
    for n in numbers:
        plain = value(kind, n)
        rows.append((_vault.look_up(kind, plain), _vault.seal(place, plain.encode()), person(n), message(n)))
    return sorted(rows)


def _persons(numbers: range) -> list[Row]:
    return sorted((person(n),) for n in numbers)


def _links(numbers: range) -> list[Row]:
    return sorted((visitor(n), person(n), message(n)) for n in numbers)


def _traces(numbers: range) -> list[Row]:
    return sorted((_vault.look_up(f"trace {TraceKind.GA}", ga(n)), visitor(n)) for n in numbers)


def _events(numbers: range) -> list[Row]:
    kept = msgspec.json.encode(Kept(commerce=Commerce(kind=Kind.PAGE, name=Kind.PAGE), page_url="https://shop.example"))
    return [(n + 1, message(n), visitor(n), _vault.seal(BODY, kept)) for n in numbers]


def _deliveries(numbers: range) -> list[Row]:
    return [(n + 1, f"{message(n)}:viewed_page", visitor(n), person(n)) for n in numbers]
