"""Identifiers in SQL: which person has which values, and by which of them Klaviyo is told.

They are found by a keyed hash; the values are sealed, and opened only when somebody asks for them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.plan import CLAIMABLE, Owner
from relay.model import Recipient, Trust
from relay.store.persons import Persons

#: What Klaviyo can be told a person by. A ``_kx`` counts once Klaviyo's answer (or its refusal to answer) is in.
_SENDABLE = (
    "(kind IN ('email', 'klaviyo_id') OR (kind = 'phone' AND trust <> 'claimed')"
    " OR (kind = 'kx' AND trust = 'klaviyo'))"
)

#: Stands in the trust column of an identifier that its issuer does not know.
_REFUTED = "refuted"
#: Stands in the trust column of what a browser alone has said of a person (``identity.plan.CLAIMABLE``). It is found
#: from the person only, so it has an owner's place for nobody, and any number of persons may claim the same value.
CLAIMED = "claimed"
#: Stands in the kind column of the note that a claim was made in one browser (``Claimed.known_here``). It has no value.
CLAIMED_HERE = "claimed_here"


class Identifiers(Persons):
    """The identifiers of persons, inside a transaction."""

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

    def keep_newest(self, site_id: str, person_id: str, kind: IdentifierKind, limit: int) -> int:
        """Drop the person's oldest values of a kind beyond ``limit``; how many were dropped."""
        held = [
            (last_at, bytes(digest))
            for member in self.members(site_id, person_id)
            for last_at, digest in self._sql(
                "SELECT last_at, hash FROM identifiers WHERE site_id = ? AND person_id = ? AND kind = ?",
                (site_id, member, kind),
            )
        ]
        dropped = sorted(held, reverse=True)[limit:]
        for _, digest in dropped:
            self._sql("DELETE FROM identifiers WHERE site_id = ? AND kind = ? AND hash = ?", (site_id, kind, digest))
        return len(dropped)

    def is_refuted(self, site_id: str, identifier: Identifier) -> bool:
        row = self._sql(
            "SELECT 1 FROM identifiers WHERE site_id = ? AND kind = ? AND hash = ? AND trust = ?",
            (site_id, identifier.kind, self._hash(site_id, identifier), _REFUTED),
        ).fetchone()
        return row is not None

    def is_told_by_server(self, site_id: str, identifier: Identifier) -> bool:
        """Whether a server has ever named the identifier, and not browsers alone."""
        row = self._sql(
            "SELECT 1 FROM identifiers WHERE site_id = ? AND kind = ? AND hash = ? AND trust = ?",
            (site_id, identifier.kind, self._hash(site_id, identifier), Trust.SERVER),
        ).fetchone()
        return row is not None

    # Who has it

    def owners(self, site_id: str, identifiers: Iterable[Identifier]) -> dict[Identifier, Owner]:
        """Who owns which of these identifiers. What a browser alone has given to somebody with an address has no owner:
        it is a claim (relays before there were claims kept it in an owner's place)."""
        owners = {}
        for identifier in identifiers:
            row = self._sql(
                "SELECT person_id, trust FROM identifiers WHERE site_id = ? AND kind = ? AND hash = ?",
                (site_id, identifier.kind, self._hash(site_id, identifier)),
            ).fetchone()
            if row is not None:
                is_confirmed = identifier.kind not in CLAIMABLE or row[1] != Trust.BROWSER
                owner = self._owner(site_id, self.canonical(site_id, row[0]), row[0], is_confirmed=is_confirmed)
                if is_confirmed or not owner.has_email:
                    owners[identifier] = owner
        return owners

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

    # What they have

    def count(self, site_id: str, person_id: str, kind: IdentifierKind) -> int:
        """How many values of a kind the person has."""
        return sum(
            self._sql(
                "SELECT count(*) FROM identifiers WHERE site_id = ? AND person_id = ? AND kind = ?",
                (site_id, member, kind),
            ).fetchone()[0]
            for member in self.members(site_id, person_id)
        )

    def identifiers_of(self, site_id: str, person_id: str) -> list[Identifier]:
        """Every identifier of the person, whatever its kind; of what they only claim what is nobody else's."""
        found = [
            (Identifier(IdentifierKind(kind), self._plain(site_id, kind, value)), trust)
            for member in self.members(site_id, person_id)
            for kind, value, trust in self._sql(
                "SELECT kind, value, trust FROM identifiers WHERE site_id = ? AND person_id = ? AND kind <> ?",
                (site_id, member, CLAIMED_HERE),
            ).fetchall()
        ]
        theirs = [i for i, trust in found if trust != CLAIMED or not self._is_anothers(site_id, person_id, i)]
        return list(dict.fromkeys(theirs))

    def _is_anothers(self, site_id: str, person_id: str, claimed: Identifier) -> bool:
        """Whether a server has said that what the person claims is somebody else's."""
        owner = self.owners(site_id, [claimed]).get(claimed)
        return owner is not None and owner.is_confirmed and owner.person_id != person_id

    def customer_id(self, site_id: str, person_id: str) -> str | None:
        """The shop's own ID of the person, the latest a server gave: a browser may name anybody's."""
        found = [
            ((last_at,), value)
            for member in self.members(site_id, person_id)
            for last_at, value in self._sql(
                "SELECT last_at, value FROM identifiers"
                " WHERE site_id = ? AND person_id = ? AND kind = ? AND trust NOT IN (?, ?)",
                (site_id, member, IdentifierKind.CUSTOMER_ID, Trust.BROWSER, CLAIMED),
            ).fetchall()
        ]
        return self._best(site_id, IdentifierKind.CUSTOMER_ID, found) if found else None

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

        Of several values of a kind those win that a server gave; of these the person's own, before those of whoever has
        been made part of them; of these the latest. A number that is only claimed is told beside an address, unless a
        server has named another's.
        """
        values: dict[str, list[tuple[tuple[bool, bool, float], bytes]]] = {}
        traits: dict[str, Any] = {}
        for member in reversed(self.members(site_id, person_id)):
            for kind, value, trust, last_at in self._sql(
                f"SELECT kind, value, trust, last_at FROM identifiers"
                f" WHERE site_id = ? AND person_id = ? AND {_SENDABLE}",
                (site_id, member),
            ):
                rank = (trust != Trust.BROWSER, member == person_id, last_at)
                values.setdefault(kind, []).append((rank, value))
            traits |= self.traits(site_id, member)
        if not values:
            return None
        if IdentifierKind.EMAIL in values and IdentifierKind.PHONE not in values:
            values |= self._claimed_numbers(site_id, person_id)

        def best(kind: IdentifierKind) -> str | None:
            return self._best(site_id, kind, values[kind]) if kind in values else None

        return Recipient(
            klaviyo_id=best(IdentifierKind.KLAVIYO_ID) if IdentifierKind.EMAIL not in values else None,
            email=best(IdentifierKind.EMAIL),
            phone_number=best(IdentifierKind.PHONE),
            kx=best(IdentifierKind.KX),
            traits=traits,
        )

    def _claimed_numbers(self, site_id: str, person_id: str) -> dict[str, list[tuple[tuple[bool, bool, float], bytes]]]:
        found = [
            ((False, member == person_id, last_at), value)
            for member in self.members(site_id, person_id)
            for value, last_at in self._sql(
                "SELECT value, last_at FROM identifiers WHERE site_id = ? AND person_id = ? AND kind = ? AND trust = ?",
                (site_id, member, IdentifierKind.PHONE, CLAIMED),
            ).fetchall()
            if not self._is_anothers(
                site_id, person_id, Identifier(IdentifierKind.PHONE, self._plain(site_id, IdentifierKind.PHONE, value))
            )
        ]
        return {IdentifierKind.PHONE: found} if found else {}

    def _best(self, site_id: str, kind: str, ranked: Sequence[tuple[Any, bytes]]) -> str:
        """The value of the highest rank. Of two the first by the alphabet: the order of sealed values says nothing."""
        highest = max(rank for rank, _ in ranked)
        return min(self._plain(site_id, kind, sealed) for rank, sealed in ranked if rank == highest)

    def _plain(self, site_id: str, kind: str, sealed: bytes) -> str:
        return self._keys.of(site_id).open(_place(kind), sealed).decode()

    def _hash(self, site_id: str, identifier: Identifier) -> bytes:
        return self._keys.of(site_id).look_up(identifier.kind, identifier.value)

    def _owner(self, site_id: str, person_id: str, holder_id: str, *, is_confirmed: bool) -> Owner:
        has_email = any(
            self._sql(
                "SELECT 1 FROM identifiers WHERE site_id = ? AND person_id = ? AND kind = ? LIMIT 1",
                (site_id, member, IdentifierKind.EMAIL),
            ).fetchone()
            for member in self.members(site_id, person_id)
        )
        return Owner(
            person_id=person_id,
            holder_id=holder_id,
            has_email=has_email,
            sendable=self.is_sendable(site_id, person_id),
            is_confirmed=is_confirmed,
        )


def _place(kind: str) -> str:
    """Where an identifier's value is sealed for."""
    return f"identifiers.{kind}"
