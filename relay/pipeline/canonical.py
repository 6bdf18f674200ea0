"""The canonical step: a message in anybody's words becomes one `Commerce`.

After parse, before consent. Pure: reads the message and changes nothing in it, never raises for decoded JSON, and loses
nothing: what it cannot read or place stays in ``properties`` (of a line: in ``Product.extra``) as it came.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

from relay.model import Address, Commerce, Kind, Message, Order, Product
from relay.pipeline import products, shopify, values, vocabulary
from relay.pipeline.products import Line

_ONE_PRODUCT = frozenset({Kind.PRODUCT_VIEWED, Kind.PRODUCT_ADDED, Kind.PRODUCT_REMOVED})
_WITH_ORDER = frozenset({Kind.CHECKOUT_STARTED, Kind.ORDER_COMPLETED, Kind.ORDER_REFUNDED, Kind.ORDER_CANCELLED})
_WHOLE_CART = _WITH_ORDER | {Kind.CART_VIEWED}
_ORDER_FIELDS = frozenset(
    {
        "order_id",
        "refund_id",
        "subtotal",
        "shipping",
        "tax",
        "discount_value",
        "discount_codes",
        "billing_address",
        "shipping_address",
    }
)
#: What a shop has to be told of when it cannot be read, and how that is called in the books.
_AMOUNTS = {
    "value": "unreadable_value",
    "cart_value": "unreadable_value",
    "price": "unreadable_price",
    "currency": "unreadable_currency",
}
_NO_AMOUNT = ("", 0, values.text)
_EMAIL_KEYS = ("email", "Email", "$email")
_PHONE_KEYS = ("phone", "phone_number", "phoneNumber", "$phone_number", "Phone")
#: Objects in which an address of the shopper is looked for, after the properties themselves.
_CONTACTS = ("customer", "user_data", "checkout")


def kind_of(message: Message) -> Kind:
    """Return what a message means, by its type and, for a track call, its event name."""
    match message.type:
        case "track":
            return vocabulary.kind_of_track(message.event or "")
        case "page" | "screen":
            return Kind.PAGE
        case "identify":
            return Kind.IDENTIFY
        case _:
            return Kind.OTHER


def canonicalise(message: Message) -> Commerce:
    """Return a message in the relay's own words.

    ``name`` is the canonical name; for a track call of no known meaning its own, for a page its name, and empty for
    group and alias calls, which become no metric.

    ``value`` is the explicit value, total, revenue or cart value (0 is kept), else the price of what was viewed, price
    times quantity of what was added, or the sum of a cart's lines when every line has a price. For Product Added the
    worth of the whole cart comes first when it is known; a refund's is what was given back, never negative.
    """
    kind = kind_of(message)
    flat = shopify.unwrap(message.properties)
    email = _take_contact(flat, _EMAIL_KEYS, values.text, message)
    phone = _take_contact(flat, _PHONE_KEYS, values.identifier, message)  # some are written as numbers
    table = vocabulary.EVENT.get(kind)
    if table is None:
        return _passed_through(message, kind, email, phone)
    shopify.unfold(flat)
    fields, rest, taken = vocabulary.read(flat, table)
    lines = products.lines_of(fields, rest, taken, flat)
    lead: Line | None = None
    whole_cart = kind in _WHOLE_CART
    if kind in _ONE_PRODUCT:
        lead, lines, whole_cart = products.lead_of(kind, fields, lines, rest, taken, flat)
    elif whole_cart and not lines:
        lines, rest = products.only_line(rest)
    currency = _currency(fields, lead, lines)
    base = values.page_address(message.context)
    product = None if lead is None else _product(lead, currency, base)
    items = tuple([_product(line, currency, base) for line in lines])
    cart_value = _cart_value(fields, items if whole_cart else (), kind)
    return Commerce(
        kind=kind,
        name=kind.value,
        product=product,
        items=items,
        value=_value(fields, kind, product, items, cart_value),
        currency=currency,
        checkout_url=values.absolute(fields.get("checkout_url"), base),
        cart_token=fields.get("cart_token"),
        order=_order(fields, rest, taken) if kind in _WITH_ORDER else None,
        email=email,
        phone=phone,
        properties=rest,
        cart_value=cart_value,
        query=fields.get("query"),
        collection=fields.get("collection"),
        collection_id=fields.get("collection_id"),
    )


def unreadable(commerce: Commerce) -> Iterator[str]:
    """Name the amounts and currencies of an event that stand there and cannot be read: they cost it its value only."""
    table = vocabulary.EVENT.get(commerce.kind, vocabulary.CUSTOM)
    yield from _unread(commerce.properties, table)
    for item in commerce.items:
        yield from _unread(item.extra, vocabulary.LINE)


def _unread(left: dict[str, Any], table: vocabulary.Table) -> Iterator[str]:
    for name, raw in left.items():
        field, _, reader = table.get(name, _NO_AMOUNT)
        if field in _AMOUNTS and raw not in (None, "") and reader(raw) is None:
            yield _AMOUNTS[field]


def _passed_through(message: Message, kind: Kind, email: str | None, phone: str | None) -> Commerce:
    """Return a call without e-commerce meaning, with every property it came with."""
    match kind:
        case Kind.OTHER:
            name = (message.event or "").strip() if message.type == "track" else ""
        case Kind.PAGE:
            name = message.name or message.event or message.type
        case _:
            name = kind.value
    fields, _, _ = vocabulary.read(message.properties, vocabulary.CUSTOM)
    return Commerce(
        kind=kind,
        name=name,
        value=fields.get("value") if name and kind is Kind.OTHER else None,
        currency=fields.get("currency"),
        email=email,
        phone=phone,
        properties=dict(message.properties),
    )


def _take_contact(
    flat: dict[str, Any], keys: tuple[str, ...], reader: Callable[[Any], str | None], message: Message
) -> str | None:
    """Take an address of the shopper out of ``flat``, which is ours; else read it from the traits of the call."""
    for key in keys:
        if key in flat and (found := reader(flat[key])) is not None:
            del flat[key]
            return found
    for holder in _CONTACTS:
        if type(inner := flat.get(holder)) is not dict:
            continue
        for key in keys:
            if key in inner and (found := reader(inner[key])) is not None:
                left = {name: value for name, value in inner.items() if name != key}
                if left:
                    flat[holder] = left
                else:
                    del flat[holder]
                return found
    for traits in (message.traits, message.context.get("traits")):
        if traits and type(traits) is dict:
            for key in keys:
                if key in traits and (found := reader(traits[key])) is not None:
                    return found
    return None


def _currency(fields: dict[str, Any], lead: Line | None, lines: list[Line]) -> str | None:
    """Return the currency of the call, else the first one that a line names."""
    found: str | None = fields.get("currency")
    if found is None:
        for line, _ in (*(() if lead is None else (lead,)), *lines):
            if (found := line.get("currency")) is not None:
                break
    return found


def _product(line: Line, currency: str | None, base: str | None) -> Product:
    fields, extra = line
    if (own := fields.get("currency")) is not None and own != currency:
        extra = {**extra, "currency": own}
    return products.build(fields, extra, base)


def _sum(items: tuple[Product, ...]) -> float | None:
    """Return the sum of the lines, or None as soon as one has no price."""
    total = 0.0
    for item in items:
        if (row := item.row_total) is None:
            return None
        total += row
    return _finite(round(total, 4)) if items else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _cart_value(fields: dict[str, Any], cart: tuple[Product, ...], kind: Kind) -> float | None:
    """Return the worth of the whole cart as said, else as the sum of its lines."""
    found: float | None = fields.get("cart_value")
    if found is None and kind in _WHOLE_CART:
        found = fields.get("value")
    return _sum(cart) if found is None else found


def _value(
    fields: dict[str, Any],
    kind: Kind,
    product: Product | None,
    items: tuple[Product, ...],
    cart_value: float | None,
) -> float | None:
    """Return what the event is worth, by the rules in ``canonicalise``."""
    said: float | None = fields.get("value")
    if kind is Kind.ORDER_REFUNDED:
        given_back = cart_value if said is None else said
        return None if given_back is None else abs(given_back)
    if kind is Kind.PRODUCT_ADDED:
        if cart_value is not None:
            return cart_value
        if said is None:
            return _sum(items) if items else _finite(product.row_total if product else None)
    if said is None and kind is Kind.PRODUCT_VIEWED:
        return product.price if product else None
    return cart_value if said is None else said


def _order(fields: dict[str, Any], rest: dict[str, Any], taken: dict[str, str]) -> Order | None:
    """Return the parts of an order, None when there are none; what an address has more stays in ``rest``."""
    if _ORDER_FIELDS.isdisjoint(fields):
        return None
    addresses: dict[str, Address | None] = {}
    for name in ("billing_address", "shipping_address"):
        if name in fields:
            parts, left, _ = vocabulary.read(fields[name], vocabulary.ADDRESS)
            addresses[name] = Address(**parts) if parts else None
            if left:
                rest[taken[name]] = left
    return Order(
        order_id=fields.get("order_id"),
        refund_id=fields.get("refund_id"),
        subtotal=fields.get("subtotal"),
        shipping=fields.get("shipping"),
        tax=fields.get("tax"),
        discount_value=fields.get("discount_value"),
        discount_codes=fields.get("discount_codes", ()),
        billing_address=addresses.get("billing_address"),
        shipping_address=addresses.get("shipping_address"),
    )
