"""The signed identity cookie, its mirror and the handle: how a visitor is recognised, without asking any graph.

All carry the visitor's ID and the time it was first issued, signed (HMAC-SHA256) for one site. The cookie is
HttpOnly; the mirror is what the tag keeps in localStorage and brings a lost cookie back. The handle is what the tag
puts into the cart, where the shop's staff and apps see it: it says whose cart it is and brings nothing back. They have
different salts: none of them can be used as another.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence

from itsdangerous import BadSignature, TimestampSigner
from msgspec import Struct

from relay.clock import Clock

#: 400 days, the most that browsers keep a cookie (rfc6265bis; larger values are cut).
MAX_AGE = 34_560_000
#: Renewed at most daily: often enough to slide the 400 days, seldom enough to cost nothing.
RENEW_AFTER = 86_400

#: Message IDs with enough chance in them to be one browser's alone: the tag's (the time in microseconds and three
#: random 32-bit numbers), its inline stub's (the time and ``Math.random()``), and a UUID version 4.
_UNIQUE = re.compile(
    r"[0-9a-z]{9,13}(-\d{1,10}){3}"
    r"|\d{15,17}-0\.\d{10,}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    re.IGNORECASE,
)


class Visit(Struct, frozen=True):
    """A visitor as read from a token: its ID, when the ID was first issued and the token was signed (epoch seconds)."""

    visitor_id: str
    first_issued: int
    signed_at: int

    def is_due(self, now: float) -> bool:
        """Whether the token should be renewed."""
        return now - self.signed_at >= RENEW_AFTER


class VisitorTokens:
    """Signs and reads the three tokens of one site. ``secret_keys`` newest first; every one of them is accepted."""

    def __init__(self, secret_keys: Sequence[str], site_id: str, clock: Clock) -> None:
        oldest_first = list(reversed(secret_keys))
        self._cookie = _Signer(oldest_first, f"backflow.cookie.{site_id}", clock)
        self._mirror = _Signer(oldest_first, f"backflow.mirror.{site_id}", clock)
        self._handle = _Signer(oldest_first, f"backflow.handle.{site_id}", clock)
        self._mint_key = hmac.digest(secret_keys[0].encode(), f"backflow.visitor.{site_id}".encode(), "sha256")

    def cookie(self, visitor_id: str, first_issued: int) -> str:
        return self._cookie.sign(f"{visitor_id}.{first_issued}").decode()

    def mirror(self, visitor_id: str, first_issued: int) -> str:
        return self._mirror.sign(f"{visitor_id}.{first_issued}").decode()

    def handle(self, visitor_id: str, first_issued: int) -> str:
        return self._handle.sign(f"{visitor_id}.{first_issued}").decode()

    def read_cookie(self, token: str) -> Visit | None:
        """The visitor in a cookie's value, or None for a forged, foreign or damaged one."""
        return _read(self._cookie, token)

    def read_mirror(self, token: str) -> Visit | None:
        """The visitor in a mirror, or None for a forged, foreign or damaged one."""
        return _read(self._mirror, token)

    def read_handle(self, token: str) -> Visit | None:
        """The visitor in a handle, or None for a forged, foreign or damaged one."""
        return _read(self._handle, token)

    def mint(self, first_message_id: str) -> str | None:
        """The ID of a new visitor whose first message this is; None when the message ID proves nothing.

        A browser whose first answer got lost sends the same message again, still without a cookie. Deriving
        the ID from the message (keyed, so that nobody can aim at one) makes it the same visitor again instead
        of a second one that would never be tied to the first one's cart. Only random IDs are unique enough for
        that; for any other the caller takes a random ID.
        """
        if not _UNIQUE.fullmatch(first_message_id):
            return None
        return hmac.digest(self._mint_key, first_message_id.lower().encode(), "sha256").hex()[:32]


def cookie_name(*, secure: bool, domain: str | None) -> str:
    """``__Host-bf`` where the browser can hold it to this host; ``bf`` with a domain or on plain http."""
    return "__Host-bf" if secure and domain is None else "bf"


def set_cookie(value: str, *, secure: bool, domain: str | None) -> str:
    """The ``Set-Cookie`` header that keeps the visitor for 400 days."""
    parts = [f"{cookie_name(secure=secure, domain=domain)}={value}", "Path=/", f"Max-Age={MAX_AGE}", "HttpOnly"]
    if secure:
        parts.append("Secure")
    parts.append("SameSite=Lax")
    if domain is not None:
        parts.append(f"Domain={domain}")
    return "; ".join(parts)


def read_cookie_header(header: str, name: str) -> list[str]:
    """All values of the cookie ``name``: a shop may carry an old one of another path or domain beside ours."""
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return [value for key, _, value in pairs if key == name and value]


class _Signer(TimestampSigner):
    def __init__(self, keys: list[str], salt: str, clock: Clock) -> None:
        super().__init__(keys, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock.now())


def _read(signer: TimestampSigner, token: str) -> Visit | None:
    try:
        value, signed = signer.unsign(token, return_timestamp=True)
        visitor_id, _, first_issued = value.decode().rpartition(".")
        return Visit(visitor_id, int(first_issued), int(signed.timestamp()))
    except (BadSignature, ValueError, OverflowError):
        return None
