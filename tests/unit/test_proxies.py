"""Behind proxies: what the browser used, as trusted proxies tell it."""

import asyncio
from typing import Any

import pytest

from relay.web.proxies import BehindProxies


def seen_through(headers: list[tuple[bytes, bytes]], *, client: str = "127.0.0.1") -> tuple[str, str]:
    """The scheme and the client's address as the application sees them."""
    seen: list[tuple[str, str]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["scheme"], scope["client"][0]))

    scope = {"type": "http", "scheme": "http", "client": (client, 1), "headers": headers}
    proxied: Any = BehindProxies(application, "127.0.0.1")
    asyncio.run(proxied(scope, None, None))
    return seen[0]


@pytest.mark.parametrize(
    ("proto", "scheme"),
    [(b"https", "https"), (b"HTTPS", "https"), (b"https, http", "https"), (b"http", "http"), (b"http,https", "http")],
)
def test_the_first_word_of_a_trusted_proxy_is_the_browsers_scheme(proto: bytes, scheme: str) -> None:
    assert seen_through([(b"x-forwarded-proto", proto)])[0] == scheme


def test_a_stranger_is_not_believed_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    told = [(b"x-forwarded-proto", b"https"), (b"x-forwarded-for", b"1.2.3.4")]
    assert seen_through(told) == ("https", "1.2.3.4")
    assert caplog.messages == []
    assert seen_through(told, client="9.9.9.9") == ("http", "9.9.9.9")
    assert caplog.messages == ["X-Forwarded-* of a peer outside of RELAY_TRUSTED_PROXIES is not believed"]
    assert "9.9.9.9" not in caplog.text


def test_the_clients_address_is_taken_from_a_trusted_proxy() -> None:
    assert seen_through([(b"x-forwarded-proto", b"https"), (b"x-forwarded-for", b"1.2.3.4")]) == ("https", "1.2.3.4")
