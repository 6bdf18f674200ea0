"""Resource objects as Klaviyo shows them."""

from datetime import UTC, datetime
from typing import Any

from relay.demo.sandbox import bodies
from relay.demo.sandbox.profiles import DETAILS, Profile


def profile_resource(profile: Profile, base: str, *, subscriptions: bool = False) -> dict[str, Any]:
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
    if subscriptions:
        marketing = {
            "can_receive_email_marketing": profile.consent != "UNSUBSCRIBED",
            "consent": profile.consent,
            "consent_timestamp": None,
            "last_updated": None,
            "method": None,
            "method_detail": "",
            "custom_method_detail": None,
            "double_optin": None,
            "suppression": [{"reason": "UNSUBSCRIBE", "timestamp": iso(profile.updated)}]
            if profile.consent == "UNSUBSCRIBED"
            else [],
            "list_suppressions": [],
        }
        attributes["subscriptions"] = {"email": {"marketing": marketing}}
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


def iso(seconds: float | None) -> str | None:
    """ISO 8601 in UTC, or None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
