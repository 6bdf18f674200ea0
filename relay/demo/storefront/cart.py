"""A cart and its rules: what can be put in, what it costs, what is refused.

Carts are kept in memory under their token. The visitor proves with the secret in the ``cart`` cookie
(``<token>?key=<secret>``, Shopify's form) that a cart is theirs.
"""

import secrets
from typing import Any

from msgspec import Struct, field

from relay.demo.storefront.catalog import Catalog, Product, Variant

#: Code -> percent off the goods.
DISCOUNT_CODES = {"WELCOME10": 10}

#: Lines, attributes and the length of a text in a cart: bounds of our own, so that memory stays bounded.
MAX_LINES = 100
MAX_TEXT = 1000


class CartRefusal(Exception):
    """A cart call is refused; becomes Shopify's error answer with these three values."""

    def __init__(self, status: int, message: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.message = message
        self.description = description


class Line(Struct, kw_only=True):
    """One line: a variant with properties (engraving and the like), so many times."""

    key: str
    product: Product
    variant: Variant
    quantity: int
    properties: dict[str, str] = {}

    def price(self, currency: str) -> int:
        """Price of one piece in minor units."""
        return self.variant.prices[currency]

    def total(self, currency: str) -> int:
        """Price of the line in minor units, before discounts on the whole cart."""
        return self.price(currency) * self.quantity


class Contact(Struct, kw_only=True):
    """Who buys: filled step by step in the checkout."""

    email: str = ""
    phone: str = ""
    first_name: str = ""
    last_name: str = ""
    address1: str = ""
    address2: str = ""
    city: str = ""
    zip: str = ""
    region: str = ""
    country_code: str = ""


class Cart(Struct, kw_only=True):
    """What one visitor is about to buy, and the checkout it has become."""

    token: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    lines: list[Line] = []
    note: str = ""
    attributes: dict[str, str] = {}
    discount_code: str = ""
    checkout_token: str = field(default_factory=lambda: secrets.token_hex(16))
    contact: Contact = field(default_factory=Contact)

    @property
    def item_count(self) -> int:
        return sum(line.quantity for line in self.lines)

    @property
    def weight(self) -> int:
        return sum(line.variant.grams * line.quantity for line in self.lines)

    def subtotal(self, currency: str) -> int:
        """The goods in minor units, before discounts."""
        return sum(line.total(currency) for line in self.lines)

    def discount(self, currency: str) -> int:
        """What the discount code takes off the goods, in minor units, rounded down."""
        return self.subtotal(currency) * DISCOUNT_CODES.get(self.discount_code, 0) // 100

    def total(self, currency: str) -> int:
        """The goods after discounts, in minor units, without shipping."""
        return self.subtotal(currency) - self.discount(currency)


def add(cart: Cart, catalog: Catalog, variant_id: int, quantity: int, properties: dict[str, str]) -> Line:
    """Put a variant into the cart and give back its line; like lines become one.

    Raises CartRefusal: 404 for an unknown variant, 422 when it is sold out or more than the stock is asked for.
    """
    found = catalog.variant(variant_id)
    if found is None:
        raise CartRefusal(404, "Cart Error", "Cannot find variant")
    product, variant = found
    if quantity < 1:
        raise CartRefusal(422, "Cart Error", "Quantity must be 1 or more")
    title = product.full_title(variant)
    if not variant.available:
        raise CartRefusal(422, "Cart Error", f"The product '{title}' is already sold out.")
    in_cart = sum(line.quantity for line in cart.lines if line.variant.id == variant_id)
    if in_cart >= variant.stock:
        raise CartRefusal(422, "Cart Error", f"All {variant.stock} {title} are in your cart.")
    if in_cart + quantity > variant.stock:
        raise CartRefusal(422, "Cart Error", f"You can only add {variant.stock - in_cart} {title} to the cart.")
    for line in cart.lines:
        if line.variant.id == variant_id and line.properties == properties:
            line.quantity += quantity
            return line
    if len(cart.lines) >= MAX_LINES:
        raise CartRefusal(422, "Cart Error", f"A cart holds at most {MAX_LINES} lines.")
    line = Line(
        key=f"{variant_id}:{secrets.token_hex(16)}",
        product=product,
        variant=variant,
        quantity=quantity,
        properties=properties,
    )
    cart.lines.insert(0, line)  # Shopify lists the newest line first
    return line


def change(cart: Cart, line: Line, quantity: int) -> None:
    """Set a line's quantity; 0 removes it. Raises CartRefusal (422) when the stock does not reach."""
    if quantity < 0:
        raise CartRefusal(422, "Cart Error", "Quantity must be 0 or more")
    if quantity == 0:
        cart.lines.remove(line)
        return
    others = sum(other.quantity for other in cart.lines if other.variant.id == line.variant.id and other is not line)
    if others + quantity > line.variant.stock:
        title = line.product.full_title(line.variant)
        raise CartRefusal(422, "Cart Error", f"You can only add {line.variant.stock} {title} to the cart.")
    line.quantity = quantity


def find_line(cart: Cart, asked: dict[str, Any]) -> Line:
    """The line a call means: by 1-based ``line``, or by ``id`` (line key or variant). Raises CartRefusal (400)."""
    position = asked.get("line")
    if position is not None:
        number = whole_number(position)
        if number is not None and 1 <= number <= len(cart.lines):
            return cart.lines[number - 1]
    wanted = str(asked.get("id", ""))
    for line in cart.lines:
        if wanted in (line.key, str(line.variant.id)):
            return line
    raise CartRefusal(400, "Bad Request", "no valid id or line parameter")


def whole_number(value: object) -> int | None:
    """An integer given as a number or as decimal digits; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = str(value).strip()
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None
