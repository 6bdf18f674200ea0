"""``POST /webhooks/shopify``: what Shopify itself reports of a shop, believed because it is signed.

Answered with 200 only after the commit, and then also for what the relay has no use for: Shopify deletes a subscription
that fails too often. A repeated webhook is the same message, since the webhook's ID is the message's.
"""

import hashlib

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from relay.config import Site
from relay.errors import RequestRefused, StoreError
from relay.identity.evidence import Recognition
from relay.model import Trust
from relay.pipeline.shopify_webhooks import handle_of, needs_consent, translate
from relay.store.rows import Entry
from relay.web import body
from relay.web.consent import needs_signal
from relay.web.intake import Intake, received, unavailable
from relay.web.shops import Shops, webhook_signature

#: An order of many hundred lines has a megabyte or two.
MAX_BYTES = 5_000_000

_objects = msgspec.json.Decoder(dict[str, object])


class Webhooks:
    """The route of Shopify's webhooks."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._shops = Shops(intake.sites)

    def routes(self) -> list[Route]:
        return [Route("/webhooks/shopify", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """Check, translate, commit. Raises RequestRefused (400, 401, 413, 503)."""
        raw = await body.read(dict(request.scope["headers"]), request.receive, MAX_BYTES)
        given = request.headers.get("x-shopify-hmac-sha256", "").encode()
        domain = request.headers.get("x-shopify-shop-domain")
        site = self._shops.signed_by(domain, given, webhook_signature(raw))
        topic = request.headers.get("x-shopify-topic", "").strip().lower()
        if not topic:
            raise RequestRefused(400, "missing_topic", "X-Shopify-Topic: expected a topic such as orders/create")
        try:
            payload = _objects.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RequestRefused(400, "invalid_json", "the body: expected a JSON object") from None
        webhook_id = self._webhook_id(request, topic, raw)
        try:
            is_needed = needs_consent(topic) and await needs_signal(self._intake.store, site)
        except StoreError as error:
            raise unavailable(error) from None
        await self._intake.keep(self._entry(site, topic, payload, webhook_id, needs_signal=is_needed))
        return JSONResponse({"success": True}, headers={"Cache-Control": "no-store"})

    def _webhook_id(self, request: Request, topic: str, raw: bytes) -> str:
        """Shopify's ID of the webhook, the same in every repetition; without one, what stands for the body."""
        given = request.headers.get("x-shopify-webhook-id", "").strip()
        return given[:128] or hashlib.sha256(topic.encode() + b"\n" + raw).hexdigest()

    def _entry(
        self, site: Site, topic: str, payload: dict[str, object], webhook_id: str, *, needs_signal: bool
    ) -> Entry:
        now = self._intake.clock.now()
        handle = handle_of(topic, payload)
        visit = self._intake.visitors[site.site_id].read_handle(handle) if handle else None
        told = translate(
            topic,
            payload,
            webhook_id=webhook_id,
            now=now,
            is_visitor_known=visit is not None,
            needs_signal=needs_signal,
        )
        return Entry(
            site_id=site.site_id,
            received_at=now,
            trust=Trust.SERVER,
            messages=[received(message, at) for message, at in told.messages],
            drops={told.drop: 1} if told.drop else {},
            visitor_id=visit.visitor_id if visit else None,
            recognition=Recognition.HANDLE if visit else Recognition.NONE,
        )
