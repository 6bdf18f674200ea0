"""Whatever goes wrong between the outbox and Klaviyo, the sums are exact: nothing lost, nothing counted twice, and not
one call more than it takes."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from relay.delivery.breaker import FAILURES, OUTAGE_FIRST
from relay.delivery.claims import FEWEST_FOR_BULK, LIVE_SECONDS
from relay.delivery.events import MOST_REFUSALS
from relay.klaviyo import client
from tests.integration.world import CART, DAY, HOUR, LAMP, MINUTE, VIEWED, Browser, World, in_world

EVENTS, BULK, PROFILES = "/api/events", "/api/event-bulk-create-jobs", "/api/profile-import"
N = FEWEST_FOR_BULK
NO_HOLD: dict[str, Any] = {"hold_seconds": 0}


async def known(world: World, address: str = "ann@mail.com") -> Browser:
    """A browser whose shopper is known, with nothing left to send."""
    shopper = world.browser()
    await shopper.identify(email=address)
    await world.settle()
    world.sandbox.account.requests.clear()
    return shopper


async def backlog(world: World, shopper: Browser, n: int = N, **properties: Any) -> None:
    """So many carts that have been due for a while."""
    batch = [{"type": "track", "event": "Product Added", "properties": LAMP | properties} for _ in range(n)]
    for start in range(0, n, 50):
        await shopper.post(*batch[start : start + 50])
    await world.process()
    world.clock.advance(LIVE_SECONDS + 1)


async def states(world: World) -> Counter[str]:
    """Where the events of the outbox stand."""
    return Counter(row["state"] for row in await world.deliveries("Added to Cart"))


def exactly_once(world: World, n: int, metric: str = CART) -> None:
    received = world.received(metric)
    assert len(received) == n
    assert len({event.unique_id for event in received}) == n


def repeats(world: World) -> int:
    return sum(event.deduplicated_repeats for event in world.received())


# A backlog goes in bulk


@in_world(**NO_HOLD)
async def test_a_backlog_goes_in_bulk_and_live_events_go_first_and_alone(world: World) -> None:
    ann, bob = await known(world), await known(world, "bob@mail.com")
    await backlog(world, ann)
    await bob.track("Product Viewed", LAMP)
    await world.settle()
    assert Counter(request.path for request in world.sandbox.account.requests) == {BULK: 1, EVENTS: 1}
    exactly_once(world, N)
    assert [event.metric for event in world.received(VIEWED)] == [VIEWED]
    assert {event.backfill for event in world.received()} == {False}, "late by a minute: flows still start"


@in_world(**NO_HOLD)
async def test_a_small_backlog_goes_one_by_one(world: World) -> None:
    shopper = await known(world)
    await backlog(world, shopper, 20)
    await world.settle()
    assert world.sandbox.calls(BULK) == []
    exactly_once(world, 20)


@in_world(**NO_HOLD)
async def test_a_backlog_of_an_outage_over_a_day_long_starts_no_flow(world: World) -> None:
    shopper = await known(world)
    await backlog(world, shopper)
    await world.settle(DAY)
    assert world.sandbox.calls(BULK) == [202]
    assert {event.backfill for event in world.received(CART)} == {True}


@in_world(**NO_HOLD)
async def test_a_poisoned_event_is_found_by_its_pointer_and_the_rest_goes_on_together(world: World) -> None:
    shopper = await known(world)
    await backlog(world, shopper)
    await shopper.track("Product Added", LAMP)
    await world.process()
    world.clock.advance(LIVE_SECONDS + 1)
    with pytest.MonkeyPatch.context() as patch:
        poison(patch, world, at={7})
        await world.settle()
    assert world.sandbox.calls(BULK) == [400, 202], "once refused, once without the one that was named"
    assert world.sandbox.calls(EVENTS) == [400], "that one is tried alone, for its own answer"
    assert await states(world) == {"delivered": N, "dead": 1}
    (dead,) = [row for row in await world.deliveries() if row["state"] == "dead"]
    assert "/data/attributes/value_currency" in dead["error"]
    exactly_once(world, N)


@in_world(**NO_HOLD)
async def test_several_poisoned_events_are_found_in_one_call(world: World) -> None:
    shopper = await known(world)
    await backlog(world, shopper, N + 3)
    with pytest.MonkeyPatch.context() as patch:
        poison(patch, world, at={0, 99, N + 2})
        await world.settle()
    assert world.sandbox.calls(BULK) == [400, 202]
    assert world.sandbox.calls(EVENTS) == [400] * 3
    assert await states(world) == {"delivered": N, "dead": 3}
    exactly_once(world, N)


@in_world(**NO_HOLD)
async def test_a_refusal_that_names_nobody_splits_the_call_into_single_events(world: World) -> None:
    shopper = await known(world)
    await backlog(world, shopper)
    await world.sandbox.script(BULK, status=400, body={"errors": [{"code": "invalid", "detail": "no"}]})
    await world.settle()
    assert world.sandbox.calls(BULK) == [400]
    assert world.sandbox.calls(EVENTS) == [202] * N
    exactly_once(world, N)
    assert repeats(world) == 0


@in_world(**NO_HOLD)
async def test_refusals_without_end_are_given_up_for_single_events(world: World) -> None:
    """Each names one event: looking for the bad ones in bulk would take a call for each."""
    shopper = await known(world)
    await backlog(world, shopper, N + 10)
    at = "/data/attributes/events-bulk-create/data/0/attributes/events/data/0/attributes/time"
    body = {"errors": [{"code": "invalid", "detail": "no", "source": {"pointer": at}}]}
    await world.sandbox.script(BULK, status=400, body=body, times=MOST_REFUSALS + 1)
    await world.settle()
    assert world.sandbox.calls(BULK) == [400] * (MOST_REFUSALS + 1)
    assert world.sandbox.calls(EVENTS) == [202] * (N + 10)
    exactly_once(world, N + 10)


@pytest.mark.parametrize("lost", [{"status": 503}, {"status": 504}, {"reset": True}], ids=["503", "504", "reset"])
@pytest.mark.parametrize("was_processed", [True, False], ids=["processed", "lost"])
@in_world(**NO_HOLD)
async def test_a_bulk_call_of_unknown_outcome_is_repeated_one_by_one(
    world: World, lost: dict[str, Any], was_processed: bool
) -> None:
    """A repeat in bulk would be refused as a whole; alone Klaviyo recognises it."""
    shopper = await known(world)
    await backlog(world, shopper)
    await world.sandbox.script(BULK, after_effect=was_processed, **lost)
    await world.settle()
    assert await states(world) == {"ready": N}
    await world.settle(5.0)
    assert len(world.sandbox.calls(BULK)) == 1
    assert world.sandbox.calls(EVENTS) == [202] * N
    exactly_once(world, N)
    assert repeats(world) == (N if was_processed else 0)
    assert {row["attempts"] for row in await world.deliveries("Added to Cart")} == {2}


@in_world(**NO_HOLD)
async def test_while_bulk_calls_must_wait_the_backlog_goes_on_one_by_one(world: World) -> None:
    shopper = await known(world)
    await backlog(world, shopper)
    await world.sandbox.script(BULK, status=429, headers={"Retry-After": "20"})
    await world.settle()
    assert world.sandbox.calls(BULK) == [429]
    assert world.sandbox.calls(EVENTS) == [202] * N
    exactly_once(world, N)
    assert repeats(world) == 0
    assert {row["attempts"] for row in await world.deliveries("Added to Cart")} == {1}


@in_world(**NO_HOLD)
async def test_after_an_outage_one_event_asks_before_the_backlog_goes(world: World) -> None:
    shopper = await known(world)
    await world.sandbox.script(EVENTS, status=503, times=FAILURES + 1)
    await backlog(world, shopper, FAILURES)
    await shopper.post(*[{"type": "track", "event": "Product Viewed", "properties": LAMP} for _ in range(FAILURES)])
    await world.settle()
    assert world.sandbox.calls(EVENTS) == [503] * FAILURES
    await backlog(world, shopper)
    assert world.sandbox.calls(BULK) == []
    await world.settle()
    assert (len(world.sandbox.calls(EVENTS)), world.sandbox.calls(BULK)) == (FAILURES + 1, [])
    await world.settle(2 * OUTAGE_FIRST)
    assert world.sandbox.calls(BULK) == [202]
    await world.settle(HOUR)
    exactly_once(world, N + FAILURES)
    exactly_once(world, FAILURES, VIEWED)


# Storms and breaks


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "headers": {"Retry-After": "3"}},
        {"status": 500},
        {"status": 503, "headers": {"Retry-After": "3"}},
        {"reset": True},
        {"status": 408},
    ],
    ids=["429", "500", "503", "reset", "408"],
)
@in_world(**NO_HOLD)
async def test_a_storm_is_met_by_one_call_at_a_time_and_ends_in_exact_sums(world: World, fault: dict[str, Any]) -> None:
    shopper = await known(world)
    storm = FAILURES + 6
    first = 1 if fault.get("status") == 429 else FAILURES
    await world.sandbox.script(EVENTS, times=storm, **fault)
    await shopper.post(*[{"type": "track", "event": "Product Added", "properties": LAMP} for _ in range(60)])
    await world.settle()
    assert len(world.sandbox.calls(EVENTS)) == first
    waited = 0.0
    while await world.sandbox.unmet():
        before = len(world.sandbox.calls(EVENTS))
        await world.settle(1.0)
        assert len(world.sandbox.calls(EVENTS)) <= before + 1
        waited += 1.0
        assert waited < HOUR
    await world.settle(MINUTE)
    await world.settle(HOUR)
    assert len(world.sandbox.calls(EVENTS)) == storm + 60, "every fault met once, every event sent once more"
    exactly_once(world, 60)
    assert await states(world) == {"delivered": 60}


@in_world(**NO_HOLD)
async def test_an_answer_that_breaks_off_in_the_middle_counts_as_none(world: World) -> None:
    shopper = await known(world)
    await world.sandbox.script(PROFILES, reset_after_bytes=40)
    await shopper.identify(email="ann@mail.com", firstName="Ann")
    await world.settle()
    await world.settle(5.0)
    assert len(world.sandbox.calls(PROFILES)) == 2
    assert {profile.first_name for profile in world.sandbox.account.profiles} == {"Ann"}


@in_world(**NO_HOLD)
async def test_an_answer_later_than_the_time_out_counts_as_none_and_its_event_once(world: World) -> None:
    shopper = await known(world)
    await world.sandbox.script(EVENTS, status=202, after_effect=True, delay_seconds=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "TIMEOUT_SECONDS", 0.05)
        world.new_sender()
        await shopper.add_to_cart()
        await world.settle()
    (row,) = await world.deliveries("Added to Cart")
    assert (row["state"], row["attempts"], row["error"]) == ("ready", 1, "ReadTimeout")
    world.new_sender()
    await world.settle(5.0)
    exactly_once(world, 1)
    assert repeats(world) == 1


@in_world(connections=4, **NO_HOLD)
async def test_a_slow_answer_holds_up_nobody_else(world: World) -> None:
    ann, bob = await known(world), await known(world, "bob@mail.com")
    await world.sandbox.script(EVENTS, delay_seconds=10.0)
    await ann.add_to_cart()
    await world.process()
    running = asyncio.create_task(world.sender.run())
    await world.clock.slept.wait()
    for _ in range(20):
        await bob.add_to_cart()
    await world.process()
    while len(world.emails(CART)) < 20:
        await world.sandbox.account.changed(10.0)
    assert world.emails(CART) == ["bob@mail.com"] * 20
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    slow = (await world.deliveries("Added to Cart"))[0]
    assert (slow["state"], slow["attempts"], slow["lease_owner"]) == ("ready", 0, None)
    assert set(await states(world)) <= {"ready", "delivered"}


@in_world(**NO_HOLD)
async def test_a_broken_endpoint_stops_only_its_own_lane(world: World) -> None:
    shopper = await known(world)
    await world.sandbox.script(PROFILES, status=500, times=100)
    for n in range(2 * FAILURES):
        await world.browser().identify(email=f"{n}@mail.com")
    await shopper.add_to_cart()
    await world.settle()
    exactly_once(world, 1)
    assert len(world.sandbox.calls(PROFILES)) <= 2 * FAILURES


@in_world(**NO_HOLD)
async def test_a_key_that_is_mended_sends_everything_with_one_question(world: World) -> None:
    shopper = await known(world)
    keys = dict(world.sandbox.account.private_keys)
    world.sandbox.account.private_keys.clear()
    await shopper.post(*[{"type": "track", "event": "Product Added", "properties": LAMP} for _ in range(30)])
    await world.settle()
    await world.settle(MINUTE)
    await world.settle(MINUTE - 1)
    world.sandbox.account.private_keys |= keys
    await world.settle(1.0)
    assert [request.status for request in world.sandbox.account.requests] == [401] * 2 + [202] * 30
    exactly_once(world, 30)
    assert {row["attempts"] for row in await world.deliveries("Added to Cart")} == {1}


@pytest.mark.parametrize(
    "jump", [-DAY, -1.0, HOUR, 40 * DAY], ids=["a day back", "a second back", "ahead", "far ahead"]
)
@in_world(**NO_HOLD)
async def test_a_clock_that_jumps_loses_and_doubles_nothing(world: World, jump: float) -> None:
    shopper = await known(world)
    await world.sandbox.script(EVENTS, status=503, times=2)
    for _ in range(5):
        await shopper.add_to_cart()
    await world.settle()
    world.clock.jump(jump)
    await world.settle()
    await shopper.add_to_cart()
    await world.settle(max(0.0, -jump) + HOUR)
    exactly_once(world, 6)
    assert len(world.sandbox.calls(EVENTS)) == 8
    assert await states(world) == {"delivered": 6}


@in_world(is_paced=True, connections=32, **NO_HOLD)
async def test_the_pace_is_kept_and_meets_no_429(world: World) -> None:
    """Klaviyo counts; more than a burst is wanted at once."""
    from e2e.servers import SandboxControl

    shopper = await known(world)
    await asyncio.to_thread(SandboxControl(world.sandbox.url).limits, enabled=True)
    await shopper.post(*[{"type": "track", "event": "Product Added", "properties": LAMP} for _ in range(100)])
    await world.settle()
    assert world.sandbox.calls(EVENTS) == [202] * 100


def poison(patch: pytest.MonkeyPatch, world: World, *, at: set[int]) -> None:
    """From here on the events that are mapped as number so and so carry a currency Klaviyo does not know."""
    from relay.klaviyo import mapping

    in_order, numbers = mapping.event_body, {}
    order: list[str] = []

    def poisoned(**fields: Any) -> dict[str, Any]:
        unique_id = fields["unique_id"]
        if unique_id not in numbers:
            numbers[unique_id] = len(order)
            order.append(unique_id)
        body: dict[str, Any] = in_order(**fields)
        if numbers[unique_id] in at:
            body["data"]["attributes"]["value_currency"] = "XYZ"
        return body

    patch.setattr(mapping, "event_body", poisoned)
