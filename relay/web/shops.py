"""Which shop at Shopify is speaking: by its domain, proven by its secret."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence

from relay.config import Site
from relay.errors import RequestRefused

#: What is signed by a secret: the digest to be found.
Sign = Callable[[bytes], bytes]


class Shops:
    """The sites that have a secret of Shopify's."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = [site for site in sites if site.shopify_secrets]

    def signed_by(self, domain: str | None, given: bytes, sign: Sign) -> Site:
        """The site of the shop ``domain``, for which ``given`` is what one of its secrets makes of the request.

        Raises RequestRefused (401).
        """
        if not self._sites:
            raise RequestRefused(401, "shopify_not_configured", "RELAY_SHOPIFY_SECRET is not set on this relay")
        for site in self._sites:
            if not self._may_be(site, domain):
                continue
            if any(hmac.compare_digest(given, sign(secret.encode())) for secret in site.shopify_secrets):
                return site
        raise RequestRefused(401, "invalid_signature", "expected a signature by the secret of a shop of this relay")

    def _may_be(self, site: Site, domain: str | None) -> bool:
        if domain is None:
            return len(self._sites) == 1
        return site.shopify_domain in (None, domain.strip().lower())


def webhook_signature(body: bytes) -> Sign:
    """How Shopify signs a webhook: HMAC-SHA256 of the raw body, in base64."""
    return lambda secret: base64.b64encode(hmac.digest(secret, body, hashlib.sha256))


def proxy_signature(parameters: Sequence[tuple[str, str]]) -> Sign:
    """How Shopify signs a request that it passes on: HMAC-SHA256, in hexadecimal, of all parameters but ``signature``,
    sorted, as ``name=value`` without separators; several values of one name are joined by commas."""
    joined: dict[str, list[str]] = {}
    for name, value in parameters:
        if name != "signature":
            joined.setdefault(name, []).append(value)
    text = "".join(sorted(f"{name}={','.join(each)}" for name, each in joined.items()))
    return lambda secret: hmac.digest(secret, text.encode(), hashlib.sha256).hex().encode()
