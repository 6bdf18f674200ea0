"""What is told of a page or screen that was seen, where the site makes metrics of them.

Only where it was: address, title, path and the host the shopper came from. Everything else a page call carries (query,
campaign, the whole referrer) may hold click IDs and addresses, and stays here. Pure.
"""

from typing import Any
from urllib.parse import urlsplit

from relay.config import PageEvents, Site
from relay.model import Commerce, Kept, Message
from relay.pipeline import values

#: The names of Segment's page call, then GA4's.
_TITLE, _PATH, _REFERRER = ("title", "page_title"), ("path", "page_path"), ("referrer", "page_referrer")
_URL = ("url", "page_location")


def events(message: Message, site: Site) -> PageEvents:
    """Which metric a page or screen becomes: none where the caller says that nobody was looking (``context.active``
    false, Segment's word for calls that no person has made)."""
    return PageEvents.OFF if message.context.get("active") is False else site.page_events


def kept(message: Message, commerce: Commerce, *, details: bool) -> Kept:
    """Return the event of a page as it is stored: with its ``details``, or only that there was one."""
    if not details:
        return Kept(commerce=Commerce(kind=commerce.kind, name=""))
    page = message.context.get("page")
    sources = (message.properties, page if isinstance(page, dict) else {})
    url = values.link(_first(sources, _URL))
    told = {
        "title": _first(sources, _TITLE),
        "path": _path(_first(sources, _PATH) or url),
        "referrer_host": _host(_first(sources, _REFERRER)),
    }
    return Kept(
        commerce=Commerce(
            kind=commerce.kind,
            name=(message.name or "").strip(),
            properties={name: value for name, value in told.items() if value},
        ),
        page_url=url or values.page_address(message.context),
    )


def _first(sources: tuple[dict[str, Any], ...], names: tuple[str, ...]) -> str | None:
    found = (values.text(source.get(name)) for source in sources for name in names)
    return next((text for text in found if text is not None), None)


def _path(address: str | None) -> str | None:
    """The path of an address, without the query that may follow it."""
    try:
        return urlsplit(address).path or None if address else None
    except ValueError:
        return None


def _host(address: str | None) -> str | None:
    try:
        return urlsplit(address).hostname if address else None
    except ValueError:
        return None
