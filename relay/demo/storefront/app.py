"""Puts the demo shop together: its settings, its memory, its routes."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from relay.demo.storefront import account, browse, cart_api, checkout, controls, pictures
from relay.demo.storefront.pages import ASSETS, page
from relay.demo.storefront.products import CATALOG
from relay.demo.storefront.shop import Shop


def build_storefront(
    *, tag_url: str, klaviyo_url: str, klaviyo_company_id: str, sandbox_url: str | None = None
) -> Starlette:
    """Build the shop as an ASGI application.

    ``tag_url`` is the address of Backflow's tag as it stands in the snippet. ``klaviyo_url`` is the base of Klaviyo or
    its stand-in as the browser reaches it: it serves ``/onsite/js/<company>/klaviyo.js``, and at ``/`` the page with
    what was received. ``sandbox_url`` is the stand-in's base as this process reaches it; with None the demo panel
    cannot make e-mail links.
    """
    app = Starlette(
        routes=[
            *browse.routes(),
            *cart_api.routes(),
            *checkout.routes(),
            *account.routes(),
            *controls.routes(),
            *pictures.routes(),
            Mount("/assets", StaticFiles(directory=ASSETS)),
        ],
        exception_handlers={404: _not_found},
    )
    app.state.shop = Shop(
        CATALOG,
        tag_url=tag_url,
        klaviyo_url=klaviyo_url,
        klaviyo_company_id=klaviyo_company_id,
        sandbox_url=sandbox_url,
    )
    return app


async def _not_found(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and request.url.path.startswith("/assets/"):
        return Response("There is no such file.", 404, media_type="text/plain")
    return page(request, "not_found.html", status=404)
