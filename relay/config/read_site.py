"""One site's settings, from the environment or its table: the form each value must have."""

import re

from relay.config.choices import Behaviour, Consent, Forward, OrderEvent, PageEvents, Platform
from relay.config.secret import Secret
from relay.config.site import Site
from relay.config.values import Values
from relay.errors import SettingsError
from relay.identity.identifiers import IdentifierKind

#: The form of a list's ID: it stands in the path of a call.
LIST_ID = r"[A-Za-z0-9_-]{1,64}"
_CHANNELS = ("email", "sms")


def read_site(values: Values, site_id: str) -> Site:
    """The site that ``values`` describe. Raises SettingsError for the first value that is missing or bad."""
    return Site(
        site_id=site_id,
        write_key=_write_key(values),
        server_key=values.secret("SERVER_KEY"),
        allowed_origins=frozenset(origins := _origins(values)),
        klaviyo_api_key=values.header("KLAVIYO_API_KEY", "a private key such as pk_..."),
        klaviyo_url=values.url("KLAVIYO_URL", "https://a.klaviyo.com"),
        # Not stripped, and "" is a choice of its own: the suffix begins with a space by default.
        metric_suffix=values.as_written("METRIC_SUFFIX", " - Backup Flow"),
        forward=values.choice("FORWARD", Forward.BACKUP),
        hold_seconds=values.number("HOLD_SECONDS", 180, low=0, high=86400),
        consent=values.choice("CONSENT", Consent.AUTO),
        platform=values.choice("PLATFORM", Platform.AUTO),
        cookie_domain=_cookie_domain(values),
        country=_upper(values.matching("COUNTRY", r"[A-Za-z]{2}", "two letters such as DE")),
        email_primary=values.switch("EMAIL_PRIMARY", True),
        anonymous_id=values.switch("ANONYMOUS_ID", False),
        create_profiles=values.switch("CREATE_PROFILES", True),
        update_profiles=values.switch("UPDATE_PROFILES", True),
        list_id=values.matching("LIST_ID", LIST_ID, "the ID of a Klaviyo list such as Y6nRLr"),
        page_events=values.choice("PAGE_EVENTS", PageEvents.OFF),
        page_details=values.switch("PAGE_DETAILS", True),
        metrics=values.names("METRICS"),
        events_allow=values.names("EVENTS_ALLOW"),
        events_block=values.names("EVENTS_BLOCK") or frozenset(),
        order_event=values.choice("ORDER_EVENT", OrderEvent.PLACED_ORDER),
        flatten_properties=values.switch("FLATTEN_PROPERTIES", False),
        subscribe_channels=_subscribe_channels(values),
        home_origin=next(iter(origins), None),
        shopify_secrets=tuple(map(Secret, values.several("SHOPIFY_SECRET"))),
        shopify_domain=_shopify_domain(values),
        link_property=_link_property(values),
        link_seconds=values.number("LINK_DAYS", 30, low=1, high=365) * 86400,
        profile_parameter=_profile_parameter(values),
        min_precision=values.number("MIN_PRECISION", 0.6, low=0, high=1),
        identifier_limits=_identifier_limits(values),
        behaviour=values.choice("BEHAVIOUR", Behaviour.OFF),
    )


def _write_key(values: Values) -> str:
    expected = "the site's public key: letters, digits, and any of . _ ~ -"
    value = values.required("WRITE_KEY", expected)
    if not re.fullmatch(r"[A-Za-z0-9._~-]+", value):  # it stands in the snippet's URL
        raise SettingsError(values.key("WRITE_KEY"), f"expected {expected}")
    return value


def _origins(values: Values) -> list[str]:
    """In the order they are written."""
    origins = [origin.rstrip("/") for origin in values.several("ALLOWED_ORIGINS")]
    for origin in origins:
        if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d+)?", origin):
            problem = f"expected origins such as https://shop.com, comma separated, got {origin!r}"
            raise SettingsError(values.key("ALLOWED_ORIGINS"), problem)
    return [origin.lower() for origin in origins]


def _cookie_domain(values: Values) -> str | None:
    value = (values.text("COOKIE_DOMAIN") or "").lstrip(".").lower()
    if value and not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", value):
        raise SettingsError(values.key("COOKIE_DOMAIN"), f"expected a domain such as shop.com, got {value!r}")
    return value or None


def _upper(value: str | None) -> str | None:
    return value and value.upper()


def _shopify_domain(values: Values) -> str | None:
    form = r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
    value = values.matching("SHOPIFY_DOMAIN", form, "a domain such as shop.myshopify.com")
    return value and value.lower()


def _link_property(values: Values) -> str | None:
    form = r"[A-Za-z][A-Za-z0-9_]{0,63}"  # templates write it as person.<name>
    return values.matching("LINK_PROPERTY", form, "letters, digits and underscores, such as BackflowLink")


def _profile_parameter(values: Values) -> str | None:
    name, expected = "PROFILE_PARAMETER", "the name of a URL parameter such as tw_profile_id"
    value = values.matching(name, r"[A-Za-z0-9_.-]{1,64}", expected)
    if value in ("_kx", "bf"):  # the other links' own
        raise SettingsError(values.key(name), f"expected {expected}, got {value!r}")
    return value


def _subscribe_channels(values: Values) -> tuple[str, ...]:
    value = values.text("SUBSCRIBE_CHANNELS") or "email"
    named = [one.strip().lower() for one in value.split(",")]
    if not set(_CHANNELS).issuperset(named):
        raise SettingsError(values.key("SUBSCRIBE_CHANNELS"), f"expected email, sms or email,sms, got {value!r}")
    return tuple(channel for channel in _CHANNELS if channel in named)


def _identifier_limits(values: Values) -> dict[str, int]:
    limits: dict[str, int] = {}
    for part in values.several("IDENTIFIER_LIMITS"):
        kind, _, limit = (word.strip() for word in part.partition("="))
        if kind not in set(IdentifierKind) or kind in limits or not re.fullmatch(r"[1-9]\d{0,8}", limit):
            kinds = ", ".join(IdentifierKind)
            expected = f"whole numbers above 0 by kind ({kinds}), each once, such as email=5,phone=5"
            raise SettingsError(values.key("IDENTIFIER_LIMITS"), f"expected {expected}; got {part!r}")
        limits[kind] = int(limit)
    return limits
