"""Who agreed to what: the consent of one profile per kind of message, and what subscribing and unsubscribing do to it.

Marketing and transactional SMS are kept apart. Suppressions are of e-mail only, as in Klaviyo's ``subscriptions``.
"""

from typing import Literal

from msgspec import Struct, field

State = Literal["SUBSCRIBED", "UNSUBSCRIBED", "NEVER_SUBSCRIBED"]
Reason = Literal["HARD_BOUNCE", "INVALID_EMAIL", "SPAM_COMPLAINT", "UNSUBSCRIBE", "USER_SUPPRESSED"]

#: Channel and kind of message as requests name them -> its place in ``Consents``.
KINDS = {
    ("email", "marketing"): "email",
    ("email", "open_tracking"): "email_open_tracking",
    ("email", "click_tracking"): "email_click_tracking",
    ("sms", "marketing"): "sms",
    ("sms", "transactional"): "sms_transactional",
}
#: What subscribing takes away (API reference); a bounce stays.
_LIFTED = ("UNSUBSCRIBE", "SPAM_COMPLAINT", "USER_SUPPRESSED")


class Consent(Struct, kw_only=True):
    """Consent to one kind of message. Times are seconds since the epoch."""

    consent: State = "NEVER_SUBSCRIBED"
    consent_timestamp: float | None = None
    last_updated: float | None = None
    method: str | None = None
    source: str | None = None  #: as the caller named it (``custom_source``)
    double_optin: bool | None = None


class Suppression(Struct, frozen=True):
    """Why no e-mail goes out at all."""

    reason: Reason
    timestamp: float


class ListSuppression(Struct, frozen=True):
    """Why no e-mail to this one list goes out."""

    list_id: str
    reason: Reason
    timestamp: float


class Consents(Struct, kw_only=True):
    """All that one profile has agreed to and withdrawn."""

    email: Consent = field(default_factory=Consent)
    email_open_tracking: Consent = field(default_factory=Consent)
    email_click_tracking: Consent = field(default_factory=Consent)
    sms: Consent = field(default_factory=Consent)
    sms_transactional: Consent = field(default_factory=Consent)
    suppressions: list[Suppression] = []
    list_suppressions: list[ListSuppression] = []

    def subscribe(
        self, kind: str, *, now: float, at: float | None, source: str | None, list_id: str | None, method: str = "API"
    ) -> None:
        """Agree to ``kind`` (a field of this struct); ``at`` is when the person did, if not now."""
        consent = Consent(
            consent="SUBSCRIBED",
            consent_timestamp=now if at is None else at,
            last_updated=now,
            method=method,
            source=source,
            double_optin=False,
        )
        setattr(self, kind, consent)
        if kind == "email":
            self.suppressions = [one for one in self.suppressions if one.reason not in _LIFTED]
            self.list_suppressions = [one for one in self.list_suppressions if one.list_id != list_id]

    def unsubscribe(self, kind: str, *, now: float) -> None:
        """Withdraw the consent to ``kind`` everywhere."""
        setattr(self, kind, Consent(consent="UNSUBSCRIBED", consent_timestamp=now, last_updated=now, method="API"))
        if kind == "email":
            self.suppress("UNSUBSCRIBE", now)

    def suppress(self, reason: Reason, now: float) -> None:
        """Send no e-mail at all from now on."""
        self.suppressions = [one for one in self.suppressions if one.reason != reason] + [Suppression(reason, now)]

    def unsubscribe_from(self, list_id: str, *, now: float) -> None:
        """Withdraw the consent to e-mails of one list alone."""
        others = [one for one in self.list_suppressions if one.list_id != list_id]
        self.list_suppressions = [*others, ListSuppression(list_id, "UNSUBSCRIBE", now)]
