"""``relay explain`` and ``unlink``: how it is known whose an event is, and taking that back."""

import sys
import textwrap
from typing import Annotated

import typer
from rich.markup import escape

from relay import unlink as unlink_
from relay.cli.given import SiteOption, chosen, opened, read_settings, run_to_end
from relay.cli.terminal import fail, minute, out, printable
from relay.clock import SystemClock
from relay.identity.evidence import Evidence
from relay.store.base import Transaction
from relay.web.console import why


def explain(
    asked: Annotated[
        str, typer.Argument(metavar="ID", help="A delivery's number, an event's message ID, or Klaviyo's unique_id.")
    ],
    site: SiteOption = None,
) -> None:
    """Say why an event was, or was not, told to Klaviyo, whose it is, and how that is known. Addresses are masked."""
    settings = read_settings()

    async def run() -> list[why.Explanation]:
        sites = chosen(settings, site)
        now = SystemClock().now()

        def read(tx: Transaction) -> list[why.Explanation]:
            return [found for each in sites for found in why.explain(tx, each, asked, now=now)]

        async with opened(settings) as store:
            return await store.read(read)

    found = run_to_end(run())
    if not found:
        fail(f"ID: expected a delivery's number, a message ID or a unique_id; nothing here is called {asked!r}")
    for explanation in found:
        _tell(explanation)


def _tell(explanation: why.Explanation) -> None:
    """Print one chain: a line each for what it is called, then its steps, folded at the terminal's width."""
    out.print(f"[bold]{printable(explanation.title)}[/bold]")
    names = ("site", explanation.site_id), ("delivery", explanation.delivery_id), ("unique_id", explanation.unique_id)
    for name, value in (*names, ("message", explanation.message_id), ("visitor", explanation.visitor_id)):
        if value is not None:
            out.print(printable(f"  {name} {value}"))
    width = min(out.width, 100) if sys.stdout.isatty() else 80
    for step in explanation.steps:
        at = "" if step.at is None else minute(step.at)
        when = f" ({' '.join(filter(None, (step.when, at)))})" if step.when or at else ""
        out.print(f"\n  [bold]{escape(step.title)}[/bold]{when}")
        for line in textwrap.wrap(step.text, width - 4, break_long_words=False, break_on_hyphens=False):
            out.print(printable(f"    {line}"))
    out.print()


def unlink(
    asked: Annotated[
        str,
        typer.Argument(metavar="ID", help="A visitor's ID, or a delivery (number, message ID, unique_id): its tie."),
    ],
    evidence: Annotated[
        Evidence | None, typer.Option(help="Only ties by this class of evidence (default: all of them).")
    ] = None,
    merge: Annotated[
        bool,
        typer.Option("--merge", help="Instead: make two persons again of whom the message, visitor or delivery names."),
    ] = False,
    site: SiteOption = None,
) -> None:
    """Take back that a browser belongs to a person, with all that rests on it. `relay explain` shows the IDs."""
    settings = read_settings()
    if merge and evidence is not None:
        fail("--evidence: a merge has no class of evidence; leave one of --merge and --evidence out")

    async def run() -> unlink_.Undone:
        sites = chosen(settings, site)
        now = SystemClock().now()
        async with opened(settings) as store:
            if merge:
                return await unlink_.separate(store, sites, asked, now=now)
            return await unlink_.unlink(store, sites, asked, evidence=evidence, now=now)

    undone = run_to_end(run())
    if not undone.is_known:
        fail(f"ID: expected a visitor, a delivery or a message; nothing here is called {asked!r}")
    for line in undone.in_words():
        out.print(escape(line))
