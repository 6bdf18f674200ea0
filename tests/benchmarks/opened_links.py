"""What a message of a subscriber costs who has opened many Klaviyo messages, against one who has opened one.

    python -m tests.benchmarks.opened_links [--opened 500] [--events 1000]

Each message of Klaviyo's brings another ``_kx``, and Klaviyo's answer says whose it is. One shopper opens ``--opened``
of them in one browser, the other one. Then the two act by turns, in one database and one process: a cart filled
anonymously, a page with the latest link's ID in Klaviyo's cookie, another message opened, and Klaviyo's answer to that.
Of each is printed, with its ratio, the median of the milliseconds from its row in the journal to the durable commit of
all it changes. The yardstick is the same act of whoever has opened one message. (That one opens the same one again each
time, so as not to catch up.)
"""

import argparse
import asyncio
import base64
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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

SECRETS = ["a key of the benchmark"]
SITE = factories.site()
ACTS = ("cart", "page", "opens", "answer")


class Shopper:
    """A subscriber with one browser."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.visitor_id = uuid.uuid5(uuid.NAMESPACE_DNS, name).hex
        self.opened = 0
        self.milliseconds: dict[str, list[float]] = {act: [] for act in ACTS}

    @property
    def kx(self) -> str:
        """The exchange ID of the message opened last."""
        return f"{self.name}{self.opened:09d}".rjust(43, "x") + ".DEMO42"

    def entry(self, act: str) -> Entry:
        """The journal's row of an act."""
        now = time.time()
        body: dict[str, Any]
        trust, visitor_id = Trust.BROWSER, self.visitor_id
        if act == "answer":
            traits = {"outcome": "found", "kx": self.kx, "klaviyo_id": self.name, "email": f"{self.name}@mail.com"}
            body, trust = {"type": "identify", "messageId": f"lookup:{uuid.uuid4()}", "traits": traits}, Trust.KLAVIYO
        elif act == "cart":
            body = factories.call(messageId=str(uuid.uuid4()))
        else:
            cookie = base64.b64encode(msgspec.json.encode({"$exchange_id": self.kx})).decode()
            context = {"clickIds": {"_kx": self.kx}} if act == "opens" else {"cookies": {"__kla_id": cookie}}
            body = {"type": "page", "messageId": str(uuid.uuid4()), "context": context}
        message = Received(body["type"], body["messageId"], now, Raw(msgspec.json.encode(body)))
        if trust is Trust.KLAVIYO:
            return Entry(site_id=SITE.site_id, received_at=now, trust=trust, messages=[message])
        return Entry(
            site_id=SITE.site_id,
            received_at=now,
            trust=trust,
            messages=[message],
            visitor_id=visitor_id,
            recognition=Recognition.COOKIE,
        )


async def take(store: SqliteStore, processor: Processor, shopper: Shopper, act: str) -> float:
    """The milliseconds that an act takes."""
    await store.append(shopper.entry(act))
    begun = time.perf_counter()
    await processor.process_next()
    return 1000 * (time.perf_counter() - begun)


async def measure(path: Path, opened: int, events: int, told: Console) -> Sequence[Shopper]:
    store = SqliteStore(path, SECRETS, [SITE.site_id])
    processor = Processor(SITE, store, SystemClock(), journal_rings=asyncio.Event(), outbox_rings=asyncio.Event())
    faithful, other = shoppers = (Shopper("ann"), Shopper("bob"))
    for shopper, n in ((other, 1), (faithful, opened)):
        for _ in track(range(n), f"{n:,} messages are opened", console=told, transient=True):
            shopper.opened += 1
            for act in ("opens", "answer"):
                await take(store, processor, shopper, act)
    for number in track(range(events), "acts by turns", console=told, transient=True):
        act = ACTS[number % len(ACTS)]
        faithful.opened += act == "opens"
        for shopper in shoppers:
            shopper.milliseconds[act].append(await take(store, processor, shopper, act))
    links = await store.read(lambda tx: [len(tx.graph.links(SITE.site_id, each.visitor_id)) for each in shoppers])
    if links != [1, 1]:
        raise SystemExit(f"expected one live tie of each browser, found {links}")
    await store.close()
    return shoppers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opened", type=int, default=500)
    parser.add_argument("--events", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "relay.db"
        faithful, other = asyncio.run(measure(path, options.opened, options.events, Console(stderr=True)))
    print(f"a subscriber who has opened {options.opened:,} messages, and one who has opened one; medians")
    for act in ACTS:
        many, one = (statistics.median(shopper.milliseconds[act]) for shopper in (faithful, other))
        print(f"{act:>8}: {many:6.2f} ms, {one:6.2f} ms; ratio {many / one:.2f}")


if __name__ == "__main__":
    main()
