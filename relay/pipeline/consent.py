"""What may be done with a message: the consent station. Pure.

Only an explicit ``marketing: true`` is a yes. ``false`` is a no, and so is anything that stands there and cannot be
read as either (``"denied"``, a list): who wrote it meant something, and it was not a plain yes. Segment's
``categoryPreferences.marketing`` is read too. Nothing there is no signal.

One wish is heard without any permission, since it is the shopper's own: to be sent no more (``pipeline.withheld``,
``pipeline.withdrawals``).
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from relay.config import Consent
from relay.model import Reason, Trust


class Permission(Struct, frozen=True):
    """What may be done: ``keep`` the message at all, and ``forward`` it (and tie it to other visits); ``reason`` is why
    it is kept and not forwarded."""

    keep: bool
    forward: bool
    reason: Reason = Reason.GPC


EVERYTHING = Permission(keep=True, forward=True)
NOTHING = Permission(keep=False, forward=False)
#: Global Privacy Control is an opt-out of sharing (CA, CO, CT and others), not of the shop's own records. It is the
#: browser's word and binds what the browser says; a server's call is judged by what it says itself, but while GPC is
#: the browser's last word, nothing that a server says ties it (``pipeline.endings``).
OWN_RECORDS = Permission(keep=True, forward=False)
#: What was done before a refusal and arrives after it ends as what had arrived in time and not left yet.
BEFORE_REFUSAL = Permission(keep=True, forward=False, reason=Reason.CONSENT_WITHDRAWN)


def permission(context: Mapping[str, Any], trust: Trust, policy: Consent, *, gpc: bool) -> Permission:
    """What may be done with a message with this ``context``, under the site's policy and the browser's GPC."""
    marketing, source = _choice(context)
    if marketing is not None and marketing is not True:
        return NOTHING
    # The tag names its source as soon as it finds a consent platform, even one that has not answered yet.
    is_needed = policy is Consent.REQUIRED or (policy is Consent.AUTO and source)
    if trust is Trust.BROWSER and marketing is None and is_needed:
        return NOTHING
    if gpc or context.get("gpc") is True:
        return OWN_RECORDS
    return EVERYTHING


def is_denied(context: Mapping[str, Any]) -> bool:
    """Whether the shopper has said no, in so many words."""
    return _choice(context)[0] is False


def is_given(context: Mapping[str, Any]) -> bool:
    """Whether the shopper has said yes, in so many words."""
    return _choice(context)[0] is True


def bare(context: Mapping[str, Any]) -> dict[str, Any]:
    """All that may be kept of the context of a message without permission: that it has none, and whether by a no."""
    return {"consent": {"marketing": False if is_denied(context) else "withheld"}}


def _choice(context: Mapping[str, Any]) -> tuple[object, bool]:
    """What stands for marketing (None: nothing), and whether a consent platform was found."""
    consent = context.get("consent")
    if not consent and consent is not False:  # PHP writes an empty object as []
        return None, False
    if not isinstance(consent, dict):
        return "unreadable", False
    preferences = consent.get("categoryPreferences")
    own = consent.get("marketing")
    if own is None and preferences is not None:
        own = preferences.get("marketing") if isinstance(preferences, dict) else preferences
    return own, bool(consent.get("source"))
