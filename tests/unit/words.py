"""Calls as they come in, with everything that a test does not name at its plainest."""

from typing import Any

from relay.model import Commerce, Message, Order, Product

PAGE = "https://shop.example/products/lamp?variant=7"


def track(event: str, properties: dict[str, Any], **fields: Any) -> Message:
    """A track call sent from ``PAGE`` unless the test says otherwise."""
    fields.setdefault("context", {"page": {"url": PAGE}})
    return Message(type="track", message_id="m1", occurred_at=1.0, event=event, properties=properties, **fields)


def call(kind: str, **fields: Any) -> Message:
    """A call of any type."""
    return Message(type=kind, message_id="m1", occurred_at=1.0, **fields)


def product_of(commerce: Commerce) -> Product:
    """The one product of an event that must have one."""
    assert commerce.product is not None
    return commerce.product


def order_of(commerce: Commerce) -> Order:
    """The order of an event that must have one."""
    assert commerce.order is not None
    return commerce.order
