"""Taking an identity back: a browser's tie to a person, or two persons made one, and what rests on it.

Invariant: afterwards everything resolves as if it had never been. Ties derived from it (another browser that shares a
cart with this one) are computed from it, so they are gone with it. What has not left yet is looked at again:

| it rests on what is taken back                    | then                                                             |
|---------------------------------------------------|------------------------------------------------------------------|
| held, another sign still names somebody           | it is theirs                                                     |
| due or tried, another sign names the same person  | it is theirs as before                                           |
| nothing else says whose it is                     | suppressed, ``unlinked``                                         |
| due or tried, another sign names somebody else    | suppressed: Klaviyo may have it already                          |
| under way to Klaviyo                              | likewise: it is not tried again                                  |
| waiting for that person's address                 | waits for its person again                                       |

A call that names its person itself rests on no tie, unless it is the browser's own word that is taken back. A sign
from after the taking back counts anew; a link that the browser keeps repeating does not (``store.links.Links.tie``).
"""

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial

import msgspec
from msgspec import Struct

from relay.config import Site
from relay.delivery.states import State
from relay.identity import measure
from relay.identity.evidence import Evidence, Recognition
from relay.identity.resolve import Resolution, Sign
from relay.model import Reason
from relay.pipeline.late import proof
from relay.pipeline.whose import whose
from relay.store.base import Store, Transaction
from relay.store.history import Merge
from relay.store.links import UNLINKED
from relay.store.rows import Unsent

log = logging.getLogger("relay.unlink")

#: What a browser itself says of its shopper: a call that says so rests on the same word as the tie.
_BROWSERS_WORD = frozenset({Evidence.FORM, Evidence.MAILBOX})

Rests = Callable[[Unsent, Sign | None], bool]


class Undone(Struct, kw_only=True):
    """What was taken back, and what became of what rested on it."""

    is_known: bool = False  #: whether anything has the ID asked for
    ties: list[tuple[str, Evidence]] = []  #: visitor and class of evidence
    merges: int = 0
    recalled: int = 0
    renamed: int = 0  #: another sign still names somebody
    waiting: int = 0

    def in_words(self) -> list[str]:
        """Sentences for the operator."""
        if not self.ties and not self.merges:
            return ["There was nothing to take back."]
        said = [f"Taken back: visitor {visitor}, {evidence}." for visitor, evidence in self.ties]
        if self.merges:
            said.append(f"Taken back: {_many(self.merges, 'merge')}. Who was made one is two again.")
        said.append(f"{_many(self.recalled, 'unsent delivery', 'unsent deliveries')} recalled (unlinked).")
        if self.renamed:
            said.append(f"{_many(self.renamed, 'delivery', 'deliveries')} kept: another sign still names somebody.")
        if self.waiting:
            said.append(f"{_many(self.waiting, 'delivery', 'deliveries')} waiting for their person again.")
        said.append("What Klaviyo has already been told stays there.")
        return said


async def unlink(store: Store, sites: Sequence[Site], asked: str, *, evidence: Evidence | None, now: float) -> Undone:
    """Cut the ties that ``asked`` names: a visitor's, or the one that a delivery (by its ID, its message or Klaviyo's
    ``unique_id``) rests on; all classes of evidence, or one. Raises StoreError."""
    return await _everywhere(store, sites, partial(_unlink, asked=asked, evidence=evidence, now=now))


async def separate(store: Store, sites: Sequence[Site], asked: str, *, now: float) -> Undone:
    """Revoke the merges that ``asked`` names: by the message that made them, or of the persons that a visitor or a
    delivery is tied to. Raises StoreError."""
    return await _everywhere(store, sites, partial(_separate, asked=asked, now=now))


async def _everywhere(store: Store, sites: Sequence[Site], work: Callable[..., None]) -> Undone:
    undone = Undone()
    for site in sites:

        def at_site(tx: Transaction, site: Site = site) -> Undone:
            mine = Undone()  # of this try: a transaction may be tried again
            work(tx, site, mine)
            return mine

        mine = await store.transact(at_site, site.site_id)
        undone.is_known |= mine.is_known
        undone.ties = undone.ties + mine.ties
        for name in ("merges", "recalled", "renamed", "waiting"):
            setattr(undone, name, getattr(undone, name) + getattr(mine, name))
        if mine.ties or mine.merges:
            log.info("an identity was taken back", extra={"site": site.site_id, "reason": "operator"})
    return undone


# Ties


def _unlink(tx: Transaction, site: Site, undone: Undone, *, asked: str, evidence: Evidence | None, now: float) -> None:
    for visitor_id, person_id in _meant(tx, site, undone, asked):
        cut = {
            tie.evidence
            for tie in tx.history.ties(site.site_id, visitor_id)
            if tx.graph.canonical(site.site_id, tie.person_id) == person_id
            if evidence in (None, tie.evidence) and tie.end_reason != UNLINKED
        }
        if not cut:
            continue
        tx.graph.unlink(site.site_id, visitor_id, person_id, evidence, at=now)
        undone.ties = undone.ties + [(visitor_id, each) for each in Evidence if each in cut]
        _look_again(tx, site, undone, [person_id], partial(_rests_on_tie, visitor_id=visitor_id, cut=cut), now=now)


def _meant(tx: Transaction, site: Site, undone: Undone, asked: str) -> list[tuple[str, str]]:
    """The visitors and persons whose ties are meant."""
    graph, site_id = tx.graph, site.site_id
    found = []
    for row in tx.history.deliveries(site_id, asked):
        undone.is_known = True
        kept = tx.outbox.proof(site_id, row["delivery_id"])
        sign = None if kept is None else msgspec.json.decode(kept, type=Sign)
        visitor_id = (sign.visitor_id if sign else None) or row["visitor_id"]
        if visitor_id is not None and row["person_id"] is not None:
            found.append((visitor_id, graph.canonical(site_id, row["person_id"])))
    if not undone.is_known and tx.history.is_visitor(site_id, asked):
        undone.is_known = True
        found = [(asked, graph.canonical(site_id, tie.person_id)) for tie in tx.history.ties(site_id, asked)]
    return list(dict.fromkeys(found))


def _rests_on_tie(delivery: Unsent, sign: Sign | None, *, visitor_id: str, cut: Collection[Evidence]) -> bool:
    if sign is None:
        return delivery.visitor_id == visitor_id and delivery.state is State.WAITING
    if (sign.visitor_id or delivery.visitor_id) != visitor_id or sign.evidence not in cut:
        return False
    return sign.recognition is not Recognition.DIRECT or sign.evidence in _BROWSERS_WORD


# Merges


def _separate(tx: Transaction, site: Site, undone: Undone, *, asked: str, now: float) -> None:
    graph, site_id = tx.graph, site.site_id
    merges = tx.history.merges_by(site_id, asked)
    undone.is_known = bool(merges)
    if not merges:
        persons = dict.fromkeys(person_id for _, person_id in _meant(tx, site, undone, asked))
        everybody = [member for person_id in persons for member in graph.members(site_id, person_id)]
        merges = tx.history.merges(site_id, everybody)
    for merge in merges:
        person_id = graph.canonical(site_id, merge.target_id)
        members = graph.members(site_id, person_id)
        if graph.revoke(site_id, merge.source_id, merge.target_id, at=now):
            undone.merges += 1
            _look_again(tx, site, undone, members, partial(_rests_on_merge, tx, site, merge), now=now)


def _rests_on_merge(tx: Transaction, site: Site, merge: Merge, delivery: Unsent, sign: Sign | None) -> bool:
    """Whether a delivery is what the one person did, told as the other: it is looked at again in any case, unless the
    call itself named its person, and not only by what is the other's again."""
    if sign is None or sign.recognition is not Recognition.DIRECT:
        return True
    site_id = site.site_id
    apart = tx.graph.members(site_id, merge.source_id)
    others = tx.graph.members(site_id, tx.graph.canonical(site_id, merge.target_id))
    named = tx.history.named_by(site_id, [*apart, *others], sign.message_id)
    return bool(named) and named <= set(apart)


# What rests on it


def _look_again(
    tx: Transaction, site: Site, undone: Undone, persons: Collection[str], rests: Rests, *, now: float
) -> None:
    """Look at what is told of ``persons`` and has not left yet. What asks for a list or a subscription stays: it was
    asked for an address, not for a browser."""
    graph, site_id = tx.graph, site.site_id
    off = measure.switched_off(measure.scores(tx.ledger.labels(site_id)), site.min_precision)
    members = dict.fromkeys(member for person in persons for member in graph.members(site_id, person))
    unsent = {
        delivery.delivery_id: delivery
        for member in members
        for delivery in tx.outbox.unsent(site_id, person_id=member, and_gone=True)
        if delivery.cause is not Reason.ASKED
    }
    for _, delivery in sorted(unsent.items()):
        kept = tx.outbox.proof(site_id, delivery.delivery_id)
        sign = None if kept is None else msgspec.json.decode(kept, type=Sign)
        if not rests(delivery, sign):
            continue
        before = graph.canonical(site_id, delivery.person_id or "")
        found = _resolution(tx, site, delivery, sign, off)
        if delivery.state is State.WAITING:
            if found.person_id != before:
                tx.outbox.disown(delivery)
                undone.waiting += 1
        elif found.person_id is None or found.reason is not None:
            tx.outbox.suppress(delivery, Reason.UNLINKED, at=now)
            undone.recalled += 1
        elif delivery.state is State.HELD:
            if proof(found) != kept or found.person_id != delivery.person_id:
                _rename(tx, site, delivery, found.person_id, found)
                undone.renamed += 1
        elif found.person_id != before:
            tx.outbox.suppress(delivery, Reason.UNLINKED, at=now)
            undone.recalled += 1


def _rename(tx: Transaction, site: Site, delivery: Unsent, person_id: str, found: Resolution) -> None:
    tx.outbox.reassign(
        site.site_id,
        delivery,
        person_id=person_id,
        evidence=found.evidence,
        confidence=found.confidence,
        proof=proof(found),
    )


def _resolution(
    tx: Transaction, site: Site, delivery: Unsent, sign: Sign | None, off: Collection[Evidence]
) -> Resolution:
    """Whose the delivery is by what still stands."""
    if delivery.visitor_id is None or (sign is not None and sign.recognition is Recognition.DIRECT):
        return Resolution(reason=Reason.NO_IDENTITY)  # it named whom it is no longer believed to name
    recognition = Recognition.COOKIE if sign is None else sign.recognition
    return whose(tx, site.site_id, delivery.visitor_id, recognition, delivery.occurred_at, off=off)


def _many(n: int, one: str, more: str | None = None) -> str:
    return f"{n:,} {one if n == 1 else more or f'{one}s'}"
