"""Keeping house: waiting events that found nobody expire, old rows are deleted."""

import asyncio
import logging

from relay.clock import Clock
from relay.config import Site
from relay.errors import StoreError
from relay.store.base import Store
from relay.store.sketches import SKETCH_SECONDS

log = logging.getLogger("relay.retention")

DAY = 86400.0
#: Processed journal rows are kept this long, so that a mended rule can be replayed.
JOURNAL_SECONDS = 7 * 86400.0
#: Events and their settled deliveries are kept this long.
EVENT_SECONDS = 90 * 86400.0
#: As long as browsers keep a cookie. A click that has gone round must be known as such when it comes again.
TRACE_SECONDS = 400 * DAY
#: How often the house is kept.
EVERY_SECONDS = 600.0


async def keep_house(store: Store, site: Site, now: float) -> None:
    """Expire and delete once. Raises StoreError."""
    site_id = site.site_id
    expired = await store.transact(
        lambda tx: tx.outbox.expire(site_id, occurred_before=now - site.waiting_seconds, at=now), site_id
    )
    deleted = await store.transact(
        lambda tx: tx.ledger.delete_events(site_id, received_before=now - EVENT_SECONDS), site_id
    )
    position = await store.read(lambda tx: tx.ledger.position(site_id))
    trimmed = await store.trim(site_id, position, now - JOURNAL_SECONDS)
    await store.transact(lambda tx: tx.ledger.delete_failures(site_id, failed_before=now - JOURNAL_SECONDS), site_id)
    await store.transact(
        lambda tx: tx.traces.delete(site_id, seen_before=now - TRACE_SECONDS, claimed_before=now - DAY), site_id
    )
    await store.transact(lambda tx: tx.sketches.delete(site_id, seen_before=now - SKETCH_SECONDS), site_id)
    if expired or deleted or trimmed:
        log.info("kept house", extra={"site": site_id, "expired": expired, "deleted": deleted + trimmed})


async def run(store: Store, site: Site, clock: Clock) -> None:
    """Keep house until cancelled."""
    while True:
        try:
            await keep_house(store, site, clock.now())
        except StoreError:
            log.error("house could not be kept", extra={"site": site.site_id})
        await clock.wait(asyncio.Event(), EVERY_SECONDS)
