"""Where a link of an e-mail leads: only ever to the shop. Pure."""

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from relay.config import Site

#: Of the link itself: they do not travel on.
OWN_PARAMETERS = ("bf", "to", "key")


def destination(site: Site, to: str, others: Sequence[tuple[str, str]] = (), token: str | None = None) -> str | None:
    """The address on one of the site's origins that ``to`` names; the shop's first page when it names any other.

    ``others`` are the link's other parameters (campaign, ``_kx``): they travel on, for whoever reads them there.
    ``token`` goes along as ``bf`` when the tag is to follow it. None: the site has no origin to lead to.
    """
    home = site.home
    if home is None:
        return None
    parts = urlsplit(f"{home}/")
    # Browsers read a backslash as a slash and drop control characters: what looks relative may lead elsewhere.
    if to and not any(char <= " " or char in "\\\x7f" for char in to):
        try:
            found = urlsplit(urljoin(f"{home}/", to))
            if f"{found.scheme}://{found.netloc}".lower() in site.allowed_origins:
                parts = found
        except ValueError:
            pass  # no address at all
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "bf"]
    known = {name for name, _ in query}
    query += [(name, value) for name, value in others if name not in OWN_PARAMETERS and name not in known]
    if token is not None:
        query.append(("bf", token))
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", urlencode(query), parts.fragment))


def origin_of(to: str) -> str | None:
    """The origin that an absolute address names."""
    try:
        parts = urlsplit(to)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.scheme in ("http", "https") and parts.netloc else None
