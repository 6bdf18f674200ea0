"""The address of a page as it may stand in an e-mail. Pure."""

from urllib.parse import urlsplit, urlunsplit

#: Query parameters that name a click or a recipient: they have no place in a link that is e-mailed.
_TRACKING = frozenset(
    {
        "_kx", "dclid", "epik", "fbclid", "gad_source", "gbraid", "gclid", "irclickid", "li_fat_id", "mc_cid", "mc_eid",
        "msclkid", "nb_klid", "rdt_cid", "sccid", "srsltid", "tracking", "ttclid", "twclid", "wbraid", "yclid", "_gl",
        "email", "e-mail", "phone", "token", "bf", "_bf", "kpid",
    }
)  # fmt: skip


def page_link(page_url: str | None) -> str | None:
    """Return the address of a page without fragment, campaign, click and recipient parameters."""
    if page_url is None or ("?" not in page_url and "#" not in page_url):
        return page_url
    try:
        parts = urlsplit(page_url)
    except ValueError:
        return None
    kept = "&".join(pair for pair in parts.query.split("&") if pair and not _is_tracking(pair))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, kept, ""))


def _is_tracking(pair: str) -> bool:
    name, _, value = pair.partition("=")
    name = name.lower()
    return name.startswith("utm_") or name in _TRACKING or "@" in value or "%40" in value
