"""Durable ingest against a bare Starlette route that answers 204 and keeps nothing.

``python -m tests.benchmarks.durable_ingest``: both are real uvicorn processes; the same bodies are posted to each in
alternating rounds by the same clients (raw HTTP/1.1 over kept connections, so that the client is not what is measured).
Printed: requests a second of both and the ratio of the medians. Absolute rates drift with the machine, the ratio stays.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from e2e.servers import free_port

YARDSTICK = """
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

async def nothing(request: Request) -> Response:
    await request.body()
    return Response(status_code=204)

app = Starlette(routes=[Route("/v1/batch", nothing, methods=["POST"])])
"""
CONNECTIONS = 32


def batch(size: int) -> bytes:
    """A batch of Segment-spec events of about 1 KB each, with fresh message IDs."""
    return json.dumps({"writeKey": "server", "batch": [event() for _ in range(size)]}).encode()


def event() -> dict[str, object]:
    return {
        "type": "track",
        "event": "Product Added",
        "messageId": str(uuid.uuid4()),
        "anonymousId": str(uuid.uuid4()),
        "timestamp": "2026-11-22T08:00:00.000Z",
        "properties": {
            "product_id": "45310700006001",
            "sku": "CANDLE-CEDAR",
            "name": "Cedar & Smoke Candle",
            "brand": "Moss & Harbour",
            "category": "Candles",
            "price": 24.0,
            "quantity": 1,
            "currency": "EUR",
            "cart_value": 24.0,
            "url": "https://shop.example/products/cedar-candle",
            "image_url": "https://shop.example/pictures/cedar-candle.svg",
        },
        "context": {
            "page": {"url": "https://shop.example/products/cedar-candle", "title": "Cedar & Smoke Candle"},
            "locale": "de-DE",
            "timezone": "Europe/Berlin",
            "screen": {"width": 1440, "height": 900, "density": 2},
            "campaign": {"source": "klaviyo", "medium": "email"},
            "clickIds": {"gclid": "EAIaIQobChMI3v7qmZ"},
            "klaviyo": {"present": True, "identified": False, "queued": 2},
            "library": {"name": "backflow.js", "version": "0.1.0"},
            "capture": ["shopify_cart"],
        },
    }


async def round_of(port: int, size: int, seconds: float) -> float:
    """Requests a second that the server on ``port`` answers with 2xx, from CONNECTIONS connections."""
    bodies = [batch(size) for _ in range(64)]
    answered = 0
    end = time.perf_counter() + seconds

    async def client(first: int) -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        index = first
        while time.perf_counter() < end:
            body = bodies[index % len(bodies)]
            index += 1
            head = (
                f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer[9:10] == b"2", answer[:200]
            for line in answer.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    await reader.readexactly(int(line.split(b":")[1]))
            answered += 1
        writer.close()
        await writer.wait_closed()

    began = time.perf_counter()
    await asyncio.gather(*(client(index) for index in range(CONNECTIONS)))
    return answered / (time.perf_counter() - began)


def start(command: list[str], port: int, **environment: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL)
    asyncio.run(_listening(port))
    return process


async def _listening(port: int) -> None:
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            await writer.wait_closed()
            return
    raise SystemExit(f"nothing listens on port {port}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    options.add_argument("--rounds", type=int, default=5, help="rounds of each, alternating")
    options.add_argument("--web-only", action="store_true", help="without processing in the same process")
    chosen = options.parse_args()
    console = Console()
    table = Table("events a batch", "bare Starlette, requests/s", "relay, requests/s", "relay, events/s", "ratio")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "yardstick.py").write_text(YARDSTICK)
        bare_port, relay_port = free_port(), free_port()
        uvicorn = [sys.executable, "-m", "uvicorn", "--app-dir", folder, "--no-access-log", "--log-level", "error"]
        serve = [sys.executable, "-m", "relay", "serve", *(["--web-only"] if chosen.web_only else [])]
        processes = [
            start([*uvicorn, "--port", str(bare_port), "yardstick:app"], bare_port),
            start(
                serve,
                relay_port,
                RELAY_PORT=str(relay_port),
                RELAY_SECRET_KEYS="only for this benchmark",
                RELAY_WRITE_KEY="public",
                RELAY_SERVER_KEY="server",
                RELAY_DATABASE_URL=f"sqlite:///{folder}/relay.db",
            ),
        ]
        try:
            with Progress(console=console, transient=True) as progress:
                task = progress.add_task("rounds", total=3 * chosen.rounds)
                for size in (1, 5, 20):
                    bare, ours = [], []
                    for _ in range(chosen.rounds):
                        bare.append(asyncio.run(round_of(bare_port, size, chosen.seconds)))
                        ours.append(asyncio.run(round_of(relay_port, size, chosen.seconds)))
                        progress.advance(task)
                    one, other = statistics.median(bare), statistics.median(ours)
                    table.add_row(
                        str(size), f"{one:,.0f}", f"{other:,.0f}", f"{other * size:,.0f}", f"{other / one:.2f}"
                    )
        finally:
            for process in processes:
                process.terminate()
                process.wait(30)
    console.print(table)


if __name__ == "__main__":
    main()
