"""Who: the profile inside an event, and the body that creates or updates one. Pure.

The strongest identifier decides: Klaviyo's own ID goes alone, since an address sent beside it would rewrite the
profile's; then e-mail, phone and, where the site sends it, the customer's ID; the exchange ID only when nothing else is
known. An anonymous ID only names whom nobody knows: beside an address it would have Klaviyo merge what everybody did in
that browser.

The profile's own properties have other names than the event's, so that templates and segments cannot mistake one for
the other. A profile that is too large loses its largest custom properties first, then its largest attributes.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec

from relay.klaviyo import custom, patches
from relay.klaviyo.limits import MAX_EXTERNAL_ID, MAX_PROFILE_BYTES, OWN, Trimmer, lighten, weight
from relay.klaviyo.traits import take_person
from relay.model import ProfilePatch, Proof, Recipient

#: Set on a profile of which something had to be left out.
_MARK = "BackflowProfileTrimmed"
#: What says who it is; everything else about a profile may be left out.
_WHO = frozenset({"email", "phone_number", "external_id", "anonymous_id", "_kx"})


def rfc3339(seconds: float) -> str | None:
    """Return Unix seconds as a UTC time to the whole second, None outside of years 1 to 9999."""
    return _rfc3339(seconds // 1)


@lru_cache(maxsize=1024)  # events come by the thousand in one second
def _rfc3339(second: float) -> str | None:
    try:
        return datetime.fromtimestamp(second, UTC).isoformat()[:19] + "Z"
    except (ValueError, OverflowError, OSError):
        return None


def external_id(customer_id: str | None) -> str | None:
    """Return the shop's own ID of a customer as Klaviyo takes it, None for one that is too long."""
    return customer_id if customer_id and len(customer_id) <= MAX_EXTERNAL_ID else None


def narrow(recipient: Recipient) -> Recipient:
    """Return the same person by the strongest identifier alone."""
    for name in ("klaviyo_id", "email", "phone_number", "external_id", "kx"):
        if value := getattr(recipient, name):
            return Recipient(traits=recipient.traits, **{name: value})
    return recipient


def profile_body(
    recipient: Recipient,
    proof: Proof,
    *,
    last_seen: float | None = None,
    patch: ProfilePatch | None = None,
    flatten: bool = False,
    link: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the body of ``POST /api/profile-import``; ``last_seen`` in Unix seconds becomes ``BackflowLastSeen``;
    ``flatten`` takes custom objects apart, ``link`` is the property with the person's own link token.

    Raises ValueError for a recipient without any identifier; an anonymous ID is none here.
    """
    known = msgspec.structs.replace(recipient, anonymous_id=None)
    return {"data": resource(known, proof, last_seen, patch, flatten=flatten, link=link)}


def resource(
    recipient: Recipient,
    proof: Proof,
    last_seen: float | None = None,
    patch: ProfilePatch | None = None,
    *,
    traits: bool = True,
    flatten: bool = False,
    link: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the JSON:API profile resource of a person; without ``traits`` only who it is.

    Raises ValueError for a recipient without any identifier.
    """
    attributes = _identifiers(recipient)
    profile: dict[str, Any] = {"type": "profile", "attributes": attributes}
    if recipient.klaviyo_id:
        profile["id"] = recipient.klaviyo_id
    if not traits or "anonymous_id" in attributes:
        return profile
    trimmer = Trimmer()
    rest = take_person(recipient.traits, attributes, trimmer) if recipient.traits else {}
    if patch is not None:
        patches.apply(profile, patch, recipient.traits, trimmer)
    own = {"BackflowRecovered": True, "BackflowRecoveredBy": proof.evidence, **link}
    if last_seen is not None:
        own["BackflowLastSeen"] = rfc3339(last_seen)
    attributes["properties"] = trimmer.properties(own, custom.flattened(rest) if flatten else rest, mark=_MARK)
    _fit(profile)
    return profile


def _identifiers(recipient: Recipient) -> dict[str, Any]:
    if recipient.klaviyo_id:
        return {}
    known = {
        "email": recipient.email,
        "phone_number": recipient.phone_number,
        "external_id": external_id(recipient.external_id),
    }
    if found := {name: value for name, value in known.items() if value}:
        return found
    for name, value in (("_kx", recipient.kx), ("anonymous_id", recipient.anonymous_id)):
        if value:
            return {name: value}
    raise ValueError("a recipient needs an identifier")


def _fit(profile: dict[str, Any]) -> None:
    """Make the resource small enough for Klaviyo, by the rule above."""
    excess = weight(profile) - MAX_PROFILE_BYTES
    if excess <= 0:
        return
    attributes = profile["attributes"]
    properties = attributes["properties"]
    properties[_MARK] = True
    excess = lighten(properties, excess + len(_MARK) + 8, lambda name: not name.startswith(OWN))
    excess = lighten(attributes, excess, lambda name: name not in _WHO and name != "properties")
    if excess > 0:
        profile.pop("meta", None)  # more to append than a profile holds
