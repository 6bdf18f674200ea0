"""How often a class of evidence names the right person, measured by the shop's own later signs. Pure.

Every strong sign in a browser (an order, a login, a form) is a label for the ties made there before: had an event been
sent just before it, would it have gone to the person who now says who they are? ``pipeline.labels`` counts the answers.

A class is switched off for a site when the lower bound of its precision (Wilson's score interval, 95 %) is below the
site's limit and enough labels are there to say so. Then it names nobody, but goes on saying that a browser is more than
one person's. What the shop's server or Shopify has said is never switched off, nor what shoppers type themselves: its
wrong labels are shared browsers, which have guards of their own. Labels go on being counted, so a class that has mended
comes back.
"""

from collections.abc import Iterable
from enum import StrEnum
from math import sqrt

from msgspec import Struct

from relay.identity.evidence import Evidence, Recognition

#: The 97.5 % quantile of the normal distribution: a two-sided interval of 95 %.
_Z = 1.959964
#: Fewer labels say nothing: with 2 wrong among 30 the lower bound is 0.79, with 6 it is 0.63, with 7 it is 0.59.
FEWEST_LABELS = 30
#: What the shop itself says, and what shoppers type.
NEVER_OFF = frozenset({Evidence.ORDER, Evidence.SIGNED_CUSTOMER, Evidence.SERVER, Evidence.FORM})
#: The name of the labels of suspicions (``identity.behaviour``), by band as ``behaviour_0.90``. Nothing is sent by
#: them, so nothing is switched off by them either.
BEHAVIOUR = "behaviour"


class Verdict(StrEnum):
    RIGHT = "right"  #: it had named the person who now gives a sign
    WRONG = "wrong"  #: it had named another
    MISSED = "missed"  #: the person was known elsewhere, and it had named nobody


class Score(Struct, frozen=True, kw_only=True):
    """The labels of one class of evidence, or of one way of recognition."""

    name: str
    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float | None:
        """The share of right answers among the answers; None without any."""
        n = self.right + self.wrong
        return self.right / n if n else None

    @property
    def lower(self) -> float:
        """The lower bound of the precision (Wilson, 95 %); 0 without labels."""
        return wilson_lower(self.right, self.right + self.wrong)

    @property
    def recall(self) -> float | None:
        """The share of right answers among the times that the person was known; None if they never were."""
        n = self.right + self.wrong + self.missed
        return self.right / n if n else None


def wilson_lower(right: int, n: int) -> float:
    """The lower end of Wilson's 95 % score interval for ``right`` of ``n``."""
    if n == 0:
        return 0.0
    share, z2 = right / n, _Z * _Z
    centre = share + z2 / (2 * n)
    margin = _Z * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, (centre - margin) / (1 + z2 / n))


def scores(labels: Iterable[tuple[str, int]]) -> list[Score]:
    """The scores from the ledger's sums (``("kx:right", 12)``): classes of evidence, then the ways of recognition."""
    sums: dict[str, dict[str, int]] = {}
    for label, n in labels:
        name, _, verdict = label.rpartition(":")
        sums.setdefault(name, {})[verdict] = n
    order = [*Evidence, *Recognition]
    return [Score(name=name, **sums[name]) for name in order if name in sums]


def suspected(labels: Iterable[tuple[str, int]]) -> list[Score]:
    """The scores of the suspicions from the ledger's sums: ``behaviour`` is all of them, then each band of probability,
    the surest first. The precision is that of what was declared; ``missed`` are known persons nobody suspected."""
    sums: dict[str, dict[str, int]] = {}
    total: dict[str, int] = {}
    for label, n in labels:
        name, _, verdict = label.rpartition(":")
        if name.partition("_")[0] == BEHAVIOUR:
            total[verdict] = total.get(verdict, 0) + n
            if name != BEHAVIOUR:
                sums.setdefault(name, {})[verdict] = n
    bands = [Score(name=name, **sums[name]) for name in sorted(sums, reverse=True)]
    return [Score(name=BEHAVIOUR, **total), *bands] if total else []


def switched_off(found: Iterable[Score], limit: float) -> frozenset[Evidence]:
    """The classes that a site with this limit does not trust."""
    known = {evidence.value: evidence for evidence in Evidence if evidence not in NEVER_OFF}
    return frozenset(
        known[score.name]
        for score in found
        if score.name in known and score.right + score.wrong >= FEWEST_LABELS and score.lower < limit
    )
