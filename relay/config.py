"""Settings: read once at the start from the environment, ``.env`` and the file named by ``RELAY_CONFIG``.

A missing or bad value stops the start with a SettingsError that names its key. Secrets hide themselves in repr.

The environment describes one site, ``default``. ``RELAY_CONFIG`` names a TOML file for several; each table
``[sites.<id>]`` takes the site keys below in lower case without the prefix (``write_key = "..."``), and
environment values serve as defaults for every site but its keys and its list.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values
from msgspec import Struct

from relay.errors import SettingsError


class Forward(StrEnum):
    """What of a resolved visitor's events goes to Klaviyo."""

    BACKUP = "backup"  #: only what Klaviyo's own script could not file
    ALL = "all"  #: everything
    SHADOW = "shadow"  #: like backup, but recorded with ``backfill: true``: no flow starts


class Consent(StrEnum):
    """What the relay does without a consent signal."""

    AUTO = "auto"  #: needs one where the tag found a consent platform on the page
    REQUIRED = "required"  #: always needs one
    ASSUMED = "assumed"  #: goes on unless consent is denied


class Behaviour(StrEnum):
    """What is made of visitors that behave alike."""

    OFF = "off"  #: nothing is kept to tell
    SUSPECT = "suspect"  #: who an unknown visitor may be is shown and measured, and never sent


class PageEvents(StrEnum):
    """Which metric a page view becomes."""

    OFF = "off"
    ACTIVE_ON_SITE = "active_on_site"
    VIEWED_PAGE = "viewed_page"


class OrderEvent(StrEnum):
    """The metric that an order becomes."""

    PLACED_ORDER = "placed_order"  #: Klaviyo's own word, which its flows and reports read
    ORDER_COMPLETED = "order_completed"  #: as it is in the Segment spec


class Secret(str):
    """A string that does not show itself in repr, logs and tracebacks' locals."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('**********')"


class Site(Struct, frozen=True, kw_only=True):
    """One shop: its keys, origins, Klaviyo account and policies. Durations in seconds."""

    site_id: str
    write_key: str
    server_key: Secret | None = None
    allowed_origins: frozenset[str] = frozenset()
    klaviyo_api_key: Secret | None = None
    klaviyo_url: str = "https://a.klaviyo.com"
    metric_suffix: str = " - Backup Flow"
    forward: Forward = Forward.BACKUP
    hold_seconds: float = 180.0
    consent: Consent = Consent.AUTO
    cookie_domain: str | None = None
    #: Events of a visitor found within this time after the action start a flow; later ones are only recorded.
    abandonment_seconds: float = 24 * 3600.0
    #: How long an event waits for its person at all (14 days: Klaviyo's own queue of anonymous events).
    waiting_seconds: float = 14 * 86400.0
    #: Country for phone numbers written without a prefix (ISO 3166 alpha-2).
    country: str | None = None
    #: The e-mail address is the key of a profile: the customer ID is never sent as ``external_id``.
    email_primary: bool = True
    #: Events of visitors nobody knows are filed under an anonymous ID instead of waiting.
    anonymous_id: bool = False
    #: Whether Klaviyo may get profiles it does not have, and changes to those it has (off needs ``profiles:read``).
    create_profiles: bool = True
    update_profiles: bool = True
    #: The list that people join when a call names none.
    list_id: str | None = None
    #: What an opt-in is for when it names no channel, of ``email`` and ``sms``.
    subscribe_channels: tuple[str, ...] = ("email",)
    page_events: PageEvents = PageEvents.OFF
    #: Whether a page's event says which page it was.
    page_details: bool = True
    #: Names of the shop's own events that may become metrics, beside the standard ones; None: any, up to the limit.
    metrics: frozenset[str] | None = None
    behaviour: Behaviour = Behaviour.OFF
    #: Below this lower bound of its measured precision a class of evidence is not trusted (``identity.measure``).
    min_precision: float = 0.8
    #: How many values of a kind one person may have, where it is not ``identity.guards``' number.
    identifier_limits: Mapping[str, int] = {}
    #: Names of the events that may go to Klaviyo (None: all) and of those that may not, whatever case and spacing.
    events_allow: frozenset[str] | None = None
    events_block: frozenset[str] = frozenset()
    order_event: OrderEvent = OrderEvent.PLACED_ORDER
    #: Whether the caller's own objects among the properties are taken apart into ``outer.inner``.
    flatten_properties: bool = False
    #: Where links of e-mails lead to that name no origin; the first of the allowed ones.
    home_origin: str | None = None
    #: What Shopify signs with: webhooks, and requests through the app proxy. Any of them counts.
    shopify_secrets: tuple[Secret, ...] = ()
    #: ``shop.myshopify.com``: tells the shops of several sites apart.
    shopify_domain: str | None = None
    #: The profile property that holds the token for links of e-mails; None: none is made.
    link_property: str | None = None
    #: How long such a token is good.
    link_seconds: float = 30 * 86400.0
    #: The parameter of a landing URL that holds Klaviyo's ID of the recipient; None: none is read.
    profile_parameter: str | None = None

    @property
    def home(self) -> str | None:
        """The origin of the shop's pages that comes first."""
        return self.home_origin or min(self.allowed_origins, default=None)


class Settings(Struct, frozen=True, kw_only=True):
    """Everything the relay is told from outside."""

    secret_keys: tuple[Secret, ...]  #: newest first
    sites: tuple[Site, ...]
    database_url: str = "sqlite:///relay.db"
    console_password: Secret | None = None
    host: str = "127.0.0.1"
    port: int = 8400
    trusted_proxies: str = "127.0.0.1"
    path_prefix: str = ""

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Settings from ``environment`` (default: ``.env`` overlaid by the process environment)."""
        return _Reader(_environment() if environment is None else environment).settings()


def unknown_keys(environment: Mapping[str, str] | None = None) -> list[str]:
    """Keys in ``environment`` that look like settings and are none: typing errors, most likely."""
    names = _environment() if environment is None else environment
    known = {f"RELAY_{name}" for name in (*_SITE_KEYS, *_RELAY_KEYS)}
    return sorted(name for name in names if name.startswith("RELAY_") and name not in known)


def _environment() -> dict[str, str]:
    return {k: v for k, v in dotenv_values(".env").items() if v is not None} | dict(os.environ)


Choice = TypeVar("Choice", bound=StrEnum)

#: How the URL of each database begins.
SQLITE, POSTGRES = "sqlite:///", ("postgresql://", "postgres://")
#: What belongs to one shop or one Klaviyo account: an environment value is no default for these.
_OWN_KEYS = ("WRITE_KEY", "SERVER_KEY", "KLAVIYO_API_KEY", "LIST_ID", "SHOPIFY_SECRET", "SHOPIFY_DOMAIN")
_SITE_KEYS = (
    *_OWN_KEYS, "ALLOWED_ORIGINS", "KLAVIYO_URL", "METRIC_SUFFIX", "FORWARD", "HOLD_SECONDS", "CONSENT",
    "COOKIE_DOMAIN", "COUNTRY", "EMAIL_PRIMARY", "ANONYMOUS_ID", "CREATE_PROFILES", "UPDATE_PROFILES", "PAGE_EVENTS",
    "PAGE_DETAILS", "METRICS", "EVENTS_ALLOW", "EVENTS_BLOCK", "ORDER_EVENT", "FLATTEN_PROPERTIES",
    "SUBSCRIBE_CHANNELS", "LINK_PROPERTY", "LINK_DAYS", "PROFILE_PARAMETER", "BEHAVIOUR",
)  # fmt: skip
#: Settings that a TOML file may give as true or false.
_SWITCHES = (
    "EMAIL_PRIMARY",
    "ANONYMOUS_ID",
    "CREATE_PROFILES",
    "UPDATE_PROFILES",
    "PAGE_DETAILS",
    "FLATTEN_PROPERTIES",
)
#: Lists of names that may be empty, which the word ``none`` says in the environment.
_NAME_LISTS = ("METRICS", "EVENTS_ALLOW", "EVENTS_BLOCK")
CHANNELS = ("email", "sms")
_WORDS = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
_RELAY_KEYS = (
    "SECRET_KEYS", "DATABASE_URL", "CONSOLE_PASSWORD", "HOST", "PORT", "TRUSTED_PROXIES", "PATH_PREFIX", "CONFIG",
)  # fmt: skip
#: The form of a list's ID: it stands in the path of a call.
LIST_ID = r"[A-Za-z0-9_-]{1,64}"
#: Characters below which a signing key can be searched; ``relay doctor`` warns.
SHORT_SECRET = 16


class _Reader:
    """Reads the values of one place (the environment, or a site's table over it), naming keys in errors."""

    def __init__(
        self, values: Mapping[str, str], *, site: str | None = None, table: Mapping[str, str] | None = None
    ) -> None:
        """``table`` holds the values of the file's table for ``site``: they go before ``values``."""
        self._values = {**values, **(table or {})}
        self._from_environment = values
        self._table = table or {}
        self._site = site

    def key(self, name: str) -> str:
        """How the value is called where the operator wrote it."""
        key = f"RELAY_{name}"
        is_in_environment = key in self._from_environment and key not in self._table
        return key if self._site is None or is_in_environment else f"sites.{self._site}.{name.lower()}"

    def text(self, name: str) -> str | None:
        """The value without surrounding space; None when absent or blank."""
        return (self._values.get(f"RELAY_{name}") or "").strip() or None

    def required(self, name: str, expected: str) -> str:
        value = self.text(name)
        if value is None:
            raise SettingsError(self.key(name), f"is missing; expected {expected}")
        return value

    def number(self, name: str, default: float, *, low: float, high: float) -> float:
        value = self.text(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise SettingsError(self.key(name), f"expected a number from {low:g} to {high:g}, got {value!r}")
        return number

    def choice(self, name: str, default: Choice) -> Choice:
        value = self.text(name)
        if value is None:
            return default
        try:
            return type(default)(value.lower())
        except ValueError:
            names = ", ".join(type(default))
            raise SettingsError(self.key(name), f"expected one of {names}, got {value!r}") from None

    def switch(self, name: str, default: bool) -> bool:
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in _WORDS:
            raise SettingsError(self.key(name), f"expected on or off, got {value!r}")
        return _WORDS[value.lower()]

    def settings(self) -> Settings:
        keys = self.required("SECRET_KEYS", "one or more signing keys, comma separated, newest first").split(",")
        if not all(key.strip() for key in keys):
            raise SettingsError("RELAY_SECRET_KEYS", "expected keys between the commas, found an empty one")
        sites = self._sites()
        public = {site.write_key for site in sites}
        for site in sites:
            if site.server_key in public:
                key = "RELAY_SERVER_KEY" if self.text("CONFIG") is None else f"sites.{site.site_id}.server_key"
                raise SettingsError(key, "is secret, so it cannot be a write_key too: every shopper can read that one")
        return Settings(
            secret_keys=tuple(Secret(key.strip()) for key in keys),
            sites=sites,
            database_url=self._database_url(),
            console_password=self._secret("CONSOLE_PASSWORD"),
            host=self.text("HOST") or "127.0.0.1",
            port=self._port(),
            trusted_proxies=self._trusted_proxies(),
            path_prefix=self._path_prefix(),
        )

    def site(self, site_id: str) -> Site:
        return Site(
            site_id=site_id,
            write_key=self._write_key(),
            server_key=self._secret("SERVER_KEY"),
            allowed_origins=frozenset(self._origins()),
            klaviyo_api_key=self._secret("KLAVIYO_API_KEY"),
            klaviyo_url=self._url("KLAVIYO_URL", "https://a.klaviyo.com"),
            # Not stripped, and "" is a choice of its own: the suffix begins with a space by default.
            metric_suffix=self._values.get("RELAY_METRIC_SUFFIX", " - Backup Flow"),
            forward=self.choice("FORWARD", Forward.BACKUP),
            hold_seconds=self.number("HOLD_SECONDS", 180, low=0, high=86400),
            consent=self.choice("CONSENT", Consent.AUTO),
            cookie_domain=self._cookie_domain(),
            country=self._country(),
            email_primary=self.switch("EMAIL_PRIMARY", True),
            anonymous_id=self.switch("ANONYMOUS_ID", False),
            create_profiles=self.switch("CREATE_PROFILES", True),
            update_profiles=self.switch("UPDATE_PROFILES", True),
            list_id=self._list_id(),
            page_events=self.choice("PAGE_EVENTS", PageEvents.OFF),
            page_details=self.switch("PAGE_DETAILS", True),
            metrics=self._names("METRICS"),
            events_allow=self._names("EVENTS_ALLOW"),
            events_block=self._names("EVENTS_BLOCK") or frozenset(),
            order_event=self.choice("ORDER_EVENT", OrderEvent.PLACED_ORDER),
            flatten_properties=self.switch("FLATTEN_PROPERTIES", False),
            subscribe_channels=self._subscribe_channels(),
            home_origin=next(iter(self._origins()), None),
            shopify_secrets=tuple(map(Secret, self._list("SHOPIFY_SECRET"))),
            shopify_domain=self._shopify_domain(),
            link_property=self._link_property(),
            link_seconds=self.number("LINK_DAYS", 30, low=1, high=365) * 86400,
            profile_parameter=self._profile_parameter(),
            behaviour=self.choice("BEHAVIOUR", Behaviour.OFF),
        )

    def _sites(self) -> tuple[Site, ...]:
        path = self.text("CONFIG")
        if path is None:
            return (self.site("default"),)
        sites = []
        for site_id, table in _tables(path).items():
            shared = {k: v for k, v in self._values.items() if k.removeprefix("RELAY_") not in _OWN_KEYS}
            sites.append(_Reader(shared, site=site_id, table=_as_values(site_id, table)).site(site_id))
        for what in ("write_key", "server_key"):
            values = [value for site in sites if (value := getattr(site, what))]
            if len(values) != len(set(values)):
                raise SettingsError("RELAY_CONFIG", f"two sites have the same {what}")
        shops = [site for site in sites if site.shopify_secrets]
        for site in shops:
            if len(shops) > 1 and site.shopify_domain in (None, *(o.shopify_domain for o in shops if o is not site)):
                key = f"sites.{site.site_id}.shopify_domain"
                raise SettingsError(key, "expected a domain of its own: several sites take Shopify's webhooks")
        return tuple(sites)

    def _secret(self, name: str) -> Secret | None:
        value = self.text(name)
        return None if value is None else Secret(value)

    def _database_url(self) -> str:
        value = self.text("DATABASE_URL") or "sqlite:///relay.db"
        if value.startswith(POSTGRES):
            return Secret(value)  # it has a password
        if not value.startswith(SQLITE) or value == SQLITE:
            expected = "sqlite:///path/to/file.db or postgresql://user:password@host/database"
            raise SettingsError("RELAY_DATABASE_URL", f"expected {expected}, got a {value.partition(':')[0]!r} URL")
        return value

    def _port(self) -> int:
        port = self.number("PORT", 8400, low=1, high=65535)
        if port != int(port):
            raise SettingsError("RELAY_PORT", f"expected a whole number, got {port:g}")
        return int(port)

    def _trusted_proxies(self) -> str:
        value = self.text("TRUSTED_PROXIES") or "127.0.0.1"
        for proxy in value.split(","):
            try:
                if proxy.strip() != "*":
                    ip_network(proxy.strip())
            except ValueError:
                problem = f"expected IP addresses, networks such as 10.0.0.0/8, or *, comma separated, got {proxy!r}"
                raise SettingsError("RELAY_TRUSTED_PROXIES", problem) from None
        return value

    def _write_key(self) -> str:
        expected = "the site's public key: letters, digits, and any of . _ ~ -"
        value = self.required("WRITE_KEY", expected)
        if not re.fullmatch(r"[A-Za-z0-9._~-]+", value):  # it stands in the snippet's URL
            raise SettingsError(self.key("WRITE_KEY"), f"expected {expected}")
        return value

    def _path_prefix(self) -> str:
        value = (self.text("PATH_PREFIX") or "").rstrip("/")
        if value and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value):
            raise SettingsError("RELAY_PATH_PREFIX", f"expected a path such as /_r, got {value!r}")
        return value

    def _list(self, name: str) -> list[str]:
        return [one.strip() for one in (self.text(name) or "").split(",") if one.strip()]

    def _origins(self) -> list[str]:
        """In the order they are written."""
        origins = [origin.rstrip("/") for origin in self._list("ALLOWED_ORIGINS")]
        for origin in origins:
            if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d+)?", origin):
                problem = f"expected origins such as https://shop.com, comma separated, got {origin!r}"
                raise SettingsError(self.key("ALLOWED_ORIGINS"), problem)
        return [origin.lower() for origin in origins]

    def _url(self, name: str, default: str) -> str:
        value = (self.text(name) or default).rstrip("/")
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise SettingsError(self.key(name), "expected a URL such as https://a.klaviyo.com")
        return value

    def _cookie_domain(self) -> str | None:
        value = (self.text("COOKIE_DOMAIN") or "").lstrip(".").lower()
        if value and not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", value):
            raise SettingsError(self.key("COOKIE_DOMAIN"), f"expected a domain such as shop.com, got {value!r}")
        return value or None

    def _country(self) -> str | None:
        value = self.text("COUNTRY")
        if value and not re.fullmatch(r"[A-Za-z]{2}", value):
            raise SettingsError(self.key("COUNTRY"), f"expected two letters such as DE, got {value!r}")
        return value.upper() if value else None

    def _list_id(self) -> str | None:
        value = self.text("LIST_ID")
        if value and not re.fullmatch(LIST_ID, value):
            raise SettingsError(self.key("LIST_ID"), f"expected the ID of a Klaviyo list such as Y6nRLr, got {value!r}")
        return value

    def _shopify_domain(self) -> str | None:
        value = self.text("SHOPIFY_DOMAIN")
        if value and not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", value):
            raise SettingsError(
                self.key("SHOPIFY_DOMAIN"), f"expected a domain such as shop.myshopify.com, got {value!r}"
            )
        return value.lower() if value else None

    def _link_property(self) -> str | None:
        value = self.text("LINK_PROPERTY")
        if value and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", value):  # templates write it as person.<name>
            problem = f"expected letters, digits and underscores, such as BackflowLink, got {value!r}"
            raise SettingsError(self.key("LINK_PROPERTY"), problem)
        return value

    def _profile_parameter(self) -> str | None:
        value = self.text("PROFILE_PARAMETER")
        if value and (not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value) or value in ("_kx", "bf")):
            problem = f"expected the name of a URL parameter such as tw_profile_id, got {value!r}"
            raise SettingsError(self.key("PROFILE_PARAMETER"), problem)
        return value

    def _names(self, name: str) -> frozenset[str] | None:
        value = self.text(name)
        if value is None:
            return None
        names = frozenset(one.strip() for one in value.split(",") if one.strip())
        if not names:
            raise SettingsError(self.key(name), "expected names of events, comma separated, or none")
        return frozenset() if names == {"none"} else names

    def _subscribe_channels(self) -> tuple[str, ...]:
        value = self.text("SUBSCRIBE_CHANNELS") or "email"
        named = [one.strip().lower() for one in value.split(",")]
        if not set(CHANNELS).issuperset(named):
            raise SettingsError(self.key("SUBSCRIBE_CHANNELS"), f"expected email, sms or email,sms, got {value!r}")
        return tuple(channel for channel in CHANNELS if channel in named)


def _tables(path: str) -> dict[str, dict[str, object]]:
    try:
        document = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise SettingsError("RELAY_CONFIG", f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("RELAY_CONFIG", f"is not valid TOML: {error}") from error
    if unknown := document.keys() - {"sites"}:
        raise SettingsError("RELAY_CONFIG", f"{min(unknown)}: only tables [sites.<id>] belong in this file")
    sites = document.get("sites")
    if not isinstance(sites, dict) or not sites or not all(isinstance(t, dict) for t in sites.values()):
        raise SettingsError("RELAY_CONFIG", "expected one table [sites.<id>] for each shop")
    return sites


def _as_values(site_id: str, table: dict[str, object]) -> dict[str, str]:
    """A site's TOML table in the form of the environment, so that both are read by the same rules."""
    values = {}
    for name, value in table.items():
        if name.upper() not in _SITE_KEYS:
            raise SettingsError(f"sites.{site_id}.{name}", "is not a setting of a site")
        if isinstance(value, list) and all(isinstance(item, str) and "," not in item for item in value):
            value = ",".join(value) or ("none" if name.upper() in _NAME_LISTS else "")
        if isinstance(value, bool) and name.upper() in _SWITCHES:
            value = "on" if value else "off"
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            problem = "expected a string, a number or a list of strings without commas"
            raise SettingsError(f"sites.{site_id}.{name}", problem)
        values[f"RELAY_{name.upper()}"] = str(value)
    return values
