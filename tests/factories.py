"""One of each thing of the relay, with a default for every field: a test names only what it is about.

Everything happens at ``NOW`` on the site ``shop`` unless a test says otherwise. IDs count up, so no two are alike.
"""

import itertools
from typing import Any

import msgspec
from msgspec import Raw

from relay.config import Secret, Settings, Site
from relay.delivery.states import State
from relay.model import Commerce, DeliveryKind, Kept, Kind, Product, Reason, Recipient, Trust
from relay.pipeline.parse import Received
from relay.store.rows import Draft, Entry, StoredEvent

NOW = 1_800_000_000.0
DAY = 86_400.0
ORIGIN = "https://shop.example"
PUBLIC_KEY = "public-key"
SERVER_KEY = "server-key-of-the-shop"
SIGNING_KEY = "a-signing-key-for-tests"
#: What a store is opened with beside its place: the signing keys, and the sites.
KEYS = ((Secret(SIGNING_KEY),), ("shop", "other", "third"))

_numbers = itertools.count(1)


def uuid4() -> str:
    """A version 4 UUID as the tag makes them; a new one each time."""
    return f"{next(_numbers):08x}-0000-4000-8000-000000000000"


_SITE = Site(
    site_id="shop",
    write_key=PUBLIC_KEY,
    server_key=Secret(SERVER_KEY),
    allowed_origins=frozenset({ORIGIN}),
    klaviyo_api_key=Secret("pk_of_the_tests"),
)


def site(**changes: Any) -> Site:
    return msgspec.structs.replace(_SITE, **changes)


def settings(**changes: Any) -> Settings:
    return msgspec.structs.replace(Settings(secret_keys=(Secret(SIGNING_KEY),), sites=(site(),)), **changes)


def call(**changes: Any) -> dict[str, Any]:
    """A Segment message as a caller writes it; a field set to ``...`` is left out."""
    message = {
        "type": "track",
        "event": "Product Added",
        "messageId": uuid4(),
        "timestamp": "2027-01-15T08:00:00.000Z",
        "properties": {"product_id": "7", "price": 20, "currency": "EUR"},
    } | changes
    return {name: value for name, value in message.items() if value is not ...}


def received(**changes: Any) -> Received:
    message_id = changes.pop("message_id", None) or uuid4()
    body = Raw(msgspec.json.encode(call(messageId=message_id)))
    default = Received(type="track", message_id=message_id, occurred_at=NOW, body=body)
    return msgspec.structs.replace(default, **changes)


def entry(**changes: Any) -> Entry:
    default = Entry(
        site_id="shop",
        received_at=NOW,
        trust=Trust.BROWSER,
        messages=[received()],
        visitor_id="visitor",
        recognition="cookie",
        ip="203.0.113.7",
        user_agent="Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/131.0.0.0 Safari/537.36",
    )
    return msgspec.structs.replace(default, **changes)


def kept(**changes: Any) -> bytes:
    commerce = Commerce(kind=Kind.PRODUCT_ADDED, name="Product Added", product=Product(product_id="7", price=20.0))
    return msgspec.json.encode(msgspec.structs.replace(Kept(commerce=commerce), **changes))


def stored_event(**changes: Any) -> StoredEvent:
    default = StoredEvent(
        site_id="shop",
        source=Trust.BROWSER,
        message_id=uuid4(),
        visitor_id="visitor",
        kind=Kind.PRODUCT_ADDED,
        name="Product Added",
        occurred_at=NOW,
        received_at=NOW,
        body=kept(),
    )
    return msgspec.structs.replace(default, **changes)


def draft(**changes: Any) -> Draft:
    """A delivery that is ready and due now."""
    default = Draft(
        site_id="shop",
        kind=DeliveryKind.EVENT,
        unique_id=f"added_to_cart:{uuid4()}",
        state=State.READY,
        reason=Reason.KLAVIYO_ABSENT,
        cause=Reason.KLAVIYO_ABSENT,
        occurred_at=NOW,
        created_at=NOW,
        due_at=NOW,
        commerce_kind=Kind.PRODUCT_ADDED,
        metric="Added to Cart",
        action="added_to_cart",
        visitor_id="visitor",
        person_id="person",
        evidence="recognised by our signed first-party cookie",
        confidence=0.98,
    )
    return msgspec.structs.replace(default, **changes)


def recipient(**changes: Any) -> Recipient:
    return msgspec.structs.replace(Recipient(email="jane@shop.example"), **changes)
