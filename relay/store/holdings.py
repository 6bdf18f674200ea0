"""Everything the state holds of one person, in SQL, opened: what an export hands out. Reads only."""

from collections.abc import Sequence
from typing import Any

import msgspec

from relay.identity.tenure import Tenure
from relay.store.connection import Connection
from relay.store.identifiers import CLAIMED_HERE
from relay.store.keyring import Keyring
from relay.store.ledger import BODY
from relay.store.outbox import SEALED, marks

Row = dict[str, Any]
#: More than a shopper does in one browser in the week that the journal is kept for.
MOST_MESSAGES = 500


class Holdings:
    """Rows by their person or visitor, as they are kept, inside a transaction."""

    def __init__(self, connection: Connection, keys: Keyring) -> None:
        self._connection = connection
        self._keys = keys

    def identifiers(self, site_id: str, persons: Sequence[str]) -> list[Row]:
        columns = "kind, value, person_id, trust, first_at, last_at, message_id"
        rows = self._rows("identifiers", columns, site_id, {"person_id": persons}, "kind, first_at")
        vault = self._keys.of(site_id)
        return [
            row | {"value": vault.open(f"identifiers.{row['kind']}", row["value"]).decode()}
            for row in rows
            if row["kind"] != CLAIMED_HERE
        ]

    def persons(self, site_id: str, persons: Sequence[str]) -> list[Row]:
        return self._rows("persons", "person_id, created_at", site_id, {"person_id": persons}, "created_at")

    def links(self, site_id: str, persons: Sequence[str]) -> list[Row]:
        """Live and ended ones."""
        columns = "visitor_id, person_id, evidence, first_at, last_at, message_id, ended_at, end_reason"
        return self._rows("links", columns, site_id, {"person_id": persons}, "first_at")

    def merges(self, site_id: str, persons: Sequence[str]) -> list[Row]:
        columns = "source_id, target_id, message_id, created_at, revoked_at, folded_at"
        found = {"source_id": persons, "target_id": persons}
        return self._rows("merges", columns, site_id, found, "created_at")

    def events(self, site_id: str, persons: Sequence[str], tenures: Sequence[Tenure]) -> list[Row]:
        """Those of the visitors' tenures, and those of which something is or was to be told of the persons."""
        columns = "event_id, source, message_id, visitor_id, kind, name, occurred_at, received_at, body"
        rows = self._rows("events", columns, site_id, {"visitor_id": _visitors(tenures)}, "event_id")
        rows = _within(tenures, rows, "occurred_at")
        told = {row["event_id"] for row in self.deliveries(site_id, persons, []) if row["event_id"] is not None}
        others = sorted(told - {row["event_id"] for row in rows})
        for start in range(0, len(others), 500):
            rows += self._rows("events", columns, site_id, {"event_id": others[start : start + 500]}, "event_id")
        vault = self._keys.of(site_id)
        rows.sort(key=lambda row: row["event_id"])
        return [row | {"body": msgspec.json.decode(vault.open(BODY, row["body"]))} for row in rows]

    def messages(self, site_id: str, tenure: Tenure) -> list[tuple[str, float]]:
        """The visitor's latest messages in its tenure, up to ``MOST_MESSAGES``: their IDs and when they occurred."""
        rows: list[tuple[str, float]] = self._connection.execute(
            "SELECT message_id, occurred_at FROM events WHERE site_id = ? AND visitor_id = ? AND occurred_at >= ?"
            " AND occurred_at <= ? ORDER BY received_at DESC LIMIT ?",
            (site_id, tenure.visitor_id, tenure.since, tenure.until, MOST_MESSAGES),
        ).fetchall()
        return rows

    def deliveries(self, site_id: str, persons: Sequence[str], tenures: Sequence[Tenure]) -> list[Row]:
        columns = (
            "delivery_id, kind, unique_id, event_id, metric, visitor_id, person_id, occurred_at, created_at, state,"
            " reason, cause, evidence, confidence, backfill, due_at, attempts, status, error, settled_at, payload,"
            " recipient"
        )
        found = {"person_id": persons, "visitor_id": _visitors(tenures)}
        rows = self._rows("deliveries", columns, site_id, found, "delivery_id")
        told = [row for row in rows if row["person_id"] in persons]
        rows = sorted(
            told + _within(tenures, [row for row in rows if row["person_id"] not in persons], "occurred_at"),
            key=lambda row: row["delivery_id"],
        )
        vault = self._keys.of(site_id)
        proofs = {
            row["delivery_id"]: msgspec.json.decode(row["body"])
            for start in range(0, len(rows), 500)
            for row in self._rows(
                "proofs",
                "delivery_id, body",
                site_id,
                {"delivery_id": [row["delivery_id"] for row in rows[start : start + 500]]},
                "delivery_id",
            )
        }
        for row in rows:
            row["proof"] = proofs.get(row["delivery_id"])
            for name, place in SEALED.items():
                if row[name] is not None:
                    row[name] = _readable(vault.open(place, row[name]))
        return rows

    def traces(self, site_id: str, tenures: Sequence[Tenure]) -> list[Row]:
        """Which carts, checkouts and analytics IDs were seen in these browsers, when, and on which network: of the
        values themselves only keyed hashes are kept."""
        columns = "visitor_id, kind, network, browser, first_at, last_at"
        rows = self._rows("traces", columns, site_id, {"visitor_id": _visitors(tenures)}, "visitor_id, kind")
        return _within(tenures, rows, "first_at")

    def cart_calls(self, site_id: str, persons: Sequence[str]) -> list[Row]:
        """What the shop's server has said of carts of theirs, within the last day, whose browser was not known."""
        columns = "kind, message_id, person_id, evidence, at, noted_at"
        rows = self._rows("cart_calls", columns, site_id, {"person_id": persons}, "at, kind")
        return [_renamed(row, at="called_at") for row in rows]

    def unties(self, site_id: str, tenures: Sequence[Tenure]) -> list[Row]:
        """When and why ties of these browsers were taken back."""
        rows = self._rows("unties", "visitor_id, reason, at", site_id, {"visitor_id": _visitors(tenures)}, "at")
        rows = _within(tenures, rows, "at")
        return [_renamed(row, at="untied_at") for row in rows]

    def suspicions(self, site_id: str, persons: Sequence[str], visitors: Sequence[str]) -> list[Row]:
        """Whose these browsers may be by their behaviour, and which may be these persons'."""
        columns = "visitor_id, person_id, probability, weights, at, verdict"
        found = {"person_id": persons, "visitor_id": visitors}
        rows = self._rows("suspicions", columns, site_id, found, "at")
        return [_renamed(row, at="suspected_at") | {"weights": msgspec.json.decode(row["weights"])} for row in rows]

    def sketches(self, site_id: str, visitors: Sequence[str]) -> list[Row]:
        """Which features of these browsers' behaviour are kept to compare them by, as keyed hashes only."""
        columns = "visitor_id, kind, last_at"
        return self._rows("sketches", columns, site_id, {"visitor_id": visitors}, "visitor_id, kind, last_at")

    def _rows(self, table: str, columns: str, site_id: str, found: dict[str, Sequence[Any]], order: str) -> list[Row]:
        """Rows where one of the columns in ``found`` has one of its values."""
        wheres = [f"{name} IN ({marks(values)})" for name, values in found.items() if values]
        if not wheres:
            return []
        names = [name.strip() for name in columns.split(",")]
        rows = self._connection.execute(
            f"SELECT {columns} FROM {table} WHERE site_id = ? AND ({' OR '.join(wheres)}) ORDER BY {order}",
            [site_id, *(value for values in found.values() for value in values)],
        )
        return [dict(zip(names, row, strict=True)) for row in rows]


def _visitors(tenures: Sequence[Tenure]) -> list[str]:
    return [each.visitor_id for each in tenures]


def _within(tenures: Sequence[Tenure], rows: Sequence[Row], at: str) -> list[Row]:
    """The rows from when their visitor was the person's."""
    found = {each.visitor_id: each for each in tenures}
    return [row for row in rows if row["visitor_id"] in found and found[row["visitor_id"]].covers(row[at])]


def _renamed(row: Row, **names: str) -> Row:
    return {names.get(name, name): value for name, value in row.items()}


def _readable(plain: bytes) -> Any:
    """JSON as what it says, anything else as text."""
    try:
        return msgspec.json.decode(plain)
    except (msgspec.DecodeError, ValueError):
        return plain.decode()
