"""The relay's door in a test: real bytes in over ASGI, a real database behind, a clock that moves by hand.

door.browser([call()])        a batch as the tag sends it
door.server([call()])         a batch as the shop's server sends it
door.journal()                what was kept
"""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from relay.app import Relay
from relay.config import Settings
from relay.pipeline.process import Processor
from relay.store.rows import Entry
from relay.store.sqlite import SqliteStore
from tests import factories
from tests.factories import ORIGIN, PUBLIC_KEY, SERVER_KEY
from tests.fakes.clock import FakeClock

T = TypeVar("T")
Headers = Mapping[str, str]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Answer(Struct, frozen=True):
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> dict[str, str]:
        """The error of the public contract, checked for its shape."""
        assert set(self.json) == {"error"}
        error: dict[str, str] = self.json["error"]
        assert set(error) == {"code", "message", "request_id"}
        assert all(isinstance(value, str) and value for value in error.values())
        assert self.header("content-type") == "application/json"
        return error

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, values
        return values[0] if values else None

    @property
    def cookie(self) -> str | None:
        """``name=value`` of the cookie set, as a browser sends it back."""
        header = self.header("set-cookie")
        return None if header is None else header.partition(";")[0]

    @property
    def mirror(self) -> str | None:
        token: str | None = self.json.get("visitor")
        return token


class Door:
    """One relay with its door only: nothing is processed unless a test does it."""

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.folder = folder
        self.clock = FakeClock()
        settings = settings or factories.settings()
        self.settings = msgspec.structs.replace(settings, database_url=f"sqlite:///{folder / 'relay.db'}")
        self._runner = asyncio.Runner()
        self.relay = Relay(self.settings, work=False, clock=self.clock)

    @property
    def store(self) -> SqliteStore:
        assert isinstance(self.relay.store, SqliteStore)
        return self.relay.store

    def __enter__(self) -> "Door":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.run(self.store.close())
        self._runner.close()

    def run(self, story: Awaitable[T]) -> T:
        async def told() -> T:
            return await story

        return self._runner.run(told())

    # Calls

    def browser(
        self,
        messages: Iterable[Any],
        *,
        cookie: str | None = None,
        origin: str | None = ORIGIN,
        headers: Headers | None = None,
        scheme: str = "https",
        **envelope: Any,
    ) -> Answer:
        """A batch as the tag sends it: public key, origin, ``text/plain`` and whatever cookies there are."""
        body = msgspec.json.encode({"batch": list(messages), "writeKey": PUBLIC_KEY} | envelope)
        sent = {"content-type": "text/plain;charset=UTF-8"}
        sent |= {"origin": origin} if origin else {}
        sent |= {"cookie": cookie} if cookie else {}
        return self.post("/v1/batch", body, sent | dict(headers or {}), scheme=scheme)

    def server(self, messages: Iterable[Any], *, headers: Headers | None = None, **envelope: Any) -> Answer:
        """A batch as the shop's server sends it: ``Authorization: Basic``, no origin."""
        body = msgspec.json.encode({"batch": list(messages)} | envelope)
        return self.post("/v1/batch", body, basic(SERVER_KEY) | dict(headers or {}))

    def post(self, path: str, body: bytes, headers: Headers | None = None, *, scheme: str = "https") -> Answer:
        return self.run(self.call("POST", path, [body], headers or {}, scheme=scheme))

    def get(self, path: str, headers: Headers | None = None, *, method: str = "GET") -> Answer:
        return self.run(self.call(method, path, [b""], headers or {}))

    async def call(
        self,
        method: str,
        path: str,
        chunks: Sequence[bytes | None],
        headers: Headers | Sequence[tuple[str, str]],
        *,
        scheme: str = "https",
        address: str = "203.0.113.7",
        on_send: Callable[[MutableMapping[str, Any]], None] | None = None,
    ) -> Answer:
        """One request as the server hands it in. A chunk of None is the caller going away."""
        events: list[dict[str, Any]] = [
            {"type": "http.disconnect"}
            if chunk is None
            else {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
            for index, chunk in enumerate(chunks)
        ]
        waiting = iter(events)
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return next(waiting)

        async def send(event: MutableMapping[str, Any]) -> None:
            if on_send is not None:
                on_send(event)
            sent.append(event)

        pairs = headers.items() if isinstance(headers, Mapping) else headers
        bare, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": scheme,
            "path": bare,
            "raw_path": bare.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
            "client": (address, 50_000),
            "server": ("relay.example", 443),
        }
        await self.relay(scope, receive, send)
        start, *rest = sent
        return Answer(
            start["status"],
            [(name.decode().lower(), value.decode("latin-1")) for name, value in start["headers"]],
            b"".join(event.get("body", b"") for event in rest),
        )

    def process(self) -> dict[tuple[str, str], int]:
        """Process everything in the journal; the site's sums as {(name, reason): n}."""

        async def story() -> dict[tuple[str, str], int]:
            processor = Processor(
                self.settings.sites[0],
                self.store,
                self.clock,
                journal_rings=asyncio.Event(),
                outbox_rings=asyncio.Event(),
            )
            while await processor.process_next():
                pass
            counts = await self.store.transact(lambda tx: tx.ledger.counts())
            return {(name, reason): n for _, name, reason, n in counts}

        return self.run(story())

    # What was kept

    def journal(self, site_id: str = "shop") -> list[Entry]:
        return [row.entry for row in self.run(self.store.entries(site_id, 0, 10_000))]

    def kept_ids(self, site_id: str = "shop") -> list[str]:
        return [message.message_id for entry in self.journal(site_id) for message in entry.messages]

    def drops(self, site_id: str = "shop") -> dict[str, int]:
        sums: dict[str, int] = {}
        for entry in self.journal(site_id):
            for reason, n in entry.drops.items():
                sums[reason] = sums.get(reason, 0) + n
        return sums


def basic(user: str, password: str = "") -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}
