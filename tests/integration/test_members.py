"""Lists and subscriptions, from the call to Klaviyo: nobody is signed up without an opt-in, nobody loses more than they
asked for."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from relay.demo.sandbox.consent import Consents
from tests.integration.world import HOUR, MINUTE, World, in_world

ANN, BOB, CAT = "ann@mail.com", "bob@mail.com", "cat@mail.com"
NEWS, VIP = "NEWS01", "VIPS01"
ADD, FIND, IMPORT = f"/api/lists/{NEWS}/relationships/profiles", "/api/profiles", "/api/profile-import"
SUBSCRIBE, UNSUBSCRIBE = "/api/profile-subscription-bulk-create-jobs", "/api/profile-subscription-bulk-delete-jobs"


async def lists(world: World, *members: str) -> None:
    """Two lists; ``members`` are on the first."""
    await world.sandbox.control("lists", id=NEWS, name="News", members=list(members))
    await world.sandbox.control("lists", id=VIP, name="Friends of the house")


async def identify(world: World, email: str, *, traits: Any = None, **properties: Any) -> None:
    """The shop's server speaks of a person, with RudderStack's words."""
    await world.server(
        {"type": "identify", "userId": email, "traits": {"email": email, "properties": properties} | (traits or {})}
    )


def on(world: World, list_id: str) -> set[str | None]:
    """The addresses on a list."""
    profiles = world.sandbox.account.profiles
    mailing = world.sandbox.account.lists.get(list_id)
    assert mailing is not None
    return {found.email for member in mailing.members if (found := profiles.get(member)) is not None}


def consents(world: World, email: str) -> Consents:
    profile = world.sandbox.account.profiles.owner("email", email)
    assert profile is not None, f"Klaviyo has no {email}"
    return profile.consents


def consent(world: World, email: str) -> tuple[str, str]:
    """To e-mail and to SMS."""
    held = consents(world, email)
    return held.email.consent, held.sms.consent


async def ends(world: World) -> Counter[tuple[str, str, str]]:
    rows = await world.deliveries()
    return Counter(
        (row["kind"], row["state"], row["reason"]) for row in rows if row["kind"] not in ("profile", "event")
    )


# Lists


@in_world()
async def test_a_person_joins_the_list_a_call_names(world: World) -> None:
    await lists(world)
    await identify(world, ANN, listId=NEWS)
    await world.pass_hold()
    assert (on(world, NEWS), on(world, VIP)) == ({ANN}, set())
    assert consent(world, ANN) == ("NEVER_SUBSCRIBED", "NEVER_SUBSCRIBED"), "a list is no consent"


@in_world()
async def test_many_people_join_in_few_calls(world: World) -> None:
    await lists(world)
    people = [f"{n}@mail.com" for n in range(120)]
    await world.server(
        *[
            {
                "type": "identify",
                "userId": email,
                "traits": {"email": email},
                "integrations": {"Klaviyo": {"listId": NEWS}},
            }
            for email in people
        ]
    )
    await world.pass_hold()
    await world.settle(MINUTE)
    assert on(world, NEWS) == set(people)
    # Those whose profile is under way at that moment come with the next call.
    assert set(world.sandbox.calls(ADD)) == {204}
    assert len(world.sandbox.calls(ADD)) <= 10
    assert await ends(world) == {("list_add", "delivered", "asked"): 120}


@in_world()
async def test_a_list_that_is_not_there_takes_nobody_else_along(world: World) -> None:
    await lists(world)
    await identify(world, ANN, listId="NOLIST")
    await identify(world, BOB, listId=NEWS)
    await world.pass_hold()
    await world.settle(MINUTE)
    assert on(world, NEWS) == {BOB}
    assert (await ends(world))["list_add", "dead", "refused"] == 1


@in_world()
async def test_an_audience_is_joined_and_left(world: World) -> None:
    await lists(world, BOB)
    personas = {"computation_key": "fans", "computation_class": "audience", "external_audience_id": NEWS}
    for email, is_in in ((ANN, True), (BOB, False), (CAT, False)):
        await world.server(
            {
                "type": "identify", "userId": email, "traits": {"email": email, "fans": is_in},
                "context": {"personas": personas},
            }
        )  # fmt: skip
    await world.pass_hold()
    await world.settle(MINUTE)
    assert on(world, NEWS) == {ANN}


@in_world()
async def test_without_the_scope_to_read_people_still_join(world: World) -> None:
    await lists(world)
    world.sandbox.without("profiles:read")
    await identify(world, ANN, listId=NEWS)
    await world.pass_hold()
    await world.settle(MINUTE)
    assert on(world, NEWS) == {ANN}


# Subscriptions


@in_world()
async def test_an_opt_in_subscribes_and_joins_the_list(world: World) -> None:
    await lists(world)
    await identify(world, ANN, listId=NEWS, subscribe=True, consent=["email", "sms"], traits={"phone": "+34600123456"})
    await world.pass_hold()
    assert consent(world, ANN) == ("SUBSCRIBED", "SUBSCRIBED")
    assert on(world, NEWS) == {ANN}


@pytest.mark.parametrize("said", ["false", "true", 1, "yes", None, {}])
@in_world()
async def test_only_a_true_boolean_subscribes(world: World, said: Any) -> None:
    await lists(world)
    await identify(world, ANN, listId=NEWS, subscribe=said)
    await world.pass_hold()
    await world.settle(MINUTE)
    assert consent(world, ANN) == ("NEVER_SUBSCRIBED", "NEVER_SUBSCRIBED")
    assert world.sandbox.calls(SUBSCRIBE) == []


@pytest.mark.parametrize(("opt_in", "state"), [("single_opt_in", "SUBSCRIBED"), ("double_opt_in", "NEVER_SUBSCRIBED")])
@in_world()
async def test_a_list_that_has_opt_ins_confirmed_has_ours_confirmed_too(world: World, opt_in: str, state: str) -> None:
    await world.sandbox.control("lists", id=NEWS, name="News", opt_in_process=opt_in)
    await identify(world, ANN, listId=NEWS, subscribe=True)
    await world.pass_hold()
    await world.settle(MINUTE)
    assert consent(world, ANN)[0] == state
    assert ("confirmation_asked" in [change.action for change in world.sandbox.account.changes]) is (
        opt_in == "double_opt_in"
    )


@in_world()
async def test_sms_needs_a_phone_number(world: World) -> None:
    await identify(world, ANN, subscribe=True, consent=["email", "sms"])
    await world.pass_hold()
    assert consent(world, ANN) == ("SUBSCRIBED", "NEVER_SUBSCRIBED")


@in_world()
async def test_who_has_left_since_their_opt_in_is_not_subscribed_again(world: World) -> None:
    """Klaviyo would lift the suppression."""
    now = world.clock.now()
    await world.sandbox.control("profiles", email=ANN, consent="UNSUBSCRIBED", consent_at=now - MINUTE)
    await world.server(
        {"type": "identify", "userId": ANN, "traits": {"email": ANN, "properties": {"subscribe": True}}, "ago": HOUR}
    )
    await world.pass_hold()
    assert consent(world, ANN)[0] == "UNSUBSCRIBED"
    assert world.sandbox.calls(SUBSCRIBE) == []
    assert await ends(world) == {("subscribe", "suppressed", "stale_opt_in"): 1}


@in_world()
async def test_a_fresh_opt_in_subscribes_who_had_left(world: World) -> None:
    await world.sandbox.control("profiles", email=ANN, consent="UNSUBSCRIBED", consent_at=world.clock.now() - HOUR)
    await identify(world, ANN, subscribe=True)
    await world.pass_hold()
    assert consent(world, ANN)[0] == "SUBSCRIBED"


@in_world()
async def test_without_the_scope_to_read_subscriptions_wait_and_say_so(world: World) -> None:
    world.sandbox.without("profiles:read")
    await identify(world, ANN, subscribe=True)
    await world.pass_hold()
    assert world.sandbox.calls(SUBSCRIBE) == []
    pauses = await world.rows("SELECT scope, reason FROM destinations")
    assert ("subscribe", "the API key is missing profiles:read (403)") in [(p["scope"], p["reason"]) for p in pauses]
    world.sandbox.account.restore_scopes()
    await world.settle(MINUTE)
    assert consent(world, ANN)[0] == "SUBSCRIBED"
    assert await world.rows("SELECT * FROM destinations") == []


@in_world()
async def test_one_bad_address_keeps_nobody_else_from_subscribing(world: World) -> None:
    for email in (ANN, BOB, CAT):
        await identify(world, email, subscribe=True)
    at = "/data/attributes/profiles/data/1/attributes/email"
    body = {"errors": [{"code": "invalid", "detail": "no", "source": {"pointer": at}}]}
    await world.sandbox.script(SUBSCRIBE, status=400, body=body)
    await world.pass_hold()
    assert world.sandbox.calls(SUBSCRIBE) == [400, 202]
    assert await ends(world) == {("subscribe", "delivered", "asked"): 2, ("subscribe", "dead", "refused"): 1}


@in_world()
async def test_leaving_a_list_leaves_that_list_only(world: World) -> None:
    for email in (ANN, BOB):
        await world.sandbox.control("profiles", email=email, consent="SUBSCRIBED")
    await lists(world, ANN)
    for email in (ANN, BOB):
        await identify(world, email, listId=NEWS, subscribe=False, consent=["email"])
    await world.pass_hold()
    await world.settle(MINUTE)
    assert consent(world, BOB)[0] == "SUBSCRIBED", "Klaviyo would have unsubscribed from everything who is not on it"
    assert [left.list_id for left in consents(world, ANN).list_suppressions] == [NEWS]
    assert consent(world, ANN)[0] == "SUBSCRIBED", "to everything else"
    assert (await ends(world))["unsubscribe", "suppressed", "not_a_member"] == 1


@in_world()
async def test_who_wants_no_more_is_unsubscribed_everywhere(world: World) -> None:
    await world.sandbox.control("profiles", email=ANN, consent="SUBSCRIBED")
    await identify(world, ANN, subscribe=False)
    await world.pass_hold()
    assert consent(world, ANN)[0] == "UNSUBSCRIBED"


@in_world()
async def test_more_than_a_hundred_leave_in_calls_klaviyo_takes(world: World) -> None:
    people = [f"{n}@mail.com" for n in range(130)]
    for email in people:
        await world.sandbox.control("profiles", email=email, consent="SUBSCRIBED")
    await world.server(
        *[
            {"type": "identify", "userId": email, "traits": {"email": email, "properties": {"subscribe": False}}}
            for email in people
        ]
    )
    await world.pass_hold()
    await world.settle(MINUTE)
    assert {consent(world, email)[0] for email in people} == {"UNSUBSCRIBED"}
    assert set(world.sandbox.calls(UNSUBSCRIBE)) == {202}


@in_world()
async def test_the_last_word_of_a_person_stands(world: World) -> None:
    """In and out and in again, the first of them with trouble on the way."""
    await world.sandbox.script(SUBSCRIBE, status=503)
    for wanted in (True, False, True):
        await identify(world, ANN, subscribe=wanted)
        await world.settle()
        await world.settle(10.0)
    assert world.sandbox.calls(SUBSCRIBE) == [503, 202, 202]
    assert world.sandbox.calls(UNSUBSCRIBE) == [202]
    assert consent(world, ANN)[0] == "SUBSCRIBED"


# Which profiles may be made or changed


@in_world(create_profiles=False, hold_seconds=0)
async def test_a_site_that_makes_no_profiles_makes_none(world: World) -> None:
    await lists(world)
    await world.sandbox.profile(email=ANN)
    before = {profile.id for profile in world.sandbox.account.profiles}
    for email in (ANN, BOB):
        await identify(world, email, listId=NEWS, subscribe=True, traits={"firstName": "New"})
        await world.server(
            {"type": "track", "event": "Product Added", "userId": email, "properties": {"product_id": "1"}}
        )
    for _ in range(3):
        await world.settle(MINUTE)
    assert {profile.id for profile in world.sandbox.account.profiles} == before
    assert world.emails() == [ANN]
    assert on(world, NEWS) == {ANN}
    assert {profile.first_name for profile in world.sandbox.account.profiles} == {"New"}
    states = {(row["state"], row["reason"]) for row in await world.deliveries() if row["state"] != "delivered"}
    assert states == {("suppressed", "profile_creation_disabled")}


@in_world(update_profiles=False, hold_seconds=0)
async def test_a_site_that_changes_no_profiles_changes_none(world: World) -> None:
    await world.sandbox.profile(email=ANN, first_name="Old")
    for email in (ANN, BOB):
        await identify(world, email, traits={"firstName": "New"})
        await world.server(
            {"type": "track", "event": "Product Added", "userId": email, "properties": {"product_id": "1"}}
        )
    for _ in range(3):
        await world.settle(MINUTE)
    assert sorted(map(str, world.emails())) == [ANN, BOB]
    known = {profile.email: profile for profile in world.sandbox.account.profiles}
    assert (known[ANN].first_name, known[ANN].properties) == ("Old", {})
    assert known[BOB].first_name == "New", "a new profile is no change"


@in_world(hold_seconds=0)
async def test_identifiers_of_two_profiles_merge_nobody(world: World) -> None:
    await world.sandbox.profile(email=ANN)
    await world.sandbox.profile(phone_number="+34600123456")
    await identify(world, ANN, traits={"phone": "+34600123456", "firstName": "Ann"})
    await world.settle()
    assert world.sandbox.calls(IMPORT) == [409, 200]
    found = {(profile.email, profile.phone_number, profile.first_name) for profile in world.sandbox.account.profiles}
    assert found == {(ANN, None, "Ann"), (None, "+34600123456", None)}


@in_world(hold_seconds=0)
async def test_an_older_state_of_a_profile_never_overwrites_a_newer_one(world: World) -> None:
    await world.sandbox.script(IMPORT, status=503, after_effect=False)
    for name in ("first", "second", "third"):
        await identify(world, ANN, traits={"firstName": name})
        await world.settle(1.0)
    for _ in range(3):
        await world.settle(MINUTE)
    assert [profile.first_name for profile in world.sandbox.account.profiles] == ["third"]
    assert {row["state"] for row in await world.deliveries()} == {"delivered"}


@in_world(create_profiles=False, hold_seconds=0)
async def test_while_profiles_cannot_be_read_a_site_that_makes_none_waits_quietly(world: World) -> None:
    await world.sandbox.profile(email=ANN)
    world.sandbox.without("profiles:read")
    await identify(world, ANN, traits={"firstName": "Ann"})
    await world.server({"type": "track", "event": "Product Added", "userId": ANN, "properties": {"price": 1}})
    for _ in range(5):
        await world.settle(10.0)
    assert world.sandbox.calls(FIND) == [403]
    world.sandbox.account.restore_scopes()
    await world.settle(MINUTE)
    assert world.emails() == [ANN]


@in_world()
async def test_who_leaves_everything_does_not_wait_for_the_leave_to_read_lists(world: World) -> None:
    for email in (ANN, BOB):
        await world.sandbox.control("profiles", email=email, consent="SUBSCRIBED")
    await lists(world, ANN)
    world.sandbox.without("lists:read")
    await identify(world, ANN, listId=NEWS, subscribe=False, consent=["email"])
    await identify(world, BOB, subscribe=False)
    await world.pass_hold()
    assert consent(world, BOB)[0] == "UNSUBSCRIBED"
    assert consent(world, ANN)[0] == "SUBSCRIBED"
    assert consents(world, ANN).list_suppressions == []
    world.sandbox.account.restore_scopes()
    for _ in range(3):
        await world.settle(MINUTE)
    assert [left.list_id for left in consents(world, ANN).list_suppressions] == [NEWS]


@pytest.mark.parametrize(("email_primary", "external_id"), [(False, "4711"), (True, None)])
@in_world(hold_seconds=0)
async def test_a_customers_id_is_sent_where_the_site_says_so(
    world: World, email_primary: bool, external_id: str | None
) -> None:
    world.site = msgspec.structs.replace(world.site, email_primary=email_primary)
    world.new_sender()
    await world.server({"type": "identify", "userId": "4711", "traits": {"email": ANN}})
    await world.browser().identify("666", email=BOB)
    await world.settle()
    known = {profile.email: profile.external_id for profile in world.sandbox.account.profiles}
    assert known == {ANN: external_id, BOB: None}, "anybody can name a customer in a browser"
