"""The identity graph in SQL: persons, their identifiers, visitors' links, revocable merges.

Merges are followed at reading time: every person ID that leaves this module is canonical.
"""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from relay.identity import guards
from relay.identity.evidence import LINKS, STRONG, WORTH, Evidence
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.resolve import Link, Owner
from relay.model import Recipient, Trust
from relay.store.connection import Connection

#: What Klaviyo can be told a person by. A ``_kx`` counts once Klaviyo's answer (or its refusal to answer) is in.
_SENDABLE = "(kind IN ('email', 'phone', 'klaviyo_id') OR (kind = 'kx' AND trust = 'klaviyo'))"

_STRONG = ", ".join(f"'{evidence}'" for evidence, worth in WORTH.items() if worth.strength >= STRONG)
_LINKS = ", ".join(f"'{evidence}'" for evidence in sorted(LINKS))

_STAYS_ENDED = (
    f"links.ended_at > excluded.last_at OR (links.end_reason = 'unlinked' AND links.evidence NOT IN ({_STRONG}))"
)

#: Why a link has ended: the shopper has signed out.
SIGNED_OUT = "signed_out"

#: Stands in the trust column of an identifier that its issuer does not know.
_REFUTED = "refuted"


class Graph:
    """Reads and changes the graph of one site at a time, inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection.execute

    # Reading

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
        """``person_id`` and every person that is part of it now."""
        members = [person_id]
        for member in members:
            rows = self._sql(
                "SELECT source_id FROM merges WHERE site_id = ? AND target_id = ? AND revoked_at IS NULL",
                (site_id, member),
            )
            members += [row[0] for row in rows if row[0] not in members]
        return members

    def owners(self, site_id: str, identifiers: Iterable[Identifier]) -> dict[Identifier, Owner]:
        """Who owns which of these identifiers."""
        owners = {}
        for identifier in identifiers:
            row = self._sql(
                "SELECT person_id FROM identifiers WHERE site_id = ? AND kind = ? AND value = ?",
                (site_id, identifier.kind, identifier.value),
            ).fetchone()
            if row is not None:
                owners[identifier] = self._owner(site_id, self.canonical(site_id, row[0]))
        return owners

    def links(self, site_id: str, visitor_id: str) -> list[Link]:
        """The visitor's live links."""
        rows = self._sql(
            "SELECT person_id, evidence, first_at, last_at, message_id FROM links"
            " WHERE site_id = ? AND visitor_id = ? AND ended_at IS NULL",
            (site_id, visitor_id),
        ).fetchall()
        links = []
        for person_id, evidence, first_at, last_at, message_id in rows:
            person = self.canonical(site_id, person_id)
            links.append(
                Link(
                    person_id=person,
                    evidence=Evidence(evidence),
                    first_at=first_at,
                    last_at=last_at,
                    message_id=message_id,
                    sendable=self.is_sendable(site_id, person),
                    is_passed_on=evidence in LINKS and self.is_passed_on(site_id, person),
                )
            )
        return links

    def persons_since(self, site_id: str, visitor_id: str, since: float) -> int:
        """How many persons have given a strong sign in this browser since then, whether they are still tied or not."""
        rows = self._sql(
            f"SELECT DISTINCT person_id FROM links WHERE site_id = ? AND visitor_id = ? AND last_at >= ?"
            f" AND evidence IN ({_STRONG})",
            (site_id, visitor_id, since),
        ).fetchall()
        return len({self.canonical(site_id, row[0]) for row in rows}) if len(rows) > 1 else len(rows)

    def signed_in(self, site_id: str, visitor_id: str) -> set[str]:
        """The persons whom a strong sign ties to the visitor now."""
        rows = self._sql(
            f"SELECT DISTINCT person_id FROM links WHERE site_id = ? AND visitor_id = ? AND ended_at IS NULL"
            f" AND evidence IN ({_STRONG})",
            (site_id, visitor_id),
        ).fetchall()
        return {self.canonical(site_id, row[0]) for row in rows}

    def was_tied(self, site_id: str, visitor_id: str) -> bool:
        """Whether the visitor is or has been tied to anybody, whoever has ended it and why."""
        row = self._sql(
            "SELECT 1 FROM links WHERE site_id = ? AND visitor_id = ? LIMIT 1", (site_id, visitor_id)
        ).fetchone()
        return row is not None

    def signed_out_at(self, site_id: str, visitor_id: str) -> float | None:
        """When somebody last signed out in this browser."""
        row = self._sql(
            "SELECT at FROM sign_outs WHERE site_id = ? AND visitor_id = ?", (site_id, visitor_id)
        ).fetchone()
        return row[0] if row else None

    def new_visitors(self, site_id: str, person_id: str, since: float) -> int:
        """How many browsers have been tied to the person for the first time since then."""
        return sum(
            self._sql(
                "SELECT count(DISTINCT visitor_id) FROM links WHERE site_id = ? AND person_id = ? AND first_at >= ?",
                (site_id, member, since),
            ).fetchone()[0]
            for member in self.members(site_id, person_id)
        )

    def is_new(self, site_id: str, person_id: str, *, since: float) -> bool:
        """Whether nothing was known of the person before."""
        return all(
            (
                row := self._sql(
                    "SELECT min(first_at) FROM identifiers WHERE site_id = ? AND person_id = ?", (site_id, member)
                ).fetchone()
            )
            is None
            or row[0] is None
            or row[0] >= since
            for member in self.members(site_id, person_id)
        )

    def is_passed_on(self, site_id: str, person_id: str) -> bool:
        """Whether too many browsers, in none of which the person has given a sign of their own, opened their links."""
        opened = [
            row[0]
            for member in self.members(site_id, person_id)
            for row in self._sql(
                f"SELECT min(first_at) FROM links WHERE site_id = ? AND person_id = ? AND evidence IN ({_LINKS})"
                f" AND NOT EXISTS (SELECT 1 FROM links own WHERE own.site_id = links.site_id"
                f" AND own.visitor_id = links.visitor_id AND own.person_id = links.person_id"
                f" AND own.evidence IN ({_STRONG})) GROUP BY visitor_id",
                (site_id, member),
            ).fetchall()
        ]
        return guards.is_passed_on(opened)

    def count(self, site_id: str, person_id: str, kind: IdentifierKind) -> int:
        """How many values of a kind the person has."""
        return sum(
            self._sql(
                "SELECT count(*) FROM identifiers WHERE site_id = ? AND person_id = ? AND kind = ?",
                (site_id, member, kind),
            ).fetchone()[0]
            for member in self.members(site_id, person_id)
        )

    def visitors_of(self, site_id: str, person_id: str) -> list[str]:
        """The visitors with a live link to the person."""
        visitors: list[str] = []
        for member in self.members(site_id, person_id):
            visitors += [
                row[0]
                for row in self._sql(
                    "SELECT DISTINCT visitor_id FROM links WHERE site_id = ? AND person_id = ? AND ended_at IS NULL",
                    (site_id, member),
                )
            ]
        return list(dict.fromkeys(visitors))

    def is_sendable(self, site_id: str, person_id: str) -> bool:
        """Whether the person has an address Klaviyo can be told."""
        return any(
            self._sql(
                f"SELECT 1 FROM identifiers WHERE site_id = ? AND person_id = ? AND {_SENDABLE} LIMIT 1",
                (site_id, member),
            ).fetchone()
            for member in self.members(site_id, person_id)
        )

    def recipient(self, site_id: str, person_id: str) -> Recipient | None:
        """Whom Klaviyo shall be told, or None when there is no address.

        Of several values of a kind the latest one a server gave wins, else the latest.
        """
        values: dict[str, tuple[tuple[bool, float], str]] = {}
        traits: dict[str, Any] = {}
        for member in reversed(self.members(site_id, person_id)):
            for kind, value, trust, last_at in self._sql(
                f"SELECT kind, value, trust, last_at FROM identifiers"
                f" WHERE site_id = ? AND person_id = ? AND {_SENDABLE}",
                (site_id, member),
            ):
                rank = (trust != Trust.BROWSER, last_at)
                if kind not in values or rank > values[kind][0]:
                    values[kind] = (rank, value)
            traits |= self.traits(site_id, member)
        if not values:
            return None

        def best(kind: IdentifierKind) -> str | None:
            return values[kind][1] if kind in values else None

        return Recipient(
            klaviyo_id=best(IdentifierKind.KLAVIYO_ID) if IdentifierKind.EMAIL not in values else None,
            email=best(IdentifierKind.EMAIL),
            phone_number=best(IdentifierKind.PHONE),
            kx=best(IdentifierKind.KX),
            traits=traits,
        )

    def customer_id(self, site_id: str, person_id: str) -> str | None:
        """The shop's own ID of the person, the latest a server gave: a browser may name anybody's."""
        found = [
            row
            for member in self.members(site_id, person_id)
            for row in self._sql(
                "SELECT last_at, value FROM identifiers"
                " WHERE site_id = ? AND person_id = ? AND kind = ? AND trust <> ?",
                (site_id, member, IdentifierKind.CUSTOMER_ID, Trust.BROWSER),
            ).fetchall()
        ]
        return max(found)[1] if found else None

    def traits(self, site_id: str, person_id: str) -> dict[str, Any]:
        row = self._sql(
            "SELECT traits FROM persons WHERE site_id = ? AND person_id = ?", (site_id, person_id)
        ).fetchone()
        return msgspec.json.decode(row[0], type=dict[str, Any]) if row else {}

    # Changing

    def new_person(self, site_id: str, at: float) -> str:
        person_id = uuid.uuid4().hex
        self._sql("INSERT INTO persons (site_id, person_id, created_at) VALUES (?, ?, ?)", (site_id, person_id, at))
        return person_id

    def attach(
        self, site_id: str, identifier: Identifier, person_id: str, *, trust: Trust, at: float, message_id: str
    ) -> None:
        """Give the identifier to the person, or note that it was seen again. A server's word keeps its trust."""
        self._sql(
            "INSERT INTO identifiers (site_id, kind, value, person_id, trust, first_at, last_at, message_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (site_id, kind, value) DO UPDATE SET person_id = excluded.person_id,"
            " trust = CASE WHEN excluded.trust = 'browser' THEN identifiers.trust ELSE excluded.trust END,"
            " last_at = CASE WHEN excluded.last_at > identifiers.last_at THEN excluded.last_at"
            " ELSE identifiers.last_at END, message_id = excluded.message_id",
            (site_id, identifier.kind, identifier.value, person_id, trust, at, at, message_id),
        )

    def refute(self, site_id: str, identifier: Identifier) -> None:
        """Note that the identifier belongs to nobody, so that it is neither asked for nor tied again."""
        self._sql(
            "UPDATE identifiers SET trust = ? WHERE site_id = ? AND kind = ? AND value = ?",
            (_REFUTED, site_id, identifier.kind, identifier.value),
        )

    def is_refuted(self, site_id: str, identifier: Identifier) -> bool:
        row = self._sql(
            "SELECT 1 FROM identifiers WHERE site_id = ? AND kind = ? AND value = ? AND trust = ?",
            (site_id, identifier.kind, identifier.value, _REFUTED),
        ).fetchone()
        return row is not None

    def unite(self, site_id: str, source_id: str, target_id: str, *, at: float, message_id: str) -> None:
        """Record that one person is part of another. Nothing is copied or deleted; revoking the row undoes it."""
        self._sql(
            "INSERT INTO merges (site_id, source_id, target_id, message_id, created_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (site_id, source_id, target_id) DO UPDATE SET revoked_at = NULL",
            (site_id, source_id, target_id, message_id, at),
        )

    def tie(
        self, site_id: str, visitor_id: str, person_id: str, evidence: Evidence, *, at: float, message_id: str
    ) -> None:
        """Link the visitor to the person, or renew the link."""
        self._sql(
            "INSERT INTO links (site_id, visitor_id, person_id, evidence, first_at, last_at, message_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (site_id, visitor_id, person_id, evidence) DO UPDATE SET"
            " first_at = CASE WHEN links.ended_at IS NULL THEN links.first_at ELSE excluded.first_at END,"
            " last_at = CASE WHEN excluded.last_at > links.last_at THEN excluded.last_at ELSE links.last_at END,"
            " message_id = excluded.message_id,"
            # A sign from before a sign-out that arrives after it does not undo it. What the operator has cut stays cut
            # unless the person gives a strong sign anew: a browser repeats an old link's ID with every page.
            f" ended_at = CASE WHEN {_STAYS_ENDED} THEN links.ended_at END,"
            f" end_reason = CASE WHEN {_STAYS_ENDED} THEN links.end_reason END",
            (site_id, visitor_id, person_id, evidence, at, at, message_id),
        )

    def untie(self, site_id: str, visitor_id: str, *, at: float, reason: str) -> None:
        """End all of the visitor's links."""
        if reason == SIGNED_OUT:
            self._sql(
                "INSERT INTO sign_outs (site_id, visitor_id, at) VALUES (?, ?, ?) ON CONFLICT (site_id, visitor_id)"
                " DO UPDATE SET at = excluded.at WHERE excluded.at > sign_outs.at",
                (site_id, visitor_id, at),
            )
        self._sql(
            "UPDATE links SET ended_at = ?, end_reason = ? WHERE site_id = ? AND visitor_id = ? AND ended_at IS NULL",
            (at, reason, site_id, visitor_id),
        )

    def unlink(
        self,
        site_id: str,
        visitor_id: str,
        person_id: str,
        evidence: Evidence | None,
        *,
        at: float,
        reason: str = "unlinked",
    ) -> int:
        """Cut the visitor's ties to the person, all of them or those of one class; how many."""
        only = "" if evidence is None else " AND evidence = ?"
        return sum(
            self._sql(
                "UPDATE links SET ended_at = ?, end_reason = ? WHERE site_id = ? AND visitor_id = ?"
                f" AND person_id = ? AND ended_at IS NULL{only}",
                (at, reason, site_id, visitor_id, member, *(() if evidence is None else (evidence,))),
            ).rowcount
            for member in self.members(site_id, person_id)
        )

    def end_evidence(self, site_id: str, person_id: str, evidence: Evidence, *, at: float, reason: str) -> None:
        """End every link to the person that rests on this class of evidence."""
        self._sql(
            "UPDATE links SET ended_at = ?, end_reason = ?"
            " WHERE site_id = ? AND person_id = ? AND evidence = ? AND ended_at IS NULL",
            (at, reason, site_id, person_id, evidence),
        )

    def remember_traits(self, site_id: str, person_id: str, traits: Mapping[str, Any]) -> bool:
        """Add to what is known of the person; the latest value of a trait stays. Returns whether anything changed."""
        known = self.traits(site_id, person_id)
        merged = known | {name: value for name, value in traits.items() if value is not None}
        if merged == known:
            return False
        self._sql(
            "UPDATE persons SET traits = ? WHERE site_id = ? AND person_id = ?",
            (msgspec.json.encode(merged), site_id, person_id),
        )
        return True

    # Forgetting

    def forget(self, site_id: str, person_id: str, hashes: Iterable[bytes], *, at: float) -> None:
        """Erase the person: identifiers, links, traits, merges. The keyed ``hashes`` stay against resurrection."""
        for member in self.members(site_id, person_id):
            self._sql("DELETE FROM identifiers WHERE site_id = ? AND person_id = ?", (site_id, member))
            self._sql("DELETE FROM links WHERE site_id = ? AND person_id = ?", (site_id, member))
            self._sql("DELETE FROM persons WHERE site_id = ? AND person_id = ?", (site_id, member))
            self._sql("DELETE FROM merges WHERE site_id = ? AND ? IN (source_id, target_id)", (site_id, member))
        for digest in hashes:
            self._sql(
                "INSERT INTO forgotten (site_id, hash, forgotten_at) VALUES (?, ?, ?)"
                " ON CONFLICT (site_id, hash) DO UPDATE SET forgotten_at = excluded.forgotten_at",
                (site_id, digest, at),
            )

    def identifiers_of(self, site_id: str, person_id: str) -> list[Identifier]:
        """Every identifier of the person, whatever its kind."""
        return [
            Identifier(IdentifierKind(kind), value)
            for member in self.members(site_id, person_id)
            for kind, value in self._sql(
                "SELECT kind, value FROM identifiers WHERE site_id = ? AND person_id = ?", (site_id, member)
            )
        ]

    def forgotten_at(self, site_id: str, digest: bytes) -> float | None:
        """When the identifier with this hash was erased, if it was."""
        row = self._sql(
            "SELECT forgotten_at FROM forgotten WHERE site_id = ? AND hash = ?", (site_id, digest)
        ).fetchone()
        return row[0] if row else None

    def _owner(self, site_id: str, person_id: str) -> Owner:
        kinds: set[str] = set()
        for member in self.members(site_id, person_id):
            kinds |= {
                row[0]
                for row in self._sql(
                    "SELECT DISTINCT kind FROM identifiers WHERE site_id = ? AND person_id = ?", (site_id, member)
                )
            }
        return Owner(
            person_id=person_id,
            has_email=IdentifierKind.EMAIL in kinds,
            has_customer_id=IdentifierKind.CUSTOMER_ID in kinds,
            sendable=self.is_sendable(site_id, person_id),
        )
