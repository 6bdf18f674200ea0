"""Keeping house: waiting events that found nobody expire, old rows are deleted."""

import asyncio
import logging
from functools import partial

from relay.clock import Clock
from relay.config import Site
from relay.errors import StoreError
from relay.store.base import Store, Transaction
from relay.store.sketches import SKETCH_SECONDS

log = logging.getLogger("relay.retention")

DAY = 86400.0
#: Processed journal rows are kept this long, so that a mended rule can be replayed.
JOURNAL_SECONDS = 7 * 86400.0
#: Events and their settled deliveries are kept this long.
EVENT_SECONDS = 90 * 86400.0
#: As long as browsers keep a cookie. A click that has gone round must be known as such when it comes again.
TRACE_SECONDS = 400 * DAY
#: A request that was received before an erasure is in the journal after this at the latest.
SETTLING_SECONDS = 60.0
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
    await store.transact(lambda tx: tx.graph.delete_folded(site_id, folded_before=now - EVENT_SECONDS), site_id)
    position = await store.read(lambda tx: tx.ledger.position(site_id))
    scrubbed = await scrub_erased(store, site_id, now)
    trimmed = await store.trim(site_id, position, now - JOURNAL_SECONDS)
    await store.transact(lambda tx: tx.ledger.delete_failures(site_id, failed_before=now - JOURNAL_SECONDS), site_id)
    await store.transact(
        lambda tx: tx.traces.delete(site_id, seen_before=now - TRACE_SECONDS, claimed_before=now - DAY), site_id
    )
    await store.transact(lambda tx: tx.sketches.delete(site_id, seen_before=now - SKETCH_SECONDS), site_id)
    if expired or deleted or trimmed or scrubbed:
        n = deleted + trimmed + scrubbed
        log.info("kept house", extra={"site": site_id, "expired": expired, "deleted": n})


async def scrub_erased(store: Store, site_id: str, now: float) -> int:
    """Delete the processed journal rows of those who were erased lately; how many. Raises StoreError.

    An erasure is done with once no row that came before it waits to be processed any more.
    """
    scrubs = await store.read(lambda tx: tx.privacy.scrubs(site_id))
    deleted = 0
    for scrub in scrubs:
        position = await store.read(lambda tx: tx.ledger.position(site_id))
        behind = await store.entries(site_id, position, 1)
        deleted += await store.scrub(site_id, scrub.marks)
        settled_at = scrub.erased_at + SETTLING_SECONDS
        if now >= settled_at and not any(row.entry.received_at <= settled_at for row in behind):
            await store.transact(partial(_end_scrub, site_id=site_id, reference=scrub.reference), site_id)
    return deleted


def _end_scrub(tx: Transaction, site_id: str, reference: str) -> None:
    tx.privacy.end_scrub(site_id, reference)


async def run(store: Store, site: Site, clock: Clock) -> None:
    """Keep house until cancelled."""
    while True:
        try:
            await keep_house(store, site, clock.now())
        except StoreError:
            log.error("house could not be kept", extra={"site": site.site_id})
        await clock.wait(asyncio.Event(), EVERY_SECONDS)
