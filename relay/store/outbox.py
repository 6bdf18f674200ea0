"""The outbox in SQL: what Klaviyo must be told, each delivery in one of the states drawn in ``delivery.states``.

Invariants kept here: ``unique_id`` is unique per site, so the same thing cannot be queued twice; every change of
state names the states it may come from; what Klaviyo may have seen keeps its person. How deliveries leave is
``store.dispatch``.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from relay.delivery.states import STEPS, State, check_step
from relay.errors import IllegalTransition
from relay.model import DeliveryKind, Reason, Trust
from relay.store.connection import Connection
from relay.store.keyring import Keyring
from relay.store.rows import Draft, Unsent

Execute = Callable[..., Any]

_UNSENT = (
    "delivery_id, kind, state, cause, commerce_kind, evidence, confidence, visitor_id, person_id, occurred_at,"
    " created_at, due_at, backfill, first_attempt_at,"
    " (SELECT source FROM events e WHERE e.event_id = deliveries.event_id)"
)
#: Said beside the state that is meant: SQLite sees by the words whether an index of some states holds it.
_OPEN = "state IN ('waiting', 'held', 'ready', 'sending')"
#: Of the same order a browser has told, and now a server: for somebody else, or it had ended for the browser's sake.
_BROWSERS_WORD = "EXISTS (SELECT 1 FROM events e WHERE e.event_id = deliveries.event_id AND e.source = 'browser')"
_IS_SERVERS = "EXISTS (SELECT 1 FROM events e WHERE e.event_id = ? AND e.source = 'server')"
_ANOTHERS = "state IN ('held', 'ready') AND first_attempt_at IS NULL AND person_id <> ?"
_ENDED_HERE = (
    f"state = 'expired' OR (state = 'suppressed' AND reason IN ('{Reason.GPC}', '{Reason.CONSENT_WITHDRAWN}',"
    f" '{Reason.CLAIM_REFUSED}'))"
)
#: The proof has a table of its own: it is read only when somebody asks why.
_DRAFT = tuple(name for name in Draft.__struct_fields__ if name != "proof")
#: The columns that hold what a person is told by or of, and where they are sealed for.
SEALED = {"payload": "deliveries.payload", "recipient": "deliveries.recipient"}


class Outbox:
    """The deliveries of all sites, inside a transaction."""

    def __init__(self, connection: Connection, keys: Keyring) -> None:
        self._sql = connection.execute
        self._keys = keys

    # Filling

    def add(self, draft: Draft) -> bool:
        """Queue a delivery; False when this thing is queued already.

        A queued delivery that still waits for its person gives way to one that knows them: the same order
        reported by the thank-you page first and by the shop's server later. So does one for somebody else, or ended for
        the browser's sake, of which only a browser has told, to what a server tells: anybody can name an order. One
        that Klaviyo has itself takes with it what has not left.
        """
        columns = ", ".join(_DRAFT)
        places = ", ".join("?" * len(_DRAFT))
        values = [self._value(draft, name) for name in _DRAFT]
        row = self._sql(
            f"INSERT INTO deliveries ({columns}) VALUES ({places})"
            " ON CONFLICT (site_id, unique_id) DO NOTHING RETURNING delivery_id",
            values,
        ).fetchone()
        if row is None and draft.reason is Reason.NATIVE:
            self._sql(  # Klaviyo turns out to have it: the copy that has not left must not go
                "UPDATE deliveries SET state = ?, reason = ?, settled_at = ? WHERE site_id = ? AND unique_id = ?"
                " AND state IN ('waiting', 'held', 'ready')",
                (State.SUPPRESSED, Reason.NATIVE, draft.created_at, draft.site_id, draft.unique_id),
            )
        if row is None and draft.state in (State.HELD, State.READY):
            sets = ", ".join(f"{name} = ?" for name in _DRAFT)
            row = self._sql(
                f"UPDATE deliveries SET {sets}, settled_at = NULL WHERE site_id = ? AND unique_id = ?"
                f" AND (state = 'waiting' OR ({_BROWSERS_WORD} AND {_IS_SERVERS} AND ({_ANOTHERS} OR {_ENDED_HERE})))"
                " RETURNING delivery_id",
                [*values, draft.site_id, draft.unique_id, draft.event_id, draft.person_id],
            ).fetchone()
        if row is None:
            return False
        self._prove(draft.site_id, row[0], draft.proof)
        return True

    def _prove(self, site_id: str, delivery_id: int, proof: str | None) -> None:
        if proof is not None:
            self._sql(
                "INSERT INTO proofs (site_id, delivery_id, body) VALUES (?, ?, ?)"
                " ON CONFLICT (site_id, delivery_id) DO UPDATE SET body = excluded.body",
                (site_id, delivery_id, proof),
            )

    def proof(self, site_id: str, delivery_id: int) -> str | None:
        """What the delivery's resolution rested on when it was made."""
        row = self._sql(
            "SELECT body FROM proofs WHERE site_id = ? AND delivery_id = ?", (site_id, delivery_id)
        ).fetchone()
        return row[0] if row else None

    def _value(self, draft: Draft, name: str) -> Any:
        value = getattr(draft, name)
        if value is None or name not in SEALED:
            return value
        return self._keys.of(draft.site_id).seal(SEALED[name], value.encode() if isinstance(value, str) else value)

    # Before they leave

    def unsent(
        self,
        site_id: str,
        *,
        visitors: Iterable[str] = (),
        person_id: str | None = None,
        states: Sequence[State] = (State.WAITING, State.HELD, State.READY),
        and_gone: bool = False,
    ) -> list[Unsent]:
        """Deliveries of these visitors, or of this person, that have not left yet, oldest first; with ``and_gone`` what
        is under way, and may come back, and what is dead, and may be replayed."""
        found: dict[int, Unsent] = {}
        select = f"SELECT {_UNSENT} FROM deliveries WHERE site_id = ?"
        wanted = (*states, State.SENDING) if and_gone else states
        for column, value in [("visitor_id", v) for v in visitors] + [("person_id", person_id)]:
            if value is None:
                continue
            for row in self._sql(
                f"{select} AND {column} = ? AND state IN ({marks(wanted)}) AND {_OPEN}", (site_id, value, *wanted)
            ):
                found[row[0]] = _unsent(row)
            if and_gone:
                for row in self._sql(f"{select} AND {column} = ? AND state = 'dead'", (site_id, value)):
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

    def person_of(self, site_id: str, unique_id: str, *, told_by: Trust) -> str | None:
        """Whose this delivery is, whether it has left or not; None where others have told of its event."""
        row = self._sql(
            "SELECT d.person_id FROM deliveries d JOIN events e ON e.event_id = d.event_id"
            " WHERE d.site_id = ? AND d.unique_id = ? AND e.source = ?",
            (site_id, unique_id, told_by),
        ).fetchone()
        return row[0] if row else None

    def release(
        self,
        site_id: str,
        delivery: Unsent,
        state: State,
        *,
        person_id: str,
        reason: Reason,
        evidence: str,
        confidence: float,
        due_at: float,
        backfill: bool,
        proof: str | None = None,
    ) -> None:
        """A waiting delivery has found its person."""
        check_step(delivery.state, state)
        move(
            self._sql,
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
        self._prove(site_id, delivery.delivery_id, proof)

    def reassign(
        self, site_id: str, delivery: Unsent, *, person_id: str, evidence: str, confidence: float, proof: str | None
    ) -> None:
        """A delivery that has never been tried turns out to be another person's. Its state stays. Raises
        IllegalTransition for one that Klaviyo may have: under another person it would be there twice."""
        cursor = self._sql(
            "UPDATE deliveries SET person_id = ?, evidence = ?, confidence = ?, recipient = NULL"
            " WHERE delivery_id = ? AND state IN ('held', 'ready') AND first_attempt_at IS NULL",
            (person_id, evidence, confidence, delivery.delivery_id),
        )
        if cursor.rowcount != 1:
            raise IllegalTransition(f"delivery {delivery.delivery_id} is not held or ready, or has been tried")
        self._prove(site_id, delivery.delivery_id, proof)

    def suppress(self, delivery: Unsent, reason: Reason, *, at: float) -> None:
        """Klaviyo must not be told after all."""
        check_step(delivery.state, State.SUPPRESSED)
        if delivery.state is State.SENDING:  # if it comes back, it ends (``Dispatch.settle``)
            self._sql("UPDATE deliveries SET reason = ? WHERE delivery_id = ?", (reason, delivery.delivery_id))
            return
        move(self._sql, delivery.delivery_id, [delivery.state], State.SUPPRESSED, reason=reason, settled_at=at)

    def disown(self, delivery: Unsent) -> None:
        """What waits for somebody's address waits for its person again: it is not theirs."""
        self._sql(
            "UPDATE deliveries SET person_id = NULL, reason = ? WHERE delivery_id = ? AND state = 'waiting'",
            (Reason.NO_IDENTITY, delivery.delivery_id),
        )

    def hold_on(self, site_id: str, visitor_id: str, *, until: float, at_most: float) -> None:
        """What is held for Klaviyo's script, which runs there, is held ``until`` then, but no longer than ``at_most``
        seconds after it happened."""
        self._sql(
            "UPDATE deliveries"
            " SET due_at = CASE WHEN occurred_at + ? < ? THEN occurred_at + ? ELSE ? END"
            " WHERE site_id = ? AND visitor_id = ? AND state = 'held'"
            f" AND {_OPEN} AND cause = ? AND due_at < ?"
            " AND due_at < occurred_at + ?",
            (at_most, until, at_most, until, site_id, visitor_id, Reason.KLAVIYO_UNIDENTIFIED, until, at_most),
        )

    def hand_over(self, site_id: str, person_id: str, to: str) -> None:
        """Whatever has not left for one person is the other's, who has turned out to be the same."""
        self._sql(
            f"UPDATE deliveries SET person_id = ? WHERE site_id = ? AND person_id = ? AND {_OPEN}",
            (to, site_id, person_id),
        )

    def erase_after(self, delivery: Unsent, person_id: str) -> None:
        """Let the erasure that names ``person_id`` wait for this one, which may be under way to Klaviyo now."""
        if delivery.state is State.SENDING:
            values = (person_id, delivery.delivery_id)
            self._sql("UPDATE deliveries SET person_id = ? WHERE delivery_id = ?", values)

    def only_record(self, delivery: Unsent) -> None:
        """Let it be recorded without starting a flow."""
        self._sql("UPDATE deliveries SET backfill = 1 WHERE delivery_id = ?", (delivery.delivery_id,))

    def expire(self, site_id: str, *, occurred_before: float, at: float) -> int:
        """Give up waiting events nobody was found for; how many."""
        cursor = self._sql(
            "UPDATE deliveries SET state = ?, reason = ?, settled_at = ?"
            f" WHERE site_id = ? AND state = ? AND {_OPEN} AND occurred_at < ?",
            (State.EXPIRED, Reason.TOO_OLD, at, site_id, State.WAITING, occurred_before),
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
        where = f" AND state IN ({marks(states)})" if states else ""
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


def move(
    sql: Execute,
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
    cursor = sql(
        f"UPDATE deliveries SET state = ?{sets} WHERE delivery_id = ? AND state IN ({marks(sources)}){owner}",
        [target, *values.values(), delivery_id, *sources, *([] if lease_owner_was is None else [lease_owner_was])],
    )
    if cursor.rowcount != 1:
        raise IllegalTransition(f"delivery {delivery_id} is not {' or '.join(sources)}")


def marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


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
        is_tried=row[13] is not None,
        source=None if row[14] is None else Trust(row[14]),
    )
