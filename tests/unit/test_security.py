"""Who may call: keys, origins, rate limits."""

from base64 import b64encode

import pytest

from relay.errors import RequestRefused
from relay.model import Trust
from relay.web.security import Keys, RateLimit, basic_user, is_allowed_origin, is_console_password
from tests import factories
from tests.factories import ORIGIN, PUBLIC_KEY, SERVER_KEY

SITE = factories.site()
OTHER = factories.site(
    site_id="other",
    write_key="other-public",
    server_key="other-server-key",
    allowed_origins=frozenset({"https://other.example"}),
)
KEYS = Keys([SITE, OTHER])


def basic(text: str) -> bytes:
    return b"Basic " + b64encode(text.encode())


def origin(value: str) -> dict[bytes, bytes]:
    return {b"origin": value.encode()}


# --- keys ------------------------------------------------------------------------------------------------------------


def test_public_key_with_its_origin_is_a_browser() -> None:
    caller = KEYS.caller(origin(ORIGIN), PUBLIC_KEY)
    assert (caller.site, caller.trust) == (SITE, Trust.BROWSER)


def test_server_key_in_the_body_is_a_server_and_needs_no_origin() -> None:
    caller = KEYS.caller({}, SERVER_KEY)
    assert (caller.site, caller.trust) == (SITE, Trust.SERVER)


@pytest.mark.parametrize("text", [f"{SERVER_KEY}:", f"{SERVER_KEY}:anything", SERVER_KEY], ids=["user", "pass", "bare"])
def test_server_key_in_the_authorization_header_is_a_server(text: str) -> None:
    assert KEYS.caller({b"authorization": basic(text)}, None).trust is Trust.SERVER


def test_each_key_leads_to_its_own_site() -> None:
    assert KEYS.caller({}, "other-server-key").site is OTHER
    assert KEYS.caller(origin("https://other.example"), "other-public").site is OTHER


@pytest.mark.parametrize("key", [PUBLIC_KEY, SERVER_KEY])
def test_a_login_of_something_else_does_not_hide_the_key_in_the_body(key: str) -> None:
    login = {b"authorization": basic("admin:console password"), **origin(ORIGIN)}
    assert KEYS.caller(login, key) == KEYS.caller(origin(ORIGIN), key)


def test_public_key_never_has_a_servers_trust() -> None:
    assert KEYS.caller({b"authorization": basic(f"{PUBLIC_KEY}:"), **origin(ORIGIN)}, None).trust is Trust.BROWSER


REFUSED = [
    ("no key", {}, None, 401, "missing_write_key"),
    ("empty key", {}, "", 401, "missing_write_key"),
    ("unknown key", origin(ORIGIN), "unknown", 401, "invalid_write_key"),
    ("unknown key in the header", {b"authorization": basic("unknown:")}, None, 401, "invalid_write_key"),
    ("key of half a surrogate pair", {}, "\ud800", 401, "invalid_write_key"),
    ("public key without origin", {}, PUBLIC_KEY, 403, "origin_not_allowed"),
    ("public key, foreign origin", origin("https://evil.example"), PUBLIC_KEY, 403, "origin_not_allowed"),
    ("public key, another site's origin", origin("https://other.example"), PUBLIC_KEY, 403, "origin_not_allowed"),
    ("public key, opaque origin", origin("null"), PUBLIC_KEY, 403, "origin_not_allowed"),
    ("public key as user without origin", {b"authorization": basic(f"{PUBLIC_KEY}:")}, None, 403, "origin_not_allowed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "key", "status", "code"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_everybody_else_is_refused(headers: dict[bytes, bytes], key: str | None, status: int, code: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        KEYS.caller(headers, key)
    assert (refused.value.status, refused.value.code) == (status, code)
    assert "unknown" not in refused.value.message
    assert PUBLIC_KEY not in refused.value.message


def test_a_site_without_server_key_has_no_server_callers() -> None:
    keys = Keys([factories.site(server_key=None)])
    with pytest.raises(RequestRefused):
        keys.caller({}, "None")


@pytest.mark.parametrize(
    "header",
    [
        b"", b"Basic", b"Basic ", b"Basic !!!", b"Basic Og==", b"Bearer " + b64encode(b"k:"), b"Basic /w==",
        b64encode(b"k:"),
    ],
    ids=["none", "no value", "blank", "no base64", "no user", "bearer", "no utf-8", "no scheme"],
)  # fmt: skip
def test_an_authorization_header_without_user_name_is_none(header: bytes) -> None:
    assert basic_user({b"authorization": header} if header else {}) is None


def test_the_scheme_is_read_in_any_letter_case() -> None:
    assert basic_user({b"authorization": b"bASIC " + b64encode(b"key:")}) == "key"


# --- origins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        (ORIGIN, True),
        (ORIGIN.upper(), True),
        ("http://shop.example", False),
        (f"{ORIGIN}:8443", False),
        (f"{ORIGIN}.evil.example", False),
        (f"https://evil.example/{ORIGIN}", False),
        ("https://sub.shop.example", False),
        ("null", False),
        ("", False),
        ("*", False),
    ],
)
def test_an_origin_is_allowed_as_a_whole_or_not_at_all(value: str, allowed: bool) -> None:
    assert is_allowed_origin(origin(value), SITE) is allowed


def test_a_site_without_origins_allows_none() -> None:
    assert not is_allowed_origin(origin(ORIGIN), factories.site(allowed_origins=frozenset()))


# --- rates -----------------------------------------------------------------------------------------------------------


def test_too_many_requests_from_one_address_are_refused() -> None:
    limit = RateLimit(per_minute=5)
    refused = []
    for _ in range(11):  # more than two windows take, so the turn of a minute does not matter
        try:
            limit.check("203.0.113.7")
        except RequestRefused as error:
            refused.append(error)
    assert refused
    assert (refused[0].status, refused[0].code, refused[0].retry_after) == (429, "rate_limited", 30)
    assert "203.0.113.7" not in refused[0].message


def test_one_address_does_not_use_up_anothers_rate() -> None:
    limit = RateLimit(per_minute=1)
    limit.check("203.0.113.7")
    limit.check("203.0.113.8")


# --- console ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (basic("anybody:right password"), True),
        (basic(":right password"), True),
        (basic("anybody:wrong"), False),
        (basic("right password:"), False),
        (basic("anybody:right password "), False),
        (b"Basic !!!", False),
        (b"Bearer right", False),
        (b"", False),
    ],
    ids=["right", "no user", "wrong", "as user", "one more space", "no base64", "bearer", "none"],
)
def test_console_password_is_compared_whole(header: bytes, expected: bool) -> None:
    assert is_console_password({b"authorization": header}, "right password") is expected
