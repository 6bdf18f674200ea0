"""How well the shop's visitors are told apart: what each class of evidence is worth here, and what the guards have
noticed. Pure; counts in, words out, no addresses.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from relay.identity import measure, telling
from relay.identity.evidence import Evidence, Recognition
from relay.identity.measure import FEWEST_LABELS, Score
from relay.web.console import words


class Measured(Struct, frozen=True, kw_only=True):
    """One class of evidence, or one way of recognition (``is_way``). Shares from 0 to 1; None where nothing tells.

    ``off``: not trusted at present. ``verdict`` says in words what the figures mean.
    """

    name: str
    words: str
    is_way: bool
    right: int
    wrong: int
    missed: int
    precision: float | None
    lower: float | None
    recall: float | None
    off: bool
    verdict: str


class Noticed(Struct, frozen=True, kw_only=True):
    """What a guard kept out or noticed, and how often."""

    name: str
    words: str
    n: int


class Who(Struct, frozen=True, kw_only=True):
    """``wrong`` and ``answers`` over all classes of evidence: the shop's wrong-person rate."""

    answers: int
    wrong: int
    limit: float
    measured: list[Measured]
    noticed: list[Noticed]


def who(scores: Sequence[Score], noticed: Mapping[str, int], limit: float) -> Who:
    """``scores`` as ``measure.scores`` gives them, ``noticed`` the guards' counts by reason, ``limit`` the site's
    least precision."""
    off = measure.switched_off(scores, limit)
    names = set(Evidence)
    evidence = [score for score in scores if score.name in names]
    return Who(
        answers=sum(score.right + score.wrong for score in evidence),
        wrong=sum(score.wrong for score in evidence),
        limit=limit,
        measured=[_measured(score, is_off=score.name in off, limit=limit) for score in scores],
        noticed=[
            Noticed(name=reason, words=_notice(reason), n=n)
            for reason, n in sorted(noticed.items(), key=lambda found: (-found[1], found[0]))
        ],
    )


def _measured(score: Score, *, is_off: bool, limit: float) -> Measured:
    is_way = score.name not in set(Evidence)
    called = telling.WAYS[Recognition(score.name)] if is_way else telling.NAMES[Evidence(score.name)]
    answers = score.right + score.wrong
    return Measured(
        name=score.name,
        words=telling.capital(called),
        is_way=is_way,
        right=score.right,
        wrong=score.wrong,
        missed=score.missed,
        precision=score.precision,
        lower=score.lower if answers else None,
        recall=score.recall,
        off=is_off,
        verdict=_verdict(score, is_way=is_way, is_off=is_off, limit=limit),
    )


def _verdict(score: Score, *, is_way: bool, is_off: bool, limit: float) -> str:
    answers = score.right + score.wrong
    if is_off:
        return (
            f"Switched off: it may be right in less than {telling.percent(limit)} of cases. It goes on being measured."
        )
    if not answers:
        return "It has named nobody yet where somebody has said later who they are."
    if answers < FEWEST_LABELS:
        return f"Too few answers to judge by: {FEWEST_LABELS} are needed."
    if score.lower >= limit:
        return "Trusted."
    if not is_way and Evidence(score.name) in measure.NEVER_OFF:
        return "Trusted all the same: what the shop itself says, or shoppers type, is never switched off."
    return "Below the limit, and shown only: a way of recognition is not switched off."


def _notice(reason: str) -> str:
    return words.GUARDS.get(reason) or words.NOTES.get(reason) or reason.replace("_", " ")
