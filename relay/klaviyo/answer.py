"""What is kept of Klaviyo's answer to one call."""

from msgspec import Struct


class Found(Struct, frozen=True):
    """The profile behind a ``_kx``."""

    klaviyo_id: str
    email: str | None
    phone_number: str | None


class Answer(Struct, frozen=True, kw_only=True):
    """How a call ended. ``status`` None: no answer came. ``retry_after`` in seconds."""

    status: int | None
    retry_after: float | None = None
    error: str = ""  #: Klaviyo's code and pointer, or the kind of network failure: never personal data
    scope: str | None = None  #: the scope a 403 names
    found: Found | None = None
