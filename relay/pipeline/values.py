"""What a raw JSON value counts as: text, an identifier, a number, a currency, an address on the web.

The lowest part of the canonical step. Every reader takes any decoded JSON value and answers None for "not one of
these", so that the caller can leave the raw value where it was. None of them raises.
"""

import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

Reader = Callable[[Any], Any]

#: A plain decimal, or one whose thousands are marked beyond doubt. ``1,299`` alone may be 1.299 in half of the world:
#: it needs a decimal point or a second group.
_DECIMAL = re.compile(
    r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{1,15})?|[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){2,})"
)
#: The same with a decimal comma, as themes print prices: one or two decimals, so that ``1,299`` stays in doubt.
_DECIMAL_COMMA = re.compile(r"[+-]?(?:[0-9]{1,15}|[0-9]{1,3}(?:[. ][0-9]{3})+),[0-9]{1,2}")
_SIGN = r"(?:[A-Z]{3}|[$€£¥₩₹₽₺₴₫฿]|zł|kr\.?|Kč|Ft)"
#: A number with a currency before or after it.
_CURRENCY_AROUND = re.compile(rf"(?:{_SIGN}\s*)?(\S.*?)(?:\s*{_SIGN})?")
_MONEY_KEYS = frozenset({"amount", "currencyCode", "currency_code"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ORIGIN_END = re.compile(r"(?<![:/])[/?#]")
_LARGEST_ID = 2**63


def text(raw: Any) -> str | None:
    """Return a trimmed string that is not empty."""
    return raw.strip() or None if type(raw) is str else None


def identifier(raw: Any) -> str | None:
    """Return a trimmed string, or a whole number as one; Shopify's ``gid://shopify/Product/1`` becomes ``1``."""
    if type(raw) is str:
        value = raw.strip()
        if value.startswith("gid://"):
            return value.rpartition("/")[2] or value
        return value or None
    if type(raw) is float and raw.is_integer():
        raw = int(raw)
    return str(raw) if type(raw) is int and -_LARGEST_ID < raw < _LARGEST_ID else None


def number(raw: Any) -> float | None:
    """Return a finite number: as such, as a plain decimal string, or as Shopify's ``{amount, currencyCode}``."""
    kind = type(raw)
    if kind is float:
        return float(raw) if math.isfinite(raw) else None
    if kind is int:
        try:
            return float(raw)
        except OverflowError:
            return None
    if kind is str:
        return _spoken(raw)
    if kind is dict and "amount" in raw and _MONEY_KEYS.issuperset(raw):
        plain = all(type(value) is str for key, value in raw.items() if key != "amount")
        return number(raw["amount"]) if plain and type(raw["amount"]) is not dict else None
    return None


def _spoken(raw: str) -> float | None:
    """A number written for people: ``1,299.00``, ``1.299,00 €``, ``USD 12.50``; None where it could mean two things."""
    if len(raw) > 40:
        return None
    value = raw.strip()
    if not _DECIMAL.fullmatch(value):
        match = _CURRENCY_AROUND.fullmatch(value.replace("\u00a0", " ").replace("\u202f", " "))
        value = match[1] if match else value
    if _DECIMAL.fullmatch(value):
        return float(value.replace(",", ""))
    if _DECIMAL_COMMA.fullmatch(value):
        return float(value.replace(".", "").replace(" ", "").replace(",", "."))
    return None


def quantity(raw: Any) -> float | None:
    """Return a number of pieces, zero included."""
    value = number(raw)
    return value if value is not None and value >= 0 else None


def currency(raw: Any) -> str | None:
    """Return three ASCII letters in upper case. Whether ISO 4217 knows them is the mapping's question."""
    if type(raw) is not str:
        return None
    value = raw.strip()
    return value.upper() if len(value) == 3 and value.isascii() and value.isalpha() else None


def texts(raw: Any) -> tuple[str, ...] | None:
    """Return one string or a list of nothing but strings, without blanks and repeats, in order."""
    if type(raw) is str:
        value = raw.strip()
        return (value,) if value else None
    if type(raw) is not list or not all(type(item) is str for item in raw):
        return None
    return tuple(dict.fromkeys(stripped for item in raw if (stripped := item.strip()))) or None


def identifiers(raw: Any) -> tuple[str, ...] | None:
    """Return one identifier or a list of nothing but identifiers, in order."""
    if type(raw) is not list:
        one = identifier(raw)
        return None if one is None else (one,)
    found = tuple(identifier(item) for item in raw)
    return tuple(item for item in found if item is not None) if found and None not in found else None


def codes(raw: Any) -> tuple[str, ...] | None:
    """Return discount codes: a string, a list of strings, or a list of ``{code}`` objects."""
    if type(raw) is list and raw and all(type(item) is dict and item.keys() == {"code"} for item in raw):
        return texts([item["code"] for item in raw])
    return texts(raw)


def rows(raw: Any) -> list[dict[str, Any]] | None:
    """Return a list that holds objects and nothing else."""
    return raw if type(raw) is list and raw and all(type(item) is dict for item in raw) else None


def mapping(raw: Any) -> dict[str, Any] | None:
    """Return an object that is not empty."""
    return raw if type(raw) is dict and raw else None


def cart_token(raw: Any) -> str | None:
    """Return the token of a cart without Shopify's ``?key=`` secret, which must go nowhere."""
    value = identifier(raw)
    return value.partition("?key=")[0] or None if value else None


def link(raw: Any) -> str | None:
    """Return a trimmed http(s) or relative address; ``javascript:``, ``data:`` and other schemes are none."""
    value = text(raw)
    if value is None or value.startswith(("https://", "http://")):
        return value
    return None if _SCHEME.match(value) else value


def absolute(address: str | None, base: str | None) -> str | None:
    """Return an address as seen from the page ``base``; one that cannot be joined stays as it is."""
    if address is None or address.startswith(("https://", "http://")):
        return address
    if base is None:
        return f"https:{address}" if address.startswith("//") else address
    if address.startswith("/") and not address.startswith("//") and "/." not in address:
        return f"{_ORIGIN_END.split(base, 1)[0]}{address}"  # the common case, at a tenth of urljoin's cost
    try:
        return urljoin(base, address)
    except ValueError:
        return address


def page_address(context: dict[str, Any]) -> str | None:
    """Return the page a message was sent from: Segment's ``page.url`` or Web Pixels' ``document.location.href``."""
    found: Any = None
    if type(page := context.get("page")) is dict:
        found = page.get("url")
    elif type(document := context.get("document")) is dict and type(location := document.get("location")) is dict:
        found = location.get("href")
    return found if type(found) is str and found.startswith(("https://", "http://")) else None
