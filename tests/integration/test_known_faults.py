"""Faults that destinations of the field are known for, each told as a story here: none of them is the relay's.

The others of the list are proven elsewhere; ``relay/guides/sdks.md`` names the test of each.
"""

from typing import Any

import pytest

from relay.klaviyo.client import KlaviyoClient
from relay.klaviyo.consent import profiles_found
from tests.integration.world import DAY, LAMP, MINUTE, World, in_world

ANN, BOB = "ann@mail.com", "bob@mail.com"
NEWS = "NEWS01"
EVENTS = "/api/events"
ORDER: dict[str, Any] = {
    "order_id": "1042",
    "total": 45.5,
    "currency": "EUR",
    "products": [LAMP, LAMP | {"product_id": "8", "name": "Mug"}, LAMP],
}
PLAIN: dict[str, Any] = {"hold_seconds": 0, "metric_suffix": ""}


def profile(world: World, email: str = ANN) -> Any:
    found = world.sandbox.account.profiles.owner("email", email)
    assert found is not None
    return found


# Phone numbers


@pytest.mark.parametrize("phone", ["call me", "+49 1", "030 901820", 12, "+1 555 0100"])
@in_world(**PLAIN)
async def test_a_bad_phone_costs_the_number_and_is_counted(world: World, phone: Any) -> None:
    """Not the event, nor the e-mail address beside it; and nobody is told that all went well."""
    await world.server(
        {"type": "track", "event": "Product Added", "properties": LAMP | {"email": ANN, "phone": phone}},
        {"type": "identify", "userId": "7", "traits": {"email": ANN, "firstName": "Ann", "phone": phone}},
    )
    await world.settle()
    assert [(event.metric, event.value) for event in world.received()] == [("Added to Cart", 20.0)]
    assert (profile(world).first_name, profile(world).phone_number) == ("Ann", None)
    assert (await world.sums())["refused_identifier invalid_phone"] == 2


@pytest.mark.parametrize(
    "phone", ["+49 30 901820", "+49 (30) 901-820", "0049 30 901820", "030/901820", " +4930901820 ", 4930901820]
)
@in_world(**PLAIN, country="DE")
async def test_a_phone_is_sent_in_the_form_in_which_it_was_checked(world: World, phone: str) -> None:
    words = {"subscribe": True, "consent": ["sms"]}
    await world.server(
        {"type": "track", "event": "Product Added", "properties": LAMP | {"email": ANN, "phone": phone}},
        {"type": "identify", "userId": "7", "traits": {"email": ANN, "phone": phone, "properties": words}},
    )
    await world.settle()
    await world.settle(MINUTE)
    assert {one.phone_number for one in world.sandbox.account.profiles} == {"+4930901820"}
    assert profile(world).consents.sms.consent == "SUBSCRIBED"


# Consent


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ({"subscribe": True, "consent": ["push"]}, "unreadable_consent"),
        ({"subscribe": True, "consent": ["sms"]}, "sms_without_phone"),  # the number below is none
        ({"subscribe": "true"}, "unreadable_subscribe"),
        ({"subscribe": True, "listId": "no list!"}, "unreadable_list"),
    ],
    ids=["no channel", "no number", "no truth value", "no list"],
)
@in_world(**PLAIN)
async def test_a_profile_is_told_whatever_becomes_of_its_consent(
    world: World, words: dict[str, Any], note: str
) -> None:
    await world.server(
        {"type": "identify", "userId": "7", "traits": {"email": ANN, "phone": "?", "plan": "gold", "properties": words}}
    )
    await world.settle()
    assert profile(world).properties["plan"] == "gold"
    assert (await world.sums())[f"refused_instruction {note}"] == 1


@in_world(**PLAIN)
async def test_leaving_sms_marketing_leaves_the_messages_about_orders(world: World) -> None:
    await world.sandbox.control("profiles", email=ANN, phone_number="+4930901820", sms_consent="SUBSCRIBED")
    profile(world).consents.subscribe("sms_transactional", now=1.0, at=1.0, source=None, list_id=None)
    words = {"subscribe": False, "smsConsent": False}
    await world.server(
        {"type": "identify", "userId": "7", "traits": {"email": ANN, "phone": "+4930901820", "properties": words}}
    )
    await world.settle()
    await world.settle(MINUTE)
    held = profile(world).consents
    assert (held.sms.consent, held.sms_transactional.consent) == ("UNSUBSCRIBED", "SUBSCRIBED")


# Orders


@in_world(**PLAIN)
async def test_the_lines_of_an_order_count_once_whatever_is_repeated(world: World) -> None:
    """The call with another message ID, and the calls to Klaviyo whose answers got lost."""
    await world.sandbox.script(EVENTS, status=503, after_effect=True, times=4)
    for message_id in ("first-try", "second-try"):
        order = {"type": "track", "event": "Order Completed", "userId": "7", "messageId": message_id}
        await world.server(order | {"properties": ORDER, "context": {"traits": {"email": ANN}}})
    for seconds in (0.0, 5.0, 10.0, 30.0, MINUTE):
        await world.settle(seconds)
    assert await world.sandbox.unmet() == []
    assert [event.metric for event in world.received()] == ["Placed Order", *["Ordered Product"] * 3]
    assert {row["state"] for row in await world.deliveries()} == {"delivered"}
    assert len({event.unique_id for event in world.received()}) == 4


# Lists


@in_world(**PLAIN)
async def test_somebody_behind_the_first_page_of_a_long_list_is_taken_off_it(world: World) -> None:
    members = [f"{n}@mail.com" for n in range(120)]
    await world.sandbox.control("lists", id=NEWS, name="News", members=[*members, ANN])
    audience = {"computation_key": "fans", "computation_class": "audience", "external_audience_id": NEWS}
    await world.server(
        {"type": "identify", "userId": "7", "traits": {"email": ANN, "fans": False}, "context": {"personas": audience}}
    )
    await world.settle()
    await world.settle(MINUTE)
    mailing = world.sandbox.account.lists.get(NEWS)
    assert mailing is not None
    assert profile(world).id not in mailing.members
    assert len(mailing.members) == 120


@in_world(**PLAIN)
async def test_an_id_full_of_quotes_selects_nobody_else(world: World) -> None:
    for email, external_id in ((ANN, "1"), (BOB, "2")):
        await world.sandbox.profile(email=email, external_id=external_id)
    client = KlaviyoClient(world.site, world.traffic)
    world._clients.append(client)
    for hostile in ('1","2', '1"]),any(email,["bob@mail.com', "1\\", '"', "1')"):
        answer = await client.find_profiles("external_id", [hostile])
        assert (answer.status, profiles_found(answer.document)) == (200, {}), hostile
    answer = await client.find_profiles("external_id", ["1"])
    assert [one.email for one in profiles_found(answer.document).values()] == [ANN]


# Nobody


@in_world(**PLAIN)
async def test_a_servers_call_without_any_identifier_is_taken_waits_and_is_counted_when_it_expires(
    world: World,
) -> None:
    await world.server({"type": "track", "event": "Product Added", "properties": LAMP})
    await world.settle()
    assert await world.fates() == [("Added to Cart", "waiting", "no_identity")]
    await world.settle(14 * DAY + MINUTE)
    await world.keep_house()
    assert await world.fates() == [("Added to Cart", "expired", "too_old")]
    assert (await world.sums())["accepted"] == 1
    assert world.received() == []


@in_world(**PLAIN)
async def test_an_amount_that_cannot_be_read_costs_the_value_and_is_counted(world: World) -> None:
    await world.server(
        {"type": "track", "event": "Quiz Done", "properties": {"email": ANN, "revenue": "a lot", "currency": "EUR"}}
    )
    await world.settle()
    (event,) = world.received()
    assert (event.value, event.properties["revenue"]) == (None, "a lot")
    assert (await world.sums())["refused_property unreadable_value"] == 1
