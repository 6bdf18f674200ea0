"""Which deliveries go which way: a lane is one kind of call, with the endpoints it needs.

Lanes do not wait for each other: a slow or closed endpoint keeps only its own deliveries.
"""

from enum import Enum

from msgspec import Struct

from relay.klaviyo.bulk import MAX_EVENTS
from relay.klaviyo.endpoints import Endpoint
from relay.klaviyo.lists import MAX_MEMBERS
from relay.klaviyo.subscriptions import MAX_SUBSCRIBED, MAX_UNSUBSCRIBED
from relay.model import DeliveryKind


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
        kind=DeliveryKind.SUBSCRIBE, endpoints=(Endpoint.SUBSCRIBE, Endpoint.GET_PROFILES), most=MAX_SUBSCRIBED
    )
    UNSUBSCRIBE = Way(
        kind=DeliveryKind.UNSUBSCRIBE,
        endpoints=(Endpoint.UNSUBSCRIBE,),
        # Fewer than Klaviyo takes: 15 a minute can be asked for their lists, and the lease has to outlive that.
        most=min(40, MAX_UNSUBSCRIBED),
    )
