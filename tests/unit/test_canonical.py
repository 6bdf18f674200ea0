"""The canonical step: everybody's words for one thing become one."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay.model import Address, Commerce, Kind, Message, Order, Product
from relay.pipeline.canonical import canonicalise
from relay.pipeline.vocabulary import NOT_DONE
from tests.unit.words import call, order_of, product_of, track

# --- names -----------------------------------------------------------------------------------------------------------

NAMES = {
    Kind.PRODUCT_VIEWED: [
        "Product Viewed", "Product Clicked", "view_item", "ViewContent", "product_viewed", "Viewed Product",
    ],
    Kind.PRODUCT_ADDED: [
        "Product Added", "add_to_cart", "AddToCart", "product_added_to_cart", "Added to Cart", "Added To Cart",
    ],
    Kind.PRODUCT_REMOVED: ["Product Removed", "remove_from_cart", "product_removed_from_cart", "Removed from Cart"],
    Kind.CART_VIEWED: ["Cart Viewed", "view_cart", "cart_viewed", "Viewed Cart"],
    Kind.CHECKOUT_STARTED: [
        "Checkout Started", "begin_checkout", "InitiateCheckout", "checkout_started", "Started Checkout",
    ],
    Kind.ORDER_COMPLETED: ["Order Completed", "purchase", "Purchase", "checkout_completed", "Placed Order"],
    Kind.ORDER_REFUNDED: ["Order Refunded", "refund", "Refunded Order", "refunds/create"],
    Kind.ORDER_CANCELLED: [
        "Order Cancelled", "Order Canceled", "Cancelled Order", "Canceled Order", "orders/cancelled",
    ],
    Kind.PRODUCTS_SEARCHED: ["Products Searched", "search", "view_search_results", "Search", "search_submitted"],
    Kind.COLLECTION_VIEWED: ["Product List Viewed", "view_item_list", "collection_viewed"],
    Kind.PAGE: ["PageView", "page_view", "page_viewed"],
    Kind.SIGNED_OUT: ["Signed Out", "User Signed Out"],
    Kind.CONSENT_UPDATED: ["Consent Updated"],
}  # fmt: skip
EVERY_NAME = [(name, kind) for kind, names in NAMES.items() for name in names]


@pytest.mark.parametrize(("name", "kind"), EVERY_NAME, ids=[name for name, _ in EVERY_NAME])
def test_every_known_name_has_its_meaning(name: str, kind: Kind) -> None:
    assert canonicalise(track(name, {})).kind is kind


@pytest.mark.parametrize(
    "name",
    [
        "product added",
        "PRODUCT ADDED",
        "Product_Added",
        "product-added",
        "productAdded",
        " Product  Added ",
        "ADD_TO_CART",
    ],
)
def test_letter_case_and_separators_do_not_matter(name: str) -> None:
    commerce = canonicalise(track(name, {}))
    assert (commerce.kind, commerce.name) == (Kind.PRODUCT_ADDED, "Product Added")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("add_to_cart_stape", Kind.PRODUCT_ADDED),
        ("view_item_stape", Kind.PRODUCT_VIEWED),
        ("view_item_list_stape", Kind.COLLECTION_VIEWED),
        ("view_search_results_gtm", Kind.PRODUCTS_SEARCHED),
        ("purchase_server_side", Kind.ORDER_COMPLETED),
    ],
)
def test_lengthened_ga4_names_keep_their_meaning(name: str, kind: Kind) -> None:
    assert canonicalise(track(name, {})).kind is kind


@pytest.mark.parametrize("word", sorted(NOT_DONE))
def test_the_tag_too_knows_what_did_not_happen(word: str) -> None:
    shape = (Path(__file__).parents[2] / "static/src/sources/shape.js").read_text(encoding="utf-8")
    found = re.search(r"^const NOT_DONE = /(.+)/;$", shape, re.MULTILINE)
    assert found
    assert re.search(found[1], f"purchase_{word}")


@pytest.mark.parametrize(
    "name",
    [
        "Ordered Product",  # Klaviyo's own per-line metric is made by the mapping, never taken for an order
        "purchase_failed",
        "purchase_refunded",
        "purchase_start",
        "purchase_option_selected",
        "purchase_history_viewed",
        "purchase_protection_added",
        "search_toggle",
        "add_to_cart_button_clicked",
        "search_opened",
        "Product Added To Wishlist",
        "ViewContentish",
        "addtocartx",
        "logout",
        "checkout_contact_info_submitted",
        "Checkout Step Viewed",
        "Refund Requested",
        "refund_policy_viewed",
        "Order Cancellation Asked",
        "",
    ],
)
def test_other_names_are_passed_through_as_they_are(name: str) -> None:
    properties = {"product_id": "p1", "price": 3, "ecommerce": {"items": [{"item_id": "p1"}]}, "$value": "7.5"}
    commerce = canonicalise(track(name, properties))
    assert (commerce.kind, commerce.name) == (Kind.OTHER, name)
    assert commerce.properties == properties
    assert (commerce.product, commerce.items, commerce.order) == (None, (), None)


def test_an_own_event_keeps_its_properties_and_tells_its_value() -> None:
    commerce = canonicalise(track("Gift Card Bought", {"value": 5, "currency": "eur", "email": "a@b.example"}))
    assert (commerce.value, commerce.currency, commerce.email) == (5.0, "EUR", "a@b.example")
    assert commerce.properties == {"value": 5, "currency": "eur", "email": "a@b.example"}


@pytest.mark.parametrize(
    ("message", "kind", "name"),
    [
        pytest.param(call("page", name="Home"), Kind.PAGE, "Home", id="page"),
        pytest.param(call("page"), Kind.PAGE, "page", id="page-without-name"),
        pytest.param(call("screen", name="Cart"), Kind.PAGE, "Cart", id="screen"),
        pytest.param(call("identify", traits={"a": 1}), Kind.IDENTIFY, "identify", id="identify"),
        pytest.param(call("group", group_id="g"), Kind.OTHER, "", id="group"),
        pytest.param(call("alias", previous_id="x", event="Trick"), Kind.OTHER, "", id="alias"),
        pytest.param(call("track", event="user signed out"), Kind.SIGNED_OUT, "Signed Out", id="signed-out"),
    ],
)
def test_calls_that_are_no_commerce(message: Message, kind: Kind, name: str) -> None:
    commerce = canonicalise(message)
    assert (commerce.kind, commerce.name, commerce.value) == (kind, name, None)


# --- one product, five ways to say it ---------------------------------------------------------------------------------

LAMP = Product(
    product_id="p1",
    variant_id="v7",
    sku="LAMP-7",
    name="Lamp",
    variant="Brass",
    brand="Lumen",
    categories=("Lighting",),
    price=12.5,
    quantity=2.0,
    url="https://shop.example/products/lamp",
    image_url="https://cdn.example/lamp.jpg",
)
SEGMENT_LAMP = {
    "product_id": "p1", "variant_id": "v7", "sku": "LAMP-7", "name": "Lamp", "variant": "Brass", "brand": "Lumen",
    "category": "Lighting", "price": 12.5, "quantity": 2, "url": "/products/lamp",
    "image_url": "https://cdn.example/lamp.jpg",
}  # fmt: skip
GA4_LAMP = {
    "item_id": "p1", "variant_id": "v7", "sku": "LAMP-7", "item_name": "Lamp", "item_variant": "Brass",
    "item_brand": "Lumen", "item_category": "Lighting", "price": "12.50", "quantity": "2", "url": "/products/lamp",
    "image_url": "//cdn.example/lamp.jpg",
}  # fmt: skip
META_LAMP = {"id": "p1", "quantity": 2, "item_price": 12.5}
VARIANT = {
    "id": "gid://shopify/ProductVariant/v7",
    "sku": "LAMP-7",
    "title": "Brass",
    "price": {"amount": 12.5, "currencyCode": "EUR"},
    "image": {"src": "//cdn.example/lamp.jpg"},
    "product": {"id": "p1", "title": "Lamp", "vendor": "Lumen", "type": "Lighting", "url": "/products/lamp"},
}
CART_LINE = {"merchandise": VARIANT, "quantity": 2, "cost": {"totalAmount": {"amount": 25.0, "currencyCode": "EUR"}}}
KLAVIYO_LAMP = {
    "ProductID": "p1", "VariantID": "v7", "SKU": "LAMP-7", "ProductName": "Lamp", "VariantName": "Brass",
    "Brand": "Lumen", "Categories": ["Lighting"], "Price": 12.5, "Quantity": 2, "URL": "/products/lamp",
    "ImageURL": "https://cdn.example/lamp.jpg",
}  # fmt: skip
KLAVIYO_ADDED = {
    "AddedItemProductID": "p1", "AddedItemVariantID": "v7", "AddedItemSKU": "LAMP-7", "AddedItemProductName": "Lamp",
    "VariantName": "Brass", "Brand": "Lumen", "AddedItemCategories": ["Lighting"], "AddedItemPrice": 12.5,
    "AddedItemQuantity": 2, "AddedItemURL": "/products/lamp", "AddedItemImageURL": "https://cdn.example/lamp.jpg",
}  # fmt: skip

ADDED: dict[str, tuple[str, dict[str, Any]]] = {
    "segment": ("Product Added", SEGMENT_LAMP | {"currency": "eur"}),
    "segment-products": ("Product Added", {"products": [SEGMENT_LAMP], "currency": "EUR"}),
    "ga4": ("add_to_cart", {"currency": "EUR", "value": 25, "items": [GA4_LAMP]}),
    "ga4-nested": ("add_to_cart", {"ecommerce": {"currency": "EUR", "value": 25.0, "items": [GA4_LAMP]}}),
    "ga4-stape": ("add_to_cart_stape", {"ecommerce": {"currency": "EUR", "value": 25.0, "items": [GA4_LAMP]}}),
    "shopify": ("product_added_to_cart", {"cartLine": CART_LINE}),
    "shopify-data": ("product_added_to_cart", {"data": {"cartLine": CART_LINE}}),
    "klaviyo": ("Added to Cart", KLAVIYO_LAMP | {"currency": "EUR"}),
    "klaviyo-added-item": ("Added To Cart", KLAVIYO_ADDED | {"currency": "EUR"}),
}


@pytest.mark.parametrize(("name", "properties"), ADDED.values(), ids=ADDED)
def test_an_added_product_is_the_same_in_every_vocabulary(name: str, properties: dict[str, Any]) -> None:
    commerce = canonicalise(track(name, properties))
    line_total = 25.0 if "shopify" in str(properties) else None
    assert commerce == Commerce(
        kind=Kind.PRODUCT_ADDED,
        name="Product Added",
        product=Product(
            product_id="p1", variant_id="v7", sku="LAMP-7", name="Lamp", variant="Brass", brand="Lumen",
            categories=("Lighting",), price=12.5, quantity=2.0, line_total=line_total,
            url="https://shop.example/products/lamp", image_url="https://cdn.example/lamp.jpg",
        ),
        value=25.0,
        currency="EUR",
    )  # fmt: skip


VIEWED: dict[str, tuple[str, dict[str, Any]]] = {
    "segment": ("Product Viewed", SEGMENT_LAMP | {"currency": "EUR"}),
    "ga4": ("view_item", {"ecommerce": {"currency": "EUR", "items": [GA4_LAMP]}}),
    "shopify": ("product_viewed", {"data": {"productVariant": VARIANT}}),
    "klaviyo": ("Viewed Product", KLAVIYO_LAMP | {"currency": "EUR"}),
}


@pytest.mark.parametrize(("name", "properties"), VIEWED.values(), ids=VIEWED)
def test_a_viewed_product_is_the_same_in_every_vocabulary(name: str, properties: dict[str, Any]) -> None:
    commerce = canonicalise(track(name, properties))
    assert commerce.kind is Kind.PRODUCT_VIEWED
    assert (commerce.value, commerce.currency, commerce.items) == (12.5, "EUR", ())
    product = product_of(commerce)
    assert (product.product_id, product.variant_id, product.sku, product.name) == ("p1", "v7", "LAMP-7", "Lamp")
    assert (product.brand, product.categories, product.price) == ("Lumen", ("Lighting",), 12.5)
    assert (product.url, product.image_url) == (LAMP.url, LAMP.image_url)
    assert commerce.properties == {}


META = {
    "contents": {"contents": [META_LAMP], "content_name": "Lamp", "content_category": "Lighting", "value": 25},
    "contents-and-ids": {
        "content_ids": ["p1"], "contents": [META_LAMP], "content_name": "Lamp", "content_category": "Lighting",
        "value": 25,
    },
    "value-instead-of-price": {
        "contents": [{"id": "p1", "quantity": 2}], "content_name": "Lamp", "content_category": "Lighting", "value": 25,
    },
}  # fmt: skip


@pytest.mark.parametrize("properties", META.values(), ids=META)
def test_meta_puts_the_product_together_from_contents_and_content(properties: dict[str, Any]) -> None:
    commerce = canonicalise(track("AddToCart", properties | {"currency": "EUR", "content_type": "product"}))
    assert commerce.product == Product(product_id="p1", name="Lamp", categories=("Lighting",), price=12.5, quantity=2.0)
    assert (commerce.value, commerce.currency, commerce.items) == (25.0, "EUR", ())
    assert commerce.properties == {"content_type": "product"}


def test_meta_ids_alone_are_a_product() -> None:
    commerce = canonicalise(track("ViewContent", {"content_ids": [42], "content_name": "Lamp", "value": 12.5}))
    assert commerce.product == Product(product_id="42", name="Lamp", price=12.5)


def test_meta_ids_alone_are_the_lines_of_a_checkout() -> None:
    commerce = canonicalise(track("InitiateCheckout", {"content_ids": ["p1", "p2"], "value": 30, "num_items": 2}))
    assert [item.product_id for item in commerce.items] == ["p1", "p2"]
    assert (commerce.value, commerce.properties) == (30.0, {"num_items": 2})


def test_meta_ids_that_are_not_the_lines_stay_in_the_properties() -> None:
    commerce = canonicalise(track("Purchase", {"content_ids": ["group-1"], "contents": [META_LAMP]}))
    assert [item.product_id for item in commerce.items] == ["p1"]
    assert commerce.properties == {"content_ids": ["group-1"]}


# --- the cart beside the product --------------------------------------------------------------------------------------

CART = [SEGMENT_LAMP, {"product_id": "p2", "name": "Bulb", "price": 4, "quantity": 3}]
BULB_VARIANT = {"product": {"id": "p2", "title": "Bulb"}, "price": {"amount": 4}}
CARTS: dict[str, tuple[str, dict[str, Any], float]] = {
    "segment": ("Product Added", SEGMENT_LAMP | {"products": CART}, 37.0),
    "segment-cart-value": ("Product Added", SEGMENT_LAMP | {"products": CART, "cart_value": "37.00"}, 37.0),
    "klaviyo": (
        "Added to Cart",
        KLAVIYO_ADDED
        | {
            "$value": 36.5,
            "Items": [
                {"ProductID": "p1", "ProductName": "Lamp", "ItemPrice": 12.5, "Quantity": 2, "RowTotal": 25},
                {"ProductID": "p2", "ProductName": "Bulb", "ItemPrice": 4, "Quantity": 3, "RowTotal": 12},
            ],
        },
        36.5,
    ),
    "shopify": (
        "product_added_to_cart",
        {
            "data": {
                "cartLine": CART_LINE,
                "cart": {
                    "id": "c1?key=s3cret",
                    "cost": {"totalAmount": {"amount": 37, "currencyCode": "EUR"}},
                    "lines": [
                        CART_LINE,
                        {"merchandise": BULB_VARIANT, "quantity": 3},
                    ],
                },
            }
        },
        37.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "properties", "worth"), CARTS.values(), ids=CARTS)
def test_the_added_product_is_told_from_the_whole_cart(name: str, properties: dict[str, Any], worth: float) -> None:
    commerce = canonicalise(track(name, properties))
    assert product_of(commerce).name == "Lamp"
    assert [(item.product_id, item.name, item.quantity) for item in commerce.items] == [
        ("p1", "Lamp", 2.0),
        ("p2", "Bulb", 3.0),
    ]
    assert (commerce.cart_value, commerce.value) == (worth, worth)


def test_the_secret_of_a_shopify_cart_goes_nowhere() -> None:
    name, properties, _ = CARTS["shopify"]
    commerce = canonicalise(track(name, properties))
    assert commerce.cart_token == "c1"
    assert "s3cret" not in repr(commerce)


def test_several_added_items_without_a_named_product_are_not_taken_for_the_cart() -> None:
    commerce = canonicalise(
        track("add_to_cart", {"items": [{"item_id": "a", "price": 2}, {"item_id": "b", "price": 3}]})
    )
    assert product_of(commerce).product_id == "a"
    assert [item.product_id for item in commerce.items] == ["a", "b"]
    assert (commerce.value, commerce.cart_value) == (5.0, None)


def test_the_view_of_a_product_has_no_cart() -> None:
    commerce = canonicalise(track("Product Viewed", SEGMENT_LAMP | {"products": CART}))
    assert commerce.items == ()
    assert commerce.properties == {"products": CART}


def test_the_only_line_is_completed_from_the_properties_and_wins_over_them() -> None:
    properties = {
        "products": [{"product_id": "p1", "price": 5}],
        "price": 9,
        "url": "https://a.example/p",
        "color": "red",
    }
    commerce = canonicalise(track("Product Added", properties))
    assert commerce.product == Product(product_id="p1", price=5.0, url="https://a.example/p")
    assert commerce.properties == {"price": 9, "color": "red"}


def test_properties_beside_several_lines_are_nobodys() -> None:
    sent = {"price": 9, "coupon": "HI", "content_name": "Bundle"}
    commerce = canonicalise(track("add_to_cart", {"items": [{"item_id": "a"}, {"item_id": "b"}]} | sent))
    assert (product_of(commerce).price, commerce.properties) == (None, sent)


@pytest.mark.parametrize("order", [1, -1], ids=["first-named-first", "first-named-last"])
def test_of_two_words_for_one_field_the_better_is_taken_and_the_other_stays(order: int) -> None:
    sent = dict([("product_id", "spec"), ("ProductID", "other")][::order])
    commerce = canonicalise(track("Product Viewed", sent))
    assert (product_of(commerce).product_id, commerce.properties) == ("spec", {"ProductID": "other"})


def test_a_buy_now_checkout_without_lines_has_its_one_product() -> None:
    commerce = canonicalise(
        track("Checkout Started", {"product_id": "p1", "name": "Lamp", "price": 12.5, "quantity": 2})
    )
    assert commerce.items == (Product(product_id="p1", name="Lamp", price=12.5, quantity=2.0),)
    assert commerce.value == 25.0


def test_the_name_on_an_order_is_no_product() -> None:
    commerce = canonicalise(track("Order Completed", {"order_id": "1", "name": "Ada", "url": "https://a.example"}))
    assert (commerce.items, commerce.properties) == ((), {"name": "Ada", "url": "https://a.example"})


# --- orders -----------------------------------------------------------------------------------------------------------

ADA = Address(first_name="Ada", last_name="L", address1="1 St", city="London", country="United Kingdom",
              country_code="GB", zip="N1", phone="+4420")  # fmt: skip
ORDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "segment": (
        "Order Completed",
        {
            "order_id": 1001, "total": 32.5, "subtotal": 25, "shipping": "5.00", "tax": 2.5, "discount": 1,
            "coupon": "HI", "currency": "gbp", "products": [SEGMENT_LAMP],
            "billing_address": {"first_name": "Ada", "last_name": "L", "street": "1 St", "city": "London",
                                "country": "United Kingdom", "country_code": "GB", "postal_code": "N1",
                                "phone": "+4420"},
        },
    ),
    "ga4": (
        "purchase",
        {"ecommerce": {"transaction_id": "1001", "value": 32.5, "shipping": 5, "tax": "2.5", "coupon": "HI",
                       "currency": "GBP", "subtotal": 25, "discount": 1, "items": [GA4_LAMP]},
         "billingAddress": {"firstName": "Ada", "lastName": "L", "line1": "1 St", "city": "London",
                            "country": "United Kingdom", "countryCode": "GB", "postalCode": "N1", "phone": "+4420"}},
    ),
    "shopify": (
        "checkout_completed",
        {"data": {"checkout": {
            "token": "t1", "email": " ada@shop.example ", "phone": "+4420", "currencyCode": "GBP",
            "totalPrice": {"amount": 32.5, "currencyCode": "GBP"},
            "subtotalPrice": {"amount": 25, "currencyCode": "GBP"},
            "totalTax": {"amount": 2.5, "currencyCode": "GBP"},
            "shippingLine": {"price": {"amount": 5, "currencyCode": "GBP"}},
            "discountsAmount": {"amount": 1, "currencyCode": "GBP"},
            "discountApplications": [{"title": "HI", "type": "DISCOUNT_CODE"}, {"title": "Sale", "type": "AUTOMATIC"}],
            "lineItems": [{"id": "L1", "title": "Lamp", "quantity": 2, "variant": VARIANT,
                           "finalLinePrice": {"amount": 24, "currencyCode": "GBP"}}],
            "order": {"id": "gid://shopify/OrderIdentity/1001"},
            "billingAddress": {"firstName": "Ada", "lastName": "L", "address1": "1 St", "city": "London",
                               "country": "United Kingdom", "countryCode": "GB", "zip": "N1", "phone": "+4420"},
            "attributes": [{"key": "_x", "value": "ours"}],
        }}},
    ),
    "klaviyo": (
        "Placed Order",
        {
            "OrderId": "1001", "$value": 32.5, "Subtotal": 25, "Shipping": 5, "Tax": 2.5, "DiscountValue": 1,
            "DiscountCodes": ["HI"], "$currency_code": "GBP",
            "Items": [{"ProductID": "p1", "SKU": "LAMP-7", "ProductName": "Lamp", "Quantity": 2, "ItemPrice": 12.5,
                       "RowTotal": 25, "ProductCategories": ["Lighting"]}],
            "BillingAddress": {"FirstName": "Ada", "LastName": "L", "Address1": "1 St", "City": "London",
                               "Country": "United Kingdom", "CountryCode": "GB", "Zip": "N1", "Phone": "+4420"},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "properties"), ORDERS.values(), ids=ORDERS)
def test_an_order_is_the_same_in_every_vocabulary(name: str, properties: dict[str, Any]) -> None:
    commerce = canonicalise(track(name, properties))
    assert (commerce.kind, commerce.value, commerce.currency) == (Kind.ORDER_COMPLETED, 32.5, "GBP")
    assert order_of(commerce) == Order(
        order_id="1001", subtotal=25.0, shipping=5.0, tax=2.5, discount_value=1.0, discount_codes=("HI",),
        billing_address=ADA,
    )  # fmt: skip
    assert [(item.product_id, item.sku, item.name, item.price, item.quantity) for item in commerce.items] == [
        ("p1", "LAMP-7", "Lamp", 12.5, 2.0)
    ]


def test_a_pixel_checkout_brings_its_address_and_keeps_its_attributes() -> None:
    name, properties = ORDERS["shopify"]
    commerce = canonicalise(track(name, properties))
    assert (commerce.email, commerce.phone, commerce.cart_token) == ("ada@shop.example", "+4420", "t1")
    assert commerce.properties["checkout"]["attributes"] == [{"key": "_x", "value": "ours"}]
    assert commerce.items[0].line_total == 24.0
    assert commerce.items[0].extra["line_id"] == "L1"
    assert commerce.items[0].extra["currency"] == "EUR"  # the line says otherwise than its order: kept, not obeyed


def test_the_placeholder_title_of_a_product_without_variants_is_no_variant() -> None:
    variant = VARIANT | {"title": "Default Title"}
    assert product_of(canonicalise(track("product_viewed", {"productVariant": variant}))).variant is None


def test_what_an_address_has_more_stays() -> None:
    commerce = canonicalise(track("Order Completed", {"shipping_address": {"city": "Rome", "floor": 3}}))
    assert order_of(commerce).shipping_address == Address(city="Rome")
    assert commerce.properties == {"shipping_address": {"floor": 3}}


def test_a_call_without_order_fields_has_no_order() -> None:
    assert canonicalise(track("Checkout Started", {"products": CART})).order is None


KEPT: dict[str, tuple[str, dict[str, Any]]] = {**ADDED, **VIEWED, **ORDERS}


@pytest.mark.parametrize(("name", "properties"), KEPT.values(), ids=KEPT)
def test_an_event_comes_back_from_storage_as_it_was(name: str, properties: dict[str, Any]) -> None:
    commerce = canonicalise(track(name, properties))
    assert msgspec.json.decode(msgspec.json.encode(commerce), type=Commerce) == commerce


# --- searches and collections -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        pytest.param("Products Searched", {"query": "lamp"}, id="segment"),
        pytest.param("view_search_results", {"search_term": "lamp"}, id="ga4"),
        pytest.param("Search", {"search_string": "lamp"}, id="meta"),
        pytest.param("search_submitted", {"data": {"searchResult": {"query": "lamp"}}}, id="shopify"),
    ],
)
def test_a_search_has_its_words(name: str, properties: dict[str, Any]) -> None:
    commerce = canonicalise(track(name, properties))
    assert (commerce.kind, commerce.query, commerce.properties) == (Kind.PRODUCTS_SEARCHED, "lamp", {})


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        pytest.param(
            "Product List Viewed", {"list_id": "7", "category": "Lamps", "products": [SEGMENT_LAMP]}, id="segment"
        ),
        pytest.param(
            "view_item_list",
            {"ecommerce": {"item_list_id": "7", "item_list_name": "Lamps", "items": [GA4_LAMP]}},
            id="ga4",
        ),
        pytest.param(
            "collection_viewed",
            {
                "data": {
                    "collection": {"id": "gid://shopify/Collection/7", "title": "Lamps", "productVariants": [VARIANT]}
                }
            },
            id="shopify",
        ),
    ],
)
def test_a_collection_has_its_name_and_products(name: str, properties: dict[str, Any]) -> None:
    commerce = canonicalise(track(name, properties))
    assert (commerce.collection, commerce.collection_id, commerce.properties) == ("Lamps", "7", {})
    assert [item.name for item in commerce.items] == ["Lamp"]
    assert (commerce.value, commerce.product) == (None, None)


# --- refunds and cancellations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "value"),
    [
        pytest.param({"order_id": "1", "refund_id": 7, "refund_amount": "12.50", "total": 99}, 12.5, id="part"),
        pytest.param({"total": 99, "refunded_amount": 5}, 5.0, id="named-later"),
        pytest.param({"order_id": "1", "total": 99, "currency": "EUR"}, 99.0, id="segment"),
        pytest.param({"transaction_id": "1", "value": 20.5, "items": [{"item_id": "a", "price": 9}]}, 20.5, id="ga4"),
        pytest.param({"products": [{"sku": "a", "price": 4, "quantity": 2}]}, 8.0, id="lines"),
        pytest.param({"refund_amount": -12.5}, 12.5, id="said-as-a-loss"),
        pytest.param({"amount": 3}, 3.0, id="bare-amount"),
        pytest.param({"amount": 3, "total": 99}, 99.0, id="total-before-a-bare-amount"),
        pytest.param({"refund_amount": 0}, 0.0, id="nothing"),
        pytest.param({"order_id": "1"}, None, id="untold"),
    ],
)
def test_a_refund_is_worth_what_was_given_back(properties: dict[str, Any], value: float | None) -> None:
    assert canonicalise(track("Order Refunded", properties)).value == value


def test_a_refund_tells_its_order_and_its_own_id() -> None:
    sent = {"order_id": 1001, "refund_id": "gid://shopify/Refund/7", "tax": 2, "products": [{"sku": "a"}]}
    commerce = canonicalise(track("Order Refunded", sent))
    assert order_of(commerce) == Order(order_id="1001", refund_id="7", tax=2.0)
    assert commerce.items == (Product(sku="a"),)


def test_a_cancellation_is_worth_its_order() -> None:
    commerce = canonicalise(track("Order Cancelled", {"order_id": "1001", "total": "99.00", "reason": "fraud"}))
    assert (commerce.kind, commerce.value) == (Kind.ORDER_CANCELLED, 99.0)
    assert commerce.properties == {"reason": "fraud"}
