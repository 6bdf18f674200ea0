"""The operations of Klaviyo's server API that the relay uses, with their limits and scopes. Pure.

Source: the OpenAPI document, unchanged in revision 2026-10-15. Limits are per account, in fixed windows of one second
(burst) and one minute (steady); all private keys of an account share them.
"""

from enum import Enum

from msgspec import Struct


class Operation(Struct, frozen=True):
    """``burst`` calls a second and ``steady`` calls a minute are allowed."""

    method: str
    path: str
    burst: int
    steady: int
    scopes: tuple[str, ...]


_LISTS = ("lists:write", "profiles:write")
_SUBSCRIPTIONS = (*_LISTS, "subscriptions:write")


class Endpoint(Enum):
    """What is limited, paused and counted together."""

    CREATE_EVENT = Operation("POST", "/api/events", 350, 3500, ("events:write",))
    BULK_EVENTS = Operation("POST", "/api/event-bulk-create-jobs", 10, 150, ("events:write",))
    IMPORT_PROFILE = Operation("POST", "/api/profile-import", 75, 750, ("profiles:write",))
    GET_PROFILES = Operation("GET", "/api/profiles", 75, 750, ("profiles:read",))
    #: With ``include=lists``; without it the limits are those of GET_PROFILES.
    GET_PROFILE_LISTS = Operation("GET", "/api/profiles/{id}", 1, 15, ("profiles:read", "lists:read"))
    ADD_TO_LIST = Operation("POST", "/api/lists/{id}/relationships/profiles", 10, 150, _LISTS)
    REMOVE_FROM_LIST = Operation("DELETE", "/api/lists/{id}/relationships/profiles", 10, 150, _LISTS)
    SUBSCRIBE = Operation("POST", "/api/profile-subscription-bulk-create-jobs", 75, 750, _SUBSCRIPTIONS)
    UNSUBSCRIBE = Operation("POST", "/api/profile-subscription-bulk-delete-jobs", 75, 750, _SUBSCRIPTIONS)
    REQUEST_DELETION = Operation("POST", "/api/data-privacy-deletion-jobs", 3, 60, ("data-privacy:write",))
    GET_METRICS = Operation("GET", "/api/metrics", 10, 150, ("metrics:read",))
    GET_ACCOUNTS = Operation("GET", "/api/accounts", 1, 15, ("accounts:read",))
