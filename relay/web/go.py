"""``GET /go?bf=<token>&to=/products/mug``: a link of an e-mail on its way to the shop.

The browser comes here itself, so even Safari keeps the cookie that this answer sets. Whatever is wrong with the token,
the store or the browser, the shopper gets to the shop; only who they are is then not known by it.

Nobody is tied, and no cookie is set:

- for a token that is not ours or too old (counted),
- under Global Privacy Control, and for who opens links without being a shopper: previews, mail scanners, robots,
- where the shop needs a signal of consent, which only its pages know: there the token travels on to the tag (``bf`` in
  the landing URL), which follows it once there is a yes (see ``web.consent``).
"""

import uuid
from functools import lru_cache
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from user_agents import parse as parse_user_agent

from relay.config import Site
from relay.errors import RequestRefused, StoreError
from relay.identity.link_token import LinkTokens
from relay.model import DropReason, Trust
from relay.store.rows import Entry
from relay.web.consent import needs_signal
from relay.web.destination import destination, origin_of
from relay.web.intake import Intake, received
from relay.web.security import RateLimit
from relay.web.visitor import Visitor, recognise

#: Set by browsers and mail programs that fetch what nobody has opened yet.
_PURPOSES = ("purpose", "sec-purpose", "x-purpose", "x-moz")
#: More clicks a minute from one address than an office makes.
CLICKS_PER_MINUTE = 600


class Go:
    """The route of our own links."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._links = {
            site.site_id: LinkTokens(intake.secret_keys, site.site_id, site.link_seconds) for site in intake.sites
        }
        self._rate_limit = RateLimit(CLICKS_PER_MINUTE)

    def routes(self) -> list[Route]:
        return [Route("/go", self.follow, methods=["GET"])]

    async def follow(self, request: Request) -> Response:
        """Redirect to the shop. Raises RequestRefused (404) when the site has no origin to lead to."""
        pairs = parse_qsl(request.url.query, keep_blank_values=True)
        parameters = dict(pairs)
        token, to = parameters.get("bf", ""), parameters.get("to", "")
        site, is_genuine = self._site(token, parameters.get("key"), to)
        visitor, passed_on = None, None
        if token and _is_shopper(request):
            visitor, passed_on = await self._follow(request, site, token, is_genuine=is_genuine)
        location = destination(site, to, pairs, token=passed_on)
        if location is None:
            raise RequestRefused(404, "no_destination", "RELAY_ALLOWED_ORIGINS names no page of the shop")
        headers = {
            "Location": location,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",  # the token stands in this page's address
            "X-Robots-Tag": "noindex",
        }
        if visitor is not None and visitor.set_cookie is not None:
            headers["Set-Cookie"] = visitor.set_cookie
        return Response(status_code=302, headers=headers)

    async def _follow(
        self, request: Request, site: Site, token: str, *, is_genuine: bool
    ) -> tuple[Visitor | None, str | None]:
        """Note that this browser has opened the link: the visitor, or the token when it is for the tag to follow."""
        now = self._intake.clock.now()
        try:
            self._rate_limit.check(request.client.host if request.client else "")
            if not is_genuine:
                await self._intake.keep(
                    Entry(site_id=site.site_id, received_at=now, trust=Trust.BROWSER, drops=_INVALID)
                )
                return None, None
            if await needs_signal(self._intake.store, site):
                return None, token
            opening = received(
                {"type": "identify", "messageId": str(uuid.uuid4()), "context": {"clickIds": {"bf": token}}}, now
            )
            visitor = recognise(
                self._intake.visitors[site.site_id],
                [value.encode("latin-1") for value in request.headers.getlist("cookie")],
                None,
                opening,
                now=now,
                secure=request.url.scheme == "https",
                domain=site.cookie_domain,
                may_know=True,
            )
            entry = Entry(
                site_id=site.site_id,
                received_at=now,
                trust=Trust.BROWSER,
                messages=[opening],
                visitor_id=visitor.visitor_id,
                recognition=visitor.recognition,
                ip=request.client.host if request.client else None,
                user_agent=request.headers.get("user-agent", "")[:512],
            )
            await self._intake.keep(entry)
        except (RequestRefused, StoreError):
            return None, token if is_genuine else None  # the tag can still follow it from the page
        return visitor, None

    def _site(self, token: str, key: str | None, to: str) -> tuple[Site, bool]:
        """Whose link it is, and whether its token is genuine and in time. Without one: the site that ``key`` or the
        address names, else the first."""
        now = self._intake.clock.now()
        for site in self._intake.sites:
            opened = self._links[site.site_id].read(token, now)
            if opened is not None:
                return site, not opened.is_expired
        for site in self._intake.sites:
            if site.write_key == key or origin_of(to) in site.allowed_origins:
                return site, False
        return self._intake.sites[0], False


_INVALID: dict[str, int] = {DropReason.INVALID_LINK: 1}


def _is_shopper(request: Request) -> bool:
    """Whether somebody is opening the link who may be tied by it."""
    headers = request.headers
    if request.method != "GET" or headers.get("sec-gpc") == "1":
        return False
    if any(
        word in headers.get(name, "").lower() for name in _PURPOSES for word in ("prefetch", "prerender", "preview")
    ):
        return False
    if headers.get("sec-fetch-dest", "document") != "document":  # an image or a frame of somebody's page
        return False
    return not _is_bot(headers.get("user-agent", ""))


@lru_cache(maxsize=10_000)
def _is_bot(user_agent: str) -> bool:
    """Every browser calls itself Mozilla; what does not, is a program of somebody's."""
    return not user_agent.startswith("Mozilla/") or bool(parse_user_agent(user_agent).is_bot)
