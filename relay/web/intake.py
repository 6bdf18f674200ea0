"""The way into the journal that every route shares: what it answers with a 2xx is on disk."""

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from relay.clock import Clock
from relay.config import Site
from relay.errors import RequestRefused, StoreBusy, StoreError
from relay.identity.cookie import VisitorTokens
from relay.observe import describe
from relay.pipeline.parse import EARLIEST, Received
from relay.store.base import Store
from relay.store.rows import Entry

log = logging.getLogger("relay.collect")

RETRY_AFTER_SECONDS = 5


class Intake:
    """What a route that takes messages in stands on: the sites, who their visitors are, the time, and the journal."""

    def __init__(
        self,
        sites: Sequence[Site],
        secret_keys: Sequence[str],
        store: Store,
        clock: Clock,
        journal_rings: Callable[[str], None],
    ) -> None:
        """``journal_rings`` wakes the processor of a site. ``secret_keys`` sign, newest first."""
        self.sites = sites
        self.secret_keys = secret_keys
        self.store = store
        self.clock = clock
        self.visitors = {site.site_id: VisitorTokens(secret_keys, site.site_id, clock) for site in sites}
        self._journal_rings = journal_rings

    async def keep(self, *entries: Entry) -> None:
        """Commit what came in one request to one site, then wake its processor.

        Raises RequestRefused (503) when it cannot be kept now.
        """
        try:
            await self.store.append(*entries)
        except StoreError as error:
            raise unavailable(error) from None
        self._journal_rings(entries[0].site_id)


def unavailable(error: StoreError) -> RequestRefused:
    """The answer (503) when the database does not do what was asked; the log says why, under the ID in the answer."""
    code = "busy" if isinstance(error, StoreBusy) else "unavailable"
    refused = RequestRefused(503, code, "cannot be kept now", retry_after=RETRY_AFTER_SECONDS)
    log.error("a request could not be kept", extra={"problem": describe(error), "request_id": refused.request_id})
    return refused


def received(message: Mapping[str, Any], at: float) -> Received:
    """A message of the relay's own making in the form the journal holds; ``at`` in epoch seconds."""
    body = Raw(msgspec.json.encode({name: value for name, value in message.items() if name != "messageId"}))
    message_id = message.get("messageId") or str(uuid.uuid4())
    return Received(message["type"], message_id, max(at, EARLIEST), body)
