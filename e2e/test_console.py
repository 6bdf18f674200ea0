"""The console in a real browser: it lives, it says when it does not, and it shows what senders wrote as text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from e2e.servers import free_port, served
from relay.app import Relay
from relay.config import Secret, Settings, Site

pytestmark = pytest.mark.browser

PASSWORD = "correct horse"
SERVER_KEY = "server-key-of-the-shop"


_SET_HIDDEN = """hidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


class Running:
    """A relay without a Klaviyo key: it processes everything and sends nothing."""

    def __init__(self, folder: Path) -> None:
        site = Site(site_id="default", write_key="public", server_key=Secret(SERVER_KEY))
        settings = Settings(
            secret_keys=(Secret("k" * 32),),
            sites=(site,),
            database_url=f"sqlite:///{folder}/relay.db",
            console_password=Secret(PASSWORD),
            path_prefix="/_r",
        )
        self._served = served(Relay(settings), free_port())
        self.url = self._served.__enter__()
        self._is_up = True

    def stop(self) -> None:
        if self._is_up:
            self._is_up = False
            self._served.__exit__(None, None, None)

    def send(self, message_id: str, event: str, **fields: Any) -> None:
        message = {"type": "track", "event": event, "messageId": message_id, "anonymousId": "a-1"} | fields
        httpx.post(f"{self.url}/v1/batch", json={"batch": [message]}, auth=(SERVER_KEY, "")).raise_for_status()


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Running]:
    relay = Running(tmp_path)
    yield relay
    relay.stop()


@pytest.fixture
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return browser_context_args | {"http_credentials": {"username": "merchant", "password": PASSWORD}}


@pytest.fixture
def console(relay: Running, page: Page) -> Page:
    page.goto(f"{relay.url}/_r/console")
    expect(page.locator("#live-text")).to_have_text("Live")
    return page


def test_delivery_appears_by_itself_with_its_reason_and_the_sums_move(relay: Running, console: Page) -> None:
    expect(console.locator("#empty")).to_be_visible()
    expect(console.locator("#verdict")).to_have_text("No Klaviyo API key is set")
    relay.send("m1", "Product Added", userId="7", context={"traits": {"email": "ana@example.com"}})
    line = console.locator("#lines > li").first
    expect(line.locator("h3")).to_have_text("Added to Cart - Backup Flow")
    expect(line.locator(".badge")).to_have_text("Held")
    expect(line).to_contain_text("Klaviyo's script was not on the page")
    expect(line).to_contain_text("Held until ")
    expect(console.locator("#deliveries-total")).to_have_text("2")  # what is new of the person, and the cart
    expect(console.locator("#messages-check")).to_contain_text("Nothing is missing.")
    assert "ana@example.com" not in console.content()


def test_unchanged_lines_are_left_alone_while_new_ones_arrive(relay: Running, console: Page) -> None:
    relay.send("m1", "Product Added")
    first = console.locator("#lines > li")
    expect(first).to_have_count(1)
    first.evaluate("node => { node.marked = true; }")
    relay.send("m2", "Checkout Started")
    expect(console.locator("#lines > li")).to_have_count(2)
    marks = console.locator("#lines > li").evaluate_all("nodes => nodes.map(node => node.marked === true)")
    assert marks == [False, True]


def test_name_of_an_event_is_shown_as_it_was_written_and_nothing_of_it_runs(relay: Running, console: Page) -> None:
    name = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    relay.send("m1", name)
    expect(console.locator("#lines h3")).to_contain_text(name)
    console.reload()  # now it is part of the page itself
    expect(console.locator("#lines h3")).to_contain_text(name)
    assert console.locator("#lines img, #lines script").count() == 0
    assert console.title() == "Backflow console"


def test_stream_is_narrowed_from_the_keyboard(relay: Running, console: Page) -> None:
    relay.send("m1", "Product Added", context={"klaviyo": {"present": True, "identified": True}})
    relay.send("m2", "Product Viewed")
    expect(console.locator("#lines > li")).to_have_count(2)
    console.get_by_role("button", name="Not sent").focus()
    console.keyboard.press("Enter")
    expect(console.locator("#lines .badge")).to_have_text(["Suppressed"])
    console.get_by_role("button", name="Failed").focus()
    console.keyboard.press("Space")
    expect(console.locator("#empty-title")).to_have_text("Nothing has failed")


def test_silent_relay_is_said_plainly_and_what_is_shown_stays(relay: Running, console: Page) -> None:
    relay.send("m1", "Product Added")
    expect(console.locator("#lines > li")).to_have_count(1)
    relay.stop()
    expect(console.locator("#live-text")).to_contain_text("The relay does not answer", timeout=15_000)
    expect(console.locator("#lines > li")).to_have_count(1)


def test_hidden_tab_asks_nothing_and_catches_up_when_shown(relay: Running, page: Page) -> None:
    page.clock.install()
    page.goto(f"{relay.url}/_r/console")
    expect(page.locator("#live-text")).to_have_text("Live")
    page.evaluate(_SET_HIDDEN, True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    relay.send("m1", "Product Added")
    page.clock.run_for(60_000)
    assert asked == []
    page.evaluate(_SET_HIDDEN, False)
    expect(page.locator("#lines > li")).to_have_count(1)
    assert asked


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_sticks_out_on_a_phone(relay: Running, context: BrowserContext, width: int) -> None:
    relay.send("m1", "Averylongeventname" * 10, userId="7", context={"traits": {"email": "ana@example.com"}})
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 700})
    page.goto(f"{relay.url}/_r/console")
    expect(page.locator("#lines > li")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.locator("#places")).to_be_hidden()
    page.get_by_text("All sums").first.click()
    expect(page.locator("#places")).to_be_visible()


def test_why_unfolds_the_chain_and_stays_open_while_the_line_changes(relay: Running, console: Page) -> None:
    relay.send("m1", "Product Added", properties={"name": "Lamp"}, context={"traits": {"email": "ana@example.com"}})
    line = console.locator("#lines > li", has=console.locator("h3", has_text="Added to Cart"))
    line.locator("summary").click()
    expect(line.locator(".told > li").first).to_contain_text("What happened")
    expect(line.locator(".told")).to_contain_text("a***@example.com")
    expect(line.locator(".ids")).to_contain_text("m1")
    console.locator("#choice button[data-show=open]").click()
    expect(line.locator(".told > li").first).to_be_visible()
    assert "ana@example.com" not in console.content()
    line.locator("summary").click()
    expect(line.locator(".told")).to_be_hidden()


def test_a_chain_that_cannot_be_had_is_said(relay: Running, console: Page) -> None:
    relay.send("m1", "Product Added", properties={"name": "Lamp"})
    line = console.locator("#lines > li").first
    expect(line).to_be_visible()
    relay.stop()
    line.locator("summary").click()
    expect(line.locator(".steps")).to_have_text("The relay does not answer.")


@pytest.mark.parametrize("width", [360, 1280])
def test_who_is_who_fits_a_phone_and_a_desk(relay: Running, console: Page, width: int) -> None:
    console.set_viewport_size({"width": width, "height": 800})
    expect(console.locator("#who-sum")).to_contain_text("Nothing is measured yet")
    relay.send("m1", "Product Added", properties={"name": "Lamp"}, context={"traits": {"email": "no address"}})
    expect(console.locator("#lines > li")).to_have_count(1)
    if width < 940:
        console.locator("section[aria-labelledby=who-title] summary").click()
    expect(console.locator("#noticed")).to_contain_text("an e-mail address that is none")
    expect(console.locator("#noticed-title")).to_be_visible()
    assert console.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
