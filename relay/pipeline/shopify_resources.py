"""Shopify's REST resources read: who an order or a checkout is of, what is in it, what it cost. Pure.

The lower part of ``shopify_webhooks``: orders, checkouts and refunds have these members alike.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from relay.pipeline import values
from relay.pipeline.parse import parse_time

Fields = Mapping[str, Any]

#: What Shopify calls an order of its online store. Others are ``pos``, ``shopify_draft_order``,
#: ``subscription_contract``, ``subscription_contract_checkout_one``, ``iphone``, ``android`` and the IDs of apps.
_ONLINE_STORE = "web"
#: Shopify's variant title of a product that has no variants.
_NO_VARIANT = "Default Title"
_ADDRESS = (
    "first_name", "last_name", "company", "address1", "address2", "city", "province", "province_code", "country",
    "country_code", "zip", "phone",
)  # fmt: skip


def is_of_a_shopper(payload: Fields) -> bool:
    """Whether it was done in the online store by whom it is about."""
    source = values.text(payload.get("source_name"))
    by_staff = payload.get("user_id") is not None
    in_a_shop = payload.get("location_id") is not None or payload.get("device_id") is not None
    return source in (None, _ONLINE_STORE) and not by_staff and not in_a_shop


class Buyer(Struct, frozen=True, kw_only=True):
    """Who an order or a checkout says that it is of."""

    email: str | None
    phone: str | None
    customer_id: str | None
    names: dict[str, str]


def buyer_of(payload: Fields) -> Buyer:
    """Who an order or a checkout is of: its own address and phone; the customer's where the two are one."""
    customer = values.mapping(payload.get("customer")) or {}
    said = values.text(payload.get("email")) or values.text(payload.get("contact_email"))
    own = values.text(customer.get("email"))
    is_customer = said is None or own is None or said.lower() == own.lower()
    names = {"firstName": customer.get("first_name"), "lastName": customer.get("last_name")}
    return Buyer(
        email=said or own,
        phone=values.text(payload.get("phone")) or (values.text(customer.get("phone")) if is_customer else None),
        customer_id=values.identifier(customer.get("id")) if is_customer else None,
        names={name: text for name, raw in names.items() if is_customer and (text := values.text(raw))},
    )


def sums(payload: Fields) -> dict[str, Any]:
    """What an order and a checkout have alike. Amounts are in the shop's currency, as ``currency`` says."""
    discounts = [values.text(one.get("code")) for one in values.rows(payload.get("discount_codes")) or ()]
    return {
        "total": values.number(payload.get("total_price")),
        "subtotal": values.number(payload.get("subtotal_price")),
        "tax": values.number(payload.get("total_tax")),
        "discount": values.number(payload.get("total_discounts")),
        "discount_codes": [code for code in discounts if code],
        "currency": values.currency(payload.get("currency")),
        "products": [line_of(line) for line in values.rows(payload.get("line_items")) or ()],
    }


def line_of(line: Fields) -> dict[str, Any]:
    """A line in Segment's words. What was allocated to it of any discount is off its total, not off its price."""
    price, quantity = values.number(line.get("price")), values.quantity(line.get("quantity"))
    allocated = [values.number(one.get("amount")) for one in values.rows(line.get("discount_allocations")) or ()]
    off = sum(amount for amount in allocated if amount)
    variant = values.text(line.get("variant_title"))
    return without_nothing(
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


def address(raw: Any) -> dict[str, str] | None:
    """The parts of a postal address that Klaviyo shows."""
    held = values.mapping(raw) or {}
    return {name: text for name in _ADDRESS if (text := values.text(held.get(name)))} or None


def contact(buyer: Buyer) -> dict[str, str]:
    """How the buyer is reached, as properties of an event."""
    return without_nothing({"email": buyer.email, "phone": buyer.phone})


def shop_money(raw: Any) -> float | None:
    """An amount in the shop's own currency."""
    money = values.mapping((values.mapping(raw) or {}).get("shop_money")) or {}
    return values.number(money.get("amount"))


def time_of(payload: Fields, name: str) -> float | None:
    """A time of the payload in epoch seconds."""
    written = values.text(payload.get(name))
    return parse_time(written) if written else None


def earliest(payload: Fields, now: float, *names: str) -> float:
    """An order that is brought in from elsewhere was made now and placed long ago."""
    return min([now, *(time for name in names if (time := time_of(payload, name)) is not None)])


def without_nothing(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value is not None and value != [] and value != {}}
