"""How fast a backlog reaches Klaviyo, and how close to Klaviyo's limits live events stay.

``python -m tests.benchmarks.delivery``: the sender with its database against a bare httpx loop that posts the very same
bodies, in alternating rounds to the same stand-in (in a process of its own, without limits); once in bulk calls as a
backlog goes, once one by one. Printed: events a second and CPU time per event of both, and the ratios of the medians.

``--pace``: the sender under Klaviyo's limits for two minutes of a steady stream; printed: which share of the allowed
calls it makes in a whole minute, and how many 429 it meets.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from e2e.servers import SandboxControl, free_port, wait_until
from relay.clock import SystemClock
from relay.config import Secret, Site
from relay.delivery.pace import Traffic
from relay.delivery.worker import Sender
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.klaviyo.client import KlaviyoClient
from relay.klaviyo.endpoints import Endpoint
from relay.model import Trust
from relay.store.base import Store, Transaction
from relay.store.sqlite import SqliteStore
from tests import factories

STAND_IN = """
import sys, uvicorn
from relay.demo.sandbox import Account, build_sandbox
uvicorn.run(build_sandbox(Account()), port=int(sys.argv[1]), log_level="error", access_log=False)
"""
#: Events of one shopper in the backlog.
EACH = 5
CONNECTIONS = 8
BULK, SINGLE = Endpoint.BULK_EVENTS.value.path, Endpoint.CREATE_EVENT.value.path

out = Console()


class Measured(msgspec.Struct):
    """``cpu`` is this process's, in microseconds an event."""

    rate: float
    cpu: float


class Recording(KlaviyoClient):
    """Keeps what it sends, for the yardstick to send again."""

    bodies: list[tuple[str, bytes]]

    async def _send(self, endpoint: Endpoint, body: Any = None, **rest: Any) -> Any:
        self.bodies.append((endpoint.value.path, msgspec.json.encode(body)))
        return await super()._send(endpoint, body, **rest)


def fill(store: Store, n: int, *, due_at: float) -> Awaitable[None]:
    """Queue ``n`` events of n / EACH persons."""

    def work(tx: Transaction) -> None:
        for person in range(n // EACH):
            person_id = tx.graph.new_person("shop", due_at)
            email = Identifier(IdentifierKind.EMAIL, f"shopper-{person}@harbour.example")
            tx.graph.attach("shop", email, person_id, trust=Trust.SERVER, at=due_at, message_id="m")
            for _ in range(EACH):
                event = factories.stored_event(occurred_at=due_at)
                draft = factories.draft(
                    event_id=tx.ledger.add_event(event), person_id=person_id, due_at=due_at, occurred_at=due_at
                )
                assert tx.outbox.add(draft)

    return store.transact(work)


async def ours(url: str, n: int, *, due_at: float) -> tuple[Measured, list[tuple[str, bytes]]]:
    """The sender empties an outbox of ``n`` events."""
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "relay.db", ("for this benchmark only",), ("shop",))
        await fill(store, n, due_at=due_at)
        site, clock = site_of(url), SystemClock()
        traffic = Traffic(clock, is_paced=False)
        client = Recording(site, traffic)
        client.bodies = []
        rings = asyncio.Event()
        sender = Sender(site, store, client, traffic, clock, outbox_rings=rings, journal_rings=rings)

        async def empty() -> None:
            running = asyncio.create_task(sender.run())
            while await store.read(lambda tx: tx.dispatch.next_due("shop")) is not None:
                await asyncio.wait([running], timeout=0.02)
            sender.stop()
            await running

        measured = await timed(empty, n)
        await client.close()
        await store.close()
        return measured, client.bodies


async def theirs(url: str, n: int, bodies: Sequence[tuple[str, bytes]]) -> Measured:
    """A bare loop posts the same bodies over as many connections."""
    headers = {"Authorization": "Klaviyo-API-Key pk_demo", "revision": "2026-10-15"}
    headers |= {"Content-Type": "application/vnd.api+json"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as http:
        waiting = iter(bodies)

        async def connection() -> None:
            for path, body in waiting:
                answer = await http.post(path, content=body)
                assert answer.status_code == 202, answer.text

        async def post() -> None:
            await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))

        return await timed(post, n)


async def timed(work: Callable[[], Awaitable[None]], n: int) -> Measured:
    began, cpu = time.perf_counter(), time.process_time()
    await work()
    return Measured(n / (time.perf_counter() - began), (time.process_time() - cpu) / n * 1e6)


def site_of(url: str) -> Site:
    return Site(site_id="shop", write_key="w", klaviyo_api_key=Secret("pk_demo"), klaviyo_url=url)


def compare(sandbox: SandboxControl, n: int, rounds: int) -> None:
    table = Table("", "events", "ours/s", "httpx/s", "ratio", "ours CPU µs", "httpx CPU µs", "ratio")
    with Progress(console=out, transient=True) as progress:
        task = progress.add_task("backlog", total=4 * rounds)
        for name, events, age in (("in bulk", n, 3600.0), ("one by one", max(EACH, n // 20), 0.0)):
            mine, yours = [], []
            for _ in range(rounds):
                measured, bodies = asyncio.run(ours(sandbox.url, events, due_at=time.time() - age))
                assert len(sandbox.state()["events"]) == events, "every event exactly once"
                mine.append(measured)
                sandbox.reset()
                progress.advance(task)
                yours.append(asyncio.run(theirs(sandbox.url, events, bodies)))
                sandbox.reset()
                progress.advance(task)
            rate, cpu = (statistics.median(getattr(m, f) for m in mine) for f in ("rate", "cpu"))
            bare_rate, bare_cpu = (statistics.median(getattr(m, f) for m in yours) for f in ("rate", "cpu"))
            table.add_row(
                name, f"{events:,}", f"{rate:,.0f}", f"{bare_rate:,.0f}", f"{rate / bare_rate:.2f}",
                f"{cpu:.0f}", f"{bare_cpu:.0f}", f"{cpu / bare_cpu:.2f}",
            )  # fmt: skip
    out.print(table)


async def pace(sandbox: SandboxControl, minutes: int) -> None:
    """A stream of live events, always more than may go, under limits."""
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "relay.db", ("for this benchmark only",), ("shop",))
        site, clock = site_of(sandbox.url), SystemClock()
        traffic = Traffic(clock)
        client = KlaviyoClient(site, traffic)
        rings = asyncio.Event()
        sender = Sender(site, store, client, traffic, clock, outbox_rings=rings, journal_rings=rings)
        steady = Endpoint.CREATE_EVENT.value.steady
        running = asyncio.create_task(sender.run())
        end = time.time() + 60 * (minutes + 1) + 5
        with Progress(console=out, transient=True) as progress:
            task = progress.add_task("under limits", total=end - time.time())
            while (now := time.time()) < end:
                await fill(store, 5 * (steady // 60 + 2), due_at=now)
                rings.set()
                await asyncio.wait([running], timeout=5.0)
                progress.update(task, completed=60 * (minutes + 1) + 5 - (end - time.time()))
        sender.stop()
        await running
        await client.close()
        await store.close()
    calls = sandbox.requests()
    by_minute: dict[int, int] = {}
    for call in calls:
        if call["path"] == SINGLE and call["status"] == 202:
            by_minute[int(call["at"]) // 60] = by_minute.get(int(call["at"]) // 60, 0) + 1
    whole = sorted(by_minute)[1:-1]
    refused = sum(call["status"] == 429 for call in calls)
    for minute in whole:
        share = by_minute[minute] / steady
        out.print(f"{by_minute[minute]:,} of {steady:,} calls allowed in a minute: {share:.1%}; {refused} answered 429")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--pace", action="store_true", help="measure under Klaviyo's limits instead (3 minutes)")
    options = arguments.parse_args()
    port = free_port()
    stand_in = subprocess.Popen([sys.executable, "-c", STAND_IN, str(port)], env=dict(os.environ))
    sandbox = SandboxControl(f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: is_up(sandbox), "the stand-in is up")
        if options.pace:
            sandbox.limits(enabled=True)
            asyncio.run(pace(sandbox, minutes=2))
        else:
            compare(sandbox, options.events, options.rounds)
    finally:
        stand_in.terminate()
        stand_in.wait()


def is_up(sandbox: SandboxControl) -> bool:
    try:
        sandbox.state()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
