"""What is heard while a delivery is under way: what Klaviyo does not take is not tried again for the wrong person."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay import forget
from relay.klaviyo.answer import Answer
from relay.model import Reason
from tests.integration.world import CART, MINUTE, Browser, World, in_world

ANN, WRONG = "ann@shopmail.com", "ann@shopmial.com"
EVENTS = "/api/events"
REFUSED = {"errors": [{"status": "400", "code": "invalid", "title": "Invalid", "detail": "no", "source": {}}]}


async def tried(world: World, status: int, hear: Callable[[], Awaitable[object]]) -> list[tuple[str, str]]:
    """Send the cart once, to be answered with ``status`` when ``hear`` has been heard; how it ends."""
    ordinary, heard = world.sender._client.create_event, False

    async def create_event(body: dict[str, Any]) -> Answer:
        nonlocal heard
        answer = await ordinary(body)
        if not heard:
            heard = True
            await hear()
            await world.process()
        return answer

    await world.process()
    world.clock.advance(world.site.hold_seconds)
    await world.sandbox.script(EVENTS, status=status)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.sender._client, "create_event", create_event)
        await world.sender.deliver_next()
    assert heard
    for _ in range(6):
        await world.settle(2 * MINUTE)
    return [(row["state"], row["reason"]) for row in await world.deliveries("Added to Cart")]


async def known_cart(world: World, email: str) -> Browser:
    shopper = world.browser()
    await shopper.identify(email=email)
    await world.pass_hold()
    await shopper.add_to_cart()
    return shopper


@pytest.mark.parametrize("status", [400, 429, 503])
@in_world()
async def test_a_cart_for_an_address_corrected_meanwhile_is_not_tried_again(world: World, status: int) -> None:
    shopper = await known_cart(world, WRONG)
    ended = await tried(world, status, lambda: shopper.identify(email=ANN))
    assert ended == [("suppressed", Reason.ADDRESS_CORRECTED)]
    assert world.received(CART) == []
    assert len(world.sandbox.calls(EVENTS)) == 1


@pytest.mark.parametrize("status", [400, 429, 503])
@in_world()
async def test_a_cart_by_a_link_gone_round_meanwhile_is_not_tried_again(world: World, status: int) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    shopper = world.browser()
    await shopper.land(kx)
    await world.settle(5)
    await shopper.add_to_cart()

    async def go_round() -> None:
        for _ in range(3):
            await world.browser().land(kx)

    assert await tried(world, status, go_round) == [("suppressed", Reason.FORWARDED_LINK)]
    assert world.received(CART) == []


@pytest.mark.parametrize("status", [400, 503])
@in_world()
async def test_what_klaviyo_refuses_of_somebody_erased_meanwhile_keeps_no_address_and_cannot_be_replayed(
    world: World, status: int
) -> None:
    await known_cart(world, ANN)
    ended = await tried(world, status, lambda: forget.forget(world.store, [world.site], ANN, now=world.clock.now()))
    assert ended == [("suppressed", Reason.FORGOTTEN)]
    (row,) = await world.deliveries("Added to Cart")
    assert (row["payload"], row["recipient"]) == (None, None)
    assert world.received(CART) == []
