"""Erasure: nothing of the person stays, old news does not bring them back, Klaviyo is asked to erase too."""

import hashlib
import hmac
import sqlite3

import pytest

from relay.delivery.states import State
from relay.forget import Erased, forget
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.store.vault import Vault
from relay.subject import Asker, Whom
from tests.integration.world import CART, HOUR, LAMP, MINUTE, ORDERED, SECRETS, VIEWED, World, in_world

ANN, BOB = "ann@mail.com", "bob@mail.com"
PHONE = "+12025550123"
ADDRESS = {"first_name": "Annabel", "last_name": "Lee", "address1": "5 Sea Street", "city": "Boston", "phone": PHONE}
ORDER = {"order_id": "1001", "total": 20.0, "currency": "EUR", "products": [LAMP], "shipping_address": ADDRESS}


async def erase(world: World, address: str = ANN) -> Erased:
    return await forget(world.store, [world.site], address, now=world.clock.now())


def places_of(world: World, *words: str) -> set[str]:
    """Every table and column of both files that holds one of these words, in any row; letter case does not matter.

    Whoever has the key looks: what is sealed is opened.
    """
    found = set()
    for path in (world.store.path, world.store.journal_path):
        with sqlite3.connect(path) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                cursor = connection.execute(f"SELECT * FROM {table}")  # noqa: S608 - our own tables
                names = [column[0] for column in cursor.description]
                for row in cursor:
                    for name, value in zip(names, row, strict=True):
                        value = world.opened(name, value)
                        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                        if any(word.lower() in text.lower() for word in words):
                            found.add(f"{table}.{name}")
        connection.close()
    return found


async def full_life(world: World) -> None:
    """Ann has done all that leaves traces, in every way there is."""
    _, kx = await world.sandbox.profile(email=ANN, phone_number=PHONE)
    phone, laptop, other = world.browser(), world.browser(), world.browser()
    await phone.add_to_cart()
    await phone.identify("customer-ann", email="Ann@Mail.com", phone=PHONE, firstName="Annabel")
    await laptop.land(kx)
    await laptop.track("Product Viewed", LAMP)
    await other.identify(email=ANN)
    await other.post({"type": "page", "name": "Account", "properties": {"email": ANN}})
    await other.sign_out()
    await phone.identify("customer-ann", lastName="Lee")
    await phone.post({"type": "page", "name": "Sea Street shop"})
    await world.server(
        {"type": "identify", "userId": "customer-ann", "traits": {"email": ANN, "lastName": "Lee"}},
        {"type": "track", "event": "Order Completed", "properties": ORDER | {"email": ANN}},
        {"type": "page", "userId": "customer-ann", "properties": {"email": ANN}},
        {"type": "group", "userId": "customer-ann", "groupId": "g1", "traits": {"owner": "Annabel"}},
    )
    await world.settle()
    await world.pass_hold()
    await phone.add_to_cart()
    await world.process()


TRACES = (ANN, PHONE, "Annabel", "Lee", "Sea Street", "customer-ann")


@in_world(country="US")
async def test_nothing_of_an_erased_person_stays_in_any_table_of_both_files(world: World) -> None:
    await full_life(world)
    # The words the test looks for are really there before.
    assert {"identifiers.value", "persons.traits", "journal.body", "events.body"} <= places_of(world, *TRACES)
    assert await erase(world) == Erased(known=1, asked=1)
    # Klaviyo must still be asked, and what is under way to the journal must still be found.
    assert places_of(world, *TRACES) == {"deliveries.payload", "scrubs.marks"}
    await world.settle(MINUTE)
    await world.keep_house()
    assert places_of(world, *TRACES) == set()
    assert await world.rows("SELECT * FROM links") == []
    assert await world.rows("SELECT * FROM merges") == []


@in_world(country="US")
async def test_nothing_more_is_sent_of_an_erased_person(world: World) -> None:
    await full_life(world)
    sent = len(world.sandbox.calls("/api/events"))
    await erase(world)
    await world.settle(HOUR)
    assert len(world.sandbox.calls("/api/events")) == sent
    assert ("Added to Cart", "suppressed", "forgotten") in await world.fates()


@in_world(country="US")
async def test_klaviyo_is_asked_to_erase_the_profile(world: World) -> None:
    await full_life(world)
    assert ANN in {profile.email for profile in world.sandbox.account.profiles}
    await erase(world)
    await world.settle()
    assert [(job["identifier"], job["value"], job["found"]) for job in world.sandbox.account.deletions] == [
        ("email", ANN, True)
    ]
    assert ANN not in {profile.email for profile in world.sandbox.account.profiles}
    assert world.emails(ORDERED) == []


@in_world(hold_seconds=0)
async def test_the_erasure_at_klaviyo_is_the_last_thing_told_of_the_person(world: World) -> None:
    shopper, laptop, other = world.browser(), world.browser(), world.browser()
    for browser, address in ((shopper, ANN), (laptop, ANN), (other, BOB)):
        await browser.identify(email=address)
    await world.settle()
    for browser in (shopper, laptop, other):
        await browser.add_to_cart()
    await world.process()
    under_way = await world.store.transact(world.claim)  # calls that Klaviyo may get at any moment from now on
    assert len(under_way) == 3
    await erase(world)
    await world.settle(MINUTE)
    assert world.sandbox.account.deletions == []
    # One has arrived; of the other nobody has heard again, so it counts as not sent, and never will be.
    ann, *_ = (delivery for delivery in under_way if delivery.recipient and delivery.recipient.email == ANN)
    now = world.clock.now()
    await world.store.transact(
        lambda tx: tx.dispatch.settle(ann, State.DELIVERED, lease_owner=world.DEAD, at=now), "shop"
    )
    await world.settle()
    assert world.sandbox.account.deletions == []
    await world.settle(HOUR)
    assert [job["value"] for job in world.sandbox.account.deletions] == [ANN]
    assert world.emails(CART) == [BOB]


@in_world()
async def test_klaviyo_is_asked_about_somebody_unknown_here_as_well(world: World) -> None:
    await world.sandbox.profile(email=ANN)
    assert await erase(world, f" {ANN.upper()} ") == Erased(known=0, asked=1)
    await world.settle()
    assert list(world.sandbox.account.profiles) == []


@in_world()
async def test_an_erasure_waits_for_the_scope_it_needs(world: World) -> None:
    await world.sandbox.profile(email=ANN)
    world.sandbox.without("data-privacy:write")
    await erase(world)
    await world.settle()
    assert await world.fates() == [("deletion", "ready", "forgotten")]
    world.sandbox.account.restore_scopes()
    await world.settle(MINUTE)
    assert list(world.sandbox.account.profiles) == []


@in_world()
async def test_others_are_left_alone(world: World) -> None:
    ann, bob = world.browser(), world.browser()
    await ann.identify(email=ANN)
    await bob.identify(email=BOB)
    await bob.add_to_cart()
    await world.process()
    await erase(world)
    await world.pass_hold()
    assert world.emails(CART) == [BOB]
    await bob.track("Product Viewed", LAMP)
    await world.pass_hold()
    assert world.emails(VIEWED) == [BOB]


@in_world()
async def test_what_is_no_address_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="e-mail address"):
        await erase(world, "ann at mail dot com")
    await world.settle()
    assert world.sandbox.account.deletions == []


@in_world()
async def test_a_person_on_the_same_device_keeps_what_is_proven_theirs(world: World) -> None:
    shared = world.browser()
    await shared.identify(email=ANN)
    await shared.track("Product Viewed", LAMP)
    world.clock.advance(1.0)
    await shared.identify(email=BOB)
    await shared.add_to_cart()
    await world.process()
    await erase(world)
    await world.pass_hold()
    assert world.emails(CART) == [BOB]
    assert [cart.properties["ProductName"] for cart in world.received(CART)] == ["Lamp"]
    assert world.received(VIEWED) == []


@in_world()
async def test_what_nobody_can_tell_apart_on_a_shared_device_is_not_sent(world: World) -> None:
    shared = world.browser()
    await shared.identify(email=ANN)
    await shared.identify(email=BOB)
    await world.settle(HOUR)
    await shared.add_to_cart()
    await world.process()
    await erase(world)
    await shared.identify(email=BOB)
    await world.pass_hold()
    assert world.received(CART) == []


async def left_of(world: World, visitor: str) -> dict[str, int]:
    """How many rows name the visitor, by table; the empty ones left out."""
    tables = "events", "deliveries", "traces", "unties", "links"
    left = {
        table: (await world.rows(f"SELECT count(*) AS n FROM {table} WHERE visitor_id = ?", visitor))[0]["n"]  # noqa: S608
        for table in tables
    }
    left["journal"] = sum(row.entry.visitor_id == visitor for row in await world.store.entries("shop", 0, 100))
    left["proofs"] = len(await world.rows("SELECT * FROM proofs"))
    return {table: n for table, n in left.items() if n}


@pytest.mark.parametrize("is_signed_out", [False, True])
@in_world()
async def test_nothing_stays_of_a_browser_whether_its_person_has_signed_out_or_not(
    world: World, is_signed_out: bool
) -> None:
    ann = world.browser()
    ann.context = {"cookies": {"_ga": "GA1.1.1234567890.1700000000"}}
    await ann.identify(email=ANN)
    await ann.post({"type": "page", "name": "Home", "context": {"page": {"url": "https://shop.example.com/hiv-test"}}})
    await ann.add_to_cart()
    await world.settle(MINUTE)
    if is_signed_out:
        await ann.sign_out()
        await world.settle(MINUTE)
    (visitor,) = {row["visitor_id"] for row in await world.rows("SELECT visitor_id FROM links")}
    assert {"events", "traces", "links", "journal", "proofs"} <= set(await left_of(world, visitor))
    await erase(world)
    assert await left_of(world, visitor) == {}


@in_world()
async def test_what_others_did_after_a_sign_out_stays_theirs(world: World) -> None:
    shared = world.browser()
    await shared.identify(email=ANN)
    await shared.track("Product Viewed", LAMP | {"name": "Lamp of Ann"})
    await world.settle(MINUTE)
    await shared.sign_out()
    await world.settle(MINUTE)
    await shared.track("Product Viewed", LAMP | {"name": "Lamp of a stranger"})
    await world.settle(HOUR)
    await shared.identify(email=BOB)
    await shared.track("Product Viewed", LAMP | {"name": "Lamp of Bob"})
    await world.settle(MINUTE)
    await erase(world)
    await world.settle(MINUTE)
    await world.keep_house()
    bodies = str([row["body"] for row in await world.rows("SELECT body FROM events")])
    assert [name in bodies for name in ("of Ann", "of a stranger", "of Bob")] == [False, True, True]
    found = places_of(world, "Lamp of Ann") | places_of(world, ANN)
    assert found == set()
    assert "journal.body" in places_of(world, "Lamp of a stranger")
    await shared.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [BOB]


@in_world()
async def test_what_was_done_in_a_browser_where_a_mail_of_theirs_was_but_opened_stays(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    friend = world.browser()
    await friend.land(kx)
    await world.settle(MINUTE)
    await friend.post({"type": "page", "name": "Lamps"})
    await friend.identify(email=BOB)
    await world.settle(MINUTE)
    (visitor,) = {row["visitor_id"] for row in await world.rows("SELECT visitor_id FROM links")}
    before = (await left_of(world, visitor))["events"]
    await erase(world)
    assert (await left_of(world, visitor))["events"] == before


# Coming back


@pytest.mark.parametrize("trust", ["browser", "server"])
@in_world(country="US")
async def test_old_news_does_not_bring_the_person_back(world: World, trust: str) -> None:
    await full_life(world)
    await erase(world)
    await world.settle()
    laggard = world.browser()
    news = [
        {"type": "identify", "userId": "customer-ann", "traits": {"email": ANN, "phone": PHONE}},
        {"type": "identify", "userId": "customer-new", "traits": {"email": ANN, "firstName": "Annabel"}},
        {"type": "identify", "userId": "customer-ann", "traits": {"lastName": "Lee"}},
        {"type": "identify", "traits": {"phone": PHONE}},
        {"type": "track", "event": "Order Completed", "properties": ORDER | {"order_id": "1002", "email": ANN}},
        {"type": "page", "properties": {"email": ANN}},
    ]
    old = [message | {"ago": HOUR} for message in news]
    await (laggard.post(*old) if trust == "browser" else world.server(*old))
    await world.pass_hold()
    await laggard.add_to_cart()
    await world.pass_hold()
    assert world.received() == []
    await world.keep_house()
    await world.store._journal.run(lambda journal: journal.execute("DELETE FROM journal"))  # 7 days later
    assert places_of(world, *TRACES) == set()
    assert await world.rows("SELECT * FROM identifiers") == []


@in_world()
async def test_an_old_link_followed_before_the_erasure_does_not_bring_the_person_back(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    first = world.browser()
    await first.land(kx)
    await world.settle()
    world.sandbox.without("data-privacy:write")  # Klaviyo has not erased yet
    await erase(world)
    await world.settle()
    laggard = world.browser()
    await laggard.land(kx, ago=HOUR)
    await laggard.add_to_cart()
    await world.pass_hold()
    assert world.received() == []
    assert places_of(world, ANN, kx) <= {"deliveries.payload", "journal.body", "scrubs.marks"}
    assert await world.rows("SELECT * FROM identifiers") == []


@in_world()
async def test_a_lookup_answered_after_the_erasure_does_not_bring_the_person_back(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    shopper = world.browser()
    await shopper.land(kx)
    await shopper.add_to_cart()
    await world.process()
    world.clock.advance(MINUTE)
    world.sandbox.without("data-privacy:write")  # Klaviyo has not erased yet
    await erase(world)
    await world.settle(MINUTE)
    await world.pass_hold()
    assert world.sandbox.account.lookups[0]["found"] == 1
    assert world.received() == []
    assert await world.rows("SELECT value FROM identifiers WHERE kind = 'email'") == []


@in_world()
async def test_an_erased_person_who_comes_again_is_welcome(world: World) -> None:
    await world.browser().identify(email=ANN)
    await world.settle()
    await erase(world)
    await world.settle(MINUTE)
    again = world.browser()
    await again.identify(email=ANN)
    await again.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_an_erasure_is_remembered_when_the_signing_key_is_renewed(world: World) -> None:
    await world.browser().identify(email=ANN)
    await world.process()
    await erase(world)
    world.clock.advance(MINUTE)
    await world.renew("a-newer-key-for-signing", *SECRETS)
    await world.renew("a-newer-key-for-signing")
    await world.browser().identify(email=ANN, ago=HOUR)
    await world.pass_hold()
    assert await world.rows("SELECT * FROM identifiers") == []


@in_world()
async def test_what_stays_of_the_person_is_a_hash_that_only_the_key_can_make(world: World) -> None:
    await world.browser().identify(email=ANN)
    await world.process()
    await erase(world)
    hashes = {row["hash"] for row in await world.rows("SELECT hash FROM forgotten")}
    assert world.store._keys.of("shop").erased("email", ANN) in hashes
    assert Vault("shop", b"another key of 32 bytes in total").erased("email", ANN) not in hashes
    assert not hashes & {hashlib.sha256(text.encode()).digest() for text in (ANN, f"email:{ANN}")}


@in_world()
async def test_an_erasure_from_before_there_were_data_keys_still_holds(world: World) -> None:
    made = hmac.digest(SECRETS[0].encode(), f"email:{ANN}".encode(), hashlib.sha256)
    sql = "INSERT INTO forgotten (site_id, hash, forgotten_at) VALUES ('shop', ?, ?)"
    await world.store.transact(lambda tx: tx.connection.execute(sql, (made, world.clock.now())))
    world.clock.advance(MINUTE)
    await world.browser().identify(email=ANN, ago=HOUR)
    await world.process()
    assert await world.rows("SELECT * FROM identifiers") == []
    await world.browser().identify(email=ANN)
    await world.process()
    assert len(await world.rows("SELECT * FROM identifiers")) == 1


# What is under way


@in_world()
async def test_a_request_that_waits_to_be_processed_goes_with_the_erasure(world: World) -> None:
    await world.browser().identify(email=ANN)
    await world.browser().identify(email=BOB)
    await erase(world)
    assert "journal.body" in places_of(world, ANN)
    await world.settle(MINUTE)
    await world.keep_house()
    assert places_of(world, ANN) == set()
    assert "journal.body" in places_of(world, BOB)


@in_world()
async def test_what_an_erased_browser_did_before_does_not_come_back_without_a_name(world: World) -> None:
    ann = world.browser()
    await ann.identify(email=ANN)
    await world.process()
    await erase(world)
    await ann.track("Product Viewed", LAMP | {"name": "Annabel's lamp"}, ago=HOUR)
    world.clock.advance(MINUTE)
    await ann.track("Product Viewed", LAMP)
    await world.process()
    bodies = [row["body"] for row in await world.rows("SELECT body FROM events ORDER BY event_id")]
    assert ["Annabel" in body for body in bodies] == [False] * len(bodies)
    assert "Lamp" in bodies[-1]


# By whom and for whom


@in_world(country="US")
@pytest.mark.parametrize(
    "whom",
    [
        Identifier(IdentifierKind.PHONE, PHONE),
        Identifier(IdentifierKind.CUSTOMER_ID, "customer-ann"),
        (Identifier(IdentifierKind.CUSTOMER_ID, "customer-ann"), Identifier(IdentifierKind.PHONE, PHONE)),
    ],
    ids=["phone", "customer ID", "both"],
)
async def test_a_person_is_erased_by_whatever_they_are_named(world: World, whom: Whom) -> None:
    await full_life(world)
    erased = await forget(world.store, [world.site], whom, now=world.clock.now(), by=Asker.SHOPIFY)
    assert erased == Erased(known=1, asked=1)
    await world.settle(MINUTE)
    await world.keep_house()
    assert places_of(world, *TRACES) == set()
    # Klaviyo is asked once, by the address we knew.
    assert [(job["identifier"], job["value"]) for job in world.sandbox.account.deletions] == [("email", ANN)]


@in_world()
async def test_klaviyo_is_asked_by_number_about_whom_it_knows_by_number(world: World) -> None:
    await world.sandbox.profile(phone_number=PHONE)
    whom = Identifier(IdentifierKind.PHONE, PHONE)
    assert await forget(world.store, [world.site], whom, now=world.clock.now()) == Erased(known=0, asked=1)
    await world.settle()
    assert list(world.sandbox.account.profiles) == []


@in_world()
async def test_an_unknown_customer_id_is_nothing_to_ask_klaviyo_about(world: World) -> None:
    whom = Identifier(IdentifierKind.CUSTOMER_ID, "7")
    assert await forget(world.store, [world.site], whom, now=world.clock.now()) == Erased(known=0, asked=0)
    await world.settle()
    assert world.sandbox.account.deletions == []


@in_world()
async def test_every_address_of_the_person_is_erased_at_klaviyo(world: World) -> None:
    for address in (ANN, "ann@work.example"):
        await world.sandbox.profile(email=address)
        await world.server({"type": "identify", "userId": "customer-ann", "traits": {"email": address}})
    await world.process()
    await erase(world)
    await world.settle()
    assert list(world.sandbox.account.profiles) == []


@in_world()
async def test_an_erasure_is_written_down_without_saying_whose(world: World) -> None:
    await world.browser().identify(email=ANN)
    await world.settle()
    await erase(world)
    (line,) = await world.store.read(lambda tx: tx.privacy.audit("shop", limit=9, subject=("email", ANN)))
    assert (line.action, line.asked_by, line.at) == ("erasure", "operator", world.clock.now())
    assert line.counts["identifiers"] == line.counts["links"] == line.counts["events"] == 1
    (row,) = await world.rows("SELECT * FROM audit")
    assert ANN not in str(row)
