"""What the demo panel can do: not part of the shop, but of trying Backflow out."""

from urllib.parse import urlencode

import httpx
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.demo.storefront.account import is_email
from relay.demo.storefront.forms import read_form, text
from relay.demo.storefront.pages import page, render
from relay.demo.storefront.shop import KLAVIYO_COOKIE, NAME, Shop, local_path

#: The profile property in which the demo's relay leaves the token for links.
LINK_PROPERTY = "BackflowLink"
_CAMPAIGN = {"utm_source": "klaviyo", "utm_medium": "email", "utm_campaign": "Welcome back"}


def routes() -> list[Route]:
    return [
        Route("/demo/klaviyo", block_klaviyo, methods=["POST"]),
        Route("/demo/forget", forget),
        Route("/demo/email-link", email_link, methods=["GET", "POST"]),
        Route("/demo/backflow-link", backflow_link, methods=["POST"]),
    ]


async def block_klaviyo(request: Request) -> Response:
    """Leave Klaviyo's script out of the pages (``script=off``) or put it back (``script=on``)."""
    form = await read_form(request)
    response = RedirectResponse(local_path(text(form, "return_to", 2000)), 302)
    wanted = "off" if text(form, "script") == "off" else "on"
    response.set_cookie(KLAVIYO_COOKIE, wanted, max_age=31_536_000, samesite="lax")
    return response


async def forget(request: Request) -> Response:
    """An empty page that deletes what scripts have stored and goes back.

    On a page of its own, because the scripts of the page being left might store again while they are unloaded.
    """
    back = local_path(request.query_params.get("return_to", "/"))
    return Response(
        render("forget.html", {"back": back}), media_type="text/html", headers={"Cache-Control": "no-store"}
    )


async def email_link(request: Request) -> Response:
    """Arrive as somebody who clicked in an e-mail of Klaviyo's: the sandbox makes their profile and its ``_kx``."""
    shop: Shop = request.app.state.shop
    if shop.sandbox_url is None:
        return page(request, "not_found.html", status=404)
    if request.method == "POST":
        email = text(await read_form(request), "email")
    else:
        email = request.query_params.get("email", "").strip()
    if not is_email(email):
        return page(request, "problem.html", status=422, problem="That is not an e-mail address.")
    try:
        async with httpx.AsyncClient(timeout=5) as client:
            answer = await client.post(f"{shop.sandbox_url}/_sandbox/profiles", json={"email": email})
            answer.raise_for_status()
            exchange_id = str(answer.json()["_kx"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        problem = f"Klaviyo's stand-in did not answer, so {NAME} could not make an e-mail link."
        return page(request, "problem.html", status=502, problem=problem)
    return RedirectResponse("/?" + urlencode({"_kx": exchange_id, **_CAMPAIGN}), 302)


async def backflow_link(request: Request) -> Response:
    """Arrive by a link of the shop's own: the token is the one on the profile at Klaviyo, as a template prints it."""
    shop: Shop = request.app.state.shop
    if shop.sandbox_url is None:
        return page(request, "not_found.html", status=404)
    email = text(await read_form(request), "email").lower()
    if not is_email(email):
        return page(request, "problem.html", status=422, problem="That is not an e-mail address.")
    try:
        async with httpx.AsyncClient(timeout=5) as client:
            answer = await client.get(f"{shop.sandbox_url}/_sandbox/state")
            answer.raise_for_status()
            profiles = [profile for profile in answer.json()["profiles"] if profile["email"] == email]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        problem = f"Klaviyo's stand-in did not answer, so {NAME} could not make the link."
        return page(request, "problem.html", status=502, problem=problem)
    token = profiles[0]["properties"].get(LINK_PROPERTY) if profiles else None
    if not token:
        problem = "Backflow has not told Klaviyo of this person yet: leave the address in a form of the shop first."
        return page(request, "problem.html", status=404, problem=problem)
    relay = shop.tag_url.partition("/tag.js")[0]
    return RedirectResponse(f"{relay}/go?" + urlencode({"bf": token, "to": "/", **_CAMPAIGN}), 302)
