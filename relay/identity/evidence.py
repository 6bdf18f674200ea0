"""Why a visitor is believed to be a person: classes of evidence, their order, and what they are worth.

The order is the design's (strongest first). ``confidence`` is a prior: the share of ties of this class expected
to name the right person, until the relay has measured its own. Sources: server statements fail only by the
shop's own mistakes; a form is filled in for somebody else now and then (gifts, typing errors); a link of an
e-mail is forwarded now and then (field practice: such links are demoted once many browsers open them).
"""

from enum import StrEnum

from msgspec import Struct


class Evidence(StrEnum):
    """What ties a visitor to a person, strongest first.

    The last three tie one browser's visitor to another's (``identity.traces``): the person is found there.
    """

    ORDER = "order"
    SIGNED_CUSTOMER = "signed_customer"
    SERVER = "server_identify"
    FORM = "form"
    MAILBOX = "mailbox"
    LINK = "link"
    KX = "kx"
    PROFILE_LINK = "profile_link"
    CLIENT_ID = "client_id"
    ANALYTICS = "analytics_id"
    CLICK = "click_id"


class Recognition(StrEnum):
    """How the browser that sent an event was recognised as its visitor."""

    DIRECT = "direct"  #: not needed: the call itself says who made it
    COOKIE = "cookie"
    MIRROR = "mirror"
    HANDLE = "handle"  #: the visitor's handle, which the tag had put into the cart
    CART = "cart"  #: the cart or checkout that a server's call is about was seen in this browser
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
    Evidence.SIGNED_CUSTOMER: Worth(85, 0.998, "Shopify signed that this person is logged in"),
    Evidence.SERVER: Worth(80, 0.995, "the shop's server said who this is"),
    Evidence.FORM: Worth(70, 0.98, "this person gave an e-mail address, phone number or login in this browser"),
    Evidence.MAILBOX: Worth(65, 0.95, "the address of a mailbox that is no person's own was given in this browser"),
    Evidence.LINK: Worth(60, 0.92, "this browser opened a link that we had signed for this person"),
    Evidence.KX: Worth(50, 0.9, "this browser opened a Klaviyo link that was sent to this person"),
    Evidence.PROFILE_LINK: Worth(45, 0.88, "this browser opened a link that names this person's Klaviyo profile"),
    Evidence.CLIENT_ID: Worth(40, 0.97, "it has the shop's own ID of a browser we know"),
    Evidence.ANALYTICS: Worth(35, 0.95, "it has the analytics ID of a browser we know"),
    Evidence.CLICK: Worth(20, 0.9, "an ad's click was handed over to it from an app's browser minutes before"),
}

#: Evidence at or above this strength names a person by itself; two such persons on one visitor are a shared device.
STRONG = WORTH[Evidence.FORM].strength
#: What only says whose link was opened: the recipient's, or somebody's it was forwarded to.
LINKS = frozenset({Evidence.LINK, Evidence.KX, Evidence.PROFILE_LINK})
#: What ties two browsers, not a browser and a person.
BRIDGES = frozenset({Evidence.CLIENT_ID, Evidence.ANALYTICS, Evidence.CLICK})

RECOGNISED = {
    Recognition.DIRECT: (1.0, ""),
    Recognition.COOKIE: (0.99, "recognised by our signed first-party cookie"),
    Recognition.MIRROR: (0.98, "its cookie was gone, recognised by the signed copy in the browser's storage"),
    Recognition.HANDLE: (0.98, "named by the handle that the tag had put into the cart"),
    Recognition.CART: (0.98, "named by the cart that it had filled"),
    Recognition.NEW: (0.99, "still on its first visit"),
    Recognition.ANONYMOUS_ID: (0.99, "named by the shop's server"),
    Recognition.SDK: (0.98, "recognised by the random ID that the SDK keeps in the browser"),
    Recognition.NONE: (1.0, ""),
}
