"""Native or backup: the decision table from the relay's door to what Klaviyo counts, the hold, and native replays."""

from typing import Any

import pytest

from relay.config import Forward
from tests.integration.world import CART, DAY, LAMP, MINUTE, VIEWED, World, in_world, klaviyo_script

ANN, BOB = "ann@mail.com", "bob@mail.com"
HOLD = 180.0

UNKNOWN: dict[str, Any] = {}
ABSENT = klaviyo_script(present=False, identified=False)
STRANGER = klaviyo_script(present=True, identified=False)
KNOWN = klaviyo_script(present=True, identified=True)
BLOCKED = klaviyo_script(present=False, identified=True)  # its cookie is still there, its script is not

NATIVE = ("suppressed", "native")
WAITS = ("waiting", "no_identity")


@pytest.mark.parametrize(
    ("forward", "seen", "resolved", "fate", "sent"),
    [
        pytest.param("backup", UNKNOWN, True, ("delivered", "klaviyo_absent"), "live", id="backup-untold-resolved"),
        pytest.param("backup", UNKNOWN, False, WAITS, None, id="backup-untold-unresolved"),
        pytest.param("backup", ABSENT, True, ("delivered", "klaviyo_absent"), "live", id="backup-absent-resolved"),
        pytest.param("backup", ABSENT, False, WAITS, None, id="backup-absent-unresolved"),
        pytest.param(
            "backup", STRANGER, True, ("delivered", "klaviyo_unidentified"), "live", id="backup-stranger-resolved"
        ),
        pytest.param("backup", STRANGER, False, WAITS, None, id="backup-stranger-unresolved"),
        pytest.param("backup", KNOWN, True, NATIVE, None, id="backup-known-resolved"),
        pytest.param("backup", KNOWN, False, NATIVE, None, id="backup-known-unresolved"),
        pytest.param("backup", BLOCKED, True, ("delivered", "klaviyo_absent"), "live", id="backup-blocked-resolved"),
        pytest.param("backup", BLOCKED, False, WAITS, None, id="backup-blocked-unresolved"),
        pytest.param("all", UNKNOWN, True, ("delivered", "forward_all"), "live", id="all-untold-resolved"),
        pytest.param("all", UNKNOWN, False, WAITS, None, id="all-untold-unresolved"),
        pytest.param("all", STRANGER, True, ("delivered", "forward_all"), "live", id="all-stranger-resolved"),
        pytest.param("all", STRANGER, False, WAITS, None, id="all-stranger-unresolved"),
        pytest.param("all", KNOWN, True, ("delivered", "forward_all"), "live", id="all-known-resolved"),
        pytest.param("all", KNOWN, False, WAITS, None, id="all-known-unresolved"),
        pytest.param("shadow", UNKNOWN, True, ("delivered", "klaviyo_absent"), "recorded", id="shadow-untold-resolved"),
        pytest.param("shadow", UNKNOWN, False, WAITS, None, id="shadow-untold-unresolved"),
        pytest.param(
            "shadow", STRANGER, True, ("delivered", "klaviyo_unidentified"), "recorded", id="shadow-stranger-resolved"
        ),
        pytest.param("shadow", KNOWN, True, NATIVE, None, id="shadow-known-resolved"),
        pytest.param("shadow", KNOWN, False, NATIVE, None, id="shadow-known-unresolved"),
    ],
)
def test_the_decision(
    tmp_path: Any, forward: str, seen: dict[str, Any], resolved: bool, fate: tuple[str, str], sent: str | None
) -> None:
    @in_world(forward=Forward(forward))
    async def decide(world: World) -> None:
        shopper = world.browser()
        if resolved:
            await shopper.identify(email=ANN)
            await world.pass_hold()
        await shopper.add_to_cart(context=seen)
        await world.pass_hold()
        (cart,) = await world.deliveries("Added to Cart")
        assert (cart["state"], cart["reason"]) == fate
        assert world.emails(CART) == ([ANN] if sent else [])
        assert [event.backfill for event in world.received(CART)] == ([sent == "recorded"] if sent else [])

    decide(tmp_path)


@in_world(forward=Forward.SHADOW)
async def test_a_shadow_updates_no_profile(world: World) -> None:
    await world.browser().identify(email=ANN, firstName="Ann")
    await world.pass_hold()
    assert await world.fates() == [("profile", "suppressed", "shadow")]
    assert list(world.sandbox.account.profiles) == []


@in_world()
async def test_a_profile_is_told_its_traits(world: World) -> None:
    await world.browser().identify(email=ANN, firstName="Ann")
    await world.pass_hold()
    (profile,) = world.sandbox.account.profiles
    assert (profile.email, profile.first_name) == (ANN, "Ann")


@in_world()
async def test_a_profile_klaviyo_knows_of_itself_is_not_updated(world: World) -> None:
    shopper = world.browser()
    await shopper.post({"type": "identify", "traits": {"email": ANN}, "context": KNOWN})
    await world.pass_hold()
    assert await world.fates() == [("profile", "suppressed", "native")]


@in_world()
async def test_an_identify_that_tells_nothing_new_is_not_sent(world: World) -> None:
    shopper = world.browser()
    for _ in range(3):
        await shopper.identify(email=ANN, firstName="Ann")
        await world.pass_hold()
    assert [fate[0] for fate in await world.fates()] == ["profile"]


# The hold


@in_world(hold_seconds=HOLD)
async def test_nothing_leaves_before_the_hold_is_over(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    await world.settle(HOLD - 0.5)
    assert list(world.sandbox.account.requests) == []
    await world.settle(0.5)
    assert world.emails(CART) == [ANN]


@in_world(hold_seconds=HOLD)
async def test_an_event_found_late_is_held_from_the_moment_it_is_found(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart()
    await world.settle(10 * MINUTE)
    await shopper.identify(email=ANN)
    await world.settle(HOLD - 1)
    assert world.received() == []
    await world.settle(1)
    assert world.emails(CART) == [ANN]


@in_world(forward=Forward.ALL)
async def test_a_site_that_forwards_everything_holds_nothing(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    await world.settle()
    assert world.emails(CART) == [ANN]


@in_world(hold_seconds=0)
async def test_without_a_hold_events_leave_at_once(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    await world.settle()
    assert world.emails(CART) == [ANN]


# Klaviyo learns of the visitor itself, and replays what it has kept


@pytest.mark.parametrize("after", [1.0, 60.0, HOLD - 1])
@in_world(hold_seconds=HOLD)
async def test_a_held_event_is_klaviyos_own_when_it_identifies_the_visitor_in_time(world: World, after: float) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await world.pass_hold()
    await shopper.add_to_cart(context=STRANGER)
    await world.settle(after)
    await shopper.post({"type": "page", "context": KNOWN})
    await world.settle()
    await world.settle(DAY)
    (cart,) = await world.deliveries("Added to Cart")
    assert (cart["state"], cart["reason"]) == ("suppressed", "native_replayed")
    assert world.received() == []


@in_world(hold_seconds=HOLD)
async def test_klaviyo_identifying_the_visitor_after_the_hold_is_too_late(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.add_to_cart(context=STRANGER)
    await world.pass_hold()
    await shopper.post({"type": "page", "context": KNOWN})
    await world.settle(DAY)
    assert world.emails(CART) == [ANN]


@in_world()
async def test_waiting_events_are_klaviyos_own_too_once_it_identifies_the_visitor(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart(context=STRANGER)
    await shopper.track("Product Viewed", LAMP, context=STRANGER)
    await world.settle(MINUTE)
    await shopper.post({"type": "page", "context": KNOWN})
    await shopper.identify(email=ANN)
    await world.pass_hold()
    assert {fate for fate in await world.fates() if fate[0] != "profile"} == {
        ("Added to Cart", "suppressed", "native_replayed"),
        ("Viewed Product", "suppressed", "native_replayed"),
    }
    assert world.received() == []


@in_world()
async def test_what_happened_after_klaviyo_knew_the_visitor_is_not_replayed_by_it(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await world.pass_hold()
    # Klaviyo knew the visitor first and had forgotten them by the time of the cart; the news comes in the wrong order.
    await shopper.add_to_cart(context=STRANGER)
    await shopper.post({"type": "page", "context": KNOWN, "ago": 10.0})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_klaviyo_knowing_one_visitor_says_nothing_of_another(world: World) -> None:
    one, other = world.browser(), world.browser()
    for shopper in (one, other):
        await shopper.identify(email=ANN)
        await shopper.add_to_cart(context=STRANGER)
    await one.post({"type": "page", "context": KNOWN})
    await world.pass_hold()
    assert [cart["reason"] for cart in await world.deliveries("Added to Cart")] == [
        "native_replayed",
        "klaviyo_unidentified",
    ]
    assert world.emails(CART) == [ANN]


@in_world(forward=Forward.ALL, hold_seconds=0)
async def test_a_site_that_forwards_everything_leaves_nothing_to_klaviyos_replay(world: World) -> None:
    shopper = world.browser()
    await shopper.add_to_cart(context=STRANGER)
    await shopper.post({"type": "page", "context": KNOWN})
    await shopper.identify(email=ANN)
    await world.settle()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_a_server_cannot_tell_what_klaviyos_script_knows(world: World) -> None:
    await world.server(
        {"type": "track", "event": "Product Added", "anonymousId": "a1", "properties": LAMP},
        {"type": "identify", "anonymousId": "a1", "traits": {"email": ANN}},
        {"type": "page", "anonymousId": "a1", "context": KNOWN},
    )
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@pytest.mark.parametrize("identified", ["yes", 1, None, [True]], ids=repr)
@in_world()
async def test_only_a_real_yes_counts_as_klaviyo_knowing_the_visitor(world: World, identified: Any) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    await shopper.add_to_cart(context={"klaviyo": {"present": True, "identified": identified}})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_the_metrics_name_ends_in_the_sites_suffix(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email=ANN)
    for event in ("Product Viewed", "Product Added", "Checkout Started", "Order Completed", "Quiz Finished"):
        await shopper.track(event, LAMP | {"order_id": "1"})
    await world.pass_hold()
    names = {event.metric for event in world.received()}
    assert VIEWED in names
    assert len(names) == 6
    assert all(name.endswith(" - Backup Flow") for name in names)
