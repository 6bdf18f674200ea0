"""What shops ask on behalf of customers: kept before it is answered, carried out whatever happens in between."""

import asyncio

import msgspec
import pytest

from relay import doctor, privacy
from relay.errors import StoreUnavailable
from relay.store.requests import Topic
from tests import shopify
from tests.integration.test_forget import places_of
from tests.integration.world import CART, DAY, MINUTE, ORDERED, World, in_world

ANN, BOB = "ann@mail.com", "bob@mail.com"
PHONE = "+12025550123"


async def carry_out(world: World) -> int:
    return await privacy.carry_out(world.store, world.site, now=world.clock.now())


async def life_of_ann(world: World) -> None:
    phone = world.browser()
    await phone.add_to_cart(ago=600)
    assert phone.handle is not None
    await world.shopify("orders/create", shopify.with_handle(shopify.order(), phone.handle))
    await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]


@in_world()
async def test_a_redacted_customer_is_erased_here_and_at_klaviyo(world: World) -> None:
    await life_of_ann(world)
    await world.shopify("customers/redact", shopify.redacted())
    await world.process()
    assert await carry_out(world) == 1
    await world.settle(MINUTE)
    await world.keep_house()
    assert places_of(world, ANN, "4206822293653", "+12025550123") == set()
    assert world.sandbox.calls("/api/data-privacy-deletion-jobs") == [202]
    assert await carry_out(world) == 0  # done once


@in_world()
async def test_the_request_itself_is_no_trace_of_the_customer(world: World) -> None:
    """Somebody of whom nothing was known: only the request has named them."""
    await world.shopify("customers/redact", shopify.redacted())
    await world.process()
    assert places_of(world, ANN) == {"journal.body", "privacy_requests.subject"}
    await carry_out(world)
    await world.settle(MINUTE)
    await world.keep_house()
    assert places_of(world, ANN, "+12025550123") == set()


@in_world()
async def test_a_customer_known_by_an_id_is_erased_with_their_address(world: World) -> None:
    await life_of_ann(world)
    await world.shopify("customers/redact", shopify.redacted(customer={"id": 4206822293653, "email": None}))
    await world.process()
    assert await carry_out(world) == 1
    await world.settle(MINUTE)
    await world.keep_house()
    assert places_of(world, ANN) == set()


@in_world()
async def test_a_request_that_names_a_customer_by_their_id_alone_is_carried_out(world: World) -> None:
    await world.server({"type": "identify", "userId": "1", "traits": {"email": ANN}})
    await world.shopify("customers/redact", shopify.redacted(customer={"id": 1}))
    await world.process()
    assert await carry_out(world) == 1
    assert await world.rows("SELECT * FROM persons") == []


@in_world()
async def test_a_request_that_names_nobody_stays_open(world: World) -> None:
    await world.shopify("customers/redact", shopify.redacted(customer={}))
    await world.process()
    assert await carry_out(world) == 0
    assert [r.topic for r in await world.store.read(lambda tx: tx.requests.open("shop"))] == [Topic.REDACT_CUSTOMER]


@in_world()
async def test_other_customers_stay(world: World) -> None:
    laptop = world.browser()
    await laptop.identify(email=BOB)
    await life_of_ann(world)
    await world.shopify("customers/redact", shopify.redacted())
    await world.process()
    await carry_out(world)
    await laptop.add_to_cart()
    await world.pass_hold()
    assert BOB in world.emails(CART)


@pytest.mark.parametrize(
    "customer", [{"id": 2, "email": BOB}, {"id": 2}, {"email": BOB}, {"id": 3, "email": "new@mail.com"}]
)
@in_world()
async def test_a_phone_that_a_household_shares_erases_nobody_else(world: World, customer: dict[str, object]) -> None:
    for customer_id, email in (("1", ANN), ("2", BOB)):
        traits = {"email": email, "phone": PHONE}
        await world.server({"type": "identify", "userId": customer_id, "traits": traits})
    await world.settle(MINUTE)
    await world.shopify("customers/redact", shopify.redacted(customer=customer | {"phone": PHONE}))
    await world.process()
    assert await carry_out(world) == 1
    await world.settle(MINUTE)
    await world.keep_house()
    is_bob = customer.get("id") == 2 or customer.get("email") == BOB
    kept = {row["value"] for row in await world.rows("SELECT value FROM identifiers")}
    assert kept == {ANN, "1", PHONE} | (set() if is_bob else {BOB, "2"})
    asked = {(job["identifier"], job["value"]) for job in world.sandbox.account.deletions}
    assert asked == {("email", BOB if is_bob else customer["email"])}
    assert "journal.body" in places_of(world, ANN)


@in_world()
async def test_a_phone_that_is_nobody_elses_names_its_owner(world: World) -> None:
    await world.browser().identify(phone=PHONE)
    await world.settle()
    await world.shopify("customers/redact", shopify.redacted(customer={"id": 2, "email": BOB, "phone": PHONE}))
    await world.process()
    assert await carry_out(world) == 1
    assert await world.rows("SELECT * FROM persons") == []


@in_world()
async def test_a_repeated_request_is_one(world: World) -> None:
    for _ in range(3):
        await world.shopify("customers/redact", shopify.redacted(), webhook_id="w1")
    await world.process()
    sums = await world.sums()
    assert (sums["accepted"], sums["duplicate"]) == (1, 2)
    assert await carry_out(world) == 1


@in_world()
async def test_a_request_survives_whoever_dies_before_carrying_it_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await life_of_ann(world)
    await world.shopify("customers/redact", shopify.redacted())
    world.new_processor()  # the one that has taken it is gone
    await world.process()

    async def die(*_: object, **__: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "scrub", die)
        with pytest.raises(StoreUnavailable):
            await carry_out(world)
    assert places_of(world, ANN) != set()
    assert await carry_out(world) == 1
    await world.settle(MINUTE)
    await world.keep_house()
    assert places_of(world, ANN) == set()


@in_world()
async def test_a_request_is_carried_out_by_the_worker(world: World) -> None:
    await life_of_ann(world)
    await world.shopify("customers/redact", shopify.redacted())
    await world.process()
    world.clock.slept.clear()
    working = asyncio.create_task(privacy.run(world.store, world.site, world.clock))
    await world.clock.slept.wait()
    assert await world.store.read(lambda tx: tx.requests.open("shop")) == []
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


@in_world()
async def test_a_request_for_data_is_for_the_operator(world: World) -> None:
    await life_of_ann(world)
    await world.shopify("customers/data_request", shopify.redacted())
    await world.process()
    assert await carry_out(world) == 0
    (request,) = await world.store.read(lambda tx: tx.requests.open("shop"))
    assert (request.topic, request.subject.email) == (Topic.TELL_CUSTOMER, ANN)
    assert world.emails(ORDERED) == [ANN]
    world.clock.advance(31 * DAY)
    await carry_out(world)
    assert await world.store.read(lambda tx: tx.requests.open("shop")) == []
    assert places_of(world, ANN) & {"privacy_requests.subject"} == set()


@in_world()
async def test_the_doctor_names_what_is_open_until_it_is_done(world: World) -> None:
    await life_of_ann(world)
    await world.shopify("customers/data_request", shopify.redacted())
    await world.shopify("customers/redact", shopify.redacted(customer={"id": 4206822293653, "email": ANN}))
    await world.process()
    told = [check.text for check in await doctor.requests(world.site, world.store)]
    assert len(told) == 2
    assert all("customer 4206822293653" in text and ANN not in text for text in told)
    await carry_out(world)
    (left,) = await doctor.requests(world.site, world.store)
    assert "30 days" in left.text


@in_world()
async def test_a_redacted_shop_keeps_nothing_of_its_customers(world: World) -> None:
    await life_of_ann(world)
    await world.shopify("customers/data_request", shopify.redacted())
    await world.shopify("shop/redact", {"shop_id": 954889, "shop_domain": shopify.DOMAIN})
    await world.process()
    assert await carry_out(world) == 1
    assert places_of(world, ANN, "4206822293653", "Canberra", "Lamp") == set()
    assert await world.rows("SELECT * FROM events") == []
    assert await world.rows("SELECT * FROM deliveries") == []


@in_world()
async def test_a_browser_or_server_call_is_no_request(world: World) -> None:
    """The type is the relay's own: from outside it is of an unknown type."""
    phone = world.browser()
    body = {"type": "privacy", "event": "shop/redact"}
    answer = await phone.post(body)
    assert answer.json()["dropped"][0]["index"] == 0
    await phone.track("shop/redact", msgspec.to_builtins(shopify.redacted()))
    await world.process()
    assert await world.rows("SELECT * FROM privacy_requests") == []
