"""The demo shop over HTTP: Shopify's cart calls, the checkout, what the pages tell Klaviyo and Backflow."""

import asyncio
import json
import re
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from starlette.applications import Starlette

from relay.demo.storefront import build_storefront

MUG = 45_310_700_001_001  # 18.00 EUR, 19.00 USD
RARE_MUG = 45_310_700_001_004  # three in stock
SOLD_OUT_MUG = 45_310_700_001_006
CANDLE = 45_310_700_006_001  # no options
AJAX = {"Accept": "application/javascript", "X-Requested-With": "XMLHttpRequest"}
ADDRESS = {
    "first_name": "Mia",
    "last_name": "Larsen",
    "address1": "Quay 7",
    "city": "Hamburg",
    "zip": "20457",
    "country_code": "DE",
}


class Visitor:
    """A browser without scripts: keeps its cookies, follows no redirects."""

    def __init__(self, app: Starlette) -> None:
        self.app = app
        self.cookies = httpx.Cookies()

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.send("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.send("POST", path, **more)

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._send(method, path, **more))

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.test", cookies=self.cookies) as client:
            response = await client.request(method, path, **more)
            self.cookies = client.cookies
            return response

    def add(self, variant: int = MUG, quantity: int = 1) -> httpx.Response:
        """Add as Dawn's product form does."""
        fields = {"id": (None, str(variant)), "quantity": (None, str(quantity))}
        return self.post("/cart/add", files=fields, headers=AJAX)

    def cart(self) -> dict[str, Any]:
        return dict(self.get("/cart.js").json())

    def calls(self, path: str) -> list[tuple[str, list[Any]]]:
        """The calls a page makes to ``backflow`` in its own script, in order."""
        html = self.get(path).text
        found = re.findall(r"^\s*backflow\.(\w+)\((.*)\);$", html, re.MULTILINE)
        return [(method, json.loads(f"[{arguments}]")) for method, arguments in found]


@pytest.fixture
def app() -> Starlette:
    return build_storefront(
        tag_url="http://relay.test/tag.js?key=demo", klaviyo_url="http://klaviyo.test/", klaviyo_company_id="DEMO12"
    )


@pytest.fixture
def visitor(app: Starlette) -> Visitor:
    return Visitor(app)


def test_added_line_has_shopifys_fields_with_prices_in_cents(visitor: Visitor) -> None:
    line = visitor.add(MUG, 2).json()
    expected = {
        "id": MUG,
        "variant_id": MUG,
        "product_id": 8_210_400_000_101,
        "quantity": 2,
        "title": "Tidewater Stoneware Mug - Moss / Small",
        "product_title": "Tidewater Stoneware Mug",
        "variant_title": "Moss / Small",
        "sku": "MUG-MOS-S",
        "vendor": "Fernhill Pottery",
        "price": 1800,
        "final_price": 1800,
        "line_price": 3600,
        "final_line_price": 3600,
        "url": f"/products/stoneware-mug?variant={MUG}",
        "handle": "stoneware-mug",
        "image": "http://shop.test/pictures/stoneware-mug/moss.svg",
        "product_type": "Mugs",
        "untranslated_product_title": "Tidewater Stoneware Mug",
    }
    assert {name: line[name] for name in expected} == expected
    assert line["featured_image"]["url"] == line["image"]
    assert line["options_with_values"] == [{"name": "Colour", "value": "Moss"}, {"name": "Size", "value": "Small"}]


def test_line_without_options_has_no_variant_title(visitor: Visitor) -> None:
    line = visitor.add(CANDLE).json()
    assert line["variant_title"] is None
    assert line["title"] == "Cedar & Smoke Candle"
    assert line["product_has_only_default_variant"] is True
    assert line["variant_options"] == ["Default Title"]


def test_cart_has_shopifys_shape(visitor: Visitor) -> None:
    visitor.add(MUG, 2)
    visitor.add(CANDLE)
    cart = visitor.cart()
    assert [item["variant_id"] for item in cart["items"]] == [CANDLE, MUG]
    numbers = {name: cart[name] for name in ("item_count", "total_price", "items_subtotal_price", "total_discount")}
    assert numbers == {"item_count": 3, "total_price": 6000, "items_subtotal_price": 6000, "total_discount": 0}
    assert cart["currency"] == "EUR"
    assert cart["token"] == unquote(visitor.cookies["cart"])
    assert re.fullmatch(r"[\w-]+\?key=[0-9a-f]{32}", cart["token"])


@pytest.mark.parametrize("ending", ["", ".js", ".json"])
@pytest.mark.parametrize(
    "body",
    [
        {"json": {"id": MUG, "quantity": 2}},
        {"data": {"id": str(MUG), "quantity": "2"}},
        {"files": {"id": (None, str(MUG)), "quantity": (None, "2")}},
        {"json": {"items": [{"id": MUG, "quantity": 2}]}},
        {"data": {"items[0][id]": str(MUG), "items[0][quantity]": "2"}},
    ],
    ids=["json", "urlencoded", "form data", "json items", "form items"],
)
def test_add_reads_every_body_themes_send(visitor: Visitor, ending: str, body: dict[str, Any]) -> None:
    answer = visitor.post(f"/cart/add{ending}", headers=AJAX, **body)
    assert answer.status_code == 200
    lines = answer.json().get("items") or [answer.json()]
    assert [(line["variant_id"], line["quantity"]) for line in lines] == [(MUG, 2)]


@pytest.mark.parametrize(
    ("path", "body", "status", "message", "words"),
    [
        ("add", {"id": SOLD_OUT_MUG}, 422, "Cart Error", "already sold out"),
        ("add", {"id": RARE_MUG, "quantity": 9}, 422, "Cart Error", "You can only add 3"),
        ("add", {"id": 1}, 404, "Cart Error", "Cannot find variant"),
        ("add", {}, 400, "Bad Request", "items"),
        ("add", {"id": MUG, "quantity": "two"}, 422, "Cart Error", "whole number"),
        ("change", {"line": 5, "quantity": 1}, 400, "Bad Request", "no valid id or line parameter"),
        ("change", {"line": 1, "quantity": -1}, 422, "Cart Error", "0 or more"),
        ("change", {"line": 1, "quantity": 1000}, 422, "Cart Error", "You can only add 25"),
        ("update", {"updates": {"1": 1}}, 400, "Bad Request", "no valid id"),
    ],
)
def test_refusal_has_shopifys_shape(
    visitor: Visitor, path: str, body: dict[str, Any], status: int, message: str, words: str
) -> None:
    visitor.add(MUG)
    answer = visitor.post(f"/cart/{path}.js", json=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"status", "message", "description"}
    assert (answer.json()["status"], answer.json()["message"]) == (status, message)
    assert words in answer.json()["description"]
    assert visitor.cart()["item_count"] == 1


def test_one_refused_item_adds_none(visitor: Visitor) -> None:
    visitor.add(MUG)
    items = [{"id": MUG, "quantity": 1}, {"id": CANDLE}, {"id": SOLD_OUT_MUG}]
    assert visitor.post("/cart/add.js", json={"items": items}).status_code == 422
    assert [(line["variant_id"], line["quantity"]) for line in visitor.cart()["items"]] == [(MUG, 1)]


def test_change_to_zero_removes_and_says_what(visitor: Visitor) -> None:
    visitor.add(MUG, 2)
    visitor.add(CANDLE)
    cart = visitor.post("/cart/change", json={"line": 2, "quantity": 0}, headers={"Accept": "application/json"}).json()
    assert [line["variant_id"] for line in cart["items"]] == [CANDLE]
    assert [(line["variant_id"], line["quantity"]) for line in cart["items_removed"]] == [(MUG, 2)]
    assert cart["items_added"] == []


def test_change_finds_a_line_by_its_key(visitor: Visitor) -> None:
    key = visitor.add(MUG).json()["key"]
    cart = visitor.post("/cart/change.js", json={"id": key, "quantity": 3}).json()
    assert cart["items"][0]["quantity"] == 3


def test_update_merges_attributes_and_hides_private_ones(visitor: Visitor) -> None:
    visitor.add(MUG)
    visitor.post("/cart/update.js", json={"attributes": {"_x": "1", "gift": "yes", "__secret": "s"}, "note": "Ring"})
    cart = visitor.post("/cart/update.js", data={"attributes[gift]": "", f"updates[{MUG}]": "4"}).json()
    assert cart["attributes"] == {"_x": "1"}
    assert cart["note"] == "Ring"
    assert cart["items"][0]["quantity"] == 4


def test_clear_empties_the_cart(visitor: Visitor) -> None:
    visitor.add(MUG, 3)
    assert visitor.post("/cart/clear.js").json()["items"] == []
    assert visitor.cart()["item_count"] == 0


def test_sections_come_with_the_answer(visitor: Visitor) -> None:
    body = {"id": CANDLE, "sections": ["cart-drawer", "cart-icon-bubble", "unknown"]}
    sections = visitor.post("/cart/add.js", json=body).json()["sections"]
    assert set(sections) == {"cart-drawer", "cart-icon-bubble"}
    assert "Cedar &amp; Smoke Candle" in sections["cart-drawer"]
    assert sections["cart-drawer"].startswith('<div id="shopify-section-cart-drawer"')


def test_form_posted_without_scripts_leads_to_the_cart_page(visitor: Visitor) -> None:
    answer = visitor.post("/cart/add", data={"id": str(MUG)}, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (302, "/cart")
    assert "Tidewater Stoneware Mug" in visitor.get("/cart").text


def test_cart_of_another_visitor_cannot_be_seen_without_its_secret(app: Starlette, visitor: Visitor) -> None:
    visitor.add(MUG)
    token = unquote(visitor.cookies["cart"]).partition("?key=")[0]
    stranger = Visitor(app)
    stranger.cookies.set("cart", f"{token}%3Fkey%3D{'0' * 32}", domain="shop.test")
    assert stranger.cart()["item_count"] == 0
    assert visitor.cart()["item_count"] == 1


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"content": b"x" * 70_000}, 413),
        ({"content": b"[1]", "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"--", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"content": b"\xff=\xfe"}, 400),
    ],
    ids=["too large", "not an object", "not json", "not multipart", "not utf-8"],
)
def test_unreadable_body_is_refused(visitor: Visitor, more: dict[str, Any], status: int) -> None:
    assert visitor.post("/cart/add.js", **more).status_code == status


def test_text_of_visitors_is_escaped(visitor: Visitor) -> None:
    visitor.post("/cart/add.js", json={"id": MUG, "properties": {"Engraving": "<script>alert(1)</script>"}})
    for path in ("/cart", "/search?q=<script>alert(1)</script>"):
        assert "<script>alert(1)" not in visitor.get(path).text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/collections/all", 200),
        ("/collections/outdoor?sort_by=price-ascending&in_stock=1", 200),
        ("/collections/none", 404),
        ("/products/none", 404),
        ("/thank-you/none", 404),
        ("/nowhere", 404),
        ("/demo/email-link?email=mia@harbour.example", 404),
        ("/demo/backflow-link", 405),
        ("/pictures/dome-lamp/sage.svg", 200),
        ("/pictures/dome-lamp/moss.svg", 404),
    ],
)
def test_page_answers(visitor: Visitor, path: str, status: int) -> None:
    assert visitor.get(path).status_code == status


def test_every_page_carries_the_snippets_and_the_themes_globals(visitor: Visitor) -> None:
    html = visitor.get("/").text
    assert '<script async src="http://relay.test/tag.js?key=demo"></script>' in html
    assert '<script async src="http://klaviyo.test/onsite/js/DEMO12/klaviyo.js?company_id=DEMO12"></script>' in html
    assert 'cart_add_url: "/cart/add"' in html
    assert 'active: "EUR"' in html


def test_blocked_klaviyo_script_stays_out_until_it_is_let_in_again(visitor: Visitor) -> None:
    assert "klaviyo.js" not in visitor.get("/?klaviyo=off").text
    assert "klaviyo.js" not in visitor.get("/collections/all").text
    visitor.get("/?klaviyo=on")
    assert "klaviyo.js" in visitor.get("/collections/all").text


def test_product_page_speaks_all_its_vocabularies(visitor: Visitor) -> None:
    html = visitor.get("/products/dome-lamp").text
    data = json.loads(re.findall(r'<script type="application/ld\+json">(.*?)</script>', html)[0])
    assert data["@type"] == "ProductGroup"
    assert [each["offers"]["price"] for each in data["hasVariant"]] == ["69.00", "69.00", "89.00"]
    assert '<meta property="og:price:amount" content="69.00">' in html
    assert '"ProductName": "Dusk Dome Lamp"' in html
    [(method, [event, properties])] = visitor.calls("/products/dome-lamp")
    assert (method, event) == ("track", "Product Viewed")
    assert properties == {
        "product_id": "8210400000103",
        "variant_id": "45310700003001",
        "sku": "LMP-OCH",
        "name": "Dusk Dome Lamp",
        "variant": "Ochre",
        "brand": "Lumen & Oak",
        "category": "Lighting",
        "price": 69.0,
        "compare_at_price": 89.0,
        "currency": "EUR",
        "url": "http://shop.test/products/dome-lamp?variant=45310700003001",
        "image_url": "http://shop.test/pictures/dome-lamp/ochre.svg",
    }


def test_currency_changes_every_price(visitor: Visitor) -> None:
    answer = visitor.post("/localization", data={"currency": "USD", "return_to": "/products/dome-lamp"})
    assert answer.headers["location"] == "/products/dome-lamp"
    visitor.add(MUG)
    assert visitor.cart()["currency"] == "USD"
    assert visitor.cart()["total_price"] == 1900
    [(_, [_, properties])] = visitor.calls("/products/dome-lamp")
    assert (properties["price"], properties["currency"]) == (75.0, "USD")


def test_address_to_come_back_to_carries_nobodys_token(visitor: Visitor) -> None:
    html = visitor.get("/search?q=wool&_kx=abc.DEMO12&utm_source=klaviyo").text
    assert 'name="return_to" value="/search?q=wool"' in html


def test_checkout_tells_each_step_once_and_the_order_on_its_page(visitor: Visitor) -> None:
    visitor.add(MUG, 2)
    [(_, [event, started])] = visitor.calls("/checkout")
    assert event == "Checkout Started"
    assert (started["value"], started["currency"]) == (36.0, "EUR")
    assert "email" not in started
    assert started["products"][0]["quantity"] == 2
    assert started["checkout_url"].endswith(f"/checkouts/{started['checkout_id']}/recover")

    visitor.post("/checkout/discount", data={"code": "welcome10", "step": "contact"})
    visitor.post("/checkout", data={"email": "mia@harbour.example", "phone": "+49 40 1234567"})
    assert visitor.calls("/checkout/address") == [
        ("identify", [{"email": "mia@harbour.example", "phone": "+49 40 1234567"}])
    ]
    assert visitor.calls("/checkout/address") == []

    visitor.post("/checkout/address", data=ADDRESS)
    [(method, [traits])] = visitor.calls("/checkout/payment")
    assert method == "identify"
    assert (traits["firstName"], traits["lastName"]) == ("Mia", "Larsen")
    assert traits["address"] == {"street": "Quay 7", "city": "Hamburg", "postalCode": "20457", "country": "Germany"}

    thanks = visitor.post("/checkout/payment").headers["location"]
    [(method, [event, order])] = visitor.calls(thanks)
    assert (method, event) == ("track", "Order Completed")
    amounts = {name: order[name] for name in ("subtotal", "discount", "shipping", "tax", "total", "revenue")}
    assert amounts == {
        "subtotal": 36.0,
        "discount": 3.6,
        "shipping": 4.9,
        "tax": 5.96,
        "total": 37.3,
        "revenue": 27.23,
    }
    assert (order["currency"], order["coupon"], order["email"]) == ("EUR", "WELCOME10", "mia@harbour.example")
    assert order["shipping_address"]["city"] == "Hamburg"
    assert [(line["sku"], line["quantity"], line["price"]) for line in order["products"]] == [("MUG-MOS-S", 2, 18.0)]
    assert visitor.cart()["item_count"] == 0


def test_checkout_email_is_not_told_to_klaviyo(visitor: Visitor) -> None:
    visitor.add(MUG)
    visitor.post("/checkout", data={"email": "mia@harbour.example"})
    for path in ("/checkout", "/checkout/address"):
        told = re.findall(r"klaviyo\.\w+\(.*\)", visitor.get(path).text)
        assert not [call for call in told if "mia@" in call]


@pytest.mark.parametrize(
    ("path", "instead"),
    [("/checkout", "/cart"), ("/checkout/address", "/checkout"), ("/checkout/payment", "/checkout")],
)
def test_checkout_steps_cannot_be_skipped(visitor: Visitor, path: str, instead: str) -> None:
    assert visitor.get(path).headers["location"].startswith(instead)


def test_order_is_not_placed_twice(visitor: Visitor) -> None:
    visitor.add(MUG)
    visitor.post("/checkout", data={"email": "mia@harbour.example"})
    visitor.post("/checkout/address", data=ADDRESS)
    assert "/thank-you/" in visitor.post("/checkout/payment").headers["location"]
    assert "/thank-you/" not in visitor.post("/checkout/payment").headers["location"]


def test_wrong_details_are_named_and_nothing_is_told(visitor: Visitor) -> None:
    visitor.add(MUG)
    answer = visitor.post("/checkout", data={"email": "nobody"})
    assert answer.status_code == 422
    assert "Enter an e-mail address." in answer.text
    assert "identify" not in [method for method, _ in visitor.calls("/checkout")]
    assert visitor.get("/checkout/address").status_code == 302


def test_recovery_link_brings_the_lines_to_another_browser_and_nothing_personal(
    app: Starlette, visitor: Visitor
) -> None:
    visitor.add(MUG, 2)
    [(_, [_, started])] = visitor.calls("/checkout")
    visitor.post("/checkout", data={"email": "mia@harbour.example"})
    other = Visitor(app)
    answer = other.get(started["checkout_url"] + "?utm_source=klaviyo")
    assert answer.headers["location"] == "/checkout?utm_source=klaviyo"
    assert other.cart()["item_count"] == 2
    assert "mia@harbour.example" not in other.get("/checkout").text
    assert other.cookies["cart"] != visitor.cookies["cart"]


def test_login_identifies_once_and_logout_resets_once(visitor: Visitor) -> None:
    login = {"email": "mia@harbour.example", "first_name": "Mia", "last_name": "Larsen"}
    assert visitor.post("/account/login", data=login).headers["location"] == "/account"
    [(method, [customer_id, traits])] = visitor.calls("/account")
    assert method == "identify"
    assert customer_id.isdigit()
    assert traits == {"email": "mia@harbour.example", "firstName": "Mia", "lastName": "Larsen"}
    assert visitor.calls("/account") == []
    visitor.post("/account/logout")
    assert visitor.calls("/account/login") == [("reset", [])]
    assert visitor.calls("/account/login") == []


def test_same_address_is_the_same_customer(app: Starlette) -> None:
    ids = []
    for email in ("mia@harbour.example", "MIA@harbour.example", "tom@harbour.example"):
        visitor = Visitor(app)
        visitor.post("/account/login", data={"email": email})
        ids.append(visitor.calls("/account")[0][1][0])
    assert ids[0] == ids[1] != ids[2]
