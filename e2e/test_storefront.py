"""Journeys in the demo shop itself, in a real browser.

Backflow's tag and Klaviyo's script are stood in for by recorders that note, in the page's localStorage, which calls
the theme makes. What the real ones make of the calls is tested elsewhere.
"""

import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import uvicorn
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from relay.demo.storefront import build_storefront

pytestmark = pytest.mark.browser

TAG = "http://tag.localhost:9/tag.js?key=demo"
KLAVIYO = "http://klaviyo.localhost:9"
EMAIL = "mia@harbour.example"

_RECORD = """
const record = (who, call) => {
  const key = "recorded-" + who;
  const plain = call.filter((each) => typeof each !== "function");
  localStorage.setItem(key, JSON.stringify([...JSON.parse(localStorage.getItem(key) || "[]"), plain]));
};
"""
TAG_RECORDER = f"""(() => {{ {_RECORD}
  const waiting = window.backflow || [];
  window.backflow = {{ push: (call) => record("backflow", call) }};
  for (const method of ["track", "page", "identify", "reset", "consent"])
    window.backflow[method] = (...args) => record("backflow", [method, ...args]);
  waiting.forEach((call) => record("backflow", call));
}})();"""
KLAVIYO_RECORDER = f"""(() => {{ {_RECORD}
  window._klOnsite.forEach((call) => record("klaviyo", call));
  window._klOnsite.push = (...calls) => calls.forEach((call) => record("klaviyo", call));
  document.cookie = "__kla_id=eyJjaWQiOiJhIn0=; path=/; max-age=63072000";
}})();"""


class Served:
    """An ASGI application behind a real HTTP server on a free port, in a thread."""

    def __init__(self, app: Starlette) -> None:
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        while not self.server.started:
            self.thread.join(0.01)
            assert self.thread.is_alive(), "the server did not start"
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"http://localhost:{port}"

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)


async def _make_profile(request: Request) -> Response:
    """What the Klaviyo sandbox answers when a profile is made."""
    email = (await request.json())["email"]
    return JSONResponse({"id": "01PROFILE", "_kx": f"token-of-{email}.DEMO12"}, 201)


@pytest.fixture(scope="module")
def shop_url() -> Iterator[str]:
    sandbox = Starlette(routes=[Path("/_sandbox/profiles", _make_profile, methods=["POST"])])
    with Served(sandbox) as sandbox_url:
        app = build_storefront(tag_url=TAG, klaviyo_url=KLAVIYO, klaviyo_company_id="DEMO12", sandbox_url=sandbox_url)
        with Served(app) as url:
            yield url


class Shopper:
    """One browser in the shop; what it does in the words of a shopper."""

    def __init__(self, context: BrowserContext, url: str, *, scripts_blocked: bool = False) -> None:
        self.page = context.new_page()
        self.url = url
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

        def answer(route: Route, script: str) -> None:
            if scripts_blocked:
                route.abort()
            else:
                route.fulfill(content_type="text/javascript", body=script)

        context.route("http://tag.localhost:9/**", lambda route: answer(route, TAG_RECORDER))
        context.route(f"{KLAVIYO}/**", lambda route: answer(route, KLAVIYO_RECORDER))

    def visit(self, path: str = "/") -> Page:
        self.page.goto(self.url + path)
        return self.page

    def see(self, name: str) -> Locator:
        return self.page.locator(f'[data-test="{name}"]')

    def choose(self, name: str) -> None:
        """Choose a variant by clicking what is drawn over its radio button."""
        self.page.locator(f'label:has([data-test="{name}"])').click()

    def add_to_cart(self, path: str) -> None:
        self.visit(path)
        self.see("add-to-cart").click()
        expect(self.see("cart-drawer")).to_be_visible()

    def give_contact(self) -> None:
        self.see("checkout-email").fill(EMAIL)
        self.see("checkout-phone").fill("+49 40 1234567")
        self.see("continue").click()
        expect(self.see("step-address")).to_be_visible()

    def give_address(self) -> None:
        fields = {"first-name": "Mia", "last-name": "Larsen", "address1": "Quay 7", "zip": "20457", "city": "Hamburg"}
        for name, value in fields.items():
            self.see(f"checkout-{name}").fill(value)
        self.see("checkout-country").select_option("DE")
        self.see("continue").click()
        expect(self.see("step-payment")).to_be_visible()

    def buy(self, path: str = "/products/cedar-candle") -> None:
        self.add_to_cart(path)
        self.see("checkout").click()
        self.give_contact()
        self.give_address()
        self.see("pay").click()
        expect(self.see("order-number")).to_be_visible()

    def wait_for_call(self, who: str, *start: str) -> Any:
        """Wait until the page has made a call that begins so; its last argument."""
        found = self.page.wait_for_function(
            """([who, start]) => JSON.parse(localStorage.getItem("recorded-" + who) || "[]")
               .find((call) => start.every((each, i) => call[i] === each))""",
            arg=[who, list(start)],
        )
        return found.json_value()[-1]

    def calls(self, who: str) -> list[list[Any]]:
        stored = self.page.evaluate("(who) => localStorage.getItem('recorded-' + who)", who)
        return list(json.loads(stored or "[]"))

    def names(self, who: str) -> list[str]:
        """The calls in order: tracks by their event, others by their method."""
        return [call[1] if call[0] == "track" else call[0] for call in self.calls(who)]

    def cookies(self) -> dict[str, str]:
        return {cookie["name"]: cookie["value"] for cookie in self.page.context.cookies()}


@pytest.fixture
def shopper(context: BrowserContext, shop_url: str) -> Iterator[Shopper]:
    context.set_default_timeout(15_000)
    shopper = Shopper(context, shop_url)
    yield shopper
    assert shopper.errors == []


def test_purchase_tells_backflow_every_step_and_klaviyo_no_email(shopper: Shopper) -> None:
    shopper.visit("/")
    shopper.see("hero-link").click()
    shopper.page.get_by_role("heading", name="Tidewater Stoneware Mug").click()
    shopper.page.wait_for_url("**/products/stoneware-mug")
    shopper.choose("option-size-large")
    expect(shopper.see("price")).to_contain_text("€22.00")
    shopper.see("quantity-plus").click()
    shopper.see("add-to-cart").click()
    expect(shopper.see("cart-line")).to_contain_text("Moss / Large")
    expect(shopper.see("cart-count")).to_have_text("2")
    added = shopper.wait_for_call("klaviyo", "track", "Added to Cart")
    assert (added["AddedItemSKU"], added["AddedItemPrice"], added["AddedItemQuantity"]) == ("MUG-MOS-L", 22, 2)
    assert added["$value"] == 44
    shopper.see("checkout").click()
    shopper.wait_for_call("backflow", "track", "Checkout Started")
    shopper.give_contact()
    shopper.give_address()
    shopper.see("pay").click()
    expect(shopper.see("order-number")).to_contain_text("#")
    expect(shopper.see("order-total")).to_have_text("€48.90")

    order = shopper.wait_for_call("backflow", "track", "Order Completed")
    assert order["order_id"] == shopper.see("order-number").get_attribute("data-order-id")
    assert (order["total"], order["currency"], order["email"]) == (48.9, "EUR", EMAIL)
    assert [(line["sku"], line["quantity"]) for line in order["products"]] == [("MUG-MOS-L", 2)]
    expected = ["Product Viewed", "Checkout Started", "identify", "identify", "Order Completed"]
    assert shopper.names("backflow") == expected
    assert next(call[1] for call in shopper.calls("backflow") if call[0] == "identify") == {
        "email": EMAIL,
        "phone": "+49 40 1234567",
    }
    assert shopper.names("klaviyo") == ["Viewed Product", "Added to Cart", "Started Checkout"]
    assert EMAIL not in json.dumps(shopper.calls("klaviyo"))


def test_order_is_not_told_again_on_reload(shopper: Shopper) -> None:
    shopper.buy()
    shopper.wait_for_call("backflow", "track", "Order Completed")
    shopper.page.reload()
    shopper.visit("/products/dome-lamp")
    shopper.wait_for_call("backflow", "track", "Product Viewed")
    assert shopper.names("backflow").count("Order Completed") == 1


def test_checkout_is_told_once_however_often_it_is_entered(shopper: Shopper) -> None:
    shopper.add_to_cart("/products/cedar-candle")
    shopper.see("checkout").click()
    shopper.wait_for_call("backflow", "track", "Checkout Started")
    shopper.page.reload()
    shopper.give_contact()
    shopper.wait_for_call("backflow", "identify")
    assert shopper.names("backflow").count("Checkout Started") == 1
    assert shopper.names("klaviyo").count("Started Checkout") == 1


def test_shop_sells_when_both_scripts_are_blocked(context: BrowserContext, shop_url: str) -> None:
    shopper = Shopper(context, shop_url, scripts_blocked=True)
    shopper.buy()
    expect(shopper.see("order-email")).to_have_text(EMAIL)
    assert shopper.errors == []


def test_line_is_changed_and_removed_in_the_drawer(shopper: Shopper) -> None:
    shopper.add_to_cart("/products/cedar-candle")
    shopper.see("line-plus").click()
    expect(shopper.see("line-quantity")).to_have_text("2")
    expect(shopper.see("cart-subtotal")).to_have_text("€48.00")
    expect(shopper.see("line-plus")).to_be_focused()
    with shopper.page.expect_request("**/cart/change") as change:
        shopper.see("line-remove").click()
    assert json.loads(change.value.post_data or "{}")["quantity"] == 0
    expect(shopper.see("cart-line")).to_have_count(0)
    expect(shopper.see("drawer-close")).to_be_focused()
    expect(shopper.see("cart-count")).to_have_text("0")


def test_cart_update_is_published_as_dawn_does(shopper: Shopper) -> None:
    page = shopper.visit("/products/cedar-candle")
    page.evaluate("() => { window.seen = []; subscribe('cart-update', (update) => window.seen.push(update)); }")
    shopper.see("add-to-cart").click()
    page.wait_for_function("window.seen.length === 1")
    seen = page.evaluate("window.seen[0]")
    assert (seen["source"], seen["productVariantId"]) == ("product-form", "45310700006001")
    assert seen["cartData"]["sku"] == "CAN-CED"


def test_more_than_the_stock_is_refused_in_words(shopper: Shopper) -> None:
    shopper.visit("/products/wool-blanket?variant=45310700004003")
    expect(shopper.see("stock")).to_have_text("Only 2 left")
    shopper.see("quantity").fill("5")
    shopper.see("add-to-cart").click()
    expect(shopper.see("add-problem")).to_contain_text("You can only add 2")
    expect(shopper.see("cart-drawer")).to_be_hidden()
    assert shopper.names("klaviyo").count("Added to Cart") == 0


def test_sold_out_version_cannot_be_added(shopper: Shopper) -> None:
    shopper.visit("/products/linen-pillow")
    shopper.choose("option-colour-ochre")
    expect(shopper.see("add-to-cart")).to_be_disabled()
    expect(shopper.see("add-to-cart")).to_have_text("Sold out")
    shopper.choose("option-colour-rust")
    expect(shopper.see("add-to-cart")).to_be_enabled()
    assert "variant=45310700008002" in shopper.page.url


def test_drawer_keeps_the_focus_and_gives_it_back(shopper: Shopper) -> None:
    page = shopper.visit("/")
    shopper.see("cart-link").focus()
    page.keyboard.press("Enter")
    expect(shopper.see("drawer-close")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    expect(shopper.see("cart-drawer")).to_be_hidden()
    expect(shopper.see("cart-link")).to_be_focused()


def test_newsletter_makes_the_visitor_known_to_klaviyo(shopper: Shopper) -> None:
    shopper.visit("/")
    shopper.see("newsletter-email").fill("not an address")
    shopper.see("newsletter-submit").click()
    expect(shopper.see("newsletter-answer")).to_contain_text("Enter an e-mail address")
    shopper.see("newsletter-email").fill(EMAIL)
    shopper.see("newsletter-submit").click()
    assert shopper.wait_for_call("klaviyo", "identify") == {"email": EMAIL}
    assert shopper.names("klaviyo") == ["identify"]
    assert shopper.names("backflow") == []


def test_login_identifies_and_logout_resets(shopper: Shopper) -> None:
    shopper.visit("/account/login")
    shopper.see("login-email").fill(EMAIL)
    shopper.see("login-first-name").fill("Mia")
    shopper.see("login").click()
    expect(shopper.see("account-email")).to_have_text(EMAIL)
    assert shopper.wait_for_call("backflow", "identify") == {"email": EMAIL, "firstName": "Mia"}
    [[_, customer_id, _]] = shopper.calls("backflow")
    assert customer_id == shopper.see("customer-id").inner_text()
    shopper.see("logout").click()
    shopper.wait_for_call("backflow", "reset")
    assert shopper.names("backflow") == ["identify", "reset"]


def test_currency_is_kept_from_page_to_page(shopper: Shopper) -> None:
    shopper.visit("/products/dome-lamp")
    shopper.see("currency").select_option("USD")
    expect(shopper.see("price")).to_contain_text("$75.00")
    shopper.add_to_cart("/products/cedar-candle")
    expect(shopper.see("cart-subtotal")).to_have_text("$26.00")
    assert shopper.page.evaluate("Shopify.currency.active") == "USD"


def test_recovery_link_restores_the_cart_in_another_browser(shopper: Shopper, shop_url: str, new_context: Any) -> None:
    shopper.add_to_cart("/products/rolltop-backpack")
    shopper.see("checkout").click()
    link = urlsplit(shopper.wait_for_call("backflow", "track", "Checkout Started")["checkout_url"])
    other = Shopper(new_context(), shop_url)
    other.visit(link.path)
    expect(other.see("step-contact")).to_be_visible()
    expect(other.see("checkout-total")).to_have_text("€119.00")
    expect(other.see("checkout-email")).to_have_value("")


def test_panel_blocks_klaviyo_and_lets_it_in_again(shopper: Shopper) -> None:
    page = shopper.visit("/products/dome-lamp")
    shopper.wait_for_call("klaviyo", "track", "Viewed Product")
    shopper.see("demo-panel-toggle").click()
    shopper.see("demo-block-klaviyo").click()
    expect(shopper.see("demo-block-klaviyo")).to_have_attribute("aria-checked", "true")
    assert page.locator('script[src*="klaviyo.js"]').count() == 0
    assert page.evaluate("typeof klaviyo.track") == "function"
    shopper.see("demo-block-klaviyo").click()
    expect(shopper.see("demo-block-klaviyo")).to_have_attribute("aria-checked", "false")
    assert page.locator('script[src*="klaviyo.js"]').count() == 1


def test_panel_forgets_what_scripts_stored_and_keeps_what_the_server_set(shopper: Shopper) -> None:
    shopper.add_to_cart("/products/cedar-candle")
    shopper.page.keyboard.press("Escape")
    shopper.page.evaluate("document.cookie = '_ga=GA1.1.1.1; path=/'; localStorage.setItem('mirror', '1')")
    shopper.wait_for_call("klaviyo", "track", "Added to Cart")
    assert {"__kla_id", "_ga", "cart"} <= set(shopper.cookies())
    shopper.visit("/?klaviyo=off")
    shopper.see("demo-panel-toggle").click()
    shopper.see("demo-forget").click()
    shopper.page.wait_for_url(f"{shopper.url}/")
    expect(shopper.see("cart-count")).to_have_text("1")
    assert not {"__kla_id", "_ga"} & set(shopper.cookies())
    assert {"cart", "demo_klaviyo"} <= set(shopper.cookies())
    assert shopper.page.evaluate("localStorage.getItem('mirror')") is None


def test_panel_lets_a_shopper_arrive_from_an_email(shopper: Shopper) -> None:
    shopper.visit("/collections/all")
    shopper.see("demo-panel-toggle").click()
    shopper.see("demo-email").fill(EMAIL)
    shopper.see("demo-email-link").click()
    shopper.page.wait_for_url("**/?_kx=**")
    query = parse_qs(urlsplit(shopper.page.url).query)
    assert query["_kx"] == [f"token-of-{EMAIL}.DEMO12"]
    assert query["utm_source"] == ["klaviyo"]


@pytest.mark.parametrize("path", ["/", "/collections/all", "/products/stoneware-mug", "/cart", "/checkout"])
def test_phone_page_fits_its_width(shopper: Shopper, path: str) -> None:
    shopper.page.set_viewport_size({"width": 360, "height": 740})
    shopper.add_to_cart("/products/rolltop-backpack")
    page = shopper.visit(path)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
