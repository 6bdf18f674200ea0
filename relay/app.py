"""The composition root: picks store and destination, wires the stations, builds the application."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from relay.clock import Clock, SystemClock
from relay.config import Settings, Site
from relay.delivery.pace import Traffic
from relay.delivery.worker import Sender
from relay.errors import RequestRefused
from relay.klaviyo.client import KlaviyoClient
from relay.observe import describe
from relay.pipeline.process import Processor
from relay.store import retention
from relay.store.sqlite import SqliteStore, WorkLock
from relay.web.body import Receive
from relay.web.collect import Collect, Scope, Send
from relay.web.console import Console
from relay.web.ops import Ops
from relay.web.tag import TagFiles

log = logging.getLogger("relay")

#: How long a stopping relay finishes what it is sending before it gives the rest back.
DRAIN_SECONDS = 20.0
#: How long a failed worker waits before it starts again.
RESTART_SECONDS = 1.0


def open_store(settings: Settings) -> SqliteStore:
    """The store that ``RELAY_DATABASE_URL`` names. Raises StoreUnavailable."""
    return SqliteStore(Path(settings.database_url.removeprefix("sqlite:///")))


class Bells:
    """How a station tells the next one that there is work: one journal bell and one outbox bell a site."""

    def __init__(self, settings: Settings) -> None:
        self.journal = {site.site_id: asyncio.Event() for site in settings.sites}
        self.outbox = {site.site_id: asyncio.Event() for site in settings.sites}

    def ring_journal(self, site_id: str) -> None:
        self.journal[site_id].set()


class Workers:
    """The processor, the sender and the housekeeping of every site.

    Raises SettingsError when another process works on this database already.
    """

    def __init__(self, settings: Settings, store: SqliteStore, clock: Clock, bells: Bells) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._bells = bells
        self._lock: WorkLock = store.lock_for_work()
        #: By API key: sites of one Klaviyo account share its limits.
        self._traffic: dict[str, Traffic] = {}
        self._clients: list[KlaviyoClient] = []
        self._senders: list[Sender] = []
        self._sending: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        for site in self._settings.sites:
            await self._start_site(site)

    async def stop(self) -> None:
        """Let senders finish what they hold for up to DRAIN_SECONDS, then give it back."""
        for task in self._others:
            task.cancel()
        for sender in self._senders:
            sender.stop()
        if self._sending:
            _, slow = await asyncio.wait(self._sending, timeout=DRAIN_SECONDS)
            for task in slow:
                task.cancel()
        await asyncio.gather(*self._sending, *self._others, return_exceptions=True)
        for client in self._clients:
            await client.close()
        self._lock.release()

    async def _start_site(self, site: Site) -> None:
        journal, outbox = self._bells.journal[site.site_id], self._bells.outbox[site.site_id]
        traffic = self._traffic.setdefault(site.klaviyo_api_key or site.site_id, Traffic(self._clock))
        client = KlaviyoClient(site, traffic)
        sender = Sender(site, self._store, client, traffic, self._clock, outbox_rings=outbox, journal_rings=journal)
        processor = Processor(
            site,
            self._store,
            self._clock,
            secrets=self._settings.secret_keys,
            journal_rings=journal,
            outbox_rings=outbox,
        )
        await sender.start()
        self._clients.append(client)
        self._senders.append(sender)
        self._sending.append(self._keep_running(sender.run, f"sender {site.site_id}"))
        self._others.append(self._keep_running(processor.run, f"processor {site.site_id}"))
        housekeeping = partial(retention.run, self._store, site, self._clock)
        self._others.append(self._keep_running(housekeeping, f"retention {site.site_id}"))

    def _keep_running(self, run: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
        """A fault of ours must not end a worker while the door stays open: it is reported, and the worker goes on."""

        async def kept_running() -> None:
            while True:
                try:
                    return await run()
                except Exception as error:
                    log.critical("a worker failed and starts again", extra={"problem": f"{name}: {describe(error)}"})
                    await self._clock.wait(asyncio.Event(), RESTART_SECONDS)

        return asyncio.create_task(kept_running(), name=name)


class Relay:
    """The ASGI application. With ``work`` it also processes and delivers, in the same process."""

    def __init__(self, settings: Settings, *, work: bool = True, clock: Clock | None = None) -> None:
        self.settings = settings
        clock = clock or SystemClock()
        self.store = open_store(settings)
        self._bells = Bells(settings)
        self._workers = Workers(settings, self.store, clock, self._bells) if work else None
        self._collect = Collect(settings.sites, settings.secret_keys, self.store, clock, self._bells.ring_journal)
        self._prefixes = tuple({"/v1/", f"{settings.path_prefix}/v1/"})
        self._pages = self._build_pages()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The collecting route goes past the router: it is the one route whose speed matters, as measured.
        if scope["type"] == "http" and scope["path"].startswith(self._prefixes):
            await self._collect(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    def _build_pages(self) -> Starlette:
        ops, console = Ops(self.store, self.settings.sites), Console(self.store, self.settings)
        routes = [
            Route("/tag.js", TagFiles(self.settings.sites).__call__, methods=["GET"]),
            Route("/healthz", ops.health, methods=["GET"]),
            Route("/readyz", ops.ready, methods=["GET"]),
            Route("/metrics", ops.metrics, methods=["GET"]),
            *console.routes(),
        ]
        if self.settings.path_prefix:
            # Whether the shop's proxy strips the prefix or passes it on: both arrive.
            routes.append(Mount(self.settings.path_prefix, routes=list(routes)))  # type: ignore[arg-type]
        handlers: dict[Any, Any] = {RequestRefused: _refused, HTTPException: _http_error}
        return Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        if self._workers is not None:
            await self._workers.start()
        try:
            yield
        finally:
            if self._workers is not None:
                await self._workers.stop()
            await self.store.close()


async def work(settings: Settings, stop: asyncio.Event, clock: Clock | None = None) -> None:
    """Process and deliver without web, until ``stop`` is set."""
    store = open_store(settings)
    workers = Workers(settings, store, clock or SystemClock(), Bells(settings))
    try:
        await workers.start()
        await stop.wait()
    finally:
        await workers.stop()
        await store.close()


async def _refused(request: Request, error: RequestRefused) -> Response:
    return _answer(error)


async def _http_error(request: Request, error: HTTPException) -> Response:
    refused = RequestRefused(error.status_code, error.detail.lower().replace(" ", "_"), error.detail)
    return _answer(refused, error.headers)


def _answer(refused: RequestRefused, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(refused.document(uuid.uuid4().hex), refused.status, headers)
