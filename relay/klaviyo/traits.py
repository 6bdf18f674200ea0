"""What is said of a person: Segment's traits in, the attributes of Klaviyo's profiles out. Pure.

A trait that is null or empty says nothing: it neither sets nor clears. Clearing is asked for by name (``patches``).
"""

import re
from collections.abc import Container
from ipaddress import ip_address
from typing import Any

from relay.klaviyo.limits import Trimmer

#: ISO 639 language, script, and ISO 3166 or UN M.49 region: the part of BCP 47 that Klaviyo's ``locale`` knows.
_LOCALE = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|[0-9]{3}))?")


def _by_trait(names: dict[str, str]) -> dict[str, tuple[str, int]]:
    """Return ``{trait: (attribute, rank)}``: of two traits for one attribute the one named first wins."""
    return {trait: (name, rank) for name, traits in names.items() for rank, trait in enumerate(traits.split())}


_NAMES = _by_trait(
    {
        "first_name": "firstName first_name firstname $first_name",
        "last_name": "lastName last_name lastname $last_name",
        "organization": "organization $organization company",
        "title": "title $title",
        "image": "avatar image $image",
        "locale": "locale $locale language",
        "name": "name",
    }
)
_PLACE = _by_trait(
    {
        "address1": "address1 $address1 street line1 address",
        "address2": "address2 $address2 line2",
        "city": "city $city",
        "region": "region $region state province",
        "country": "country $country",
        "zip": "zip $zip postalCode postal_code postalcode postcode",
        "timezone": "timezone $timezone",
        "latitude": "latitude $latitude lat",
        "longitude": "longitude $longitude lng lon long",
        "ip": "ip $ip",
    }
)
_PLACE_NAMES = tuple(dict.fromkeys(name for name, _ in _PLACE.values()))
_COMPANY = _by_trait({"organization": "name"})
_COORDINATES = {"latitude": 90.0, "longitude": 180.0}
#: Identifiers: sent as identifiers when proven, never as properties.
IDENTIFIERS = frozenset(
    {
        "email", "Email", "phone", "phone_number", "phoneNumber", "Phone", "id", "user_id", "userId", "external_id",
        "externalId", "anonymous_id", "anonymousId", "_kx",
    }
)  # fmt: skip


#: Whole objects and names, and the attributes they fill.
_WHOLE = {
    "name": (("first_name",), ("last_name",)),
    "address": tuple(("location", name) for name in ("address1", "address2", "city", "region", "country", "zip")),
    "location": tuple(("location", name) for name in _PLACE_NAMES),
}


def attributes_of(trait: str) -> tuple[tuple[str, ...], ...]:
    """Return the paths of the attributes that a trait of this name fills; none for a custom one."""
    if trait in _WHOLE:
        return _WHOLE[trait]
    if trait in _NAMES:
        return ((_NAMES[trait][0],),)
    return (("location", _PLACE[trait][0]),) if trait in _PLACE else ()


def spellings(trait: str) -> frozenset[str]:
    """Return every name of a trait that fills an attribute this one fills; a custom one has only its own."""
    mine = set(attributes_of(trait))
    if not mine:
        return frozenset({trait})
    return frozenset(other for other in (*_WHOLE, *_NAMES, *_PLACE) if not mine.isdisjoint(attributes_of(other)))


def take_person(traits: dict[str, Any], attributes: dict[str, Any], trimmer: Trimmer) -> dict[str, Any]:
    """Fill ``attributes`` from Segment's traits; return the traits that have no place among them."""
    names, rest = _read(traits, _NAMES, trimmer)
    if whole := names.pop("name", None):
        if "first_name" in names or "last_name" in names:
            rest["name"] = whole
        else:
            first, _, last = whole.rpartition(" ")
            names |= {"first_name": first.rstrip(), "last_name": last} if first else {"first_name": last}
    if type(company := rest.get("company")) is dict and "organization" not in names:
        inner, left = _read(company, _COMPANY, trimmer)
        names |= inner
        rest["company"] = left
    attributes |= names
    location: dict[str, Any] = {}
    for holder in ("address", "location"):  # Segment's object first, then Klaviyo's, then the flat traits
        if type(place := rest.get(holder)) is dict:
            inner, rest[holder] = _read(place, _PLACE, trimmer, location)
            location |= inner
    inner, rest = _read(rest, _PLACE, trimmer, location)
    location |= inner
    if location:
        attributes["location"] = location
    return {name: value for name, value in rest.items() if name not in IDENTIFIERS}


def _read(
    traits: dict[str, Any], table: dict[str, tuple[str, int]], trimmer: Trimmer, known: Container[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sort traits into attributes and the rest; an attribute that is ``known`` already is not read again."""
    found: dict[str, Any] = {}
    ranks: dict[str, tuple[int, str]] = {}
    rest: dict[str, Any] = {}
    for trait, raw in traits.items():
        entry = table.get(trait)
        if entry is None or entry[0] in known:
            rest[trait] = raw
            continue
        name, rank = entry
        if (value := _value(name, raw, trimmer)) is None:
            rest[trait] = raw
            continue
        if name in ranks:
            best, rival = ranks[name]
            if best < rank:
                rest[trait] = raw
                continue
            rest[rival] = traits[rival]
        found[name] = value
        ranks[name] = (rank, trait)
    return found, rest


def _value(name: str, raw: Any, trimmer: Trimmer) -> Any:
    """Return what an attribute of this name can hold: a text (a whole number is one, for postal codes), a BCP 47 tag,
    degrees or an IP address."""
    if (bound := _COORDINATES.get(name)) is not None:
        return _degrees(raw, bound)
    if type(raw) is str:
        value = trimmer.text(raw.strip()) or None
        if value is None or name not in _CHECKED:
            return value
        return _CHECKED[name](value)
    return str(raw) if type(raw) is int and abs(raw) < 10**15 and name != "locale" else None


def _locale(value: str) -> str | None:
    match = _LOCALE.fullmatch(value)
    if match is None:
        return None
    language, script, region = match.groups()
    parts = (language.lower(), script.title() if script else None, region.upper() if region else None)
    return "-".join(part for part in parts if part)


def _ip(value: str) -> str | None:
    try:
        return str(ip_address(value))
    except ValueError:
        return None


_CHECKED = {"locale": _locale, "ip": _ip}


def _degrees(raw: Any, bound: float) -> float | None:
    """Return degrees within their bound; numeric strings are read."""
    if type(raw) is str and len(raw) < 40:
        try:
            raw = float(raw)
        except ValueError:
            return None
    return raw if type(raw) in (int, float) and -bound <= raw <= bound else None
