"""``GET /tag.js?key=``: the tag with its site's settings inlined, so that it needs no further request.

Where the site's platform is set it is the tag for that platform, else the one for all.

Made once at the start for every site. Never sets a cookie: this answer lives in shared caches.

A shop takes it in by one of two snippets:

- ``snippet``, one line: ``<script async src="https://r.shop.com/tag.js?key=..."></script>``. What the page calls before
  the tag has arrived goes into an array of the page's own: ``(window.backflow = window.backflow || []).push(...)``.
- ``inline_snippet``, the same line behind an inline stub. The stub has the tag's calls at once, keeps each in the tag's
  own queue in the same tick, and sends them itself when the shopper leaves before the tag has arrived. They carry a
  ``messageId``, so the relay knows them again when the tag of the next page repeats them. It stores and sends under
  the tag's own rules of consent: never after a refusal; with ``required`` only after a kept yes; with ``auto`` not on
  a page that shows a consent platform, unless a yes is kept. Under a Content-Security-Policy it needs the page's nonce.

Both weigh less than ``LARGEST_SNIPPET`` bytes with brotli, as part of a page they travel in.
"""

import gzip
import hashlib
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import brotli
import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from relay.config import Consent, Platform, Site
from relay.errors import RequestRefused

#: Where the built tags are: inside the wheel, or beside the package in a checkout.
_PLACES = (Path(__file__).parents[1] / "static", Path(__file__).parents[2] / "static" / "dist")
_PLACEHOLDER = b"__BACKFLOW_SETTINGS__"
_REFUSED = re.compile(r"q\s*=\s*0(\.0*)?")

#: First-party cookies the tag may read: browser IDs and click IDs of analytics and ads, and Klaviyo's own.
COOKIES = ("_ga", "_fbp", "_fbc", "_gcl_aw", "_ttp", "_scid", "_rdt_uuid", "_epik", "__kla_id")
#: Days that each URL parameter is kept. Ads: as long as their networks' own cookies. What names one recipient would tie
#: whoever uses this browser later to that person, so it speaks for the visit alone: the relay has read it by then.
CLICK_IDS = {
    "_kx": 1, "bf": 1, "mc_eid": 1,
    "gclid": 90, "gbraid": 90, "wbraid": 90, "dclid": 90, "fbclid": 90, "msclkid": 90, "twclid": 90, "li_fat_id": 90,
    "ttclid": 30, "rdt_cid": 30, "epik": 365, "ScCid": 365, "sccid": 365,
    "irclickid": 30, "cjevent": 30, "sscid": 30, "awc": 30,
    "qclid": 90, "yclid": 90, "ymclid": 90, "ysclid": 90, "dicbo": 90, "obclid": 90, "tblci": 90, "ndclid": 90,
    "s_kwcid": 90, "ef_id": 90, "_branch_match_id": 1, "igshid": 1, "srsltid": 1,
}  # fmt: skip

#: Short, so that a new tag or a changed setting is everywhere within minutes.
MAX_AGE_SECONDS = 300


#: Bytes of a snippet with brotli 11.
LARGEST_SNIPPET = 500

#: What decides in the stub whether something may be stored and sent; ``g`` is the kept decision as JSON.
_MAY = {
    Consent.ASSUMED: '(!g||/"marketing":t/.test(g))',
    Consent.AUTO: '(g?/"marketing":t/.test(g):!/Shopify|tcfapi|OneTrust|Optanon|Cookiebot|"consent"/'
    ".test(Object.keys(window)+JSON.stringify(window.dataLayer)))",
    Consent.REQUIRED: '/"marketing":t/.test(g)',
}
_LINE = '<script async src="{url}/tag.js?key={key}"></script>'
#: Its messages are those of static/src/queue.js, its decision that of static/src/consent.js. ``t`` is the page's array,
#: ``f`` the messages among it, ``y`` calls without throwing, ``b`` does so if consent allows, ``h`` keeps a message.
#: The letters are those that brotli likes best.
_STUB = (
    "<script{nonce}>{{let t=window.backflow=window.backflow||[],f=[],g,y=a=>{{try{{a()}}catch{{}}}},"
    "b=a=>y(j=>{{{may}&&a()}}),"
    'h=a=>b(j=>localStorage["backflow.queue.{key}."+a.messageId]=JSON.stringify(a)),'
    "c=(type,b,a)=>t[type]=(d,s)=>{{let g={{timestamp:new Date,type,"
    'messageId:Date.now()*1e3+t.length+"-"+Math.random(),'
    "[a]:s,[d===Object(d)?a:b]:d}};t.push(g);f.push(g);h(g)}};"
    'y(j=>g=localStorage["backflow.consent"]);'
    'c("track","event","properties");c("page","name","properties");c("identify","userId","traits");'
    't.consent=a=>{{t.push(["consent",a]);y(j=>localStorage["backflow.consent"]=g=JSON.stringify(a||{{}}));f.map(h)}};'
    't.reset=a=>t.track("Signed Out");'
    'addEventListener("pagehide",a=>b(a=>t[0]&&f[0]&&navigator.sendBeacon("{url}/v1/batch",JSON.stringify({{'
    'writeKey:"{key}",sentAt:new Date,batch:f,context:{{consent:g&&JSON.parse(g)}}}}))))}}</script>\n'
)


class Variant(Struct, frozen=True):
    """One encoding of one site's tag."""

    body: bytes
    etag: str
    encoding: str | None


class TagFiles:
    """The tags of all sites, ready in every encoding."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._variants = {site.write_key: _variants(built_tag(site.platform), site) for site in sites}

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


def built_tag(platform: Platform = Platform.AUTO) -> bytes:
    """The built tag for shops of ``platform``, without settings. Raises FileNotFoundError in a broken installation."""
    return _built("tag.js" if platform is Platform.AUTO else f"tag.{platform}.js")


def build_report() -> dict[str, Any]:
    """What the build says of itself: ``version``, the hash of its ``sources``, ``sizes`` in bytes with brotli 11."""
    report: dict[str, Any] = msgspec.json.decode(_built("build.json"))
    return report


def _built(name: str) -> bytes:
    for place in _PLACES:
        if (file := place / name).exists():
            return file.read_bytes()
    raise FileNotFoundError(f"static/dist/{name} is missing from this installation")


def snippet(url: str, site: Site) -> str:
    """The one line to paste. ``url`` is the relay's public address, such as ``https://r.shop.com``."""
    return _LINE.format(url=html.escape(url.rstrip("/")), key=site.write_key)


def inline_snippet(url: str, site: Site, nonce: str = "") -> str:
    """The stub and the line to paste, as high in the page as can be. ``nonce`` is that of the page's policy."""
    safe = html.escape(url.rstrip("/"))
    attribute = f' nonce="{html.escape(nonce)}"' if nonce else ""
    stub = _STUB.format(url=safe, key=site.write_key, may=_MAY[site.consent], nonce=attribute)
    return stub + snippet(url, site)


def with_settings(source: bytes, site: Site) -> bytes:
    """The tag of ``site``."""
    # A profile's ID names one recipient, as _kx does: it is kept as long.
    click_ids = CLICK_IDS | ({site.profile_parameter: CLICK_IDS["_kx"]} if site.profile_parameter else {})
    settings = {"writeKey": site.write_key, "cookies": COOKIES, "clickIds": click_ids, "consent": site.consent}
    return source.replace(_PLACEHOLDER, msgspec.json.encode(settings))


def _variants(source: bytes, site: Site) -> tuple[Variant, ...]:
    plain = with_settings(source, site)
    encoded = [
        (brotli.compress(plain, mode=brotli.MODE_TEXT), "br"),
        (gzip.compress(plain, mtime=0), "gzip"),
        (plain, None),
    ]
    return tuple(Variant(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"', encoding) for body, encoding in encoded)
