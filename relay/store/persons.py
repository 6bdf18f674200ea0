"""Persons in SQL: what is known of them, and who is part of whom.

One person is made part of another by a row that can be revoked. Merges are followed at reading time, so nothing is
copied or deleted by one, and every person ID that a caller is given is canonical.
"""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from relay.store.connection import Connection
from relay.store.keyring import Keyring

#: Where the traits are sealed for, and what stands there before there are any.
_TRAITS, _NO_TRAITS = "persons.traits", "{}"


class Persons:
    """The persons of one site at a time, inside a transaction."""

    def __init__(self, connection: Connection, keys: Keyring) -> None:
        self._sql = connection.execute
        self._keys = keys

    def new_person(self, site_id: str, at: float) -> str:
        person_id = uuid.uuid4().hex
        self._sql("INSERT INTO persons (site_id, person_id, created_at) VALUES (?, ?, ?)", (site_id, person_id, at))
        return person_id

    def is_known(self, site_id: str, person_id: str) -> bool:
        """Whether the person is there: not erased, and one of this site's."""
        row = self._sql("SELECT 1 FROM persons WHERE site_id = ? AND person_id = ?", (site_id, person_id)).fetchone()
        return row is not None

    def traits(self, site_id: str, person_id: str) -> dict[str, Any]:
        row = self._sql(
            "SELECT traits FROM persons WHERE site_id = ? AND person_id = ?", (site_id, person_id)
        ).fetchone()
        if row is None or row[0] in (_NO_TRAITS, _NO_TRAITS.encode()):
            return {}
        return msgspec.json.decode(self._keys.of(site_id).open(_TRAITS, row[0]), type=dict[str, Any])

    def remember_traits(self, site_id: str, person_id: str, traits: Mapping[str, Any]) -> bool:
        """Add to what is known of the person; the latest value of a trait stays. Returns whether anything changed."""
        known = self.traits(site_id, person_id)
        merged = known | {name: value for name, value in traits.items() if value is not None}
        if merged == known:
            return False
        self._sql(
            "UPDATE persons SET traits = ? WHERE site_id = ? AND person_id = ?",
            (self._keys.of(site_id).seal(_TRAITS, msgspec.json.encode(merged)), site_id, person_id),
        )
        return True

    # Merges

    def canonical(self, site_id: str, person_id: str) -> str:
        """The person that ``person_id`` is part of now."""
        seen = {person_id}
        while row := self._sql(
            "SELECT target_id FROM merges WHERE site_id = ? AND source_id = ? AND revoked_at IS NULL"
            " ORDER BY created_at DESC LIMIT 1",
            (site_id, person_id),
        ).fetchone():
            person_id = row[0]
            if person_id in seen:
                break
            seen.add(person_id)
        return person_id

    def members(self, site_id: str, person_id: str) -> list[str]:
        """``person_id`` and every person that is part of it now and has anything."""
        return self._part_of(site_id, person_id, " AND folded_at IS NULL")

    def everybody(self, site_id: str, person_id: str) -> list[str]:
        """As ``members``, with those who have been folded: they have nothing but a name that old deliveries know."""
        return self._part_of(site_id, person_id, "")

    def _part_of(self, site_id: str, person_id: str, only: str) -> list[str]:
        members = [person_id]
        for member in members:
            rows = self._sql(
                f"SELECT source_id FROM merges WHERE site_id = ? AND target_id = ? AND revoked_at IS NULL{only}",
                (site_id, member),
            )
            members += [row[0] for row in rows if row[0] not in members]
        return members

    def unite(self, site_id: str, source_id: str, target_id: str, *, at: float, message_id: str) -> None:
        """Record that one person is part of another. Nothing is copied or deleted; revoking the row undoes it, and
        only a word from after that unites the two again."""
        self._sql(
            "INSERT INTO merges (site_id, source_id, target_id, message_id, created_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (site_id, source_id, target_id) DO UPDATE SET message_id = excluded.message_id,"
            " created_at = excluded.created_at, revoked_at = NULL"
            " WHERE merges.revoked_at IS NOT NULL AND merges.revoked_at <= excluded.created_at",
            (site_id, source_id, target_id, message_id, at),
        )

    def revoke(self, site_id: str, source_id: str, target_id: str, *, at: float) -> bool:
        """Take a merge back; whether it stood."""
        cursor = self._sql(
            "UPDATE merges SET revoked_at = ? WHERE site_id = ? AND source_id = ? AND target_id = ?"
            " AND revoked_at IS NULL AND folded_at IS NULL",
            (at, site_id, source_id, target_id),
        )
        return bool(cursor.rowcount)

    def delete_folded(self, site_id: str, *, folded_before: float) -> None:
        """Retention: the names of the folded go with the last deliveries that know them."""
        self._sql("DELETE FROM merges WHERE site_id = ? AND folded_at < ?", (site_id, folded_before))
