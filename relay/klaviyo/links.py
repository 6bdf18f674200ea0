"""An address as it may stand in an e-mail: whoever clicks there is not taken for the shopper of back then. Pure."""

from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

#: Query parameters that name a click or the recipient of a mail. Klaviyo's script, for one, identifies by ``_kx``.
_CLICKS = frozenset(
    {
        "_kx", "dclid", "epik", "fbclid", "gad_source", "gbraid", "gclid", "irclickid", "li_fat_id", "mc_cid", "mc_eid",
        "msclkid", "nb_klid", "rdt_cid", "sccid", "srsltid", "ttclid", "twclid", "wbraid", "yclid", "_gl", "bf", "_bf",
        "kpid",
    }
)  # fmt: skip
#: What else on a page's address is of one person alone. A shop that gives an address for a link may need them in it.
_PERSONAL = _CLICKS | {"email", "e-mail", "phone", "token", "tracking"}


def page_link(page_url: str | None) -> str | None:
    """Return the address of a page without fragment, campaign, click and personal parameters."""
    if page_url is None or ("?" not in page_url and "#" not in page_url):
        return page_url
    try:
        parts = urlsplit(page_url)
    except ValueError:
        return None
    return urlunsplit((parts.scheme, parts.netloc, parts.path, _kept(parts.query, _is_personal), ""))


def shop_link(url: str | None) -> str | None:
    """Return the address that the shop gives for a product or a checkout, without campaign and click parameters.

    It may well be the address of the page the shopper had come to by a mail.
    """
    if url is None or "?" not in url:
        return url
    head, _, rest = url.partition("?")
    query, mark, fragment = rest.partition("#")
    kept = _kept(query, _is_click)
    return f"{head}{'?' if kept else ''}{kept}{mark}{fragment}"


def _kept(query: str, dropped: Callable[[str, str], bool]) -> str:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return "&".join("".join(pair) for pair in pairs if not dropped(pair[0].lower(), pair[2]))


def _is_click(name: str, value: str) -> bool:
    return name.startswith("utm_") or name in _CLICKS


def _is_personal(name: str, value: str) -> bool:
    return name.startswith("utm_") or name in _PERSONAL or "@" in value or "%40" in value
