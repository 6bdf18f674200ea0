"""Shopify's webhooks in Segment's words. Pure; the shapes are those of the REST resources Order, Checkout and Refund.

| topic                                   | becomes                                                              |
|-----------------------------------------|----------------------------------------------------------------------|
| ``orders/create``, ``orders/cancelled`` | ``Order Completed``, ``Order Cancelled``                             |
| ``refunds/create``                      | ``Order Refunded``, unless no money went back (an edited order)      |
| ``checkouts/create``, ``/update``       | an identify call of who gave an address, and one ``Checkout Started``|
| ``customers/merge``                     | an alias: the customer that is left, the ID that is gone             |
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
from relay.pipeline.parse import REQUEST_TYPE, parse_time

#: The cart attribute in which the tag leaves the visitor's handle.
HANDLE_ATTRIBUTE = "_backflow"
#: What Shopify calls an order of its online store. Others are ``pos``, ``shopify_draft_order``,
#: ``subscription_contract``, ``subscription_contract_checkout_one``, ``iphone``, ``android`` and the IDs of apps.
_ONLINE_STORE = "web"
#: Shopify's variant title of a product that has no variants.
_NO_VARIANT = "Default Title"
_ORDERS = {"orders/create": "Order Completed", "orders/cancelled": "Order Cancelled"}
_CHECKOUTS = ("checkouts/create", "checkouts/update")
_REQUESTS = ("customers/redact", "customers/data_request", "shop/redact")

Fields = Mapping[str, Any]


class Told(Struct, frozen=True, kw_only=True):
    """What a webhook tells: messages with the time of each (epoch seconds), or why there are none."""

    messages: tuple[tuple[dict[str, Any], float], ...] = ()
    drop: DropReason | None = None


def handle_of(topic: str, payload: Fields) -> str | None:
    """The handle in the cart that this order or checkout came from; None where it would not be the shopper's."""
    if (topic not in _ORDERS and topic not in _CHECKOUTS) or not _is_of_a_shopper(payload):
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
        return _one(_order(topic, payload, context), webhook_id, _earliest(payload, now, "created_at", "processed_at"))
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


def _is_of_a_shopper(payload: Fields) -> bool:
    """Whether it was done in the online store by whom it is about."""
    source = values.text(payload.get("source_name"))
    by_staff = payload.get("user_id") is not None
    in_a_shop = payload.get("location_id") is not None or payload.get("device_id") is not None
    return source in (None, _ONLINE_STORE) and not by_staff and not in_a_shop


def _context(topic: str, payload: Fields) -> dict[str, Any]:
    context: dict[str, Any] = {"library": {"name": "shopify-webhook"}, "capture": ["shopify_webhook"]}
    if _is_of_a_shopper(payload):
        is_checkout = topic in _CHECKOUTS
        tokens = {
            "cartToken": values.cart_token(payload.get("cart_token")),
            "checkoutToken": values.text(payload.get("token" if is_checkout else "checkout_token")),
        }
        if found := {name: token for name, token in tokens.items() if token}:
            context["shopify"] = found
    return context


class _Buyer(Struct, frozen=True, kw_only=True):
    """Who an order or a checkout says that it is of."""

    email: str | None
    phone: str | None
    customer_id: str | None
    names: dict[str, str]


def _buyer(payload: Fields) -> _Buyer:
    customer = values.mapping(payload.get("customer")) or {}
    said = values.text(payload.get("email")) or values.text(payload.get("contact_email"))
    own = values.text(customer.get("email"))
    is_customer = said is None or own is None or said.lower() == own.lower()
    names = {"firstName": customer.get("first_name"), "lastName": customer.get("last_name")}
    return _Buyer(
        email=said or own,
        phone=values.text(payload.get("phone")) or (values.text(customer.get("phone")) if is_customer else None),
        customer_id=values.identifier(customer.get("id")) if is_customer else None,
        names={name: text for name, raw in names.items() if is_customer and (text := values.text(raw))},
    )


def _order(topic: str, payload: Fields, context: dict[str, Any]) -> dict[str, Any]:
    buyer = _buyer(payload)
    properties = _without_nothing(
        {
            "order_id": values.identifier(payload.get("id")),
            "order_name": values.text(payload.get("name")),
            "shipping": _shop_money(payload.get("total_shipping_price_set")),
            "cancel_reason": payload.get("cancel_reason"),
            "shipping_address": _address(payload.get("shipping_address")),
            "billing_address": _address(payload.get("billing_address")),
            **_sums(payload),
            **_contact(buyer),
            **_cart_token(context),
        }
    )
    if buyer.names:
        context = {**context, "traits": buyer.names}
    track = {"type": "track", "event": _ORDERS[topic], "userId": buyer.customer_id, "context": context}
    return _without_nothing({**track, "properties": properties})


def _checkout(payload: Fields, context: dict[str, Any], webhook_id: str, now: float, *, is_visitor_known: bool) -> Told:
    """A checkout is one event however often it changes; who it is of is told anew each time.

    The event has the ID that Shopify's pixel gives it. It is told once somebody can be found by it: a first report
    without an address would keep out the one that has it.
    """
    token, buyer = values.text(payload.get("token")), _buyer(payload)
    is_named = bool(buyer.email or buyer.phone)
    if token is None or values.text(payload.get("completed_at")) or not (is_named or is_visitor_known):
        return Told(drop=DropReason.NOTHING_TO_TELL)
    at = _time(payload, "updated_at") or _time(payload, "created_at") or now
    at = min(at, now)
    properties = _without_nothing(
        {
            "checkout_url": values.link(payload.get("abandoned_checkout_url")),
            "billing_address": _address(payload.get("billing_address")),
            **_sums(payload),
            **_contact(buyer),
            **_cart_token(context),
        }
    )
    who = _without_nothing({"userId": buyer.customer_id, "context": context})
    track = {"type": "track", "event": "Checkout Started", "messageId": f"checkout-{token}", "properties": properties}
    messages = [({**track, **who}, at)]
    if is_named:
        traits = buyer.names | _contact(buyer)
        identify = {"type": "identify", "messageId": f"shopify:{webhook_id}", "traits": traits}
        messages.insert(0, ({**identify, **who}, at))
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
    properties = _without_nothing(
        {
            "order_id": values.identifier(payload.get("order_id")),
            "refund_id": values.identifier(payload.get("id")),
            "refund_amount": amount,
            "currency": values.currency(paid_back[0].get("currency")),
            "products": [_line(line) for line in lines],
        }
    )
    context = {"library": {"name": "shopify-webhook"}, "capture": ["shopify_webhook"]}
    message = {"type": "track", "event": "Order Refunded", "properties": properties, "context": context}
    return _one(message, webhook_id, _earliest(payload, now, "created_at", "processed_at"))


def _merge(payload: Fields, webhook_id: str, now: float) -> Told:
    kept = values.identifier(payload.get("admin_graphql_api_customer_kept_id"))
    gone = values.identifier(payload.get("admin_graphql_api_customer_deleted_id"))
    if payload.get("status") not in (None, "completed") or not kept or not gone or kept == gone:
        return Told(drop=DropReason.NOTHING_TO_TELL)  # a merge that failed, or is not over
    return _one({"type": "alias", "userId": kept, "previousId": gone}, webhook_id, now)


def _subject(payload: Fields) -> dict[str, str]:
    customer = values.mapping(payload.get("customer")) or {}
    found = {
        "email": values.text(customer.get("email")),
        "phone": values.text(customer.get("phone")),
        "customer_id": values.identifier(customer.get("id")),
    }
    return _without_nothing(found)


def _sums(payload: Fields) -> dict[str, Any]:
    """What an order and a checkout have alike. Amounts are in the shop's currency, as ``currency`` says."""
    discounts = [values.text(one.get("code")) for one in values.rows(payload.get("discount_codes")) or ()]
    return {
        "total": values.number(payload.get("total_price")),
        "subtotal": values.number(payload.get("subtotal_price")),
        "tax": values.number(payload.get("total_tax")),
        "discount": values.number(payload.get("total_discounts")),
        "discount_codes": [code for code in discounts if code],
        "currency": values.currency(payload.get("currency")),
        "products": [_line(line) for line in values.rows(payload.get("line_items")) or ()],
    }


def _line(line: Fields) -> dict[str, Any]:
    price, quantity = values.number(line.get("price")), values.quantity(line.get("quantity"))
    allocated = [values.number(one.get("amount")) for one in values.rows(line.get("discount_allocations")) or ()]
    off = sum(amount for amount in allocated if amount)
    variant = values.text(line.get("variant_title"))
    return _without_nothing(
        {
            "product_id": values.identifier(line.get("product_id")),
            "variant_id": values.identifier(line.get("variant_id")),
            "sku": values.text(line.get("sku")),
            "name": values.text(line.get("title")),
            "variant": None if variant == _NO_VARIANT else variant,
            "brand": values.text(line.get("vendor")),
            "price": price,
            "compare_at_price": values.number(line.get("compare_at_price")),
            "quantity": quantity,
            "line_total": round(price * quantity - off, 4) if off and price is not None and quantity else None,
        }
    )


_ADDRESS = (
    "first_name", "last_name", "company", "address1", "address2", "city", "province", "province_code", "country",
    "country_code", "zip", "phone",
)  # fmt: skip


def _address(raw: Any) -> dict[str, str] | None:
    address = values.mapping(raw) or {}
    return {name: text for name in _ADDRESS if (text := values.text(address.get(name)))} or None


def _contact(buyer: _Buyer) -> dict[str, str]:
    return _without_nothing({"email": buyer.email, "phone": buyer.phone})


def _cart_token(context: Mapping[str, Any]) -> dict[str, str]:
    tokens = context.get("shopify", {})
    return _without_nothing({"cart_token": tokens.get("cartToken") or tokens.get("checkoutToken")})


def _shop_money(raw: Any) -> float | None:
    money = values.mapping((values.mapping(raw) or {}).get("shop_money")) or {}
    return values.number(money.get("amount"))


def _time(payload: Fields, name: str) -> float | None:
    written = values.text(payload.get(name))
    return parse_time(written) if written else None


def _earliest(payload: Fields, now: float, *names: str) -> float:
    """An order that is brought in from elsewhere was made now and placed long ago."""
    return min([now, *(time for name in names if (time := _time(payload, name)) is not None)])


def _without_nothing(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None and value != [] and value != {}}
