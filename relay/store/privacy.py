"""What stays of the erased, and who asked for it, in SQL: hashes against resurrection, scrubs to come, the audit."""

import uuid
from collections.abc import Collection, Iterable

import msgspec

from relay.store.connection import Connection
from relay.store.keyring import Keyring
from relay.store.rows import Audited, Scrub

_MARKS = "scrubs.marks"
#: A value by what kind it is of: an identifier's, or ``visitor``.
Named = tuple[str, str]


class Privacy:
    """Erasures and requests of a site, inside a transaction."""

    def __init__(self, connection: Connection, keys: Keyring) -> None:
        self._sql = connection.execute
        self._keys = keys

    # Against resurrection

    def remember_erasure(self, site_id: str, named: Iterable[Named], *, at: float) -> None:
        """Keep a keyed hash of every value: what is older than ``at`` must not bring it back."""
        vault = self._keys.of(site_id)
        for kind, value in named:
            self._sql(
                "INSERT INTO forgotten (site_id, hash, forgotten_at) VALUES (?, ?, ?)"
                " ON CONFLICT (site_id, hash) DO UPDATE SET forgotten_at = excluded.forgotten_at",
                (site_id, vault.erased(kind, value), at),
            )

    def erased_at(self, site_id: str, named: Iterable[Named]) -> float | None:
        """When the last of these values was erased, if any was."""
        vault = self._keys.of(site_id)
        hashes = [digest for kind, value in named for digest in vault.all_erased(kind, value)]
        if not hashes:
            return None
        places = ", ".join("?" * len(hashes))
        at: float | None = self._sql(
            f"SELECT max(forgotten_at) FROM forgotten WHERE site_id = ? AND hash IN ({places})", (site_id, *hashes)
        ).fetchone()[0]
        return at

    # The journal, which may not be processed yet

    def plan_scrub(self, site_id: str, marks: Collection[str], *, erased_at: float) -> None:
        """Have the journal's rows that hold these words deleted, those to be processed yet included."""
        sealed = self._keys.of(site_id).seal(_MARKS, msgspec.json.encode(sorted(marks)))
        self._sql(
            "INSERT INTO scrubs (site_id, reference, erased_at, marks) VALUES (?, ?, ?, ?)",
            (site_id, uuid.uuid4().hex, erased_at, sealed),
        )

    def scrubs(self, site_id: str) -> list[Scrub]:
        """The scrubs that are not done yet."""
        rows = self._sql(
            "SELECT reference, erased_at, marks FROM scrubs WHERE site_id = ? ORDER BY erased_at", (site_id,)
        ).fetchall()
        vault = self._keys.of(site_id) if rows else None
        return [
            Scrub(reference, at, msgspec.json.decode(vault.open(_MARKS, marks), type=tuple[str, ...]))
            for reference, at, marks in rows
            if vault is not None
        ]

    def end_scrub(self, site_id: str, reference: str) -> None:
        self._sql("DELETE FROM scrubs WHERE site_id = ? AND reference = ?", (site_id, reference))

    # The audit

    def note(self, site_id: str, action: str, *, by: str, subject: Named, counts: dict[str, int], at: float) -> None:
        """Write down that ``by`` asked for ``action``. Of whom is kept as a keyed hash."""
        self._sql(
            "INSERT INTO audit (site_id, reference, at, action, asked_by, subject, counts)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                site_id,
                uuid.uuid4().hex,
                at,
                action,
                by,
                self._subject(site_id, subject),
                msgspec.json.encode(counts).decode(),
            ),
        )

    def audit(self, site_id: str, *, limit: int, subject: Named | None = None) -> list[Audited]:
        """The latest lines, newest first; only those about ``subject`` when it is named."""
        where = "" if subject is None else " AND subject = ?"
        values = [] if subject is None else [self._subject(site_id, subject)]
        rows = self._sql(
            f"SELECT at, action, asked_by, subject, counts FROM audit WHERE site_id = ?{where}"
            " ORDER BY at DESC, reference LIMIT ?",
            (site_id, *values, limit),
        ).fetchall()
        return [
            Audited(
                at=at,
                action=action,
                asked_by=by,
                subject=bytes(digest).hex()[:16],
                counts=msgspec.json.decode(counts, type=dict[str, int]),
            )
            for at, action, by, digest, counts in rows
        ]

    def requests(self, site_id: str) -> dict[str, int]:
        """How many of each action there were."""
        rows = self._sql("SELECT action, count(*) FROM audit WHERE site_id = ? GROUP BY action ORDER BY 1", (site_id,))
        return dict(rows.fetchall())

    def _subject(self, site_id: str, subject: Named) -> bytes:
        kind, value = subject
        return self._keys.of(site_id).look_up(f"audit {kind}", value)
