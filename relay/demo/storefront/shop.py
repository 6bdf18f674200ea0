"""What one running storefront knows: its settings, and the carts, sessions and orders in memory.

A visitor is known by two cookies: ``cart`` as Shopify writes it (readable by scripts), and an HttpOnly session.
"""

import secrets
from collections import OrderedDict
from typing import Any, Generic, TypeVar
from urllib.parse import quote, unquote

from msgspec import Struct, field
from starlette.requests import Request
from starlette.responses import Response

from relay.demo.storefront.cart import Cart
from relay.demo.storefront.catalog import Catalog
from relay.demo.storefront.money import CURRENCIES, DEFAULT_CURRENCY
from relay.demo.storefront.orders import Order

NAME = "Moss & Harbour"

CART_COOKIE = "cart"
CURRENCY_COOKIE = "cart_currency"
SESSION_COOKIE = "_shop_session"
KLAVIYO_COOKIE = "demo_klaviyo"  #: ``off``: the page leaves Klaviyo's script out, as an ad blocker would

_CART_DAYS = 14  # as Shopify
_DAY = 86_400
_MOST_KEPT = 10_000  # of each: carts, sessions, orders; the oldest are forgotten

T = TypeVar("T")


class Shelf(Generic[T]):
    """Things kept by token in memory, at most so many; the least recently used go first."""

    def __init__(self, most: int = _MOST_KEPT) -> None:
        self._most = most
        self._things: OrderedDict[str, T] = OrderedDict()

    def put(self, token: str, thing: T) -> None:
        self._things[token] = thing
        self._things.move_to_end(token)
        if len(self._things) > self._most:
            self._things.popitem(last=False)

    def get(self, token: str) -> T | None:
        if token in self._things:
            self._things.move_to_end(token)
        return self._things.get(token)


class Customer(Struct, frozen=True):
    """Somebody logged in. ``id`` is the shop's own number for this address."""

    id: str
    email: str
    first_name: str
    last_name: str


class Call(Struct, frozen=True):
    """One call the next page makes to ``window.backflow``."""

    method: str
    arguments: list[Any]


class Session(Struct, kw_only=True):
    """One browser's session: who is logged in, and what the next page has to tell Backflow."""

    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    customer: Customer | None = None
    calls: list[Call] = []


class Shop:
    """Settings and memory of one storefront."""

    def __init__(
        self, catalog: Catalog, *, tag_url: str, klaviyo_url: str, klaviyo_company_id: str, sandbox_url: str | None
    ) -> None:
        self.catalog = catalog
        self.tag_url = tag_url
        self.klaviyo_url = klaviyo_url.rstrip("/")
        self.klaviyo_company_id = klaviyo_company_id
        self.sandbox_url = sandbox_url.rstrip("/") if sandbox_url else None
        self.carts: Shelf[Cart] = Shelf()
        self.checkouts: Shelf[Cart] = Shelf()
        self.sessions: Shelf[Session] = Shelf()
        self.orders: Shelf[Order] = Shelf()
        self._customers: dict[str, str] = {}
        self._next_order = 1001

    @property
    def klaviyo_script(self) -> str:
        """Address of Klaviyo's on-site script for this shop's account."""
        company = quote(self.klaviyo_company_id, safe="")
        return f"{self.klaviyo_url}/onsite/js/{company}/klaviyo.js?company_id={company}"

    def customer_id(self, email: str) -> str:
        """The customer number of an address; the same address always has the same one."""
        return self._customers.setdefault(email.lower(), str(7_001_000_000_001 + len(self._customers)))

    def order_number(self) -> int:
        """The next number a customer sees, from 1001 on."""
        self._next_order += 1
        return self._next_order - 1

    def cart(self, request: Request) -> Cart:
        """The visitor's cart; a new, still unknown one when the cookie is missing or its secret is wrong."""
        token, _, key = unquote(request.cookies.get(CART_COOKIE, "")).partition("?key=")
        cart = self.carts.get(token)
        if cart is None or not secrets.compare_digest(cart.key.encode(), key.encode()):
            return Cart()
        return cart

    def keep_cart(self, cart: Cart, response: Response) -> None:
        """Remember the cart and hand its cookie out."""
        self.carts.put(cart.token, cart)
        self.checkouts.put(cart.checkout_token, cart)
        value = quote(f"{cart.token}?key={cart.key}", safe="")
        response.set_cookie(CART_COOKIE, value, max_age=_CART_DAYS * _DAY, samesite="lax")

    def session(self, request: Request) -> Session:
        """The browser's session, or a new, still unknown one."""
        return self.sessions.get(request.cookies.get(SESSION_COOKIE, "")) or Session()

    def keep_session(self, session: Session, response: Response) -> None:
        """Remember the session and hand its cookie out."""
        self.sessions.put(session.token, session)
        response.set_cookie(SESSION_COOKIE, session.token, httponly=True, samesite="lax")


def currency_of(request: Request) -> str:
    """The currency the visitor shops in."""
    asked = request.cookies.get(CURRENCY_COOKIE, "")
    return asked if asked in CURRENCIES else DEFAULT_CURRENCY


def base_url(request: Request) -> str:
    """Scheme and host of the shop as the browser sees it, without a slash at the end."""
    return str(request.base_url).rstrip("/")


def local_path(asked: str) -> str:
    """A path to send the visitor back to; the home page for anything that would leave the shop."""
    leaves = not asked.startswith("/") or asked.startswith(("//", "/\\")) or any(ord(c) < 32 for c in asked)
    return "/" if leaves else asked
