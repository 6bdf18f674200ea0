"""The command line: the only code that prints."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import msgspec
import typer
import uvicorn
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from relay import demo as demo_
from relay import doctor as doctor_
from relay import export as export_
from relay import forget as forget_
from relay import reprocess as reprocess_
from relay.app import Relay, open_store
from relay.app import work as work_
from relay.clock import SystemClock
from relay.config import Settings, Site, unknown_keys
from relay.errors import BackflowError, SettingsError
from relay.model import Reason
from relay.observe import set_up_logging
from relay.store.base import Transaction
from relay.store.rows import Audited, Dying
from relay.web import tag
from relay.web.proxies import BehindProxies

app = typer.Typer(
    name="relay",
    help="Backflow: a first-party tag and relay for Klaviyo, on your own domain.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
T = TypeVar("T")

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

_MARKS = {"ok": "[green]ok  [/green]", "warning": "[yellow]warn[/yellow]", "failed": "[red]FAIL[/red]"}

SiteOption = Annotated[str | None, typer.Option("--site", help="Only this site (default: every site).")]


@app.command()
def demo(
    shop_port: Annotated[int, typer.Option(help="Port of the storefront.")] = 8480,
    relay_port: Annotated[int, typer.Option(help="Port of the relay.")] = 8481,
    sandbox_port: Annotated[int, typer.Option(help="Port of the Klaviyo sandbox.")] = 8482,
    hold: Annotated[float, typer.Option(help="Seconds an event is held for Klaviyo's own script.")] = 3.0,
) -> None:
    """Start a shop, the relay and a Klaviyo sandbox on this machine. No account, no settings."""
    set_up_logging("WARNING")
    ports = demo_.Ports(shop=shop_port, relay=relay_port, sandbox=sandbox_port)

    def ready() -> None:
        out.print("\n[bold]Backflow demo[/bold]\n")
        out.print(f"  1. Shop here              {ports.shop_url}")
        out.print(f"  2. What Klaviyo received  {ports.sandbox_url}")
        out.print(f"  3. The relay's console    {ports.relay_url}/console  (password: {demo_.CONSOLE_PASSWORD})\n")
        out.print("Put something in the cart, go to the checkout and type an e-mail address: the earlier cart")
        out.print(
            f'arrives as "Added to Cart - Backup Flow", held {hold:g} s in case Klaviyo knows the shopper after all.'
        )
        out.print("Stop with Ctrl+C.\n")

    _run(demo_.run(ports, hold_seconds=hold, ready=ready))


@app.command()
def serve(
    web_only: Annotated[
        bool, typer.Option("--web-only", help="Only collect; `relay work` processes and delivers elsewhere.")
    ] = False,
) -> None:
    """Collect, process and deliver in one process."""
    set_up_logging()
    settings = _settings()
    try:
        relay = Relay(settings, work=not web_only)
    except BackflowError as error:
        _fail(str(error))
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


@app.command()
def work() -> None:
    """Process and deliver, without web."""
    set_up_logging()
    settings = _settings()

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        await work_(settings, stop)

    _run(until_stopped())


@app.command()
def migrate() -> None:
    """Bring the database to the present schema."""
    settings = _settings()

    async def run() -> None:
        with _told_of("relay.sealing"):  # it may take long
            store = open_store(settings)
        await store.close()
        out.print(f"The database is at the present schema: {store.shown}")

    _run(run())


@app.command()
def doctor(
    relay_url: Annotated[str | None, typer.Option(help="Where browsers reach the relay: https://r.shop.com")] = None,
) -> None:
    """Check settings, database, the Klaviyo key and what browsers will do with the cookie."""
    settings = _settings()
    failed = False

    async def examine() -> list[doctor_.Check]:
        store = open_store(settings)
        try:
            return await doctor_.examine(settings, store, relay_url)
        finally:
            await store.close()

    for check in _run(examine()):
        out.print(f"{_MARKS[check.state]} {check.subject}: {check.text}")
        failed |= check.state == "failed"
    if failed:
        raise typer.Exit(1)


@app.command()
def snippet(
    url: Annotated[str, typer.Argument(help="Where browsers reach the relay: https://r.shop.com")],
    site: SiteOption = None,
    inline: Annotated[
        bool, typer.Option("--inline", help="With the stub that loses no call even before the tag has arrived.")
    ] = False,
    nonce: Annotated[str, typer.Option(help="The nonce of the page's Content-Security-Policy, for --inline.")] = "",
) -> None:
    """Print what to paste into the theme, as high in the page's head as can be."""
    settings = _settings()
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        _fail(f"URL: expected an address such as https://r.shop.com, got {url!r}")
    for each in _sites(settings, site):
        if len(settings.sites) > 1:
            err.print(f"[bold]{each.site_id}[/bold]")
        typer.echo(tag.inline_snippet(url, each, nonce) if inline else tag.snippet(url, each))


@app.command()
def replay(
    site: SiteOption = None,
    reason: Annotated[str | None, typer.Option(help="Only dead deliveries with this reason.")] = None,
    metric: Annotated[str | None, typer.Option(help="Only this metric, without the suffix.")] = None,
    since_hours: Annotated[float, typer.Option(help="Only those that died within this many hours.")] = 24 * 90,
    until_hours: Annotated[float, typer.Option(help="Only those that died at least this many hours ago.")] = 0,
    only_list: Annotated[bool, typer.Option("--list", help="Say what died of what, and put nothing back.")] = False,
    failed: Annotated[
        bool, typer.Option("--failed", help="Instead: messages whose processing failed by a fault since mended.")
    ] = False,
) -> None:
    """Put dead deliveries back into the queue, or list them with what they died of."""
    settings = _settings()

    async def run() -> None:
        sites = _sites(settings, site)
        store, now = open_store(settings), SystemClock().now()
        since, until = (now - timedelta(hours=hours).total_seconds() for hours in (since_hours, until_hours))

        def find(tx: Transaction) -> list[tuple[str, Dying]]:
            return [
                (each.site_id, dying)
                for each in sites
                for dying in tx.dispatch.dead(each.site_id, reason=reason, metric=metric, since=since, until=until)
            ]

        def put_back(tx: Transaction) -> int:
            return sum(
                tx.dispatch.replay(each.site_id, now=now, reason=reason, metric=metric, since=since, until=until)
                for each in sites
            )

        try:
            if failed:
                n = await reprocess_.reprocess(store, sites)
                out.print(f"{n} messages put back into the journal.")
                return
            if only_list:
                _list_dead(await store.read(find))
                return
            n = await store.transact(put_back)
        finally:
            await store.close()
        out.print(f"{n} deliveries put back into the queue.")

    _run(run())


def _list_dead(found: list[tuple[str, Dying]]) -> None:
    if not found:
        out.print("No delivery is dead.")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("Site", "What", "Dead", "Reason", "Klaviyo's answer", "Last"):
        table.add_column(name, justify="right" if name == "Dead" else "left", overflow="fold")
    for site_id, dying in found:
        answer = " ".join(str(part) for part in (dying.status, dying.error) if part)
        last = datetime.fromtimestamp(dying.last_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        table.add_row(*map(escape, (site_id, dying.what, str(dying.n), dying.reason, answer, last)))
    _print_whole(table)
    for reason, words in _WHY_DEAD.items():
        if any(dying.reason == reason for _, dying in found):
            out.print(f"[bold]{reason}[/bold]: {words}")
    out.print("`relay replay` puts them back, all or by --reason, --metric, --since-hours and --until-hours.")


def _print_whole(table: Table) -> None:
    """Print all that ``table`` says: cells fold on a terminal that is narrow, and a file or a pipe is never narrow."""
    wide = None if sys.stdout.isatty() else 10_000
    Console(highlight=False, width=wide).print(table)


_WHY_DEAD = {
    Reason.REFUSED: "Klaviyo will not take this body; the answer names the field. Mend what made it, then replay.",
    Reason.RETRIES_EXHAUSTED: "Klaviyo did not answer for three days. Replay once it does.",
}


@app.command()
def forget(email: Annotated[str, typer.Argument(help="The person's e-mail address.")], site: SiteOption = None) -> None:
    """Erase a person: rows and links go, and Klaviyo is asked to erase the profile too."""
    settings = _settings()

    async def run() -> forget_.Erased:
        sites = _sites(settings, site)
        store = open_store(settings)
        try:
            return await forget_.forget(store, sites, email, now=SystemClock().now())
        except ValueError as error:
            _fail(f"EMAIL: {error}")
        finally:
            await store.close()

    out.print(_run(run()).in_words())


@app.command()
def export(email: Annotated[str, typer.Argument(help="The person's e-mail address.")], site: SiteOption = None) -> None:
    """Print everything held of a person as JSON: what they may ask for."""
    settings = _settings()

    async def run() -> dict[str, Any]:
        sites = _sites(settings, site)
        store = open_store(settings)
        try:
            return await export_.export(store, sites, email, now=SystemClock().now())
        except ValueError as error:
            _fail(f"EMAIL: {error}")
        finally:
            await store.close()

    typer.echo(msgspec.json.format(msgspec.json.encode(_run(run())), indent=2))


@app.command()
def audit(
    email: Annotated[str | None, typer.Argument(help="Only what was asked about this person.")] = None,
    site: SiteOption = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many lines a site, the latest.")] = 50,
) -> None:
    """List erasures and exports: when, who asked, how much. Whose they were is kept only as a keyed hash."""
    settings = _settings()

    async def run() -> list[tuple[str, Audited]]:
        sites = _sites(settings, site)
        store = open_store(settings)
        try:
            return await export_.audit(store, sites, email, limit=limit)
        except ValueError as error:
            _fail(f"EMAIL: {error}")
        finally:
            await store.close()

    found = _run(run())
    if not found:
        out.print("Nobody has asked for an erasure or an export." if email is None else "Nothing was asked about them.")
        return
    for site_id, line in found:
        much = ", ".join(f"{n} {what}" for what, n in line.counts.items() if n) or "nothing was held"
        at = datetime.fromtimestamp(line.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        out.print(f"{at}  {site_id}  {line.action} for {line.asked_by}, person {line.subject}: {much}", markup=False)


def main() -> None:
    """The ``relay`` command."""
    app()


@contextlib.contextmanager
def _told_of(logger: str) -> Iterator[None]:
    """Say how far a long piece of work is."""
    log, handler = logging.getLogger(logger), logging.Handler()
    handler.emit = lambda record: err.print(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _settings() -> Settings:
    for key in unknown_keys():
        err.print(f"[yellow]relay:[/yellow] {key} is not a setting; is it spelled right?")
    try:
        return Settings.read()
    except SettingsError as error:
        _fail(str(error))


def _sites(settings: Settings, site_id: str | None) -> tuple[Site, ...]:
    chosen = tuple(site for site in settings.sites if site_id in (None, site.site_id))
    if not chosen:
        _fail(f"--site: expected one of {', '.join(site.site_id for site in settings.sites)}")
    return chosen


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end; an error of ours is told in one line."""
    try:
        return asyncio.run(coroutine)
    except BackflowError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _fail(message: str) -> NoReturn:
    err.print(f"[red]relay:[/red] {message}")
    raise typer.Exit(1)
