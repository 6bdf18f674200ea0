"""What the console shows at one moment, read in one transaction: destination, sums and the latest deliveries."""

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from relay.config import Settings, Site
from relay.delivery.states import OPEN, State
from relay.identity import measure
from relay.model import DropReason, Reason
from relay.pipeline import metrics
from relay.store.base import Transaction
from relay.web.console import stream, who, words
from relay.web.console.stream import Line

#: Deliveries of a site on the page.
LATEST = 60

#: What the stream can be narrowed to.
SHOWS: dict[str, tuple[State, ...]] = {
    "all": (),
    "sent": (State.DELIVERED,),
    "open": tuple(state for state in State if state in OPEN),
    "spared": (State.SUPPRESSED, State.EXPIRED),
    "failed": (State.DEAD,),
}

#: (site_id, name or state, reason, n), as the store counts.
Sums = Sequence[tuple[str, str, str, int]]


class Part(Struct, frozen=True, kw_only=True):
    """One summand: its name in the code, what it means, how many."""

    name: str
    words: str
    n: int


class Place(Struct, frozen=True, kw_only=True):
    """How many deliveries stand in one state, and for which reasons where that says more."""

    state: State
    words: str
    n: int
    reasons: list[Part]


class Messages(Struct, frozen=True, kw_only=True):
    """received = accepted + duplicate + dropped; ``missing`` is what the books are off by, always 0."""

    received: int
    accepted: int
    duplicate: int
    dropped: int
    missing: int
    drops: list[Part]


class Deliveries(Struct, frozen=True, kw_only=True):
    total: int
    places: list[Place]


class Destination(Struct, frozen=True, kw_only=True):
    """How Klaviyo takes what is sent: ``ok``, ``idle`` (nothing sent yet), ``slow`` or ``down`` (deliveries wait)."""

    state: Literal["ok", "idle", "slow", "down"]
    headline: str
    detail: str
    problems: list[words.Problem]


class SiteView(Struct, frozen=True, kw_only=True):
    site_id: str
    policy: str
    destination: Destination
    messages: Messages
    deliveries: Deliveries
    who: who.Who
    lines: list[Line]


class Snapshot(Struct, frozen=True, kw_only=True):
    """Everything on the page, as it stood at ``read_at``; ``answered_at`` sets the page's clock (epoch seconds)."""

    read_at: float
    answered_at: float
    show: str
    sites: list[SiteView]


def read(tx: Transaction, settings: Settings, *, show: str, now: float) -> Snapshot:
    """Read the page's contents inside one transaction, so that the sums agree with each other."""
    counts, sums = tx.ledger.counts(), tx.outbox.sums()
    sites = [_site(tx, site, counts, sums, show, now) for site in settings.sites]
    return Snapshot(read_at=now, answered_at=now, show=show, sites=sites)


def _site(tx: Transaction, site: Site, counts: Sums, sums: Sums, show: str, now: float) -> SiteView:
    deliveries = _deliveries(site.site_id, sums)
    problems = _problems(tx, site)
    rows = tx.outbox.recent(site.site_id, limit=LATEST, states=SHOWS[show])
    paused = {problem.scope for problem in problems if problem.scope}
    return SiteView(
        site_id=site.site_id,
        policy=words.FORWARD[site.forward],
        destination=_destination(problems, deliveries),
        messages=_messages(site.site_id, counts),
        deliveries=deliveries,
        who=_who(site, counts),
        lines=[stream.line(row, site, paused, now) for row in rows],
    )


def _who(site: Site, counts: Sums) -> who.Who:
    mine = [(name, reason, n) for site_id, name, reason, n in counts if site_id == site.site_id]
    scores = measure.scores((label, n) for name, label, n in mine if name == "label")
    noticed = {reason: n for name, reason, n in mine if name in ("refused_identifier", "noted_identifier")}
    return who.who(scores, noticed, site.min_precision)


def _problems(tx: Transaction, site: Site) -> list[words.Problem]:
    if site.klaviyo_api_key is None:
        return [words.missing_key(site)]
    problems = [words.pause(site, p.scope, p.reason, p.since) for p in tx.ledger.pauses(site.site_id)]
    n, error = tx.outbox.retrying(site.site_id)
    if n and not any(problem.blocking for problem in problems):
        problems.append(words.retrying(n, stream.answer(None, error)))
    if metrics.is_nearly_full(in_use := tx.ledger.metrics(site.site_id)):
        problems.append(words.metrics(in_use, metrics.ROOM))
    return sorted(problems, key=lambda problem: not problem.blocking)


def _destination(problems: list[words.Problem], deliveries: Deliveries) -> Destination:
    by_state = {place.state: place.n for place in deliveries.places}
    delivered, due = by_state[State.DELIVERED], by_state[State.READY] + by_state[State.SENDING]
    queue = f"{due:,} in the queue" if due else "Nothing waits in the queue"
    state: Literal["ok", "idle", "slow", "down"]
    if problems and problems[0].blocking:
        state, headline, detail = "down", problems[0].title, queue
    elif problems:
        state, headline, detail = "slow", problems[0].title, queue
    elif delivered:
        state, headline, detail = "ok", "Klaviyo takes what is sent", queue
    else:
        state, headline, detail = "idle", "Nothing has been sent yet", "No refusal from Klaviyo so far"
    return Destination(state=state, headline=headline, detail=detail, problems=problems)


def _messages(site_id: str, counts: Sums) -> Messages:
    mine = [(name, reason, n) for site, name, reason, n in counts if site == site_id]

    def total(wanted: str) -> int:
        return sum(n for name, _, n in mine if name == wanted)

    drops = [Part(name=reason, words=_drop_words(reason), n=n) for name, reason, n in mine if name == "dropped"]
    received, accepted, duplicate, dropped = (total(n) for n in ("received", "accepted", "duplicate", "dropped"))
    return Messages(
        received=received,
        accepted=accepted,
        duplicate=duplicate,
        dropped=dropped,
        missing=received - accepted - duplicate - dropped,
        drops=_largest_first(drops),
    )


def _deliveries(site_id: str, sums: Sums) -> Deliveries:
    mine = [(state, reason, n) for site, state, reason, n in sums if site == site_id]
    places = []
    for state, meaning in words.STATES.items():
        reasons = [Part(name=reason, words=words.REASONS[Reason(reason)], n=n) for s, reason, n in mine if s == state]
        tells_more = state in (State.SUPPRESSED, State.WAITING, State.DEAD)
        places.append(
            Place(
                state=state,
                words=meaning,
                n=sum(part.n for part in reasons),
                reasons=_largest_first(reasons) if tells_more else [],
            )
        )
    return Deliveries(total=sum(n for _, _, n in mine), places=places)


def _drop_words(reason: str) -> str:
    return words.DROPS[DropReason(reason)] if reason in set(DropReason) else reason


def _largest_first(parts: Iterable[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: (-part.n, part.name))
