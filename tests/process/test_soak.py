"""Months of a small shop in seconds: what is old goes, what still waits stays, and nothing grows.

The clock is moved by hand; door, journal, processor, sender, database and files are the real ones. ``--soak-days 400``
is the long form.
"""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from msgspec import Struct

from relay.delivery.claims import FEWEST_FOR_BULK, LIVE_SECONDS
from relay.demo.sandbox.account import ALL_SCOPES
from relay.forget import forget
from relay.store.retention import EVENT_SECONDS, JOURNAL_SECONDS
from tests.integration.world import DAY, HOUR, KLAVIYO_KEY, LAMP, World

REGULARS, STRANGERS, ORDERS, LINES = 10, 5, 10, 11
#: What each stranger puts into the cart.
IN_VAIN = 4
#: What the measures may grow by from one third of the time after retention has set in to the next.
MOST_GROWTH = 1.05
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
EVENTS = "/api/events"


class Measure(Struct, frozen=True):
    """What the relay takes up on the evening of one day; sizes in bytes."""

    journal_rows: int
    state_rows: int
    journal_size: int
    state_size: int
    memory: int


class Shop:
    """A shop with the same customers every day."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.day = 0
        self.regulars = [world.browser() for _ in range(REGULARS)]
        self.stranger = world.browser()
        self.bot = world.browser(**{"User-Agent": BOT})
        #: Events that Klaviyo must have counted by the end of the day.
        self.due = 0

    async def open(self) -> None:
        """The customers give their addresses, and one of them is forgotten while the key lacks the scope for it."""
        for number, browser in enumerate(self.regulars):
            await browser.identify(email=f"regular-{number}@harbour.example")
        await self.stranger.identify(email="gone@harbour.example")
        await self.world.settle()
        self.world.sandbox.without("data-privacy:write")
        now = self.world.clock.now()
        await forget(self.world.store, [self.world.site], "gone@harbour.example", now=now)
        await self.world.settle()

    async def live_one_day(self) -> None:
        begun = self.world.clock.now()
        self.day += 1
        await self._browse()
        await self._buy()
        await self.world.settle(self.world.site.hold_seconds + LIVE_SECONDS + 1)
        await self._be_refused()
        assert len(self.world.received()) == self.due, "each once, and nothing that nobody sent"
        self.due = 0
        self.world.sandbox.account.reset()  # a stand-in's memory is not what is measured
        self.world.clock.advance(begun + DAY - 60 - self.world.clock.now())
        await self._add_to_cart_late()
        await self.world.keep_house()
        self.world.clock.advance(60)

    async def _browse(self) -> None:
        for number, browser in enumerate(self.regulars):
            names = ("Product Viewed", "Product Added", "Product Removed", "Product Viewed", "Product Added")
            await browser.post(
                *({"type": "track", "event": name, "properties": LAMP} for name in 2 * names),
                {"type": "page", "name": "Home"},
            )
            self.due += 2 * len(names)
            if number % 4 == self.day % 4:
                await browser.identify(visits=self.day)
        for _ in range(STRANGERS):
            self.stranger.lose_everything()
            await self.stranger.post(
                *({"type": "track", "event": "Product Added", "properties": LAMP} for _ in range(IN_VAIN))
            )
        again = {"type": "track", "event": "Product Viewed", "properties": LAMP, "messageId": f"again-{self.day}"}
        for _ in range(2):
            await self.regulars[0].post(again)
        self.due += 1
        await self.bot.track("Product Viewed", LAMP)

    async def _buy(self) -> None:
        lines = [{"product_id": str(number), "price": 5, "quantity": 1} for number in range(LINES)]
        await self.world.server(
            *(
                {
                    "type": "track",
                    "event": "Order Completed",
                    "userId": f"buyer-{number}",
                    "context": {"traits": {"email": f"regular-{number}@harbour.example"}},
                    "properties": {"order_id": f"{self.day}-{number}", "total": 5 * LINES, "products": lines},
                }
                for number in range(ORDERS)
            )
        )
        self.due += ORDERS * (1 + LINES)

    async def _be_refused(self) -> None:
        """One event that Klaviyo will not take: it is dead, and could be replayed until it is deleted."""
        await self.world.sandbox.script(EVENTS, status=400)
        await self.regulars[1].add_to_cart()
        await self.world.pass_hold()

    async def _add_to_cart_late(self) -> None:
        """Held until after midnight."""
        await self.regulars[2].add_to_cart()
        await self.world.process()
        self.due += 1

    def measure(self) -> Measure:
        tables = self.one("SELECT group_concat(name) FROM sqlite_master WHERE type = 'table'").split(",")
        store = self.world.store
        return Measure(
            journal_rows=self.one("SELECT count(*) FROM journal", of=store.journal_path),
            state_rows=sum(self.one(f"SELECT count(*) FROM {table}") for table in tables),  # noqa: S608
            journal_size=size(store.journal_path),
            state_size=size(store.path),
            memory=memory(),
        )

    def one(self, sql: str, *values: float, of: Path | None = None) -> Any:
        """The one value that ``sql`` reads, as another program would: from the state, or from another database."""
        with closing(sqlite3.connect(of or self.world.store.path)) as connection:
            (found,) = connection.execute(sql, values).fetchone()
            return found


def size(path: Path) -> int:
    """Of a database with its log, in bytes."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*") if not file.name.endswith("-shm"))


def memory() -> int:
    """What this process holds in memory, in bytes (``/proc/self/statm``, second field: resident pages)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def assert_what_is_old_is_gone(shop: Shop) -> None:
    now = shop.world.clock.now() - 60  # when the house was last kept
    old = now - EVENT_SECONDS
    assert shop.one("SELECT min(received_at) FROM journal", of=shop.world.store.journal_path) >= now - JOURNAL_SECONDS
    assert shop.one("SELECT min(received_at) FROM events") >= old
    settled = "SELECT count(*) FROM deliveries WHERE state NOT IN ('waiting', 'held', 'ready') AND created_at < ?"
    assert shop.one(settled, old) == 0
    of_no_event = (
        "SELECT count(*) FROM deliveries d WHERE event_id IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = d.event_id)"
    )
    assert shop.one(of_no_event) == 0


def assert_what_waits_is_kept(shop: Shop) -> None:
    now, site = shop.world.clock.now(), shop.world.site
    days = min(shop.day, int(site.waiting_seconds // DAY))
    assert shop.one("SELECT count(*) FROM deliveries WHERE state = 'waiting'") == days * STRANGERS * IN_VAIN
    assert shop.one("SELECT count(*) FROM deliveries WHERE state = 'held'") == 1
    assert shop.one("SELECT min(due_at) FROM deliveries WHERE state = 'held'") > now
    errand = "SELECT created_at FROM deliveries WHERE state = 'ready' AND kind = 'deletion' AND attempts = 0"
    assert shop.one(errand) <= now - shop.day * DAY, "however old"
    assert shop.one("SELECT count(*) FROM deliveries WHERE state = 'dead'") == min(shop.day, int(EVENT_SECONDS // DAY))


def growth(measures: list[Measure], what: str) -> float:
    """From one third of the time after retention has set in to the next, as a factor."""
    after = [getattr(measure, what) for measure in measures[int(EVENT_SECONDS // DAY) + 1 :]]
    third = len(after) // 3
    return fmean(after[-third:]) / fmean(after[-2 * third : -third])


def test_a_relay_that_runs_for_months_does_not_grow(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    days: int = pytestconfig.getoption("--soak-days")
    assert days >= 130, "retention sets in after 90 days, and then it takes a while to see that nothing grows"
    measures: list[Measure] = []

    async def story() -> None:
        async with World(tmp_path, hold_seconds=HOUR) as world:
            shop = Shop(world)
            await shop.open()
            for _ in range(days):
                await shop.live_one_day()
                assert_what_is_old_is_gone(shop)
                assert_what_waits_is_kept(shop)
                measures.append(shop.measure())
            sums = await world.sums()
            assert sums["received"] == sums["accepted"] + sums["duplicate"] + sums["dropped bot"]
            assert (sums["duplicate"], sums["dropped bot"]) == (days, days)
            world.sandbox.account.private_keys[KLAVIYO_KEY] = ALL_SCOPES
            await world.settle(HOUR)
            assert [deletion["value"] for deletion in world.sandbox.account.deletions] == ["gone@harbour.example"]

    asyncio.run(story())
    found: dict[str, Any] = {what: growth(measures, what) for what in Measure.__struct_fields__}
    last = measures[-1]
    print(f"\n{days} days: {last}, growth {found}")
    assert last.state_rows > EVENT_SECONDS // DAY * FEWEST_FOR_BULK
    for what, factor in found.items():
        assert factor <= MOST_GROWTH, f"{what} grows by {factor:.3f}: {[getattr(m, what) for m in measures]}"
