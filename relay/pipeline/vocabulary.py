"""Everybody's words for the same thing: event names and property names, as tables.

Second part of the canonical step. Sources of the names: Segment's e-commerce spec v2 (RudderStack's is the same),
Google Analytics 4, Meta's pixel, Shopify's Web Pixels and Klaviyo's own guide to custom integrations.
"""

from typing import Any

from relay.model import Kind
from relay.pipeline import values
from relay.pipeline.values import Reader

_NAMES: dict[Kind, tuple[str, ...]] = {
    Kind.PRODUCT_VIEWED: (
        "Product Viewed",
        "Product Clicked",
        "view_item",
        "ViewContent",
        "product_viewed",
        "Viewed Product",
    ),
    Kind.PRODUCT_ADDED: (
        "Product Added",
        "add_to_cart",
        "AddToCart",
        "product_added_to_cart",
        "Added to Cart",
    ),
    Kind.PRODUCT_REMOVED: (
        "Product Removed",
        "remove_from_cart",
        "product_removed_from_cart",
        "Removed from Cart",
    ),
    Kind.CART_VIEWED: ("Cart Viewed", "view_cart", "cart_viewed", "Viewed Cart"),
    Kind.CHECKOUT_STARTED: (
        "Checkout Started",
        "begin_checkout",
        "InitiateCheckout",
        "checkout_started",
        "Started Checkout",
    ),
    Kind.ORDER_COMPLETED: ("Order Completed", "purchase", "Purchase", "checkout_completed", "Placed Order"),
    # Klaviyo's and Segment's names, GA4's, and the topics of Shopify's webhooks.
    Kind.ORDER_REFUNDED: ("Order Refunded", "refund", "Refunded Order", "refunds/create"),
    Kind.ORDER_CANCELLED: (
        "Order Cancelled",
        "Order Canceled",
        "Cancelled Order",
        "Canceled Order",
        "orders/cancelled",
    ),
    Kind.PRODUCTS_SEARCHED: (
        "Products Searched",
        "search",
        "view_search_results",
        "Search",
        "search_submitted",
        "Searched Site",
    ),
    Kind.COLLECTION_VIEWED: ("Product List Viewed", "view_item_list", "collection_viewed", "Viewed Collection"),
    Kind.PAGE: ("PageView", "page_view", "page_viewed"),
    Kind.SIGNED_OUT: ("Signed Out", "User Signed Out"),
    Kind.CONSENT_UPDATED: ("Consent Updated",),
}


def folded(name: str) -> str:
    """Return a name without what does not matter in it: letter case, spaces, underscores and hyphens."""
    return name.lower().replace(" ", "").replace("_", "").replace("-", "")


_KINDS = {folded(name): kind for kind, names in _NAMES.items() for name in names}

#: GA4 names that plug-ins lengthen (``add_to_cart_stape``), the longest first.
_GA4_STEMS = (
    ("view_search_results_", Kind.PRODUCTS_SEARCHED),
    ("remove_from_cart_", Kind.PRODUCT_REMOVED),
    ("view_item_list_", Kind.COLLECTION_VIEWED),
    ("begin_checkout_", Kind.CHECKOUT_STARTED),
    ("add_to_cart_", Kind.PRODUCT_ADDED),
    ("view_item_", Kind.PRODUCT_VIEWED),
    ("view_cart_", Kind.CART_VIEWED),
    ("purchase_", Kind.ORDER_COMPLETED),
    ("search_", Kind.PRODUCTS_SEARCHED),
)
#: After one of these words the thing itself did not happen: ``purchase_failed`` is no order. The tag knows them too
#: (``static/src/sources/shape.js``).
# fmt: off
NOT_DONE = frozenset({
    "abandon", "abandoned", "attempt", "attempted", "button", "cancel", "canceled", "cancelled", "click", "clicked",
    "close", "closed", "decline", "declined", "error", "fail", "failed", "failure", "filter", "focus", "history",
    "hover", "impression", "intent", "open", "opened", "option", "options", "pending", "protect", "protection",
    "refund", "refunded", "retry", "select", "selected", "start", "started", "suggestion", "toggle", "toggled",
    "undo", "undone",
})
# fmt: on


def kind_of_track(name: str) -> Kind:
    """Return what a track call of this name means; letter case, spaces, underscores and hyphens do not matter."""
    kind = _KINDS.get(folded(name))
    if kind is not None:
        return kind
    for stem, kind in _GA4_STEMS:
        if name.startswith(stem):
            return Kind.OTHER if NOT_DONE.intersection(name[len(stem) :].lower().split("_")) else kind
    return Kind.OTHER


Table = dict[str, tuple[str, int, Reader]]


def _table(*fields: tuple[str, Reader, str]) -> Table:
    """Build ``{property: (field, rank, reader)}``: of two properties for one field the one named first wins."""
    return {key: (field, rank, reader) for field, reader, keys in fields for rank, key in enumerate(keys.split())}


def read(source: dict[str, Any], table: Table) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """Sort an object's members into known fields and the rest.

    Returns the fields read, the members left over, and which member each field came from. A member of a known name
    that cannot be read, or that a better one beat, is left over; a known one that is null is absent.
    """
    fields: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    taken: dict[str, str] = {}
    for key, raw in source.items():
        entry = table.get(key)
        if entry is None:
            rest[key] = raw
            continue
        if raw is None:
            continue
        field, rank, reader = entry
        value = reader(raw)
        if value is None:
            rest[key] = raw
            continue
        rival = taken.get(field)
        if rival is not None:
            if table[rival][1] < rank:
                rest[key] = raw
                continue
            rest[rival] = source[rival]
        fields[field] = value
        taken[field] = key
    return fields, rest, taken


_PRODUCT = (
    ("product_id", values.identifier, "AddedItemProductID product_id productId ProductID item_id content_id"),
    ("variant_id", values.identifier, "variant_id variantId VariantID AddedItemVariantID"),
    ("sku", values.identifier, "AddedItemSKU sku SKU Sku item_sku"),
    ("name", values.text, "AddedItemProductName name product_name productName ProductName item_name"),
    ("variant", values.text, "variant variant_name variantName VariantName item_variant variant_title"),
    ("brand", values.text, "brand Brand item_brand vendor Vendor"),
    ("categories", values.texts, "AddedItemCategories Categories categories ProductCategories category_names category"),
    ("category1", values.text, "item_category"),
    ("category2", values.text, "item_category2"),
    ("category3", values.text, "item_category3"),
    ("category4", values.text, "item_category4"),
    ("category5", values.text, "item_category5"),
    ("price", values.number, "AddedItemPrice price Price ItemPrice item_price"),
    ("compare_at_price", values.number, "compare_at_price compareAtPrice CompareAtPrice"),
    ("quantity", values.quantity, "AddedItemQuantity quantity Quantity qty"),
    ("line_total", values.number, "RowTotal row_total line_total lineTotal"),
    ("url", values.link, "AddedItemURL url URL ProductURL product_url"),
    ("image_url", values.link, "AddedItemImageURL image_url imageUrl ImageURL"),
    ("coupon", values.text, "coupon"),
)
PRODUCT_FIELDS = tuple(field for field, _, _ in _PRODUCT)
#: Product fields among the properties of an event that is not about one product.
TOP_PRODUCT = _table(*_PRODUCT)
#: Product fields inside a line of a cart, where the short words can only mean the product.
LINE = _table(*_PRODUCT) | {
    "id": ("product_id", 90, values.identifier),
    "title": ("name", 90, values.text),
    "image": ("image_url", 90, values.link),
    "currency": ("currency", 0, values.currency),
}

_ANY = (
    ("value", values.number, "value $value total Total revenue Revenue total_price totalPrice TotalPrice"),
    ("cart_value", values.number, "cart_value cartValue CartValue cart_total cartTotal"),
    (
        "currency",
        values.currency,
        "currency Currency currency_code currencyCode CurrencyCode value_currency $value_currency $currency_code",
    ),
    ("checkout_url", values.link, "checkout_url checkoutUrl CheckoutURL abandoned_checkout_url cart_url cartUrl"),
    (
        "cart_token",
        values.cart_token,
        "cart_token cartToken CartToken cart_id cartId checkout_token checkout_id checkoutId",
    ),
    ("lines", values.rows, "products items Items contents line_items lineItems lines"),
    ("content_ids", values.identifiers, "content_ids"),
)
_ONE_PRODUCT = (
    *_ANY,
    *_PRODUCT,
    ("content_name", values.text, "content_name"),
    ("content_category", values.texts, "content_category"),
)
_ORDER = (
    *_ANY,
    ("order_id", values.identifier, "order_id orderId OrderID OrderId transaction_id transactionId"),
    ("subtotal", values.number, "subtotal Subtotal sub_total"),
    ("shipping", values.number, "shipping Shipping shipping_total"),
    ("tax", values.number, "tax Tax tax_total"),
    ("discount_value", values.number, "discount DiscountValue discount_value total_discounts"),
    ("discount_codes", values.codes, "DiscountCodes discount_codes discount_code DiscountCode coupon coupon_codes"),
    ("billing_address", values.mapping, "billing_address billingAddress BillingAddress"),
    ("shipping_address", values.mapping, "shipping_address shippingAddress ShippingAddress"),
)
_REFUND_ID = ("refund_id", values.identifier, "refund_id refundId RefundID")
_REFUNDED = ("refund_amount", "refundAmount", "RefundAmount", "refunded_amount", "amount_refunded", "total_refunded")
#: The properties of each kind: the event's own and, where it is about one product, that product's.
EVENT: dict[Kind, Table] = {
    Kind.PRODUCT_VIEWED: _table(*_ONE_PRODUCT),
    # Klaviyo's own Added to Cart counts the whole cart in $value.
    Kind.PRODUCT_ADDED: _table(*_ONE_PRODUCT) | {"$value": ("cart_value", 90, values.number)},
    Kind.PRODUCT_REMOVED: _table(*_ONE_PRODUCT),
    Kind.CART_VIEWED: _table(*_ANY),
    Kind.CHECKOUT_STARTED: _table(*_ORDER),
    Kind.ORDER_COMPLETED: _table(*_ORDER),
    # What was given back comes before what the order was worth.
    Kind.ORDER_REFUNDED: _table(*_ORDER, _REFUND_ID)
    | dict.fromkeys(_REFUNDED, ("value", -1, values.number))
    | {"amount": ("value", 90, values.number)},
    Kind.ORDER_CANCELLED: _table(*_ORDER),
    Kind.PRODUCTS_SEARCHED: _table(
        *_ANY, ("query", values.text, "query search_term search_string searchTerm SearchQuery SearchTerm")
    ),
    Kind.COLLECTION_VIEWED: _table(
        *_ANY,
        (
            "collection",
            values.text,
            "collection CollectionName list_name item_list_name list category content_category",
        ),
        ("collection_id", values.identifier, "collection_id CollectionID list_id item_list_id"),
    ),
}
#: What is read, and not taken, from an event of no known meaning.
CUSTOM = _table(
    ("value", values.number, "value $value total Total revenue Revenue"),
    ("currency", values.currency, "currency Currency currency_code currencyCode value_currency $value_currency"),
)
ADDRESS = _table(
    ("first_name", values.text, "first_name firstName FirstName"),
    ("last_name", values.text, "last_name lastName LastName"),
    ("company", values.text, "company Company"),
    ("address1", values.text, "address1 Address1 street line1 address"),
    ("address2", values.text, "address2 Address2 line2"),
    ("city", values.text, "city City"),
    ("region", values.text, "region Region province state"),
    ("region_code", values.text, "region_code RegionCode province_code provinceCode"),
    ("country", values.text, "country Country"),
    ("country_code", values.text, "country_code CountryCode countryCode"),
    ("zip", values.identifier, "zip Zip postal_code postalCode postcode"),
    ("phone", values.identifier, "phone Phone"),
)
