"""How a page of the shop is made: templates, what every page knows, and the pieces Ajax calls ask for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from relay.demo.sandbox import STUB_SNIPPET
from relay.demo.storefront import orders
from relay.demo.storefront.cart import Cart
from relay.demo.storefront.catalog import COLLECTIONS
from relay.demo.storefront.money import CURRENCIES, FREE_SHIPPING_FROM, display
from relay.demo.storefront.shop import KLAVIYO_COOKIE, NAME, Call, Shop, base_url, currency_of

ASSETS = Path(__file__).parent / "assets"

#: Version in the assets' addresses: their newest change, so that a browser never keeps an old theme.
_ASSET_VERSION = f"{max(file.stat().st_mtime_ns for file in ASSETS.iterdir()):x}"

#: Parameters the shop itself puts into addresses.
_OWN_PARAMETERS = frozenset({"q", "variant", "sort_by", "in_stock"})

_environment = Environment(
    loader=PackageLoader("relay.demo.storefront"),
    autoescape=select_autoescape(("html", "svg")),
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals.update(
    klaviyo_stub=STUB_SNIPPET,
    shop_name=NAME,
    collections=COLLECTIONS,
    currencies=CURRENCIES,
    money=display,
    asset=lambda name: f"/assets/{name}?v={_ASSET_VERSION}",
)


def render(name: str, context: Mapping[str, Any]) -> str:
    """A template as text."""
    return _environment.get_template(name).render(context)


def page(
    request: Request, name: str, *, calls: list[Call] | None = None, status: int = 200, **context: Any
) -> HTMLResponse:
    """A whole page. ``calls`` are what it tells Backflow, after what the session has waiting for the next page."""
    shop: Shop = request.app.state.shop
    session = shop.session(request)
    waiting, session.calls = session.calls, []
    wished = request.query_params.get("klaviyo")
    off = wished == "off" or (wished != "on" and request.cookies.get(KLAVIYO_COOKIE) == "off")
    html = render(
        name,
        {
            **_basics(request, shop.cart(request)),
            "shop": shop,
            "base_url": base_url(request),
            "path": request.url.path,
            "here": _here(request),
            "customer": session.customer,
            "klaviyo_off": off,
            "calls": [*waiting, *(calls or [])],
            **context,
        },
    )
    response = HTMLResponse(html, status, headers={"Cache-Control": "private, no-store"})
    if wished in ("on", "off"):
        response.set_cookie(KLAVIYO_COOKIE, wished, max_age=31_536_000, samesite="lax")
    return response


def _here(request: Request) -> str:
    """This page's own address to come back to, without what a link of an e-mail or an advertisement has added."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name in _OWN_PARAMETERS]
    return request.url.path + (f"?{urlencode(kept)}" if kept else "")


def render_section(request: Request, name: str, cart: Cart) -> str:
    """One section alone, wrapped as Shopify wraps it: the drawer, the bubble with the count, the cart page's lines."""
    inner = render(f"sections/{name}.html", _basics(request, cart))
    return f'<div id="shopify-section-{name}" class="shopify-section">{inner}</div>'


def _basics(request: Request, cart: Cart) -> dict[str, Any]:
    currency = currency_of(request)
    return {
        "cart": cart,
        "currency": currency,
        "sums": orders.totals(cart, currency),
        "free_shipping_from": FREE_SHIPPING_FROM[currency],
    }
