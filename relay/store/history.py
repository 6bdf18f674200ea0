"""How things came about, in SQL: what is read only when somebody asks why. It changes nothing.

What stands now is ``store.graph``'s and ``store.outbox``'s.
"""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from relay.identity.evidence import Evidence
from relay.model import Trust
from relay.store.connection import Connection
from relay.store.keyring import Keyring
from relay.store.ledger import BODY

_DELIVERY = (
    "delivery_id, kind, metric, state, reason, cause, evidence, confidence, backfill, attempts, status, error,"
    " occurred_at, created_at, due_at, settled_at, unique_id, event_id, visitor_id, person_id"
)
_EVENT = "event_id, source, message_id, visitor_id, kind, name, occurred_at, received_at, body"
_SOURCES = tuple(Trust)


class PastEvent(Struct, frozen=True, kw_only=True):
    """An event as it was kept. ``body`` is a ``model.Kept`` as JSON."""

    event_id: int
    source: Trust
    message_id: str
    visitor_id: str | None
    kind: str
    name: str
    occurred_at: float
    received_at: float
    body: bytes


class Tie(Struct, frozen=True, kw_only=True):
    """A visitor's tie to a person, live or ended. ``person_id`` as it was tied: merges are not followed."""

    visitor_id: str
    person_id: str
    evidence: Evidence
    first_at: float
    last_at: float
    message_id: str
    ended_at: float | None
    end_reason: str | None


class Merge(Struct, frozen=True, kw_only=True):
    """One person made part of another, by the word of ``message_id``; taken back at ``revoked_at``."""

    source_id: str
    target_id: str
    message_id: str
    created_at: float
    revoked_at: float | None


class History:
    """What has been, of one site at a time, inside a transaction."""

    def __init__(self, connection: Connection, keys: Keyring) -> None:
        self._sql = connection.execute
        self._keys = keys

    def deliveries(self, site_id: str, asked: str) -> list[dict[str, Any]]:
        """The deliveries called so: by their ID, by Klaviyo's ``unique_id``, or by the message they came from."""
        marks = ", ".join("?" * len(_SOURCES))
        wheres: list[tuple[str, tuple[object, ...]]] = [
            ("unique_id = ?", (asked,)),
            (
                f"event_id IN (SELECT event_id FROM events WHERE site_id = ? AND source IN ({marks})"
                " AND message_id = ?)",
                (site_id, *_SOURCES, asked),
            ),
        ]
        if asked.isascii() and asked.isdigit() and len(asked) <= 18:
            wheres.append(("delivery_id = ?", (int(asked),)))
        found: dict[int, dict[str, Any]] = {}
        names = [name.strip() for name in _DELIVERY.split(",")]
        for where, values in wheres:
            sql = f"SELECT {_DELIVERY} FROM deliveries WHERE site_id = ? AND {where}"
            for row in self._sql(sql, (site_id, *values)).fetchall():
                found[row[0]] = dict(zip(names, row, strict=True))
        return [found[key] for key in sorted(found)]

    def events(self, site_id: str, message_id: str) -> list[PastEvent]:
        """The events of this message: one, or two if a browser and a server have used the same ID."""
        marks = ", ".join("?" * len(_SOURCES))
        where = f"site_id = ? AND source IN ({marks}) AND message_id = ?"
        return self._events(site_id, where, (site_id, *_SOURCES, message_id))

    def event(self, site_id: str, event_id: int) -> PastEvent | None:
        """The event with this row ID."""
        found = self._events(site_id, "site_id = ? AND event_id = ?", (site_id, event_id))
        return found[0] if found else None

    def _events(self, site_id: str, where: str, values: tuple[object, ...]) -> list[PastEvent]:
        rows = self._sql(f"SELECT {_EVENT} FROM events WHERE {where} ORDER BY event_id", values).fetchall()
        names, vault = [name.strip() for name in _EVENT.split(",")], self._keys.of(site_id)
        return [
            PastEvent(
                **(dict(zip(names, row, strict=True)) | {"source": Trust(row[1]), "body": vault.open(BODY, row[8])})
            )
            for row in rows
        ]

    def ties(self, site_id: str, visitor_id: str) -> list[Tie]:
        """All the visitor's ties, the oldest first."""
        rows = self._sql(
            "SELECT visitor_id, person_id, evidence, first_at, last_at, message_id, ended_at, end_reason FROM links"
            " WHERE site_id = ? AND visitor_id = ? ORDER BY first_at, person_id, evidence",
            (site_id, visitor_id),
        ).fetchall()
        names = Tie.__struct_fields__
        return [Tie(**(dict(zip(names, row, strict=True)) | {"evidence": Evidence(row[2])})) for row in rows]

    def is_visitor(self, site_id: str, visitor_id: str) -> bool:
        """Whether anything is known of a visitor with this ID."""
        return any(
            self._sql(f"SELECT 1 FROM {table} WHERE site_id = ? AND visitor_id = ? LIMIT 1", (site_id, visitor_id))
            .fetchone()
            for table in ("links", "traces", "unties")
        )  # fmt: skip

    def merges(self, site_id: str, person_ids: Iterable[str]) -> list[Merge]:
        """The merges that these persons have been part of, revoked ones too; the oldest first."""
        found: dict[tuple[str, str], Merge] = {}
        for person_id in person_ids:
            for column in ("source_id", "target_id"):
                for merge in self._merges(f"{column} = ?", site_id, person_id):
                    found[merge.source_id, merge.target_id] = merge
        return sorted(found.values(), key=lambda merge: (merge.created_at, merge.source_id))

    def merges_by(self, site_id: str, message_id: str) -> list[Merge]:
        """The merges that this message's word has made."""
        return self._merges("message_id = ?", site_id, message_id)

    def _merges(self, where: str, site_id: str, value: str) -> list[Merge]:
        rows = self._sql(
            "SELECT source_id, target_id, message_id, created_at, revoked_at FROM merges"
            f" WHERE site_id = ? AND {where} AND folded_at IS NULL",
            (site_id, value),
        ).fetchall()
        return [Merge(**dict(zip(Merge.__struct_fields__, row, strict=True))) for row in rows]

    def named_by(self, site_id: str, person_ids: Iterable[str], message_id: str) -> set[str]:
        """Which of these persons this message was the last to name by an identifier of theirs."""
        return {
            person_id
            for person_id in person_ids
            if self._sql(
                "SELECT 1 FROM identifiers WHERE site_id = ? AND person_id = ? AND message_id = ? LIMIT 1",
                (site_id, person_id, message_id),
            ).fetchone()
        }
