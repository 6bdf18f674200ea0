"""Whose ``_kx`` is this? Klaviyo is asked once; its answer goes back through the journal as a server's evidence."""

import asyncio

import msgspec
from msgspec import Raw

from relay.clock import Clock
from relay.config import Site
from relay.delivery.pace import Traffic
from relay.delivery.policy import Skipped
from relay.delivery.sent import Sent
from relay.klaviyo.answer import Answer, found
from relay.klaviyo.client import KlaviyoClient
from relay.klaviyo.endpoints import Endpoint
from relay.model import Reason, Trust
from relay.pipeline.parse import Received
from relay.store.base import Store
from relay.store.rows import Claimed, Entry


class Lookups:
    """Asks for one site."""

    def __init__(
        self,
        site: Site,
        client: KlaviyoClient,
        traffic: Traffic,
        store: Store,
        clock: Clock,
        journal_rings: asyncio.Event,
    ) -> None:
        self._site = site
        self._client = client
        self._traffic = traffic
        self._store = store
        self._clock = clock
        self._journal_rings = journal_rings

    async def send(self, delivery: Claimed) -> Sent:
        """Ask, and report the answer. Raises StoreError when it cannot be kept: then it is asked again.

        Without the scope to read profiles nothing waits: the processor is told, and takes the ``_kx`` itself.
        """
        if self._traffic.lacks_scope(Endpoint.GET_PROFILES):
            answer = Answer(status=403, scope="profiles:read", was_sent=False)
        else:
            answer = await self._client.look_up(delivery.payload or "")
        if answer.is_good or answer.status == 403:
            await self._report(delivery, answer)
        return Sent(answer=answer, outcome=Skipped(Reason.NO_READ_SCOPE) if answer.status == 403 else None)

    async def _report(self, delivery: Claimed, answer: Answer) -> None:
        """Before the settling: a crash in between asks and answers once more, and the answer is a duplicate. It counts
        as said when the link was followed: an erasure since then holds against it.
        """
        profile = found(answer)
        outcome = "unavailable" if answer.status == 403 else "unknown" if profile is None else "found"
        traits = {"outcome": outcome, "kx": delivery.payload}
        if profile is not None:
            traits |= {"klaviyo_id": profile.klaviyo_id}
            traits |= {"email": profile.email} if profile.email else {}
            traits |= {"phone": profile.phone_number} if profile.phone_number else {}
        body = Raw(msgspec.json.encode({"traits": traits}))
        message = Received("identify", f"lookup:{delivery.delivery_id}:{outcome}", delivery.occurred_at, body)
        entry = Entry(
            site_id=self._site.site_id, received_at=self._clock.now(), trust=Trust.KLAVIYO, messages=[message]
        )
        await self._store.append(entry)
        self._journal_rings.set()
