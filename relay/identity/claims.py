"""What a call claims about who made it: identifiers, or why one was refused, and the links its visitor came by."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from msgspec import Struct

from relay.identity.identifiers import (
    PRECEDENCE,
    Identifier,
    IdentifierKind,
    normal_customer_id,
    normal_email,
    normal_exchange_id,
    normal_phone,
)
from relay.model import Commerce, Kind, Message, Trust

#: Klaviyo's profile IDs: 26 characters of a ULID, six in old accounts.
_PROFILE_ID = re.compile(r"[A-Za-z0-9]{6,26}")
#: In a URL only what nobody types by chance: a ULID (Crockford's base 32; the first digit is at most 7).
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
#: Our own token has some 85 characters.
_MAX_LINK_TOKEN = 256


class Claims(Struct, frozen=True, kw_only=True):
    """What one call says of its author, already normalised. ``refused`` names what was left out and why."""

    identifiers: tuple[Identifier, ...] = ()
    exchange_id: str | None = None  #: a ``_kx``: proves the recipient of a link, so it never joins the others
    exchange_is_left_behind: bool = False  #: it is from Klaviyo's cookie, not from the link just opened
    link_token: str | None = None  #: ``bf`` of a link of our own, unread: proves the recipient too
    profile_id: str | None = None  #: Klaviyo's ID of a link's recipient, from the parameter that the site has named
    is_signed: bool = False  #: the shop platform has signed that the customer is logged in here
    traits: dict[str, Any] = {}
    refused: tuple[str, ...] = ()
    is_author: bool = True  #: the identifiers are those of whoever made the call
    former: Identifier | None = None  #: an earlier ID of the same person, by a server's alias; it may be a visitor's
    is_merge: bool = False  #: the shop platform has made ``former`` and this customer one, whatever each was known by

    @property
    def everything(self) -> tuple[Identifier, ...]:
        """Every identifier in the call, the links' included."""
        kx = () if self.exchange_id is None else (Identifier(IdentifierKind.KX, self.exchange_id),)
        profile = () if self.profile_id is None else (Identifier(IdentifierKind.KLAVIYO_ID, self.profile_id),)
        return self.identifiers + kx + profile


def claims(
    message: Message, commerce: Commerce, trust: Trust, country: str | None, profile_parameter: str | None = None
) -> Claims:
    """What ``message`` claims. ``country`` is the site's, used when the call names none; ``profile_parameter`` the
    parameter of its links that holds Klaviyo's ID of the recipient."""
    found: dict[IdentifierKind, str] = {}
    refused: list[str] = []

    def take(kind: IdentifierKind, raw: object, normal: str | None) -> None:
        if normal is not None:
            found.setdefault(kind, normal)
        elif isinstance(raw, str) and raw.strip():
            refused.append(f"invalid_{kind}")

    traits, spoken_email, spoken_phone, is_author = _spoken(message, commerce, trust)
    if (email := _first(traits, "email") or spoken_email) is not None:
        take(IdentifierKind.EMAIL, email, normal_email(email))
    if message.user_id is not None:
        # A user ID that is an e-mail address is used as one: many shops identify by address.
        if "@" in message.user_id and (address := normal_email(message.user_id)):
            found.setdefault(IdentifierKind.EMAIL, address)
        else:
            take(IdentifierKind.CUSTOMER_ID, message.user_id, normal_customer_id(message.user_id))
    if (phone := _first(traits, "phone", "phoneNumber", "phone_number") or spoken_phone) is not None:
        own = _country(traits) or _order_country(commerce) or _country(_context_traits(message)) or country
        take(IdentifierKind.PHONE, phone, normal_phone(phone, own))
    if trust is Trust.KLAVIYO and (klaviyo_id := _first(message.traits, "klaviyo_id")):
        found[IdentifierKind.KLAVIYO_ID] = klaviyo_id
    if trust is Trust.SERVER and (said := _profile_id(message.context)) is not None:
        take(IdentifierKind.KLAVIYO_ID, said, said if _PROFILE_ID.fullmatch(said) else None)
    if trust is Trust.KLAVIYO and (kx := normal_exchange_id(message.traits.get("kx"))):
        found[IdentifierKind.KX] = kx
    opened = None if trust is Trust.KLAVIYO else _opened_exchange_id(message.context)
    left = None if trust is Trust.KLAVIYO or opened is not None else _left_exchange_id(message.context)
    return Claims(
        identifiers=tuple(Identifier(kind, found[kind]) for kind in PRECEDENCE if kind in found),
        exchange_id=opened or left,
        exchange_is_left_behind=left is not None,
        link_token=None if trust is Trust.KLAVIYO else _link_token(message.context),
        profile_id=_linked_profile(message.context, profile_parameter) if trust is not Trust.KLAVIYO else None,
        is_signed=trust is Trust.SERVER and _shopify_says(message.context, "signedCustomer"),
        traits=_traits(message, trust),
        refused=tuple(refused),
        is_author=is_author,
        former=_former(message) if trust is Trust.SERVER else None,
        is_merge=trust is Trust.SERVER
        and message.type == "alias"
        and _shopify_says(message.context, "customersMerged"),
    )


def _former(message: Message) -> Identifier | None:
    """Whom an alias calls by a former ID: an e-mail address or the shop's own ID."""
    if message.type != "alias" or message.previous_id is None:
        return None
    if "@" in message.previous_id and (address := normal_email(message.previous_id)):
        return Identifier(IdentifierKind.EMAIL, address)
    former = normal_customer_id(message.previous_id)
    return None if former is None else Identifier(IdentifierKind.CUSTOMER_ID, former)


def _profile_id(context: Mapping[str, Any]) -> str | None:
    """Klaviyo's own ID of the person as RudderStack passes it on: ``context.externalId`` of type
    ``klaviyo-profileId``."""
    external = context.get("externalId")
    for one in external if isinstance(external, list) else (external,):
        if isinstance(one, dict) and one.get("type") == "klaviyo-profileId":
            return _first(one, "id")
    return None


def _spoken(
    message: Message, commerce: Commerce, trust: Trust
) -> tuple[Mapping[str, Any], str | None, str | None, bool]:
    """The traits of the person, the address and phone among an event's properties, and whether these are its author's.

    Those of a checkout or an order are. In an event of the shop's own making they may be anybody's ("Friend Invited"):
    a browser's are not heard; a server's name whom the event is for where it names nobody else, and tie no visitor.
    The traits of a group describe the group: the address of a company is nobody's own. Its member's are in the context.
    """
    if message.type == "group":
        return _context_traits(message), None, None, True
    if message.type != "track" or commerce.kind is not Kind.OTHER:
        return message.traits, commerce.email, commerce.phone, True
    traits = _context_traits(message) if trust is Trust.SERVER else {}
    if email := _first(traits, "email"):
        return message.traits, email, _first(traits, "phone", "phoneNumber", "phone_number"), True
    if trust is Trust.SERVER and message.user_id is None:
        return message.traits, commerce.email, commerce.phone, False
    return message.traits, None, None, True


def _context_traits(message: Message) -> Mapping[str, Any]:
    traits = message.context.get("traits")
    return traits if isinstance(traits, dict) else {}


def _traits(message: Message, trust: Trust) -> dict[str, Any]:
    """Traits worth keeping with the person: those of an identify call, and names a server sends along."""
    if trust is Trust.KLAVIYO:
        return {}
    if message.type == "identify":
        return message.traits
    return dict(_context_traits(message)) if trust is Trust.SERVER else {}


def _opened_exchange_id(context: Mapping[str, Any]) -> str | None:
    """``_kx`` from the landing URL, as the tag or any SDK tells it."""
    return next((kx for value in _landed_with(context, "_kx") if (kx := normal_exchange_id(value))), None)


def _left_exchange_id(context: Mapping[str, Any]) -> str | None:
    """The ``_kx`` that Klaviyo's own script has left in its cookie."""
    cookies = context.get("cookies")
    if isinstance(cookies, dict) and isinstance(cookie := cookies.get("__kla_id"), str):
        return normal_exchange_id(_klaviyo_cookie(cookie).get("$exchange_id"))
    return None


def _link_token(context: Mapping[str, Any]) -> str | None:
    return next((value for value in _landed_with(context, "bf") if 0 < len(value) <= _MAX_LINK_TOKEN), None)


def _linked_profile(context: Mapping[str, Any], parameter: str | None) -> str | None:
    values = _landed_with(context, parameter) if parameter else ()
    return next((value for value in values if _ULID.fullmatch(value)), None)


def _shopify_says(context: Mapping[str, Any], name: str) -> bool:
    shopify = context.get("shopify")
    return isinstance(shopify, dict) and shopify.get(name) is True


def _landed_with(context: Mapping[str, Any], parameter: str) -> Iterator[str]:
    """What a parameter of the landing URL holds, as the tag or any SDK tells it."""
    click_ids, page = context.get("clickIds"), context.get("page")
    if isinstance(click_ids, dict) and isinstance(value := click_ids.get(parameter), str):
        yield value
    if isinstance(page, dict) and isinstance(url := page.get("url"), str) and f"{parameter}=" in url:
        with suppress(ValueError):
            yield from parse_qs(urlsplit(url).query).get(parameter, [])


def _klaviyo_cookie(value: str) -> dict[str, Any]:
    """``__kla_id`` is base64 of JSON, at times percent-encoded."""
    try:
        text = unquote(value)
        decoded = msgspec.json.decode(base64.b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _country(traits: Mapping[str, Any]) -> str | None:
    address = traits.get("address")
    for source in (address if isinstance(address, dict) else {}, traits):
        for name in ("country_code", "countryCode", "country"):
            if isinstance(value := source.get(name), str) and re.fullmatch(r"[A-Za-z]{2}", value):
                return value.upper()
    return None


def _order_country(commerce: Commerce) -> str | None:
    order = commerce.order
    for address in (order.billing_address, order.shipping_address) if order else ():
        if address and (found := _country({"country_code": address.country_code, "country": address.country})):
            return found
    return None


def _first(source: Mapping[str, Any], *names: str) -> str | None:
    """The first of these fields that is a non-blank string, or a number (phones often are)."""
    for name in names:
        value = source.get(name)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return None
