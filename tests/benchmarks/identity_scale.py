"""Resolve and commit with five million identifiers stored, against an empty database in the same run.

    python -m tests.benchmarks.identity_scale [--persons 1000000] [--events 2000]

Fills a database with ``--persons`` persons, five identifiers each (sealed, found by keyed hash), and a visitor each
with a link. Then it takes one message after the other through the processor (journal read, rules, one durable commit),
by turns on that database and on one that holds a hundred persons, and prints the milliseconds a message at the median
and the 99th percentile, and their ratios. Half of the messages are anonymous carts of known visitors, a quarter name a
known person in a browser never seen, a quarter are of strangers. The yardstick is the same work where little is stored.
"""

import argparse
import asyncio
import random
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Raw
from rich.console import Console
from rich.progress import track

from relay.clock import SystemClock
from relay.identity.evidence import Evidence, Recognition
from relay.identity.identifiers import IdentifierKind
from relay.model import Trust
from relay.pipeline.parse import Received
from relay.pipeline.process import Processor
from relay.store import keyring
from relay.store.rows import Entry
from relay.store.sqlite import SqliteStore
from tests import factories

SECRETS = ["a key of the benchmark"]
SITE = factories.site()
FEW = 100
CHUNK = 50_000
NOW = time.time()

Row = tuple[object, ...]


def email(n: int) -> str:
    return f"shopper{n}@mail.com"


def visitor(n: int) -> str:
    return f"{n:032x}"


def values(n: int) -> Iterator[tuple[IdentifierKind, str]]:
    yield IdentifierKind.EMAIL, email(n)
    yield IdentifierKind.PHONE, f"+4930{n:08d}"
    yield IdentifierKind.CUSTOMER_ID, f"customer-{n}"
    yield IdentifierKind.KLAVIYO_ID, f"01H{n:023d}"
    yield IdentifierKind.KX, f"{n:043d}.DEMO42"


def fill(path: Path, persons: int, told: Console) -> None:
    """Straight into the tables, in the order of their keys: the processor would take an hour."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        vault = keyring.load(db, SECRETS, [SITE.site_id]).of(SITE.site_id)
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA cache_size=-400000")
        identifiers: list[Row] = []
        for n in track(range(persons), "sealing", console=told, transient=True):
            for kind, value in values(n):
                sealed = vault.seal(f"identifiers.{kind}", value.encode())
                key = (SITE.site_id, str(kind), vault.look_up(kind, value))
                identifiers.append((*key, sealed, f"person-{n}", "server", NOW, NOW, "m"))
        identifiers.sort(key=lambda row: row[1:3])
        people: list[Row] = sorted((SITE.site_id, f"person-{n}", NOW) for n in range(persons))
        link = (str(Evidence.FORM), NOW - 86400, NOW - 86400, "m")
        links: list[Row] = [(SITE.site_id, visitor(n), f"person-{n}", *link) for n in range(persons)]
        # Indexes are made once all rows are there, in their own order.
        made = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
        indexes = [(name, sql) for name, sql in made if "identifiers" in sql or " links " in sql]
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}")
        for table, columns, rows in (
            ("identifiers", "site_id, kind, hash, value, person_id, trust, first_at, last_at, message_id", identifiers),
            ("persons", "site_id, person_id, created_at", people),
            ("links", "site_id, visitor_id, person_id, evidence, first_at, last_at, message_id", links),
        ):
            marks = ", ".join("?" * len(columns.split(", ")))
            for at in track(range(0, len(rows), CHUNK), table, console=told, transient=True):
                db.execute("BEGIN")
                db.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows[at : at + CHUNK])  # noqa: S608
                db.execute("COMMIT")
        for _, sql in indexes:
            db.execute(sql)


class Relay:
    """A processor on a database of its own."""

    def __init__(self, folder: Path, persons: int, told: Console) -> None:
        self.path = folder / "relay.db"
        self._persons = persons
        asyncio.run(SqliteStore(self.path, SECRETS, [SITE.site_id]).close())
        fill(self.path, persons, told)
        self.seconds: list[float] = []

    def open(self) -> None:
        self._store = SqliteStore(self.path, SECRETS, [SITE.site_id])
        self._processor = Processor(
            SITE, self._store, SystemClock(), journal_rings=asyncio.Event(), outbox_rings=asyncio.Event()
        )

    async def take(self, number: int, chance: random.Random) -> None:
        """One message, from its row in the journal to the commit of all it changes."""
        who = chance.randrange(self._persons)
        share = number % 4
        jar = visitor(who) if share < 2 else uuid.UUID(int=chance.getrandbits(128)).hex
        message_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        named = {"type": "identify", "event": ..., "properties": ..., "traits": {"email": email(who)}}
        body = factories.call(messageId=message_id, **(named if share == 2 else {}))
        received = Received(
            type=body["type"],
            message_id=message_id,
            occurred_at=time.time(),
            body=Raw(msgspec.json.encode(body)),
        )
        entry = Entry(
            site_id=SITE.site_id,
            received_at=time.time(),
            trust=Trust.BROWSER,
            messages=[received],
            visitor_id=jar,
            recognition=Recognition.COOKIE,
        )
        await self._store.append(entry)
        begun = time.perf_counter()
        await self._processor.process_next()
        self.seconds.append(time.perf_counter() - begun)

    async def close(self) -> None:
        await self._store.close()


async def measure(relays: list[Relay], events: int, told: Console) -> None:
    for relay in relays:
        relay.open()
    chances = [random.Random(7) for _ in relays]
    for number in track(range(events), "messages", console=told, transient=True):
        for relay, chance in zip(relays, chances, strict=True):
            await relay.take(number, chance)
    for relay in relays:
        await relay.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=2_000)
    options = parser.parse_args()
    told = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        relays = []
        for name, persons in (("full", options.persons), ("empty", FEW)):
            (Path(folder) / name).mkdir()
            relays.append(Relay(Path(folder) / name, persons, told))
        asyncio.run(measure(relays, options.events, told))
        full, empty = ([1000 * second for second in relay.seconds] for relay in relays)
        size = relays[0].path.stat().st_size / 2**20
    print(f"{5 * options.persons:,} identifiers and {options.persons:,} visitors stored: {size:,.0f} MB")
    for words, n in (("median", 50), ("99th percentile", 99)):
        one, other = (statistics.quantiles(each, n=100)[n - 1] for each in (full, empty))
        print(f"{words:>16}: {one:6.2f} ms a message, {other:6.2f} ms where nothing is stored; ratio {one / other:.2f}")


if __name__ == "__main__":
    main()
