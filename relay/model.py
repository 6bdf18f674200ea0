"""The words of the house as types. Frozen; nothing here does I/O.

A *message* is one Segment-spec call as received. An *event* is an accepted message in canonical form.
Money is in major units (12.5 means 12.50), times are seconds since the Unix epoch.
"""

from enum import StrEnum
from typing import Any

from msgspec import Struct


class Trust(StrEnum):
    """How far the claims of a caller are believed."""

    BROWSER = "browser"  #: public key and an allowed origin: anybody can make these calls
    SERVER = "server"  #: secret key: the shop itself speaks
    KLAVIYO = "klaviyo"  #: an answer of Klaviyo's, put into the journal by the relay


class Kind(StrEnum):
    """What an event means, whatever its caller named it."""

    PRODUCT_VIEWED = "Product Viewed"
    PRODUCT_ADDED = "Product Added"
    PRODUCT_REMOVED = "Product Removed"
    CART_VIEWED = "Cart Viewed"
    CHECKOUT_STARTED = "Checkout Started"
    ORDER_COMPLETED = "Order Completed"
    ORDER_REFUNDED = "Order Refunded"
    ORDER_CANCELLED = "Order Cancelled"
    PRODUCTS_SEARCHED = "Products Searched"
    COLLECTION_VIEWED = "Product List Viewed"
    PAGE = "page"
    IDENTIFY = "identify"
    SIGNED_OUT = "Signed Out"
    CONSENT_UPDATED = "Consent Updated"  #: the tag's own: a choice was made on the page
    OTHER = "other"  #: no e-commerce meaning known: passed through as it is (group, alias, custom tracks)


#: Events an abandonment flow starts from; an order ends their story.
ABANDONMENT_KINDS = frozenset({Kind.PRODUCT_VIEWED, Kind.PRODUCT_ADDED, Kind.CHECKOUT_STARTED})
#: What is told of an order must stand with its customer: an anonymous copy of it would keep the true one out.
ORDER_KINDS = frozenset({Kind.ORDER_COMPLETED, Kind.ORDER_REFUNDED, Kind.ORDER_CANCELLED})


class DropReason(StrEnum):
    """Why a received message was not kept. Closed list: each is a label of the drop counter."""

    INVALID_MESSAGE = "invalid_message"  #: not an object of the Segment spec, or a field of the wrong type
    TOO_LARGE = "message_too_large"
    TOO_DEEP = "message_too_deep"
    UNKNOWN_TYPE = "unknown_type"
    MISSING_EVENT = "missing_event"
    INVALID_TIMESTAMP = "invalid_timestamp"
    CONSENT = "no_consent"
    BOT = "bot"
    UNKNOWN_TOPIC = "unknown_topic"  #: a webhook about something the relay has no use for
    TEST_ORDER = "test_order"  #: the shop tries out its checkout
    NOTHING_TO_TELL = "nothing_to_tell"  #: a webhook that is understood and says nothing Klaviyo could use
    INVALID_LINK = "invalid_link"  #: a link with a token that is not ours, or too old
    PROCESSING_FAILED = "processing_failed"  #: a fault of ours; the journal keeps the message for a replay
    UNREADABLE = "unreadable"  #: a row of the journal whose bytes are damaged; counts as one message


class Product(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One product, or one line of a cart or an order."""

    product_id: str | None = None
    variant_id: str | None = None
    sku: str | None = None
    name: str | None = None
    variant: str | None = None  #: the variant's own title, as in "Large / Blue"
    brand: str | None = None
    categories: tuple[str, ...] = ()
    price: float | None = None  #: of one piece, after line discounts
    compare_at_price: float | None = None  #: the crossed-out price
    quantity: float = 1
    line_total: float | None = None  #: price of the whole line when the source says it
    url: str | None = None
    image_url: str | None = None
    coupon: str | None = None
    extra: dict[str, Any] = {}  #: fields of the source that have no place above

    @property
    def row_total(self) -> float | None:
        """The price of the whole line: as the source says it, else price times quantity."""
        if self.line_total is not None:
            return self.line_total
        return None if self.price is None else round(self.price * self.quantity, 4)


class Address(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A postal address; ``country`` as the source writes it (name or ISO 3166 code)."""

    first_name: str | None = None
    last_name: str | None = None
    company: str | None = None
    address1: str | None = None
    address2: str | None = None
    city: str | None = None
    region: str | None = None
    country: str | None = None
    zip: str | None = None
    phone: str | None = None
    region_code: str | None = None  #: as in "NY", when the source tells it apart from the name
    country_code: str | None = None  #: ISO 3166-1 alpha-2, when the source tells it apart from the name


class Order(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The parts only an order has."""

    order_id: str | None = None
    refund_id: str | None = None
    subtotal: float | None = None
    shipping: float | None = None
    tax: float | None = None
    discount_value: float | None = None
    discount_codes: tuple[str, ...] = ()
    billing_address: Address | None = None
    shipping_address: Address | None = None


class Commerce(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the canonical step makes of a call: one vocabulary, one product shape."""

    kind: Kind
    name: str  #: canonical name, or the caller's own for Kind.OTHER
    product: Product | None = None  #: the one viewed, added or removed
    items: tuple[Product, ...] = ()  #: the whole cart or order as far as the source knows it
    value: float | None = None  #: cart value, order total, or the value the caller gave
    currency: str | None = None  #: ISO 4217, upper case
    checkout_url: str | None = None
    cart_token: str | None = None
    order: Order | None = None
    email: str | None = None  #: an address the call itself carries (checkout, form), not yet checked
    phone: str | None = None
    properties: dict[str, Any] = {}  #: what the caller sent and nothing above has taken
    cart_value: float | None = None  #: worth of the whole cart, when the source says it or every line has a price
    query: str | None = None  #: the words searched for
    collection: str | None = None  #: name of the list or collection viewed
    collection_id: str | None = None


class KlaviyoState(Struct, frozen=True, omit_defaults=True):
    """What the tag saw of Klaviyo's own script on the page. None means it could not tell."""

    present: bool | None = None
    identified: bool | None = None
    queued: int | None = None  #: entries in Klaviyo's own queue of anonymous events


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One Segment-spec call, decoded and checked, with what the relay knows of its delivery."""

    type: str
    message_id: str
    occurred_at: float  #: corrected for the sender's clock
    event: str | None = None
    name: str | None = None  #: of a page or screen
    user_id: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    traits: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}
    integrations: dict[str, Any] = {}


class DeliveryKind(StrEnum):
    """What a delivery asks of Klaviyo."""

    EVENT = "event"
    PROFILE = "profile"  #: create or update a profile
    LOOKUP = "lookup"  #: whose ``_kx`` is this?
    DELETION = "deletion"  #: forget this person
    LIST_ADD = "list_add"
    LIST_REMOVE = "list_remove"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"


#: What changes the state of a profile: one person's go out one after the other, in the order they were queued, so that
#: a newer state is never overwritten by an older one.
STATE_KINDS = (
    DeliveryKind.PROFILE,
    DeliveryKind.LIST_ADD,
    DeliveryKind.LIST_REMOVE,
    DeliveryKind.SUBSCRIBE,
    DeliveryKind.UNSUBSCRIBE,
)


class Reason(StrEnum):
    """Why a delivery is where it is. Shown to people and sent on each event as ``BackflowReason``."""

    KLAVIYO_ABSENT = "klaviyo_absent"  #: Klaviyo's script was not on the page (blocked, or a server call)
    KLAVIYO_UNIDENTIFIED = "klaviyo_unidentified"  #: Klaviyo's script was there and did not know the visitor
    FORWARD_ALL = "forward_all"  #: the site forwards everything
    ASKED = "asked"  #: the call itself asks for it: a list, a subscription, a property to clear
    NATIVE = "native"  #: Klaviyo handles it itself: its script knew the visitor, or its integration hears of it
    NATIVE_REPLAYED = "native_replayed"  #: Klaviyo learned in time who it was, and sends the event itself
    NO_IDENTITY = "no_identity"  #: nobody yet
    SHARED_DEVICE = "shared_device"  #: two persons on one browser: no guess
    KIOSK = "kiosk"  #: many persons on one browser in a day
    FORWARDED_LINK = "forwarded_link"  #: too many browsers have opened the recipient's links: the mail was passed on
    SHARED_MAILBOX = "shared_mailbox"  #: only a mailbox of several people is known, and their visit is over
    ADDRESS_CORRECTED = "address_corrected"  #: it names an address that the shopper has corrected since
    CLAIM_REFUSED = "claim_refused"  #: it names somebody, from an internet address that names too many
    UNLINKED = "unlinked"  #: it rested on a tie that was taken back
    EVIDENCE_OFF = "evidence_off"  #: this class of evidence has named the wrong person too often in this shop
    IDENTITY_PENDING = "identity_pending"  #: a person, but no address to send to yet
    ANONYMOUS = "anonymous"  #: nobody yet; the site has such events filed under an anonymous ID
    GPC = "gpc"  #: Global Privacy Control
    NOT_FOR_KLAVIYO = "not_for_klaviyo"  #: the caller has switched Klaviyo off for this call
    UNPROVEN = "unproven"  #: asked for a person whom the call does not name, or by a browser for a foreign address
    HISTORY = "history"  #: an import tells the past: joining a list now would start its flows
    SHADOW = "shadow"  #: the site sends no profile updates while it only watches
    UNSENDABLE = "unsendable"  #: the person has no address left to send to
    CONSENT_WITHDRAWN = "consent_withdrawn"
    FORGOTTEN = "forgotten"  #: the person asked to be forgotten
    TOO_OLD = "too_old"  #: nobody was found within the waiting window
    NO_READ_SCOPE = "no_read_scope"  #: the key may not read profiles: a link cannot be looked up
    EVENT_NOT_ALLOWED = "event_not_allowed"  #: the site's lists of events keep it here
    METRIC_NOT_ALLOWED = "metric_not_allowed"  #: a name outside of the site's list of metrics
    METRIC_LIMIT = "metric_limit"  #: the account has nearly as many metrics as Klaviyo allows
    CREATION_DISABLED = "profile_creation_disabled"  #: the site creates no profiles, and Klaviyo has none for them
    UPDATE_DISABLED = "profile_update_disabled"  #: the site updates no profiles, and Klaviyo has one
    NOT_A_MEMBER = "not_a_member"  #: of the list to be taken off: unsubscribing there would unsubscribe everywhere
    STALE_OPT_IN = "stale_opt_in"  #: the person has unsubscribed since they had opted in
    REFUSED = "refused"  #: Klaviyo answered with a final 4xx
    RETRIES_EXHAUSTED = "retries_exhausted"
    UNREADABLE = "unreadable"  #: what is kept of it, or of its person, is damaged


class Recipient(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom Klaviyo shall file an event under, frozen when a delivery is first claimed.

    A retry must name the same profile as the first try: Klaviyo recognises a repeated event by
    profile, metric and ``unique_id`` together.
    """

    klaviyo_id: str | None = None
    email: str | None = None
    phone_number: str | None = None  #: E.164
    kx: str | None = None  #: Klaviyo's exchange ID, sent as ``_kx`` when nothing better is known
    external_id: str | None = None  #: the shop's own ID of the customer, where the site sends it
    anonymous_id: str | None = None  #: the visitor's, where the site sends it; in events only
    traits: dict[str, Any] = {}  #: Segment traits of the person: firstName, lastName, address, custom ones, ...


class ProfilePatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a call asks of a profile's properties beyond setting them; the payload of a PROFILE delivery."""

    append: dict[str, Any] = {}  #: values to add to arrays
    unappend: dict[str, Any] = {}  #: values to take out of arrays
    unset: tuple[str, ...] = ()  #: properties to clear


class ListChange(Struct, frozen=True, kw_only=True):
    """The payload of LIST_ADD and LIST_REMOVE."""

    list_id: str


class SubscriptionChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The payload of SUBSCRIBE and UNSUBSCRIBE: marketing only."""

    channels: tuple[str, ...]  #: of ``email`` and ``sms``
    consented_at: float  #: when the person said so
    list_id: str | None = None
    source: str | None = None  #: where the person said so, as it shall stand in Klaviyo
    historical: bool = False  #: said long ago elsewhere: no double opt-in, no list flows


class Proof(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a backup event is sent: travels on the event itself."""

    reason: Reason
    evidence: str  #: the chain in words, strongest sign first
    confidence: float  #: 0 to 1, of the weakest step in the chain


class Action(Struct, frozen=True):
    """One metric an event becomes; an order becomes several."""

    key: str  #: ``added_to_cart``, ``placed_order``, ``ordered_product``: names the action in ``unique_id``
    metric: str  #: the metric's name without the site's suffix
    line: int | None = None  #: index into ``Commerce.items`` for an ordered product
    item: str | None = None  #: what names that line within its order, for ``unique_id``


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event as it is stored: all that mapping it to Klaviyo needs."""

    commerce: Commerce
    page_url: str | None = None
