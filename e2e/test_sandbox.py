"""The stand-in for klaviyo.js and the page "What Klaviyo received", in a real browser.

The shop page is served by the test on its own host, so that cookies and CORS count as in a real shop.
"""

import base64
import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
import uvicorn
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Host, Mount, Route

from relay.demo.sandbox import STUB_SNIPPET, build_sandbox

pytestmark = pytest.mark.browser

WAIT_SECONDS = "15"
QUEUE = "kl-post-identification-sync"
KLAVIYO_HOST = "klaviyo.localhost"
API_HEADERS = {
    "authorization": "Klaviyo-API-Key pk_demo",
    "revision": "2026-10-15",
    "content-type": "application/vnd.api+json",
}


class Shop:
    """A shop with klaviyo.js on its pages; ``before`` is script that runs before klaviyo.js is loaded."""

    def __init__(self) -> None:
        self.before = ""
        self._socket = socket.create_server(("127.0.0.1", 0))
        port = self._socket.getsockname()[1]
        self.url = f"http://shop.localhost:{port}"
        self.klaviyo = f"http://{KLAVIYO_HOST}:{port}"
        sandbox = build_sandbox(shop_url=f"{self.url}/")
        app = Starlette(routes=[Host(KLAVIYO_HOST, sandbox), Mount("/", Starlette(routes=[Route("/", self._page)]))])
        self._server = uvicorn.Server(uvicorn.Config(app, ws="none", lifespan="off", log_level="error"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, name="shop")
        self._thread.start()
        port_url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=port_url, headers={"host": f"{KLAVIYO_HOST}:{port}"}, timeout=30)

    def close(self) -> None:
        self.http.close()
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(15)

    async def _page(self, request: Request) -> HTMLResponse:
        return HTMLResponse(
            f"""<!doctype html><html lang="en"><head><title>Shop</title><link rel="icon" href="data:,">
            <script>{STUB_SNIPPET}</script><script>{self.before}</script>
            <script async src="{self.klaviyo}/onsite/js/DEMO42/klaviyo.js"></script></head><body></body></html>"""
        )

    def seed(self, **profile: Any) -> dict[str, str]:
        made: dict[str, str] = self.http.post("/_sandbox/profiles", json=profile).raise_for_status().json()
        return made

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.http.get("/_sandbox/state").json()
        return state

    def wait_for(self, metric: str, count: int = 1) -> list[dict[str, Any]]:
        query = {"metric": metric, "wait_for": str(count), "timeout": WAIT_SECONDS}
        events: list[dict[str, Any]] = (
            self.http.get("/_sandbox/events", params=query).raise_for_status().json()["events"]
        )
        return events


@pytest.fixture(scope="module")
def running() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.close()


@pytest.fixture
def shop(running: Shop) -> Shop:
    running.http.post("/_sandbox/reset").raise_for_status()
    running.http.post("/_sandbox/anonymous-tracking", json={"enabled": True}).raise_for_status()
    running.before = ""
    return running


@pytest.fixture
def visit(page: Page) -> Iterator[Page]:
    """A page on which no script error may happen."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert errors == []


def loaded(page: Page, address: str) -> None:
    """Open a page and wait until the real object has replaced the stub."""
    page.goto(address)
    page.wait_for_function("window.__klaviyoSandbox && !Array.isArray(window._klOnsite)")


def kla_id(page: Page) -> dict[str, Any]:
    (cookie,) = [c for c in page.context.cookies() if c["name"] == "__kla_id"]
    decoded: dict[str, Any] = json.loads(base64.b64decode(unquote(cookie["value"])))
    return decoded


def queued(page: Page) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(page.evaluate(f"localStorage.getItem('{QUEUE}') || '[]'"))
    return entries


def call(page: Page, expression: str) -> Any:
    """Call a method of klaviyo and wait for what it resolves to."""
    return page.evaluate(f"async () => await klaviyo.{expression}")


def test_an_unknown_visitor_gets_a_cookie_with_cid_only(visit: Page, shop: Shop) -> None:
    loaded(visit, shop.url)
    cookie = kla_id(visit)
    assert len(base64.b64decode(cookie["cid"])) == 36
    assert "$exchange_id" not in cookie
    assert call(visit, "isIdentified()") is False
    assert call(visit, "account()") == "DEMO42"


def test_the_cookie_lives_two_years_on_the_shops_host(visit: Page, shop: Shop) -> None:
    loaded(visit, shop.url)
    (cookie,) = [c for c in visit.context.cookies() if c["name"] == "__kla_id"]
    assert cookie["domain"] == "shop.localhost"
    assert cookie["httpOnly"] is False
    # Browsers cut two years to their own ceiling (400 days in Chromium).
    days = (cookie["expires"] - visit.evaluate("Date.now() / 1000")) / 86400
    assert 399 < days <= 731


def test_an_exchange_id_in_the_address_identifies(visit: Page, shop: Shop) -> None:
    seeded = shop.seed(email="a@example.com")
    loaded(visit, f"{shop.url}/?_kx={seeded['_kx']}")
    assert kla_id(visit)["$exchange_id"] == seeded["_kx"]
    assert call(visit, "isIdentified()") is True
    call(visit, "track('Viewed Product', {ProductName: 'Mug', $value: 12.5})")
    (event,) = shop.wait_for("Viewed Product")
    assert (event["profile"]["id"], event["via"], event["value"]) == (seeded["id"], "script", 12.5)
    assert event["properties"] == {"ProductName": "Mug"}


def test_an_exchange_id_of_another_account_is_ignored(visit: Page, shop: Shop) -> None:
    loaded(visit, f"{shop.url}/?_kx={'x' * 43}.OTHER1")
    assert call(visit, "isIdentified()") is False


def test_events_of_an_unknown_visitor_wait_in_local_storage(visit: Page, shop: Shop) -> None:
    loaded(visit, shop.url)
    call(visit, "track('Added to Cart', {SKU: '1'})")
    (entry,) = queued(visit)
    assert (entry["name"], entry["properties"]) == ("Added to Cart", {"SKU": "1"})
    assert set(entry) == {"name", "time", "properties"}
    assert shop.state()["requests"] == []


def test_without_anonymous_tracking_events_of_unknown_visitors_are_lost(visit: Page, shop: Shop) -> None:
    shop.http.post("/_sandbox/anonymous-tracking", json={"enabled": False}).raise_for_status()
    loaded(visit, shop.url)
    call(visit, "track('Added to Cart', {SKU: '1'})")
    assert queued(visit) == []
    call(visit, "identify({email: 'a@example.com'})")
    assert shop.state()["events"] == []


def test_identify_replays_what_waited_with_its_own_time(visit: Page, shop: Shop) -> None:
    loaded(visit, shop.url)
    earlier = "2026-11-20T10:00:00.000Z"
    entry = [{"name": "Added to Cart", "time": earlier, "properties": {"SKU": "1"}}]
    visit.clock.install(time="2026-11-21T10:00:00Z")
    visit.evaluate("([key, text]) => localStorage.setItem(key, text)", [QUEUE, json.dumps(entry)])
    call(visit, "track('Viewed Product', {SKU: '1'})")
    call(visit, "identify({$email: 'a@example.com', $first_name: 'Ann', plan: 'gold'})")
    (added,) = shop.wait_for("Added to Cart")
    (viewed,) = shop.wait_for("Viewed Product")
    assert (added["time"], added["profile"]["email"]) == (1795168800.0, "a@example.com")
    assert viewed["profile"]["id"] == added["profile"]["id"]
    assert visit.evaluate(f"localStorage.getItem('{QUEUE}')") is None
    assert kla_id(visit)["$exchange_id"] in added["profile"]["_kx"]
    (profile,) = shop.state()["profiles"]
    assert (profile["first_name"], profile["properties"]) == ("Ann", {"plan": "gold"})
    assert [r["path"] for r in shop.state()["requests"]] == ["/client/profiles", "/client/event-bulk-create"]


def test_events_older_than_fourteen_days_are_not_replayed(visit: Page, shop: Shop) -> None:
    loaded(visit, shop.url)
    old = visit.evaluate("new Date(Date.now() - 15 * 86400e3).toISOString()")
    entry = [{"name": "Added to Cart", "time": old, "properties": {}}]
    visit.evaluate("([key, text]) => localStorage.setItem(key, text)", [QUEUE, json.dumps(entry)])
    call(visit, "identify({email: 'a@example.com'})")
    assert queued(visit) == []
    assert shop.state()["events"] == []


def test_what_waited_stays_when_klaviyo_refuses_it(visit: Page, shop: Shop) -> None:
    loaded(visit, shop.url)
    call(visit, "track('Added to Cart', {})")
    shop.http.post("/_sandbox/answers", json=[{"path": "/client/event-bulk-create", "status": 500}])
    call(visit, "identify({email: 'a@example.com'})")
    assert [entry["name"] for entry in queued(visit)] == ["Added to Cart"]
    loaded(visit, shop.url)
    assert len(shop.wait_for("Added to Cart")) == 1


def test_calls_made_before_the_script_are_replayed(visit: Page, shop: Shop) -> None:
    shop.before = """
      window.seen = [];
      klaviyo.identify({email: 'a@example.com'}, function () { seen.push('identified'); });
      klaviyo.isIdentified().then(function (known) { seen.push(typeof known); });
      window._learnq = window._learnq || [];
      _learnq.push(['track', 'Old Queue', {$value: '3.5'}]);
      klaviyo.push(['track', 'Pushed', {}]);
    """
    loaded(visit, shop.url)
    (old,) = shop.wait_for("Old Queue")
    (pushed,) = shop.wait_for("Pushed")
    assert old["value"] == 3.5
    assert old["profile"]["email"] == pushed["profile"]["email"] == "a@example.com"
    visit.wait_for_function("seen.length === 2")
    assert sorted(visit.evaluate("seen")) == ["boolean", "identified"]


def test_the_old_queue_and_callbacks_work_after_loading_too(visit: Page, shop: Shop) -> None:
    seeded = shop.seed(email="a@example.com")
    loaded(visit, f"{shop.url}/?_kx={seeded['_kx']}")
    known = visit.evaluate("new Promise((resolve) => { _klOnsite.push(['isIdentified', resolve]); })")
    visit.evaluate("_learnq.push(['track', 'Late', {}])")
    assert known is True
    assert shop.wait_for("Late")[0]["profile"]["id"] == seeded["id"]


def test_a_method_klaviyo_lacks_stops_the_replay(page: Page, shop: Shop) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    shop.before = "klaviyo.then(function () {}); klaviyo.track('Lost', {});"
    loaded(page, shop.url)
    page.wait_for_function("typeof klaviyo.then === 'undefined'")
    assert any("klaviyo.then" in error for error in errors)
    assert queued(page) == []


def test_a_returning_visitor_is_known_from_the_cookie(visit: Page, shop: Shop) -> None:
    seeded = shop.seed(email="a@example.com")
    loaded(visit, f"{shop.url}/?_kx={seeded['_kx']}")
    loaded(visit, shop.url)
    assert call(visit, "isIdentified()") is True


def test_a_lost_cookie_makes_the_visitor_unknown_again(visit: Page, shop: Shop, context: BrowserContext) -> None:
    seeded = shop.seed(email="a@example.com")
    loaded(visit, f"{shop.url}/?_kx={seeded['_kx']}")
    context.clear_cookies(name="__kla_id")
    loaded(visit, shop.url)
    assert call(visit, "isIdentified()") is False


def test_tracking_switched_off_writes_and_sends_nothing(visit: Page, shop: Shop, context: BrowserContext) -> None:
    context.add_cookies([{"name": "__kla_off", "value": "true", "url": shop.url}])
    seeded = shop.seed(email="a@example.com")
    loaded(visit, f"{shop.url}/?_kx={seeded['_kx']}")
    call(visit, "identify({email: 'a@example.com'})")
    call(visit, "track('Added to Cart', {})")
    assert [c["name"] for c in context.cookies()] == ["__kla_off"]
    assert queued(visit) == []
    assert shop.state()["requests"] == []


def test_the_address_of_a_test_link_identifies(visit: Page, shop: Shop) -> None:
    loaded(visit, f"{shop.url}/?utm_email=a%2Bb@example.com")
    visit.wait_for_function("klaviyo.isIdentified().then((known) => known)")
    assert [p["email"] for p in shop.state()["profiles"]] == ["a+b@example.com"]


def test_open_form_tells_the_page(visit: Page, shop: Shop) -> None:
    loaded(visit, shop.url)
    visit.evaluate("addEventListener('klaviyoForms', (event) => { window.opened = event.detail; })")
    call(visit, "openForm('F1')")
    opened = visit.evaluate("window.opened")
    assert (opened["type"], opened["formId"]) == ("open", "F1")


# -- What Klaviyo received ------------------------------------------------------------------------------------


def server_event(shop: Shop, name: str, properties: dict[str, Any], **fields: Any) -> None:
    profile = {"data": {"type": "profile", "attributes": {"email": "a@example.com", "first_name": "Ann"}}}
    metric = {"data": {"type": "metric", "attributes": {"name": name}}}
    attributes = {"properties": properties, "metric": metric, "profile": profile} | fields
    body = {"data": {"type": "event", "attributes": attributes}}
    shop.http.post("/api/events", json=body, headers=API_HEADERS).raise_for_status()


def consent_job(shop: Shop, kind: str, email: str, list_id: str | None = None, **attributes: Any) -> None:
    """Subscribe (``create``) or unsubscribe (``delete``) an address from e-mail marketing."""
    consent = {"consent": "SUBSCRIBED" if kind == "create" else "UNSUBSCRIBED"}
    someone = {"email": email, "subscriptions": {"email": {"marketing": consent}}}
    profiles = {"data": [{"type": "profile", "attributes": someone}]}
    data: dict[str, Any] = {
        "type": f"profile-subscription-bulk-{kind}-job",
        "attributes": {"profiles": profiles} | attributes,
    }
    if list_id:
        data["relationships"] = {"list": {"data": {"type": "list", "id": list_id}}}
    path = f"/api/profile-subscription-bulk-{kind}-jobs"
    shop.http.post(path, json={"data": data}, headers=API_HEADERS).raise_for_status()


@pytest.fixture
def received(visit: Page, shop: Shop) -> Iterator[Page]:
    """The page, on which neither an error nor a refused resource may show up."""
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    visit.on("console", note)
    visit.goto(shop.klaviyo)
    yield visit
    assert complaints == []


def test_the_empty_page_says_what_to_do(received: Page, shop: Shop) -> None:
    expect(received.get_by_text("Nothing has arrived yet")).to_be_visible()
    expect(received.locator("#empty a")).to_have_attribute("href", f"{shop.url}/")


def test_a_backup_event_shows_up_by_itself_and_says_why(received: Page, shop: Shop) -> None:
    expect(received.get_by_text("Nothing has arrived yet")).to_be_visible()
    server_event(
        shop,
        "Added to Cart - Backup Flow",
        {
            "ProductName": "Mug",
            "BackflowReason": "klaviyo_unidentified",
            "BackflowEvidence": "our cookie",
            "BackflowConfidence": 0.97,
        },
        value=12.5,
        value_currency="EUR",
    )
    card = received.locator(".event")
    expect(card.locator("h3")).to_have_text("Added to Cart")
    expect(card.locator(".badge")).to_have_text("Backup Flow")
    expect(card.locator(".value")).to_contain_text("12.5")
    expect(card).to_contain_text("did not know who it was")
    expect(card).to_contain_text("our cookie")
    expect(card).to_contain_text("97 % sure")
    expect(card).to_contain_text("would trigger flows")
    expect(received.locator(".profile")).to_contain_text("a@example.com")


def test_backfill_and_repeats_are_told(received: Page, shop: Shop) -> None:
    for _ in range(2):
        server_event(shop, "Viewed Product - Backup Flow", {}, unique_id="m1", backfill=True)
    expect(received.locator(".event")).to_contain_text("recorded only")
    expect(received.locator(".event")).to_contain_text("1 repeat ignored")


def test_consent_and_lists_show_up_among_the_events(received: Page, shop: Shop) -> None:
    shop.http.post("/_sandbox/lists", json={"id": "NEWS01", "name": "Newsletter"}).raise_for_status()
    server_event(shop, "Viewed Product - Backup Flow", {})
    consent_job(shop, "create", "a@example.com", "NEWS01", custom_source="Footer form")
    card = received.locator(".change")
    expect(card.locator("h3")).to_have_text("Subscribed to e-mail marketing with the list Newsletter")
    expect(card).to_contain_text("source: Footer form")
    expect(card).to_contain_text("Ann")
    expect(received.locator("#events h3")).to_have_text([re.compile("^Subscribed"), "Viewed Product"])
    person = received.locator(".profile")
    expect(person).to_contain_text("E-mail consentsubscribed")
    expect(person).to_contain_text("ListsNewsletter")
    expect(person).not_to_contain_text("SMS consent")
    received.get_by_role("button", name="Consent").click()
    expect(received.locator(".event")).to_have_count(0)
    expect(card).to_have_count(1)


def test_being_unsubscribed_everywhere_by_mistake_is_told(received: Page, shop: Shop) -> None:
    shop.seed(email="a@example.com", consent="SUBSCRIBED")
    shop.http.post("/_sandbox/lists", json={"id": "NEWS01", "name": "Newsletter"}).raise_for_status()
    consent_job(shop, "delete", "a@example.com", "NEWS01")
    card = received.locator(".change")
    expect(card.locator("h3")).to_have_text("Unsubscribed from e-mail marketing")
    expect(card.locator(".note.bad")).to_contain_text("was not on the list Newsletter")
    expect(received.locator(".profile")).to_contain_text("E-mail consentunsubscribed")


def test_markup_in_received_data_stays_text(received: Page, shop: Shop) -> None:
    evil = "<img src=x onerror='document.title=1'><b>bold</b>"
    server_event(shop, evil, {"ProductName": evil, "ImageURL": "javascript:alert(1)", "BackflowReason": evil})
    expect(received.locator(".event h3")).to_have_text(evil)
    assert received.locator(".event b, .event img").count() == 0
    shop.http.post("/_sandbox/lists", json={"id": "EVIL01", "name": evil}).raise_for_status()
    consent_job(shop, "create", "a@example.com", "EVIL01", custom_source=evil)
    expect(received.locator(".change h3")).to_contain_text(evil)
    assert received.locator(".change b, .change img, .profile b, .profile img").count() == 0
    assert received.title() == "What Klaviyo received"


def test_an_unchanged_card_is_not_built_again(received: Page, shop: Shop) -> None:
    server_event(shop, "First", {})
    expect(received.locator(".event")).to_have_count(1)
    received.locator("summary").click()
    received.evaluate("document.querySelector('.event').mark = 1")
    server_event(shop, "Second", {})
    expect(received.locator(".event")).to_have_count(2)
    assert received.locator(".event h3").all_inner_texts() == ["Second", "First"]
    assert received.evaluate("[...document.querySelectorAll('.event')].map((card) => card.mark ?? 0)") == [0, 1]
    expect(received.locator("pre")).to_contain_text('"metric": "First"')


def test_the_page_fits_a_phone(received: Page, shop: Shop) -> None:
    received.set_viewport_size({"width": 320, "height": 700})
    server_event(
        shop, "x" * 120, {"ProductName": "y" * 300, "BackflowReason": "z" * 200}, value=1e9, value_currency="EUR"
    )
    shop.http.post("/_sandbox/lists", json={"id": "LONG01", "name": "l" * 90}).raise_for_status()
    consent_job(shop, "create", "a@example.com", "LONG01", custom_source="s" * 90)
    expect(received.locator(".event")).to_have_count(1)
    expect(received.locator(".change")).to_have_count(1)
    assert received.evaluate("document.documentElement.scrollWidth") <= 320
