"""The product pictures: one drawing per product, coloured per variant. Drawn for this shop, made on request."""

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.demo.storefront.pages import render
from relay.demo.storefront.shop import Shop


class Palette(NamedTuple):
    """Colours of one variant: the thing itself, its shaded and its lit side, and the wall behind."""

    base: str
    dark: str
    light: str
    wall: str
    floor: str


PALETTES = {
    "moss": Palette("#73895f", "#566c46", "#93a97e", "#e9ece0", "#dce1cf"),
    "oat": Palette("#e0cdae", "#c6b08d", "#efe2cb", "#f3ede3", "#e8dece"),
    "clay": Palette("#c47a5a", "#a35d40", "#dc9b7e", "#f5e6dc", "#ecd6c8"),
    "forest": Palette("#33604f", "#244a3c", "#4b7b69", "#e2ebe6", "#d1dfd8"),
    "rust": Palette("#b8583a", "#954227", "#d07c5e", "#f4e3da", "#ead2c5"),
    "slate": Palette("#60717f", "#495966", "#80909d", "#e6eaed", "#d7dde2"),
    "ochre": Palette("#d59c3f", "#b37e26", "#e8bb6c", "#f8efdd", "#f0e1c4"),
    "sage": Palette("#9cb09b", "#7e947d", "#bccbba", "#ecf1eb", "#dde6dc"),
    "heather": Palette("#96819f", "#786483", "#b5a3bc", "#efeaf1", "#e2dae5"),
    "terracotta": Palette("#c9714e", "#a95636", "#de9272", "#f5e7de", "#ecd8cb"),
    "chalk": Palette("#e9e7e0", "#cfccc2", "#f8f7f3", "#e5e8e4", "#d6dbd5"),
    "lake": Palette("#4d839b", "#376880", "#74a3b8", "#e3ecf0", "#d0dfe6"),
    "sand": Palette("#d8c09b", "#bca27a", "#e9d8bd", "#f5efe4", "#eae0cf"),
    "coal": Palette("#43484d", "#2f3337", "#5f656b", "#e6e7e8", "#d7d9db"),
    "plain": Palette("#a86f3c", "#835126", "#c9945f", "#f3eadf", "#e8d9c7"),
}

_A_DAY = {"Cache-Control": "public, max-age=86400"}


def routes() -> list[Route]:
    return [Route("/pictures/hero.svg", hero), Route("/pictures/{handle}/{colour}.svg", picture)]


def draw(drawing: str, colour: str) -> str:
    """A product picture as SVG. Raises KeyError for a colour without a palette."""
    return render("pictures/frame.svg", {"drawing": drawing, "c": PALETTES[colour]})


async def picture(request: Request) -> Response:
    shop: Shop = request.app.state.shop
    product = shop.catalog.product(request.path_params["handle"])
    colour = request.path_params["colour"]
    if product is None or colour not in {product.colour(variant) for variant in product.variants}:
        return Response("There is no such picture.", 404, media_type="text/plain")
    return Response(draw(product.drawing, colour), media_type="image/svg+xml", headers=_A_DAY)


async def hero(request: Request) -> Response:
    return Response(render("pictures/hero.svg", {"palettes": PALETTES}), media_type="image/svg+xml", headers=_A_DAY)
