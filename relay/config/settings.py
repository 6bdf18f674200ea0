"""Everything the relay is told from outside, and what of it the relay has once for all sites."""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_network

from dotenv import dotenv_values
from msgspec import Struct

from relay.config import keys
from relay.config.secret import Secret
from relay.config.site import Site
from relay.config.sites import read_sites
from relay.config.values import Values
from relay.errors import SettingsError

#: How the URL of each database begins.
SQLITE, POSTGRES = "sqlite:///", ("postgresql://", "postgres://")
#: Characters below which a signing key can be searched; ``relay doctor`` warns.
SHORT_SECRET = 16


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
        values = Values(_environment() if environment is None else environment)
        return cls(
            secret_keys=_secret_keys(values),
            sites=read_sites(values),
            database_url=_database_url(values),
            console_password=values.secret("CONSOLE_PASSWORD"),
            host=values.text("HOST") or "127.0.0.1",
            port=_port(values),
            trusted_proxies=_trusted_proxies(values),
            path_prefix=_path_prefix(values),
        )


def unknown_keys(environment: Mapping[str, str] | None = None) -> list[str]:
    """Keys in ``environment`` that look like settings and are none: typing errors, most likely."""
    names = _environment() if environment is None else environment
    known = {f"RELAY_{name}" for name in (*keys.SITE, *keys.RELAY)}
    return sorted(name for name in names if name.startswith("RELAY_") and name not in known)


def _environment() -> dict[str, str]:
    try:
        written = dotenv_values(".env")
    except UnicodeDecodeError:
        raise SettingsError(".env", "expected a text file in UTF-8") from None
    return {k: v for k, v in written.items() if v is not None} | dict(os.environ)


def _secret_keys(values: Values) -> tuple[Secret, ...]:
    found = values.required("SECRET_KEYS", "one or more signing keys, comma separated, newest first").split(",")
    if not all(key.strip() for key in found):
        raise SettingsError("RELAY_SECRET_KEYS", "expected keys between the commas, found an empty one")
    return tuple(Secret(key.strip()) for key in found)


def _database_url(values: Values) -> str:
    value = values.text("DATABASE_URL") or "sqlite:///relay.db"
    if value.startswith(POSTGRES):
        return Secret(value)  # it has a password
    if not value.startswith(SQLITE) or value == SQLITE:
        expected = "sqlite:///path/to/file.db or postgresql://user:password@host/database"
        raise SettingsError("RELAY_DATABASE_URL", f"expected {expected}, got a {value.partition(':')[0]!r} URL")
    return value


def _port(values: Values) -> int:
    port = values.number("PORT", 8400, low=1, high=65535)
    if port != int(port):
        raise SettingsError("RELAY_PORT", f"expected a whole number, got {port:g}")
    return int(port)


def _trusted_proxies(values: Values) -> str:
    value = values.text("TRUSTED_PROXIES") or "127.0.0.1"
    for proxy in value.split(","):
        try:
            if proxy.strip() != "*":
                ip_network(proxy.strip())
        except ValueError:
            problem = f"expected IP addresses, networks such as 10.0.0.0/8, or *, comma separated, got {proxy!r}"
            raise SettingsError("RELAY_TRUSTED_PROXIES", problem) from None
    return value


def _path_prefix(values: Values) -> str:
    value = (values.text("PATH_PREFIX") or "").rstrip("/")
    if value and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value):
        raise SettingsError("RELAY_PATH_PREFIX", f"expected a path such as /_r, got {value!r}")
    return value
