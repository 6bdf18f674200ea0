"""The mapping: what Klaviyo is told of an event, under which metric, and how a repeat is recognised."""

import copy
import json
from typing import Any

import msgspec
import pytest

from relay.config import OrderEvent, PageEvents
from relay.identity.claims import claims
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.klaviyo.links import page_link, shop_link
from relay.klaviyo.mapping import STANDARD_METRICS, actions, event_body, metric_name, unique_id
from relay.model import Action, Address, Commerce, Kind, Message, Order, Product, Proof, Reason, Recipient, Trust
from relay.pipeline.canonical import canonicalise
from relay.pipeline.instructions import instructions, of_the_person

ADA = Recipient(email="ada@shop.example")
PROOF = Proof(reason=Reason.KLAVIYO_UNIDENTIFIED, evidence="checkout e-mail, then cookie", confidence=0.95)
BACKFLOW = {
    "BackflowReason": "klaviyo_unidentified",
    "BackflowEvidence": "checkout e-mail, then cookie",
    "BackflowConfidence": 0.95,
}
LAMP = Product(
    product_id="p1", variant_id="v7", sku="LAMP-7", name="Lamp", variant="Brass", brand="Lumen",
    categories=("Lighting", "Sale"), price=12.5, compare_at_price=15.0, quantity=2.0,
    url="https://shop.example/lamp", image_url="https://cdn.example/lamp.jpg",
)  # fmt: skip
BULB = Product(
    product_id="p2", sku="BULB", name="Bulb", brand="Lumen", categories=("Lighting",), price=4.0, quantity=1.5
)
LAMP_ITEM = {
    "ProductID": "p1", "SKU": "LAMP-7", "ProductName": "Lamp", "Quantity": 2, "ItemPrice": 12.5, "RowTotal": 25.0,
    "ProductURL": "https://shop.example/lamp", "ImageURL": "https://cdn.example/lamp.jpg",
    "ProductCategories": ["Lighting", "Sale"], "Brand": "Lumen", "VariantID": "v7", "VariantName": "Brass",
    "CompareAtPrice": 15.0,
}  # fmt: skip
BULB_ITEM = {
    "ProductID": "p2", "SKU": "BULB", "ProductName": "Bulb", "Quantity": 1.5, "ItemPrice": 4.0, "RowTotal": 6.0,
    "ProductCategories": ["Lighting"], "Brand": "Lumen",
}  # fmt: skip
LAMP_PROPERTIES = {
    "ProductName": "Lamp", "ProductID": "p1", "SKU": "LAMP-7", "Price": 12.5, "CompareAtPrice": 15.0,
    "ImageURL": "https://cdn.example/lamp.jpg", "URL": "https://shop.example/lamp", "Brand": "Lumen",
    "Categories": ["Lighting", "Sale"], "VariantID": "v7", "VariantName": "Brass", "Currency": "EUR",
}  # fmt: skip
CART_PROPERTIES = {
    "Items": [LAMP_ITEM, BULB_ITEM], "ItemNames": ["Lamp", "Bulb"], "Categories": ["Lighting", "Sale"],
    "Brands": ["Lumen"], "Currency": "EUR",
}  # fmt: skip


def body(commerce: Commerce, action: Action | None = None, **fields: Any) -> dict[str, Any]:
    """The attributes of an event's body, with everything that a test does not name at its plainest."""
    plain: dict[str, Any] = {
        "recipient": ADA, "proof": PROOF, "occurred_at": 1795000000.75, "unique_id": "u1", "suffix": " - Backup Flow",
        "backfill": False, "page_url": None,
    }  # fmt: skip
    action = action or actions(commerce)[0]
    sent = event_body(commerce=commerce, action=action, **(plain | fields))
    assert sent.keys() == {"data"}
    assert sent["data"]["type"] == "event"
    attributes: dict[str, Any] = sent["data"]["attributes"]
    return attributes


def properties(commerce: Commerce, action: Action | None = None, **fields: Any) -> dict[str, Any]:
    """The properties of an event's body without Backflow's own, which are checked on the way."""
    found: dict[str, Any] = body(commerce, action, **fields)["properties"]
    assert {key: found.pop(key) for key in BACKFLOW} == BACKFLOW
    return found


def other(name: str, **sent: Any) -> Commerce:
    return Commerce(kind=Kind.OTHER, name=name, properties=sent)


# --- metrics ----------------------------------------------------------------------------------------------------------

METRICS = {
    Kind.PRODUCT_VIEWED: [("viewed_product", "Viewed Product")],
    Kind.PRODUCT_ADDED: [("added_to_cart", "Added to Cart")],
    Kind.PRODUCT_REMOVED: [("removed_from_cart", "Removed from Cart")],
    Kind.CART_VIEWED: [("viewed_cart", "Viewed Cart")],
    Kind.CHECKOUT_STARTED: [("started_checkout", "Started Checkout")],
    Kind.ORDER_COMPLETED: [("placed_order", "Placed Order")],
    Kind.ORDER_REFUNDED: [("refunded_order", "Refunded Order")],
    Kind.ORDER_CANCELLED: [("cancelled_order", "Cancelled Order")],
    Kind.PRODUCTS_SEARCHED: [("searched_site", "Searched Site")],
    Kind.COLLECTION_VIEWED: [("viewed_collection", "Viewed Collection")],
    Kind.PAGE: [],
    Kind.IDENTIFY: [],
    Kind.SIGNED_OUT: [],
    Kind.CONSENT_UPDATED: [],
    Kind.OTHER: [("custom", "any")],
}


@pytest.mark.parametrize("kind", Kind, ids=[kind.name.lower() for kind in Kind])
def test_every_kind_has_its_metrics(kind: Kind) -> None:
    found = actions(Commerce(kind=kind, name="any"))
    assert [(action.key, action.metric) for action in found] == METRICS[kind]
    assert all(action.line is None for action in found)


def test_an_order_becomes_one_event_and_one_more_for_each_line() -> None:
    order = Commerce(kind=Kind.ORDER_COMPLETED, name="Order Completed", items=(LAMP, BULB))
    assert actions(order) == (
        Action("placed_order", "Placed Order"),
        Action("ordered_product", "Ordered Product", 0, "v7"),
        Action("ordered_product", "Ordered Product", 1, "p2"),
    )


def test_an_order_may_keep_its_name_and_has_the_same_id_under_both() -> None:
    order = Commerce(kind=Kind.ORDER_COMPLETED, name="Order Completed", items=(LAMP,), order=Order(order_id="1042"))
    placed, completed = actions(order), actions(order, order_event=OrderEvent.ORDER_COMPLETED)
    assert [action.metric for action in completed] == ["Order Completed", "Ordered Product"]
    assert [unique_id(a, "m1", order) for a in placed] == [unique_id(a, "m1", order) for a in completed]


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        (PageEvents.OFF, []),
        (PageEvents.ACTIVE_ON_SITE, [("active_on_site", "Active on Site")]),
        (PageEvents.VIEWED_PAGE, [("viewed_page", "Viewed Page")]),
    ],
)
def test_a_page_becomes_what_the_site_wants(setting: PageEvents, found: list[tuple[str, str]]) -> None:
    page = Commerce(kind=Kind.PAGE, name="Home")
    assert [(action.key, action.metric) for action in actions(page, setting)] == found
    assert actions(Commerce(kind=Kind.IDENTIFY, name=""), setting) == ()


def test_the_standard_metrics_are_all_that_the_relay_names_itself() -> None:
    own = {metric for several in METRICS.values() for _, metric in several} - {"any"}
    assert own | {"Ordered Product", "Order Completed", "Active on Site", "Viewed Page"} == STANDARD_METRICS


def test_a_group_or_alias_call_becomes_no_metric() -> None:
    for kind in ("group", "alias"):
        assert actions(canonicalise(Message(type=kind, message_id="m", occurred_at=1.0))) == ()


@pytest.mark.parametrize(
    ("metric", "suffix", "name"),
    [
        pytest.param("Added to Cart", " - Backup Flow", "Added to Cart - Backup Flow", id="plain"),
        pytest.param("Added to Cart", "", "Added to Cart", id="no-suffix"),
        pytest.param("x" * 113, " - Backup Flow", "x" * 113 + " - Backup Flow", id="just-fits"),
        pytest.param("x" * 114, " - Backup Flow", "x" * 113 + " - Backup Flow", id="cut"),
        pytest.param("x" * 112 + " y", " - Backup Flow", "x" * 112 + " - Backup Flow", id="no-blank-before-the-suffix"),
        pytest.param("a\0b\ud800", "!", "a\ufffdb\ufffd!", id="no-broken-characters"),
    ],
)
def test_the_name_of_a_metric_keeps_its_suffix_whole(metric: str, suffix: str, name: str) -> None:
    assert metric_name(metric, suffix) == name
    assert body(other(metric), suffix=suffix)["metric"] == {"data": {"type": "metric", "attributes": {"name": name}}}
    assert len(name) < 128


# --- unique IDs -------------------------------------------------------------------------------------------------------


def order(*items: Product, order_id: str | None = "1001") -> Commerce:
    return Commerce(
        kind=Kind.ORDER_COMPLETED, name="Order Completed", items=items, order=Order(order_id=order_id), value=31.0,
        currency="EUR",
    )  # fmt: skip


def ids(commerce: Commerce, message_id: str = "m1") -> list[str]:
    return [unique_id(action, message_id, commerce) for action in actions(commerce)]


@pytest.mark.parametrize(
    ("commerce", "expected"),
    [
        pytest.param(other("Own"), ["backflow:custom:m1"], id="custom"),
        pytest.param(
            Commerce(kind=Kind.PRODUCT_ADDED, name="", order=Order(order_id="9")), ["backflow:added_to_cart:m1"],
            id="added",
        ),
        pytest.param(
            Commerce(kind=Kind.CHECKOUT_STARTED, name="", order=Order(order_id="9")), ["backflow:started_checkout:m1"],
            id="checkout",
        ),
        pytest.param(
            order(LAMP, BULB),
            ["backflow:placed_order:1001", "backflow:ordered_product:1001:v7", "backflow:ordered_product:1001:p2"],
            id="order",
        ),
        pytest.param(
            order(LAMP, order_id=None), ["backflow:placed_order:m1", "backflow:ordered_product:m1:v7"],
            id="order-without-id",
        ),
        pytest.param(
            order(BULB, BULB, Product(sku="S"), Product(name="Nameless"), BULB),
            ["backflow:placed_order:1001", "backflow:ordered_product:1001:p2", "backflow:ordered_product:1001:p2:1",
             "backflow:ordered_product:1001:S", "backflow:ordered_product:1001:line-3",
             "backflow:ordered_product:1001:p2:4"],
            id="repeated-lines",
        ),
        pytest.param(
            order(Product(sku="a"), Product(sku="a"), Product(sku="a:1")),
            ["backflow:placed_order:1001", "backflow:ordered_product:1001:a", "backflow:ordered_product:1001:a:1",
             "backflow:ordered_product:1001:a%3A1"],
            id="a-product-named-like-a-repeat",
        ),
    ],
)  # fmt: skip
def test_unique_ids(commerce: Commerce, expected: list[str]) -> None:
    assert ids(commerce) == expected
    assert len(set(ids(commerce))) == len(expected)


@pytest.mark.parametrize(
    ("kind", "about", "expected"),
    [
        (Kind.ORDER_REFUNDED, Order(order_id="1001", refund_id="7"), "backflow:refunded_order:1001:7"),
        (Kind.ORDER_REFUNDED, Order(refund_id="7"), "backflow:refunded_order:7"),
        (Kind.ORDER_REFUNDED, Order(order_id="1001"), "backflow:refunded_order:m1"),
        (Kind.ORDER_REFUNDED, None, "backflow:refunded_order:m1"),
        (Kind.ORDER_CANCELLED, Order(order_id="1001"), "backflow:cancelled_order:1001"),
        (Kind.ORDER_CANCELLED, None, "backflow:cancelled_order:m1"),
    ],
)
def test_an_order_is_cancelled_once_and_may_be_refunded_in_parts(
    kind: Kind, about: Order | None, expected: str
) -> None:
    assert ids(Commerce(kind=kind, name="", items=(LAMP,), order=about)) == [expected]


def test_two_reports_of_one_order_have_the_same_ids_and_two_orders_have_not() -> None:
    assert ids(order(LAMP, LAMP), "browser") == ids(order(LAMP, LAMP), "webhook")
    assert not set(ids(order(LAMP))) & set(ids(order(LAMP, order_id="1002")))
    assert ids(other("Own"), "m1") != ids(other("Own"), "m2")


def test_an_action_put_together_again_from_its_delivery_has_the_same_id() -> None:
    commerce = order(LAMP, LAMP, BULB)
    for action in actions(commerce)[1:]:
        again = Action(action.key, action.metric, action.line)
        assert unique_id(again, "m1", commerce) == unique_id(action, "m1", commerce)


def test_an_endless_or_broken_id_is_made_sendable() -> None:
    long, longer = ids(order(order_id="x" * 5000))[0], ids(order(order_id="x" * 5001))[0]
    assert len(long) < 255
    assert long != longer
    assert ids(order(order_id="a\0\ud800")) == ["backflow:placed_order:a\ufffd\ufffd"]


# --- the property tables ----------------------------------------------------------------------------------------------


def test_viewed_product() -> None:
    viewed = Commerce(kind=Kind.PRODUCT_VIEWED, name="", product=LAMP, value=12.5, currency="EUR")
    assert properties(viewed) == LAMP_PROPERTIES


def test_viewed_product_without_an_address_has_that_of_its_page() -> None:
    viewed = Commerce(kind=Kind.PRODUCT_VIEWED, name="", product=Product(name="Lamp"))
    assert properties(viewed, page_url="https://shop.example/lamp") == {
        "ProductName": "Lamp",
        "URL": "https://shop.example/lamp",
    }
    assert "URL" not in properties(viewed, page_url=None)


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://a.example/p?variant=7&utm_source=x&_kx=abc&gclid=1#top", "https://a.example/p?variant=7"),
        ("https://a.example/p?p=12", "https://a.example/p?p=12"),
        ("https://a.example/p?q=a@b.example&e=a%40b.example", "https://a.example/p"),
        ("https://a.example/p", "https://a.example/p"),
        ("https://[::1/p?x", None),
        (None, None),
    ],
)
def test_a_page_is_linked_without_campaign_click_and_recipient(url: str | None, link: str | None) -> None:
    assert page_link(url) == link


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://a.example/p?variant=7&utm_source=x&_kx=abc&GCLID=1#top", "https://a.example/p?variant=7#top"),
        ("https://a.example/p?_kx=abc", "https://a.example/p"),
        ("https://a.example/p?_kx=abc#93=52", "https://a.example/p#93=52"),
        ("https://a.example/cart/1:2?token=t&note=a?b&checkout[email]=a@b.example", None),  # None: as it is
        ("https://a.example/#/lamp?_kx=abc", "https://a.example/#/lamp"),
        ("https://[::1/p?x", None),
        ("https://a.example/p", None),
    ],
)
def test_what_a_shop_links_itself_keeps_all_but_campaign_and_click(url: str, link: str | None) -> None:
    assert shop_link(url) == (link or url)
    assert shop_link(None) is None


def test_no_link_of_an_event_names_the_mail_by_which_the_shopper_had_come() -> None:
    here = "https://shop.example/lamp?variant=7&_kx=SECRET&bf=TOKEN"
    lamp = msgspec.structs.replace(LAMP, url=here)
    for kind in Kind:
        commerce = Commerce(kind=kind, name="", product=lamp, items=(lamp,), checkout_url=here)
        for action in actions(commerce):
            told = repr(body(commerce, action, page_url=here))
            assert "SECRET" not in told, (kind, action)
            assert "TOKEN" not in told, (kind, action)


ADDED = Commerce(
    kind=Kind.PRODUCT_ADDED, name="", product=LAMP, items=(LAMP, BULB), value=31.0, cart_value=31.0, currency="EUR",
    checkout_url="https://shop.example/checkout", cart_token="c1",
)  # fmt: skip
ADDED_ITEM = {
    "AddedItemProductName": "Lamp", "AddedItemProductID": "p1", "AddedItemSKU": "LAMP-7",
    "AddedItemImageURL": "https://cdn.example/lamp.jpg", "AddedItemURL": "https://shop.example/lamp",
    "AddedItemPrice": 12.5, "AddedItemQuantity": 2, "AddedItemCategories": ["Lighting", "Sale"],
}  # fmt: skip
CART_LINKS = {"CartValue": 31.0, "CheckoutURL": "https://shop.example/checkout", "CartToken": "c1"}


def test_added_to_cart() -> None:
    assert properties(ADDED) == CART_PROPERTIES | LAMP_PROPERTIES | ADDED_ITEM | CART_LINKS | {"Quantity": 2}
    assert body(ADDED)["value"] == 31.0


def test_added_to_cart_without_a_cart_takes_what_was_added_for_it() -> None:
    alone = Commerce(kind=Kind.PRODUCT_ADDED, name="", product=LAMP, value=25.0, currency="EUR")
    found = properties(alone)
    assert (found["Items"], found["ItemNames"]) == ([LAMP_ITEM], ["Lamp"])
    assert found["CartValue"] == body(alone)["value"] == 25.0
    assert "CheckoutURL" not in found
    there = properties(alone, page_url="https://shop.example/products/lamp?utm_source=x")
    assert there["CheckoutURL"] == "https://shop.example/products/lamp"


def test_added_to_cart_takes_the_categories_of_the_cart_when_the_product_has_none() -> None:
    bare = Commerce(kind=Kind.PRODUCT_ADDED, name="", product=Product(sku="X"), items=(LAMP,))
    assert properties(bare)["Categories"] == ["Lighting", "Sale"]


def test_removed_from_cart() -> None:
    removed = Commerce(kind=Kind.PRODUCT_REMOVED, name="", product=LAMP, items=(BULB,), currency="EUR")
    assert properties(removed) == LAMP_PROPERTIES | {
        "Quantity": 2, "Items": [BULB_ITEM], "ItemNames": ["Bulb"], "Brands": ["Lumen"],
    }  # fmt: skip


@pytest.mark.parametrize("kind", [Kind.CART_VIEWED, Kind.CHECKOUT_STARTED])
def test_carts_and_checkouts(kind: Kind) -> None:
    cart = Commerce(
        kind=kind, name="", items=(LAMP, BULB), value=31.0, currency="EUR",
        checkout_url="https://shop.example/checkout", cart_token="c1",
    )  # fmt: skip
    assert properties(cart) == CART_PROPERTIES | CART_LINKS | {"ItemCount": 3.5}


def test_a_checkout_is_resumed_on_its_page_when_it_has_no_address() -> None:
    checkout = Commerce(kind=Kind.CHECKOUT_STARTED, name="")
    url = "https://shop.example/checkouts/cn/1?utm_medium=x"
    assert properties(checkout, page_url=url) == {"CheckoutURL": "https://shop.example/checkouts/cn/1"}
    assert properties(Commerce(kind=Kind.CART_VIEWED, name=""), page_url=url) == {}


HOME = Address(
    first_name="Ada", last_name="L", company="Engines", address1="1 St", address2="Flat 2", city="London",
    region="Greater London", country="GB", zip="N1", phone="+4420",
)  # fmt: skip
PLACED = Commerce(
    kind=Kind.ORDER_COMPLETED, name="", items=(LAMP, BULB), value=36.0, currency="EUR", cart_token="c1",
    order=Order(
        order_id="1001", subtotal=31.0, shipping=5.0, tax=2.5, discount_value=1.0, discount_codes=("HI", "YO"),
        billing_address=HOME, shipping_address=Address(city="New York", region="NY", country="United States"),
    ),
)  # fmt: skip


def test_placed_order() -> None:
    assert properties(PLACED) == CART_PROPERTIES | {
        "OrderID": "1001", "Revenue": 36.0, "ItemCount": 3.5, "DiscountCodes": ["HI", "YO"], "DiscountValue": 1.0,
        "Subtotal": 31.0, "Shipping": 5.0, "Tax": 2.5, "CartToken": "c1",
        "BillingAddress": {
            "FirstName": "Ada", "LastName": "L", "Company": "Engines", "Address1": "1 St", "Address2": "Flat 2",
            "City": "London", "Region": "Greater London", "CountryCode": "GB", "Zip": "N1", "Phone": "+4420",
        },
        "ShippingAddress": {"City": "New York", "RegionCode": "NY", "Country": "United States"},
    }  # fmt: skip


def test_a_checkout_tells_its_amounts_but_no_postal_address() -> None:
    checkout = Commerce(kind=Kind.CHECKOUT_STARTED, name="", order=PLACED.order)
    assert properties(checkout) == {
        "OrderID": "1001", "DiscountCodes": ["HI", "YO"], "DiscountValue": 1.0, "Subtotal": 31.0, "Shipping": 5.0,
        "Tax": 2.5,
    }  # fmt: skip


def test_ordered_product() -> None:
    first, second = actions(PLACED)[1:]
    assert properties(PLACED, first) == {
        "OrderID": "1001", "ProductID": "p1", "SKU": "LAMP-7", "ProductName": "Lamp", "Quantity": 2, "Price": 12.5,
        "RowTotal": 25.0, "ProductURL": "https://shop.example/lamp", "ImageURL": "https://cdn.example/lamp.jpg",
        "Categories": ["Lighting", "Sale"], "Brand": "Lumen", "VariantID": "v7", "VariantName": "Brass",
        "CompareAtPrice": 15.0, "Currency": "EUR",
    }  # fmt: skip
    assert (body(PLACED, first)["value"], body(PLACED, second)["value"]) == (25.0, 6.0)
    assert body(PLACED, first)["value_currency"] == "EUR"


def test_an_ordered_product_carries_its_own_line_and_not_the_order() -> None:
    engraved = Product(sku="X", extra={"engraving": "A.L."})
    placed = Commerce(kind=Kind.ORDER_COMPLETED, name="", items=(engraved,), properties={"gift_note": "hi"})
    assert properties(placed, actions(placed)[1]) == {"SKU": "X", "Quantity": 1, "engraving": "A.L."}
    assert properties(placed) == {
        "Items": [{"SKU": "X", "Quantity": 1, "engraving": "A.L."}], "ItemCount": 1, "gift_note": "hi",
    }  # fmt: skip


def test_a_line_names_its_own_currency() -> None:
    dollars = Product(sku="X", price=5.0, extra={"currency": "USD"})
    placed = Commerce(kind=Kind.ORDER_COMPLETED, name="", items=(dollars,), currency="EUR", value=4.0)
    line = actions(placed)[1]
    assert properties(placed, line)["Currency"] == "USD"
    assert (body(placed, line)["value"], body(placed, line)["value_currency"]) == (5.0, "USD")
    assert body(placed)["value_currency"] == "EUR"


@pytest.mark.parametrize("kind", [Kind.ORDER_REFUNDED, Kind.ORDER_CANCELLED])
def test_refunded_and_cancelled_orders_tell_the_order_but_no_revenue(kind: Kind) -> None:
    order = Order(order_id="1001", refund_id="7", tax=2.5)
    changed = Commerce(kind=kind, name="", items=(LAMP, BULB), value=12.5, currency="EUR", order=order)
    assert properties(changed) == CART_PROPERTIES | {"OrderID": "1001", "RefundID": "7", "Tax": 2.5, "ItemCount": 3.5}
    assert (body(changed)["value"], body(changed)["value_currency"]) == (12.5, "EUR")


def test_a_page_tells_where_it_was() -> None:
    page = Commerce(
        kind=Kind.PAGE, name="Home", properties={"title": "Welcome", "path": "/", "referrer_host": "a.example"}
    )
    (action,) = actions(page, PageEvents.VIEWED_PAGE)
    assert properties(page, action, page_url="https://shop.example/?utm_source=x&p=1") == {
        "PageName": "Home", "PageTitle": "Welcome", "Path": "/", "ReferrerHost": "a.example",
        "URL": "https://shop.example/?p=1",
    }  # fmt: skip
    assert properties(Commerce(kind=Kind.PAGE, name=""), action) == {}


def test_searched_site_and_viewed_collection() -> None:
    searched = Commerce(kind=Kind.PRODUCTS_SEARCHED, name="", query="lamp", items=(LAMP, BULB), currency="EUR")
    assert properties(searched) == CART_PROPERTIES | {"SearchQuery": "lamp"}
    viewed = Commerce(kind=Kind.COLLECTION_VIEWED, name="", collection="Lamps", collection_id="7")
    assert properties(viewed) == {"CollectionName": "Lamps", "CollectionID": "7"}


# --- the body around them ---------------------------------------------------------------------------------------------


def test_the_body_of_an_own_event() -> None:
    assert body(other("Gift Card Bought", amount=5), unique_id="backflow:custom:m1") == {
        "properties": {"amount": 5, **BACKFLOW},
        "time": "2026-11-18T11:06:40Z",
        "unique_id": "backflow:custom:m1",
        "metric": {"data": {"type": "metric", "attributes": {"name": "Gift Card Bought - Backup Flow"}}},
        "profile": {
            "data": {
                "type": "profile",
                "attributes": {
                    "email": "ada@shop.example",
                    "properties": {"BackflowRecoveredBy": PROOF.evidence, "BackflowRecovered": True},
                },
            }
        },
    }


def test_an_event_and_its_profile_share_no_name_of_ours() -> None:
    huge = {f"own_{n}": n for n in range(500)}
    sent = body(other("Own", **huge), recipient=Recipient(email="a@b.example", traits=huge))
    ours = [
        {name for name in held if name.startswith("Backflow")}
        for held in (sent["properties"], sent["profile"]["data"]["attributes"]["properties"])
    ]
    assert ours[0] == BACKFLOW.keys() | {"BackflowTrimmed"}
    assert ours[1] == {"BackflowRecovered", "BackflowRecoveredBy", "BackflowProfileTrimmed"}
    assert ours[0].isdisjoint(ours[1])


def test_without_traits_the_profile_only_says_who_it_is() -> None:
    known = Recipient(email="a@b.example", phone_number="+4420", traits={"firstName": "Ada", "plan": "gold"})
    assert body(ADDED, recipient=known, traits=False)["profile"]["data"] == {
        "type": "profile",
        "attributes": {"email": "a@b.example", "phone_number": "+4420"},
    }


def test_backfill_is_said_only_when_true() -> None:
    assert body(ADDED, backfill=True)["backfill"] is True
    assert "backfill" not in body(ADDED, backfill=False)


@pytest.mark.parametrize(
    ("value", "currency", "expected"),
    [
        pytest.param(31.0, "EUR", {"value": 31.0, "value_currency": "EUR"}, id="both"),
        pytest.param(0.0, "EUR", {"value": 0.0, "value_currency": "EUR"}, id="zero-is-a-value"),
        pytest.param(31.0, None, {"value": 31.0}, id="no-currency"),
        pytest.param(31.0, "XYZ", {"value": 31.0}, id="no-currency-of-this-world"),
        pytest.param(None, "EUR", {}, id="a-currency-of-nothing"),
    ],
)
def test_money_travels_on_the_event(value: float | None, currency: str | None, expected: dict[str, Any]) -> None:
    found = body(Commerce(kind=Kind.CART_VIEWED, name="", value=value, currency=currency))
    assert {key: found[key] for key in ("value", "value_currency") if key in found} == expected


@pytest.mark.parametrize(
    ("seconds", "time"),
    [
        (1795000000.999, "2026-11-18T11:06:40Z"),
        (0.0, "1970-01-01T00:00:00Z"),
        (1e18, None),
    ],
)
def test_the_time_is_utc_to_the_whole_second(seconds: float, time: str | None) -> None:
    assert body(ADDED, occurred_at=seconds).get("time") == time


def test_what_is_not_known_is_absent() -> None:
    nothing: dict[str, Any] = {"a": None, "b": "", "c": [], "d": {}, "e": {"f": None, "g": ""}, "h": [None, "", {}]}
    for kind in (Kind.PRODUCT_VIEWED, Kind.PRODUCT_ADDED, Kind.CHECKOUT_STARTED, Kind.ORDER_COMPLETED, Kind.OTHER):
        assert properties(Commerce(kind=kind, name="x", properties=nothing)) == {}


def test_zero_and_false_are_known() -> None:
    assert properties(other("Own", zero=0, no=False, nil=0.0)) == {"zero": 0, "no": False, "nil": 0.0}


# --- the caller's own properties --------------------------------------------------------------------------------------


def test_own_properties_go_along_but_never_replace_a_mapped_one() -> None:
    viewed = Commerce(
        kind=Kind.PRODUCT_VIEWED, name="", product=LAMP, currency="EUR",
        properties={"ProductName": "Fake", "color": "red", "CompareAtPrice": "99", "ItemNames": ["kept"]},
    )  # fmt: skip
    assert properties(viewed) == LAMP_PROPERTIES | {"color": "red", "ItemNames": ["kept"]}


def test_reserved_names_are_dropped() -> None:
    sent = {"$value": 5, "$event_id": "x", "$extra": {"html": "<b>"}, "": 1, "nested": {"$ok": 1}}
    assert properties(other("Own", **sent)) == {"$extra": {"html": "<b>"}, "nested": {"$ok": 1}}


def test_names_of_the_persons_own_properties_are_avoided() -> None:
    sent = {
        "email": "friend@b.example", "phone_number": "+44", "phone": "1", "external_id": "7", "_kx": "x",
        "title": "Quiz", "location": {"shelf": 3}, "first_name": "Bo", "locale": "en", "user_id": 7, "Title": "kept",
    }  # fmt: skip
    assert properties(other("Own", **sent)) == {
        "event_title": "Quiz", "event_location": {"shelf": 3}, "event_first_name": "Bo", "event_locale": "en",
        "user_id": 7, "Title": "kept",
    }  # fmt: skip
    viewed = Commerce(kind=Kind.PRODUCT_VIEWED, name="", product=LAMP, currency="EUR", properties={"title": "Lamp!"})
    assert properties(viewed) == LAMP_PROPERTIES | {"event_title": "Lamp!"}


FLATTENED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "objects": ({"gift": {"note": {"text": "Hi", "lines": 2}}}, {"gift.note.text": "Hi", "gift.note.lines": 2}),
    "objects-in-lists": (
        {"answers": [{"q": 1, "a": "x"}, {"q": 2}]}, {"answers[0].q": 1, "answers[0].a": "x", "answers[1].q": 2},
    ),
    "plain-lists-stay": ({"tags": ["a", "b"]}, {"tags": ["a", "b"]}),
    "lists-in-objects": ({"quiz": {"tags": ["a"]}}, {"quiz.tags": ["a"]}),
    "a-plain-name-wins": ({"a": {"b": 1}, "a.b": 2}, {"a.b": 2}),
    "a-profiles-name": ({"location": {"city": "Rome"}}, {"event_location.city": "Rome"}),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "expected"), FLATTENED.values(), ids=FLATTENED)
def test_own_objects_are_taken_apart_where_the_site_wants(sent: dict[str, Any], expected: dict[str, Any]) -> None:
    quiz = Commerce(kind=Kind.OTHER, name="Quiz Done", properties=sent)
    assert body(quiz, flatten=True)["properties"] == expected | BACKFLOW


def test_own_objects_stay_whole_by_default() -> None:
    quiz = Commerce(kind=Kind.OTHER, name="Quiz Done", properties={"gift": {"note": "Hi"}})
    assert body(quiz)["properties"] == {"gift": {"note": "Hi"}} | BACKFLOW


def test_flattening_leaves_the_items_of_templates_and_takes_a_profiles_objects_apart() -> None:
    cart = Commerce(kind=Kind.CART_VIEWED, name="Cart Viewed", items=(LAMP,), properties={"gift": {"note": "Hi"}})
    ada = Recipient(email="ada@shop.example", traits={"plan": {"name": "gold"}, "firstName": "Ada"})
    sent = body(cart, recipient=ada, flatten=True)
    assert sent["properties"]["Items"] == [LAMP_ITEM]
    assert sent["properties"]["gift.note"] == "Hi"
    profile = sent["profile"]["data"]["attributes"]
    assert (profile["first_name"], profile["properties"]["plan.name"]) == ("Ada", "gold")


def test_a_large_object_does_not_take_the_place_of_plain_properties() -> None:
    deep = {"deep": {f"n{number}": number for number in range(1000)}, "plain": "kept"}
    held = body(Commerce(kind=Kind.OTHER, name="any", properties=deep), flatten=True)["properties"]
    assert held["plain"] == "kept"
    assert held["BackflowTrimmed"] is True
    assert len(held) <= 400


def test_nobody_speaks_in_the_name_of_backflow() -> None:
    forged = {"BackflowReason": "forward_all", "BackflowConfidence": 1, "BackflowTrimmed": True, "BackflowNew": 1}
    assert properties(other("Own", **forged)) == {}


def test_the_fields_of_a_line_go_along_with_it() -> None:
    line = Product(sku="X", extra={"engraving": "A.L.", "SKU": "fake", "Brand": "own", "gone": None})
    found = properties(Commerce(kind=Kind.CART_VIEWED, name="", items=(line,)))
    assert found["Items"] == [{"SKU": "X", "Quantity": 1, "engraving": "A.L.", "Brand": "own"}]


def test_the_event_is_not_changed() -> None:
    commerce = Commerce(
        kind=Kind.PRODUCT_ADDED, name="", product=LAMP, items=(LAMP, BULB), properties={"a": [1, {"b": "\0"}], "$x": 1}
    )
    recipient = Recipient(email="a@b.example", traits={"address": {"city": "Rome"}, "company": {"name": "X", "id": 1}})
    before = copy.deepcopy((commerce, recipient))
    body(commerce, recipient=recipient)
    assert (commerce, recipient) == before


# --- from the caller's words to Klaviyo's -----------------------------------------------------------------------------

SOURCES = {
    "segment": ("Product Added", {"product_id": "p1", "sku": "S", "name": "Lamp", "price": 12.5, "quantity": 2}),
    "ga4": (
        "add_to_cart",
        {"items": [{"item_id": "p1", "sku": "S", "item_name": "Lamp", "price": 12.5, "quantity": 2}]},
    ),
    "meta": (
        "AddToCart",
        {"contents": [{"id": "p1", "sku": "S", "quantity": 2, "item_price": 12.5}], "content_name": "Lamp"},
    ),
    "shopify": (
        "product_added_to_cart",
        {"data": {"cartLine": {"quantity": 2, "merchandise": {
            "sku": "S", "price": {"amount": 12.5}, "product": {"id": "p1", "title": "Lamp"}}}}},
    ),
    "klaviyo": ("Added to Cart", {"ProductID": "p1", "SKU": "S", "ProductName": "Lamp", "Price": 12.5, "Quantity": 2}),
}  # fmt: skip


@pytest.mark.parametrize(("name", "sent"), SOURCES.values(), ids=SOURCES)
def test_the_same_product_becomes_the_same_event_from_every_source(name: str, sent: dict[str, Any]) -> None:
    commerce = canonicalise(Message(type="track", message_id="m1", occurred_at=1.0, event=name, properties=sent))
    assert [action.metric for action in actions(commerce)] == ["Added to Cart"]
    assert body(commerce)["value"] == 25.0
    assert properties(commerce) == {
        "ProductName": "Lamp", "ProductID": "p1", "SKU": "S", "Price": 12.5, "Quantity": 2,
        "AddedItemProductName": "Lamp", "AddedItemProductID": "p1", "AddedItemSKU": "S", "AddedItemPrice": 12.5,
        "AddedItemQuantity": 2, "ItemNames": ["Lamp"], "CartValue": 25.0,
        "Items": [
            {"ProductID": "p1", "SKU": "S", "ProductName": "Lamp", "Quantity": 2, "ItemPrice": 12.5, "RowTotal": 25.0},
        ],
    }  # fmt: skip


@pytest.mark.parametrize("type_", ["identify", "track", "group"])
def test_no_step_changes_the_message_so_that_the_next_one_misses_something(type_: str) -> None:
    person = {"email": "ada@shop.example", "phone": "+4930901820", "address": {"city": "Rome"}}
    words = {"subscribe": True, "listId": "Y6nRLr", "consent": ["email", "sms"]}
    properties = {"email": "ada@shop.example", "phone": "+4930901820", "customer": {"email": "ada@shop.example"}}
    message = Message(
        type=type_, message_id="m", occurred_at=1.0, event="Order Completed", user_id="7", group_id="Y6nRLr",
        traits=person | {"properties": words}, context={"traits": person},
        properties=properties | {"order_id": "1", "total": "5", "products": [{"product_id": "p1", "price": "5"}]},
        integrations={"Klaviyo": {"fieldsToAppend": ["tags"], "fieldsToUnset": ["plan"]}},
    )  # fmt: skip
    before = copy.deepcopy(message)
    for _ in range(2):
        commerce = canonicalise(message)
        said = claims(message, commerce, Trust.SERVER, None)
        asked = instructions(message, said, Trust.SERVER, None)
        ada = Recipient(email="ada@shop.example", traits=of_the_person(said.traits, asked.patch))
        for action in actions(commerce):
            body(commerce, action, recipient=ada)
        assert message == before
        assert Identifier(IdentifierKind.EMAIL, "ada@shop.example") in said.identifiers


def test_a_body_is_json() -> None:
    assert json.loads(json.dumps(body(PLACED), allow_nan=False)) == body(PLACED)


def test_a_name_that_has_the_suffix_gets_no_second_one() -> None:
    again = other("Added to Cart - Backup Flow")
    assert body(again)["metric"]["data"]["attributes"]["name"] == "Added to Cart - Backup Flow"
    assert body(again, suffix="")["metric"]["data"]["attributes"]["name"] == "Added to Cart - Backup Flow"
