"""The main job in a real browser: shop, tag, relay and Klaviyo's stand-in, all of them real.

Each journey says what reached Klaviyo and what did not.
"""

import json
from typing import Any

from playwright.sync_api import Page, expect

from e2e.servers import RelayProcess, SandboxControl, wait_until
from e2e.shopper import CANDLE, Shopper

ADDED = "Added to Cart - Backup Flow"
VIEWED = "Viewed Product - Backup Flow"
STARTED = "Started Checkout - Backup Flow"
PLACED = "Placed Order - Backup Flow"
ORDERED = "Ordered Product - Backup Flow"


def emails(events: list[dict[str, Any]]) -> list[str | None]:
    return [event["profile"].get("email") for event in events]


def test_cart_of_an_anonymous_visitor_arrives_once_the_email_is_typed_at_checkout(
    shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl
) -> None:
    shopper.visit("/").add_to_cart().wait_until_told()
    wait_until(lambda: relay.deliveries("waiting", "no_identity") >= 2, "the cart waits for its person")
    assert sandbox.backups() == [], "nobody is known yet"

    shopper.start_checkout().give_email("mia@harbour.example", "+49 30 901820")
    (event,) = sandbox.events(ADDED)
    sandbox.events(STARTED)
    sandbox.events(VIEWED)

    assert event["profile"]["email"] == "mia@harbour.example"
    assert event["profile"]["phone_number"] == "+4930901820"
    assert event["value"] == 24.0
    assert event["value_currency"] == "EUR"
    assert event["triggers_flows"]
    properties = event["properties"]
    assert properties["BackflowReason"] == "klaviyo_unidentified"
    assert "in this browser" in properties["BackflowEvidence"]
    assert 0.9 < properties["BackflowConfidence"] <= 1
    assert properties["AddedItemProductName"] == "Cedar & Smoke Candle"
    assert properties["AddedItemPrice"] == 24.0
    assert properties["ItemNames"] == ["Cedar & Smoke Candle"]
    assert properties["CheckoutURL"].startswith(shopper.shop_url)
    assert properties["AddedItemImageURL"].startswith(shopper.shop_url)
    wait_until(lambda: relay.deliveries("waiting", "no_identity") == 0, "nothing waits any more")
    wait_until(lambda: relay.deliveries("held", "klaviyo_unidentified") == 0, "nothing is held any more")
    assert len([e for e in sandbox.backups() if e["metric"] == ADDED]) == 1
    assert set(emails(sandbox.backups())) == {"mia@harbour.example"}
    assert sandbox.state()["refused"] == []
    assert shopper.errors == []


def test_returning_visitor_without_script_storage_is_known_by_the_signed_cookie(
    shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl
) -> None:
    shopper.add_to_cart().start_checkout().give_email("mia@harbour.example")
    sandbox.events(ADDED)
    shopper.lose_script_storage()
    assert shopper.cookie("__kla_id") is None
    assert shopper.cookie("bf") is not None

    shopper.add_to_cart("/products/stoneware-mug")
    events = sandbox.events(ADDED, wait_for=2)

    assert emails(events) == ["mia@harbour.example"] * 2
    assert events[1]["properties"]["AddedItemProductName"] == "Tidewater Stoneware Mug"
    assert "recognised by our signed first-party cookie" in events[1]["properties"]["BackflowEvidence"]
    assert shopper.errors == []


def test_returning_visitor_without_the_signed_cookie_is_known_by_the_mirror(
    shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl
) -> None:
    shopper.add_to_cart().start_checkout().give_email("mia@harbour.example")
    sandbox.events(ADDED)
    before = shopper.cookie("bf")
    assert before is not None
    shopper.lose_signed_cookie()

    shopper.add_to_cart("/products/stoneware-mug")
    events = sandbox.events(ADDED, wait_for=2)

    assert emails(events) == ["mia@harbour.example"] * 2
    after = shopper.cookie("bf")
    assert after is not None, "the mirror has brought the cookie back"
    assert after.split(".")[0] == before.split(".")[0], "it names the same visitor"


def test_somebody_elses_browser_is_nobody(
    shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl, browser: Any
) -> None:
    shopper.add_to_cart().start_checkout().give_email("mia@harbour.example")
    sandbox.events(ADDED)
    stranger = Shopper(browser.new_context().new_page(), shopper.shop_url)

    stranger.add_to_cart("/products/stoneware-mug").wait_until_told()
    wait_until(lambda: relay.deliveries("waiting", "no_identity") >= 2, "the stranger's cart waits")

    assert len(sandbox.events(ADDED)) == 1


def test_arrival_by_a_klaviyo_link_with_klaviyos_script_blocked(
    shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl
) -> None:
    known = sandbox.seed(email="ada@harbour.example", first_name="Ada")
    shopper.page.route("**/onsite/js/**", lambda route: route.abort())

    shopper.visit(f"/?_kx={known['_kx']}&utm_source=klaviyo").add_to_cart()
    (event,) = sandbox.events(ADDED)

    assert event["profile"]["id"] == known["id"]
    assert event["profile"]["email"] == "ada@harbour.example"
    assert "Klaviyo link" in event["properties"]["BackflowEvidence"]
    assert len(sandbox.state()["profiles"]) == 1, "nobody new is made"
    assert shopper.errors == []


def test_klaviyo_link_works_without_the_right_to_read_profiles(
    shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl
) -> None:
    known = sandbox.seed(email="ada@harbour.example")
    sandbox.scopes("events:write", "profiles:write")
    shopper.page.route("**/onsite/js/**", lambda route: route.abort())

    shopper.visit(f"/?_kx={known['_kx']}").add_to_cart()
    (event,) = sandbox.events(ADDED)

    assert event["profile"]["id"] == known["id"], "sent under the _kx itself, Klaviyo knew whose it is"


def test_made_up_klaviyo_link_identifies_nobody(shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl) -> None:
    shopper.page.route("**/onsite/js/**", lambda route: route.abort())
    shopper.visit(f"/?_kx={'A' * 43}.DEMO42").add_to_cart().wait_until_told()
    wait_until(lambda: sandbox.state()["lookups"], "Klaviyo has been asked")
    wait_until(lambda: relay.deliveries("delivered", "identity_pending") == 1, "the answer is in")

    shopper.add_to_cart("/products/stoneware-mug").wait_until_told()
    wait_until(lambda: relay.deliveries("waiting", "no_identity") >= 2, "later events wait for a person")

    assert sandbox.backups() == []
    assert len(sandbox.state()["lookups"]) == 1, "asked once"


def test_visitor_whom_klaviyo_knows_is_left_to_klaviyo(
    shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl
) -> None:
    shopper.visit("/").sign_up_for_newsletter("mia@harbour.example")
    shopper.add_to_cart().wait_until_told()
    (native,) = sandbox.events("Added to Cart")
    assert native["profile"]["email"] == "mia@harbour.example"

    wait_until(lambda: relay.deliveries("suppressed", "native") >= 2, "view and cart are suppressed as native")
    shopper.start_checkout().give_email("mia@harbour.example").wait_until_told()
    wait_until(lambda: relay.deliveries("suppressed", "native") >= 3, "the checkout is suppressed as native")

    assert sandbox.backups() == []


def test_what_klaviyo_replays_itself_is_not_sent_again(
    shopper: Shopper, shop_url: str, sandbox: SandboxControl, relay_port: int, tmp_path: Any
) -> None:
    relay = RelayProcess(
        tmp_path, port=relay_port, shop_url=shop_url, klaviyo_url=sandbox.url, hold_seconds="3600"
    ).start()
    try:
        shopper.add_to_cart()
        shopper.page.wait_for_function("(localStorage['kl-post-identification-sync'] || '').includes('Added to Cart')")
        shopper.start_checkout().give_email("mia@harbour.example").wait_until_told()
        wait_until(lambda: relay.deliveries("held", "klaviyo_unidentified") >= 3, "the events are held")

        shopper.visit("/").sign_up_for_newsletter("mia@harbour.example")
        sandbox.events("Added to Cart")
        wait_until(lambda: relay.deliveries("suppressed", "native_replayed") >= 3, "the relay stands back")

        assert relay.deliveries("held", "klaviyo_unidentified") == 0
        assert sandbox.backups() == []
    finally:
        relay.stop()


def test_relay_down_while_shopping_loses_and_doubles_nothing(
    shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl
) -> None:
    shopper.visit("/").wait_until_told()
    relay.kill()
    shopper.add_to_cart().add_to_cart("/products/plant-pot")
    shopper.start_checkout().give_email("mia@harbour.example")
    queued = shopper.page.evaluate("Object.keys(localStorage).filter(k => k.startsWith('backflow.queue')).length")
    assert queued >= 5

    relay.start()
    shopper.visit("/").wait_until_told()
    events = sandbox.events(ADDED, wait_for=2)
    sandbox.events(VIEWED, wait_for=2)
    sandbox.events(STARTED)

    assert emails(events) == ["mia@harbour.example"] * 2
    assert sorted(e["properties"]["AddedItemProductName"] for e in events) == [
        "Cedar & Smoke Candle",
        "Terrace Plant Pot",
    ]
    wait_until(lambda: relay.deliveries("held", "klaviyo_unidentified") == 0, "nothing is held any more")
    metrics = [event["metric"] for event in sandbox.backups()]
    assert sorted(metrics) == sorted([ADDED] * 2 + [VIEWED] * 2 + [STARTED])
    assert relay.messages("received") == relay.messages("accepted") + relay.messages("duplicate")
    assert shopper.errors == []


def test_forged_cookie_and_mirror_are_ignored(shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl) -> None:
    shopper.add_to_cart().start_checkout().give_email("mia@harbour.example")
    sandbox.events(ADDED)
    shopper.wait_until_told()
    visitor = str(shopper.cookie("bf")).split(".")
    shopper.lose_script_storage()
    forged = ".".join([*visitor[:-1], "A" * len(visitor[-1])])
    shopper.context.add_cookies([{"name": "bf", "value": forged, "url": relay.url, "httpOnly": True}])
    shopper.page.add_init_script(f"localStorage.setItem('backflow.visitor', {json.dumps(forged)})")

    shopper.add_to_cart("/products/stoneware-mug").wait_until_told()
    wait_until(lambda: relay.deliveries("waiting", "no_identity") >= 2, "a forged visitor is a new one")

    assert len(sandbox.events(ADDED)) == 1
    assert str(shopper.cookie("bf")).split(".")[0] != visitor[0]
    assert shopper.errors == []


def test_foreign_origin_is_refused_and_its_page_unharmed(
    page: Page, relay: RelayProcess, sandbox: SandboxControl, shop_url: str
) -> None:
    shopper = Shopper(page, shop_url.replace("localhost", "127.0.0.1"))
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/v1/batch")):
        shopper.add_to_cart()
    shopper.start_checkout().give_email("mia@harbour.example")

    expect(page.get_by_test_id("step-address")).to_be_visible()
    assert shopper.errors == []
    assert relay.messages("received") == 0
    assert sandbox.backups() == []


def test_unknown_key_gets_no_tag_and_the_page_is_unharmed(
    shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl
) -> None:
    shopper.page.route("**/tag.js?key=journey", lambda route: route.continue_(url=f"{relay.url}/tag.js?key=unknown"))

    shopper.add_to_cart(CANDLE).start_checkout().give_email("mia@harbour.example")

    assert shopper.errors == []
    assert relay.messages("received") == 0


def test_purchase_ends_the_story(shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl) -> None:
    shopper.add_to_cart().add_to_cart("/products/plant-pot").start_checkout()
    order_id = shopper.give_email("mia@harbour.example").give_address().pay()
    (placed,) = sandbox.events(PLACED)
    ordered = sandbox.events(ORDERED, wait_for=2)
    shopper.page.reload()
    shopper.wait_until_told()

    assert placed["profile"]["email"] == "mia@harbour.example"
    assert placed["profile"]["first_name"] == "Ada"
    assert placed["profile"]["location"]["city"] == "Berlin"
    assert placed["properties"]["OrderID"] == order_id
    assert sorted(placed["properties"]["ItemNames"]) == ["Cedar & Smoke Candle", "Terrace Plant Pot"]
    assert placed["value"] == placed["properties"]["Revenue"] > 0
    assert sorted(event["properties"]["ProductName"] for event in ordered) == [
        "Cedar & Smoke Candle",
        "Terrace Plant Pot",
    ]
    assert {event["properties"]["OrderID"] for event in ordered} == {order_id}
    assert len({event["unique_id"] for event in ordered}) == 2
    wait_until(lambda: relay.deliveries("held", "klaviyo_unidentified") == 0, "nothing is held any more")
    backups = sandbox.backups()
    assert [event["metric"] for event in backups].count(PLACED) == 1
    late = [e for e in backups if e["metric"] in (ADDED, VIEWED, STARTED) and e["received_at"] > placed["received_at"]]
    assert all(not event["triggers_flows"] for event in late), "no abandonment flow starts after the order"
    assert sandbox.state()["refused"] == []
    assert shopper.errors == []
