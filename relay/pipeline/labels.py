"""Labels for the measured wrong-person rate: what each class of evidence would have said just before a strong sign.

What is counted and what comes of it is ``identity.measure``'s.
"""

from relay.config import Site
from relay.identity.evidence import BRIDGES, LINKS, Evidence, Recognition
from relay.identity.measure import Verdict
from relay.identity.resolve import SESSION_SECONDS, Link, is_strong, resolve
from relay.pipeline import whose
from relay.store.base import Transaction

#: Classes whose silence is counted: what could have known the person here.
_HOPEFUL = LINKS | BRIDGES
#: Ways in which a browser that has been here before is known again.
_RETURNING = frozenset({Recognition.COOKIE, Recognition.MIRROR, Recognition.HANDLE, Recognition.SDK})


def label(
    tx: Transaction, site: Site, visitor_id: str, recognition: Recognition, person_id: str, *, is_known: bool, at: float
) -> None:
    """``person_id`` gives a strong sign in this browser: judge what was tied here before. Once a session.

    ``is_known``: there was a person before this sign, so that they could have been recognised.
    """
    links = whose.own(tx, site.site_id, visitor_id)
    if any(is_strong(link) and link.person_id == person_id and at - link.last_at <= SESSION_SECONDS for link in links):
        return
    answers: dict[str, set[str]] = {}
    for link in links:
        if not is_strong(link) and link.sendable and not link.is_passed_on:
            answers.setdefault(link.evidence, set()).add(link.person_id)
    for other in whose.neighbours(tx, site.site_id, visitor_id, at):
        theirs = resolve(other.links, recognition, at, is_kiosk=other.is_kiosk)
        if theirs.person_id is not None and theirs.reason is None:
            answers.setdefault(other.evidence, set()).add(theirs.person_id)
    own = resolve([link for link in links if is_strong(link)], recognition, at)
    if own.sign is not None and own.person_id is not None:
        answers.setdefault(own.sign.evidence, set()).add(own.person_id)
        if recognition in _RETURNING:
            answers.setdefault(recognition, set()).add(own.person_id)
    for name, persons in answers.items():
        if len(persons) == 1:  # where it names several nothing would have been sent
            _count(tx, site, name, Verdict.RIGHT if persons == {person_id} else Verdict.WRONG)
    if is_known and not _was_here(links, person_id):
        for evidence in sorted(_HOPEFUL - {Evidence(name) for name in answers if name in set(Evidence)}):
            _count(tx, site, evidence, Verdict.MISSED)


def _was_here(links: list[Link], person_id: str) -> bool:
    return any(is_strong(link) and link.person_id == person_id for link in links)


def _count(tx: Transaction, site: Site, name: str, verdict: Verdict) -> None:
    tx.ledger.count(site.site_id, "label", f"{name}:{verdict}")
