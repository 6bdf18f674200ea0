"""Request bodies before two judges: the models of Klaviyo's official client, and the limits its API states.

The client's models ignore what they do not know, so a body passes only if nothing is missing after it went through
them and came back.
"""

import copy
import json
from datetime import datetime
from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from klaviyo_api.wrapper import KlaviyoAPI
from openapi_client.models.event_create_query_v2 import EventCreateQueryV2
from openapi_client.models.profile_upsert_query import ProfileUpsertQuery

from relay.klaviyo import limits
from relay.klaviyo.mapping import REVISION, actions, event_body, profile_body, unique_id
from relay.model import Commerce, Kind, Message, Product, ProfilePatch, Proof, Reason, Recipient
from relay.pipeline.canonical import canonicalise

PROOF = Proof(reason=Reason.KLAVIYO_ABSENT, evidence="checkout e-mail, then cookie", confidence=0.9)
ADA = Recipient(
    email="ada@shop.example",
    phone_number="+442071234567",
    traits={
        "name": "Ada Lovelace", "company": {"name": "Engines"}, "title": "Countess", "avatar": "https://a.example/i",
        "locale": "en_GB", "plan": "gold", "tags": ["a"], "timezone": "Europe/London",
        "address": {"street": "1 St", "city": "London", "state": "LDN", "postalCode": "N1", "country": "GB"},
        "location": {"latitude": 51.5, "longitude": "-0.12", "address2": "Flat 2"},
    },
)  # fmt: skip
RECIPIENTS = {
    "klaviyo-id": Recipient(klaviyo_id="01GDDKASAP8TKDDA2GRZDSVP4H", traits=ADA.traits),
    "email-and-phone": ADA,
    "exchange-id": Recipient(kx="abc.XyZ123"),
    "customer-id": Recipient(external_id="customer-7", traits=ADA.traits),
    "email-and-customer-id": Recipient(email="ada@shop.example", external_id="customer-7"),
    "anonymous-id": Recipient(anonymous_id="0b1c"),
}
PRODUCT = {
    "product_id": "p1", "variant_id": "v7", "sku": "S", "name": "Lamp", "brand": "Lumen", "category": "Lighting",
    "price": "12.50", "compare_at_price": 15, "quantity": 2, "url": "/lamp", "image_url": "//cdn.example/l.jpg",
}  # fmt: skip
CALLS: dict[str, dict[str, Any]] = {
    "Product Viewed": PRODUCT,
    "Product Added": PRODUCT | {"products": [PRODUCT], "currency": "EUR", "$value": 25, "checkout_url": "/checkout"},
    "Product Removed": PRODUCT,
    "Cart Viewed": {"products": [PRODUCT], "currency": "EUR"},
    "Checkout Started": {"products": [PRODUCT, PRODUCT], "currency": "EUR", "coupon": "HI"},
    "Order Completed": {
        "order_id": 7, "total": 30, "currency": "EUR", "shipping": 5, "tax": 1, "discount": 2, "coupon": "HI",
        "products": [PRODUCT, PRODUCT], "shipping_address": {"city": "London", "country": "GB", "region": "LDN"},
    },
    "Order Refunded": {"order_id": 7, "refund_id": 8, "refund_amount": 12.5, "currency": "EUR", "products": [PRODUCT]},
    "Order Cancelled": {"order_id": 7, "total": 30, "currency": "EUR", "reason": "fraud"},
    "Products Searched": {"query": "lamp"},
    "Product List Viewed": {"category": "Lamps", "products": [PRODUCT]},
    "Own Event": {"deep": {"er": [1, {"est": True}]}, "zero": 0, "value": 5, "currency": "EUR"},
}  # fmt: skip


def same(sent: Any, returned: Any, path: str = "body") -> None:
    """Fail unless ``returned`` is ``sent``; the client writes times its own way and fills in what is unset."""
    if isinstance(returned, datetime):
        assert returned == datetime.fromisoformat(sent), path
    elif isinstance(sent, dict):
        assert isinstance(returned, dict), path
        unset = {key: value for key, value in returned.items() if key not in sent and value is not None}
        assert unset in ({}, {"backfill": False}), path
        assert returned.keys() >= sent.keys(), path
        for key, value in sent.items():
            same(value, returned[key], f"{path}.{key}")
    else:
        returned = returned.value if isinstance(returned, Enum) else returned
        assert (type(returned), returned) == (type(sent), sent), path


def judged(model: Any, body: dict[str, Any]) -> None:
    """Fail unless the client's model takes the body and gives back every member of it."""
    sent = json.loads(json.dumps(body, allow_nan=False))
    same(sent, model.from_dict(copy.deepcopy(sent)).to_dict())


def bodies(commerce: Commerce, recipient: Recipient, **fields: Any) -> list[dict[str, Any]]:
    plain: dict[str, Any] = {
        "suffix": " - Backup Flow",
        "backfill": False,
        "page_url": "https://shop.example/x?y",
    } | fields
    return [
        event_body(
            commerce=commerce, action=action, recipient=recipient, proof=PROOF, occurred_at=1795000000.5,
            unique_id=unique_id(action, "m1", commerce), **plain,
        )
        for action in actions(commerce)
    ]  # fmt: skip


def call(name: str, properties: dict[str, Any]) -> Commerce:
    context = {"page": {"url": "https://shop.example/lamp"}}
    return canonicalise(
        Message(type="track", message_id="m1", occurred_at=1.0, event=name, properties=properties, context=context)
    )


def test_the_judge_is_of_our_revision() -> None:
    assert KlaviyoAPI._REVISION == REVISION


@pytest.mark.parametrize("backfill", [False, True], ids=["live", "backfill"])
@pytest.mark.parametrize("recipient", RECIPIENTS.values(), ids=RECIPIENTS)
@pytest.mark.parametrize("name", CALLS)
def test_the_official_client_takes_every_event_whole(name: str, recipient: Recipient, backfill: bool) -> None:
    found = bodies(call(name, CALLS[name]), recipient, backfill=backfill)
    assert found
    for body in found:
        judged(EventCreateQueryV2, body)


@pytest.mark.parametrize("recipient", [r for r in RECIPIENTS.values() if r.anonymous_id is None])
def test_the_official_client_takes_every_profile_whole(recipient: Recipient) -> None:
    judged(ProfileUpsertQuery, profile_body(recipient, PROOF, last_seen=1795000000.5))


def test_the_official_client_takes_every_patch_whole() -> None:
    patch = ProfilePatch(append={"skus": ["a", "b"], "seen": 1}, unappend={"skus": "c"}, unset=("plan", "firstName"))
    body = profile_body(Recipient(email="ada@shop.example"), PROOF, patch=patch)
    assert body["data"]["attributes"]["first_name"] is None
    judged(ProfileUpsertQuery, body)


def test_the_official_client_takes_an_event_without_traits() -> None:
    for body in bodies(call("Own Event", {}), ADA, traits=False):
        judged(EventCreateQueryV2, body)


def test_the_judge_notices_a_member_that_the_client_does_not_know() -> None:
    body = bodies(call("Own Event", {}), ADA)[0]
    body["data"]["attributes"]["profile"]["data"]["attributes"]["nickname"] = "Enchantress"
    with pytest.raises(AssertionError):
        judged(EventCreateQueryV2, body)


# --- the limits -------------------------------------------------------------------------------------------------------


def sent(**properties: Any) -> dict[str, Any]:
    found: dict[str, Any] = bodies(call("Own Event", properties), ADA)[0]["data"]["attributes"]["properties"]
    return found


def nested(levels: int) -> Any:
    return {"in": nested(levels - 1)} if levels else "end"


def test_mapped_and_backflow_properties_come_before_the_400th() -> None:
    flood = {f"own_{n}": n for n in range(500)}
    for name in ("Product Added", "Own Event"):
        found = bodies(call(name, {**flood, **CALLS[name]}), ADA)[0]["data"]["attributes"]["properties"]
        assert len(found) == limits.MAX_PROPERTIES
        assert found["BackflowTrimmed"] is True
        assert found["BackflowReason"] == "klaviyo_absent"
    assert bodies(call("Product Added", {**flood, **PRODUCT}), ADA)[0]["data"]["attributes"]["properties"]["SKU"] == "S"


def test_as_many_properties_as_allowed_are_not_marked() -> None:
    found = sent(**{f"own_{n}": n for n in range(limits.MAX_PROPERTIES - 1 - 3)})
    assert len(found) == limits.MAX_PROPERTIES - 1
    assert "BackflowTrimmed" not in found


@pytest.mark.parametrize("letter", ["x", "é", "€", "😀"])
def test_long_strings_are_cut_between_two_characters(letter: str) -> None:
    found = sent(long=letter * 120_000, short=letter * 10)
    size = len(found["long"].encode())
    assert limits.MAX_STRING_BYTES - 4 < size <= limits.MAX_STRING_BYTES
    assert set(found["long"]) == {letter}
    assert (found["short"], found["BackflowTrimmed"]) == (letter * 10, True)


def test_a_string_of_just_the_limit_is_whole() -> None:
    found = sent(long="x" * limits.MAX_STRING_BYTES)
    assert len(found["long"]) == limits.MAX_STRING_BYTES
    assert "BackflowTrimmed" not in found


def test_long_arrays_are_cut() -> None:
    found = sent(long=list(range(5000)))
    assert found["long"] == list(range(4000))
    assert found["BackflowTrimmed"] is True


def test_the_eleventh_level_is_left_out() -> None:
    whole = sent(deep=nested(9))
    assert whole["deep"] == nested(9)
    assert "BackflowTrimmed" not in whole
    cut = sent(deep=nested(10), beside=1)
    assert "deep" not in cut
    assert (cut["beside"], cut["BackflowTrimmed"]) == (1, True)


def test_an_event_that_is_too_large_loses_the_largest_of_the_callers_properties_first() -> None:
    found = sent(small="kept", **{f"own_{n}": "x" * (90_000 + n) for n in range(60)})
    assert limits.weight(found) <= limits.MAX_EVENT_BYTES
    assert found["BackflowTrimmed"] is True
    assert (found["small"], found["BackflowReason"]) == ("kept", "klaviyo_absent")
    kept = sorted(int(name[4:]) for name in found if name.startswith("own_"))
    assert kept == list(range(len(kept)))
    assert 50 <= len(kept) < 60


def test_a_mapped_property_goes_only_when_nothing_else_is_left() -> None:
    lines = tuple(Product(sku=str(n), name="x" * 2000) for n in range(3000))
    cart = Commerce(kind=Kind.CART_VIEWED, name="", items=lines, currency="EUR", properties={"own": "x" * 50})
    (body,) = bodies(cart, ADA)
    assert limits.weight(body) <= limits.MAX_EVENT_BYTES
    held = body["data"]["attributes"]["properties"]
    assert held.keys().isdisjoint({"Items", "own"})
    assert (held["Currency"], held["ItemCount"], held["BackflowTrimmed"]) == ("EUR", 3000, True)


def test_a_profile_that_is_too_large_loses_its_largest_custom_properties_first() -> None:
    traits = {"firstName": "Ada", "plan": "gold"} | {f"own_{n}": "x" * (1000 + n) for n in range(300)}
    for resource in (
        profile_body(Recipient(email="a@b.example", traits=traits), PROOF)["data"],
        bodies(call("Own Event", {}), Recipient(email="a@b.example", traits=traits))[0]["data"]["attributes"][
            "profile"
        ]["data"],
    ):
        assert 90_000 < limits.weight(resource) <= limits.MAX_PROFILE_BYTES
        attributes = resource["attributes"]
        assert (attributes["email"], attributes["first_name"]) == ("a@b.example", "Ada")
        held = attributes["properties"]
        assert (held["plan"], held["BackflowProfileTrimmed"]) == ("gold", True)
        kept = sorted(int(name[4:]) for name in held if name.startswith("own_"))
        assert kept == list(range(len(kept)))


def test_a_profile_with_endless_attributes_loses_those_last() -> None:
    traits = {"firstName": "x" * 90_000, "lastName": "y" * 50_000, "plan": "gold", "city": "Rome"}
    resource = profile_body(Recipient(email="a@b.example", traits=traits), PROOF)["data"]
    assert limits.weight(resource) <= limits.MAX_PROFILE_BYTES
    assert resource["attributes"].keys() == {"email", "last_name", "location", "properties"}
    assert "plan" not in resource["attributes"]["properties"]


def test_a_profile_of_just_the_limit_is_whole() -> None:
    def resource(room: int) -> dict[str, Any]:
        traits = {"a": "x" * (room // 2), "b": "x" * (room - room // 2)}
        found: dict[str, Any] = profile_body(Recipient(email="a@b.example", traits=traits), PROOF)["data"]
        return found

    room = limits.MAX_PROFILE_BYTES - limits.weight(resource(2)) + 2
    assert limits.weight(resource(room)) == limits.MAX_PROFILE_BYTES
    assert "BackflowProfileTrimmed" not in resource(room)["attributes"]["properties"]
    assert "BackflowProfileTrimmed" in resource(room + 1)["attributes"]["properties"]


def test_numbers_and_texts_that_json_or_a_database_cannot_hold() -> None:
    found = sent(nan=float("nan"), inf=float("inf"), huge=10**30, bad="a\ud800\0b", emoji="\ud83d\ude00", nul="a\0b")
    assert found["nul"] == "a\ufffdb"
    assert (found["bad"], found["emoji"], found["BackflowTrimmed"]) == ("a\ufffd\ufffdb", "😀", True)
    assert found.keys().isdisjoint({"nan", "inf", "huge"})


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def scalars(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *(one for inner in value.values() for one in scalars(inner))]
    return [one for inner in value for one in scalars(inner)] if isinstance(value, list) else [value]


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates and NUL included
SCALARS = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | ANY_TEXT
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=20,
)
KEYS = st.sampled_from(sorted({key for properties in CALLS.values() for key in properties})) | ANY_TEXT
RECIPIENT = st.builds(
    Recipient,
    klaviyo_id=st.sampled_from([None, "01K"]),
    email=st.just("a@b.example"),
    traits=st.dictionaries(
        st.sampled_from(["firstName", "name", "company", "address", "location", "locale", "latitude"]) | ANY_TEXT,
        ANYTHING,
        max_size=6,
    ),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(CALLS)),
    st.dictionaries(KEYS, ANYTHING, max_size=10),
    RECIPIENT,
    st.integers(0, 450),
    st.integers(0, 14),
)
def test_whatever_comes_in_the_body_is_json_within_the_limits(
    name: str, properties: dict[str, Any], recipient: Recipient, many: int, deep: int
) -> None:
    properties |= {f"own_{n}": n for n in range(many)} | {"deep": nested(deep)}
    for body in bodies(call(name, properties), recipient):
        wire = json.dumps(body, allow_nan=False, ensure_ascii=False).encode()  # refuses NaN and half surrogates
        assert b"\\u0000" not in wire
        judged(EventCreateQueryV2, body)
        attributes = body["data"]["attributes"]
        for held in (attributes["properties"], attributes["profile"]["data"]["attributes"]["properties"]):
            assert len(held) <= limits.MAX_PROPERTIES
            assert depth(held) <= limits.MAX_DEPTH
            assert not {None, ""} & {one for one in scalars(held) if one is None or isinstance(one, str)}
            assert not [key for key in held if key.startswith("$") and key != "$extra"]
        assert attributes["properties"]["BackflowReason"] == "klaviyo_absent"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries({"sku": st.text("ab:%1", max_size=3) | st.integers(0, 3)}), max_size=8))
def test_no_two_lines_of_an_order_share_a_unique_id(products: list[dict[str, Any]]) -> None:
    commerce = call("Order Completed", {"order_id": "1", "products": products})
    found = [unique_id(action, "m1", commerce) for action in actions(commerce)]
    assert len(set(found)) == len(found) == 1 + len(products)
    assert commerce.kind is Kind.ORDER_COMPLETED
