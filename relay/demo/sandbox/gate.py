"""The door of the sandbox: every call to ``/api`` and ``/client`` passes here and is logged here.

Order: scripted fault, route, key or company id, scope, revision, rate limit, media type, size, then the handler.
"""

import re

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from relay.demo.sandbox import answers
from relay.demo.sandbox.account import Account
from relay.demo.sandbox.answers import Fault, Refused
from relay.demo.sandbox.call import Call
from relay.demo.sandbox.endpoints import ENDPOINTS, Endpoint
from relay.demo.sandbox.faults import Script, Scripts
from relay.demo.sandbox.limits import RateLimits
from relay.demo.sandbox.records import Request

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
        script = self.scripts.take(request.method, path, raw)
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
        if script is not None and script.reset_after_bytes is not None:
            await _send_part(answer, script.reset_after_bytes, send)
            await _drop_connection(receive, after_sending=True)
            return
        await answer(scope, receive, send)

    async def _scripted(
        self, script: Script | None, request: HttpRequest, path: str, raw: bytes, entry: Request
    ) -> Response | None:
        """The answer, or None where the connection is to close without one."""
        if script is None:
            return self._ordinary(request, path, raw, entry)
        answer = None
        if script.after_effect:
            answer = self._ordinary(request, path, raw, entry)
        await self.scripts.delay(script.delay_seconds)
        if script.reset_after_bytes is not None:
            entry.notes.append("answer cut off")
        if script.status is None and not script.reset:
            return self._ordinary(request, path, raw, entry)
        if script.reset:
            entry.error = "connection reset"
            return None
        status = script.status or 500
        entry.error = f"scripted {status}"
        if script.body is not None:
            answer = answers.document(script.body, status=status)
        elif status >= 400:
            answer = answers.refusal(script.refusal(status, raw))
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
        endpoint = self._route(request, path)
        if path.startswith("/client/"):
            self._check_company(request)
        else:
            self._check_key(request, endpoint)
        revision = _revision(request)
        verdict = self.limits.take(endpoint.name, endpoint.rate, self.account.now())
        headers.update(verdict.headers)
        if verdict.retry_after is not None:
            raise answers.throttled(verdict.retry_after)
        if endpoint.method in ("POST", "DELETE"):
            _check_body(request, raw, endpoint)
        base = f"{request.url.scheme}://{request.url.netloc}"
        call = Call(self.account, path, request.query_params, raw, base, revision, entry.notes, headers)
        if path.startswith("/client/"):
            call.only_query("company_id")
        return endpoint.handler(call)

    def _route(self, request: HttpRequest, path: str) -> Endpoint:
        method = request.method
        known = [endpoint for pattern, endpoint in _PATTERNS if pattern.fullmatch(path)]
        for endpoint in known:
            if endpoint.method == method and _is_asked(request, endpoint.when):
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


def _is_asked(request: HttpRequest, when: tuple[str, str] | None) -> bool:
    return when is None or when[1] in request.query_params.get(when[0], "").split(",")


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


async def _send_part(answer: Response, size: int, send: Send) -> None:
    """Send the head of an answer and up to ``size`` bytes of its body, of which more is announced than comes."""
    part = bytes(answer.body)[:size]
    answer.headers["content-length"] = str(max(len(answer.body), len(part) + 1))
    await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    await send({"type": "http.response.body", "body": part, "more_body": True})


async def _drop_connection(receive: Receive, *, after_sending: bool = False) -> None:
    """Close the socket without another byte of an answer; ``after_sending`` lets out first what has been sent.

    ASGI has no word for it, so the transport is taken from uvicorn's request cycle (``receive`` is one of its
    methods). Under a test transport, which has no socket, the caller gets the exception a broken socket raises.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the sandbox was told to close this connection")
    if after_sending:
        transport.close()
    else:
        transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
