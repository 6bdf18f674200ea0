"""The profiles of an account and how Klaviyo finds one: id, external_id, email, phone_number, ``_kx``, anonymous_id."""

import re
import secrets
import time
from collections.abc import Iterator
from typing import Any

from msgspec import UNSET, Struct, field

from relay.demo.sandbox import bodies
from relay.demo.sandbox.consent import Consents

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
DETAILS = ("first_name", "last_name", "organization", "locale", "title", "image")
#: Order in which identifiers are believed.
PRIORITY = ("id", "external_id", "email", "phone_number", "kx", "anonymous_id")


class Identifiers(Struct, frozen=True, kw_only=True):
    """What a request says to name a profile. E-mails are lower case."""

    id: str | None = None
    external_id: str | None = None
    email: str | None = None
    phone_number: str | None = None
    kx: str | None = None
    anonymous_id: str | None = None

    @classmethod
    def of(cls, profile: bodies.Profile | bodies.UpsertProfile) -> "Identifiers":
        """From the resource object of a request; absent and null are both None."""
        attributes = profile.attributes
        return cls(
            id=profile.id,
            external_id=attributes.external_id or None,
            email=attributes.email.lower() if attributes.email else None,
            phone_number=attributes.phone_number or None,
            kx=attributes.kx or None,
            anonymous_id=getattr(attributes, "anonymous_id", None) or None,
        )

    def given(self) -> Iterator[tuple[str, str]]:
        """Kind and value, strongest first."""
        for kind in PRIORITY:
            if value := getattr(self, kind):
                yield kind, value


class Profile(Struct, kw_only=True):
    """One profile. Times are seconds since the epoch."""

    id: str
    created: float
    updated: float
    email: str | None = None
    phone_number: str | None = None
    external_id: str | None = None
    anonymous_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    organization: str | None = None
    locale: str | None = None
    title: str | None = None
    image: str | None = None
    location: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    last_event_date: float | None = None
    exchange_ids: list[str] = []
    secondary_emails: list[str] = []
    consents: Consents = field(default_factory=Consents)


class Directory:
    """All profiles, found by any identifier."""

    def __init__(self, company_id: str) -> None:
        self.company_id = company_id
        self._by_id: dict[str, Profile] = {}
        self._index: dict[tuple[str, str], str] = {}

    def __iter__(self) -> Iterator[Profile]:
        return iter(self._by_id.values())

    def get(self, profile_id: str) -> Profile | None:
        return self._by_id.get(profile_id)

    def owner(self, kind: str, value: str) -> Profile | None:
        """The profile that has this identifier."""
        if kind == "email":
            value = value.lower()
        return self._by_id.get(value if kind == "id" else self._index.get((kind, value), ""))

    def matches(self, identifiers: Identifiers) -> list[Profile]:
        """The distinct profiles these identifiers belong to, the most believed first."""
        found: dict[str, Profile] = {}
        for kind, value in identifiers.given():
            if profile := self.owner(kind, value):
                found.setdefault(profile.id, profile)
        return list(found.values())

    def create(self, now: float) -> Profile:
        """An empty profile; ``now`` in seconds since the epoch."""
        profile = Profile(id=_profile_id(), created=now, updated=now)
        self._by_id[profile.id] = profile
        return profile

    def mint_exchange_id(self, profile: Profile) -> str:
        """A new ``_kx`` of this profile: 43 url-safe base64 characters, a dot, the company id."""
        value = f"{secrets.token_urlsafe(32)}.{self.company_id}"
        profile.exchange_ids.append(value)
        self._index["kx", value] = profile.id
        return value

    def identify(self, profile: Profile, identifiers: Identifiers, *, replace: bool) -> None:
        """Give the profile those identifiers that nobody else has; ``replace`` lets them change existing ones.

        The browser's calls never replace: they answer 202 and leave an existing identifier alone.
        """
        for kind, value in identifiers.given():
            if kind in ("id", "kx") or self.owner(kind, value) is not None:
                continue
            old = getattr(profile, kind)
            if old and not replace:
                continue
            self._set(profile, kind, value)

    def update(self, profile: Profile, sent: bodies.Profile | bodies.UpsertProfile, now: float, *, clear: bool) -> None:
        """Take over names, location, properties and ``meta``; a null clears only if ``clear`` (profile endpoints)."""
        attributes = sent.attributes
        for name in DETAILS:
            value = getattr(attributes, name)
            if value is not UNSET and (clear or value is not None):
                setattr(profile, name, value)
        if clear:
            for kind in ("email", "phone_number", "external_id"):
                if getattr(attributes, kind) is None:
                    self._set(profile, kind, None)
        if attributes.location is None and clear:
            profile.location = {}
        if isinstance(attributes.location, bodies.Location):
            for name in attributes.location.__struct_fields__:
                value = getattr(attributes.location, name)
                if value is None and clear:
                    profile.location.pop(name, None)
                elif value is not UNSET and value is not None:
                    profile.location[name] = value
        if attributes.properties is None and clear:
            profile.properties = {}
        if isinstance(attributes.properties, dict):
            profile.properties |= {k: v for k, v in attributes.properties.items() if v is not None or not clear}
            for name in [k for k, v in attributes.properties.items() if v is None and clear]:
                profile.properties.pop(name, None)
        if sent.meta is not None:
            self._patch(profile, sent.meta)
        profile.updated = now

    def delete(self, profile: Profile) -> None:
        """Forget a profile and everything that names it."""
        del self._by_id[profile.id]
        self._index = {key: owner for key, owner in self._index.items() if owner != profile.id}

    def _set(self, profile: Profile, kind: str, value: str | None) -> None:
        if old := getattr(profile, kind):
            self._index.pop((kind, old), None)
        setattr(profile, kind, value)
        if value is not None:
            self._index[kind, value] = profile.id

    def _patch(self, profile: Profile, meta: bodies.ProfileMeta) -> None:
        if patch := meta.patch_properties:
            for name, value in (patch.append or {}).items():
                profile.properties[name] = _as_list(profile.properties.get(name)) + _as_list(value)
            for name, value in (patch.unappend or {}).items():
                gone = _as_list(value)
                profile.properties[name] = [v for v in _as_list(profile.properties.get(name)) if v not in gone]
            for name in _as_list(patch.unset):
                profile.properties.pop(name, None)
        if identifiers := meta.patch_identifiers:
            for email in map(str.lower, _as_list(identifiers.append.get("email"))):
                if self.owner("email", email) is None:
                    profile.secondary_emails.append(email)
                    self._index["email", email] = profile.id
            for email in map(str.lower, _as_list(identifiers.unappend.get("email"))):
                if email in profile.secondary_emails:
                    profile.secondary_emails.remove(email)
                    self._index.pop(("email", email), None)


def is_exchange_id(value: str, company_id: str) -> bool:
    """Whether a value has the form of this company's ``_kx``."""
    return re.fullmatch(rf"[A-Za-z0-9_-]{{43}}=?\.{re.escape(company_id)}", value) is not None


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _profile_id() -> str:
    """26 characters of Crockford's base 32, time first, as in ``01GDDKASAP8TKDDA2GRZDSVP4H``."""
    number = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
