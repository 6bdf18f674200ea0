"""A small shop and a scriptable relay behind one real HTTP server, for the tests of the browser tag alone.

The shop answers on ``shop.localhost``, the relay on ``relay.localhost`` (another origin, so CORS counts as in a real
set-up). The relay records what arrives at ``/v1/batch`` and answers what the test has planned.
"""

import asyncio
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from relay.config import Consent, Platform, Site
from relay.web.tag import built_tag, inline_snippet

KEY = "wk_test"
DEADLINE = 15.0  # seconds until a condition that does not come true fails its test
STUB = """<script>
window.backflow = window.backflow || [];
["track", "page", "identify", "reset", "consent"].forEach(function (name) {
  backflow[name] = function () { backflow.push([name].concat([].slice.call(arguments))); };
});
</script>"""

Message = dict[str, Any]


@dataclass
class Answer:
    """What the relay does with one batch: it keeps the messages of a 2xx, and of any answer with ``commits`` set."""

    status: int = 200
    retry_after: int | None = None
    drops: bool = False  #: cut the connection instead of answering
    commits: bool | None = None
    held: threading.Event | None = None  #: answer only when set
    max_messages: int | None = None  #: answer 413 to a larger batch


@dataclass
class Arrival:
    """One request as it arrived."""

    at: float  #: time.monotonic() seconds
    body: dict[str, Any]
    headers: dict[str, str]
    answer: Answer

    @property
    def names(self) -> list[str]:
        return [name_of(message) for message in self.body["batch"]]


def name_of(message: Message) -> str:
    """How the tests call a message: a track call by its event, any other by its type."""
    return str(message.get("event") or message["type"])


@dataclass
class Plan:
    """What the relay is to do: the planned answers in turn, then ``otherwise``."""

    answers: deque[Answer] = field(default_factory=deque)
    otherwise: Answer = field(default_factory=Answer)


class TagPage:
    """The server. Use as a context manager; every instance has its own port, so no test meets another's requests."""

    #: What a shop in the shape of a platform answers beside its pages; looked at first.
    routes: Sequence[BaseRoute] = ()

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {
            "writeKey": KEY,
            "cookies": ["_ga", "_fbp", "__kla_id"],
            "clickIds": {"_kx": 1, "bf": 1, "gclid": 90, "fbclid": 90, "ScCid": 365},
            "consent": "assumed",
        }
        self.plan = Plan()
        self.arrivals: list[Arrival] = []
        self.committed: dict[str, Message] = {}  #: by messageId, in the order of their first commit
        self.preflights = 0
        self.platform = Platform.AUTO  #: whose tag is served
        self.handle: str | None = None  #: what the relay's answers carry
        self.cart_reads: list[str] = []  #: paths of GET /cart.js
        self.pages: dict[str, str] = {}  #: HTML put into the head of a path's page, before the tag
        self.headers: dict[str, str] = {}  #: of every page
        self.hold_tag: threading.Event | None = None  #: the tag's script arrives only when set
        self.cart: list[dict[str, Any]] = []
        self.currency = "EUR"
        self.token = "token-1"
        self.hold_cart: threading.Event | None = None
        self._changed = threading.Condition()
        self._transports: dict[tuple[str, int], asyncio.Transport] = {}
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.shop = f"http://shop.localhost:{self.port}"
        self.relay = f"http://relay.localhost:{self.port}"

    # -- life

    def __enter__(self) -> Self:
        transports = self._transports

        class Protocol(H11Protocol):
            """Lets the relay cut a connection without an answer."""

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                transports[transport.get_extra_info("peername")] = transport
                super().connection_made(transport)

        routes = [
            *self.routes,
            Route("/tag.js", self._tag),
            Route("/v1/batch", self._batch, methods=["POST", "OPTIONS"]),
            Route("/cart.js", self._read_cart),
            Route("/{locale}/cart.js", self._read_cart),
            Route("/cart/{action}", self._write_cart, methods=["POST"]),
            Route("/{locale}/cart/{action}", self._write_cart, methods=["POST"]),
            Route("/{path:path}", self._page),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), http=Protocol, ws="none", lifespan="off", log_level="critical", access_log=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for held in [
            self.hold_cart,
            self.hold_tag,
            self.plan.otherwise.held,
            *(answer.held for answer in self.plan.answers),
        ]:
            if held:
                held.set()
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(DEADLINE)

    # -- what tests ask

    @property
    def messages(self) -> list[Message]:
        """The messages the relay has kept, each once."""
        with self._changed:
            return list(self.committed.values())

    @property
    def names(self) -> list[str]:
        return [name_of(message) for message in self.messages]

    def wait(self, condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
        """Returns when ``condition`` holds; fails with ``what`` and all that has arrived if it never does."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    seen = [(arrival.answer.status, arrival.names) for arrival in self.arrivals]
                    raise AssertionError(f"never came true: {what}; arrived: {seen}")
                self._changed.wait(left)

    def wait_for(self, *names: str) -> None:
        """Waits until a message of each name is kept."""
        for name in names:
            self.wait(lambda name=name: name in self.names, f"the relay keeps {name!r}")  # type: ignore[misc]

    def wait_for_arrivals(self, count: int) -> None:
        """Waits until ``count`` requests have arrived in all, whatever they were answered."""
        self.wait(lambda: len(self.arrivals) >= count, f"{count} requests")

    def message(self, name: str) -> Message:
        """The one message of this name that the relay has kept."""
        found = [message for message in self.messages if name_of(message) == name]
        assert len(found) == 1, f"{len(found)} of {name!r} among {self.names}"
        return found[0]

    def stub(self) -> str:
        """The inline stub of this shop's snippet, without the line that loads the tag."""
        site = Site(site_id="shop", write_key=KEY, consent=Consent(self.settings["consent"]))
        return inline_snippet(self.relay, site).rpartition("<script async")[0]

    def answers(self, *answers: Answer) -> None:
        """Plans the next answers."""
        self.plan.answers.extend(answers)

    # -- the relay

    async def _tag(self, request: Request) -> Response:
        if self.hold_tag:
            await asyncio.to_thread(self.hold_tag.wait, DEADLINE)
        script = built_tag(self.platform).decode().replace("__BACKFLOW_SETTINGS__", json.dumps(self.settings))
        return Response(script, media_type="text/javascript", headers={"Cache-Control": "no-store"})

    async def _batch(self, request: Request) -> Response:
        cors = {
            "Access-Control-Allow-Origin": request.headers.get("origin", ""),
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": "Retry-After",
        }
        if request.method == "OPTIONS":
            self.preflights += 1
            return Response(status_code=403, headers=cors)
        body = json.loads(await request.body())
        answer = self.plan.answers.popleft() if self.plan.answers else self.plan.otherwise
        if answer.max_messages is not None and len(body["batch"]) > answer.max_messages:
            answer = Answer(413)
        ok = 200 <= answer.status < 300
        commits = (ok and not answer.drops) if answer.commits is None else answer.commits
        common = body.get("context", {})  # what the batch says for all of its messages, as the relay reads it
        with self._changed:
            self.arrivals.append(Arrival(time.monotonic(), body, dict(request.headers), answer))
            if commits:
                for message in body["batch"]:
                    message["context"] = {**common, **message.get("context", {})}
                    self.committed.setdefault(message["messageId"], message)
            self._changed.notify_all()
        if answer.held:
            await asyncio.to_thread(answer.held.wait, DEADLINE)
        if answer.drops:
            assert request.client
            self._transports[(request.client.host, request.client.port)].abort()
        if answer.retry_after is not None:
            cors["Retry-After"] = str(answer.retry_after)
        content: dict[str, Any] = {"success": True, "visitor": "mirror-1"} if ok else {"error": {"code": "planned"}}
        if ok and self.handle:
            content["handle"] = self.handle
        return JSONResponse(content, answer.status, headers=cors)

    # -- the shop

    async def _page(self, request: Request) -> Response:
        path = request.url.path
        return HTMLResponse(
            f"<!doctype html><html><head><title>Shop {path}</title><link rel=icon href=data:,>"
            f"{self.pages.get(path, '')}"
            f'<script async src="{self.relay}/tag.js?key={KEY}"></script></head><body>{path}</body></html>',
            headers=self.headers,
        )

    async def _read_cart(self, request: Request) -> Response:
        with self._changed:
            self.cart_reads.append(request.url.path)
            self._changed.notify_all()
        if self.hold_cart:
            await asyncio.to_thread(self.hold_cart.wait, DEADLINE)
        return JSONResponse(self._cart())

    async def _write_cart(self, request: Request) -> Response:
        if "json" in request.headers.get("content-type", ""):
            fields = await request.json()
        else:
            async with request.form() as form:
                fields = dict(form)
        action = request.path_params["action"].split(".")[0]
        if action == "clear":
            self.cart = []
        if action in ("clear", "update"):
            return JSONResponse(self._cart())
        if action == "change":
            self.cart[int(fields["line"]) - 1]["quantity"] = int(fields["quantity"])
            self.cart = [line for line in self.cart if line["quantity"]]
            return JSONResponse(self._cart())
        lines = fields.get("items") or [fields]
        if any(str(line["id"]) == "0" for line in lines):
            return JSONResponse({"status": 422, "message": "Cart Error", "description": "Sold out"}, 422)
        if any(str(line["id"]) == "1" for line in lines):  # some shops answer their errors with 200
            return JSONResponse({"status": 422, "message": "Cart Error", "description": "Sold out"})
        added = [self._add(str(line["id"]), int(line.get("quantity", 1))) for line in lines]
        return JSONResponse({"items": added} if "items" in fields else added[0])

    def _add(self, variant: str, quantity: int) -> dict[str, Any]:
        line = next((line for line in self.cart if line["variant_id"] == int(variant)), None)
        if line is None:
            line = {
                "id": int(variant), "variant_id": int(variant), "product_id": int(variant) // 10, "quantity": 0,
                "key": f"{variant}:abc", "title": f"Shirt {variant} - Large", "product_title": f"Shirt {variant}",
                "variant_title": "Large", "sku": f"SKU-{variant}", "vendor": "Acme", "product_type": "Shirts",
                "price": 1250, "final_price": 1250, "url": f"/products/shirt?variant={variant}",
                "image": "//cdn.shop.test/shirt.jpg",
            }  # fmt: skip
            self.cart.append(line)
        line["quantity"] += quantity
        return line

    def _cart(self) -> dict[str, Any]:
        total = sum(line["price"] * line["quantity"] for line in self.cart)
        return {
            "token": f"{self.token}?key=secret",
            "currency": self.currency,
            "total_price": total,
            "items": self.cart,
        }
