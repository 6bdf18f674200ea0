"""``GET /apps/backflow``: Shopify's app proxy tells which customer is logged in, and signs it.

Cookies do not pass Shopify's proxy, so the page sends the visitor's handle along::

    https://shop.com/apps/backflow?handle=...      the shop's page asks Shopify,
    https://r.shop.com/apps/backflow?handle=...&shop=...&logged_in_customer_id=7&timestamp=...&signature=...

The answer says nothing of anybody. A request that is repeated within its minutes is the same message.
"""

from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from relay.errors import RequestRefused
from relay.identity.evidence import Recognition
from relay.identity.identifiers import normal_customer_id
from relay.model import Trust
from relay.store.rows import Entry
from relay.web.intake import Intake, received
from relay.web.shops import Shops, proxy_signature

#: How far the time in a signed request may be from now, in seconds.
FRESH_SECONDS = 300


class AppProxy:
    """The route of Shopify's app proxy."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._shops = Shops(intake.sites)

    def routes(self) -> list[Route]:
        return [Route("/apps/backflow", self.receive, methods=["GET"])]

    async def receive(self, request: Request) -> Response:
        """Note who is logged in in this visitor's browser. Raises RequestRefused (400, 401, 503)."""
        pairs = parse_qsl(request.url.query, keep_blank_values=True)
        parameters = dict(pairs)
        signature = parameters.get("signature", "").lower().encode()
        site = self._shops.signed_by(parameters.get("shop"), signature, proxy_signature(pairs))
        now = self._intake.clock.now()
        if not _is_fresh(parameters.get("timestamp", ""), now):
            raise RequestRefused(401, "stale_signature", f"timestamp: expected one of the last {FRESH_SECONDS} seconds")
        visit = self._intake.visitors[site.site_id].read_handle(parameters.get("handle", ""))
        if visit is None:
            raise RequestRefused(400, "invalid_handle", "handle: expected the one that the relay has given the tag")
        customer_id = normal_customer_id(parameters.get("logged_in_customer_id", ""))
        if customer_id is not None:  # empty when nobody is logged in
            message = {
                "type": "identify",
                "messageId": f"shopify-proxy:{signature.decode()}",
                "userId": customer_id,
                "context": {"library": {"name": "shopify-app-proxy"}, "shopify": {"signedCustomer": True}},
            }
            entry = Entry(
                site_id=site.site_id,
                received_at=now,
                trust=Trust.SERVER,
                messages=[received(message, now)],
                visitor_id=visit.visitor_id,
                recognition=Recognition.HANDLE,
                gpc=request.headers.get("sec-gpc") == "1",
            )
            await self._intake.keep(entry)
        return JSONResponse({"success": True}, headers={"Cache-Control": "no-store"})


def _is_fresh(timestamp: str, now: float) -> bool:
    is_time = timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 15
    return is_time and abs(now - int(timestamp)) <= FRESH_SECONDS
