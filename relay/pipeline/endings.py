"""Where a browser's ties end, and where none may be made: sign-outs, refusals and Global Privacy Control.

| said by the browser | what was known of it                | what the shop's server says of it meanwhile          |
|---------------------|-------------------------------------|------------------------------------------------------|
| a sign-out          | ends, in all jars of this browser   | ties it anew: a login, an order                      |
| a refusal           | likewise, and nothing that was done | ties nothing until the browser says something else:  |
|                     | before is forwarded                 | the server does not know of the refusal              |
| GPC                 | stays, and is not used meanwhile    | likewise                                             |

Each holds from when it was said, however late and often it arrives: whoever gives a sign afterwards has given it.
"""

from collections.abc import Sequence

from relay.config import Site
from relay.delivery.states import State
from relay.identity.resolve import Link, is_strong
from relay.model import DeliveryKind, Reason
from relay.pipeline import whose
from relay.store.base import Transaction
from relay.store.links import CONSENT_WITHDRAWN, OPTED_OUT, SIGNED_OUT

#: What a withdrawn consent does not stop: it is what the shopper wants then.
WITHDRAWALS = (DeliveryKind.UNSUBSCRIBE, DeliveryKind.LIST_REMOVE)


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


def refuse(tx: Transaction, site: Site, visitor_id: str, *, is_own: bool, at: float, now: float) -> None:
    """The shopper has refused at ``at``: untie this browser, and stop what was done in it before, in all of its jars.
    A refusal that is repeated, or outdone by a later one, changes nothing. ``is_own``: the browser itself has said it,
    and its word stands against what a server says later."""
    refused_at = tx.graph.endings(site.site_id, visitor_id).get(CONSENT_WITHDRAWN)
    if refused_at is not None and refused_at >= at:
        return
    jars = [visitor_id, *whose.others(tx, site.site_id, visitor_id)]
    for jar in jars:
        if is_own:
            tx.graph.mark(site.site_id, jar, at=at, reason=OPTED_OUT)
        tx.graph.untie(site.site_id, jar, at=at, reason=CONSENT_WITHDRAWN)
    tx.sketches.forget(site.site_id, visitors=jars)
    for delivery in tx.outbox.unsent(site.site_id, visitors=jars, and_gone=True):
        if delivery.kind not in WITHDRAWALS and delivery.occurred_at <= at:
            tx.outbox.suppress(delivery, Reason.CONSENT_WITHDRAWN, at=now)


def hear(tx: Transaction, site: Site, visitor_id: str, *, is_opted_out: bool, at: float) -> float | None:
    """Note whether the browser says at ``at`` that it is to be left alone, or no longer; when it last refused, or
    None."""
    said = tx.graph.endings(site.site_id, visitor_id)
    if is_opted_out:
        tx.graph.mark(site.site_id, visitor_id, at=at, reason=OPTED_OUT)
    elif OPTED_OUT in said and said[OPTED_OUT] < at:
        tx.graph.unmark(site.site_id, visitor_id, reason=OPTED_OUT)
    return said.get(CONSENT_WITHDRAWN)


def is_left_alone(tx: Transaction, site: Site, visitor_id: str) -> bool:
    """Whether the browser's own last word was GPC or a refusal: then nobody else's word ties it."""
    return OPTED_OUT in tx.graph.endings(site.site_id, visitor_id)
