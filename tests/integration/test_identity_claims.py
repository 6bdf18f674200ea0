"""What a browser says of a customer ID or a number is a claim: it is no server's word, and gives way to one."""

import httpx
import pytest

from relay import forget
from tests import shopify
from tests.integration.test_app_proxy import parameters
from tests.integration.world import CART, DAY, HOUR, LAMP, ORDERED, RELAY, Browser, World, in_world

ANN, MALLORY, MUM = "ann@mail.com", "mallory@mail.com", "mum@mail.com"
NUMBER = "+14155552671"
#: The customer whom the app proxy of the tests signs.
SIGNED = "4206822293653"


async def order(world: World, user_id: str | None = None, **properties: object) -> None:
    bought = {"order_id": "1", "total": 20, "products": [LAMP], **properties}
    named = {} if user_id is None else {"userId": user_id}
    await world.server({"type": "track", "event": "Order Completed", "properties": bought, **named})


async def track(browser: Browser, user_id: str) -> None:
    """A cart as an SDK tells it: with the ID of who is logged in, and nothing more of them."""
    await browser.post({"type": "track", "event": "Product Added", "userId": user_id, "properties": LAMP})


@pytest.mark.parametrize("server_first", [False, True])
@in_world()
async def test_who_claims_an_id_stays_who_they_are_when_the_server_names_its_owner(
    world: World, server_first: bool
) -> None:
    mallory = world.browser()
    for is_server in (server_first, not server_first):
        if is_server:
            await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
        else:
            await mallory.identify("7", email=MALLORY)
        await world.settle(HOUR)
    await mallory.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [MALLORY]
    assert len(await world.rows("SELECT DISTINCT person_id FROM identifiers")) == 2
    assert await world.rows("SELECT * FROM merges") == []
    await order(world, "7")
    await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]


@in_world()
async def test_an_order_under_a_claimed_id_waits_for_the_servers_word(world: World) -> None:
    await world.browser().identify("7", email=MALLORY)
    await world.settle(DAY)
    await order(world, "7")
    await world.pass_hold()
    assert world.received(ORDERED) == []
    assert ("Placed Order", "waiting", "identity_pending") in await world.fates()
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]


@in_world()
async def test_a_signed_customer_is_nobody_whom_a_browser_has_claimed(world: World) -> None:
    await world.browser().identify(SIGNED, email=MALLORY)
    await world.settle(DAY)
    ann = world.browser()
    await ann.post({"type": "page"})
    assert ann.handle is not None
    query = shopify.proxied(parameters(ann.handle, now=world.clock.now()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.pages), base_url=RELAY) as http:
        assert (await http.get(f"/apps/backflow?{query}")).status_code == 200
    await ann.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    await world.server({"type": "identify", "userId": SIGNED, "traits": {"email": ANN}})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_forgetting_a_claimant_leaves_the_owner(world: World) -> None:
    await world.browser().identify("7", email=MALLORY, phone=NUMBER)
    await world.settle(HOUR)
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN, "phone": NUMBER}})
    await world.settle(HOUR)
    await forget.forget(world.store, [world.site], MALLORY, now=world.clock.now())
    asked = [row["payload"] for row in await world.rows("SELECT payload FROM deliveries WHERE kind = 'deletion'")]
    assert asked == [MALLORY]
    left = await world.rows("SELECT value FROM identifiers ORDER BY kind")
    assert [row["value"] for row in left] == ["7", ANN, NUMBER]


@in_world()
async def test_whom_a_logged_in_shopper_signs_up_is_not_the_customer(world: World) -> None:
    shared = world.browser()
    await shared.identify("7", email=MUM)
    await world.settle(DAY)
    await order(world, "7", email=ANN)
    await world.settle(DAY)
    mums = world.browser()
    await mums.identify(email=MUM)
    await world.settle(HOUR)
    await mums.add_to_cart()
    await world.pass_hold()
    assert (world.emails(CART), world.emails(ORDERED)) == ([MUM], [ANN])


@in_world()
async def test_a_claimed_number_is_whose_the_server_says_it_is(world: World) -> None:
    mallory = world.browser()
    await mallory.identify(email=MALLORY, phone=NUMBER)
    await mallory.add_to_cart()
    await world.settle(DAY)
    assert [world.profile_of(cart).phone_number for cart in world.received(CART)] == [NUMBER], (
        "until somebody says more"
    )
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN, "phone": NUMBER}})
    await world.settle(DAY)
    await order(world, phone=NUMBER)
    await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]
    await mallory.add_to_cart()
    await world.pass_hold()
    # What was told before is with whom Klaviyo itself takes the number's for: two with one number are one to it.
    assert world.emails(CART)[-1] == MALLORY


@in_world()
async def test_in_the_browser_that_gave_both_the_id_means_who_gave_the_address(world: World) -> None:
    shopper, stranger = world.browser(), world.browser()
    await track(shopper, "7")
    await world.settle(HOUR)
    assert world.received(CART) == []
    await shopper.identify("7", email=ANN)
    await world.pass_hold()
    assert world.emails(CART) == [ANN], "also what was done under the ID before"
    await world.settle(DAY)
    await track(shopper, "7")
    await track(stranger, "7")
    await world.pass_hold()
    assert world.emails(CART) == [ANN, ANN], "the stranger's waits"
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.pass_hold()
    assert world.emails(CART) == [ANN, ANN, ANN]


@pytest.mark.parametrize("claim_first", [False, True])
@in_world()
async def test_what_another_browser_claims_does_not_say_who_an_id_means_here(world: World, claim_first: bool) -> None:
    shared, elsewhere = world.browser(), world.browser()
    await shared.identify(email=MUM)
    if claim_first:
        await elsewhere.identify("7", email=MUM)
    await world.settle(DAY)
    await track(shared, "7")  # Ann has logged in where Mum has once left her address
    await world.settle(HOUR)
    if not claim_first:
        await elsewhere.identify("7", email=MUM)
    await world.pass_hold()
    assert world.received(CART) == []
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_an_id_with_two_addresses_in_one_browser_is_neithers(world: World) -> None:
    shared = world.browser()
    await shared.identify("7", email=ANN)
    await world.settle(DAY)
    await shared.identify("7", email=MUM)
    await world.settle(DAY)
    await track(shared, "7")
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_the_servers_word_goes_before_the_claim_in_the_same_browser(world: World) -> None:
    shared = world.browser()
    await shared.identify("7", email=MUM)
    await world.settle(DAY)
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await track(shared, "7")
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_after_signing_out_the_id_still_means_the_same_in_its_browser(world: World) -> None:
    shopper = world.browser()
    await shopper.identify("7", email=ANN)
    await shopper.sign_out()
    await world.settle(DAY)
    await shopper.add_to_cart()  # before the login: nobody's until then
    await world.settle(60)
    await track(shopper, "7")
    await world.pass_hold()
    assert world.emails(CART) == [ANN, ANN]
