"""Export: all that is held of a person, as JSON, and nothing of anybody else."""

from typing import Any

import msgspec
import pytest

from relay.config import Behaviour
from relay.export import export
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.subject import Asker, Whom
from tests.integration import test_behaviour as behaving
from tests.integration.test_forget import ANN, BOB, PHONE, erase, full_life
from tests.integration.world import HOUR, LAMP, MINUTE, World, in_world


async def exported(world: World, whom: Whom = ANN, by: Asker = Asker.OPERATOR) -> dict[str, list[dict[str, Any]]]:
    document = await export(world.store, [world.site], whom, now=world.clock.now(), by=by)
    held: dict[str, list[dict[str, Any]]] = msgspec.json.decode(msgspec.json.encode(document))["sites"]["shop"]
    return held


@in_world(country="US")
async def test_everything_held_of_a_person_is_handed_out(world: World) -> None:
    await full_life(world)
    held = await exported(world)
    assert {name for name, rows in held.items() if rows} == {
        "identifiers", "persons", "visitors", "merges", "events", "deliveries", "unties", "journal",
    }  # fmt: skip
    values = {(each["kind"], each["value"]): each for each in held["identifiers"]}
    assert {("email", ANN), ("phone", PHONE), ("customer_id", "customer-ann")} <= set(values)
    assert values["email", ANN]["trust"] == "klaviyo"
    assert values["email", ANN]["first_at"].endswith("+00:00")
    assert any(each["traits"].get("firstName") == "Annabel" for each in held["persons"])
    link = next(each for each in held["visitors"] if each["evidence"] == "kx")
    assert "opened a Klaviyo link" in link["evidence_in_words"]
    assert {each["end_reason"] for each in held["visitors"]} >= {None, "signed_out"}
    assert any("Sea Street" in str(each["body"]) for each in held["events"])
    assert {each["state"] for each in held["deliveries"]} >= {"delivered", "held"}
    assert all(each["reason"] for each in held["deliveries"])
    assert any("Annabel" in str(each["messages"]) for each in held["journal"])


#: Tables that name a person or a visitor, by what they are called in the document.
TABLES = {
    "identifiers": "identifiers", "persons": "persons", "links": "visitors", "merges": "merges", "events": "events",
    "deliveries": "deliveries", "traces": "traces", "unties": "unties", "suspicions": "suspicions",
    "sketches": "sketches", "cart_calls": "cart_calls",
}  # fmt: skip
NAMES = {"person_id", "visitor_id", "source_id", "target_id"}


@in_world()
async def test_no_table_that_names_a_person_or_a_visitor_is_left_out(world: World) -> None:
    await world.browser().identify(email=ANN)
    found = {
        table["name"]
        for table in await world.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        if NAMES & {column["name"] for column in await world.rows(f"PRAGMA table_info({table['name']})")}
    }
    assert found == set(TABLES)
    assert {*TABLES.values(), "journal"} == set(await exported(world))


@in_world(behaviour=Behaviour.SUSPECT)
async def test_traces_proofs_and_suspicions_are_handed_out(world: World) -> None:
    ann = await behaving.known(world)
    await ann.track("Product Viewed", LAMP, context=ann.context | {"cookies": {"_ga": "GA1.1.123456789.1700000000"}})
    stranger = behaving.browser(world)
    await behaving.look_around(stranger)
    await world.pass_hold()
    held = await exported(world)
    assert "_ga" in {each["kind"] for each in held["traces"]}
    assert {each["visitor_id"] for each in held["sketches"]} == {each["visitor_id"] for each in held["visitors"]}
    (suspicion,) = held["suspicions"]
    assert (suspicion["probability"] > 0.5, suspicion["verdict"]) == (True, None)
    assert suspicion["weights"]
    assert [each["proof"] for each in held["deliveries"] if each["proof"]]


@in_world()
async def test_nothing_of_anybody_else_is_handed_out(world: World) -> None:
    ann, bob = world.browser(), world.browser()
    await ann.identify(email=ANN)
    await bob.identify(email=BOB)
    await bob.track("Product Viewed", LAMP)
    await world.pass_hold()
    assert BOB not in str(await exported(world))
    assert len((await exported(world, BOB))["events"]) == 2


@in_world()
async def test_what_others_did_in_the_same_browser_is_theirs(world: World) -> None:
    shared = world.browser()
    await shared.identify(email=ANN)
    await shared.identify(email=BOB)
    await shared.track("Product Viewed", LAMP | {"name": "Bob's present"})
    await world.process()
    assert "Bob's present" not in str((await exported(world))["events"])


@in_world()
async def test_what_was_done_before_a_sign_out_is_handed_out_and_what_came_after_is_not(world: World) -> None:
    shared = world.browser()
    shared.context = {"cookies": {"_ga": "GA1.1.1234567890.1700000000"}}
    await shared.track("Product Viewed", LAMP | {"name": "Lamp of Ann"})
    await shared.identify(email=ANN)
    await world.settle(MINUTE)
    await shared.sign_out()
    await world.settle(MINUTE)
    await shared.track("Product Viewed", LAMP | {"name": "Lamp of a stranger"})
    await world.settle(HOUR)
    held = await exported(world)
    assert len(held["events"]) == 3
    assert {each["kind"] for each in held["traces"]} == {"_ga"}
    assert [each["reason"] for each in held["unties"]] == ["signed_out"]
    for part in ("events", "journal"):
        assert ("Lamp of Ann" in str(held[part]), "Lamp of a stranger" in str(held[part])) == (True, False), part


@in_world()
async def test_a_request_that_is_not_processed_yet_is_handed_out(world: World) -> None:
    await world.browser().identify(email=ANN)
    held = await exported(world)
    assert held["identifiers"] == []
    assert ANN in str(held["journal"])


@pytest.mark.parametrize(
    "whom",
    [
        pytest.param(Identifier(IdentifierKind.CUSTOMER_ID, "7"), id="customer ID"),
        pytest.param(
            (Identifier(IdentifierKind.CUSTOMER_ID, "7"), Identifier(IdentifierKind.EMAIL, BOB)), id="several"
        ),
    ],
)
@in_world()
async def test_a_person_may_be_named_by_any_identifier(world: World, whom: Whom) -> None:
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.process()
    held = await exported(world, whom, Asker.SHOPIFY)
    assert {each["value"] for each in held["identifiers"]} == {"7", ANN}
    (line,) = await world.store.read(lambda tx: tx.privacy.audit("shop", limit=9, subject=("customer_id", "7")))
    assert (line.action, line.asked_by, line.counts["identifiers"]) == ("export", "shopify", 2)


@in_world()
async def test_somebody_unknown_has_nothing(world: World) -> None:
    assert not any((await exported(world)).values())


@in_world(country="US")
async def test_of_an_erased_person_there_is_nothing_left_to_hand_out(world: World) -> None:
    await full_life(world)
    await erase(world)
    await world.settle(MINUTE)
    await world.keep_house()
    assert not any((await exported(world)).values())


@in_world()
async def test_what_is_no_address_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="e-mail address"):
        await exported(world, "ann at mail dot com")
    with pytest.raises(ValueError, match="identifier"):
        await exported(world, ())
    assert await world.rows("SELECT * FROM audit") == []
