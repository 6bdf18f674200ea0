"""What a call asks for beyond its event: queued for whom it names, at once, or kept out with the reason."""

from typing import Any

import msgspec
import pytest

from relay.config import Forward
from tests.integration.world import CART, HOUR, LAMP, MINUTE, World, in_world, iso, klaviyo_script

ANN, BOB, NUMBER = "ann@mail.com", "bob@mail.com", "+4930901820"
LIST = "Y6nRLr"
SUBSCRIBE: dict[str, Any] = {"properties": {"subscribe": True}}
UNSUBSCRIBE: dict[str, Any] = {"properties": {"subscribe": False}}
JOIN: dict[str, Any] = {"Klaviyo": {"listId": LIST}}
#: Kinds of deliveries that these tests are about.
CHANGES = ("list_add", "list_remove", "subscribe", "unsubscribe")


async def changes(world: World) -> list[tuple[str, str, str]]:
    """Kind, state and reason of every list or subscription change, oldest first."""
    return [fate for fate in await world.fates() if fate[0] in CHANGES]


async def payloads(world: World, kind: str) -> list[dict[str, Any]]:
    rows = [row for row in await world.deliveries() if row["kind"] == kind]
    return [msgspec.json.decode(row["payload"]) for row in rows]


async def address_of(world: World, row: dict[str, Any]) -> str | None:
    recipient = await world.store.read(lambda tx: tx.graph.recipient("shop", row["person_id"]))
    return recipient.email if recipient else None


# Whom it is for


@in_world()
async def test_a_servers_wish_is_ready_at_once_and_goes_before_the_profile(world: World) -> None:
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN} | SUBSCRIBE, "messageId": "m1"})
    await world.process()
    assert await world.fates() == [("subscribe", "ready", "asked"), ("profile", "held", "klaviyo_absent")]
    (subscribe, _) = await world.deliveries()
    assert subscribe["unique_id"] == "backflow:subscribe:m1"
    assert subscribe["due_at"] == world.clock.now()
    assert await address_of(world, subscribe) == ANN
    (payload,) = await payloads(world, "subscribe")
    assert payload == {"channels": ["email"], "consented_at": subscribe["occurred_at"]}


@in_world(list_id=LIST)
async def test_a_popup_subscribes_the_address_typed_into_it(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN, **SUBSCRIBE)
    await world.process()
    assert await changes(world) == [("subscribe", "ready", "asked")]
    assert [payload["list_id"] for payload in await payloads(world, "subscribe")] == [LIST]


@pytest.mark.parametrize(
    "message",
    [
        pytest.param({"type": "identify", "userId": "customer-ann", "traits": SUBSCRIBE}, id="by a customer's ID"),
        pytest.param({"type": "identify", "traits": SUBSCRIBE}, id="by the cookie alone"),
        pytest.param({"type": "group", "groupId": LIST, "traits": {"subscribe": True}}, id="a group by the cookie"),
        pytest.param({"type": "group", "groupId": LIST}, id="joining by the cookie"),
        pytest.param(
            {"type": "group", "groupId": LIST, "traits": {"email": ANN, "subscribe": True}}, id="an address of a group"
        ),
        pytest.param({"type": "identify", "userId": "customer-ann", "traits": UNSUBSCRIBE}, id="unsubscribing"),
        pytest.param({"type": "identify", "userId": "customer-ann", "integrations": JOIN}, id="joining by an ID"),
    ],
)
@in_world()
async def test_a_browser_speaks_only_for_the_address_it_gives_in_the_same_call(
    world: World, message: dict[str, Any]
) -> None:
    await world.server({"type": "identify", "userId": "customer-ann", "traits": {"email": ANN}})
    shopper = world.browser()
    await shopper.identify("customer-ann", email=ANN)
    await shopper.post(message)
    await world.process()
    assert [(state, reason) for _, state, reason in await changes(world)] == [("suppressed", "unproven")]


@in_world()
async def test_the_context_of_a_browsers_group_may_give_the_address(world: World) -> None:
    member = {"type": "group", "groupId": LIST, "context": {"traits": {"email": ANN}}}
    await world.browser().post(member, member | {"traits": {"subscribe": True, "smsConsent": True}})
    await world.process()
    assert await changes(world) == [("list_add", "ready", "asked"), ("subscribe", "ready", "asked")]
    assert [payload["channels"] for payload in await payloads(world, "subscribe")] == [["email"]]
    assert (await world.sums())["refused_instruction sms_without_phone"] == 1


@in_world()
async def test_a_number_that_is_somebody_elses_gets_no_messages(world: World) -> None:
    await world.server({"type": "identify", "userId": "bob", "traits": {"email": BOB, "phone": NUMBER}})
    both: dict[str, Any] = {"properties": {"subscribe": True, "consent": ["email", "sms"]}}
    await world.server({"type": "identify", "traits": {"email": ANN, "phone": NUMBER} | both})
    to_a_list: dict[str, Any] = {"properties": both["properties"] | {"listId": LIST}}
    await world.browser().identify(email=ANN, phone=NUMBER, **to_a_list)
    only_sms: dict[str, Any] = {"properties": {"subscribe": True, "consent": "sms"}}
    await world.browser().identify(email=ANN, phone=NUMBER, **only_sms)
    await world.process()
    assert [payload["channels"] for payload in await payloads(world, "subscribe")] == [["email"], ["email"], ["sms"]]
    assert await changes(world) == [
        ("subscribe", "ready", "asked"), ("subscribe", "ready", "asked"), ("subscribe", "suppressed", "unproven"),
    ]  # fmt: skip


@in_world()
async def test_an_address_that_has_changed_since_is_not_subscribed_in_its_place(world: World) -> None:
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.server({"type": "identify", "userId": "7", "traits": {"email": "ann.new@mail.com"}})
    await world.browser().identify(email=ANN, **SUBSCRIBE)
    await world.process()
    assert await changes(world) == [("subscribe", "suppressed", "unproven")]


@in_world()
async def test_a_text_subscribes_nobody(world: World) -> None:
    for said in ("false", "true", 1):
        await world.server({"type": "identify", "traits": {"email": ANN, "properties": {"subscribe": said}}})
    await world.process()
    assert await changes(world) == []
    assert (await world.sums())["refused_instruction unreadable_subscribe"] == 3


# When it goes


@in_world()
async def test_a_customer_without_an_address_is_subscribed_once_it_is_known(world: World) -> None:
    await world.server({"type": "identify", "userId": "7", "traits": SUBSCRIBE, "integrations": JOIN})
    await world.process()
    assert await changes(world) == [("subscribe", "waiting", "identity_pending")]
    await world.server({"type": "identify", "userId": "8", "traits": {"email": BOB}})
    await world.process()
    assert await changes(world) == [("subscribe", "waiting", "identity_pending")]
    world.clock.advance(HOUR)
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.process()
    assert await changes(world) == [("subscribe", "ready", "asked")]
    (row,) = [row for row in await world.deliveries() if row["kind"] == "subscribe"]
    assert await address_of(world, row) == ANN
    assert row["due_at"] == world.clock.now()


@in_world()
async def test_nobody_else_in_the_same_browser_is_subscribed_for_a_customer_without_an_address(world: World) -> None:
    jar = {"anonymousId": "jar-1"}
    await world.server({"type": "identify", "userId": "7", "traits": SUBSCRIBE} | jar)
    await world.server({"type": "identify", "traits": {"email": BOB}} | jar)
    await world.process()
    assert await changes(world) == [("subscribe", "waiting", "identity_pending")]


@in_world()
async def test_klaviyos_script_takes_no_wishes_over(world: World) -> None:
    shopper = world.browser()
    await shopper.post(
        {
            "type": "identify",
            "traits": {"email": ANN} | SUBSCRIBE,
            "integrations": {"Klaviyo": {"fieldsToUnset": ["plan"]}},
            "context": klaviyo_script(identified=True),
        }
    )
    await shopper.identify(email=ANN, firstName="Ann")
    world.clock.advance(1.0)
    await shopper.track("Product Viewed", LAMP, context=klaviyo_script(identified=True))
    await world.process()
    assert await world.fates() == [
        ("subscribe", "ready", "asked"),
        ("profile", "ready", "asked"),
        ("profile", "suppressed", "native_replayed"),
        ("Viewed Product", "suppressed", "native"),
    ]


@in_world(forward=Forward.SHADOW)
async def test_a_shop_that_watches_changes_nothing(world: World) -> None:
    await world.server(
        {"type": "identify", "userId": "7", "traits": {"email": ANN, "plan": "gold"} | SUBSCRIBE},
        {"type": "identify", "userId": "8", "traits": {"plan": "gold"} | UNSUBSCRIBE},
        {"type": "group", "userId": "7", "groupId": LIST},
    )
    await world.process()
    assert {(state, reason) for _, state, reason in await world.fates()} == {("suppressed", "shadow")}
    assert [kind for kind, _, _ in await world.fates()] == [
        "subscribe", "profile", "unsubscribe", "profile", "list_add",
    ]  # fmt: skip


@in_world()
async def test_privacy_control_lets_no_wish_through(world: World) -> None:
    await world.browser(**{"Sec-GPC": "1"}).identify(email=ANN, **SUBSCRIBE)
    await world.process()
    assert await world.fates() == [("subscribe", "suppressed", "gpc")]
    assert await world.rows("SELECT * FROM persons") == []


@in_world()
async def test_without_consent_nothing_is_asked_for(world: World) -> None:
    await world.browser().post(
        {"type": "identify", "traits": {"email": ANN} | SUBSCRIBE, "context": {"consent": {"marketing": False}}}
    )
    await world.process()
    assert await world.deliveries() == []


@in_world()
async def test_a_withdrawn_consent_stops_a_subscription_and_no_unsubscription(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN, **SUBSCRIBE)
    await shopper.identify(email=ANN, **UNSUBSCRIBE)
    await shopper.track("Consent Updated", context={"consent": {"marketing": False}})
    await world.process()
    assert await changes(world) == [("subscribe", "suppressed", "consent_withdrawn"), ("unsubscribe", "ready", "asked")]


#: Where it would stand that somebody has become known, or has been tied.
KNOWN = ("SELECT * FROM links", "SELECT * FROM identifiers", "SELECT * FROM persons")
#: What keeps everything else of a call from Klaviyo.
UNWILLING: dict[str, dict[str, Any]] = {
    "GPC of a browser": {"gpc": True},
    "refusal": {"consent": {"marketing": False}},
    "no signal": {"consent": {"source": "a consent platform"}},
    "no plain yes": {"consent": {"marketing": "denied"}},
}


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize(
    ("sender", "how"),
    # A server has asked for consent before it tells.
    [("browser", how) for how in UNWILLING] + [("server", how) for how in UNWILLING if how != "no signal"],
)
@in_world()
async def test_who_wants_no_more_is_heard_whatever_else_they_refuse(
    world: World, how: str, sender: str, is_known: bool
) -> None:
    if is_known:
        await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN, "phone": NUMBER}})
        await world.settle(MINUTE)
    before = [await world.rows(known) for known in KNOWN]
    delivered = len(await world.deliveries())
    traits = {"email": ANN, "plan": "gold", "address": {"city": "Berlin"}} | UNSUBSCRIBE
    wish = {"type": "identify", "traits": traits, "context": UNWILLING[how], "messageId": "m1"}
    shopper = world.browser()
    if sender == "browser":
        await shopper.post(wish, {"type": "page"} | {"context": UNWILLING[how]})
        await shopper.post(wish)
    else:
        await world.server(wish)
        await world.server(wish)
    await world.process()
    wished = (await world.deliveries())[delivered:]
    assert [(row["kind"], row["state"], row["reason"]) for row in wished] == [("unsubscribe", "ready", "asked")]
    (payload,) = await payloads(world, "unsubscribe")
    (recipient,) = [msgspec.json.decode(row["recipient"]) for row in wished]
    both = is_known and sender == "server"  # who names no channel wants nothing more on any
    assert recipient == {"email": ANN} | ({"phone_number": NUMBER} if both else {})
    assert payload["channels"] == (["email", "sms"] if both else ["email"])
    assert before == [await world.rows(known) for known in KNOWN], "nobody becomes known by it"
    await world.settle()
    assert [row["state"] for row in await world.deliveries() if row["kind"] == "unsubscribe"] == ["delivered"]
    assert world.sandbox.calls("/api/profile-subscription-bulk-delete-jobs") == [202]


@in_world()
async def test_of_a_refused_call_that_unsubscribes_the_journal_keeps_no_more_than_that(world: World) -> None:
    shopper = world.browser()
    shopper.context = {"consent": {"marketing": False}, "page": {"url": "https://s.example/secret"}}
    traits = {"email": ANN, "city": "Berlin", "subscribe": False}
    await shopper.post({"type": "identify", "userId": "customer-7", "traits": traits})
    await shopper.post({"type": "track", "event": "Checkout Started", "properties": {"email": BOB, "subscribe": False}})
    rows = await world.store.entries("shop", 0, 100)
    kept = msgspec.json.encode(rows).decode()
    assert ANN in kept
    for else_ in ("Berlin", "customer-7", "secret", BOB, "Chrome", "127.0.0.1"):
        assert else_ not in kept
    await world.process()
    assert (await world.sums())["dropped no_consent"] == 2


@pytest.mark.parametrize("how", UNWILLING)
@in_world()
async def test_nobody_else_is_unsubscribed_in_this_way(world: World, how: str) -> None:
    """By a customer's ID or by the cookie a browser names nobody, and by somebody else's number it does not either."""
    await world.server({"type": "identify", "userId": "bob", "traits": {"email": BOB, "phone": NUMBER}})
    shopper = world.browser()
    await shopper.identify("bob", email=BOB)
    await world.settle(HOUR)
    shopper.context = UNWILLING[how]
    await shopper.identify("bob", **UNSUBSCRIBE)
    await shopper.identify(**UNSUBSCRIBE)
    await shopper.identify(email=ANN, phone=NUMBER, properties={"subscribe": False, "consent": ["sms"]})
    await world.process()
    assert {fate[1:] for fate in await changes(world)} == {("suppressed", "unproven")}


@in_world(forward=Forward.SHADOW)
async def test_a_shop_that_watches_unsubscribes_nobody(world: World) -> None:
    await world.browser(**{"Sec-GPC": "1"}).identify(email=ANN, **UNSUBSCRIBE)
    await world.process()
    assert await world.fates() == [("unsubscribe", "suppressed", "shadow")]


@in_world()
async def test_who_has_unsubscribed_under_privacy_control_may_come_back(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN, **SUBSCRIBE)
    await shopper.post({"type": "identify", "traits": {"email": ANN} | UNSUBSCRIBE, "context": {"gpc": True}})
    await world.settle(HOUR)
    await shopper.identify(email=ANN, **SUBSCRIBE)
    await world.process()
    assert [kind for kind, _, _ in await changes(world)] == ["subscribe", "unsubscribe", "subscribe"]


@in_world()
async def test_a_repeated_call_asks_once(world: World) -> None:
    wish = {"type": "group", "userId": "7", "groupId": LIST, "messageId": "m1", "context": {"traits": {"email": ANN}}}
    await world.server(wish, wish)
    await world.server(wish)
    await world.process()
    assert await changes(world) == [("list_add", "ready", "asked")]
    assert [row["unique_id"] for row in await world.deliveries() if row["kind"] == "list_add"] == [
        f"backflow:list_add:m1:{LIST}"
    ]
    assert await payloads(world, "list_add") == [{"list_id": LIST}]


@in_world()
async def test_an_audience_is_a_list_and_no_metric(world: World) -> None:
    personas = {"computation_class": "audience", "computation_key": "vips", "external_audience_id": LIST}
    context = {"personas": personas, "traits": {"email": ANN}}
    await world.server(
        {"type": "track", "event": "Audience Entered", "properties": {"vips": True}, "context": context},
        {"type": "identify", "traits": {"email": ANN, "vips": False}, "context": context},
    )
    await world.process()
    assert await changes(world) == [("list_add", "ready", "asked"), ("list_remove", "ready", "asked")]
    assert "Audience Entered" not in [what for what, _, _ in await world.fates()]
    assert await world.rows("SELECT * FROM metrics") == []


# Not for Klaviyo


@in_world(hold_seconds=0)
async def test_what_is_not_for_klaviyo_is_kept_and_goes_no_further(world: World) -> None:
    off = {"integrations": {"All": False}}
    await world.server(
        {"type": "identify", "userId": "7", "traits": {"email": ANN, "plan": "gold"} | SUBSCRIBE} | off,
        {"type": "track", "userId": "7", "event": "Product Added", "properties": LAMP} | off,
    )
    await world.settle()
    assert await world.fates() == [
        ("profile", "suppressed", "not_for_klaviyo"),
        ("Added to Cart", "suppressed", "not_for_klaviyo"),
    ]
    assert await world.sums() == {"received": 2, "accepted": 2}
    assert list(world.sandbox.account.profiles) == []
    # Who they are is known all the same; what else that call said of them is not told with a later one.
    await world.server({"type": "track", "userId": "7", "event": "Product Added", "properties": LAMP})
    await world.settle()
    assert world.emails(CART) == [ANN]
    assert "plan" not in world.profile_of(world.received(CART)[0]).properties


@in_world()
async def test_an_order_that_is_not_for_klaviyo_ends_the_story_of_its_cart(world: World) -> None:
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.server({"type": "track", "userId": "7", "event": "Product Added", "properties": LAMP})
    order = {"type": "track", "userId": "7", "event": "Order Completed", "properties": {"order_id": "1"}}
    await world.server(order | {"integrations": {"Klaviyo": False}})
    await world.process()
    (cart,) = await world.deliveries("Added to Cart")
    assert (cart["state"], cart["backfill"]) == ("held", 1)
    assert ("Placed Order", "suppressed", "not_for_klaviyo") in await world.fates()


# Said before


@in_world(hold_seconds=0)
async def test_what_an_sdk_repeats_subscribes_nobody_again(world: World) -> None:
    shopper = world.browser()
    for _ in range(3):
        await shopper.identify(email=ANN, firstName="Ann", **SUBSCRIBE)
    await world.settle(HOUR)
    assert await changes(world) == [("subscribe", "delivered", "asked")]
    assert (await world.sums())["refused_instruction repeated_subscribe"] == 2
    profile = world.sandbox.account.profiles.owner("email", ANN)
    assert profile is not None
    assert str(profile.consents.email.consent) == "SUBSCRIBED"
    assert "$opt_ins" not in profile.properties
    # They leave by a link in a mail; their browser goes on saying what it was told once.
    profile.consents.unsubscribe("email", now=world.clock.now())
    world.clock.advance(HOUR)
    await shopper.identify(email=ANN, firstName="Ann", **SUBSCRIBE)
    await world.settle(HOUR)
    assert str(profile.consents.email.consent) == "UNSUBSCRIBED"


@in_world(hold_seconds=0)
async def test_who_comes_back_says_so_anew(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN, **SUBSCRIBE)
    await shopper.identify(email=ANN, **UNSUBSCRIBE)
    await shopper.identify(email=ANN, **SUBSCRIBE)
    dated: dict[str, Any] = {"properties": {"subscribe": True, "consentedAt": iso(world.clock.now() + HOUR)}}
    world.clock.advance(2 * HOUR)
    await shopper.identify(email=ANN, **dated)
    await shopper.identify(email=ANN, **dated)
    await world.process()
    assert [kind for kind, _, _ in await changes(world)] == ["subscribe", "unsubscribe", "subscribe", "subscribe"]


# Changes of a profile


@in_world(hold_seconds=0)
async def test_what_was_cleared_does_not_come_back_with_the_next_event(world: World) -> None:
    shopper = {"type": "identify", "userId": "7"}
    await world.server(shopper | {"traits": {"email": ANN, "plan": "gold", "firstName": "Ann", "skus": "a"}})
    await world.settle()
    profile = world.sandbox.account.profiles.owner("email", ANN)
    assert profile is not None
    assert (profile.first_name, profile.properties["plan"], profile.properties["skus"]) == ("Ann", "gold", "a")
    options = {"fieldsToUnset": ["plan", "firstName"], "fieldsToAppend": ["skus"]}
    await world.server(shopper | {"traits": {"skus": "b"}, "integrations": {"Klaviyo": options}})
    await world.server({"type": "track", "userId": "7", "event": "Product Added", "properties": LAMP})
    await world.settle()
    assert (profile.first_name, profile.properties.get("plan")) == (None, None)
    assert profile.properties["skus"] == ["a", "b"]
    assert world.emails(CART) == [ANN]
    await world.server(shopper | {"traits": {"plan": "silver"}})
    await world.settle()
    assert profile.properties["plan"] == "silver"


@in_world(hold_seconds=0)
async def test_any_call_that_tells_something_new_of_a_person_updates_their_profile(world: World) -> None:
    traits = {"email": ANN, "plan": "gold"}
    quiz = {"type": "track", "event": "Quiz Done", "context": {"traits": traits}}
    await world.server(quiz, quiz, {"type": "page", "context": {"traits": traits | {"plan": "silver"}}})
    await world.settle()
    assert [what for what, _, _ in await world.fates()] == ["profile", "Quiz Done", "Quiz Done", "profile"]
    profile = world.sandbox.account.profiles.owner("email", ANN)
    assert profile is not None
    assert profile.properties["plan"] == "silver"


@in_world(hold_seconds=0)
async def test_what_is_told_of_a_customer_without_an_address_waits_and_is_told_once(world: World) -> None:
    for plan in ("gold", "silver"):
        await world.server({"type": "identify", "userId": "7", "traits": {"plan": plan}})
    patch = {"Klaviyo": {"fieldsToAppend": {"skus": "a"}}}
    await world.server({"type": "identify", "userId": "7", "integrations": patch})
    await world.settle()
    assert await world.fates() == [("profile", "waiting", "identity_pending")] * 2
    await world.server({"type": "alias", "userId": "7", "context": {"traits": {"email": ANN}}})
    await world.settle(MINUTE)
    assert {(state, what) for what, state, _ in await world.fates()} == {("delivered", "profile")}
    profile = world.sandbox.account.profiles.owner("email", ANN)
    assert profile is not None
    assert (profile.properties["plan"], profile.properties["skus"]) == ("silver", ["a"])


#: What the call that appends meets, whether its answer got lost on the way back, and what the array holds in the end
#: with and without the right to read profiles.
FATES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "lost answer": ({"status": 502, "after_effect": True}, ["a"], ["a"]),
    "lost connection": ({"reset": True, "after_effect": True}, ["a"], ["a"]),
    # Nobody can know without reading, so it is not done again: rather none than two.
    "fault before": ({"status": 502}, ["a"], []),
    "wait": ({"status": 429, "headers": {"Retry-After": "1"}}, ["a"], ["a"]),
}


@pytest.mark.parametrize("may_read", [True, False])
@pytest.mark.parametrize("fate", FATES)
@in_world(hold_seconds=0)
async def test_what_is_appended_is_not_appended_twice(world: World, fate: str, may_read: bool) -> None:
    script, with_reading, without = FATES[fate]
    if not may_read:
        world.sandbox.without("profiles:read")
    traits = {"email": ANN}
    await world.server({"type": "identify", "userId": "7", "traits": traits})
    await world.settle()
    await world.sandbox.script("/api/profile-import", **script)
    for sku in ("a", "b"):
        patch = {"Klaviyo": {"fieldsToAppend": {"skus": sku}}}
        await world.server({"type": "identify", "userId": "7", "traits": traits, "integrations": patch})
        await world.settle()
        await world.settle(HOUR)
    assert await world.sandbox.unmet() == []
    profile = world.sandbox.account.profiles.owner("email", ANN)
    assert profile is not None
    assert profile.properties["skus"] == [*(with_reading if may_read else without), "b"]
    assert {(state, what) for what, state, _ in await world.fates()} == {("delivered", "profile")}
    last = [row["error"] for row in await world.deliveries() if row["kind"] == "profile"][1]
    assert last == ("append_unknown" if not may_read and fate != "wait" else None)
