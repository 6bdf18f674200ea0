"""What a browser alone has said of a person, in SQL: a customer ID or a number beside the address it gave.

Invariant kept here: a claim is found from its claimant, never its claimant from the value, but in the very browser that
has given both together. It is a row of the identifiers, so it is sealed, exported and erased with them; that it was
made in this browser is a row beside it, which says nothing to whoever reads it.
"""

from relay.identity.evidence import STRONG, WORTH
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.plan import CLAIMABLE
from relay.model import Trust
from relay.store.identifiers import CLAIMED, CLAIMED_HERE, Identifiers

#: The classes of evidence that name a person by themselves, as SQL lists them.
STRONG_ONES = ", ".join(f"'{evidence}'" for evidence, worth in WORTH.items() if worth.strength >= STRONG)


class Claimed(Identifiers):
    """The claims of persons, inside a transaction."""

    def attach(
        self, site_id: str, identifier: Identifier, person_id: str, *, trust: Trust, at: float, message_id: str
    ) -> None:
        """As ever; whom a browser alone had given it to, in the days before there were claims, keeps the claim."""
        if identifier.kind in CLAIMABLE and identifier not in self.owners(site_id, [identifier]):
            row = self._sql(
                "SELECT person_id, last_at, message_id FROM identifiers WHERE site_id = ? AND kind = ? AND hash = ?",
                (site_id, identifier.kind, self._hash(site_id, identifier)),
            ).fetchone()
            if row is not None and row[0] != person_id:
                self.claim(site_id, identifier, row[0], at=row[1], message_id=row[2])
        super().attach(site_id, identifier, person_id, trust=trust, at=at, message_id=message_id)

    def claim(
        self,
        site_id: str,
        identifier: Identifier,
        person_id: str,
        *,
        at: float,
        message_id: str,
        visitor_id: str | None = None,
    ) -> None:
        """Note that a browser (``visitor_id``) has said this of the person, or said it again."""
        value = self._keys.of(site_id).seal(f"identifiers.{identifier.kind}", identifier.value.encode())
        noted: list[tuple[str, bytes, bytes]] = [
            (identifier.kind, self._claim_hash(site_id, identifier, person_id), value)
        ]
        if visitor_id is not None and identifier.kind is IdentifierKind.CUSTOMER_ID:
            noted.append((CLAIMED_HERE, self._here_hash(site_id, identifier, person_id, visitor_id), b""))
        for kind, digest, sealed in noted:
            self._sql(
                "INSERT INTO identifiers (site_id, kind, hash, value, person_id, trust, first_at, last_at, message_id)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (site_id, kind, hash) DO UPDATE SET last_at = CASE WHEN excluded.last_at >"
                " identifiers.last_at THEN excluded.last_at ELSE identifiers.last_at END,"
                " message_id = excluded.message_id",
                (site_id, kind, digest, sealed, person_id, CLAIMED, at, at, message_id),
            )

    def claims(self, site_id: str, person_id: str, identifier: Identifier) -> bool:
        """Whether a browser has said this of the person."""
        return any(
            self._is_noted(site_id, identifier.kind, self._claim_hash(site_id, identifier, member))
            for member in self.members(site_id, person_id)
        )

    def _claims_here(self, site_id: str, visitor_id: str, person_id: str, identifier: Identifier) -> bool:
        return any(
            self._is_noted(site_id, CLAIMED_HERE, self._here_hash(site_id, identifier, member, visitor_id))
            for member in self.members(site_id, person_id)
        )

    def _is_noted(self, site_id: str, kind: str, digest: bytes) -> bool:
        row = self._sql(
            "SELECT 1 FROM identifiers WHERE site_id = ? AND kind = ? AND hash = ?", (site_id, kind, digest)
        ).fetchone()
        return row is not None

    def known_here(self, site_id: str, visitor_id: str, person_id: str) -> str:
        """Whom the browser means by a customer ID that is all that is known of ``person_id``: the one person of whom it
        has given the ID together with an address, and who has no other ID by a server's word. ``person_id`` itself
        where there is none, or more than one."""
        if self.is_sendable(site_id, person_id):
            return person_id
        ids = [
            identifier
            for identifier in self.identifiers_of(site_id, person_id)
            if identifier.kind is IdentifierKind.CUSTOMER_ID
        ]
        if not ids:
            return person_id
        # A sign-out does not change whom the shop calls by an ID in this browser; what was taken back counts no more.
        tied = self._sql(
            f"SELECT DISTINCT person_id FROM links WHERE site_id = ? AND visitor_id = ? AND evidence IN ({STRONG_ONES})"
            " AND (ended_at IS NULL OR end_reason = 'signed_out')",
            (site_id, visitor_id),
        ).fetchall()
        claimants = {
            claimant
            for claimant in {self.canonical(site_id, row[0]) for row in tied} - {person_id}
            if any(self._claims_here(site_id, visitor_id, claimant, each) for each in ids)
            and self.customer_id(site_id, claimant) is None
        }
        return claimants.pop() if len(claimants) == 1 else person_id

    def _claim_hash(self, site_id: str, identifier: Identifier, person_id: str) -> bytes:
        return self._keys.of(site_id).look_up(f"claimed {identifier.kind}", f"{person_id} {identifier.value}")

    def _here_hash(self, site_id: str, identifier: Identifier, person_id: str, visitor_id: str) -> bytes:
        return self._keys.of(site_id).look_up(CLAIMED_HERE, f"{visitor_id} {person_id} {identifier.value}")
