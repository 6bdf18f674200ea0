"""What Klaviyo's own integration with Shopify tells itself: the rule as a table."""

from typing import Any

import pytest

from relay.model import Message
from relay.pipeline.canonical import canonicalise
from relay.pipeline.integration import tells

PIXEL, WEBHOOK, TAG = ["shopify_pixel"], ["shopify_webhook"], ["dataLayer", "shopify"]
#: As the pixel sends it, and as everybody else does.
NESTED, FLAT = {"checkout": {"email": "ann@mail.com", "token": "t-1"}}, {"email": "ann@mail.com"}
PHONE, NOBODY = {"checkout": {"phone": "+12025550123"}}, {"checkout": {"email": None, "phone": "", "token": "t-1"}}


@pytest.mark.parametrize(
    ("event", "properties", "capture", "told"),
    [
        pytest.param("Checkout Started", NESTED, PIXEL, True, id="the pixel, with an address"),
        pytest.param("Checkout Started", PHONE, PIXEL, True, id="the pixel, with a phone"),
        pytest.param("Checkout Started", FLAT, WEBHOOK, True, id="a webhook, with an address"),
        pytest.param("checkout_started", FLAT, PIXEL, True, id="in another vocabulary"),
        pytest.param("Checkout Started", NOBODY, PIXEL, False, id="the pixel, nobody yet"),
        pytest.param("Checkout Started", {}, WEBHOOK, False, id="a webhook, nobody yet"),
        pytest.param("Checkout Started", FLAT, TAG, False, id="the theme"),
        pytest.param("Checkout Started", FLAT, None, False, id="another platform"),
        pytest.param("Checkout Started", FLAT, "shopify_pixel", False, id="a word for a list"),
        pytest.param("Checkout Started", FLAT, [["shopify_pixel"], 7], False, id="a list of anything"),
        pytest.param("Order Completed", NESTED, PIXEL, False, id="an order"),
        pytest.param("Product Added", FLAT, PIXEL, False, id="a cart"),
    ],
)
def test_only_shopifys_checkout_with_an_address_is_the_integrations(
    event: str, properties: dict[str, Any], capture: object, told: bool
) -> None:
    context = {} if capture is None else {"capture": capture}
    message = Message(
        type="track", message_id="m", occurred_at=0.0, event=event, properties=properties, context=context
    )
    assert tells(message, canonicalise(message)) is told
