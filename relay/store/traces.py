"""What browsers have left, in SQL: which visitors share a cart, a client ID, a click; and how much an address claims.

Values are kept as keyed hashes. Which of these visitors are one browser is for ``identity.traces`` to say.
"""

from collections.abc import Sequence

from msgspec import Struct

from relay.identity.evidence import Evidence
from relay.identity.tenure import Tenure
from relay.identity.traces import ENOUGH, NOTE_EVERY_SECONDS, Sighting, Trace, TraceKind
from relay.store.connection import Connection
from relay.store.keyring import Keyring


class CartCall(Struct, frozen=True, kw_only=True):
    """What a shop's server has said of a cart: whose it is, by which evidence, at what time (epoch seconds)."""

    message_id: str
    person_id: str
    evidence: Evidence
    at: float


class Traces:
    """The traces of one site at a time, inside a transaction."""

    def __init__(self, connection: Connection, keys: Keyring) -> None:
        self._sql = connection.execute
        self._keys = keys

    def note(
        self, site_id: str, trace: Trace, visitor_id: str, *, at: float, network: str | None, browser: str | None
    ) -> bool:
        """The visitor has this trace; whether that is new. Where and in what it was seen first stays.

        That it is seen again is written every ``NOTE_EVERY_SECONDS``, and where another jar has begun in between: who
        was last at work with it is always right (see ``Sighting``).
        """
        key = (site_id, trace.kind, self._hash(site_id, trace), visitor_id)
        row = self._sql(
            "SELECT first_at, last_at, EXISTS (SELECT 1 FROM traces other WHERE other.site_id = traces.site_id"
            " AND other.kind = traces.kind AND other.hash = traces.hash AND other.first_at > traces.last_at"
            " AND other.first_at < ?)"
            " FROM traces WHERE site_id = ? AND kind = ? AND hash = ? AND visitor_id = ?",
            (at, *key),
        ).fetchone()
        if row is None:
            self._settle(site_id, trace.kind, key[2], at)
            self._sql(
                "INSERT INTO traces (site_id, kind, hash, visitor_id, first_at, last_at, network, browser)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*key, at, at, network, browser),
            )
            return True
        first_at, last_at, is_interrupted = row
        if at < first_at or at > last_at + NOTE_EVERY_SECONDS or is_interrupted:
            # What arrives late was there first: the sighting is then where and when it says.
            where = ", network = ?, browser = ?" if at < first_at else ""
            if where:
                self._settle(site_id, trace.kind, key[2], at)
            self._sql(
                f"UPDATE traces SET first_at = ?, last_at = ?{where}"
                " WHERE site_id = ? AND kind = ? AND hash = ? AND visitor_id = ?",
                (min(first_at, at), max(last_at, at), *((network, browser) if where else ()), *key),
            )
        return False

    def _settle(self, site_id: str, kind: str, digest: bytes, at: float) -> None:
        """Another jar begins at ``at``: write down how long those that may still have been at work then really were.

        What they did since is among the events, and was received after ``at``: seconds' worth of rows, unless the
        beginning is told late.
        """
        rows = self._sql(
            "SELECT visitor_id, last_at FROM traces WHERE site_id = ? AND kind = ? AND hash = ?"
            " AND last_at <= ? AND last_at >= ? LIMIT ?",
            (site_id, kind, digest, at, at - NOTE_EVERY_SECONDS, ENOUGH),
        ).fetchall()
        for visitor_id, last_at in rows:
            used_at = self._sql(
                "SELECT max(occurred_at) FROM events WHERE site_id = ? AND received_at > ? AND visitor_id = ?"
                " AND occurred_at > ? AND occurred_at <= ?",
                (site_id, at, visitor_id, at, last_at + NOTE_EVERY_SECONDS),
            ).fetchone()[0]
            if used_at is not None:
                self._sql(
                    "UPDATE traces SET last_at = ? WHERE site_id = ? AND kind = ? AND hash = ? AND visitor_id = ?",
                    (used_at, site_id, kind, digest, visitor_id),
                )

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

    def note_call(self, site_id: str, carts: Sequence[Trace], call: CartCall, *, now: float) -> None:
        """A server has spoken of these carts, and no browser is known to have had them."""
        for cart in carts:
            self._sql(
                "INSERT INTO cart_calls (site_id, kind, hash, message_id, person_id, evidence, at, noted_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (site_id, kind, hash, message_id) DO NOTHING",
                (
                    *(site_id, cart.kind, self._hash(site_id, cart)),
                    *(call.message_id, call.person_id, call.evidence, call.at, now),
                ),
            )

    def calls(self, site_id: str, cart: Trace) -> list[CartCall]:
        """What servers have said of this cart lately, up to ``ENOUGH``."""
        rows = self._sql(
            "SELECT message_id, person_id, evidence, at FROM cart_calls WHERE site_id = ? AND kind = ? AND hash = ?"
            " ORDER BY message_id LIMIT ?",
            (site_id, cart.kind, self._hash(site_id, cart), ENOUGH),
        ).fetchall()
        return [
            CartCall(message_id=message_id, person_id=person_id, evidence=Evidence(evidence), at=at)
            for message_id, person_id, evidence, at in rows
        ]

    def jars_of_call(self, site_id: str, call: CartCall) -> list[list[Sighting]]:
        """The jars in which each cart or checkout of the call was seen."""
        rows = self._sql(
            "SELECT kind, hash FROM cart_calls WHERE site_id = ? AND message_id = ?", (site_id, call.message_id)
        ).fetchall()
        return [self._jars(site_id, kind, digest) for kind, digest in rows]

    def end_call(self, site_id: str, message_id: str) -> None:
        """The browser of this call is known now."""
        self._sql("DELETE FROM cart_calls WHERE site_id = ? AND message_id = ?", (site_id, message_id))

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

    def forget(self, site_id: str, tenure: Tenure) -> None:
        """Erase what the visitor has left while it was a person's."""
        for table, at in (("traces", "first_at"), ("unties", "at")):
            self._sql(
                f"DELETE FROM {table} WHERE site_id = ? AND visitor_id = ? AND {at} >= ? AND {at} <= ?",
                (site_id, tenure.visitor_id, tenure.since, tenure.until),
            )

    def delete(self, site_id: str, *, seen_before: float, claimed_before: float) -> int:
        """Retention; how many traces went."""
        self._sql("DELETE FROM claims WHERE site_id = ? AND since < ?", (site_id, claimed_before))
        self._sql("DELETE FROM cart_calls WHERE site_id = ? AND noted_at < ?", (site_id, claimed_before))
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
