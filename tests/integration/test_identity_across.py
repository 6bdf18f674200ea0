"""Persons found across browsers, and the guards against the wrong one: whole stories, from the door to Klaviyo."""

import base64
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from relay.forget import forget
from relay.identity import guards
from relay.identity.evidence import Evidence
from relay.identity.identifiers import IdentifierKind
from tests.integration.world import CART, DAY, HOUR, LAMP, MINUTE, ORDERED, Browser, World, in_world, klaviyo_script
from tests.unit.test_traces import INSTAGRAM, SAFARI

ANN, BOB, CLEO, DORA = (f"{name}@mail.com" for name in ("ann", "bob", "cleo", "dora"))
GA = {"cookies": {"_ga": "GA1.1.1234567890.1700000000"}}
CLICK = {"clickIds": {"fbclid": "IwAR0abcdefghijklmnop"}}
TOKEN = "hWN1xPt0ken"
PUBLIC = "198.41.0.4"


async def known(world: World, context: Mapping[str, Any], email: str = ANN, **headers: str) -> Browser:
    """A browser whose shopper has given an address."""
    shopper = world.browser(**headers)
    shopper.context = dict(context)
    await shopper.identify(email=email)
    await world.settle()
    return shopper


# One browser, two visitors


@pytest.mark.parametrize(
    ("context", "words"),
    [
        pytest.param(GA, "it has the analytics ID of a browser we know", id="_ga"),
        pytest.param({"cookies": {"_fbp": "fb.1.1700000000000.987654321"}}, "the analytics ID", id="_fbp"),
        pytest.param(
            {"cookies": {"_ttp": "2rqaAWvf61W3sdK4dU4SkfsymlG.tt.1"}}, "it has the analytics ID of a browser", id="_ttp"
        ),
        pytest.param({"shopify": {"clientId": "0c1d2e3f-aaaa"}}, "the shop's own ID of a browser", id="client ID"),
        pytest.param({"shopify": {"cartToken": TOKEN}}, "the shop's own ID of a browser", id="cart"),
    ],
)
@in_world()
async def test_a_browser_that_has_lost_our_cookie_is_known_by_what_the_shop_left(
    world: World, context: dict[str, Any], words: str
) -> None:
    shopper = await known(world, context)
    shopper.lose_everything()
    await world.settle(9 * DAY)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    (cart,) = world.received(CART)
    assert words in cart.properties["BackflowEvidence"]
    assert "this person gave an e-mail address" in cart.properties["BackflowEvidence"]
    assert cart.properties["BackflowConfidence"] <= 0.97


@in_world()
async def test_what_waited_is_sent_when_the_browser_turns_out_to_be_a_known_one(world: World) -> None:
    stranger = world.browser()
    await stranger.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    await known(world, GA)
    stranger.context = dict(GA)
    await stranger.post({"type": "page"})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_what_waited_is_sent_when_the_same_browser_names_its_person_later_as_another_visitor(
    world: World,
) -> None:
    before = world.browser()
    before.context = dict(GA)
    await before.add_to_cart()
    await world.settle()
    await known(world, GA)
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_an_analytics_id_in_many_jars_is_nobodys(world: World) -> None:
    await known(world, GA)
    for _ in range(5):
        copy = world.browser()
        copy.context = dict(GA)
        await copy.post({"type": "page"})
    await world.settle()
    stranger = world.browser()
    stranger.context = dict(GA)
    await stranger.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_two_known_browsers_that_share_a_value_say_nothing_of_a_third(world: World) -> None:
    await known(world, GA, ANN)
    await known(world, GA, BOB)
    third = world.browser()
    third.context = dict(GA)
    await third.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    assert ("Added to Cart", "waiting", "shared_device") in await world.fates()


@in_world()
async def test_nothing_is_found_through_two_bridges(world: World) -> None:
    await known(world, GA)
    between = world.browser()
    between.context = GA | {"shopify": {"cartToken": TOKEN}}
    await between.post({"type": "page"})
    stranger = world.browser()
    stranger.context = {"shopify": {"cartToken": TOKEN}}
    await stranger.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_signing_out_in_one_browser_holds_for_what_was_derived_from_it(world: World) -> None:
    shopper = await known(world, GA)
    await shopper.sign_out()
    other = world.browser()
    other.context = dict(GA)
    await other.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


CLIENT = {"shopify": {"clientId": "6f1d3a52-0b7c-4e0e-9d61-2f4b8a7c9e10"}}


@pytest.mark.parametrize("is_own", [False, True], ids=["derived", "logged in again"])
@pytest.mark.parametrize("context", [GA, CLIENT], ids=["_ga", "client ID"])
@in_world()
async def test_signing_out_holds_for_the_jar_that_the_browser_had_before(
    world: World, context: dict[str, Any], is_own: bool
) -> None:
    shopper = await known(world, context)
    await world.settle(HOUR)
    shopper.lose_everything()
    await shopper.add_to_cart()
    if is_own:
        await shopper.identify(email=ANN)
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    await world.settle(HOUR)
    await shopper.sign_out()
    await world.settle(HOUR)
    await shopper.add_to_cart()  # whoever is next
    await world.settle(HOUR)
    shopper.lose_everything()
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    await shopper.identify(email=BOB)
    await world.pass_hold()
    assert world.emails(CART)[1:] == [BOB], "his own visit's cart alone: of the other nobody can say whose it is"


@in_world()
async def test_what_waited_before_a_sign_out_is_not_the_next_persons(world: World) -> None:
    shopper = await known(world, GA)
    await shopper.identify(email=BOB)
    await world.settle(DAY)
    shopper.lose_everything()
    await shopper.add_to_cart()
    await world.settle()
    assert ("Added to Cart", "waiting", "shared_device") in await world.fates()
    await shopper.sign_out()
    await shopper.identify(email=CLEO)
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_signing_out_on_the_page_holds_for_the_pixel_in_the_same_browser(world: World) -> None:
    page, pixel = await known(world, CLIENT), await known(world, CLIENT)
    await world.settle(HOUR)
    await page.sign_out()
    await pixel.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    await world.settle(HOUR)
    await pixel.identify(email=BOB)
    await pixel.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART)[-1:] == [BOB], "who signs in afterwards is there"
    assert ANN not in world.emails(CART)


@in_world()
async def test_signing_out_on_one_device_leaves_the_other_that_opened_the_same_checkout_alone(world: World) -> None:
    context = {"shopify": {"checkoutToken": "checkout-token-1234567"}}
    computer, phone = await known(world, context), await known(world, context)
    await world.settle(HOUR)
    await computer.sign_out()
    await phone.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_who_signs_in_in_another_jar_after_the_sign_out_is_there(world: World) -> None:
    shopper = await known(world, CLIENT)
    await world.settle(HOUR)
    shopper.lose_everything()
    await shopper.post({"type": "page"})
    await shopper.sign_out()
    await world.settle(MINUTE)
    await known(world, CLIENT, BOB)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [BOB]


@in_world()
async def test_global_privacy_control_ties_no_browsers(world: World) -> None:
    await known(world, GA)
    private = world.browser(**{"Sec-GPC": "1"})
    private.context = dict(GA)
    await private.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    assert len(await world.rows("SELECT DISTINCT visitor_id FROM traces")) == 1


@in_world()
async def test_a_checkouts_link_that_is_passed_on_ties_nobody(world: World) -> None:
    token = {"shopify": {"checkoutToken": "640ac4541c951dfd"}}
    await known(world, token)
    await world.settle(2 * DAY)
    elsewhere, otherwise = world.browser("198.51.100.9"), world.browser(**{"User-Agent": SAFARI})
    for friend in (elsewhere, otherwise):
        friend.context = dict(token)
        await friend.add_to_cart()
        await world.pass_hold()
    assert world.received(CART) == []


@pytest.mark.parametrize("name", ["clientId", "checkoutToken", "cartToken"])
@in_world()
async def test_a_placeholder_ties_nobody(world: World, name: str) -> None:
    await known(world, {"shopify": {name: "undefined"}})
    await world.settle(HOUR)
    stranger = world.browser()
    stranger.context = {"shopify": {name: "undefined"}}
    await stranger.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    assert await world.rows("SELECT * FROM traces") == []


@in_world()
async def test_two_that_take_turns_with_a_cart_are_two_however_shortly(world: World) -> None:
    ann, bob = world.browser(), world.browser()
    ann.context = bob.context = {"shopify": {"cartToken": TOKEN}}
    for shopper in (ann, bob, ann):
        await shopper.post({"type": "page"})
        await world.settle(5 * MINUTE)
    await ann.identify(email=ANN)
    await bob.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


# From an app's browser to the device's own


@in_world()
async def test_a_click_handed_over_from_an_app_brings_its_person_along(world: World) -> None:
    await known(world, CLICK, **{"User-Agent": INSTAGRAM})
    world.clock.advance(2 * MINUTE)
    own = world.browser(**{"User-Agent": SAFARI})
    own.context = dict(CLICK)
    await own.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    (cart,) = world.received(CART)
    assert "handed over to it from an app's browser" in cart.properties["BackflowEvidence"]


@in_world()
async def test_a_click_that_goes_round_ties_nobody_any_more(world: World) -> None:
    await known(world, CLICK, **{"User-Agent": INSTAGRAM})
    friend = world.browser(**{"User-Agent": SAFARI})
    friend.context = dict(CLICK)
    await friend.post({"type": "page"})
    third = world.browser(**{"User-Agent": SAFARI})
    third.context = dict(CLICK)
    await third.post({"type": "page"})
    await friend.add_to_cart()
    await third.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_a_click_hours_later_is_a_link_that_was_passed_on(world: World) -> None:
    await known(world, CLICK, **{"User-Agent": INSTAGRAM})
    world.clock.advance(HOUR)
    friend = world.browser(**{"User-Agent": SAFARI})
    friend.context = dict(CLICK)
    await friend.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


# What the shop's server says of a cart


@in_world()
async def test_a_servers_order_names_the_browser_that_had_its_cart(world: World) -> None:
    shopper = world.browser()
    shopper.context = {"shopify": {"cartToken": TOKEN}}
    await shopper.post({"type": "page"})
    await world.settle()
    order = {"order_id": "1042", "total": 20, "currency": "EUR", "products": [LAMP], "email": ANN, "cart_token": TOKEN}
    await world.server({"type": "track", "event": "Order Completed", "properties": order})
    await world.settle(DAY)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    (cart,) = world.received(CART)
    assert "reported an order" in cart.properties["BackflowEvidence"]


@in_world()
async def test_a_servers_order_names_no_browser_that_had_its_cart_long_ago(world: World) -> None:
    shopper = world.browser()
    shopper.context = {"shopify": {"cartToken": TOKEN}}
    await shopper.post({"type": "page"})
    await world.settle(2 * HOUR)
    order = {"order_id": "1042", "total": 20, "products": [LAMP], "email": ANN, "cart_token": TOKEN}
    await world.server({"type": "track", "event": "Order Completed", "properties": order})
    await world.settle(2 * MINUTE)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


@pytest.mark.parametrize("last", ["owner", "friend"])
@in_world()
async def test_a_servers_order_names_no_browser_where_two_have_had_its_cart(world: World, last: str) -> None:
    owner, friend = world.browser(), world.browser("198.51.100.9")
    owner.context = friend.context = {"shopify": {"cartToken": TOKEN}}
    for shopper in (owner, friend, *((owner,) if last == "owner" else ())):
        await shopper.post({"type": "page"})
        await world.settle(5 * MINUTE)
    order = {"order_id": "1042", "total": 20, "products": [LAMP], "email": ANN, "cart_token": TOKEN}
    await world.server({"type": "track", "event": "Order Completed", "properties": order})
    await world.settle(DAY)
    for shopper in (owner, friend):
        shopper.context = {}
        await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    assert await world.rows("SELECT * FROM links") == []


ORDER = {
    "type": "track",
    "event": "Order Completed",
    "properties": {"order_id": "1042", "total": 20, "products": [LAMP], "email": ANN, "cart_token": TOKEN},
}


@pytest.mark.parametrize("first", ["the order", "the cart", "a page without the cart", "an old page"])
@in_world()
async def test_an_order_and_its_cart_may_be_told_in_any_order(world: World, first: str) -> None:
    shopper = world.browser()
    cart = {"type": "page", "context": {"shopify": {"cartToken": TOKEN}}}
    if first == "an old page":
        await shopper.post(cart)
        await world.settle(DAY)
    if first == "a page without the cart":
        await shopper.post({"type": "page"})
        await world.process()
    if first == "the cart":
        await shopper.post(cart)
        await world.process()
    world.clock.advance(MINUTE)
    await world.server(ORDER)
    await world.process()
    world.clock.advance(5 * MINUTE)
    if first != "the cart":
        await shopper.post(cart | {"ago": 6 * MINUTE})
        await world.process()
    (link,) = await world.rows("SELECT * FROM links")
    assert (link["evidence"], link["first_at"]) == ("order", link["last_at"])
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    assert await world.rows("SELECT * FROM cart_calls") == []


@in_world()
async def test_what_waited_in_the_browser_is_its_buyers_when_the_cart_is_told_late(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart()
    await world.settle(MINUTE)
    await world.server(ORDER)
    await world.process()
    await shopper.post({"type": "page", "ago": 2.0, "context": {"shopify": {"cartToken": TOKEN}}})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@pytest.mark.parametrize("why", ["after the order", "two had it", "erased", "long ago", "GPC"])
@in_world()
async def test_an_order_that_was_told_first_ties_no_browser_that_may_not_be_its_buyers(world: World, why: str) -> None:
    cart = {"type": "page", "context": {"shopify": {"cartToken": TOKEN}}}
    if why == "two had it":
        await world.browser(**{"User-Agent": SAFARI}).post(cart)
        await world.settle(2 * HOUR)
    ordered_at = world.clock.now()
    await world.server(ORDER)
    await world.settle(5 * MINUTE)
    if why == "erased":
        await forget(world.store, [world.site], ANN, now=world.clock.now())
    if why == "long ago":
        world.clock.advance(2 * DAY)
        await world.keep_house()
    reader = world.browser(**({"Sec-GPC": "1"} if why == "GPC" else {}))
    late = {} if why == "after the order" else {"ago": world.clock.now() - ordered_at}
    await reader.post(cart | late)
    await world.process()
    await reader.add_to_cart()
    await world.pass_hold()
    assert await world.rows("SELECT * FROM links") == []
    assert world.received(CART) == []


# Guards


@in_world()
async def test_a_kiosks_anonymous_carts_are_nobodys_even_in_the_session_of_a_sign(world: World) -> None:
    kiosk = world.browser()
    for email in (ANN, BOB, CLEO):
        await kiosk.identify(email=email)
        world.clock.advance(5 * MINUTE)
    await kiosk.add_to_cart()
    await world.settle()
    await kiosk.identify(email=DORA)
    await world.pass_hold()
    assert world.received(CART) == []
    assert ("Added to Cart", "waiting", "kiosk") in await world.fates()
    # Whoever names themselves is still served.
    await kiosk.track("Checkout Started", {"products": [LAMP], "email": DORA})
    await world.pass_hold()
    assert world.emails("Started Checkout - Backup Flow") == [DORA]


@in_world()
async def test_a_mail_that_goes_round_names_nobody_by_its_link_but_its_recipient_where_they_are_known(
    world: World,
) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    readers = [world.browser() for _ in range(guards.LINK_BROWSERS + 1)]
    for reader in readers:
        await reader.land(kx)
        await world.settle(MINUTE)
    recipient = await known(world, {})
    await recipient.land(kx)
    for reader in readers:
        await reader.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    assert {fate for fate in await world.fates() if fate[0] == "Added to Cart"} == {
        ("Added to Cart", "waiting", "forwarded_link")
    }
    await recipient.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_a_link_of_long_ago_does_not_say_whose_hands_the_browser_is_in(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    reader = world.browser()
    await reader.land(kx)
    await world.settle(guards.LINK_LIFE_SECONDS + DAY)
    await reader.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_a_shared_mailbox_is_written_to_for_the_visit_in_which_it_was_given(world: World) -> None:
    buyer = world.browser()
    await buyer.add_to_cart()
    await buyer.identify(email="office@mail.com")
    await world.pass_hold()
    assert world.emails(CART) == ["office@mail.com"]
    await world.settle(DAY)
    await buyer.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == ["office@mail.com"]
    assert ("Added to Cart", "waiting", "shared_mailbox") in await world.fates()


@in_world()
async def test_an_address_that_tries_out_identifiers_is_not_believed_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "CLAIMS_AN_ADDRESS", 20)
    for n in range(25):
        await world.browser(PUBLIC).identify(email=f"guess{n}@mail.com")
    await world.browser("192.168.0.7").identify(email=BOB)  # a proxy's own address says nothing of its shoppers
    await world.process()
    assert len(await world.rows("SELECT * FROM persons")) == 21
    assert (await world.sums())["refused_identifier claims_of_one_address"] == 5
    world.clock.advance(guards.CLAIM_WINDOW_SECONDS + 1)
    await world.browser(PUBLIC).identify(email=ANN)
    await world.process()
    assert len(await world.rows("SELECT * FROM persons")) == 22


@in_world()
async def test_an_address_that_tries_out_known_shoppers_is_not_believed_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "CLAIMS_AN_ADDRESS", 3)
    for n in range(8):
        await world.server({"type": "identify", "userId": f"c{n}", "traits": {"email": f"shopper{n}@mail.com"}})
    await world.settle(2 * HOUR)
    for n in range(8):
        browser = world.browser(PUBLIC)
        await browser.identify(email=f"shopper{n}@mail.com")
        await browser.add_to_cart()
    await world.pass_hold()
    assert len(world.emails(CART)) == 3


@in_world()
async def test_who_has_said_who_they_are_may_say_it_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "CLAIMS_AN_ADDRESS", 3)
    shopper = world.browser(PUBLIC)
    for _ in range(8):
        await shopper.identify("7", email=ANN, phone="+12025550123")
        await shopper.post({"type": "track", "event": "Song Played", "userId": "7"})
    await world.process()
    assert (await world.sums())["refused_identifier claims_of_one_address"] == 0


@pytest.mark.parametrize(
    ("last", "believed"),
    [pytest.param("2a02:908:1:2::%x", 3, id="one network"), pytest.param("2a02:908:1:%x::1", 8, id="eight networks")],
)
@in_world()
async def test_an_ipv6_address_counts_as_its_network(
    world: World, monkeypatch: pytest.MonkeyPatch, last: str, believed: int
) -> None:
    monkeypatch.setattr(guards, "CLAIMS_AN_ADDRESS", 3)
    for n in range(8):
        await world.browser(last % (n + 1)).identify(email=f"guess{n}@mail.com")
    await world.process()
    assert len(await world.rows("SELECT * FROM persons")) == believed


@in_world()
async def test_what_names_somebody_and_is_not_believed_is_nobody_elses(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shopper = world.browser(PUBLIC)
    await shopper.identify(email=ANN)
    await world.settle(HOUR / 2)
    monkeypatch.setattr(guards, "CLAIMS_AN_ADDRESS", 1)
    checkout = {"email": BOB, "products": [LAMP], "value": 20}
    await shopper.post({"type": "track", "event": "Checkout Started", "properties": checkout})
    await world.process()
    await shopper.identify(email=ANN)  # her next sign does not make it hers either
    await world.pass_hold()
    assert ("Started Checkout", "suppressed", "claim_refused") in await world.fates()
    assert world.received("Started Checkout - Backup Flow") == []


@pytest.mark.parametrize("address", ["x1y2z3@marketplace.amazon.com", "x1y2z3@members.ebay.com"])
@in_world()
async def test_the_mailbox_of_a_marketplaces_order_is_no_person(world: World, address: str) -> None:
    shopper = world.browser()
    await shopper.identify(email=address)
    await world.settle(2 * DAY)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    assert await world.rows("SELECT evidence FROM links") == [{"evidence": "mailbox"}]


@in_world()
async def test_an_examples_address_is_a_persons_wherever_one_is_tried_out(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email="me@example.com")
    await world.settle(2 * DAY)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == ["me@example.com"]


@in_world(identifier_limits={"email": 2})
async def test_a_person_gets_no_more_addresses_than_the_site_allows(world: World) -> None:
    for email in (ANN, BOB, CLEO):
        await world.server({"type": "identify", "userId": "7", "traits": {"email": email}})
    await world.process()
    held = await world.rows("SELECT count(*) AS n FROM identifiers WHERE kind = 'email' GROUP BY person_id ORDER BY n")
    assert [row["n"] for row in held] == [1, 2], "the ID of all says nothing of the third"
    assert (await world.sums())["refused_identifier limit_email"] == 1


@in_world()
async def test_at_a_till_that_sends_one_id_for_all_every_order_is_told_to_its_own_buyer(world: World) -> None:
    buyers = [f"buyer{n}@mail.com" for n in range(guards.IDENTIFIER_LIMITS[IdentifierKind.EMAIL] + 2)]
    for pause, prefix in ((60.0, "quick"), (2 * HOUR, "slow")):
        for n, buyer in enumerate(buyers):
            order = {"order_id": f"{prefix}{n}", "total": 20, "products": [LAMP], "email": buyer}
            await world.server({"type": "track", "event": "Order Completed", "userId": "till-1", "properties": order})
            await world.settle(pause)
    await world.pass_hold()
    assert Counter(world.emails(ORDERED)) == dict.fromkeys(buyers, 2)


@in_world()
async def test_a_person_whose_browsers_multiply_is_noted_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(guards.ALARM_BROWSERS + 3):
        await world.browser().identify(email=ANN)
    await world.process()
    assert (await world.sums())["noted_identifier many_browsers"] == 1
    assert [r.message for r in caplog.records if r.name == "relay.identity"] == ["a person gains browsers fast"]
    assert ANN not in caplog.text


# What is held is looked at again


@in_world()
async def test_a_cart_filled_before_somebody_else_signs_in_is_theirs(world: World) -> None:
    tablet = await known(world, {})
    await world.settle(DAY)
    await tablet.add_to_cart()
    await world.settle(MINUTE)
    await tablet.identify(email=BOB)
    await world.pass_hold()
    assert world.emails(CART) == [BOB]


@in_world()
async def test_a_cart_filled_after_somebody_has_signed_in_stays_theirs(world: World) -> None:
    laptop = await known(world, {})
    await laptop.add_to_cart()
    await world.settle(MINUTE)
    await laptop.identify(email=BOB)
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_a_cart_filled_before_somebody_has_signed_out_stays_theirs(world: World) -> None:
    tablet = await known(world, {})
    await world.settle(DAY)
    await tablet.add_to_cart()
    await tablet.sign_out()
    await world.settle(MINUTE)
    await tablet.identify(email=BOB)
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@pytest.mark.parametrize("is_kept", [True, False], ids=["Klaviyo has it", "Klaviyo has it not"])
@in_world()
async def test_a_cart_that_klaviyo_may_have_stays_whose_it_was(world: World, is_kept: bool) -> None:
    tablet = await known(world, {})
    await world.settle(DAY)
    await tablet.add_to_cart()
    await world.process()
    world.clock.advance(world.site.hold_seconds)
    await world.sandbox.script("/api/events", status=503, after_effect=is_kept)
    await world.sender.deliver_next()
    await tablet.identify(email=BOB)
    await world.settle(DAY)
    assert world.emails(CART) == [ANN], "under another person it would be there twice"


@in_world()
async def test_a_wrong_address_that_klaviyo_may_have_is_not_tried_again(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email="amn@mail.com")
    await shopper.add_to_cart()
    await world.process()
    world.clock.advance(world.site.hold_seconds)
    await world.sandbox.script("/api/events", status=503)
    await world.settle()
    await shopper.identify(email=ANN)
    await world.settle(DAY)
    assert world.received(CART) == []
    assert ("Added to Cart", "suppressed", "address_corrected") in await world.fates()


@in_world()
async def test_klaviyos_cookie_does_not_bring_back_who_has_signed_out(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    cookie = base64.b64encode(json.dumps({"cid": "Y2lk", "$exchange_id": kx}).encode()).decode()
    tablet = await known(world, {})
    await tablet.sign_out()
    tablet.context = {"cookies": {"__kla_id": cookie}}
    await tablet.add_to_cart()
    await world.settle(DAY)
    await tablet.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    tablet.context = {}
    await tablet.land(kx)
    await world.settle()
    await tablet.add_to_cart()
    await world.pass_hold()
    assert ANN in world.emails(CART), "a link that is opened is a new sign"


@in_world()
async def test_an_event_is_held_for_as_long_as_the_shopper_stays_where_klaviyos_script_runs(world: World) -> None:
    shopper = await known(world, {})
    await world.settle(DAY)
    shopper.context = klaviyo_script(identified=False)
    await shopper.add_to_cart()
    for _ in range(8):
        await world.settle(2 * MINUTE)
        await shopper.post({"type": "page"})
    assert world.received(CART) == []
    shopper.context = klaviyo_script(identified=True)
    await shopper.identify(email=ANN)
    await world.pass_hold()
    assert world.received(CART) == [], "Klaviyo replays it itself"


@in_world()
async def test_an_event_is_held_for_no_longer_than_a_session(world: World) -> None:
    shopper = await known(world, {})
    shopper.context = klaviyo_script(identified=False)
    await shopper.add_to_cart()
    for _ in range(15):
        await world.settle(2 * MINUTE)
        await shopper.post({"type": "page"})
    await world.settle()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_a_typing_error_that_is_corrected_takes_the_cart_along(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart()
    await shopper.track("Checkout Started", {"products": [LAMP], "email": "amn@mail.com"})
    await world.settle(MINUTE)
    await shopper.identify(email=ANN)
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    assert world.received("Started Checkout - Backup Flow") == []
    assert ("Started Checkout", "suppressed", "address_corrected") in await world.fates()
    await world.settle(3 * DAY)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN, ANN], "the wrong address makes no shared device"


@in_world()
async def test_a_known_persons_like_address_is_no_typing_error(world: World) -> None:
    await known(world, {}, "anna@family.com")
    await world.settle(DAY)
    laptop = world.browser()
    await laptop.track("Checkout Started", {"products": [LAMP], "email": "anna@family.com"})
    await laptop.identify(email="anne@family.com")
    await world.pass_hold()
    assert world.emails("Started Checkout - Backup Flow") == ["anna@family.com"]


@in_world()
async def test_whoever_types_an_address_outdoes_the_mails_link_they_came_by(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    friend = world.browser()
    await friend.land(kx)
    await world.settle()
    await friend.add_to_cart()
    await world.settle(MINUTE)
    await friend.identify(email=BOB)
    await world.pass_hold()
    assert world.emails(CART) == [BOB]


@in_world()
async def test_what_is_held_for_a_link_is_recalled_when_the_mail_goes_round(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    reader = world.browser()
    await reader.land(kx)
    await world.settle()
    await reader.add_to_cart()
    for _ in range(guards.LINK_BROWSERS):
        await world.browser().land(kx)
    await world.pass_hold()
    assert world.received(CART) == []
    assert ("Added to Cart", "suppressed", "forwarded_link") in await world.fates()


@in_world()
async def test_what_klaviyos_script_has_queued_is_its_own_once_it_is_told_the_address(world: World) -> None:
    seen = klaviyo_script(identified=False)["klaviyo"]
    shopper, blocked = world.browser(), world.browser()
    await blocked.add_to_cart()
    await blocked.post(
        {"type": "identify", "traits": {"email": BOB}, "context": {"capture": ["klaviyo"], "klaviyo": {"queued": 1}}}
    )
    await shopper.add_to_cart(context={"klaviyo": seen})
    told = {"capture": ["klaviyo", "forms"], "klaviyo": seen | {"queued": 1}}
    await shopper.post({"type": "identify", "traits": {"email": ANN}, "context": told})
    await world.pass_hold()
    assert world.emails(CART) == [BOB], "where the script does not run nothing is replayed"
    assert ("Added to Cart", "suppressed", "native_replayed") in await world.fates()


@in_world()
async def test_an_address_klaviyo_is_not_told_leaves_its_queue_alone(world: World) -> None:
    seen = klaviyo_script(identified=False)["klaviyo"] | {"queued": 1}
    shopper = world.browser()
    shopper.context = {"capture": ["forms"], "klaviyo": seen}
    await shopper.add_to_cart()
    await shopper.identify(email=ANN)
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_a_script_that_does_not_run_is_not_waited_for(world: World) -> None:
    shopper = world.browser()
    shopper.context = {"klaviyo": {"present": True, "identified": None, "queued": 1}}
    await shopper.add_to_cart()
    await shopper.post({"type": "identify", "traits": {"email": ANN}, "context": {"capture": ["klaviyo"]}})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_what_waits_from_after_a_sign_out_is_for_a_sign_of_its_own_visit(world: World) -> None:
    tablet = await known(world, {})
    await tablet.sign_out()
    await world.settle(HOUR)
    await tablet.add_to_cart()
    await world.settle(5 * HOUR)
    await tablet.identify(email=ANN)
    await world.pass_hold()
    assert world.received(CART) == []


# The measured wrong-person rate


@in_world()
async def test_a_strong_sign_judges_what_was_tied_before(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    right, wrong = world.browser(), world.browser()
    for reader in (right, wrong):
        await reader.land(kx)
        await world.settle()
    await right.identify(email=ANN)
    await wrong.identify(email=BOB)
    await right.track("Checkout Started", {"products": [LAMP], "email": ANN})
    await world.settle()
    labels = await world.labels()
    assert (labels["kx:right"], labels["kx:wrong"]) == (1, 1)
    await world.settle(DAY)
    await right.identify(email=ANN)
    await wrong.identify(email=CLEO)
    await world.settle()
    labels = await world.labels()
    assert (labels["form:right"], labels["form:wrong"]) == (1, 1)
    assert (labels["cookie:right"], labels["cookie:wrong"]) == (1, 1)


@in_world(min_precision=0.5)
async def test_a_class_that_is_often_wrong_is_switched_off_and_comes_back(world: World) -> None:
    await known(world, GA)

    async def label(verdict: str, n: int) -> None:
        await world.store.transact(lambda tx: tx.ledger.count("shop", "label", f"{Evidence.ANALYTICS}:{verdict}", n))

    await label("wrong", 30)
    lost = world.browser()
    lost.context = dict(GA)
    await lost.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    await label("right", 100)
    await lost.add_to_cart()
    await world.pass_hold()
    assert set(world.emails(CART)) == {ANN}


# Taken back


@in_world()
async def test_what_the_operator_has_cut_is_not_tied_again_by_the_same_link(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    reader = world.browser()
    await reader.land(kx)
    await world.settle()
    (link,) = await world.rows("SELECT * FROM links")
    cut = await world.store.transact(
        lambda tx: tx.graph.unlink("shop", link["visitor_id"], link["person_id"], None, at=world.clock.now())
    )
    assert cut == 1
    world.clock.advance(MINUTE)
    await reader.land(kx)
    await reader.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    await reader.identify(email=ANN)
    await world.pass_hold()
    assert set(world.emails(CART)) == {ANN}
