"""What a call claims of its author: one normal form for each identifier, and what is no identifier at all."""

import base64
import json
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.identity.claims import Claims, claims
from relay.identity.identifiers import (
    Identifier,
    IdentifierKind,
    normal_customer_id,
    normal_email,
    normal_exchange_id,
    normal_phone,
)
from relay.model import Address, Commerce, Kind, Message, Order, Trust

KX = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0_-x.DEMO42"


def message(**fields: Any) -> Message:
    fields.setdefault("type", "identify")
    return Message(message_id="m1", occurred_at=1.0, **fields)


def read(
    trust: Trust = Trust.BROWSER, country: str | None = None, commerce: Commerce | None = None, **fields: Any
) -> Claims:
    return claims(message(**fields), commerce or Commerce(kind=Kind.IDENTIFY, name="identify"), trust, country)


def found(claimed: Claims) -> dict[str, str]:
    return {identifier.kind.value: identifier.value for identifier in claimed.identifiers}


# E-mail addresses


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        pytest.param("ann@mail.com", "ann@mail.com", id="plain"),
        pytest.param("  Ann@Mail.COM\n", "ann@mail.com", id="trimmed and in lower case"),
        pytest.param("a.n.n+shop@gmail.com", "a.n.n+shop@gmail.com", id="dots and plus stay"),
        pytest.param("o'hara@mail.com", "o'hara@mail.com", id="apostrophe"),
        pytest.param("ann@müller.de", "ann@xn--mller-kva.de", id="international domain"),
        pytest.param("ann@mail.co.uk", "ann@mail.co.uk", id="two-part ending"),
    ],
)
def test_an_address_has_one_form(raw: str, normal: str) -> None:
    assert normal_email(raw) == normal
    assert normal_email(normal) == normal


@pytest.mark.parametrize(
    "raw",
    [
        "", " ", "ann", "ann@", "@mail.com", "ann@mail", "ann@@mail.com", "ann@mail..com", "ann mail@x.com",
        "Ann <ann@mail.com>", "ann@mail.com, bob@mail.com", "ann@localhost", "ann@[127.0.0.1]", "ann@mail.com.",
        ".ann@mail.com", "jürgen@mail.com", "\x00@mail.com", "ann@" + "x" * 260 + ".com",
        "null", "undefined",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(raw: str) -> None:
    assert normal_email(raw) is None


# Telephone numbers


@pytest.mark.parametrize(
    ("raw", "country", "normal"),
    [
        pytest.param("+12025550123", None, "+12025550123", id="E.164"),
        pytest.param("+1 (202) 555-0123", None, "+12025550123", id="written for people"),
        pytest.param("202-555-0123", "US", "+12025550123", id="national"),
        pytest.param("030 901820", "DE", "+4930901820", id="national with a leading zero"),
        pytest.param("0049 30 901820", "DE", "+4930901820", id="international by 00"),
        pytest.param("+49 30 901820", "US", "+4930901820", id="a prefix outdoes the country"),
        pytest.param("tel:+1-202-555-0123", None, "+12025550123", id="as a link"),
        pytest.param("+44 20 7946 0958 ext. 12", None, "+442079460958", id="an extension goes"),
    ],
)
def test_a_number_has_one_form(raw: str, country: str | None, normal: str) -> None:
    assert normal_phone(raw, country) == normal


@pytest.mark.parametrize(
    ("raw", "country"),
    [
        pytest.param("202-555-0123", None, id="national without a country"),
        pytest.param("12345", "US", id="too short"),
        pytest.param("+1 202 555 01234567", None, id="too long"),
        pytest.param("0000000000", "US", id="zeros"),
        pytest.param("call me", "US", id="words"),
        pytest.param("", "US", id="empty"),
        pytest.param("9" * 500, "US", id="endless"),
        pytest.param("2025550123", "XX", id="a country that is none"),
    ],
)
def test_what_is_no_number_is_refused(raw: str, country: str | None) -> None:
    assert normal_phone(raw, country) is None


@pytest.mark.parametrize(
    ("traits", "country", "number"),
    [
        pytest.param({"phone": "2025550123"}, "US", "+12025550123", id="the site's country"),
        pytest.param({"phone": "2025550123"}, None, None, id="no country"),
        pytest.param({"phone": "030901820", "country": "de"}, "US", "+4930901820", id="the call's country"),
        pytest.param(
            {"phone": "030901820", "address": {"country_code": "DE"}}, "US", "+4930901820", id="the address's country"
        ),
        pytest.param(
            {"phone": "030901820", "address": {"country": "Germany"}}, "DE", "+4930901820", id="a country in words"
        ),
        pytest.param({"phone": 12025550123}, "US", "+12025550123", id="a number as a number"),
        pytest.param({"phoneNumber": "+12025550123"}, None, "+12025550123", id="phoneNumber"),
        pytest.param({"phone_number": "+12025550123"}, None, "+12025550123", id="phone_number"),
        pytest.param({"phone": True}, "US", None, id="no text"),
    ],
)
def test_a_number_is_read_with_the_country_it_comes_from(
    traits: dict[str, Any], country: str | None, number: str | None
) -> None:
    assert found(read(traits=traits, country=country)).get("phone") == number


@pytest.mark.parametrize(
    ("order", "number"),
    [
        pytest.param(Order(billing_address=Address(country_code="DE")), "+4930901820", id="billing country"),
        pytest.param(Order(shipping_address=Address(country="de")), "+4930901820", id="shipping country"),
        pytest.param(
            Order(billing_address=Address(country_code="DE"), shipping_address=Address(country_code="FR")),
            "+4930901820",
            id="the payer's before the parcel's",
        ),
        pytest.param(Order(billing_address=Address(country="Germany")), None, id="a country in words"),
        pytest.param(Order(order_id="1"), None, id="no address"),
    ],
)
def test_a_number_in_an_order_is_read_with_the_orders_country(order: Order, number: str | None) -> None:
    commerce = Commerce(kind=Kind.ORDER_COMPLETED, name="Order Completed", phone="030 901820", order=order)
    assert found(read(Trust.SERVER, type="track", commerce=commerce)).get("phone") == number


# The shop's own IDs


@pytest.mark.parametrize("raw", ["7", " customer-7 ", "gid://shopify/Customer/7", "A1", "é", "007", "x" * 256])
def test_a_customers_id_is_kept_as_the_shop_writes_it(raw: str) -> None:
    assert normal_customer_id(raw) == raw.strip()


@pytest.mark.parametrize(
    "raw",
    [
        "", " ", "0", "000", "-1", "null", "NULL", "nil", "none", "None", "NaN", "undefined", "unknown", "anonymous",
        "guest", "Guest", "true", "false", "test", "n/a", "NA", "00000000-0000-0000-0000-000000000000", "x" * 257,
    ],
)  # fmt: skip
def test_a_placeholder_is_no_customer(raw: str) -> None:
    assert normal_customer_id(raw) is None


def test_a_user_id_that_is_an_address_is_used_as_one() -> None:
    assert found(read(user_id="Ann@Mail.com")) == {"email": "ann@mail.com"}


def test_an_address_among_the_traits_goes_before_one_used_as_id() -> None:
    assert found(read(user_id="ann@mail.com", traits={"email": "bob@mail.com"})) == {"email": "bob@mail.com"}


def test_a_user_id_that_only_looks_like_an_address_is_an_id() -> None:
    assert found(read(user_id="ann@shop")) == {"customer_id": "ann@shop"}


# Klaviyo's links


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        pytest.param(KX, KX, id="as Klaviyo writes it"),
        pytest.param(f"  {KX} ", KX, id="trimmed"),
        pytest.param(KX.replace(".", "=."), KX.replace(".", "=."), id="padded"),
        pytest.param(KX.replace(".", "%3D."), KX.replace(".", "=."), id="padding encoded"),
        pytest.param(KX.replace(".", "%3d."), KX.replace(".", "=."), id="padding encoded in lower case"),
    ],
)
def test_a_link_has_one_form(raw: str, normal: str) -> None:
    assert normal_exchange_id(raw) == normal


@pytest.mark.parametrize(
    "raw",
    [
        None, 7, [KX], "", "abc", KX + "x", KX[:-1], KX.replace(".", ""), "x.DEMO42", KX.replace(".", "%253D."),
        KX.replace("A1", '")'), KX.replace("A1", "a b"), KX + "\n&x", "x" * 200 + ".DEMO42",
    ],
)  # fmt: skip
def test_what_is_no_link_is_refused(raw: Any) -> None:
    assert normal_exchange_id(raw) is None


def kla_id(content: Any) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize(
    "cookie",
    [
        pytest.param(kla_id({"cid": "x", "$exchange_id": KX}), id="as it is"),
        pytest.param(quote(kla_id({"cid": "xy", "$exchange_id": KX})), id="percent-encoded"),
        pytest.param(kla_id({"cid": "xyz", "$exchange_id": KX}).rstrip("="), id="without padding"),
    ],
)
def test_klaviyos_cookie_is_read(cookie: str) -> None:
    assert read(context={"cookies": {"__kla_id": cookie}}).exchange_id == KX


@pytest.mark.parametrize(
    "cookie",
    [
        "", "%", "not base64 at all", "e30=", "W10=", "bnVsbA==", "IkEi", base64.b64encode(b"\xff\xfe{").decode(),
        base64.b64encode(b"[" * 3000).decode(), kla_id({"$exchange_id": 7}), kla_id({"$exchange_id": "short"}),
        kla_id({"cid": "x"}), "\u00e9\u00e9\u00e9\u00e9", "====", "%00%ff",
    ],
)  # fmt: skip
def test_a_damaged_cookie_of_klaviyos_is_no_link(cookie: str) -> None:
    assert read(context={"cookies": {"__kla_id": cookie}}).exchange_id is None


def test_the_landing_page_goes_before_klaviyos_cookie() -> None:
    other = KX.replace("A1", "B2")
    context = {"clickIds": {"_kx": other}, "cookies": {"__kla_id": kla_id({"$exchange_id": KX})}}
    assert read(context=context).exchange_id == other


def test_a_link_is_never_one_of_the_authors_own_identifiers() -> None:
    claimed = read(traits={"email": "ann@mail.com", "kx": KX}, context={"clickIds": {"_kx": KX}})
    assert found(claimed) == {"email": "ann@mail.com"}
    assert claimed.exchange_id == KX
    assert set(claimed.everything) == {
        Identifier(IdentifierKind.EMAIL, "ann@mail.com"),
        Identifier(IdentifierKind.KX, KX),
    }


# Who may say what


def test_identifiers_stand_in_the_order_of_precedence() -> None:
    claimed = read(user_id="7", traits={"phone": "+12025550123", "email": "ann@mail.com"})
    assert [identifier.kind for identifier in claimed.identifiers] == [
        IdentifierKind.EMAIL,
        IdentifierKind.CUSTOMER_ID,
        IdentifierKind.PHONE,
    ]


@pytest.mark.parametrize("trust", [Trust.BROWSER, Trust.SERVER])
def test_nobody_but_klaviyo_names_klaviyos_ids(trust: Trust) -> None:
    assert found(read(trust, traits={"klaviyo_id": "01ABC", "kx": KX})) == {}


def test_klaviyos_answer_names_its_profile() -> None:
    claimed = read(Trust.KLAVIYO, traits={"klaviyo_id": "01ABC", "kx": KX, "email": "ann@mail.com"})
    assert found(claimed) == {"email": "ann@mail.com", "klaviyo_id": "01ABC", "kx": KX}
    assert claimed.exchange_id is None
    assert claimed.traits == {}


@pytest.mark.parametrize(
    ("trust", "type_", "traits"),
    [
        pytest.param(Trust.BROWSER, "identify", {"a": 1}, id="browser identifies"),
        pytest.param(Trust.BROWSER, "track", {}, id="browser tracks"),
        pytest.param(Trust.BROWSER, "group", {}, id="browser groups"),
        pytest.param(Trust.SERVER, "identify", {"a": 1}, id="server identifies"),
        pytest.param(Trust.SERVER, "track", {"b": 2}, id="server tracks"),
    ],
)
def test_traits_are_those_of_an_identify_or_sent_along_by_a_server(
    trust: Trust, type_: str, traits: dict[str, Any]
) -> None:
    assert read(trust, type=type_, traits={"a": 1}, context={"traits": {"b": 2}}).traits == traits


def test_the_address_of_a_group_is_not_its_members() -> None:
    company = Commerce(kind=Kind.OTHER, name="", email="office@acme.com", phone="+12025550123")
    traits = {"email": "office@acme.com", "phone": "+12025550123"}
    claimed = read(type="group", user_id="7", traits=traits, commerce=company)
    assert found(claimed) == {"customer_id": "7"}
    assert claimed.refused == ()


@pytest.mark.parametrize("trust", [Trust.BROWSER, Trust.SERVER])
def test_the_member_of_a_group_is_named_by_the_context(trust: Trust) -> None:
    context = {"traits": {"email": "Ann@Mail.com", "phone": "030901820", "country": "DE"}}
    claimed = read(trust, type="group", traits={"email": "office@acme.com"}, context=context, country="US")
    assert found(claimed) == {"email": "ann@mail.com", "phone": "+4930901820"}


def test_a_number_among_an_events_properties_is_read_with_the_persons_country() -> None:
    order = Commerce(kind=Kind.ORDER_COMPLETED, name="", phone="030901820")
    context = {"traits": {"address": {"country": "de"}}}
    assert found(read(type="track", commerce=order, context=context, country="US")) == {"phone": "+4930901820"}
    shipped = msgspec.structs.replace(order, order=Order(shipping_address=Address(country_code="DE")))
    assert found(read(type="track", commerce=shipped, context={"traits": {"country": "US"}})) == {
        "phone": "+4930901820"
    }


def test_an_address_in_an_order_is_its_customers() -> None:
    order = Commerce(kind=Kind.ORDER_COMPLETED, name="Order Completed", email="Ann@Mail.com", phone="+12025550123")
    assert found(read(type="track", commerce=order)) == {"email": "ann@mail.com", "phone": "+12025550123"}


def test_what_was_refused_is_told_by_its_kind_alone() -> None:
    claimed = read(user_id="null", traits={"email": "ann at mail", "phone": "call me"})
    assert claimed.identifiers == ()
    assert claimed.refused == ("invalid_email", "invalid_customer_id", "invalid_phone")


def test_what_is_empty_is_not_refused() -> None:
    assert read(user_id="", traits={"email": " ", "phone": ""}).refused == ()


# Whatever is sent

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["email", "phone", "phoneNumber", "klaviyo_id", "kx", "address", "country", "country_code", "cookies", "clickIds",
     "__kla_id", "_kx", "traits"]
)  # fmt: skip
OBJECT = st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON, max_size=3), max_size=6)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(Trust), st.sampled_from(["identify", "track", "group"]), st.none() | st.text(), OBJECT, OBJECT,
    st.none() | st.text(), st.sampled_from([None, "US", "DE", "ZZ"]),
)  # fmt: skip
def test_no_call_is_too_strange_to_be_read(
    trust: Trust,
    type_: str,
    user_id: str | None,
    traits: dict[str, Any],
    context: dict[str, Any],
    contact: str | None,
    country: str | None,
) -> None:
    commerce = Commerce(kind=Kind.OTHER, name="", email=contact, phone=contact)
    sent = message(type=type_, user_id=user_id, traits=traits, context=context)
    claimed = claims(sent, commerce, trust, country)
    kinds = [identifier.kind for identifier in claimed.identifiers]
    assert len(kinds) == len(set(kinds))
    for identifier in claimed.identifiers:
        assert identifier.value.strip()


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_a_normal_form_is_its_own_normal_form(raw: str) -> None:
    for normal in (normal_email, normal_customer_id, normal_exchange_id):
        if (value := normal(raw)) is not None:
            assert normal(value) == value


def test_exchange_id_in_the_pages_url_is_found_where_no_tag_has_read_it() -> None:
    def of(url: str) -> str | None:
        return read(type="page", context={"page": {"url": url}}).exchange_id

    assert of(f"https://shop.com/?utm_source=klaviyo&_kx={KX}#top") == KX
    assert of(f"https://shop.com/?_kx={quote(KX)}") == KX
    for url in ("https://shop.com/?_kx=", "https://shop.com/?_kx=x", f"http://[/?_kx={KX}", f"/_kx={KX}"):
        assert of(url) is None
