"""What the theme tells Klaviyo and Backflow, in the property names each of them documents. Amounts in major units.

Klaviyo: the names of its e-commerce snippets (``ProductName``, ``AddedItem...``, ``Items``). Backflow: Segment's
e-commerce events (``product_id``, ``products``, ...).
"""

from collections.abc import Iterable
from typing import Any

from relay.demo.storefront.cart import Cart, Contact, Line
from relay.demo.storefront.catalog import Product, Variant
from relay.demo.storefront.countries import COUNTRIES
from relay.demo.storefront.money import included_tax, major
from relay.demo.storefront.orders import Order, Totals


def segment_product(product: Product, variant: Variant, currency: str, base_url: str) -> dict[str, Any]:
    """One product in Segment's shape; ``variant`` and ``compare_at_price`` only where there is one."""
    properties: dict[str, Any] = {
        "product_id": str(product.id),
        "variant_id": str(variant.id),
        "sku": variant.sku,
        "name": product.title,
        "brand": product.vendor,
        "category": product.product_type,
        "price": major(variant.prices[currency]),
        "currency": currency,
        "url": base_url + product.path(variant),
        "image_url": base_url + product.picture(variant),
    }
    if product.options:
        properties["variant"] = variant.title
    if currency in variant.compare_at:
        properties["compare_at_price"] = major(variant.compare_at[currency])
    return properties


def checkout_started(cart: Cart, totals: Totals, email: str, base_url: str) -> dict[str, Any]:
    """Properties of ``Checkout Started``; ``email`` only once it is known."""
    properties: dict[str, Any] = {
        "value": major(totals.subtotal - totals.discount),
        "currency": totals.currency,
        "checkout_id": cart.checkout_token,
        "cart_id": cart.token,
        "checkout_url": recovery_url(cart, base_url),
        "products": _segment_lines(cart.lines, totals.currency, base_url),
    }
    if email:
        properties["email"] = email
    if cart.discount_code:
        properties["coupon"] = cart.discount_code
    return properties


def order_completed(order: Order, base_url: str) -> dict[str, Any]:
    """Properties of ``Order Completed``. ``revenue`` is without shipping and tax, as in Segment's spec."""
    sums = order.totals
    goods = sums.total - sums.shipping
    address = _order_address(order.contact)
    return {
        "order_id": order.id,
        "order_number": f"#{order.number}",
        "total": major(sums.total),
        "revenue": major(goods - included_tax(goods, sums.currency)),
        "subtotal": major(sums.subtotal),
        "shipping": major(sums.shipping),
        "tax": major(sums.tax),
        "discount": major(sums.discount),
        "coupon": order.discount_code,
        "currency": sums.currency,
        "email": order.contact.email,
        "products": _segment_lines(order.lines, sums.currency, base_url),
        "billing_address": address,
        "shipping_address": address,
    }


def contact_traits(contact: Contact) -> dict[str, Any]:
    """Segment traits known after the e-mail step."""
    return {"email": contact.email} | ({"phone": contact.phone} if contact.phone else {})


def address_traits(contact: Contact) -> dict[str, Any]:
    """Segment traits known after the address step."""
    address = {
        "street": ", ".join(part for part in (contact.address1, contact.address2) if part),
        "city": contact.city,
        "postalCode": contact.zip,
        "state": contact.region,
        "country": COUNTRIES.get(contact.country_code, ""),
    }
    return {
        **contact_traits(contact),
        "firstName": contact.first_name,
        "lastName": contact.last_name,
        "address": {name: value for name, value in address.items() if value},
    }


def klaviyo_viewed(product: Product, variant: Variant, currency: str, base_url: str) -> dict[str, Any]:
    """Properties of Klaviyo's ``Viewed Product``."""
    properties: dict[str, Any] = {
        "ProductName": product.title,
        "ProductID": str(product.id),
        "SKU": variant.sku,
        "Categories": product.category_names,
        "ImageURL": base_url + product.picture(variant),
        "URL": base_url + product.path(),
        "Brand": product.vendor,
        "Price": major(variant.prices[currency]),
    }
    if currency in variant.compare_at:
        properties["CompareAtPrice"] = major(variant.compare_at[currency])
    return properties


def klaviyo_started_checkout(cart: Cart, totals: Totals, base_url: str) -> dict[str, Any]:
    """Properties of Klaviyo's ``Started Checkout``."""
    categories = dict.fromkeys(name for line in cart.lines for name in line.product.category_names)
    return {
        "$event_id": cart.checkout_token,
        "$value": major(totals.subtotal - totals.discount),
        "ItemNames": [line.product.title for line in cart.lines],
        "CheckoutURL": recovery_url(cart, base_url),
        "Categories": list(categories),
        "Items": [_klaviyo_item(line, totals.currency, base_url) for line in cart.lines],
    }


def recovery_url(cart: Cart, base_url: str) -> str:
    """A link that brings these lines back on any device; it opens nothing personal."""
    return f"{base_url}/checkouts/{cart.checkout_token}/recover"


def _segment_lines(lines: Iterable[Line], currency: str, base_url: str) -> list[dict[str, Any]]:
    return [
        segment_product(line.product, line.variant, currency, base_url)
        | {"quantity": line.quantity, "position": position}
        for position, line in enumerate(lines, start=1)
    ]


def _klaviyo_item(line: Line, currency: str, base_url: str) -> dict[str, Any]:
    return {
        "ProductID": str(line.product.id),
        "SKU": line.variant.sku,
        "ProductName": line.product.title,
        "Quantity": line.quantity,
        "ItemPrice": major(line.price(currency)),
        "RowTotal": major(line.total(currency)),
        "ProductURL": base_url + line.product.path(line.variant),
        "ImageURL": base_url + line.product.picture(line.variant),
        "ProductCategories": line.product.category_names,
    }


def _order_address(contact: Contact) -> dict[str, str]:
    address = {
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "address1": contact.address1,
        "address2": contact.address2,
        "city": contact.city,
        "region": contact.region,
        "zip": contact.zip,
        "country": COUNTRIES.get(contact.country_code, ""),
        "country_code": contact.country_code,
        "phone": contact.phone,
    }
    return {name: value for name, value in address.items() if value}
