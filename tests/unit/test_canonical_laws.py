"""The canonical step: what holds for any call whatever. Nothing raises, nothing is changed, nothing is lost."""

import copy
import math
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.model import Address, Commerce, Order, Product
from relay.pipeline import vocabulary
from relay.pipeline.canonical import canonicalise
from tests.unit.test_canonical import EVERY_NAME
from tests.unit.words import track

KNOWN = sorted({key for table in (*vocabulary.EVENT.values(), vocabulary.LINE) for key in table})
HOLDERS = [
    "data", "ecommerce", "checkout", "cart", "cartLine", "productVariant", "collection", "searchResult", "customer",
    "user_data", "merchandise", "variant", "product", "order", "cost", "totalAmount", "price", "image", "amount",
    "currencyCode", "email", "phone", "shippingLine", "lineItems", "lines", "discountApplications", "title", "src",
]  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats() | st.text(max_size=6)
    | st.sampled_from(["12.50", "1,299.00", "EUR", "/a", "//b/c", "a@b.example", "js:x", "gid://x/y/1", "a?key=b"])
)  # fmt: skip
KEYS = st.sampled_from(KNOWN + HOLDERS) | st.text(max_size=5)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=12
)
PROPERTIES = st.dictionaries(KEYS, ANYTHING, max_size=8)
EVENT_NAMES = st.sampled_from([name for name, _ in EVERY_NAME] + ["Own", "add_to_cart_x"])
LAWFUL = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@LAWFUL
@given(EVENT_NAMES, PROPERTIES, PROPERTIES)
def test_anything_is_read_and_nothing_is_changed(
    name: str, properties: dict[str, Any], context: dict[str, Any]
) -> None:
    message = track(name, properties, context=context, traits=context)
    before = copy.deepcopy(message)
    commerce = canonicalise(message)
    assert repr(message) == repr(before)  # repr: nan is not equal to itself
    for number in (commerce.value, commerce.cart_value):
        assert number is None or math.isfinite(number)
    assert commerce.currency is None or (len(commerce.currency) == 3 and commerce.currency.isupper())


@LAWFUL
@given(EVENT_NAMES, PROPERTIES, st.dictionaries(st.integers(0, 99).map("own_{}".format), ANYTHING, max_size=5))
def test_every_unknown_property_survives(name: str, properties: dict[str, Any], unknown: dict[str, Any]) -> None:
    commerce = canonicalise(track(name, properties | unknown))
    for key, value in unknown.items():
        assert commerce.properties[key] is value


def leaves(value: Any) -> set[str]:
    """Every scalar in a value, in a form that reading does not change."""
    if isinstance(value, dict):
        return set().union(*(leaves(inner) for inner in value.values()))
    if isinstance(value, list | tuple):
        return set().union(*(leaves(inner) for inner in value))
    if isinstance(value, Product | Order | Address | Commerce):
        return leaves([getattr(value, field) for field in value.__struct_fields__])
    if value is None or isinstance(value, bool):
        return set()
    if isinstance(value, str):
        text = value.strip()
        text = text.rpartition("/")[2] or text if text.startswith("gid://") else text
        text = text.removeprefix("https:").partition("?key=")[0]
        try:
            return {repr(float(text.replace(",", "")) + 0.0)}  # minus zero is zero
        except ValueError:
            return {text.casefold()} - {""}
    try:
        return {repr(float(value) + 0.0)}
    except OverflowError:
        return {repr(value)}


@LAWFUL
@given(EVENT_NAMES, PROPERTIES)
def test_no_scalar_is_lost(name: str, properties: dict[str, Any]) -> None:
    commerce = canonicalise(track(name, properties, context={}))
    assert leaves(properties) - leaves(commerce) == set()
