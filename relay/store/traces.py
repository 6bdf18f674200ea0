"""What browsers have left, in SQL: which visitors share a cart, a client ID, a click; and how much an address claims.

Values are kept as keyed hashes. Which of these visitors are one browser is for ``identity.traces`` to say.
"""

from relay.identity.traces import ENOUGH, Sighting, Trace, TraceKind
from relay.store.connection import Connection
from relay.store.keyring import Keyring

#: A trace seen again is noted at most this often: it is in every message of a visit.
NOTE_EVERY_SECONDS = 900.0


class Traces:
    """The traces of one site at a time, inside a transaction."""

    def __init__(self, connection: Connection, keys: Keyring) -> None:
        self._sql = connection.execute
        self._keys = keys

    def note(
        self, site_id: str, trace: Trace, visitor_id: str, *, at: float, network: str | None, browser: str | None
    ) -> bool:
        """The visitor has this trace; whether that is new. Where and in what it was seen first stays."""
        key = (site_id, trace.kind, self._hash(site_id, trace), visitor_id)
        row = self._sql(
            "SELECT first_at, last_at FROM traces WHERE site_id = ? AND kind = ? AND hash = ? AND visitor_id = ?", key
        ).fetchone()
        if row is None:
            self._sql(
                "INSERT INTO traces (site_id, kind, hash, visitor_id, first_at, last_at, network, browser)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*key, at, at, network, browser),
            )
            return True
        first_at, last_at = row
        if at < first_at or at > last_at + NOTE_EVERY_SECONDS:
            # What arrives late was there first: the sighting is then where and when it says.
            where = ", network = ?, browser = ?" if at < first_at else ""
            self._sql(
                f"UPDATE traces SET first_at = ?, last_at = ?{where}"
                " WHERE site_id = ? AND kind = ? AND hash = ? AND visitor_id = ?",
                (min(first_at, at), max(last_at, at), *((network, browser) if where else ()), *key),
            )
        return False

    def jars(self, site_id: str, trace: Trace) -> list[Sighting]:
        """The jars this trace was seen in, up to ``ENOUGH``."""
        return self._jars(site_id, trace.kind, self._hash(site_id, trace))

    def shared(self, site_id: str, visitor_id: str) -> list[list[Sighting]]:
        """For each trace of the visitor's, the jars it was seen in, this one's included; up to ``ENOUGH`` each."""
        mine = self._sql(
            "SELECT kind, hash FROM traces WHERE site_id = ? AND visitor_id = ?", (site_id, visitor_id)
        ).fetchall()
        return [self._jars(site_id, kind, digest) for kind, digest in mine]

    def is_ended_beside(self, site_id: str, visitor_id: str, kind: TraceKind) -> bool:
        """Whether somebody has ever signed out, or refused, in another jar with the same value of this kind."""
        row = self._sql(
            "SELECT 1 FROM traces mine JOIN traces other ON other.site_id = mine.site_id AND other.kind = mine.kind"
            " AND other.hash = mine.hash AND other.visitor_id <> mine.visitor_id"
            " JOIN unties ON unties.site_id = other.site_id AND unties.visitor_id = other.visitor_id"
            " WHERE mine.site_id = ? AND mine.visitor_id = ? AND mine.kind = ? LIMIT 1",
            (site_id, visitor_id, kind),
        ).fetchone()
        return row is not None

    def claims(self, site_id: str, address: str, *, at: float, window: float) -> int:
        """How many new identifiers the address has brought in the current window."""
        row = self._sql(
            "SELECT since, n FROM claims WHERE site_id = ? AND source = ?", (site_id, self._digest(site_id, address))
        ).fetchone()
        return int(row[1]) if row and at - row[0] < window else 0

    def count_claims(self, site_id: str, address: str, n: int, *, at: float, window: float) -> None:
        """The address has brought ``n`` more; a new window begins with the first after the last has ended."""
        self._sql(
            "INSERT INTO claims (site_id, source, since, n) VALUES (?, ?, ?, ?) ON CONFLICT (site_id, source) DO UPDATE"
            " SET n = CASE WHEN excluded.since - claims.since < ? THEN claims.n + excluded.n ELSE excluded.n END,"
            " since = CASE WHEN excluded.since - claims.since < ? THEN claims.since ELSE excluded.since END",
            (site_id, self._digest(site_id, address), at, n, window, window),
        )

    def forget(self, site_id: str, visitor_id: str) -> None:
        """Erase what the visitor has left."""
        for table in ("traces", "unties"):
            self._sql(f"DELETE FROM {table} WHERE site_id = ? AND visitor_id = ?", (site_id, visitor_id))

    def delete(self, site_id: str, *, seen_before: float, claimed_before: float) -> int:
        """Retention; how many traces went."""
        self._sql("DELETE FROM claims WHERE site_id = ? AND since < ?", (site_id, claimed_before))
        return int(self._sql("DELETE FROM traces WHERE site_id = ? AND last_at < ?", (site_id, seen_before)).rowcount)

    def _jars(self, site_id: str, kind: str, digest: bytes) -> list[Sighting]:
        rows = self._sql(
            "SELECT visitor_id, first_at, last_at, network, browser FROM traces"
            " WHERE site_id = ? AND kind = ? AND hash = ? LIMIT ?",
            (site_id, kind, digest, ENOUGH),
        ).fetchall()
        return [
            Sighting(
                kind=TraceKind(kind), visitor_id=visitor, first_at=first, last_at=last, network=network, browser=browser
            )
            for visitor, first, last, network, browser in rows
        ]

    def _hash(self, site_id: str, trace: Trace) -> bytes:
        return self._keys.of(site_id).look_up(f"trace {trace.kind}", trace.value)

    def _digest(self, site_id: str, address: str) -> bytes:
        return self._keys.of(site_id).look_up("address", address)
