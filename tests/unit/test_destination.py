"""Where our links lead: to the shop, whatever is written there."""

import pytest

from relay.web.destination import destination, origin_of
from tests import factories

SHOP = factories.site(
    allowed_origins=frozenset({"https://shop.example", "https://www.shop.example"}), home_origin="https://shop.example"
)
HOME = "https://shop.example/"


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("", HOME),
        ("/", HOME),
        ("/products/mug", f"{HOME}products/mug"),
        ("products/mug", f"{HOME}products/mug"),
        ("/products/mug?variant=7&a=b%20c#reviews", f"{HOME}products/mug?variant=7&a=b+c#reviews"),
        ("?variant=7", f"{HOME}?variant=7"),
        ("/a/../b", f"{HOME}b"),
        ("https://shop.example/cart", f"{HOME}cart"),
        ("https://www.shop.example/cart", "https://www.shop.example/cart"),
        ("HTTPS://Shop.Example/cart", "https://Shop.Example/cart"),
        ("https://shop.example", HOME),
        ("/products/mug?bf=another", f"{HOME}products/mug"),
        ("/search?q=", f"{HOME}search?q="),
    ],
)
def test_a_page_of_the_shop(to: str, expected: str) -> None:
    assert destination(SHOP, to) == expected


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "http://shop.example/",
        "https://shop.example:8443/",
        "https://shop.example.evil.example/",
        "https://shop.example@evil.example/",
        "https://user:pw@shop.example/",
        "https://evil.example\\@shop.example/",
        "//evil.example/",
        "///evil.example/",
        "////evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        "\t//evil.example/",
        " //evil.example/",
        "\n//evil.example/",
        "/\r\nSet-Cookie: a=b",
        "\x00//evil.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://shop.example/",
        "https:evil.example/",
        "https:///evil.example/",
        "http://[",
        "https://[::1/",
        "/ space",
    ],
    ids=repr,
)
def test_nowhere_else(to: str) -> None:
    """An open redirect would lend the shop's name to anybody."""
    found = destination(SHOP, to)
    assert found is not None
    assert origin_of(found) in SHOP.allowed_origins
    assert "evil.example/" not in found.split("/", 3)[2]
    assert "\r" not in found
    assert "\n" not in found


def test_what_klaviyo_adds_to_the_link_travels_on() -> None:
    others = [("bf", "t"), ("to", "/x"), ("key", "k"), ("_kx", "abc.XYZ"), ("utm_source", "Klaviyo"), ("variant", "8")]
    expected = f"{HOME}x?variant=7&_kx=abc.XYZ&utm_source=Klaviyo"
    assert destination(SHOP, "/x?variant=7", others) == expected


def test_a_token_for_the_tag_goes_along_once() -> None:
    assert destination(SHOP, "/x?bf=old", token="new") == f"{HOME}x?bf=new"


def test_a_site_without_an_origin_leads_nowhere() -> None:
    assert destination(factories.site(allowed_origins=frozenset(), home_origin=None), "/x") is None


def test_without_a_first_origin_the_choice_is_the_same_each_time() -> None:
    site = factories.site(allowed_origins=frozenset({"https://b.example", "https://a.example"}))
    assert destination(site, "/x") == "https://a.example/x"
