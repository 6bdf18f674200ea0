"""Erasure: rows and links go, a keyed hash stays against resurrection, Klaviyo is asked to erase too."""

import logging
import uuid
from collections.abc import Sequence
from functools import partial

from msgspec import Struct

from relay.config import Site
from relay.identity.identifiers import Identifier, IdentifierKind, normal_email
from relay.model import DeliveryKind, Reason
from relay.pipeline.attribute import forgetting_hash
from relay.store.base import Store, Transaction
from relay.store.rows import Draft

log = logging.getLogger("relay.forget")


class Erased(Struct, frozen=True):
    """What an erasure did: on how many sites the person was known, and how many were asked to erase at Klaviyo."""

    known: int
    asked: int

    def in_words(self) -> str:
        found = f"Erased on {self.known} site(s)." if self.known else "Nobody with this address was known here."
        return f"{found} Klaviyo is asked to erase the profile for {self.asked} site(s), as soon as the relay runs."


async def forget(store: Store, sites: Sequence[Site], raw_email: str, *, secret: str, now: float) -> Erased:
    """Erase the person with this address on ``sites``. Raises ValueError when it is no e-mail address."""
    email = normal_email(raw_email)
    if email is None:
        raise ValueError("expected an e-mail address")
    known = 0
    for site in sites:
        erasing = partial(_forget, site=site, email=email, secret=secret, now=now)
        marks = await store.transact(erasing, site.site_id)
        known += bool(marks)
        for mark in {email, *marks}:
            await store.scrub(site.site_id, mark)
    log.info("a person was erased", extra={"reason": "operator"})
    return Erased(known=known, asked=len(sites))


def _forget(tx: Transaction, site: Site, email: str, secret: str, now: float) -> list[str]:
    """Erase from the state; what the person's rows in the journal are known by, nothing if the person is unknown."""
    marks: list[str] = []
    site_id, identifier = site.site_id, Identifier(IdentifierKind.EMAIL, email)
    owner = tx.graph.owners(site_id, [identifier]).get(identifier)
    erased = {identifier}
    if owner is not None:
        erased |= set(tx.graph.identifiers_of(site_id, owner.person_id))
        visitors = tx.graph.visitors_of(site_id, owner.person_id)
        # On a shared device what is proven to be another person's stays theirs.
        own = [v for v in visitors if all(link.person_id == owner.person_id for link in tx.graph.links(site_id, v))]
        marks = [mark for each in erased for mark in _marks(each)] + [f'"visitor_id":"{v}"' for v in own]
        members = tx.graph.members(site_id, owner.person_id)
        for delivery in tx.outbox.unsent(site_id, visitors=visitors, person_id=owner.person_id, and_sending=True):
            if delivery.person_id is None or delivery.person_id in members:
                tx.outbox.suppress(delivery, Reason.FORGOTTEN, at=now)
                tx.outbox.erase_after(delivery, owner.person_id)
        tx.ledger.erase_events(site_id, visitors=own, person_ids=members)
    hashes = [forgetting_hash(secret, each) for each in erased]
    tx.graph.forget(site_id, owner.person_id if owner else "", hashes, at=now)
    tx.outbox.add(
        Draft.errand(
            DeliveryKind.DELETION,
            site_id=site_id,
            unique_id=f"backflow:deletion:{uuid.uuid4().hex}",
            reason=Reason.FORGOTTEN,
            payload=email,
            occurred_at=now,
            now=now,
            person_id=owner.person_id if owner else None,
        )
    )
    return marks


def _marks(identifier: Identifier) -> list[str]:
    """How an identifier stands in a journal row, in lower case. An ID alone may be as short as a price."""
    value = identifier.value.lower()
    if identifier.kind is IdentifierKind.CUSTOMER_ID:
        return [f'"userid":{space}"{value}"' for space in ("", " ")]
    return [value]
