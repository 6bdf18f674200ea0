"""Erasure: rows and links go, a keyed hash stays against resurrection, Klaviyo is asked to erase too."""

import logging
import math
import uuid
from collections.abc import Collection, Iterator, Sequence
from functools import partial

from msgspec import Struct

from relay import subject
from relay.config import Site
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.model import DeliveryKind, Reason
from relay.store.base import Store, Transaction
from relay.store.retention import scrub_erased
from relay.store.rows import Draft
from relay.subject import Asker, Whom

log = logging.getLogger("relay.forget")

#: By what Klaviyo can be asked to erase a profile, the best first.
_ASKED_BY = (IdentifierKind.EMAIL, IdentifierKind.PHONE, IdentifierKind.KLAVIYO_ID)


class Erased(Struct, frozen=True):
    """What an erasure did: on how many sites the person was known, and for how many Klaviyo is asked to erase."""

    known: int
    asked: int

    def in_words(self) -> str:
        found = f"Erased on {self.known} site(s)." if self.known else "Nobody with this address was known here."
        return f"{found} Klaviyo is asked to erase the profile for {self.asked} site(s), as soon as the relay runs."


async def forget(store: Store, sites: Sequence[Site], whom: Whom, *, now: float, by: Asker = Asker.OPERATOR) -> Erased:
    """Erase a person on ``sites``. Raises ValueError when ``whom`` is a text and no e-mail address, or StoreError.

    What of theirs is in the journal and not processed yet goes as soon as it is (``store.retention``).
    """
    identifiers = subject.named(whom)
    known = asked = 0
    for site in sites:
        erasing = partial(_forget, site_id=site.site_id, named=identifiers, by=by, now=now)
        is_known, is_asked = await store.transact(erasing, site.site_id)
        known += is_known
        asked += is_asked
        await scrub_erased(store, site.site_id, now)
    log.info("a person was erased", extra={"reason": by})
    return Erased(known=known, asked=asked)


def _forget(tx: Transaction, site_id: str, named: Collection[Identifier], by: Asker, now: float) -> tuple[bool, bool]:
    """Erase from the state; whether the person was known, and whether Klaviyo is asked about them."""
    found = subject.find(tx, site_id, named)
    counts = {
        "identifiers": len(tx.holdings.identifiers(site_id, found.persons)),
        "links": len(tx.holdings.links(site_id, found.persons)),
        "deliveries": 0,
        "events": 0,
    }
    tenures = {each.visitor_id: each for each in found.tenures}
    visitors = list(dict.fromkeys([*found.visitors, *tenures]))
    for person_id in found.persons or (None,):
        for delivery in tx.outbox.unsent(site_id, visitors=visitors, person_id=person_id, and_gone=True):
            # What is nobody's in a browser of theirs, as it stands now or stood when it was done, may be theirs.
            visitor = delivery.visitor_id
            is_in_theirs = visitor in found.visitors or (
                visitor in tenures and tenures[visitor].covers(delivery.occurred_at)
            )
            if delivery.person_id in found.persons or (delivery.person_id is None and is_in_theirs):
                tx.outbox.suppress(delivery, Reason.FORGOTTEN, at=now)
                if person_id is not None:
                    tx.outbox.erase_after(delivery, found.persons[0])
                counts["deliveries"] += 1
    counts["events"] = tx.ledger.erase_events(site_id, tenures=found.tenures, person_ids=found.persons)
    for person_id in found.persons:
        tx.graph.forget(site_id, person_id)
    tx.privacy.remember_erasure(site_id, [(each.kind, each.value) for each in found.identifiers], at=now)
    tx.privacy.plan_scrub(site_id, found.marks, erased_at=now)
    for tenure in found.tenures:
        if tenure.since == -math.inf:
            # What comes late from before somebody else was there may not be forgotten with this person.
            gone = [("visitor", tenure.visitor_id)]
            tx.privacy.remember_erasure(site_id, gone, at=min(now, tenure.until))
        tx.traces.forget(site_id, tenure)
    tx.sketches.forget(site_id, visitors=found.visitors, persons=found.persons)
    first_person = next(iter(found.persons), None)
    requests = list(_requests(site_id, found.identifiers, first_person, now))
    for request in requests:
        tx.outbox.add(request)
    first = next(iter(named))
    tx.privacy.note(site_id, "erasure", by=by, subject=(first.kind, first.value), counts=counts, at=now)
    return bool(found.persons), bool(requests)


def _requests(site_id: str, identifiers: Collection[Identifier], person_id: str | None, now: float) -> Iterator[Draft]:
    """What Klaviyo is asked: to erase the profile of every address, else of every number, else its own."""
    for kind in _ASKED_BY:
        values = sorted(each.value for each in identifiers if each.kind is kind)
        for value in values:
            yield Draft.errand(
                DeliveryKind.DELETION,
                site_id=site_id,
                unique_id=f"backflow:deletion:{uuid.uuid4().hex}",
                reason=Reason.FORGOTTEN,
                payload=value if kind is IdentifierKind.EMAIL else f"{kind}:{value}",
                occurred_at=now,
                now=now,
                person_id=person_id,
            )
        if values:
            return
