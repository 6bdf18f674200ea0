"""The property tables of each metric: which of Klaviyo's names carries which field of an event."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from relay.model import Action, Address, Commerce, Kind, Order, Product

#: Query parameters that name a click or a recipient: they have no place in a link that is e-mailed.
_TRACKING = frozenset(
    {
        "_kx", "dclid", "epik", "fbclid", "gad_source", "gbraid", "gclid", "irclickid", "li_fat_id", "mc_cid", "mc_eid",
        "msclkid", "nb_klid", "rdt_cid", "sccid", "srsltid", "tracking", "ttclid", "twclid", "wbraid", "yclid", "_gl",
        "email", "e-mail", "phone", "token", "bf", "_bf", "kpid",
    }
)  # fmt: skip


def of(commerce: Commerce, action: Action, page_url: str | None) -> dict[str, Any]:
    """Return the mapped properties of one metric; unknown ones are None or empty and are left out later."""
    if action.line is not None:
        return _ordered_product(commerce, commerce.items[action.line])
    return _TABLES[commerce.kind](commerce, page_url) if commerce.kind in _TABLES else {}


def custom(commerce: Commerce, action: Action) -> dict[str, Any]:
    """Return the caller's properties that go along: an ordered product carries those of its line only."""
    if action.line is not None:
        return commerce.items[action.line].extra
    if commerce.product is not None and commerce.product.extra:
        return {**commerce.product.extra, **commerce.properties}
    return commerce.properties


def page_link(page_url: str | None) -> str | None:
    """Return the address of a page without fragment, campaign, click and recipient parameters."""
    if page_url is None or ("?" not in page_url and "#" not in page_url):
        return page_url
    try:
        parts = urlsplit(page_url)
    except ValueError:
        return None
    kept = "&".join(pair for pair in parts.query.split("&") if pair and not _is_tracking(pair))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, kept, ""))


def _is_tracking(pair: str) -> bool:
    name, _, value = pair.partition("=")
    name = name.lower()
    return name.startswith("utm_") or name in _TRACKING or "@" in value or "%40" in value


def _pieces(quantity: float) -> float | int:
    return int(quantity) if quantity % 1 == 0 else quantity


def _union(lists: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(one for several in lists for one in several))


def _names(items: Iterable[Product]) -> list[str]:
    return list(dict.fromkeys(item.name for item in items if item.name))


def _item(product: Product) -> dict[str, Any]:
    """Return one element of ``Items``, the array that templates repeat over."""
    own = {
        "ProductID": product.product_id,
        "SKU": product.sku,
        "ProductName": product.name,
        "Quantity": _pieces(product.quantity),
        "ItemPrice": product.price,
        "RowTotal": product.row_total,
        "ProductURL": product.url,
        "ImageURL": product.image_url,
        "ProductCategories": product.categories,
        "Brand": product.brand,
        "VariantID": product.variant_id,
        "VariantName": product.variant,
        "CompareAtPrice": product.compare_at_price,
        "Coupon": product.coupon,
    }
    if product.extra:
        return own | {key: value for key, value in product.extra.items() if own.get(key) in (None, ())}
    return own


def _product(product: Product, currency: str | None) -> dict[str, Any]:
    return {
        "ProductName": product.name,
        "ProductID": product.product_id,
        "SKU": product.sku,
        "Price": product.price,
        "CompareAtPrice": product.compare_at_price,
        "ImageURL": product.image_url,
        "URL": product.url,
        "Brand": product.brand,
        "Categories": product.categories,
        "VariantID": product.variant_id,
        "VariantName": product.variant,
        "Currency": currency,
        "Coupon": product.coupon,
    }


def _lines(items: tuple[Product, ...], commerce: Commerce) -> dict[str, Any]:
    """Return what all carts and orders share: ``Items`` for templates, flat arrays for segments."""
    return {
        "Items": [_item(item) for item in items],
        "ItemNames": _names(items),
        "Categories": _union(item.categories for item in items),
        "Brands": list(dict.fromkeys(item.brand for item in items if item.brand)),
        "Currency": commerce.currency,
    }


def _count(items: tuple[Product, ...]) -> float | int | None:
    return _pieces(sum(item.quantity for item in items)) if items else None


def _viewed_product(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    product = commerce.product or Product()
    mapped = _product(product, commerce.currency)
    mapped["URL"] = product.url or page_link(page_url)
    if commerce.items:
        mapped["Items"] = [_item(item) for item in commerce.items]
    return mapped


def _added_to_cart(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    """The added product under both of Klaviyo's sets of names; the cart as far as it is known.

    Templates and flow filters read ``CartValue`` and link ``CheckoutURL``: where the source does not tell the cart,
    what was added stands for it, and the page the shopper was on.
    """
    mapped = _one_of_cart(commerce, page_url)
    if commerce.cart_value is None:
        mapped["CartValue"] = commerce.value
    if commerce.checkout_url is None:
        mapped["CheckoutURL"] = page_link(page_url)
    if (product := commerce.product) is not None:
        mapped |= {
            "AddedItemProductName": product.name,
            "AddedItemProductID": product.product_id,
            "AddedItemSKU": product.sku,
            "AddedItemImageURL": product.image_url,
            "AddedItemURL": product.url,
            "AddedItemPrice": product.price,
            "AddedItemQuantity": _pieces(product.quantity),
            "AddedItemCategories": product.categories,
        }
    return mapped


def _one_of_cart(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    product = commerce.product
    items = commerce.items or (() if product is None else (product,))
    mapped = _lines(items, commerce)
    if product is not None:
        union = mapped["Categories"]
        mapped |= _product(product, commerce.currency)
        mapped["Categories"] = product.categories or union
        mapped["Quantity"] = _pieces(product.quantity)
    mapped["CartValue"] = commerce.cart_value
    mapped["CheckoutURL"] = commerce.checkout_url
    mapped["CartToken"] = commerce.cart_token
    return mapped


def _cart(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    mapped = _lines(commerce.items, commerce)
    mapped["CartValue"] = commerce.value if commerce.cart_value is None else commerce.cart_value
    mapped["ItemCount"] = _count(commerce.items)
    mapped["CheckoutURL"] = commerce.checkout_url
    mapped["CartToken"] = commerce.cart_token
    return mapped


def _started_checkout(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    mapped = _cart(commerce, page_url)
    mapped["CheckoutURL"] = commerce.checkout_url or page_link(page_url)
    if commerce.order is not None:
        mapped |= _amounts(commerce.order)
    return mapped


def _amounts(order: Order) -> dict[str, Any]:
    return {
        "OrderID": order.order_id,
        "DiscountCodes": order.discount_codes,
        "DiscountValue": order.discount_value,
        "Subtotal": order.subtotal,
        "Shipping": order.shipping,
        "Tax": order.tax,
    }


def _placed_order(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    mapped = _lines(commerce.items, commerce)
    mapped["ItemCount"] = _count(commerce.items)
    mapped["Revenue"] = commerce.value
    mapped["CartToken"] = commerce.cart_token
    if (order := commerce.order) is not None:
        mapped |= _amounts(order)
        mapped["BillingAddress"] = _address(order.billing_address)
        mapped["ShippingAddress"] = _address(order.shipping_address)
    return mapped


def _address(address: Address | None) -> dict[str, Any] | None:
    """Return an address under Klaviyo's names; a short region or country in capitals is a code."""
    if address is None:
        return None
    region, region_code = address.region, address.region_code
    if region is not None and region_code is None and len(region) <= 3 and region.isupper():
        region_code, region = region, None
    country, country_code = address.country, address.country_code
    if country is not None and country_code is None and len(country) == 2 and country.isalpha():
        country_code, country = country.upper(), None
    return {
        "FirstName": address.first_name,
        "LastName": address.last_name,
        "Company": address.company,
        "Address1": address.address1,
        "Address2": address.address2,
        "City": address.city,
        "Region": region,
        "RegionCode": region_code,
        "Country": country,
        "CountryCode": country_code,
        "Zip": address.zip,
        "Phone": address.phone,
    }


def _ordered_product(commerce: Commerce, product: Product) -> dict[str, Any]:
    return {
        "OrderID": commerce.order.order_id if commerce.order else None,
        "ProductID": product.product_id,
        "SKU": product.sku,
        "ProductName": product.name,
        "Quantity": _pieces(product.quantity),
        "Price": product.price,
        "RowTotal": product.row_total,
        "ProductURL": product.url,
        "ImageURL": product.image_url,
        "Categories": product.categories,
        "Brand": product.brand,
        "VariantID": product.variant_id,
        "VariantName": product.variant,
        "CompareAtPrice": product.compare_at_price,
        "Currency": commerce.currency,
        "Coupon": product.coupon,
    }


def _searched_site(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    return {"SearchQuery": commerce.query, "URL": page_link(page_url), **_lines(commerce.items, commerce)}


def _viewed_collection(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    return {
        "CollectionName": commerce.collection,
        "CollectionID": commerce.collection_id,
        "URL": page_link(page_url),
        **_lines(commerce.items, commerce),
    }


_TABLES = {
    Kind.PRODUCT_VIEWED: _viewed_product,
    Kind.PRODUCT_ADDED: _added_to_cart,
    Kind.PRODUCT_REMOVED: _one_of_cart,
    Kind.CART_VIEWED: _cart,
    Kind.CHECKOUT_STARTED: _started_checkout,
    Kind.ORDER_COMPLETED: _placed_order,
    Kind.PRODUCTS_SEARCHED: _searched_site,
    Kind.COLLECTION_VIEWED: _viewed_collection,
}
