"""The tag in a real browser, against a small shop and a relay that can be told to fail.

A message that must not be sent is proved absent by a later one: messages travel oldest first, so when the later one
has arrived, an earlier one would have too.
"""

import base64
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from e2e.tag_page import KEY, STUB, Answer, Arrival, Message, TagPage, name_of

pytestmark = pytest.mark.browser
_markers = itertools.count(1)

#: The time in microseconds and a part nobody can guess.
MESSAGE_ID = re.compile(r"^[0-9a-z]{10}-\d+-\d+-\d+$")
QUEUE = "Object.keys(localStorage).filter((key) => key.startsWith('backflow.queue.')).length"
LOADED = "window.backflow && backflow.version"

#: Notes every cookie that a script writes, and lets it through.
WATCH_COOKIES = """
  window.writtenCookies = [];
  const cookie = Object.getOwnPropertyDescriptor(Document.prototype, "cookie");
  Object.defineProperty(document, "cookie", {
    configurable: true,
    get() { return cookie.get.call(document); },
    set(value) { window.writtenCookies.push(value); cookie.set.call(document, value); },
  });
"""


@pytest.fixture
def site() -> Iterator[TagPage]:
    with TagPage() as site:
        yield site


@pytest.fixture(autouse=True)
def page_errors(page: Page) -> Iterator[list[str]]:
    """No test may leave an error or an unhandled rejection in its page, and no script may have written a cookie."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script(WATCH_COOKIES)
    yield errors
    if not page.is_closed():
        assert page.evaluate("window.writtenCookies || []") == []
    assert errors == []


def visit(page: Page, site: TagPage, path: str = "/") -> None:
    """Opens a page of the shop and waits until the tag is installed."""
    page.goto(site.shop + path)
    page.wait_for_function(LOADED)


def expect(
    page: Page, site: TagPage, action: Callable[[], object], *, must: tuple[str, ...], must_not: tuple[str, ...] = ()
) -> list[Message]:
    """Runs ``action``; the messages of ``must`` arrive, then a marker is sent, and until it none of ``must_not`` came.

    Gives the messages that arrived from the action on, without the marker.
    """
    before = len(site.messages)
    action()
    site.wait_for(*must)
    marker = f"Marker {next(_markers)}"
    page.evaluate("(name) => backflow.track(name)", marker)
    site.wait_for(marker)
    arrived = [message for message in site.messages[before:] if name_of(message) != marker]
    names = [name_of(message) for message in arrived]
    assert not set(must_not) & set(names), names
    return arrived


def run(page: Page, script: str) -> Callable[[], object]:
    return lambda: page.evaluate(script)


def outrun(page: Page, site: TagPage) -> None:
    """Returns when requests which the page has made later than any of the tag's have come through to the relay."""
    script = """async (relay) => {
      for (let n = 0; n < 5; n++) {
        await navigator.locks?.query();
        await fetch(relay + "/later", {mode: "no-cors", credentials: "include"});
      }
    }"""
    page.evaluate(script, site.relay)


# -- messages


def test_page_view_carries_the_context_of_the_page(page: Page, site: TagPage) -> None:
    visit(page, site, "/products/shirt?size=l#reviews")
    site.wait_for("page")
    message = site.message("page")
    context = message["context"]
    assert MESSAGE_ID.match(message["messageId"])
    assert re.match(r"^\d{4}-\d\d-\d\dT[\d:.]+Z$", message["timestamp"])
    assert context["page"] == message["properties"]
    assert context["page"]["path"] == "/products/shirt"
    assert context["page"]["search"] == "?size=l"
    assert context["page"]["title"] == "Shop /products/shirt"
    assert context["page"]["url"].startswith(site.shop)
    assert context["library"]["name"] == "backflow.js"
    assert context["capture"] == ["page"]
    assert {"locale", "timezone", "screen", "userAgent"} <= set(context)
    assert context["klaviyo"] == {"present": False, "identified": None, "queued": 0}
    assert not {"campaign", "dropped"} & set(context)
    assert (context["clickIds"], context["cookies"]) == ({}, {})


def test_request_is_a_simple_one_with_the_write_key(page: Page, site: TagPage) -> None:
    visit(page, site)
    site.wait_for("page")
    arrival = site.arrivals[0]
    assert arrival.body["writeKey"] == KEY
    assert arrival.body["sentAt"].endswith("Z")
    assert arrival.headers["content-type"] == "text/plain;charset=UTF-8"
    assert arrival.headers["origin"] == site.shop
    assert site.preflights == 0


def test_api_calls_become_segment_messages(page: Page, site: TagPage) -> None:
    visit(page, site)
    expect(
        page, site,
        run(page, """() => {
          backflow.track("Product Viewed", {product_id: "7", price: 12.5});
          backflow.identify("customer-1", {email: "ann@shop.test"});
          backflow.page("Home", {kind: "landing"});
          backflow.reset();
        }"""),
        must=("Product Viewed", "identify", "Signed Out"),
    )  # fmt: skip
    track = site.message("Product Viewed")
    assert (track["type"], track["properties"]) == ("track", {"product_id": "7", "price": 12.5})
    assert track["context"]["capture"] == ["api"]
    identify = site.message("identify")
    assert (identify["userId"], identify["traits"]) == ("customer-1", {"email": "ann@shop.test"})
    named = next(message for message in site.messages if message.get("name") == "Home")
    assert named["properties"]["kind"] == "landing"
    assert named["properties"]["path"] == "/"


def test_identify_without_a_user_id_takes_traits_first(page: Page, site: TagPage) -> None:
    visit(page, site)
    expect(page, site, run(page, "backflow.identify({email: 'ann@shop.test'})"), must=("identify",))
    identify = site.message("identify")
    assert identify["traits"] == {"email": "ann@shop.test"}
    assert "userId" not in identify


@pytest.mark.parametrize(
    "call",
    [
        "backflow.track()",
        "backflow.track(null, null)",
        "backflow.identify(null, 7)",
        "backflow.page({get a() { throw new Error('no') }})",
        "backflow.consent()",
        "backflow.push(null, 7, ['nothing'], ['constructor'], () => { throw new Error('no') })",
        "(() => { const a = {}; a.a = a; backflow.track('Circle', {a, n: 1n}) })()",
    ],
    ids=["track-nothing", "track-null", "identify-null", "throwing-getter", "consent-nothing", "push-junk", "circular"],
)
def test_a_wrong_call_never_throws_into_the_page(page: Page, site: TagPage, call: str) -> None:
    visit(page, site)
    expect(page, site, run(page, f"() => {{ {call} }}"), must=())


def test_calls_made_before_the_tag_has_loaded_are_replayed_in_order(page: Page, site: TagPage) -> None:
    site.pages["/"] = (
        STUB
        + """<script>
      var early = window.backflow;
      backflow.track("First", {n: 1});
      backflow.push(["track", "Second", {n: 2}], function (api) { api.track("Third"); });
    </script>"""
    )
    visit(page, site)
    expect(page, site, run(page, "early.push(['track', 'Late'])"), must=("First", "Second", "Third", "Late"))
    assert [name for name in site.names if name in ("First", "Second", "Third", "Late")] == [
        "First",
        "Second",
        "Third",
        "Late",
    ]


def test_a_second_tag_on_the_page_changes_nothing(page: Page, site: TagPage) -> None:
    site.pages["/"] = f'<script async src="{site.relay}/tag.js?key={KEY}"></script>'
    visit(page, site)
    expect(page, site, run(page, "backflow.track('Once')"), must=("page", "Once"))
    assert site.names.count("page") == 1
    assert site.names.count("Once") == 1


def test_single_page_navigation_is_a_page_view_only_when_the_path_changes(page: Page, site: TagPage) -> None:
    visit(page, site)
    site.wait_for("page")
    script = """() => {
      history.replaceState({}, "", "?variant=2");
      history.pushState({}, "", "#reviews");
      history.pushState({}, "", "/collections/new");
    }"""
    expect(page, site, run(page, script), must=())
    site.wait(lambda: site.names.count("page") == 2, "a second page view")
    expect(page, site, lambda: page.go_back(), must=())
    site.wait(lambda: site.names.count("page") == 3, "a third page view")
    pages = [message["context"]["page"] for message in site.messages if message["type"] == "page"]
    assert [view["path"] for view in pages] == ["/", "/collections/new", "/"]
    assert [view["referrer"] for view in pages[1:]] == [f"{site.shop}/", f"{site.shop}/collections/new"]


def test_tag_in_a_frame_of_another_origin_does_nothing(page: Page, site: TagPage) -> None:
    site.pages["/"] = f'<iframe src="{site.relay}/framed"></iframe>'
    visit(page, site)
    page.frames[1].wait_for_function("document.readyState === 'complete'")
    arrived = expect(page, site, run(page, "backflow.track('Outside')"), must=("page", "Outside"))
    assert all(message["context"]["page"]["url"].startswith(site.shop) for message in arrived)


# -- visit


def test_click_ids_and_campaign_are_kept_for_the_visit(page: Page, site: TagPage) -> None:
    visit(page, site, "/?_kx=aB%2Bc+D%3D%3D.Xy&ScCid=MiXed&foo=1&utm_campaign=Summer+Sale&utm_source=klaviyo")
    page.evaluate("location.href = '/products/shirt'")
    page.wait_for_function(f"location.pathname === '/products/shirt' && {LOADED}")
    site.wait(lambda: site.names.count("page") == 2, "both page views")
    for message in site.messages:
        assert message["context"]["clickIds"] == {"_kx": "aB+c+D==.Xy", "ScCid": "MiXed"}
        assert message["context"]["campaign"] == {"name": "Summer Sale", "source": "klaviyo"}


def test_a_later_click_id_joins_and_a_later_campaign_replaces(page: Page, site: TagPage) -> None:
    visit(page, site, "/?gclid=G1&utm_source=google&utm_term=shirt")
    site.wait_for("page")
    visit(page, site, "/?fbclid=F1&utm_source=meta")
    arrived = expect(page, site, run(page, "backflow.track('Here')"), must=("Here",))
    context = arrived[-1]["context"]
    assert context["clickIds"] == {"gclid": "G1", "fbclid": "F1"}
    assert context["campaign"] == {"source": "meta"}


def test_only_listed_cookies_travel(page: Page, site: TagPage, context: BrowserContext) -> None:
    cookies = {"_ga": "GA1.1.2", "session": "secret"}
    context.add_cookies([{"name": name, "value": value, "url": site.shop} for name, value in cookies.items()])
    visit(page, site)
    site.wait_for("page")
    assert site.message("page")["context"]["cookies"] == {"_ga": "GA1.1.2"}
    assert "secret" not in json.dumps(site.arrivals[0].body)


def test_mirror_of_the_answer_is_sent_back_and_no_cookie_is_written(page: Page, site: TagPage) -> None:
    visit(page, site)
    site.wait_for("page")
    assert "visitor" not in site.arrivals[0].body
    page.wait_for_function("localStorage.getItem('backflow.visitor') === 'mirror-1'")
    expect(page, site, run(page, "backflow.track('Next')"), must=("Next",))
    assert all(arrival.body["visitor"] == "mirror-1" for arrival in site.arrivals[1:])
    assert page.evaluate("[document.cookie, window.writtenCookies]") == ["", []]


# -- delivery: nothing lost, nothing removed early


def test_message_is_in_storage_in_the_same_tick(page: Page, site: TagPage) -> None:
    site.plan.otherwise = Answer(held=threading.Event())
    visit(page, site)
    assert page.evaluate(f"() => {{ const before = {QUEUE}; backflow.track('Now'); return {QUEUE} - before; }}") == 1


def test_message_survives_navigation_in_the_same_tick(page: Page, site: TagPage) -> None:
    visit(page, site)
    site.wait_for("page")
    page.evaluate("() => { backflow.track('Leaving'); location.href = '/next'; }")
    page.wait_for_url("**/next")
    site.wait_for("Leaving")


def test_without_keepalive_a_beacon_carries_what_is_left_when_the_page_goes(page: Page, site: TagPage) -> None:
    held = threading.Event()
    site.answers(Answer(held=held))
    page.add_init_script("delete Request.prototype.keepalive;")
    visit(page, site)
    site.wait_for("page")
    page.evaluate("() => { backflow.track('Leaving'); location.href = '/next'; }")

    def beacons() -> list[Arrival]:
        return [arrival for arrival in site.arrivals if arrival.headers["sec-fetch-mode"] == "no-cors"]

    site.wait(beacons, "a beacon")
    held.set()
    beacon = beacons()[0]
    assert beacon.headers["content-type"].startswith("text/plain")
    assert beacon.names == ["page", "Leaving"]


@pytest.mark.parametrize(
    "failure",
    [Answer(500), Answer(503), Answer(408), Answer(drops=True)],
    ids=["500", "503", "408", "connection-cut"],
)
def test_after_a_failure_nothing_is_removed_and_all_arrives_on_the_next_page(
    page: Page, site: TagPage, failure: Answer
) -> None:
    site.plan.otherwise = failure
    visit(page, site)
    page.wait_for_function(f"{QUEUE} === 1")  # the page view, which waits for an idle moment
    page.evaluate("backflow.track('Kept')")
    site.wait(lambda: any("Kept" in arrival.names for arrival in site.arrivals), "a first try")
    assert page.evaluate(QUEUE) == 2
    site.plan.otherwise = Answer()
    visit(page, site, "/next")
    site.wait_for("Kept")
    site.wait(lambda: site.names.count("page") == 2, "both page views")
    page.wait_for_function(f"{QUEUE} === 0")


def test_failure_is_tried_again_on_the_same_page_after_a_pause(page: Page, site: TagPage) -> None:
    site.answers(Answer(500))
    visit(page, site)
    site.wait_for("page")
    assert site.arrivals[1].at - site.arrivals[0].at > 0.4


def test_429_waits_as_long_as_the_relay_asks_even_on_the_next_page(page: Page, site: TagPage) -> None:
    site.answers(Answer(429, retry_after=3))
    visit(page, site)
    site.wait_for_arrivals(1)
    page.wait_for_function("localStorage.getItem('backflow.wait')")
    page.evaluate("backflow.track('Waiting')")
    visit(page, site, "/next")
    site.wait_for("Waiting")
    assert site.arrivals[1].at - site.arrivals[0].at > 2.9
    assert site.arrivals[1].names[:2] == ["page", "Waiting"]


def test_an_hour_that_the_relay_asks_for_is_kept_to_on_the_next_page(page: Page, site: TagPage) -> None:
    site.answers(Answer(429, retry_after=3600))
    visit(page, site)
    site.wait_for_arrivals(1)
    page.wait_for_function("localStorage.getItem('backflow.wait')")
    visit(page, site, "/next")
    page.evaluate("backflow.track('Waiting')")
    outrun(page, site)
    assert len(site.arrivals) == 1


def test_what_is_said_again_of_a_message_takes_no_room_of_others(page: Page, site: TagPage) -> None:
    visit(page, site)
    site.wait_for("page")
    script = """() => { for (let n = 0; n < 120; n++) {
      const pad = "x".repeat(25000), product_id = "P" + n;
      _learnq.push(["track", "Added to Cart", {product_id, pad}]);
      dataLayer.push({event: "add_to_cart", ecommerce: {pad, more: 1, items: [{product_id}]}});
      backflow.track("Product Added", {product_id, pad, more: 1, most: 2});
    } }"""
    page.evaluate("() => { window._learnq = []; window.dataLayer = []; }")
    expect(page, site, run(page, script), must=())
    added = [message["properties"]["product_id"] for message in site.messages if name_of(message) == "Product Added"]
    assert sorted(added) == sorted(f"P{n}" for n in range(120))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 415, 422])
def test_a_final_answer_is_not_repeated(page: Page, site: TagPage, status: int) -> None:
    site.answers(Answer(status))
    visit(page, site)
    site.wait_for_arrivals(1)
    page.wait_for_function(f"{QUEUE} === 0")
    expect(page, site, run(page, "backflow.track('Later')"), must=("Later",), must_not=("page",))


def test_413_splits_the_batch_before_anything_is_dropped(page: Page, site: TagPage) -> None:
    site.plan.otherwise = Answer(max_messages=2)
    visit(page, site)
    site.wait_for("page")
    script = "() => { for (let n = 1; n <= 9; n++) backflow.track('Part ' + n); }"
    page.evaluate(script)
    site.wait_for(*(f"Part {n}" for n in range(1, 10)))
    assert any(arrival.answer.status == 413 for arrival in site.arrivals)
    assert [name for name in site.names if name.startswith("Part")] == [f"Part {n}" for n in range(1, 10)]


def test_413_for_a_single_message_is_final(page: Page, site: TagPage) -> None:
    site.answers(Answer(413))
    visit(page, site)
    site.wait_for_arrivals(1)
    page.wait_for_function(f"{QUEUE} === 0")
    expect(page, site, run(page, "backflow.track('Later')"), must=("Later",), must_not=("page",))


def test_lost_answer_is_repeated_with_the_same_first_message_and_no_mirror(page: Page, site: TagPage) -> None:
    site.answers(Answer(drops=True, commits=True))
    visit(page, site)
    site.wait_for_arrivals(1)
    page.evaluate("backflow.track('Second')")
    site.wait_for("Second")
    first, second = site.arrivals[0].body, site.arrivals[1].body
    assert second["batch"][0]["messageId"] == first["batch"][0]["messageId"]
    assert "visitor" not in first
    assert "visitor" not in second
    assert site.names.count("page") == 1


@pytest.mark.parametrize("before", ["", "delete Navigator.prototype.locks;"], ids=["web-locks", "no-web-locks"])
def test_only_one_request_is_in_flight(page: Page, site: TagPage, before: str) -> None:
    held = threading.Event()
    site.answers(Answer(held=held))
    page.add_init_script(before)
    visit(page, site)
    site.wait_for("page")
    page.evaluate("backflow.track('A')")
    page.evaluate("backflow.track('B')")
    outrun(page, site)
    assert [arrival.names for arrival in site.arrivals] == [["page"]]
    held.set()
    site.wait_for("A", "B")
    assert [arrival.names for arrival in site.arrivals] == [["page"], ["A", "B"]]


SHOW = """(hidden) => { Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
  document.dispatchEvent(new Event("visibilitychange")); }"""


def test_hiding_the_page_repeats_from_the_oldest_while_no_mirror_is_known(page: Page, site: TagPage) -> None:
    held = threading.Event()
    site.answers(Answer(held=held))
    visit(page, site)
    site.wait_for("page")
    page.evaluate("() => { backflow.track('A'); backflow.track('B'); }")
    page.evaluate(SHOW, True)
    site.wait_for("A", "B")
    page.evaluate(SHOW, True)  # nothing new: nothing is sent
    held.set()
    page.evaluate(SHOW, False)
    expect(page, site, run(page, "backflow.track('C')"), must=("C",))
    assert [arrival.names for arrival in site.arrivals[:2]] == [["page"], ["page", "A", "B"]]
    assert all("A" not in arrival.names for arrival in site.arrivals[2:])


def test_hiding_the_page_sends_only_what_is_not_in_flight_once_the_mirror_is_known(page: Page, site: TagPage) -> None:
    visit(page, site)
    page.wait_for_function("localStorage.getItem('backflow.visitor')")
    held = threading.Event()
    site.answers(Answer(held=held))
    page.evaluate("backflow.track('A')")
    site.wait_for("A")
    page.evaluate("backflow.track('B')")
    page.evaluate(SHOW, True)
    site.wait_for("B")
    held.set()
    assert [arrival.names for arrival in site.arrivals] == [["page"], ["A"], ["B"]]


def test_leaving_while_a_request_is_in_flight_repeats_from_the_oldest(page: Page, site: TagPage) -> None:
    held = threading.Event()
    site.plan.otherwise = Answer(held=held)
    visit(page, site)
    site.wait_for("page")
    page.evaluate("() => { backflow.track('A'); backflow.track('B'); location.href = 'about:blank'; }")
    site.wait_for("A", "B")
    held.set()
    # A page that dies may repeat its last request as a beacon.
    assert [arrival.names for arrival in site.arrivals][:2] == [["page"], ["page", "A", "B"]]
    assert all(arrival.names == ["page", "A", "B"] for arrival in site.arrivals[2:])
    assert "visitor" not in site.arrivals[1].body


def test_relay_that_is_down_gets_everything_when_it_is_back(page: Page, site: TagPage, context: BrowserContext) -> None:
    visit(page, site)
    site.wait_for("page")
    page.wait_for_function(f"{QUEUE} === 0")
    context.set_offline(True)
    page.evaluate("() => { for (let n = 1; n <= 5; n++) backflow.track('Offline ' + n); }")
    assert page.evaluate(QUEUE) == 5
    context.set_offline(False)
    site.wait_for(*(f"Offline {n}" for n in range(1, 6)))


def test_queue_is_bounded_on_the_device_and_in_memory_and_tells_how_many_it_dropped(page: Page, site: TagPage) -> None:
    held = threading.Event()
    site.answers(Answer(500, held=held))
    visit(page, site)
    site.wait_for_arrivals(1)
    page.evaluate("() => { for (let n = 1; n <= 300; n++) backflow.track('Many ' + n, {text: 'x'.repeat(30000)}); }")
    stored = page.evaluate("Object.values(localStorage).reduce((sum, value) => sum + value.length, 0)")
    assert 1_900_000 < stored < 2_100_000
    held.set()
    site.wait_for("Many 1", "Many 250")
    expect(page, site, run(page, "backflow.track('After')"), must=("After",))
    kept = [int(name.removeprefix("Many ")) for name in site.names if name.startswith("Many")]
    assert kept == list(range(1, len(kept) + 1))  # the first are kept: they are the shopper's own
    assert len(kept) + sum(message["context"].get("dropped", 0) for message in site.messages) == 300


def test_ten_thousand_pushes_in_a_second_all_arrive_and_hardly_hold_up_the_page(page: Page, site: TagPage) -> None:
    visit(page, site)
    site.wait_for("page")
    # Beside what any tag would have to do to keep them: a text of the same length, made and stored.
    script = """() => {
      let ours = 0, bare = 0;
      for (let n = 1; n <= 10000; n++) {
        const start = performance.now();
        backflow.push(["track", "Flood", {n}]);
        const between = performance.now();
        localStorage.setItem("bare", JSON.stringify({n, text: "x".repeat(1000)}));
        ours += between - start;
        bare += performance.now() - between;
      }
      return ours / bare;
    }"""
    assert page.evaluate(script) < 6
    site.wait(lambda: site.names.count("Flood") == 10_000, "all ten thousand", seconds=90)
    numbers = [message["properties"]["n"] for message in site.messages if name_of(message) == "Flood"]
    assert numbers == list(range(1, 10_001))


def test_a_message_larger_than_the_relay_takes_is_counted_not_sent(page: Page, site: TagPage) -> None:
    visit(page, site)
    arrived = expect(
        page, site,
        run(page, "() => { backflow.track('Huge', {text: 'x'.repeat(40000)}); backflow.track('Small'); }"),
        must=("Small",), must_not=("Huge",),
    )  # fmt: skip
    assert next(message for message in arrived if name_of(message) == "Small")["context"]["dropped"] == 1


def test_large_backlog_goes_in_chunks_below_the_keepalive_ceiling(page: Page, site: TagPage) -> None:
    visit(page, site)
    script = "() => { for (let n = 1; n <= 12; n++) backflow.track('Big ' + n, {text: 'é'.repeat(6000)}); }"
    page.evaluate(script)
    site.wait_for(*(f"Big {n}" for n in range(1, 13)))
    sizes = [int(arrival.headers["content-length"]) for arrival in site.arrivals]
    assert max(sizes) < 40_000
    assert len(site.messages) == len({message["messageId"] for message in site.messages})


def test_two_tabs_share_the_queue_without_loss_or_repetition(page: Page, site: TagPage) -> None:
    visit(page, site)
    other = page.context.new_page()
    visit(other, site, "/other")
    site.plan.otherwise = Answer(500)
    for number in range(1, 11):
        for name, tab in (("left", page), ("right", other)):
            tab.evaluate("(name) => backflow.track(name)", f"{name} {number}")
    site.wait(lambda: any("right 10" in arrival.names for arrival in site.arrivals), "a failed try")
    failed = len(site.arrivals)
    site.plan.otherwise = Answer()
    expected = [f"{side} {number}" for number in range(1, 11) for side in ("left", "right")]
    site.wait_for(*expected)
    kept = [name for arrival in site.arrivals[failed:] if arrival.answer.status == 200 for name in arrival.names]
    assert [name for name in kept if name in expected] == expected
    page.wait_for_function(f"{QUEUE} === 0")
    other.close()


def test_a_tab_waits_while_another_is_sending(page: Page, site: TagPage) -> None:
    visit(page, site)
    other = page.context.new_page()
    visit(other, site, "/other")
    site.wait(lambda: site.names.count("page") == 2, "both page views")
    page.wait_for_function(f"{QUEUE} === 0")
    held = threading.Event()
    site.answers(Answer(held=held))
    page.evaluate("backflow.track('A')")
    site.wait_for("A")
    other.evaluate("backflow.track('B')")
    outrun(other, site)
    assert "B" not in site.names
    held.set()
    site.wait_for("B")
    page.wait_for_function(f"{QUEUE} === 0")
    assert sum("B" in arrival.names for arrival in site.arrivals) == 1
    other.close()


def test_message_made_while_the_lock_is_given_back_is_not_forgotten(page: Page, site: TagPage) -> None:
    page.add_init_script("""const request = LockManager.prototype.request;
      LockManager.prototype.request = function (...args) {
        return request.apply(this, args).then(() => new Promise((resolve) => { window.giveBack = resolve; }));
      };""")
    visit(page, site)
    site.wait_for("page")
    page.wait_for_function("!!window.giveBack")
    page.evaluate("() => { backflow.track('Late'); giveBack(); }")
    site.wait_for("Late")


def test_a_closed_tab_leaves_its_messages_to_the_other(page: Page, site: TagPage) -> None:
    visit(page, site)
    other = page.context.new_page()
    visit(other, site, "/other")
    site.wait(lambda: site.names.count("page") == 2, "both page views")
    site.plan.otherwise = Answer(500)
    other.evaluate("backflow.track('Orphan')")
    site.wait(lambda: any("Orphan" in arrival.names for arrival in site.arrivals), "a failed try")
    other.close()
    site.plan.otherwise = Answer()
    page.evaluate("backflow.track('Heir')")
    site.wait_for("Orphan", "Heir")


# -- hostile surroundings


def test_a_page_whose_fetch_throws_still_gets_its_own_error(page: Page, site: TagPage) -> None:
    page.add_init_script("window.fetch = () => { throw new Error('mine'); };")
    visit(page, site)
    script = "() => { try { fetch('/cart/add.js', {method: 'POST'}); } catch (error) { return error.message; } }"
    assert page.evaluate(script) == "mine"


def test_wrapped_requests_keep_their_arguments_and_results(page: Page, site: TagPage) -> None:
    page.add_init_script("""window.seen = [];
      const original = window.fetch;
      window.fetch = function (...args) { window.seen.push(args); return original.apply(this, args); };""")
    visit(page, site)
    script = """async () => {
      const init = {method: "POST", body: new URLSearchParams("id=11&quantity=1")};
      const response = await fetch("/cart/add.js", init);
      const [call] = seen.filter(([url]) => url === "/cart/add.js");
      return [call[1] === init, call.length, response.bodyUsed,
              (await response.json()).id, await fetch("http://[").catch((error) => error.name)];
    }"""
    assert page.evaluate(script) == [True, 2, False, 11, "TypeError"]


# -- consent


def test_required_consent_stores_and_sends_nothing_before_the_grant(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "required"
    visit(page, site, "/?gclid=G1")
    page.evaluate("backflow.track('Before')")
    stored = page.evaluate("Object.keys(localStorage).concat(Object.keys(sessionStorage))")
    assert stored == []
    assert site.arrivals == []
    expect(
        page, site, run(page, "backflow.consent({marketing: true, analytics: true})"),
        must=("Before", "Consent Updated", "page"),
    )  # fmt: skip
    given = {"marketing": True, "analytics": True, "source": "api"}
    assert all(message["context"]["consent"] == given for message in site.messages)
    assert site.message("Before")["context"]["clickIds"] == {"gclid": "G1"}


def test_denied_consent_sends_only_the_bare_refusal(page: Page, site: TagPage, context: BrowserContext) -> None:
    site.settings["consent"] = "required"
    context.add_cookies([{"name": "_ga", "value": "GA1.1.2", "url": site.shop}])
    visit(page, site, "/?gclid=G1")
    page.evaluate("backflow.track('Before')")
    page.evaluate("() => { backflow.consent({marketing: false, analytics: true}); backflow.track('After'); }")
    site.wait_for("Consent Updated")
    message = site.message("Consent Updated")
    assert set(message["context"]) == {"library", "consent", "capture"}
    assert message["context"]["consent"] == {"marketing": False, "analytics": True, "source": "api"}
    page.wait_for_function(f"{QUEUE} === 0")
    expect(
        page, site, run(page, "backflow.consent({marketing: true})"),
        must=(), must_not=("Before", "After", "page"),
    )  # fmt: skip
    stored = page.evaluate("Object.keys(localStorage)")
    assert "backflow.consent" in stored


def test_decision_is_kept_for_later_pages(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "required"
    visit(page, site)
    expect(page, site, run(page, "backflow.consent({marketing: true})"), must=("Consent Updated",))
    visit(page, site, "/next")
    site.wait(lambda: site.names.count("page") == 2, "the next page's view without another question")


def test_withdrawn_consent_clears_what_waits_and_the_relay_learns_who_withdrew(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "required"
    visit(page, site, "/?gclid=G1")
    expect(page, site, run(page, "backflow.consent({marketing: true})"), must=("Consent Updated", "page"))
    page.wait_for_function("localStorage.getItem('backflow.visitor')")
    site.answers(Answer(500))
    before = len(site.arrivals)
    page.evaluate("backflow.track('Waiting')")
    site.wait_for_arrivals(before + 1)
    page.wait_for_function(f"{QUEUE} === 1")
    page.evaluate("backflow.consent({marketing: false})")
    assert page.evaluate("Object.keys(localStorage).sort()") == ["backflow.consent"]
    assert page.evaluate("Object.keys(sessionStorage)") == []
    site.wait(lambda: site.names.count("Consent Updated") == 2, "the withdrawal")
    refusal = site.arrivals[-1]
    assert refusal.names == ["Consent Updated"]
    assert refusal.body["visitor"] == "mirror-1"
    assert "Waiting" not in site.names


def test_page_prepared_in_advance_says_nothing_until_it_is_shown(page: Page, site: TagPage) -> None:
    page.add_init_script("""window.hiddenYet = true;
      Object.defineProperty(document, "prerendering", {get: () => window.hiddenYet});""")
    visit(page, site)
    page.evaluate("backflow.track('Early')")
    assert page.evaluate("Object.keys(localStorage).concat(Object.keys(sessionStorage))") == []
    assert site.arrivals == []
    show = "() => { window.hiddenYet = false; document.dispatchEvent(new Event('prerenderingchange')); }"
    expect(page, site, run(page, show), must=("Early", "page"))


SHOPIFY = """<script>
  var said = "%s", allowed = %s;
  window.Shopify = {customerPrivacy: {
    marketingAllowed: () => allowed, analyticsProcessingAllowed: () => allowed,
    currentVisitorConsent: () => ({marketing: said, analytics: said}),
  }};
</script>"""
SHOPIFY_SAYS = """(yes) => { allowed = yes; said = yes ? "yes" : "no";
  document.dispatchEvent(new CustomEvent("visitorConsentCollected",
    {detail: {marketingAllowed: yes, analyticsAllowed: yes}})); }"""


def test_shopify_banner_without_an_answer_holds_everything(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = SHOPIFY % ("", "false")
    visit(page, site)
    page.evaluate("backflow.track('Before')")
    assert page.evaluate(QUEUE) == 0
    expect(page, site, lambda: page.evaluate(SHOPIFY_SAYS, True), must=("Before", "page"))
    given = {"marketing": True, "analytics": True, "source": "shopify"}
    assert site.message("Before")["context"]["consent"] == given


def test_shopify_refusal_is_told_once_and_bare(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = SHOPIFY % ("", "false")
    visit(page, site)
    page.evaluate(SHOPIFY_SAYS, False)
    site.wait_for("Consent Updated")
    assert site.names == ["Consent Updated"]
    assert set(site.message("Consent Updated")["context"]) == {"library", "consent", "capture"}


def test_shopify_loads_its_consent_api_on_demand(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = """<script>
      window.Shopify = {loadFeatures(features, callback) { window.load = () => {
        Shopify.customerPrivacy = {marketingAllowed: () => true, currentVisitorConsent: () => ({marketing: ""})};
        callback(null);
      }; }};
    </script>"""
    visit(page, site)
    page.evaluate("backflow.track('Before')")
    assert page.evaluate(QUEUE) == 0
    assert site.arrivals == []
    expect(page, site, run(page, "load()"), must=("Before", "page"))


@pytest.mark.parametrize("platform", ["__tcfapi", "OneTrust", "Cookiebot"])
def test_platform_without_an_answer_holds_everything_in_auto(page: Page, site: TagPage, platform: str) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = f"<script>window.{platform} = function () {{}};</script>"
    visit(page, site)
    page.evaluate("backflow.track('Before')")
    assert page.evaluate(QUEUE) == 0
    assert site.arrivals == []
    expect(page, site, run(page, "backflow.consent({marketing: true})"), must=("Before",))


def test_auto_without_a_platform_sends(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "auto"
    visit(page, site)
    site.wait_for("page")
    assert "consent" not in site.message("page")["context"]


def test_klaviyos_switch_off_is_a_refusal(page: Page, site: TagPage, context: BrowserContext) -> None:
    site.settings["consent"] = "auto"
    context.add_cookies([{"name": "__kla_off", "value": "true", "url": site.shop}])
    visit(page, site)
    page.evaluate("backflow.track('Unwanted')")
    site.wait_for("Consent Updated")
    assert site.message("Consent Updated")["context"]["consent"] == {
        "marketing": False, "analytics": False, "source": "__kla_off",
    }  # fmt: skip
    assert site.names == ["Consent Updated"]


def test_global_privacy_control_travels(page: Page, site: TagPage) -> None:
    page.add_init_script("Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {value: true});")
    visit(page, site)
    site.wait_for("page")
    assert site.message("page")["context"]["gpc"] is True


# -- Klaviyo's own script

#: Klaviyo's documented stub: a Proxy whose every name, `then` too, is a function that queues and answers a promise.
KLAVIYO_STUB = """<script>
  window._klOnsite = [];
  window.klaviyo = new Proxy({}, {get: (_, name) => name === "push" ? (...args) => _klOnsite.push(...args)
    : (...args) => { const callback = typeof args[args.length - 1] === "function" ? args.pop() : undefined;
      return new Promise((resolve) => _klOnsite.push([name, ...args, (value) => {
        if (callback) callback(value); resolve(value); }])); }});
  window.answerKlaviyo = (value) => _klOnsite.splice(0).forEach((call) => call[call.length - 1](value));
</script>"""


#: A Klaviyo from before ``isIdentified``: no stub, and so it runs.
KLAVIYO_RUNNING = "<script>window.klaviyo = { push() {} }</script>"


def kla_id(**values: str) -> str:
    return base64.b64encode(json.dumps(values).encode()).decode().replace("=", "%3D")


def test_klaviyo_stub_is_asked_once_and_never_awaited(page: Page, site: TagPage) -> None:
    site.pages["/"] = KLAVIYO_STUB
    visit(page, site)
    expect(page, site, run(page, "() => { backflow.track('A'); backflow.track('B'); }"), must=("A", "B"))
    assert page.evaluate("_klOnsite.map((call) => call[0])") == ["isIdentified"]
    assert site.message("A")["context"]["klaviyo"] == {"present": True, "identified": None, "queued": 0}


def test_klaviyo_that_comes_to_know_the_visitor_is_told_once(page: Page, site: TagPage) -> None:
    site.pages["/"] = KLAVIYO_STUB
    visit(page, site)
    expect(page, site, run(page, "backflow.track('Cart')"), must=("Cart",), must_not=("identify",))
    expect(page, site, run(page, "answerKlaviyo(false)"), must=(), must_not=("identify",))
    page.evaluate("answerKlaviyo(true)")
    site.wait_for("identify")
    message = site.message("identify")
    assert message["context"]["klaviyo"]["identified"] is True
    assert not {"userId", "traits", "properties"} & set(message)
    expect(page, site, run(page, "() => { backflow.track('More'); answerKlaviyo(true); }"), must=("More",))
    assert site.names.count("identify") == 1


def test_klaviyo_cookie_that_gains_an_identity_is_noticed_on_the_next_page(
    page: Page, site: TagPage, context: BrowserContext
) -> None:
    site.pages["/"] = site.pages["/next"] = KLAVIYO_RUNNING
    context.add_cookies([{"name": "__kla_id", "value": kla_id(cid="abc"), "url": site.shop}])
    visit(page, site)
    site.wait_for("page")
    assert site.message("page")["context"]["klaviyo"]["identified"] is False
    exchanged = kla_id(**{"cid": "abc", "$exchange_id": "x.Y"})
    context.add_cookies([{"name": "__kla_id", "value": exchanged, "url": site.shop}])
    visit(page, site, "/next")
    site.wait_for("identify")
    assert site.message("identify")["context"]["klaviyo"]["identified"] is True


def test_visitor_whom_klaviyo_knew_all_along_is_not_announced(
    page: Page, site: TagPage, context: BrowserContext
) -> None:
    site.pages["/"] = KLAVIYO_RUNNING
    context.add_cookies([{"name": "__kla_id", "value": kla_id(**{"$exchange_id": "x.Y"}), "url": site.shop}])
    visit(page, site)
    expect(page, site, run(page, "backflow.track('Known')"), must=("Known",), must_not=("identify",))


@pytest.mark.parametrize("blocked", ["", KLAVIYO_STUB], ids=["nothing there", "only the stub"])
def test_cookie_of_a_klaviyo_whose_script_does_not_run_proves_nothing(
    page: Page, site: TagPage, context: BrowserContext, blocked: str
) -> None:
    site.pages["/"] = blocked
    context.add_cookies([{"name": "__kla_id", "value": kla_id(**{"$exchange_id": "x.Y"}), "url": site.shop}])
    visit(page, site)
    expect(page, site, run(page, "backflow.track('Cart')"), must=("Cart",), must_not=("identify",))
    assert site.message("Cart")["context"]["klaviyo"]["identified"] is None


def test_klaviyo_that_ran_earlier_in_the_visit_is_believed_by_its_cookie(
    page: Page, site: TagPage, context: BrowserContext
) -> None:
    site.pages["/"] = site.pages["/next"] = KLAVIYO_STUB
    context.add_cookies([{"name": "__kla_id", "value": kla_id(**{"$exchange_id": "x.Y"}), "url": site.shop}])
    visit(page, site)
    page.evaluate("answerKlaviyo(true)")
    site.wait_for("identify")
    visit(page, site, "/next")
    expect(page, site, run(page, "backflow.track('Known')"), must=("Known",))
    assert site.message("Known")["context"]["klaviyo"]["identified"] is True
    assert site.names.count("identify") == 1


def test_klaviyos_own_queue_is_counted(page: Page, site: TagPage) -> None:
    queue: list[dict[str, Any]] = [{"name": "Viewed Product"}, {"name": "Added to Cart"}]
    site.pages["/"] = f"<script>localStorage.setItem('kl-post-identification-sync', '{json.dumps(queue)}')</script>"
    visit(page, site)
    site.wait_for("page")
    assert site.message("page")["context"]["klaviyo"]["queued"] == 2
