"""Behaviour in the processor: sketch the visitor, suspect whom they may be, and learn from who they turn out to be.

The rules are ``identity.behaviour``'s. Nothing here is read when it is decided whose an event is, and nothing is sent.

What it costs: nothing where it is off. Where it is on, a message that shows nothing new of its visitor costs one
statement (a few more every six hours); each new value two (``behaviour.MOST_ITEMS_A_MESSAGE``); a new value of a
visitor nobody knows six more, and three for each candidate (``behaviour.CANDIDATES``); the first strong sign of a
person in a browser some sixty at most (``behaviour.PAIRS``).
"""

from functools import partial

from relay.config import Behaviour, Site
from relay.identity import behaviour, measure, traces
from relay.identity.behaviour import Candidate, Item
from relay.model import Kind, Reason, Trust
from relay.pipeline.work import End, Work
from relay.store.base import Transaction
from relay.store.sketches import Suspicion


def suspect(work: Work) -> End | None:
    """The step of a message: note what it shows of its visitor, and whom they may be if nobody knows them."""
    site, entry, visitor_id = work.site, work.entry, work.entry.visitor_id
    if site.behaviour is Behaviour.OFF or visitor_id is None or entry.trust is not Trust.BROWSER:
        return None
    if not work.permission.forward:
        work.tx.sketches.forget(site.site_id, visitors=[visitor_id])
        return None
    if work.commerce.kind is Kind.SIGNED_OUT:
        return None  # what is known of whoever has left is gone; the next act here is the next one's
    shown = behaviour.items(
        work.message.context,
        work.commerce,
        network=traces.network(entry.ip),
        browser=traces.browser(entry.user_agent),
        code=partial(work.tx.sketches.code, site.site_id),
    )
    at = work.message.occurred_at
    is_new = work.tx.sketches.note(site.site_id, visitor_id, shown, at=at)
    is_unknown = work.resolution.person_id is None and work.resolution.reason is Reason.NO_IDENTITY
    # Who has signed out, or was cut off by the operator, is not found again by a guess.
    if is_new and is_unknown and not work.tx.graph.was_tied(site.site_id, visitor_id):
        _suspect(work.tx, site.site_id, visitor_id, at)
    return None


def _suspect(tx: Transaction, site_id: str, visitor_id: str, at: float) -> None:
    mine, model = tx.sketches.items(site_id, visitor_id), tx.sketches.model(site_id)
    candidates = []
    for other in tx.sketches.candidates(site_id, visitor_id, mine, at=at):
        persons = tx.graph.signed_in(site_id, other)
        if len(persons) == 1:  # with several it is a shared device, and nobody's behaviour
            (person_id,) = persons
            found = behaviour.weights(_compare(tx, site_id, mine, other), mine, model)
            candidates.append(
                Candidate(person_id=person_id, visitor_id=other, bits=behaviour.score(found, model), weights=found)
            )
    best = behaviour.suspect(candidates)
    if best is None:
        tx.sketches.acquit(site_id, visitor_id)
        return
    tx.sketches.suspect(
        site_id,
        Suspicion(
            visitor_id=visitor_id,
            person_id=best.person_id,
            other_id=best.visitor_id,
            probability=behaviour.probability(best.bits),
            weights=best.weights,
            at=at,
        ),
    )


def judge(tx: Transaction, site: Site, visitor_id: str, person_id: str) -> None:
    """``person_id`` gives a strong sign in this browser, and is about to be tied to it: judge the suspicion, and learn
    what one person's visitors have in common, and what two persons' have."""
    if site.behaviour is Behaviour.OFF:
        return
    site_id = site.site_id
    before = tx.graph.signed_in(site_id, visitor_id)
    mine = tx.sketches.items(site_id, visitor_id)
    if person_id in before or not mine:
        return
    others = _others(tx, site_id, visitor_id, person_id)
    if not before:
        _label(tx, site_id, visitor_id, person_id, could_be_known=bool(others))
    for other in others:
        tx.sketches.learn(site_id, _compare(tx, site_id, mine, other), is_same=True)
    stranger = tx.sketches.another(site_id, visitor_id)
    if stranger is not None and person_id not in tx.graph.signed_in(site_id, stranger):
        tx.sketches.learn(site_id, _compare(tx, site_id, mine, stranger), is_same=False)


def _label(tx: Transaction, site_id: str, visitor_id: str, person_id: str, *, could_be_known: bool) -> None:
    suspicion = tx.sketches.suspicion(site_id, visitor_id)
    if suspicion is None:
        if could_be_known:
            tx.ledger.count(site_id, "label", f"{measure.BEHAVIOUR}:{measure.Verdict.MISSED}")
    elif suspicion.verdict is None:
        is_right = tx.graph.canonical(site_id, suspicion.person_id) == person_id
        verdict = measure.Verdict.RIGHT if is_right else measure.Verdict.WRONG
        tx.sketches.judge(site_id, visitor_id, verdict)
        tx.ledger.count(site_id, "label", f"{measure.BEHAVIOUR}_{behaviour.band(suspicion.probability)}:{verdict}")


def _others(tx: Transaction, site_id: str, visitor_id: str, person_id: str) -> list[str]:
    """A few of the person's other visitors: those in which they alone have signed in."""
    linked = sorted(v for v in tx.graph.visitors_of(site_id, person_id) if v != visitor_id)[: 2 * behaviour.PAIRS]
    return [v for v in linked if tx.graph.signed_in(site_id, v) == {person_id}][: behaviour.PAIRS]


def _compare(
    tx: Transaction, site_id: str, mine: dict[Item, int], other: str
) -> dict[behaviour.Feature, frozenset[Item]]:
    return behaviour.compare(mine, tx.sketches.items(site_id, other))
