"""The processor: the journal in order, each group one transaction, one bad message alone, nothing done twice."""

import asyncio
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from relay.delivery.worker import IDLE_SECONDS
from relay.errors import StoreUnavailable
from relay.pipeline import process
from relay.pipeline.process import GROUP, POLL_SECONDS, RETRY_SECONDS, Processor
from relay.pipeline.steps import End, Work
from relay.reprocess import reprocess
from relay.store.ledger import Ledger
from tests.integration.world import CART, DAY, HOUR, LAMP, WRITE_KEY, World, in_world, iso

ANN, BOB = "ann@mail.com", "bob@mail.com"
STATE = ("events", "persons", "identifiers", "links", "merges", "deliveries", "forgotten", "destinations")


async def state(world: World) -> dict[str, list[dict[str, Any]]]:
    """Everything the processor has made, without the books."""
    return {table: await world.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in STATE}  # noqa: S608


async def position(world: World) -> int:
    return await world.store.transact(lambda tx: tx.ledger.position("shop"))


def cart(message_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Product Added", "properties": LAMP, "messageId": message_id} | fields


def failing(patch: pytest.MonkeyPatch, kind: type[Exception], text: str = "", *, times: int = 1000) -> list[str]:
    """The last step fails for messages named ``poison``; answers the list that grows with every failure."""
    failures: list[str] = []

    def fail(work: Work) -> End | None:
        if work.message.message_id == "poison" and len(failures) < times:
            failures.append(work.message.message_id)
            raise kind(text)
        return None

    patch.setattr(process, "STEPS", (*process.STEPS, fail))
    return failures


# One bad message


@in_world(hold_seconds=0)
async def test_a_message_that_cannot_be_processed_is_dropped_alone_and_leaves_no_trace(world: World) -> None:
    shopper, other = world.browser(), world.browser()
    await other.add_to_cart()
    with pytest.MonkeyPatch.context() as patch:
        failures = failing(patch, RuntimeError, BOB)
        await shopper.post(
            {"type": "identify", "traits": {"email": ANN}},
            {"type": "identify", "traits": {"email": BOB, "firstName": "Bob"}, "messageId": "poison"},
            cart("good"),
        )
        await other.add_to_cart()
        await world.settle()
    assert failures == ["poison"]
    assert await world.sums() == {"received": 5, "accepted": 4, "dropped processing_failed": 1}
    assert [row["value"] for row in await world.rows("SELECT value FROM identifiers")] == [ANN]
    assert await world.rows("SELECT * FROM events WHERE message_id = 'poison'") == []
    assert len(await world.rows("SELECT * FROM persons")) == 1
    assert world.emails(CART) == [ANN]
    # The fault is mended: what it had stopped is processed, and nothing else once more.
    assert await reprocess(world.store, [world.site]) == 1
    await world.settle()
    assert await world.sums() == {"received": 6, "accepted": 5, "dropped processing_failed": 1}
    assert sorted(row["value"] for row in await world.rows("SELECT value FROM identifiers")) == [ANN, BOB]
    assert await reprocess(world.store, [world.site]) == 0


@in_world(hold_seconds=0)
async def test_a_message_put_back_twice_is_a_duplicate(world: World) -> None:
    """The process may die between putting back and noting that it is done."""
    shopper = world.browser()
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, RuntimeError, BOB)
        await shopper.post({"type": "identify", "traits": {"email": BOB}, "messageId": "poison"})
        await world.settle()
    (row,) = await world.rows("SELECT * FROM failures")
    await reprocess(world.store, [world.site])
    await world.store.transact(
        lambda tx: tx.ledger.note_failure("shop", row["seq"], "poison", at=world.clock.now()), "shop"
    )
    assert await reprocess(world.store, [world.site]) == 1
    await world.settle()
    assert await world.sums() == {"received": 3, "accepted": 1, "duplicate": 1, "dropped processing_failed": 1}


@in_world(hold_seconds=0)
async def test_what_the_journal_has_not_kept_cannot_be_put_back(world: World) -> None:
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, RuntimeError, BOB)
        await world.browser().post({"type": "identify", "traits": {"email": BOB}, "messageId": "poison"})
        await world.settle()
    assert len(await world.rows("SELECT * FROM failures")) == 1
    world.clock.advance(8 * DAY)
    await world.keep_house()
    assert await world.rows("SELECT * FROM failures") == []
    assert await reprocess(world.store, [world.site]) == 0


@in_world()
async def test_what_failed_is_told_without_what_the_shopper_typed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, ValueError, f"cannot read {BOB}")
        await world.browser().post(cart("poison"))
        await world.process()
    (record,) = [record for record in caplog.records if record.name == "relay.process"]
    assert "ValueError at process.py" in vars(record)["problem"]
    assert BOB not in caplog.text
    assert BOB not in str(vars(record))


@in_world()
async def test_a_message_that_failed_can_be_processed_once_the_fault_is_mended(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, RuntimeError)
        await shopper.post(cart("poison"))
        await world.process()
    await world.store.transact(lambda tx: tx.connection.execute("UPDATE positions SET seq = 0"))
    world.new_processor()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


# The database


@pytest.mark.parametrize(
    "error", [StoreUnavailable, sqlite3.OperationalError, sqlite3.DatabaseError], ids=["store", "sqlite", "file"]
)
@in_world()
async def test_a_database_that_fails_skips_nothing_and_keeps_nothing_half(
    world: World, error: type[Exception], pytestconfig: pytest.Config
) -> None:
    if issubclass(error, sqlite3.Error) and pytestconfig.getoption("--store") == "postgres":
        error = psycopg.OperationalError
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.post(cart("first"), cart("poison"), cart("last"))
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, error, "disk full", times=2)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await world.processor.process_next()
            assert await position(world) == 0
            assert all(rows == [] for rows in (await state(world)).values())
        await world.pass_hold()
    assert len(world.received(CART)) == 3
    assert await world.sums() == {"received": 4, "accepted": 4}


@in_world()
async def test_the_position_is_committed_with_what_was_done_or_not_at_all(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()

    def fail(ledger: Ledger, site_id: str, seq: int) -> None:
        raise StoreUnavailable("the process dies here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "advance", fail)
        with pytest.raises(StoreUnavailable):
            await world.processor.process_next()
    assert all(rows == [] for rows in (await state(world)).values())
    world.new_processor()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_a_new_process_goes_on_where_the_last_one_stopped(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await world.process()
    before = await state(world)
    world.new_processor()
    await world.process()
    assert await state(world) == before
    assert await world.sums() == {"received": 1, "accepted": 1}
    await shopper.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_processing_everything_again_changes_nothing(world: World) -> None:
    _, kx = await world.sandbox.profile(email=BOB)
    ann, bob, guest = world.browser(), world.browser(), world.browser()
    await ann.add_to_cart()
    await ann.identify("customer-ann", email=ANN, firstName="Ann")
    await bob.land(kx)
    await bob.add_to_cart()
    await guest.add_to_cart()
    await world.settle()
    await world.server(
        {"type": "identify", "userId": "customer-ann", "traits": {"email": "ann.new@mail.com"}},
        {
            "type": "track",
            "event": "Order Completed",
            "properties": {"order_id": "1", "email": ANN, "products": [LAMP]},
        },
    )
    await ann.sign_out()
    await world.pass_hold()
    before, sent = await state(world), len(world.sandbox.account.requests)
    await world.store.transact(lambda tx: tx.connection.execute("UPDATE positions SET seq = 0"))
    world.new_processor()
    await world.settle(HOUR)
    assert await state(world) == before
    assert len(world.sandbox.account.requests) == sent
    sums = await world.sums()
    assert sums["received"] == 2 * sums["accepted"]
    assert sums["accepted"] == sums["duplicate"]


# Order and groups


@in_world(hold_seconds=0)
async def test_many_requests_are_processed_in_groups_and_in_order(world: World) -> None:
    shopper = world.browser()
    await shopper.post({"type": "page"})  # so that all of them come from one visitor
    for number in range(GROUP + 5):
        await shopper.post(cart(f"cart-{number}", ago=0.0))
    await shopper.identify(email=ANN)
    assert await world.processor.process_next() == GROUP
    assert await world.processor.process_next() == 7
    assert await world.processor.process_next() == 0
    await world.settle()
    events = await world.rows("SELECT message_id FROM events WHERE kind = 'Product Added' ORDER BY event_id")
    assert [event["message_id"] for event in events] == [f"cart-{number}" for number in range(GROUP + 5)]
    assert len(world.received(CART)) == GROUP + 5


@in_world()
async def test_what_the_door_refused_is_counted_with_the_rest(world: World) -> None:
    await world.browser().post(
        {"type": "track"}, {"type": "page"}, {"type": "track", "event": "A", "timestamp": "noon"}
    )
    await world.process()
    assert await world.sums() == {
        "received": 3,
        "accepted": 1,
        "dropped missing_event": 1,
        "dropped invalid_timestamp": 1,
    }


@in_world()
async def test_klaviyos_answers_are_no_messages_of_anybody(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    await world.browser().land(kx)
    await world.settle()
    assert len(await world.rows("SELECT * FROM events WHERE source = 'klaviyo'")) == 1
    assert await world.sums() == {"received": 1, "accepted": 1}


@in_world()
async def test_sites_share_neither_messages_nor_persons(world: World) -> None:
    await world.browser().identify("customer-1", email=ANN)
    await world.process()
    other = msgspec.structs.replace(world.site, site_id="other", write_key="pk_other")
    (row,) = await world.store.entries("shop", 0, 1)
    await world.store.append(msgspec.structs.replace(row.entry, site_id="other"))
    processor = Processor(other, world.store, world.clock, journal_rings=asyncio.Event(), outbox_rings=asyncio.Event())
    await world.process()
    assert {row["site_id"] for row in await world.rows("SELECT site_id FROM events")} == {"shop"}
    assert await processor.process_next() == 1
    persons = await world.rows("SELECT site_id, person_id FROM persons")
    assert {row["site_id"] for row in persons} == {"shop", "other"}
    assert len({row["person_id"] for row in persons}) == 2


# The loops


@in_world()
async def test_the_running_processor_wakes_when_the_journal_rings(world: World) -> None:
    running = asyncio.create_task(world.processor.run())
    await world.clock.slept.wait()
    await world.browser().add_to_cart()
    await world.outbox_rings.wait()
    assert len(await world.rows("SELECT * FROM events")) == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@in_world()
async def test_the_running_processor_looks_by_itself_when_nobody_rings(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart()
    world.journal_rings.clear()
    await world.process()
    world.outbox_rings.clear()
    running = asyncio.create_task(world.processor.run())
    await world.clock.slept.wait()
    await shopper.add_to_cart()
    world.journal_rings.clear()  # the message came in through another process
    world.clock.advance(POLL_SECONDS)
    await world.outbox_rings.wait()
    assert len(await world.rows("SELECT * FROM events")) == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@in_world()
async def test_the_running_processor_waits_out_a_database_that_fails(world: World) -> None:
    await world.browser().post(cart("poison"))
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, StoreUnavailable, "disk full", times=1)
        running = asyncio.create_task(world.processor.run())
        await world.clock.slept.wait()
        assert await world.rows("SELECT * FROM events") == []
        world.clock.advance(RETRY_SECONDS)
        await world.outbox_rings.wait()
    assert len(await world.rows("SELECT * FROM events")) == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@in_world(hold_seconds=0)
async def test_what_was_committed_before_anybody_could_ring_is_delivered_all_the_same(world: World) -> None:
    sending = asyncio.create_task(world.sender.run())
    await world.clock.slept.wait()
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    silent = Processor(
        world.site,
        world.store,
        world.clock,
        journal_rings=world.journal_rings,
        outbox_rings=asyncio.Event(),
    )
    await silent.process_next()
    world.clock.advance(IDLE_SECONDS)
    while not world.received(CART):
        await world.sandbox.account.changed(10.0)
    world.sender.stop()
    await sending


# Whatever is sent


_KNOWN = [
    "email", "phone", "products", "items", "price", "value", "currency", "order_id", "quantity", "name", "sku",
    "address", "billing_address", "id", "country", "firstName", "traits", "page", "url", "clickIds", "_kx",
    "cookies", "__kla_id", "consent", "marketing", "klaviyo", "present", "identified", "customer", "line_items",
    "total", "categories", "category", "image_url",
]  # fmt: skip
WORDS = st.sampled_from(_KNOWN) | st.text(max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
EVENTS = st.sampled_from(
    [
        "Product Added",
        "Product Viewed",
        "Order Completed",
        "Checkout Started",
        "Signed Out",
        "Products Searched",
        "Quiz",
    ]
)
OBJECT = st.dictionaries(WORDS, JSON, max_size=8)
MESSAGE = st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "track", "identify", "page", "group", "alias"]), "event": EVENTS},
    optional={
        "userId": st.sampled_from(["customer-1", "null", ANN, ""]) | st.text(max_size=10),
        "traits": OBJECT | st.fixed_dictionaries({"email": st.sampled_from([ANN, BOB])}),
        "properties": OBJECT,
        "context": OBJECT,
        "anonymousId": st.text(max_size=10),
    },
)


@settings(max_examples=20, deadline=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(st.lists(MESSAGE, min_size=20, max_size=40), st.booleans())
def test_no_message_is_too_strange_to_be_processed_and_told(messages: list[dict[str, Any]], by_server: bool) -> None:
    async def story(world: World) -> None:
        if by_server:
            await world.server(*messages)
        else:
            body = {"writeKey": WRITE_KEY, "sentAt": iso(world.clock.now()), "batch": messages}
            answer = await world.browser().http.post("/v1/batch", content=msgspec.json.encode(body))
            assert answer.status_code == 200
        await world.settle()
        sums = await world.sums()
        assert sums["received"] == len(messages)
        assert sums["dropped processing_failed"] == 0
        assert list(world.sandbox.account.refused) == []
        assert {row["state"] for row in await world.deliveries()} <= {"delivered", "waiting", "suppressed"}

    with tempfile.TemporaryDirectory() as folder:
        in_world(hold_seconds=0)(story)(Path(folder))
