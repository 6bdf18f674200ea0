"""``relay demo``, ``serve``, ``work`` and ``migrate``: the relay runs, and its database is made for it."""

import asyncio
import signal
from typing import Annotated

import typer
import uvicorn
from rich.markup import escape

from relay import demo as demo_
from relay.app import Relay, open_store
from relay.app import work as work_
from relay.cli.given import read_settings, run_to_end
from relay.cli.terminal import fail, out, told_of
from relay.errors import BackflowError
from relay.observe import set_up_logging
from relay.web.proxies import BehindProxies


def demo(
    shop_port: Annotated[int, typer.Option(help="Port of the storefront.", min=1, max=65535)] = 8480,
    relay_port: Annotated[int, typer.Option(help="Port of the relay.", min=1, max=65535)] = 8481,
    sandbox_port: Annotated[int, typer.Option(help="Port of the Klaviyo sandbox.", min=1, max=65535)] = 8482,
    hold: Annotated[
        float, typer.Option(help="Seconds an event is held for Klaviyo's own script.", min=0, max=86400)
    ] = 3.0,
) -> None:
    """Start a shop, the relay and a Klaviyo sandbox on this machine. No account, no settings."""
    set_up_logging("WARNING")
    ports = demo_.Ports(shop=shop_port, relay=relay_port, sandbox=sandbox_port)

    def ready() -> None:
        out.print("\n[bold]Backflow demo[/bold]\n")
        out.print(f"  1. Shop here              {ports.shop_url}")
        out.print(f"  2. What Klaviyo received  {ports.sandbox_url}")
        out.print(f"  3. The relay's console    {ports.relay_url}/console  (password: {demo_.CONSOLE_PASSWORD})\n")
        out.print(
            "Put something in the cart, go to the checkout, type an e-mail address and continue: the earlier cart"
        )
        out.print(
            f'arrives as "Added to Cart - Backup Flow", held {hold:g} s in case Klaviyo knows the shopper after all.'
        )
        out.print("Stop with Ctrl+C.\n")

    run_to_end(demo_.run(ports, hold_seconds=hold, ready=ready))


def serve(
    web_only: Annotated[
        bool, typer.Option("--web-only", help="Only collect; `relay work` processes and delivers elsewhere.")
    ] = False,
) -> None:
    """Collect, process and deliver in one process."""
    set_up_logging()
    settings = read_settings()
    try:
        relay = Relay(settings, work=not web_only)
    except BackflowError as error:
        fail(str(error))
    config = uvicorn.Config(
        BehindProxies(relay, settings.trusted_proxies),
        host=settings.host,
        port=settings.port,
        proxy_headers=False,
        access_log=False,
        server_header=False,
        log_config=None,
        lifespan="on",
        timeout_graceful_shutdown=10,
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal again once it has shut down; by then everything is done, and the exit code is 0.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server.run()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if not server.started:
        raise typer.Exit(1)


def work() -> None:
    """Process and deliver, without web."""
    set_up_logging()
    settings = read_settings()

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        await work_(settings, stop)

    run_to_end(until_stopped())


def migrate() -> None:
    """Bring the database to the present schema."""
    settings = read_settings()

    async def run() -> None:
        with told_of("relay.sealing"):  # it may take long
            store = open_store(settings)
        await store.close()
        out.print(f"The database is at the present schema: {escape(store.shown)}")

    run_to_end(run())
