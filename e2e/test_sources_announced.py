"""What a shop tells Google, Meta and Klaviyo, and what it writes into its markup: heard, not touched, and told once."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from e2e.platforms import Announced
from e2e.tag_page import Message, TagPage, name_of
from e2e.test_tag import LOADED, expect, page_errors, run, visit

pytestmark = pytest.mark.browser
__all__ = ["page_errors"]

ITEM = '{item_id: "SKU-1", item_name: "Mug", item_brand: "Acme", item_category: "Kitchen", price: 12.5, quantity: 2}'


@pytest.fixture
def site() -> Iterator[Announced]:
    with Announced() as shop:
        yield shop


@pytest.fixture
def plain() -> Iterator[TagPage]:
    with TagPage() as shop:
        yield shop


def has(properties: dict[str, Any], expected: dict[str, Any]) -> None:
    assert {name: properties.get(name) for name in expected} == expected


def named(site: Announced, name: str) -> list[Message]:
    return [message for message in site.messages if name_of(message) == name]


def idled(page: Page) -> None:
    """Returns when what the page had left for an idle moment has run, and what that has left too."""
    page.wait_for_function("() => new Promise((done) => requestIdleCallback(() => requestIdleCallback(() => done(1))))")


# -- Google


@pytest.mark.parametrize(
    "push",
    [
        f'dataLayer.push({{event: "add_to_cart", ecommerce: {{currency: "EUR", value: 25, items: [{ITEM}]}}}})',
        f'gtag("event", "add_to_cart", {{currency: "EUR", value: 25, items: [{ITEM}]}})',
        f'dataLayer.push(["event", "add_to_cart", {{currency: "EUR", value: 25, items: [{ITEM}]}}])',
        f'dataLayer.push({{event: "add_to_cart_stape", ecommerce: {{currency: "EUR", value: 25, items: [{ITEM}]}}}})',
    ],
    ids=["object", "arguments", "array", "suffixed"],
)
@pytest.mark.parametrize("early", [True, False], ids=["queued", "pushed"])
def test_ga4_add_in_every_form(page: Page, site: Announced, push: str, early: bool) -> None:
    if early:
        site.pages["/"] = f"<script>{push}</script>"
    visit(page, site)
    expect(page, site, run(page, "1" if early else f"() => {{ {push} }}"), must=("Product Added",))
    message = site.message("Product Added")
    assert message["properties"] == {
        "currency": "EUR", "value": 25, "product_id": "SKU-1", "name": "Mug", "brand": "Acme", "category": "Kitchen",
        "price": 12.5, "quantity": 2,
    }  # fmt: skip
    assert message["context"]["capture"] == ["ga4"]


def test_ga4_reset_other_events_and_what_did_not_happen_are_no_events(page: Page, site: Announced) -> None:
    visit(page, site)
    script = """() => {
      dataLayer.push({ecommerce: null});
      dataLayer.push({event: "gtm.js", "gtm.start": 1}, {event: "scroll"}, null, 7, "text", {});
      gtag("event", "page_view", {}); gtag("event", "add_to_cart_click", {}); gtag("set", {currency: "EUR"});
        gtag("consent", "update", {});
      dataLayer.push({event: "purchase_failed", ecommerce: {transaction_id: "1"}});
      for (const event of ["purchase_start", "purchase_option_selected", "purchase_history", "purchase_protection_on",
        "add_to_cart_undo", "search_toggle"]) dataLayer.push({event, value: 25});
    }"""
    arrived = expect(page, site, run(page, script), must=())
    assert {name_of(message) for message in arrived} <= {"page"}


def test_ga4_several_items_are_several_adds_and_one_order(page: Page, site: Announced) -> None:
    visit(page, site)
    items = '[{item_id: "A", price: 1}, {item_id: "B", price: 2}]'
    script = f"""() => {{
      gtag("event", "add_to_cart", {{value: 3, items: {items}}});
      gtag("event", "purchase", {{transaction_id: "T1", value: 3, items: {items}}});
    }}"""
    expect(page, site, run(page, script), must=("Order Completed",))
    assert [message["properties"] for message in named(site, "Product Added")] == [
        {"product_id": "A", "price": 1}, {"product_id": "B", "price": 2},
    ]  # fmt: skip
    order = site.message("Order Completed")["properties"]
    assert order == {
        "transaction_id": "T1",
        "value": 3,
        "products": [{"product_id": "A", "price": 1}, {"product_id": "B", "price": 2}],
    }


def test_ga4_repeated_push_is_one_event_and_another_add_is_another(page: Page, site: Announced) -> None:
    visit(page, site)
    push = f'dataLayer.push({{event: "add_to_cart", ecommerce: {{value: 25, items: [{ITEM}]}}}});'
    other = 'dataLayer.push({event: "add_to_cart", ecommerce: {items: [{item_id: "SKU-2", item_name: "Cup"}]}});'
    expect(page, site, run(page, f"() => {{ {push} {push} {other} }}"), must=("Product Added",))
    assert [message["properties"]["product_id"] for message in named(site, "Product Added")] == ["SKU-1", "SKU-2"]


@pytest.mark.parametrize(
    "told",
    [
        """gtag("event", "add_to_cart", {send_to: "G-1", value: 12.5, items: [{item_id: "41", item_name: "Mug"}]});
           gtag("event", "add_to_cart", {send_to: "AW-1", items: [{id: "41", google_business_vertical: "retail"}]});""",
        """gtag("event", "add_to_cart", {send_to: "AW-1", items: [{id: "gla_41", google_business_vertical: "retail"}]});
           gtag("event", "add_to_cart", {send_to: "G-1", items: [{item_id: "41", item_name: "Mug", price: 12.5}]});""",
        """dataLayer.push({event: "add_to_cart", ecommerce: {items: [{item_id: "41", item_name: "Mug", price: 12.5}]}});
           dataLayer.push({event: "add_to_cart_fb", content_ids: ["41"], content_name: "Mug", value: 12.5});""",
        """fbq("trackSingle", "1", "AddToCart", {content_ids: ["41"], content_name: "Mug"}, {eventID: "a"});
           fbq("trackSingle", "2", "AddToCart", {content_ids: ["41"], content_name: "Mug"}, {eventID: "b"});""",
    ],
    ids=["analytics-and-ads", "ads-first", "two-layers-in-one", "two-pixels"],
)
def test_one_add_that_a_source_tells_to_two_accounts_is_one_event(page: Page, site: Announced, told: str) -> None:
    visit(page, site)
    expect(page, site, run(page, f"() => {{ {told} }}"), must=("Product Added",))
    properties = site.message("Product Added")["properties"]
    assert (str(properties["product_id"])[-2:], properties["name"]) == ("41", "Mug")


@pytest.mark.parametrize(
    "told",
    [
        """gtag("event", "add_to_cart", {items: [{item_id: "shirt_38", item_name: "Shirt"},
             {item_id: "skirt_38", item_name: "Skirt"}]});""",
        """gtag("event", "add_to_cart", {items: [{item_id: "TEE_RED_38", item_name: "Tee"},
             {item_id: "TEE_BLUE_38", item_name: "Tee"}]});""",
        """gtag("event", "add_to_cart", {items: ["Red", "Blue"].map((item_variant) =>
             ({item_id: "7", item_name: "Cap", item_variant}))});""",
        """gtag("event", "add_to_cart", {items: ["TEE-RED", "TEE-BLUE"].map((item_sku) =>
             ({item_id: "7", item_name: "Tee", item_sku}))});""",
        """fbq("track", "AddToCart", {content_ids: ["TSHIRT_42", "HOODIE_42"], content_type: "product", value: 60});""",
        """gtag("event", "add_to_cart", {items: [{item_id: "TEE_42", item_name: "Tee"}]});
           fbq("track", "AddToCart", {content_ids: ["CAP_42"], content_name: "Cap"});""",
    ],
    ids=["one-size", "one-size-and-name", "variants", "skus", "one-size-at-meta", "two-sources"],
)
def test_two_products_are_two_adds_however_alike_their_names(page: Page, site: Announced, told: str) -> None:
    visit(page, site)
    expect(page, site, run(page, f"() => {{ {told} }}"), must=("Product Added",))
    assert len(named(site, "Product Added")) == 2


@pytest.mark.parametrize("say", ["backflow", "klaviyo"])
def test_an_event_of_the_shops_own_that_begins_like_another_stays_its_own(
    page: Page, site: Announced, say: str
) -> None:
    visit(page, site)
    own = ("Add To Cart Animation Shown", "Added to Cart Popup Viewed", "Purchase Survey Completed")
    script = f"""() => {{ for (const name of {list(own)}) {say}.track(name, {{product_id: "41"}});
      gtag("event", "add_to_cart", {{items: [{{item_id: "41", item_name: "Mug"}}]}});
      gtag("event", "purchase", {{transaction_id: "T1", value: 50}}); }}"""
    expect(page, site, run(page, script), must=(*own, "Product Added", "Order Completed"))
    assert site.message("Product Added")["context"]["capture"] == ["ga4"]


def test_ga4_user_data_is_the_visitor_and_a_hash_is_not(page: Page, site: Announced) -> None:
    visit(page, site)
    script = """() => { gtag("set", "user_data", {sha256_email_address: "f".repeat(64), email: "f".repeat(64)});
                        gtag("set", "user_data", {email: "ann@shop.test", phone_number: "+4915112345678"}); }"""
    expect(page, site, run(page, script), must=("identify",))
    assert site.message("identify")["traits"] == {"email": "ann@shop.test", "phone": "+4915112345678"}


@pytest.mark.parametrize("event", ["", 'event: "login", ', 'event: "add_to_cart", item_id: "A", '])
def test_ga4_user_data_beside_whatever_event_is_the_visitor_and_no_property(
    page: Page, site: Announced, event: str
) -> None:
    visit(page, site)
    push = f"() => {{ dataLayer.push({{{event}user_data: {{email: 'ann@shop.test'}}}}); }}"
    arrived = expect(page, site, run(page, push), must=("identify",))
    assert site.message("identify")["traits"] == {"email": "ann@shop.test"}
    assert "ann@" not in str([message["properties"] for message in arrived if message["type"] == "track"])


def test_ga4_user_data_may_be_a_list_of_one_and_null_loses_no_event(page: Page, site: Announced) -> None:
    visit(page, site)
    script = """() => { dataLayer.push({event: "add_to_cart", user_data: null, ecommerce: {items: [{item_id: "A"}]}});
                        gtag("set", "user_data", {email: ["ann@shop.test"], phone_number: ["+4915112345678"]}); }"""
    expect(page, site, run(page, script), must=("Product Added", "identify"))
    assert site.message("identify")["traits"] == {"email": "ann@shop.test", "phone": "+4915112345678"}


def test_the_pages_own_queue_keeps_its_items_its_order_and_its_answers(page: Page, site: Announced) -> None:
    visit(page, site)
    script = """() => {
      const heard = []; const own = dataLayer.push;
      dataLayer.push = function (...items) { heard.push(...items); return own.apply(this, items); };  // as GTM does
      const item = Object.freeze({event: "view_cart", ecommerce: Object.freeze({value: 1,
        items: Object.freeze([Object.freeze({item_id: "A"})])})});
      const before = dataLayer.length;
      const answer = dataLayer.push(item, {event: "x"});
      return [answer === before + 2, dataLayer[before] === item, heard[0] === item, heard.length,
        Object.keys(dataLayer).length === dataLayer.length];
    }"""
    assert page.evaluate(script) == [True, True, True, 2, True]
    expect(page, site, run(page, "1"), must=("Cart Viewed",))
    assert len(named(site, "Cart Viewed")) == 1


def test_a_data_layer_that_comes_after_the_tag_is_heard(page: Page, site: Announced) -> None:
    page.add_init_script("Object.defineProperty(window, '__late', {value: 1})")
    site.html = "<!doctype html><title>Late</title><link rel=icon href=data:,><!--tag-->"
    visit(page, site)
    script = """() => { window.dataLayer = window.dataLayer || []; function gtag() { dataLayer.push(arguments); }
      window.dataLayer = window.dataLayer || []; gtag("event", "view_item", {items: [{item_id: "A"}]});
        return dataLayer.length; }"""
    assert page.evaluate(script) == 1
    expect(page, site, run(page, "1"), must=("Product Viewed",))
    assert len(named(site, "Product Viewed")) == 1


# -- Meta


@pytest.mark.parametrize("when", ["queued", "loaded", "drained"])
def test_meta_add_before_and_after_its_script(page: Page, site: Announced, when: str) -> None:
    call = """fbq("track", "AddToCart", {content_ids: ["11"], content_name: "Mug", content_type: "product",
      value: 12.5, currency: "EUR"}, {eventID: "e-1"});"""
    if when == "queued":
        site.pages["/"] = f"<script>{call}</script>"
    visit(page, site)
    script = {"queued": "1", "loaded": f"() => {{ loadMeta(); {call} }}", "drained": f"() => {{ {call} loadMeta(); }}"}[
        when
    ]
    expect(page, site, run(page, script), must=("Product Added",))
    message = site.message("Product Added")
    has(message["properties"], {"product_id": "11", "name": "Mug", "value": 12.5, "currency": "EUR", "event_id": "e-1"})
    assert "category" not in message["properties"]
    assert message["context"]["capture"] == ["meta"]
    if when != "queued":
        assert page.evaluate("metaHeard[0][1]") == "AddToCart"
        assert page.evaluate("metaHeard.length") == 1


#: Meta's own snippet, as a tag manager or a consent banner puts it into the page; its script empties the queue at once.
PIXEL = """<script>!function(f,b,e,v,n,t,s){if(f.fbq)return;n=f.fbq=function(){n.callMethod?
  n.callMethod.apply(n,arguments):n.queue.push(arguments)};if(!f._fbq)f._fbq=n;n.push=n;n.loaded=!0;n.version="2.0";
  n.queue=[];t=b.createElement(e);t.async=!0;t.src=v;s=b.getElementsByTagName(e)[0];s.parentNode.insertBefore(t,s)}(
  window,document,"script","data:text/javascript,fbq.callMethod=()=>{};fbq.queue.length=0");
  fbq("init","1",{em:"ann@shop.test"});fbq("track","ViewContent",{content_ids:["11"],content_name:"Mug"});</script>"""
VARIABLE = """<script>var fbq = function () { fbq.queue.push(arguments); }; fbq.queue = [];
  fbq("init", "1", {em: "ann@shop.test"}); fbq("track", "ViewContent", {content_ids: ["11"], content_name: "Mug"});
  </script>"""


@pytest.mark.parametrize("snippet", [PIXEL, VARIABLE], ids=["metas-own", "variable"])
def test_a_pixel_that_comes_after_the_tag_is_heard_from_its_first_call_on(
    page: Page, plain: TagPage, snippet: str
) -> None:
    visit(page, plain)
    plain.wait_for("page")
    insert = "(html) => { document.head.append(document.createRange().createContextualFragment(html)); }"
    expect(page, plain, lambda: page.evaluate(insert, snippet), must=("Product Viewed", "identify"))
    script = """() => { const inner = fbq; window.fbq = Object.assign((...args) => inner(...args), inner);
      fbq("track", "AddToCart", {content_ids: ["11"], content_name: "Mug"}); }"""
    expect(page, plain, run(page, script), must=("Product Added",))
    assert [plain.names.count(name) for name in ("Product Viewed", "Product Added")] == [1, 1]


def test_meta_single_pixels_contents_and_the_pixels_own_words(page: Page, site: Announced) -> None:
    visit(page, site)
    script = """() => {
      fbq("trackSingle", "123", "InitiateCheckout", {contents: [{id: "11", quantity: 2}], value: 25, num_items: 2});
      fbq("track", "PageView"); fbq("trackCustom", "Scrolled", {}); fbq("consent", "grant");
      return [typeof fbq.queue, fbq.version, fbq.queue.length];
    }"""
    assert page.evaluate(script) == ["object", "2.0", 4]
    arrived = expect(page, site, run(page, "1"), must=("Checkout Started",))
    assert {name_of(message) for message in arrived} <= {"page", "Checkout Started"}
    assert site.message("Checkout Started")["properties"]["products"] == [{"product_id": "11", "quantity": 2}]


def test_meta_advanced_matching_names_the_visitor_unless_it_is_a_hash(page: Page, site: Announced) -> None:
    visit(page, site)
    script = f"""() => {{ fbq("init", "1", {{em: "{"a1" * 32}"}}); fbq("init", "2", {{em: "ann@shop.test"}});
      fbq("init", "3", {{em: "ann@shop.test"}}); }}"""
    expect(page, site, run(page, script), must=("identify",))
    assert site.message("identify")["traits"] == {"email": "ann@shop.test"}


# -- Klaviyo

VIEWED = """{ProductName: "Mug", ProductID: "1", SKU: "SKU-1", Categories: ["Kitchen"], Price: 12.5, URL: "/mug",
  Brand: "Acme"}"""


@pytest.mark.parametrize("when", ["queued", "stub", "loaded", "drained"])
@pytest.mark.parametrize(
    "form",
    ["klaviyo.track(%s)", "klaviyo.push(['track', %s])", "(window._learnq = window._learnq || []).push(['track', %s])"],
    ids=["method", "push", "learnq"],
)
def test_klaviyo_track_in_every_form_and_at_every_time(page: Page, site: Announced, when: str, form: str) -> None:
    call = form % f'"Viewed Product", {VIEWED}' + ";"
    if when == "queued":
        site.pages["/"] = f"<script>{call}</script>"
    visit(page, site)
    script = {
        "queued": "1",
        "stub": f"() => {{ {call} }}",
        "loaded": f"() => {{ loadKlaviyo(); {call} }}",
        "drained": f"() => {{ {call} loadKlaviyo(); }}",
    }[when]
    expect(page, site, run(page, script), must=("Product Viewed",))
    message = site.message("Product Viewed")
    has(message["properties"], {"product_id": "1", "name": "Mug", "sku": "SKU-1", "price": 12.5, "brand": "Acme"})
    if when in ("loaded", "drained"):
        assert page.evaluate("klaviyoHeard.filter(([method]) => method === 'track').length") == 1


@pytest.mark.parametrize("queue", ["_learnq", "_klOnsite"])
def test_klaviyo_queue_that_comes_after_the_tag_is_read_before_its_script_empties_it(
    page: Page, plain: TagPage, queue: str
) -> None:
    visit(page, plain)
    script = f"""() => {{ window.{queue} = window.{queue} || []; {queue}.push(["track", "Viewed Product", {VIEWED}]);
      window.{queue} = {{push() {{}}}}; }}"""
    expect(page, plain, run(page, script), must=("Product Viewed",))


def test_klaviyo_added_to_cart_keeps_the_cart_beside_the_product(page: Page, site: Announced) -> None:
    visit(page, site)
    script = """() => { klaviyo.track("Added to Cart", {"$value": 37.5, AddedItemProductName: "Mug",
      AddedItemProductID: "1", AddedItemSKU: "SKU-1",
      AddedItemPrice: 12.5, AddedItemQuantity: 1, ItemNames: ["Mug", "Cup"], CheckoutURL: "/checkout",
      Items: [{ProductID: "1", SKU: "SKU-1", ProductName: "Mug", Quantity: 1, ItemPrice: 12.5}, {ProductID: "2",
        ProductName: "Cup", Quantity: 1, ItemPrice: 25}]}); }"""
    expect(page, site, run(page, script), must=("Product Added",))
    properties = site.message("Product Added")["properties"]
    assert (properties["product_id"], properties["quantity"], properties["$value"], properties["CheckoutURL"]) == (
        "1",
        1,
        37.5,
        "/checkout",
    )
    assert [line["product_id"] for line in properties["products"]] == ["1", "2"]


def test_klaviyo_custom_events_travel_and_identify_is_heard(page: Page, site: Announced) -> None:
    visit(page, site)
    script = """() => { klaviyo.identify({"$email": "ann@shop.test", "$first_name": "Ann"});
      klaviyo.identify({"$first_name": "Ann"});
      klaviyo.track("Quiz Finished", {result: "Oily", items: [1]}); }"""
    expect(page, site, run(page, script), must=("identify", "Quiz Finished"))
    assert site.message("identify")["traits"] == {"email": "ann@shop.test"}
    assert site.message("Quiz Finished")["properties"] == {"result": "Oily", "items": [1]}


def test_klaviyo_form_tells_who_submitted_it(page: Page, site: Announced) -> None:
    visit(page, site)
    script = """() => { for (const [type, email] of [["open", "no@shop.test"], ["submit", "ann@shop.test"]])
      window.dispatchEvent(new CustomEvent("klaviyoForms", {detail: {type, formId: "Xy12",
        metaData: {$email: email}}})); }"""
    expect(page, site, run(page, script), must=("identify",))
    assert site.message("identify")["traits"] == {"email": "ann@shop.test"}


def test_klaviyos_stub_is_never_awaited_nor_told_anything_new(page: Page, site: Announced) -> None:
    visit(page, site)
    expect(
        page, site, run(page, "() => { klaviyo.track('Viewed Product', {ProductID: '1'}); }"), must=("Product Viewed",)
    )
    assert set(page.evaluate("_klOnsite.map(([method]) => method)")) <= {"track", "isIdentified"}


# -- attributes


def test_attributes_tell_of_clicks_submissions_and_views(page: Page, site: Announced) -> None:
    site.html = """<!doctype html><title>Markup</title><link rel=icon href=data:,><!--tag-->
      <main data-backflow-view="Product Viewed" data-backflow-product-id="7" data-backflow-name="Mug"
            data-backflow-price="12.50" data-backflow-currency="EUR">
        <button id="add" data-backflow-event="Product Added" data-backflow-quantity="2"><b>Add</b></button>
        <form id="ask" data-backflow-event="Question Asked" data-backflow-topic="size" onsubmit="return false">
          <button>Ask</button></form>
      </main>"""
    visit(page, site)
    clicks = "() => { for (const one of ['#add b', '#ask button']) document.querySelector(one).click(); }"
    expect(page, site, run(page, clicks), must=("Product Viewed", "Product Added", "Question Asked"))
    product = {"product_id": "7", "name": "Mug", "price": "12.50", "currency": "EUR"}
    assert site.message("Product Viewed")["properties"] == product
    assert site.message("Product Added")["properties"] == product | {"quantity": "2"}
    assert site.message("Question Asked")["properties"]["topic"] == "size"


# -- schema.org and OpenGraph

PRODUCT = {
    "@context": "https://schema.org", "@type": "Product", "name": "Mug", "sku": "SKU-1", "productID": "1",
    "url": "/products/mug",
    "image": ["/mug.jpg", "/mug-2.jpg"], "brand": {"@type": "Brand", "name": "Acme"}, "description": "A mug",
    "offers": {"@type": "Offer", "price": "12.50", "priceCurrency": "EUR", "availability": "https://schema.org/InStock"},
}  # fmt: skip
GROUP = {
    "@context": "https://schema.org", "@type": "ProductGroup", "name": "Mug", "url": "/products/mug",
    "brand": {"name": "Acme"},
    "hasVariant": [
        {"@type": "Product", "sku": f"SKU-{n}", "name": "Mug", "image": f"/{n}.jpg",
         "offers": {"@type": "Offer", "price": f"{n}.50", "priceCurrency": "EUR", "url": f"/products/mug?variant={n}"}}
        for n in (1, 2)
    ],
}  # fmt: skip
GRAPH = {
    "@graph": [
        {"@type": "WebSite", "name": "Shop"},
        {"@type": ["Product", "Thing"], **{k: v for k, v in PRODUCT.items() if k != "@type"}},
    ]
}
AGGREGATE = PRODUCT | {"offers": {"@type": "AggregateOffer", "lowPrice": 12.5, "highPrice": 20, "priceCurrency": "EUR"}}


@pytest.mark.parametrize(
    ("data", "query", "sku", "price"),
    [
        (PRODUCT, "", "SKU-1", "12.50"),
        ([PRODUCT], "", "SKU-1", "12.50"),
        (GRAPH, "", "SKU-1", "12.50"),
        (AGGREGATE, "", "SKU-1", 12.5),
        (GROUP, "", "SKU-1", "1.50"),
        (GROUP, "?variant=2", "SKU-2", "2.50"),
        ({"@type": "ItemPage", "mainEntity": PRODUCT}, "", "SKU-1", "12.50"),
    ],
    ids=["product", "list", "graph", "aggregate-offer", "group", "chosen-variant", "main-entity"],
)
def test_json_ld_is_a_product_view(
    page: Page, site: Announced, data: object, query: str, sku: str, price: object
) -> None:
    site.html = f"""<!doctype html><title>Mug</title><link rel=icon href=data:,>
      <script type="application/ld+json">{json.dumps(data)}</script><!--tag-->"""
    visit(page, site, f"/products/mug{query}")
    site.wait_for("Product Viewed")
    message = site.message("Product Viewed")
    properties = message["properties"]
    assert (properties["name"], properties["brand"], properties["sku"]) == ("Mug", "Acme", sku)
    assert (properties["price"], properties["currency"]) == (price, "EUR")
    assert "description" not in properties
    assert "@type" not in properties
    assert message["context"]["capture"] == ["schema"]


@pytest.mark.parametrize(
    "scripts",
    [
        [{"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "item": PRODUCT}]}],
        [PRODUCT | {"url": "/products/other"}, PRODUCT | {"url": "/products/third", "name": "Cup"}],
        [{"@type": "Organization", "name": "Shop"}],
        ["not an object"],
    ],
    ids=["item-list", "several-products", "no-product", "text"],
)
def test_json_ld_of_a_list_is_no_product_view(page: Page, site: Announced, scripts: list[object]) -> None:
    data = "".join(f'<script type="application/ld+json">{json.dumps(one)}</script>' for one in scripts)
    broken = '<script type="application/ld+json">{broken</script>'
    site.html = f"<!doctype html><title>List</title><link rel=icon href=data:,>{data}{broken}<!--tag-->"
    visit(page, site, "/collections/mugs")
    site.wait_for("page")
    expect(
        page,
        site,
        run(page, "new Promise((done) => requestIdleCallback(() => requestIdleCallback(() => done())))"),
        must=(),
        must_not=("Product Viewed",),
    )


# -- one action, several sources


def test_one_add_told_to_three_is_one_event_with_the_richest_fields(page: Page, site: Announced) -> None:
    visit(page, site)
    script = """() => {
      fbq("track", "AddToCart", {content_ids: ["shopify_US_1_11"], content_type: "product", value: 12.5,
        currency: "EUR"});
      dataLayer.push({event: "add_to_cart", ecommerce: {currency: "EUR", items: [{item_id: "SKU-1",
        item_name: "Mug", item_brand: "Acme", item_variant: "Large", price: 12.5, quantity: 1}]}});
      klaviyo.track("Added to Cart", {AddedItemProductName: "Mug", AddedItemProductID: "1", AddedItemSKU: "SKU-1",
        AddedItemQuantity: 1, "$value": 12.5});
      fbq("track", "AddToCart", {content_ids: ["11"], content_name: "Mug", value: 12.5, currency: "EUR"});
    }"""
    arrived = expect(page, site, run(page, script), must=("Product Added",))
    events = [message for message in arrived if name_of(message) == "Product Added"]
    assert sorted({source for message in events for source in message["context"]["capture"]}) == [
        "ga4",
        "klaviyo",
        "meta",
    ]
    richest = max(events, key=lambda message: len(message["properties"]))["properties"]
    assert (richest["sku"], richest["brand"], richest["variant"], richest["$value"]) == ("SKU-1", "Acme", "Large", 12.5)


def test_a_sighting_that_is_no_json_takes_nothing_from_the_one_before(page: Page, site: Announced) -> None:
    visit(page, site)
    script = f"""() => {{
      gtag("event", "add_to_cart", {{currency: "EUR", value: 25, items: [{ITEM}]}});
      const odd = {{content_ids: ["SKU-1"], value: 25}}; odd.self = odd;
      fbq("track", "AddToCart", odd);
    }}"""
    expect(page, site, run(page, script), must=("Product Added",))
    has(site.message("Product Added")["properties"], {"product_id": "SKU-1", "name": "Mug", "currency": "EUR"})


def test_meta_call_that_cannot_be_read_silences_no_other(page: Page, plain: TagPage) -> None:
    site = plain
    site.pages["/"] = """<script>window.fbq = function () { fbq.queue.push(arguments); }; fbq.queue = [];
      fbq("init", "123", null); fbq.queue.push(null); fbq("track", "AddToCart", {content_ids: ["A"]});</script>"""
    visit(page, site)
    expect(page, site, run(page, "fbq('track', 'AddToCart', {content_ids: ['B']})"), must=("Product Added",))
    added = [message for message in site.messages if name_of(message) == "Product Added"]
    assert [message["properties"]["product_id"] for message in added] == ["A", "B"]


def test_single_page_shop_that_still_shows_the_last_products_data_views_it_once(page: Page, plain: TagPage) -> None:
    site = plain
    data = '<script type="application/ld+json">{"@type": "Product", "name": "A", "sku": "A1", "url": "::"}</script>'
    site.pages["/products/a"] = data
    visit(page, site, "/products/a")
    site.wait_for("Product Viewed")
    for path in ("/products/b", "/about"):
        page.evaluate("(path) => history.pushState({}, '', path)", path)
        page.wait_for_function(
            "(path) => new Promise((done) => requestIdleCallback(() => done(location.pathname === path)))", arg=path
        )
    expect(page, site, run(page, "1"), must=())
    assert [name_of(message) for message in site.messages].count("Product Viewed") == 1


def test_product_of_a_single_page_shop_is_seen_when_its_data_comes_late(page: Page, plain: TagPage) -> None:
    site = plain
    data = '<script type="application/ld+json">{"@type": "Product", "name": "A", "sku": "A1"}</script>'
    site.pages["/products/a"] = data
    visit(page, site, "/products/a")
    site.wait_for("Product Viewed")
    page.evaluate("() => history.pushState({}, '', '/products/b')")
    idled(page)
    page.evaluate("""() => { document.querySelector("script[type='application/ld+json']").textContent =
      JSON.stringify({"@type": "Product", name: "B", sku: "B1"}); }""")
    site.wait(lambda: site.names.count("Product Viewed") == 2, "the second product is viewed")
    views = [message for message in site.messages if name_of(message) == "Product Viewed"]
    assert [message["properties"]["sku"] for message in views] == ["A1", "B1"]
    assert views[1]["context"]["page"]["path"] == "/products/b"


def test_product_of_open_graph_is_named_as_in_the_catalogue(page: Page, plain: TagPage) -> None:
    plain.pages["/mug"] = """<meta property="og:type" content="product"><meta property="og:title" content="Mug">
      <meta property="product:retailer_item_id" content="mug-7">
      <meta property="product:price:amount" content="12.50">"""
    visit(page, plain, "/mug")
    plain.wait_for("Product Viewed")
    properties = plain.message("Product Viewed")["properties"]
    assert (properties["product_id"], properties["name"], properties["price"]) == ("mug-7", "Mug", "12.50")


def test_one_view_is_one_event_however_late_a_source_is(page: Page, site: Announced) -> None:
    site.html = f"""<!doctype html><title>Mug</title><link rel=icon href=data:,>
      <script>window.dataLayer = []; window._learnq = [];</script>
      <script type="application/ld+json">{json.dumps(PRODUCT)}</script><!--tag-->"""
    visit(page, site, "/products/mug")
    site.wait_for("Product Viewed")  # it has left already
    script = """() => { dataLayer.push({event: "view_item",
      ecommerce: {items: [{item_id: "1", item_name: "Mug", price: 12.5}]}});
      _learnq.push(["track", "Viewed Product", {ProductName: "Mug", SKU: "SKU-1"}]);
      document.querySelector("script[type='application/ld+json']").remove();
      history.pushState({}, "", "/products/cup");
      dataLayer.push({event: "view_item", ecommerce: {items: [{item_id: "2", item_name: "Cup"}]}}); }"""
    expect(page, site, run(page, script), must=())
    assert [message["properties"]["name"] for message in named(site, "Product Viewed")] == ["Mug", "Cup"]


def test_the_shops_own_call_and_the_data_layer_are_one_event(page: Page, site: Announced) -> None:
    visit(page, site)
    script = """() => { for (let n = 0; n < 2; n++) {
        backflow.track("Product Added", {product_id: "1", name: "Mug", quantity: 1, note: n});
        gtag("event", "add_to_cart", {items: [{item_id: "1", item_name: "Mug", quantity: 1, index: n}]});
          } backflow.track("Same"); backflow.track("Same"); }"""
    expect(page, site, run(page, script), must=("Product Added",))
    events = named(site, "Product Added")
    assert [message["properties"]["note"] for message in events] == [0, 1]
    assert [message["context"]["capture"][0] for message in events] == ["api", "api"]
    assert len(named(site, "Same")) == 2


@pytest.mark.parametrize("name", ["Added to Cart", "add_to_cart", "AddToCart"])
def test_the_shops_own_call_by_another_name_and_the_data_layer_are_one_event(
    page: Page, site: Announced, name: str
) -> None:
    visit(page, site)
    script = f"""() => {{ backflow.track("{name}", {{product_id: "A", price: 2}});
      gtag("event", "add_to_cart", {{items: [{{item_id: "A", item_name: "Mug"}}]}}); }}"""
    expect(page, site, run(page, script), must=(name,), must_not=("Product Added",))


def test_different_products_and_different_numbers_stay_apart(page: Page, site: Announced) -> None:
    visit(page, site)
    script = """() => {
      gtag("event", "add_to_cart", {items: [{item_id: "1", item_name: "Mug", quantity: 1}]});
      fbq("track", "AddToCart", {contents: [{id: "2", quantity: 1}]});
      fbq("track", "AddToCart", {contents: [{id: "1", quantity: 3}]});
    }"""
    expect(page, site, run(page, script), must=("Product Added",))
    assert [(e["properties"]["product_id"], e["properties"]["quantity"]) for e in named(site, "Product Added")] == [
        ("1", 1),
        ("2", 1),
        ("1", 3),
    ]


def test_an_event_that_may_still_grow_is_stored_at_once_and_leaves_with_the_page(page: Page, site: Announced) -> None:
    visit(page, site)
    site.wait_for("page")
    script = """() => { gtag("event", "add_to_cart", {items: [{item_id: "1"}]});
      const stored = Object.entries(localStorage).some(([key,
        text]) => key.startsWith("backflow.queue.") && text.includes("Product Added"));
      location.href = "/next"; return stored; }"""
    assert page.evaluate(script) is True
    page.wait_for_url("**/next")
    page.wait_for_function(LOADED)
    site.wait_for("Product Added")
    assert len(named(site, "Product Added")) == 1


def test_cart_seen_whole_completes_a_later_checkout(page: Page, site: Announced) -> None:
    visit(page, site)
    stored = {
        "cart_id": "c1",
        "cart_value": 25,
        "currency": "EUR",
        "checkout_url": "/cart/11:2",
        "products": [{"product_id": 1, "quantity": 2}],
    }
    page.evaluate("(cart) => localStorage.setItem('backflow.cart', JSON.stringify(cart))", stored)
    expect(page, site, run(page, "gtag('event', 'begin_checkout', {coupon: 'TEN'})"), must=("Checkout Started",))
    assert site.message("Checkout Started")["properties"] == stored | {"coupon": "TEN"}
    expect(page, site, run(page, "gtag('event', 'purchase', {transaction_id: 'T1'})"), must=("Order Completed",))
    assert page.evaluate("localStorage.getItem('backflow.cart')") is None


@pytest.mark.parametrize("kept", [True, False], ids=["stub-message", "stub-call"])
def test_early_call_of_the_shop_and_a_queued_push_are_one_event(page: Page, site: Announced, kept: bool) -> None:
    message = (
        "{type: 'track', messageId: 'stub-1', timestamp: new Date().toISOString(), event: 'Product Viewed',"
        " properties: {product_id: '1', note: 'early'}}"
    )
    call = message if kept else "['track', 'Product Viewed', {product_id: '1', note: 'early'}]"
    site.pages["/"] = f"""<script>
      gtag("event", "view_item", {{items: [{{item_id: "1", item_name: "Mug"}}]}});
      (window.backflow = window.backflow || []).push({call});
    </script>"""
    visit(page, site)
    expect(page, site, run(page, "1"), must=("Product Viewed",))
    (event,) = named(site, "Product Viewed")
    assert event["properties"]["note"] == "early"
    assert event["context"]["capture"][0] == "api"
    assert (event["messageId"] == "stub-1") is kept


# -- hostile surroundings


@pytest.mark.parametrize(
    "before",
    [
        "Object.defineProperty(window, 'dataLayer', {value: [], writable: false, configurable: false});",
        "window.Proxy = undefined; window.fbq = () => {};",
        "Object.defineProperty(window, 'fbq', {value() {}, writable: false}); window.klaviyo = Object.freeze({});",
        "window.dataLayer = 'taken'; window._learnq = 7; window.bodlEvents = {cart: {addItem() { throw 1; }}};",
        "Array.prototype.filter = Array.prototype.some = () => { throw new Error('mine'); };",
    ],
    ids=["fixed-layer", "no-proxy", "blockers-stubs", "taken-names", "broken-arrays"],
)
def test_the_page_and_the_shops_own_calls_survive_when(page: Page, site: Announced, before: str) -> None:
    site.html = "<!doctype html><title>Hostile</title><link rel=icon href=data:,><!--tag-->"
    page.add_init_script(before)
    visit(page, site)
    expect(page, site, run(page, "() => { backflow.track('Still'); }"), must=("page", "Still"))


def test_ten_thousand_pushes_hide_no_add(page: Page, site: Announced) -> None:
    visit(page, site)
    script = """() => { for (let n = 0; n < 10000; n++) dataLayer.push({event: "scroll", n});
      gtag("event", "add_to_cart", {items: [{item_id: "1"}]}); return dataLayer.length > 10000; }"""
    expect(page, site, run(page, script), must=("Product Added",))
    assert len(named(site, "Product Added")) == 1


def test_a_call_that_is_no_json_is_told_too(page: Page, site: Announced) -> None:
    visit(page, site)
    script = "() => { const a = {n: 1n}; a.a = a; backflow.track('Circle', a); klaviyo.track('Round', a); }"
    expect(page, site, run(page, script), must=("Circle", "Round"))


LATE = """(data) => document.body.append(Object.assign(document.createElement("script"),
  {type: "application/ld+json", textContent: JSON.stringify(data)}))"""
PAUSED = "window.setInterval = () => 0;"  # no look before the page goes away


def test_product_whose_data_come_late_is_seen_also_where_the_shopper_leaves_before_the_next_look(
    page: Page, plain: TagPage
) -> None:
    page.add_init_script(PAUSED)
    visit(page, plain, "/a")
    plain.wait_for("page")
    idled(page)
    page.evaluate(LATE, {"@type": "Product", "name": "A", "sku": "A1"})
    page.evaluate("location.href = '/b'")
    plain.wait_for("Product Viewed")
    message = plain.message("Product Viewed")
    assert (message["properties"]["sku"], message["context"]["page"]["path"]) == ("A1", "/a")


def test_data_that_name_the_page_before_are_not_of_this_one(page: Page, plain: TagPage) -> None:
    page.add_init_script(PAUSED)
    visit(page, plain, "/a")
    plain.wait_for("page")
    idled(page)
    page.evaluate(LATE, {"@type": "Product", "name": "A", "sku": "A1", "url": "/a"})
    page.evaluate("history.pushState({}, '', '/b')")
    plain.wait(lambda: plain.names.count("page") == 2, "the second page view")
    idled(page)
    page.evaluate("document.querySelector('[type=\"application/ld+json\"]').remove()")
    page.evaluate(LATE, {"@type": "Product", "name": "B", "sku": "B1", "url": "/b"})
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    plain.wait_for("Product Viewed")
    views = [message for message in plain.messages if name_of(message) == "Product Viewed"]
    assert [(view["properties"]["sku"], view["context"]["page"]["path"]) for view in views] == [("B1", "/b")]


def test_pixel_whose_script_goes_into_the_body_is_heard_once_it_has_arrived(page: Page, plain: TagPage) -> None:
    page.add_init_script(PAUSED)
    page.route("**/fbevents.js", lambda route: route.fulfill(content_type="text/javascript", body="""
      fbq.callMethod = () => {}; fbq.queue.splice(0);"""))  # fmt: skip
    visit(page, plain)
    plain.wait_for("page")
    page.evaluate("""() => new Promise((arrived) => {
      const fbq = window.fbq = (...args) => fbq.callMethod ? fbq.callMethod(...args) : fbq.queue.push(args);
      fbq.queue = [];
      document.body.append(Object.assign(document.createElement("script"), {src: "/fbevents.js", onload: arrived}));
    })""")
    page.evaluate("fbq('track', 'AddToCart', {content_ids: ['7'], content_name: 'Mug'})")
    plain.wait_for("Product Added")
