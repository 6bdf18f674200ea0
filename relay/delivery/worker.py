"""The sender of one site: claim, pace, map, send, settle; rescue of lost leases; a bounded drain on stop.

Delivery is at least once, and Klaviyo counts each event once: whatever happens between the claim and the settling, the
next try carries the same ``unique_id`` for the same profile.
"""

import asyncio
import logging
import uuid
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from relay.clock import Clock
from relay.config import Site
from relay.delivery import policy
from relay.delivery.pace import Pace
from relay.delivery.states import State
from relay.errors import StoreError
from relay.klaviyo import mapping
from relay.klaviyo.answer import Answer
from relay.klaviyo.client import KlaviyoClient
from relay.model import Action, DeliveryKind, Kept, Proof, Reason, Recipient, Trust
from relay.observe import describe
from relay.pipeline.parse import Received
from relay.store.base import Store, Transaction
from relay.store.rows import Claimed, Entry, Pause

log = logging.getLogger("relay.delivery")

#: Deliveries claimed at once: what eight connections send in well under a lease.
BATCH = 32
#: A lease outlives the slowest batch: every call may take its whole time-out.
LEASE_SECONDS = 120.0
#: Longest sleep while nothing is due; new work rings.
IDLE_SECONDS = 5.0
#: How long to wait between two questions during an outage of Klaviyo's.
OUTAGE_SECONDS = 2.0
#: How long to wait when the database cannot be written.
RETRY_SECONDS = 1.0

#: The pause that stands for every kind of delivery.
EVERYTHING = "everything"
#: The scope without which a ``_kx`` cannot be looked up; events then go out under the ``_kx`` itself.
CANNOT_LOOK_UP = "lookup"

_kept = msgspec.json.Decoder(Kept)


class Sender:
    """Delivers the outbox of one site. One sender a site: Klaviyo's limits are per account."""

    def __init__(
        self,
        site: Site,
        store: Store,
        client: KlaviyoClient,
        clock: Clock,
        *,
        outbox_rings: asyncio.Event,
        journal_rings: asyncio.Event,
    ) -> None:
        self._site = site
        self._store = store
        self._client = client
        self._clock = clock
        self._outbox_rings = outbox_rings
        self._journal_rings = journal_rings
        self._pace = Pace()
        self._owner = uuid.uuid4().hex
        self._stop = asyncio.Event()
        #: Cleared by a call without an answer or with a 5xx: then one delivery at a time asks how things are.
        self._healthy = True

    async def start(self) -> None:
        """Take back what an earlier process had claimed, and ask Klaviyo afresh: the key may have been mended."""
        site_id = self._site.site_id

        def fresh(tx: Transaction) -> int:
            for pause in tx.ledger.pauses(site_id):
                tx.ledger.resume(site_id, pause.scope)
            return tx.outbox.rescue(site_id, lease_before=float("inf"))

        if rescued := await self._store.transact(fresh):
            log.info("took back deliveries of an earlier process", extra={"rescued": rescued})

    async def run(self) -> None:
        """Deliver until ``stop``. A database that cannot be written is tried again."""
        while not self._stop.is_set():
            self._outbox_rings.clear()
            try:
                sent = await self.deliver_next()
                pause = 0.0 if sent else await self._until_next()
                if sent and not self._healthy:
                    # An outage: one delivery asks every so often, instead of each of them spending an attempt.
                    await self._clock.wait(self._stop, OUTAGE_SECONDS)
            except StoreError as error:
                log.error("delivery waits for the database", extra={"problem": type(error).__name__})
                pause = RETRY_SECONDS
            if pause > 0 and not self._stop.is_set():
                await self._clock.wait(self._outbox_rings, pause)

    def stop(self) -> None:
        """Finish the batch at hand, then end ``run``."""
        self._stop.set()
        self._outbox_rings.set()

    async def deliver_next(self) -> int:
        """Claim, send and settle one batch; how many deliveries there were. Raises StoreError."""
        claimed = await self._store.transact(self._claim)
        if not claimed:
            return 0
        answers: list[Answer | None] = [None] * len(claimed)

        async def send(index: int) -> None:
            try:
                answers[index] = await self._send(claimed[index])
            except StoreError as error:
                # The answer could not be reported: the delivery is given back and asks again.
                log.error("an answer could not be kept", extra={"problem": describe(error)})
            except Exception as error:
                # A fault of ours in one delivery must not stop the others; dead ones can be replayed once mended.
                log.error("a delivery could not be mapped", extra={"problem": describe(error)})
                answers[index] = Answer(status=400, error="mapping_failed")

        try:
            async with asyncio.TaskGroup() as tasks:
                for index in range(len(claimed)):
                    tasks.create_task(send(index))
        finally:
            # Also when the drain time is over: what got its answer is settled, the rest is given back.
            await asyncio.shield(self._settle(claimed, answers))
        return len(claimed)

    def _claim(self, tx: Transaction) -> list[Claimed]:
        site_id, now = self._site.site_id, self._clock.now()
        tx.outbox.rescue(site_id, lease_before=now)
        pauses = {pause.scope: pause for pause in tx.ledger.pauses(site_id)}
        if self._site.klaviyo_api_key is None or _is_paused(pauses.get(EVERYTHING), now):
            return []
        free = [kind for kind in DeliveryKind if kind not in pauses or kind == CANNOT_LOOK_UP]
        asking = [kind for kind in DeliveryKind if kind not in free and not _is_paused(pauses.get(kind), now)]

        def claim(kinds: Sequence[DeliveryKind], limit: int) -> list[Claimed]:
            return tx.outbox.claim(
                site_id,
                now=now,
                limit=limit,
                lease_owner=self._owner,
                lease_until=now + LEASE_SECONDS,
                kinds=kinds,
                recipient=lambda person_id: tx.graph.recipient(site_id, tx.graph.canonical(site_id, person_id)),
            )

        if not self._healthy or EVERYTHING in pauses:
            return claim([*free, *asking], 1)
        # A kind whose pause is over asks with one delivery, and holds up no other kind.
        return [*(claim(asking, 1) if asking else []), *claim(free, BATCH)]

    async def _send(self, delivery: Claimed) -> Answer:
        await self._pace.wait(delivery.kind)
        match delivery.kind:
            case DeliveryKind.EVENT:
                answer = await self._client.create_event(self._event_body(delivery))
            case DeliveryKind.PROFILE:
                body = mapping.profile_body(_recipient(delivery), _proof(delivery), last_seen=delivery.occurred_at)
                answer = await self._client.import_profile(body)
            case DeliveryKind.LOOKUP:
                answer = await self._client.look_up(delivery.payload or "")
                await self._report(delivery, answer)
            case DeliveryKind.DELETION:
                answer = await self._client.request_deletion(delivery.payload or "")
        return answer

    def _event_body(self, delivery: Claimed) -> dict[str, object]:
        kept = _kept.decode(delivery.event or b"")
        # Also when it only now gets away (a pause, an outage): an old cart must not start a flow.
        is_old = self._clock.now() - delivery.occurred_at > self._site.abandonment_seconds
        return mapping.event_body(
            commerce=kept.commerce,
            action=Action(delivery.action, delivery.metric, delivery.line),
            recipient=_recipient(delivery),
            proof=_proof(delivery),
            occurred_at=delivery.occurred_at,
            unique_id=delivery.unique_id,
            suffix=self._site.metric_suffix,
            backfill=delivery.backfill or is_old,
            page_url=kept.page_url,
        )

    async def _report(self, delivery: Claimed, answer: Answer) -> None:
        """Put Klaviyo's answer to a look-up into the journal: the processor takes it as a server's evidence.

        Before the settling: a crash in between asks and answers once more, and the answer is a duplicate. It counts
        as said when the link was followed: an erasure since then holds against it.
        """
        if answer.status == 403:
            outcome = "unavailable"
        elif answer.status == 200:
            outcome = "found" if answer.found else "unknown"
        else:
            return
        traits = {"outcome": outcome, "kx": delivery.payload}
        if answer.found is not None:
            traits |= {"klaviyo_id": answer.found.klaviyo_id}
            traits |= {"email": answer.found.email} if answer.found.email else {}
            traits |= {"phone": answer.found.phone_number} if answer.found.phone_number else {}
        body = Raw(msgspec.json.encode({"traits": traits}))
        message = Received("identify", f"lookup:{delivery.delivery_id}:{outcome}", delivery.occurred_at, body)
        entry = Entry(
            site_id=self._site.site_id, received_at=self._clock.now(), trust=Trust.KLAVIYO, messages=[message]
        )
        await self._store.append(entry)
        self._journal_rings.set()

    async def _settle(self, claimed: Sequence[Claimed], answers: Sequence[Answer | None]) -> None:
        now = self._clock.now()
        outcomes = [
            None
            if answer is None
            else policy.outcome(
                answer,
                attempts=delivery.attempts,
                first_attempt_at=delivery.first_attempt_at,
                now=now,
                jitter=self._clock.jitter(),
            )
            for delivery, answer in zip(claimed, answers, strict=True)
        ]
        answered = [answer for answer in answers if answer is not None]
        if answered:
            self._healthy = any(answer.status is not None and answer.status < 500 for answer in answered)

        def settle(tx: Transaction) -> None:
            for delivery, answer, outcome in zip(claimed, answers, outcomes, strict=True):
                self._settle_one(tx, delivery, answer, outcome, now)

        await self._store.transact(settle)

    def _settle_one(
        self, tx: Transaction, delivery: Claimed, answer: Answer | None, outcome: policy.Outcome | None, now: float
    ) -> None:
        site_id, owner = self._site.site_id, self._owner
        if answer is None or outcome is None:
            tx.outbox.settle(
                delivery, State.READY, lease_owner=owner, at=now, due_at=now, attempts=delivery.attempts - 1
            )
            return
        status, error = answer.status, answer.error or None
        match outcome:
            case policy.Delivered():
                tx.outbox.settle(delivery, State.DELIVERED, lease_owner=owner, at=now, status=status)
                tx.ledger.resume(site_id, delivery.kind)
                tx.ledger.resume(site_id, EVERYTHING)
            case policy.RetryAt(due_at):
                tx.outbox.settle(
                    delivery, State.READY, lease_owner=owner, at=now, due_at=due_at, status=status, error=error
                )
            case policy.WaitUntil(due_at):
                self._give_back(tx, delivery, answer, due_at, now)
            case policy.PauseUntil(due_at, everything, reason) if not everything and delivery.kind == CANNOT_LOOK_UP:
                # Nothing has to wait for this scope: the processor has been told, and takes the _kx itself.
                tx.ledger.pause(site_id, Pause(CANNOT_LOOK_UP, due_at, reason, now))
                tx.outbox.settle(
                    delivery,
                    State.SUPPRESSED,
                    lease_owner=owner,
                    at=now,
                    reason=Reason.NO_READ_SCOPE,
                    status=status,
                    error=error,
                )
            case policy.PauseUntil(due_at, everything, reason):
                tx.ledger.pause(site_id, Pause(EVERYTHING if everything else delivery.kind, due_at, reason, now))
                self._give_back(tx, delivery, answer, now, now)
                log.error("Klaviyo refuses the key; deliveries wait", extra={"site": site_id, "reason": reason})
            case policy.Dead(reason):
                tx.outbox.settle(
                    delivery, State.DEAD, lease_owner=owner, at=now, reason=reason, status=status, error=error
                )

    def _give_back(self, tx: Transaction, delivery: Claimed, answer: Answer, due_at: float, now: float) -> None:
        """Not the event's fault: it goes back and the attempt does not count."""
        tx.outbox.settle(
            delivery,
            State.READY,
            lease_owner=self._owner,
            at=now,
            due_at=due_at,
            attempts=delivery.attempts - 1,
            status=answer.status,
            error=answer.error or None,
        )

    async def _until_next(self) -> float:
        """Seconds until something is due, or a pause ends."""
        site_id = self._site.site_id
        due = await self._store.read(lambda tx: tx.outbox.next_due(site_id))
        if due is None:
            return IDLE_SECONDS
        # Due already but not claimed: a pause holds it back.
        return min(IDLE_SECONDS, max(due - self._clock.now(), 0.0) or RETRY_SECONDS)


def _is_paused(pause: Pause | None, now: float) -> bool:
    return pause is not None and now < pause.until


def _recipient(delivery: Claimed) -> Recipient:
    return delivery.recipient or Recipient()


def _proof(delivery: Claimed) -> Proof:
    return Proof(reason=delivery.cause, evidence=delivery.evidence, confidence=delivery.confidence)
