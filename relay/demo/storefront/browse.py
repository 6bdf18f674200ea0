"""The pages one looks at: home, collections, products, search, the cart; and the switch of the currency."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.demo.storefront import tracking
from relay.demo.storefront.catalog import COLLECTIONS, Catalog, Product
from relay.demo.storefront.forms import read_form, text
from relay.demo.storefront.money import CURRENCIES, display
from relay.demo.storefront.pages import page
from relay.demo.storefront.shop import CURRENCY_COOKIE, Call, base_url, currency_of, local_path
from relay.demo.storefront.structured_data import product_json_ld

_FEATURED = ("rolltop-backpack", "stoneware-mug", "dome-lamp", "wool-blanket")
_SORTINGS = {
    "manual": "Featured",
    "price-ascending": "Price, low to high",
    "price-descending": "Price, high to low",
    "title-ascending": "Name, A to Z",
}


def routes() -> list[Route]:
    return [
        Route("/", home),
        Route("/collections/{handle}", collection),
        Route("/products/{handle}", product),
        Route("/search", search),
        Route("/cart", cart),
        Route("/localization", localization, methods=["POST"]),
    ]


async def home(request: Request) -> Response:
    catalog: Catalog = request.app.state.shop.catalog
    featured = [found for handle in _FEATURED if (found := catalog.product(handle))]
    return page(request, "home.html", featured=featured)


async def collection(request: Request) -> Response:
    catalog: Catalog = request.app.state.shop.catalog
    handle = request.path_params["handle"]
    if handle != "all" and handle not in COLLECTIONS:
        return page(request, "not_found.html", status=404)
    sorting = request.query_params.get("sort_by", "manual")
    in_stock = request.query_params.get("in_stock") == "1"
    products = [found for found in catalog.collection(handle) if found.available or not in_stock]
    return page(
        request,
        "collection.html",
        handle=handle,
        title=COLLECTIONS.get(handle, "Everything"),
        products=_sorted(products, sorting, currency_of(request)),
        sortings=_SORTINGS,
        sorting=sorting,
        in_stock=in_stock,
    )


def _sorted(products: list[Product], sorting: str, currency: str) -> list[Product]:
    if sorting.startswith("price-"):
        return sorted(
            products, key=lambda found: found.first_variant.prices[currency], reverse=sorting == "price-descending"
        )
    return sorted(products, key=lambda found: found.title) if sorting == "title-ascending" else products


async def product(request: Request) -> Response:
    catalog: Catalog = request.app.state.shop.catalog
    shown = catalog.product(request.path_params["handle"])
    if shown is None:
        return page(request, "not_found.html", status=404)
    currency, base = currency_of(request), base_url(request)
    asked = request.query_params.get("variant", "")
    variant = next((each for each in shown.variants if str(each.id) == asked), shown.first_variant)
    return page(
        request,
        "product.html",
        calls=[Call("track", ["Product Viewed", tracking.segment_product(shown, variant, currency, base)])],
        product=shown,
        variant=variant,
        choices=_choices(shown, currency),
        json_ld=product_json_ld(shown, currency, base),
        klaviyo_viewed=tracking.klaviyo_viewed(shown, variant, currency, base),
        more=[other for other in catalog.products if other.available and other is not shown][:4],
    )


def _choices(shown: Product, currency: str) -> list[dict[str, object]]:
    """What the variant picker needs of each variant, in words it can print as they are."""
    return [
        {
            "id": variant.id,
            "options": list(variant.options),
            "available": variant.available,
            "price": display(variant.prices[currency], currency),
            "compareAt": display(variant.compare_at[currency], currency) if variant.compare_at else None,
            "sku": variant.sku,
            "image": shown.picture(variant),
            "stock": variant.stock,
        }
        for variant in shown.variants
    ]


async def search(request: Request) -> Response:
    catalog: Catalog = request.app.state.shop.catalog
    query = request.query_params.get("q", "").strip()[:100]
    return page(request, "search.html", search_terms=query, products=catalog.search(query))


async def cart(request: Request) -> Response:
    return page(request, "cart.html")


async def localization(request: Request) -> Response:
    """Switch the currency and return to where the visitor was."""
    form = await read_form(request)
    response = RedirectResponse(local_path(text(form, "return_to", 2000)), 302)
    wanted = text(form, "currency")
    if wanted in CURRENCIES:
        response.set_cookie(CURRENCY_COOKIE, wanted, max_age=31_536_000, samesite="lax")
    return response
