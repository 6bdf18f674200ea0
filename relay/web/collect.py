"""The first station: bytes in, an answer only after the commit.

A plain ASGI callable: this is the one route whose speed a shop's traffic feels. It looks nothing up in the identity
graph; the visitor comes from the cookie or the mirror alone.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw

from relay.config import Site
from relay.errors import RequestRefused
from relay.identity.evidence import Recognition
from relay.model import DropReason, Trust
from relay.observe import describe
from relay.pipeline import parse
from relay.pipeline.consent import is_denied, permission
from relay.pipeline.withheld import remains
from relay.store.rows import Entry
from relay.web import body
from relay.web.body import Receive
from relay.web.intake import Intake
from relay.web.security import Caller, Headers, Keys, RateLimit, is_allowed_origin
from relay.web.visitor import NOBODY, Visitor, handle_in, named_by_caller, recognise

log = logging.getLogger("relay.collect")

#: What the published SDKs post to: Segment's HTTP API, history, and the short names of its browser SDK.
_NAMES = ("batch", *parse.TYPES)
CALLS = {name: name for name in _NAMES} | {name[0]: name for name in _NAMES} | {"import": "batch"}

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]


class Collect:
    """``POST /v1/batch``, ``/v1/import`` and the six single calls, with their preflights."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._keys = Keys(intake.sites)
        self._rate_limit = RateLimit()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = dict(scope["headers"])
        cookies = [value for name, value in scope["headers"] if name == b"cookie"]
        cors = self._cors(headers)
        try:
            if scope["method"] == "OPTIONS":
                await _answer(send, 204, b"", [*cors, *_PREFLIGHT])
                return
            status, answer, extra = await self._collect(scope, headers, cookies, receive)
        except RequestRefused as refused:
            status, answer, extra = _refusal(refused)
        except Exception as error:
            # Not the caller's fault: the log names the problem under the ID that the answer names.
            fault = RequestRefused(500, "internal_error", "a fault of the relay; nothing was kept")
            log.error("a request failed", extra={"problem": describe(error), "request_id": fault.request_id})
            status, answer, extra = _refusal(fault)
        await _answer(send, status, answer, [*cors, *extra])

    async def _collect(
        self, scope: Scope, headers: Headers, cookies: list[bytes], receive: Receive
    ) -> tuple[int, bytes, HeaderList]:
        path = scope["path"].rpartition("/v1/")[2]
        call = CALLS.get(path)
        if call is None:
            raise RequestRefused(
                404, "not_found", f"expected one of {', '.join(f'/v1/{name}' for name in (*_NAMES, 'import'))}"
            )
        if scope["method"] != "POST":
            raise RequestRefused(405, "method_not_allowed", "expected POST")
        envelope = parse.read_envelope(body.decoded(await body.read(headers, receive), headers), call)
        caller = self._keys.caller(headers, envelope.write_key, public_key=_public_key(scope))
        if caller.trust is Trust.BROWSER:
            self._rate_limit.check(_address(scope))
        entry, named_drops, visitor = self._entry(scope, headers, cookies, call, envelope, caller)
        if path == "import":
            if caller.trust is not Trust.SERVER:
                raise RequestRefused(403, "server_key_required", "/v1/import: expected the site's server key")
            entry = msgspec.structs.replace(entry, is_history=True)
        if entry.messages or entry.drops:
            # A visitor of ours is one for the whole request; those that callers name themselves may be several.
            is_ours = visitor.recognition in (Recognition.COOKIE, Recognition.MIRROR, Recognition.HANDLE)
            entries = [entry] if is_ours else named_by_caller(entry, self._intake.visitors[caller.site.site_id])
            await self._intake.keep(*entries)
        if call != "batch" and named_drops:
            # The one message of a single call is the request: its fault is the request's.
            drop = named_drops[0][1]
            if drop.reason is DropReason.TOO_LARGE:
                raise RequestRefused(413, drop.reason, drop.text)
            raise RequestRefused(400, drop.reason, drop.text)
        answer: dict[str, Any] = {"success": True}
        if visitor.mirror is not None:
            answer["visitor"] = visitor.mirror
        if visitor.handle is not None:
            answer["handle"] = visitor.handle
        if named_drops:
            answer["dropped"] = [{"index": index, "reason": drop.text} for index, drop in named_drops]
        extra = [] if visitor.set_cookie is None else [(b"set-cookie", visitor.set_cookie.encode("latin-1"))]
        return 200, msgspec.json.encode(answer), extra

    def _entry(
        self,
        scope: Scope,
        headers: Headers,
        cookies: list[bytes],
        call: str,
        envelope: parse.Envelope,
        caller: Caller,
    ) -> tuple[Entry, list[tuple[int, parse.Drop]], Visitor]:
        """What the journal gets, the messages refused, and the visitor."""
        now, site = self._intake.clock.now(), caller.site
        gpc = headers.get(b"sec-gpc") == b"1"
        skew = parse.clock_skew(envelope.sent_at, now)
        common = parse.common_fields(envelope)
        messages, named_drops = [], []
        may_know, is_server = False, caller.trust is Trust.SERVER
        handle: str | None = None
        for index, raw in enumerate(envelope.batch):
            read = parse.read_message(raw, call=call, received_at=now, skew=skew, common=common)
            if isinstance(read, parse.Drop):
                named_drops.append((index, read))
                continue
            received, context = read
            if permission(context, caller.trust, site.consent, gpc=gpc).keep:
                may_know = True
                handle = handle or handle_in(context)
            else:
                # Without consent only that there was a message is noted, which choice was made, and who wants no more.
                # The anonymous ID of a server's, or a random one with a refusal, tells whose choice it is.
                is_told = is_server or (is_denied(context) and self._names(site, received))
                body = Raw(msgspec.json.encode(remains(parse.read_body(received), caller.trust)))
                received = msgspec.structs.replace(
                    received, body=body, anonymous_id=received.anonymous_id if is_told else None
                )
            messages.append(received)
        visitor = NOBODY
        if not is_server:
            visitor = recognise(
                self._intake.visitors[site.site_id],
                cookies,
                envelope.visitor,
                messages[0] if messages else None,
                now=now,
                secure=scope["scheme"] == "https",
                domain=site.cookie_domain,
                may_know=may_know,
                handle=handle,
            )
        client = scope.get("client")
        user_agent = headers.get(b"user-agent")
        entry = Entry(
            site_id=site.site_id,
            received_at=now,
            trust=caller.trust,
            messages=messages,
            drops=dict(Counter(drop.reason for _, drop in named_drops)),
            visitor_id=visitor.visitor_id,
            recognition=visitor.recognition,
            ip=client[0] if client and may_know else None,
            user_agent=user_agent.decode("latin-1")[:512] if user_agent and may_know else None,
            gpc=gpc,
        )
        return entry, named_drops, visitor

    def _names(self, site: Site, received: parse.Received) -> bool:
        """Whether a browser's anonymous ID names a visitor."""
        return self._intake.visitors[site.site_id].mint(received.anonymous_id or "") is not None

    def _cors(self, headers: Headers) -> HeaderList:
        """An allowed origin may read the answer; every other one sees none of it."""
        if not any(is_allowed_origin(headers, site) for site in self._intake.sites):
            return [(b"vary", b"Origin")]
        return [
            (b"vary", b"Origin"),
            (b"access-control-allow-origin", headers[b"origin"]),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", b"Retry-After"),  # the tag obeys it
        ]


_PREFLIGHT: HeaderList = [
    (b"access-control-allow-methods", b"POST"),
    (
        b"access-control-allow-headers",
        # The tag's, Segment's (X-Retry-Count) and RudderStack's.
        b"content-type, content-encoding, authorization, x-retry-count, anonymousid, rsa-retry-attempt, "
        b"rsa-since-last-attempt, rsa-since-first-attempt, rsa-retry-reason, rsa-recovered, sentat",
    ),
    (b"access-control-max-age", b"86400"),
]


def _public_key(scope: Scope) -> str | None:
    """The ``writeKey`` of the address: a beacon of RudderStack's has no headers to put it in."""
    keys = parse_qs(scope["query_string"].decode("latin-1")).get("writeKey")
    return keys[0] if keys else None


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _refusal(refused: RequestRefused) -> tuple[int, bytes, HeaderList]:
    extra = [] if refused.retry_after is None else [(b"retry-after", str(refused.retry_after).encode())]
    if refused.status == 405:
        extra.append((b"allow", b"POST, OPTIONS"))
    return refused.status, msgspec.json.encode(refused.document()), extra


async def _answer(send: Send, status: int, body: bytes, headers: HeaderList) -> None:
    # An answer without content (204) names neither its type nor its length (RFC 9110, 8.6).
    content: HeaderList = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                *(content if body else []),
                # A cookie in a shared cache would hand one visitor's ID to another.
                (b"cache-control", b"no-store"),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
