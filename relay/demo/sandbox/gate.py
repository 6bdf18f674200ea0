"""The door of the sandbox: every call to ``/api`` and ``/client`` passes here and is logged here.

Order: scripted fault, route, key or company id, scope, revision, rate limit, media type, size, then the handler.
"""

import asyncio
import re

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from relay.demo.sandbox import answers
from relay.demo.sandbox.account import Account, Request
from relay.demo.sandbox.answers import Fault, Refused
from relay.demo.sandbox.call import Call
from relay.demo.sandbox.endpoints import ENDPOINTS, Endpoint
from relay.demo.sandbox.faults import Script, Scripts
from relay.demo.sandbox.limits import RateLimits

#: Stable revisions with the fields the relay sends (``backfill`` came with the first).
REVISIONS = ("2026-04-15", "2026-07-15", "2026-10-15")
MEDIA_TYPES = ("application/vnd.api+json", "application/json")
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "accept, content-type, revision, x-klaviyo-onsite",
    "Access-Control-Expose-Headers": "Retry-After, X-Sandbox-Exchange-Id",
    "Access-Control-Max-Age": "600",
}
_PATTERNS = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", endpoint.path)), endpoint) for endpoint in ENDPOINTS]


class Gate:
    """An ASGI application over one account."""

    def __init__(self, account: Account, scripts: Scripts, limits: RateLimits) -> None:
        self.account = account
        self.scripts = scripts
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(scope, receive)
        path = request.url.path.rstrip("/")
        if request.method == "OPTIONS" and path.startswith("/client/"):
            await Response(status_code=204, headers=CORS)(scope, receive, send)
            return
        raw = await request.body()
        script = self.scripts.take(request.method, path)
        entry = Request(method=request.method, path=path, status=0, at=self.account.now(), scripted=script is not None)
        answer = await self._scripted(script, request, path, raw, entry)
        entry.status = answer.status_code if answer is not None else 0
        self.account.requests.append(entry)
        self.account.announce()
        if answer is None:
            await _drop_connection(receive)
            return
        if path.startswith("/client/"):
            answer.headers.update(CORS)
        await answer(scope, receive, send)

    async def _scripted(
        self, script: Script | None, request: HttpRequest, path: str, raw: bytes, entry: Request
    ) -> Response | None:
        """The answer, or None where the connection is to close without one."""
        if script is None:
            return self._ordinary(request, path, raw, entry)
        plain = script.status is None and not script.reset
        answer = None
        if script.after_effect:
            answer = self._ordinary(request, path, raw, entry)
        await asyncio.sleep(script.delay_seconds)
        if plain:
            return self._ordinary(request, path, raw, entry)
        if script.reset:
            entry.error = "connection reset"
            return None
        status = script.status or 500
        entry.error = f"scripted {status}"
        if script.body is not None:
            answer = answers.document(script.body, status=status)
        elif status >= 400:
            answer = answers.refusal(answers.of_status(status))
        else:
            answer = Response(status_code=status)
        answer.headers.update(script.headers)
        return answer

    def _ordinary(self, request: HttpRequest, path: str, raw: bytes, entry: Request) -> Response:
        """Do what the request asks and answer as Klaviyo does."""
        headers: dict[str, str] = {}
        try:
            answer = self._handle(request, path, raw, entry, headers)
        except Refused as refused:
            fault = refused.faults[0]
            entry.error = fault.detail
            self.account.refused.append(
                {
                    "method": request.method,
                    "path": path,
                    "status": refused.status,
                    "code": fault.code,
                    "detail": fault.detail,
                    "pointers": [fault.pointer or fault.parameter for fault in refused.faults],
                    "at": entry.at,
                }
            )
            answer = answers.refusal(refused)
        answer.headers.update(headers)
        return answer

    def _handle(self, request: HttpRequest, path: str, raw: bytes, entry: Request, headers: dict[str, str]) -> Response:
        endpoint = self._route(request.method, path)
        if path.startswith("/client/"):
            self._check_company(request)
        else:
            self._check_key(request, endpoint)
        revision = _revision(request)
        verdict = self.limits.take(f"{endpoint.method} {endpoint.path}", endpoint.rate, self.account.now())
        headers.update(verdict.headers)
        if verdict.retry_after is not None:
            raise answers.throttled(verdict.retry_after)
        if endpoint.method == "POST":
            _check_body(request, raw, endpoint)
        base = f"{request.url.scheme}://{request.url.netloc}"
        call = Call(self.account, path, request.query_params, raw, base, revision, entry.notes, headers)
        if path.startswith("/client/"):
            call.only_query("company_id")
        return endpoint.handler(call)

    def _route(self, method: str, path: str) -> Endpoint:
        known = [endpoint for pattern, endpoint in _PATTERNS if pattern.fullmatch(path)]
        for endpoint in known:
            if endpoint.method == method:
                return endpoint
        self.account.unknown_routes.append({"method": method, "path": path})
        if known:
            detail = f'Method "{method}" not allowed.'
            raise Refused(405, Fault(code="method_not_allowed", title="Method not allowed.", detail=detail))
        raise answers.not_found()

    def _check_key(self, request: HttpRequest, endpoint: Endpoint) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Klaviyo-API-Key" or not key:
            raise answers.not_authenticated()
        scopes = self.account.private_keys.get(key)
        if scopes is None:
            raise answers.authentication_failed()
        missing = tuple(scope for scope in endpoint.scopes if scope not in scopes)
        if missing:
            raise answers.permission_denied(missing)

    def _check_company(self, request: HttpRequest) -> None:
        if "authorization" in request.headers:
            raise answers.invalid("Private keys are not allowed on client endpoints.", "/data")
        if request.query_params.get("company_id") != self.account.company_id:
            raise answers.invalid("A valid company_id is required.", parameter="company_id")


def _revision(request: HttpRequest) -> str:
    revision = request.headers.get("revision")
    if revision is None:
        raise answers.invalid("The revision header is required.", parameter="revision")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", revision) or revision not in REVISIONS:
        raise answers.invalid("The revision header does not name a supported revision.", parameter="revision")
    return revision


def _check_body(request: HttpRequest, raw: bytes, endpoint: Endpoint) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        detail = f'Unsupported media type "{media_type}" in request.'
        raise Refused(415, Fault(code="unsupported_media_type", title="Unsupported media type.", detail=detail))
    if len(raw) > endpoint.max_bytes:
        detail = f"Payload is larger than {endpoint.max_bytes} bytes."
        raise Refused(413, Fault(code="payload_too_large", title="Payload too large.", detail=detail))


async def _drop_connection(receive: Receive) -> None:
    """Close the socket without a byte of an answer.

    ASGI has no word for it, so the transport is taken from uvicorn's request cycle (``receive`` is one of its
    methods). Under a test transport, which has no socket, the caller gets the exception a broken socket raises.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox was told to close this connection")
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
