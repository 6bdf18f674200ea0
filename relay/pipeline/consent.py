"""What may be done with a message: the consent station. Pure.

Only an explicit ``marketing: true`` is a yes and only an explicit ``false`` a no; anything else is no signal.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from relay.config import Consent
from relay.model import Trust


class Permission(Struct, frozen=True):
    """What may be done: ``keep`` the message at all, and ``forward`` it (and tie it to other visits)."""

    keep: bool
    forward: bool


EVERYTHING = Permission(keep=True, forward=True)
NOTHING = Permission(keep=False, forward=False)
#: Global Privacy Control is an opt-out of sharing (CA, CO, CT and others), not of the shop's own records.
OWN_RECORDS = Permission(keep=True, forward=False)


def permission(context: Mapping[str, Any], trust: Trust, policy: Consent, *, gpc: bool) -> Permission:
    """What may be done with a message with this ``context``, under the site's policy and the browser's GPC."""
    signal = _signal(context)
    marketing = signal.get("marketing")
    if marketing is False:
        return NOTHING
    if trust is Trust.BROWSER and marketing is not True:
        # The tag names its source as soon as it finds a consent platform, even one that has not answered yet.
        platform_found = bool(signal.get("source"))
        if policy is Consent.REQUIRED or (policy is Consent.AUTO and platform_found):
            return NOTHING
    if gpc or context.get("gpc") is True:
        return OWN_RECORDS
    return EVERYTHING


def is_denied(context: Mapping[str, Any]) -> bool:
    """Whether the shopper has said no, in so many words."""
    return _signal(context).get("marketing") is False


def _signal(context: Mapping[str, Any]) -> dict[str, Any]:
    consent = context.get("consent")
    return consent if isinstance(consent, dict) else {}
