"""The console's routes: the page, its live data, its files; all behind one password."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from relay.clock import Clock, SystemClock
from relay.config import Settings
from relay.errors import StoreError
from relay.store.base import Store
from relay.web.console import snapshot, why
from relay.web.console.snapshot import SHOWS, Snapshot
from relay.web.security import is_console_password

_FOLDER = Path(__file__).parent
_FILES = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "cards.js": "text/javascript; charset=utf-8",
    "words.js": "text/javascript; charset=utf-8",
    "mark.svg": "image/svg+xml",
}

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

#: Wrong passwords from one address a minute; after that even the right one has to wait, so that guessing is slow.
WRONG_PER_MINUTE = 20
#: A reading may take at most this share of the time: the sums of a large outbox are not read for every look.
_READING_SHARE = 0.02

Handler = Callable[[Request], Awaitable[Response]]


class Console:
    """``/console`` over one store."""

    def __init__(self, store: Store, settings: Settings, clock: Clock | None = None) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock or SystemClock()
        self._wrong = RateLimitItemPerMinute(WRONG_PER_MINUTE)
        self._guesses = FixedWindowRateLimiter(MemoryStorage())
        self._pages = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"), autoescape=True, undefined=StrictUndefined
        )
        self._read: dict[str, _Reading] = {}

    def routes(self) -> list[Route]:
        """Mounted at the root and once more under RELAY_PATH_PREFIX: every URL in the page is relative."""
        return [
            Route("/console", self._guarded(self._page), methods=["GET"]),
            Route("/console/", _to_page, methods=["GET"]),
            Route("/console/live", self._guarded(self._live), methods=["GET"]),
            Route("/console/why", self._guarded(self._why), methods=["GET"]),
            Route("/console/static/{name}", self._guarded(self._file), methods=["GET"]),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        """Ask for the password first, and put the security headers on whatever is answered."""

        async def guarded(request: Request) -> Response:
            response = self._refusal(request) or await handler(request)
            response.headers.update(_HEADERS)
            return response

        return guarded

    def _refusal(self, request: Request) -> Response | None:
        password = self._settings.console_password
        if password is None:
            return PlainTextResponse(
                "The console is closed: set RELAY_CONSOLE_PASSWORD and restart the relay.\n", status_code=403
            )
        address = request.client.host if request.client else ""
        if not self._guesses.test(self._wrong, address):
            text = "Too many wrong passwords from this address. Wait a minute.\n"
            return PlainTextResponse(text, status_code=429, headers={"Retry-After": "60"})
        if is_console_password(dict(request.scope["headers"]), password):
            return None
        if "authorization" in request.headers:
            self._guesses.hit(self._wrong, address)
        return PlainTextResponse(
            "The console asks for its password (RELAY_CONSOLE_PASSWORD); any user name will do.\n",
            status_code=401,
            headers={"WWW-Authenticate": 'Basic realm="Backflow console", charset="UTF-8"'},
        )

    async def _page(self, request: Request) -> Response:
        try:
            first = msgspec.to_builtins(await self._snapshot("all"))
        except StoreError:
            first = None  # the page says so as soon as its script has asked in vain
        sites = [site.site_id for site in self._settings.sites]
        html = self._pages.get_template("console.html").render(sites=sites, first=first)
        return Response(html, media_type="text/html")

    async def _live(self, request: Request) -> Response:
        """The page's contents as JSON; ``show`` narrows the stream (see ``snapshot.SHOWS``)."""
        show = request.query_params.get("show", "all")
        if show not in SHOWS:
            return PlainTextResponse(f"show: expected one of {', '.join(SHOWS)}\n", status_code=400)
        try:
            found = await self._snapshot(show)
        except StoreError:
            return PlainTextResponse("The database cannot be read.\n", status_code=503, headers={"Retry-After": "5"})
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def _why(self, request: Request) -> Response:
        """The chain behind one delivery as JSON: ``site`` and ``id``."""
        asked = request.query_params.get("id", "")
        sites = [site for site in self._settings.sites if site.site_id == request.query_params.get("site")]
        if not sites or not asked:
            return PlainTextResponse("expected a site and the id of a delivery\n", status_code=400)
        now = self._clock.now()
        try:
            found = await self._store.read(lambda tx: why.explain(tx, sites[0], asked, now=now))
        except StoreError:
            return PlainTextResponse("The database cannot be read.\n", status_code=503, headers={"Retry-After": "5"})
        if not found:
            return PlainTextResponse("This delivery is not kept any more.\n", status_code=404)
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def _snapshot(self, show: str) -> Snapshot:
        """A fresh snapshot, or the last one while reading again would take too much of the database's time."""
        reading = self._read.setdefault(show, _Reading())
        if reading.found is None or time.monotonic() >= reading.again_at:
            began = time.monotonic()
            settings, now = self._settings, self._clock.now()
            reading.again_at = float("inf")  # others who look meanwhile get the last one
            try:
                reading.found = await self._store.read(lambda tx: snapshot.read(tx, settings, show=show, now=now))
            finally:
                took = time.monotonic() - began
                reading.again_at = time.monotonic() + took / _READING_SHARE
        return msgspec.structs.replace(reading.found, answered_at=self._clock.now())

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _FILES:
            return PlainTextResponse("not found\n", status_code=404)
        content = (_FOLDER / "static" / name).read_bytes()
        return Response(content, headers={"Content-Type": _FILES[name]})


class _Reading:
    """The last snapshot of one view, and when it may be read again (monotonic seconds)."""

    def __init__(self) -> None:
        self.found: Snapshot | None = None
        self.again_at = 0.0


async def _to_page(request: Request) -> Response:
    """``/console/`` is ``/console``; relative, because only the shop's proxy knows the path before it."""
    return RedirectResponse("../console", status_code=308)
