"""Messages a second over HTTP, from an SDK's request to finished Klaviyo bodies, the durable commit included.

    python -m tests.benchmarks.sdk_http [--rounds 5] [--batches 100]

One real uvicorn process serves the relay's own collecting route on a SQLite journal (synchronous=FULL) and turns what
is committed there into finished bodies, as ``sdk_mapping`` does without HTTP: no identity graph, no outbox, no network
to Klaviyo. Kept connections post batches of 100; a round ends when the last event is mapped. Beside it, alternately in
the same run, the same process without the mapping, and a bare Starlette route that decodes the JSON and forgets it.

Printed for each: events a second, and CPU microseconds an event of the whole server process, which is the figure to
compare where other work shares the machine.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from rich.console import Console
from rich.table import Table
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from e2e.servers import free_port
from relay.clock import SystemClock
from relay.config import Secret, Site
from relay.store.sqlite import SqliteStore
from relay.web.collect import Collect
from relay.web.intake import Intake
from tests.benchmarks.sdk_mapping import BATCH, CALLS, batch, mapped

CONNECTIONS = 8
KEY = "server"
SITE = Site(site_id="default", write_key="public", server_key=Secret(KEY))
#: Requests mapped between two looks at the journal, and events between two looks at what else there is to do.
GROUP, BREATH = 10, 25
SERVERS = {"relay": "collect, commit and map", "commit": "collect and commit", "bare": "bare Starlette route"}


class State:
    """How far a server is."""

    def __init__(self) -> None:
        self.events = self.bodies = 0

    async def answer(self, request: Request) -> Response:
        return JSONResponse({"events": self.events, "bodies": self.bodies, "cpu": time.process_time()})


def relay(folder: Path, state: State, *, maps: bool) -> Starlette:
    """The relay's own door and journal, and a mapper behind them."""
    store = SqliteStore(folder / "relay.db", ["a key of the benchmark"], ["default"])
    bell = asyncio.Event()
    collect = Collect(Intake([SITE], ["only for this benchmark"], store, SystemClock(), lambda _: bell.set()))

    async def follow() -> None:
        position = 0
        while True:
            bell.clear()
            rows = await store.entries(SITE.site_id, position, GROUP)
            for row in rows:
                position = row.seq
                if not maps:
                    state.events += len(row.entry.messages)
                    continue
                for received in row.entry.messages:
                    state.bodies += len(mapped(received))
                    state.events += 1
                    if state.events % BREATH == 0:
                        await asyncio.sleep(0)
            if not rows:
                await bell.wait()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(follow())
        yield
        following.cancel()
        await store.close()

    return Starlette(routes=[Route("/state", state.answer), Mount("/", collect)], lifespan=lifespan)


def bare(state: State) -> Starlette:
    async def nothing(request: Request) -> Response:
        body = await request.body()
        state.events += len(msgspec.json.decode(body)["batch"])
        return JSONResponse({"success": True})

    return Starlette(routes=[Route("/state", state.answer), Route("/v1/batch", nothing, methods=["POST"])])


def serve(name: str, port: int, folder: Path) -> None:
    state = State()
    build: Callable[[], Starlette] = (
        partial(bare, state) if name == "bare" else partial(relay, folder, state, maps=name == "relay")
    )
    uvicorn.run(build, factory=True, port=port, access_log=False, log_level="error", server_header=False)


async def state_of(port: int) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /state HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    found: dict[str, Any] = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
    return found


async def listening(port: int) -> None:
    for _ in range(1000):
        try:
            await state_of(port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            return
    raise SystemExit(f"nothing listens on port {port}")


async def round_of(port: int, body: bytes, batches: int) -> tuple[float, float]:
    """Events a second from the first byte to the last event done, and the server's CPU microseconds for each."""
    head = (
        f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    request, left = head.encode() + body, iter(range(batches))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer[9:12] == b"200", answer[:200]
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
        writer.close()
        await writer.wait_closed()

    before, began = await state_of(port), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    events = batches * BATCH
    while (now := await state_of(port))["events"] - before["events"] < events:  # noqa: ASYNC110 - another process's
        await asyncio.sleep(0.005)
    spent = time.perf_counter() - began
    return events / spent, (now["cpu"] - before["cpu"]) / events * 1e6


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5, help="rounds of each, alternating")
    options.add_argument("--batches", type=int, default=100, help=f"requests of {BATCH} events a round")
    options.add_argument("--serve", nargs=3, metavar=("WHAT", "PORT", "FOLDER"), help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        serve(chosen.serve[0], int(chosen.serve[1]), Path(chosen.serve[2]))
        return
    table = Table("", "", "events/s, median", "best", "CPU µs an event, least", "of bare", title=f"batches of {BATCH}")
    with tempfile.TemporaryDirectory() as folder:
        ports = {name: free_port() for name in SERVERS}
        command = [sys.executable, "-m", "tests.benchmarks.sdk_http", "--serve"]
        processes = [
            subprocess.Popen([*command, name, str(port), _own(folder, name)], env=os.environ)
            for name, port in ports.items()
        ]
        try:
            for port in ports.values():
                asyncio.run(listening(port))
            for event, properties in CALLS.items():
                message = msgspec.json.decode(batch(event, properties))
                body = msgspec.json.encode(message | {"writeKey": KEY})
                found: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVERS}
                for turn in range(chosen.rounds + 1):
                    for name, port in ports.items():
                        measured = asyncio.run(round_of(port, body, chosen.batches))
                        if turn:  # the first one warms up
                            found[name].append(measured)
                least = {name: min(cpu for _, cpu in rounds) for name, rounds in found.items()}
                for name, rounds in found.items():
                    rates = [rate for rate, _ in rounds]
                    table.add_row(
                        event, SERVERS[name], f"{statistics.median(rates):,.0f}", f"{max(rates):,.0f}",
                        f"{least[name]:.1f}", f"{least[name] / least['bare']:.1f}",
                    )  # fmt: skip
        finally:
            for process in processes:
                process.terminate()
                process.wait(30)
    Console().print(table)


def _own(folder: str, name: str) -> str:
    own = Path(folder) / name
    own.mkdir()
    return str(own)


if __name__ == "__main__":
    main()
