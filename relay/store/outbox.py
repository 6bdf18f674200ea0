"""The outbox in SQL: what Klaviyo must be told, each delivery in one of the states drawn in ``delivery.states``.

Invariants kept here: ``unique_id`` is unique per site, so the same thing cannot be queued twice; every change of
state names the states it may come from; the recipient is frozen by the first claim, so a retry names the same
profile and Klaviyo recognises a repeat.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from relay.delivery.states import OPEN, STEPS, State, check_step
from relay.errors import IllegalTransition
from relay.model import DeliveryKind, Reason, Recipient
from relay.store.connection import Connection
from relay.store.rows import Claimed, Draft, Unsent

_UNSENT = (
    "delivery_id, kind, state, cause, commerce_kind, evidence, confidence, visitor_id, person_id, occurred_at,"
    " created_at, due_at, backfill"
)
_DRAFT = Draft.__struct_fields__


class Outbox:
    """The deliveries of all sites, inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection.execute

    # Filling

    def add(self, draft: Draft) -> bool:
        """Queue a delivery; False when this thing is queued already.

        A queued delivery that still waits for its person gives way to one that knows them: the same order
        reported by the thank-you page first and by the shop's server later.
        """
        columns = ", ".join(_DRAFT)
        places = ", ".join("?" * len(_DRAFT))
        values = [getattr(draft, name) for name in _DRAFT]
        row = self._sql(
            f"INSERT INTO deliveries ({columns}) VALUES ({places})"
            " ON CONFLICT (site_id, unique_id) DO NOTHING RETURNING delivery_id",
            values,
        ).fetchone()
        if row is not None:
            return True
        if draft.state in (State.HELD, State.READY):
            sets = ", ".join(f"{name} = ?" for name in _DRAFT)
            cursor = self._sql(
                f"UPDATE deliveries SET {sets} WHERE site_id = ? AND unique_id = ? AND state = ?",
                [*values, draft.site_id, draft.unique_id, State.WAITING],
            )
            return bool(cursor.rowcount)
        return False

    # Before they leave

    def unsent(
        self,
        site_id: str,
        *,
        visitors: Iterable[str] = (),
        person_id: str | None = None,
        states: Sequence[State] = (State.WAITING, State.HELD, State.READY),
    ) -> list[Unsent]:
        """Deliveries of these visitors, or of this person, that have not left yet, oldest first."""
        found: dict[int, Unsent] = {}
        for column, value in [("visitor_id", v) for v in visitors] + [("person_id", person_id)]:
            if value is None:
                continue
            for row in self._sql(
                f"SELECT {_UNSENT} FROM deliveries WHERE site_id = ? AND {column} = ?"
                f" AND state IN ({_marks(states)}) AND state IN ('waiting', 'held', 'ready')",
                (site_id, value, *states),
            ):
                found[row[0]] = _unsent(row)
        return [found[key] for key in sorted(found)]

    def last_order_at(self, site_id: str, *, visitors: Iterable[str], person_ids: Iterable[str]) -> float | None:
        """When the latest order of these visitors or persons was placed."""
        times = [
            self._sql(
                f"SELECT max(occurred_at) FROM deliveries WHERE site_id = ? AND {column} = ?"
                " AND action = 'placed_order'",
                (site_id, value),
            ).fetchone()[0]
            for column, values in (("visitor_id", visitors), ("person_id", person_ids))
            for value in values
        ]
        return max((time for time in times if time is not None), default=None)

    def release(
        self,
        delivery: Unsent,
        state: State,
        *,
        person_id: str,
        reason: Reason,
        evidence: str,
        confidence: float,
        due_at: float,
        backfill: bool,
    ) -> None:
        """A waiting delivery has found its person."""
        check_step(delivery.state, state)
        self._move(
            delivery.delivery_id,
            [delivery.state],
            state,
            person_id=person_id,
            reason=reason,
            evidence=evidence,
            confidence=confidence,
            due_at=due_at,
            backfill=int(backfill),
        )

    def suppress(self, delivery: Unsent, reason: Reason, *, at: float) -> None:
        """Klaviyo must not be told after all."""
        check_step(delivery.state, State.SUPPRESSED)
        self._move(delivery.delivery_id, [delivery.state], State.SUPPRESSED, reason=reason, settled_at=at)

    def only_record(self, delivery: Unsent) -> None:
        """Let it be recorded without starting a flow."""
        self._sql("UPDATE deliveries SET backfill = 1 WHERE delivery_id = ?", (delivery.delivery_id,))

    def expire(self, site_id: str, *, occurred_before: float, at: float) -> int:
        """Give up waiting events nobody was found for; how many."""
        cursor = self._sql(
            "UPDATE deliveries SET state = ?, reason = ?, settled_at = ?"
            " WHERE site_id = ? AND state = ? AND occurred_at < ?",
            (State.EXPIRED, Reason.TOO_OLD, at, site_id, State.WAITING, occurred_before),
        )
        return int(cursor.rowcount)

    # Leaving

    def claim(
        self,
        site_id: str,
        *,
        now: float,
        limit: int,
        lease_owner: str,
        lease_until: float,
        kinds: Sequence[DeliveryKind],
        recipient: Callable[[str], Recipient | None],
    ) -> list[Claimed]:
        """Take up to ``limit`` due deliveries under a lease, oldest first, each with its recipient frozen.

        ``recipient`` finds the address of a person. Deliveries that have none left are suppressed.
        """
        rows = self._sql(
            "SELECT d.delivery_id, d.kind, d.unique_id, d.metric, d.action, d.line, d.occurred_at, d.attempts + 1,"
            " coalesce(d.first_attempt_at, ?), d.cause, d.evidence, d.confidence, d.backfill, d.person_id, d.payload,"
            " d.recipient, e.body FROM deliveries d LEFT JOIN events e ON e.event_id = d.event_id"
            f" WHERE d.site_id = ? AND d.state IN ('ready', 'held') AND d.due_at <= ? AND d.kind IN ({_marks(kinds)})"
            " ORDER BY d.due_at, d.delivery_id LIMIT ?",
            (now, site_id, now, *kinds, limit),
        ).fetchall()
        claimed = []
        for row in rows:
            frozen = _recipient(row[15])
            if frozen is None and row[13] is not None and row[14] is None:
                frozen = recipient(row[13])
                if frozen is None:
                    self._move(
                        row[0], [State.READY, State.HELD], State.SUPPRESSED, reason=Reason.UNSENDABLE, settled_at=now
                    )
                    continue
            self._move(
                row[0],
                [State.READY, State.HELD],
                State.SENDING,
                attempts=row[7],
                first_attempt_at=row[8],
                lease_owner=lease_owner,
                lease_until=lease_until,
                recipient=None if frozen is None else msgspec.json.encode(frozen),
            )
            claimed.append(_claimed(site_id, row, frozen))
        return claimed

    def settle(
        self,
        delivery: Claimed,
        state: State,
        *,
        lease_owner: str,
        at: float,
        due_at: float | None = None,
        attempts: int | None = None,
        reason: Reason | None = None,
        status: int | None = None,
        error: str | None = None,
    ) -> bool:
        """Note how a send ended; False when the lease has been lost meanwhile and the row is not ours to move."""
        check_step(State.SENDING, state)
        final = state not in OPEN
        values: dict[str, Any] = {"lease_owner": None, "lease_until": None, "status": status, "error": error}
        if final:
            values["settled_at"] = at
        if state is State.DELIVERED:
            values["payload"] = values["recipient"] = None  # an address that is needed no longer
        if due_at is not None:
            values["due_at"] = due_at
        if attempts is not None:
            values["attempts"] = attempts
        if reason is not None:
            values["reason"] = reason
        try:
            self._move(delivery.delivery_id, [State.SENDING], state, lease_owner_was=lease_owner, **values)
        except IllegalTransition:
            return False
        return True

    def rescue(self, site_id: str, *, lease_before: float) -> int:
        """Give back deliveries whose lease ended before ``lease_before``: their worker died or hangs."""
        cursor = self._sql(
            "UPDATE deliveries SET state = ?, lease_owner = NULL, lease_until = NULL"
            " WHERE site_id = ? AND state = ? AND lease_until < ?",
            (State.READY, site_id, State.SENDING, lease_before),
        )
        return int(cursor.rowcount)

    def next_due(self, site_id: str) -> float | None:
        """When the next delivery becomes due or the next lease ends."""
        row = self._sql(
            "SELECT min(t) FROM (SELECT min(due_at) AS t FROM deliveries"
            " WHERE site_id = ?1 AND state IN ('ready', 'held')"
            " UNION ALL SELECT min(lease_until) FROM deliveries WHERE site_id = ?1 AND state = 'sending')",
            (site_id,),
        ).fetchone()
        return row[0] if row else None

    def replay(self, site_id: str, *, now: float, reason: str | None, metric: str | None, since: float) -> int:
        """Put dead deliveries back, with fresh attempts; how many."""
        cursor = self._sql(
            "UPDATE deliveries SET state = ?, due_at = ?, attempts = 0, first_attempt_at = NULL, settled_at = NULL"
            " WHERE site_id = ? AND state = ? AND (? IS NULL OR reason = ?) AND (? IS NULL OR metric = ?)"
            " AND settled_at >= ?",
            (State.READY, now, site_id, State.DEAD, reason, reason, metric, metric, since),
        )
        return int(cursor.rowcount)

    # Books

    def sums(self) -> list[tuple[str, str, str, int]]:
        """How many deliveries stand where, as (site_id, state, reason, n)."""
        return list(
            self._sql("SELECT site_id, state, reason, count(*) FROM deliveries GROUP BY site_id, state, reason")
        )

    def recent(self, site_id: str, *, limit: int, states: Sequence[State] = ()) -> list[dict[str, Any]]:
        """The newest deliveries for the console, of these states or of all, without addresses."""
        columns = (
            "delivery_id, kind, metric, state, reason, cause, evidence, confidence, backfill, attempts, status, error,"
            " occurred_at, created_at, due_at, settled_at"
        )
        names = [name.strip() for name in columns.split(",")]
        where = f" AND state IN ({_marks(states)})" if states else ""
        # The expression keeps the planner from sorting all of the site's rows: it walks back from the newest.
        rows = self._sql(
            f"SELECT {columns} FROM deliveries WHERE site_id || '' = ?{where} ORDER BY delivery_id DESC LIMIT ?",
            (site_id, *states, limit),
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def retrying(self, site_id: str) -> tuple[int, str]:
        """How many deliveries are to be tried again after an error, and the error of the one that is due next."""
        found = "FROM deliveries WHERE site_id = ? AND state IN ('ready', 'held') AND error IS NOT NULL"
        n = self._sql(f"SELECT count(*) {found}", (site_id,)).fetchone()[0]
        row = self._sql(f"SELECT error {found} ORDER BY due_at LIMIT 1", (site_id,)).fetchone() if n else None
        return n, row[0] if row else ""

    def _move(
        self,
        delivery_id: int,
        sources: Sequence[State],
        target: State,
        *,
        lease_owner_was: str | None = None,
        **values: Any,
    ) -> None:
        """The only place a single delivery changes its state. Raises IllegalTransition when it stands elsewhere."""
        if not any(target in STEPS[source] for source in sources):
            raise IllegalTransition(f"a delivery cannot go from {' or '.join(sources)} to {target}")
        sets = "".join(f", {name} = ?" for name in values)
        owner = "" if lease_owner_was is None else " AND lease_owner = ?"
        cursor = self._sql(
            f"UPDATE deliveries SET state = ?{sets} WHERE delivery_id = ? AND state IN ({_marks(sources)}){owner}",
            [target, *values.values(), delivery_id, *sources, *([] if lease_owner_was is None else [lease_owner_was])],
        )
        if cursor.rowcount != 1:
            raise IllegalTransition(f"delivery {delivery_id} is not {' or '.join(sources)}")


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _recipient(stored: bytes | None) -> Recipient | None:
    return None if stored is None else msgspec.json.decode(stored, type=Recipient)


def _unsent(row: Sequence[Any]) -> Unsent:
    return Unsent(
        delivery_id=row[0],
        kind=DeliveryKind(row[1]),
        state=State(row[2]),
        cause=Reason(row[3]),
        commerce_kind=row[4],
        evidence=row[5],
        confidence=row[6],
        visitor_id=row[7],
        person_id=row[8],
        occurred_at=row[9],
        created_at=row[10],
        due_at=row[11],
        backfill=bool(row[12]),
    )


def _claimed(site_id: str, row: Sequence[Any], recipient: Recipient | None) -> Claimed:
    return Claimed(
        delivery_id=row[0],
        site_id=site_id,
        kind=DeliveryKind(row[1]),
        unique_id=row[2],
        metric=row[3],
        action=row[4],
        line=row[5],
        occurred_at=row[6],
        attempts=row[7],
        first_attempt_at=row[8],
        cause=Reason(row[9]),
        evidence=row[10],
        confidence=row[11],
        backfill=bool(row[12]),
        person_id=row[13],
        payload=row[14],
        recipient=recipient,
        event=row[16],
    )
