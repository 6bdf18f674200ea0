"""What is taken back is as if it had never been: for the browser, for those derived from it, and for what is unsent."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from relay import unlink
from relay.identity import guards
from relay.identity.evidence import Evidence
from relay.store.base import Transaction
from tests.integration.test_identity_across import ANN, BOB, CLEO, GA, TOKEN, known
from tests.integration.world import CART, DAY, HOUR, LAMP, MINUTE, Browser, World, in_world

Story = Callable[[World, Browser], Awaitable[None]]


async def cut(world: World, asked: object, evidence: Evidence | None = None) -> unlink.Undone:
    return await unlink.unlink(world.store, [world.site], str(asked), evidence=evidence, now=world.clock.now())


async def visitors(world: World) -> list[str]:
    """The visitors that are tied to somebody, the first one first."""
    rows = await world.rows("SELECT visitor_id v, min(first_at) FROM links GROUP BY visitor_id ORDER BY 2")
    return [row["v"] for row in rows]


async def latest(world: World, metric: str = "Added to Cart") -> Any:
    return (await world.deliveries(metric))[-1]


# As if it had never been


async def by_form(world: World, shopper: Browser) -> None:
    await shopper.identify(email=ANN)


async def by_link(world: World, shopper: Browser) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    await shopper.land(kx)


async def by_order(world: World, shopper: Browser) -> None:
    shopper.context = {"shopify": {"cartToken": TOKEN}}
    await shopper.post({"type": "page"})
    await world.settle()
    order = {"order_id": "1042", "total": 20, "products": [LAMP], "email": ANN, "cart_token": TOKEN}
    await world.server({"type": "track", "event": "Order Completed", "properties": order})


async def by_several(world: World, shopper: Browser) -> None:
    await by_link(world, shopper)
    await world.settle()
    await by_form(world, shopper)


async def nothing(world: World, shopper: Browser) -> None:
    pass


async def afterwards(world: World, shopper: Browser, other: Browser) -> list[tuple[str | None, str]]:
    """What two browsers that share an ID do later, a second person among it: whose each cart is, or why nobody's."""
    for each in (shopper, other):
        await each.add_to_cart()
        await world.settle(HOUR)
    await other.identify(email=CLEO)
    await world.settle(HOUR)
    for each in (shopper, other):
        await each.add_to_cart()
        await world.settle(HOUR)
    await shopper.identify(email=BOB)
    await shopper.add_to_cart()
    await world.pass_hold()
    found = []
    for row in await world.deliveries("Added to Cart"):
        email = None
        if row["person_id"] is not None:
            known_as = await world.rows("SELECT value FROM identifiers WHERE person_id = ?", row["person_id"])
            email = known_as[0]["value"]
        found.append((email, row["reason"]))
    return found


@pytest.mark.parametrize("story", [by_form, by_link, by_order, by_several])
def test_what_is_taken_back_is_as_if_it_had_never_been(tmp_path: Path, story: Story) -> None:
    async def told(folder: Path, story: Story) -> list[tuple[str | None, str]]:
        async with World(folder) as world:
            shopper, other = world.browser(), world.browser()
            await story(world, shopper)
            await world.settle()
            if story is not nothing:
                (visitor,) = await visitors(world)
                assert (await cut(world, visitor)).ties
            else:
                shopper.context = {"shopify": {"cartToken": TOKEN}}
                await shopper.post({"type": "page"})
                await world.settle()
            world.clock.advance(DAY)
            shopper.context = other.context = dict(GA)
            return await afterwards(world, shopper, other)

    for name in ("taken back", "never"):
        (tmp_path / name).mkdir()
    undone = asyncio.run(told(tmp_path / "taken back", story))
    never = asyncio.run(told(tmp_path / "never", nothing))
    assert undone == never
    assert ANN not in dict(undone), "nobody believes that she was here"
    assert BOB in dict(undone)


def taken_back(visitor: str, person: str, now: float, tx: Transaction) -> int:
    return tx.graph.unlink("shop", visitor, person, None, at=now)


@in_world()
async def test_who_was_taken_back_makes_no_kiosk_and_no_shared_device(world: World) -> None:
    till = world.browser()
    for email in (ANN, CLEO, BOB):
        await till.identify(email=email)
        await world.settle(MINUTE)
    await till.add_to_cart()
    await world.settle()
    assert (await latest(world))["reason"] == "kiosk"
    (visitor,) = await visitors(world)
    for email in (ANN, CLEO):
        known = await world.rows("SELECT person_id, kind, value FROM identifiers")
        (person_id,) = {row["person_id"] for row in known if row["value"] == email}
        await world.store.transact(partial(taken_back, visitor, person_id, world.clock.now()))
    await world.settle(HOUR)
    await till.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [BOB]


@in_world()
async def test_a_link_opened_by_strangers_who_were_taken_back_has_not_gone_round(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    readers = [world.browser() for _ in range(guards.LINK_BROWSERS + 1)]
    for reader in readers:
        await reader.land(kx)
        await world.settle(MINUTE)
    for stranger in (await visitors(world))[1:]:
        await cut(world, stranger)
    for reader in readers:
        await reader.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


# What has not left yet


@in_world()
async def test_what_is_held_for_a_tie_is_recalled_with_it(world: World) -> None:
    shopper = await known(world, {})
    await world.settle(DAY)
    await shopper.add_to_cart()
    await world.settle()
    undone = await cut(world, (await visitors(world))[0])
    assert (undone.recalled, undone.renamed, undone.waiting) == (1, 0, 0)
    await world.pass_hold()
    assert world.received(CART) == []
    assert ("Added to Cart", "suppressed", "unlinked") in await world.fates()


@in_world()
async def test_what_was_found_through_another_browser_is_recalled_too(world: World) -> None:
    await known(world, GA)
    await world.pass_hold()
    other = world.browser()
    other.context = dict(GA)
    await other.add_to_cart()
    await world.settle()
    assert (await latest(world))["state"] == "held"
    undone = await cut(world, (await latest(world))["delivery_id"])
    assert [evidence for _, evidence in undone.ties] == [Evidence.FORM]
    assert undone.recalled == 1
    await other.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    assert (await latest(world))["state"] == "waiting"


@in_world()
async def test_what_another_sign_still_names_is_theirs(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    shopper = world.browser()
    await shopper.land(kx)
    await world.settle()
    await shopper.identify(email=BOB)
    await world.settle(DAY)
    await shopper.add_to_cart()
    await world.settle()
    undone = await cut(world, (await latest(world))["delivery_id"])
    assert (undone.recalled, undone.renamed) == (0, 1)
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    (cart,) = world.received(CART)
    assert "Klaviyo link" in cart.properties["BackflowEvidence"]


@in_world()
async def test_one_class_of_evidence_is_taken_back_alone(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    shopper = world.browser()
    await shopper.land(kx)
    await world.settle()
    await shopper.identify(email=ANN)
    await world.settle(DAY)
    await shopper.add_to_cart()
    await world.settle()
    (visitor,) = await visitors(world)
    undone = await cut(world, visitor, Evidence.KX)
    assert (undone.recalled, undone.renamed) == (0, 0), "it rests on the form"
    assert undone.ties == [(visitor, Evidence.KX)]
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_the_browsers_own_word_is_recalled_with_the_tie_and_a_servers_stays(world: World) -> None:
    shopper = world.browser()
    await shopper.track("Checkout Started", {"products": [LAMP], "email": ANN})
    await by_order(world, shopper)
    await world.process()
    (visitor,) = await visitors(world)
    await cut(world, visitor)
    await world.pass_hold()
    assert {event.metric for event in world.received()} == {
        "Placed Order - Backup Flow",
        "Ordered Product - Backup Flow",
    }
    assert ("Started Checkout", "suppressed", "unlinked") in await world.fates()


@in_world()
async def test_what_waits_for_that_persons_address_waits_for_its_person_again(world: World) -> None:
    shopper = world.browser()
    await shopper.identify("7")
    await shopper.add_to_cart()
    await world.settle()
    assert (await latest(world))["reason"] == "identity_pending"
    undone = await cut(world, (await visitors(world))[0])
    assert undone.waiting >= 1
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.pass_hold()
    assert world.received(CART) == []
    await shopper.identify(email=BOB)
    await world.pass_hold()
    assert world.emails(CART) == [BOB]


@pytest.mark.parametrize("is_cut", [True, False])
@in_world()
async def test_what_is_under_way_is_not_tried_again(world: World, is_cut: bool) -> None:
    shopper = await known(world, {})
    await world.pass_hold()
    await shopper.add_to_cart()
    await world.process()
    world.clock.advance(world.site.hold_seconds)
    assert len(await world.store.transact(world.claim)) == 1
    if is_cut:
        assert (await cut(world, (await visitors(world))[0])).recalled == 1
    world.clock.advance(DAY)
    world.new_sender()
    await world.sender.start()
    await world.settle()
    assert world.emails(CART) == ([] if is_cut else [ANN])
    assert (("Added to Cart", "suppressed", "unlinked") in await world.fates()) is is_cut


@in_world()
async def test_what_klaviyo_may_have_got_already_is_told_of_nobody_else(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    shopper = world.browser()
    await shopper.land(kx)
    await world.settle()
    await shopper.identify(email=BOB)
    await world.pass_hold()
    await world.settle(DAY)
    await world.sandbox.script("/api/events", status=503)
    await shopper.add_to_cart()
    await world.process()
    world.clock.advance(world.site.hold_seconds)
    await world.sender.deliver_next()
    cart = await latest(world)
    assert (cart["state"], cart["attempts"]) == ("ready", 1)
    undone = await cut(world, cart["delivery_id"])
    assert (undone.recalled, undone.renamed) == (1, 0)
    await world.settle(DAY)
    assert world.received(CART) == []


@in_world()
async def test_an_opt_in_is_the_addresss_and_no_browsers(world: World) -> None:
    await world.browser().identify(email=ANN, subscribe=True)
    await world.process()
    await cut(world, (await visitors(world))[0])
    assert ("subscribe", "ready", "asked") in await world.fates()


# What comes later


@in_world()
async def test_a_new_sign_after_the_taking_back_counts(world: World) -> None:
    shopper = await known(world, {})
    await cut(world, (await visitors(world))[0])
    await world.settle(MINUTE)
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_a_sign_from_before_that_arrives_later_does_not(world: World) -> None:
    shopper = await known(world, {})
    world.clock.advance(HOUR)
    await cut(world, (await visitors(world))[0])
    await shopper.identify(email=ANN, ago=30 * MINUTE)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_taking_back_twice_takes_nothing_back_and_an_unknown_id_is_unknown(world: World) -> None:
    await known(world, {})
    (visitor,) = await visitors(world)
    await cut(world, visitor)
    again = await cut(world, visitor)
    assert (again.is_known, again.ties) == (True, [])
    assert again.in_words() == ["There was nothing to take back."]
    assert not (await cut(world, "nobody")).is_known


# Merges


async def made_one(world: World) -> Browser:
    """Bob's address is known; a browser that has logged in by an ID alone turns out, in a server's word, to be his."""
    await world.server({"type": "identify", "userId": "8", "traits": {"email": BOB}})
    stranger = world.browser()
    await stranger.identify("9")
    await world.settle()
    word = {"type": "identify", "userId": "9", "traits": {"email": BOB}, "messageId": "the-word"}
    await world.server(word)
    await world.settle(DAY)
    return stranger


async def apart(world: World, asked: object = "the-word") -> unlink.Undone:
    return await unlink.separate(world.store, [world.site], str(asked), now=world.clock.now())


@in_world()
async def test_a_merge_that_is_revoked_makes_two_persons_again(world: World) -> None:
    stranger = await made_one(world)
    await stranger.add_to_cart()
    await world.settle()
    assert (await latest(world))["state"] == "held"
    undone = await apart(world)
    assert (undone.merges, undone.recalled) == (1, 1)
    await stranger.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    assert ("Added to Cart", "suppressed", "unlinked") in await world.fates()
    assert (await latest(world))["reason"] == "identity_pending"
    await world.server({"type": "identify", "userId": "8", "traits": {"firstName": "Bob"}})
    await world.server({"type": "track", "event": "Product Added", "userId": "9", "properties": LAMP})
    await world.pass_hold()
    assert world.received(CART) == [], "the ID is the other person's again"


@pytest.mark.parametrize("asked", ["the message", "the visitor", "a delivery"])
@in_world()
async def test_a_merge_is_named_by_its_message_or_by_whom_it_made_one(world: World, asked: str) -> None:
    stranger = await made_one(world)
    await stranger.add_to_cart()
    await world.settle()
    delivery = await latest(world)
    names = {"the message": "the-word", "the visitor": delivery["visitor_id"], "a delivery": delivery["delivery_id"]}
    undone = await apart(world, names[asked])
    assert (undone.merges, undone.recalled) == (1, 1)
    assert "two again" in undone.in_words()[0]


@in_world()
async def test_only_a_word_from_after_the_revocation_unites_again(world: World) -> None:
    stranger = await made_one(world)
    await apart(world)
    word = {"type": "identify", "userId": "9", "traits": {"email": BOB}}
    await world.server(word | {"ago": HOUR})
    await stranger.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    world.clock.advance(MINUTE)
    await world.server(word)
    await world.pass_hold()
    assert world.emails(CART) == [BOB]
