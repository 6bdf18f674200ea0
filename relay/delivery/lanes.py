"""Which deliveries go which way: a lane is one kind of call, with the endpoints it needs.

Lanes do not wait for each other: a slow or closed endpoint keeps only its own deliveries.
"""

from enum import Enum

from msgspec import Struct

from relay.klaviyo.bulk import MAX_EVENTS
from relay.klaviyo.endpoints import Endpoint
from relay.model import DeliveryKind

#: Profiles a call may add to or remove from a list, or subscribe; and unsubscribe (Klaviyo's API reference).
MAX_MEMBERS, MAX_UNSUBSCRIBED = 1000, 100


class Way(Struct, frozen=True, kw_only=True):
    """``most`` deliveries travel in one call; of calls with many, ``at_once`` are under way."""

    kind: DeliveryKind
    endpoints: tuple[Endpoint, ...]
    most: int = 1
    at_once: int = 1


class Lane(Enum):
    EVENT = Way(kind=DeliveryKind.EVENT, endpoints=(Endpoint.CREATE_EVENT,))
    BULK = Way(kind=DeliveryKind.EVENT, endpoints=(Endpoint.BULK_EVENTS,), most=MAX_EVENTS, at_once=2)
    PROFILE = Way(kind=DeliveryKind.PROFILE, endpoints=(Endpoint.IMPORT_PROFILE,))
    LOOKUP = Way(kind=DeliveryKind.LOOKUP, endpoints=(Endpoint.GET_PROFILES,))
    DELETION = Way(kind=DeliveryKind.DELETION, endpoints=(Endpoint.REQUEST_DELETION,))
    LIST_ADD = Way(
        kind=DeliveryKind.LIST_ADD, endpoints=(Endpoint.ADD_TO_LIST, Endpoint.IMPORT_PROFILE), most=MAX_MEMBERS
    )
    LIST_REMOVE = Way(
        kind=DeliveryKind.LIST_REMOVE, endpoints=(Endpoint.REMOVE_FROM_LIST, Endpoint.GET_PROFILES), most=MAX_MEMBERS
    )
    SUBSCRIBE = Way(
        kind=DeliveryKind.SUBSCRIBE, endpoints=(Endpoint.SUBSCRIBE, Endpoint.GET_PROFILES), most=MAX_MEMBERS
    )
    UNSUBSCRIBE = Way(
        kind=DeliveryKind.UNSUBSCRIBE,
        endpoints=(Endpoint.UNSUBSCRIBE, Endpoint.GET_PROFILES, Endpoint.GET_PROFILE_LISTS),
        most=MAX_UNSUBSCRIBED,
    )
