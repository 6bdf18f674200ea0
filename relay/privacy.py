"""Carries out what shops ask on behalf of their customers: Shopify's ``customers/redact`` and ``shop/redact``.

A request is a row that the processor has committed, so whoever dies in between takes nothing along: it is done by the
next process that works for the site, and doing it twice changes nothing. ``customers/data_request`` is for the operator
to answer: it stays open, ``relay doctor`` names it.
"""

import asyncio
import logging
from functools import partial

from relay.clock import Clock
from relay.config import Site
from relay.errors import StoreError
from relay.forget import forget
from relay.identity.identifiers import Identifier, IdentifierKind, normal_customer_id, normal_email, normal_phone
from relay.store.base import Store, Transaction
from relay.store.requests import Request, Subject, Topic
from relay.subject import Asker

log = logging.getLogger("relay.privacy")

#: How often open requests are looked at. Shopify gives 30 days.
EVERY_SECONDS = 30.0
#: A request for data that nobody has closed is over after Shopify's 30 days: what it names must not stay for ever.
TELL_SECONDS = 30 * 86400.0


async def carry_out(store: Store, site: Site, *, now: float) -> int:
    """Carry out what is open and can be; how many requests. Raises StoreError."""
    site_id = site.site_id
    requests = await store.read(lambda tx: tx.requests.open(site_id))
    n = 0
    for request in requests:
        if request.topic is Topic.TELL_CUSTOMER:
            continue
        if await _carry_out(store, site, request, now=now):
            await store.transact(partial(_close, request=request, at=now), site_id)
            log.info("a shop's request was carried out", extra={"site": site_id, "reason": request.topic.value})
            n += 1
    if any(r.topic is Topic.TELL_CUSTOMER and r.received_at < now - TELL_SECONDS for r in requests):
        await store.transact(
            lambda tx: tx.requests.close_old(site_id, Topic.TELL_CUSTOMER, received_before=now - TELL_SECONDS, at=now),
            site_id,
        )
    return n


async def run(store: Store, site: Site, clock: Clock) -> None:
    """Carry out requests until cancelled."""
    while True:
        try:
            await carry_out(store, site, now=clock.now())
        except StoreError:
            log.error("a shop's request waits for the database", extra={"site": site.site_id})
        await clock.wait(asyncio.Event(), EVERY_SECONDS)


def _close(tx: Transaction, *, request: Request, at: float) -> None:
    tx.requests.close(request.site_id, request.request_id, at=at)


async def _carry_out(store: Store, site: Site, request: Request, *, now: float) -> bool:
    """Whether the request is done; what is not stays open."""
    if request.topic is Topic.REDACT_SHOP:
        is_done = await store.transact(lambda tx: tx.requests.erase_site(site.site_id), site.site_id)
        position = await store.read(lambda tx: tx.ledger.position(site.site_id))
        await store.trim(site.site_id, position, float("inf"))
        return is_done
    return await _erase(store, site, request.subject, now=now)


async def _erase(store: Store, site: Site, subject: Subject, *, now: float) -> bool:
    """Erase the customer under everything they are named by. Nothing that names anybody cannot be carried out."""
    named = _identifiers(subject, site)
    if named:
        await forget(store, [site], named, now=now, by=Asker.SHOPIFY)
    return bool(named)


def _identifiers(subject: Subject, site: Site) -> list[Identifier]:
    values = {
        IdentifierKind.EMAIL: normal_email(subject.email or ""),
        IdentifierKind.PHONE: normal_phone(subject.phone or "", site.country),
        IdentifierKind.CUSTOMER_ID: normal_customer_id(subject.customer_id or ""),
    }
    return [Identifier(kind, value) for kind, value in values.items() if value]
