"""Settings: read once at the start from the environment, ``.env`` and the file named by ``RELAY_CONFIG``.

A missing or bad value stops the start with a SettingsError that names its key. Secrets hide themselves in repr.

The environment describes one site, ``default``. ``RELAY_CONFIG`` names a TOML file for several; each table
``[sites.<id>]`` takes the keys of a site in lower case without the prefix (``write_key = "..."``), and
environment values serve as defaults for every site but its keys and its list.

``keys`` names them all, ``values`` reads one, ``read_site`` and ``sites`` read the shops, ``settings`` the whole.
"""

from relay.config.choices import Behaviour, Consent, Forward, OrderEvent, PageEvents, Platform
from relay.config.read_site import LIST_ID
from relay.config.secret import Secret
from relay.config.settings import SHORT_SECRET, SQLITE, Settings, unknown_keys
from relay.config.site import Site

__all__ = [
    "LIST_ID",
    "SHORT_SECRET",
    "SQLITE",
    "Behaviour",
    "Consent",
    "Forward",
    "OrderEvent",
    "PageEvents",
    "Platform",
    "Secret",
    "Settings",
    "Site",
    "unknown_keys",
]
