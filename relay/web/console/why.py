"""Why a delivery is whose it is and stands where it stands: the whole chain, in steps, for the console and the command
line. Reads, and changes nothing. Identifiers appear masked (``identity.telling.mask``) and in no other way.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from relay.config import Site
from relay.identity import measure, telling, traces
from relay.identity.evidence import Evidence, Recognition
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.measure import Score
from relay.identity.resolve import Sign, unusable
from relay.identity.traces import TraceKind
from relay.model import DeliveryKind, Kept, Reason, Trust
from relay.pipeline.whose import whose
from relay.store.base import Transaction
from relay.store.history import PastEvent, Tie
from relay.store.links import OPTED_OUT
from relay.web.console import stream, words

_HOW = {
    Trust.BROWSER: "The tag or an SDK in the browser reported it.",
    Trust.SERVER: "The shop's server reported it.",
    Trust.KLAVIYO: "Klaviyo answered this to a question of Backflow's.",
}
_SHOWN = (IdentifierKind.EMAIL, IdentifierKind.PHONE, IdentifierKind.KLAVIYO_ID, IdentifierKind.CUSTOMER_ID)


class Step(Struct, frozen=True, kw_only=True):
    """One step of the chain. ``kind`` names what it is about, ``at`` when that was (epoch seconds), if ever, and
    ``when`` what that time is where it is not when it happened (``held until``)."""

    kind: str
    title: str
    text: str
    at: float | None = None
    when: str = ""


class Explanation(Struct, frozen=True, kw_only=True):
    """The chain of one delivery, or of an event that became none."""

    site_id: str
    title: str
    steps: list[Step]
    delivery_id: int | None = None
    unique_id: str | None = None
    message_id: str | None = None
    visitor_id: str | None = None


def explain(tx: Transaction, site: Site, asked: str, *, now: float) -> list[Explanation]:
    """What there is to say of ``asked``: the ID of a delivery, of a message, or Klaviyo's ``unique_id``.

    One explanation for each delivery meant; one for an event of which nothing had to be told; none if nothing is
    known by that name.
    """
    teller = _Teller(tx, site, now)
    found = [teller.delivery(row) for row in tx.history.deliveries(site.site_id, asked)]
    return found or [teller.event(event) for event in tx.history.events(site.site_id, asked)]


class _Teller:
    """Tells the chains of one site inside one transaction."""

    def __init__(self, tx: Transaction, site: Site, now: float) -> None:
        self._tx, self._site, self._now = tx, site, now
        self._scores = {score.name: score for score in measure.scores(tx.ledger.labels(site.site_id))}
        self._off = measure.switched_off(self._scores.values(), site.min_precision)

    def delivery(self, row: Mapping[str, Any]) -> Explanation:
        site_id = self._site.site_id
        paused = {pause.scope for pause in self._tx.ledger.pauses(site_id)}
        line = stream.line(row, self._site, paused, self._now)
        event = self._tx.history.event(site_id, row["event_id"]) if row["event_id"] is not None else None
        kept = self._tx.outbox.proof(site_id, row["delivery_id"])
        sign = None if kept is None else msgspec.json.decode(kept, type=Sign)
        steps = [*self._happened(event, row), self._standing(line)]
        if sign is not None and row["person_id"] is not None:
            steps += self._chain(sign, row["visitor_id"], row["person_id"])
            steps.append(Step(kind="confidence", title="How sure", text=telling.sure(row["confidence"])))
            steps += self._measured(sign)
        elif row["evidence"]:
            steps.append(Step(kind="sign", title="The sign", text=f"{telling.capital(row['evidence'])}."))
        steps += self._ties(sign, row["visitor_id"], row["person_id"])
        steps += self._merges(row["person_id"])
        return Explanation(
            site_id=site_id,
            title=f"{line.title}{line.suffix}",
            steps=steps,
            delivery_id=row["delivery_id"],
            unique_id=stream.hide_addresses(row["unique_id"]),
            message_id=None if event is None else stream.hide_addresses(event.message_id),
            visitor_id=row["visitor_id"],
        )

    def event(self, event: PastEvent) -> Explanation:
        """An event that became no delivery: what it was, and whose its browser's events are now."""
        nothing = "Klaviyo is told nothing of it: it becomes no metric there, and asks for nothing."
        steps = [*self._happened(event, None), Step(kind="standing", title="Where it stands", text=nothing)]
        if event.visitor_id is not None:
            found = whose(
                self._tx, self._site.site_id, event.visitor_id, Recognition.NONE, event.occurred_at, off=self._off
            )
            if found.sign is not None and found.person_id is not None:
                steps += self._chain(found.sign, event.visitor_id, found.person_id)
            elif found.reason is not None:
                steps.append(Step(kind="nobody", title="Whose", text=words.REASONS[found.reason]))
            steps += self._ties(found.sign, event.visitor_id, found.person_id)
        return Explanation(
            site_id=self._site.site_id,
            title=stream.hide_addresses(event.name or event.kind),
            steps=steps,
            message_id=stream.hide_addresses(event.message_id),
            visitor_id=event.visitor_id,
        )

    # What and where

    def _happened(self, event: PastEvent | None, row: Mapping[str, Any] | None) -> Iterator[Step]:
        if event is None:
            kind = DeliveryKind(row["kind"]) if row is not None else DeliveryKind.EVENT
            text = words.ERRANDS[kind][1] if kind in words.ERRANDS else "The event itself is not kept any more."
            at = None if row is None else row["occurred_at"]
            yield Step(kind="event", title="What happened", text=text, at=at)
            return
        detail = f" ({what})" if (what := _detail(event)) else ""
        text = f"{stream.hide_addresses(event.name)}{detail}. {_HOW[event.source]}"
        yield Step(kind="event", title="What happened", text=text, at=event.occurred_at)

    def _standing(self, line: stream.Line) -> Step:
        only = " It is only recorded: no flow starts." if line.only_recorded else ""
        text = f"{telling.capital(line.state)}: {line.why}{only}"
        return Step(kind="standing", title="Where it stands", text=text, at=line.at, when=line.when)

    # How its person was found

    def _chain(self, sign: Sign, visitor_id: str | None, person_id: str) -> Iterator[Step]:
        if sign.recognition is not Recognition.NONE:
            known = telling.RECOGNISED[sign.recognition]
            yield Step(kind="recognition", title="How the browser was recognised", text=known)
        where = "This browser"
        if sign.bridge is not None and sign.visitor_id is not None:
            where = "That browser"
            shared = self._shared(visitor_id, sign.visitor_id, sign.bridge)
            told = telling.bridge(shared, sign.bridge, sign.visitor_id)
            yield Step(kind="bridge", title="Another browser", text=told)
        event = next(iter(self._tx.history.events(self._site.site_id, sign.message_id)), None)
        kind, order = ("", None) if event is None else (event.kind, _order_id(event))
        whom = self._whom(person_id)
        if sign.recognition is Recognition.DIRECT:
            text = telling.named(sign.evidence, sign.at, whom, kind=kind, order_id=order)
        else:
            text = telling.sign(sign.evidence, sign.at, whom, where=where, kind=kind, order_id=order)
        yield Step(kind="sign", title="The sign", text=text, at=sign.at)

    def _shared(self, mine: str | None, other: str, evidence: Evidence) -> TraceKind | None:
        """The most telling thing of this class that both visitors have."""
        if mine is None:
            return None
        kinds = {
            jars[0].kind
            for jars in self._tx.traces.shared(self._site.site_id, mine)
            if any(jar.visitor_id == other for jar in jars) and traces.RULES[jars[0].kind].evidence is evidence
        }
        return next((kind for kind in TraceKind if kind in kinds), None)

    def _measured(self, sign: Sign) -> Iterator[Step]:
        known: list[tuple[str, str, bool]] = [(sign.evidence, telling.NAMES[sign.evidence], sign.evidence in self._off)]
        if sign.bridge is not None:
            known.append((sign.bridge, telling.NAMES[sign.bridge], sign.bridge in self._off))
        if sign.recognition.value in self._scores:
            known.append((sign.recognition, telling.WAYS[sign.recognition], False))
        for name, called, is_off in known:
            score: Score | None = self._scores.get(name)
            text = telling.measured(called, score, is_off=is_off)
            yield Step(kind="measured", title="How often that is right", text=text)

    # What else is known

    def _ties(self, sign: Sign | None, visitor_id: str | None, person_id: str | None) -> Iterator[Step]:
        """The ties of the browsers concerned, each as it stands now; the one that the chain tells of only if it has
        come to an end. Where there is no chain, those of the browsers that could have told are among them."""
        others = [sign.visitor_id] if sign is not None else []
        if sign is None and visitor_id is not None:
            shared = self._tx.traces.shared(self._site.site_id, visitor_id)
            for other, evidence in traces.neighbours(visitor_id, shared).items():
                others.append(other)
                told = telling.bridge(self._shared(visitor_id, other, evidence), evidence, other)
                yield Step(kind="bridge", title="Another browser", text=told)
        visitors = [each for each in dict.fromkeys((visitor_id, *others)) if each]
        for visitor in visitors:
            for tie in self._tx.history.ties(self._site.site_id, visitor):
                is_mine = person_id is not None and self._canonical(tie.person_id) == self._canonical(person_id)
                is_told = (
                    sign is not None
                    and is_mine
                    and tie.evidence is sign.evidence
                    and (visitor == sign.visitor_id or (sign.visitor_id is None and visitor == visitor_id))
                )
                left = self._left(visitors, tie) if visitor != visitor_id else None
                yield from self._tie(tie, is_told=is_told, is_other=visitor != visitor_id, left=left)

    def _left(self, visitors: list[str], tie: Tie) -> tuple[float, str] | None:
        """When and why what another jar says of this browser ended for it, where the tie is not from after that."""
        said = [self._tx.graph.endings(self._site.site_id, visitor) for visitor in visitors]
        ended = [(at, reason) for one in said for reason, at in one.items() if reason != OPTED_OUT]
        return max((each for each in ended if tie.last_at <= each[0]), default=None)

    def _tie(self, tie: Tie, *, is_told: bool, is_other: bool, left: tuple[float, str] | None) -> Iterator[Step]:
        where = "The other browser" if is_other else "This browser"
        what = f"{where} is tied to {self._whom(tie.person_id)} by {telling.NAMES[tie.evidence]}"
        if tie.ended_at is not None:
            what = what.replace(" is tied ", " was tied ", 1)
            text = f"{what}. {telling.ending(tie.ended_at, tie.end_reason)}"
            yield Step(kind="ended", title="A tie that has ended", text=text, at=tie.ended_at)
            return
        if left is not None:
            text = f"{what}. {telling.ending_here(*left)}"
            yield Step(kind="useless", title="A tie that proves nothing", text=text, at=tie.last_at)
            return
        why_not = self._why_not(tie)
        if why_not is not None:
            yield Step(kind="useless", title="A tie that proves nothing", text=f"{what}. {why_not}.", at=tie.last_at)
        elif not is_told:
            since = f", since {telling.day(tie.first_at)}, last on {telling.day(tie.last_at)}"
            yield Step(kind="tie", title="A tie that stands", text=f"{what}{since}.", at=tie.last_at)

    def _why_not(self, tie: Tie) -> str | None:
        """Why a live tie is of no use at present."""
        links = self._tx.graph.links(self._site.site_id, tie.visitor_id)
        person = self._canonical(tie.person_id)
        for link in links:
            if link.evidence is tie.evidence and link.person_id == person:
                reason = Reason.EVIDENCE_OFF if link.evidence in self._off else unusable(link, self._now)
                return None if reason is None else telling.USELESS[reason]
        return None

    def _merges(self, person_id: str | None) -> Iterator[Step]:
        if person_id is None:
            return
        graph, site_id = self._tx.graph, self._site.site_id
        everybody = {person_id, *graph.members(site_id, graph.canonical(site_id, person_id))}
        for merge in self._tx.history.merges(site_id, sorted(everybody)):
            text = (
                f"The shop's server named {self._whom(merge.source_id)} and {self._whom(merge.target_id)} as one in"
                f" message {stream.hide_addresses(merge.message_id)} on {telling.day(merge.created_at)}."
            )
            if merge.revoked_at is not None:
                text += f" Taken back on {telling.day(merge.revoked_at)}: they are two again."
            yield Step(kind="merge", title="Two persons made one", text=text, at=merge.created_at)

    def _canonical(self, person_id: str) -> str:
        return self._tx.graph.canonical(self._site.site_id, person_id)

    def _whom(self, person_id: str) -> str:
        """The person by one identifier, masked."""
        site_id = self._site.site_id
        if not self._tx.graph.is_known(site_id, person_id):  # a link's recipient, before it was said who that is
            person_id = self._canonical(person_id)
        recipient = self._tx.graph.recipient(site_id, person_id)
        if recipient is not None and recipient.email is not None:
            return telling.mask(Identifier(IdentifierKind.EMAIL, recipient.email))
        known = self._tx.graph.identifiers_of(site_id, person_id)
        for kind in (*_SHOWN, IdentifierKind.KX):
            for identifier in known:
                if identifier.kind is kind:
                    return telling.mask(identifier)
        return "a person of whom no identifier is kept here"


def _detail(event: PastEvent) -> str:
    """Which order or product it was about."""
    commerce = msgspec.json.decode(event.body, type=Kept).commerce
    if commerce.order is not None and commerce.order.order_id:
        return stream.hide_addresses(f"order {commerce.order.order_id}")
    names = [product.name for product in (commerce.product, *commerce.items) if product is not None and product.name]
    return stream.hide_addresses(names[0]) if names else ""


def _order_id(event: PastEvent) -> str | None:
    order = msgspec.json.decode(event.body, type=Kept).commerce.order
    return None if order is None or not order.order_id else stream.hide_addresses(order.order_id)
