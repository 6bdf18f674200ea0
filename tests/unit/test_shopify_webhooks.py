"""Shopify's webhooks in Segment's words: what each becomes, whom it names, and whom it must not name."""

from typing import Any

import msgspec
import pytest

from relay.identity.claims import claims
from relay.identity.identifiers import IdentifierKind
from relay.klaviyo import mapping
from relay.model import DropReason, Kind, Message, Trust
from relay.pipeline.canonical import canonicalise
from relay.pipeline.instructions import instructions
from relay.pipeline.parse import read_body
from relay.pipeline.shopify_webhooks import Told, handle_of, translate
from relay.web.intake import received
from tests import shopify
from tests.factories import NOW

HANDLE = "a-handle"


def told(topic: str, payload: dict[str, Any], **changes: Any) -> Told:
    default: dict[str, Any] = {"webhook_id": "w1", "now": NOW}
    return translate(topic, payload, **(default | changes))


def messages(topic: str, payload: dict[str, Any], **changes: Any) -> list[Message]:
    """As the processor reads them."""
    return [read_body(received(message, at)) for message, at in told(topic, payload, **changes).messages]


def only(topic: str, payload: dict[str, Any], **changes: Any) -> Message:
    (message,) = messages(topic, payload, **changes)
    return message


def named(message: Message) -> dict[str, str]:
    """The identifiers that a message claims, by kind."""
    found = claims(message, canonicalise(message), Trust.SERVER, None)
    assert found.refused == ()
    return {identifier.kind.value: identifier.value for identifier in found.identifiers}


# --- an order -------------------------------------------------------------------------------------------------------


def test_an_order_is_a_placed_order_with_everything_klaviyo_shows() -> None:
    message = only("orders/create", shopify.order())
    commerce = canonicalise(message)
    assert (message.message_id, commerce.kind) == ("shopify:w1", Kind.ORDER_COMPLETED)
    assert (commerce.value, commerce.currency) == (54.5, "AUD")
    assert commerce.order is not None
    assert (commerce.order.order_id, commerce.order.subtotal) == ("2998557704341", 40.0)
    assert (commerce.order.shipping, commerce.order.tax, commerce.order.discount_value) == (10.0, 4.5, 5.0)
    assert commerce.order.discount_codes == ("WELCOME",)
    assert commerce.order.shipping_address is not None
    assert (commerce.order.shipping_address.city, commerce.order.shipping_address.region_code) == ("Canberra", "ACT")
    (item,) = commerce.items
    assert (item.product_id, item.variant_id, item.sku) == ("6122640146581", "37319198802069", None)
    assert (item.name, item.variant, item.brand) == ("Classic Fountain Pen", "Fine / Bordeaux", "Kaweco")
    assert (item.price, item.quantity, item.row_total) == (22.5, 2.0, 45.0)
    assert message.occurred_at == NOW - 60


def test_an_order_says_who_bought() -> None:
    message = only("orders/create", shopify.order(phone="+12025550123"))
    assert named(message) == {"email": "ann@mail.com", "customer_id": "4206822293653", "phone": "+12025550123"}
    found = claims(message, canonicalise(message), Trust.SERVER, None)
    assert (found.is_author, found.traits) == (True, {"firstName": "Ann", "lastName": "Lee"})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"email": "gift@mail.com", "contact_email": "gift@mail.com"},
            {"email": "gift@mail.com"},
            id="on the account of somebody else: the account's ID, phone and names are not theirs",
        ),
        pytest.param(
            {"email": "ANN@mail.com"},
            {"email": "ann@mail.com", "customer_id": "4206822293653", "phone": "+12025550123"},
            id="letter case makes no other person",
        ),
        pytest.param(
            {"email": None, "contact_email": None},
            {"email": "ann@mail.com", "customer_id": "4206822293653", "phone": "+12025550123"},
            id="the customer's address where the order has none",
        ),
        pytest.param({"email": "ann@mail.com", "customer": None}, {"email": "ann@mail.com"}, id="a guest"),
        pytest.param({"email": "", "contact_email": None, "customer": None}, {}, id="no address at all"),
        pytest.param(
            {
                "shipping_address": shopify.address(first_name="Bob", phone="+12025550199"),
                "billing_address": shopify.address(phone="+12025550198"),
            },
            {"email": "ann@mail.com", "customer_id": "4206822293653", "phone": "+12025550123"},
            id="a gift: whom the parcel is for is nobody's identifier",
        ),
        pytest.param(
            {
                "email": None,
                "contact_email": None,
                "customer": None,
                "shipping_address": shopify.address(phone="+1202"),
            },
            {},
            id="nor is it where nothing else is said",
        ),
    ],
)
def test_whom_an_order_names(changes: dict[str, Any], expected: dict[str, str]) -> None:
    payload = shopify.order(customer=shopify.customer(phone="+12025550123")) | changes
    message = only("orders/create", payload)
    assert named(message) == expected
    names = claims(message, canonicalise(message), Trust.SERVER, None).traits
    assert names == ({"firstName": "Ann", "lastName": "Lee"} if "customer_id" in expected else {})


def test_a_buyer_who_accepts_marketing_is_not_subscribed_by_that() -> None:
    message = only("orders/create", shopify.order())
    asked = instructions(message, claims(message, canonicalise(message), Trust.SERVER, None), Trust.SERVER, "LIST01")
    assert (asked.subscribe, asked.joins, asked.patch) == (None, None, None)
    assert "marketing" not in msgspec.json.encode(message).decode()


def test_secrets_and_network_addresses_of_the_buyer_stay_out() -> None:
    text = msgspec.json.encode(only("orders/create", shopify.order())).decode()
    for word in ("a-secret-of-the-buyer", "203.0.113.7", "ring twice", "Mozilla"):
        assert word not in text


@pytest.mark.parametrize("order_id", [2998557704341, "2998557704341", "gid://shopify/Order/2998557704341"], ids=str)
def test_the_webhook_the_pixel_and_a_server_report_one_order(order_id: object) -> None:
    """Klaviyo knows the order by its ID, however it is written."""
    webhook = canonicalise(only("orders/create", shopify.order()))
    other = canonicalise(
        Message(
            type="track",
            message_id="another",
            occurred_at=NOW,
            event="Order Completed",
            properties={
                "checkout": {
                    "order": {"id": order_id},
                    "lineItems": [{"title": "Classic Fountain Pen", "quantity": 2, "variant": {"id": 37319198802069}}],
                }
            },
        )
    )
    ids = [
        [mapping.unique_id(action, message_id, commerce) for action in mapping.actions(commerce)]
        for message_id, commerce in (("shopify:w1", webhook), ("another", other))
    ]
    assert ids[0] == ids[1]


def test_what_was_taken_off_a_line_is_not_its_price() -> None:
    payload = shopify.order(line_items=[shopify.line(discount_allocations=[{"amount": "5.00"}])])
    (item,) = canonicalise(only("orders/create", payload)).items
    assert (item.price, item.row_total) == (22.5, 40.0)


def test_an_order_brought_in_from_elsewhere_was_placed_when_it_was() -> None:
    payload = shopify.order(processed_at="2025-03-01T10:00:00Z")
    assert only("orders/create", payload).occurred_at == 1_740_823_200.0


@pytest.mark.parametrize("times", [{"created_at": "2099-01-01T00:00:00Z"}, {"created_at": None}, {"created_at": "?"}])
def test_an_order_is_never_of_the_future(times: dict[str, Any]) -> None:
    assert only("orders/create", shopify.order(**times, processed_at=None)).occurred_at == NOW


def test_a_test_order_is_told_to_nobody() -> None:
    assert told("orders/create", shopify.order(test=True)) == Told(drop=DropReason.TEST_ORDER)


def test_a_cancelled_order_is_that_of_its_buyer() -> None:
    message = only("orders/cancelled", shopify.order(cancelled_at="2027-01-15T08:00:00Z", cancel_reason="customer"))
    commerce = canonicalise(message)
    assert (commerce.kind, commerce.properties["cancel_reason"]) == (Kind.ORDER_CANCELLED, "customer")
    assert named(message)["email"] == "ann@mail.com"
    (action,) = mapping.actions(commerce)
    assert mapping.unique_id(action, message.message_id, commerce) == "backflow:cancelled_order:2998557704341"


# --- whose browser it was -------------------------------------------------------------------------------------------

NOT_A_SHOPPERS = [
    pytest.param({"source_name": "pos"}, id="a point of sale"),
    pytest.param({"source_name": "shopify_draft_order"}, id="a draft order"),
    pytest.param({"source_name": "subscription_contract"}, id="a subscription's next order"),
    pytest.param({"source_name": "subscription_contract_checkout_one"}, id="the same, by its newer name"),
    pytest.param({"source_name": "2329312"}, id="another app"),
    pytest.param({"source_name": "iphone"}, id="the shop's own telephone"),
    pytest.param({"user_id": 548380009}, id="made by staff"),
    pytest.param({"location_id": 5}, id="at a location"),
    pytest.param({"device_id": 7}, id="on a till"),
]


@pytest.mark.parametrize("topic", ["orders/create", "orders/cancelled", "checkouts/create", "checkouts/update"])
def test_the_handle_in_the_cart_names_the_visitor(topic: str) -> None:
    payload = shopify.checkout() if topic.startswith("checkouts") else shopify.order()
    assert handle_of(topic, shopify.with_handle(payload, HANDLE)) == HANDLE
    assert handle_of(topic, payload) is None


@pytest.mark.parametrize("changes", NOT_A_SHOPPERS)
def test_what_no_shopper_did_names_no_visitor_and_is_told(changes: dict[str, Any]) -> None:
    payload = shopify.with_handle(shopify.order(**changes), HANDLE)
    assert handle_of("orders/create", payload) is None
    message = only("orders/create", payload)
    assert "shopify" not in message.context
    assert canonicalise(message).cart_token is None
    assert named(message)["email"] == "ann@mail.com"
    assert canonicalise(message).kind is Kind.ORDER_COMPLETED


@pytest.mark.parametrize(
    "attributes",
    [None, [], {}, "x", [1], [{"name": "_backflow"}], [{"name": "_backflow", "value": 7}], [{"key": "_backflow"}]],
    ids=str,
)
def test_attributes_of_any_shape_are_read_or_passed_over(attributes: object) -> None:
    assert handle_of("orders/create", shopify.order(note_attributes=attributes)) is None


def test_the_tokens_of_cart_and_checkout_travel_for_whoever_can_join_them() -> None:
    tokens = {"cartToken": shopify.CART_TOKEN, "checkoutToken": shopify.CHECKOUT_TOKEN}
    assert only("orders/create", shopify.order()).context["shopify"] == tokens
    assert [m.context["shopify"] for m in messages("checkouts/create", shopify.checkout())] == [tokens, tokens]
    keyed = shopify.order(cart_token=f"{shopify.CART_TOKEN}?key=secret", checkout_token=None)
    assert only("orders/create", keyed).context["shopify"] == {"cartToken": shopify.CART_TOKEN}


# --- a checkout -----------------------------------------------------------------------------------------------------


def test_a_checkout_says_who_and_what() -> None:
    identify, track = messages("checkouts/create", shopify.checkout())
    commerce = canonicalise(track)
    assert (identify.type, identify.message_id) == ("identify", "shopify:w1")
    assert (track.message_id, commerce.kind) == (f"checkout-{shopify.CHECKOUT_TOKEN}", Kind.CHECKOUT_STARTED)
    assert commerce.checkout_url == shopify.checkout()["abandoned_checkout_url"]
    assert (commerce.value, commerce.currency, len(commerce.items)) == (45.0, "AUD", 1)
    assert commerce.cart_token == shopify.CART_TOKEN
    assert named(identify) == named(track) == {"email": "ann@mail.com", "customer_id": "4206822293653"}
    assert track.occurred_at == NOW - 120


def test_a_changed_checkout_is_the_same_event() -> None:
    first = messages("checkouts/create", shopify.checkout())
    later = messages("checkouts/update", shopify.checkout(total_price="90.00"), webhook_id="w2")
    assert first[1].message_id == later[1].message_id
    assert first[0].message_id != later[0].message_id


@pytest.mark.parametrize(
    ("changes", "is_visitor_known", "n"),
    [
        pytest.param({"email": None, "customer": None}, False, 0, id="nobody to be found by it yet"),
        pytest.param({"email": None, "customer": None}, True, 1, id="by the visitor alone"),
        pytest.param({"email": None, "customer": None, "phone": "+12025550123"}, False, 2, id="by a phone"),
        pytest.param({"completed_at": "2027-01-15T07:59:00Z"}, True, 0, id="it has become an order"),
        pytest.param({"token": None}, True, 0, id="without its token it would be another one each time"),
    ],
)
def test_when_a_checkout_is_told(changes: dict[str, Any], is_visitor_known: bool, n: int) -> None:
    found = told("checkouts/update", shopify.checkout(**changes), is_visitor_known=is_visitor_known)
    assert len(found.messages) == n
    assert (found.drop is DropReason.NOTHING_TO_TELL) is (n == 0)


def test_a_checkout_on_somebody_elses_account_does_not_take_it_over() -> None:
    for message in messages("checkouts/update", shopify.checkout(email="bob@mail.com")):
        assert named(message) == {"email": "bob@mail.com"}
        assert "firstName" not in message.traits


# --- consent --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "needs_signal", "is_visitor_known", "is_told"),
    [
        ("checkouts/create", False, False, True),
        ("checkouts/create", True, False, False),
        ("checkouts/update", True, False, False),
        ("checkouts/create", True, True, True),
        ("orders/create", True, False, True),
        ("orders/cancelled", True, False, True),
    ],
)
def test_where_a_signal_is_needed_the_handle_is_one(
    topic: str, needs_signal: bool, is_visitor_known: bool, is_told: bool
) -> None:
    """A checkout may start a flow; an order ends them."""
    payload = shopify.checkout() if topic.startswith("checkouts") else shopify.order()
    found = told(topic, payload, needs_signal=needs_signal, is_visitor_known=is_visitor_known)
    assert bool(found.messages) is is_told
    assert found.drop is (None if is_told else DropReason.CONSENT)


# --- refunds, merges, requests, the rest -----------------------------------------------------------------------------


def test_a_refund_is_told_with_what_went_back() -> None:
    message = only("refunds/create", shopify.refund())
    commerce = canonicalise(message)
    assert (commerce.kind, commerce.value, commerce.currency) == (Kind.ORDER_REFUNDED, 22.5, "AUD")
    assert commerce.order is not None
    assert (commerce.order.order_id, commerce.order.refund_id) == ("2998557704341", "890088186047892319")
    assert [(item.name, item.quantity) for item in commerce.items] == [("Classic Fountain Pen", 1.0)]
    assert "damaged" not in msgspec.json.encode(message).decode()


@pytest.mark.parametrize(
    ("transaction", "reason"),
    [
        (None, DropReason.NOTHING_TO_TELL),
        ({"kind": "refund", "status": "failure", "amount": "5.00"}, DropReason.NOTHING_TO_TELL),
        ({"kind": "void", "status": "success", "amount": "5.00"}, DropReason.NOTHING_TO_TELL),
        ({"kind": "refund", "status": "success", "amount": "0.00"}, DropReason.NOTHING_TO_TELL),
        ({"kind": "refund", "status": "success", "amount": "5.00", "test": True}, DropReason.TEST_ORDER),
    ],
    ids=str,
)
def test_where_no_money_went_back_there_was_no_refund(transaction: dict[str, Any] | None, reason: DropReason) -> None:
    payload = shopify.refund(transactions=[transaction] if transaction else [])
    assert told("refunds/create", payload) == Told(drop=reason)


def test_a_merge_says_that_two_ids_are_one_customer() -> None:
    message = only("customers/merge", shopify.merged())
    assert (message.type, message.user_id, message.previous_id) == ("alias", "4206822293653", "77")
    found = claims(message, canonicalise(message), Trust.SERVER, None)
    assert found.former is not None
    assert (found.former.kind, found.former.value) == (IdentifierKind.CUSTOMER_ID, "77")
    assert found.is_merge
    assert not claims(message, canonicalise(message), Trust.BROWSER, None).is_merge


@pytest.mark.parametrize(
    "changes",
    [
        {
            "status": "failed",
            "errors": [{"customer_ids": [1], "field": "merge_in_progress", "message": "1 is merging"}],
        },
        {"status": "in_progress"},
        {"admin_graphql_api_customer_deleted_id": None},
        {"admin_graphql_api_customer_deleted_id": "gid://shopify/Customer/4206822293653"},
    ],
    ids=str,
)
def test_a_merge_that_did_not_happen_says_nothing(changes: dict[str, Any]) -> None:
    assert told("customers/merge", shopify.merged(**changes)) == Told(drop=DropReason.NOTHING_TO_TELL)


@pytest.mark.parametrize("topic", ["customers/redact", "customers/data_request", "shop/redact"])
def test_a_request_is_no_event(topic: str) -> None:
    payload = shopify.redacted() if topic.startswith("customers") else {"shop_id": 1, "shop_domain": shopify.DOMAIN}
    ((message, at),) = told(topic, payload).messages
    subject = {"email": "ann@mail.com", "phone": "+12025550123", "customer_id": "4206822293653"}
    assert (message["type"], message["event"], at) == ("privacy", topic, NOW)
    assert message["traits"] == (subject if topic.startswith("customers") else {})


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("app/uninstalled", DropReason.NOTHING_TO_TELL),
        ("products/update", DropReason.UNKNOWN_TOPIC),
        ("orders/updated", DropReason.UNKNOWN_TOPIC),
        ("carts/update", DropReason.UNKNOWN_TOPIC),
        ("no such thing", DropReason.UNKNOWN_TOPIC),
    ],
)
def test_what_the_relay_has_no_use_for_is_counted(topic: str, reason: DropReason) -> None:
    assert told(topic, {"id": 1}) == Told(drop=reason)


@pytest.mark.parametrize(
    "topic",
    ["orders/create", "orders/cancelled", "checkouts/create", "refunds/create", "customers/merge", "customers/redact"],
)
@pytest.mark.parametrize("value", [None, 7, "x", [], [1], {}, {"a": 1}, True, 1.5e300, "\ud7ff"], ids=repr)
def test_no_payload_breaks_the_translation(topic: str, value: object) -> None:
    for base in (shopify.order(), shopify.checkout(), shopify.refund()):
        for payload in ({}, dict.fromkeys(base, value), *({**base, name: value} for name in base)):
            for message in messages(topic, payload, is_visitor_known=True):
                canonicalise(message)
