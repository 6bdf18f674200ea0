"""``relay doctor`` and ``snippet``: what is asked while a shop is being set up."""

from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.markup import escape

from relay import doctor as doctor_
from relay.cli.given import SiteOption, chosen, opened, read_settings, run_to_end
from relay.cli.terminal import err, fail, out
from relay.web import tag

_MARKS = {"ok": "[green]ok  [/green]", "warning": "[yellow]warn[/yellow]", "failed": "[red]FAIL[/red]"}


def doctor(
    relay_url: Annotated[str | None, typer.Option(help="Where browsers reach the relay: https://r.shop.com")] = None,
) -> None:
    """Check settings, database, the Klaviyo key and what browsers will do with the cookie."""
    if relay_url is not None:
        _check_address("--relay-url", relay_url)
    settings = read_settings()
    failed = False

    async def examine() -> list[doctor_.Check]:
        async with opened(settings) as store:
            return await doctor_.examine(settings, store, relay_url)

    for check in run_to_end(examine()):
        out.print(f"{_MARKS[check.state]} {escape(check.subject)}: {escape(check.text)}")
        failed |= check.state == "failed"
    if failed:
        raise typer.Exit(1)


def snippet(
    url: Annotated[str, typer.Argument(help="Where browsers reach the relay: https://r.shop.com")],
    site: SiteOption = None,
    inline: Annotated[
        bool, typer.Option("--inline", help="With the stub that loses no call even before the tag has arrived.")
    ] = False,
    nonce: Annotated[str, typer.Option(help="The nonce of the page's Content-Security-Policy, for --inline.")] = "",
) -> None:
    """Print what to paste into the theme, as high in the page's head as can be."""
    settings = read_settings()
    _check_address("URL", url)
    if urlsplit(url).query or urlsplit(url).fragment:
        fail(f"URL: expected an address without a query and a fragment, got {url!r}")
    if settings.path_prefix and urlsplit(url).path.rstrip("/") != settings.path_prefix:
        err.print(
            f"[yellow]relay:[/yellow] RELAY_PATH_PREFIX is {escape(settings.path_prefix)}, which this address does not"
            " end with; is that meant?"
        )
    for each in chosen(settings, site):
        if len(settings.sites) > 1:
            err.print(f"[bold]{escape(each.site_id)}[/bold]")
        typer.echo(tag.inline_snippet(url, each, nonce) if inline else tag.snippet(url, each))


def _check_address(name: str, url: str) -> None:
    """End the command where ``url`` is no web address; ``name`` is what it was given as."""
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        fail(f"{name}: expected an address such as https://r.shop.com, got {url!r}")
