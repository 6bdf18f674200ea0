"""The composition root: picks store and destination, wires the stations, builds the application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from relay.clock import Clock, SystemClock
from relay.config import SQLITE, Settings
from relay.errors import RequestRefused
from relay.store.postgres import PostgresStore
from relay.store.sqlite import SqliteStore
from relay.web.app_proxy import AppProxy
from relay.web.body import Receive
from relay.web.collect import Collect, Scope, Send
from relay.web.console import Console
from relay.web.go import Go
from relay.web.intake import Intake
from relay.web.ops import Ops
from relay.web.sdk_settings import SdkSettings
from relay.web.tag import TagFiles
from relay.web.webhooks import Webhooks
from relay.workers import Bells, Workers


def open_store(settings: Settings) -> SqliteStore | PostgresStore:
    """The store that ``RELAY_DATABASE_URL`` names. Raises SettingsError or StoreUnavailable."""
    url, secrets, sites = settings.database_url, settings.secret_keys, [site.site_id for site in settings.sites]
    if url.startswith(SQLITE):
        return SqliteStore(Path(url.removeprefix(SQLITE)), secrets, sites)
    return PostgresStore(url, secrets, sites)


class Relay:
    """The ASGI application. With ``work`` it also processes and delivers, in the same process."""

    def __init__(self, settings: Settings, *, work: bool = True, clock: Clock | None = None) -> None:
        self.settings = settings
        clock = clock or SystemClock()
        self.store = open_store(settings)
        self._bells = Bells(settings, self.store)
        self._workers = Workers(settings, self.store, clock, self._bells) if work else None
        intake = Intake(settings.sites, settings.secret_keys, self.store, clock, self._bells.ring_journal)
        self._collect = Collect(intake)
        self._webhooks, self._app_proxy, self._go = Webhooks(intake), AppProxy(intake), Go(intake)
        prefixes = {"", settings.path_prefix}
        self._prefixes = tuple(f"{prefix}{path}" for prefix in prefixes for path in ("/v1/", "/beacon/v1/"))
        self._settings = tuple(f"{prefix}/v1/projects/" for prefix in prefixes)
        self._pages = self._build_pages()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The collecting route goes past the router: it is the one route whose speed matters, as measured.
        is_collect = scope["type"] == "http" and scope["path"].startswith(self._prefixes)
        if is_collect and not scope["path"].startswith(self._settings):
            await self._collect(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    def _build_pages(self) -> Starlette:
        ops, console = Ops(self.store, self.settings.sites), Console(self.store, self.settings)
        routes = [
            *SdkSettings(self.settings.sites, self.settings.path_prefix).routes(),
            Route("/tag.js", TagFiles(self.settings.sites).__call__, methods=["GET"]),
            *self._webhooks.routes(),
            *self._app_proxy.routes(),
            *self._go.routes(),
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
    workers = Workers(settings, store, clock or SystemClock(), Bells(settings, store))
    try:
        await workers.start()
        await stop.wait()
    finally:
        await workers.stop()
        await store.close()


async def _refused(request: Request, error: RequestRefused) -> Response:
    return _answer(error, None if error.retry_after is None else {"Retry-After": str(error.retry_after)})


async def _http_error(request: Request, error: HTTPException) -> Response:
    refused = RequestRefused(error.status_code, error.detail.lower().replace(" ", "_"), error.detail)
    return _answer(refused, error.headers)


def _answer(refused: RequestRefused, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(refused.document(), refused.status, headers)
