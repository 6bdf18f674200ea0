"""Klaviyo's own integration with Shopify, which hears of checkouts from the shop's server, whatever any script saw.

| Shopify's checkout, by webhook or custom pixel | what becomes of it                                                  |
|------------------------------------------------|---------------------------------------------------------------------|
| has an address                                 | suppressed, ``native``: the integration starts the flow             |
| has none yet                                   | decided as every event is: the integration does not hear of it      |
| gets one later                                 | suppressed if it has not left, ``native_replayed``                  |

Nothing says from outside whether a shop has the integration. Most have, so it is taken for granted, and nobody gets two
e-mails; a shop without it says so by ``RELAY_FORWARD=all``.
"""

from relay.config import Forward
from relay.identity import traces
from relay.identity.resolve import SESSION_SECONDS
from relay.identity.traces import RULES, TraceKind
from relay.model import Commerce, DeliveryKind, Kind, Message, Reason
from relay.pipeline.work import End, Work

#: What stands in ``context.capture`` where Shopify's own checkout was seen: by ``shopify_webhooks``, and by
#: static/shopify-pixel.js, which nothing but Shopify runs.
_SEEN_BY = frozenset({"shopify_webhook", "shopify_pixel"})


def tells(message: Message, commerce: Commerce) -> bool:
    """Whether the integration makes an event of this itself."""
    return commerce.kind is Kind.CHECKOUT_STARTED and _has_address(message, commerce)


def hear_integration(work: Work) -> End | None:
    """A checkout has got an address: the integration has it, also where it was seen before without one."""
    is_about_it = work.commerce.kind in (Kind.IDENTIFY, Kind.CHECKOUT_STARTED)
    if work.site.forward is Forward.ALL or not is_about_it or not _has_address(work.message, work.commerce):
        return None
    at = work.message.occurred_at
    for delivery in work.tx.outbox.unsent(work.site.site_id, visitors=_visitors(work), and_gone=True):
        is_checkout = delivery.kind is DeliveryKind.EVENT and delivery.commerce_kind == Kind.CHECKOUT_STARTED
        if is_checkout and 0 <= at - delivery.occurred_at <= SESSION_SECONDS:
            work.tx.outbox.suppress(delivery, Reason.NATIVE_REPLAYED, at=work.now)
    return None


def _has_address(message: Message, commerce: Commerce) -> bool:
    seen_by = message.context.get("capture")
    is_shopifys = isinstance(seen_by, list) and any(isinstance(one, str) and one in _SEEN_BY for one in seen_by)
    return is_shopifys and bool(commerce.email or commerce.phone)


def _visitors(work: Work) -> list[str]:
    """Whose checkout it is: the visitor, and whom the checkout's token was seen at. A pixel may have no cookie to send,
    and is another visitor each time then."""
    found = [work.entry.visitor_id] if work.entry.visitor_id else []
    for trace in traces.traces(work.message.context, work.commerce, work.entry.trust):
        if trace.kind is TraceKind.CHECKOUT:
            jars = work.tx.traces.jars(work.site.site_id, trace)
            found += [jar.visitor_id for jar in jars] if len(jars) <= RULES[trace.kind].most_jars else []
    return list(dict.fromkeys(found))
