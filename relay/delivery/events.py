"""Events on their way: one by one while they are live, a thousand in a call when a backlog has built up.

A bulk call is no safe retry: a ``unique_id`` Klaviyo has seen before may fail all of it. So a delivery goes in bulk
only if Klaviyo has never seen it; after any try whose outcome is unknown it goes alone, where a repeat is recognised.
"""

from collections.abc import Sequence

import msgspec

from relay.clock import Clock
from relay.config import Forward, Site
from relay.delivery.policy import Alone, GivenBack, Outcome
from relay.delivery.profiles import Profiles
from relay.delivery.sent import Sent, proof, recipient
from relay.klaviyo import mapping
from relay.klaviyo.answer import NOT_SENT
from relay.klaviyo.bulk import bulk
from relay.klaviyo.client import Body, KlaviyoClient
from relay.model import Action, Kept
from relay.store.rows import Claimed

#: Bulk calls refused in a row before the events of the next one go alone too: finding many bad ones by their pointers
#: would cost more calls than it saves.
MOST_REFUSALS = 3

_kept = msgspec.json.Decoder(Kept)


class Events:
    """Sends the events of one site."""

    def __init__(self, site: Site, client: KlaviyoClient, clock: Clock, profiles: Profiles) -> None:
        self._site = site
        self._client = client
        self._clock = clock
        self._profiles = profiles
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
            try:
                bodies.append(self._body(delivery))
                mapped.append(index)
            except Exception:  # a fault of ours, told apart when it is tried alone
                sent[index] = Sent(answer=NOT_SENT, outcome=Alone(self._clock.now()))
        alone = Alone(self._clock.now())
        job = bulk(bodies)
        answer = await self._client.create_events(job.body) if any(job.places) else NOT_SENT
        if answer.is_good:
            self._refusals = 0
        is_refused = answer.status is not None and 400 <= answer.status < 500
        is_refused &= answer.status not in (401, 403, 408, 425, 429)
        pointed = job.pointed(answer.pointers) if is_refused else set()
        if is_refused:
            self._refusals += 1
        for number, index in enumerate(mapped):
            outcome: Outcome | None = None
            if number in job.too_large:
                outcome = alone
            elif job.places[number] is None:
                outcome = GivenBack()
            elif is_refused:
                # Klaviyo has processed none of them: those it does not name go on together.
                is_named = not pointed or number in pointed or self._refusals > MOST_REFUSALS
                outcome = alone if is_named else GivenBack()
            is_part = job.places[number] is not None
            sent[index] = Sent(answer=answer if is_part else NOT_SENT, outcome=outcome)
        return [sent[index] for index in range(len(batch))]

    def _body(self, delivery: Claimed) -> Body:
        kept = _kept.decode(delivery.event or b"")
        # Also when it only now gets away (a pause, an outage): an old cart must not start a flow.
        is_old = self._clock.now() - delivery.occurred_at > self._site.abandonment_seconds
        whom = recipient(delivery)
        if self._site.forward is Forward.SHADOW or not self._site.update_profiles:
            whom = msgspec.structs.replace(whom, traits={})
        return mapping.event_body(
            commerce=kept.commerce,
            action=Action(delivery.action, delivery.metric, delivery.line),
            recipient=whom,
            proof=proof(delivery),
            occurred_at=delivery.occurred_at,
            unique_id=delivery.unique_id,
            suffix=self._site.metric_suffix,
            backfill=delivery.backfill or is_old,
            page_url=kept.page_url,
        )
