"""What identifies a person: kinds of identifiers, and the one form that each value has.

Syntax is judged by email-validator and phonenumbers; a bad phone or address costs the identifier, never the event.
"""

import re
from enum import StrEnum
from functools import lru_cache
from urllib.parse import unquote

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from msgspec import Struct


class IdentifierKind(StrEnum):
    """What a value identifies. The order is the order of precedence when one call carries several."""

    EMAIL = "email"
    KLAVIYO_ID = "klaviyo_id"
    CUSTOMER_ID = "customer_id"
    PHONE = "phone"
    KX = "kx"


PRECEDENCE = tuple(IdentifierKind)


class Identifier(Struct, frozen=True):
    """One value in its normal form."""

    kind: IdentifierKind
    value: str


#: Values that stand for nobody (Segment Unify's recommended blocked values, and what shops' templates print).
_BLOCKED = re.compile(r"[0\s-]*|-1|null|nil|none|nan|undefined|unknown|anonymous|guest|true|false|test|n/?a", re.I)
#: ``_kx``: 43 url-safe base64 characters, at times with "=", a dot, the account's 6-character public key.
_EXCHANGE_ID = re.compile(r"[A-Za-z0-9_=-]{20,100}\.[A-Za-z0-9]{6}")
_MAX_CUSTOMER_ID = 256


@lru_cache(maxsize=4096)
def normal_email(raw: str) -> str | None:
    """The address trimmed and in lower case (no folding of dots or plus signs), or None if it is none."""
    try:
        checked = validate_email(raw.strip(), check_deliverability=False, allow_smtputf8=False)
    except (EmailNotValidError, UnicodeError, ValueError):
        return None
    return (checked.ascii_email or checked.normalized).lower()


@lru_cache(maxsize=4096)
def normal_phone(raw: str, country: str | None) -> str | None:
    """The number in E.164, or None. ``country`` (ISO 3166 alpha-2) reads numbers without an international prefix."""
    try:
        number = phonenumbers.parse(raw, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def is_placeholder(value: str) -> bool:
    """Whether a value stands for nobody: ``null``, ``undefined``, zeros."""
    return _BLOCKED.fullmatch(value) is not None


def normal_customer_id(raw: str) -> str | None:
    """The shop's own ID of a customer, or None for a placeholder such as ``null`` or ``-1``."""
    value = raw.strip()
    return None if not value or len(value) > _MAX_CUSTOMER_ID or is_placeholder(value) else value


def normal_exchange_id(raw: object) -> str | None:
    """A ``_kx`` value as Klaviyo writes it, or None. Links carry ``=`` encoded; it is decoded once."""
    if not isinstance(raw, str):
        return None
    value = unquote(raw.strip())
    return value if _EXCHANGE_ID.fullmatch(value) else None
