"""Shopify themes: the Ajax cart in every way themes call it, and what the tag makes of its answers."""

import json
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route

from e2e.platforms import Shopify
from e2e.tag_page import Answer, TagPage, name_of
from e2e.test_tag import LOADED, expect, outrun, page_errors, run, site, visit

pytestmark = pytest.mark.browser
__all__ = ["page_errors", "site"]


FORM_DATA = """async () => {
  const body = new FormData(); body.append("id", "11"); body.append("quantity", "2"); body.append("sections", "cart");
  return (await (await fetch("%s/cart/add", {method: "POST", body})).json()).product_title;
}"""
JSON_BODY = """async () => {
  const headers = {"Content-Type": "application/json"}, body = JSON.stringify({id: 11, quantity: 2});
  return (await (await fetch("/cart/add.js", {method: "POST", headers, body})).json()).product_title;
}"""
REQUEST = """async () => {
  const headers = {"Content-Type": "application/json"}, body = JSON.stringify({id: 11, quantity: 2});
  const request = new Request("/cart/add.js", {method: "POST", headers, body});
  return (await (await fetch(request)).json()).product_title;
}"""
XHR = """() => new Promise((resolve) => {
  const request = new XMLHttpRequest();
  request.open("POST", "/cart/add.js"); request.responseType = "%s";
  request.setRequestHeader("Content-Type", "application/x-www-form-urlencoded");
  const answer = () => request.responseType ? request.response : JSON.parse(request.responseText);
  request.onload = () => resolve(answer().product_title);
  request.send("id=11&quantity=2");
})"""


@pytest.mark.parametrize(
    ("script", "prefix"),
    [
        (FORM_DATA % "", ""),
        (FORM_DATA % "/fr", "/fr"),
        (JSON_BODY, ""),
        (REQUEST, ""),
        (XHR % "", ""),
        (XHR % "json", ""),
    ],
    ids=["fetch-form", "fetch-locale", "fetch-json", "fetch-request", "xhr-text", "xhr-json"],
)
def test_ajax_add_becomes_product_added_with_the_whole_cart(
    page: Page, site: TagPage, script: str, prefix: str
) -> None:
    visit(page, site)
    page.evaluate(FORM_DATA % "")
    site.wait_for("Product Added")
    site.committed.clear()
    assert page.evaluate(script) == "Shirt 11"  # the page gets its own answer
    site.wait_for("Product Added")
    message = site.message("Product Added")
    assert message["context"]["capture"] == ["shopify_cart"]
    line = {
        "product_id": 1, "variant_id": 11, "sku": "SKU-11", "name": "Shirt 11", "variant": "Large",
        "brand": "Acme", "category": "Shirts", "price": 12.5, "url": "/products/shirt?variant=11",
        "image_url": "//cdn.shop.test/shirt.jpg",
    }  # fmt: skip
    assert message["properties"] == line | {
        "quantity": 2, "currency": "EUR", "cart_value": 50, "cart_id": "token-1",
        "checkout_url": f"{prefix}/cart/11:4", "products": [line | {"quantity": 4}],
    }  # fmt: skip
    assert site.cart_reads[-1] == f"{prefix}/cart.js"
    assert "secret" not in json.dumps(site.arrivals[-1].body)


def test_several_items_added_at_once_are_several_events(page: Page, site: TagPage) -> None:
    visit(page, site)
    script = """() => fetch("/cart/add.js", {method: "POST", headers: {"Content-Type": "application/json"},
      body: JSON.stringify({items: [{id: 11, quantity: 3}, {id: 21}]})})"""
    page.evaluate(script)
    site.wait(lambda: site.names.count("Product Added") == 2, "two events")
    added = [message["properties"] for message in site.messages if name_of(message) == "Product Added"]
    assert [(line["variant_id"], line["quantity"]) for line in added] == [(11, 3), (21, 1)]


def test_one_variant_added_twice_in_one_request_is_two_events_with_their_own_numbers(page: Page, site: TagPage) -> None:
    visit(page, site)
    line = {"id": 11, "variant_id": 11, "product_id": 1}
    lines = [line | {"quantity": 2, "properties": {"Engraving": "Ada"}}, line | {"quantity": 5}]
    page.route("**/cart/add.js", lambda route: route.fulfill(json={"items": lines}))
    script = """() => fetch("/cart/add.js", {method: "POST", headers: {"Content-Type": "application/json"},
      body: JSON.stringify({items: [{id: 11, quantity: 1, properties: {Engraving: "Ada"}}, {id: 11, quantity: 3}]})})"""
    page.evaluate(script)
    site.wait(lambda: site.names.count("Product Added") == 2, "two events")
    added = [message["properties"] for message in site.messages if name_of(message) == "Product Added"]
    assert [(line["variant_id"], line["quantity"]) for line in added] == [(11, 1), (11, 3)]


def test_amounts_of_a_currency_without_minor_unit_are_divided_too(page: Page, site: TagPage) -> None:
    site.currency = "JPY"
    visit(page, site)
    page.evaluate(JSON_BODY)
    site.wait_for("Product Added")
    properties = site.message("Product Added")["properties"]
    assert (properties["currency"], properties["price"], properties["cart_value"]) == ("JPY", 12.5, 25)


@pytest.mark.parametrize("variant", ["0", "1"], ids=["answered-422", "answered-200-with-status"])
def test_a_refused_add_is_no_event(page: Page, site: TagPage, variant: str) -> None:
    visit(page, site)
    add = """(id) => fetch("/cart/add.js", {method: "POST", headers: {"Content-Type": "application/json"},
      body: JSON.stringify({id})}).then((response) => response.json())"""
    assert page.evaluate(add, variant)["status"] == 422
    page.evaluate(add, "21")
    site.wait_for("Product Added")
    assert site.message("Product Added")["properties"]["variant_id"] == 21
    assert len(site.cart_reads) == 1


def test_quantity_zero_is_a_removal_and_another_quantity_is_not(page: Page, site: TagPage) -> None:
    visit(page, site)
    page.evaluate(JSON_BODY)
    site.wait_for("Product Added")
    change = """(quantity) => fetch("/cart/change", {method: "POST", headers: {"Content-Type": "application/json"},
      body: JSON.stringify({line: 1, quantity})}).then((response) => response.json())"""
    expect(page, site, lambda: page.evaluate(change, 5), must=(), must_not=("Product Removed",))
    expect(page, site, lambda: page.evaluate(change, 0), must=("Product Removed",))
    properties = site.message("Product Removed")["properties"]
    assert (properties["variant_id"], properties["name"], properties["products"]) == (11, "Shirt 11", [])


def test_cart_that_became_an_order_is_no_removal(page: Page, site: TagPage) -> None:
    visit(page, site)
    page.evaluate(JSON_BODY)
    site.wait_for("Product Added")
    site.cart.clear()
    site.token = "token-2"
    change = """() => fetch("/cart/update.js", {method: "POST", headers: {"Content-Type": "application/json"},
      body: JSON.stringify({note: "gift"})}).then((response) => response.json())"""
    expect(page, site, lambda: page.evaluate(change), must=(), must_not=("Product Removed",))


def test_clearing_the_cart_removes_every_line(page: Page, site: TagPage) -> None:
    visit(page, site)
    page.evaluate(FORM_DATA % "")
    site.wait_for("Product Added")
    page.evaluate("""() => fetch("/cart/add.js", {method: "POST", body: new URLSearchParams("id=21")})""")
    site.wait(lambda: site.names.count("Product Added") == 2, "both adds")
    page.evaluate("""() => fetch("/cart/clear.js", {method: "POST"})""")
    site.wait(lambda: site.names.count("Product Removed") == 2, "both removals")


def test_theme_that_leaves_for_the_cart_page_at_once_loses_no_add(page: Page, site: TagPage) -> None:
    site.hold_cart = threading.Event()
    visit(page, site)
    page.evaluate("""() => { fetch("/cart/add.js", {method: "POST", body: new URLSearchParams("id=11&quantity=2")})
      .then((response) => response.json()).then(() => { location.href = "/cart"; }); }""")
    page.wait_for_url("**/cart")
    site.wait_for("Product Added")
    properties = site.message("Product Added")["properties"]
    assert (properties["name"], properties["price"], properties["quantity"]) == ("Shirt 11", 12.5, 2)


# -- a theme's own page


@pytest.fixture
def theme() -> Iterator[Shopify]:
    with Shopify() as shop:
        yield shop


def test_dawns_form_is_one_event_with_its_publication(page: Page, theme: Shopify) -> None:
    visit(page, theme, "/products/shirt")
    theme.wait_for("page")
    page.wait_for_function("subscribers['cart-update']")
    expect(page, theme, run(page, "document.querySelector('#product-form button').click()"), must=("Product Added",))
    message = theme.message("Product Added")
    assert sorted(message["context"]["capture"]) == ["dawn", "shopify_cart"]
    properties = message["properties"]
    assert (properties["variant_id"], properties["quantity"], properties["cart_value"]) == (11, 2, 25)
    assert page.evaluate("answered.product_title") == "Shirt 11"


def test_dawns_refusal_is_no_event(page: Page, theme: Shopify) -> None:
    visit(page, theme)
    page.wait_for_function("subscribers['cart-update']")
    script = """async () => { document.querySelector('#product-form [name=id]').value = '0';
      document.querySelector('#product-form button').click();
      while (!window.answered) await new Promise(requestAnimationFrame); }"""
    expect(page, theme, run(page, script), must=(), must_not=("Product Added",))


@pytest.mark.parametrize(
    "how", ["document.querySelector('#plain button').click()", "plain.submit()"], ids=["button", "script"]
)
def test_a_theme_without_script_loses_no_add(page: Page, theme: Shopify, how: str) -> None:
    visit(page, theme, "/products/shirt")
    theme.wait_for("Product Viewed")
    page.evaluate(f"() => {{ {how}; }}")
    page.wait_for_url("**/cart")
    theme.wait_for("Product Added")
    properties = theme.message("Product Added")["properties"]
    assert (int(properties["variant_id"]), properties["product_id"], properties["quantity"]) == (12, 1, 3)
    assert (properties["sku"], properties["price"]) == ("SKU-12", 13.5)
    assert len(theme.requests) == 1


def test_a_form_of_several_items_is_several_adds(page: Page, theme: Shopify) -> None:
    visit(page, theme, "/products/shirt")
    theme.wait_for("Product Viewed")
    fields = {
        "items[1][id]": "11",
        "items[1][quantity]": "1",
        "items[3][id]": "12",
        "items[3][quantity]": "2",
    }
    script = """(fields) => { plain.replaceChildren(...Object.entries(fields).map(([name, value]) =>
      Object.assign(document.createElement("input"), {name, value})));
      plain.target = "elsewhere"; plain.requestSubmit(); }"""
    expect(page, theme, lambda: page.evaluate(script, fields), must=("Product Added",))
    added = [message["properties"] for message in theme.messages if name_of(message) == "Product Added"]
    assert [(line["sku"], line["quantity"]) for line in added if line.get("sku")] == [("SKU-11", 1), ("SKU-12", 2)]


def test_two_who_name_a_product_each_in_their_own_way_and_the_shops_answer_are_one_event(
    page: Page, theme: Shopify
) -> None:
    theme.pages["/"] = "<script>window.fbq = function () { fbq.queue.push(arguments); }; fbq.queue = [];</script>"
    visit(page, theme)
    script = f"""() => {{
      dataLayer.push({{event: "add_to_cart", ecommerce: {{items: [{{item_id: "SKU-11", item_name: "The Shirt"}}]}}}});
      fbq("track", "AddToCart", {{content_ids: ["1"], content_type: "product", value: 12.5}});
      return ({JSON_BODY})(); }}"""
    expect(page, theme, run(page, script), must=("Product Added",))
    message = theme.message("Product Added")
    assert sorted(message["context"]["capture"]) == ["ga4", "meta", "shopify_cart"]
    properties = message["properties"]
    assert (properties["product_id"], properties["variant_id"], properties["sku"]) == (1, 11, "SKU-11")
    assert properties["cart_value"] == 25
    assert properties["checkout_url"] == "/cart/11:2"


def test_word_about_no_product_in_particular_makes_no_two_additions_one(page: Page, theme: Shopify) -> None:
    theme.pages["/"] = "<script>window.fbq = function () { fbq.queue.push(arguments); }; fbq.queue = [];</script>"
    visit(page, theme)
    page.evaluate(
        f"""async () => {{ dataLayer.push({{event: "add_to_cart", ecommerce: {{items: [{{item_id: "CAP-1"}}]}}}});
          await ({JSON_BODY})(); }}"""
    )
    theme.wait(lambda: theme.cart_reads, "the shop's answer is told")
    expect(page, theme, run(page, "fbq('track', 'AddToCart', {value: 12.5})"), must=("Product Added",))
    added = [message["properties"]["product_id"] for message in theme.messages if name_of(message) == "Product Added"]
    assert sorted(map(str, added)) == ["1", "CAP-1"]


ASKED = """const body = new FormData(); body.append("id", "%s"); body.append("quantity", "2");"""
BY_FETCH = ASKED + """await (await fetch("/cart/add", {method: "POST", body})).text();"""
BY_XHR = (
    ASKED
    + """await new Promise((resolve) => { const request = new XMLHttpRequest(); request.open("POST", "/cart/add");
  request.onload = resolve; request.send(body); });"""
)


@pytest.mark.parametrize("script", [BY_FETCH, BY_XHR], ids=["fetch", "xhr"])
@pytest.mark.parametrize(("variant", "adds"), [("11", 1), ("404", 0)], ids=["added", "refused"])
def test_add_that_is_answered_with_a_page_is_told_by_the_cart(
    page: Page, theme: Shopify, script: str, variant: str, adds: int
) -> None:
    visit(page, theme)
    if not adds:  # A shop that refuses answers the theme's page too.
        page.route("**/cart/add", lambda route: route.fulfill(body="<title>Sold out</title>", content_type="text/html"))
    page.evaluate(f"async () => {{ {script % variant} }}")
    theme.wait(lambda: theme.cart_reads, "the cart is read")
    outrun(page, theme)
    expect(page, theme, run(page, "1"), must=("Product Added",) * adds)
    added = [message["properties"] for message in theme.messages if name_of(message) == "Product Added"]
    assert [(line["variant_id"], line["quantity"]) for line in added] == [(11, 2)] * adds


def test_a_form_of_several_lines_and_the_page_that_answers_it_are_one_event_each(page: Page, theme: Shopify) -> None:
    visit(page, theme)
    theme.pages["/cart"] = """<script>dataLayer.push({event: "add_to_cart", ecommerce: {items: [
      {item_id: "11", item_name: "Shirt 11", quantity: 1}, {item_id: "12", item_name: "Shirt 12"}]}});</script>"""
    page.route("**/cart/add", lambda route: route.fulfill(status=302, headers={"location": "/cart"}))
    script = """() => { plain.replaceChildren(...[["11", 1], ["12", 3]].flatMap(([id, quantity], n) =>
      Object.entries({id, quantity}).map(([name, value]) =>
        Object.assign(document.createElement("input"), {name: `items[${n}][${name}]`, value}))));
      plain.requestSubmit(); }"""
    with page.expect_navigation(url="**/cart"):
        page.evaluate(script)
    page.wait_for_function(LOADED)
    expect(page, theme, run(page, "1"), must=("Product Added",))
    added = [message["properties"] for message in theme.messages if name_of(message) == "Product Added"]
    assert [(line["sku"], line["quantity"]) for line in added] == [("SKU-11", 1), ("SKU-12", 3)]


def test_a_form_that_is_no_carts_is_not_read(page: Page, theme: Shopify) -> None:
    visit(page, theme)
    script = """() => { window.read = 0; document.addEventListener("formdata", () => window.read++);
      plain.action = "/search"; plain.target = "elsewhere"; plain.requestSubmit(); }"""
    expect(page, theme, run(page, script), must=(), must_not=("Product Added",))
    assert page.evaluate("read") == 1  # the browser's own


def test_page_of_the_cart_tells_a_theme_without_script_what_is_in_it(page: Page, theme: Shopify) -> None:
    theme.handle = "handle-1"
    visit(page, theme, "/products/shirt")
    theme.wait_for("page")
    page.evaluate("() => { document.querySelector('#plain button').click(); }")
    page.wait_for_url("**/cart")
    attributed = ("/cart/update.js", {"attributes": {"_backflow": "handle-1"}})
    theme.wait(lambda: attributed in theme.requests, "the handle arrives")
    expect(page, theme, run(page, "backflow.track('Checkout Started')"), must=("Checkout Started",))
    properties = theme.message("Checkout Started")["properties"]
    assert (properties["cart_value"], properties["currency"], properties["checkout_url"]) == (37.5, "EUR", "/cart/12:3")
    assert [line["variant_id"] for line in properties["products"]] == [12]


def test_line_taken_out_by_a_link_is_a_removal_once_the_cart_is_shown(page: Page, theme: Shopify) -> None:
    theme._add("11", 1)
    theme._add("12", 1)
    visit(page, theme, "/fr/cart")
    page.wait_for_function("localStorage['backflow.cart']")
    theme.cart.pop()
    expect(page, theme, lambda: visit(page, theme, "/fr/cart"), must=("Product Removed",))
    assert theme.message("Product Removed")["properties"]["variant_id"] == 12
    assert set(theme.cart_reads) == {"/fr/cart.js"}


def test_cart_is_read_on_no_other_page_and_at_no_other_shop(page: Page, theme: Shopify, site: TagPage) -> None:
    for shop, path in ((theme, "/products/cart-bag"), (theme, "/"), (site, "/cart")):
        visit(page, shop, path)
        shop.wait_for("page")
        outrun(page, shop)
        assert shop.cart_reads == []


def test_signed_in_customer_is_told_once_a_visit(page: Page, theme: Shopify) -> None:
    theme.pages["/"] = theme.pages["/next"] = "<script>var __st = {a: 1, offset: 0, reqid: 'r', cid: 98765};</script>"
    visit(page, theme)
    theme.wait_for("identify")
    assert theme.message("identify")["userId"] == "98765"
    visit(page, theme, "/next")
    expect(page, theme, run(page, "1"), must=())
    assert theme.names.count("identify") == 1


def test_customer_who_refused_before_is_told_once_they_agree(page: Page, theme: Shopify) -> None:
    theme.pages["/account"] = "<script>var __st = {cid: 98765};</script>"
    visit(page, theme)
    page.evaluate("() => { backflow.consent({marketing: false}); }")
    theme.wait_for("Consent Updated")
    visit(page, theme, "/account")
    outrun(page, theme)
    assert "identify" not in theme.names
    page.evaluate("() => { backflow.consent({marketing: true}); }")
    visit(page, theme, "/account")
    theme.wait_for("identify")
    assert theme.message("identify")["userId"] == "98765"


def test_customer_who_signs_in_again_is_told_again(page: Page, theme: Shopify) -> None:
    customer = "<script>var __st = {cid: 98765};</script>"
    theme.pages["/account"] = customer
    for path in ("/account", "/", "/account"):
        visit(page, theme, path)
        theme.wait_for("page")
        if path == "/":
            page.evaluate("backflow.reset()")
    expect(page, theme, run(page, "1"), must=())
    assert [message.get("userId") for message in theme.messages if message["type"] == "identify"] == ["98765"] * 2


def test_call_to_the_cart_that_was_cut_off_keeps_no_handle_out(page: Page, theme: Shopify) -> None:
    theme.handle = "handle-1"
    visit(page, theme)
    theme.wait_for("page")
    page.wait_for_function("localStorage['backflow.handle']")
    page.evaluate(
        "() => { const cut = new XMLHttpRequest(); cut.open('POST', '/cart/add.js'); cut.send('id=11'); cut.abort(); }"
    )
    page.evaluate(JSON_BODY)
    theme.wait(lambda: theme.requests, "the handle arrives")
    assert theme.requests == [("/cart/update.js", {"attributes": {"_backflow": "handle-1"}})]


def test_cart_carries_the_visitors_handle_once_and_after_the_pages_own_calls(page: Page, theme: Shopify) -> None:
    visit(page, theme)
    page.evaluate("localStorage.setItem('backflow.handle', 'h-1')")
    theme.hold_cart = threading.Event()
    page.evaluate(JSON_BODY)
    theme.wait(lambda: theme.cart_reads, "the cart is read")
    assert theme.requests == []
    theme.hold_cart.set()
    theme.wait(lambda: theme.requests, "the handle arrives")
    page.evaluate(JSON_BODY)
    theme.wait(lambda: len(theme.cart_reads) == 2, "the second add is read")
    theme.token = "token-2"
    page.evaluate(JSON_BODY)
    theme.wait(lambda: len(theme.requests) == 2, "another cart gets it too")
    assert theme.requests == [("/cart/update.js", {"attributes": {"_backflow": "h-1"}})] * 2
    assert "Product Removed" not in theme.names


def test_handle_that_the_relay_answers_goes_into_the_cart_once(page: Page, theme: Shopify) -> None:
    theme.handle = "h-9"
    visit(page, theme)
    page.wait_for_function("localStorage.getItem('backflow.handle') === 'h-9'")
    page.evaluate(JSON_BODY)
    theme.wait(lambda: theme.requests, "the handle arrives")
    visit(page, theme, "/next")
    page.evaluate(JSON_BODY)
    theme.token = "token-2"
    page.evaluate(JSON_BODY)
    theme.wait(lambda: len(theme.requests) == 2, "another cart gets it too")
    assert theme.requests == [("/cart/update.js", {"attributes": {"_backflow": "h-9"}})] * 2


def test_handle_that_is_answered_to_a_refusal_goes_nowhere(page: Page, theme: Shopify) -> None:
    visit(page, theme)
    theme.wait_for("page")
    theme.handle = "h-9"
    page.evaluate("() => { backflow.consent({marketing: false}); }")
    theme.wait_for("Consent Updated")
    page.evaluate(JSON_BODY)
    theme.wait(lambda: theme.cart_reads, "the cart is read")
    page.wait_for_function("(then) => performance.now() > then + 2000", arg=page.evaluate("performance.now()"))
    assert theme.requests == []
    assert "Product Added" not in theme.names


def test_without_a_handle_or_consent_the_cart_carries_nothing(page: Page, theme: Shopify) -> None:
    theme.settings["consent"] = "required"
    visit(page, theme)
    page.evaluate(JSON_BODY)
    theme.wait(lambda: theme.cart_reads, "the cart is read")
    assert page.evaluate("Object.keys(localStorage)") == []
    page.evaluate("() => { backflow.consent({marketing: true}); localStorage.setItem('backflow.handle', 'h-1'); }")
    theme.token = "token-2"
    page.evaluate(JSON_BODY)
    theme.wait(lambda: theme.requests, "the handle arrives")
    assert len(theme.requests) == 1


def test_cart_that_answers_late_still_completes_the_add(page: Page, site: TagPage) -> None:
    site.hold_cart = threading.Event()
    visit(page, site)
    page.evaluate(JSON_BODY)
    site.wait(lambda: site.cart_reads, "the cart is read")
    page.wait_for_function(
        "(then) => performance.now() > then + 800", arg=page.evaluate("performance.now()")
    )  # sources are merged
    site.hold_cart.set()
    site.wait_for("Product Added")
    assert site.message("Product Added")["properties"]["cart_value"] == 25


def test_shops_slow_answer_completes_what_the_data_layer_has_told(page: Page, site: TagPage) -> None:
    visit(page, site)
    site.wait_for("page")
    held: list[Route] = []
    page.route("**/cart/add", lambda route: held.append(route))
    push = "{event: 'add_to_cart', ecommerce: {currency: 'EUR', value: 25, items: [{item_id: '1', quantity: 2}]}}"
    page.evaluate(f"() => {{ window.pushed = performance.now(); (window.dataLayer ||= []).push({push}); }}")
    page.evaluate(f"() => {{ window.add = ({FORM_DATA % ''})(); }}")
    page.wait_for_function("performance.now() > pushed + 700")
    (route,) = held
    route.continue_()
    expect(page, site, run(page, "add"), must=("Product Added",))
    message = site.message("Product Added")
    assert sorted(message["context"]["capture"]) == ["ga4", "shopify_cart"]
    assert (message["properties"]["cart_value"], message["properties"]["variant_id"]) == (25, 11)


def test_items_numbered_from_one_are_all_added(page: Page, site: TagPage) -> None:
    visit(page, site)
    script = """async () => { const body = new FormData();
      for (const [n, id] of [[1, "11"], [3, "12"]]) {
        body.append(`items[${n}][id]`, id); body.append(`items[${n}][quantity]`, n);
      }
      await fetch("/cart/add", {method: "POST", body}); }"""
    lines = [
        {"id": 11, "variant_id": 11, "product_id": 1, "quantity": 1},
        {"id": 12, "variant_id": 12, "product_id": 1, "quantity": 3},
    ]
    page.route("**/cart/add", lambda route: route.fulfill(json={"items": lines}))
    expect(page, site, run(page, script), must=("Product Added",))
    added = [message["properties"] for message in site.messages if name_of(message) == "Product Added"]
    assert [(line["variant_id"], line["quantity"]) for line in added] == [(11, 1), (12, 3)]


def test_checkout_with_lines_of_its_own_leads_back_to_the_cart(page: Page, site: TagPage) -> None:
    visit(page, site)
    page.evaluate(JSON_BODY)
    site.wait_for("Product Added")
    push = "{event: 'begin_checkout', ecommerce: {currency: 'EUR', value: 20, items: [{item_id: '1', quantity: 2}]}}"
    expect(page, site, run(page, f"() => {{ (window.dataLayer ||= []).push({push}); }}"), must=("Checkout Started",))
    properties = site.message("Checkout Started")["properties"]
    assert (properties["checkout_url"], properties["cart_id"]) == ("/cart/11:2", "token-1")
    assert (properties["value"], properties["products"]) == (20, [{"product_id": "1", "quantity": 2}])
    assert "cart_value" not in properties


def test_two_quick_adds_of_one_variant_are_two_events(page: Page, site: TagPage) -> None:
    visit(page, site)
    page.evaluate(
        """() => Promise.all([1, 2].map(() => fetch("/cart/add.js", {method: "POST",
        body: new URLSearchParams("id=11&quantity=1")}))).then(() => 1)"""
    )
    site.wait(lambda: site.names.count("Product Added") == 2, "both adds")


def test_adds_are_kept_while_the_relay_is_down(page: Page, site: TagPage) -> None:
    site.plan.otherwise = Answer(503)
    visit(page, site)
    page.evaluate(JSON_BODY)
    site.wait(lambda: any("Product Added" in arrival.names for arrival in site.arrivals), "a first try")
    site.plan.otherwise = Answer()
    visit(page, site, "/next")
    site.wait_for("Product Added")


def test_cart_of_an_earlier_add_is_not_taken_for_that_of_a_later_one(page: Page, site: TagPage) -> None:
    visit(page, site)
    script = """async () => {
      const add = (id) => fetch("/cart/add.js", {method: "POST", body: new URLSearchParams({id, quantity: 1})});
      await add(11); await add(21);
    }"""
    page.evaluate(script)
    site.wait(lambda: site.names.count("Product Added") == 2, "both adds")
    second = [message["properties"] for message in site.messages if name_of(message) == "Product Added"][1]
    assert (second["variant_id"], second["cart_value"], len(second["products"])) == (21, 25, 2)
