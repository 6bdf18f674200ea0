"""Shopify's webhooks over real HTTP bytes: signed or refused, answered after the commit, repeated without harm."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay.config import Consent, Forward, Secret, Settings
from relay.errors import StoreBusy, StoreUnavailable
from relay.store.rows import Entry
from tests import factories, shopify
from tests.integration.door import Answer, Door
from tests.integration.world import CART, LAMP, MINUTE, ORDERED, World, in_world, iso

PATH = "/webhooks/shopify"
STARTED, REFUNDED, CANCELLED = (
    f"{name} - Backup Flow" for name in ("Started Checkout", "Refunded Order", "Cancelled Order")
)
ANN, BOB = "ann@mail.com", "bob@mail.com"


def settings(**site: Any) -> Settings:
    return factories.settings(sites=(factories.site(**({"shopify_secrets": (Secret(shopify.SECRET),)} | site)),))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with Door(tmp_path, settings()) as opened:
        yield opened


def post(
    door: Door, topic: str = "orders/create", payload: object = None, *, path: str = PATH, **changes: str | None
) -> Answer:
    """A webhook as Shopify sends it; a header set to None is left out."""
    body = msgspec.json.encode(shopify.order() if payload is None else payload)
    headers = {
        "content-type": "application/json",
        "x-shopify-topic": topic,
        "x-shopify-shop-domain": shopify.DOMAIN,
        "x-shopify-webhook-id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        "x-shopify-hmac-sha256": shopify.signature(body),
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    return door.post(path, body, {name: value for name, value in headers.items() if value is not None})


# --- who is let in ---------------------------------------------------------------------------------------------------


def test_a_signed_webhook_is_kept(door: Door) -> None:
    answer = post(door)
    assert (answer.status, answer.json) == (200, {"success": True})
    assert answer.header("cache-control") == "no-store"
    assert answer.header("set-cookie") is None
    (entry,) = door.journal()
    assert (entry.trust, entry.visitor_id, entry.recognition, entry.ip) == ("server", None, "none", None)
    assert door.kept_ids() == ["shopify:b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"]


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "x",
        "é",
        shopify.signature(b"another body"),
        shopify.signature(msgspec.json.encode(shopify.order()), "another secret"),
        shopify.signature(msgspec.json.encode(shopify.order())).lower(),
    ],
    ids=["none", "empty", "short", "no ascii", "of another body", "by another secret", "in lower case"],
)
def test_an_unsigned_webhook_is_refused(door: Door, given: str | None) -> None:
    answer = post(door, x_shopify_hmac_sha256=given)
    assert (answer.status, answer.error["code"]) == (401, "invalid_signature")
    assert door.journal() == []


def test_the_signature_is_of_the_raw_bytes(door: Door) -> None:
    body = b'{ "id": 1,\n  "email": "ann@mail.com", "name": "\\u00e9" }'
    headers = {"x-shopify-topic": "orders/create", "x-shopify-hmac-sha256": shopify.signature(body)}
    assert door.post(PATH, body, headers).status == 200
    assert door.post(PATH, body.replace(b"\n ", b""), headers).status == 401


def test_a_relay_without_a_secret_takes_none(tmp_path: Path) -> None:
    with Door(tmp_path, settings(shopify_secrets=())) as door:
        answer = post(door)
        assert (answer.status, answer.error["code"]) == (401, "shopify_not_configured")
        assert "RELAY_SHOPIFY_SECRET" in answer.error["message"]


def test_an_older_secret_counts_while_it_is_listed(tmp_path: Path) -> None:
    with Door(tmp_path, settings(shopify_secrets=(Secret("the-new-one"), Secret(shopify.SECRET)))) as door:
        assert post(door).status == 200


@pytest.mark.parametrize(
    ("configured", "named", "status"),
    [
        (None, "any.myshopify.com", 200),
        (shopify.DOMAIN, shopify.DOMAIN, 200),
        (shopify.DOMAIN, shopify.DOMAIN.upper(), 200),
        (shopify.DOMAIN, "another.myshopify.com", 401),
        (shopify.DOMAIN, None, 200),
    ],
)
def test_a_webhook_of_another_shop_is_refused(
    tmp_path: Path, configured: str | None, named: str | None, status: int
) -> None:
    with Door(tmp_path, settings(shopify_domain=configured)) as door:
        assert post(door, x_shopify_shop_domain=named).status == status


def test_each_shop_has_its_own_site(tmp_path: Path) -> None:
    sites = tuple(
        factories.site(
            site_id=name,
            write_key=f"key-{name}",
            server_key=None,
            shopify_secrets=(Secret(shopify.SECRET),),
            shopify_domain=f"{name}.myshopify.com",
        )
        for name in ("one", "two")
    )
    with Door(tmp_path, factories.settings(sites=sites)) as door:
        assert post(door, x_shopify_shop_domain="two.myshopify.com").status == 200
        assert post(door, x_shopify_shop_domain="three.myshopify.com").status == 401
        assert post(door, x_shopify_shop_domain=None).status == 401  # by the secret alone it could be either's
        assert (len(door.journal("one")), len(door.journal("two"))) == (0, 1)


def test_only_a_post_is_a_webhook(door: Door) -> None:
    answer = door.get(PATH)
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")


def test_webhooks_arrive_below_the_prefix_too(tmp_path: Path) -> None:
    prefixed = msgspec.structs.replace(settings(), path_prefix="/_r")
    with Door(tmp_path, prefixed) as door:
        assert post(door, path=f"/_r{PATH}").status == 200
        assert post(door).status == 200


# --- what is wrong with it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b"[" * 100_000], ids=repr)
def test_a_signed_body_that_is_no_object_is_named(door: Door, body: bytes) -> None:
    headers = {"x-shopify-topic": "orders/create", "x-shopify-hmac-sha256": shopify.signature(body)}
    answer = door.post(PATH, body, headers)
    assert (answer.status, answer.error["code"]) == (400, "invalid_json")
    assert door.journal() == []


def test_a_webhook_without_a_topic_is_named(door: Door) -> None:
    answer = post(door, x_shopify_topic=None)
    assert (answer.status, answer.error["code"]) == (400, "missing_topic")


def test_a_body_without_end_is_refused(door: Door) -> None:
    chunks = [b"x" * 1_000_000] * 20
    answer = door.run(door.call("POST", PATH, chunks, {"x-shopify-topic": "orders/create"}))
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")


def test_a_large_order_is_taken(door: Door) -> None:
    order = shopify.order(line_items=[shopify.line() for _ in range(1500)])
    assert len(msgspec.json.encode(order)) > 600_000
    assert post(door, payload=order).status == 200


@pytest.mark.parametrize("topic", ["products/update", "orders/paid", "app/uninstalled", "NO/SUCH"])
def test_a_topic_without_use_is_no_error_and_counted(door: Door, topic: str) -> None:
    """Shopify deletes subscriptions that fail."""
    assert post(door, topic, {"id": 1}).status == 200
    sums = door.process()
    assert sums["received", ""] == 1
    assert sum(n for (name, _), n in sums.items() if name == "dropped") == 1
    assert ("accepted", "") not in sums


def test_a_test_order_is_counted_and_not_forwarded(door: Door) -> None:
    assert post(door, payload=shopify.order(test=True)).status == 200
    assert door.process()["dropped", "test_order"] == 1


# --- kept or not -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "code"), [(StoreBusy(), "busy"), (StoreUnavailable(), "unavailable")], ids=str)
def test_what_cannot_be_kept_is_not_acknowledged(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, code: str
) -> None:
    async def fail(*entries: Entry) -> None:
        raise error

    monkeypatch.setattr(door.store, "append", fail)
    answer = post(door)
    assert (answer.status, answer.error["code"], answer.header("retry-after")) == (503, code, "5")
    assert [vars(record)["request_id"] for record in caplog.records] == [answer.error["request_id"]]
    monkeypatch.undo()
    assert post(door).status == 200  # Shopify tries again
    assert len(door.kept_ids()) == 1


def test_a_repeated_webhook_is_one_message(door: Door) -> None:
    assert [post(door).status for _ in range(3)] == [200, 200, 200]
    sums = door.process()
    assert (sums["accepted", ""], sums["duplicate", ""]) == (1, 2)


def test_without_an_id_the_body_tells_a_repetition(door: Door) -> None:
    for total in ("1.00", "1.00", "2.00"):
        assert post(door, payload=shopify.order(id=1, total_price=total), x_shopify_webhook_id=None).status == 200
    sums = door.process()
    assert (sums["accepted", ""], sums["duplicate", ""]) == (2, 1)


# --- whose browser ---------------------------------------------------------------------------------------------------


def test_the_handle_in_the_cart_names_the_visitor(door: Door) -> None:
    handle = door.browser([factories.call()]).json["handle"]
    assert post(door, payload=shopify.with_handle(shopify.order(), handle)).status == 200
    browser, webhook = door.journal()
    assert (webhook.visitor_id, webhook.recognition) == (browser.visitor_id, "handle")


@pytest.mark.parametrize("kind", ["forged", "mirror", "cookie"])
def test_only_a_handle_is_a_handle(door: Door, kind: str) -> None:
    answer = door.browser([factories.call()])
    assert answer.cookie is not None
    assert answer.mirror is not None
    value = {
        "forged": answer.json["handle"][:-2] + "xx",
        "mirror": answer.mirror,
        "cookie": answer.cookie.partition("=")[2],
    }[kind]
    assert post(door, payload=shopify.with_handle(shopify.order(), value)).status == 200
    assert door.journal()[1].visitor_id is None


# --- what becomes of it ----------------------------------------------------------------------------------------------


@in_world()
async def test_an_order_by_webhook_finds_the_cart_of_its_visitor(world: World) -> None:
    """Late identity: what was done in the browser before is sent for the one who has ordered."""
    phone = world.browser()
    await phone.add_to_cart(ago=600)
    assert phone.handle is not None
    await world.shopify("checkouts/create", shopify.with_handle(shopify.checkout(), phone.handle))
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    assert ("Started Checkout", "suppressed", "native") in await world.fates()


@in_world(forward=Forward.ALL)
async def test_a_shop_without_klaviyos_integration_tells_of_its_checkouts(world: World) -> None:
    await world.shopify("checkouts/create", shopify.checkout())
    await world.pass_hold()
    assert world.emails(STARTED) == [ANN]
    (started,) = world.received(STARTED)
    assert started.properties["CheckoutURL"] == shopify.checkout()["abandoned_checkout_url"]


@in_world()
async def test_a_checkout_with_an_address_is_left_to_klaviyos_integration_whoever_tells_of_it_first(
    world: World,
) -> None:
    phone = world.browser()
    checkout = shopify.checkout()
    message_id = f"checkout-{checkout['token']}"
    await phone.track("Checkout Started", {"email": ANN, "products": [LAMP]}, messageId=message_id)
    await world.process()
    await world.shopify("checkouts/create", checkout)
    await world.pass_hold()
    assert world.received(STARTED) == []
    assert ("Started Checkout", "suppressed", "native") in await world.fates()


@in_world()
async def test_an_order_without_a_handle_names_no_browser(world: World) -> None:
    phone = world.browser()
    await phone.add_to_cart(ago=600)
    await world.shopify("orders/create", shopify.order())
    await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]
    assert world.received(CART) == []


@in_world()
async def test_staff_ordering_for_a_customer_give_away_no_browser(world: World) -> None:
    """The shop's own computer has the tag too, and a draft order may carry its cart's attribute."""
    counter = world.browser()
    await counter.add_to_cart(ago=600)
    assert counter.handle is not None
    draft = shopify.with_handle(shopify.order(source_name="shopify_draft_order", user_id=7), counter.handle)
    await world.shopify("orders/create", draft)
    await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]
    assert world.received(CART) == []


@pytest.mark.parametrize("how", ["GPC", "GPC in the context", "refusal"])
@pytest.mark.parametrize("what", ["handle", "cart"])
@in_world()
async def test_a_browser_that_is_to_be_left_alone_is_not_tied_by_its_order(world: World, how: str, what: str) -> None:
    phone = world.browser()
    phone.context = {"shopify": {"cartToken": "hWN1xPt0ken"}}
    await phone.post({"type": "page"})
    world.clock.advance(1)
    if how == "GPC":
        phone.http.headers["Sec-GPC"] = "1"
    elif how == "refusal":
        await phone.add_to_cart()
        await world.process()
        world.clock.advance(1)
    phone.context |= {"gpc": True} if how == "GPC in the context" else {}
    await phone.add_to_cart(**({"context": {"consent": {"marketing": False}}} if how == "refusal" else {}))
    await world.process()

    async def report() -> None:
        assert phone.handle is not None
        if what == "handle":
            now = iso(world.clock.now())
            order = shopify.order(created_at=now, processed_at=now)
            await world.shopify("orders/create", shopify.with_handle(order, phone.handle))
            return
        order = {"order_id": "1042", "total": 20, "products": [LAMP], "email": ANN, "cart_token": "hWN1xPt0ken"}
        await world.server({"type": "track", "event": "Order Completed", "properties": order})

    await report()
    await world.pass_hold()
    assert await world.rows("SELECT * FROM links") == []
    assert world.received(CART) == []
    # The browser says something else: from then on it is tied again, and what was done before stays untold.
    phone.http.headers.pop("Sec-GPC", None)
    phone.context.pop("gpc", None)
    world.clock.advance(60)
    await phone.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    await report()
    await phone.add_to_cart()
    await world.pass_hold()
    assert set(world.emails(CART)) == {ANN}
    assert len(world.emails(CART)) == 2


@in_world()
async def test_an_order_reported_three_times_is_one(world: World) -> None:
    properties = {
        "order_id": "gid://shopify/Order/2998557704341",
        "total": 54.5,
        "currency": "AUD",
        "products": [{"product_id": "6122640146581", "variant_id": "37319198802069", "quantity": 2, "price": 22.5}],
    }
    phone = world.browser()
    await phone.identify(email=ANN)
    await phone.track("Order Completed", properties)
    await world.shopify("orders/create", shopify.order())
    await world.server({"type": "track", "event": "Order Completed", "properties": properties | {"email": ANN}})
    await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]
    assert len(world.received("Ordered Product - Backup Flow")) == 1


@in_world(forward=Forward.ALL)
async def test_a_checkout_that_changes_is_one_event(world: World) -> None:
    await world.shopify("checkouts/create", shopify.checkout(email=None, customer=None))
    await world.shopify("checkouts/update", shopify.checkout())
    await world.shopify("checkouts/update", shopify.checkout(total_price="90.00"))
    await world.pass_hold()
    assert world.emails(STARTED) == [ANN]


@in_world(forward=Forward.ALL)
async def test_an_order_ends_the_story_of_its_checkout(world: World) -> None:
    await world.shopify("checkouts/update", shopify.checkout())
    await world.shopify("orders/create", shopify.order())
    await world.pass_hold()
    (started,) = world.received(STARTED)
    assert started.backfill is True


@in_world()
async def test_a_refund_and_a_cancellation_are_for_who_had_ordered(world: World) -> None:
    await world.shopify("orders/create", shopify.order())
    await world.shopify("refunds/create", shopify.refund())
    await world.shopify("orders/cancelled", shopify.order(cancelled_at="2027-01-15T08:00:00Z"))
    await world.pass_hold()
    assert world.emails(REFUNDED) == [ANN]
    assert world.emails(CANCELLED) == [ANN]


@in_world()
async def test_a_refund_of_an_unknown_order_is_for_nobody(world: World) -> None:
    await world.shopify("orders/create", shopify.order(id=1))
    await world.shopify("refunds/create", shopify.refund())
    await world.pass_hold()
    assert world.received(REFUNDED) == []


@in_world()
async def test_merged_customers_are_one_person(world: World) -> None:
    phone = world.browser()
    await phone.add_to_cart(ago=600)
    await world.server({"type": "identify", "userId": "77"})
    await phone.identify("77")
    await world.server({"type": "identify", "userId": "4206822293653", "traits": {"email": ANN}})
    await world.settle()
    assert world.received(CART) == []
    await world.shopify("customers/merge", shopify.merged())
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@pytest.mark.parametrize("later", ["gone", "kept"])
@in_world()
async def test_merged_customers_who_both_have_an_address_are_written_to_by_the_kept_ones(
    world: World, later: str
) -> None:
    told = [("77", BOB), ("4206822293653", ANN)]
    for customer_id, email in told if later == "kept" else told[::-1]:
        await world.server({"type": "identify", "userId": customer_id, "traits": {"email": email}})
        await world.settle(MINUTE)
    phone = world.browser()
    await phone.identify(email=BOB)
    await world.settle(MINUTE)
    await world.shopify("customers/merge", shopify.merged(), webhook_id="merged")
    await world.settle(MINUTE)
    await phone.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    (merge,) = await world.rows("SELECT source_id, target_id, revoked_at FROM merges")
    # Taken back, they are two again, each with their own.
    await world.store.transact(
        lambda tx: tx.graph.revoke("shop", merge["source_id"], merge["target_id"], at=world.clock.now())
    )
    await phone.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN, BOB]


@in_world()
async def test_a_kept_customer_without_an_address_is_written_to_at_the_others(world: World) -> None:
    await world.server({"type": "identify", "userId": "4206822293653", "traits": {"firstName": "Ann"}})
    await world.server({"type": "identify", "userId": "77", "traits": {"email": ANN}})
    phone = world.browser()
    await phone.identify("4206822293653")
    await world.settle(MINUTE)
    await world.shopify("customers/merge", shopify.merged())
    await world.settle(MINUTE)
    await phone.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    (merge,) = await world.rows("SELECT source_id, target_id FROM merges")
    assert merge["source_id"] != merge["target_id"]


@in_world()
async def test_who_names_a_merged_customers_id_in_a_browser_does_not_become_one_with_the_other(world: World) -> None:
    await world.server({"type": "identify", "userId": "4206822293653", "traits": {"email": ANN}})
    stranger = world.browser()
    await stranger.identify("77", email=BOB)
    await world.settle(MINUTE)
    await world.shopify("customers/merge", shopify.merged())
    await world.settle(MINUTE)
    await stranger.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [BOB]
    assert await world.rows("SELECT * FROM merges") == []


@in_world(consent=Consent.REQUIRED)
async def test_where_a_signal_is_needed_a_checkout_without_one_is_told_to_nobody(world: World) -> None:
    await world.shopify("checkouts/create", shopify.checkout())
    await world.shopify("orders/create", shopify.order())
    await world.pass_hold()
    assert world.received(STARTED) == []
    assert world.emails(ORDERED) == [ANN]
    assert (await world.sums())["dropped no_consent"] == 1
    assert await world.rows("SELECT * FROM links") == []
    checkout, order = await world.store.entries("shop", 0, 10)
    assert (len(checkout.entry.messages), len(order.entry.messages)) == (0, 1)  # nothing of it is kept at all


@in_world(consent=Consent.REQUIRED, forward=Forward.ALL)
async def test_a_handle_is_the_signal_that_is_needed(world: World) -> None:
    phone = world.browser()
    phone.context = {"consent": {"marketing": True, "source": "onetrust"}}
    await phone.add_to_cart(ago=600)
    assert phone.handle is not None
    await world.shopify("checkouts/create", shopify.with_handle(shopify.checkout(), phone.handle))
    await world.pass_hold()
    assert world.emails(STARTED) == [ANN]
    assert world.emails(CART) == [ANN]


@in_world(forward=Forward.ALL)
async def test_a_consent_platform_on_the_pages_makes_the_signal_needed(world: World) -> None:
    await world.shopify("checkouts/create", shopify.checkout(token="before"))
    undecided = world.browser()
    undecided.context = {"consent": {"source": "onetrust"}}
    await undecided.add_to_cart()
    await world.process()
    await world.shopify("checkouts/create", shopify.checkout(token="after"))
    await world.pass_hold()
    assert [event.unique_id for event in world.received(STARTED)] == ["backflow:started_checkout:checkout-before"]


@in_world()
async def test_a_gift_is_the_buyers_alone(world: World) -> None:
    friend = shopify.address(first_name="Bob", last_name="Roy", phone="+12025550199")
    await world.shopify("orders/create", shopify.order(shipping_address=friend))
    await world.pass_hold()
    rows = await world.rows("SELECT kind, value FROM identifiers ORDER BY kind")
    assert [tuple(row.values()) for row in rows] == [("customer_id", "4206822293653"), ("email", ANN)]
    (profile,) = [world.profile_of(event) for event in world.received(ORDERED)]
    assert (profile.email, profile.phone_number) == (ANN, None)
