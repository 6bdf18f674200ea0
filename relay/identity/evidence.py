"""Why a visitor is believed to be a person: classes of evidence, their order, and what they are worth.

The order is the design's (strongest first). ``confidence`` is a prior: the share of ties of this class expected
to name the right person, until the relay has measured its own. Sources: server statements fail only by the
shop's own mistakes; a form is filled in for somebody else now and then (gifts, typing errors); a link of an
e-mail is forwarded now and then (field practice: such links are demoted once many browsers open them).
"""

from enum import StrEnum

from msgspec import Struct


class Evidence(StrEnum):
    """What ties a visitor to a person, strongest first."""

    ORDER = "order"
    SIGNED_CUSTOMER = "signed_customer"
    SERVER = "server_identify"
    FORM = "form"
    LINK = "link"
    KX = "kx"
    PROFILE_LINK = "profile_link"


class Recognition(StrEnum):
    """How the browser that sent an event was recognised as its visitor."""

    DIRECT = "direct"  #: not needed: the call itself says who made it
    COOKIE = "cookie"
    MIRROR = "mirror"
    HANDLE = "handle"  #: neither came along, but the opaque handle that the tag keeps in the cart
    NEW = "new"  #: a first visit: the ID was issued with this answer
    ANONYMOUS_ID = "anonymous_id"  #: a server names the visitor itself
    SDK = "sdk"  #: an SDK in the browser names the visitor itself: no cookie came along
    NONE = "none"


class Worth(Struct, frozen=True):
    strength: int  #: only the order counts
    confidence: float
    words: str


WORTH = {
    Evidence.ORDER: Worth(90, 0.999, "the shop's server reported an order of this person"),
    Evidence.SIGNED_CUSTOMER: Worth(85, 0.997, "the shop platform signed that this customer is logged in here"),
    Evidence.SERVER: Worth(80, 0.995, "the shop's server said who this is"),
    Evidence.FORM: Worth(70, 0.98, "this person gave an e-mail address, phone number or login in this browser"),
    Evidence.LINK: Worth(60, 0.92, "this browser opened a link that we signed for this person"),
    Evidence.KX: Worth(50, 0.9, "this browser opened a Klaviyo link that was sent to this person"),
    Evidence.PROFILE_LINK: Worth(45, 0.85, "this browser opened a link that carries this person's Klaviyo profile ID"),
}

#: Evidence at or above this strength names a person by itself; two such persons on one visitor are a shared device.
STRONG = WORTH[Evidence.FORM].strength

RECOGNISED = {
    Recognition.DIRECT: (1.0, ""),
    Recognition.COOKIE: (0.99, "recognised by our signed first-party cookie"),
    Recognition.MIRROR: (0.98, "its cookie was gone, recognised by the signed copy in the browser's storage"),
    Recognition.HANDLE: (0.97, "named by the handle that the tag put into the cart"),
    Recognition.NEW: (0.99, "still on its first visit"),
    Recognition.ANONYMOUS_ID: (0.99, "named by the shop's server"),
    Recognition.SDK: (0.98, "recognised by the random ID that the SDK keeps in the browser"),
    Recognition.NONE: (1.0, ""),
}
