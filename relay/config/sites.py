"""The sites: the environment describes one, ``default``; the file named by ``RELAY_CONFIG`` describes several.

What no two of them may share stands here too.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from relay.config import keys
from relay.config.read_site import read_site
from relay.config.site import Site
from relay.config.values import Values
from relay.errors import SettingsError


def read_sites(values: Values) -> tuple[Site, ...]:
    """All sites, in the order they are written. Raises SettingsError."""
    path = values.text("CONFIG")
    if path is None:
        sites = [read_site(values, "default")]
    else:
        sites = [
            read_site(values.of_site(site_id, _as_values(site_id, table)), site_id)
            for site_id, table in _tables(path).items()
        ]
    _check_own_keys(sites)
    _check_shops(sites)
    _check_secrets(sites, is_file=path is not None)
    return tuple(sites)


def _check_own_keys(sites: Sequence[Site]) -> None:
    """A key names one site."""
    for what in ("write_key", "server_key"):
        values = [value for site in sites if (value := getattr(site, what))]
        if len(values) != len(set(values)):
            raise SettingsError("RELAY_CONFIG", f"two sites have the same {what}")


def _check_shops(sites: Sequence[Site]) -> None:
    """A webhook is signed by a secret that several shops may share: then its shop's domain says whose it is."""
    shops = [site for site in sites if site.shopify_secrets]
    for site in shops:
        if len(shops) > 1 and site.shopify_domain in (None, *(o.shopify_domain for o in shops if o is not site)):
            key = f"sites.{site.site_id}.shopify_domain"
            raise SettingsError(key, "expected a domain of its own: several sites take Shopify's webhooks")


def _check_secrets(sites: Sequence[Site], *, is_file: bool) -> None:
    """A key that every shopper can read is no server's."""
    public = {site.write_key for site in sites}
    for site in sites:
        if site.server_key in public:
            key = f"sites.{site.site_id}.server_key" if is_file else "RELAY_SERVER_KEY"
            raise SettingsError(key, "is secret, so it cannot be a write_key too: every shopper can read that one")


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
        if name.upper() not in keys.SITE:
            raise SettingsError(f"sites.{site_id}.{name}", "is not a setting of a site")
        if isinstance(value, list) and all(isinstance(item, str) and "," not in item for item in value):
            value = ",".join(value) or ("none" if name.upper() in keys.NAME_LISTS else "")
        if isinstance(value, bool) and name.upper() in keys.SWITCHES:
            value = "on" if value else "off"
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            problem = "expected a string, a number or a list of strings without commas"
            raise SettingsError(f"sites.{site_id}.{name}", problem)
        values[f"RELAY_{name.upper()}"] = str(value)
    return values
