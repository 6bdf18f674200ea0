"""The relay dies before or after every single thing it does to the outside, one run for each such moment.

Dying is an exception no part of the relay catches; after it everything is opened anew on the same files, as a restart
would. The caller sends its batch until it is acknowledged, as the tag does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from e2e.servers import SandboxControl, free_port, served
from relay.config import Secret, Site
from relay.delivery.pace import Traffic
from relay.delivery.worker import Sender
from relay.demo.sandbox import Account, build_sandbox
from relay.klaviyo.client import KlaviyoClient
from relay.pipeline.process import Processor
from relay.store.sqlite import SqliteStore
from relay.web.collect import Collect
from relay.web.intake import Intake
from tests.fakes.clock import FakeClock

T = TypeVar("T")

METRICS = ("Viewed Product", "Added to Cart", "Placed Order", "Ordered Product")
BATCH = {
    "writeKey": "secret",
    "batch": [
        {
            "type": "track",
            "event": "Product Viewed",
            "anonymousId": "browser-1",
            "messageId": "viewed",
            "properties": {"product_id": "1", "name": "Mug", "price": 12, "currency": "EUR"},
        },
        {
            "type": "track",
            "event": "Product Added",
            "anonymousId": "browser-1",
            "messageId": "added",
            "properties": {"product_id": "1", "name": "Mug", "price": 12, "currency": "EUR"},
        },
        {
            "type": "identify",
            "userId": "7",
            "anonymousId": "browser-1",
            "messageId": "identified",
            "traits": {"email": "mia@harbour.example"},
        },
        {
            "type": "track",
            "event": "Order Completed",
            "userId": "7",
            "messageId": "ordered",
            "properties": {"order_id": "1042", "total": 12, "products": [{"product_id": "1", "price": 12}]},
        },
    ],
}


class Killed(BaseException):
    """The process is gone: not an Exception, so nothing in the relay can handle it."""


class Fate:
    """Counts the moments at which the process may die, and kills it at the chosen one."""

    def __init__(self, kill_at: int | None) -> None:
        self._kill_at = kill_at
        self.moments = 0

    def moment(self) -> None:
        self.moments += 1
        if self.moments - 1 == self._kill_at:
            raise Killed

    async def around(self, act: Callable[[], Awaitable[T]]) -> T:
        """One effect, with a moment before and one after it."""
        self.moment()
        result = await act()
        self.moment()
        return result


class MortalStore:
    """The real store; the process may die around every commit."""

    def __init__(self, store: SqliteStore, fate: Fate) -> None:
        self._store = store
        self._fate = fate

    async def append(self, *entries: Any) -> None:
        await self._fate.around(lambda: self._store.append(*entries))

    async def transact(self, work: Callable[[Any], T], site_id: str | None = None) -> T:
        return await self._fate.around(lambda: self._store.transact(work, site_id))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class MortalClient(KlaviyoClient):
    """The real client; the process may die around every request."""

    def __init__(self, site: Site, traffic: Traffic, fate: Fate) -> None:
        super().__init__(site, traffic)
        self._fate = fate

    async def _send(self, *args: Any, **kwargs: Any) -> Any:
        return await self._fate.around(lambda: KlaviyoClient._send(self, *args, **kwargs))


@pytest.fixture(scope="module")
def klaviyo() -> Iterator[SandboxControl]:
    with served(build_sandbox(Account()), free_port()) as url:
        yield SandboxControl(url)


async def live(folder: Path, klaviyo_url: str, clock: FakeClock, fate: Fate, *, acknowledged: bool) -> bool:
    """One life of the process: collect unless acknowledged, process, deliver. Whether the batch is acknowledged."""
    site = Site(
        site_id="shop",
        write_key="public",
        server_key=Secret("secret"),
        klaviyo_api_key=Secret("pk_demo"),
        klaviyo_url=klaviyo_url,
    )
    store = SqliteStore(folder / "relay.db", ("k",), ("shop",))
    mortal: Any = MortalStore(store, fate)
    traffic = Traffic(clock)
    client = MortalClient(site, traffic, fate)
    bell = asyncio.Event()
    try:
        sender = Sender(site, mortal, client, traffic, clock, outbox_rings=bell, journal_rings=bell)
        processor = Processor(site, mortal, clock, journal_rings=bell, outbox_rings=bell)
        await sender.start()
        if not acknowledged:
            collect: Any = Collect(Intake([site], ["k"], mortal, clock, lambda _: None))
            transport = httpx.ASGITransport(app=collect)
            async with httpx.AsyncClient(transport=transport, base_url="http://relay") as caller:
                answer = await caller.post("/v1/batch", json=BATCH)
            assert answer.status_code == 200
            acknowledged = True
        while await processor.process_next():
            pass
        clock.advance(site.hold_seconds)
        while await sender.deliver_next():
            pass
    except (Killed, BaseExceptionGroup) as death:
        if isinstance(death, BaseExceptionGroup) and not death.subgroup(Killed):
            raise
    finally:
        await client.close()
        await store.close()
    return acknowledged


def test_process_killed_at_any_moment_loses_nothing_and_sends_nothing_twice(
    tmp_path: Path, klaviyo: SandboxControl
) -> None:
    kill_at = 0
    while True:
        klaviyo.reset()
        folder = tmp_path / str(kill_at)
        clock = FakeClock()
        fate = Fate(kill_at)
        acknowledged = asyncio.run(live(folder, klaviyo.url, clock, fate, acknowledged=False))
        asyncio.run(live(folder, klaviyo.url, clock, Fate(None), acknowledged=acknowledged))

        state = klaviyo.state()
        arrived = sorted(event["metric"] for event in state["events"])
        assert arrived == sorted(f"{metric} - Backup Flow" for metric in METRICS), f"killed at moment {kill_at}"
        assert [profile["email"] for profile in state["profiles"]] == ["mia@harbour.example"]
        assert state["refused"] == []
        if fate.moments <= kill_at:
            break  # this life reached its natural end: every moment has had its death
        kill_at += 1
    assert kill_at >= 20, "commits and requests, each with a moment before and after"
