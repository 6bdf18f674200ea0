"""The property tables of each metric: which of Klaviyo's names carries which field of an event. Pure.

The caller's own properties are ``custom``'s.
"""

from collections.abc import Iterable
from typing import Any

from relay.klaviyo.currencies import ISO_4217
from relay.klaviyo.links import page_link, shop_link
from relay.model import Action, Address, Commerce, Kind, Order, Product


def of(commerce: Commerce, action: Action, page_url: str | None) -> dict[str, Any]:
    """Return the mapped properties of one metric; unknown ones are None or empty and are left out later."""
    if action.line is not None:
        return _ordered_product(commerce, commerce.items[action.line])
    return _TABLES[commerce.kind](commerce, page_url) if commerce.kind in _TABLES else {}


def _pieces(quantity: float) -> float | int:
    return int(quantity) if quantity % 1 == 0 else quantity


def _each_once(values: Iterable[str | None]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]


def _item(product: Product) -> dict[str, Any]:
    """Return one element of ``Items``, the array that templates repeat over."""
    own = {
        "ProductID": product.product_id,
        "SKU": product.sku,
        "ProductName": product.name,
        "Quantity": _pieces(product.quantity),
        "ItemPrice": product.price,
        "RowTotal": product.row_total,
        "ProductURL": shop_link(product.url),
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
        "URL": shop_link(product.url),
        "Brand": product.brand,
        "Categories": product.categories,
        "VariantID": product.variant_id,
        "VariantName": product.variant,
        "Currency": currency,
        "Coupon": product.coupon,
    }


def _lines(items: tuple[Product, ...], commerce: Commerce) -> dict[str, Any]:
    """Return what all carts and orders share: ``Items`` for templates, flat arrays for segments."""
    if len(items) == 1:  # most carts: nothing to unite
        names, categories, brands = items[0].name, items[0].categories, items[0].brand
        return {
            "Items": [_item(items[0])],
            "ItemNames": [names] if names else None,
            "Categories": categories,
            "Brands": [brands] if brands else None,
            "Currency": commerce.currency,
        }
    return {
        "Items": [_item(item) for item in items],
        "ItemNames": _each_once([item.name for item in items]),
        "Categories": _each_once([category for item in items for category in item.categories]),
        "Brands": _each_once([item.brand for item in items]),
        "Currency": commerce.currency,
    }


def _count(items: tuple[Product, ...]) -> float | int | None:
    return _pieces(sum(item.quantity for item in items)) if items else None


def _viewed_product(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    product = commerce.product or Product()
    mapped = _product(product, commerce.currency)
    mapped["URL"] = shop_link(product.url) or page_link(page_url)
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
            "AddedItemURL": shop_link(product.url),
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
    mapped["CheckoutURL"] = shop_link(commerce.checkout_url)
    mapped["CartToken"] = commerce.cart_token
    return mapped


def _cart(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    mapped = _lines(commerce.items, commerce)
    mapped["CartValue"] = commerce.value if commerce.cart_value is None else commerce.cart_value
    mapped["ItemCount"] = _count(commerce.items)
    mapped["CheckoutURL"] = shop_link(commerce.checkout_url)
    mapped["CartToken"] = commerce.cart_token
    return mapped


def _started_checkout(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    mapped = _cart(commerce, page_url)
    mapped["CheckoutURL"] = shop_link(commerce.checkout_url) or page_link(page_url)
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
        "RefundID": order.refund_id,
    }


def _placed_order(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    return _order(commerce, page_url) | {"Revenue": commerce.value}


def _order(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    mapped = _lines(commerce.items, commerce)
    mapped["ItemCount"] = _count(commerce.items)
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
        "ProductURL": shop_link(product.url),
        "ImageURL": product.image_url,
        "Categories": product.categories,
        "Brand": product.brand,
        "VariantID": product.variant_id,
        "VariantName": product.variant,
        "CompareAtPrice": product.compare_at_price,
        "Currency": line_currency(commerce, product),
        "Coupon": product.coupon,
    }


def line_currency(commerce: Commerce, line: Product) -> str | None:
    """Return the currency of a line's price: its own if it names one, else its order's."""
    own = line.extra.get("currency")
    return own if own in ISO_4217 else commerce.currency


def _page(commerce: Commerce, page_url: str | None) -> dict[str, Any]:
    found = commerce.properties
    return {
        "PageName": commerce.name,
        "PageTitle": found.get("title"),
        "Path": found.get("path"),
        "ReferrerHost": found.get("referrer_host"),
        "URL": page_link(page_url),
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
    Kind.ORDER_REFUNDED: _order,
    Kind.ORDER_CANCELLED: _order,
    Kind.PAGE: _page,
    Kind.PRODUCTS_SEARCHED: _searched_site,
    Kind.COLLECTION_VIEWED: _viewed_collection,
}
