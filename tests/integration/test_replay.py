"""What is heard after a delivery has died holds when an operator puts it back: no mail goes out that must not."""

from collections.abc import Awaitable, Callable

import pytest

from relay import forget, unlink
from tests.integration.world import CART, LAMP, MINUTE, Browser, World, in_world, klaviyo_script

ANN, FIRST = "ann@shopmail.com", "ann@shopmial.com"
ORDER = {"order_id": "1", "total": 20, "email": FIRST, "products": [LAMP]}


async def orders(world: World, shopper: Browser) -> None:
    await shopper.track("Order Completed", ORDER)


async def is_known_to_klaviyo(world: World, shopper: Browser) -> None:
    await shopper.post({"type": "page", "context": klaviyo_script(identified=True)})


async def refuses(world: World, shopper: Browser) -> None:
    await shopper.post({"type": "page", "context": {"consent": {"marketing": False}}})


async def is_corrected(world: World, shopper: Browser) -> None:
    await shopper.identify(email=ANN)


async def is_unlinked(world: World, shopper: Browser) -> None:
    (row,) = await world.deliveries("Added to Cart")
    await unlink.unlink(world.store, [world.site], str(row["delivery_id"]), evidence=None, now=world.clock.now())


async def is_erased(world: World, shopper: Browser) -> None:
    await forget.forget(world.store, [world.site], FIRST, now=world.clock.now())


async def comes_back(world: World, shopper: Browser) -> None:
    await shopper.post({"type": "page"})


@pytest.mark.parametrize(
    ("happens", "sent"),
    [
        (comes_back, [False]),
        (orders, [True]),
        (is_known_to_klaviyo, [True]),
        (refuses, []),
        (is_corrected, []),
        (is_unlinked, []),
        (is_erased, []),
    ],
)
@in_world()
async def test_what_has_died_is_put_back_only_as_what_was_heard_since_allows(
    world: World, happens: Callable[[World, Browser], Awaitable[None]], sent: list[bool]
) -> None:
    """``sent``: what then goes to Klaviyo, each with whether it is only recorded and starts no flow."""
    shopper = world.browser()
    await shopper.identify(email=FIRST)
    await world.settle(MINUTE)
    await world.sandbox.script("/api/events", status=400)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert ("Added to Cart", "dead", "refused") in await world.fates()
    await happens(world, shopper)
    await world.pass_hold()
    now = world.clock.now()
    await world.store.transact(
        lambda tx: tx.dispatch.replay("shop", now=now, reason=None, metric=None, since=0.0, until=now)
    )
    await world.settle(MINUTE)
    assert [cart.backfill for cart in world.received(CART)] == sent
