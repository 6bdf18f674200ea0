"""Coming and going: the stub before the tag, the address bar, single-page shops, the browser's cache, frames."""

import threading
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from e2e.tag_page import KEY, Answer, TagPage, name_of
from e2e.test_tag import LOADED, QUEUE, expect, page_errors, run, site, visit

pytestmark = pytest.mark.browser
__all__ = ["page_errors", "site"]


# -- the inline stub


def test_shopper_who_leaves_before_the_tag_has_arrived_is_not_lost(page: Page, site: TagPage) -> None:
    site.hold_tag = threading.Event()
    site.pages["/"] = site.stub()
    page.goto(site.shop, wait_until="commit")
    page.wait_for_function("window.backflow")
    page.evaluate("""() => { backflow.track("Early", {n: 1}); backflow.identify({email: "ann@shop.test"});
      backflow.page("Home", {kind: "landing"}); backflow.identify("customer-1", {first: "Ann"}); backflow.reset();
      location.href = "about:blank"; }""")
    site.wait_for("Early", "Signed Out")
    early = site.message("Early")
    assert early["properties"] == {"n": 1}
    assert early["timestamp"].endswith("Z")
    traits, customer = (message for message in site.messages if message["type"] == "identify")
    assert (traits["traits"], "userId" in traits) == ({"email": "ann@shop.test"}, False)
    assert (customer["traits"], customer["userId"]) == ({"first": "Ann"}, "customer-1")
    named = next(message for message in site.messages if message["type"] == "page")
    assert (named["name"], named["properties"]) == ("Home", {"kind": "landing"})
    assert site.arrivals[0].headers["content-type"].startswith("text/plain")
    assert site.arrivals[0].body["writeKey"] == KEY
    assert site.preflights == 0


def test_what_the_stub_has_sent_is_repeated_under_the_same_id_and_counts_once(page: Page, site: TagPage) -> None:
    site.hold_tag = threading.Event()
    site.pages["/"] = site.stub()
    page.goto(site.shop, wait_until="commit")
    page.wait_for_function("window.backflow")
    page.evaluate("() => { for (let n = 1; n <= 12; n++) backflow.track('Early ' + n); location.href = '/next'; }")
    site.wait_for("Early 12")
    page.wait_for_url("**/next", wait_until="commit")
    site.hold_tag.set()
    page.wait_for_function(LOADED)
    expect(page, site, run(page, "backflow.track('Later')"), must=("Later",))
    page.wait_for_function(f"{QUEUE} === 0")
    early = [name for name in site.names if name.startswith("Early")]
    assert early == [f"Early {n}" for n in range(1, 13)]
    sent = [message["messageId"] for arrival in site.arrivals for message in arrival.body["batch"]]
    assert len(sent) > len(set(sent))


def test_stub_whose_relay_is_down_leaves_it_to_the_next_page(page: Page, site: TagPage) -> None:
    site.hold_tag = threading.Event()
    site.plan.otherwise = Answer(503)
    site.pages["/"] = site.stub()
    page.goto(site.shop, wait_until="commit")
    page.wait_for_function("window.backflow")
    page.evaluate("() => { backflow.track('Early'); location.href = '/next'; }")
    site.wait_for_arrivals(1)
    site.plan.otherwise = Answer()
    site.hold_tag.set()
    site.wait_for("Early")
    assert site.names.count("Early") == 1


def test_tag_replays_the_stub_once_and_with_the_whole_context(page: Page, site: TagPage) -> None:
    site.hold_tag = threading.Event()
    site.pages["/"] = site.stub() + "<script>backflow.track('Early'); backflow.consent({marketing: true});</script>"
    page.goto(f"{site.shop}/?gclid=G1", wait_until="commit")
    page.wait_for_function("window.backflow")
    site.hold_tag.set()
    page.wait_for_function(LOADED)
    expect(page, site, run(page, "backflow.track('Later')"), must=("Early", "Consent Updated", "Later"))
    assert site.names.count("Early") == 1
    assert site.message("Early")["context"]["clickIds"] == {"gclid": "G1"}


@pytest.mark.parametrize(
    ("consent", "html", "kept", "sends"),
    [
        ("assumed", "", "", True),
        ("assumed", "", '{"marketing":false}', False),
        ("assumed", "", '{"analytics":true}', False),
        ("auto", "", "", True),
        ("auto", "<script>window.OneTrust = {IsAlertBoxClosed: () => false};</script>", "", False),
        ("auto", "<script>window.OneTrust = {};</script>", '{"marketing":true,"source":"onetrust"}', True),
        ("auto", "<script>dataLayer = [['consent', 'default', {ad_storage: 'denied'}]];</script>", "", False),
        ("auto", "", '{"marketing":false,"source":"api"}', False),
        ("auto", "", '{"marketing":false,"targeting":true}', False),
        ("required", "", "", False),
        ("required", "", '{"marketing":false,"advertising":true}', False),
        ("required", "", '{"marketing":true,"analytics":true,"source":"api"}', True),
    ],
)
def test_stub_keeps_to_the_rules_of_consent(
    page: Page, site: TagPage, consent: str, html: str, kept: str, sends: bool
) -> None:
    site.settings["consent"] = consent
    site.hold_tag = threading.Event()
    keep = (
        f"<script>localStorage['backflow.consent'] = '{kept}' || localStorage.clear() || '';</script>" if kept else ""
    )
    site.pages["/"] = keep + html + site.stub()
    page.goto(site.shop, wait_until="commit")
    page.wait_for_function("window.backflow")
    page.evaluate("backflow.track('Early')")
    assert page.evaluate(QUEUE) == (1 if sends else 0)
    page.evaluate("location.href = '/next'")
    page.wait_for_url("**/next", wait_until="commit")
    end = "(url) => fetch(url, {method: 'POST', body: JSON.stringify({batch: [{messageId: 'end', type: 'end'}]})})"
    page.evaluate(end, f"{site.relay}/v1/batch")
    site.wait_for("end")
    assert ("Early" in site.names) is sends
    if sends and kept:
        assert site.message("Early")["context"]["consent"]["marketing"] is True


@pytest.mark.parametrize("relay_up", [True, False], ids=["relay-up", "relay-down"])
def test_yes_given_to_the_stub_outlives_the_page_with_what_was_said_before_it(
    page: Page, site: TagPage, relay_up: bool
) -> None:
    site.settings["consent"] = "required"
    site.hold_tag = threading.Event()
    site.plan.otherwise = Answer(200 if relay_up else 503)
    site.pages["/"] = site.stub()
    page.goto(site.shop, wait_until="commit")
    page.wait_for_function("window.backflow")
    page.evaluate("() => { backflow.track('Early'); }")
    assert page.evaluate(QUEUE) == 0
    page.evaluate("() => { backflow.consent({marketing: true, analytics: true}); location.href = '/next'; }")
    site.wait_for_arrivals(1)
    assert site.arrivals[0].body["context"]["consent"] == {"marketing": True, "analytics": True}
    page.wait_for_url("**/next", wait_until="commit")
    site.plan.otherwise = Answer()
    site.hold_tag.set()
    site.wait_for("Early", "Consent Updated", "page")
    assert site.message("Consent Updated")["properties"] == {"marketing": True, "analytics": True}
    assert site.message("page")["context"]["consent"] == {"marketing": True, "analytics": True, "source": "api"}
    assert site.names.count("Early") == 1


def test_no_given_to_the_stub_outlives_the_page_and_takes_back_what_it_kept(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "auto"
    site.hold_tag = threading.Event()
    site.pages["/"] = site.stub()
    page.goto(site.shop, wait_until="commit")
    page.wait_for_function("window.backflow")
    page.evaluate("() => { backflow.track('Early'); backflow.consent({marketing: false}); location.href = '/next'; }")
    page.wait_for_url("**/next", wait_until="commit")
    site.hold_tag.set()
    site.wait_for("Consent Updated")
    page.wait_for_function(f"{QUEUE} === 0")
    assert site.names == ["Consent Updated"]


def test_stub_that_heard_only_of_consent_sends_nothing(page: Page, site: TagPage) -> None:
    site.hold_tag = threading.Event()
    site.pages["/"] = site.stub()
    page.goto(site.shop, wait_until="commit")
    page.wait_for_function("window.backflow")
    page.evaluate("() => { backflow.consent({marketing: true}); location.href = '/next'; }")
    page.wait_for_url("**/next", wait_until="commit")
    site.hold_tag.set()
    site.wait_for("Consent Updated", "page")
    assert all(arrival.body["batch"] for arrival in site.arrivals)


# -- the address bar


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/?bf=T.o-k_en&a=%2F+x&b", "/?a=%2F+x&b"),
        ("/?a=1&bf=T&b=2#part?bf=x", "/?a=1&b=2#part?bf=x"),
        ("/?bf=T", "/"),
        ("/?xbf=1&bfx=2", "/?xbf=1&bfx=2"),
        ("/?_kx=aB%2B&bf=T&_kx=c", "/"),
        ("/?_kx=aB&utm_source=klaviyo", "/?utm_source=klaviyo"),
        ("/black&white?bf=T&a=1", "/black&white?a=1"),
    ],
)
def test_what_names_a_recipient_leaves_the_address_bar_and_nothing_else_does(
    page: Page, site: TagPage, before: str, after: str
) -> None:
    site.pages[before.split("?")[0]] = "<script>history.replaceState({mine: 1}, '');</script>"
    visit(page, site, before)
    site.wait_for("page")
    page.wait_for_function("(url) => location.href === url", arg=site.shop + after)
    assert page.evaluate("history.state") == {"mine": 1}
    context = site.message("page")["context"]
    assert "bf=T" not in context["page"]["url"] + context["page"]["search"]
    assert "_kx" not in context["page"]["url"] + context["page"]["search"]
    assert context["page"]["url"] == site.shop + after.split("#")[0]
    if "bf=T" in before:
        assert context["clickIds"]["bf"].startswith("T")
    assert site.names.count("page") == 1


def test_klaviyos_parameter_stays_until_its_script_has_read_it(page: Page, site: TagPage) -> None:
    site.pages["/"] = "<script>window._klOnsite = [];</script>"
    visit(page, site, "/?_kx=aB")
    site.wait_for("page")
    assert page.evaluate("location.search") == "?_kx=aB"
    page.evaluate("() => { window.klaviyo = {isIdentified: () => Promise.resolve(false)}; backflow.track('Look'); }")
    page.wait_for_function("location.search === ''")


# -- first and last touch


def test_first_and_last_touch_travel_with_their_landings(page: Page, site: TagPage) -> None:
    visit(page, site, "/?gclid=G1&utm_source=google&utm_medium=cpc")
    site.wait_for("page")
    visit(page, site, "/sale?fbclid=F1&utm_source=meta")
    visit(page, site, "/direct")
    site.wait(lambda: site.names.count("page") == 3, "three page views")
    context = site.messages[-1]["context"]
    assert context["clickIds"] == {"gclid": "G1", "fbclid": "F1"}
    assert context["campaign"] == {"source": "meta"}
    first, last = context["firstTouch"], context["lastTouch"]
    assert (first["campaign"], first["clickIds"]) == ({"source": "google", "medium": "cpc"}, {"gclid": "G1"})
    assert (last["campaign"], last["clickIds"]) == ({"source": "meta"}, {"fbclid": "F1"})
    assert last["url"] == f"{site.shop}/sale?fbclid=F1&utm_source=meta"


@pytest.mark.parametrize(
    ("days", "kept"),
    [
        (0.9, {"_kx": "K", "gclid": "G", "ScCid": "S"}),
        (2, {"gclid": "G", "ScCid": "S"}),
        (91, {"ScCid": "S"}),
        (366, {}),
    ],
)
def test_each_click_id_is_kept_for_its_own_lifetime(
    page: Page, site: TagPage, days: float, kept: dict[str, str]
) -> None:
    visit(page, site, "/?_kx=K&gclid=G&ScCid=S&utm_source=x")
    site.wait_for("page")
    page.add_init_script(f"const now = Date.now; Date.now = () => now() + {days} * 86400000;")
    visit(page, site, "/later")
    site.wait(lambda: site.names.count("page") == 2, "the later page view")
    context = site.messages[-1]["context"]
    assert context["clickIds"] == kept
    assert ("firstTouch" in context) is (days < 90)


def test_signing_out_forgets_where_the_visitor_came_from(page: Page, site: TagPage) -> None:
    visit(page, site, "/?_kx=K&utm_source=x")
    expect(page, site, run(page, "backflow.reset()"), must=("Signed Out",))
    visit(page, site, "/next")
    arrived = expect(page, site, run(page, "backflow.track('Next')"), must=("Next",))
    context = next(message for message in arrived if name_of(message) == "Next")["context"]
    assert not context["clickIds"]
    assert not {"campaign", "firstTouch", "lastTouch"} & set(context)


def test_signing_out_is_told_also_where_the_shop_then_clears_the_storage(page: Page, site: TagPage) -> None:
    visit(page, site)
    expect(page, site, run(page, "backflow.identify({email: 'ann@shop.test'})"), must=("identify",))
    page.evaluate(
        """() => { backflow.track('Last'); backflow.reset(); localStorage.clear(); location.href = "/login"; }"""
    )
    site.wait_for("Last", "Signed Out")
    site.wait(lambda: site.messages[-1]["context"].get("page", {}).get("path") == "/login", "the next page")
    assert site.names.count("Signed Out") == 1


@pytest.mark.parametrize("early", [True, False], ids=["stub", "tag"])
def test_what_follows_a_sign_out_in_the_same_tick_is_somebody_elses(page: Page, site: TagPage, early: bool) -> None:
    visit(page, site, "/?_kx=ANN&utm_source=x")
    site.wait_for("page")
    if early:
        site.hold_tag = threading.Event()
        site.pages["/next"] = site.stub()
        page.goto(f"{site.shop}/next", wait_until="commit")
        page.wait_for_function("window.backflow")
    page.evaluate("() => { backflow.reset(); backflow.identify({email: 'bob@shop.test'}); }")
    if site.hold_tag:
        site.hold_tag.set()
    site.wait_for("Signed Out", "identify")
    context = site.message("identify")["context"]
    assert not context["clickIds"]
    assert not {"campaign", "firstTouch", "lastTouch"} & set(context)


def test_signing_out_is_told_also_where_the_storage_is_cleared_while_the_relay_is_down(
    page: Page, site: TagPage
) -> None:
    visit(page, site)
    site.wait_for("page")
    site.plan.otherwise = Answer(503)
    page.evaluate("() => { backflow.track('Last of Ann'); backflow.reset(); localStorage.clear(); }")
    site.wait_for_arrivals(2)
    page.wait_for_function(f"{QUEUE} > 0")
    page.evaluate("backflow.identify({email: 'bob@shop.test'})")
    site.plan.otherwise = Answer()
    site.wait_for("Last of Ann", "Signed Out", "identify")
    assert site.names == ["page", "Last of Ann", "Signed Out", "identify"]


def test_the_same_addition_of_whoever_comes_after_a_sign_out_is_theirs(page: Page, site: TagPage) -> None:
    visit(page, site)
    add = "dataLayer.push({event: 'add_to_cart', ecommerce: {items: [{item_id: '7', item_name: 'Mug', quantity: 1}]}});"
    site.wait_for("page")
    page.evaluate("window.dataLayer = []")
    expect(page, site, run(page, "dataLayer.push({event: 'view_cart'})"), must=("Cart Viewed",))  # it is listened to
    page.evaluate(f"() => {{ {add} backflow.reset(); backflow.identify({{email: 'bob@shop.test'}}); {add} }}")
    site.wait(lambda: site.names.count("Product Added") == 2, "the second addition")
    assert site.names[-4:] == ["Product Added", "Signed Out", "identify", "Product Added"]


# -- pages that change or come back


@pytest.mark.parametrize(
    "before", ["", "<script>delete window.navigation;</script>"], ids=["navigation-api", "history"]
)
def test_new_path_of_a_single_page_shop_is_a_page_view(page: Page, site: TagPage, before: str) -> None:
    site.pages["/"] = before
    visit(page, site)
    site.wait_for("page")
    page.evaluate("""() => { history.pushState({}, "", "/collections/new"); document.title = "New"; }""")
    site.wait(lambda: site.names.count("page") == 2, "a second page view")
    assert site.messages[-1]["context"]["page"]["title"] == "New"
    page.go_back()
    site.wait(lambda: site.names.count("page") == 3, "a third page view")


def test_return_out_of_the_browsers_cache_is_a_page_view_and_goes_on_sending(page: Page, site: TagPage) -> None:
    visit(page, site)
    site.wait_for("page")
    script = "() => { dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true})); }"
    page.evaluate(script)
    page.evaluate("() => { dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true})); }")
    site.wait(lambda: site.names.count("page") == 2, "a second page view")
    expect(page, site, run(page, "backflow.track('After')"), must=("After",))


def test_request_that_a_frozen_page_never_saw_answered_is_repeated(page: Page, site: TagPage) -> None:
    site.answers(Answer(held=threading.Event()))
    visit(page, site)
    site.wait_for("page")
    page.evaluate("() => { dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true})); }")
    expect(page, site, run(page, "backflow.track('After')"), must=("After",))


@pytest.mark.parametrize("leaving", ["location.href = '/next'", "location.reload()", "location.replace('/next')"])
def test_nothing_is_lost_in_the_tick_of_leaving(page: Page, site: TagPage, leaving: str) -> None:
    visit(page, site)
    for number in range(5):
        page.evaluate(f"() => {{ backflow.track('Leaving {number}'); {leaving}; }}")
        site.wait_for(f"Leaving {number}")
        page.wait_for_function(LOADED)
    assert [name for name in site.names if name.startswith("Leaving")] == [f"Leaving {number}" for number in range(5)]


def test_nothing_is_lost_when_the_tab_is_closed_in_the_same_tick(site: TagPage, context: BrowserContext) -> None:
    for number in range(5):
        tab = context.new_page()
        visit(tab, site)
        tab.evaluate(f"backflow.track('Closing {number}')")
        tab.close(run_before_unload=False)
        site.wait_for(f"Closing {number}")


def test_thirty_large_events_then_leaving_all_arrive_once_after_one_more_page(page: Page, site: TagPage) -> None:
    visit(page, site)
    site.wait_for("page")
    page.evaluate("""() => { for (let n = 1; n <= 30; n++) backflow.track("Large " + n, {text: "x".repeat(4000)});
      location.href = "/next"; }""")
    page.wait_for_url("**/next")
    site.wait_for("Large 30")
    assert [name for name in site.names if name.startswith("Large")] == [f"Large {n}" for n in range(1, 31)]


def test_relay_that_is_down_for_ten_seconds_gets_everything_without_a_new_page(page: Page, site: TagPage) -> None:
    visit(page, site)
    site.wait_for("page")
    down = Answer(drops=True)
    site.plan.otherwise = down
    threading.Timer(10, lambda: setattr(site.plan, "otherwise", Answer())).start()
    page.evaluate("() => { for (let n = 1; n <= 5; n++) backflow.track('Down ' + n); }")
    site.wait(lambda: "Down 5" in site.names, "everything arrives", seconds=30)
    assert [name for name in site.names if name.startswith("Down")] == [f"Down {n}" for n in range(1, 6)]


# -- several at once


def test_frame_of_the_shop_itself_is_not_a_second_page(page: Page, site: TagPage) -> None:
    site.pages["/"] = '<iframe src="/quick-view"></iframe>'
    visit(page, site)
    page.frames[1].wait_for_function("document.readyState === 'complete'")
    expect(page, site, run(page, "backflow.track('Outside')"), must=("page", "Outside"))
    assert site.names.count("page") == 1


def test_second_key_on_the_same_page_changes_nothing(page: Page, site: TagPage) -> None:
    other = '<script async src="{}/tag.js?key=other"></script>'.format
    site.pages["/"] = other(site.relay) + other(site.relay)
    visit(page, site)
    arrived: list[Any] = expect(page, site, run(page, "backflow.track('Once')"), must=("page", "Once"))
    assert [name_of(message) for message in arrived].count("Once") == 1
    assert site.names.count("page") == 1
