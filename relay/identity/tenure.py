"""How long a browser was one person's: what was done in it then is theirs, to be handed out or erased. Pure.

Invariants kept here:
- a browser is a person's from their first sign until they sign out, or until another person gives a sign;
- what came before the first sign of anybody is the first person's: so late identity sees it too;
- while two are signed in, and between one's end and the next one's sign, it is nobody's;
- where anybody has named themselves, who is known by an opened link alone counts for nothing: the mail was passed on.
"""

import math
from collections.abc import Iterable

from msgspec import Struct


class Term(Struct, frozen=True, kw_only=True):
    """One tie of the browser: to the person asked about or to another, from its first sign until it ended (infinite
    while it lives); epoch seconds. A tie that was wrong is none."""

    is_theirs: bool
    since: float
    until: float
    is_strong: bool = True  #: it names its person by itself


class Tenure(Struct, frozen=True, kw_only=True):
    """A visitor, and the time in which it was the person's; both ends belong to it."""

    visitor_id: str
    since: float = -math.inf
    until: float = math.inf

    @property
    def is_whole(self) -> bool:
        """Whether the visitor never was anybody else's, and still is the person's."""
        return self.since == -math.inf and self.until == math.inf

    def covers(self, at: float) -> bool:
        return self.since <= at <= self.until


def tenure(visitor_id: str, terms: Iterable[Term]) -> Tenure | None:
    """When the visitor was the person's and nobody else's, by all its ``terms``; None if it never was."""
    terms = list(terms)
    terms = [term for term in terms if term.is_strong] or terms
    theirs = [term for term in terms if term.is_theirs]
    if not theirs:
        return None
    first, end = min(term.since for term in theirs), max(term.until for term in theirs)
    before = [term.until for term in terms if not term.is_theirs and term.since < first]
    after = [term.since for term in terms if not term.is_theirs and term.since >= first]
    since = max(first, math.nextafter(max(before), math.inf)) if before else -math.inf
    until = min(end, math.nextafter(min(after), -math.inf)) if after else end
    return Tenure(visitor_id=visitor_id, since=since, until=until) if since <= until else None
