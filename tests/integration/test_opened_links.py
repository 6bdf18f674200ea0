"""A faithful subscriber opens many messages, each with an exchange ID of its own: they stay one person, with one tie a
browser, and as much work as before."""

from functools import partial

from relay import export, forget, unlink
from relay.identity import guards
from relay.identity.evidence import Evidence
from relay.web.console import why
from tests.integration.test_identity_across import ANN, BOB
from tests.integration.world import CART, DAY, HOUR, MINUTE, VIEWED, Browser, World, in_world, klaviyo_script


async def opens(world: World, browser: Browser, email: str = ANN) -> str:
    """The shopper opens a message, and Klaviyo says whose it is; its exchange ID."""
    _, kx = await world.sandbox.profile(email=email)
    await browser.land(kx)
    await world.settle(HOUR)
    return kx


async def held(world: World, table: str) -> int:
    (row,) = await world.rows(f"SELECT count(*) AS n FROM {table}")  # noqa: S608 - the tests' own names
    n: int = row["n"]
    return n


@in_world()
async def test_however_many_messages_a_subscriber_opens_they_are_one_person_with_one_tie(world: World) -> None:
    reader = world.browser()
    for _ in range(8):
        await opens(world, reader)
    assert [await held(world, table) for table in ("persons", "links")] == [1, 1]
    await reader.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN], "eight messages in one browser have not gone round"


@in_world()
async def test_a_subscriber_known_by_address_before_is_still_one_person(world: World) -> None:
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    reader, other = world.browser(), world.browser()
    for browser in (reader, other, reader):
        await opens(world, browser)
    assert [await held(world, table) for table in ("persons", "links")] == [1, 2]
    await other.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world(identifier_limits={"kx": 2})
async def test_the_oldest_exchange_id_gives_way_and_is_asked_for_anew_when_it_comes_back(world: World) -> None:
    reader = world.browser()
    first = await opens(world, reader)
    for _ in range(3):
        await opens(world, reader)
    assert await held(world, "identifiers WHERE kind = 'kx'") == 2
    assert (await world.sums())["refused_identifier limit_kx"] == 2
    other = world.browser()
    await other.land(first)
    await world.settle(MINUTE)
    await other.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    assert [await held(world, table) for table in ("persons", "links")] == [1, 2]


@in_world()
async def test_two_recipients_in_one_browser_stay_two(world: World) -> None:
    family = world.browser()
    for email in (ANN, BOB, ANN, BOB):
        await opens(world, family, email)
    assert [await held(world, table) for table in ("persons", "links")] == [2, 2]
    await family.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


@in_world()
async def test_what_was_done_before_klaviyo_says_whose_the_link_is_is_theirs(world: World) -> None:
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.process()
    _, kx = await world.sandbox.profile(email=ANN)
    reader = world.browser()
    await reader.land(kx)
    await reader.add_to_cart()
    await world.process()
    (waiting,) = await world.deliveries("Added to Cart")
    assert (waiting["state"], waiting["reason"]) == ("waiting", "identity_pending")
    await world.settle(MINUTE)
    (held_now,) = await world.deliveries("Added to Cart")
    assert held_now["person_id"] != waiting["person_id"]
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    assert await held(world, "persons") == 1


@in_world()
async def test_what_rests_on_opened_links_is_taken_back_and_stays_so_until_another_is_opened(world: World) -> None:
    reader = world.browser()
    for _ in range(3):
        kx = await opens(world, reader)
    await reader.add_to_cart()
    await world.process()
    (delivery,) = await world.deliveries("Added to Cart")
    undone = await unlink.unlink(
        world.store, [world.site], str(delivery["delivery_id"]), evidence=None, now=world.clock.now()
    )
    assert (undone.ties, undone.recalled) == ([(delivery["visitor_id"], Evidence.KX)], 1)
    world.clock.advance(MINUTE)
    await reader.land(kx)  # a browser repeats it with every page
    await reader.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    await opens(world, reader)
    await reader.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART)[-1:] == [ANN]


@in_world()
async def test_what_was_filed_under_an_unnamed_link_is_exported_explained_and_erased(world: World) -> None:
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.process()
    _, kx = await world.sandbox.profile(email=ANN)
    reader = world.browser()
    reader.context = klaviyo_script(identified=True)
    await reader.land(kx)
    await reader.track("Product Viewed", {"product_id": "7", "name": "Lamp", "price": 20.0, "currency": "EUR"})
    await world.settle(MINUTE)
    (native,) = await world.deliveries("Viewed Product")
    assert (native["state"], native["reason"]) == ("suppressed", "native")
    assert world.received(VIEWED) == []
    explain = partial(why.explain, site=world.site, asked=str(native["delivery_id"]), now=world.clock.now())
    (explanation,) = await world.store.read(explain)
    ties = [step.text.partition(",")[0] for step in explanation.steps if step.kind == "tie"]
    assert ties == ["This browser is tied to a***@mail.com by a link in a Klaviyo message"]
    assert not [step for step in explanation.steps if step.kind == "merge"]
    document = await export.export(world.store, [world.site], ANN, now=world.clock.now())
    told = document["sites"]["shop"]
    assert native["delivery_id"] in [each["delivery_id"] for each in told["deliveries"]]
    (folded,) = [each for each in told["merges"] if each["folded_at"] is not None]
    assert folded["source_id"] == native["person_id"]
    await forget.forget(world.store, [world.site], ANN, now=world.clock.now())
    for table in ("persons", "merges", "links", "identifiers"):
        assert await held(world, table) == 0, table


# The growth of a person


@in_world()
async def test_browsers_that_come_by_one_leaked_link_are_noted_once(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    for _ in range(guards.ALARM_BROWSERS + 5):
        await world.browser().land(kx)
    await world.settle()
    assert (await world.sums())["noted_identifier many_browsers"] == 1


@in_world()
async def test_whatever_the_number_is_passed_by_it_is_noted_once(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    await world.browser().land(kx)
    await world.settle()
    for _ in range(guards.ALARM_BROWSERS - 2):
        await world.browser().identify(email=ANN)
    await world.process()
    assert (await world.sums())["noted_identifier many_browsers"] == 0
    await world.browser().land(kx)
    await world.process()
    assert (await world.sums())["noted_identifier many_browsers"] == 1
    for _ in range(5):
        await world.browser().identify(email=ANN)
        await world.browser().land(kx)
    await world.process()
    assert (await world.sums())["noted_identifier many_browsers"] == 1


@in_world()
async def test_two_who_turn_out_to_be_one_are_noted_when_they_have_many_browsers_together(world: World) -> None:
    await world.server({"type": "identify", "userId": "8", "traits": {"email": ANN}})
    for _ in range(guards.ALARM_BROWSERS // 2):
        await world.browser().identify("9")
        await world.browser().identify(email=ANN)
    await world.process()
    assert (await world.sums())["noted_identifier many_browsers"] == 0
    await world.server({"type": "identify", "userId": "9", "traits": {"email": ANN}})
    await world.process()
    assert (await world.sums())["noted_identifier many_browsers"] == 1


@in_world()
async def test_a_person_who_gains_a_browser_now_and_then_is_not_noted(world: World) -> None:
    for _ in range(guards.ALARM_BROWSERS + 5):
        await world.browser().identify(email=ANN)
        await world.settle(DAY)
    assert (await world.sums())["noted_identifier many_browsers"] == 0
