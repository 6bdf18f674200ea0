"""The checkout: e-mail, address, "payment", thank you. Each step is a page of its own.

Backflow hears of the checkout when it is entered, of the e-mail and the address on the page after each was given
(so that no call is lost to a page that is just being left), and of the order on the thank-you page. Klaviyo is told
of the start only: that its script never learns the checkout's e-mail is the gap Backflow is for.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.demo.storefront import cart as rules
from relay.demo.storefront import orders, tracking
from relay.demo.storefront.account import is_email
from relay.demo.storefront.cart import DISCOUNT_CODES, Cart, Contact
from relay.demo.storefront.countries import COUNTRIES
from relay.demo.storefront.forms import read_form, text
from relay.demo.storefront.pages import page
from relay.demo.storefront.shop import CART_COOKIE, Call, Customer, Shop, base_url, currency_of

_ADDRESS_FIELDS = ("first_name", "last_name", "address1", "address2", "city", "zip", "region", "country_code")
_NEEDED = {
    "first_name": "Enter a first name.",
    "last_name": "Enter a last name.",
    "address1": "Enter a street and number.",
    "city": "Enter a city.",
    "zip": "Enter a postal code.",
}


def routes() -> list[Route]:
    return [
        Route("/checkout", contact, methods=["GET", "POST"]),
        Route("/checkout/address", address, methods=["GET", "POST"]),
        Route("/checkout/payment", payment, methods=["GET", "POST"]),
        Route("/checkout/discount", discount, methods=["POST"]),
        Route("/checkouts/{token}/recover", recover),
        Route("/thank-you/{order}", thank_you),
    ]


async def contact(request: Request) -> Response:
    """Step 1: the e-mail address, and a phone number if the shopper likes."""
    shop: Shop = request.app.state.shop
    cart, customer = shop.cart(request), shop.session(request).customer
    if not cart.lines:
        return RedirectResponse("/cart", 302)
    if request.method == "GET":
        response = _step(
            request, "contact", contact=_prefilled(cart.contact, customer), started=_started(request, cart)
        )
        shop.keep_cart(cart, response)
        return response
    form = await read_form(request)
    email, phone = text(form, "email"), text(form, "phone", 40)
    if not is_email(email):
        entered = Contact(email=email, phone=phone)
        return _step(request, "contact", 422, contact=entered, problems={"email": "Enter an e-mail address."})
    cart.contact.email, cart.contact.phone = email, phone
    return _on(request, "/checkout/address", Call("identify", [tracking.contact_traits(cart.contact)]))


async def address(request: Request) -> Response:
    """Step 2: name and postal address."""
    shop: Shop = request.app.state.shop
    cart = shop.cart(request)
    if not (cart.lines and cart.contact.email):
        return RedirectResponse("/checkout", 302)
    if request.method == "GET":
        return _step(request, "address", contact=_prefilled(cart.contact, shop.session(request).customer))
    form = await read_form(request)
    entered = Contact(
        email=cart.contact.email, phone=cart.contact.phone, **{name: text(form, name) for name in _ADDRESS_FIELDS}
    )
    problems = {name: message for name, message in _NEEDED.items() if not getattr(entered, name)}
    if entered.country_code not in COUNTRIES:
        problems["country_code"] = "Choose a country."
    if problems:
        return _step(request, "address", 422, contact=entered, problems=problems)
    cart.contact = entered
    return _on(request, "/checkout/payment", Call("identify", [tracking.address_traits(entered)]))


async def payment(request: Request) -> Response:
    """Step 3: place the order. Nothing is charged."""
    shop: Shop = request.app.state.shop
    cart = shop.cart(request)
    if not (cart.lines and cart.contact.address1):
        return RedirectResponse("/checkout/address", 302)
    if request.method == "GET":
        return _step(request, "payment", contact=cart.contact)
    order = orders.place(cart, currency_of(request), shop.order_number())
    shop.orders.put(order.token, order)
    cart.lines = []  # a new list: the order keeps the old lines
    response = RedirectResponse(f"/thank-you/{order.token}", 302)
    response.delete_cookie(CART_COOKIE)
    return response


async def discount(request: Request) -> Response:
    """Put a discount code on the cart, or take it off with an empty one."""
    shop: Shop = request.app.state.shop
    cart = shop.cart(request)
    form = await read_form(request)
    step = text(form, "step") if text(form, "step") in ("contact", "address", "payment") else "contact"
    code = text(form, "code", 40).upper()
    if code and code not in DISCOUNT_CODES:
        problems = {"code": "This code is not valid."}
        return _step(request, step, 422, contact=cart.contact, problems=problems, code=code)
    cart.discount_code = code
    return RedirectResponse("/checkout" if step == "contact" else f"/checkout/{step}", 302)


async def recover(request: Request) -> Response:
    """The link of an abandonment e-mail: its lines go into this browser's own cart. Nothing personal comes along."""
    shop: Shop = request.app.state.shop
    left = shop.checkouts.get(request.path_params["token"])
    if left is None or not left.lines:
        return RedirectResponse("/cart", 302)
    cart = shop.cart(request)
    if not cart.lines:
        for line in reversed(left.lines):
            rules.add(cart, shop.catalog, line.variant.id, line.quantity, dict(line.properties))
        cart.discount_code = left.discount_code
    query = f"?{request.url.query}" if request.url.query else ""
    response = RedirectResponse(f"/checkout{query}", 302)
    shop.keep_cart(cart, response)
    return response


async def thank_you(request: Request) -> Response:
    shop: Shop = request.app.state.shop
    order = shop.orders.get(request.path_params["order"])
    if order is None:
        return page(request, "not_found.html", status=404)
    completed = tracking.order_completed(order, base_url(request))
    return page(request, "thank_you.html", order=order, completed=completed, country=_country(order.contact))


def _step(request: Request, step: str, status: int = 200, **context: Any) -> Response:
    basics: dict[str, Any] = {"problems": {}, "code": "", "countries": COUNTRIES, "started": None}
    return page(request, "checkout.html", status=status, step=step, **{**basics, **context})


def _started(request: Request, cart: Cart) -> dict[str, object]:
    """What the page tells when a checkout is entered for the first time, by checkout."""
    customer: Customer | None = request.app.state.shop.session(request).customer
    base, sums = base_url(request), orders.totals(cart, currency_of(request))
    email = cart.contact.email or (customer.email if customer else "")
    return {
        "token": cart.checkout_token,
        "backflow": tracking.checkout_started(cart, sums, email, base),
        "klaviyo": tracking.klaviyo_started_checkout(cart, sums, base),
    }


def _on(request: Request, path: str, call: Call) -> Response:
    """To the next step, which makes the call."""
    shop: Shop = request.app.state.shop
    response = RedirectResponse(path, 302)
    session = shop.session(request)
    session.calls = [*session.calls, call]
    shop.keep_session(session, response)
    return response


def _prefilled(known: Contact, customer: Customer | None) -> Contact:
    """What was typed before, filled up with what the account knows."""
    if customer is None:
        return known
    return Contact(
        email=known.email or customer.email,
        phone=known.phone,
        first_name=known.first_name or customer.first_name,
        last_name=known.last_name or customer.last_name,
        address1=known.address1,
        address2=known.address2,
        city=known.city,
        zip=known.zip,
        region=known.region,
        country_code=known.country_code,
    )


def _country(who: Contact) -> str:
    return COUNTRIES.get(who.country_code, "")
