"""The identity graph in SQL: persons, their identifiers, visitors' links, revocable merges.

Merges are followed at reading time: every person ID that leaves this module is canonical. Identifiers are found by a
keyed hash; their values and the traits are sealed, and opened only when somebody asks for them.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from relay.identity import guards
from relay.identity.evidence import LINKS, STRONG, WORTH, Evidence
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.resolve import Link, Owner
from relay.model import Recipient, Trust
from relay.store.connection import Connection
from relay.store.keyring import Keyring

#: What Klaviyo can be told a person by. A ``_kx`` counts once Klaviyo's answer (or its refusal to answer) is in.
_SENDABLE = "(kind IN ('email', 'phone', 'klaviyo_id') OR (kind = 'kx' AND trust = 'klaviyo'))"

_STRONG = ", ".join(f"'{evidence}'" for evidence, worth in WORTH.items() if worth.strength >= STRONG)
_LINKS = ", ".join(f"'{evidence}'" for evidence in sorted(LINKS))

_STAYS_ENDED = (
    f"links.ended_at > excluded.last_at OR (links.end_reason = 'unlinked' AND links.evidence NOT IN ({_STRONG}))"
)

_IS_ENDED = "links.ended_at IS NOT NULL OR links.last_at <= excluded.ended_at"

#: A link that has gone round does so in far fewer browsers than this: the others need not be counted.
_ENOUGH_VISITORS = 50

#: Why a link has ended: the shopper has signed out, or the operator has taken it back. What was taken back counts for
#: nothing any more, as if it had never been.
SIGNED_OUT, UNLINKED = "signed_out", "unlinked"
_COUNTS = f"coalesce(links.end_reason, '') <> '{UNLINKED}'"

#: Stands in the trust column of an identifier that its issuer does not know.
_REFUTED = "refuted"

#: Where the traits are sealed for, and what stands there before there are any.
_TRAITS, _NO_TRAITS = "persons.traits", "{}"


class Graph:
    """Reads and changes the graph of one site at a time, inside a transaction."""

    def __init__(self, connection: Connection, keys: Keyring) -> None:
        self._sql = connection.execute
        self._keys = keys

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
                "SELECT person_id FROM identifiers WHERE site_id = ? AND kind = ? AND hash = ?",
                (site_id, identifier.kind, self._hash(site_id, identifier)),
            ).fetchone()
            if row is not None:
                owners[identifier] = self._owner(site_id, self.canonical(site_id, row[0]), row[0])
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
            f" AND evidence IN ({_STRONG}) AND {_COUNTS}",
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
            "SELECT at FROM unties WHERE site_id = ? AND visitor_id = ? AND reason = ?",
            (site_id, visitor_id, SIGNED_OUT),
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
                    "SELECT min(first_at) FROM identifiers WHERE site_id = ? AND person_id = ?",
                    (site_id, member),
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
                f"SELECT min(first_at) FROM links"
                f" WHERE site_id = ? AND person_id = ? AND evidence IN ({_LINKS})"
                f" AND {_COUNTS} AND NOT EXISTS (SELECT 1 FROM links own WHERE own.site_id = links.site_id"
                f" AND own.visitor_id = links.visitor_id AND own.person_id = links.person_id"
                f" AND own.evidence IN ({_STRONG}) AND coalesce(own.end_reason, '') <> '{UNLINKED}')"
                " GROUP BY visitor_id LIMIT ?",
                (site_id, member, _ENOUGH_VISITORS),
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

    def visitors_of(self, site_id: str, person_id: str, *, only_strong: bool = False) -> list[str]:
        """The visitors with a live link to the person; ``only_strong``: one that names them by itself."""
        only = f" AND evidence IN ({_STRONG})" if only_strong else ""
        visitors: list[str] = []
        for member in self.members(site_id, person_id):
            visitors += [
                row[0]
                for row in self._sql(
                    f"SELECT DISTINCT visitor_id FROM links WHERE site_id = ? AND person_id = ?"
                    f" AND ended_at IS NULL{only}",
                    (site_id, member),
                )
            ]
        return list(dict.fromkeys(visitors))

    def is_known(self, site_id: str, person_id: str) -> bool:
        """Whether the person is there: not erased, and one of this site's."""
        row = self._sql("SELECT 1 FROM persons WHERE site_id = ? AND person_id = ?", (site_id, person_id)).fetchone()
        return row is not None

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
        values: dict[str, list[tuple[tuple[bool, float], bytes]]] = {}
        traits: dict[str, Any] = {}
        for member in reversed(self.members(site_id, person_id)):
            for kind, value, trust, last_at in self._sql(
                f"SELECT kind, value, trust, last_at FROM identifiers"
                f" WHERE site_id = ? AND person_id = ? AND {_SENDABLE}",
                (site_id, member),
            ):
                values.setdefault(kind, []).append(((trust != Trust.BROWSER, last_at), value))
            traits |= self.traits(site_id, member)
        if not values:
            return None

        def best(kind: IdentifierKind) -> str | None:
            return self._best(site_id, kind, values[kind]) if kind in values else None

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
            ((last_at,), value)
            for member in self.members(site_id, person_id)
            for last_at, value in self._sql(
                "SELECT last_at, value FROM identifiers"
                " WHERE site_id = ? AND person_id = ? AND kind = ? AND trust <> ?",
                (site_id, member, IdentifierKind.CUSTOMER_ID, Trust.BROWSER),
            ).fetchall()
        ]
        return self._best(site_id, IdentifierKind.CUSTOMER_ID, found) if found else None

    def traits(self, site_id: str, person_id: str) -> dict[str, Any]:
        row = self._sql(
            "SELECT traits FROM persons WHERE site_id = ? AND person_id = ?", (site_id, person_id)
        ).fetchone()
        if row is None or row[0] in (_NO_TRAITS, _NO_TRAITS.encode()):
            return {}
        return msgspec.json.decode(self._keys.of(site_id).open(_TRAITS, row[0]), type=dict[str, Any])

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
            "INSERT INTO identifiers (site_id, kind, hash, value, person_id, trust, first_at, last_at, message_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (site_id, kind, hash) DO UPDATE SET person_id = excluded.person_id,"
            " trust = CASE WHEN excluded.trust = 'browser' THEN identifiers.trust ELSE excluded.trust END,"
            " last_at = CASE WHEN excluded.last_at > identifiers.last_at THEN excluded.last_at"
            " ELSE identifiers.last_at END, message_id = excluded.message_id",
            (
                site_id,
                identifier.kind,
                self._hash(site_id, identifier),
                self._keys.of(site_id).seal(_place(identifier.kind), identifier.value.encode()),
                person_id,
                trust,
                at,
                at,
                message_id,
            ),
        )

    def refute(self, site_id: str, identifier: Identifier) -> None:
        """Note that the identifier belongs to nobody, so that it is neither asked for nor tied again."""
        self._sql(
            "UPDATE identifiers SET trust = ? WHERE site_id = ? AND kind = ? AND hash = ?",
            (_REFUTED, site_id, identifier.kind, self._hash(site_id, identifier)),
        )

    def is_refuted(self, site_id: str, identifier: Identifier) -> bool:
        row = self._sql(
            "SELECT 1 FROM identifiers WHERE site_id = ? AND kind = ? AND hash = ? AND trust = ?",
            (site_id, identifier.kind, self._hash(site_id, identifier), _REFUTED),
        ).fetchone()
        return row is not None

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
            " AND revoked_at IS NULL",
            (at, site_id, source_id, target_id),
        )
        return bool(cursor.rowcount)

    def tie(
        self, site_id: str, visitor_id: str, person_id: str, evidence: Evidence, *, at: float, message_id: str
    ) -> None:
        """Link the visitor to the person, or renew the link."""
        # A sign from before a sign-out that arrives after it does not undo it.
        ended_at, end_reason = self._sql(
            "SELECT max(at), max(reason) FROM unties WHERE site_id = ? AND visitor_id = ? AND at > ?",
            (site_id, visitor_id, at),
        ).fetchone()
        self._sql(
            "INSERT INTO links (site_id, visitor_id, person_id, evidence, first_at, last_at, message_id, ended_at,"
            " end_reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (site_id, visitor_id, person_id, evidence) DO UPDATE SET"
            " first_at = CASE WHEN links.ended_at IS NULL OR excluded.first_at > links.ended_at THEN"
            " CASE WHEN links.ended_at IS NULL AND links.first_at < excluded.first_at THEN links.first_at"
            " ELSE excluded.first_at END ELSE links.first_at END,"
            " message_id = CASE WHEN excluded.last_at >= links.last_at THEN excluded.message_id"
            " ELSE links.message_id END,"
            " last_at = CASE WHEN excluded.last_at > links.last_at THEN excluded.last_at ELSE links.last_at END,"
            # What the operator has cut stays cut unless the person gives a strong sign anew: a browser repeats an old
            # link's ID with every page.
            f" ended_at = CASE WHEN {_STAYS_ENDED} THEN links.ended_at WHEN {_IS_ENDED} THEN excluded.ended_at END,"
            f" end_reason = CASE WHEN {_STAYS_ENDED} THEN links.end_reason WHEN {_IS_ENDED} THEN excluded.end_reason"
            " END",
            (site_id, visitor_id, person_id, evidence, at, at, message_id, ended_at, end_reason),
        )

    def untie(self, site_id: str, visitor_id: str, *, at: float, reason: str) -> None:
        """End all of the visitor's links."""
        self._sql(
            "INSERT INTO unties (site_id, visitor_id, reason, at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (site_id, visitor_id, reason) DO UPDATE SET at = excluded.at WHERE excluded.at > unties.at",
            (site_id, visitor_id, reason, at),
        )
        # Whoever has given a sign since is still there: this may arrive late.
        self._sql(
            "UPDATE links SET ended_at = ?, end_reason = ? WHERE site_id = ? AND visitor_id = ? AND ended_at IS NULL"
            " AND last_at <= ?",
            (at, reason, site_id, visitor_id, at),
        )

    def unlink(
        self,
        site_id: str,
        visitor_id: str,
        person_id: str,
        evidence: Evidence | None,
        *,
        at: float,
        reason: str = UNLINKED,
    ) -> int:
        """Cut the visitor's ties to the person, all of them or those of one class; how many."""
        only = "" if evidence is None else " AND evidence = ?"
        # What had ended before did count until then (a kiosk's persons); taken back it does not.
        still = _COUNTS if reason == UNLINKED else "ended_at IS NULL"
        return sum(
            self._sql(
                "UPDATE links SET ended_at = ?, end_reason = ? WHERE site_id = ? AND visitor_id = ?"
                f" AND person_id = ? AND {still}{only}",
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
            (self._keys.of(site_id).seal(_TRAITS, msgspec.json.encode(merged)), site_id, person_id),
        )
        return True

    # Forgetting

    def forget(self, site_id: str, person_id: str) -> None:
        """Erase the person: identifiers, links, traits, merges. See ``Privacy.remember_erasure``."""
        for member in self.members(site_id, person_id):
            self._sql("DELETE FROM identifiers WHERE site_id = ? AND person_id = ?", (site_id, member))
            self._sql("DELETE FROM links WHERE site_id = ? AND person_id = ?", (site_id, member))
            self._sql("DELETE FROM persons WHERE site_id = ? AND person_id = ?", (site_id, member))
            for column in ("source_id", "target_id"):
                self._sql(f"DELETE FROM merges WHERE site_id = ? AND {column} = ?", (site_id, member))

    def identifiers_of(self, site_id: str, person_id: str) -> list[Identifier]:
        """Every identifier of the person, whatever its kind."""
        return [
            Identifier(IdentifierKind(kind), self._plain(site_id, kind, value))
            for member in self.members(site_id, person_id)
            for kind, value in self._sql(
                "SELECT kind, value FROM identifiers WHERE site_id = ? AND person_id = ?",
                (site_id, member),
            )
        ]

    def _hash(self, site_id: str, identifier: Identifier) -> bytes:
        return self._keys.of(site_id).look_up(identifier.kind, identifier.value)

    def _best(self, site_id: str, kind: str, ranked: Sequence[tuple[Any, bytes]]) -> str:
        """The value of the highest rank. Of two the first by the alphabet: the order of sealed values says nothing."""
        highest = max(rank for rank, _ in ranked)
        return min(self._plain(site_id, kind, sealed) for rank, sealed in ranked if rank == highest)

    def _plain(self, site_id: str, kind: str, sealed: bytes) -> str:
        return self._keys.of(site_id).open(_place(kind), sealed).decode()

    def _owner(self, site_id: str, person_id: str, holder_id: str) -> Owner:
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
            holder_id=holder_id,
            has_email=IdentifierKind.EMAIL in kinds,
            has_customer_id=IdentifierKind.CUSTOMER_ID in kinds,
            sendable=self.is_sendable(site_id, person_id),
        )


def _place(kind: str) -> str:
    """Where an identifier's value is sealed for."""
    return f"identifiers.{kind}"
