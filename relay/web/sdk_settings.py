"""What Segment's and RudderStack's browser SDKs ask for before they send: so they load from the relay alone.

- ``GET /v1/projects/<write_key>/settings``: Segment's ``analytics-next``, whose ``cdnURL`` is the relay. The answer
  sends its events to the same relay and switches its own metrics off.
- ``GET /sourceConfig?writeKey=``: RudderStack's ``analytics-js``, whose ``configUrl`` is the relay, with the key as the
  user of ``Authorization: Basic`` too. It has no destinations in the browser: the relay is the only one.

Both are public: a site's public key and nothing that is not on its pages already.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.config import Site
from relay.errors import RequestRefused
from relay.web.security import basic_user, is_allowed_origin

#: As short as the tag's own, so that a move of the relay is everywhere within minutes.
MAX_AGE_SECONDS = 300
#: HEAD is how RudderStack's SDK looks for ad blockers.
_METHODS = ["GET", "HEAD", "OPTIONS"]


class SdkSettings:
    """The settings of every site, in the words of both SDKs."""

    def __init__(self, sites: Sequence[Site], path_prefix: str) -> None:
        self._sites = {site.write_key: site for site in sites}
        self._path_prefix = path_prefix

    def routes(self) -> list[Route]:
        return [
            Route("/v1/projects/{write_key}/settings", self.segment, methods=_METHODS),
            # With and without the last slash: a preflight must not be redirected.
            Route("/sourceConfig", self.rudderstack, methods=_METHODS),
            Route("/sourceConfig/", self.rudderstack, methods=_METHODS),
        ]

    async def segment(self, request: Request) -> Response:
        return self._answer(request, request.path_params["write_key"], self._of_segment)

    async def rudderstack(self, request: Request) -> Response:
        headers = dict(request.scope["headers"])
        write_key = request.query_params.get("writeKey") or basic_user(headers) or ""
        return self._answer(request, write_key, _of_rudderstack)

    def _answer(self, request: Request, write_key: str, settings: Any) -> Response:
        cors = self._cors(request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=cors)
        site = self._sites.get(write_key)
        if site is None:
            raise RequestRefused(404, "unknown_write_key", "writeKey: expected the public key of a site of this relay")
        headers = cors | {"Cache-Control": f"public, max-age={MAX_AGE_SECONDS}", "X-Content-Type-Options": "nosniff"}
        body = msgspec.json.encode(settings(site, request))
        return Response(body, media_type="application/json", headers=headers)

    def _cors(self, request: Request) -> dict[str, str]:
        headers = dict(request.scope["headers"])
        if not any(is_allowed_origin(headers, site) for site in self._sites.values()):
            return {"Vary": "Origin"}
        return {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": request.headers["origin"],
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Allow-Methods": "GET, HEAD",
            "Access-Control-Allow-Headers": "authorization, content-type",
            "Access-Control-Max-Age": "86400",
        }

    def _of_segment(self, site: Site, request: Request) -> dict[str, Any]:
        # The host that was asked: whatever proxy stands before the relay, the page can reach this one.
        host = f"{request.url.netloc}{self._path_prefix}/v1"
        return {
            "integrations": {
                "Segment.io": {
                    "apiKey": site.write_key,
                    "apiHost": host,
                    "protocol": request.url.scheme,
                    "addBundledMetadata": False,
                    "unbundledIntegrations": [],
                    "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
                }
            },
            "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
            "edgeFunction": {},
            "analyticsNextEnabled": True,
            "middlewareSettings": {},
            "enabledMiddleware": {},
            "metrics": {"sampleRate": 0},
            "legacyVideoPluginsEnabled": False,
            "remotePlugins": [],
        }


def _of_rudderstack(site: Site, request: Request) -> dict[str, Any]:
    return {
        "source": {
            "id": site.write_key,
            "name": site.site_id,
            "writeKey": site.write_key,
            "enabled": True,
            "workspaceId": site.write_key,
            "config": {"statsCollection": {"errors": {"enabled": False}, "metrics": {"enabled": False}}},
            "destinations": [],
            "connections": [],
            "dataplanes": {},
        }
    }
