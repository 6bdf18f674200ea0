"""How deliveries leave the outbox: claimed under a lease, settled, given back, replayed.

Invariants kept here: whom a delivery names is frozen by its first claim, so a retry names the same profile and Klaviyo
recognises a repeat; where the call itself named an address, it is that address, whatever the person is told by since;
what is told of that person is read anew at every claim, and nothing that changes a profile is
under way beside another delivery of the same person, so a newer state is never overwritten by an older one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from relay.delivery.states import OPEN, State, check_step
from relay.errors import IllegalTransition
from relay.model import STATE_KINDS, DeliveryKind, Reason, Recipient
from relay.store.connection import Connection
from relay.store.keyring import Keyring
from relay.store.ledger import BODY
from relay.store.outbox import SEALED, move
from relay.store.rows import Claimed, Dying, Want
from relay.store.vault import Unreadable, Vault

#: Finds whom a delivery goes to, by its person and its visitor; None: nobody who can be told.
FindRecipient = Callable[[str | None, str | None], Recipient | None]

#: An event lets a due change of its person's profile go first, but not for longer than this after it was first tried,
#: or due.
HEAD_START_SECONDS = 300.0

#: Deliveries that name nobody: their payload is all they need.
_ERRANDS = (DeliveryKind.LOOKUP, DeliveryKind.DELETION)
_COLUMNS = (
    "d.delivery_id, d.kind, d.unique_id, d.metric, d.action, d.line, d.occurred_at, d.attempts, d.first_attempt_at,"
    " d.cause, d.evidence, d.confidence, d.backfill, d.person_id, d.payload, d.recipient, e.body, d.visitor_id"
)
#: Said while a delivery was under way: what comes back unsent is not tried again.
_RECALLED = (
    f"kind <> '{DeliveryKind.DELETION}'"
    f" AND reason IN ('{Reason.NATIVE_REPLAYED}', '{Reason.CONSENT_WITHDRAWN}', '{Reason.FORGOTTEN}',"
    f" '{Reason.UNLINKED}', '{Reason.ADDRESS_CORRECTED}', '{Reason.FORWARDED_LINK}')"
)
_CHANGES = ", ".join(f"'{kind}'" for kind in STATE_KINDS)
#: An erasure is the last thing that is told of its person: what is under way would make the profile anew behind it.
_ALONE = (
    " AND NOT EXISTS (SELECT 1 FROM deliveries p WHERE p.site_id = d.site_id AND p.person_id = d.person_id"
    " AND p.state = 'sending')"
)
#: In the order they were queued, and never beside anything else of the same person. What is still held, and may never
#: be sent, is not waited for; and a profile, which events wait for, does not wait for lists and subscriptions.
_IN_TURN = (
    " AND NOT EXISTS (SELECT 1 FROM deliveries p WHERE p.site_id = d.site_id AND p.person_id = d.person_id"
    f" AND p.delivery_id < d.delivery_id AND p.state IN ('ready', 'held', 'sending') AND p.kind IN ({_CHANGES})"
    " AND (p.kind = 'profile') = (d.kind = 'profile')"
    " AND (p.state = 'sending' OR p.first_attempt_at IS NOT NULL OR p.due_at <= ?))"
    f"{_ALONE}"
)
_AFTER_PROFILE = (
    " AND NOT EXISTS (SELECT 1 FROM deliveries p WHERE p.site_id = d.site_id AND p.person_id = d.person_id"
    f" AND p.state IN ('ready', 'held', 'sending') AND p.kind IN ({_CHANGES}) AND p.kind = 'profile'"
    " AND p.due_at <= ? AND coalesce(p.first_attempt_at, p.due_at) > ?)"
)


class Dispatch:
    """The leaving deliveries of all sites, inside a transaction."""

    def __init__(self, connection: Connection, keys: Keyring) -> None:
        self._sql = connection.execute
        self._keys = keys

    def claim(
        self,
        site_id: str,
        want: Want,
        *,
        now: float,
        lease_owner: str,
        lease_until: float,
        recipient: FindRecipient,
        profiles_first: bool = True,
    ) -> list[Claimed]:
        """Take due deliveries under a lease, the longest due first, each with its recipient.

        Those that have no recipient left are suppressed; those of which the row is damaged are dead, and hold up
        nobody. With ``profiles_first`` an event waits for a change of its person's profile that is due as well.
        """
        where, values = _due(site_id, want, now)
        if want.kind is DeliveryKind.EVENT and profiles_first:
            where += _AFTER_PROFILE
            values += [now, now - HEAD_START_SECONDS]
        elif want.kind in STATE_KINDS:
            where += _IN_TURN
            values.append(now)
        elif want.kind is DeliveryKind.DELETION:
            where += _ALONE
        rows = self._sql(
            f"SELECT {_COLUMNS} FROM deliveries d LEFT JOIN events e ON e.event_id = d.event_id"
            f" WHERE {where} ORDER BY d.due_at, d.delivery_id LIMIT ? /*pg FOR UPDATE OF d SKIP LOCKED */",
            [*values, want.limit],
        ).fetchall()
        claimed: list[Claimed] = []
        if not rows:
            return claimed
        vault = self._keys.of(site_id)
        for row in rows:
            try:
                current = None if want.kind in _ERRANDS else recipient(row[13], row[17])
                named = _recipient(vault, row[14], "payload") if want.kind is DeliveryKind.EVENT else None
                frozen = _recipient(vault, row[15])
                if frozen is None and current is not None:
                    frozen = _as_named(msgspec.structs.replace(current, traits={}), named)
                is_own = frozen is not None and current is not None and _address(frozen) == _address(current)
                delivery = _claimed(vault, row, frozen, now, is_own=is_own)
            except (Unreadable, msgspec.DecodeError, UnicodeDecodeError):
                self._bury(row[0], now)
                continue
            if frozen is None and want.kind not in _ERRANDS:
                sources = [State.READY, State.HELD]
                move(self._sql, row[0], sources, State.SUPPRESSED, reason=Reason.UNSENDABLE, settled_at=now)
                continue
            move(
                self._sql,
                row[0],
                [State.READY, State.HELD],
                State.SENDING,
                attempts=delivery.attempts,
                first_attempt_at=delivery.first_attempt_at,
                lease_owner=lease_owner,
                lease_until=lease_until,
                recipient=None if frozen is None else vault.seal(SEALED["recipient"], msgspec.json.encode(frozen)),
            )
            if frozen is not None and current is not None and current.traits and _as_named(current, named) is current:
                told = msgspec.structs.replace(frozen, traits=current.traits)
                delivery = msgspec.structs.replace(delivery, recipient=told)
            claimed.append(delivery)
        return claimed

    def _bury(self, delivery_id: int, now: float) -> None:
        """Claimed and dead at once: what is damaged is seen and can be replayed, and the others go on."""
        move(self._sql, delivery_id, [State.READY, State.HELD], State.SENDING)
        move(self._sql, delivery_id, [State.SENDING], State.DEAD, reason=Reason.UNREADABLE, settled_at=now)

    def has_backlog(self, site_id: str, want: Want, n: int, *, now: float) -> bool:
        """Whether at least ``n`` deliveries are due."""
        where, values = _due(site_id, want, now)
        found = f"SELECT 1 FROM deliveries d WHERE {where} LIMIT ?"
        return int(self._sql(f"SELECT count(*) FROM ({found}) AS due", [*values, n]).fetchone()[0]) == n

    def settle(
        self,
        delivery: Claimed,
        state: State,
        *,
        lease_owner: str,
        at: float,
        due_at: float | None = None,
        reason: Reason | None = None,
        status: int | None = None,
        error: str | None = None,
        counts: bool = True,
        was_sent: bool = True,
    ) -> bool:
        """Note how a send ended; False when the lease has been lost meanwhile and the row is not ours to move.

        ``counts`` False: not the delivery's fault, its attempt does not count. ``was_sent`` False: nor has Klaviyo
        ever seen it on this attempt.
        """
        values: dict[str, Any] = {"lease_owner": None, "lease_until": None}
        if state is State.DEAD and self._is_recalled(delivery.delivery_id):
            state, reason = State.SUPPRESSED, None  # nobody shall replay it
            values["payload"] = values["recipient"] = None
        check_step(State.SENDING, state)
        if status is not None or error is not None:  # otherwise what Klaviyo said last still stands
            values |= {"status": status, "error": error}
        if state not in OPEN:
            values["settled_at"] = at
        if state is State.DELIVERED:
            values["payload"] = values["recipient"] = None  # an address that is needed no longer
        if due_at is not None:
            values["due_at"] = due_at
        if reason is not None:
            values["reason"] = reason
        if not counts:
            values["attempts"] = delivery.attempts - 1
            if not was_sent and delivery.is_first:
                values["first_attempt_at"] = None  # Klaviyo has never heard of it
                if delivery.kind not in (DeliveryKind.SUBSCRIBE, DeliveryKind.UNSUBSCRIBE):
                    values["recipient"] = None
        try:
            move(self._sql, delivery.delivery_id, [State.SENDING], state, lease_owner_was=lease_owner, **values)
        except IllegalTransition:
            return False
        if state is State.READY:
            self._end_recalled("delivery_id = ?", (delivery.delivery_id,), at=at)
        elif state is State.DELIVERED:  # the word came too late
            self._sql(
                f"UPDATE deliveries SET reason = cause WHERE delivery_id = ? AND {_RECALLED}", (delivery.delivery_id,)
            )
        return True

    def _is_recalled(self, delivery_id: int) -> bool:
        row = self._sql(f"SELECT 1 FROM deliveries WHERE delivery_id = ? AND {_RECALLED}", (delivery_id,)).fetchone()
        return row is not None

    def _end_recalled(self, which: str, values: Sequence[Any], *, at: float) -> None:
        check_step(State.READY, State.SUPPRESSED)
        self._sql(
            "UPDATE deliveries SET state = ?, settled_at = ?, recipient = NULL, payload = NULL"
            # The second names the index of what is due, for ``which`` of a whole site.
            f" WHERE {which} AND state = 'ready' AND state IN ('ready', 'held') AND {_RECALLED}",
            (State.SUPPRESSED, at, *values),
        )

    def rescue(self, site_id: str, *, lease_before: float, owner: str, now: float) -> int:
        """Give back what others than ``owner`` hold since before ``lease_before``: their worker died or hangs."""
        cursor = self._sql(
            "UPDATE deliveries SET state = ?, lease_owner = NULL, lease_until = NULL"
            " WHERE site_id = ? AND state = ? AND lease_until < ? AND lease_owner <> ?",
            (State.READY, site_id, State.SENDING, lease_before, owner),
        )
        if cursor.rowcount:
            self._end_recalled("site_id = ?", (site_id,), at=now)
        return int(cursor.rowcount)

    def next_due(self, site_id: str, *, after: float = 0.0) -> float | None:
        """When the next delivery becomes due, or the next lease ends, later than ``after``."""
        times = [
            self._sql(
                "SELECT min(due_at) FROM deliveries WHERE site_id = ? AND kind = ? AND state IN ('ready', 'held')"
                " AND due_at > ?",
                (site_id, kind, after),
            ).fetchone()[0]
            for kind in DeliveryKind
        ]
        leased = "SELECT min(lease_until) FROM deliveries WHERE site_id = ? AND state = 'sending' AND lease_until > ?"
        times.append(self._sql(leased, (site_id, after)).fetchone()[0])
        return min((time for time in times if time is not None), default=None)

    def is_due(self, site_id: str, *, now: float) -> bool:
        """Whether anything is due that nobody has claimed."""
        return any(self.has_backlog(site_id, Want(kind=kind, limit=1), 1, now=now) for kind in DeliveryKind)

    # The dead

    def dead(self, site_id: str, *, reason: str | None, metric: str | None, since: float, until: float) -> list[Dying]:
        """What the dead died of, the most frequent first."""
        where, values = _dead(site_id, reason, metric, since, until)
        rows = self._sql(
            "SELECT CASE WHEN metric = '' THEN kind ELSE metric END, reason, status, error, count(*),"
            f" min(settled_at), max(settled_at) FROM deliveries WHERE {where} GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1",
            values,
        )
        return [
            Dying(what=what, reason=Reason(why), status=status, error=error, n=n, first_at=first, last_at=last)
            for what, why, status, error, n, first, last in rows
        ]

    def replay(
        self, site_id: str, *, now: float, reason: str | None, metric: str | None, since: float, until: float
    ) -> int:
        """Put dead deliveries back, with fresh attempts; how many. They were due long ago: what is live goes first."""
        check_step(State.DEAD, State.READY)
        where, values = _dead(site_id, reason, metric, since, until)
        cursor = self._sql(
            f"UPDATE deliveries SET state = ?, attempts = 0, first_attempt_at = ?, settled_at = NULL WHERE {where}",
            [State.READY, now, *values],
        )
        return int(cursor.rowcount)


def _due(site_id: str, want: Want, now: float) -> tuple[str, list[Any]]:
    where = "d.site_id = ? AND d.state IN ('ready', 'held') AND d.kind = ? AND d.due_at <= ?"
    values: list[Any] = [site_id, want.kind, now]
    if want.due_since > 0:
        where += " AND d.due_at >= ?"
        values.append(want.due_since)
    if want.due_before < float("inf"):
        where += " AND d.due_at < ?"
        values.append(want.due_before)
    if want.untried is not None:
        where += f" AND d.first_attempt_at IS {'' if want.untried else 'NOT '}NULL"
    return where, values


def _dead(site_id: str, reason: str | None, metric: str | None, since: float, until: float) -> tuple[str, list[Any]]:
    where = "site_id = ? AND state = ? AND settled_at >= ? AND settled_at <= ?"
    values: list[Any] = [site_id, State.DEAD, since, until]
    for column, value in (("reason", reason), ("metric", metric)):
        if value is not None:
            where += f" AND {column} = ?"
            values.append(value)
    return where, values


def _recipient(vault: Vault, stored: bytes | None, column: str = "recipient") -> Recipient | None:
    return None if stored is None else msgspec.json.decode(vault.open(SEALED[column], stored), type=Recipient)


def _as_named(current: Recipient, named: Recipient | None) -> Recipient:
    """Whom an event is told to when the call had ``named`` an address: its person, by everything that is known of them,
    unless they go by another address now (one ID for everybody at a till, a change of address); then what was named."""
    if named is None:
        return current
    if named.email is not None:
        return current if named.email == current.email else named
    if current.email is not None or named.phone_number == current.phone_number:
        return current  # the number has found them, and they are told by their address
    return named


def _address(recipient: Recipient) -> str | None:
    return recipient.email or recipient.klaviyo_id or recipient.phone_number or recipient.kx


def _claimed(vault: Vault, row: Sequence[Any], recipient: Recipient | None, now: float, *, is_own: bool) -> Claimed:
    return Claimed(
        delivery_id=row[0],
        site_id=vault.site_id,
        kind=DeliveryKind(row[1]),
        unique_id=row[2],
        metric=row[3],
        action=row[4],
        line=row[5],
        occurred_at=row[6],
        attempts=row[7] + 1,
        first_attempt_at=now if row[8] is None else row[8],
        is_first=row[8] is None,
        cause=Reason(row[9]),
        evidence=row[10],
        confidence=row[11],
        backfill=bool(row[12]),
        person_id=row[13],
        payload=None if row[14] is None else vault.open(SEALED["payload"], row[14]).decode(),
        recipient=recipient,
        is_own=is_own,
        event=None if row[16] is None else vault.open(BODY, row[16]),
    )
