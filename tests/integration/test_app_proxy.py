"""Shopify's app proxy says who is logged in: signed, fresh, for the visitor of the handle, and nothing comes back."""

import hmac
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from relay.config import Secret
from relay.errors import StoreUnavailable
from relay.store.rows import Entry
from relay.web.shops import proxy_signature
from tests import factories, shopify
from tests.factories import NOW
from tests.integration.door import Answer, Door
from tests.integration.world import CART, World, in_world

PATH = "/apps/backflow"
ANN, BOB = "ann@mail.com", "bob@mail.com"


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    site = factories.site(shopify_secrets=(Secret(shopify.SECRET),), shopify_domain=shopify.DOMAIN)
    with Door(tmp_path, factories.settings(sites=(site,))) as opened:
        yield opened


def handle_of(door: Door) -> str:
    handle: str = door.browser([factories.call()]).json["handle"]
    return handle


def parameters(handle: str, *, now: float = NOW, **changes: str) -> list[tuple[str, str]]:
    """What Shopify makes of the page's request."""
    default = {
        "handle": handle,
        "shop": shopify.DOMAIN,
        "logged_in_customer_id": "4206822293653",
        "path_prefix": "/apps/backflow",
        "timestamp": str(int(now)),
    }
    return list((default | changes).items())


def ask(door: Door, query: str, **headers: str) -> Answer:
    return door.get(f"{PATH}?{query}", {name.replace("_", "-"): value for name, value in headers.items()})


def test_the_signature_of_shopifys_own_documentation() -> None:
    """The example of "Authenticate app proxies": secret ``hush``."""
    given = [
        ("extra", "1"),
        ("extra", "2"),
        ("shop", "shop-name.myshopify.com"),
        ("logged_in_customer_id", ""),
        ("path_prefix", "/apps/awesome_reviews"),
        ("timestamp", "1317327555"),
    ]
    text = (
        "extra=1,2logged_in_customer_id=path_prefix=/apps/awesome_reviews"
        "shop=shop-name.myshopify.comtimestamp=1317327555"
    )
    expected = hmac.digest(b"hush", text.encode(), "sha256").hex().encode()
    assert proxy_signature(given)(b"hush") == expected
    assert proxy_signature([*reversed(given[2:]), *given[:2], ("signature", "x")])(b"hush") == expected


def test_a_logged_in_customer_is_noted_for_the_handles_visitor(door: Door) -> None:
    handle = handle_of(door)
    answer = ask(door, shopify.proxied(parameters(handle)))
    assert (answer.status, answer.json) == (200, {"success": True})
    assert answer.header("cache-control") == "no-store"
    assert answer.header("set-cookie") is None
    browser, proxied = door.journal()
    assert (proxied.trust, proxied.visitor_id, proxied.recognition) == ("server", browser.visitor_id, "handle")
    (message,) = proxied.messages
    assert b'"userId":"4206822293653"' in bytes(message.body)


def test_nobody_logged_in_is_no_news(door: Door) -> None:
    handle = handle_of(door)
    assert ask(door, shopify.proxied(parameters(handle, logged_in_customer_id=""))).status == 200
    assert len(door.journal()) == 1


@pytest.mark.parametrize("field", ["handle", "shop", "logged_in_customer_id", "path_prefix", "timestamp"])
def test_whatever_was_changed_on_the_way_is_refused(door: Door, field: str) -> None:
    handle = handle_of(door)
    query = shopify.proxied(parameters(handle))
    changed = "&".join(f"{field}=1" if part.startswith(f"{field}=") else part for part in query.split("&"))
    answer = ask(door, changed)
    assert (answer.status, answer.error["code"]) == (401, "invalid_signature")
    added = ask(door, f"{query}&{field}=1")
    assert added.status == 401
    assert len(door.journal()) == 1


@pytest.mark.parametrize("signature", ["", "x", "0" * 64, "é"])
def test_an_unsigned_request_is_refused(door: Door, signature: str) -> None:
    answer = ask(door, urlencode([*parameters(handle_of(door)), ("signature", signature)]))
    assert (answer.status, answer.error["code"]) == (401, "invalid_signature")


@pytest.mark.parametrize(("age", "status"), [(0, 200), (290, 200), (-290, 200), (310, 401), (-310, 401), (86_400, 401)])
def test_an_old_request_is_refused(door: Door, age: int, status: int) -> None:
    answer = ask(door, shopify.proxied(parameters(handle_of(door), now=NOW - age)))
    assert answer.status == status


@pytest.mark.parametrize("timestamp", ["", "x", "-1", "1e9", "\uff19", "9" * 5000])
def test_a_request_without_a_time_is_refused(door: Door, timestamp: str) -> None:
    answer = ask(door, shopify.proxied(parameters(handle_of(door), timestamp=timestamp)))
    assert (answer.status, answer.error["code"]) == (401, "stale_signature")


def test_a_repeated_request_is_one_message(door: Door) -> None:
    query = shopify.proxied(parameters(handle_of(door)))
    assert [ask(door, query).status for _ in range(3)] == [200, 200, 200]
    assert door.process()["duplicate", ""] == 2


@pytest.mark.parametrize("kind", ["none", "forged", "mirror"])
def test_a_request_for_no_visitor_of_ours_names_the_handle(door: Door, kind: str) -> None:
    first = door.browser([factories.call()])
    assert first.mirror is not None
    handle = {"none": "", "forged": first.json["handle"][:-2] + "xx", "mirror": first.mirror}[kind]
    answer = ask(door, shopify.proxied(parameters(handle)))
    assert (answer.status, answer.error["code"]) == (400, "invalid_handle")
    assert len(door.journal()) == 1


def test_what_cannot_be_kept_is_not_acknowledged(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    query = shopify.proxied(parameters(handle_of(door)))

    async def fail(*entries: Entry) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(door.store, "append", fail)
    answer = ask(door, query)
    assert (answer.status, answer.header("retry-after")) == (503, "5")


def test_global_privacy_control_travels_along(door: Door) -> None:
    ask(door, shopify.proxied(parameters(handle_of(door))), sec_gpc="1")
    assert door.journal()[1].gpc is True


async def log_in(world: World, handle: str | None, customer_id: str) -> None:
    assert handle is not None
    query = shopify.proxied(parameters(handle, now=world.clock.now(), logged_in_customer_id=customer_id))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.pages), base_url="https://r.example") as http:
        answer = await http.get(f"{PATH}?{query}")
    assert answer.status_code == 200, answer.text


@in_world()
async def test_a_signed_customers_cart_is_sent_for_them(world: World) -> None:
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    phone = world.browser()
    await phone.add_to_cart(ago=600)
    await log_in(world, phone.handle, "7")
    await world.pass_hold()
    assert world.emails(CART) == [ANN]
    (event,) = world.received(CART)
    assert "signed that this person is logged in" in event.properties["BackflowEvidence"]
    (link,) = await world.rows("SELECT evidence FROM links")
    assert link["evidence"] == "signed_customer"


@in_world()
async def test_a_signed_customer_without_an_address_waits_for_it(world: World) -> None:
    phone = world.browser()
    await phone.add_to_cart(ago=600)
    await log_in(world, phone.handle, "7")
    await world.pass_hold()
    assert world.received(CART) == []
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    await world.pass_hold()
    assert world.emails(CART) == [ANN]


@in_world()
async def test_a_caller_of_the_browser_cannot_sign(world: World) -> None:
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})
    phone = world.browser()
    claim = {"shopify": {"signedCustomer": True}}
    await phone.post({"type": "identify", "userId": "7", "context": claim})
    await world.process()
    (link,) = await world.rows("SELECT evidence FROM links")
    assert link["evidence"] == "form"
