"""Shopify's checkout as its custom pixel reports it: what Klaviyo's own integration hears of too is left to it, and
nothing else is."""

from typing import Any

from relay.config import Forward
from tests import shopify
from tests.integration.world import CART, HOUR, LAMP, MINUTE, Browser, World, in_world

ANN, BOB = "ann@mail.com", "bob@mail.com"
STARTED = "Started Checkout - Backup Flow"
TOKEN = shopify.CHECKOUT_TOKEN


def seen(token: str = TOKEN) -> dict[str, Any]:
    """The context of the pixel's messages (static/shopify-pixel.js)."""
    return {"capture": ["shopify_pixel"], "shopify": {"checkoutToken": token}}


async def start(browser: Browser, email: str | None = None, *, token: str = TOKEN, **fields: Any) -> None:
    """``checkout_started``: who it is, if that is known yet, and the checkout."""
    if email is not None:
        await give(browser, email, token=token, **fields)
    line = {"title": "Lamp", "quantity": 1, "variant": {"id": "11", "product": {"id": "1", "title": "Lamp"}}}
    properties = {"checkout": {"token": token, "email": email, "lineItems": [line]}}
    await browser.track("Checkout Started", properties, messageId=f"checkout-{token}", context=seen(token), **fields)


async def give(browser: Browser, email: str, *, token: str = TOKEN, **fields: Any) -> None:
    """``checkout_contact_info_submitted``."""
    await browser.post({"type": "identify", "traits": {"email": email}, "context": seen(token)} | fields)


@in_world()
async def test_a_checkout_with_an_address_is_left_to_klaviyos_integration_and_the_cart_is_not(world: World) -> None:
    phone = world.browser()
    await phone.add_to_cart()
    await start(phone, ANN)
    await world.pass_hold()
    assert world.received(STARTED) == []
    assert world.emails(CART) == [ANN]
    assert ("Started Checkout", "suppressed", "native") in await world.fates()


@in_world()
async def test_a_checkout_that_gets_its_address_within_the_hold_is_left_to_it_too(world: World) -> None:
    phone = world.browser()
    await phone.identify(email=ANN)
    await phone.add_to_cart()
    await start(phone)
    await world.settle()
    world.clock.advance(MINUTE)
    await give(phone, ANN)
    await world.pass_hold()
    assert world.received(STARTED) == []
    assert world.emails(CART) == [ANN]
    assert ("Started Checkout", "suppressed", "native_replayed") in await world.fates()


@in_world()
async def test_a_strangers_checkout_is_not_released_by_the_address_typed_into_it(world: World) -> None:
    phone = world.browser()
    await start(phone, ago=20 * MINUTE)
    await world.settle()
    assert ("Started Checkout", "waiting", "no_identity") in await world.fates()
    await give(phone, ANN)
    await world.pass_hold()
    assert world.received(STARTED) == []


@in_world()
async def test_a_pixel_that_keeps_no_cookie_is_known_by_the_checkouts_token(world: World) -> None:
    await start(world.browser())
    await world.process()
    await give(world.browser(), ANN)
    await world.pass_hold()
    assert world.received(STARTED) == []


@in_world()
async def test_what_the_theme_saw_of_the_same_checkout_is_left_to_it_too(world: World) -> None:
    phone = world.browser()
    await phone.identify(email=ANN)
    await phone.track("Checkout Started", {"products": [LAMP]}, context={"capture": ["dataLayer"]})
    await world.process()
    await start(phone, ANN)
    await world.pass_hold()
    assert world.received(STARTED) == []


@in_world()
async def test_a_webhook_with_the_address_recalls_one_without(world: World) -> None:
    """The second report is a copy of the first by its ID; who it is of, is news all the same."""
    phone = world.browser()
    await phone.identify(email=ANN)
    assert phone.handle is not None
    for changes in ({"email": None, "customer": None}, {}):
        await world.shopify("checkouts/update", shopify.with_handle(shopify.checkout(**changes), phone.handle))
        await world.process()
    await world.pass_hold()
    assert world.received(STARTED) == []


@in_world()
async def test_a_checkout_nobody_types_an_address_into_is_told_of_whom_the_relay_knows(world: World) -> None:
    """The integration never hears of it."""
    phone = world.browser()
    await phone.identify(email=ANN)
    await start(phone)
    await world.pass_hold()
    assert world.emails(STARTED) == [ANN]


@in_world()
async def test_nobody_elses_checkout_and_no_earlier_one_is_left_to_it(world: World) -> None:
    phone, laptop = world.browser(), world.browser()
    await laptop.identify(email=BOB)
    await start(laptop, token="token-of-bob")
    await phone.identify(email=ANN)
    await start(phone, token="token-of-before", ago=3 * HOUR)
    await world.process()
    await start(phone, ANN)
    await world.pass_hold()
    assert set(world.emails(STARTED)) == {ANN, BOB}
    assert len(world.received(STARTED)) == 2


@in_world(forward=Forward.ALL)
async def test_a_shop_without_the_integration_tells_of_them(world: World) -> None:
    phone = world.browser()
    await start(phone, ANN)
    await world.pass_hold()
    assert world.emails(STARTED) == [ANN]


@in_world()
async def test_another_platforms_checkout_with_an_address_is_told(world: World) -> None:
    phone = world.browser()
    await phone.track("Checkout Started", {"email": ANN, "products": [LAMP]})
    await world.pass_hold()
    assert world.emails(STARTED) == [ANN]
