"""Shopify's Ajax cart: ``/cart.js`` and ``/cart/{add,change,update,clear}``, with or without ``.js`` or ``.json``.

The theme calls these; Backflow's tag picks the shopper's cart events up from the calls. Error answers have
Shopify's form ``{"status", "message", "description"}`` with the same HTTP status.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.demo.storefront import cart as rules
from relay.demo.storefront.cart import Cart, CartRefusal, Line
from relay.demo.storefront.cart_json import cart_json, line_json
from relay.demo.storefront.forms import read_form
from relay.demo.storefront.pages import render_section
from relay.demo.storefront.shop import Shop, base_url, currency_of

_SECTIONS = frozenset({"cart-drawer", "cart-icon-bubble", "main-cart-items"})
_MOST_ADDED_AT_ONCE = 50

_Answer = dict[str, Any]
_Work = Callable[[Request, Cart, _Answer], _Answer]


def routes() -> list[Route]:
    """The cart's routes, each under the three spellings themes use."""
    table: list[tuple[str, list[str], Callable[[Request], Awaitable[Response]]]] = [
        ("add", ["POST"], _add),
        ("change", ["POST"], _change),
        ("update", ["POST"], _update),
        ("clear", ["POST", "GET"], _clear),
    ]
    ajax = [
        Route(f"/cart/{name}{ending}", endpoint, methods=methods)
        for name, methods, endpoint in table
        for ending in ("", ".js", ".json")
    ]
    return [Route("/cart.js", _show), Route("/cart.json", _show), *ajax]


async def _show(request: Request) -> Response:
    return await _run(request, lambda request, cart, asked: _whole(request, cart))


async def _add(request: Request) -> Response:
    return await _run(request, _work_add)


async def _change(request: Request) -> Response:
    return await _run(request, _work_change)


async def _update(request: Request) -> Response:
    return await _run(request, _work_update)


async def _clear(request: Request) -> Response:
    return await _run(request, _work_clear)


async def _run(request: Request, work: _Work) -> Response:
    """Read the call, do its work on the visitor's cart, answer as Shopify would.

    That is JSON for Ajax, and the way to the cart page for a plain form.
    """
    shop: Shop = request.app.state.shop
    asked = await read_form(request) if request.method == "POST" else {}
    cart = shop.cart(request)
    wants_json = _wants_json(request)
    try:
        answer = work(request, cart, asked)
    except CartRefusal as refusal:
        problem = {"status": refusal.status, "message": refusal.message, "description": refusal.description}
        response: Response = _json(problem, refusal.status) if wants_json else RedirectResponse("/cart", 302)
    else:
        answer |= _sections(request, cart, asked)
        response = _json(answer) if wants_json else RedirectResponse("/cart", 302)
        shop.keep_cart(cart, response)
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _wants_json(request: Request) -> bool:
    """Ajax calls get JSON, a form posted by the browser itself is sent on to the cart page."""
    accept = request.headers.get("accept", "")
    return (
        request.url.path.endswith((".js", ".json"))
        or "javascript" in accept
        or "application/json" in accept
        or request.headers.get("x-requested-with") == "XMLHttpRequest"
    )


def _json(body: _Answer, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def _whole(request: Request, cart: Cart) -> _Answer:
    return cart_json(cart, currency_of(request), base_url(request))


def _line(request: Request, line: Line) -> _Answer:
    return line_json(line, currency_of(request), base_url(request))


def _work_add(request: Request, cart: Cart, asked: _Answer) -> _Answer:
    """One item answers with its line; ``items`` answers with all of theirs, and none is added if one is refused."""
    catalog = request.app.state.shop.catalog
    items = asked.get("items")
    if items is None:
        return _line(request, rules.add(cart, catalog, *_item(asked)))
    if isinstance(items, dict):  # from form fields: items[0][id]
        items = list(items.values())
    if not isinstance(items, list) or not items or len(items) > _MOST_ADDED_AT_ONCE:
        raise CartRefusal(400, "Bad Request", "Parameter Missing or Invalid: items")
    before = [(line, line.quantity) for line in cart.lines]
    try:
        added = [rules.add(cart, catalog, *_item(item if isinstance(item, dict) else {})) for item in items]
    except CartRefusal:
        for line, quantity in before:
            line.quantity = quantity
        cart.lines[:] = [line for line, _ in before]
        raise
    return {"items": [_line(request, line) for line in added]}


def _item(asked: _Answer) -> tuple[int, int, dict[str, str]]:
    variant_id = rules.whole_number(asked.get("id"))
    if variant_id is None:
        raise CartRefusal(400, "Bad Request", "Required parameter missing or invalid: items")
    quantity = rules.whole_number(asked.get("quantity") or 1)
    if quantity is None:
        raise CartRefusal(422, "Cart Error", "Quantity must be a whole number")
    return variant_id, quantity, _texts(asked.get("properties"))


def _work_change(request: Request, cart: Cart, asked: _Answer) -> _Answer:
    line = rules.find_line(cart, asked)
    quantity = rules.whole_number(asked.get("quantity", line.quantity))
    if quantity is None:
        raise CartRefusal(422, "Cart Error", "Quantity must be a whole number")
    step = quantity - line.quantity
    rules.change(cart, line, quantity)
    moved = _line(request, line) | {"quantity": abs(step)}
    return _whole(request, cart) | {
        "items_added": [moved] if step > 0 else [],
        "items_removed": [moved] if step < 0 else [],
    }


def _work_update(request: Request, cart: Cart, asked: _Answer) -> _Answer:
    """Quantities by variant, line key or position, the note, and attributes (merged; an empty one is removed)."""
    updates = asked.get("updates")
    if isinstance(updates, list):
        wanted = list(zip(list(cart.lines), updates, strict=False))
    elif isinstance(updates, dict):
        wanted = [(rules.find_line(cart, {"id": name}), quantity) for name, quantity in updates.items()]
    else:
        wanted = []
    for line, value in wanted:
        quantity = rules.whole_number(value)
        if quantity is None:
            raise CartRefusal(422, "Cart Error", "Quantity must be a whole number")
        rules.change(cart, line, quantity)
    if isinstance(note := asked.get("note"), str):
        cart.note = note[: rules.MAX_TEXT]
    merged = {**cart.attributes, **_texts(asked.get("attributes"))}
    cart.attributes = {name: value for name, value in list(merged.items())[: rules.MAX_LINES] if value}
    return _whole(request, cart)


def _work_clear(request: Request, cart: Cart, asked: _Answer) -> _Answer:
    cart.lines.clear()
    return _whole(request, cart)


def _texts(value: object) -> dict[str, str]:
    """Names and texts out of a JSON object or nested form fields; anything else is left out."""
    if not isinstance(value, dict):
        return {}
    pairs = [(str(name), "" if text is None else str(text)) for name, text in value.items()]
    return {name[: rules.MAX_TEXT]: text[: rules.MAX_TEXT] for name, text in pairs[: rules.MAX_LINES] if name}


def _sections(request: Request, cart: Cart, asked: _Answer) -> _Answer:
    """The pieces of page the theme asked for with ``sections``, as Shopify's bundled section rendering."""
    names = asked.get("sections")
    if isinstance(names, str):
        names = names.split(",")
    if not isinstance(names, list):
        return {}
    known = [name for name in names if isinstance(name, str) and name in _SECTIONS]
    return {"sections": {name: render_section(request, name, cart) for name in known}} if known else {}
