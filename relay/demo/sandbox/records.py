"""What the account remembers of what happened: events, metrics, changes of lists and consent, requests."""

from typing import Any

from msgspec import Struct


class Metric(Struct, frozen=True):
    id: str
    name: str
    created: float


class RecordedEvent(Struct, kw_only=True):
    """An event that counts. ``via`` is ``server`` or ``script`` (the browser's own calls)."""

    id: str
    metric: str
    profile_id: str
    properties: dict[str, Any]
    value: float | None
    value_currency: str | None
    time: float
    unique_id: str | None
    backfill: bool
    received_at: float
    via: str
    deduplicated_repeats: int = 0


class Request(Struct, kw_only=True):
    """One line of the request log. Never holds keys, queries or bodies."""

    method: str
    path: str
    status: int
    at: float
    error: str | None = None
    notes: list[str] = []
    scripted: bool = False


class Change(Struct, kw_only=True):
    """One thing that happened to a profile's lists or consent."""

    id: str
    action: str  #: ``subscribed``, ``confirmation_asked``, ``unsubscribed``, ``added`` or ``removed``
    profile_id: str
    at: float
    kinds: list[str] = []  #: what was (un)subscribed: fields of ``consent.Consents``
    list_id: str | None = None
    list_name: str | None = None
    source: str | None = None
    consented_at: float | None = None  #: of a historical import
    everywhere: bool = False  #: unsubscribed from all lists, whether that was meant or not
    not_on_list: bool = False  #: a list was named and the profile was not on it, hence ``everywhere``
