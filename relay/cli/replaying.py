"""``relay replay``: what died on its way to Klaviyo, of what, and once more."""

from datetime import timedelta
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from relay import reprocess as reprocess_
from relay.cli.given import SiteOption, chosen, opened, read_settings, run_to_end
from relay.cli.terminal import fail, minute, out, print_whole
from relay.clock import SystemClock
from relay.model import Reason
from relay.store.base import Transaction
from relay.store.rows import Dying

_WHY_DEAD = {
    Reason.REFUSED: "Klaviyo will not take this body; the answer names the field. Mend what made it, then replay.",
    Reason.RETRIES_EXHAUSTED: "Klaviyo did not answer for three days. Replay once it does.",
    Reason.UNREADABLE: "Rows of the database are damaged. Restore it from a backup, then replay.",
}


#: Hours: longer than anything is kept.
_YEARS = 24 * 3650


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
    if reason is not None and reason not in list(Reason):
        fail(f"--reason: expected one that --list shows, such as {Reason.REFUSED}, got {reason!r}")
    for option, hours in (("--since-hours", since_hours), ("--until-hours", until_hours)):
        if not 0 <= hours <= _YEARS:  # nor what is no number
            fail(f"{option}: expected hours from 0 to {_YEARS}, got {hours:g}")
    settings = read_settings()

    async def run() -> None:
        sites = chosen(settings, site)
        now = SystemClock().now()
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

        async with opened(settings) as store:
            if failed:
                n = await reprocess_.reprocess(store, sites)
                out.print(f"{n} messages put back into the journal.")
                return
            if only_list:
                _list_dead(await store.read(find))
                return
            n = await store.transact(put_back)
        out.print(f"{n} deliveries put back into the queue.")

    run_to_end(run())


def _list_dead(found: list[tuple[str, Dying]]) -> None:
    if not found:
        out.print("No delivery is dead.")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("Site", "What", "Dead", "Reason", "Klaviyo's answer", "Last"):
        table.add_column(name, justify="right" if name == "Dead" else "left", overflow="fold")
    for site_id, dying in found:
        answer = " ".join(str(part) for part in (dying.status, dying.error) if part)
        last = minute(dying.last_at)
        table.add_row(*map(escape, (site_id, dying.what, str(dying.n), dying.reason, answer, last)))
    print_whole(table)
    for reason, words in _WHY_DEAD.items():
        if any(dying.reason == reason for _, dying in found):
            out.print(f"[bold]{reason}[/bold]: {words}")
    out.print("`relay replay` puts them back, all or by --reason, --metric, --since-hours and --until-hours.")
