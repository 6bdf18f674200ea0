"""Consent to marketing on its way: who may still be subscribed is asked of Klaviyo before, and whoever has unsubscribed
since they opted in stays unsubscribed."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from relay.clock import Clock
from relay.config import Site
from relay.delivery import members
from relay.delivery.policy import PAUSE_SECONDS, WaitUntil
from relay.delivery.sent import Sent, recipient, skipped
from relay.klaviyo.answer import NOT_SENT, Answer
from relay.klaviyo.client import Body, KlaviyoClient
from relay.klaviyo.consent import fresh_channels, standing
from relay.klaviyo.lists import lists_of
from relay.klaviyo.subscriptions import Job, Wish, may_unsubscribe, subscribe_body, unsubscribe_body
from relay.model import Reason, SubscriptionChange
from relay.store.rows import Claimed


class Subscriptions:
    """Changes the subscriptions of one site's account."""

    def __init__(self, site: Site, client: KlaviyoClient, clock: Clock) -> None:
        self._site = site
        self._clock = clock
        self._client = client

    async def subscribe(self, batch: Sequence[Claimed]) -> list[Sent]:
        """Subscribe those whose opt-in is newer than their last word to Klaviyo. Needs ``profiles:read``."""
        known = await members.find_addresses(self._client, batch)
        sent = dict(known.unasked)
        wishes: dict[int, Wish] = {}
        for index, delivery in enumerate(batch):
            if index in sent:
                continue
            whom, change = recipient(delivery), _change(delivery)
            profiles = known.found.get(index, [])
            if not profiles and not self._site.create_profiles:
                sent[index] = skipped(Reason.CREATION_DISABLED)
            elif channels := fresh_channels(standing(profiles, whom), change):
                wishes[index] = (whom, msgspec.structs.replace(change, channels=channels))
            else:
                sent[index] = skipped(Reason.STALE_OPT_IN)
        return await self._send(batch, wishes, sent, subscribe_body, self._client.subscribe)

    async def unsubscribe(self, batch: Sequence[Claimed]) -> list[Sent]:
        """Unsubscribe from a list those who are on it, from everything those who asked for that."""
        sent: dict[int, Sent] = {}
        from_list = [index for index, delivery in enumerate(batch) if _change(delivery).list_id is not None]
        if from_list:
            known = await members.find(self._client, [batch[index] for index in from_list])
            for place, index in enumerate(from_list):
                if place in known.unasked:
                    sent[index] = known.unasked[place]
                elif place not in known.found:
                    sent[index] = skipped(Reason.NOT_A_MEMBER)
                elif (stopped := await self._may_leave(known.found[place][0].klaviyo_id, batch[index])) is not None:
                    sent[index] = stopped
        wishes = {index: (recipient(d), _change(d)) for index, d in enumerate(batch) if index not in sent}
        return await self._send(batch, wishes, sent, unsubscribe_body, self._client.unsubscribe)

    async def _may_leave(self, klaviyo_id: str, delivery: Claimed) -> Sent | None:
        """None when they are on the list; with another one Klaviyo would unsubscribe them from everything."""
        answer = await self._client.lists_of(klaviyo_id)
        if answer.status == 403 or not answer.was_sent:
            # Behind those who leave everything: they need no leave to read lists.
            return Sent(answer=answer, outcome=WaitUntil(self._clock.now() + PAUSE_SECONDS))
        if not answer.is_good:
            return Sent(answer=answer)
        try:
            lists = lists_of(answer.document)
        except ValueError:
            return Sent(answer=Answer(status=None, error="unreadable"))
        return None if may_unsubscribe(lists, _change(delivery)) else skipped(Reason.NOT_A_MEMBER)

    async def _send(
        self,
        batch: Sequence[Claimed],
        wishes: dict[int, Wish],
        sent: dict[int, Sent],
        body_of: Callable[[Sequence[Wish]], Job],
        call: Callable[[Body], Awaitable[Answer]],
    ) -> list[Sent]:
        """Call after call until every wish has been in one, or can be in none."""
        sent = dict(sent)
        left = list(wishes)
        while left:
            job = body_of([wishes[index] for index in left])
            sent |= {left[place]: skipped(reason) for place, reason in job.left_out.items()}
            if job.body is not None:
                answer = await call(job.body)
                sent |= await self._ended(job, left, wishes, answer, body_of, call)
            after = [index for index in left if index not in sent]
            if len(after) == len(left):  # a job that takes nobody: never without end
                sent |= dict.fromkeys(after, Sent(answer=NOT_SENT))
            left = [index for index in after if index not in sent]
        return [sent[index] for index in range(len(batch))]

    async def _ended(
        self,
        job: Job,
        left: Sequence[int],
        wishes: dict[int, Wish],
        answer: Answer,
        body_of: Callable[[Sequence[Wish]], Job],
        call: Callable[[Body], Awaitable[Answer]],
    ) -> dict[int, Sent]:
        """How those ended that were in the call. One that Klaviyo does not take keeps back none of the others."""
        taken = [left[place] for place, where in enumerate(job.places) if where is not None]
        pointed = {left[place] for place in job.pointed(answer.pointers)}
        sent = {index: Sent(answer=answer) for index in taken}
        rest = [index for index in taken if index not in pointed]
        if answer.status is not None and 400 <= answer.status < 500 and pointed and rest:
            again = body_of([wishes[index] for index in rest])
            if again.body is not None:
                sent |= await self._ended(again, rest, wishes, await call(again.body), body_of, call)
        return sent


def _change(delivery: Claimed) -> SubscriptionChange:
    return msgspec.json.decode(delivery.payload or "{}", type=SubscriptionChange)
