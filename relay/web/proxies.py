"""Behind proxies: whose ``X-Forwarded-*`` headers are believed.

uvicorn's middleware takes the client's address and scheme from a trusted proxy. Two proxies in a row (a CDN before
nginx) write a list, and some write ``HTTPS``: the first word, in lower case, is what the browser used.
"""

import logging
from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from relay.web.body import Receive
from relay.web.collect import Scope, Send

_PROTO = b"x-forwarded-proto"
log = logging.getLogger(__name__)


class BehindProxies:
    """An application as the browser sees it. ``trusted`` as in RELAY_TRUSTED_PROXIES."""

    def __init__(self, application: Any, trusted: str) -> None:
        self._application: Any = ProxyHeadersMiddleware(application, trusted_hosts=trusted)
        self._is_warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and any(name == _PROTO for name, _ in scope["headers"]):
            self._warn_of(scope.get("client"))
            headers = [(name, _first(value) if name == _PROTO else value) for name, value in scope["headers"]]
            scope = {**scope, "headers": headers}
        await self._application(scope, receive, send)

    def _warn_of(self, client: tuple[str, int] | None) -> None:
        """Say once that a proxy is not believed: the cookie is then not Secure, and all shoppers share its address."""
        if self._is_warned or client is None or client[0] in self._application.trusted_hosts:
            return
        self._is_warned = True
        log.warning("X-Forwarded-* of a peer outside of RELAY_TRUSTED_PROXIES is not believed")  # who may be a shopper


def _first(value: bytes) -> bytes:
    return value.partition(b",")[0].strip().lower()
