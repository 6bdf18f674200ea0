"""What a site's settings make of its events: pages, metrics of its own, anonymous IDs; refunds and odd addresses."""

import logging
from typing import Any

import pytest

from relay.config import OrderEvent, PageEvents
from relay.pipeline import metrics
from tests.integration.world import CART, DAY, HOUR, LAMP, ORDERED, ORIGIN, World, in_world, klaviyo_script

ANN = "ann@mail.com"
VIEW: dict[str, Any] = {
    "type": "page",
    "name": "Lamps",
    "properties": {"title": "Lamps", "path": "/lamps", "referrer": "https://search.example.net/?q=lamp"},
    "context": {"page": {"url": f"{ORIGIN}/lamps?page=2&utm_source=x&_kx=abc#top"}},
}

# Pages


@in_world(hold_seconds=0)
async def test_pages_become_no_metric_by_default(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.post(VIEW)
    await world.settle()
    assert [what for what, _, _ in await world.fates()] == ["profile"]
    assert world.received() == []


@in_world(hold_seconds=0, page_events=PageEvents.VIEWED_PAGE)
async def test_a_viewed_page_tells_where_it_was(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.post(VIEW, VIEW | {"type": "screen"})
    await world.settle()
    page, screen = world.received("Viewed Page - Backup Flow")
    told = {name: value for name, value in page.properties.items() if not name.startswith("Backflow")}
    assert told == {
        "PageName": "Lamps",
        "PageTitle": "Lamps",
        "Path": "/lamps",
        "ReferrerHost": "search.example.net",
        "URL": f"{ORIGIN}/lamps?page=2",
    }
    assert screen.properties == page.properties
    assert world.emails() == [ANN, ANN]


@in_world(hold_seconds=0, page_events=PageEvents.ACTIVE_ON_SITE, page_details=False)
async def test_activity_without_details_keeps_none(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.post(VIEW)
    await world.settle()
    (page,) = world.received("Active on Site - Backup Flow")
    assert {name for name in page.properties if not name.startswith("Backflow")} == set()
    (event,) = await world.rows("SELECT body FROM events WHERE kind = 'page'")
    assert "lamps" not in event["body"]


@in_world(page_events=PageEvents.VIEWED_PAGE)
async def test_a_page_klaviyo_has_seen_itself_is_left_to_it(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.post(VIEW | {"context": klaviyo_script(identified=True)})
    await world.process()
    assert ("Viewed Page", "suppressed", "native") in await world.fates()


# Metrics


@in_world(hold_seconds=0, metrics=frozenset({"Quiz Done"}))
async def test_only_the_listed_metrics_are_made(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    for name in ("Quiz Done", "Quiz Begun", "Product Added"):
        await shopper.track(name, LAMP)
    await world.settle()
    assert [event.metric for event in world.received()] == ["Quiz Done - Backup Flow", CART]
    assert ("Quiz Begun", "suppressed", "metric_not_allowed") in await world.fates()
    assert [row["name"] for row in await world.rows("SELECT name FROM metrics ORDER BY name")] == [
        "Added to Cart",
        "Quiz Done",
    ]


@in_world(hold_seconds=0)
async def test_an_account_is_not_filled_with_metrics(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "ROOM", 5)
    shopper = world.browser()
    await shopper.identify(email=ANN)
    with caplog.at_level(logging.WARNING, "relay.metrics"):
        for number in (*range(7), 0, 1):
            await shopper.track(f"Viewed {number}")
        await shopper.add_to_cart()
        await world.settle()
    made = [row["metric"] for row in await world.deliveries() if row["state"] == "delivered" and row["metric"]]
    assert made == [f"Viewed {number}" for number in (0, 1, 2, 3, 4, 0, 1)] + ["Added to Cart"]
    refused = [row["metric"] for row in await world.deliveries() if row["reason"] == "metric_limit"]
    assert refused == ["Viewed 5", "Viewed 6"]
    assert [vars(record)["reason"] for record in caplog.records] == ["5 of 5 metrics in use", "6 of 5 metrics in use"]
    assert "Viewed" not in caplog.text


@in_world(hold_seconds=0)
async def test_what_klaviyo_is_not_told_makes_no_metric(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.track("Quiz Done", context=klaviyo_script(identified=True))
    await world.settle()
    assert await world.rows("SELECT * FROM metrics") == []


# Lists of events, names and shapes


@in_world(hold_seconds=0, metric_suffix="", events_allow=frozenset({"product added", "Order_Completed", "Quiz Done"}))
async def test_only_allowed_events_go_to_klaviyo_whatever_their_case_and_vocabulary(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    for name in ("PRODUCT ADDED", "add_to_cart", "Product Viewed", "Quiz Begun", "quiz_done"):
        await shopper.track(name, LAMP)
    await world.settle()
    assert [event.metric for event in world.received()] == ["Added to Cart", "Added to Cart", "quiz_done"]
    assert [fate for fate in await world.fates() if fate[1] == "suppressed"] == [
        ("Viewed Product", "suppressed", "event_not_allowed"),
        ("Quiz Begun", "suppressed", "event_not_allowed"),
    ]
    assert (await world.sums())["accepted"] == 6


@in_world(hold_seconds=0, metric_suffix="", events_block=frozenset({"Product Clicked", "Order Completed"}))
async def test_a_blocked_event_is_kept_here_its_person_heard_and_its_cart_ended(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart()
    await shopper.track("product clicked", LAMP)
    await shopper.track("purchase", {"transaction_id": "1", "value": 20, "email": ANN, "items": [LAMP]})
    await world.settle()
    (cart,) = world.received()
    assert (cart.metric, cart.backfill, world.emails()) == ("Added to Cart", True, [ANN])
    blocked = ("suppressed", "event_not_allowed")
    assert [fate for fate in await world.fates() if fate[1] != "delivered"] == [
        ("Viewed Product", *blocked), ("Placed Order", *blocked), ("Ordered Product", *blocked),
    ]  # fmt: skip
    assert [row["name"] for row in await world.rows("SELECT name FROM metrics")] == ["Added to Cart"]


@in_world(hold_seconds=0, events_allow=frozenset({"Quiz Done"}), events_block=frozenset({"quiz done"}))
async def test_an_event_on_both_lists_stays_here(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.track("Quiz Done")
    await world.settle()
    assert world.received() == []


@in_world(hold_seconds=0, metric_suffix="", events_allow=frozenset(), page_events=PageEvents.VIEWED_PAGE)
async def test_the_lists_are_about_tracked_events_not_pages_profiles_and_lists(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.post(VIEW)
    await world.settle()
    assert [event.metric for event in world.received()] == ["Viewed Page"]
    assert ("profile", "delivered", "klaviyo_absent") in await world.fates()


@in_world(hold_seconds=0, metric_suffix="", order_event=OrderEvent.ORDER_COMPLETED, metrics=frozenset())
async def test_an_order_may_go_under_its_own_name(world: World) -> None:
    order = {"order_id": "1042", "total": 20, "currency": "EUR", "products": [LAMP]}
    for event in ("order completed", "Purchase"):
        await world.server({"type": "track", "event": event, "userId": "7", "properties": order | {"email": ANN}})
    await world.settle()
    assert [(event.metric, event.unique_id) for event in world.received()] == [
        ("Order Completed", "backflow:placed_order:1042"), ("Ordered Product", "backflow:ordered_product:1042:7"),
    ]  # fmt: skip


@in_world(hold_seconds=0, metric_suffix="", flatten_properties=True)
async def test_own_objects_arrive_flat_and_items_whole(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN, plan={"name": "gold"})
    await shopper.track("Product Added", LAMP | {"gift": {"note": "Hi"}})
    await world.settle()
    (cart,) = world.received()
    assert cart.properties["gift.note"] == "Hi"
    assert "gift" not in cart.properties
    assert [item["ProductName"] for item in cart.properties["Items"]] == ["Lamp"]
    assert world.profile_of(cart).properties["plan.name"] == "gold"


# Anonymous IDs


@in_world(anonymous_id=True)
async def test_a_strangers_event_does_not_wait_and_is_not_sent_again_under_a_name(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart()
    await world.process()
    assert await world.fates() == [("Added to Cart", "held", "anonymous")]
    await world.pass_hold()
    (event,) = world.received(CART)
    stranger = world.profile_of(event)
    (cart,) = await world.deliveries("Added to Cart")
    assert (stranger.email, stranger.anonymous_id) == (None, cart["visitor_id"])
    assert event.properties["BackflowReason"] == "klaviyo_absent"
    await shopper.identify(email=ANN)
    await world.settle(DAY)
    await world.pass_hold()
    assert len(world.received(CART)) == 1
    assert world.emails(CART) == [None]
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [None, ANN]
    assert stranger.email is None


@in_world(anonymous_id=True)
async def test_an_anonymous_event_on_its_way_stays_one(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart()
    await shopper.identify(email=ANN)
    await world.pass_hold()
    await world.pass_hold()
    assert len(world.received(CART)) == 1
    assert [row["person_id"] for row in await world.deliveries("Added to Cart")] == [None]


@in_world(anonymous_id=True)
async def test_an_order_waits_for_its_customer_even_where_strangers_have_an_anonymous_id(world: World) -> None:
    shopper = world.browser()
    await shopper.track("Order Completed", {"order_id": "1"})
    await shopper.track("Order Refunded", {"order_id": "1"})
    await world.process()
    assert await world.fates() == [
        ("Placed Order", "waiting", "no_identity"),
        ("Refunded Order", "waiting", "no_identity"),
    ]
    await world.server({"type": "track", "event": "Order Completed", "properties": {"order_id": "1", "email": ANN}})
    await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]


@in_world(anonymous_id=True)
async def test_what_klaviyo_replays_itself_is_not_sent_for_a_stranger(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart()
    world.clock.advance(1.0)
    await shopper.post({"type": "page", "context": klaviyo_script(identified=True)})
    await world.pass_hold()
    assert world.received() == []
    assert await world.fates() == [("Added to Cart", "suppressed", "native_replayed")]


@in_world(anonymous_id=True)
async def test_a_servers_call_about_nobody_has_no_anonymous_id(world: World) -> None:
    await world.server({"type": "track", "event": "Product Added", "properties": LAMP})
    await world.process()
    assert await world.fates() == [("Added to Cart", "waiting", "no_identity")]


# Refunds and cancellations


@in_world()
async def test_a_refund_is_no_purchase_and_ends_no_story(world: World) -> None:
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.server({"type": "track", "userId": "7", "event": "Product Added", "properties": LAMP, "ago": HOUR})
    for name in ("Order Refunded", "Order Cancelled"):
        await world.server({"type": "track", "userId": "7", "event": name, "properties": {"order_id": "1", "total": 9}})
    await world.server({"type": "track", "userId": "7", "event": "Product Viewed", "properties": LAMP, "ago": HOUR})
    await world.process()
    assert {row["metric"]: row["backfill"] for row in await world.deliveries() if row["metric"]} == {
        "Added to Cart": 0,
        "Refunded Order": 0,
        "Cancelled Order": 0,
        "Viewed Product": 0,
    }


@in_world(hold_seconds=0)
async def test_a_refund_is_told_once_and_every_refund_by_itself(world: World) -> None:
    refund = {"type": "track", "event": "Order Refunded"}
    about = {"order_id": "1", "email": ANN, "currency": "EUR"}
    await world.server(
        refund | {"properties": about | {"refund_id": "a", "refund_amount": 5}},
        refund | {"properties": about | {"refund_id": "a", "refund_amount": 5}},
        refund | {"properties": about | {"refund_id": "b", "refund_amount": 7}},
        {"type": "track", "event": "Order Cancelled", "properties": about | {"total": 20}},
        {"type": "track", "event": "orders/cancelled", "properties": about | {"total": 20}},
    )
    await world.settle()
    told = [(event.metric, event.value, event.value_currency) for event in world.received()]
    assert told == [
        ("Refunded Order - Backup Flow", 5.0, "EUR"),
        ("Refunded Order - Backup Flow", 7.0, "EUR"),
        ("Cancelled Order - Backup Flow", 20.0, "EUR"),
    ]


# Odd addresses


@in_world(email_primary=False)
async def test_odd_addresses_are_counted_and_used_all_the_same(world: World) -> None:
    for address in ("info@shop.com", "x1@marketplace.amazon.de", "ann@example.com", ANN):
        await world.server({"type": "identify", "traits": {"email": address}})
    await world.server({"type": "identify", "userId": "x" * 65, "traits": {"email": ANN, "phone": "12"}})
    await world.process()
    sums = await world.sums()
    assert {name: n for name, n in sums.items() if name.startswith(("noted", "refused"))} == {
        "noted_identifier role_email": 1,
        "noted_identifier relay_email": 1,
        "noted_identifier reserved_email": 1,
        "noted_identifier long_customer_id": 1,
        "refused_identifier invalid_phone": 1,
    }
    rows = await world.rows("SELECT value FROM identifiers WHERE kind = 'email'")
    assert sorted(row["value"] for row in rows) == ["ann@example.com", ANN, "info@shop.com", "x1@marketplace.amazon.de"]


# How many values of a kind


@in_world(identifier_limits={"customer_id": 1})
async def test_where_a_person_has_one_id_a_second_is_not_taken(world: World) -> None:
    for customer_id in ("7", "8"):
        await world.server({"type": "identify", "userId": customer_id, "traits": {"email": ANN}})
    shopper = world.browser()
    await shopper.identify("8")
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == [], "the second ID is not hers"
    assert (await world.sums())["refused_identifier limit_customer_id"] == 1
    other = world.browser()
    await other.identify("7")
    await other.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
