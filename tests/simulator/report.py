"""The verdict as tables: what was assumed, what came of it. Goals are marked as met or missed."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from tests.simulator.parameters import TABLE
from tests.simulator.score import ALL, Recall, Score, Tally
from tests.simulator.stories import load

#: What the relay is held to.
LIFT, PRECISION = 0.40, 0.999


def show(console: Console, verdict: Score, heading: str, *, is_crowd: bool) -> None:
    """Print the whole verdict."""
    console.print(f"\n[bold]{heading}[/bold]")
    console.print(_goals(verdict, is_crowd=is_crowd))
    console.print(_reach(verdict))
    console.print(_evidence(verdict))
    console.print(_recall(verdict))
    console.print(_stories(verdict))
    for example in verdict.examples[:12]:
        console.print(f"  {example}")


def parameters(console: Console) -> None:
    """Print every number of the world with its source."""
    rows = ([row.name, f"{row.value:g}", row.unit, row.source] for row in TABLE)
    console.print(_table("What is assumed", ["parameter", "value", "unit", "source"], rows))


def stories(console: Console) -> None:
    """Print the repertoire."""
    rows = ([told.name, told.idea, told.guard or "-"] for told in load().values())
    console.print(_table("Stories", ["story", "what happens", "what guards against a wrong person"], rows))


def goals(verdict: Score, *, is_crowd: bool) -> list[tuple[str, str, str, bool]]:
    """Each goal in words, its bound, what was found, and whether that meets it. Lift is a crowd's."""
    doubles, forbidden = verdict.doubles.total(), verdict.forbidden.total()
    lift, precision = verdict.lift, verdict.precision
    found = [
        (
            "backup events filed under who really acted",
            f">= {PRECISION:.1%}",
            f"{precision:.3%}",
            precision >= PRECISION,
        ),
        ("actions sent twice", "0", f"{doubles}", doubles == 0),
        ("sent without permission", "0", f"{forbidden}", forbidden == 0),
    ]
    if is_crowd:  # a story alone has no baseline worth the name
        carts = "more abandoned carts reached than by Klaviyo's script"
        found.insert(0, (carts, f">= {LIFT:.0%}", f"{lift:+.1%}", lift >= LIFT))
    return found


def _goals(verdict: Score, *, is_crowd: bool) -> Table:
    rows = (
        [name, bound, found, "met" if is_met else "[red]missed[/red]"]
        for name, bound, found, is_met in goals(verdict, is_crowd=is_crowd)
    )
    return _table("Goals", ["", "goal", "found", ""], rows)


def _reach(verdict: Score) -> Table:
    others = sorted(name for name in verdict.reach if name != ALL)
    rows = (
        [
            name,
            f"{one.abandoned}",
            f"{one.by_klaviyo}",
            f"{one.with_relay}",
            f"{one.lift:+.0%}" if one.by_klaviyo else "new",
        ]
        for name in [ALL, *others]
        for one in [verdict.reach[name]]
    )
    heads = ["carts", "abandoned", "reached by Klaviyo's script", "and with Backflow", "lift"]
    return _table(f"Abandoned carts whose person Klaviyo is told of ({verdict.carts} carts in all)", heads, rows)


def _evidence(verdict: Score) -> Table:
    rows = [_tally(name, tally) for name, tally in sorted(verdict.by_evidence.items())]
    rows.append(_tally("orders (a server names their person)", Tally(verdict.orders_sent, verdict.orders_wrong)))
    rows.append(_tally("for comparison: Klaviyo's own script", verdict.native))
    return _table("Live events and their persons", ["evidence", "sent", "wrong person", "right"], rows)


def _tally(name: str, tally: Tally) -> list[str]:
    right = f"{1 - tally.wrong / tally.sent:.2%}" if tally.sent else "-"
    return [name, f"{tally.sent}", f"{tally.wrong}", right]


def _recall(verdict: Score) -> Table:
    def row(name: str, one: Recall) -> list[str]:
        return [name, f"{one.due}", f"{one.told}", f"{one.told / one.due:.0%}" if one.due else "-"]

    rows = (row(name, one) for name, one in verdict.recall.items())
    heads = ["best sign given in that browser", "actions", "told rightly", "recall"]
    return _table("Of what Klaviyo's script missed", heads, rows)


def _stories(verdict: Score) -> Table:
    counted = (verdict.doubles, verdict.late_replays, verdict.after_order, verdict.forbidden)
    names = sorted(verdict.by_story.keys() | {name for counter in counted for name in counter})
    told = load()
    rows = (
        [
            name,
            "yes" if told[name].guard or not told[name].is_hazard else "no",
            f"{verdict.by_story[name].sent if name in verdict.by_story else 0}",
            f"{verdict.by_story[name].wrong if name in verdict.by_story else 0}",
            *(f"{counter[name]}" for counter in counted),
        ]
        for name in names
    )
    heads = ["story", "guarded", "sent", "wrong person", "doubles", "late replays", "after the order", "forbidden"]
    return _table("Story by story", heads, rows)


def _table(title: str, heads: list[str], rows: Iterable[list[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, head in enumerate(heads):
        table.add_column(head, overflow="fold", justify="left" if number == 0 else "default")
    for row in rows:
        table.add_row(*row)
    return table
