"""Lines and products: one shape out of everybody's, and which of them a call is about.

Third part of the canonical step, after the tables of words and the unfolding.
"""

from collections.abc import Iterable
from typing import Any

from relay.model import Kind, Product
from relay.pipeline import shopify, values, vocabulary

#: The product fields of one line, and what else the line holds.
Line = tuple[dict[str, Any], dict[str, Any]]

_PRODUCT_KEYS = frozenset({"product_id", "variant_id", "sku"})
_IDENTITY = _PRODUCT_KEYS | {"name"}
#: Where Meta keeps the name and category of the product.
_CONTENT = {"name": "content_name", "categories": "content_category"}
_LEVELS = ("category1", "category2", "category3", "category4", "category5")


def read_line(line: dict[str, Any]) -> Line:
    """Return the product fields of one line and what else the line holds."""
    fields, extra, _ = vocabulary.read(shopify.unfold_line(line), vocabulary.LINE)
    return fields, extra


def lines_of(fields: dict[str, Any], rest: dict[str, Any], taken: dict[str, str], flat: dict[str, Any]) -> list[Line]:
    """Return the lines of the call; Meta's bare ``content_ids`` are lines of their own when it has no others."""
    lines = [read_line(line) for line in fields.get("lines", ())]
    ids = fields.get("content_ids", ())
    if not lines:
        return [({"product_id": one}, {}) for one in ids]
    if ids and not {line.get("product_id") for line, _ in lines}.issuperset(ids):
        rest[taken["content_ids"]] = flat[taken["content_ids"]]
    return lines


def lead_of(
    kind: Kind,
    fields: dict[str, Any],
    lines: list[Line],
    rest: dict[str, Any],
    taken: dict[str, str],
    flat: dict[str, Any],
) -> tuple[Line | None, list[Line], bool]:
    """Return the one product a call is about, the other lines, and whether those are the whole cart.

    A product named among the properties comes first, and lines beside it are the cart (the view of a product has no
    cart: they stay where they were). Else the first line is the product, and the only line is completed from the
    properties: Meta keeps names there, others prices.
    """
    if not _IDENTITY.isdisjoint(fields):
        _put_back(rest, _CONTENT.values(), taken, flat)
        if kind is Kind.PRODUCT_VIEWED or "lines" not in fields:
            _put_back(rest, ("lines", "content_ids"), taken, flat)
            lines = []
        return (fields, {}), lines, bool(lines)
    if len(lines) > 1:
        _put_back(rest, (*vocabulary.PRODUCT_FIELDS, *_CONTENT.values()), taken, flat)
        return lines[0], lines, False
    line, extra = lines[0] if lines else ({}, {})
    lead = {field: fields[field] for field in vocabulary.PRODUCT_FIELDS if field in fields}
    lead |= {field: fields[source] for field, source in _CONTENT.items() if source in fields and field not in lead}
    _put_back(rest, [field for field in lead if field in line], taken, flat)
    lead |= line
    _put_back(
        rest, [source for field, source in _CONTENT.items() if lead.get(field) != fields.get(source)], taken, flat
    )
    if lines and _from_meta(taken):
        _price_from_value(lead, fields)
    return ((lead, extra) if lead or extra else None), [], False


def _put_back(rest: dict[str, Any], names: Iterable[str], taken: dict[str, str], flat: dict[str, Any]) -> None:
    """Leave fields that were read but not used where they came from."""
    for name in names:
        if (key := taken.get(name)) is not None:
            rest[key] = flat[key]


def _from_meta(taken: dict[str, str]) -> bool:
    return taken.get("lines") == "contents" or ("lines" not in taken and "content_ids" in taken)


def _price_from_value(lead: dict[str, Any], fields: dict[str, Any]) -> None:
    """Meta's calls about one product often carry its price as their value only."""
    value, pieces = fields.get("value"), lead.get("quantity", 1.0)
    if value is not None and pieces > 0 and "price" not in lead and "line_total" not in lead:
        lead["price"] = round(value / pieces, 4)


def only_line(rest: dict[str, Any]) -> tuple[list[Line], dict[str, Any]]:
    """Return the product among the properties of a cart without lines ("buy now"); a bare name is not one."""
    top, left, _ = vocabulary.read(rest, vocabulary.TOP_PRODUCT)
    return ([], rest) if _PRODUCT_KEYS.isdisjoint(top) else ([(top, {})], left)


def build(fields: dict[str, Any], extra: dict[str, Any], base: str | None) -> Product:
    """Return a product from the fields read; relative addresses are seen from the page ``base``."""
    return Product(
        product_id=fields.get("product_id"),
        variant_id=fields.get("variant_id"),
        sku=fields.get("sku"),
        name=fields.get("name"),
        variant=fields.get("variant"),
        brand=fields.get("brand"),
        categories=_categories(fields),
        price=fields.get("price"),
        compare_at_price=fields.get("compare_at_price"),
        quantity=fields.get("quantity", 1.0),
        line_total=fields.get("line_total"),
        url=values.absolute(fields.get("url"), base),
        image_url=values.absolute(fields.get("image_url"), base),
        coupon=fields.get("coupon"),
        extra=extra,
    )


def _categories(fields: dict[str, Any]) -> tuple[str, ...]:
    """Return the list of categories, with GA4's five levels behind it."""
    found: tuple[str, ...] = fields.get("categories", ())
    levels = [level for name in _LEVELS if (level := fields.get(name)) is not None]
    return tuple(dict.fromkeys((*found, *levels))) if levels else found
