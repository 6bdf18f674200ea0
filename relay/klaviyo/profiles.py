"""Who: the profile inside an event, and the body that creates or updates one.

Segment's traits in, Klaviyo's profile attributes out. Pure.
"""

import re
from collections.abc import Container
from datetime import UTC, datetime
from typing import Any

from relay.klaviyo.limits import Trimmer
from relay.model import ProfilePatch, Proof, Recipient

#: ISO 639 language, script, and ISO 3166 or UN M.49 region: the part of BCP 47 that Klaviyo's ``locale`` knows.
_LOCALE = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|[0-9]{3}))?")


def _by_trait(names: dict[str, str]) -> dict[str, tuple[str, int]]:
    """Return ``{trait: (attribute, rank)}``: of two traits for one attribute the one named first wins."""
    return {trait: (name, rank) for name, traits in names.items() for rank, trait in enumerate(traits.split())}


_NAMES = _by_trait(
    {
        "first_name": "firstName first_name $first_name",
        "last_name": "lastName last_name $last_name",
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
        "zip": "zip $zip postalCode postal_code postcode",
        "timezone": "timezone $timezone",
        "latitude": "latitude $latitude lat",
        "longitude": "longitude $longitude lng lon",
    }
)
_COMPANY = _by_trait({"organization": "name"})
_COORDINATES = {"latitude": 90.0, "longitude": 180.0}
#: Identifiers: sent as identifiers when proven, never as properties.
_IDENTIFIERS = frozenset(
    {
        "email", "Email", "phone", "phone_number", "phoneNumber", "Phone", "id", "user_id", "userId", "external_id",
        "externalId", "anonymous_id", "anonymousId", "_kx",
    }
)  # fmt: skip


def rfc3339(seconds: float) -> str | None:
    """Return Unix seconds as a UTC time to the whole second, None outside of years 1 to 9999."""
    try:
        return datetime.fromtimestamp(seconds // 1, UTC).isoformat()[:19] + "Z"
    except (ValueError, OverflowError, OSError):
        return None


def narrow(recipient: Recipient) -> Recipient:
    """Return the same person by the strongest identifier alone."""
    for name in ("klaviyo_id", "email", "phone_number", "external_id", "kx"):
        if value := getattr(recipient, name):
            return Recipient(traits=recipient.traits, **{name: value})
    return recipient


def profile_body(
    recipient: Recipient, proof: Proof, *, last_seen: float | None = None, patch: ProfilePatch | None = None
) -> dict[str, Any]:
    """Return the body of ``POST /api/profile-import``; ``last_seen`` in Unix seconds becomes ``BackflowLastSeen``.

    Raises ValueError for a recipient without any identifier.
    """
    return {"data": resource(recipient, proof, last_seen=last_seen)}


def resource(recipient: Recipient, proof: Proof, *, last_seen: float | None = None) -> dict[str, Any]:
    """Return the JSON:API profile resource of a person.

    The strongest identifier decides: Klaviyo's own ID goes alone, since an address sent beside it would rewrite the
    profile's; then e-mail and phone; the exchange ID only when nothing else is known. Neither ``external_id`` nor an
    anonymous ID is ever sent.
    """
    attributes: dict[str, Any] = {}
    profile: dict[str, Any] = {"type": "profile"}
    if recipient.klaviyo_id:
        profile["id"] = recipient.klaviyo_id
    else:
        if recipient.email:
            attributes["email"] = recipient.email
        if recipient.phone_number:
            attributes["phone_number"] = recipient.phone_number
        if not attributes:
            if not recipient.kx:
                raise ValueError("a recipient needs an identifier")
            attributes["_kx"] = recipient.kx
    trimmer = Trimmer()
    rest = _take_person(recipient.traits, attributes, trimmer) if recipient.traits else {}
    own = {"BackflowEvidence": proof.evidence, "BackflowRecovered": True}
    if last_seen is not None:
        own["BackflowLastSeen"] = rfc3339(last_seen)
    attributes["properties"] = trimmer.properties(own, rest, mark="Backflow")
    profile["attributes"] = attributes
    return profile


def _take_person(traits: dict[str, Any], attributes: dict[str, Any], trimmer: Trimmer) -> dict[str, Any]:
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
    return {name: value for name, value in rest.items() if name not in _IDENTIFIERS}


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
    """Return what an attribute of this name can hold: a text (a whole number is one, for postal codes), a BCP 47 tag
    or degrees."""
    if (bound := _COORDINATES.get(name)) is not None:
        return _degrees(raw, bound)
    if type(raw) is str:
        value = trimmer.text(raw.strip()) or None
        return _locale(value) if value is not None and name == "locale" else value
    return str(raw) if type(raw) is int and abs(raw) < 10**15 and name != "locale" else None


def _locale(value: str) -> str | None:
    match = _LOCALE.fullmatch(value)
    if match is None:
        return None
    language, script, region = match.groups()
    parts = (language.lower(), script.title() if script else None, region.upper() if region else None)
    return "-".join(part for part in parts if part)


def _degrees(raw: Any, bound: float) -> float | None:
    """Return degrees within their bound; numeric strings are read."""
    if type(raw) is str and len(raw) < 40:
        try:
            raw = float(raw)
        except ValueError:
            return None
    return raw if type(raw) in (int, float) and -bound <= raw <= bound else None
