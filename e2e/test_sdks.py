"""The published SDKs of Segment and RudderStack, pointed at the relay and watched to Klaviyo's stand-in.

Each tells the same story: a cart before anybody is known, then who it is, an order of two lines, a page, a group.
"""

import json
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from e2e.sdks.packages import node_packages
from e2e.servers import RelayProcess, SandboxControl, free_port, served, wait_until

SDKS = Path(__file__).parent / "sdks"
EMAIL, USER, LIST = "ann@mail.com", "customer-7", "Y6nRLr"
CART = {"product_id": "7", "name": "Lamp", "price": 20, "quantity": 1, "currency": "EUR"}
ORDER = {
    "order_id": "1042",
    "total": 45.5,
    "currency": "EUR",
    "products": [
        {"product_id": "7", "name": "Lamp", "price": 20, "quantity": 1},
        {"product_id": "8", "name": "Mug", "price": 12.75, "quantity": 2},
    ],
}
#: What Klaviyo gets of the story, each once. Group, alias and identify are no metrics.
METRICS = {"Added to Cart": 1, "Placed Order": 1, "Ordered Product": 2, "Viewed Page": 1}
CALLS = 6


class Shop:
    """A shop's page that holds one SDK: its file and the script that starts it."""

    file: Path
    start: str = ""


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, Shop]]:
    """A page on an origin of its own."""
    page = Shop()

    async def html(request: Request) -> Response:
        return HTMLResponse(f'<!doctype html><title>Shop</title><script src="/sdk.js"></script>{page.start}')

    async def sdk(request: Request) -> Response:
        return FileResponse(page.file, media_type="text/javascript", headers={"Cache-Control": "no-store"})

    with served(Starlette(routes=[Route("/", html), Route("/sdk.js", sdk)]), free_port()) as url:
        yield url, page


@pytest.fixture
def sdk_relay(tmp_path: Path, site: tuple[str, Shop], sandbox: SandboxControl) -> Iterator[RelayProcess]:
    """A relay that is the shop's only source: everything is forwarded under Klaviyo's own names."""
    settings = {"forward": "all", "hold_seconds": "0", "metric_suffix": "", "page_events": "viewed_page"}
    relay = RelayProcess(tmp_path, port=free_port(), shop_url=site[0], klaviyo_url=sandbox.url, **settings)
    sandbox.make_list(LIST)
    relay.start()
    yield relay
    relay.stop()


def story(url: str, key: str) -> dict[str, Any]:
    return {
        "url": url,
        "key": key,
        "anonymousId": str(uuid.uuid4()),
        "userId": USER,
        "traits": {"email": EMAIL, "firstName": "Ann", "plan": "gold"},
        "cart": CART,
        "order": ORDER,
        "group": LIST,
    }


def python(which: str) -> Callable[[dict[str, Any]], list[str]]:
    return lambda told: [sys.executable, str(SDKS / "server_python.py"), which, json.dumps(told)]


def node(script: str) -> Callable[[dict[str, Any]], list[str]]:
    return lambda told: ["node", str(SDKS / script), json.dumps(told)]


def assert_story(relay: RelayProcess, sandbox: SandboxControl, *, calls: int, **own: int) -> None:
    """Everything of the story is at Klaviyo, each thing once, filed under the one person, and the sums agree."""
    for metric, n in METRICS.items():
        sandbox.events(metric, wait_for=n)
    wait_until(lambda: relay.messages("accepted") >= calls, f"{calls} calls are accepted")
    wait_until(lambda: any(profile.get("first_name") for profile in sandbox.state()["profiles"]), "the name arrived")
    state = sandbox.state()
    assert Counter(event["metric"] for event in state["events"]) == METRICS | own
    assert {event["profile"]["email"] for event in state["events"]} == {EMAIL}
    (profile,) = state["profiles"]
    assert (profile["email"], profile["first_name"]) == (EMAIL, "Ann")
    assert profile["properties"]["plan"] == "gold"
    (placed,) = (event for event in state["events"] if event["metric"] == "Placed Order")
    assert (placed["value"], placed["unique_id"]) == (45.5, "backflow:placed_order:1042")
    assert (state["refused"], state["unknown_routes"]) == ([], [])
    ends = {end: relay.messages(end) for end in ("received", "accepted", "duplicate", "dropped")}
    assert ends == {"received": calls, "accepted": calls, "duplicate": 0, "dropped": 0}


SERVERS = {
    "segment-analytics-python": python("segment"),
    "rudder-sdk-python": python("rudderstack"),
    "@segment/analytics-node": node("segment_node.mjs"),
    "@rudderstack/rudder-sdk-node": node("rudderstack_node.mjs"),
}


@pytest.mark.parametrize("sdk", SERVERS)
def test_a_servers_sdk_needs_another_host_only(sdk: str, sdk_relay: RelayProcess, sandbox: SandboxControl) -> None:
    folder = node_packages() if sdk.startswith("@") else SDKS
    command = SERVERS[sdk](story(sdk_relay.url, "journey-server-key"))
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert_story(sdk_relay, sandbox, calls=CALLS)
    # The group is a list, and the server has named who joins it.
    wait_until(lambda: [len(one["members"]) for one in sandbox.state()["lists"]] == [1], "the list has its member")


#: The file of the package, and how a page starts the SDK: the relay is the only host in it.
BROWSERS = {
    "@segment/analytics-next": (
        "dist/umd/index.js",
        """window.sdk = AnalyticsNext.AnalyticsBrowser.load({writeKey: "journey", cdnURL: "RELAY"}, {OPTIONS})""",
    ),
    "@rudderstack/analytics-js": (
        "dist/npm/modern/bundled/umd/index.js",
        """window.sdk = new rudderanalytics.RudderAnalytics();
        sdk.load("journey", "RELAY", {configUrl: "RELAY", OPTIONS})""",
    ),
}
_STORY = """({cart, order, traits, group}) => {
  sdk.track("Product Added", cart);
  sdk.identify("customer-7", traits);
  sdk.track("Order Completed", order);
  sdk.page("Thanks");
  sdk.group(group, {plan: "gold"});
  sdk.alias("customer-7-new");
}"""
_BATCHES = 'integrations: {"Segment.io": {deliveryStrategy: {strategy: "batching", config: {size: 6}}}}'
_RUDDER_BATCHES = "queueOptions: {batch: {enabled: true, flushInterval: 500}}"
MODES = [
    pytest.param("@segment/analytics-next", "", id="analytics-next"),
    pytest.param("@segment/analytics-next", _BATCHES, id="analytics-next in batches"),
    pytest.param("@rudderstack/analytics-js", "", id="analytics-js"),
    pytest.param("@rudderstack/analytics-js", _RUDDER_BATCHES, id="analytics-js in batches"),
    pytest.param(
        "@rudderstack/analytics-js",
        "useBeacon: true, beaconQueueOptions: {flushQueueInterval: 500}",
        id="analytics-js by beacon",
    ),
]


@pytest.mark.browser
@pytest.mark.parametrize(("sdk", "options"), MODES)
def test_a_browsers_sdk_loads_and_sends_through_the_relay_alone(
    sdk: str, options: str, sdk_relay: RelayProcess, sandbox: SandboxControl, site: tuple[str, Shop], page: Page
) -> None:
    url, holder = site
    file, start = BROWSERS[sdk]
    holder.file = node_packages() / "node_modules" / sdk / file
    holder.start = f"<script>{start.replace('RELAY', sdk_relay.url).replace('OPTIONS', options)}</script>"
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.evaluate(_STORY, story("", ""))
    assert_story(sdk_relay, sandbox, calls=CALLS)
    assert [one for one in asked if not one.startswith((url, sdk_relay.url))] == []
