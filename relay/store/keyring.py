"""The data keys of all sites, kept in the database wrapped (``store.vault``).

A key is made once, when a store is first opened for its site, and never changes. Of processes that open a database
together the first to insert its key wins, and every other reads that one back: nothing is ever sealed with a key that
is not committed.
"""

from collections.abc import Iterable, Mapping, Sequence

from relay.errors import SettingsError, StoreUnavailable
from relay.store import vault
from relay.store.connection import Connection
from relay.store.vault import Vault


class Keyring:
    """The opened vaults, by site."""

    def __init__(self, vaults: Mapping[str, Vault]) -> None:
        self._vaults = vaults

    def of(self, site_id: str) -> Vault:
        """Raises StoreUnavailable for a site the store was not opened for."""
        try:
            return self._vaults[site_id]
        except KeyError:
            raise StoreUnavailable(f"the store was opened without the site {site_id}: it has no data key") from None


def load(connection: Connection, secrets: Sequence[str], sites: Iterable[str]) -> Keyring:
    """Open the key of every site, make those that are missing, wrap anew what an older secret had wrapped.

    ``connection`` commits each statement. ``secrets`` are RELAY_SECRET_KEYS, newest first. Raises SettingsError when
    none of them opens a key.
    """
    known = _kept(connection)
    for site_id in sorted(set(sites) - known.keys()):
        made = vault.wrapped(vault.new_data_key(), secrets[0], site_id)
        connection.execute(
            "INSERT INTO data_keys (site_id, wrapped) VALUES (?, ?) ON CONFLICT (site_id) DO NOTHING", (site_id, made)
        )
    kept = _kept(connection)
    return Keyring({site_id: _opened(connection, site_id, key, secrets) for site_id, key in kept.items()})


def opens(connection: Connection, secrets: Sequence[str]) -> dict[str, bool]:
    """Whether each site's key opens with one of ``secrets`` as it is kept now."""
    return {
        site_id: any(vault.unwrapped(kept, secret, site_id) is not None for secret in secrets)
        for site_id, kept in _kept(connection).items()
    }


def _kept(connection: Connection) -> dict[str, bytes]:
    rows = connection.execute("SELECT site_id, wrapped FROM data_keys ORDER BY site_id").fetchall()
    return {site_id: bytes(kept) for site_id, kept in rows}


def _opened(connection: Connection, site_id: str, kept: bytes, secrets: Sequence[str]) -> Vault:
    for number, secret in enumerate(secrets):
        data_key = vault.unwrapped(kept, secret, site_id)
        if data_key is None:
            continue
        if number > 0:
            connection.execute(
                "UPDATE data_keys SET wrapped = ? WHERE site_id = ? AND wrapped = ?",
                (vault.wrapped(data_key, secrets[0], site_id), site_id, kept),
            )
        return Vault(site_id, data_key, secrets)
    problem = f"none of these keys opens the data of site {site_id}; the key it was last started with must stay listed"
    raise SettingsError("RELAY_SECRET_KEYS", problem)
