"""Several sites in one relay: each has its own keys and policies, and no site's trouble is another's."""

import asyncio
import contextlib
import functools
import inspect
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.app import Relay
from relay.config import Settings
from relay.delivery.breaker import FAILURES
from relay.delivery.pace import capacity, rate
from relay.delivery.policy import PAUSE_SECONDS
from relay.demo.sandbox.account import ALL_SCOPES
from relay.klaviyo.endpoints import Endpoint
from relay.pipeline import process
from relay.pipeline.work import Work
from tests.fakes.clock import FakeClock
from tests.integration.world import CHROME, LAMP, RELAY, Row, Sandbox, iso

NORTH, SOUTH = "north", "south"
ANN, BOB = "ann@mail.com", "bob@mail.com"
EVENTS, PROFILES = "/api/events", "/api/profile-import"


class Shop:
    """One site, as its browsers and its server speak to it; ``klaviyo`` is its account."""

    def __init__(self, name: str, relay: Relay, klaviyo: Sandbox, clock: FakeClock) -> None:
        self.name = name
        self.klaviyo = klaviyo
        self.write_key, self.server_key = f"pk_{name}", f"sk_{name}"
        self.origin = f"https://{name}.example.com"
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(relay), base_url=RELAY)
        self.mirror: str | None = None
        self._clock = clock

    async def browse(self, *messages: Mapping[str, Any], origin: str | None = None) -> httpx.Response:
        """A batch of the browser's; its cookies are in ``http``."""
        body = {"writeKey": self.write_key, "batch": [self._dated(message) for message in messages]}
        if self.mirror is not None:
            body["visitor"] = self.mirror
        headers = {"Origin": origin or self.origin, "Content-Type": "text/plain", "User-Agent": CHROME}
        answer = await self.http.post("/v1/batch", content=json.dumps(body), headers=headers)
        if answer.status_code == 200:
            self.mirror = answer.json().get("visitor", self.mirror)
        return answer

    async def report(self, *messages: Mapping[str, Any], key: str | None = None) -> httpx.Response:
        """A batch of the shop's server."""
        body = {"batch": [self._dated(message) for message in messages]}
        return await self.http.post("/v1/batch", json=body, auth=(key or self.server_key, ""))

    async def sell(self, n: int = 1, email: str = ANN) -> None:
        """So many carts of one customer, told by the server."""
        answer = await self.report(*[cart(email) for _ in range(n)])
        assert answer.status_code == 200, answer.text

    def arrived(self) -> list[tuple[str, str | None]]:
        """Metric and address of every event that the account counts."""
        account = self.klaviyo.account
        found = []
        for event in account.events:
            profile = account.profiles.get(event.profile_id)
            assert profile is not None
            found.append((event.metric, profile.email))
        return found

    async def all_arrive(self, n: int) -> None:
        """Wait until so many events have arrived, each once."""
        await until(lambda: len(self.arrived()) >= n, f"{n} events of {self.name} arrive")
        assert len(self.arrived()) == n
        assert {event.deduplicated_repeats for event in self.klaviyo.account.events} == {0}

    async def recover(self) -> None:
        """The account is well again, and has forgotten what it had received."""
        keys = self.klaviyo.account.private_keys
        await self.klaviyo.control("reset")
        self.klaviyo.account.private_keys = keys

    def calls(self, path: str = EVENTS) -> list[int]:
        return self.klaviyo.calls(path)

    def _dated(self, message: Mapping[str, Any]) -> dict[str, Any]:
        return {"messageId": str(uuid.uuid4()), "timestamp": iso(self._clock.now())} | dict(message)


def cart(email: str | None = None, **fields: Any) -> dict[str, Any]:
    context = {} if email is None else {"context": {"traits": {"email": email}}, "userId": email.partition("@")[0]}
    return {"type": "track", "event": "Product Added", "properties": LAMP} | context | fields


class Sites:
    """A relay at work for several shops, its clock moved by hand."""

    def __init__(self, relay: Relay, clock: FakeClock, shops: dict[str, Shop]) -> None:
        self.relay = relay
        self.clock = clock
        self.north, self.south = shops[NORTH], shops[SOUTH]

    async def rows(self, sql: str) -> list[Row]:
        """Rows of the state, as another program sees them."""

        def read(tx: Any) -> list[Row]:
            cursor = tx.connection.execute(sql)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

        return await self.relay.store.read(read)

    async def metrics(self) -> str:
        return (await self.north.http.get("/metrics")).text

    async def messages(self, site: str, end: str = "accepted") -> int:
        found = await self.rows("SELECT site_id, name, n FROM counts")
        return sum(row["n"] for row in found if (row["site_id"], row["name"]) == (site, end))

    async def let_pass(self, seconds: float) -> None:
        """Let time pass in small steps, in which everybody does what has become due."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def sites(folder: Path, *, one_account: bool = False, **tables: Mapping[str, Any]) -> AsyncIterator[Sites]:
    """Two sites, each with an account of its own or both with one; ``tables`` are more of their settings."""
    clock = FakeClock()
    accounts = {NORTH: Sandbox(clock)}
    accounts[SOUTH] = accounts[NORTH] if one_account else Sandbox(clock)
    lines = []
    for name, account in accounts.items():
        key = f"key_of_{NORTH if one_account else name}"
        account.account.private_keys = {key: ALL_SCOPES}
        table = {
            "write_key": f"pk_{name}",
            "server_key": f"sk_{name}",
            "allowed_origins": f"https://{name}.example.com",
            "klaviyo_api_key": key,
            "klaviyo_url": account.url,
            "metric_suffix": f" - {name.title()}",
            "hold_seconds": 0,
        } | dict(tables.get(name, {}))
        lines += [f"[sites.{name}]", *(f"{setting} = {json.dumps(value)}" for setting, value in table.items())]
    config = folder / "sites.toml"
    config.write_text("\n".join(lines))
    settings = Settings.read(
        {
            "RELAY_SECRET_KEYS": "a-key-for-signing-in-tests",
            "RELAY_DATABASE_URL": f"sqlite:///{folder / 'relay.db'}",
            "RELAY_CONFIG": str(config),
        }
    )
    relay = Relay(settings, clock=clock)
    shops = {name: Shop(name, relay, account, clock) for name, account in accounts.items()}
    try:
        for account in set(accounts.values()):
            await account.start()
        async with relay._lifespan(relay._pages):
            yield Sites(relay, clock, shops)
    finally:
        for shop in shops.values():
            await shop.http.aclose()
        for account in set(accounts.values()):
            await account.stop()


async def until(condition: Callable[[], Any | Awaitable[Any]], what: str, seconds: float = 60.0) -> None:
    """Let the relay work until ``condition`` holds."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if await found if isinstance(found, Awaitable) else found:
            return
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain until {what}"
        await asyncio.sleep(0.005)


def in_sites(**settings: Any) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Run a test inside fresh ``sites``, its first parameter."""

    def decorate(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        async def in_its_own(folder: Path, parameters: Mapping[str, Any]) -> None:
            async with sites(folder, **settings) as found:
                await test(found, **parameters)

        @functools.wraps(test)
        def run(tmp_path: Path, **parameters: Any) -> None:
            asyncio.run(in_its_own(tmp_path, parameters))

        own = list(inspect.signature(test).parameters.values())[1:]
        folder = inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        run.__signature__ = inspect.Signature([folder, *own])  # type: ignore[attr-defined]
        return run

    return decorate


# Each is itself


@in_sites(south={"forward": "shadow", "metric_suffix": ""})
async def test_each_site_has_its_own_keys_suffix_and_policies(sites: Sites) -> None:
    for shop, email in ((sites.north, ANN), (sites.south, BOB)):
        assert (await shop.browse({"type": "identify", "traits": {"email": email}})).status_code == 200
        await shop.browse(cart())
    await sites.north.all_arrive(1)
    await sites.south.all_arrive(1)
    assert sites.north.arrived() == [("Added to Cart - North", ANN)]
    assert sites.south.arrived() == [("Added to Cart", BOB)]
    assert [event.backfill for event in sites.north.klaviyo.account.events] == [False]
    assert [event.backfill for event in sites.south.klaviyo.account.events] == [True], "it only watches"
    assert sites.south.calls(PROFILES) == []
    for shop in (sites.north, sites.south):
        assert list(shop.klaviyo.account.refused) == [], "each account is called with its own key"


@in_sites(south={"hold_seconds": 60, "consent": "required"})
async def test_one_site_holds_and_asks_for_consent_and_the_other_does_not(sites: Sites) -> None:
    given = {"context": {"consent": {"marketing": True, "analytics": True}}}
    for shop in (sites.north, sites.south):
        await shop.browse({"type": "identify", "traits": {"email": ANN}} | given, cart() | given, cart())
    await sites.north.all_arrive(2)
    await until_equal(lambda: sites.messages(SOUTH, "dropped"), 1)
    assert await sites.messages(NORTH, "dropped") == 0
    await sites.let_pass(59)
    assert sites.south.arrived() == []
    await sites.let_pass(2)
    await sites.south.all_arrive(1)


@in_sites()
async def test_keys_and_origins_of_one_site_open_no_other(sites: Sites) -> None:
    north, south = sites.north, sites.south
    assert (await north.browse(cart(ANN), origin=south.origin)).status_code == 403
    assert (await south.browse(cart(ANN), origin=north.origin)).status_code == 403
    assert (await north.report(cart(ANN), key=north.write_key)).status_code in (401, 403)
    assert (await north.report(cart(BOB), key=south.server_key)).status_code == 200
    await south.all_arrive(1)
    assert await sites.messages(NORTH) == 0
    assert north.arrived() == []


@in_sites()
async def test_the_same_message_id_on_two_sites_is_two_events(sites: Sites) -> None:
    twice = cart(ANN) | {"messageId": "the-same"}
    for shop in (sites.north, sites.south):
        for _ in range(2):
            assert (await shop.report(twice)).status_code == 200
    await sites.north.all_arrive(1)
    await sites.south.all_arrive(1)
    for name in (NORTH, SOUTH):
        await until_equal(partial(sites.messages, name, "duplicate"), 1)
        assert await sites.messages(name) == 1
    assert sites.north.arrived() == [("Added to Cart - North", ANN)]
    assert sites.south.arrived() == [("Added to Cart - South", ANN)]


@in_sites()
async def test_one_browser_in_two_shops_is_two_visitors(sites: Sites) -> None:
    """Behind one host the shops' cookies are in each other's way; each page's mirror tells its own visitor."""
    north, south = sites.north, sites.south
    shared = httpx.Cookies()
    north.http._cookies = south.http._cookies = shared
    await north.browse({"type": "identify", "traits": {"email": ANN}})
    await south.browse(cart())
    await north.browse(cart())
    await north.all_arrive(1)
    await until_equal(lambda: sites.messages(SOUTH), 1)
    assert north.arrived() == [("Added to Cart - North", ANN)]
    assert south.arrived() == [], "nobody has given an address there"
    await south.browse({"type": "identify", "traits": {"email": BOB}})
    await south.all_arrive(1)
    assert south.arrived() == [("Added to Cart - South", BOB)]
    persons = await sites.rows("SELECT site_id, count(*) AS n FROM persons GROUP BY site_id ORDER BY site_id")
    assert persons == [{"site_id": NORTH, "n": 1}, {"site_id": SOUTH, "n": 1}]


# No site's trouble is another's


#: What every call to the north's account meets.
TROUBLES: dict[str, dict[str, Any]] = {
    "hangs": {"delay_seconds": 3600.0},  # until it recovers
    "401": {"status": 401},
    "403": {"status": 403, "body": {"errors": [{"detail": "Missing required scopes: events:write"}]}},
    "429": {"status": 429, "headers": {"Retry-After": "600"}},
    "500": {"status": 500},
    "503": {"status": 503, "headers": {"Retry-After": "120"}},
    "no connection": {"reset": True},
}


@pytest.mark.parametrize("trouble", TROUBLES)
@in_sites()
async def test_the_trouble_of_one_sites_account_delays_no_other_site(sites: Sites, trouble: str) -> None:
    north, south = sites.north, sites.south
    for shop in (north, south):
        await shop.sell()
        await shop.all_arrive(1)
    await north.klaviyo.script("/api/*", times=1000, **TROUBLES[trouble])
    await north.sell(50)
    if trouble == "hangs":
        await until_equal(lambda: sites.messages(NORTH), 51)
    else:
        await until(lambda: len(north.calls()) > 1, "the north comes upon its trouble")

    await south.sell(50)
    await south.all_arrive(51)  # without any time having passed on the clock
    await sites.let_pass(30)
    await south.sell(50)
    await south.all_arrive(101)
    assert len(north.arrived()) == 1
    assert await sites.messages(NORTH) == 51, "processing waits for no account"
    assert await paused(sites) == ({NORTH} if trouble in ("401", "403") else set())

    await north.recover()
    await until(lambda: arriving(north, sites, 50), "the north's events arrive too", 60)
    await north.all_arrive(50)


async def arriving(shop: Shop, sites: Sites, n: int) -> bool:
    """Whether so many events have arrived; a minute goes by meanwhile."""
    await sites.let_pass(60)
    return len(shop.arrived()) >= n


async def paused(sites: Sites) -> set[str]:
    """The sites whose console shows that Klaviyo refuses their key."""
    return {row["site_id"] for row in await sites.rows("SELECT site_id FROM destinations")}


@in_sites()
async def test_messages_that_fail_on_one_site_stop_no_other(sites: Sites) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "STEPS", (*process.STEPS, fail_in_the_north))
        await sites.north.sell(3)
        await sites.south.sell(3)
        await sites.south.all_arrive(3)
        await until_equal(lambda: sites.messages(NORTH, "dropped"), 3)
    assert await sites.messages(SOUTH, "dropped") == 0


def fail_in_the_north(work: Work) -> None:
    if work.site.site_id == NORTH:
        raise RuntimeError("a fault of ours")


@in_sites()
async def test_the_sums_are_kept_for_each_site(sites: Sites) -> None:
    await sites.north.sell(3)
    await sites.south.sell(2)
    await sites.north.all_arrive(3)
    await sites.south.all_arrive(2)
    for name, n in ((NORTH, 3), (SOUTH, 2)):
        assert await is_counted(sites, f'backflow_messages_total{{end="accepted",reason="",site="{name}"}} {n}.0')
        assert await sites.messages(name, "received") == n


async def is_counted(sites: Sites, line: str) -> bool:
    return line in (await sites.metrics()).splitlines()


# Two sites of one account


@in_sites(one_account=True)
async def test_sites_of_one_account_share_its_pace(sites: Sites) -> None:
    n = 10
    begun = time.monotonic()
    for shop in (sites.north, sites.south):
        emails = [f"{shop.name}-{number}@mail.com" for number in range(n)]
        identified = [{"type": "identify", "userId": email, "traits": {"email": email}} for email in emails]
        assert (await shop.report(*identified)).status_code == 200
    await until(lambda: len(sites.north.calls(PROFILES)) >= 2 * n, "all profiles are told")
    least = (2 * n - capacity(Endpoint.IMPORT_PROFILE)) / rate(Endpoint.IMPORT_PROFILE)
    assert time.monotonic() - begun > 0.95 * least, "each at the full pace would take half of it"
    assert sites.north.calls(PROFILES).count(429) == 0


@in_sites(one_account=True)
async def test_a_key_that_one_site_finds_refused_stops_both_and_shows_for_both(sites: Sites) -> None:
    north, south, account = sites.north, sites.south, sites.north.klaviyo.account
    await both_sell_once(sites)
    keys = dict(account.private_keys)
    account.private_keys.clear()
    before = len(account.requests)
    await north.sell()
    await until(lambda: is_shown(sites, NORTH), "the north shows the refusal")
    await south.sell(5)
    await until_equal(lambda: sites.messages(SOUTH), 6)
    await until_equal(lambda: paused(sites), {NORTH, SOUTH})
    assert await is_shown(sites, SOUTH)
    await sites.let_pass(PAUSE_SECONDS - 2)
    assert len(account.requests) == before + 1, "the other site does not ask itself"
    assert await attempts(sites) == 0

    account.private_keys |= keys
    await sites.let_pass(10)
    await north.all_arrive(8)
    await until_equal(lambda: paused(sites), set())


async def is_shown(sites: Sites, name: str) -> bool:
    return await is_counted(sites, f'backflow_destination_paused{{scope="everything",site="{name}"}} 1.0')


@in_sites(one_account=True)
async def test_a_429_that_one_site_meets_holds_both_until_its_time_is_over(sites: Sites) -> None:
    north, south = sites.north, sites.south
    await both_sell_once(sites)
    await north.klaviyo.script(EVENTS, status=429, headers={"Retry-After": "30"})
    await north.sell()
    await until_equal(lambda: sites.rows("SELECT site_id FROM deliveries WHERE status = 429"), [{"site_id": NORTH}])
    await south.sell(5)
    await until_equal(lambda: sites.messages(SOUTH), 6)
    await sites.let_pass(28)
    assert north.calls() == [202, 202, 429]
    assert await attempts(sites) == 0
    await sites.let_pass(10)
    await north.all_arrive(8)


@in_sites(one_account=True)
async def test_an_outage_that_one_site_finds_costs_the_other_no_attempt(sites: Sites) -> None:
    north, south = sites.north, sites.south
    await both_sell_once(sites)
    await north.klaviyo.script(EVENTS, status=503, times=FAILURES, headers={"Retry-After": "60"})
    await north.sell(FAILURES)
    await until_equal(lambda: sites.rows("SELECT count(*) AS n FROM deliveries WHERE status = 503"), [{"n": FAILURES}])
    await south.sell(5)
    await until_equal(lambda: sites.messages(SOUTH), 6)
    await sites.let_pass(50)
    assert len(north.calls()) == 2 + FAILURES
    assert await attempts(sites, SOUTH) == 0
    await until(lambda: arriving(north, sites, 7 + FAILURES), "all arrive", 60)
    await north.all_arrive(7 + FAILURES)


async def both_sell_once(sites: Sites) -> None:
    for shop in (sites.north, sites.south):
        await shop.sell()
    await sites.north.all_arrive(2)
    await until_equal(lambda: sites.rows("SELECT 1 FROM deliveries WHERE state <> 'delivered'"), [])


async def attempts(sites: Sites, *names: str) -> int:
    """The most that one delivery that is still to be sent has cost, on these sites or on both."""
    rows = await sites.rows("SELECT site_id, attempts FROM deliveries WHERE state = 'ready'")
    return max(int(row["attempts"]) for row in rows if row["site_id"] in (names or (NORTH, SOUTH)))


async def until_equal(found: Callable[[], Awaitable[Any]], expected: Any) -> None:
    async def is_equal() -> bool:
        return bool(await found() == expected)

    await until(is_equal, f"{expected!r} is there")
