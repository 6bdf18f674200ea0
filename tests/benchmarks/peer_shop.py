"""What ``tag_peers`` measures on: the peers, built from the npm registry into a folder, and a shop with a collector.

Every event carries a marker (``mk-...-end``), so that whatever a tag sends, in whichever words, is found again.
"""

import asyncio
import gzip
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

import brotli
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from relay.config import Consent, Site
from relay.web.tag import built_tag, inline_snippet, with_settings

OURS = "backflow"
MARKER = re.compile(r"mk-[a-z0-9-]+?-end")
SITE = Site(site_id="shop", write_key="wk_peers", consent=Consent.AUTO)

#: Package and the program that sets it up as its manual says: page view at load, ``window.track(name, properties)``.
#: RELAY stands for the collector's address.
PEERS = {
    "Plausible": (
        "@plausible-analytics/tracker",
        """import { init, track } from "@plausible-analytics/tracker";
        window.__plausible = true; // or it ignores every automated browser
        init({ domain: "shop.test", endpoint: RELAY + "/api/event", captureOnLocalhost: true, logging: false });
        window.track = (name, props) => track(name, { props });""",
    ),
    "Snowplow": (
        "@snowplow/browser-tracker",
        """import { newTracker, trackPageView, trackSelfDescribingEvent } from "@snowplow/browser-tracker";
        newTracker("sp", RELAY, { appId: "shop", encodeBase64: false });
        trackPageView();
        window.track = (name, data) => trackSelfDescribingEvent(
          { event: { schema: "iglu:shop/event/jsonschema/1-0-0", data: { name, ...data } } });""",
    ),
    "Segment": (
        "@segment/analytics-next",
        """import { AnalyticsBrowser } from "@segment/analytics-next";
        const host = RELAY.split("//")[1];
        const analytics = AnalyticsBrowser.load({ writeKey: "k", cdnURL: RELAY },
          { integrations: { "Segment.io": { apiHost: host + "/v1", protocol: "http" } } });
        analytics.page();
        window.track = (name, data) => analytics.track(name, data);""",
    ),
    "RudderStack": (
        "@rudderstack/analytics-js",
        """import { RudderAnalytics } from "@rudderstack/analytics-js/bundled";
        const analytics = new RudderAnalytics();
        analytics.load("wk", RELAY, { configUrl: RELAY });
        analytics.page();
        window.track = (name, data) => analytics.track(name, data);""",
    ),
    "Mixpanel": (
        "mixpanel-browser",
        """import mixpanel from "mixpanel-browser";
        mixpanel.init("token", { api_host: RELAY, track_pageview: true, persistence: "localStorage",
          api_payload_format: "json", record_sessions_percent: 0 });
        window.track = (name, data) => mixpanel.track(name, data);""",
    ),
    "PostHog": (
        "posthog-js",
        """import posthog from "posthog-js";
        posthog.init("key", { api_host: RELAY, disable_compression: true, opt_out_useragent_filter: true });
        window.track = (name, data) => posthog.capture(name, data);""",
    ),
}


def install(folder: Path, names: list[str]) -> dict[str, str]:
    """Gets the packages of ``names`` into ``folder`` with npm; their versions. One that cannot be had is left out."""
    (folder / "package.json").write_text("{}")
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is needed to get the peers")
    get = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
    subprocess.run([*get, "esbuild"], cwd=folder, check=True)
    versions = {}
    for name in names:
        if subprocess.run([*get, PEERS[name][0]], cwd=folder).returncode == 0:
            versions[name] = json.loads((folder / "node_modules" / PEERS[name][0] / "package.json").read_text())[
                "version"
            ]
    return versions


def built(folder: Path, name: str, relay: str) -> bytes:
    """The peer as one minified file. Raises CalledProcessError when its package has changed its ways."""
    entry = folder / f"{name}.js"
    entry.write_text(PEERS[name][1].replace("RELAY", json.dumps(relay)))
    command = [str(folder / "node_modules/.bin/esbuild"), str(entry), "--bundle", "--minify", "--format=iife",
               "--target=es2020", "--log-level=error", '--define:process.env.NODE_ENV="production"']  # fmt: skip
    return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout


def weight(script: bytes) -> int:
    """Bytes with brotli 11."""
    return len(brotli.compress(script, quality=11))


class PeerShop:
    """Pages of a shop with one of the tags, and a collector that takes whatever a tag sends."""

    def __init__(self) -> None:
        self.scripts: dict[str, bytes] = {}
        self.down = False
        self.hold: threading.Event | None = None  #: the tags' scripts arrive only when set
        self.requests: list[tuple[str, str]] = []  #: method and path, scripts left out
        self._seen: dict[str, int] = {}
        self._changed = threading.Condition()
        self._transports: dict[tuple[str, int], asyncio.Transport] = {}
        self._socket = socket.create_server(("127.0.0.1", 0))
        port = self._socket.getsockname()[1]
        self.shop, self.relay = f"http://shop.localhost:{port}", f"http://relay.localhost:{port}"
        self.scripts[OURS] = with_settings(built_tag(), SITE) + b"window.track = backflow.track;"

    def __enter__(self) -> "PeerShop":
        transports = self._transports

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                transports[transport.get_extra_info("peername")] = transport
                super().connection_made(transport)

        routes = [Route("/page/{name}/{rest:path}", self._page), Route("/tag.js", self._ours),
                  Route("/script/{name}", self._script), Route("/away", self._away),
                  Route("/{path:path}", self._collect, methods=["GET", "POST", "OPTIONS"])]  # fmt: skip
        config = uvicorn.Config(
            Starlette(routes=routes), http=Protocol, ws="none", lifespan="off", log_level="critical", access_log=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    def page(self, name: str) -> str:
        return f"{self.shop}/page/{name}/"

    def count(self, marker: str) -> int:
        """How often the event with this marker has arrived."""
        with self._changed:
            return self._seen.get(marker, 0)

    def arrived(self, markers: list[str], seconds: float) -> int:
        """How many of ``markers`` are there, at the latest after ``seconds``."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                found = sum(marker in self._seen for marker in markers)
                left = deadline - time.monotonic()
                if found == len(markers) or left <= 0:
                    return found
                self._changed.wait(left)

    async def _page(self, request: Request) -> Response:
        name = request.path_params["name"]
        head = f'<script async src="{self.relay}/script/{name}"></script>'
        if name == OURS:
            head = inline_snippet(self.relay, SITE)
        elif name == "nothing":
            head = "<script>window.track = () => {}</script>"
        return HTMLResponse(
            f"<!doctype html><html><head><title>Shop</title><link rel=icon href=data:,>{head}</head>"
            f"<body><h1>Shirt</h1>{'<p>A shirt of the shop.</p>' * 40}</body></html>"
        )

    async def _away(self, request: Request) -> Response:
        return HTMLResponse("<!doctype html><title>Elsewhere</title><link rel=icon href=data:,>")

    async def _ours(self, request: Request) -> Response:
        return await self._tag(OURS)

    async def _script(self, request: Request) -> Response:
        return await self._tag(request.path_params["name"])

    async def _tag(self, name: str) -> Response:
        if self.hold:
            await asyncio.to_thread(self.hold.wait, 20)
        return Response(self.scripts[name], media_type="text/javascript", headers={"Cache-Control": "no-store"})

    async def _collect(self, request: Request) -> Response:
        if self.down:
            assert request.client
            self._transports[(request.client.host, request.client.port)].abort()
            return Response()
        body = await request.body()
        with self._changed:
            self.requests.append((request.method, request.url.path))
            for marker in MARKER.findall(_text(body) + urllib.parse.unquote_plus(str(request.url))):
                self._seen[marker] = self._seen.get(marker, 0) + 1
            self._changed.notify_all()
        cors = {
            "Access-Control-Allow-Origin": request.headers.get("origin", "*"),
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Allow-Headers": request.headers.get("access-control-request-headers", "*"),
            "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
            "Cache-Control": "no-store",
        }
        return JSONResponse(_answer(request.url.path), headers=cors)


def _text(body: bytes) -> str:
    if body[:2] == b"\x1f\x8b":
        body = gzip.decompress(body)
    return urllib.parse.unquote_plus(body.decode("utf-8", "replace"))


def _answer(path: str) -> dict[str, Any]:
    """What the peers' own servers answer, as far as their tags need it to work."""
    if path.endswith("/settings"):
        return {"integrations": {"Segment.io": {"apiKey": "k"}}, "plan": {}}
    if "sourceConfig" in path:
        off = {"enabled": False}
        config = {"statsCollection": {"errors": off, "metrics": off}}
        source = {"id": "s", "name": "shop", "writeKey": "wk", "enabled": True, "workspaceId": "w", "config": config}
        return {"source": source | {"destinations": [], "connections": [], "dataplanes": {}}}
    return {"success": True, "visitor": "mirror-1", "status": 1}
