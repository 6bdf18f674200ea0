"""What is told of a page: where it was, and nothing that names a click or a person."""

from typing import Any

import pytest

from relay.model import Commerce, Kept, Kind
from relay.pipeline.canonical import canonicalise
from relay.pipeline.pages import kept
from tests.unit.words import call, track

URL = "https://shop.example/lamps?_kx=abc&utm_source=x#top"
PAGE = {"url": URL, "title": "Lamps", "path": "/lamps", "referrer": "https://a.example/q?e=a@b.example", "search": "?x"}
GA4 = {"page_location": URL, "page_title": "Lamps", "page_referrer": "https://a.example/", "campaign": "x"}
UNREADABLE = {"title": 7, "path": "", "referrer": "https://[::1", "url": "javascript:x"}


@pytest.mark.parametrize(
    ("message", "name", "told"),
    [
        pytest.param(call("page", name="Home", properties=PAGE), "Home", True, id="page"),
        pytest.param(call("screen", name=" Home ", properties=PAGE), "Home", True, id="screen"),
        pytest.param(call("page", context={"page": PAGE}), "", True, id="context"),
        pytest.param(track("page_view", GA4), "", True, id="ga4"),
        pytest.param(call("page", properties=UNREADABLE), "", False, id="unreadable"),
    ],
)
def test_where_it_was(message: Any, name: str, told: bool) -> None:
    details = {"title": "Lamps", "path": "/lamps", "referrer_host": "a.example"} if told else {}
    found = kept(message, canonicalise(message), details=True)
    assert found.commerce == Commerce(kind=Kind.PAGE, name=name, properties=details)
    assert found.page_url == (URL if told else None)


def test_without_details_only_that_there_was_a_page() -> None:
    message = call("page", name="Home", properties=PAGE, context={"page": PAGE})
    assert kept(message, canonicalise(message), details=False) == Kept(commerce=Commerce(kind=Kind.PAGE, name=""))


def test_a_path_is_told_without_its_query() -> None:
    message = call("page", properties={"path": "/reset?token=abc"})
    assert kept(message, canonicalise(message), details=True).commerce.properties == {"path": "/reset"}
