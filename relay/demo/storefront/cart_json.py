"""A cart as Shopify's Ajax API prints it. Amounts are integers in minor units.

Field names follow Shopify's cart reference and public cart answers; what this shop does not have (components,
selling plans, line discounts) is printed with the empty value such a shop would print.
"""

from typing import Any

from relay.demo.storefront.cart import DISCOUNT_CODES, Cart, Line
from relay.demo.storefront.catalog import DEFAULT_TITLE

_PICTURE_SIDE = 800  # pixels; the drawings are square


def line_json(line: Line, currency: str, base_url: str) -> dict[str, Any]:
    """One line item. ``base_url`` (scheme and host, no slash) makes picture addresses absolute."""
    product, variant = line.product, line.variant
    price, total = line.price(currency), line.total(currency)
    picture = base_url + product.picture(variant)
    plain = product.has_only_default_variant
    values = variant.options or (DEFAULT_TITLE,)
    return {
        "id": variant.id,
        "properties": line.properties,
        "quantity": line.quantity,
        "variant_id": variant.id,
        "key": line.key,
        "title": product.full_title(variant),
        "price": price,
        "original_price": price,
        "presentment_price": price / 100,
        "discounted_price": price,
        "line_price": total,
        "original_line_price": total,
        "total_discount": 0,
        "discounts": [],
        "sku": variant.sku,
        "grams": variant.grams,
        "vendor": product.vendor,
        "taxable": True,
        "product_id": product.id,
        "product_has_only_default_variant": plain,
        "gift_card": False,
        "final_price": price,
        "final_line_price": total,
        "url": product.path(variant),
        "featured_image": {
            "aspect_ratio": 1.0,
            "alt": product.title,
            "height": _PICTURE_SIDE,
            "url": picture,
            "width": _PICTURE_SIDE,
        },
        "image": picture,
        "handle": product.handle,
        "requires_shipping": True,
        "product_type": product.product_type,
        "product_title": product.title,
        "product_description": product.summary,
        "variant_title": None if plain else variant.title,
        "variant_options": list(values),
        "options_with_values": [
            {"name": name, "value": value} for name, value in zip(product.options or ("Title",), values, strict=True)
        ],
        "line_level_discount_allocations": [],
        "line_level_total_discount": 0,
        "quantity_rule": {"min": 1, "max": None, "increment": 1},
        "has_components": False,
        "untranslated_product_title": product.title,
        "untranslated_variant_title": variant.title,
    }


def cart_json(cart: Cart, currency: str, base_url: str) -> dict[str, Any]:
    """The whole cart. Attributes beginning with ``__`` stay hidden, as in Shopify."""
    discount = cart.discount(currency)
    return {
        "token": f"{cart.token}?key={cart.key}",
        "note": cart.note,
        "attributes": {name: value for name, value in cart.attributes.items() if not name.startswith("__")},
        "original_total_price": cart.subtotal(currency),
        "total_price": cart.total(currency),
        "total_discount": discount,
        "total_weight": float(cart.weight),
        "item_count": cart.item_count,
        "items": [line_json(line, currency, base_url) for line in cart.lines],
        "requires_shipping": bool(cart.lines),
        "currency": currency,
        "items_subtotal_price": cart.subtotal(currency),
        "cart_level_discount_applications": _discounts(cart, discount),
        "discount_codes": [{"code": cart.discount_code, "applicable": True}] if cart.discount_code else [],
    }


def _discounts(cart: Cart, amount: int) -> list[dict[str, Any]]:
    if not amount:
        return []
    return [
        {
            "type": "discount_code",
            "title": cart.discount_code,
            "target_selection": "all",
            "target_type": "line_item",
            "allocation_method": "across",
            "value_type": "percentage",
            "value": str(DISCOUNT_CODES[cart.discount_code]),
            "total_allocated_amount": amount,
        }
    ]
