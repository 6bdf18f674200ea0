"""``relay forget``, ``export`` and ``audit``: what a person may ask for, and that it was asked."""

from typing import Annotated, Any

import msgspec
import typer

from relay import export as export_
from relay import forget as forget_
from relay.cli.given import SiteOption, chosen, opened, read_settings, run_to_end
from relay.cli.terminal import fail, minute, out
from relay.clock import SystemClock
from relay.store.rows import Audited


def forget(email: Annotated[str, typer.Argument(help="The person's e-mail address.")], site: SiteOption = None) -> None:
    """Erase a person: rows and links go, and Klaviyo is asked to erase the profile too."""
    settings = read_settings()

    async def run() -> forget_.Erased:
        sites = chosen(settings, site)
        async with opened(settings) as store:
            try:
                return await forget_.forget(store, sites, email, now=SystemClock().now())
            except ValueError as error:
                fail(f"EMAIL: {error}")

    out.print(run_to_end(run()).in_words())


def export(email: Annotated[str, typer.Argument(help="The person's e-mail address.")], site: SiteOption = None) -> None:
    """Print everything held of a person as JSON: what they may ask for."""
    settings = read_settings()

    async def run() -> dict[str, Any]:
        sites = chosen(settings, site)
        async with opened(settings) as store:
            try:
                return await export_.export(store, sites, email, now=SystemClock().now())
            except ValueError as error:
                fail(f"EMAIL: {error}")

    typer.echo(msgspec.json.format(msgspec.json.encode(run_to_end(run())), indent=2))


def audit(
    email: Annotated[str | None, typer.Argument(help="Only what was asked about this person.")] = None,
    site: SiteOption = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many lines a site, the latest.")] = 50,
) -> None:
    """List erasures and exports: when, who asked, how much. Whose they were is kept only as a keyed hash."""
    settings = read_settings()

    async def run() -> list[tuple[str, Audited]]:
        sites = chosen(settings, site)
        async with opened(settings) as store:
            try:
                return await export_.audit(store, sites, email, limit=limit)
            except ValueError as error:
                fail(f"EMAIL: {error}")

    found = run_to_end(run())
    if not found:
        out.print("Nobody has asked for an erasure or an export." if email is None else "Nothing was asked about them.")
        return
    for site_id, line in found:
        much = ", ".join(f"{n} {what}" for what, n in line.counts.items() if n) or "nothing was held"
        at = minute(line.at)
        out.print(f"{at}  {site_id}  {line.action} for {line.asked_by}, person {line.subject}: {much}", markup=False)
