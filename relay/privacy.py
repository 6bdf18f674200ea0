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
from relay.identity.identifiers import Identifier, IdentifierKind, normal_customer_id, normal_email
from relay.store.base import Store, Transaction
from relay.store.requests import Request, Subject, Topic

log = logging.getLogger("relay.privacy")

#: How often open requests are looked at. Shopify gives 30 days.
EVERY_SECONDS = 30.0
#: A request for data that nobody has closed is over after Shopify's 30 days: what it names must not stay for ever.
TELL_SECONDS = 30 * 86400.0


async def carry_out(store: Store, site: Site, *, secret: str, now: float) -> int:
    """Carry out what is open and can be; how many requests. Raises StoreError."""
    site_id = site.site_id
    requests = await store.read(lambda tx: tx.requests.open(site_id))
    n = 0
    for request in requests:
        if request.topic is Topic.TELL_CUSTOMER:
            continue
        if await _carry_out(store, site, request, secret=secret, now=now):
            await store.transact(partial(_close, request=request, at=now), site_id)
            log.info("a shop's request was carried out", extra={"site": site_id, "reason": request.topic.value})
            n += 1
    if any(r.topic is Topic.TELL_CUSTOMER and r.received_at < now - TELL_SECONDS for r in requests):
        await store.transact(
            lambda tx: tx.requests.close_old(site_id, Topic.TELL_CUSTOMER, received_before=now - TELL_SECONDS, at=now),
            site_id,
        )
    return n


async def run(store: Store, site: Site, clock: Clock, *, secret: str) -> None:
    """Carry out requests until cancelled."""
    while True:
        try:
            await carry_out(store, site, secret=secret, now=clock.now())
        except StoreError:
            log.error("a shop's request waits for the database", extra={"site": site.site_id})
        await clock.wait(asyncio.Event(), EVERY_SECONDS)


def _close(tx: Transaction, *, request: Request, at: float) -> None:
    tx.requests.close(request.site_id, request.request_id, at=at)


async def _carry_out(store: Store, site: Site, request: Request, *, secret: str, now: float) -> bool:
    """Whether the request is done; what is not stays open."""
    if request.topic is Topic.REDACT_SHOP:
        is_done = await store.transact(lambda tx: tx.requests.erase_site(site.site_id), site.site_id)
        position = await store.read(lambda tx: tx.ledger.position(site.site_id))
        await store.trim(site.site_id, position, float("inf"))
        return is_done
    return await _erase(store, site, request.subject, secret=secret, now=now)


async def _erase(store: Store, site: Site, subject: Subject, *, secret: str, now: float) -> bool:
    """Erase the customer under every address that is known of them. Without one nothing can be erased by address."""
    addresses = await store.read(lambda tx: _addresses(tx, site, subject))
    for address in addresses:
        await forget(store, [site], address, secret=secret, now=now)
    return bool(addresses)


def _addresses(tx: Transaction, site: Site, subject: Subject) -> list[str]:
    named = normal_email(subject.email or "")
    found = [named] if named else []
    customer_id = normal_customer_id(subject.customer_id or "")
    if customer_id is not None:
        identifier = Identifier(IdentifierKind.CUSTOMER_ID, customer_id)
        if (owner := tx.graph.owners(site.site_id, [identifier]).get(identifier)) is not None:
            every = tx.graph.identifiers_of(site.site_id, owner.person_id)
            found += [each.value for each in every if each.kind is IdentifierKind.EMAIL]
    return list(dict.fromkeys(found))
