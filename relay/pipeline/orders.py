"""Whose order it was: a refund names its order alone, and is for whoever had placed that."""

from relay.identity.evidence import Evidence, Recognition
from relay.identity.resolve import Link, Resolution, proven
from relay.klaviyo import mapping
from relay.model import Commerce, Kind, Trust
from relay.pipeline.work import Work


def customer_of(work: Work) -> Resolution | None:
    """The customer of the order that a server's refund or cancellation is about; None where that is not known here."""
    commerce, site_id = work.commerce, work.site.site_id
    if work.entry.trust is not Trust.SERVER or commerce.kind not in (Kind.ORDER_REFUNDED, Kind.ORDER_CANCELLED):
        return None
    if work.resolution.person_id is not None or commerce.order is None or commerce.order.order_id is None:
        return None
    placed = Commerce(kind=Kind.ORDER_COMPLETED, name=Kind.ORDER_COMPLETED, order=commerce.order)
    unique_id = mapping.unique_id(mapping.actions(placed)[0], "", placed)
    found = work.tx.outbox.person_of(site_id, unique_id, told_by=Trust.SERVER)
    if found is None:
        return None
    person_id = work.tx.graph.canonical(site_id, found)
    if not work.tx.graph.is_sendable(site_id, person_id):
        return None
    at, message_id = work.message.occurred_at, work.message.message_id
    placed_by = Link(
        person_id=person_id, evidence=Evidence.ORDER, first_at=at, last_at=at, message_id=message_id, sendable=True
    )
    return proven(placed_by, Recognition.DIRECT)
