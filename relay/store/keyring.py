"""The data keys of all sites, kept in the database wrapped (``store.vault``).

A key is made once, when a store is first opened for its site, and never changes. Of processes that open a database
together the first to insert its key wins, and every other reads that one back: nothing is ever sealed with a key that
is not committed. Where journal and state are two files both hold the keys: what is acknowledged is in the journal, and
must be readable when the state is lost, and the other way round.
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
    """Open the keys of ``sites``, make those that are missing, wrap anew what an older secret had wrapped.

    ``connection`` commits each statement. ``secrets`` are RELAY_SECRET_KEYS, newest first. Raises SettingsError when
    none of them opens a key.
    """
    wanted = set(sites)
    for site_id in sorted(wanted - _kept(connection).keys()):
        made = vault.wrapped(vault.new_data_key(), secrets[0], site_id)
        connection.execute(
            "INSERT INTO data_keys (site_id, wrapped) VALUES (?, ?) ON CONFLICT (site_id) DO NOTHING", (site_id, made)
        )
    vaults = {}
    for site_id, kept in _kept(connection).items():
        # A site that is in the settings no more keeps up with the secrets as long as they open it.
        if site_id in wanted or _unwrapped(kept, secrets, site_id) is not None:
            vaults[site_id] = _opened(connection, site_id, kept, secrets)
    return Keyring(vaults)


def adopt(state: Connection, journal: Connection, secrets: Sequence[str]) -> None:
    """Take over from the journal's file the keys that the state has lost. Raises SettingsError where the two files have
    different keys: they do not belong together."""
    mine = _kept(state)
    for site_id, kept in _kept(journal).items():
        if site_id not in mine:
            state.execute("INSERT INTO data_keys (site_id, wrapped) VALUES (?, ?)", (site_id, kept))
        elif len({_unwrapped(each, secrets, site_id) for each in (kept, mine[site_id])} - {None}) > 1:
            problem = f"the journal beside this database was written with another key of site {site_id}"
            raise SettingsError("RELAY_DATABASE_URL", problem)


def copy(state: Connection, journal: Connection) -> None:
    """Have the journal's file hold every key too, as it is wrapped now."""
    theirs = _kept(journal)
    for site_id, kept in _kept(state).items():
        if theirs.get(site_id) != kept:
            journal.execute(
                "INSERT INTO data_keys (site_id, wrapped) VALUES (?, ?)"
                " ON CONFLICT (site_id) DO UPDATE SET wrapped = excluded.wrapped",
                (site_id, kept),
            )


def _unwrapped(kept: bytes, secrets: Sequence[str], site_id: str) -> bytes | None:
    return next((key for secret in secrets if (key := vault.unwrapped(kept, secret, site_id)) is not None), None)


def opens(connection: Connection, secrets: Sequence[str]) -> dict[str, bool]:
    """Whether each site's key opens with one of ``secrets`` as it is kept now."""
    return {site_id: _unwrapped(kept, secrets, site_id) is not None for site_id, kept in _kept(connection).items()}


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
