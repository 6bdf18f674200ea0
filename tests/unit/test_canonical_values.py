"""The canonical step: what a raw value counts as, and what an event is worth."""

import math
from typing import Any

import pytest

from relay.pipeline.canonical import canonicalise, unreadable
from relay.web.console.words import NOTES
from tests.unit.words import PAGE, call, product_of, track

CART = [
    {"product_id": "p1", "name": "Lamp", "price": 12.5, "quantity": 2},
    {"product_id": "p2", "name": "Bulb", "price": 4, "quantity": 3},
]


VALUES: dict[str, tuple[str, dict[str, Any], float | None]] = {
    "viewed-price": ("Product Viewed", {"product_id": "p", "price": 5, "quantity": 3}, 5.0),
    "viewed-explicit": ("Product Viewed", {"product_id": "p", "price": 5, "value": 4}, 4.0),
    "viewed-zero": ("Product Viewed", {"product_id": "p", "price": 5, "value": 0}, 0.0),
    "added-row": ("Product Added", {"product_id": "p", "price": 5, "quantity": 3}, 15.0),
    "added-explicit": ("Product Added", {"product_id": "p", "price": 5, "quantity": 3, "value": 14}, 14.0),
    "added-cart-first": ("Product Added", {"product_id": "p", "price": 5, "value": 14, "cart_value": 40}, 40.0),
    "added-cart-zero": ("Product Added", {"product_id": "p", "price": 5, "cart_value": 0}, 0.0),
    "added-no-price": ("Product Added", {"product_id": "p"}, None),
    "removed": ("Product Removed", {"product_id": "p", "price": 5}, None),
    "cart-sum": ("Cart Viewed", {"products": CART}, 37.0),
    "cart-one-price-missing": ("Cart Viewed", {"products": [*CART, {"product_id": "p3"}]}, None),
    "cart-value": ("Cart Viewed", {"products": CART, "cart_value": 30}, 30.0),
    "checkout-explicit": ("Checkout Started", {"products": CART, "value": 0}, 0.0),
    "order-total-before-revenue": ("Order Completed", {"total": 30, "revenue": 25}, 30.0),
    "order-value-before-total": ("Order Completed", {"total": 30, "value": 29}, 29.0),
    "order-revenue": ("Order Completed", {"revenue": "25"}, 25.0),
    "order-sum": ("Order Completed", {"products": CART}, 37.0),
    "order-empty": ("Order Completed", {}, None),
    "float-dust": ("Cart Viewed", {"products": [{"sku": "a", "price": 0.1}, {"sku": "b", "price": 0.2}]}, 0.3),
}  # fmt: skip


OWN_VALUES: dict[str, tuple[dict[str, Any], float | None]] = {
    "value": ({"value": 1, "total": 2, "revenue": 3}, 1.0),
    "total": ({"total": "2.50"}, 2.5),
    "revenue": ({"revenue": 3}, 3.0),
    "nothing-is-something": ({"revenue": 0}, 0.0),
    "the-next-when-one-cannot-be-read": ({"value": "a lot", "revenue": "3"}, 3.0),
    "none": ({"value": "a lot"}, None),
}


@pytest.mark.parametrize(("properties", "value"), OWN_VALUES.values(), ids=OWN_VALUES)
def test_an_own_event_is_worth_its_value_total_or_revenue(properties: dict[str, Any], value: float | None) -> None:
    assert canonicalise(track("Quiz Done", properties)).value == value


UNREADABLE: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "own": ("Quiz Done", {"revenue": "a lot", "currency": "Euro"}, ["unreadable_value", "unreadable_currency"]),
    "order": ("Order Completed", {"total": [], "products": [{"sku": "a", "price": "n/a"}]},
              ["unreadable_value", "unreadable_price"]),
    "beaten-but-readable": ("Order Completed", {"total": 30, "revenue": "25"}, []),
    "empty-says-nothing": ("Order Completed", {"total": "", "currency": None}, []),
    "a-name-of-the-shops": ("Quiz Done", {"price": "n/a", "score": "high"}, []),
}  # fmt: skip


@pytest.mark.parametrize(("name", "properties", "notes"), UNREADABLE.values(), ids=UNREADABLE)
def test_amounts_that_cannot_be_read_are_named_and_stay(
    name: str, properties: dict[str, Any], notes: list[str]
) -> None:
    commerce = canonicalise(track(name, properties))
    assert list(unreadable(commerce)) == notes
    assert set(notes) <= NOTES.keys()


@pytest.mark.parametrize(("name", "properties", "value"), VALUES.values(), ids=VALUES)
def test_value(name: str, properties: dict[str, Any], value: float | None) -> None:
    assert canonicalise(track(name, properties)).value == value


def test_the_explicit_value_of_a_cart_is_the_worth_of_the_cart() -> None:
    commerce = canonicalise(track("Cart Viewed", {"products": CART, "value": 30}))
    assert (commerce.value, commerce.cart_value) == (30.0, 30.0)


@pytest.mark.parametrize("name", ["Product Added", "Cart Viewed"])
def test_a_product_of_numbers_beyond_all_numbers_is_no_value(name: str) -> None:
    line = {"sku": "x", "price": 1e308, "quantity": 1e308}
    assert canonicalise(track(name, {"products": [line]})).value is None


def test_the_amount_that_was_not_taken_stays_in_the_properties() -> None:
    commerce = canonicalise(track("Order Completed", {"total": 30, "revenue": 25}))
    assert commerce.properties == {"revenue": 25}


NUMBERS: dict[str, tuple[Any, float | None]] = {
    "integer": (12, 12.0),
    "decimal-string": ("12.50", 12.5),
    "blank-around": (" 12.50 ", 12.5),
    "thousands": ("1,299.00", 1299.0),
    "millions": ("1,299,000", 1299000.0),
    "zero": (0, 0.0),
    "negative": (-3, -3.0),
    "money": ({"amount": "9.90", "currencyCode": "EUR"}, 9.9),
    "ambiguous-comma": ("1,299", None),
    "european": ("12,50", 12.5),
    "european-thousands": ("1.299,00", 1299.0),
    "european-thousands-by-space": ("1 299,00", 1299.0),
    "symbol": ("$12", 12.0),
    "symbol-behind": ("18,50 €", 18.5),
    "symbol-behind-no-break-space": ("18,50\u00a0€", 18.5),
    "code-before": ("EUR 18.50", 18.5),
    "code-behind": ("1,299.00 USD", 1299.0),
    "crowns": ("249 kr", 249.0),
    "ambiguous-comma-with-symbol": ("€1,299", None),
    "symbol-alone": ("€", None),
    "two-numbers": ("12.50 - 18.50", None),
    "words": ("from 12", None),
    "exponent": ("1e3", None),
    "hex": ("0x10", None),
    "other-digits": ("١٢", None),
    "infinity-string": ("inf", None),
    "nan-string": ("nan", None),
    "nan": (math.nan, None),
    "infinity": (math.inf, None),
    "boolean": (True, None),
    "too-large": (10**400, None),
    "list": ([5], None),
    "blank": ("", None),
    "rich-money": ({"amount": 1, "currencyCode": "EUR", "note": "x"}, None),
}


@pytest.mark.parametrize(("raw", "price"), NUMBERS.values(), ids=NUMBERS)
def test_what_counts_as_a_number(raw: Any, price: float | None) -> None:
    commerce = canonicalise(track("Product Viewed", {"sku": "x", "price": raw}))
    assert product_of(commerce).price == price
    assert ("price" in commerce.properties) is (price is None)
    if price is None:
        assert commerce.properties["price"] is raw


@pytest.mark.parametrize(
    ("raw", "quantity"), [(0, 0.0), (1.5, 1.5), ("3", 3.0), (-1, 1.0), ("many", 1.0), (None, 1.0), (True, 1.0)]
)
def test_what_counts_as_a_quantity(raw: Any, quantity: float) -> None:
    assert product_of(canonicalise(track("Product Added", {"sku": "x", "quantity": raw}))).quantity == quantity


@pytest.mark.parametrize(
    ("raw", "currency"),
    [("usd", "USD"), (" Eur ", "EUR"), ("US", None), ("EURO", None), ("€€€", None), ("12A", None), (978, None)],
)
def test_what_counts_as_a_currency(raw: Any, currency: str | None) -> None:
    commerce = canonicalise(track("Cart Viewed", {"currency": raw}))
    assert commerce.currency == currency
    assert ("currency" in commerce.properties) is (currency is None)


def test_the_currency_of_a_line_serves_for_the_whole() -> None:
    commerce = canonicalise(track("purchase", {"items": [{"item_id": "a", "currency": "sek"}, {"item_id": "b"}]}))
    assert commerce.currency == "SEK"
    assert commerce.items[0].extra == {}


@pytest.mark.parametrize(
    ("raw", "identifier"),
    [
        (42, "42"), (42.0, "42"), (" a ", "a"), ("gid://shopify/Product/9", "9"), ("", None), (True, None), (4.5, None),
        ([1], None), (2**70, None),
    ],
)  # fmt: skip
def test_what_counts_as_an_identifier(raw: Any, identifier: str | None) -> None:
    commerce = canonicalise(track("Product Viewed", {"name": "x", "product_id": raw}))
    assert product_of(commerce).product_id == identifier
    assert ("product_id" in commerce.properties) is (identifier is None)


@pytest.mark.parametrize(
    ("properties", "categories"),
    [
        ({"category": "A > B"}, ("A > B",)),
        ({"categories": ["A", " B ", "A", ""]}, ("A", "B")),
        ({"item_category": "A", "item_category2": "B", "item_category5": "E"}, ("A", "B", "E")),
        ({"category": ["A", 1]}, ()),
        ({"category": {"name": "A"}}, ()),
    ],
)
def test_categories(properties: dict[str, Any], categories: tuple[str, ...]) -> None:
    assert product_of(canonicalise(track("Product Viewed", {"sku": "x"} | properties))).categories == categories


ADDRESSES: dict[str, tuple[str, Any, str | None]] = {
    "absolute": ("https://a.example/x", PAGE, "https://a.example/x"),
    "root-relative": ("/a?b#c", PAGE, "https://shop.example/a?b#c"),
    "relative": ("other", PAGE, "https://shop.example/products/other"),
    "dots": ("/a/../b", PAGE, "https://shop.example/b"),
    "protocol-relative": ("//cdn.example/x", PAGE, "https://cdn.example/x"),
    "protocol-relative-no-page": ("//cdn.example/x", None, "https://cdn.example/x"),
    "root-relative-no-page": ("/a", None, "/a"),
    "page-without-path": ("/a", "https://shop.example?x=1", "https://shop.example/a"),
    "page-of-the-wrong-type": ("/a", 7, "/a"),
    "page-no-web-address": ("/a", "about:blank", "/a"),
    "broken-page": ("a", "https://[::1", "a"),
    "script": ("javascript:alert(1)", PAGE, None),
    "inline-image": ("data:image/png;base64,xx", PAGE, None),
}


@pytest.mark.parametrize(("raw", "page", "seen"), ADDRESSES.values(), ids=ADDRESSES)
def test_addresses_are_seen_from_the_page(raw: str, page: Any, seen: str | None) -> None:
    message = track("Product Viewed", {"sku": "x", "url": raw, "image_url": raw}, context={"page": {"url": page}})
    commerce = canonicalise(message)
    assert (product_of(commerce).url, product_of(commerce).image_url) == (seen, seen)
    assert commerce.properties == ({} if seen else {"url": raw, "image_url": raw})


@pytest.mark.parametrize("context", [{"page": "x"}, {"page": None}, {"document": {"location": 3}}, {"document": []}])
def test_a_strange_context_does_no_harm(context: dict[str, Any]) -> None:
    assert product_of(canonicalise(track("Product Viewed", {"sku": "x", "url": "/a"}, context=context))).url == "/a"


def test_the_location_of_a_pixel_counts_as_the_page() -> None:
    context = {"document": {"location": {"href": "https://pixel.example/p"}}}
    found = canonicalise(track("Product Viewed", {"sku": "x", "url": "/a"}, context=context))
    assert product_of(found).url == "https://pixel.example/a"


# --- the shopper's addresses ------------------------------------------------------------------------------------------

CONTACTS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "properties": ({"email": " a@b.example "}, {}, {}),
    "klaviyo": ({"$email": "a@b.example"}, {}, {}),
    "customer": ({"customer": {"email": "a@b.example", "id": 3}}, {}, {"customer": {"id": 3}}),
    "user-data": ({"user_data": {"email": "a@b.example"}}, {}, {}),
    "checkout": ({"checkout": {"email": "a@b.example"}}, {}, {}),
    "pixel": ({"data": {"checkout": {"email": "a@b.example"}}}, {}, {}),
    "traits": ({}, {"traits": {"email": "a@b.example"}}, {}),
}


@pytest.mark.parametrize(("properties", "context", "left"), CONTACTS.values(), ids=CONTACTS)
def test_an_address_is_found_and_taken_out_of_the_properties(
    properties: dict[str, Any], context: dict[str, Any], left: dict[str, Any]
) -> None:
    commerce = canonicalise(track("Checkout Started", properties, context=context))
    assert (commerce.email, commerce.properties) == ("a@b.example", left)


@pytest.mark.parametrize(("properties", "context", "left"), CONTACTS.values(), ids=CONTACTS)
def test_an_own_event_tells_its_address_too(
    properties: dict[str, Any], context: dict[str, Any], left: dict[str, Any]
) -> None:
    commerce = canonicalise(track("checkout_contact_info_submitted", properties, context=context))
    assert (commerce.email, commerce.properties) == ("a@b.example", properties)


@pytest.mark.parametrize("key", ["phone", "phone_number", "$phone_number"])
def test_a_phone_number_is_found(key: str) -> None:
    assert canonicalise(track("Checkout Started", {"user_data": {key: "+4420"}})).phone == "+4420"


def test_the_traits_of_an_identify_call_are_read() -> None:
    commerce = canonicalise(call("identify", traits={"email": "a@b.example", "phone": "+4420"}))
    assert (commerce.email, commerce.phone) == ("a@b.example", "+4420")


@pytest.mark.parametrize("raw", [7, True, "", "  ", ["a@b.example"], None, {"a": 1}])
def test_an_address_is_a_string_or_nothing(raw: Any) -> None:
    commerce = canonicalise(track("Checkout Started", {"email": raw, "customer": raw, "user_data": {"email": raw}}))
    assert commerce.email is None
