"""From the outbox to Klaviyo, whatever Klaviyo answers: nothing lost, nothing counted twice, no needless call."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Route

from relay.delivery import worker
from relay.delivery.breaker import FAILURES, OUTAGE_FIRST
from relay.delivery.claims import LEASE_SECONDS
from relay.delivery.states import State
from relay.errors import StoreUnavailable
from relay.klaviyo import mapping, response
from relay.klaviyo.answer import Answer
from relay.web.ops import Ops
from tests.integration.world import CART, DAY, HOUR, LAMP, MINUTE, VIEWED, Browser, World, in_world

ANN, BOB = "ann@mail.com", "bob@mail.com"
EVENTS, PROFILES, LOOKUPS = "/api/events", "/api/profile-import", "/api/profiles"

NO_HOLD: dict[str, Any] = {"hold_seconds": 0}


async def known(world: World, address: str = ANN) -> Browser:
    """A browser whose shopper is known, with nothing left to send."""
    shopper = world.browser()
    await shopper.identify(email=address)
    await world.settle()
    world.sandbox.account.requests.clear()
    return shopper


async def cart(world: World) -> dict[str, Any]:
    """The one cart in the outbox."""
    (row,) = await world.deliveries("Added to Cart")
    return row


# Klaviyo asks for patience


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        pytest.param({"headers": {"Retry-After": "17"}}, 17.0, id="header"),
        pytest.param(
            {"body": {"errors": [{"detail": "Request was throttled. Expected available in 9 seconds."}]}},
            9.0,
            id="text",
        ),
        pytest.param(
            {"body": {"errors": [{"detail": "Expected available in 1 second."}]}, "headers": {"Retry-After": "soon"}},
            1.0,
            id="text beside a header that is no number",
        ),
        pytest.param({"headers": {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}}, 1.0, id="a date gone by"),
        pytest.param({"headers": {"Retry-After": "21 Oct 2026 07:28:00"}, "body": {}}, 60.0, id="a date of no zone"),
        pytest.param({"headers": {"Retry-After": "inf"}, "body": {}}, 60.0, id="not a finite number"),
        pytest.param({"headers": {"Retry-After": "-5"}}, 0.0, id="below zero"),
        pytest.param({"body": "slow down"}, 60.0, id="not a document of Klaviyo's"),
    ],
)
@in_world(**NO_HOLD)
async def test_too_many_requests_costs_no_attempt_and_waits_as_told(
    world: World, answer: dict[str, Any], wait: float
) -> None:
    shopper = await known(world)
    await world.sandbox.script(EVENTS, status=429, **answer)
    await shopper.add_to_cart()
    await world.process()
    await world.sender.deliver_next()
    row = await cart(world)
    assert (row["state"], row["attempts"], row["status"]) == ("ready", 0, 429)
    assert row["due_at"] == world.clock.now() + wait
    if wait:
        await world.settle(wait - 0.5)
        assert world.sandbox.calls(EVENTS) == [429]
    await world.settle(0.5)
    assert world.emails(CART) == [ANN]
    assert (await cart(world))["attempts"] == 1


@pytest.mark.parametrize(
    ("headers", "detail", "seconds"),
    [
        pytest.param({"Retry-After": "2.5"}, "", 2.5, id="seconds"),
        pytest.param(
            {"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            "",
            30.0,
            id="date",
        ),
        pytest.param(
            {"Retry-After": "Wed, 21 Oct 2026 07:28:30 -0000", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            "available in 4 seconds",
            4.0,
            id="a date whose zone is unknown",
        ),
        pytest.param({"Retry-After": "nan"}, "", None, id="not a number"),
        pytest.param({}, "Expected available in 31 seconds.", 31.0, id="in words"),
        pytest.param({}, "Come back later.", None, id="not told"),
    ],
)
def test_how_long_klaviyo_asks_to_wait(headers: dict[str, str], detail: str, seconds: float | None) -> None:
    assert response.retry_after(httpx.Response(429, headers=headers), detail) == seconds


@in_world(**NO_HOLD)
async def test_a_flood_of_refusals_loses_nothing_doubles_nothing_and_is_met_by_one_call_at_a_time(world: World) -> None:
    shopper = await known(world)
    await world.sandbox.script(EVENTS, status=429, times=15, headers={"Retry-After": "1"})
    await shopper.post(*[{"type": "track", "event": "Product Added", "properties": LAMP} for _ in range(80)])
    await world.settle()
    for n in range(1, 15):
        assert world.sandbox.calls(EVENTS) == [429] * n
        await world.settle(0.5)
        await world.settle(0.5)
    await world.settle(1.0)
    assert world.sandbox.calls(EVENTS) == [429] * 15 + [202] * 80
    assert len(world.received(CART)) == 80
    assert {event.deduplicated_repeats for event in world.received(CART)} == {0}
    assert {row["attempts"] for row in await world.deliveries("Added to Cart")} == {1}


# Klaviyo is not well


@in_world(**NO_HOLD)
async def test_retries_wait_longer_each_time(world: World) -> None:
    shopper = await known(world)
    await world.sandbox.script(EVENTS, status=503, times=4)
    await shopper.add_to_cart()
    await world.process()
    for attempt, ceiling in enumerate([5.0, 10.0, 20.0, 40.0], start=1):
        await world.deliver()
        row = await cart(world)
        # The clock's chance is one half.
        assert (row["state"], row["attempts"], row["due_at"]) == ("ready", attempt, world.clock.now() + ceiling / 2)
        await world.settle(ceiling / 2 - 0.25)
        assert world.sandbox.calls(EVENTS) == [503] * attempt
        world.clock.advance(0.25)
    await world.settle()
    assert world.emails(CART) == [ANN]


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 529])
@in_world(**NO_HOLD)
async def test_a_fault_of_klaviyos_is_retried(world: World, status: int) -> None:
    shopper = await known(world)
    await world.sandbox.script(EVENTS, status=status)
    await shopper.add_to_cart()
    await world.settle()
    assert (await cart(world))["state"] == "ready"
    await world.settle(5.0)
    assert world.emails(CART) == [ANN]


@in_world(**NO_HOLD)
async def test_a_connection_that_breaks_is_retried(world: World) -> None:
    shopper = await known(world)
    await world.sandbox.script(EVENTS, reset=True)
    await shopper.add_to_cart()
    await world.settle()
    row = await cart(world)
    assert (row["state"], row["status"], row["attempts"]) == ("ready", None, 1)
    assert row["error"] in {"RemoteProtocolError", "ReadError"}
    await world.settle(5.0)
    assert world.emails(CART) == [ANN]


@pytest.mark.parametrize("lost", [{"reset": True}, {"status": 503}, {"status": 504}], ids=["reset", "503", "504"])
@in_world(**NO_HOLD)
async def test_an_event_whose_answer_got_lost_counts_once(world: World, lost: dict[str, Any]) -> None:
    shopper = await known(world)
    await world.sandbox.script(EVENTS, after_effect=True, times=2, **lost)
    await shopper.add_to_cart()
    await world.settle()
    await world.settle(5.0)
    await world.settle(10.0)
    assert await world.sandbox.unmet() == []
    (event,) = world.received(CART)
    assert event.deduplicated_repeats == 2
    assert (await cart(world))["state"] == "delivered"


@in_world(**NO_HOLD)
async def test_a_delivery_is_given_up_after_three_days_and_can_be_put_back(world: World) -> None:
    shopper = await known(world)
    await world.sandbox.script(EVENTS, status=500, times=12)
    await shopper.add_to_cart()
    await world.settle()
    begun = world.clock.now()
    for _ in range(10):
        await world.settle((await cart(world))["due_at"] - world.clock.now())
    assert ((await cart(world))["state"], (await cart(world))["attempts"]) == ("ready", 11)
    await world.settle(begun + 72 * HOUR - world.clock.now() - 1.0)
    assert ((await cart(world))["state"], (await cart(world))["reason"]) == ("dead", "retries_exhausted")
    await world.settle(DAY)
    assert world.sandbox.calls(EVENTS) == [500] * 12
    now = world.clock.now()
    put_back = await world.store.transact(
        lambda tx: tx.dispatch.replay("shop", now=now, reason=None, metric=None, since=0, until=now)
    )
    await world.settle()
    assert put_back == 1
    assert [event.backfill for event in world.received(CART)] == [True]  # three days old: it starts no flow


@in_world(**NO_HOLD)
async def test_days_of_pause_do_not_use_up_the_tries(world: World) -> None:
    shopper = await known(world)
    await world.sandbox.script(EVENTS, status=401)
    await shopper.add_to_cart()
    await world.settle()
    await world.sandbox.script(EVENTS, status=503, times=2)
    await world.settle(4 * DAY)
    assert ((await cart(world))["state"], (await cart(world))["attempts"]) == ("ready", 1)
    await world.settle(5.0)
    assert ((await cart(world))["state"], (await cart(world))["attempts"]) == ("ready", 2)
    await world.settle(10.0)
    assert len(world.received(CART)) == 1


@in_world(**NO_HOLD)
async def test_while_klaviyo_is_down_one_call_at_a_time_asks_how_it_is(world: World) -> None:
    shopper = await known(world)
    await world.sandbox.script(EVENTS, status=500, times=FAILURES + 3)
    await shopper.post(*[{"type": "track", "event": "Product Added", "properties": LAMP} for _ in range(80)])
    await world.settle()
    assert world.sandbox.calls(EVENTS) == [500] * FAILURES
    for n, pause in enumerate([OUTAGE_FIRST, 2 * OUTAGE_FIRST, 4 * OUTAGE_FIRST], start=1):
        await world.settle(pause - 0.5)
        assert len(world.sandbox.calls(EVENTS)) == FAILURES + n - 1
        await world.settle(0.5)
        assert world.sandbox.calls(EVENTS) == [500] * (FAILURES + n)
    await world.settle(8 * OUTAGE_FIRST)
    assert len(world.received(CART)) == 80
    assert sum(row["attempts"] for row in await world.deliveries("Added to Cart")) == 80 + FAILURES + 3


# Klaviyo refuses


@pytest.mark.parametrize("status", [400, 404, 409, 410, 413, 415, 422])
@in_world(**NO_HOLD)
async def test_a_final_refusal_is_dead_with_its_reason_and_takes_nobody_along(world: World, status: int) -> None:
    shopper = await known(world)
    body = {"errors": [{"code": "invalid", "detail": f"{ANN} is odd", "source": {"pointer": "/data/attributes/time"}}]}
    await world.sandbox.script(EVENTS, status=status, body=body)
    await shopper.add_to_cart()
    await shopper.track("Product Viewed", LAMP)
    await world.settle()
    await world.settle(DAY)
    rows = [row for row in await world.deliveries() if row["kind"] == "event"]
    assert sorted((row["state"], row["reason"]) for row in rows) == [
        ("dead", "refused"),
        ("delivered", "klaviyo_absent"),
    ]
    (dead,) = [row for row in rows if row["state"] == "dead"]
    assert (dead["status"], dead["error"]) == (status, "invalid /data/attributes/time")
    assert len(world.sandbox.calls(EVENTS)) == 2


@in_world(**NO_HOLD)
async def test_a_redirect_is_not_followed(world: World) -> None:
    shopper = await known(world)
    await world.sandbox.script(EVENTS, status=307, headers={"Location": "/api/profile-import"})
    await shopper.add_to_cart()
    await world.settle()
    assert ((await cart(world))["state"], (await cart(world))["reason"]) == ("dead", "refused")
    assert world.sandbox.calls(PROFILES) == []


@in_world(**NO_HOLD)
async def test_a_refused_key_stops_every_call_and_loses_nothing(world: World) -> None:
    shopper = await known(world)
    keys = dict(world.sandbox.account.private_keys)
    world.sandbox.account.private_keys.clear()
    await shopper.add_to_cart()
    await world.settle()
    assert world.sandbox.calls(EVENTS) == [401]
    await shopper.identify(firstName="Ann")
    await shopper.track("Product Viewed", LAMP)
    await shopper.identify(email=ANN, lastName="Lee")
    await world.settle(59.0)
    assert len(world.sandbox.account.requests) == 1
    (pause,) = await world.rows("SELECT scope, paused_until, since FROM destinations")
    assert (pause["scope"], pause["paused_until"] - pause["since"]) == ("everything", 60.0)
    assert (await cart(world))["attempts"] == 0
    world.sandbox.account.private_keys |= keys
    await world.settle(1.0)
    assert world.emails() == [ANN, ANN]
    assert await world.rows("SELECT * FROM destinations") == []


@in_world(**NO_HOLD)
async def test_after_a_pause_one_call_asks_first(world: World) -> None:
    shopper = await known(world)
    keys = dict(world.sandbox.account.private_keys)
    world.sandbox.account.private_keys.clear()
    await shopper.add_to_cart()
    await world.settle()
    await shopper.post(*[{"type": "track", "event": "Product Added", "properties": LAMP} for _ in range(10)])
    await world.process()
    for _ in range(3):
        world.clock.advance(60.0)
        assert await world.sender.deliver_next() == 1
        assert await world.sender.deliver_next() == 0
    world.sandbox.account.private_keys |= keys
    world.clock.advance(60.0)
    assert [await world.sender.deliver_next() for _ in range(3)] == [1, 10, 0]
    assert world.sandbox.calls(EVENTS) == [401] * 4 + [202] * 11


@in_world(**NO_HOLD)
async def test_a_missing_scope_stops_only_its_own_kind(world: World) -> None:
    shopper = await known(world)
    world.sandbox.without("profiles:write")
    await shopper.identify(email=ANN, firstName="Ann")
    await world.settle()
    assert world.sandbox.calls(PROFILES) == [403]
    (pause,) = await world.rows("SELECT scope, reason FROM destinations")
    assert pause["scope"] == "profile"
    assert "profiles:write" in pause["reason"]
    await shopper.post(*[{"type": "track", "event": "Product Added", "properties": LAMP} for _ in range(10)])
    await world.process()
    # At full speed, however long the scope is missing.
    assert await world.sender.deliver_next() == 10
    world.clock.advance(MINUTE)
    await shopper.post(*[{"type": "track", "event": "Product Added", "properties": LAMP} for _ in range(10)])
    await world.process()
    assert await world.sender.deliver_next() == 11
    assert world.sandbox.calls(PROFILES) == [403, 403]
    assert len(world.received(CART)) == 20
    world.sandbox.account.restore_scopes()
    await world.settle(MINUTE)
    assert {profile.first_name for profile in world.sandbox.account.profiles} == {"Ann"}


@in_world(**NO_HOLD)
async def test_a_restart_asks_klaviyo_afresh(world: World) -> None:
    shopper = await known(world)
    keys = dict(world.sandbox.account.private_keys)
    world.sandbox.account.private_keys.clear()
    await shopper.add_to_cart()
    await world.settle()
    world.sandbox.account.private_keys |= keys
    assert await world.deliver() == 0
    await world.new_sender().start()
    await world.deliver()
    assert world.emails(CART) == [ANN]


@in_world(**NO_HOLD)
async def test_what_was_paused_for_days_starts_no_flow(world: World) -> None:
    shopper = await known(world)
    keys = dict(world.sandbox.account.private_keys)
    world.sandbox.account.private_keys.clear()
    await shopper.add_to_cart()
    await world.settle()
    world.sandbox.account.private_keys |= keys
    await world.settle(3 * DAY)
    (event,) = world.received(CART)
    assert (event.backfill, event.time) == (True, world.clock.now() - 3 * DAY)


@in_world(klaviyo_api_key=None, **NO_HOLD)
async def test_without_a_key_nothing_is_sent_and_nothing_is_lost(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    await world.settle(DAY)
    assert list(world.sandbox.account.requests) == []
    assert {fate[1] for fate in await world.fates()} == {"ready"}


# Retries name the same thing


@in_world(**NO_HOLD)
async def test_a_retry_names_the_profile_of_the_first_try_though_the_address_has_changed(world: World) -> None:
    shopper = world.browser()
    await world.server({"type": "identify", "userId": "customer-1", "traits": {"email": ANN}})
    await shopper.identify("customer-1", email=ANN)
    await world.settle()
    await world.sandbox.script(EVENTS, status=503, after_effect=True)
    await shopper.add_to_cart()
    await world.settle()
    assert json.loads((await cart(world))["recipient"])["email"] == ANN
    await world.server({"type": "identify", "userId": "customer-1", "traits": {"email": "ann.new@mail.com"}})
    await world.settle(5.0)
    assert (await cart(world))["state"] == "delivered"
    # The same profile, metric and unique_id again: Klaviyo knows it for a repeat.
    assert [(world.profile_of(event).email, event.deduplicated_repeats) for event in world.received(CART)] == [(ANN, 1)]
    await shopper.add_to_cart()
    await world.settle()
    assert world.emails(CART) == [ANN, "ann.new@mail.com"]


@in_world(**NO_HOLD)
async def test_who_has_lost_every_address_is_sent_nothing(world: World) -> None:
    shopper = world.browser()
    await shopper.identify("customer-1", email=ANN)
    await world.settle()
    await shopper.add_to_cart()
    await world.process()
    await world.store.transact(lambda tx: tx.connection.execute("DELETE FROM identifiers"))
    await world.settle()
    assert ((await cart(world))["state"], (await cart(world))["reason"]) == ("suppressed", "unsendable")
    assert world.received() == []


# Faults of ours


@in_world(**NO_HOLD)
async def test_an_event_that_cannot_be_mapped_is_dead_alone(world: World) -> None:
    shopper = await known(world)
    await shopper.add_to_cart()
    await shopper.track("Product Viewed", LAMP)
    await world.process()
    in_order = mapping.event_body

    def faulty(**fields: Any) -> dict[str, Any]:
        if fields["action"].key == "added_to_cart":
            raise KeyError(ANN)
        return in_order(**fields)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapping, "event_body", faulty)
        await world.settle()
    row = await cart(world)
    assert (row["state"], row["reason"], row["error"]) == ("dead", "refused", "mapping_failed")
    assert world.emails() == [ANN]
    assert len(world.sandbox.calls(EVENTS)) == 1
    now = world.clock.now()
    await world.store.transact(
        lambda tx: tx.dispatch.replay("shop", now=now, reason="refused", metric="Added to Cart", since=0, until=now)
    )
    await world.settle()
    assert world.emails(CART) == [ANN]


@in_world(connections=2, **NO_HOLD)
async def test_a_sender_that_is_stopped_in_the_middle_gives_back_what_it_holds(world: World) -> None:
    shopper = await known(world)
    await shopper.add_to_cart()
    await shopper.track("Product Viewed", LAMP)
    await world.process()
    ordinary, hangs = world.sender._client.create_event, asyncio.Event()
    answered = asyncio.Event()

    async def create_event(body: dict[str, Any]) -> Answer:
        if body["data"]["attributes"]["metric"]["data"]["attributes"]["name"] == CART:
            hangs.set()
            await asyncio.Event().wait()
        answer = await ordinary(body)
        answered.set()
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.sender._client, "create_event", create_event)
        sending = asyncio.create_task(world.sender.deliver_next())
        await hangs.wait()
        await answered.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    row = await cart(world)
    assert (row["state"], row["attempts"], row["lease_owner"]) == ("ready", 0, None)
    assert [row["state"] for row in await world.deliveries("Viewed Product")] == ["delivered"]
    await world.deliver()
    assert len(world.received(CART)) == 1
    assert len(world.received(VIEWED)) == 1


@in_world(**NO_HOLD)
async def test_a_process_that_died_while_sending_leaves_its_deliveries_to_the_next_one(world: World) -> None:
    shopper = await known(world)
    await shopper.add_to_cart()
    await world.process()
    assert len(await world.store.transact(world.claim)) == 1
    successor = world.new_sender()
    assert await world.deliver() == 0  # the lease still runs
    await successor.start()
    await world.deliver()
    assert world.emails(CART) == [ANN]


@in_world(**NO_HOLD)
async def test_a_lease_that_has_run_out_is_taken_over(world: World) -> None:
    shopper = await known(world)
    await shopper.add_to_cart()
    await world.process()
    (claimed,) = await world.store.transact(world.claim)
    world.clock.advance(LEASE_SECONDS + 1)
    assert await world.deliver() == 1
    late = await world.store.transact(
        lambda tx: tx.dispatch.settle(claimed, State.DEAD, lease_owner=world.DEAD, at=world.clock.now())
    )
    assert late is False
    assert (await cart(world))["state"] == "delivered"


@in_world(**NO_HOLD)
async def test_a_sender_never_takes_its_own_deliveries_for_lost(world: World) -> None:
    """Somebody sets the clock ahead while a call is under way: it is not made a second time."""
    shopper = await known(world)
    await shopper.add_to_cart()
    await world.process()
    under_way, answer = asyncio.Event(), asyncio.Event()
    ordinary = world.sender._client.create_event

    async def create_event(body: dict[str, Any]) -> Answer:
        under_way.set()
        await answer.wait()
        return await ordinary(body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.sender._client, "create_event", create_event)
        running = asyncio.create_task(world.sender.run())
        await under_way.wait()
        world.clock.jump(DAY)
        world.sender._rings.set()
        world.clock.slept.clear()
        await world.clock.slept.wait()
        answer.set()
        while not world.received(CART):
            await world.sandbox.account.changed(10.0)
    world.sender.stop()
    await running
    assert world.sandbox.calls(EVENTS) == [202]
    assert ((await cart(world))["state"], (await cart(world))["attempts"]) == ("delivered", 1)


@in_world(**NO_HOLD)
async def test_a_lookup_whose_answer_cannot_be_kept_is_asked_again(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    shopper = world.browser()
    await shopper.land(kx)
    await shopper.add_to_cart()
    await world.process()

    async def refuse(entry: Any) -> None:
        raise StoreUnavailable("disk full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.store, "append", refuse)
        await world.sender.deliver_next()
    (lookup,) = [row for row in await world.deliveries() if row["kind"] == "lookup"]
    assert (lookup["state"], lookup["attempts"]) == ("ready", 0)
    await world.settle(worker.RETRY_SECONDS)
    assert world.emails(CART) == [ANN]


@in_world(**NO_HOLD)
async def test_a_lookup_answered_twice_is_heard_once(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    shopper = world.browser()
    await shopper.land(kx)
    await world.sandbox.script(LOOKUPS, times=2, status=503, after_effect=True)
    await shopper.add_to_cart()
    await world.settle()
    await world.settle(5.0)
    await world.settle(10.0)
    assert world.emails(CART) == [ANN]
    assert len(await world.rows("SELECT * FROM events WHERE source = 'klaviyo'")) == 1


# The loop


@in_world(**NO_HOLD)
async def test_the_running_sender_delivers_what_rings_and_ends_when_told(world: World) -> None:
    shopper = await known(world)
    running = asyncio.create_task(world.sender.run())
    await shopper.add_to_cart()
    await world.process()
    while not world.received(CART):
        await world.sandbox.account.changed(10.0)
    world.sender.stop()
    await running
    assert (await cart(world))["state"] == "delivered"


@in_world(**NO_HOLD)
async def test_the_running_sender_waits_out_a_database_that_cannot_be_written(world: World) -> None:
    shopper = await known(world)
    await shopper.add_to_cart()
    await world.process()
    refused = asyncio.Event()
    ordinary = world.store.transact

    async def refuse(*_: Any) -> Any:
        refused.set()
        raise StoreUnavailable("disk full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.store, "transact", refuse)
        running = asyncio.create_task(world.sender.run())
        await refused.wait()
    assert world.store.transact == ordinary
    world.sender._rings.set()
    while not world.received(CART):
        await world.sandbox.account.changed(10.0)
    world.sender.stop()
    await running


@in_world(**NO_HOLD)
async def test_the_running_sender_asks_about_an_outage_every_so_often(world: World) -> None:
    shopper = await known(world)
    for _ in range(40):
        await shopper.add_to_cart()
    await world.process()
    await world.sandbox.script(EVENTS, status=500, times=FAILURES + 2)
    running = asyncio.create_task(world.sender.run())
    while len(world.sandbox.calls(EVENTS)) < FAILURES:
        await world.sandbox.account.changed(10.0)
    while len(world.received(CART)) < 40:
        world.clock.slept.clear()
        world.clock.advance(worker.IDLE_SECONDS)  # nobody sleeps longer than that
        await world.clock.slept.wait()
    world.sender.stop()
    await running
    assert world.sandbox.calls(EVENTS) == [500] * (FAILURES + 2) + [202] * 40


# The books


@in_world()
async def test_the_sums_of_messages_and_deliveries_add_up(world: World) -> None:
    _, kx = await world.sandbox.profile(email=BOB)
    ann, robot, denier = world.browser(), world.browser(**{"User-Agent": "Googlebot/2.1"}), world.browser()
    await ann.add_to_cart(messageId="once")
    await ann.identify(email=ANN)
    await ann.add_to_cart(messageId="once")
    await ann.post({"type": "track"}, {"type": "dance"}, {"type": "page"}, {"type": "track", "event": "Quiz"})
    await ann.add_to_cart(context={"klaviyo": {"present": True, "identified": True}})
    await robot.add_to_cart()
    await denier.post({"type": "page", "context": {"consent": {"marketing": False}}})
    await world.browser().add_to_cart()
    await world.browser().land(kx)
    await world.server({"type": "identify", "userId": "null", "traits": {"email": "not an address"}})
    await world.pass_hold()
    await world.sandbox.script(EVENTS, status=400)
    await ann.track("Product Viewed", LAMP)
    await world.pass_hold()
    world.sandbox.without("profiles:write")
    await ann.identify(email=ANN, firstName="Ann")
    await world.pass_hold()

    messages, deliveries, paused = await scrape(world)
    assert messages["received", ""] == 15
    assert {end for end, _ in messages} == {"received", "accepted", "duplicate", "dropped", "refused_identifier"}
    assert messages["received", ""] == sum(n for (end, _), n in messages.items() if end in ENDS)
    assert messages["duplicate", ""] == 1
    assert messages["dropped", "bot"] == messages["dropped", "no_consent"] == 1
    assert messages["dropped", "missing_event"] == messages["dropped", "unknown_type"] == 1
    assert messages["refused_identifier", "invalid_email"] == 1
    rows = await world.deliveries()
    assert sum(deliveries.values()) == len(rows)
    assert {key[0] for key in deliveries} == {"delivered", "suppressed", "dead", "waiting", "ready"}
    assert deliveries["dead", "refused"] == 1
    assert deliveries["suppressed", "native"] == 1
    assert paused == {"profile"}


ENDS = {"accepted", "duplicate", "dropped"}


async def scrape(world: World) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float], set[str]]:
    """``/metrics``: messages by end and reason, deliveries by state and reason, what is paused."""
    app = Starlette(routes=[Route("/metrics", Ops(world.store, [world.site]).metrics)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://relay") as http:
        text = (await http.get("/metrics")).text
    for personal in (ANN, BOB, "Lamp"):
        assert personal not in text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    messages = {(s.labels["end"], s.labels["reason"]): s.value for s in samples if s.name == "backflow_messages_total"}
    deliveries = {(s.labels["state"], s.labels["reason"]): s.value for s in samples if s.name == "backflow_deliveries"}
    paused = {s.labels["scope"] for s in samples if s.name == "backflow_destination_paused"}
    return messages, deliveries, paused
