"""Resource objects as Klaviyo shows them."""

from datetime import UTC, datetime
from typing import Any

from relay.demo.sandbox import bodies
from relay.demo.sandbox.consent import Consent, Consents
from relay.demo.sandbox.mailing import MailingList
from relay.demo.sandbox.profiles import DETAILS, Profile


def profile_resource(profile: Profile, base: str) -> dict[str, Any]:
    """The profile as a JSON:API resource object; ``base`` is the origin for its links."""
    attributes: dict[str, Any] = {
        "email": profile.email,
        "phone_number": profile.phone_number,
        "external_id": profile.external_id,
        **{name: getattr(profile, name) for name in DETAILS},
        "created": iso(profile.created),
        "updated": iso(profile.updated),
        "last_event_date": iso(profile.last_event_date),
        "location": {name: profile.location.get(name) for name in bodies.Location.__struct_fields__},
        "properties": profile.properties,
    }
    self_link = f"{base}/api/profiles/{profile.id}/"
    return {
        "type": "profile",
        "id": profile.id,
        "attributes": attributes,
        "relationships": {
            name: {"links": {"self": f"{self_link}relationships/{name}/", "related": f"{self_link}{name}/"}}
            for name in ("lists", "segments", "push-tokens", "conversations")
        },
        "links": {"self": self_link},
    }


def list_resource(one: MailingList, base: str) -> dict[str, Any]:
    """The list as a JSON:API resource object."""
    self_link = f"{base}/api/lists/{one.id}/"
    return {
        "type": "list",
        "id": one.id,
        "attributes": {
            "name": one.name,
            "created": iso(one.created),
            "updated": iso(one.updated),
            "opt_in_process": one.opt_in_process,
        },
        "relationships": {
            name: {"links": {"self": f"{self_link}relationships/{name}/", "related": f"{self_link}{name}/"}}
            for name in ("profiles", "tags", "flow-triggers")
        },
        "links": {"self": self_link},
    }


def subscriptions(consents: Consents, *, has_phone: bool) -> dict[str, Any]:
    """``subscriptions`` of a profile resource. ``sms`` is null without a number: the schema allows it, so readers
    have to expect it."""
    email = _shown(consents.email) | {
        "can_receive_email_marketing": not consents.suppressions,
        "custom_method_detail": consents.email.source,
        "double_optin": consents.email.double_optin,
        "suppression": [{"reason": one.reason, "timestamp": iso(one.timestamp)} for one in consents.suppressions],
        "list_suppressions": [
            {"list_id": one.list_id, "reason": one.reason, "timestamp": iso(one.timestamp)}
            for one in consents.list_suppressions
        ],
    }
    sms = {
        "marketing": _sms(consents.sms, "marketing"),
        "transactional": _sms(consents.sms_transactional, "transactional"),
    }
    return {
        "email": {
            "marketing": email,
            "open_tracking": _tracking(consents.email_open_tracking),
            "click_tracking": _tracking(consents.email_click_tracking),
        },
        "sms": sms if has_phone else None,
        "mobile_push": None,
        "whatsapp": None,
    }


def _shown(consent: Consent) -> dict[str, Any]:
    return {
        "consent": consent.consent,
        "consent_timestamp": iso(consent.consent_timestamp),
        "last_updated": iso(consent.last_updated),
        "method": consent.method,
        "method_detail": "",
    }


def _sms(consent: Consent, kind: str) -> dict[str, Any]:
    detail = {"method_detail": consent.source or "", f"can_receive_sms_{kind}": consent.consent == "SUBSCRIBED"}
    return _shown(consent) | detail


def _tracking(consent: Consent) -> dict[str, Any] | None:
    """Tracking consent, which is there only once it was asked about."""
    if consent.consent == "NEVER_SUBSCRIBED":
        return None
    return {
        "consent": consent.consent,
        "consent_timestamp": iso(consent.consent_timestamp),
        "last_updated": iso(consent.last_updated),
        "can_receive": consent.consent == "SUBSCRIBED",
    }


def sparse(resource: dict[str, Any], fields: set[str] | None) -> dict[str, Any]:
    """The resource with these attributes alone (all of them for None)."""
    if fields is not None:
        resource["attributes"] = {name: value for name, value in resource["attributes"].items() if name in fields}
    return resource


def iso(seconds: float | None) -> str | None:
    """ISO 8601 in UTC, or None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
