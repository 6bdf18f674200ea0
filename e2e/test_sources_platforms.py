"""WooCommerce, Magento and BigCommerce: what their own code does on the page, and the one event the tag makes of it."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from e2e.platforms import BigCommerce, Magento, PlatformPage, Shopify, WooCommerce
from e2e.tag_page import Message, name_of
from e2e.test_tag import LOADED, expect, page_errors, run, visit
from relay.config import Platform

pytestmark = pytest.mark.browser
__all__ = ["page_errors"]


@pytest.fixture
def woo() -> Iterator[WooCommerce]:
    with WooCommerce() as shop:
        yield shop


@pytest.fixture
def magento() -> Iterator[Magento]:
    with Magento() as shop:
        yield shop


@pytest.fixture
def bigcommerce() -> Iterator[BigCommerce]:
    with BigCommerce() as shop:
        yield shop


def has(properties: dict[str, Any], expected: dict[str, Any]) -> None:
    assert {name: properties.get(name) for name in expected} == expected


def named(site: PlatformPage, name: str) -> list[Message]:
    return [message for message in site.messages if name_of(message) == name]


def added(page: Page, site: PlatformPage, script: str) -> Message:
    """Does it; exactly one Product Added comes of it."""
    expect(page, site, run(page, script), must=("Product Added",))
    return site.message("Product Added")


# -- WooCommerce

HOODIE = {"product_id": 41, "sku": "woo-hoodie-41", "name": "Hoodie 41", "price": 45}


def test_woocommerce_button_is_one_event_with_the_cart(page: Page, woo: WooCommerce) -> None:
    visit(page, woo)
    message = added(page, woo, "document.querySelector('[data-product_id=\"41\"]').click()")
    properties = message["properties"]
    has(properties, HOODIE | {"product_id": properties["product_id"]})
    assert str(properties["product_id"]) == "41"
    assert (properties["quantity"], properties["cart_value"], properties["currency"]) == (1, 45, "EUR")
    assert [line["name"] for line in properties["products"]] == ["Hoodie 41"]
    assert sorted(message["context"]["capture"]) == ["woocommerce", "woocommerce_jquery"]
    assert page.evaluate("answered.cart_hash") == "5f3c"


def test_woocommerce_refusal_is_no_event(page: Page, woo: WooCommerce) -> None:
    visit(page, woo)
    script = """async () => { document.querySelector('.sold').click();
      while (!window.answered) await new Promise(requestAnimationFrame); }"""
    expect(page, woo, run(page, script), must=(), must_not=("Product Added",))


def test_woocommerce_removal_says_what_went(page: Page, woo: WooCommerce) -> None:
    visit(page, woo)
    added(page, woo, "document.querySelector('[data-product_id=\"41\"]').click()")
    expect(page, woo, run(page, "removeLine('key41')"), must=("Product Removed",))
    properties = woo.message("Product Removed")["properties"]
    assert (properties["name"], properties["cart_value"], properties["products"]) == ("Hoodie 41", 0, [])


def test_woocommerce_classic_form_carries_the_product_of_the_page(page: Page, woo: WooCommerce) -> None:
    visit(page, woo, "/product/hoodie")
    woo.wait_for("Product Viewed")
    viewed = woo.message("Product Viewed")["properties"]
    has(viewed, {"name": "Hoodie 37", "sku": "woo-hoodie-37", "product_id": "37", "price": "45.00", "currency": "EUR"})
    page.evaluate("() => { document.querySelector('.cart button').click(); }")
    woo.wait_for("Product Added")
    page.wait_for_function(LOADED)
    properties = woo.message("Product Added")["properties"]
    assert (properties["product_id"], properties["quantity"], properties["name"]) == ("37", 2, "Hoodie 37")
    assert woo.requests == [("/product/hoodie", {"quantity": "2", "add-to-cart": "37"})]


META_WORD = """{content_ids: ["woo-hoodie-%(id)s_%(id)s"], content_name: "Hoodie %(id)s", content_type: "product",
  contents: [{id: "woo-hoodie-%(id)s_%(id)s", quantity: %(number)s}], value: 45, currency: "EUR"}"""
META = "window.fbq = function () { fbq.queue.push(arguments); }; fbq.queue = [];"
#: What the shop's plug-ins say when product 41 or 37 has been added, each in the words of its own catalogue.
PLUG_INS = {
    "meta-for-woocommerce": "fbq('track', 'AddToCart', " + META_WORD + ", {eventID: 'e-1'});",
    "google-analytics": """dataLayer.push(["event", "add_to_cart", {currency: "EUR", value: 45,
      items: [{item_id: "%(id)s", item_name: "Hoodie %(id)s", price: 45, quantity: %(number)s}]}]);""",
    "gtm4wp-by-sku": """dataLayer.push({event: "add_to_cart", ecommerce: {currency: "EUR", value: 45,
      items: [{item_id: "woo-hoodie-%(id)s", item_name: "Hoodie %(id)s", price: 45, quantity: %(number)s}]}});""",
}
PLUG_INS[
    "google-for-woocommerce-too"
] = """dataLayer.push(["event", "add_to_cart", {send_to: "GLA", items: [{id: "gla_%(id)s",
      google_business_vertical: "retail"}]}]);""" + PLUG_INS["google-analytics"]
PLUG_INS["all-of-google-and-meta"] = PLUG_INS["meta-for-woocommerce"] + PLUG_INS["google-for-woocommerce-too"]
plug_ins = pytest.mark.parametrize("words", PLUG_INS.values(), ids=PLUG_INS)


@plug_ins
@pytest.mark.parametrize("when", ["click", "added_to_cart"])
def test_woocommerce_button_and_what_plug_ins_call_its_product_are_one_event(
    page: Page, woo: WooCommerce, words: str, when: str
) -> None:
    woo.pages["/"] = f"<script>{META}</script>"
    visit(page, woo)
    say = "() => {" + words % {"id": 41, "number": 1} + "}"
    page.evaluate(
        f"""() => {{ const button = document.querySelector('[data-product_id="41"]');
          if ("{when}" === "click") button.addEventListener("click", {say}, true);
          else jQuery(document.body).on("added_to_cart", {say}); }}"""
    )
    properties = added(page, woo, "document.querySelector('[data-product_id=\"41\"]').click()")["properties"]
    assert (properties["cart_value"], properties["quantity"], properties["name"]) == (45, 1, "Hoodie 41")


@plug_ins
def test_woocommerce_form_and_what_plug_ins_say_on_the_page_that_answers_are_one_event(
    page: Page, woo: WooCommerce, words: str
) -> None:
    visit(page, woo, "/product/hoodie")
    woo.wait_for("Product Viewed")
    woo.pages["/product/hoodie"] = f"<script>{META}{words % {'id': 37, 'number': 2}}</script>"
    with page.expect_navigation():
        page.evaluate("() => { document.querySelector('.cart button').click(); }")
    page.wait_for_function(LOADED)
    expect(page, woo, run(page, "1"), must=("Product Added",))
    assert woo.names.count("Product Added") == 1
    # Another addition of it is another event.
    say = words % {"id": 37, "number": 1}
    expect(page, woo, run(page, "() => {" + say + "}"), must=())
    assert woo.names.count("Product Added") == 2


def test_a_frame_of_the_shop_takes_nothing_from_the_page_that_answers_a_form(page: Page, woo: WooCommerce) -> None:
    visit(page, woo, "/product/hoodie")
    kept = '[{"at": 1}]'  # what such a form leaves for the next page
    page.evaluate("(kept) => sessionStorage.setItem('backflow.posted', kept)", kept)
    frame = "() => document.body.appendChild(Object.assign(document.createElement('iframe'), {src: '/shop/'})).id = 'f'"
    page.evaluate(frame)
    page.wait_for_function("f.contentDocument.title && f.contentDocument.readyState === 'complete'")
    assert page.evaluate("sessionStorage.getItem('backflow.posted')") == kept
    visit(page, woo, "/shop/")
    assert page.evaluate("sessionStorage.getItem('backflow.posted')") is None


def test_an_addition_by_form_is_told_once_also_where_plug_ins_are_slow_to_tell(page: Page, woo: WooCommerce) -> None:
    visit(page, woo, "/product/hoodie")
    woo.wait_for("Product Viewed")
    with page.expect_navigation():
        page.evaluate("() => { document.querySelector('.cart button').click(); }")
    page.wait_for_function(LOADED)
    woo.wait(lambda: woo.names.count("page") == 2, "the page that answers")
    words = PLUG_INS["google-analytics"] % {"id": 37, "number": 2}
    later = "const now = Date.now; Date.now = () => now.call(Date) + %d;"
    expect(page, woo, run(page, "() => {" + later % 5000 + words + "}"), must=("Product Added",))
    assert woo.names.count("Product Added") == 1
    # The same words again, five seconds on, are another addition.
    expect(page, woo, run(page, "() => {" + later % 3000 + words + "}"), must=())
    assert woo.names.count("Product Added") == 2


def test_another_tab_takes_nothing_from_the_page_that_answers_a_form(page: Page, woo: WooCommerce) -> None:
    visit(page, woo, "/product/hoodie")
    woo.wait_for("Product Viewed")
    words = PLUG_INS["google-analytics"] % {"id": 37, "number": 2}
    woo.pages["/product/hoodie"] = f"<script>{words}</script>"
    posts: list[Route] = []
    page.route("**/product/hoodie", lambda route: posts.append(route))
    other = page.context.new_page()
    page.evaluate("() => { setTimeout(() => document.querySelector('.cart button').click()); }")
    visit(other, woo, "/shop/")
    woo.wait(lambda: woo.names.count("page") == 2, "the other tab's page view")
    posts[0].continue_()
    woo.wait(lambda: woo.names.count("page") == 3, "the page that answers")
    page.wait_for_function(LOADED)
    expect(page, woo, run(page, "1"), must=("Product Added",))
    assert woo.names.count("Product Added") == 1


def test_a_form_that_is_submitted_again_on_the_page_that_answers_is_another_addition(
    page: Page, woo: WooCommerce
) -> None:
    visit(page, woo, "/product/hoodie")
    woo.wait_for("Product Viewed")
    for pages in (2, 3):
        with page.expect_navigation():
            page.evaluate("() => { document.querySelector('.cart button').click(); }")
        page.wait_for_function(LOADED)
        woo.wait(lambda pages=pages: woo.names.count("page") == pages, "the page that answers")  # type: ignore[misc]
    expect(page, woo, run(page, "1"), must=("Product Added",))
    woo.wait(lambda: woo.names.count("Product Added") == 2, "both additions")


def test_woocommerce_button_that_is_a_link_is_one_event(page: Page, woo: WooCommerce) -> None:
    visit(page, woo, "/shop/")
    page.evaluate(
        """() => document.body.insertAdjacentHTML("beforeend", `<a id="plain" href="/shop/?add-to-cart=41"
          data-quantity="1" class="button product_type_simple add_to_cart_button" data-product_id="41"
          data-product_sku="woo-hoodie-41" rel="nofollow">Add to cart</a>`)"""
    )
    woo._put(41, 1)  # what the shop does at that address
    woo.pages["/shop/"] = "<script>" + PLUG_INS["google-analytics"] % {"id": 41, "number": 1} + "</script>"
    with page.expect_navigation():
        page.evaluate("() => { document.querySelector('#plain').click(); }")
    page.wait_for_function(LOADED)
    properties = added(page, woo, "1")["properties"]
    assert (properties["product_id"], properties["sku"], properties["quantity"]) == ("41", "woo-hoodie-41", "1")


@pytest.mark.parametrize("takes", [True, False], ids=["taken", "refused"])
def test_woocommerce_link_that_the_theme_handles_itself_is_told_when_it_says_so(
    page: Page, woo: WooCommerce, takes: bool
) -> None:
    visit(page, woo)
    script = f"""() => {{ const link = document.querySelector('[data-product_id="41"]').cloneNode(true);
      link.classList.remove("ajax_add_to_cart"); link.href = "/?add-to-cart=41"; document.body.append(link);
      link.addEventListener("click", (event) => event.preventDefault());
      link.click();
      if ({str(takes).lower()}) jQuery(document.body).trigger("added_to_cart", [{{}}, "5f3c", jQuery(link)]); }}"""
    if takes:
        assert added(page, woo, script)["properties"]["sku"] == "woo-hoodie-41"
    else:
        expect(page, woo, run(page, script), must=(), must_not=("Product Added",))


def test_woocommerce_line_of_the_cart_with_a_like_number_is_another_product(page: Page, woo: WooCommerce) -> None:
    woo._put(12, 1)
    woo.lines[0] |= {"sku": "SHIRT_41", "name": "Shirt"}
    visit(page, woo)
    properties = added(page, woo, "document.querySelector('[data-product_id=\"41\"]').click()")["properties"]
    assert (str(properties["product_id"]), properties["name"]) == ("41", "Hoodie 41")


def test_woocommerce_button_without_data_adds_the_product_of_its_page(page: Page, woo: WooCommerce) -> None:
    visit(page, woo, "/product/hoodie")
    woo.wait_for("Product Viewed")
    script = """() => { jQuery(document.body).trigger("added_to_cart",
      [{}, "5f3c", jQuery(document.querySelector("form.cart button"))]); }"""
    properties = added(page, woo, script)["properties"]
    has(properties, {"product_id": "37", "name": "Hoodie 37", "sku": "woo-hoodie-37", "price": "45.00"})


def test_woocommerce_blocks_add_remove_and_batch(page: Page, woo: WooCommerce) -> None:
    visit(page, woo)
    properties = added(page, woo, "blockAdd(52, 3)")["properties"]
    assert (properties["product_id"], properties["quantity"], properties["name"], properties["cart_value"]) == (
        52,
        3,
        "Hoodie 52",
        135,
    )
    expect(page, woo, run(page, "blockRemove('key52')"), must=("Product Removed",))
    woo.committed.clear()
    expect(page, woo, run(page, "blockBatch([53, 404, 54])"), must=())
    assert [message["properties"]["product_id"] for message in named(woo, "Product Added")] == [53, 54]


def test_woocommerce_block_refusal_is_no_event(page: Page, woo: WooCommerce) -> None:
    visit(page, woo)
    expect(page, woo, run(page, "blockAdd(404, 1)"), must=(), must_not=("Product Added",))


def test_woocommerce_checkout_page_is_a_started_checkout_with_the_cart(page: Page, woo: WooCommerce) -> None:
    woo.bodies = {"/checkout/": "woocommerce-checkout woocommerce-page"}
    woo._put(41, 2)
    visit(page, woo, "/checkout/")
    woo.wait_for("Checkout Started")
    message = woo.message("Checkout Started")
    properties = message["properties"]
    assert (properties["cart_value"], properties["currency"], properties["checkout_url"]) == (90, "EUR", "/checkout/")
    assert [line["name"] for line in properties["products"]] == ["Hoodie 41"]
    assert message["context"]["capture"] == ["woocommerce"]
    push = "() => { dataLayer.push({event: 'begin_checkout', ecommerce: {value: 90}}); }"
    expect(page, woo, run(page, push), must=(), must_not=("Checkout Started",))


@pytest.mark.parametrize(("version", "link"), [("10.3.5", True), ("9.8.1", False)])
def test_woocommerce_checkout_link_fills_the_cart_again_where_there_are_such_links(
    page: Page, woo: WooCommerce, version: str, link: bool
) -> None:
    woo.html = woo.html.replace("<head>", f'<head><meta name="generator" content="WooCommerce {version}">')
    woo.bodies = {"/checkout/": "woocommerce-checkout"}
    woo._put(41, 2)
    woo._put(52, 1)
    visit(page, woo, "/checkout/")
    woo.wait_for("Checkout Started")
    url = woo.message("Checkout Started")["properties"]["checkout_url"]
    assert url == (f"{woo.shop}/checkout-link/?products=41:2,52:1" if link else "/checkout/")


def test_woocommerce_checkout_starts_where_the_stores_cart_cannot_be_read(page: Page, woo: WooCommerce) -> None:
    woo.bodies = {"/checkout/": "woocommerce-checkout"}
    page.route("**/wc/store/v1/cart", lambda route: route.fulfill(status=401, body="no"))
    visit(page, woo, "/checkout/")
    woo.wait_for("Checkout Started")


def test_woocommerce_cart_page_starts_no_checkout_and_removes_nothing(page: Page, woo: WooCommerce) -> None:
    woo.bodies = {"/cart/": "woocommerce-cart"}
    woo._put(41, 2)
    for value in (90, 0):
        visit(page, woo, "/cart/")
        page.wait_for_function(f"JSON.parse(localStorage['backflow.cart'] || '{{}}').cart_value === {value}")
        woo.lines.clear()
    expect(page, woo, run(page, "1"), must=())
    assert not {"Checkout Started", "Product Removed"} & {name_of(message) for message in woo.messages}


@pytest.mark.parametrize("path", ["/checkout/order-received/1042/?key=wc_order_1", "/?page_id=7&order-received=1042"])
def test_woocommerce_order_page_is_an_order_with_the_cart_it_was(page: Page, woo: WooCommerce, path: str) -> None:
    woo.bodies = {"/cart/": "woocommerce-cart"} | {
        path.split("?")[0]: "woocommerce-checkout woocommerce-order-received",
    }
    woo._put(41, 2)
    visit(page, woo, "/cart/")
    page.wait_for_function("localStorage['backflow.cart']")
    woo.lines.clear()
    visit(page, woo, path)
    woo.wait_for("Order Completed")
    properties = woo.message("Order Completed")["properties"]
    assert (properties["order_id"], properties["cart_value"]) == ("1042", 90)
    assert [line["name"] for line in properties["products"]] == ["Hoodie 41"]
    push = "dataLayer.push({event: 'purchase', ecommerce: {transaction_id: '1042', value: 95}})"
    expect(page, woo, run(page, f"() => {{ {push}; }}"), must=(), must_not=("Order Completed", "Checkout Started"))
    assert page.evaluate("localStorage['backflow.cart']") is None


def test_woocommerce_order_page_opened_again_leaves_the_next_cart_alone(page: Page, woo: WooCommerce) -> None:
    order = "/checkout/order-received/99/"
    woo.bodies = {order: "woocommerce-checkout woocommerce-order-received"}
    visit(page, woo, order)
    woo.wait_for("Order Completed")
    visit(page, woo)
    added(page, woo, "blockAdd(41, 3)")
    page.wait_for_function("localStorage['backflow.cart']")
    expect(page, woo, lambda: visit(page, woo, order), must=(), must_not=("Order Completed",))
    assert page.evaluate("JSON.parse(localStorage['backflow.cart']).cart_value") == 135


@pytest.mark.parametrize(
    ("classes", "html"),
    [
        ("woocommerce-checkout woocommerce-order-received", '<p class="woocommerce-thankyou-order-failed">Sorry</p>'),
        ("woocommerce-checkout woocommerce-order-pay", ""),
    ],
    ids=["failed payment", "payment page"],
)
def test_woocommerce_page_that_is_no_order_and_no_checkout_tells_nothing(
    page: Page, woo: WooCommerce, classes: str, html: str
) -> None:
    woo.bodies = {"/checkout/order-received/98/": classes}
    woo.html = woo.html.replace('<form class="cart"', f'{html}<form class="cart"')
    visit(page, woo, "/checkout/order-received/98/")
    woo.wait_for("page")
    expect(page, woo, run(page, "1"), must=())
    assert not {"Order Completed", "Checkout Started"} & {name_of(message) for message in woo.messages}


def test_woocommerce_checkout_of_a_large_cart_carries_its_first_lines(page: Page, woo: WooCommerce) -> None:
    woo.bodies = {"/checkout/": "woocommerce-checkout"}
    for product in range(1000, 1170):
        woo._put(product, 1)
    visit(page, woo, "/checkout/")
    woo.wait_for("Checkout Started")
    properties = woo.message("Checkout Started")["properties"]
    assert (len(properties["products"]), properties["cart_value"]) == (40, 45 * 170)


def test_woocommerce_add_is_completed_by_the_line_that_changed(page: Page, woo: WooCommerce) -> None:
    """Variations share their product's name."""
    woo._put(11, 1)
    woo._put(12, 1)
    for line in woo.lines:
        line["name"] = "Hoodie"
    visit(page, woo)
    page.evaluate("blockRemove('none')")
    page.wait_for_function("localStorage['backflow.cart']")
    push = "{event: 'add_to_cart', ecommerce: {items: [{item_id: '12', item_name: 'Hoodie', quantity: 1}]}}"
    message = added(page, woo, f"() => {{ dataLayer.push({push}); return blockAdd(12, 1); }}")
    assert (message["properties"]["product_id"], message["properties"]["sku"]) == (12, "woo-hoodie-12")
    woo.committed.clear()
    removed = expect(page, woo, run(page, "blockRemove('key12')"), must=("Product Removed",))
    assert [m["properties"]["sku"] for m in removed if name_of(m) == "Product Removed"] == ["woo-hoodie-12"]


@pytest.mark.parametrize("what", ["", ", [{}, 'hash', document.body]", ", [{}, 'hash', {data: () => { throw 1; }}]"])
def test_woocommerce_event_in_another_shape_throws_nothing_into_the_page(
    page: Page, woo: WooCommerce, what: str
) -> None:
    visit(page, woo)
    expect(page, woo, run(page, f"() => {{ jQuery(document.body).trigger('added_to_cart'{what}); }}"), must=())


# -- Magento

# -- Magento


def test_magento_add_is_one_event_with_customer_datas_cart(page: Page, magento: Magento) -> None:
    visit(page, magento)
    magento.wait_for("Product Viewed")
    message = added(page, magento, "document.querySelector('#product_addtocart_form button').click()")
    properties = message["properties"]
    assert (properties["sku"], properties["product_id"], properties["quantity"]) == ("24-WB04", "14", 2)
    assert (properties["name"], properties["price"], properties["cart_value"]) == ("Push It Messenger Bag", 45, 90)
    assert message["context"]["capture"] == ["magento"]
    assert "<span" not in str(properties)


def test_magento_view_comes_from_open_graph(page: Page, magento: Magento) -> None:
    visit(page, magento)
    magento.wait_for("Product Viewed")
    properties = magento.message("Product Viewed")["properties"]
    has(properties, {"name": "Push It Messenger Bag", "product_id": "14", "price": "45", "currency": "USD"})


def test_magento_refusal_is_no_event_and_removal_is_one(page: Page, magento: Magento) -> None:
    visit(page, magento)
    script = """async () => { document.querySelector('#sold button').click();
      while (!window.answered) await new Promise(requestAnimationFrame); }"""
    expect(page, magento, run(page, script), must=(), must_not=("Product Added",))
    added(page, magento, "document.querySelector('#product_addtocart_form button').click()")
    expect(page, magento, run(page, "removeItem()"), must=("Product Removed",))
    assert magento.message("Product Removed")["properties"]["sku"] == "24-WB04"


def test_magento_cart_that_was_there_before_is_no_event(page: Page, magento: Magento) -> None:
    magento.quantity = 3
    visit(page, magento)
    expect(page, magento, run(page, "customerData.reload()"), must=(), must_not=("Product Added", "Product Removed"))


def test_magento_checkout_page_is_one_started_checkout_with_the_cart(page: Page, magento: Magento) -> None:
    magento.bodies = {"/checkout/": "checkout-index-index"}
    magento.quantity = 2
    visit(page, magento, "/checkout/")
    magento.wait_for("Checkout Started")
    properties = magento.message("Checkout Started")["properties"]
    assert (properties["cart_value"], properties["checkout_url"]) == (90, "/checkout/")
    assert [line["sku"] for line in properties["products"]] == ["24-WB04"]
    expect(page, magento, run(page, "customerData.reload()"), must=(), must_not=("Checkout Started",))


def test_magento_checkout_without_a_cart_has_not_started(page: Page, magento: Magento) -> None:
    magento.bodies = {"/checkout/": "checkout-index-index"}
    visit(page, magento, "/checkout/")
    expect(page, magento, run(page, "customerData.reload()"), must=())
    assert "Checkout Started" not in {name_of(message) for message in magento.messages}


@pytest.mark.parametrize("what", ["", ", [null]", ", [{sku: 'x', form: document.querySelector('form')}]"])
def test_magento_event_in_another_shape_throws_nothing_into_the_page(page: Page, magento: Magento, what: str) -> None:
    visit(page, magento)
    magento.wait_for("Product Viewed")
    trigger = f"() => {{ jQuery(document).trigger('ajax:addToCart'{what}); }}"
    expect(page, magento, run(page, trigger), must=())


# -- BigCommerce

LINE = (
    '{"product_id": 77, "sku": "SLCTBS", "variant_id": 1, "product_name": "Fog Linen", "brand_name": "OFS",'
    ' "category_names": ["Kitchen"], "quantity": 1, "purchase_price": 49, "currency": "USD", "discount": 0}'
)


@pytest.mark.parametrize(
    ("topic", "amount", "event"),
    [
        ("product.pageViewed", "product_value", "Product Viewed"),
        ("cart.addItem", "product_value", "Product Added"),
        ("cart.removeItem", "product_value", "Product Removed"),
        ("cart.viewed", "cart_value", "Cart Viewed"),
        ("checkout.checkoutBegin", "cart_value", "Checkout Started"),
        ("checkout.orderPurchased", "cart_value", "Order Completed"),
        ("product.categoryViewed", "product_value", "Product List Viewed"),
    ],
)
def test_bigcommerce_data_layer(page: Page, bigcommerce: BigCommerce, topic: str, amount: str, event: str) -> None:
    visit(page, bigcommerce)
    payload = f"""{{event_id: "e1", channel_id: 1, currency: "USD", {amount}: 49, coupon_codes: [], order_id: 5,
      line_items: [{LINE}]}}"""
    expect(page, bigcommerce, run(page, f"publish('{topic}', Object.freeze({payload}))"), must=(event,))
    properties = bigcommerce.message(event)["properties"]
    line = properties["products"][0] if "products" in properties else properties
    has(
        line,
        {
            "product_id": 77,
            "variant_id": 1,
            "sku": "SLCTBS",
            "name": "Fog Linen",
            "brand": "OFS",
            "price": 49,
            "quantity": 1,
        },
    )
    assert properties["currency"] == "USD"


def test_bigcommerce_call_without_an_argument_throws_nothing_into_the_page(
    page: Page, bigcommerce: BigCommerce
) -> None:
    visit(page, bigcommerce)
    expect(page, bigcommerce, run(page, "() => { publish('cart.addItem'); }"), must=())


def test_bigcommerce_search_and_what_is_no_shop_event(page: Page, bigcommerce: BigCommerce) -> None:
    visit(page, bigcommerce)
    script = """() => { publish('banner.viewed', {banner_id: 3}); publish('product.searchPerformed', {event_id: 'e',
      channel_id: 1, search_keyword: 'linen'}); }"""
    arrived = expect(page, bigcommerce, run(page, script), must=("Products Searched",))
    assert {name_of(message) for message in arrived} <= {"page", "Products Searched"}
    assert bigcommerce.message("Products Searched")["properties"]["query"] == "linen"


# -- the tag for one platform

ADDS: dict[Platform, tuple[type[PlatformPage], str]] = {
    Platform.SHOPIFY: (Shopify, "document.querySelector('#product-form button').click()"),
    Platform.WOOCOMMERCE: (WooCommerce, "document.querySelector('[data-product_id=\"41\"]').click()"),
    Platform.MAGENTO: (Magento, "document.querySelector('#product_addtocart_form button').click()"),
    Platform.BIGCOMMERCE: (BigCommerce, f"publish('cart.addItem', {{currency: 'USD', line_items: [{LINE}]}})"),
}


@pytest.mark.parametrize("platform", ADDS)
def test_the_tag_for_a_platform_sees_what_its_shops_do(page: Page, platform: Platform) -> None:
    shop, add = ADDS[platform]
    with shop() as site:
        site.platform = platform
        visit(page, site)
        properties = added(page, site, add)["properties"]
        assert properties["quantity"]
        assert properties.get("sku") or properties.get("variant_id")


def test_the_tag_for_other_shops_hears_what_is_announced_and_typed(page: Page, woo: WooCommerce) -> None:
    woo.platform = Platform.OTHER
    visit(page, woo, "/product/hoodie")
    woo.wait_for("Product Viewed")
    page.evaluate("() => { document.querySelector('.cart button').click(); }")
    woo.wait_for("Product Added")
    page.wait_for_function(LOADED)
    add = "() => { dataLayer.push({event: 'begin_checkout', ecommerce: {items: [{item_id: '1'}]}}); }"
    expect(page, woo, run(page, add), must=("Checkout Started",))


# -- every platform


@pytest.mark.parametrize("platform", [WooCommerce, Magento, BigCommerce, Shopify])
def test_loading_a_page_costs_the_tag_no_exception(page: Page, platform: type[PlatformPage]) -> None:
    """One that is caught is not free: the first of a page takes a slow phone 15 ms."""
    scripts: dict[str, str] = {}
    thrown: list[str] = []
    session = page.context.new_cdp_session(page)

    def paused(event: dict[str, Any]) -> None:
        if "/tag.js" in scripts[event["callFrames"][0]["location"]["scriptId"]]:
            thrown.append(event["data"]["description"])
        session.send("Debugger.resume")

    session.on("Debugger.scriptParsed", lambda event: scripts.update({event["scriptId"]: event["url"]}))
    session.on("Debugger.paused", paused)
    session.send("Debugger.enable")
    session.send("Debugger.setPauseOnExceptions", {"state": "all"})
    with platform() as site:
        visit(page, site)
        expect(page, site, run(page, "1"), must=("page",))
    assert any("/tag.js" in url for url in scripts.values())
    assert thrown == []
