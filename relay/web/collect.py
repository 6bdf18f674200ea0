"""The first station: bytes in, an answer only after the commit.

A plain ASGI callable: this is the one route whose speed a shop's traffic feels. It looks nothing up in the identity
graph; the visitor comes from the cookie or the mirror alone.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from relay.clock import Clock
from relay.config import Site
from relay.errors import RequestRefused, StoreBusy, StoreError
from relay.identity.cookie import VisitorTokens
from relay.model import DropReason, Trust
from relay.observe import describe
from relay.pipeline import parse
from relay.pipeline.consent import bare, permission
from relay.store.base import Store
from relay.store.rows import Entry
from relay.web import body
from relay.web.body import Receive
from relay.web.security import Caller, Headers, Keys, RateLimit, is_allowed_origin
from relay.web.visitor import NOBODY, Visitor, named_by_server, recognise

log = logging.getLogger("relay.collect")

CALLS = ("batch", *parse.TYPES)
RETRY_AFTER_SECONDS = 5

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]


class Collect:
    """``POST /v1/batch`` and the six single calls, with their preflights. ``journal_rings`` wakes the processor."""

    def __init__(
        self,
        sites: Sequence[Site],
        secret_keys: Sequence[str],
        store: Store,
        clock: Clock,
        journal_rings: Callable[[str], None],
    ) -> None:
        self._sites = sites
        self._keys = Keys(sites)
        self._tokens = {site.site_id: VisitorTokens(secret_keys, site.site_id, clock) for site in sites}
        self._store = store
        self._clock = clock
        self._journal_rings = journal_rings
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
        except StoreError as error:
            code = "busy" if isinstance(error, StoreBusy) else "unavailable"
            unavailable = RequestRefused(503, code, "cannot be kept now", retry_after=RETRY_AFTER_SECONDS)
            status, answer, extra = _failure("a request could not be kept", error, unavailable)
        except Exception as error:
            fault = RequestRefused(500, "internal_error", "a fault of the relay; nothing was kept")
            status, answer, extra = _failure("a request failed", error, fault)
        await _answer(send, status, answer, [*cors, *extra])

    async def _collect(
        self, scope: Scope, headers: Headers, cookies: list[bytes], receive: Receive
    ) -> tuple[int, bytes, HeaderList]:
        call = scope["path"].rpartition("/v1/")[2]
        if call not in CALLS:
            raise RequestRefused(404, "not_found", f"expected one of {', '.join(f'/v1/{name}' for name in CALLS)}")
        if scope["method"] != "POST":
            raise RequestRefused(405, "method_not_allowed", "expected POST")
        envelope = parse.read_envelope(body.decoded(await body.read(headers, receive), headers), call)
        caller = self._keys.caller(headers, envelope.write_key)
        if caller.trust is Trust.BROWSER:
            self._rate_limit.check(_address(scope))
        entry, named_drops, visitor = self._entry(scope, headers, cookies, call, envelope, caller)
        if entry.messages or entry.drops:
            entries = named_by_server(entry) if caller.trust is Trust.SERVER else [entry]
            await self._store.append(*entries)
            self._journal_rings(caller.site.site_id)
        if call != "batch" and named_drops:
            # The one message of a single call is the request: its fault is the request's.
            drop = named_drops[0][1]
            if drop.reason is DropReason.TOO_LARGE:
                raise RequestRefused(413, drop.reason, drop.text)
            raise RequestRefused(400, drop.reason, drop.text)
        answer: dict[str, Any] = {"success": True}
        if visitor.mirror is not None:
            answer["visitor"] = visitor.mirror
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
        now, site = self._clock.now(), caller.site
        gpc = headers.get(b"sec-gpc") == b"1"
        skew = parse.clock_skew(envelope.sent_at, now)
        common = parse.common_fields(envelope)
        messages, named_drops = [], []
        may_know, is_server = False, caller.trust is Trust.SERVER
        for index, raw in enumerate(envelope.batch):
            read = parse.read_message(raw, call=call, received_at=now, skew=skew, common=common)
            if isinstance(read, parse.Drop):
                named_drops.append((index, read))
                continue
            received, context = read
            if permission(context, caller.trust, site.consent, gpc=gpc).keep:
                may_know = True
            else:
                # Without consent only that there was a message is noted, and which choice was made.
                anonymous_id = received.anonymous_id if is_server else None  # a server's tells whose choice it is
                received = msgspec.structs.replace(received, body=_bare(context), anonymous_id=anonymous_id)
            messages.append(received)
        visitor = NOBODY
        if not is_server:
            visitor = recognise(
                self._tokens[site.site_id],
                cookies,
                envelope.visitor,
                messages[0].message_id if messages else "",
                now=now,
                secure=scope["scheme"] == "https",
                domain=site.cookie_domain,
                may_know=may_know,
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

    def _cors(self, headers: Headers) -> HeaderList:
        """An allowed origin may read the answer; every other one sees none of it."""
        if not any(is_allowed_origin(headers, site) for site in self._sites):
            return [(b"vary", b"Origin")]
        return [
            (b"vary", b"Origin"),
            (b"access-control-allow-origin", headers[b"origin"]),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", b"Retry-After"),  # the tag obeys it
        ]


_PREFLIGHT: HeaderList = [
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"content-type, content-encoding, authorization"),
    (b"access-control-max-age", b"86400"),
]


def _bare(context: parse.Context) -> Raw:
    """All that is kept of a message without consent."""
    return Raw(msgspec.json.encode({"event": "withheld", "context": bare(context)}))


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _failure(what: str, error: Exception, refused: RequestRefused) -> tuple[int, bytes, HeaderList]:
    """Not the caller's fault: the log names the problem under the ID that the answer names."""
    request_id = uuid.uuid4().hex
    log.error(what, extra={"problem": describe(error), "request_id": request_id})
    return _refusal(refused, request_id)


def _refusal(refused: RequestRefused, request_id: str | None = None) -> tuple[int, bytes, HeaderList]:
    extra = [] if refused.retry_after is None else [(b"retry-after", str(refused.retry_after).encode())]
    if refused.status == 405:
        extra.append((b"allow", b"POST, OPTIONS"))
    return refused.status, msgspec.json.encode(refused.document(request_id or uuid.uuid4().hex)), extra


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
