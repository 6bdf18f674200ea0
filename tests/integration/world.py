"""A whole relay in one test, driven step by step: the real door, journal, processor, sender and database, a clock that
moves by hand, and the Klaviyo sandbox behind a real socket.

    @in_world(hold_seconds=60)
    async def test_a_cart_without_a_name_is_not_sent(world: World) -> None:
        await world.browser().add_to_cart()
        await world.settle()
        assert world.received() == []
"""

import asyncio
import contextlib
import functools
import hashlib
import inspect
import socket
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import msgspec
import uvicorn
from starlette.applications import Starlette

from relay.config import Secret, Site
from relay.delivery.claims import Claims
from relay.delivery.pace import Traffic
from relay.delivery.worker import Sender
from relay.demo.sandbox import Account, build_sandbox
from relay.demo.sandbox.profiles import Profile
from relay.demo.sandbox.records import RecordedEvent
from relay.identity.identifiers import IdentifierKind
from relay.identity.link_token import LinkTokens
from relay.klaviyo.client import KlaviyoClient
from relay.pipeline.process import Processor
from relay.store.base import Transaction
from relay.store.retention import keep_house
from relay.store.rows import Claimed
from relay.store.sqlite import SqliteStore
from relay.store.vault import Unreadable, is_sealed
from relay.web.app_proxy import AppProxy
from relay.web.collect import Collect
from relay.web.go import Go
from relay.web.intake import Intake
from relay.web.webhooks import Webhooks
from tests import shopify
from tests.fakes.clock import FakeClock

ORIGIN = "https://shop.example.com"
RELAY = "https://relay.example.com"
WRITE_KEY, SERVER_KEY, KLAVIYO_KEY = "pk_shop", "sk_shop_secret", "pk_demo"
SECRETS = (Secret("a-key-for-signing-in-tests"),)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

#: What a Product Added of the tests is about.
LAMP = {"product_id": "7", "name": "Lamp", "price": 20.0, "quantity": 1, "currency": "EUR"}
CART = "Added to Cart - Backup Flow"
VIEWED = "Viewed Product - Backup Flow"
ORDERED = "Placed Order - Backup Flow"

#: The columns that are sealed, and the places their values may be sealed for.
PLACES = {
    "payload": ["deliveries.payload"],
    "recipient": ["deliveries.recipient"],
    "body": ["events.body", "journal.body"],
    "traits": ["persons.traits"],
    "value": [f"identifiers.{kind}" for kind in IdentifierKind],
    "marks": ["scrubs.marks"],
    "subject": ["privacy_requests.subject"],
}

Row = dict[str, Any]


class Sandbox:
    """The Klaviyo sandbox on a free port, in the test's own event loop: what it holds can be read directly."""

    def __init__(self, clock: FakeClock) -> None:
        self.account = Account(now=clock.now)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.app: Starlette = build_sandbox(self.account)
        config = uvicorn.Config(self.app, log_config=None, access_log=False, ws="none", lifespan="off")
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._http = httpx.AsyncClient(base_url=self.url)

    async def start(self) -> None:
        await self._server.startup(sockets=[self._socket])

    async def stop(self) -> None:
        await self._http.aclose()
        self._server.force_exit = True  # a slow answer has nobody left who waits for it
        await self._server.shutdown(sockets=[self._socket])

    async def script(self, path: str, *, times: int = 1, **answer: Any) -> None:
        """What the next requests to ``path`` meet (see ``relay.demo.sandbox.faults``)."""
        response = await self._http.post("/_sandbox/answers", json={"path": path, "times": times} | answer)
        assert response.status_code == 200, response.text

    async def unmet(self) -> list[Any]:
        """Scripted answers that no request has met."""
        state: dict[str, Any] = (await self._http.get("/_sandbox/state")).json()
        waiting: list[Any] = state["scripts_waiting"]
        return waiting

    async def profile(self, **attributes: str) -> tuple[str, str]:
        """A profile that has always been there: its ID and a fresh ``_kx``."""
        response = await self._http.post("/_sandbox/profiles", json=attributes)
        assert response.status_code == 201, response.text
        made: dict[str, str] = response.json()
        return made["id"], made["_kx"]

    async def control(self, what: str, **fields: Any) -> None:
        """Put something into the account: ``profiles`` or ``lists`` (see ``relay.demo.sandbox.seeds``)."""
        response = await self._http.post(f"/_sandbox/{what}", json=fields)
        assert response.status_code < 300, response.text

    def without(self, *scopes: str) -> None:
        """Take these scopes from the key."""
        for key, held in self.account.private_keys.items():
            self.account.private_keys[key] = held - set(scopes)

    def calls(self, path: str) -> list[int]:
        """The status of every request to ``path``, oldest first."""
        return [request.status for request in self.account.requests if request.path == path]


class SteppedClock(FakeClock):
    """A clock that tells when somebody waits on it."""

    def __init__(self) -> None:
        super().__init__()
        self.slept = asyncio.Event()

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        self.slept.set()
        return await super().wait(event, seconds)


class World:
    """One site's relay. ``clock`` stands still until a test moves it; nothing runs unless a test says so."""

    def __init__(self, folder: Path, *, connections: int = 1, is_paced: bool = False, **site: Any) -> None:
        """One connection to Klaviyo unless a test needs more: calls then follow each other, and can be counted."""
        self._connections = connections
        self._is_paced = is_paced
        self.clock = SteppedClock()
        self.sandbox = Sandbox(self.clock)
        self.site = Site(
            **{
                "site_id": "shop",
                "write_key": WRITE_KEY,
                "server_key": Secret(SERVER_KEY),
                "allowed_origins": frozenset({ORIGIN}),
                "klaviyo_api_key": Secret(KLAVIYO_KEY),
                "klaviyo_url": self.sandbox.url,
                "shopify_secrets": (Secret(shopify.SECRET),),
            }
            | site
        )
        self._folder = folder
        self.journal_rings, self.outbox_rings = asyncio.Event(), asyncio.Event()
        self._open(SECRETS)
        self._clients: list[KlaviyoClient] = []
        self._browsers: list[httpx.AsyncClient] = []
        self.processor = self.new_processor()
        self.sender = self.new_sender()

    async def __aenter__(self) -> "World":
        await self.sandbox.start()
        await self.sender.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.close()
        for browser in self._browsers:
            await browser.aclose()
        await self.store.close()
        await self.sandbox.stop()

    # The stations

    def new_processor(self) -> Processor:
        """A processor as a fresh process would have it: it remembers nothing."""
        self.processor = Processor(
            self.site,
            self.store,
            self.clock,
            journal_rings=self.journal_rings,
            outbox_rings=self.outbox_rings,
            secrets=SECRETS,
        )
        return self.processor

    def _open(self, secrets: Sequence[str]) -> None:
        self.store = SqliteStore(self._folder / "relay.db", secrets, [self.site.site_id, "other"])
        intake = Intake([self.site], secrets, self.store, self.clock, lambda site_id: self.journal_rings.set())
        self.collect = Collect(intake)
        parts = (Webhooks(intake), AppProxy(intake), Go(intake))
        self.pages = Starlette(routes=[route for part in parts for route in part.routes()])

    async def renew(self, *secrets: str) -> None:
        """End the process and start another with these signing keys, newest first. Browsers are to be opened anew."""
        await self.store.close()
        self._open(secrets)
        self.new_processor()
        await self.new_sender().start()

    def new_sender(self) -> Sender:
        """A sender as a fresh process would have it; ``start`` is the caller's."""
        self.traffic = Traffic(self.clock, is_paced=self._is_paced)
        client = KlaviyoClient(self.site, self.traffic, connections=self._connections)
        self._clients.append(client)
        self.sender = Sender(
            self.site,
            self.store,
            client,
            self.traffic,
            self.clock,
            outbox_rings=self.outbox_rings,
            journal_rings=self.journal_rings,
            links=LinkTokens(SECRETS, self.site.site_id, self.site.link_seconds),
        )
        return self.sender

    async def process(self) -> None:
        """Process the journal to its end."""
        while await self.processor.process_next():
            pass

    DEAD = "somebody who died"

    def claim(self, tx: Transaction) -> list[Claimed]:
        """What the sender would take now, taken by nobody who sends it."""
        claims = Claims(self.site, self.traffic, self.DEAD)
        return [delivery for _, batch in claims.take(tx, Counter(), self.clock.now()) for delivery in batch]

    async def deliver(self) -> int:
        """Send what is due now; how many calls that took."""
        return sum([n async for n in self._deliveries()])

    async def settle(self, seconds: float = 0.0) -> None:
        """Process what there is, let ``seconds`` pass, then deliver and process until nothing is left to do now."""
        await self.process()
        self.clock.advance(seconds)
        while await self.deliver():
            await self.process()

    async def pass_hold(self) -> None:
        """As ``settle``, with the time an event is held."""
        await self.settle(self.site.hold_seconds)

    async def keep_house(self) -> None:
        await keep_house(self.store, self.site, self.clock.now())

    async def _deliveries(self) -> AsyncIterator[int]:
        while n := await self.sender.deliver_next():
            yield n

    # The callers

    def browser(self, address: str = "127.0.0.1", **headers: str) -> "Browser":
        """A fresh cookie jar, at this IP address."""
        return Browser(self, headers, address)

    async def server(self, *messages: Mapping[str, Any]) -> None:
        """The shop's server reports."""
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.collect), base_url=RELAY) as http:
            body = {"batch": [self.dated(message) for message in messages]}
            answer = await http.post("/v1/batch", json=body, auth=(SERVER_KEY, ""))
        assert answer.json() == {"success": True}, answer.text

    async def shopify(self, topic: str, payload: Mapping[str, Any], *, webhook_id: str | None = None) -> None:
        """Shopify reports."""
        body = msgspec.json.encode(payload)
        headers = {
            "X-Shopify-Topic": topic,
            "X-Shopify-Shop-Domain": shopify.DOMAIN,
            "X-Shopify-Webhook-Id": webhook_id or str(uuid.uuid4()),
            "X-Shopify-Hmac-Sha256": shopify.signature(body),
        }
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.pages), base_url=RELAY) as http:
            answer = await http.post("/webhooks/shopify", content=body, headers=headers)
        assert answer.json() == {"success": True}, answer.text

    def dated(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """``message`` with an ID, and with its time where it says how many seconds ``ago`` it happened."""
        dated = {"messageId": str(uuid.uuid4())} | dict(message)
        at = self.clock.now() - dated.pop("ago", 0.0)
        return {"timestamp": iso(at)} | dated

    # What there is to see

    async def rows(self, sql: str, *parameters: Any) -> list[Row]:
        """Rows of the state's database."""

        def read(tx: Transaction) -> list[Row]:
            cursor = tx.connection.execute(sql, parameters)
            names = [column[0] for column in cursor.description]
            return [{name: self.opened(name, value) for name, value in zip(names, row, strict=True)} for row in cursor]

        return await self.store.transact(read)

    def opened(self, column: str, value: Any) -> Any:
        """What was sealed, as it was before."""
        if not isinstance(value, bytes) or not is_sealed(value) or column not in PLACES:
            return value
        vault = self.store._keys.of(self.site.site_id)
        for place in PLACES[column]:
            with contextlib.suppress(Unreadable):
                return vault.open(place, value).decode()
        if len(value) == hashlib.sha256().digest_size:
            return value  # a keyed hash, one in 256 of which begins like what is sealed
        raise AssertionError(f"{column} does not open")

    async def deliveries(self, metric: str | None = None) -> list[Row]:
        """The outbox, oldest first; of one metric (without suffix) if it is named."""
        rows = await self.rows("SELECT * FROM deliveries ORDER BY delivery_id")
        return [row for row in rows if metric in (None, row["metric"])]

    async def fates(self) -> list[tuple[str, str, str]]:
        """What, state and reason of every delivery, oldest first."""
        return [(row["metric"] or row["kind"], row["state"], row["reason"]) for row in await self.deliveries()]

    async def sums(self) -> Counter[str]:
        """The sums of messages, as ``accepted`` or ``dropped bot``."""
        rows = await self.store.transact(lambda tx: tx.ledger.counts())
        return Counter({f"{name} {reason}".strip(): n for _, name, reason, n in rows if name != "label"})

    async def labels(self) -> dict[str, int]:
        """How often each class of evidence was right or wrong, as ``kx:right``."""
        return dict(await self.store.transact(lambda tx: tx.ledger.labels(self.site.site_id)))

    def received(self, metric: str | None = None) -> list[RecordedEvent]:
        """The events Klaviyo counts, oldest first; of one metric (with suffix) if it is named."""
        return [event for event in self.sandbox.account.events if metric in (None, event.metric)]

    def profile_of(self, event: RecordedEvent) -> Profile:
        """Whom Klaviyo has filed the event under."""
        profile = self.sandbox.account.profiles.get(event.profile_id)
        assert profile is not None
        return profile

    def emails(self, metric: str | None = None) -> list[str | None]:
        """The address each event at Klaviyo is filed under, oldest first."""
        return [self.profile_of(event).email for event in self.received(metric)]


class Browser:
    """A browser with a tag on the shop's page: keeps cookies and the mirror, says who it is by nothing else."""

    def __init__(self, world: World, headers: Mapping[str, str], address: str) -> None:
        self._world = world
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(world.collect, client=(address, 443)),
            base_url=RELAY,
            headers={"Origin": ORIGIN, "User-Agent": CHROME, "Content-Type": "text/plain"} | dict(headers),
        )
        world._browsers.append(self.http)
        self.mirror: str | None = None
        self.handle: str | None = None
        self.context: dict[str, Any] = {}

    async def post(self, *messages: Mapping[str, Any]) -> httpx.Response:
        """Send a batch; a message may say how many seconds ``ago`` it happened."""
        batch = [self._world.dated(message) for message in messages]
        for message in batch:
            message["context"] = self.context | message.get("context", {})
        body: dict[str, Any] = {"writeKey": WRITE_KEY, "sentAt": iso(self._world.clock.now()), "batch": batch}
        if self.mirror is not None:
            body["visitor"] = self.mirror
        answer = await self.http.post("/v1/batch", content=msgspec.json.encode(body))
        assert answer.status_code == 200, answer.text
        self.mirror = answer.json().get("visitor", self.mirror)
        self.handle = answer.json().get("handle", self.handle)
        return answer

    async def track(self, event: str, properties: Mapping[str, Any] | None = None, **fields: Any) -> None:
        await self.post({"type": "track", "event": event, "properties": dict(properties or {})} | fields)

    async def add_to_cart(self, **fields: Any) -> None:
        await self.track("Product Added", LAMP, **fields)

    async def identify(self, user_id: str | None = None, *, ago: float = 0.0, **traits: Any) -> None:
        message = {"type": "identify", "traits": traits, "ago": ago}
        await self.post(message | ({} if user_id is None else {"userId": user_id}))

    async def land(self, kx: str, **fields: Any) -> None:
        """Come to the shop by a link of a Klaviyo mail."""
        await self.post({"type": "page", "context": {"clickIds": {"_kx": kx}}} | fields)

    async def sign_out(self) -> None:
        await self.track("Signed Out")

    def lose_cookies(self) -> None:
        self.http.cookies.clear()

    def lose_everything(self) -> None:
        """The shopper has cleared the site's data."""
        self.lose_cookies()
        self.mirror = None


def klaviyo_script(*, identified: bool, present: bool = True) -> dict[str, Any]:
    """A message's context in which the tag has seen Klaviyo's own script."""
    return {"klaviyo": {"present": present, "identified": identified}}


def iso(at: float) -> str:
    """An ISO 8601 time of epoch seconds, with microseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def in_world(**site: Any) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Run a test inside a fresh ``World``, its first parameter; ``site`` are the site's settings."""

    def decorate(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        async def in_its_own(folder: Path, parameters: Mapping[str, Any]) -> None:
            async with World(folder, **site) as world:
                await test(world, **parameters)

        @functools.wraps(test)
        def run(tmp_path: Path, **parameters: Any) -> None:
            asyncio.run(in_its_own(tmp_path, parameters))

        # What pytest shall hand over: a folder for the world, and the test's own parameters.
        own = list(inspect.signature(test).parameters.values())[1:]
        folder = inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        run.__signature__ = inspect.Signature([folder, *own])  # type: ignore[attr-defined]
        return run

    return decorate
