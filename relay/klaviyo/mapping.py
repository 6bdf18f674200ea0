"""What: an event in canonical form becomes Klaviyo metrics, their unique IDs and the bodies of ``POST /api/events``.

Between decide and the client. Pure. Property names are the union of those that Klaviyo's guides, its own integrations
and the usual flow templates read, so that a cloned template renders from a backup event.
"""

from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from relay.config import OrderEvent, PageEvents
from relay.klaviyo import custom, properties
from relay.klaviyo.currencies import ISO_4217
from relay.klaviyo.limits import MAX_EVENT_BYTES, MAX_METRIC_NAME, OWN, Trimmer, clean, lighten, weight
from relay.klaviyo.profiles import narrow, profile_body, resource, rfc3339
from relay.model import Action, Commerce, Kind, Product, Proof, Recipient

__all__ = ["REVISION", "actions", "event_body", "narrow", "profile_body", "unique_id"]

#: The revision of Klaviyo's API that these bodies are written for; sent as the ``revision`` header.
REVISION = "2026-10-15"

#: One key for both names: the unique ID of an order stays the same when the site changes its mind.
_ORDERS = {
    OrderEvent.PLACED_ORDER: Action("placed_order", "Placed Order"),
    OrderEvent.ORDER_COMPLETED: Action("placed_order", "Order Completed"),
}
_ACTIONS = {
    Kind.PRODUCT_VIEWED: (Action("viewed_product", "Viewed Product"),),
    Kind.PRODUCT_ADDED: (Action("added_to_cart", "Added to Cart"),),
    Kind.PRODUCT_REMOVED: (Action("removed_from_cart", "Removed from Cart"),),
    Kind.CART_VIEWED: (Action("viewed_cart", "Viewed Cart"),),
    Kind.CHECKOUT_STARTED: (Action("started_checkout", "Started Checkout"),),
    Kind.PRODUCTS_SEARCHED: (Action("searched_site", "Searched Site"),),
    Kind.COLLECTION_VIEWED: (Action("viewed_collection", "Viewed Collection"),),
    Kind.ORDER_REFUNDED: (Action("refunded_order", "Refunded Order"),),
    Kind.ORDER_CANCELLED: (Action("cancelled_order", "Cancelled Order"),),
}
_PAGES = {
    PageEvents.OFF: (),
    PageEvents.ACTIVE_ON_SITE: (Action("active_on_site", "Active on Site"),),
    PageEvents.VIEWED_PAGE: (Action("viewed_page", "Viewed Page"),),
}
#: The names of metrics that the relay makes itself, without the suffix; every other name is a caller's own.
STANDARD_METRICS = frozenset(
    action.metric
    for several in (*_ACTIONS.values(), *_PAGES.values(), _ORDERS.values(), (Action("", "Ordered Product"),))
    for action in several
)
#: Longer unique IDs are folded into a digest: IDs of orders and products come from callers.
_LONGEST_ID = 200
#: Set on an event of which something had to be left out.
_MARK = "BackflowTrimmed"


def actions(
    commerce: Commerce,
    page_events: PageEvents = PageEvents.OFF,
    order_event: OrderEvent = OrderEvent.PLACED_ORDER,
) -> tuple[Action, ...]:
    """Return the metrics an event becomes: none for identify, group, alias and signing out, for a page what
    ``page_events`` says; an order becomes Placed Order, or what ``order_event`` says, and one Ordered Product per
    line."""
    if commerce.kind is Kind.ORDER_COMPLETED:
        keys = enumerate(_line_keys(commerce.items))
        return (_ORDERS[order_event], *(Action("ordered_product", "Ordered Product", line, key) for line, key in keys))
    if commerce.kind is Kind.PAGE:
        return _PAGES[page_events]
    if commerce.kind is Kind.OTHER:
        return (Action("custom", commerce.name),) if commerce.name else ()
    return _ACTIONS.get(commerce.kind, ())


def unique_id(action: Action, message_id: str, commerce: Commerce) -> str:
    """Return the ID by which Klaviyo recognises a repeated event, the same for every try.

    An order is known by its own ID, so that the browser's and the webhook's report of it count once, and so is its
    cancellation; a refund by its ID within the order, since there may be several; everything else by the message's.
    Lines of one order that share a product are told apart by their place.
    """
    order_id = commerce.order.order_id if commerce.order else None
    refund_id = commerce.order.refund_id if commerce.order else None
    if action.key in ("placed_order", "cancelled_order"):
        found = order_id or message_id
    elif action.key == "refunded_order" and refund_id:
        found = f"{order_id}:{refund_id}" if order_id else refund_id
    elif action.line is not None:
        item = action.item or _line_keys(commerce.items)[action.line]
        found = f"{order_id or message_id}:{item}"
    else:
        found = message_id
    result = clean(f"backflow:{action.key}:{found}")
    if len(result) > _LONGEST_ID:
        return f"backflow:{action.key}:{sha256(result.encode()).hexdigest()}"
    return result


def _line_keys(items: tuple[Product, ...]) -> list[str]:
    """Return what names each line within its order: its product, and from the second line of a product on its place
    too. A colon occurs only before the place, so that no product can be named like a repetition."""
    keys: list[str] = []
    seen: set[str] = set()
    for line, item in enumerate(items):
        key = (item.variant_id or item.product_id or item.sku or f"line-{line}").replace(":", "%3A")
        keys.append(f"{key}:{line}" if key in seen else key)
        seen.add(key)
    return keys


def metric_name(metric: str, suffix: str) -> str:
    """Return the metric's name with the site's suffix, the name cut so that Klaviyo takes it and the suffix stays.

    A name that ends with the suffix already (events that come back from Klaviyo) gets no second one.
    """
    if suffix:
        metric = metric.removesuffix(suffix)
    room = max(MAX_METRIC_NAME - len(suffix), 0)
    return clean((metric if len(metric) <= room else metric[:room].rstrip()) + suffix)


def bare_name(metric: str, suffix: str) -> str:
    """Return the metric's name as Klaviyo has it, without the suffix."""
    whole = metric_name(metric, suffix)
    return whole.removesuffix(suffix) if suffix else whole


def event_body(
    *,
    commerce: Commerce,
    action: Action,
    recipient: Recipient,
    proof: Proof,
    occurred_at: float,
    unique_id: str,
    suffix: str,
    backfill: bool,
    page_url: str | None,
    traits: bool = True,
    flatten: bool = False,
    link: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the whole body of ``POST /api/events``.

    ``occurred_at`` in Unix seconds; ``suffix`` is the site's metric suffix with its leading blank; ``page_url`` stands
    in for a viewed product's missing address; ``link`` is the profile's property with the person's own link token;
    without ``traits`` the profile only says who it is; ``flatten`` takes the caller's own objects apart. What is not
    known is absent, never null or empty. The caller's own properties travel along, within Klaviyo's limits, and never
    replace a mapped one; of an event that is too large the largest of them are left out first, then the largest mapped
    ones.

    Raises ValueError for a recipient without any identifier.
    """
    mapped = properties.of(commerce, action, page_url)
    mapped["BackflowReason"] = proof.reason.value
    mapped["BackflowEvidence"] = proof.evidence
    mapped["BackflowConfidence"] = proof.confidence
    own = custom.properties(commerce, action)
    if flatten:
        own = custom.flattened(own)
    attributes: dict[str, Any] = {
        "properties": Trimmer().properties(mapped, own, mark=_MARK),
        "unique_id": unique_id,
        "metric": {"data": {"type": "metric", "attributes": {"name": metric_name(action.metric, suffix)}}},
        "profile": {"data": resource(recipient, proof, traits=traits, flatten=flatten, link=link)},
    }
    if (time := rfc3339(occurred_at)) is not None:
        attributes["time"] = time
    value, currency = commerce.value, commerce.currency
    if action.line is not None:
        line = commerce.items[action.line]
        value, currency = line.row_total, properties.line_currency(commerce, line)
    if value is not None:
        attributes["value"] = value
        if currency in ISO_4217:
            attributes["value_currency"] = currency
    if backfill:
        attributes["backfill"] = True
    body = {"data": {"type": "event", "attributes": attributes}}
    if (excess := weight(body) - MAX_EVENT_BYTES) > 0:
        _lighten(attributes["properties"], own, excess)
    return body


def _lighten(held: dict[str, Any], own: dict[str, Any], excess: int) -> None:
    held[_MARK] = True
    excess = lighten(held, excess + len(_MARK) + 8, lambda name: name in own and not name.startswith(OWN))
    lighten(held, excess, lambda name: not name.startswith(OWN))
