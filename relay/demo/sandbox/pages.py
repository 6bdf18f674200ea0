"""The sandbox's files for browsers: the page "What Klaviyo received" and the stand-in for klaviyo.js."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from relay.demo.sandbox.account import Account

_FILES = Path(__file__).parent / "static"

#: The loader a shop pastes before klaviyo.js: queues calls until the real object is there.
STUB_SNIPPET = (_FILES / "stub.js").read_text("utf-8")

_ASSETS = {
    "received.css": "text/css",
    "received.js": "text/javascript",
    "cards.js": "text/javascript",
    "words.js": "text/javascript",
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src * data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


class Pages:
    """Routes for browsers over one account."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def routes(self) -> list[Route]:
        return [
            Route("/", self.page),
            Route("/_page/{name}", self.asset),
            Route("/onsite/js/{company}/klaviyo.js", self.onsite),
            Route("/onsite/js/klaviyo.js", self.onsite),
        ]

    async def page(self, request: Request) -> Response:
        """What Klaviyo received."""
        headers = {"Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "no-cache"}
        return Response(_read("received.html"), headers=headers, media_type="text/html")

    async def asset(self, request: Request) -> Response:
        """Style and script of the page."""
        name = request.path_params["name"]
        if name not in _ASSETS:
            return PlainTextResponse("not found", 404)
        return Response(_read(name), headers={"Cache-Control": "no-cache"}, media_type=_ASSETS[name])

    async def onsite(self, request: Request) -> Response:
        """The on-page script for a public key (in the path or as ``company_id``)."""
        company = request.path_params.get("company") or request.query_params.get("company_id")
        if company != self.account.company_id:
            return PlainTextResponse("/* unknown company */", 404, media_type="text/javascript")
        source = (
            _read("onsite.js")
            .replace("__ORIGIN__", f"{request.url.scheme}://{request.url.netloc}")
            .replace("__COMPANY__", self.account.company_id)
            .replace("__ANONYMOUS_TRACKING__", "true" if self.account.anonymous_tracking else "false")
        )
        headers = {"Cache-Control": "no-cache", "Access-Control-Allow-Origin": "*"}
        return Response(source, headers=headers, media_type="text/javascript")


def _read(name: str) -> str:
    return (_FILES / name).read_text("utf-8")
