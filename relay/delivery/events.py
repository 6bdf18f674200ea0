"""Events on their way: one by one while they are live, a thousand in a call when a backlog has built up.

A bulk call is no safe retry: a ``unique_id`` Klaviyo has seen before may fail all of it. So a delivery goes in bulk
only if Klaviyo has never seen it; after any try whose outcome is unknown it goes alone, where a repeat is recognised.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from relay.clock import Clock
from relay.config import Forward, Site
from relay.delivery.link_property import LinkProperty
from relay.delivery.policy import Alone, GivenBack, Outcome, is_refused
from relay.delivery.profiles import Profiles
from relay.delivery.sent import Sent, proof, recipient
from relay.klaviyo import mapping
from relay.klaviyo.answer import NOT_SENT, Answer
from relay.klaviyo.bulk import bulk
from relay.klaviyo.client import Body, KlaviyoClient
from relay.model import Action, Kept
from relay.store.rows import Claimed

#: Bulk calls refused in a row before the events of the next one go alone too: finding many bad ones by their pointers
#: would cost more calls than it saves.
MOST_REFUSALS = 3

#: Events mapped in one go, a few milliseconds: requests that are being collected meanwhile wait no longer than that.
BREATH = 50

_kept = msgspec.json.Decoder(Kept)


class Events:
    """Sends the events of one site."""

    def __init__(
        self, site: Site, client: KlaviyoClient, clock: Clock, profiles: Profiles, link_property: LinkProperty
    ) -> None:
        self._site = site
        self._client = client
        self._clock = clock
        self._profiles = profiles
        self._link_property = link_property
        self._refusals = 0

    async def send(self, delivery: Claimed) -> Sent:
        """One event. Klaviyo recognises a repeat by profile, metric and ``unique_id``."""
        if (stopped := await self._profiles.may_file(recipient(delivery))) is not None:
            return stopped
        return await self._profiles.with_narrowed(
            delivery, lambda narrowed: self._client.create_event(self._body(narrowed))
        )

    async def send_many(self, batch: Sequence[Claimed]) -> list[Sent]:
        """Up to a thousand events that Klaviyo has never seen, in one call."""
        bodies: list[Body] = []
        mapped: list[int] = []
        sent: dict[int, Sent] = {}
        for index, delivery in enumerate(batch):
            if index % BREATH == 0:
                await asyncio.sleep(0)
            try:
                bodies.append(self._body(delivery))
                mapped.append(index)
            except Exception:  # a fault of ours, told apart when it is tried alone
                sent[index] = Sent(answer=NOT_SENT, outcome=Alone(self._clock.now()))
        job = bulk(bodies)
        answer = await self._client.create_events(job.body) if any(job.places) else NOT_SENT
        pointed = job.pointed(answer.pointers)
        for number, index in enumerate(mapped):
            if number in job.too_large:
                sent[index] = Sent(answer=NOT_SENT, outcome=Alone(self._clock.now()))
            elif job.places[number] is None:
                sent[index] = Sent(answer=NOT_SENT)
            else:
                is_named = not pointed or number in pointed
                sent[index] = Sent(answer=answer, outcome=self._outcome(answer, is_named=is_named))
        if is_refused(answer):
            self._refusals += 1
        elif answer.is_good:
            self._refusals = 0
        return [sent[index] for index in range(len(batch))]

    def _outcome(self, answer: Answer, *, is_named: bool) -> Outcome | None:
        """What becomes of one event of a bulk call; None: as the answer says."""
        if answer.status == 429:
            return GivenBack()  # due as before, so that it stays backlog
        if not is_refused(answer):
            return None
        # Klaviyo has processed none of them: those it does not name go on together.
        return Alone(self._clock.now()) if is_named or self._refusals >= MOST_REFUSALS else GivenBack()

    def _body(self, delivery: Claimed) -> Body:
        kept = _kept.decode(delivery.event or b"")
        # Also when it only now gets away (a pause, an outage): an old cart must not start a flow.
        is_old = self._clock.now() - delivery.occurred_at > self._site.abandonment_seconds
        return mapping.event_body(
            commerce=kept.commerce,
            action=Action(delivery.action, delivery.metric, delivery.line),
            recipient=recipient(delivery),
            proof=proof(delivery),
            occurred_at=delivery.occurred_at,
            unique_id=delivery.unique_id,
            suffix=self._site.metric_suffix,
            backfill=delivery.backfill or is_old,
            page_url=kept.page_url,
            link=self._link_property.of(delivery),
            traits=self._site.forward is not Forward.SHADOW and self._site.update_profiles,
            flatten=self._site.flatten_properties,
        )
