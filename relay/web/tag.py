"""``GET /tag.js?key=``: the tag with its site's settings inlined, so that it needs no further request.

Made once at the start for every site. Never sets a cookie: this answer lives in shared caches.
"""

import gzip
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import brotli
import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from relay.config import Site
from relay.errors import RequestRefused

#: Where the built tag is: inside the wheel, or beside the package in a checkout.
_PLACES = (
    Path(__file__).parents[1] / "static" / "tag.js",
    Path(__file__).parents[2] / "static" / "dist" / "tag.js",
)
_PLACEHOLDER = b"__BACKFLOW_SETTINGS__"
_REFUSED = re.compile(r"q\s*=\s*0(\.0*)?")

#: First-party cookies the tag may read: browser IDs and click IDs of analytics and ads, and Klaviyo's own.
COOKIES = ("_ga", "_fbp", "_fbc", "_gcl_aw", "_ttp", "_scid", "_rdt_uuid", "_epik", "__kla_id")
#: URL parameters kept for the visit: they name one click or one recipient.
CLICK_IDS = (
    "_kx", "gclid", "gbraid", "wbraid", "dclid", "fbclid", "ttclid", "msclkid", "twclid", "li_fat_id", "epik", "ScCid",
    "rdt_cid", "irclickid", "cjevent", "sscid", "awc", "mc_eid",
)  # fmt: skip

#: Short, so that a new tag or a changed setting is everywhere within minutes.
MAX_AGE_SECONDS = 300


class Variant(Struct, frozen=True):
    """One encoding of one site's tag."""

    body: bytes
    etag: str
    encoding: str | None


class TagFiles:
    """The tags of all sites, ready in every encoding."""

    def __init__(self, sites: Sequence[Site], source: bytes | None = None) -> None:
        source = built_tag() if source is None else source
        self._variants = {site.write_key: _variants(source, site) for site in sites}

    async def __call__(self, request: Request) -> Response:
        variants = self._variants.get(request.query_params.get("key", ""))
        if variants is None:
            raise RequestRefused(404, "unknown_write_key", "key: expected the public key of a site of this relay")
        accepted = accepted_encodings(request.headers.get("accept-encoding", ""))
        variant = next(variant for variant in variants if variant.encoding is None or variant.encoding in accepted)
        headers = {
            "ETag": variant.etag,
            "Cache-Control": f"public, max-age={MAX_AGE_SECONDS}",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "cross-origin",
        }
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if variant.etag in known or "*" in known:
            return Response(status_code=304, headers=headers)
        if variant.encoding is not None:
            headers["Content-Encoding"] = variant.encoding
        return Response(variant.body, media_type="text/javascript", headers=headers)


def accepted_encodings(header: str) -> frozenset[str]:
    """The encodings that an ``Accept-Encoding`` header names, without those refused by ``q=0`` (RFC 9110, 12.4.2)."""
    parts = [part.partition(";") for part in header.lower().split(",")]
    return frozenset(name.strip() for name, _, weight in parts if not _REFUSED.fullmatch(weight.strip()))


def built_tag() -> bytes:
    """The built tag, without settings. Raises FileNotFoundError in a broken installation."""
    for place in _PLACES:
        if place.exists():
            return place.read_bytes()
    raise FileNotFoundError("static/dist/tag.js is missing from this installation")


def with_settings(source: bytes, site: Site) -> bytes:
    """The tag of ``site``."""
    settings = {"writeKey": site.write_key, "cookies": COOKIES, "clickIds": CLICK_IDS, "consent": site.consent}
    return source.replace(_PLACEHOLDER, msgspec.json.encode(settings))


def _variants(source: bytes, site: Site) -> tuple[Variant, ...]:
    plain = with_settings(source, site)
    encoded = [
        (brotli.compress(plain, mode=brotli.MODE_TEXT), "br"),
        (gzip.compress(plain, mtime=0), "gzip"),
        (plain, None),
    ]
    return tuple(Variant(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"', encoding) for body, encoding in encoded)
