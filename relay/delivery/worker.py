"""The sender of one site: claims what may go, has it sent, settles what has come back; a bounded drain on stop.

Delivery is at least once, and Klaviyo counts each event once: whatever happens between the claim and the settling, the
next try carries the same ``unique_id`` for the same profile.
"""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Sequence

from relay.clock import Clock
from relay.config import Site
from relay.delivery import policy
from relay.delivery.claims import Claims
from relay.delivery.events import Events
from relay.delivery.lanes import Lane
from relay.delivery.link_property import LinkProperty
from relay.delivery.lists import Lists
from relay.delivery.lookups import Lookups
from relay.delivery.pace import EVERYTHING, Traffic
from relay.delivery.profiles import Profiles
from relay.delivery.sent import Sent
from relay.delivery.states import State
from relay.delivery.subscriptions import Subscriptions
from relay.errors import StoreError
from relay.identity.link_token import LinkTokens
from relay.klaviyo.answer import NOT_SENT, Answer
from relay.klaviyo.client import KlaviyoClient
from relay.model import Reason
from relay.observe import describe
from relay.store.base import Store, Transaction
from relay.store.rows import Claimed, Pause

log = logging.getLogger("relay.delivery")

#: Longest sleep while nothing is due; new work rings.
IDLE_SECONDS = 5.0
#: How long to wait when the database cannot be written, or when what is due may not go yet.
RETRY_SECONDS = 1.0

#: Cut off by a stop: Klaviyo may have seen it, so the next try goes alone, but it was not the delivery's fault.
_CUT_OFF = Sent(answer=Answer(status=None, error="stopped"), outcome=policy.GivenBack())


class Sender:
    """Delivers the outbox of one site. One sender a site: Klaviyo's limits are per account."""

    def __init__(
        self,
        site: Site,
        store: Store,
        client: KlaviyoClient,
        traffic: Traffic,
        clock: Clock,
        *,
        outbox_rings: asyncio.Event,
        journal_rings: asyncio.Event,
        links: LinkTokens | None = None,
    ) -> None:
        self._site = site
        self._store = store
        self._client = client
        self._traffic = traffic
        self._clock = clock
        self._rings = outbox_rings
        self._owner = uuid.uuid4().hex
        self._claims = Claims(site, traffic, self._owner)
        link_property = LinkProperty(site, links, clock)
        self._profiles = Profiles(site, client, traffic, link_property)
        self._events = Events(site, client, clock, self._profiles, link_property)
        self._lookups = Lookups(site, client, traffic, store, clock, journal_rings)
        self._lists = Lists(site, client, traffic, self._profiles)
        self._subscriptions = Subscriptions(site, client, clock)
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way: Counter[Lane] = Counter()
        #: What has come back and is not settled yet.
        self._back: list[tuple[Claimed, Sent]] = []
        self._told: dict[str, str] = {}
        #: Lanes whose calls were not made, with when they may claim again: what they need is closed.
        self._resting: dict[Lane, float] = {}
        #: Lanes that have come upon a refusal themselves.
        self._refused: set[Lane] = set()

    async def start(self) -> None:
        """Take back what an earlier process had claimed, and ask Klaviyo afresh: the key may have been mended."""
        site_id = self._site.site_id

        def fresh(tx: Transaction) -> int:
            for pause in tx.ledger.pauses(site_id):
                tx.ledger.resume(site_id, pause.scope)
            return tx.dispatch.rescue(site_id, lease_before=float("inf"), owner=self._owner, now=self._clock.now())

        if rescued := await self._store.transact(fresh, site_id):
            log.info("took back deliveries of an earlier process", extra={"rescued": rescued})

    async def run(self) -> None:
        """Deliver until ``stop``, then let what is under way come back. A database that cannot be written is tried
        again; when cancelled, what has not come back is given back."""
        try:
            while not self._stop.is_set():
                self._rings.clear()
                looked_at = self._clock.now()
                try:
                    pause = 0.0 if await self._turn() else await self._until_next(looked_at)
                except StoreError as error:
                    log.error("delivery waits for the database", extra={"problem": type(error).__name__})
                    pause = RETRY_SECONDS
                if pause > 0 and not self._stop.is_set():
                    await self._clock.wait(self._rings, pause)
            await self._all_back()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.shield(self._last_turn())

    def stop(self) -> None:
        """Begin no further call, then end ``run``."""
        self._stop.set()
        self._client.stop()
        self._rings.set()

    async def deliver_next(self) -> int:
        """Claim, send and settle what may go now; how many deliveries were claimed. Raises StoreError."""
        claimed = await self._turn()
        try:
            await self._all_back()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.shield(self._last_turn())
        return claimed

    async def _turn(self, *, claims: bool = True) -> int:
        """Settle what has come back and claim what may go, in one transaction; how many were claimed."""
        back, self._back = self._back, []
        now = self._clock.now()
        outcomes = [self._outcome(delivery, sent, now) for delivery, sent in back]
        pauses = self._pauses()
        resting = {lane for lane, until in self._resting.items() if until > self._clock.monotonic()}

        def turn(tx: Transaction) -> list[tuple[Lane, list[Claimed]]]:
            for (delivery, sent), outcome in zip(back, outcomes, strict=True):
                self._settle(tx, delivery, sent.answer, outcome, now)
            self._tell_pauses(tx, pauses, now)
            if not claims or self._site.klaviyo_api_key is None:
                return []
            tx.dispatch.rescue(self._site.site_id, lease_before=now, owner=self._owner, now=now)
            return self._claims.take(tx, self._under_way, now, resting=resting)

        try:
            batches = await self._store.transact(turn, self._site.site_id)
        except BaseException:
            self._back = back + self._back
            raise
        self._told = pauses
        for lane, batch in batches:
            self._under_way[lane] += 1
            task = asyncio.create_task(self._carry(lane, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return sum(len(batch) for _, batch in batches)

    async def _carry(self, lane: Lane, batch: list[Claimed]) -> None:
        """Send one batch; whatever happens, it comes back."""
        sent: Sequence[Sent] = [_CUT_OFF] * len(batch)
        try:
            sent = await self._send(lane, batch)
        except StoreError as error:
            # The answer could not be reported: the delivery is given back and asks again.
            log.error("an answer could not be kept", extra={"problem": describe(error)})
            sent = [Sent(answer=NOT_SENT)] * len(batch)
        except Exception as error:
            # A fault of ours in one delivery must not stop the others; dead ones can be replayed once mended.
            log.error("a delivery could not be mapped", extra={"problem": describe(error)})
            sent = [Sent(answer=Answer(status=400, error="mapping_failed"))] * len(batch)
        finally:
            self._under_way[lane] -= 1
            if any(each.answer.status == 403 for each in sent):
                self._refused.add(lane)
            if all(each == Sent(answer=NOT_SENT) for each in sent):
                self._resting[lane] = self._clock.monotonic() + RETRY_SECONDS
            elif any(each.answer.is_good for each in sent):
                self._resting.clear()  # it may have been the one call that asks
            self._back += zip(batch, sent, strict=True)
            self._rings.set()

    async def _send(self, lane: Lane, batch: list[Claimed]) -> Sequence[Sent]:
        match lane:
            case Lane.EVENT:
                return [await self._events.send(batch[0])]
            case Lane.BULK:
                return await self._events.send_many(batch)
            case Lane.PROFILE:
                return [await self._profiles.send(batch[0])]
            case Lane.LOOKUP:
                return [await self._lookups.send(batch[0])]
            case Lane.DELETION:
                return [Sent(answer=await self._client.request_deletion(batch[0].payload or ""))]
            case Lane.LIST_ADD:
                return await self._lists.add(batch)
            case Lane.LIST_REMOVE:
                return await self._lists.remove(batch)
            case Lane.SUBSCRIBE:
                return await self._subscriptions.subscribe(batch)
            case Lane.UNSUBSCRIBE:
                return await self._subscriptions.unsubscribe(batch)

    def _outcome(self, delivery: Claimed, sent: Sent, now: float) -> policy.Outcome:
        return sent.outcome or policy.outcome(
            sent.answer,
            attempts=delivery.attempts,
            first_attempt_at=delivery.first_attempt_at,
            now=now,
            jitter=self._clock.jitter(),
        )

    def _settle(self, tx: Transaction, delivery: Claimed, answer: Answer, outcome: policy.Outcome, now: float) -> None:
        state = State.READY
        reason: Reason | None = None
        due_at: float | None = None
        counts = was_sent = True
        match outcome:
            case policy.Delivered():
                state = State.DELIVERED
            case policy.Dead():
                state, reason = State.DEAD, outcome.reason
            case policy.Skipped():
                state, reason = State.SUPPRESSED, outcome.reason
            case policy.RetryAt() | policy.Alone():
                due_at = outcome.due_at
            case policy.WaitUntil():
                due_at, counts, was_sent = outcome.due_at, False, False
            case policy.GivenBack():
                # An answer means that Klaviyo has refused to look; without one it may have seen the delivery.
                counts, was_sent = False, answer.was_sent and answer.status is None
        tx.dispatch.settle(
            delivery,
            state,
            lease_owner=self._owner,
            at=now,
            due_at=due_at,
            reason=reason,
            status=answer.status,
            error=answer.error or None if answer.was_sent else None,
            counts=counts,
            was_sent=was_sent,
        )

    def _pauses(self) -> dict[str, str]:
        """Why Klaviyo does not take our key: for everything, or by the kind of delivery that has to wait."""
        refusals = self._traffic.refusals()
        if EVERYTHING in refusals:
            return {EVERYTHING: refusals[EVERYTHING]}
        return {
            lane.value.kind: refusals[endpoint.name]
            for lane in Lane
            for endpoint in lane.value.endpoints
            if endpoint.name in refusals and (endpoint is lane.value.endpoints[0] or lane in self._refused)
        }

    def _tell_pauses(self, tx: Transaction, pauses: dict[str, str], now: float) -> None:
        """The ledger says what the console shows and the operator has to mend."""
        if pauses == self._told:
            return
        site_id = self._site.site_id
        for scope, reason in pauses.items():
            if self._told.get(scope) != reason:
                tx.ledger.pause(site_id, Pause(scope, now + policy.PAUSE_SECONDS, reason, now))
                log.error("Klaviyo refuses the key; deliveries wait", extra={"site": site_id, "reason": reason})
        for scope in self._told.keys() - pauses.keys():
            tx.ledger.resume(site_id, scope)

    async def _all_back(self) -> None:
        """Wait until every call under way has ended."""
        while self._tasks:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # what is no Exception ends us too

    async def _last_turn(self) -> None:
        """Settle the rest and claim nothing. What cannot be settled now stays claimed until the next start."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._back or self._pauses() != self._told:
            try:
                await self._turn(claims=False)
            except StoreError as error:
                if not self._stop.is_set():
                    raise
                log.error("what has come back could not be settled", extra={"problem": type(error).__name__})

    async def _until_next(self, looked_at: float) -> float:
        """Seconds until something is due that was not yet when it was last ``looked_at``, or an endpoint may be asked
        again; 0.0 when it has become due meanwhile."""
        site_id, waits = self._site.site_id, [IDLE_SECONDS]
        if await self._store.read(lambda tx: tx.dispatch.is_due(site_id, now=looked_at)):
            # Due but not claimed: its endpoint is closed, its lane is full, or something must go before it.
            waits.append(self._traffic.opens_in() or RETRY_SECONDS)
        due = await self._store.read(lambda tx: tx.dispatch.next_due(site_id, after=looked_at))
        if due is not None:
            waits.append(max(due - self._clock.now(), 0.0))
        return min(waits)
