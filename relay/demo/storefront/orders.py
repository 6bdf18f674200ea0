"""An order: the frozen sums and lines of a cart that was paid (with nothing, this is a demo)."""

import secrets

from msgspec import Struct

from relay.demo.storefront.cart import Cart, Contact, Line
from relay.demo.storefront.money import included_tax, shipping_fee


class Totals(Struct, frozen=True, kw_only=True):
    """The sums of a cart or an order, in minor units. ``tax`` is contained in the others, not added."""

    currency: str
    subtotal: int
    discount: int
    shipping: int
    tax: int
    total: int


class Order(Struct, frozen=True, kw_only=True):
    """What was bought, by whom, for how much. ``token`` is the unguessable part of the thank-you page's address."""

    token: str
    id: str  #: the shop's internal number, unique over restarts
    number: int  #: what the customer sees
    lines: tuple[Line, ...]
    contact: Contact
    totals: Totals
    discount_code: str


def totals(cart: Cart, currency: str) -> Totals:
    """The sums of a cart with shipping."""
    goods = cart.total(currency)
    shipping = shipping_fee(goods, currency)
    return Totals(
        currency=currency,
        subtotal=cart.subtotal(currency),
        discount=cart.discount(currency),
        shipping=shipping,
        tax=included_tax(goods + shipping, currency),
        total=goods + shipping,
    )


def place(cart: Cart, currency: str, number: int) -> Order:
    """Turn a cart into an order."""
    return Order(
        token=secrets.token_hex(12),
        id=str(5_900_000_000_000 + secrets.randbelow(99_999_999_999)),
        number=number,
        lines=tuple(cart.lines),
        contact=cart.contact,
        totals=totals(cart, currency),
        discount_code=cart.discount_code,
    )
