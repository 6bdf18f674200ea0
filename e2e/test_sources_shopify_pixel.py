"""The custom pixel for Shopify's checkout, in a stand-in for Shopify's sandbox,
and what the relay's reader makes of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from e2e.platforms import HERE, Announced
from e2e.tag_page import KEY
from relay.model import Message
from relay.pipeline.canonical import canonicalise
from relay.pipeline.integration import tells

pytestmark = pytest.mark.browser

PIXEL = Path(__file__).parent.parent / "static" / "shopify-pixel.js"
EVENT: dict[str, Any] = json.loads((HERE / "shopify-checkout.json").read_text())

#: What Shopify gives a pixel: everything answers later, and the beacon is the page's own.
SANDBOX = """
  const heard = {}, asked = {};
  window.analytics = {subscribe(name, call) { (heard[name] ||= []).push(call); }};
  window.browser = {localStorage: {getItem: async (key) => localStorage.getItem(key)},
    sendBeacon: async (url, body) => window.noBeacon ? false : navigator.sendBeacon(url, body)};
  window.init = {customerPrivacy: {marketingAllowed: window.agreed !== false, analyticsProcessingAllowed: true}};
  window.api = {customerPrivacy: {subscribe(name, call) { asked[name] = call; }}};
  window.publish = (name, event) => Promise.all((heard[name] || []).map((call) => call({...event,
    name}))).then(() => 1);
  window.agree = () => asked.visitorConsentCollected({customerPrivacy: {marketingAllowed: true,
    analyticsProcessingAllowed: true}});
"""


@pytest.fixture
def site() -> Iterator[Announced]:
    with Announced() as shop:
        shop.html = "<!doctype html><title>Checkout</title><link rel=icon href=data:,>"
        yield shop


def load(page: Page, site: Announced, before: str = "") -> None:
    page.goto(site.shop + "/checkouts/cn/token-1")
    pixel = PIXEL.read_text().replace("https://relay.example.com", site.relay).replace("your write key", KEY)
    page.evaluate(f"() => {{ {before}; {SANDBOX} }}")
    page.add_script_tag(content=f"{{ {pixel} }}")


def test_checkout_and_order_arrive_with_address_lines_and_tokens(page: Page, site: Announced) -> None:
    load(page, site, "localStorage.setItem('backflow.visitor', 'mirror-7')")
    page.evaluate("(event) => publish('checkout_started', event)", EVENT)
    page.evaluate("(event) => publish('checkout_started', event)", EVENT)
    page.evaluate("(event) => publish('checkout_completed', event)", EVENT)
    site.wait_for("identify", "Checkout Started", "Order Completed")
    assert site.names == ["identify", "Checkout Started", "Order Completed"]
    assert site.message("identify")["traits"] == {"email": "ann@shop.test"}
    arrival = site.arrivals[0]
    assert (arrival.body["writeKey"], arrival.body["visitor"]) == (KEY, "mirror-7")
    assert arrival.headers["content-type"].startswith("text/plain")
    assert arrival.headers["origin"] == site.shop
    order = site.message("Order Completed")
    assert order["messageId"] == "order-5001"
    assert order["context"]["shopify"] == {"clientId": "c1d2-client", "checkoutToken": "token-1", "handle": "h-1"}
    assert order["context"]["consent"] == {"marketing": True, "analytics": True, "source": "shopify"}
    assert "transactions" not in json.dumps(order)


def test_relay_reads_the_pixels_order(page: Page, site: Announced) -> None:
    load(page, site)
    page.evaluate("(event) => publish('checkout_completed', event)", EVENT)
    site.wait_for("Order Completed")
    message = site.message("Order Completed")
    sent = Message(
        type="track", message_id=message["messageId"], occurred_at=1.0, event=message["event"],
        properties=message["properties"], context=message["context"],
    )  # fmt: skip
    commerce = canonicalise(sent)
    assert (commerce.kind.value, commerce.value, commerce.currency) == ("Order Completed", 30, "EUR")
    assert (commerce.email, commerce.cart_token, commerce.checkout_url) == (
        "ann@shop.test",
        "token-1",
        "https://shop.test/cart/11:2",
    )
    (line,) = commerce.items
    assert (line.product_id, line.variant_id, line.name, line.quantity) == ("1", "11", "Shirt 11", 2)


@pytest.mark.parametrize(("email", "is_left"), [("ann@shop.test", True), (None, False)])
def test_relay_leaves_the_pixels_checkout_to_klaviyos_integration_once_it_has_an_address(
    page: Page, site: Announced, email: str | None, is_left: bool
) -> None:
    load(page, site)
    page.evaluate("([event, email]) => { event.data.checkout.email = email; publish('checkout_started', event) }",
                  [EVENT, email])  # fmt: skip
    site.wait_for("Checkout Started")
    message = site.message("Checkout Started")
    sent = Message(
        type="track", message_id=message["messageId"], occurred_at=1.0, event=message["event"],
        properties=message["properties"], context=message["context"],
    )  # fmt: skip
    assert tells(sent, canonicalise(sent)) is is_left


def test_nothing_leaves_before_consent_and_everything_after(page: Page, site: Announced) -> None:
    load(page, site, "window.agreed = false")
    page.evaluate("(event) => publish('checkout_started', event)", EVENT)
    assert site.arrivals == []
    page.evaluate("agree()")
    site.wait_for("identify", "Checkout Started")


def test_without_a_beacon_a_request_carries_it(page: Page, site: Announced) -> None:
    load(page, site, "window.noBeacon = true")
    page.evaluate("(event) => publish('checkout_contact_info_submitted', event)", EVENT)
    site.wait_for("identify")
    assert site.preflights == 0
