"""Who may call: keys, origins, rate limits, and the headers that say so."""

import hashlib
import hmac
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from msgspec import Struct

from relay.config import Site
from relay.errors import RequestRefused
from relay.model import Trust

#: Requests a minute from one address with the public key. An office or a carrier shares one, so it is high: what it
#: stops is a flood, and the tag comes back after a 429 without losing anything.
REQUESTS_PER_MINUTE = 6000

Headers = Mapping[bytes, bytes]


class Caller(Struct, frozen=True):
    """A request that may come in: for which site, and how far its claims are believed."""

    site: Site
    trust: Trust


class Keys:
    """Finds the site of a key. Secret keys are compared by digest: the time it takes tells nothing of the key."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._public = {site.write_key: site for site in sites}
        self._secret = {_digest(site.server_key): site for site in sites if site.server_key}

    def site(self, write_key: str) -> Site | None:
        """The site with this public key."""
        return self._public.get(write_key)

    def caller(self, headers: Headers, write_key: str | None, public_key: str | None = None) -> Caller:
        """Who calls, by ``Authorization: Basic`` or ``writeKey``, which may both be the public key (a browser's SDK) or
        the server key. ``public_key`` stood in the address, where a secret one is not heard: addresses are logged.

        Raises RequestRefused (401, 403).
        """
        keys = [key for key in (basic_user(headers), write_key) if key]
        if not keys and public_key in self._public:
            keys = [public_key]
        if not keys:
            raise RequestRefused(401, "missing_write_key", "writeKey: expected the site's key")
        # A browser that is logged in to the console sends that login here too: it is no key, so the next one counts.
        for key in keys:
            if site := self._secret.get(_digest(key)):
                return Caller(site, Trust.SERVER)
            if site := self._public.get(key):
                if not is_allowed_origin(headers, site):
                    problem = "Origin: expected one of the site's allowed origins"
                    raise RequestRefused(403, "origin_not_allowed", problem)
                return Caller(site, Trust.BROWSER)
        raise RequestRefused(401, "invalid_write_key", "writeKey: expected a key of this relay")


class RateLimit:
    """At most so many requests a minute from one address."""

    def __init__(self, per_minute: int = REQUESTS_PER_MINUTE) -> None:
        self._limit = RateLimitItemPerMinute(per_minute)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def check(self, address: str) -> None:
        """Raises RequestRefused (429) when ``address`` asks too often."""
        if not self._limiter.hit(self._limit, address):
            raise RequestRefused(429, "rate_limited", "too many requests from this address", retry_after=30)


def is_allowed_origin(headers: Headers, site: Site) -> bool:
    origin = headers.get(b"origin")
    return origin is not None and origin.decode("latin-1").lower() in site.allowed_origins


def basic_user(headers: Headers) -> str | None:
    """The user name of ``Authorization: Basic``, where Segment's SDKs put the key; None without one."""
    scheme, _, value = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        return b64decode(value.strip(), validate=True).decode().partition(":")[0] or None
    except (Base64Error, UnicodeDecodeError, ValueError):
        return None


def is_console_password(headers: Headers, password: str) -> bool:
    """Whether ``Authorization: Basic`` carries the console's password (any user name)."""
    scheme, _, value = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"basic":
        return False
    try:
        given = b64decode(value.strip(), validate=True).partition(b":")[2]
    except (Base64Error, ValueError):
        return False
    return hmac.compare_digest(given, password.encode())


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
