"""Whose an order is, when several speak of it, and which stories it ends."""

from typing import Any

import pytest

from relay import forget
from tests.integration.world import CART, DAY, LAMP, ORDERED, World, in_world, iso, klaviyo_script

ANN, BOB, MALLORY = "ann@mail.com", "bob@mail.com", "mallory@mail.com"
REFUNDED = "Refunded Order - Backup Flow"
ORDER: dict[str, Any] = {"order_id": "1042", "total": 20, "currency": "EUR", "products": [LAMP]}
REFUND = {
    "type": "track",
    "event": "Order Refunded",
    "properties": {"order_id": "1042", "refund_id": "r1", "refund_amount": 20, "currency": "EUR"},
}


def placed(email: str, user_id: str | None = None, **properties: Any) -> dict[str, Any]:
    named = {} if user_id is None else {"userId": user_id}
    return {"type": "track", "event": "Order Completed", "properties": ORDER | {"email": email} | properties, **named}


# --- for whom it is bought --------------------------------------------------------------------------------------------


@in_world()
async def test_an_order_for_another_address_does_not_move_its_customer_there(world: World) -> None:
    ann = world.browser()
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await ann.identify("7", email=ANN)
    await world.settle(DAY)
    await world.server(placed(BOB, "7"))
    await world.settle(DAY)
    await ann.add_to_cart()
    await world.settle(DAY)
    await world.server({"type": "track", "event": "Product Added", "userId": "7", "properties": LAMP})
    await world.pass_hold()
    assert (world.emails(ORDERED), world.emails(CART)) == ([BOB], [ANN, ANN])


@in_world()
async def test_a_till_that_sends_one_id_for_everybody_makes_nobody_the_next_buyer(world: World) -> None:
    at_home = world.browser()
    await world.server(placed(ANN, "till-1", order_id="1"))
    await world.settle(DAY)
    await at_home.identify(email=ANN)
    await world.settle(DAY)
    await world.server(placed(BOB, "till-1", order_id="2"))
    await world.settle(DAY)
    await at_home.add_to_cart()
    await world.pass_hold()
    assert (world.emails(ORDERED), world.emails(CART)) == ([ANN, BOB], [ANN])


@in_world()
async def test_whom_a_customer_has_bought_for_is_not_erased_with_the_customer(world: World) -> None:
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}}, placed(BOB, "7"))
    await world.pass_hold()
    await forget.forget(world.store, [world.site], ANN, now=world.clock.now())
    asked = [row["payload"] for row in await world.rows("SELECT payload FROM deliveries WHERE kind = 'deletion'")]
    assert asked == [ANN]


# --- a browser and the shop's server tell of one order ----------------------------------------------------------------


@in_world()
async def test_the_servers_word_says_whose_the_order_of_a_thank_you_page_is(world: World) -> None:
    shared = world.browser()
    await shared.identify(email=ANN)
    await world.settle(2 * DAY)
    await shared.track("Order Completed", ORDER)  # Ann's, by the cookie
    await world.settle(5)
    await world.server(placed(BOB))
    await world.pass_hold()
    await world.server(REFUND)
    await world.pass_hold()
    assert (world.emails(ORDERED), world.emails(REFUNDED)) == ([BOB], [BOB])


@in_world()
async def test_a_refund_is_not_for_whom_a_browser_alone_has_named(world: World) -> None:
    await world.browser().track("Order Completed", ORDER | {"email": MALLORY})
    await world.pass_hold()
    await world.server(REFUND)
    await world.pass_hold()
    assert world.received(REFUNDED) == []
    assert ("Refunded Order", "waiting", "no_identity") in await world.fates()


@pytest.mark.parametrize("is_shopify", [False, True])
@in_world()
async def test_an_order_is_told_of_its_customer_whatever_the_thank_you_pages_browser_asks_for(
    world: World, is_shopify: bool
) -> None:
    await world.browser(**{"Sec-GPC": "1"}).track("Order Completed", ORDER | {"email": BOB})
    await world.settle(5)
    assert ("Placed Order", "suppressed", "gpc") in await world.fates()
    if is_shopify:
        line = {"product_id": 7, "title": "Lamp", "price": "20.00", "quantity": 1}
        order = {"id": 1042, "email": BOB, "total_price": "20.00", "currency": "EUR", "line_items": [line]}
        await world.shopify("orders/create", order | {"created_at": iso(world.clock.now()), "customer": {"id": 7}})
    else:
        await world.server(placed(BOB))
    await world.pass_hold()
    assert world.emails(ORDERED) == [BOB]


@in_world()
async def test_what_klaviyo_may_have_keeps_its_person_whatever_the_server_says(world: World) -> None:
    await world.browser().track("Order Completed", ORDER | {"email": ANN})
    await world.pass_hold()
    await world.server(placed(BOB))
    await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]


@in_world()
async def test_an_order_the_server_tells_is_not_left_to_klaviyos_script_which_has_not_seen_it(world: World) -> None:
    shopper = world.browser()
    visitor = {"anonymousId": "9d6c1f6e-0b5a-4d2e-8f57-0c5d4f7d2a11"}
    await shopper.post({"type": "page", "context": klaviyo_script(identified=True), **visitor})
    await world.settle(1)
    vip = {"type": "identify", "userId": "7", "traits": {"email": BOB, "vip": True}}
    await world.server(placed(BOB, "7") | visitor, vip | visitor)
    await world.settle(20)
    await shopper.post({"type": "page", "context": klaviyo_script(identified=True), **visitor})
    await world.pass_hold()
    assert world.emails(ORDERED) == [BOB]
    assert {fate[1] for fate in await world.fates()} == {"delivered"}


# --- whose story it ends ----------------------------------------------------------------------------------------------


@in_world()
async def test_an_order_elsewhere_ends_no_story_of_who_else_is_at_a_shared_laptop(world: World) -> None:
    laptop, phone = world.browser(), world.browser()
    await laptop.identify(email=ANN)
    await phone.identify(email=ANN)
    await world.settle(3 * DAY)
    await laptop.identify(email=BOB)
    await laptop.add_to_cart()
    await world.settle(60)
    await phone.track("Order Completed", ORDER | {"email": ANN})
    await world.pass_hold()
    (cart,) = world.received(CART)
    assert (world.profile_of(cart).email, cart.backfill) == (BOB, False)


@pytest.mark.parametrize("by_server", [False, True])
@in_world()
async def test_an_order_ends_the_story_of_the_very_cart_that_it_was(world: World, by_server: bool) -> None:
    laptop = world.browser()
    await laptop.identify(email=BOB)
    await laptop.track("Product Added", LAMP | {"cart_token": "c1-8f4e2a90b7d3"})
    await world.settle(60)
    if by_server:
        await world.server(placed(ANN, cart_token="c1-8f4e2a90b7d3"))
    else:
        await laptop.track("Order Completed", ORDER | {"email": ANN})
    await world.pass_hold()
    assert [cart.backfill for cart in world.received(CART)] == [True]
