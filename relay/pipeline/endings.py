"""Where a browser's ties end: a sign-out holds from when it was said, in all jars of the browser."""

from collections.abc import Sequence

from relay.config import Site
from relay.delivery.states import State
from relay.identity.resolve import Link, is_strong
from relay.model import Reason
from relay.pipeline import whose
from relay.store.base import Transaction
from relay.store.links import SIGNED_OUT


def sign_out(tx: Transaction, site: Site, visitor_id: str, *, at: float, now: float) -> Sequence[Link]:
    """End the visitor's links; returns those there were. What other jars of this browser say from before counts for
    nothing from now on, neither here nor there (``whose``).

    What still waits there was done by one of those who had signed in, and now nobody can say by whom: the next person
    in this browser must not get it.
    """
    links = tx.graph.links(site.site_id, visitor_id)
    known = [*links, *(link for other in whose.neighbours(tx, site.site_id, visitor_id, at) for link in other.links)]
    tx.graph.untie(site.site_id, visitor_id, at=at, reason=SIGNED_OUT)
    tx.sketches.forget(site.site_id, visitors=[visitor_id])
    if any(is_strong(link) for link in known):
        for delivery in tx.outbox.unsent(site.site_id, visitors=[visitor_id]):
            if delivery.state is State.WAITING and delivery.person_id is None and delivery.occurred_at <= at:
                tx.outbox.suppress(delivery, Reason.SHARED_DEVICE, at=now)
    return links
