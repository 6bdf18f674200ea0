"""Whose event is this? Stories of shoppers, from the relay's door to what Klaviyo counts."""

import base64
import json
from typing import Any

import msgspec
import pytest

from relay.config import Consent
from tests.integration.world import (
    CART,
    DAY,
    HOUR,
    LAMP,
    MINUTE,
    ORDERED,
    VIEWED,
    World,
    in_world,
    iso,
    klaviyo_script,
)

ANN, BOB, CLEO = "ann@mail.com", "bob@mail.com", "cleo@mail.com"
ORDER = {"order_id": "1001", "total": 20.0, "currency": "EUR", "products": [LAMP]}
ROBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


# The shopper nobody knew, and how they are known again


@in_world()
async def test_an_anonymous_cart_is_sent_once_the_shopper_types_an_address_at_the_checkout(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart()
    await world.settle()
    assert await world.fates() == [("Added to Cart", "waiting", "no_identity")]
    await shopper.track("Checkout Started", {"email": ANN, "value": 20, "currency": "EUR"}, ago=-MINUTE)
    await world.pass_hold()
    assert [(event.metric, event.backfill) for event in world.received()] == [
        (CART, False),
        ("Started Checkout - Backup Flow", False),
    ]
    assert world.emails() == [ANN, ANN]


@in_world()
async def test_a_backup_event_says_why_it_was_sent(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart(context=klaviyo_script(identified=False))
    await shopper.identify(email=ANN)
    await world.pass_hold()
    (cart,) = world.received(CART)
    assert cart.properties["BackflowReason"] == "klaviyo_unidentified"
    assert "gave an e-mail address" in cart.properties["BackflowEvidence"]
    assert 0.9 < cart.properties["BackflowConfidence"] < 1
    assert cart.properties["ProductName"] == "Lamp"
    assert cart.value == 20.0


@in_world()
async def test_the_same_message_sent_twice_is_one_event(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    for _ in range(2):
        await shopper.add_to_cart(messageId="cart-1")
        await world.pass_hold()
    assert len(world.received(CART)) == 1
    assert (await world.sums())["duplicate"] == 1


@in_world()
async def test_a_shopper_who_returns_with_the_cookie_is_known(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await world.settle(30 * DAY)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    (cart,) = world.received(CART)
    assert "recognised by our signed first-party cookie" in cart.properties["BackflowEvidence"]


@in_world()
async def test_a_shopper_whose_cookie_is_gone_is_known_by_the_mirror(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await world.settle(8 * DAY)
    shopper.lose_cookies()
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    (cart,) = world.received(CART)
    assert "signed copy in the browser's storage" in cart.properties["BackflowEvidence"]
    assert cart.properties["BackflowConfidence"] <= 0.98


@in_world()
async def test_a_shopper_who_has_cleared_everything_is_nobody(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    shopper.lose_everything()
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    assert ("Added to Cart", "waiting", "no_identity") in await world.fates()


@in_world()
async def test_another_browser_is_not_the_shopper(world: World) -> None:
    await world.browser().identify(email=ANN)
    await world.browser().add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_waiting_events_of_every_browser_of_the_person_are_sent(world: World) -> None:
    telephone, laptop = world.browser(), world.browser()
    await telephone.add_to_cart()
    await telephone.identify("customer-1")
    await laptop.identify("customer-1")
    await laptop.track("Product Viewed", LAMP)
    await world.settle()
    assert world.received() == []
    await world.server({"type": "identify", "userId": "customer-1", "traits": {"email": ANN}})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    assert world.emails(VIEWED) == [ANN]


# Late identity


@pytest.mark.parametrize(
    ("late", "backfill"),
    [(HOUR, False), (23 * HOUR, False), (25 * HOUR, True), (13 * DAY, True)],
    ids=["an hour", "23 hours", "25 hours", "13 days"],
)
@in_world()
async def test_an_event_found_late_starts_a_flow_only_within_a_day(world: World, late: float, backfill: bool) -> None:
    shopper = world.browser()
    await shopper.add_to_cart()
    await world.settle(late)
    await world.keep_house()
    await shopper.identify(email=ANN)
    await world.pass_hold()
    assert [(event.backfill, event.time) for event in world.received(CART)] == [
        (backfill, world.clock.now() - late - world.site.hold_seconds)
    ]


@in_world()
async def test_an_event_nobody_was_found_for_expires_after_14_days(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart()
    await world.settle(14 * DAY + MINUTE)
    await world.keep_house()
    assert await world.fates() == [("Added to Cart", "expired", "too_old")]
    await shopper.identify(email=ANN)
    await world.pass_hold()
    assert world.received(CART) == []


# Klaviyo's own links


@in_world()
async def test_the_recipient_of_a_link_is_looked_up_and_gets_the_event(world: World) -> None:
    profile_id, kx = await world.sandbox.profile(email=ANN)
    shopper = world.browser()
    await shopper.land(kx)
    await shopper.add_to_cart()
    await world.settle()
    await world.pass_hold()
    (cart,) = world.received(CART)
    assert cart.profile_id == profile_id
    assert "opened a Klaviyo link" in cart.properties["BackflowEvidence"]
    assert cart.properties["BackflowConfidence"] == 0.9
    assert len(world.sandbox.account.lookups) == 1


@in_world()
async def test_a_link_with_its_equals_sign_encoded_is_the_same_link(world: World) -> None:
    profile_id, kx = await world.sandbox.profile(email=ANN)
    value, _, company = kx.partition(".")
    padded = f"{value}=.{company}"
    world.sandbox.account.profiles._index["kx", padded] = profile_id
    one, other = world.browser(), world.browser()
    await one.land(padded.replace("=", "%3D"))
    await other.land(padded)
    await other.add_to_cart()
    await world.settle()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    assert len(world.sandbox.account.lookups) == 1


@in_world()
async def test_a_profile_without_an_address_gets_the_event_by_its_id(world: World) -> None:
    profile_id, kx = await world.sandbox.profile(first_name="Ann", external_id="x1")
    shopper = world.browser()
    await shopper.land(kx)
    await shopper.add_to_cart()
    await world.settle()
    await world.pass_hold()
    (cart,) = world.received(CART)
    assert cart.profile_id == profile_id


@in_world()
async def test_without_the_scope_to_read_the_event_goes_out_under_the_link_itself(world: World) -> None:
    profile_id, kx = await world.sandbox.profile(email=ANN)
    world.sandbox.without("profiles:read")
    shopper = world.browser()
    await shopper.land(kx)
    await shopper.add_to_cart()
    await world.settle()
    await world.pass_hold()
    (cart,) = world.received(CART)
    assert cart.profile_id == profile_id
    assert ("lookup", "suppressed", "no_read_scope") in await world.fates()
    assert world.sandbox.calls("/api/profiles") == [403]


@in_world()
async def test_a_missing_scope_to_read_holds_up_no_other_event(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    world.sandbox.without("profiles:read")
    await world.browser().land(kx)
    await world.settle()
    other = world.browser()
    await other.identify(email=BOB)
    for _ in range(5):
        await other.add_to_cart()
    await world.process()
    world.clock.advance(world.site.hold_seconds)
    # Who the other one is, then everything they did.
    assert [await world.sender.deliver_next() for _ in range(2)] == [1, 5]
    assert world.emails(CART) == [BOB] * 5


@in_world()
async def test_a_link_unknown_to_klaviyo_is_nobody_and_is_not_asked_for_again(world: World) -> None:
    stranger = "x" * 43 + ".DEMO42"
    first, second = world.browser(), world.browser()
    for shopper in (first, second, first):
        await shopper.land(stranger)
        await shopper.add_to_cart()
        await world.settle()
        await world.pass_hold()
    assert len(world.sandbox.account.lookups) == 1
    assert world.received() == []
    assert world.sandbox.account.vanished == []
    assert {fate for fate in await world.fates() if fate[0] == "Added to Cart"} <= {
        ("Added to Cart", "waiting", "no_identity"),
        ("Added to Cart", "waiting", "identity_pending"),
    }


@in_world()
async def test_whoever_came_by_an_unknown_link_is_found_when_they_give_their_address(world: World) -> None:
    shopper = world.browser()
    await shopper.land("x" * 43 + ".DEMO42")
    await shopper.add_to_cart()
    await world.settle()
    await shopper.identify(email=ANN)
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_two_visitors_with_one_link_are_looked_up_once(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    for shopper in (world.browser(), world.browser()):
        await shopper.land(kx)
        await shopper.add_to_cart()
    await world.settle()
    await world.pass_hold()
    assert len(world.sandbox.account.lookups) == 1
    assert world.emails(CART) == [ANN, ANN]


@in_world()
async def test_a_forwarded_link_does_not_outdo_the_shoppers_own_address(world: World) -> None:
    _, anns_link = await world.sandbox.profile(email=ANN)
    bob = world.browser()
    await bob.identify(email=BOB)
    await bob.land(anns_link)
    await world.settle(HOUR)
    await bob.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [BOB]


@in_world()
async def test_an_address_typed_after_a_forwarded_link_gets_what_waited(world: World) -> None:
    _, anns_link = await world.sandbox.profile(email=ANN)
    world.sandbox.without("profiles:read", "events:write")  # nothing is answered yet
    await world.sandbox.script("/api/profiles", status=503)
    bob = world.browser()
    await bob.land(anns_link)
    await bob.add_to_cart()
    await bob.identify(email=BOB)
    await world.process()
    (cart,) = await world.deliveries("Added to Cart")
    persons = {row["value"]: row["person_id"] for row in await world.rows("SELECT value, person_id FROM identifiers")}
    assert (cart["state"], cart["person_id"]) == ("held", persons[BOB])


@in_world()
async def test_links_of_two_recipients_in_one_browser_name_nobody(world: World) -> None:
    _, anns_link = await world.sandbox.profile(email=ANN)
    _, bobs_link = await world.sandbox.profile(email=BOB)
    shopper = world.browser()
    await shopper.land(anns_link)
    await world.settle()
    await shopper.land(bobs_link)
    await world.settle()
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    assert ("Added to Cart", "waiting", "shared_device") in await world.fates()


@in_world()
async def test_the_link_that_klaviyos_script_left_in_its_cookie_is_used(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    cookie = base64.b64encode(json.dumps({"cid": "abc", "$exchange_id": kx}).encode()).decode()
    shopper = world.browser()
    await shopper.add_to_cart(context={"cookies": {"__kla_id": cookie}} | klaviyo_script(identified=False))
    await world.settle()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


# Two persons, one browser


@in_world()
async def test_an_event_in_the_session_of_the_second_person_is_theirs(world: World) -> None:
    shared = world.browser()
    await shared.identify(email=ANN)
    await world.settle(DAY)
    await shared.identify(email=BOB)
    await shared.add_to_cart(ago=-29 * MINUTE)
    await world.settle(29 * MINUTE)
    await world.pass_hold()
    assert world.emails(CART) == [BOB]


@in_world()
async def test_an_anonymous_event_on_a_shared_device_belongs_to_nobody(world: World) -> None:
    shared = world.browser()
    await shared.identify(email=ANN)
    await world.settle(DAY)
    await shared.identify(email=BOB)
    await world.settle(31 * MINUTE)
    await shared.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    assert ("Added to Cart", "waiting", "shared_device") in await world.fates()


@in_world()
async def test_what_waits_on_a_shared_device_goes_to_whom_signs_in_within_the_session(world: World) -> None:
    shared = world.browser()
    await shared.identify(email=ANN)
    await shared.identify(email=BOB)
    await world.settle(HOUR)
    await shared.add_to_cart()
    await world.settle(20 * MINUTE)
    await shared.identify(email=ANN)
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_what_waits_on_a_shared_device_is_not_handed_to_a_later_session(world: World) -> None:
    shared = world.browser()
    await shared.identify(email=ANN)
    await shared.identify(email=BOB)
    await world.settle(HOUR)
    await shared.add_to_cart()
    await world.settle(2 * HOUR)
    for address in (BOB, ANN, CLEO):
        await shared.identify(email=address)
        await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_the_first_persons_waiting_events_stay_theirs_when_a_second_one_signs_in(world: World) -> None:
    shared = world.browser()
    await shared.identify(email=ANN)
    await shared.add_to_cart()
    await world.process()
    await shared.identify(email=BOB)
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_an_address_typed_wrong_and_then_right_are_two_persons(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email="an@mail.com")
    await world.settle(MINUTE)
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    persons = await world.rows("SELECT person_id FROM identifiers WHERE kind = 'email'")
    assert len({row["person_id"] for row in persons}) == 2
    assert await world.rows("SELECT * FROM merges") == []


# Logging in and out


@in_world()
async def test_logging_out_unties_the_browser(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.sign_out()
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    assert ("Added to Cart", "waiting", "no_identity") in await world.fates()
    (link,) = await world.rows("SELECT end_reason FROM links")
    assert link["end_reason"] == "signed_out"


@in_world()
async def test_what_was_done_before_logging_out_stays_the_persons(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    await shopper.sign_out()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_after_logging_out_the_next_person_gets_only_what_they_did(world: World) -> None:
    shared = world.browser()
    await shared.identify(email=ANN)
    await shared.track("Product Viewed", LAMP)
    await shared.sign_out()
    await world.settle(MINUTE)
    await shared.add_to_cart()
    await shared.identify(email=BOB)
    await world.pass_hold()
    assert world.emails(VIEWED) == [ANN]
    assert world.emails(CART) == [BOB]


@in_world()
async def test_a_login_that_awaits_its_address_does_not_leave_its_cart_to_the_next_person(world: World) -> None:
    shared = world.browser()
    await shared.identify("customer-1")
    await shared.add_to_cart()
    await shared.sign_out()
    await world.settle(MINUTE)
    await shared.identify(email=BOB)
    await world.pass_hold()
    assert world.received(CART) == []
    await world.server({"type": "identify", "userId": "customer-1", "traits": {"email": ANN}})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_what_waited_between_two_persons_is_nobodys_after_they_logged_out(world: World) -> None:
    shared = world.browser()
    await shared.identify(email=ANN)
    await shared.identify(email=BOB)
    await world.settle(HOUR)
    await shared.add_to_cart()
    await shared.sign_out()
    await shared.identify(email=CLEO)
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_a_cart_from_before_a_login_is_not_left_to_the_next_person(world: World) -> None:
    shared = world.browser()
    await shared.add_to_cart()
    await shared.identify("customer-1")
    await shared.sign_out()
    await shared.identify(email=BOB)
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_signing_out_where_nobody_was_signed_in_takes_nothing_away(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart()
    await shopper.sign_out()
    await shopper.identify(email=ANN)
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_logging_out_counts_under_privacy_control_too(world: World) -> None:
    shared = world.browser()
    await shared.identify(email=ANN)
    await shared.post({"type": "track", "event": "Signed Out", "context": {"gpc": True}})
    await shared.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_a_login_with_only_the_customers_id_is_known_by_what_the_server_said(world: World) -> None:
    await world.server({"type": "identify", "userId": "customer-1", "traits": {"email": ANN}})
    shopper = world.browser()
    await shopper.identify("customer-1")
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_a_login_unknown_to_the_server_waits_for_its_address(world: World) -> None:
    shopper = world.browser()
    await shopper.identify("customer-1")
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received() == []
    assert await world.fates() == [("Added to Cart", "waiting", "identity_pending")]


@pytest.mark.parametrize("placeholder", ["null", "undefined", "0", "-1", "guest"])
@in_world()
async def test_a_placeholder_for_a_customers_id_unites_nobody(world: World, placeholder: str) -> None:
    await world.server({"type": "identify", "userId": placeholder, "traits": {"email": ANN}})
    shopper = world.browser()
    await shopper.identify(placeholder)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_the_traits_of_a_group_name_nobody(world: World) -> None:
    shopper = world.browser()
    await shopper.post({"type": "group", "groupId": "acme", "traits": {"email": "office@acme.com", "name": "Acme"}})
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received() == []
    assert await world.rows("SELECT * FROM identifiers") == []


# Households


@in_world(country="US")
async def test_a_new_login_with_a_known_telephone_number_is_somebody_else(world: World) -> None:
    await world.server({"type": "identify", "traits": {"email": ANN, "phone": "2025550123"}})
    bob = world.browser()
    await bob.identify("customer-bob", phone="202 555 0123")
    await bob.add_to_cart()
    await world.pass_hold()
    assert ANN not in world.emails(CART)


@in_world(country="US")
async def test_a_telephone_number_alone_finds_its_person(world: World) -> None:
    await world.server({"type": "identify", "traits": {"email": ANN, "phone": "2025550123"}})
    ann = world.browser()
    await ann.identify(phone="+1 202 555 0123")
    await ann.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world(country="US")
async def test_a_number_that_found_somebody_by_itself_is_not_taken_from_them(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(phone="2025550123")
    await shopper.add_to_cart()
    await world.server({"type": "identify", "traits": {"email": BOB, "phone": "2025550123"}})
    await world.pass_hold()
    assert [world.profile_of(cart).phone_number for cart in world.received(CART)] == ["+12025550123"]
    assert BOB not in world.emails(CART)


# The shop's server


@in_world()
async def test_an_order_the_server_reports_is_filed_under_its_address(world: World) -> None:
    await world.server({"type": "track", "event": "Order Completed", "properties": ORDER | {"email": ANN}})
    await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]
    (order,) = world.received(ORDERED)
    assert "reported an order" in order.properties["BackflowEvidence"]
    assert order.value == 20.0


@pytest.mark.parametrize("first", ["browser", "server"])
@in_world()
async def test_an_order_seen_by_the_thank_you_page_and_by_the_server_counts_once(world: World, first: str) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)

    async def on_the_thank_you_page() -> None:
        await shopper.track("Order Completed", ORDER)

    async def by_the_server() -> None:
        await world.server({"type": "track", "event": "Order Completed", "properties": ORDER | {"email": ANN}})

    reports = [on_the_thank_you_page, by_the_server]
    for report in reports if first == "browser" else reversed(reports):
        await report()
        await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]
    assert len(world.received("Ordered Product - Backup Flow")) == 1
    assert (await world.sums())["accepted"] == 3


@in_world()
async def test_an_order_that_awaits_its_person_is_sent_as_the_servers(world: World) -> None:
    shopper = world.browser()
    await shopper.track("Order Completed", ORDER)
    await world.settle()
    await world.server({"type": "track", "event": "Order Completed", "properties": ORDER | {"email": ANN}})
    await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]


@in_world()
async def test_after_the_order_a_cart_that_has_not_left_starts_no_flow(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.track("Product Viewed", LAMP)
    await shopper.add_to_cart()
    await world.process()
    world.clock.advance(MINUTE)
    await shopper.track("Order Completed", ORDER)
    await world.pass_hold()
    assert [(event.metric, event.backfill) for event in world.received() if "Order" not in event.metric] == [
        (VIEWED, True),
        (CART, True),
    ]
    assert [event.backfill for event in world.received(ORDERED)] == [False]


@in_world()
async def test_the_servers_order_ends_the_story_in_the_persons_browsers(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    await world.process()
    world.clock.advance(MINUTE)
    await world.server({"type": "track", "event": "Order Completed", "properties": ORDER | {"email": ANN}})
    await world.pass_hold()
    assert [cart.backfill for cart in world.received(CART)] == [True]


@in_world()
async def test_a_cart_filled_after_the_order_starts_a_flow(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.track("Order Completed", ORDER)
    await world.process()
    world.clock.advance(MINUTE)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert [cart.backfill for cart in world.received(CART)] == [False]


@in_world()
async def test_an_order_reported_late_ends_no_later_story(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    await world.process()
    order = {"type": "track", "event": "Order Completed", "properties": ORDER | {"email": ANN}}
    await world.server(order | {"ago": HOUR})
    await world.pass_hold()
    assert [cart.backfill for cart in world.received(CART)] == [False]


@in_world()
async def test_another_persons_order_ends_no_story(world: World) -> None:
    ann = world.browser()
    await ann.identify(email=ANN)
    await ann.add_to_cart()
    await world.process()
    await world.server({"type": "track", "event": "Order Completed", "properties": ORDER | {"email": BOB}})
    await world.pass_hold()
    assert [cart.backfill for cart in world.received(CART)] == [False]


@in_world()
async def test_a_change_of_address_told_by_the_server_is_followed(world: World) -> None:
    shopper = world.browser()
    await world.server({"type": "identify", "userId": "customer-1", "traits": {"email": ANN}})
    await shopper.identify("customer-1", email=ANN)
    await world.pass_hold()
    await world.server({"type": "identify", "userId": "customer-1", "traits": {"email": "ann.new@mail.com"}})
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == ["ann.new@mail.com"]


@in_world()
async def test_a_server_names_no_browsers_visitor(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart()
    await world.process()
    (event,) = await world.rows("SELECT visitor_id FROM events")
    await world.server({"type": "identify", "anonymousId": event["visitor_id"], "traits": {"email": BOB}})
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_a_servers_own_visitor_is_found_late(world: World) -> None:
    await world.server({"type": "track", "event": "Product Added", "anonymousId": "a1", "properties": LAMP})
    await world.server({"type": "identify", "anonymousId": "a1", "traits": {"email": ANN}})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


# Those who must not be followed


async def journal(world: World) -> str:
    """Everything the journal holds, as text."""
    rows = await world.store.entries("shop", 0, 100_000)
    return msgspec.json.encode(rows).decode()


@in_world()
async def test_without_consent_nothing_is_kept(world: World) -> None:
    shopper = world.browser()
    shopper.context = {"consent": {"marketing": False, "analytics": False, "source": "banner"}}
    await shopper.track(
        "Checkout Started", LAMP | {"email": ANN}, context={"page": {"url": "https://s.example/secret"}}
    )
    await world.settle()
    await world.pass_hold()
    kept = await journal(world)
    for personal in (ANN, "Lamp", "secret", "Chrome", "127.0.0.1"):
        assert personal not in kept
    assert shopper.mirror is None
    assert not list(shopper.http.cookies.jar)
    assert await world.rows("SELECT * FROM events") == []
    assert await world.fates() == []
    assert (await world.sums()) == {"received": 1, "dropped no_consent": 1}


@in_world(consent=Consent.REQUIRED)
async def test_where_consent_is_required_silence_is_no(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received() == []
    assert await world.rows("SELECT * FROM identifiers") == []
    assert ANN not in await journal(world)


@in_world()
async def test_consent_withdrawn_stops_what_has_not_left_and_unties(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    await world.process()
    await shopper.post({"type": "page", "context": {"consent": {"marketing": False}}})
    await world.pass_hold()
    assert world.received() == []
    assert {fate[1:] for fate in await world.fates()} == {("suppressed", "consent_withdrawn")}
    await shopper.add_to_cart()  # consent is not denied any more
    await world.pass_hold()
    assert world.received() == []


NO, YES = ({"consent": {"marketing": choice}} for choice in (False, True))


@in_world()
async def test_consent_withdrawn_holds_for_the_jar_that_the_browser_had_before(world: World) -> None:
    shopper = world.browser()
    shopper.context = {"cookies": {"_ga": "GA1.1.1234567890.1700000000"}}
    await shopper.identify(email=ANN)
    await world.settle(MINUTE)
    await shopper.add_to_cart()
    await world.process()
    world.clock.advance(10)
    shopper.lose_everything()
    await shopper.post({"type": "page"})
    await shopper.post({"type": "page", "context": NO})
    await world.pass_hold()
    assert ("Added to Cart", "suppressed", "consent_withdrawn") in await world.fates()
    await shopper.add_to_cart()  # consent is not denied any more
    await world.pass_hold()
    shopper.lose_everything()
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert ANN in world.emails(CART), "a sign from after the refusal counts"


@in_world()
async def test_a_refusal_that_arrives_again_takes_nothing_that_was_said_since(world: World) -> None:
    shopper = world.browser()
    await shopper.post({"type": "page"})
    refusal = world.dated({"type": "page", "context": NO})
    await shopper.post(refusal)
    await world.settle(MINUTE)
    await shopper.post({"type": "identify", "traits": {"email": ANN}, "context": YES})
    await shopper.add_to_cart()
    await world.settle(10)
    await shopper.post(refusal)
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_a_refusal_that_is_processed_late_holds_from_when_it_was_said(world: World) -> None:
    shopper = world.browser()
    await shopper.post({"type": "page"})
    await world.process()
    await shopper.post({"type": "page", "context": NO})
    world.clock.advance(30)
    await shopper.post({"type": "identify", "traits": {"email": ANN}, "context": YES})
    world.clock.advance(5 * MINUTE)
    await world.process()
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1), (0, 2, 1)])
@in_world()
async def test_in_whatever_order_they_arrive_a_refusal_parts_before_from_after(
    world: World, order: tuple[int, int, int]
) -> None:
    shopper = world.browser()
    await shopper.post({"type": "page"})
    await world.settle(HOUR)
    cart = {"type": "track", "event": "Product Added", "properties": LAMP}
    said: list[list[dict[str, Any]]] = [
        [{"type": "identify", "traits": {"email": BOB}, "ago": 31 * 60.0}, cart | {"ago": 31 * 60.0}],
        [{"type": "page", "context": NO, "ago": 20 * 60.0}],
        [{"type": "identify", "traits": {"email": ANN}, "ago": MINUTE}, cart | {"ago": MINUTE}],
    ]
    for n in order:
        await shopper.post(*said[n])
        await world.process()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    carts = [fate[1:] for fate in await world.fates() if fate[0] == "Added to Cart"]
    assert ("suppressed", "consent_withdrawn") in carts
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN, ANN], "what was known before the refusal names nobody any more"


@pytest.mark.parametrize("how", ["header", "context"])
@in_world()
async def test_with_privacy_control_nothing_is_linked_or_forwarded(world: World, how: str) -> None:
    shopper = world.browser(**({"Sec-GPC": "1"} if how == "header" else {}))
    shopper.context = {"gpc": True} if how == "context" else {}
    await shopper.identify("customer-1", email=ANN)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received() == []
    assert await world.rows("SELECT * FROM links") == []
    assert await world.rows("SELECT * FROM identifiers") == []
    assert await world.fates() == [("Added to Cart", "suppressed", "gpc")]
    assert (await world.sums())["accepted"] == 2


@in_world()
async def test_a_suppressed_event_is_not_sent_when_its_visitor_becomes_known(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart(context={"gpc": True})
    await shopper.identify(email=ANN)
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_robots_are_dropped_and_counted(world: World) -> None:
    robot = world.browser(**{"User-Agent": ROBOT})
    await robot.identify(email=ANN)
    await robot.add_to_cart()
    await world.pass_hold()
    assert world.received() == []
    assert await world.rows("SELECT * FROM events") == []
    assert (await world.sums()) == {"received": 2, "dropped bot": 2}


@in_world()
async def test_a_server_may_have_any_user_agent(world: World) -> None:
    await world.server(
        {"type": "track", "event": "Order Completed", "properties": ORDER | {"email": ANN}},
        {"type": "identify", "traits": {"email": ANN}, "context": {"userAgent": ROBOT}},
    )
    await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]


@in_world()
async def test_an_alias_of_the_shops_server_finds_the_anonymous_visitors_cart(world: World) -> None:
    cart = {"type": "track", "event": "Product Added", "anonymousId": "a-1", "properties": {"product_id": "1"}}
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}}, cart)
    await world.pass_hold()
    assert world.emails(CART) == []
    await world.server({"type": "alias", "previousId": "a-1", "userId": "7"})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_an_alias_from_a_browser_ties_nothing(world: World) -> None:
    cart = {"type": "track", "event": "Product Added", "anonymousId": "a-1", "properties": {"product_id": "1"}}
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}}, cart)
    await world.browser().post({"type": "alias", "previousId": "a-1", "userId": "7"})
    await world.pass_hold()
    assert world.emails(CART) == []


@in_world()
async def test_a_friend_named_in_an_event_of_the_shops_own_is_not_the_sender(world: World) -> None:
    shopper = world.browser()
    await shopper.track("Friend Invited", {"email": BOB})
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received() == []
    await shopper.identify(email=ANN)
    await world.pass_hold()
    assert set(world.emails()) == {ANN}


@in_world()
async def test_a_friend_named_by_a_server_gets_neither_the_user_nor_the_visitor(world: World) -> None:
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    invited = {"type": "track", "event": "Friend Invited", "properties": {"email": BOB}}
    cart = {"type": "track", "event": "Product Added", "properties": {"product_id": "1"}}
    await world.server(
        invited | {"userId": "7"},
        invited | {"anonymousId": "a-1"},
        cart | {"userId": "7"},
        cart | {"anonymousId": "a-1"},
    )
    await world.pass_hold()
    assert sorted(map(str, world.emails("Friend Invited - Backup Flow"))) == [ANN, BOB]
    assert world.emails(CART) == [ANN], "the visitor who invited a friend is not the friend"


@in_world()
async def test_a_login_by_an_unknown_id_alone_is_not_the_person_known_before(world: World) -> None:
    browser = world.browser()
    await browser.identify(email=BOB)
    await world.pass_hold()
    await browser.identify("99")
    await browser.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == []
    await world.server({"type": "identify", "userId": "99", "traits": {"email": ANN}})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_a_login_from_before_the_logout_that_arrives_after_it_ties_nothing(world: World) -> None:
    browser = world.browser()
    await browser.identify(email=ANN)
    world.clock.advance(MINUTE)
    await browser.sign_out()
    await browser.identify(email=ANN, ago=30.0)
    world.clock.advance(MINUTE)
    await browser.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == []


@in_world()
async def test_a_cart_whose_order_was_reported_before_its_person_is_found_starts_no_flow(world: World) -> None:
    known = world.browser()
    await known.identify(email=ANN)
    await known.add_to_cart()
    await known.track("Order Completed", {"order_id": "1042", "total": 12, "products": [{"product_id": "1"}]})
    await world.pass_hold()
    other = world.browser()
    await other.post(
        {
            "type": "track",
            "event": "Product Added",
            "timestamp": iso(world.clock.now() - HOUR),
            "properties": {"product_id": "1"},
        }
    )
    await other.identify(email=ANN)
    await world.pass_hold()
    assert [event.backfill for event in world.received(CART)] == [True, True], "bought meanwhile, on another device"
    world.clock.advance(MINUTE)
    await other.add_to_cart()
    await world.pass_hold()
    assert [event.backfill for event in world.received(CART)] == [True, True, False], "a new cart is a new story"
