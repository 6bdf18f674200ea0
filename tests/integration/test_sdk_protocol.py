"""What Segment's and RudderStack's SDKs send beyond the plain batch: paths, keys, anonymous IDs, history, settings."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from relay.config import Consent, PageEvents
from relay.identity.evidence import Recognition
from relay.model import Trust
from tests import factories
from tests.factories import NOW, ORIGIN, PUBLIC_KEY, SERVER_KEY, call, uuid4
from tests.integration.door import Answer, Door, basic
from tests.integration.world import CART, DAY, LAMP, ORDERED, RELAY, World, in_world
from tests.integration.world import SERVER_KEY as SECRET

FOREIGN = "https://elsewhere.example"
ANN = "ann@mail.com"
LIST = "Y6nRLr"
ORDER = {"order_id": "1042", "total": 20, "currency": "EUR", "products": [LAMP]}


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with Door(tmp_path) as door:
        yield door


def post(door: Door, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
    return door.post(path, msgspec.json.encode(body), headers)


# --- paths and bodies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "type_"),
    [("t", "track"), ("i", "identify"), ("p", "page"), ("s", "screen"), ("g", "group"), ("a", "alias")],
)
def test_segments_browser_sdk_posts_each_call_under_its_first_letter(door: Door, path: str, type_: str) -> None:
    body = call(type=type_) | {"writeKey": PUBLIC_KEY}
    answer = post(door, f"/v1/{path}", body, {"origin": ORIGIN} | basic(PUBLIC_KEY))
    assert answer.status == 200, answer.body
    ((message,),) = [entry.messages for entry in door.journal()]
    assert message.type == type_


@pytest.mark.parametrize("path", ["/v1/b", "/v1/batch", "/beacon/v1/batch"])
def test_batches_come_under_three_addresses(door: Door, path: str) -> None:
    messages = [call(), call()]
    assert post(door, path, {"batch": messages, "writeKey": PUBLIC_KEY}, {"origin": ORIGIN}).status == 200
    assert door.kept_ids() == [message["messageId"] for message in messages]


@pytest.mark.parametrize("path", ["/v1/x", "/v1/tt", "/v1/T", "/v1/import/", "/beacon/v1/x", "/beacon/batch"])
def test_no_other_address_collects(door: Door, path: str) -> None:
    assert post(door, path, {"batch": [call()]}, basic(SERVER_KEY)).status in (404, 405)
    assert door.journal() == []


def test_a_beacon_says_its_public_key_in_the_address(door: Door) -> None:
    answer = post(door, f"/beacon/v1/batch?writeKey={PUBLIC_KEY}", {"batch": [call()]}, {"origin": ORIGIN})
    assert answer.status == 200
    assert door.journal()[0].trust is Trust.BROWSER


def test_a_secret_key_in_the_address_is_not_heard(door: Door) -> None:
    answer = post(door, f"/beacon/v1/batch?writeKey={SERVER_KEY}", {"batch": [call()]}, {"origin": ORIGIN})
    assert (answer.status, answer.error["code"]) == (401, "missing_write_key")
    assert door.journal() == []


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "application/json;charset=UTF-8"])
def test_a_compressed_body_is_read_whatever_axios_calls_it(door: Door, media_type: str) -> None:
    body = gzip.compress(msgspec.json.encode({"batch": [call()]}))
    headers = {"content-type": media_type, "content-encoding": "gzip"} | basic(SERVER_KEY)
    assert door.post("/v1/batch", body, headers).status == 200
    assert len(door.kept_ids()) == 1


# --- keys ------------------------------------------------------------------------------------------------------------


def test_the_public_key_as_user_name_is_a_browsers_word(door: Door) -> None:
    answer = post(door, "/v1/track", call(), basic(PUBLIC_KEY) | {"origin": ORIGIN})
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") == ORIGIN
    assert door.journal()[0].trust is Trust.BROWSER


@pytest.mark.parametrize("headers", [{}, {"origin": FOREIGN}], ids=["a server", "a foreign page"])
def test_the_public_key_as_user_name_needs_an_allowed_origin(door: Door, headers: dict[str, str]) -> None:
    answer = post(door, "/v1/track", call(), basic(PUBLIC_KEY) | headers)
    assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
    assert door.journal() == []


# --- anonymous IDs ---------------------------------------------------------------------------------------------------


def test_a_browser_without_cookies_goes_by_the_random_id_of_its_sdk(door: Door) -> None:
    ours, other = uuid4(), uuid4()
    for _ in range(2):
        door.browser([call(anonymousId=ours)])
    door.browser([call(anonymousId=other)])
    first, again, stranger = door.journal()
    assert first.visitor_id == again.visitor_id != stranger.visitor_id
    assert {entry.recognition for entry in door.journal()} == {Recognition.SDK}


def test_a_cookie_that_comes_back_is_the_same_visitor(door: Door) -> None:
    anonymous_id = uuid4()
    answer = door.browser([call(anonymousId=anonymous_id)])
    door.browser([call(anonymousId=anonymous_id)], cookie=answer.cookie)
    first, again = door.journal()
    assert first.visitor_id == again.visitor_id
    assert again.recognition == Recognition.COOKIE


def test_a_cookie_goes_before_what_an_sdk_says(door: Door) -> None:
    answer = door.browser([call()])
    door.browser([call(anonymousId=uuid4()), call(anonymousId=uuid4())], cookie=answer.cookie)
    first, again = door.journal()
    assert (again.visitor_id, len(again.messages)) == (first.visitor_id, 2)


def test_a_server_passes_the_browsers_random_id_on(door: Door) -> None:
    anonymous_id = uuid4()
    door.browser([call(anonymousId=anonymous_id)])
    door.server([call(anonymousId=anonymous_id.upper())])
    browser, server = door.journal()
    assert browser.visitor_id == server.visitor_id


@pytest.mark.parametrize("anonymous_id", ["1", "jane", "anonymous", "null", "00000000-0000-1000-8000-000000000000"])
def test_an_id_that_can_be_guessed_names_nobody_in_a_browser(door: Door, anonymous_id: str) -> None:
    door.server([call(anonymousId=anonymous_id)])
    door.browser([call(anonymousId=anonymous_id)])
    door.browser([call(anonymousId=anonymous_id)])
    assert len({entry.visitor_id for entry in door.journal()}) == 3
    assert [entry.recognition for entry in door.journal()[1:]] == [Recognition.NEW, Recognition.NEW]


def test_an_sdk_that_was_reset_within_a_batch_is_two_visitors(door: Door) -> None:
    before, after = uuid4(), uuid4()
    door.browser([call(anonymousId=before), call(anonymousId=before), call(anonymousId=after)])
    assert [len(entry.messages) for entry in door.journal()] == [2, 1]
    assert len({entry.visitor_id for entry in door.journal()}) == 2


def test_a_random_id_is_kept_of_a_refusal_only(tmp_path: Path) -> None:
    with Door(tmp_path, factories.settings(sites=(factories.site(consent=Consent.REQUIRED),))) as door:
        known, silent = uuid4(), uuid4()
        door.browser([call(anonymousId=known, context={"consent": {"marketing": True}})])
        door.browser([call(anonymousId=known, context={"consent": {"marketing": False}})])
        door.browser([call(anonymousId=silent)])
        yes, no, nothing = door.journal()
        assert yes.visitor_id == no.visitor_id
        assert (nothing.visitor_id, nothing.messages[0].anonymous_id) == (None, None)


@in_world()
async def test_a_cart_before_the_login_is_found_without_any_cookie(world: World) -> None:
    anonymous_id = uuid4()
    shopper = world.browser()
    await shopper.track("Product Added", LAMP, anonymousId=anonymous_id)
    shopper.lose_everything()
    await shopper.post({"type": "identify", "anonymousId": anonymous_id, "traits": {"email": ANN}})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    (event,) = world.received(CART)
    assert "recognised by the random ID that the SDK keeps in the browser" in event.properties["BackflowEvidence"]


@in_world()
async def test_an_order_that_the_server_ties_to_the_browsers_id_finds_its_cart(world: World) -> None:
    anonymous_id = uuid4()
    await world.browser().track("Product Viewed", LAMP, anonymousId=anonymous_id)
    await world.server({"type": "identify", "userId": "7", "anonymousId": anonymous_id, "traits": {"email": ANN}})
    await world.pass_hold()
    assert world.emails() == [ANN]


@in_world()
async def test_a_refusal_ends_what_waits_for_the_sdks_visitor(world: World) -> None:
    anonymous_id = uuid4()
    shopper = world.browser()
    await shopper.track("Product Added", LAMP, anonymousId=anonymous_id)
    shopper.lose_everything()
    refusal = {"consent": {"marketing": False}}
    await shopper.post({"type": "page", "anonymousId": anonymous_id, "context": refusal})
    shopper.lose_everything()
    await shopper.post({"type": "identify", "anonymousId": anonymous_id, "traits": {"email": ANN}})
    await world.pass_hold()
    assert world.received() == []
    assert ("Added to Cart", "suppressed", "consent_withdrawn") in await world.fates()


# --- alias -----------------------------------------------------------------------------------------------------------


@in_world()
async def test_an_alias_of_a_server_ties_a_browsers_random_id(world: World) -> None:
    anonymous_id = uuid4()
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.browser().track("Product Added", LAMP, anonymousId=anonymous_id)
    await world.pass_hold()
    assert world.emails(CART) == []
    await world.server({"type": "alias", "previousId": anonymous_id, "userId": "7"})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_an_alias_of_a_browser_ties_no_other_id(world: World) -> None:
    anonymous_id = uuid4()
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.browser().track("Product Added", LAMP, anonymousId=anonymous_id)
    await world.browser().post({"type": "alias", "previousId": anonymous_id, "userId": "7"})
    await world.browser().post({"type": "alias", "previousId": anonymous_id, "anonymousId": uuid4(), "userId": "7"})
    await world.pass_hold()
    assert world.emails(CART) == []


@pytest.mark.parametrize("known", ["before", "after"])
@in_world()
async def test_an_alias_of_a_server_makes_two_customer_ids_one_person(world: World, known: str) -> None:
    """Whichever of the two has the address: what was done under the other finds it."""
    old, new = ("guest-1", "7") if known == "before" else ("7", "guest-1")
    await world.server({"type": "identify", "userId": old, "traits": {"email": ANN}})
    await world.server({"type": "track", "event": "Product Added", "userId": new, "properties": LAMP})
    await world.pass_hold()
    assert world.emails(CART) == []
    await world.server({"type": "alias", "previousId": "guest-1", "userId": "7"})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_an_alias_between_two_who_both_have_an_address_unites_nobody(world: World) -> None:
    await world.server({"type": "identify", "userId": "1", "traits": {"email": ANN}})
    await world.server({"type": "identify", "userId": "2", "traits": {"email": "bob@mail.com"}})
    await world.server({"type": "alias", "previousId": "1", "userId": "2"})
    await world.pass_hold()
    assert await world.rows("SELECT * FROM merges") == []
    assert {profile.email for profile in world.sandbox.account.profiles} == {ANN, "bob@mail.com"}


# --- what RudderStack's SDKs put elsewhere ---------------------------------------------------------------------------


@in_world()
async def test_the_traits_of_an_identify_may_stand_in_its_context(world: World) -> None:
    traits = {"email": ANN, "firstName": "Ann", "plan": "gold"}
    await world.server({"type": "identify", "userId": "7", "context": {"traits": traits}})
    await world.pass_hold()
    (profile,) = world.sandbox.account.profiles
    assert (profile.email, profile.first_name, profile.properties["plan"]) == (ANN, "Ann", "gold")


@in_world()
async def test_an_opt_in_that_an_sdk_repeats_with_every_login_counts_once(world: World) -> None:
    shopper = world.browser()
    told: dict[str, Any] = {"email": ANN, "properties": {"subscribe": True}}
    # One that was nobody's does not count.
    await shopper.post({"type": "identify", "userId": "7", "context": {"traits": {"subscribe": True}}})
    for more in ({}, {"plan": "gold"}):
        await shopper.post({"type": "identify", "userId": "7", "context": {"traits": told | more}})
    await world.process()
    assert [fate for fate in await world.fates() if fate[0] == "subscribe"] == [
        ("subscribe", "suppressed", "unproven"), ("subscribe", "ready", "asked"),
    ]  # fmt: skip
    # A server's repeat is no new one either.
    await world.server({"type": "identify", "userId": "7", "context": {"traits": told}})
    await world.process()
    assert len([fate for fate in await world.fates() if fate[0] == "subscribe"]) == 2


@in_world()
async def test_a_server_may_name_the_profile_itself(world: World) -> None:
    profile_id, _ = await world.sandbox.profile(email=ANN)
    external = [{"type": "klaviyo-profileId", "id": profile_id}]
    await world.server(
        {"type": "track", "event": "Order Completed", "properties": ORDER, "context": {"externalId": external}}
    )
    await world.pass_hold()
    assert world.emails(ORDERED) == [ANN]


@in_world()
async def test_a_browser_may_not_name_a_profile(world: World) -> None:
    profile_id, _ = await world.sandbox.profile(email=ANN)
    external = [{"type": "klaviyo-profileId", "id": profile_id}]
    await world.browser().add_to_cart(context={"externalId": external})
    await world.pass_hold()
    assert world.received() == []


@pytest.mark.parametrize("said", ["ann@mail.com", "", 7.5, None, "01H" + "X" * 40, ["01HXXXXX"]])
@in_world()
async def test_what_is_no_profile_id_is_sent_as_nothing_else(world: World, said: Any) -> None:
    external = [{"type": "klaviyo-profileId", "id": said}]
    await world.server(
        {"type": "track", "event": "Order Completed", "properties": ORDER, "context": {"externalId": external}}
    )
    await world.pass_hold()
    assert world.received() == []
    assert [(state, reason) for _, state, reason in await world.fates()] == [("waiting", "no_identity")] * 2


@pytest.mark.parametrize(("active", "n"), [(True, 1), (None, 1), (False, 0)])
@in_world(page_events=PageEvents.ACTIVE_ON_SITE)
async def test_nobody_is_active_on_a_page_that_nobody_looked_at(world: World, active: bool | None, n: int) -> None:
    await world.server({"type": "page", "userId": "7", "context": {"active": active, "traits": {"email": ANN}}})
    await world.pass_hold()
    assert len(world.received("Active on Site - Backup Flow")) == n
    assert (await world.sums())["accepted"] == 1


# --- history ---------------------------------------------------------------------------------------------------------


async def bring_history(world: World, *messages: dict[str, Any], key: str | None = None) -> int:
    batch = [world.dated(message) for message in messages]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.collect), base_url=RELAY) as http:
        headers = {"origin": "https://shop.example.com"}
        answer = await http.post("/v1/import", json={"batch": batch}, auth=(key or SECRET, ""), headers=headers)
    return answer.status_code


@in_world(hold_seconds=0)
async def test_an_import_is_recorded_and_starts_no_flow(world: World) -> None:
    person = {"type": "identify", "userId": "7", "traits": {"email": ANN}}
    fresh = {"type": "track", "event": "Product Added", "userId": "7", "properties": LAMP}
    old = {"type": "track", "event": "Order Completed", "userId": "7", "properties": ORDER, "ago": 400 * DAY}
    assert await bring_history(world, person, fresh, old) == 200
    await world.settle()
    assert [(event.metric, event.backfill) for event in world.received()] == [
        (CART, True), (ORDERED, True), ("Ordered Product - Backup Flow", True),
    ]  # fmt: skip
    assert await world.sums() == {"received": 3, "accepted": 3}
    # What comes by the ordinary door starts flows as ever.
    await world.server(fresh | {"messageId": uuid4()})
    await world.settle()
    assert [event.backfill for event in world.received(CART)] == [True, False]


@in_world(hold_seconds=0)
async def test_an_imported_event_stays_history_when_its_person_is_found_later(world: World) -> None:
    await bring_history(world, {"type": "track", "event": "Product Added", "userId": "7", "properties": LAMP})
    await world.settle()
    assert world.received() == []
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.settle()
    assert [event.backfill for event in world.received(CART)] == [True]


@in_world(hold_seconds=0, list_id=LIST)
async def test_an_import_joins_nobody_to_a_list_and_subscribes_as_history(world: World) -> None:
    await world.sandbox.control("lists", id=LIST, name="News")
    joins = {"type": "identify", "userId": "7", "traits": {"email": ANN}, "integrations": {"Klaviyo": {"listId": LIST}}}
    opted_in = {"type": "identify", "userId": "8", "traits": {"email": "bob@mail.com", "subscribe": True}, "ago": DAY}
    await bring_history(world, joins, opted_in)
    await world.process()
    fates = await world.fates()
    assert ("list_add", "suppressed", "history") in fates
    (row,) = (row for row in await world.deliveries() if row["kind"] == "subscribe")
    assert msgspec.json.decode(row["payload"])["historical"] is True


@in_world()
async def test_a_browser_brings_no_history(world: World) -> None:
    assert await bring_history(world, {"type": "track", "event": "Product Added"}, key="pk_shop") == 403
    await world.process()
    assert await world.sums() == {}


# --- settings of browser SDKs ----------------------------------------------------------------------------------------


def test_segments_sdk_is_sent_back_to_the_relay_it_asked(door: Door) -> None:
    answer = door.get(f"/v1/projects/{PUBLIC_KEY}/settings", {"origin": ORIGIN, "host": "r.shop.example"})
    assert answer.status == 200
    segment = answer.json["integrations"]["Segment.io"]
    assert list(answer.json["integrations"]) == ["Segment.io"]
    assert (segment["apiKey"], segment["apiHost"]) == (PUBLIC_KEY, "r.shop.example/v1")
    assert (segment["protocol"], answer.json["metrics"]) == ("https", {"sampleRate": 0})
    assert answer.header("access-control-allow-origin") == ORIGIN
    assert answer.header("cache-control") == "public, max-age=300"
    assert answer.header("vary") == "Origin"
    assert answer.header("set-cookie") is None


def test_behind_a_path_of_the_shop_the_sdk_is_sent_to_that_path(tmp_path: Path) -> None:
    with Door(tmp_path, factories.settings(path_prefix="/_r")) as door:
        for path in ("/_r/v1/projects", "/v1/projects"):
            answer = door.get(f"{path}/{PUBLIC_KEY}/settings", {"host": "shop.example"})
            assert answer.json["integrations"]["Segment.io"]["apiHost"] == "shop.example/_r/v1"


@pytest.mark.parametrize("path", ["/sourceConfig", "/sourceConfig/"])
@pytest.mark.parametrize("headers", [{}, basic(PUBLIC_KEY)], ids=["key in the address", "key as user"])
def test_rudderstacks_sdk_finds_a_source_without_destinations(door: Door, path: str, headers: dict[str, str]) -> None:
    query = "" if headers else f"?writeKey={PUBLIC_KEY}"
    answer = door.get(path + query, headers | {"origin": ORIGIN})
    source = answer.json["source"]
    assert (answer.status, source["enabled"], source["destinations"]) == (200, True, [])
    assert source["config"]["statsCollection"] == {"errors": {"enabled": False}, "metrics": {"enabled": False}}
    assert answer.header("access-control-allow-origin") == ORIGIN


@pytest.mark.parametrize("path", ["/v1/projects/wrong/settings", "/sourceConfig?writeKey=wrong", "/sourceConfig"])
def test_an_unknown_key_has_no_settings(door: Door, path: str) -> None:
    answer = door.get(path, {"origin": ORIGIN})
    assert (answer.status, answer.error["code"]) == (404, "unknown_write_key")


def test_the_secret_key_has_no_settings_and_is_in_none(door: Door) -> None:
    assert door.get(f"/v1/projects/{SERVER_KEY}/settings").status == 404
    for path in (f"/v1/projects/{PUBLIC_KEY}/settings", f"/sourceConfig?writeKey={PUBLIC_KEY}"):
        assert SERVER_KEY.encode() not in door.get(path).body


@pytest.mark.parametrize("path", [f"/v1/projects/{PUBLIC_KEY}/settings", "/sourceConfig/"])
@pytest.mark.parametrize(("origin", "allowed"), [(ORIGIN, ORIGIN), (FOREIGN, None)])
def test_the_preflight_of_settings_is_for_allowed_origins(
    door: Door, path: str, origin: str, allowed: str | None
) -> None:
    answer = door.get(path, {"origin": origin, "access-control-request-method": "GET"}, method="OPTIONS")
    assert answer.status == 204
    assert answer.header("access-control-allow-origin") == allowed
    assert "authorization" in (answer.header("access-control-allow-headers") or "") or allowed is None


def test_head_answers_as_get_without_a_body(door: Door) -> None:
    answer = door.get(f"/sourceConfig/?writeKey={PUBLIC_KEY}", {"origin": ORIGIN}, method="HEAD")
    assert (answer.status, answer.header("access-control-allow-origin")) == (200, ORIGIN)


# --- times -----------------------------------------------------------------------------------------------------------


def test_both_times_of_an_sdk_are_corrected_by_its_clock(door: Door) -> None:
    """RudderStack dates each message of a batch and the batch; Segment the batch alone. ``originalTimestamp`` is what
    the SDK wrote, ``timestamp`` what a server in between may have made of it."""
    message = call(
        originalTimestamp="1971-01-01T00:00:05Z", timestamp="2001-01-01T00:00:00Z", sentAt="1971-01-01T00:00:10Z"
    )
    door.browser([message], sentAt="1971-01-01T00:00:10Z")
    door.browser([message | {"messageId": uuid4()}])
    times = [entry.messages[0].occurred_at for entry in door.journal()]
    assert times == [pytest.approx(NOW - 5), pytest.approx(NOW - 5)]
