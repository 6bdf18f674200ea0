"""Shops in the shape of their platforms: each page behaves as the platform's own theme or plug-in does.

``<name>.html`` is the page, at every path; the class beside it answers the platform's own addresses, in the shapes that
the platforms answer (field names, amounts as minor units or text, refusals with status 200).
"""

import re
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from e2e.tag_page import KEY, TagPage

HERE = Path(__file__).parent


class PlatformPage(TagPage):
    """A shop whose every page is ``<name>.html`` of this folder, the tag at ``<!--tag-->``."""

    name = ""

    def __init__(self) -> None:
        super().__init__()
        self.html = (HERE / f"{self.name}.html").read_text()
        self.requests: list[tuple[str, Any]] = []  #: path and JSON or form of what the page has posted
        self.bodies: dict[str, str] = {}  #: classes of a path's body

    async def _page(self, request: Request) -> Response:
        path = request.url.path
        tag = f'{self.pages.get(path, "")}<script async src="{self.relay}/tag.js?key={KEY}"></script>'
        html = self.html.replace("/*jquery*/", (HERE / "jquery.js").read_text()).replace("<!--tag-->", tag)
        if path in self.bodies:
            html = re.sub(r"<body[^>]*>", f'<body class="{self.bodies[path]}">', html)
        return HTMLResponse(html)

    async def _fields(self, request: Request) -> dict[str, Any]:
        if "json" in request.headers.get("content-type", ""):
            fields = await request.json()
        else:
            async with request.form() as form:
                fields = dict(form)
        with self._changed:
            self.requests.append(
                (str(request.url.path) + ("?" + request.url.query if request.url.query else ""), fields)
            )
            self._changed.notify_all()
        return fields  # type: ignore[no-any-return]


class Shopify(PlatformPage):
    """A theme after Dawn, and one without script; the cart's addresses are those of `TagPage`."""

    name = "shopify"

    def __init__(self) -> None:
        super().__init__()
        self.routes = [
            Route("/cart/add", self._form, methods=["POST"]),
            Route("/cart/update.js", self._update, methods=["POST"]),
        ]

    async def _form(self, request: Request) -> Response:
        """The classic post: the answer is a page. Ajax themes ask for JavaScript."""
        if "javascript" in request.headers.get("accept", "") or request.headers.get("x-requested-with"):
            request.path_params["action"] = "add"
            return await self._write_cart(request)
        fields = await self._fields(request)
        self._add(str(fields["id"]), int(fields.get("quantity", 1)))
        return RedirectResponse("/cart", 302)

    async def _update(self, request: Request) -> Response:
        await self._fields(request)
        return JSONResponse(self._cart())


class WooCommerce(PlatformPage):
    """The classic button, the classic product form and the blocks' Store API."""

    name = "woocommerce"

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        store = "/wp-json/wc/store/v1"
        self.routes = [
            Route("/", self._ajax, methods=["POST"]),
            Route("/product/hoodie", self._product_form, methods=["POST"]),
            Route(f"{store}/cart", self._store_cart, methods=["GET"]),
            Route(f"{store}/cart/{{action}}", self._store, methods=["POST"]),
            Route(f"{store}/batch", self._batch_api, methods=["POST"]),
        ]

    async def _ajax(self, request: Request) -> Response:
        fields = await self._fields(request)
        action = request.query_params["wc-ajax"]
        if action == "remove_from_cart":
            self.lines = [line for line in self.lines if line["key"] != fields["cart_item_key"]]
        elif fields["product_id"] == "404":
            return JSONResponse({"error": True, "product_url": "/product/sold-out/"})
        else:
            self._put(int(fields["product_id"]), int(fields["quantity"]))
        return JSONResponse({"fragments": {"div.widget_shopping_cart_content": "<div></div>"}, "cart_hash": "5f3c"})

    async def _product_form(self, request: Request) -> Response:
        fields = await self._fields(request)
        self._put(int(fields["add-to-cart"]), int(fields["quantity"]))
        return await self._page(request)

    async def _store_cart(self, request: Request) -> Response:
        return JSONResponse(self._whole())

    async def _store(self, request: Request) -> Response:
        fields = await self._fields(request)
        return JSONResponse(*self._step(request.path_params["action"], fields))

    async def _batch_api(self, request: Request) -> Response:
        fields = await self._fields(request)
        answers = [self._step(step["path"].rsplit("/", 1)[1], step["body"]) for step in fields["requests"]]
        return JSONResponse(
            {"responses": [{"body": body, "status": status, "headers": {}} for body, status in answers]}, 207
        )

    def _step(self, action: str, fields: dict[str, Any]) -> tuple[dict[str, Any], int]:
        if action == "remove-item":
            self.lines = [line for line in self.lines if line["key"] != fields["key"]]
            return self._whole(), 200
        if fields["id"] == 404:
            return {
                "code": "woocommerce_rest_product_out_of_stock",
                "message": "Sold out",
                "data": {"status": 400},
            }, 400
        self._put(int(fields["id"]), int(fields["quantity"]))
        return self._whole(), 201

    def _put(self, product: int, quantity: int) -> None:
        for line in self.lines:
            if line["id"] == product:
                line["quantity"] += quantity
                return
        self.lines.append(
            {
                "key": f"key{product}", "id": product, "type": "simple", "quantity": quantity,
                "name": f"Hoodie {product}",
                "short_description": "<p>Warm</p>", "sku": f"woo-hoodie-{product}",
                "permalink": f"{self.shop}/product/hoodie/",
                "images": [{"id": 48, "src": f"{self.shop}/hoodie.jpg", "thumbnail": "t.jpg", "name": "hoodie"}],
                "variation": [], "catalog_visibility": "visible",
                "prices": {"price": "4500", "regular_price": "4500", "sale_price": "4500", "price_range": None,
                           "currency_code": "EUR", "currency_symbol": "€", "currency_minor_unit": 2},
                "totals": {"line_subtotal": str(4500 * quantity), "currency_code": "EUR", "currency_minor_unit": 2},
            }
        )  # fmt: skip

    def _whole(self) -> dict[str, Any]:
        total = str(sum(4500 * line["quantity"] for line in self.lines))
        totals = {"total_items": total, "total_items_tax": "0", "total_price": total, "currency_code": "EUR",
                  "currency_symbol": "€", "currency_minor_unit": 2}  # fmt: skip
        return {
            "items": self.lines,
            "items_count": len(self.lines),
            "needs_shipping": True,
            "totals": totals,
            "errors": [],
        }


class Magento(PlatformPage):
    """Luma: the cart form posts by script, customer data is read afresh after it."""

    name = "magento"

    def __init__(self) -> None:
        super().__init__()
        self.quantity = 0
        self.routes = [
            Route("/checkout/cart/add/{rest:path}", self._put, methods=["POST"]),
            Route("/checkout/sidebar/removeItem", self._take_out, methods=["POST"]),
            Route("/customer/section/load/", self._sections),
        ]

    async def _put(self, request: Request) -> Response:
        fields = await self._fields(request)
        if fields["product"] == "404":
            return JSONResponse({"backUrl": "/sold-out.html"})
        self.quantity += int(fields["qty"])
        return JSONResponse([])

    async def _take_out(self, request: Request) -> Response:
        await self._fields(request)
        self.quantity = 0
        return JSONResponse({"success": True})

    async def _sections(self, request: Request) -> Response:
        item = {
            "product_type": "simple", "options": [], "qty": self.quantity, "item_id": "7",
            "configure_url": "/checkout/cart/configure/id/7",
            "is_visible_in_site_visibility": True, "product_id": "14", "product_name": "Push It Messenger Bag",
            "product_sku": "24-WB04", "product_url": f"{self.shop}/push-it-messenger-bag.html", "product_has_url": True,
            "product_price": '<span class="price">$45.00</span>', "product_price_value": 45,
            "product_image": {"src": f"{self.shop}/bag.jpg", "alt": "Push It Messenger Bag", "width": 78, "height": 78},
        }  # fmt: skip
        cart = {
            "summary_count": self.quantity, "subtotalAmount": f"{45 * self.quantity}.0000",
            "subtotal": "<span>$</span>",
            "possible_onepage_checkout": True, "items": [item] if self.quantity else [], "isGuestCheckoutAllowed": True,
            "data_id": 1700000000,
        }  # fmt: skip
        return JSONResponse({"cart": cart})


class BigCommerce(PlatformPage):
    """A Stencil theme with the store's data layer switched on."""

    name = "bigcommerce"


class Announced(PlatformPage):
    """A shop of any make with Google's, Meta's and Klaviyo's snippets as their makers hand them out."""

    name = "announced"
