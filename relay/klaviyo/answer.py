"""What is kept of Klaviyo's answer to one call."""

from typing import Any

from msgspec import Struct


class Found(Struct, frozen=True):
    """The profile behind a ``_kx``."""

    klaviyo_id: str
    email: str | None
    phone_number: str | None


class Left(Struct, frozen=True):
    """What Klaviyo says of the account's calls to an endpoint in the present minute (the steady window)."""

    limit: int
    remaining: int
    reset: float | None = None  #: seconds until it ends, where that is said


class Answer(Struct, frozen=True, kw_only=True):
    """How a call ended. ``status`` None: no answer came. ``retry_after`` in seconds."""

    status: int | None
    retry_after: float | None = None
    error: str = ""  #: Klaviyo's code and pointer, or the kind of network failure: never personal data
    scope: str | None = None  #: the scope a 403 names
    pointers: tuple[str, ...] = ()  #: into the body: what Klaviyo does not like
    document: Any = None  #: the JSON of a 2xx, where one was asked for
    left: Left | None = None  #: of the calls that may be made; a 429 does not say it
    was_sent: bool = True  #: False: the call was not made

    @property
    def is_good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


#: The endpoint is closed, or the relay stops: the call was not made.
NOT_SENT = Answer(status=None, error="not_sent", was_sent=False)


def found(answer: Answer) -> Found | None:
    """The first profile of an answer."""
    try:
        profile = answer.document["data"][0]
        attributes = profile["attributes"]
        return Found(profile["id"], attributes.get("email"), attributes.get("phone_number"))
    except (LookupError, TypeError, AttributeError):
        return None


def property_of(answer: Answer, name: str) -> Any:
    """A custom property of the first profile of an answer; None where there is none."""
    try:
        return answer.document["data"][0]["attributes"]["properties"].get(name)
    except (LookupError, TypeError, AttributeError):
        return None
