"""Shopify's webhooks in Segment's words. Pure; the shapes are those of the REST resources Order, Checkout and Refund.

| topic                                   | becomes                                                              |
|-----------------------------------------|----------------------------------------------------------------------|
| ``orders/create``, ``orders/cancelled`` | ``Order Completed``, ``Order Cancelled``                             |
| ``refunds/create``                      | ``Order Refunded``, unless no money went back (an edited order)      |
| ``checkouts/create``, ``/update``       | an identify call of who gave an address, and one ``Checkout Started``|
| ``customers/merge``                     | an alias: the customer that is left, the ID that is gone; one person |
| ``{customers,shop}/redact``, ``customers/data_request`` | a request (see ``pipeline.requests``)                |
| every other                             | nothing, counted                                                     |

Who it was: the order's own e-mail address and phone, else the customer's. The customer's ID and names go along only
where the two addresses are one: whoever orders on somebody else's account, or for somebody, is not that person. What a
parcel is addressed to names nobody, and no buyer is subscribed by having ticked a box here: Klaviyo has that from the
shop.

Whose browser it was, say only the orders and checkouts of the online store: by the handle that the tag has put into the
cart, and by the tokens of cart and checkout. What staff enter, a point of sale, a draft, a subscription's next order or
another app's order may carry the attributes of an order of before, and the browser would be the shop's own.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from relay.model import DropReason
from relay.pipeline import values
from relay.pipeline.parse import REQUEST_TYPE
from relay.pipeline.shopify_resources import (
    Fields,
    address,
    buyer_of,
    contact,
    earliest,
    is_of_a_shopper,
    line_of,
    shop_money,
    sums,
    time_of,
    without_nothing,
)

#: The cart attribute in which the tag leaves the visitor's handle.
HANDLE_ATTRIBUTE = "_backflow"
_ORDERS = {"orders/create": "Order Completed", "orders/cancelled": "Order Cancelled"}
_CHECKOUTS = ("checkouts/create", "checkouts/update")
_REQUESTS = ("customers/redact", "customers/data_request", "shop/redact")


class Told(Struct, frozen=True, kw_only=True):
    """What a webhook tells: messages with the time of each (epoch seconds), or why there are none."""

    messages: tuple[tuple[dict[str, Any], float], ...] = ()
    drop: DropReason | None = None


def handle_of(topic: str, payload: Fields) -> str | None:
    """The handle in the cart that this order or checkout came from; None where it would not be the shopper's."""
    if (topic not in _ORDERS and topic not in _CHECKOUTS) or not is_of_a_shopper(payload):
        return None
    for attribute in values.rows(payload.get("note_attributes")) or ():
        if attribute.get("name") == HANDLE_ATTRIBUTE:
            return values.text(attribute.get("value"))
    return None


def needs_consent(topic: str) -> bool:
    """Whether what is told could start a flow. An order is the shop's own record: it ends flows, and ties nobody's
    browser without the handle."""
    return topic in _CHECKOUTS


def translate(
    topic: str,
    payload: Fields,
    *,
    webhook_id: str,
    now: float,
    is_visitor_known: bool = False,
    needs_signal: bool = False,
) -> Told:
    """What a webhook on ``topic`` tells, received at ``now``. ``webhook_id`` is the same when Shopify repeats it.

    ``is_visitor_known``: the handle is genuine. The tag had it only after the shopper's consent, so where the site
    ``needs_signal`` it is one; a checkout without it is told to nobody.
    """
    context = _context(topic, payload)
    if needs_signal and needs_consent(topic) and not is_visitor_known:
        return Told(drop=DropReason.CONSENT)
    if topic in _ORDERS:
        if payload.get("test") is True:
            return Told(drop=DropReason.TEST_ORDER)
        return _one(_order(topic, payload, context), webhook_id, earliest(payload, now, "created_at", "processed_at"))
    if topic in _CHECKOUTS:
        return _checkout(payload, context, webhook_id, now, is_visitor_known=is_visitor_known)
    if topic == "refunds/create":
        return _refund(payload, webhook_id, now)
    if topic == "customers/merge":
        return _merge(payload, webhook_id, now)
    if topic in _REQUESTS:
        return _one({"type": REQUEST_TYPE, "event": topic, "traits": _subject(payload)}, webhook_id, now)
    known = topic == "app/uninstalled"
    return Told(drop=DropReason.NOTHING_TO_TELL if known else DropReason.UNKNOWN_TOPIC)


def _one(message: dict[str, Any], webhook_id: str, at: float) -> Told:
    return Told(messages=(({**message, "messageId": f"shopify:{webhook_id}"}, at),))


def _context(topic: str, payload: Fields) -> dict[str, Any]:
    context: dict[str, Any] = {"library": {"name": "shopify-webhook"}, "capture": ["shopify_webhook"]}
    if is_of_a_shopper(payload):
        is_checkout = topic in _CHECKOUTS
        tokens = {
            "cartToken": values.cart_token(payload.get("cart_token")),
            "checkoutToken": values.text(payload.get("token" if is_checkout else "checkout_token")),
        }
        if found := {name: token for name, token in tokens.items() if token}:
            context["shopify"] = found
    return context


def _order(topic: str, payload: Fields, context: dict[str, Any]) -> dict[str, Any]:
    buyer = buyer_of(payload)
    properties = without_nothing(
        {
            "order_id": values.identifier(payload.get("id")),
            "order_name": values.text(payload.get("name")),
            "shipping": shop_money(payload.get("total_shipping_price_set")),
            "cancel_reason": payload.get("cancel_reason"),
            "shipping_address": address(payload.get("shipping_address")),
            "billing_address": address(payload.get("billing_address")),
            **sums(payload),
            **contact(buyer),
            **_cart_token(context),
        }
    )
    if buyer.names:
        context = {**context, "traits": buyer.names}
    track = {"type": "track", "event": _ORDERS[topic], "userId": buyer.customer_id, "context": context}
    return without_nothing({**track, "properties": properties})


def _checkout(payload: Fields, context: dict[str, Any], webhook_id: str, now: float, *, is_visitor_known: bool) -> Told:
    """A checkout is one event however often it changes; who it is of is told anew each time.

    The event has the ID that Shopify's pixel gives it. It is told once somebody can be found by it: a first report
    without an address would keep out the one that has it.
    """
    token, buyer = values.text(payload.get("token")), buyer_of(payload)
    is_named = bool(buyer.email or buyer.phone)
    if token is None or values.text(payload.get("completed_at")) or not (is_named or is_visitor_known):
        return Told(drop=DropReason.NOTHING_TO_TELL)
    at = time_of(payload, "updated_at") or time_of(payload, "created_at") or now
    at = min(at, now)
    properties = without_nothing(
        {
            "checkout_url": values.link(payload.get("abandoned_checkout_url")),
            "billing_address": address(payload.get("billing_address")),
            **sums(payload),
            **contact(buyer),
            **_cart_token(context),
        }
    )
    who = without_nothing({"userId": buyer.customer_id, "context": context})
    track = {"type": "track", "event": "Checkout Started", "messageId": f"checkout-{token}", "properties": properties}
    messages = [({**track, **who}, at)]
    if is_named:
        traits = buyer.names | contact(buyer)
        # Klaviyo's own integration has made the profile: there is nothing to tell of it.
        context = {**context, "klaviyo": {"present": True, "identified": True}}
        identify = {"type": "identify", "messageId": f"shopify:{webhook_id}", "traits": traits}
        messages.insert(0, ({**identify, **who, "context": context}, at))
    return Told(messages=tuple(messages))


def _refund(payload: Fields, webhook_id: str, now: float) -> Told:
    """What was given back of an order; who had placed it, the processor finds by the order."""
    paid_back = [
        one
        for one in values.rows(payload.get("transactions")) or ()
        if one.get("kind") == "refund" and one.get("status") not in ("failure", "error")
    ]
    if any(one.get("test") is True for one in paid_back):
        return Told(drop=DropReason.TEST_ORDER)
    amount = round(sum(values.number(one.get("amount")) or 0.0 for one in paid_back), 4)
    if not amount:
        return Told(drop=DropReason.NOTHING_TO_TELL)
    lines = [
        {**line, "quantity": one.get("quantity")}
        for one in values.rows(payload.get("refund_line_items")) or ()
        if (line := values.mapping(one.get("line_item"))) is not None
    ]
    properties = without_nothing(
        {
            "order_id": values.identifier(payload.get("order_id")),
            "refund_id": values.identifier(payload.get("id")),
            "refund_amount": amount,
            "currency": values.currency(paid_back[0].get("currency")),
            "products": [line_of(line) for line in lines],
        }
    )
    context = {"library": {"name": "shopify-webhook"}, "capture": ["shopify_webhook"]}
    message = {"type": "track", "event": "Order Refunded", "properties": properties, "context": context}
    return _one(message, webhook_id, earliest(payload, now, "created_at", "processed_at"))


def _merge(payload: Fields, webhook_id: str, now: float) -> Told:
    kept = values.identifier(payload.get("admin_graphql_api_customer_kept_id"))
    gone = values.identifier(payload.get("admin_graphql_api_customer_deleted_id"))
    if payload.get("status") not in (None, "completed") or not kept or not gone or kept == gone:
        return Told(drop=DropReason.NOTHING_TO_TELL)  # a merge that failed, or is not over
    context = {
        "library": {"name": "shopify-webhook"},
        "capture": ["shopify_webhook"],
        "shopify": {"customersMerged": True},
    }
    return _one({"type": "alias", "userId": kept, "previousId": gone, "context": context}, webhook_id, now)


def _subject(payload: Fields) -> dict[str, str]:
    customer = values.mapping(payload.get("customer")) or {}
    found = {
        "email": values.text(customer.get("email")),
        "phone": values.text(customer.get("phone")),
        "customer_id": values.identifier(customer.get("id")),
    }
    return without_nothing(found)


def _cart_token(context: Mapping[str, Any]) -> dict[str, str]:
    tokens = context.get("shopify", {})
    return without_nothing({"cart_token": tokens.get("cartToken") or tokens.get("checkoutToken")})
