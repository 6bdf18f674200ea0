"""What browsers keep, strip and block: one row a browser; a jar that forgets by its rules. Times in epoch seconds.

Sources of the rules: WebKit "Tracking Prevention in WebKit", cookiestatus.com, rfc6265bis, brave-core query_filter; the
figures are in ``parameters``. A browser is assumed to be used every day, so that seven days of use are seven days.
"""

from enum import StrEnum
from typing import Any, NamedTuple

from tests.simulator.parameters import DAY, parameter


class Kind(StrEnum):
    SAFARI = "Safari"
    IN_APP = "in-app (WebKit)"
    IN_APP_ANDROID = "in-app (Chromium)"
    CHROME = "Chrome, Edge"
    FIREFOX = "Firefox"
    BRAVE = "Brave"


class Shape(StrEnum):
    """Where the relay stands, as seen from the shop's page."""

    PATH = "path"  #: a path of the shop's own host
    SIBLING = "sibling"  #: a subdomain that leads elsewhere


CLICK_IDS = frozenset({"fbclid", "gclid", "srsltid"})
#: Removed from every address that is come to from another site.
_BRAVE = CLICK_IDS | {"_kx"}
_FIREFOX_STRICT = frozenset({"fbclid", "gclid"})


class Rules(NamedTuple):
    """Lifetimes in seconds; None: no limit of its own."""

    script_cookie: float
    server_cookie: float
    sibling_cookie: float
    decorated_cookie: float  #: written by a script on a landing page whose address a tracker has decorated
    idle: float | None  #: what scripts have written goes after so long without an interaction


def _days(name: str) -> float:
    return parameter(name) * DAY


_WEBKIT = Rules(
    _days("safari_script_days"),
    _days("safari_server_days"),
    _days("safari_sibling_days"),
    _days("safari_decorated_script_days"),
    _days("safari_idle_days"),
)
_OTHER = Rules(_days("other_days"), _days("other_days"), _days("other_days"), _days("other_days"), None)
RULES = {
    Kind.SAFARI: _WEBKIT,
    Kind.IN_APP: _WEBKIT,
    Kind.IN_APP_ANDROID: _OTHER,
    Kind.CHROME: _OTHER,
    Kind.FIREFOX: _OTHER,
    Kind.BRAVE: Rules(
        _days("brave_script_days"),
        _days("brave_server_days"),
        _days("brave_server_days"),
        _days("brave_script_days"),
        None,
    ),
}


class Cookie(NamedTuple):
    value: str
    expires_at: float
    by_script: bool


class Jar:
    """Cookies and storage of one site in one browser (or one private window of it)."""

    def __init__(self, kind: Kind) -> None:
        self.rules = RULES[kind]
        self._cookies: dict[str, Cookie] = {}
        self._storage: dict[str, Any] = {}
        self._touched_at = 0.0

    def touch(self, now: float) -> None:
        """The shopper interacts with the page."""
        self._forget(now)
        self._touched_at = now

    def set_by_server(self, name: str, value: str, max_age: float, now: float, shape: Shape) -> None:
        longest = self.rules.sibling_cookie if shape is Shape.SIBLING else self.rules.server_cookie
        self._cookies[name] = Cookie(value, now + min(max_age, longest), by_script=False)

    def set_by_script(self, name: str, value: str, max_age: float, now: float, *, decorated: bool = False) -> None:
        longest = self.rules.decorated_cookie if decorated else self.rules.script_cookie
        self._cookies[name] = Cookie(value, now + min(max_age, longest), by_script=True)

    def cookie(self, name: str, now: float) -> str | None:
        self._forget(now)
        found = self._cookies.get(name)
        return None if found is None else found.value

    def cookies(self, now: float, *, of_server: bool) -> dict[str, str]:
        """Those that a server has set, or those that scripts have."""
        self._forget(now)
        return {name: one.value for name, one in self._cookies.items() if one.by_script is not of_server}

    def storage(self, now: float) -> dict[str, Any]:
        """What scripts keep beside cookies; the caller may change it."""
        self._forget(now)
        return self._storage

    def clear(self) -> None:
        """The shopper clears the site's data."""
        self._cookies.clear()
        self._storage.clear()

    def _forget(self, now: float) -> None:
        idle = self.rules.idle
        if idle is not None and now - self._touched_at > idle:
            self._storage.clear()
            self._cookies = {name: one for name, one in self._cookies.items() if not one.by_script}
        self._cookies = {name: one for name, one in self._cookies.items() if one.expires_at > now}


class Browser:
    """One browser on one device, whoever sits before it.

    ``blocks_klaviyo``: a blocker stops Klaviyo's script; a relay of the shop's own is on no list. ``consent`` is what
    its users answer to the shop's banner: True, False, or None for those who never answer. ``clock_is_ahead`` of the
    true time by so many seconds.
    """

    def __init__(
        self,
        browser_id: str,
        kind: Kind,
        user_agent: str,
        *,
        blocks_klaviyo: bool = False,
        is_strict: bool = False,
        is_private: bool = False,
        consent: bool | None = True,
        gpc: bool = False,
        clock_is_ahead: float = 0.0,
    ) -> None:
        self.browser_id = browser_id
        self.kind = kind
        self.user_agent = user_agent
        self.blocks_klaviyo = blocks_klaviyo or kind is Kind.BRAVE
        self.is_strict = is_strict
        self.is_private = is_private
        self.consent = consent
        self.gpc = gpc
        self.clock_is_ahead = clock_is_ahead
        self.jar = Jar(kind)

    def strips(self) -> frozenset[str]:
        """Parameters that are gone before any script runs."""
        if self.kind is Kind.BRAVE:
            return _BRAVE
        if self.kind is Kind.FIREFOX and (self.is_strict or self.is_private):
            return _FIREFOX_STRICT
        if self.kind is Kind.SAFARI and self.is_private:
            return CLICK_IDS
        return frozenset()
