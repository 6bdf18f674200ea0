"""Shopify's nested objects, and GA4's ``ecommerce``, unfolded into the flat words of everybody else.

First thing the canonical step does. Unfolding only renames: what it has no name for stays where it was, so that the
reader after it can keep it. Source of the shapes: the types of Shopify's Web Pixels extension 2.18.
"""

from typing import Any

from relay.pipeline import values

_Path = tuple[tuple[str, ...], str]


def _paths(table: dict[str, str]) -> tuple[_Path, ...]:
    return tuple((tuple(path.split(".")), name) for path, name in table.items())


_VARIANT = _paths(
    {
        "id": "variant_id",
        "sku": "sku",
        "title": "variant_name",
        "price.currencyCode": "currency",
        "price": "price",
        "compareAtPrice": "compare_at_price",
        "image.src": "image_url",
        "product.id": "product_id",
        "product.title": "name",
        "product.vendor": "brand",
        "product.type": "category",
        "product.url": "url",
    }
)
_LINE = _paths({"id": "line_id", "finalLinePrice": "line_total", "cost.totalAmount": "line_total", "title": "name"})
_CART_LINE = (*_LINE, *_paths({target: target for _, target in _VARIANT} | {"quantity": "quantity"}))
_CONTAINERS = {
    "cart": _paths(
        {
            "id": "cart_token",
            "lines": "products",
            "cost.totalAmount.currencyCode": "currency",
            "cost.totalAmount": "cart_value",
        }
    ),
    "checkout": _paths(
        {
            "token": "cart_token",
            "currencyCode": "currency",
            "totalPrice": "total",
            "subtotalPrice": "subtotal",
            "totalTax": "tax",
            "shippingLine.price": "shipping",
            "discountsAmount": "discount",
            "lineItems": "products",
            "order.id": "order_id",
            "billingAddress": "billing_address",
            "shippingAddress": "shipping_address",
        }
    ),
    "collection": _paths({"id": "collection_id", "title": "collection", "productVariants": "products"}),
    "searchResult": _paths({"query": "query", "productVariants": "products"}),
}
_PIXEL_DATA = frozenset({"productVariant", "cartLine", *_CONTAINERS})
_VARIANT_KEYS = ("merchandise", "variant", "productVariant")
#: Shopify's variant title of a product that has no variants.
_NO_VARIANT = "Default Title"


def _pop(source: dict[str, Any], path: tuple[str, ...]) -> Any:
    """Take a member out of ``source``, which is ours; objects inside it are not and are copied."""
    if len(path) == 1:
        return source.pop(path[0], None)
    inner = source.get(path[0])
    if type(inner) is not dict or path[1] not in inner:
        return None
    inner = dict(inner)
    found = _pop(inner, path[1:])
    if inner:
        source[path[0]] = inner
    else:
        del source[path[0]]
    return found


def _lift(source: dict[str, Any], paths: tuple[_Path, ...], into: dict[str, Any]) -> dict[str, Any]:
    """Move members of ``source`` into ``into`` under our names, never over one that is there; return the rest."""
    rest = dict(source)
    for path, name in paths:
        if name not in into and (found := _pop(rest, path)) is not None:
            into[name] = found
    return rest


def _lift_variant(holder: dict[str, Any], key: str) -> None:
    """Unfold the product variant under ``key`` into its holder, which is ours."""
    variant = holder.pop(key)
    if variant.get("title") == _NO_VARIANT:
        variant = {name: value for name, value in variant.items() if name != "title"}
    rest = _lift(variant, _VARIANT, holder)
    if rest:
        holder[key] = rest


def unwrap(properties: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with the members of GA4's ``ecommerce`` and Web Pixels' ``data`` objects beside the others."""
    flat = dict(properties)
    for wrapper in ("ecommerce", "data"):
        inner = flat.get(wrapper)
        if type(inner) is dict and (wrapper == "ecommerce" or not _PIXEL_DATA.isdisjoint(inner)):
            del flat[wrapper]
            clashing = {key: value for key, value in inner.items() if key in flat}
            flat.update((key, value) for key, value in inner.items() if key not in clashing)
            if clashing:
                flat[wrapper] = clashing
    return flat


def unfold(flat: dict[str, Any]) -> None:
    """Unfold Shopify's objects in place into the flat words of everybody else; ``flat`` must be ours."""
    if _PIXEL_DATA.isdisjoint(flat):
        return
    if type(flat.get("productVariant")) is dict:
        _lift_variant(flat, "productVariant")
    elif type(line := flat.get("cartLine")) is dict:
        del flat["cartLine"]
        line = dict(line)
        if type(line.get("merchandise")) is dict:
            _lift_variant(line, "merchandise")
        rest = _lift(line, _CART_LINE, flat)
        if rest:
            flat["cartLine"] = rest
    for key, paths in _CONTAINERS.items():
        if type(container := flat.get(key)) is not dict:
            continue
        del flat[key]
        rest = _lift(container, paths, flat)
        if key == "checkout" and "discount_codes" not in flat and (found := _discount_codes(rest)):
            flat["discount_codes"] = found
        while key in flat:  # the name of a collection is itself called "collection"
            key = f"{key}_data"
        if rest:
            flat[key] = rest


def _discount_codes(checkout: dict[str, Any]) -> list[str]:
    """Return the codes among ``discountApplications``; automatic discounts have a title but no code."""
    applied = values.rows(checkout.get("discountApplications")) or []
    return [one["title"] for one in applied if one.get("type") == "DISCOUNT_CODE" and values.text(one.get("title"))]


def unfold_line(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line of a cart with the product variant inside it unfolded; other lines come back as they are."""
    for key in _VARIANT_KEYS:
        if type(line.get(key)) is dict:
            flat = dict(line)
            _lift_variant(flat, key)
            for path, name in _LINE:
                if name not in flat and (found := _pop(flat, path)) is not None:
                    flat[name] = found
            return flat
    if type(line.get("product")) is dict:  # a bare product variant, as in productVariants
        line = {"productVariant": line}
        _lift_variant(line, "productVariant")
    return line
