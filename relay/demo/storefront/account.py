"""Log in and out. There are no passwords: a name and an address are believed, this is a demo.

The page after a login tells Backflow who it is (``identify``), the page after a logout that they left (``reset``).
"""

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.demo.storefront.forms import read_form, text
from relay.demo.storefront.pages import page
from relay.demo.storefront.shop import Call, Customer, Shop

#: As browsers check ``<input type="email">``, roughly: one @, a dot in the domain, no spaces.
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")


def routes() -> list[Route]:
    return [
        Route("/account", account),
        Route("/account/login", login, methods=["GET", "POST"]),
        Route("/account/logout", logout, methods=["POST"]),
    ]


def is_email(address: str) -> bool:
    """Whether this looks like an e-mail address."""
    return _EMAIL.fullmatch(address) is not None


async def account(request: Request) -> Response:
    shop: Shop = request.app.state.shop
    if shop.session(request).customer is None:
        return RedirectResponse("/account/login", 302)
    return page(request, "account.html")


async def login(request: Request) -> Response:
    shop: Shop = request.app.state.shop
    if request.method == "GET":
        return page(request, "login.html")
    form = await read_form(request)
    email, first, last = text(form, "email"), text(form, "first_name"), text(form, "last_name")
    if not is_email(email):
        problem = "Enter an e-mail address like name@shop.com."
        return page(request, "login.html", status=422, problem=problem, email=email, first_name=first, last_name=last)
    customer = Customer(shop.customer_id(email), email, first, last)
    traits = {"email": email, "firstName": first, "lastName": last}
    session = shop.session(request)
    session.customer = customer
    known = {name: value for name, value in traits.items() if value}
    session.calls = [*session.calls, Call("identify", [customer.id, known])]
    response = RedirectResponse("/account", 302)
    shop.keep_session(session, response)
    return response


async def logout(request: Request) -> Response:
    shop: Shop = request.app.state.shop
    response = RedirectResponse("/account/login", 302)
    session = shop.session(request)
    if session.customer is not None:
        session.customer = None
        session.calls = [*session.calls, Call("reset", [])]
        shop.keep_session(session, response)
    return response
