"""Behaviour, whole stories: who an unknown visitor may be is recorded and measured, and nothing is sent by it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.config import Behaviour
from relay.forget import forget
from relay.identity import measure
from relay.identity.behaviour import Feature
from relay.store.sketches import Suspicion
from tests.integration.world import CART, DAY, LAMP, MINUTE, RELAY, Browser, World, in_world

ANN, BOB, CLEO = (f"{name}@mail.com" for name in ("ann", "bob", "cleo"))
HOME, ELSEWHERE = "203.0.113.7", "198.51.100.9"
CONTEXT = {"locale": "de-DE", "timezone": "Europe/Berlin", "screen": {"width": 1512, "height": 982}}
OTHER_CONTEXT = {"locale": "en-GB", "timezone": "Europe/London", "screen": {"width": 390, "height": 844}}
SOFA = {"product_id": "9", "name": "Sofa", "price": 900.0, "quantity": 1, "currency": "EUR"}

on = in_world(behaviour=Behaviour.SUSPECT)


def browser(world: World, *, ip: str = HOME, context: Mapping[str, Any] = CONTEXT, gpc: str = "0") -> Browser:
    """A fresh cookie jar on a network, in a browser with these settings."""
    shopper = world.browser(**{"Sec-GPC": gpc})
    shopper.http = httpx.AsyncClient(
        transport=httpx.ASGITransport(world.collect, client=(ip, 40000)), base_url=RELAY, headers=shopper.http.headers
    )
    world._browsers.append(shopper.http)
    shopper.context = dict(context)
    return shopper


async def look_around(shopper: Browser) -> None:
    for product in (LAMP, SOFA):
        await shopper.track("Product Viewed", product)
    await shopper.add_to_cart()


async def known(world: World, email: str = ANN, **where: Any) -> Browser:
    """A browser whose shopper has looked around and given an address."""
    shopper = browser(world, **where)
    await look_around(shopper)
    await shopper.identify(email=email)
    await world.settle()
    return shopper


async def suspicions(world: World) -> list[Suspicion]:
    return await world.store.transact(lambda tx: tx.sketches.suspicions("shop"))


async def emails(world: World, found: Suspicion) -> list[str]:
    identifiers = await world.store.transact(lambda tx: tx.graph.identifiers_of("shop", found.person_id))
    return [identifier.value for identifier in identifiers]


async def rows(world: World) -> dict[str, int]:
    """How many rows behaviour has, by table."""
    tables = ("sketches", "terms", "comparisons", "suspicions")
    return {table: len(await world.rows(f"SELECT * FROM {table}")) for table in tables}  # noqa: S608 - own names


@on
async def test_two_jars_of_one_home_are_suspected_and_nothing_is_sent(world: World) -> None:
    await known(world)
    await world.pass_hold()
    calls = len(world.sandbox.account.requests)
    second = browser(world)
    await look_around(second)
    await world.pass_hold()
    (found,) = await suspicions(world)
    assert await emails(world, found) == [ANN]
    assert found.probability > 0.9
    assert set(found.weights) >= {Feature.NETWORK, Feature.BROWSER}
    assert "was on the same network" in found.words
    assert found.verdict is None
    # Recorded, and nothing more.
    assert len(world.sandbox.account.requests) == calls
    waiting = [row for row in await world.deliveries() if row["visitor_id"] == found.visitor_id]
    assert {(row["state"], row["reason"], row["person_id"]) for row in waiting} == {("waiting", "no_identity", None)}
    assert await world.rows("SELECT * FROM links WHERE visitor_id = ?", found.visitor_id) == []
    # Nor does the person's next sign elsewhere release what waits there.
    await known(world, ip=ELSEWHERE, context=OTHER_CONTEXT)
    await world.settle(DAY)
    assert all(row["state"] == "waiting" for row in await world.deliveries() if row["visitor_id"] == found.visitor_id)


def test_what_klaviyo_is_told_is_the_same_with_it_and_without(tmp_path: Path) -> None:
    async def told(setting: Behaviour) -> tuple[list[Any], list[Any], list[Any], int]:
        folder = tmp_path / setting
        folder.mkdir()
        async with World(folder, behaviour=setting) as world:
            await known(world)
            await known(world, BOB, ip=ELSEWHERE, context=OTHER_CONTEXT)
            second = browser(world)
            for _ in range(2):
                await look_around(second)
                await world.pass_hold()
            await second.identify(email=CLEO)
            await look_around(browser(world))
            await world.settle(DAY)
            links = [row["evidence"] for row in await world.rows("SELECT evidence FROM links ORDER BY evidence")]
            found = len(await world.rows("SELECT * FROM suspicions"))
            return await world.fates(), world.emails(), links, found

    *off, none = asyncio.run(told(Behaviour.OFF))
    *suspecting, some = asyncio.run(told(Behaviour.SUSPECT))
    assert suspecting == off
    assert (none, some > 0) == (0, True)


@on
async def test_a_later_login_labels_a_suspicion_right_and_teaches_what_the_pair_had_in_common(world: World) -> None:
    await known(world)
    second = browser(world)
    await look_around(second)
    await world.settle(DAY)
    await second.identify(email=ANN)
    await world.settle()
    (found,) = await suspicions(world)
    assert found.verdict == "right"
    total, band = measure.suspected((await world.labels()).items())
    assert (total.name, total.right, total.wrong, total.precision) == ("behaviour", 1, 0, 1.0)
    assert (band.name, band.right) == ("behaviour_0.95", 1)
    model = await world.store.transact(lambda tx: tx.sketches.model("shop"))
    assert {feature: model.pairs[feature, True] for feature in Feature} == dict.fromkeys(Feature, (1, 1))
    await second.identify(email=ANN)
    await world.settle(DAY)
    await second.identify(email=BOB)
    await world.settle()
    assert (await world.labels())["behaviour_0.95:right"] == 1, "one visitor is one label"
    assert "behaviour_0.95:wrong" not in await world.labels()


@on
async def test_a_neighbours_login_labels_a_suspicion_wrong(world: World) -> None:
    await known(world)
    neighbour = browser(world)
    await look_around(neighbour)
    await world.settle(DAY)
    await neighbour.identify(email=BOB)
    await world.pass_hold()
    (found,) = await suspicions(world)
    assert (await emails(world, found), found.verdict) == ([ANN], "wrong")
    (total, *_) = measure.suspected((await world.labels()).items())
    assert (total.right, total.wrong) == (0, 1)
    assert world.emails(CART)[-1] == BOB, "what is sent follows the login"
    model = await world.store.transact(lambda tx: tx.sketches.model("shop"))
    assert model.pairs[Feature.NETWORK, False] == (1, 1), "two persons' visitors teach how common it is"


@on
async def test_a_known_person_who_was_not_suspected_counts_as_missed(world: World) -> None:
    await known(world)
    abroad = browser(world, ip=ELSEWHERE, context=OTHER_CONTEXT)
    await abroad.post({"type": "page"})
    await world.settle()
    assert await suspicions(world) == []
    await abroad.identify(email=ANN)
    await world.settle()
    assert (await world.labels())["behaviour:missed"] == 1


@on
async def test_a_household_whose_members_fit_equally_well_suspects_nobody(world: World) -> None:
    await known(world, ANN)
    await known(world, BOB)
    third = browser(world)
    await look_around(third)
    await world.settle()
    assert [found for found in await suspicions(world) if found.verdict is None] == []


@pytest.mark.parametrize("colleagues", [9, 25])
@on
async def test_an_office_of_many_suspects_nobody(world: World, colleagues: int) -> None:
    await known(world)
    for _ in range(colleagues):
        await browser(world).track("Product Viewed", LAMP)
    await world.settle()
    stranger = browser(world)
    await stranger.track("Product Viewed", LAMP)
    await world.settle()
    visitor = (await world.deliveries())[-1]["visitor_id"]
    assert [one for one in await suspicions(world) if one.visitor_id == visitor] == []


@on
async def test_a_shared_device_is_nobodys_behaviour(world: World) -> None:
    tablet = await known(world, ANN)
    await tablet.identify(email=BOB)
    await world.settle()
    await look_around(browser(world))
    await world.settle()
    assert await suspicions(world) == []


@in_world()
async def test_nothing_is_kept_unless_it_is_switched_on(world: World) -> None:
    await known(world)
    second = browser(world)
    await look_around(second)
    await second.identify(email=ANN)
    await world.settle(DAY)
    assert set((await rows(world)).values()) == {0}
    assert not [name for name in await world.labels() if name.startswith("behaviour")]


@on
async def test_no_sketch_is_made_under_global_privacy_control_and_an_earlier_one_goes(world: World) -> None:
    await known(world)
    before = await rows(world)
    private = browser(world, gpc="1")
    await look_around(private)
    await world.settle()
    assert await rows(world) == before
    second = browser(world)
    await look_around(second)
    await world.settle()
    assert len(await suspicions(world)) == 1
    second.context |= {"gpc": True}
    await second.post({"type": "page"})
    await world.settle()
    after = await rows(world)
    assert (after["suspicions"], after["sketches"]) == (0, before["sketches"])


@on
async def test_a_refusal_takes_the_sketch_and_the_suspicion_away(world: World) -> None:
    await known(world)
    before = await rows(world)
    second = browser(world)
    await look_around(second)
    await world.settle()
    assert len(await suspicions(world)) == 1
    second.context |= {"consent": {"marketing": False}}
    await look_around(second)
    await world.settle()
    after = await rows(world)
    assert (after["suspicions"], after["sketches"]) == (0, before["sketches"])


@on
async def test_a_sign_out_takes_what_was_derived_from_the_browser_along(world: World) -> None:
    first = await known(world)
    second = browser(world)
    await look_around(second)
    await world.settle()
    assert len(await suspicions(world)) == 1
    await first.sign_out()
    await world.settle()
    assert (await rows(world))["suspicions"] == 0


@on
async def test_whoever_has_signed_out_is_not_suspected_there_again(world: World) -> None:
    await known(world)
    second = browser(world)
    await second.identify(email=ANN)
    await second.sign_out()
    await look_around(second)
    await world.settle()
    assert await suspicions(world) == []
    await look_around(browser(world))
    await world.settle()
    assert len(await suspicions(world)) == 1, "elsewhere it would be"


@on
async def test_whom_the_operator_has_cut_off_is_not_suspected_there_again(world: World) -> None:
    await known(world)
    await world.settle(MINUTE)
    second = browser(world)
    await second.identify(email=ANN)
    await world.settle()
    link = (await world.rows("SELECT * FROM links ORDER BY first_at"))[-1]
    cut = await world.store.transact(
        lambda tx: tx.graph.unlink("shop", link["visitor_id"], link["person_id"], None, at=world.clock.now())
    )
    assert cut == 1
    await look_around(second)
    await world.settle()
    assert await suspicions(world) == []


@on
async def test_sketches_hold_no_value_that_could_be_read(world: World) -> None:
    await known(world)
    for table in ("sketches", "terms"):
        for row in await world.rows(f"SELECT * FROM {table}"):  # noqa: S608 - own names
            assert len(row["code"]) in (0, 8)
            assert not {"203.0.113", "Berlin", "de-DE", "Lamp"} & set(map(str, row.values()))
    assert HOME not in str(await world.rows("SELECT * FROM suspicions"))


@on
async def test_the_cart_alone_brings_two_together_and_is_not_enough(world: World) -> None:
    await known(world)
    friend = browser(world, ip=ELSEWHERE, context=OTHER_CONTEXT)
    await friend.add_to_cart()
    await world.settle(MINUTE)
    assert await suspicions(world) == []


@on
async def test_an_erasure_takes_sketches_and_suspicions_along(world: World) -> None:
    await known(world)
    await look_around(browser(world))
    await world.settle()
    assert len(await suspicions(world)) == 1
    await forget(world.store, [world.site], ANN, now=world.clock.now())
    assert await world.rows("SELECT * FROM suspicions") == []
    assert len(await world.rows("SELECT DISTINCT visitor_id FROM sketches")) == 1, "the stranger's own"
