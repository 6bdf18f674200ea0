"""Resolve and commit with five million identifiers stored, against a young shop in the same run.

    python -m tests.benchmarks.identity_scale [--persons 1000000] [--events 2000]

Fills a database with ``--persons`` persons as ``crowd`` describes them, five identifiers and a visitor each. Then it
takes one message after the other through the processor (journal read, rules, one durable commit), by turns on that
database and on one that holds only as many persons as there are messages, and prints the milliseconds a message at the
median and the 99th percentile, and their ratios. Half of the messages are anonymous carts of known visitors, a quarter
name a known person in a browser never seen, a quarter are of strangers; nobody comes twice. The yardstick is the same
work where little is stored.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import msgspec
from msgspec import Raw
from rich.console import Console
from rich.progress import track

from relay.clock import SystemClock
from relay.identity.evidence import Recognition
from relay.model import Trust
from relay.pipeline.parse import Received
from relay.pipeline.process import Processor
from relay.store.rows import Entry
from relay.store.sqlite import SqliteStore
from tests import factories
from tests.benchmarks import crowd

SECRETS = ["a key of the benchmark"]
SITE = factories.site()
#: Cookies and addresses of browsers that nobody has seen begin behind those of the stored ones.
UNSEEN = 10_000_000
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/131.0.0.0 Safari/537.36"


class Relay:
    """A processor on a database of its own."""

    def __init__(self, folder: Path, persons: int, told: Console) -> None:
        self.path = folder / "relay.db"
        asyncio.run(SqliteStore(self.path, SECRETS, [SITE.site_id]).close())
        begun = time.perf_counter()
        crowd.fill(self.path, SECRETS, SITE.site_id, persons, time.time(), told)
        self.filled_in = time.perf_counter() - begun
        self.seconds: list[float] = []

    def open(self) -> None:
        self._store = SqliteStore(self.path, SECRETS, [SITE.site_id])
        self._processor = Processor(
            SITE, self._store, SystemClock(), journal_rings=asyncio.Event(), outbox_rings=asyncio.Event()
        )

    async def take(self, number: int, who: int) -> None:
        """One message, from its row in the journal to the commit of all it changes."""
        share = number % 4
        browser = who if share < 2 else UNSEEN + number
        named = {"type": "identify", "event": ..., "properties": ..., "traits": {"email": crowd.email(who)}}
        context = {"cookies": {"_ga": f"GA1.1.{crowd.ga(browser)}"}}
        body = factories.call(messageId=str(uuid.uuid4()), context=context, **(named if share == 2 else {}))
        received = Received(
            type=body["type"],
            message_id=body["messageId"],
            occurred_at=time.time(),
            body=Raw(msgspec.json.encode(body)),
        )
        entry = Entry(
            site_id=SITE.site_id,
            received_at=time.time(),
            trust=Trust.BROWSER,
            messages=[received],
            visitor_id=crowd.visitor(browser),
            recognition=Recognition.COOKIE,
            ip=f"93.184.{number >> 8 & 255}.{number & 255}",
            user_agent=BROWSER,
        )
        await self._store.append(entry)
        begun = time.perf_counter()
        await self._processor.process_next()
        self.seconds.append(time.perf_counter() - begun)

    async def close(self) -> None:
        await self._store.close()


async def measure(relays: list[Relay], whose: list[list[int]], events: int, told: Console) -> None:
    for relay in relays:
        relay.open()
    for number in track(range(events), "messages", console=told, transient=True):
        for relay, shoppers in zip(relays, whose, strict=True):
            await relay.take(number, shoppers[number])
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
        whose = []
        for name, persons in (("full", options.persons), ("young", options.events)):
            (Path(folder) / name).mkdir()
            relays.append(Relay(Path(folder) / name, persons, told))
            whose.append(random.Random(7).sample(range(persons), options.events))
        asyncio.run(measure(relays, whose, options.events, told))
        full, young = ([1000 * second for second in relay.seconds] for relay in relays)
        size = relays[0].path.stat().st_size / 2**20
    stored = f"{len(crowd.KINDS) * options.persons:,} identifiers and {options.persons:,} visitors stored"
    print(f"{stored}: {size:,.0f} MB, filled in {relays[0].filled_in:,.0f} s")
    for words, n in (("median", 50), ("99th percentile", 99)):
        one, other = (statistics.quantiles(each, n=100)[n - 1] for each in (full, young))
        print(f"{words:>16}: {one:6.2f} ms a message, {other:6.2f} ms where little is stored; ratio {one / other:.2f}")


if __name__ == "__main__":
    main()
