"""The demo shop's own rules as tables: money, goods, the cart's limits, pictures."""

import re

import pytest

from relay.demo.storefront import cart as rules
from relay.demo.storefront.account import is_email
from relay.demo.storefront.cart import Cart, CartRefusal
from relay.demo.storefront.catalog import Product
from relay.demo.storefront.money import CURRENCIES, display, included_tax, shipping_fee
from relay.demo.storefront.orders import totals
from relay.demo.storefront.pictures import PALETTES, draw
from relay.demo.storefront.products import CATALOG, PRODUCTS
from relay.demo.storefront.shop import Shelf, local_path

MUG = 45_310_700_001_001  # 18.00 EUR
RARE_MUG = 45_310_700_001_004  # three in stock
SOLD_OUT_MUG = 45_310_700_001_006


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [(1250, "EUR", "€12.50"), (5, "USD", "$0.05"), (123_456, "EUR", "€1,234.56"), (0, "USD", "$0.00")],
)
def test_amount_is_printed(amount: int, currency: str, shown: str) -> None:
    assert display(amount, currency) == shown


@pytest.mark.parametrize(
    ("amount", "currency", "tax"),
    [(11900, "EUR", 1900), (100, "EUR", 16), (0, "EUR", 0), (11900, "USD", 0)],
    ids=["even", "rounded", "nothing", "no tax in dollars"],
)
def test_tax_is_contained_in_the_price(amount: int, currency: str, tax: int) -> None:
    assert included_tax(amount, currency) == tax


@pytest.mark.parametrize(
    ("goods", "currency", "fee"),
    [(7999, "EUR", 490), (8000, "EUR", 0), (8999, "USD", 590), (9000, "USD", 0)],
)
def test_shipping_is_waived_from_a_limit_on(goods: int, currency: str, fee: int) -> None:
    assert shipping_fee(goods, currency) == fee


def test_discount_comes_off_the_goods_before_shipping_is_decided() -> None:
    cart = Cart(discount_code="WELCOME10")
    rules.add(cart, CATALOG, MUG, 4, {})
    rules.add(cart, CATALOG, RARE_MUG, 1, {})
    sums = totals(cart, "EUR")
    assert (sums.subtotal, sums.discount, sums.shipping) == (9400, 940, 0)
    assert sums.total == 8460
    rules.change(cart, cart.lines[0], 0)
    assert totals(cart, "EUR").shipping == 490


@pytest.mark.parametrize(
    ("variant", "quantity", "status", "words"),
    [
        (1, 1, 404, "Cannot find variant"),
        (SOLD_OUT_MUG, 1, 422, "already sold out"),
        (RARE_MUG, 4, 422, "You can only add 3"),
        (MUG, 0, 422, "Quantity must be 1 or more"),
        (MUG, -1, 422, "Quantity must be 1 or more"),
    ],
    ids=["unknown", "sold out", "more than the stock", "none", "negative"],
)
def test_add_is_refused(variant: int, quantity: int, status: int, words: str) -> None:
    cart = Cart()
    with pytest.raises(CartRefusal, match=words) as refusal:
        rules.add(cart, CATALOG, variant, quantity, {})
    assert refusal.value.status == status
    assert cart.lines == []


def test_stock_counts_over_lines_with_different_properties() -> None:
    cart = Cart()
    rules.add(cart, CATALOG, RARE_MUG, 2, {})
    rules.add(cart, CATALOG, RARE_MUG, 1, {"Engraving": "Mia"})
    assert len(cart.lines) == 2
    with pytest.raises(CartRefusal, match="All 3"):
        rules.add(cart, CATALOG, RARE_MUG, 1, {})
    with pytest.raises(CartRefusal, match="only add 3"):
        rules.change(cart, cart.lines[0], 2)


def test_like_lines_become_one() -> None:
    cart = Cart()
    first = rules.add(cart, CATALOG, MUG, 1, {})
    again = rules.add(cart, CATALOG, MUG, 2, {})
    assert first is again
    assert [line.quantity for line in cart.lines] == [3]


def test_carts_share_nothing() -> None:
    one, other = Cart(), Cart()
    rules.add(one, CATALOG, MUG, 1, {})
    assert other.lines == []
    assert one.token != other.token
    assert one.key != other.key


def test_a_full_shelf_forgets_what_was_used_least() -> None:
    shelf: Shelf[int] = Shelf(most=2)
    shelf.put("a", 1)
    shelf.put("b", 2)
    assert shelf.get("a") == 1
    shelf.put("c", 3)
    assert (shelf.get("a"), shelf.get("b"), shelf.get("c")) == (1, None, 3)


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.handle)
def test_product_is_complete(product: Product) -> None:
    assert len({variant.options for variant in product.variants}) == len(product.variants)
    for variant in product.variants:
        assert set(variant.prices) == set(CURRENCIES)
        assert len(variant.options) == len(product.options)
        assert all(variant.compare_at[code] > variant.prices[code] for code in variant.compare_at)
        picture = draw(product.drawing, product.colour(variant))
        assert picture.startswith("<svg")
        assert PALETTES[product.colour(variant)].base in picture or product.colour(variant) == "plain"
        assert not re.search(r"\{\{|\{%|Undefined", picture)


def test_ids_and_skus_are_unique() -> None:
    variants = [variant for product in PRODUCTS for variant in product.variants]
    assert len({variant.id for variant in variants}) == len(variants)
    assert len({variant.sku for variant in variants}) == len(variants)


@pytest.mark.parametrize(
    ("query", "handles"),
    [
        ("wool", ["wool-blanket"]),
        ("NORTHWAY lake", ["trail-bottle"]),
        ("clay mug", ["stoneware-mug"]),
        ("", []),
        ("submarine", []),
    ],
)
def test_search_finds_products_that_have_every_word(query: str, handles: list[str]) -> None:
    assert [product.handle for product in CATALOG.search(query)] == handles


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("/products/dome-lamp?variant=1", "/products/dome-lamp?variant=1"),
        ("", "/"),
        ("https://elsewhere.example/", "/"),
        ("//elsewhere.example/", "/"),
        ("/\\elsewhere.example/", "/"),
        ("/a\r\nSet-Cookie: b=1", "/"),
    ],
)
def test_visitor_is_only_sent_back_into_the_shop(asked: str, path: str) -> None:
    assert local_path(asked) == path


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("mia@harbour.example", True),
        ("mia+shop@mail.harbour.example", True),
        ("mia@harbour", False),
        ("mia harbour.example", False),
        ("@harbour.example", False),
        ("", False),
    ],
)
def test_email_is_checked_by_its_form(address: str, good: bool) -> None:
    assert is_email(address) is good
