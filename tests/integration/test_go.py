"""Our own links: the shopper always gets to the shop; who they are is believed only when everything is right."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.config import Consent
from relay.errors import StoreUnavailable
from relay.forget import forget
from relay.identity.cookie import MAX_AGE
from relay.identity.link_token import LinkTokens
from relay.store.rows import Entry
from tests import factories
from tests.factories import DAY, NOW, ORIGIN, SIGNING_KEY
from tests.integration.door import Answer, Door
from tests.integration.world import CART, CHROME, HOUR, LAMP, World, in_world

ANN, BOB = "ann@mail.com", "bob@mail.com"
PERSON = "0f" * 16
HUMAN = {"user-agent": CHROME, "sec-fetch-dest": "document", "sec-fetch-mode": "navigate"}
#: A mug whose link was made by Klaviyo's template.
TO = "/products/mug"


def token(now: float = NOW, *, key: str = SIGNING_KEY, person: str = PERSON) -> str:
    return LinkTokens([key], "shop", 30 * DAY).token(person, now)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with Door(tmp_path) as opened:
        yield opened


def go(door: Door, bf: str | None = None, *, method: str = "GET", query: str = "", **headers: str) -> Answer:
    given = HUMAN | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = door.get(f"/go?bf={token() if bf is None else bf}&to={TO}{query}", given, method=method)
    assert answer.status == 302
    assert answer.header("cache-control") == "no-store"
    assert answer.header("referrer-policy") == "no-referrer"
    return answer


def test_a_link_leads_to_the_shop_with_a_full_length_cookie(door: Door) -> None:
    answer = go(door)
    assert answer.header("location") == f"{ORIGIN}{TO}"
    set_cookie = answer.header("set-cookie")
    assert set_cookie is not None
    assert set_cookie.startswith("__Host-bf=")
    assert f"Max-Age={MAX_AGE}; HttpOnly; Secure; SameSite=Lax" in set_cookie
    (entry,) = door.journal()
    assert (entry.trust, entry.recognition, len(entry.messages)) == ("browser", "new", 1)


def test_a_known_visitor_stays_the_same(door: Door) -> None:
    first = door.browser([factories.call()])
    assert first.cookie is not None
    answer = go(door, cookie=first.cookie)
    assert answer.header("set-cookie") is None  # renewed at most daily
    browser, opened = door.journal()
    assert (opened.visitor_id, opened.recognition) == (browser.visitor_id, "cookie")


def test_the_tag_meets_the_visitor_that_the_link_has_made(door: Door) -> None:
    answer = go(door)
    door.browser([factories.call()], cookie=answer.cookie)
    opened, browser = door.journal()
    assert opened.visitor_id == browser.visitor_id


def test_what_klaviyo_adds_travels_on_and_the_token_does_not(door: Door) -> None:
    answer = go(door, query="&_kx=abc.XYZ&utm_source=Klaviyo")
    assert answer.header("location") == f"{ORIGIN}{TO}?_kx=abc.XYZ&utm_source=Klaviyo"


def test_links_work_below_the_prefix_too(tmp_path: Path) -> None:
    with Door(tmp_path, factories.settings(path_prefix="/_r")) as door:
        answer = door.get(f"/_r/go?bf={token()}&to={TO}", HUMAN)
        assert (answer.status, answer.header("location")) == (302, f"{ORIGIN}{TO}")
        assert len(door.journal()) == 1


@pytest.mark.parametrize(
    "bf",
    ["x", token()[:-1], token(key="another"), token(NOW - 60 * DAY), "%00", "%ED%A0%80", "a" * 5000],
    ids=["no token", "cut", "of another key", "too old", "a null byte", "half a surrogate", "endless"],
)
def test_a_bad_link_leads_to_the_shop_and_ties_nobody(door: Door, bf: str) -> None:
    answer = go(door, bf)
    assert answer.header("location") == f"{ORIGIN}{TO}"
    assert answer.header("set-cookie") is None
    assert door.process()["dropped", "invalid_link"] == 1
    assert door.kept_ids() == []


def test_a_link_without_a_token_is_a_plain_redirect(door: Door) -> None:
    answer = go(door, "")
    assert answer.header("location") == f"{ORIGIN}{TO}"
    assert answer.header("set-cookie") is None
    assert door.journal() == []


@pytest.mark.parametrize(
    ("headers", "method"),
    [
        pytest.param({}, "HEAD", id="a mail program looks whether it is there"),
        pytest.param({"sec_gpc": "1"}, "GET", id="global privacy control"),
        pytest.param({"purpose": "prefetch"}, "GET", id="prefetch"),
        pytest.param({"sec_purpose": "prefetch;prerender"}, "GET", id="prerender"),
        pytest.param({"x_moz": "prefetch"}, "GET", id="prefetch, older Firefox"),
        pytest.param({"x_purpose": "preview"}, "GET", id="preview, Safari's top sites"),
        pytest.param({"sec_fetch_dest": "image"}, "GET", id="an image on somebody's page"),
        pytest.param({"sec_fetch_dest": "iframe"}, "GET", id="a frame on somebody's page"),
        pytest.param({"user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}, "GET", id="a robot"),
        pytest.param({"user_agent": "python-requests/2.31"}, "GET", id="a scanner"),
        pytest.param({"user_agent": ""}, "GET", id="a scanner that says nothing"),
    ],
)
def test_who_is_no_shopper_is_led_on_and_not_tied(door: Door, headers: dict[str, str], method: str) -> None:
    answer = go(door, method=method, **headers)
    assert answer.header("location") == f"{ORIGIN}{TO}"
    assert answer.header("set-cookie") is None
    assert door.journal() == []


@pytest.mark.parametrize("broken", ["append", "read"])
def test_without_its_store_the_relay_still_leads_to_the_shop(
    door: Door, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """The token travels on to the tag, which repeats it until the relay is back."""

    async def fail(*_: Any) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(door.store, broken, fail)
    answer = go(door)
    assert answer.header("location") == f"{ORIGIN}{TO}?bf={token()}"
    assert answer.header("set-cookie") is None
    monkeypatch.undo()
    assert door.journal() == []


def test_the_cookie_is_set_only_after_the_commit(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    append = door.store.append

    async def slow(*entries: Entry) -> None:
        await append(*entries)
        order.append("commit")

    monkeypatch.setattr(door.store, "append", slow)
    door.run(
        door.call("GET", f"/go?bf={token()}&to=/", [b""], HUMAN, on_send=lambda event: order.append(event["type"]))
    )
    assert order == ["commit", "http.response.start", "http.response.body"]


@pytest.mark.parametrize(
    ("consent", "is_platform_seen", "is_tied"),
    [
        (Consent.ASSUMED, True, True),
        (Consent.AUTO, False, True),
        (Consent.AUTO, True, False),
        (Consent.REQUIRED, False, False),
    ],
)
def test_where_a_signal_is_needed_the_tag_follows_the_link(
    tmp_path: Path, consent: Consent, is_platform_seen: bool, is_tied: bool
) -> None:
    with Door(tmp_path, factories.settings(sites=(factories.site(consent=consent),))) as door:
        if is_platform_seen:
            door.browser([factories.call(context={"consent": {"source": "onetrust"}})])
            door.process()
        before = len(door.journal())
        answer = go(door)
        assert answer.header("location") == f"{ORIGIN}{TO}" + ("" if is_tied else f"?bf={token()}")
        assert (answer.header("set-cookie") is not None) is is_tied
        assert len(door.journal()) - before == is_tied


def test_a_flood_of_clicks_is_led_on_and_not_kept(door: Door) -> None:
    door.relay._go._rate_limit = type(door.relay._go._rate_limit)(2)
    for _ in range(3):
        go(door, "bad")
    assert len(door.journal()) == 2


def test_each_site_follows_its_own_links(tmp_path: Path) -> None:
    sites = tuple(
        factories.site(
            site_id=name, write_key=name, server_key=None, allowed_origins=frozenset({f"https://{name}.example"})
        )
        for name in ("one", "two")
    )
    with Door(tmp_path, factories.settings(sites=sites)) as door:
        mine = LinkTokens([SIGNING_KEY], "two", 30 * DAY).token(PERSON, NOW)
        assert door.get(f"/go?bf={mine}&to=/x", HUMAN).header("location") == "https://two.example/x"
        assert door.get(f"/go?bf={mine}&to=https://one.example/x", HUMAN).header("location") == "https://two.example/"
        assert door.get("/go?to=https://two.example/x", HUMAN).header("location") == "https://two.example/x"
        assert door.get("/go?key=two&to=/x", HUMAN).header("location") == "https://two.example/x"
        assert door.get("/go?to=/x", HUMAN).header("location") == "https://one.example/x"
        assert (len(door.journal("one")), len(door.journal("two"))) == (0, 2)


def test_a_shop_without_an_origin_is_named(tmp_path: Path) -> None:
    with Door(tmp_path, factories.settings(sites=(factories.site(allowed_origins=frozenset()),))) as door:
        answer = door.get(f"/go?bf={token()}&to=/x", HUMAN)
        assert (answer.status, answer.error["code"]) == (404, "no_destination")


# --- what becomes of it ----------------------------------------------------------------------------------------------


def link_of(world: World, email: str = ANN) -> str:
    """The token on the person's profile at Klaviyo, as an e-mail's template prints it."""
    return str(properties_of(world, email)["BackflowLink"])


def properties_of(world: World, email: str = ANN) -> dict[str, Any]:
    profile = world.sandbox.account.profiles.owner("email", email)
    assert profile is not None
    return profile.properties


async def known(world: World, email: str = ANN) -> str:
    await world.server({"type": "identify", "userId": email[:3], "traits": {"email": email}})
    await world.pass_hold()
    return link_of(world, email)


async def click(world: World, jar: httpx.AsyncClient, bf: str) -> None:
    """Open the link in the browser whose cookies these are."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(world.pages), base_url="https://relay.example.com", cookies=jar.cookies
    ) as http:
        answer = await http.get("/go", params={"bf": bf, "to": TO}, headers=HUMAN)
        assert answer.status_code == 302
        jar.cookies.update(http.cookies)


@in_world(link_property="BackflowLink")
async def test_whoever_opens_a_link_is_its_recipient_from_then_on(world: World) -> None:
    bf = await known(world)
    phone = world.browser()
    await click(world, phone.http, bf)
    await phone.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    (event,) = world.received(CART)
    assert "opened a link that we had signed for this person" in event.properties["BackflowEvidence"]


@in_world(link_property="BackflowLink")
async def test_a_link_brings_back_what_was_done_before(world: World) -> None:
    bf = await known(world)
    phone = world.browser()
    await phone.add_to_cart(ago=HOUR)
    await click(world, phone.http, bf)
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world(link_property="BackflowLink")
@pytest.mark.parametrize("place", ["clickIds", "page"])
async def test_a_landing_page_with_a_token_is_a_link_too(world: World, place: str) -> None:
    bf = await known(world)
    phone = world.browser()
    context = (
        {"clickIds": {"bf": bf}} if place == "clickIds" else {"page": {"url": f"https://shop.example.com/?bf={bf}"}}
    )
    await phone.post({"type": "page", "context": context})
    await phone.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world(link_property="BackflowLink")
async def test_a_login_goes_before_a_link(world: World) -> None:
    """A forwarded mail says whom it was sent to, not who reads it."""
    bf = await known(world)
    laptop = world.browser()
    await laptop.identify(email=BOB)
    await click(world, laptop.http, bf)
    await laptop.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [BOB]


@in_world(link_property="BackflowLink")
async def test_two_recipients_links_in_one_browser_are_nobodys(world: World) -> None:
    phone = world.browser()
    for email in (ANN, BOB):
        await click(world, phone.http, await known(world, email))
    await phone.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


@in_world(link_property="BackflowLink")
async def test_an_erased_person_is_not_brought_back_by_an_old_link(world: World) -> None:
    bf = await known(world)
    await forget(world.store, [world.site], ANN, now=world.clock.now())
    phone = world.browser()
    await click(world, phone.http, bf)
    await phone.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    assert await world.rows("SELECT * FROM links") == []
    assert await world.rows("SELECT * FROM persons") == []
    assert (await world.sums())["noted_link nobody"] == 1


@in_world(link_property="BackflowLink")
async def test_a_token_that_is_too_old_by_the_time_it_is_used_ties_nobody(world: World) -> None:
    bf = await known(world)
    world.clock.advance(31 * DAY)
    phone = world.browser()
    await phone.post(
        {"type": "page", "ago": 20 * DAY, "context": {"clickIds": {"bf": bf}}}
    )  # its own clock proves nothing
    await phone.post({"type": "page", "context": {"clickIds": {"bf": "forged"}}})
    await phone.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []
    sums = await world.sums()
    assert (sums["noted_link expired"], sums["noted_link forged"]) == (1, 1)


@in_world(link_property="BackflowLink")
async def test_signing_out_ends_what_a_link_has_said(world: World) -> None:
    bf = await known(world)
    phone = world.browser()
    await phone.post({"type": "page", "context": {"clickIds": {"bf": bf}}})
    await phone.track("Signed Out", context={"clickIds": {"bf": bf}})
    await phone.add_to_cart()
    await world.pass_hold()
    assert world.received(CART) == []


@in_world(link_property="BackflowLink")
async def test_a_merged_persons_link_is_that_of_whom_they_are_now(world: World) -> None:
    bf = await known(world)
    (person,) = await world.rows("SELECT person_id FROM persons")
    await world.server({"type": "identify", "userId": "other", "traits": {"email": BOB}})
    await world.process()
    (other,) = await world.rows("SELECT person_id FROM persons WHERE person_id <> ?", person["person_id"])
    unite = (person["person_id"], other["person_id"])
    await world.store.transact(lambda tx: tx.graph.unite("shop", *unite, at=world.clock.now(), message_id="m"))
    phone = world.browser()
    await click(world, phone.http, bf)
    await world.process()
    (link,) = await world.rows("SELECT person_id, evidence FROM links")
    assert (link["person_id"], link["evidence"]) == (other["person_id"], "link")


# --- the property ----------------------------------------------------------------------------------------------------


@in_world()
async def test_no_profile_gets_a_token_unless_the_shop_asks_for_it(world: World) -> None:
    await world.server({"type": "identify", "userId": "ann", "traits": {"email": ANN}})
    await world.server({"type": "track", "event": "Product Added", "properties": LAMP | {"email": ANN}})
    await world.pass_hold()
    assert not [name for name in properties_of(world) if "Link" in name]


@in_world(link_property="Way_back")
async def test_an_events_profile_carries_the_same_token_as_the_profile(world: World) -> None:
    await world.server({"type": "identify", "userId": "ann", "traits": {"email": ANN}})
    await world.pass_hold()
    first = properties_of(world)["Way_back"]
    world.clock.advance(HOUR)
    await world.server({"type": "track", "event": "Product Added", "properties": LAMP | {"email": ANN}})
    await world.pass_hold()
    assert properties_of(world)["Way_back"] == first


# --- Klaviyo's own profile ID ----------------------------------------------------------------------------------------


@in_world(profile_parameter="tw_profile_id")
@pytest.mark.parametrize("place", ["clickIds", "page"])
async def test_a_profile_id_in_the_landing_url_is_a_link(world: World, place: str) -> None:
    profile_id, _ = await world.sandbox.profile(email=ANN)
    url = f"https://shop.example.com/?tw_profile_id={profile_id}"
    phone = world.browser()
    context = {"clickIds": {"tw_profile_id": profile_id}} if place == "clickIds" else {"page": {"url": url}}
    await phone.add_to_cart(ago=HOUR)
    await phone.post({"type": "page", "context": context})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    (link,) = await world.rows("SELECT evidence FROM links")
    assert link["evidence"] == "profile_link"


@pytest.mark.parametrize(
    "value",
    ["", "Y6nRLr", "01hq0000000000000000000000", "81HQ0000000000000000000000", "01HQ", "01HQ" + "U" * 22],
)
@in_world(profile_parameter="tw_profile_id")
async def test_what_is_no_profile_id_names_nobody(world: World, value: str) -> None:
    phone = world.browser()
    await phone.post({"type": "page", "context": {"clickIds": {"tw_profile_id": value}}})
    await world.process()
    assert await world.rows("SELECT * FROM links") == []


@in_world()
async def test_without_the_setting_no_parameter_is_a_profile(world: World) -> None:
    profile_id, _ = await world.sandbox.profile(email=ANN)
    phone = world.browser()
    await phone.post({"type": "page", "context": {"clickIds": {"tw_profile_id": profile_id}}})
    await world.process()
    assert await world.rows("SELECT * FROM links") == []


@in_world(profile_parameter="tw_profile_id")
async def test_a_login_goes_before_a_profile_id(world: World) -> None:
    profile_id, _ = await world.sandbox.profile(email=ANN)
    laptop = world.browser()
    await laptop.identify(email=BOB)
    await laptop.post({"type": "page", "context": {"clickIds": {"tw_profile_id": profile_id}}})
    await laptop.add_to_cart()
    await world.pass_hold()
    assert world.emails(CART) == [BOB]
