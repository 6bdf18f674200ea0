"""Writes what was found into ``relay/guides/recovery.md``, between its marks; the words around them are people's."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.simulator.browsers import Shape
from tests.simulator.parameters import TABLE
from tests.simulator.report import goals
from tests.simulator.score import ALL, UNNAMED, Score, Tally
from tests.simulator.stories import load

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "relay" / "guides" / "recovery.md"
PICTURE = ROOT / ".github" / "recovery.svg"

_SHAPES = {Shape.PATH: "a path of the shop (`RELAY_PATH_PREFIX`)", Shape.SIBLING: "a subdomain that leads elsewhere"}


def write(text: str, verdicts: Mapping[Shape, Score], command: str) -> str:
    """``text`` of the guide with the results of both shapes, the parameters and the stories set in."""
    verdict = verdicts[Shape.PATH]
    blocks = {
        "results": "\n\n".join(
            [f"Made by `{command}`; the same seed gives the same figures on every machine.", _goals(verdict),
             _reach(verdict), _shapes(verdicts), _persons(verdict), _recall(verdict), _hazards(verdict)]
        ),
        "parameters": parameters(),
        "stories": stories(),
    }  # fmt: skip
    for name, content in blocks.items():
        text = _set(text, name, content)
    return text


def block(text: str, name: str) -> str:
    """What stands between the marks ``name``."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    assert found, f"the guide has no marks for {name}"
    return found[1].strip()


def parameters() -> str:
    """Every number of the world."""
    return _table(
        ["parameter", "value", "unit", "source"],
        ([f"`{row.name}`", f"{row.value:g}", row.unit, row.source] for row in TABLE),
    )


def stories() -> str:
    """The repertoire."""
    return _table(
        ["story", "what happens", "what guards against a wrong person"],
        ([f"`{told.name}`", told.idea, told.guard or "-"] for told in load().values()),
    )


def _set(text: str, name: str, content: str) -> str:
    block(text, name)
    marks = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    return re.sub(marks, lambda found: f"{found[1]}\n{content}\n\n{found[2]}", text, flags=re.DOTALL)


def _goals(verdict: Score) -> str:
    rows = (
        [name, bound, found, "met" if is_met else "missed"]
        for name, bound, found, is_met in goals(verdict, is_crowd=True)
    )
    return _table(["", "goal", "found", ""], rows)


def _reach(verdict: Score) -> str:
    kinds = sorted(name for name in verdict.reach if name not in (ALL, UNNAMED))
    rows = (
        [name, str(one.abandoned), _share(one.by_klaviyo, one.abandoned), _share(one.with_relay, one.abandoned),
         f"{one.lift:+.0%}" if one.by_klaviyo else "-"]
        for name in (ALL, UNNAMED, *kinds)
        for one in [verdict.reach[name]]
    )  # fmt: skip
    return _table(["carts", "abandoned", "reached by Klaviyo's script", "and with Backflow", "more"], rows)


def _shapes(verdicts: Mapping[Shape, Score]) -> str:
    rows = (
        [_SHAPES[shape], f"{verdict.reach[ALL].lift:+.0%}", f"{verdict.reach['Safari'].lift:+.0%}"]
        for shape, verdict in verdicts.items()
    )
    return _table(["where the relay stands", "more carts, all browsers", "Safari"], rows)


def _persons(verdict: Score) -> str:
    rows = [_tally(f"`{name}`", tally) for name, tally in sorted(verdict.by_evidence.items())]
    rows.append(
        _tally("orders (their person is named by the shop's server)", Tally(verdict.orders_sent, verdict.orders_wrong))
    )
    rows.append(_tally("for comparison: Klaviyo's own script", verdict.native))
    return _table(["evidence", "live events", "wrong person"], rows)


def _recall(verdict: Score) -> str:
    rows = ([name, str(one.due), _share(one.told, one.due)] for name, one in verdict.recall.items())
    return _table(
        ["best sign a shopper had given in that browser", "actions Klaviyo's script missed", "told rightly"], rows
    )


def _hazards(verdict: Score) -> str:
    late = verdict.late_replays.total()
    wrong = {name: tally.wrong for name, tally in verdict.by_story.items() if tally.wrong}
    rows = [
        ["Klaviyo's script replayed an action after its backup had been sent", _share(late, verdict.sent)],
        ["sent although the order had been reported", str(verdict.after_order.total())],
        *([f"wrong person in `{name}`", str(n)] for name, n in sorted(wrong.items())),
    ]
    return _table(["", "live events"], rows)


def _tally(name: str, tally: Tally) -> list[str]:
    return [name, str(tally.sent), str(tally.wrong)]


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.0%})" if whole else str(part)


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
