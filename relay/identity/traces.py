"""What a browser leaves behind that another record may carry too: cart tokens, client IDs, click IDs. Pure.

A trace ties two visitors (two cookie jars), never a visitor and a person: whoever is known in the one is found from the
other for as long as both traces stand. Nothing derived is stored, so what is unlinked there is gone here at once.

Invariants kept here:
- a cart or an analytics ID ties only a browser's former visitor to the present one: the same program, one after the
  other; two that are at work at the same time are two browsers, however the value got there;
- a checkout does so only on the same network: its address is mailed by shops, forwarded and opened elsewhere;
- the shop platform's ID of a browser ties only within one program;
- a server's call about a cart or checkout names a browser only where it can be no other's (``holder``);
- what stands for no value ties nothing: a placeholder, or what is not made by chance;
- a value seen in more jars than its kind allows ties none of them (a viral link, a shared cart, a copied ID);
- a click ID ties only by the hand-over from an app's browser to the device's own: exactly two jars, minutes apart, the
  same network, the same operating system, one of the two inside an app;
- ``gbraid``, ``wbraid``, ``srsltid`` and ``utm_*`` never tie anything: they name a campaign, not a click.

Source of the rules: field practice of identity graphs (Snowplow: 2 to 5 values a user are normal, tens mean that the
value is no identifier) and the ad platforms' own words of what their parameters name.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, ip_address
from typing import Any

from msgspec import Struct
from user_agents import parse as parse_user_agent

from relay.identity.evidence import Evidence
from relay.identity.identifiers import is_placeholder
from relay.model import Commerce, Trust


class TraceKind(StrEnum):
    """What kind of value was left. The order is that of their worth."""

    CART = "cart"
    CHECKOUT = "checkout"
    CLIENT_ID = "client_id"  #: of Shopify's Web Pixels
    GA = "_ga"
    FBP = "_fbp"
    TTP = "_ttp"
    SCID = "_scid"
    RDT = "_rdt_uuid"
    CLICK = "click"


class Trace(Struct, frozen=True):
    """One value in its normal form."""

    kind: TraceKind
    value: str


class Sighting(Struct, frozen=True, kw_only=True):
    """A trace in one visitor's jar: since when, until when (epoch seconds), on which network, in which browser.

    ``last_at`` is up to ``NOTE_EVERY_SECONDS`` too early, but never before another jar's ``first_at`` that came first.
    """

    kind: TraceKind
    visitor_id: str
    first_at: float
    last_at: float
    network: str | None
    browser: str | None


class Rule(Struct, frozen=True):
    evidence: Evidence
    most_jars: int


#: A jar that loses our cookie and keeps the shop's gets a new visitor each time: a handful is one browser's history.
RULES = {
    TraceKind.CART: Rule(Evidence.CLIENT_ID, 3),
    TraceKind.CHECKOUT: Rule(Evidence.CLIENT_ID, 3),
    TraceKind.CLIENT_ID: Rule(Evidence.CLIENT_ID, 5),
    TraceKind.GA: Rule(Evidence.ANALYTICS, 5),
    TraceKind.FBP: Rule(Evidence.ANALYTICS, 5),
    TraceKind.TTP: Rule(Evidence.ANALYTICS, 5),
    TraceKind.SCID: Rule(Evidence.ANALYTICS, 5),
    TraceKind.RDT: Rule(Evidence.ANALYTICS, 5),
    TraceKind.CLICK: Rule(Evidence.CLICK, 2),
}
#: One more than any rule allows is enough to know that a value is everybody's.
ENOUGH = max(rule.most_jars for rule in RULES.values()) + 1
#: "Open in browser" is tapped within minutes.
HANDOVER_SECONDS = 600.0
#: A server's order names the browser that had its cart within a session.
CART_SECONDS = 30 * 60.0
#: The page that thanks for an order is the first to tell of some checkouts.
THANKS_SECONDS = 60.0
#: A trace seen again is noted at most this often: it is in every message of a visit.
NOTE_EVERY_SECONDS = 900.0

#: Parameters that name one click of one person.
_CLICKS = frozenset(
    {
        "gclid", "dclid", "fbclid", "ttclid", "msclkid", "twclid", "li_fat_id", "epik", "ScCid", "sccid", "rdt_cid",
        "irclickid", "cjevent", "sscid", "awc", "qclid", "dicbo", "obclid", "tblci", "ndclid",
    }
)  # fmt: skip
#: Real values are longer; what templates print for a missing one is not.
_SHORTEST, _LONGEST = 8, 1000
_GA = re.compile(r"GA\d\.\d+\.(\d{5,}\.\d{9,})")
_FBP = re.compile(r"fb\.\d\.\d{10,}\.\d+")
#: The IDs that pixels give a browser at its first visit and keep in it: TikTok's (27 characters, some with an ending),
#: Snap's (a UUID, or 22 or more characters of base 64) and Reddit's (the time in milliseconds and a UUID). What else
#: such pixels keep (``_gcl_aw``, ``_fbc``, ``_epik``) holds a click's ID, which came by a link.
_TTP = re.compile(r"[\w-]{20,40}(\.tt\.\d)?", re.ASCII)
_SCID = re.compile(r"[\w-]{20,64}", re.ASCII)
_RDT = re.compile(r"\d{13}\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)
#: The characters of IDs that shops give to carts, checkouts and browsers: hexadecimal, UUIDs, base 64, GraphQL's.
_TOKEN = re.compile(r"[\w.~+/=:%-]+", re.ASCII)
#: An ID that is made by chance has a digit and more different characters than this; the shortest real ones have twelve.
_FEW_CHARACTERS = 3
_IN_APP = re.compile(
    r"FBAN|FBAV|FB_IAB|Instagram|musical_ly|BytedanceWebview|TikTok|Snapchat|Pinterest|Twitter|LinkedInApp|Line/"
    r"|MicroMessenger|KAKAOTALK|GSA/|; wv\)"
)


def traces(context: Mapping[str, Any], commerce: Commerce, trust: Trust) -> tuple[Trace, ...]:
    """What a call with this ``context`` leaves. Klaviyo's own answers leave nothing."""
    if trust is Trust.KLAVIYO:
        return ()
    shop = _table(context, "shopify")
    cookies, clicks = _table(context, "cookies"), _table(context, "clickIds")
    ga = _GA.fullmatch(_text(cookies.get("_ga")))
    checkout = _text(shop.get("checkoutToken"))
    cart = _text(shop.get("cartToken")) or _text(commerce.cart_token).partition("?")[0]
    found = [
        (TraceKind.CART, _token(cart) if cart != checkout else ""),
        (TraceKind.CHECKOUT, _token(checkout)),
        (TraceKind.CLIENT_ID, _token(_text(shop.get("clientId")))),
        (TraceKind.GA, ga[1] if ga else ""),
        *((kind, _pixels(cookies, kind, form)) for kind, form in _PIXELS.items()),
        *((TraceKind.CLICK, f"{name}={value}") for name, raw in clicks.items() if (value := _click(name, raw))),
    ]
    return tuple(Trace(kind, value) for kind, value in found if _SHORTEST <= len(value) <= _LONGEST)


def _token(value: str) -> str:
    """The value, or nothing where it is no ID: many shoppers would share it."""
    is_made = any(c.isdigit() for c in value) and len(set(value)) > _FEW_CHARACTERS
    return value if is_made and _TOKEN.fullmatch(value) and not is_placeholder(value) else ""


#: The cookies of pixels by the form of their IDs.
_PIXELS = {TraceKind.FBP: _FBP, TraceKind.TTP: _TTP, TraceKind.SCID: _SCID, TraceKind.RDT: _RDT}


def _pixels(cookies: Mapping[str, Any], kind: TraceKind, form: re.Pattern[str]) -> str:
    value = _text(cookies.get(kind))
    return _token(value) if form.fullmatch(value) else ""


def _click(name: str, raw: object) -> str:
    value = _text(raw)
    return value if name in _CLICKS and len(value) >= _SHORTEST and not is_placeholder(value) else ""


def neighbours(mine: str, sightings: Sequence[Sequence[Sighting]]) -> dict[str, Evidence]:
    """The visitors that are the browser of visitor ``mine`` too, each with the best evidence of it.

    ``sightings`` holds, for each trace of the visitor's, the jars it was seen in (up to ``ENOUGH`` of them).
    """
    found: dict[str, Evidence] = {}
    for jars in sightings:
        rule = RULES[jars[0].kind] if jars else None
        if rule is None or not 2 <= len(jars) <= rule.most_jars:
            continue
        own = next((jar for jar in jars if jar.visitor_id == mine), None)
        for jar in jars:
            if own is not None and jar is not own and _is_one_browser(own, jar):
                found[jar.visitor_id] = min(found.get(jar.visitor_id, rule.evidence), rule.evidence, key=_rank)
    return found


def _is_one_browser(one: Sighting, other: Sighting) -> bool:
    """Whether the same value in two jars means one browser.

    A jar that has lost our cookie goes on as another visitor: in the same program, and the old one is not seen again.
    The platform's ID of a browser never leaves its program either, but there two jars may be at work at once: what
    Shopify's sandbox says of the page's own visitor comes at the same time, in a jar of its own.
    """
    if one.kind is TraceKind.CLICK:
        return is_handover(one, other)
    if one.browser is None or one.browser != other.browser:
        return False
    if one.kind is TraceKind.CLIENT_ID:
        return True
    if one.kind is TraceKind.CHECKOUT and (one.network is None or one.network != other.network):
        return False
    earlier, later = sorted((one, other), key=lambda sighting: sighting.first_at)
    return earlier.last_at <= later.first_at


def holder(sightings: Sequence[Sequence[Sighting]], at: float) -> str | None:
    """The visitor that a server's call at ``at`` about a cart or checkout comes from: the one that had it, within a
    session. None where it may have been another: whoever was sent the cart's link has it too, and may well be the last
    to have looked at it while its owner pays.

    ``sightings`` holds, for each trace of the call, the jars it was seen in.
    """
    if any(len(jars) > RULES[jars[0].kind].most_jars for jars in sightings if jars):
        return None
    jars = [jar for found in sightings for jar in found if jar.first_at <= at + THANKS_SECONDS]
    if not jars:
        return None
    latest = max(jars, key=lambda jar: jar.last_at)
    for jar in jars:
        if jar.visitor_id == latest.visitor_id:
            continue
        may_be_at_work = at - jar.last_at <= CART_SECONDS + NOTE_EVERY_SECONDS
        if may_be_at_work or not _is_one_browser(jar, latest):
            return None
    # What it did hours before or after says nothing of the order.
    seen_at = [each for jar in jars if jar.visitor_id == latest.visitor_id for each in (jar.first_at, jar.last_at)]
    return latest.visitor_id if any(-CART_SECONDS <= seen - at <= THANKS_SECONDS for seen in seen_at) else None


def is_handover(one: Sighting, other: Sighting) -> bool:
    """Whether a click went from an app's own browser to the device's: the one case of a click ID in two jars that is
    one person's, and not a link that was passed on."""
    if one.browser is None or other.browser is None or one.network is None:
        return False
    system, _, program = one.browser.partition("/")
    other_system, _, other_program = other.browser.partition("/")
    return (
        abs(one.first_at - other.first_at) <= HANDOVER_SECONDS
        and one.network == other.network
        and system == other_system
        and program.startswith(_APP) != other_program.startswith(_APP)
    )


def network(ip: str | None) -> str | None:
    """The network an address is in: its first 24 bits (IPv4) or 64 (IPv6). None for no address, or a bad one."""
    try:
        address = ip_address(ip or "")
    except ValueError:
        return None
    if not isinstance(address, IPv4Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    kept = 24 if isinstance(address, IPv4Address) else 64
    return f"{int(address) >> (address.max_prefixlen - kept):x}/{kept}"


def source(ip: str | None) -> str | None:
    """Whom a call comes from as far as the internet says: an IPv4 address, or a network of IPv6, in which one
    connection has all addresses (RFC 6177: a /64 at least). None for a proxy on the relay's own side, or no address."""
    if not is_public(ip):
        return None
    found = network(ip)
    return found if found is not None and found.endswith("/64") else ip


def is_public(ip: str | None) -> bool:
    """Whether an address is a caller's on the internet, and not that of a proxy on the relay's own side."""
    try:
        return ip_address(ip or "").is_global
    except ValueError:
        return False


_APP = "app:"


@lru_cache(maxsize=10_000)
def browser(user_agent: str | None) -> str | None:
    """Operating system and browser, as ``iOS/Mobile Safari``, or ``iOS/app:Instagram`` inside an app.

    Parsing an unseen string takes 2 ms, so this runs behind a cache, and never while collecting.
    """
    if not user_agent:
        return None
    parsed = parse_user_agent(user_agent)
    app = _IN_APP.search(user_agent)
    return f"{parsed.os.family}/{_APP + app[0].strip('/;) ') if app else parsed.browser.family}"


def _rank(evidence: Evidence) -> int:
    return list(Evidence).index(evidence)


def _table(context: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = context.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
