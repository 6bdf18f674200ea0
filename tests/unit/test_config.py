"""Settings: every key's good and bad values; an error names its key and shows no secret."""

from pathlib import Path
from typing import Any

import pytest

from relay.config import Behaviour, Consent, Forward, OrderEvent, PageEvents, Secret, Settings, unknown_keys
from relay.errors import SettingsError

LEAST = {"RELAY_SECRET_KEYS": "0123456789abcdef", "RELAY_WRITE_KEY": "public"}
MARKER = "do-not-show-this-secret"


def read(**values: str) -> Settings:
    return Settings.read(LEAST | {f"RELAY_{name}": value for name, value in values.items()})


def value_of(settings: Settings, name: str) -> Any:
    return getattr(settings if hasattr(settings, name) else settings.sites[0], name)


def test_the_least_that_starts_has_the_defaults_of_the_contract() -> None:
    settings = read()
    assert settings.database_url == "sqlite:///relay.db"
    assert settings.console_password is None
    assert settings.path_prefix == ""
    (site,) = settings.sites
    assert (site.site_id, site.write_key, site.server_key) == ("default", "public", None)
    assert site.klaviyo_api_key is None
    assert site.klaviyo_url == "https://a.klaviyo.com"
    assert site.metric_suffix == " - Backup Flow"
    assert site.forward is Forward.BACKUP
    assert site.hold_seconds == 180
    assert site.consent is Consent.AUTO
    assert site.cookie_domain is None
    assert site.allowed_origins == frozenset()
    assert (site.email_primary, site.anonymous_id) == (True, False)
    assert (site.create_profiles, site.update_profiles, site.list_id) == (True, True, None)
    assert site.behaviour is Behaviour.OFF
    assert (site.page_events, site.page_details, site.metrics) == (PageEvents.OFF, True, None)
    assert (site.events_allow, site.events_block) == (None, frozenset())
    assert (site.order_event, site.flatten_properties) == (OrderEvent.PLACED_ORDER, False)
    assert site.subscribe_channels == ("email",)
    assert (site.shopify_secrets, site.shopify_domain, site.home) == ((), None, None)
    assert (site.link_property, site.link_seconds, site.profile_parameter) == (None, 30 * 86400, None)
    assert (site.min_precision, site.identifier_limits) == (0.6, {})


GOOD = [
    ("SECRET_KEYS", " newest-signing-key , older-signing-key ", "secret_keys",
     ("newest-signing-key", "older-signing-key")),
    ("WRITE_KEY", "wk_Shop.1~a-b", "write_key", "wk_Shop.1~a-b"),
    ("SERVER_KEY", "secret", "server_key", "secret"),
    ("ALLOWED_ORIGINS", "", "allowed_origins", frozenset()),
    ("ALLOWED_ORIGINS", "https://shop.com", "allowed_origins", {"https://shop.com"}),
    ("ALLOWED_ORIGINS", " https://Shop.com/ ,http://localhost:8080,, ", "allowed_origins",
     {"https://shop.com", "http://localhost:8080"}),
    ("KLAVIYO_API_KEY", "pk_1", "klaviyo_api_key", "pk_1"),
    ("KLAVIYO_URL", "http://127.0.0.1:9000/", "klaviyo_url", "http://127.0.0.1:9000"),
    ("METRIC_SUFFIX", "", "metric_suffix", ""),
    ("METRIC_SUFFIX", " (relay)", "metric_suffix", " (relay)"),
    ("FORWARD", "backup", "forward", Forward.BACKUP),
    ("FORWARD", "ALL", "forward", Forward.ALL),
    ("FORWARD", " shadow ", "forward", Forward.SHADOW),
    ("HOLD_SECONDS", "0", "hold_seconds", 0),
    ("MIN_PRECISION", "0.95", "min_precision", 0.95), ("MIN_PRECISION", "0", "min_precision", 0),
    ("IDENTIFIER_LIMITS", "email=5,phone=12", "identifier_limits", {"email": 5, "phone": 12}),
    ("IDENTIFIER_LIMITS", " customer_id = 1 ,", "identifier_limits", {"customer_id": 1}),
    ("IDENTIFIER_LIMITS", " ", "identifier_limits", {}),
    ("HOLD_SECONDS", "86400", "hold_seconds", 86400),
    ("HOLD_SECONDS", "1.5", "hold_seconds", 1.5),
    ("CONSENT", "required", "consent", Consent.REQUIRED),
    ("CONSENT", "assumed", "consent", Consent.ASSUMED),
    ("COOKIE_DOMAIN", ".Shop.com", "cookie_domain", "shop.com"),
    ("COOKIE_DOMAIN", "shop.co.uk", "cookie_domain", "shop.co.uk"),
    ("COUNTRY", "de", "country", "DE"),
    ("LIST_ID", " Y6nRLr ", "list_id", "Y6nRLr"),
    ("LIST_ID", "", "list_id", None),
    ("PAGE_EVENTS", "active_on_site", "page_events", PageEvents.ACTIVE_ON_SITE),
    ("PAGE_EVENTS", "Viewed_Page", "page_events", PageEvents.VIEWED_PAGE),
    ("METRICS", " Quiz Done,, Size Guide Opened ", "metrics", {"Quiz Done", "Size Guide Opened"}),
    ("METRICS", "none", "metrics", frozenset()),
    ("METRICS", " ", "metrics", None),
    ("EVENTS_ALLOW", "Product Added, Order Completed", "events_allow", {"Product Added", "Order Completed"}),
    ("EVENTS_ALLOW", "none", "events_allow", frozenset()),
    ("EVENTS_ALLOW", "", "events_allow", None),
    ("EVENTS_BLOCK", " Product Clicked ,", "events_block", {"Product Clicked"}),
    ("EVENTS_BLOCK", "none", "events_block", frozenset()),
    ("EVENTS_BLOCK", " ", "events_block", frozenset()),
    ("ORDER_EVENT", "Order_Completed", "order_event", OrderEvent.ORDER_COMPLETED),
    ("FLATTEN_PROPERTIES", "on", "flatten_properties", True),
    ("SUBSCRIBE_CHANNELS", " SMS , email", "subscribe_channels", ("email", "sms")),
    ("SUBSCRIBE_CHANNELS", "sms", "subscribe_channels", ("sms",)),
    ("SUBSCRIBE_CHANNELS", "", "subscribe_channels", ("email",)),
    ("BEHAVIOUR", "", "behaviour", Behaviour.OFF),
    ("BEHAVIOUR", "Suspect", "behaviour", Behaviour.SUSPECT),
    *[(name.upper(), text, name, True) for name in ("email_primary", "anonymous_id", "create_profiles",
     "update_profiles", "page_details") for text in ("on", "TRUE", " yes ", "1")],
    *[(name.upper(), text, name, False) for name in ("email_primary", "anonymous_id", "create_profiles",
     "update_profiles", "page_details") for text in ("off", "false", "No", "0")],
    ("CREATE_PROFILES", "", "create_profiles", True),
    ("ALLOWED_ORIGINS", "https://z.com,https://a.com", "home_origin", "https://z.com"),
    ("SHOPIFY_SECRET", "one", "shopify_secrets", ("one",)),
    ("SHOPIFY_SECRET", " new , old,", "shopify_secrets", ("new", "old")),
    ("SHOPIFY_DOMAIN", "Shop.MyShopify.com", "shopify_domain", "shop.myshopify.com"),
    ("LINK_PROPERTY", "BackflowLink", "link_property", "BackflowLink"),
    ("LINK_DAYS", "7", "link_seconds", 7 * 86400),
    ("PROFILE_PARAMETER", "tw_profile_id", "profile_parameter", "tw_profile_id"),
    ("DATABASE_URL", "sqlite:////var/lib/relay/relay.db", "database_url", "sqlite:////var/lib/relay/relay.db"),
    ("DATABASE_URL", "postgresql://db/relay", "database_url", "postgresql://db/relay"),
    ("DATABASE_URL", "postgres://db/relay", "database_url", "postgres://db/relay"),
    ("CONSOLE_PASSWORD", "open sesame", "console_password", "open sesame"),
    ("HOST", "0.0.0.0", "host", "0.0.0.0"),  # noqa: S104 - a value to be read
    ("PORT", "80", "port", 80),
    ("TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1,::1", "trusted_proxies", "10.0.0.0/8, 192.0.2.1,::1"),
    ("TRUSTED_PROXIES", "*", "trusted_proxies", "*"),
    ("PATH_PREFIX", "/_r/", "path_prefix", "/_r"),
    ("PATH_PREFIX", "/a/b-c", "path_prefix", "/a/b-c"),
    ("PATH_PREFIX", "/", "path_prefix", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "field", "expected"), GOOD, ids=[f"{n}={t}" for n, t, _, _ in GOOD])
def test_good_values_are_read(name: str, text: str, field: str, expected: object) -> None:
    assert value_of(read(**{name: text}), field) == expected


BAD = [
    ("SECRET_KEYS", ""), ("SECRET_KEYS", "   "), ("SECRET_KEYS", "0123456789abcdef,"),
    ("SECRET_KEYS", "0123456789abcdef, ,fedcba9876543210"), ("SECRET_KEYS", ",0123456789abcdef"),
    ("WRITE_KEY", ""), ("WRITE_KEY", " "), ("WRITE_KEY", "with space"), ("WRITE_KEY", "a&b=c"),
    ("WRITE_KEY", "</script>"),
    ("SERVER_KEY", "public"),
    ("ALLOWED_ORIGINS", "*"), ("ALLOWED_ORIGINS", "shop.com"), ("ALLOWED_ORIGINS", "https://shop.com/path"),
    ("ALLOWED_ORIGINS", "https://shop.com https://b.com"), ("ALLOWED_ORIGINS", "https://ok.com,ftp://shop.com"),
    ("ALLOWED_ORIGINS", "https://user@shop.com"), ("ALLOWED_ORIGINS", "null"), ("ALLOWED_ORIGINS", "https://*.shop.com"),
    ("KLAVIYO_API_KEY", "pk_abc\u2026"), ("KLAVIYO_API_KEY", "pk_a\nb"), ("KLAVIYO_API_KEY", "pk a"),
    ("KLAVIYO_URL", "a.klaviyo.com"), ("KLAVIYO_URL", "ftp://a.klaviyo.com"), ("KLAVIYO_URL", "https://"),
    ("KLAVIYO_URL", "https://u:p@host"), ("KLAVIYO_URL", "https://host?x=1"),
    ("FORWARD", "some"), ("FORWARD", "backup,all"),
    ("HOLD_SECONDS", "-1"), ("HOLD_SECONDS", "86401"), ("HOLD_SECONDS", "soon"), ("HOLD_SECONDS", "nan"),
    ("HOLD_SECONDS", "inf"),
    ("MIN_PRECISION", "80"), ("MIN_PRECISION", "-0.1"), ("MIN_PRECISION", "high"), ("MIN_PRECISION", "nan"),
    ("IDENTIFIER_LIMITS", "5"), ("IDENTIFIER_LIMITS", "email"), ("IDENTIFIER_LIMITS", "email=0"),
    ("IDENTIFIER_LIMITS", "email=-1"), ("IDENTIFIER_LIMITS", "email=1.5"), ("IDENTIFIER_LIMITS", "email=many"),
    ("IDENTIFIER_LIMITS", "mail=5"), ("IDENTIFIER_LIMITS", "email=5,email=6"), ("IDENTIFIER_LIMITS", "email=5;phone=5"),
    ("CONSENT", "none"),
    ("BEHAVIOUR", "on"), ("BEHAVIOUR", "shadow"),
    ("COOKIE_DOMAIN", "localhost"), ("COOKIE_DOMAIN", "shop.com; Secure"), ("COOKIE_DOMAIN", "https://shop.com"),
    ("COOKIE_DOMAIN", "shop..com"),
    ("COUNTRY", "Germany"), ("COUNTRY", "1"),
    ("EMAIL_PRIMARY", "maybe"), ("ANONYMOUS_ID", "2"), ("CREATE_PROFILES", "none"), ("UPDATE_PROFILES", "on,off"),
    ("PAGE_DETAILS", "null"), ("PAGE_EVENTS", "on"), ("PAGE_EVENTS", "Active on Site"), ("METRICS", ","),
    ("EVENTS_ALLOW", ", ,"), ("EVENTS_BLOCK", ","), ("ORDER_EVENT", "Placed Order"), ("ORDER_EVENT", "purchase"),
    ("FLATTEN_PROPERTIES", "deep"), ("SUBSCRIBE_CHANNELS", "push"), ("SUBSCRIBE_CHANNELS", "email sms"),
    ("SUBSCRIBE_CHANNELS", "email,"), ("SUBSCRIBE_CHANNELS", "none"),
    ("SHOPIFY_DOMAIN", "shop"), ("SHOPIFY_DOMAIN", "https://shop.myshopify.com"),
    ("LINK_PROPERTY", "Backflow Link"), ("LINK_PROPERTY", "$email"), ("LINK_PROPERTY", "1st"),
    ("LINK_DAYS", "0"), ("LINK_DAYS", "366"), ("LINK_DAYS", "a month"),
    ("PROFILE_PARAMETER", "_kx"), ("PROFILE_PARAMETER", "bf"), ("PROFILE_PARAMETER", "a=b"),
    ("LIST_ID", "a list"), ("LIST_ID", "../events"), ("LIST_ID", "Y6nRLr,XUepkK"),
    ("DATABASE_URL", "sqlite:///"), ("DATABASE_URL", "relay.db"), ("DATABASE_URL", "mysql://localhost/relay"),
    ("PORT", "0"), ("PORT", "65536"), ("PORT", "http"), ("PORT", "80.5"), ("PORT", "-1"),
    ("TRUSTED_PROXIES", "10.0.0.0/99"), ("TRUSTED_PROXIES", "10.0.0.1/8"), ("TRUSTED_PROXIES", "proxy.local"),
    ("TRUSTED_PROXIES", "127.0.0.1,"),
    ("PATH_PREFIX", "_r"), ("PATH_PREFIX", "/_r//x"), ("PATH_PREFIX", "/_r?x"), ("PATH_PREFIX", "https://x/_r"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text"), BAD, ids=[f"{name}={text}" for name, text in BAD])
def test_bad_values_stop_the_start_and_name_their_key(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as stopped:
        read(**{name: text})
    assert stopped.value.key == f"RELAY_{name}"
    assert str(stopped.value).startswith(f"RELAY_{name}: ")


@pytest.mark.parametrize("name", ["SECRET_KEYS", "WRITE_KEY"])
def test_a_missing_value_stops_the_start_and_names_its_key(name: str) -> None:
    values = {key: value for key, value in LEAST.items() if key != f"RELAY_{name}"}
    with pytest.raises(SettingsError, match="is missing") as stopped:
        Settings.read(values)
    assert stopped.value.key == f"RELAY_{name}"


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_secrets_hide_in_repr() -> None:
    settings = read(SECRET_KEYS=MARKER, SERVER_KEY=MARKER, KLAVIYO_API_KEY=MARKER, CONSOLE_PASSWORD=MARKER)
    assert MARKER not in repr(settings)
    assert "Secret('**********')" in repr(settings)
    assert settings.sites[0].server_key == MARKER  # they are still there to be used


def test_a_secret_is_a_string() -> None:
    assert Secret("a").encode() == b"a"
    assert MARKER not in f"{[Secret(MARKER)]}"


@pytest.mark.parametrize(
    "values",
    [
        {"SECRET_KEYS": f"{MARKER},"},
        {"WRITE_KEY": MARKER, "SERVER_KEY": MARKER},
        {"WRITE_KEY": f"{MARKER} x"},
        {"DATABASE_URL": f"mysql://relay:{MARKER}@host/db"},
        {"KLAVIYO_URL": f"https://user:{MARKER}@host"},
    ],
    ids=["signing key", "server key", "write key", "database password", "url password"],
)
def test_errors_show_no_secrets(values: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as stopped:
        read(**values)
    assert MARKER[:15] not in str(stopped.value)


# --- several sites ---------------------------------------------------------------------------------------------------

TWO_SITES = """
[sites.lamps]
write_key = "lamps"
server_key = "lamps-secret"
allowed_origins = ["https://lamps.example", "https://www.lamps.example"]
hold_seconds = 60
forward = "all"

[sites.rugs]
write_key = "rugs"
metric_suffix = ""
create_profiles = false
email_primary = "off"
list_id = "Y6nRLr"
page_events = "viewed_page"
metrics = ["Quiz Done", "Size Guide Opened"]
events_allow = ["Product Added", "Quiz Done"]
events_block = []
order_event = "order_completed"
flatten_properties = true
subscribe_channels = ["email", "sms"]
"""


def read_file(folder: Path, text: str, **values: str) -> Settings:
    path = folder / "sites.toml"
    path.write_text(text)
    return read(CONFIG=str(path), **values)


def test_a_file_describes_several_sites(tmp_path: Path) -> None:
    lamps, rugs = read_file(tmp_path, TWO_SITES).sites
    assert (lamps.site_id, lamps.write_key, lamps.server_key) == ("lamps", "lamps", "lamps-secret")
    assert lamps.allowed_origins == {"https://lamps.example", "https://www.lamps.example"}
    assert (lamps.hold_seconds, lamps.forward, lamps.metric_suffix) == (60, Forward.ALL, " - Backup Flow")
    assert (rugs.site_id, rugs.write_key, rugs.server_key) == ("rugs", "rugs", None)
    assert (rugs.hold_seconds, rugs.forward, rugs.metric_suffix) == (180, Forward.BACKUP, "")
    assert (lamps.create_profiles, lamps.email_primary, lamps.list_id) == (True, True, None)
    assert (rugs.create_profiles, rugs.email_primary, rugs.list_id) == (False, False, "Y6nRLr")
    assert (lamps.page_events, rugs.page_events) == (PageEvents.OFF, PageEvents.VIEWED_PAGE)
    assert (lamps.metrics, rugs.metrics) == (None, frozenset({"Quiz Done", "Size Guide Opened"}))
    assert (lamps.events_allow, rugs.events_allow) == (None, frozenset({"Product Added", "Quiz Done"}))
    assert (rugs.events_block, rugs.order_event) == (frozenset(), OrderEvent.ORDER_COMPLETED)
    assert (lamps.flatten_properties, rugs.flatten_properties) == (False, True)
    assert (lamps.subscribe_channels, rugs.subscribe_channels) == (("email",), ("email", "sms"))


def test_shops_of_their_own_domains_have_their_own_secrets(tmp_path: Path) -> None:
    text = "".join(
        f'[sites.{name}]\nwrite_key = "{name}"\nshopify_secret = "s"\nshopify_domain = "{name}.myshopify.com"\n'
        for name in ("a", "b")
    )
    sites = read_file(tmp_path, text, SHOPIFY_SECRET="shared").sites
    assert [(site.shopify_secrets, site.shopify_domain) for site in sites] == [
        (("s",), "a.myshopify.com"),
        (("s",), "b.myshopify.com"),
    ]


def test_an_empty_list_of_metrics_allows_none_of_the_shops_own(tmp_path: Path) -> None:
    assert read_file(tmp_path, f"{ONE}metrics = []").sites[0].metrics == frozenset()


def test_each_site_has_its_own_limits_of_identity(tmp_path: Path) -> None:
    two = 'min_precision = 0.9\nidentifier_limits = ["email=2", "phone=1"]\n[sites.b]\nwrite_key = "b"\n'
    a, b = read_file(tmp_path, f"{ONE}{two}identifier_limits = 'kx=7'", MIN_PRECISION="0.7").sites
    assert (a.min_precision, a.identifier_limits) == (0.9, {"email": 2, "phone": 1})
    assert (b.min_precision, b.identifier_limits) == (0.7, {"kx": 7})


@pytest.mark.parametrize("name", ["MIN_PRECISION", "IDENTIFIER_LIMITS"])
def test_a_bad_limit_of_identity_says_what_was_expected(name: str) -> None:
    expected = {"MIN_PRECISION": "a number from 0 to 1", "IDENTIFIER_LIMITS": "email=5,phone=5; got 'fax=1'"}[name]
    with pytest.raises(SettingsError, match=expected):
        read(**{name: {"MIN_PRECISION": "80", "IDENTIFIER_LIMITS": "fax=1"}[name]})


def test_the_environment_gives_defaults_to_every_site_but_no_keys(tmp_path: Path) -> None:
    lamps, rugs = read_file(
        tmp_path,
        TWO_SITES,
        HOLD_SECONDS="30",
        CONSENT="required",
        SERVER_KEY="shared",
        KLAVIYO_API_KEY="shared",
        LIST_ID="shared",
    ).sites
    assert (lamps.hold_seconds, rugs.hold_seconds) == (60, 30)
    assert {lamps.consent, rugs.consent} == {Consent.REQUIRED}
    assert (rugs.server_key, rugs.klaviyo_api_key, lamps.klaviyo_api_key) == (None, None, None)
    assert (lamps.list_id, rugs.list_id) == (None, "Y6nRLr")  # a list is one account's


ONE = '[sites.a]\nwrite_key = "a"\n'
BAD_FILES = [
    ("unknown key", f"{ONE}colour = 1", "sites.a.colour"),
    ("key of the relay", f'{ONE}port = "1"', "sites.a.port"),
    ("bad value", f'{ONE}forward = "some"', "sites.a.forward"),
    ("bad number", f"{ONE}hold_seconds = -1", "sites.a.hold_seconds"),
    ("truth value", f"{ONE}hold_seconds = true", "sites.a.hold_seconds"),
    ("a bad limit", f'{ONE}identifier_limits = ["email=5", "fax=1"]', "sites.a.identifier_limits"),
    ("a share above one", f"{ONE}min_precision = 80", "sites.a.min_precision"),
    ("no truth value", f'{ONE}create_profiles = "perhaps"', "sites.a.create_profiles"),
    ("a name with a comma", f'{ONE}metrics = ["Quiz, Done"]', "sites.a.metrics"),
    ("list of numbers", f"{ONE}allowed_origins = [1]", "sites.a.allowed_origins"),
    ("table for a value", f"{ONE}forward = {{a = 1}}", "sites.a.forward"),
    ("missing key", "[sites.a]\nconsent = 'auto'", "sites.a.write_key"),
    ("public server key", f'{ONE}server_key = "b"\n[sites.b]\nwrite_key = "b"', "sites.a.server_key"),
    ("two sites, one public key", f'{ONE}[sites.b]\nwrite_key = "a"', "RELAY_CONFIG"),
    ("two sites, one server key", f'{ONE}server_key="s"\n[sites.b]\nwrite_key="b"\nserver_key="s"', "RELAY_CONFIG"),
    ("two shops without a domain", f'{ONE}shopify_secret="s"\n[sites.b]\nwrite_key="b"\nshopify_secret="s"',
     "sites.a.shopify_domain"),
    ("two shops of one domain", f'''{ONE}shopify_secret="s"\nshopify_domain="s.com"\n[sites.b]\nwrite_key="b"
shopify_secret="t"\nshopify_domain="s.com"''', "sites.a.shopify_domain"),
    ("no sites", "", "RELAY_CONFIG"),
    ("empty sites", "[sites]", "RELAY_CONFIG"),
    ("sites is no table", "sites = 1", "RELAY_CONFIG"),
    ("a site is no table", "[sites]\na = 1", "RELAY_CONFIG"),
    ("unknown table", f"{ONE}[shops.b]\nwrite_key = 'b'", "RELAY_CONFIG"),
    ("no TOML", "[sites", "RELAY_CONFIG"),
    ("a key twice", f'{ONE}write_key = "b"', "RELAY_CONFIG"),
    ("a site twice", f"{ONE}{ONE}", "RELAY_CONFIG"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key"), [row[1:] for row in BAD_FILES], ids=[row[0] for row in BAD_FILES])
def test_a_bad_file_stops_the_start_and_names_the_key(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(SettingsError) as stopped:
        read_file(tmp_path, text)
    assert stopped.value.key == key


def test_a_bad_default_is_named_as_it_is_written_in_the_environment(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as stopped:
        read_file(tmp_path, TWO_SITES, CONSENT="perhaps")
    assert stopped.value.key == "RELAY_CONSENT"


@pytest.mark.parametrize("missing", ["no-such-file.toml", "."], ids=["no file", "folder"])
def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path, missing: str) -> None:
    with pytest.raises(SettingsError, match="cannot be read") as stopped:
        read(CONFIG=str(tmp_path / missing))
    assert stopped.value.key == "RELAY_CONFIG"


def test_a_file_that_is_no_text_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "sites.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError) as stopped:
        read(CONFIG=str(tmp_path / "sites.toml"))
    assert stopped.value.key == "RELAY_CONFIG"


# --- where values come from ------------------------------------------------------------------------------------------


@pytest.fixture
def _empty_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SECRET_KEYS", "WRITE_KEY", "HOLD_SECONDS", "METRIC_SUFFIX", "CONFIG", "SERVER_KEY", "PORT"):
        monkeypatch.delenv(f"RELAY_{name}", raising=False)


@pytest.mark.usefixtures("_empty_environment")
def test_dot_env_is_read_and_the_environment_goes_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(
        "RELAY_SECRET_KEYS=0123456789abcdef\nRELAY_WRITE_KEY=from-file\nRELAY_HOLD_SECONDS=7\n"
        'RELAY_METRIC_SUFFIX=" - Relay"\n'
    )
    monkeypatch.setenv("RELAY_WRITE_KEY", "from-environment")
    (site,) = Settings.read().sites
    assert (site.write_key, site.hold_seconds, site.metric_suffix) == ("from-environment", 7, " - Relay")


@pytest.mark.usefixtures("_empty_environment")
def test_without_dot_env_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LEAST.items():
        monkeypatch.setenv(name, value)
    assert Settings.read().sites[0].write_key == "public"


@pytest.mark.usefixtures("_empty_environment")
def test_dot_env_errors_name_the_key_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RELAY_SECRET_KEYS=0123456789abcdef\nRELAY_WRITE_KEY=a\nRELAY_PORT=many\n")
    with pytest.raises(SettingsError) as stopped:
        Settings.read()
    assert stopped.value.key == "RELAY_PORT"


def test_keys_that_are_no_settings_are_found() -> None:
    environment = {"RELAY_HOLD_SECOND": "5", "RELAY_PORT": "1", "RELAY_CONFIG": "x", "PATH": "", "RELAY_WRITE_KEY": "k"}
    assert unknown_keys(environment) == ["RELAY_HOLD_SECOND"]
