"""Events, sums, the processor's position and Klaviyo's pauses in SQL."""

from collections.abc import Iterable, Sequence

import msgspec

from relay.identity.tenure import Tenure
from relay.model import Commerce, Kept, Kind
from relay.store.connection import Connection
from relay.store.keyring import Keyring
from relay.store.rows import Pause, StoredEvent

#: What is left of an erased event.
_ERASED = msgspec.json.encode(Kept(commerce=Commerce(kind=Kind.OTHER, name="erased")))
#: Where an event's body is sealed for.
BODY = "events.body"


class Ledger:
    """The books of a site, inside a transaction."""

    def __init__(self, connection: Connection, keys: Keyring) -> None:
        self._sql = connection.execute
        self._keys = keys

    def position(self, site_id: str) -> int:
        """How far the site's journal is processed."""
        row = self._sql("SELECT seq FROM positions WHERE site_id = ?", (site_id,)).fetchone()
        return row[0] if row else 0

    def advance(self, site_id: str, seq: int) -> None:
        """Move the position; it never goes back."""
        self._sql(
            "INSERT INTO positions (site_id, seq) VALUES (?, ?)"
            " ON CONFLICT (site_id) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > positions.seq",
            (site_id, seq),
        )

    def count(self, site_id: str, name: str, reason: str = "", n: int = 1) -> None:
        self._sql(
            "INSERT INTO counts (site_id, name, reason, n) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (site_id, name, reason) DO UPDATE SET n = counts.n + excluded.n",
            (site_id, name, reason, n),
        )

    def counts(self) -> list[tuple[str, str, str, int]]:
        """All sums as (site_id, name, reason, n)."""
        return list(self._sql("SELECT site_id, name, reason, n FROM counts ORDER BY site_id, name, reason"))

    def labels(self, site_id: str) -> list[tuple[str, int]]:
        """How often each class of evidence was right or wrong, as ``identity.measure`` reads it."""
        rows = self._sql("SELECT reason, n FROM counts WHERE site_id = ? AND name = 'label'", (site_id,))
        return [(row[0], row[1]) for row in rows.fetchall()]

    def has_metric(self, site_id: str, name: str) -> bool:
        """Whether the site has made this metric before. ``name`` without the suffix."""
        row = self._sql("SELECT 1 FROM metrics WHERE site_id = ? AND name = ?", (site_id, name)).fetchone()
        return row is not None

    def metrics(self, site_id: str) -> int:
        """How many metrics the site has made."""
        return int(self._sql("SELECT count(*) FROM metrics WHERE site_id = ?", (site_id,)).fetchone()[0])

    def add_metric(self, site_id: str, name: str, *, at: float) -> None:
        """Note a metric that the site makes; one that is noted stays as it is."""
        self._sql(
            "INSERT INTO metrics (site_id, name, first_at) VALUES (?, ?, ?) ON CONFLICT (site_id, name) DO NOTHING",
            (site_id, name, at),
        )

    def add_event(self, event: StoredEvent) -> int | None:
        """Keep an accepted event; its ID, or None when its message was accepted before."""
        row = self._sql(
            "INSERT INTO events (site_id, source, message_id, visitor_id, kind, name, occurred_at, received_at, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (site_id, source, message_id) DO NOTHING"
            " RETURNING event_id",
            (
                event.site_id,
                event.source,
                event.message_id,
                event.visitor_id,
                event.kind,
                event.name,
                event.occurred_at,
                event.received_at,
                self._keys.of(event.site_id).seal(BODY, event.body),
            ),
        ).fetchone()
        return row[0] if row else None

    def delete_events(self, site_id: str, *, received_before: float) -> int:
        """Retention: drop old events whose deliveries are all settled, those deliveries, and old ones without event."""
        doomed = (
            "SELECT event_id FROM events WHERE site_id = ? AND received_at < ? AND NOT EXISTS (SELECT 1 FROM deliveries"
            " d WHERE d.event_id = events.event_id AND d.state IN ('waiting', 'held', 'ready', 'sending'))"
        )
        self._sql(
            "DELETE FROM proofs WHERE site_id = ? AND delivery_id IN"
            f" (SELECT delivery_id FROM deliveries WHERE event_id IN ({doomed}))",
            (site_id, site_id, received_before),
        )
        self._sql(f"DELETE FROM deliveries WHERE event_id IN ({doomed})", (site_id, received_before))
        self._sql(
            "DELETE FROM deliveries WHERE site_id = ? AND event_id IS NULL AND settled_at < ?"
            " AND state IN ('delivered', 'suppressed', 'dead', 'expired')",
            (site_id, received_before),
        )
        cursor = self._sql(f"DELETE FROM events WHERE event_id IN ({doomed})", (site_id, received_before))
        return int(cursor.rowcount)

    def erase_events(self, site_id: str, *, tenures: Sequence[Tenure], person_ids: Sequence[str]) -> int:
        """Empty every event of these visitors' tenures and of these persons; how many. The rows stay: their message IDs
        still tell duplicates."""
        erased, n = self._keys.of(site_id).seal(BODY, _ERASED), 0
        in_tenure = "site_id = ? AND visitor_id = ? AND occurred_at >= ? AND occurred_at <= ?"
        spans = [(site_id, each.visitor_id, each.since, each.until) for each in tenures]
        for where, values in [
            *((in_tenure, span) for span in spans),
            *(("site_id = ? AND person_id = ?", (site_id, person_id)) for person_id in person_ids),
        ]:
            self._sql(
                "DELETE FROM proofs WHERE site_id = ? AND delivery_id IN"
                f" (SELECT delivery_id FROM deliveries WHERE {where})",
                (site_id, *values),
            )
            doomed = f"SELECT event_id FROM deliveries WHERE {where}"
            n += self._sql(
                f"UPDATE events SET body = ?, visitor_id = NULL WHERE event_id IN ({doomed}) AND body <> ?",
                (erased, *values, erased),
            ).rowcount
            self._sql(
                f"UPDATE deliveries SET recipient = NULL, payload = NULL, visitor_id = NULL WHERE {where}"
                " AND state <> 'sending'",
                values,
            )
        for span in spans:
            n += self._sql(f"UPDATE events SET body = ?, visitor_id = NULL WHERE {in_tenure}", (erased, *span)).rowcount
        return n

    def note_failure(self, site_id: str, seq: int, message_id: str, *, at: float) -> None:
        """Processing a message of journal row ``seq`` has failed by a fault of ours."""
        self._sql(
            "INSERT INTO failures (site_id, seq, message_id, failed_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (site_id, seq, message_id) DO NOTHING",
            (site_id, seq, message_id, at),
        )

    def note_unreadable(self, site_id: str, seq: int, *, at: float) -> None:
        """Journal row ``seq`` is damaged: no message of it has a name. Noted as a failure of the message ``''``."""
        self.note_failure(site_id, seq, "", at=at)

    def unreadable(self, site_id: str) -> list[int]:
        """The journal rows that could not be read, the oldest first."""
        sql = "SELECT seq FROM failures WHERE site_id = ? AND message_id = '' ORDER BY seq"
        return [seq for (seq,) in self._sql(sql, (site_id,)).fetchall()]

    def failed(self, site_id: str) -> int:
        """How many messages have failed and can be put back."""
        sql = "SELECT count(*) FROM failures WHERE site_id = ? AND message_id <> ''"
        return int(self._sql(sql, (site_id,)).fetchone()[0])

    def failures(self, site_id: str, limit: int) -> dict[int, set[str]]:
        """The message IDs that have failed, by journal row; up to ``limit`` messages, the oldest first."""
        sql = "SELECT seq, message_id FROM failures WHERE site_id = ? AND message_id <> '' ORDER BY seq, message_id"
        found: dict[int, set[str]] = {}
        for seq, message_id in self._sql(f"{sql} LIMIT ?", (site_id, limit)).fetchall():
            found.setdefault(seq, set()).add(message_id)
        return found

    def forget_failures(self, site_id: str, seq: int, message_ids: Iterable[str]) -> None:
        """They have been put back."""
        for message_id in message_ids:
            self._sql(
                "DELETE FROM failures WHERE site_id = ? AND seq = ? AND message_id = ?", (site_id, seq, message_id)
            )

    def delete_failures(self, site_id: str, *, failed_before: float) -> None:
        """Retention: what the journal does not hold any more cannot be put back."""
        self._sql("DELETE FROM failures WHERE site_id = ? AND failed_at < ?", (site_id, failed_before))

    def pauses(self, site_id: str) -> Sequence[Pause]:
        """What Klaviyo refuses at present."""
        rows = self._sql(
            "SELECT scope, paused_until, reason, since FROM destinations WHERE site_id = ? ORDER BY scope", (site_id,)
        )
        return [Pause(*row) for row in rows]

    def pause(self, site_id: str, pause: Pause) -> None:
        """Note a refusal; ``since`` stays that of the first one."""
        self._sql(
            "INSERT INTO destinations (site_id, scope, paused_until, reason, since) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (site_id, scope) DO UPDATE SET paused_until = excluded.paused_until,"
            " reason = excluded.reason",
            (site_id, pause.scope, pause.until, pause.reason, pause.since),
        )

    def resume(self, site_id: str, scope: str) -> None:
        """Klaviyo takes the key again."""
        self._sql("DELETE FROM destinations WHERE site_id = ? AND scope = ?", (site_id, scope))
