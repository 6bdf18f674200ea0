"""The identity graph in SQL: persons, their identifiers and visitors' links in one, and what is asked across them."""

from relay.identity.evidence import LINKS, Evidence
from relay.identity.identifiers import IdentifierKind
from relay.identity.resolve import Link
from relay.store.links import Links

#: So many links that are not strong are looked at, the newest: of two persons' nothing is believed any more, and a
#: shopper whose ``_kx`` Klaviyo does not tell us has one more person with every message they open.
_ENOUGH_WEAK = 20


class Graph(Links):
    """Reads and changes the graph of one site at a time, inside a transaction."""

    def links(self, site_id: str, visitor_id: str) -> list[Link]:
        """The visitor's live links. What is asked of a person is asked once, however many links they have."""
        links: list[Link] = []
        sendable: dict[str, bool] = {}
        passed_on: dict[str, bool] = {}
        canonical: dict[str, str] = {}
        for person_id, evidence, first_at, last_at, message_id in self.live(site_id, visitor_id, weak=_ENOUGH_WEAK):
            if person_id not in canonical:
                canonical[person_id] = self.canonical(site_id, person_id)
            person = canonical[person_id]
            if evidence == Evidence.FORM:  # whom a server means by an ID only a server says
                person = self.known_here(site_id, visitor_id, person)
            if person not in sendable:
                sendable[person] = self.is_sendable(site_id, person)
            if evidence in LINKS and person not in passed_on:
                passed_on[person] = self.is_passed_on(site_id, person)
            links.append(
                Link(
                    person_id=person,
                    evidence=Evidence(evidence),
                    first_at=first_at,
                    last_at=last_at,
                    message_id=message_id,
                    sendable=sendable[person],
                    is_passed_on=evidence in LINKS and passed_on[person],
                )
            )
        return links

    def fold(self, site_id: str, source_id: str, target_id: str, *, at: float, message_id: str) -> bool:
        """Make everything of a person who is known by nothing but exchange IDs the target's; whether they are such.

        A link's recipient of whom nothing was known is whoever its issuer says: there were never two, so there is
        nothing to part again. What rests on the link can be taken back by the link (``Links.unlink``). A merge would
        have to be followed for every message that a subscriber has ever opened.
        """
        kinds = self._sql(
            "SELECT DISTINCT kind FROM identifiers WHERE site_id = ? AND person_id = ?", (site_id, source_id)
        ).fetchall()
        if {kind for (kind,) in kinds} != {IdentifierKind.KX} or self._has_merged(site_id, source_id):
            return False
        self._sql(
            "INSERT INTO merges (site_id, source_id, target_id, message_id, created_at, folded_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (site_id, source_id, target_id, message_id, at, at),
        )
        self._sql(
            "UPDATE identifiers SET person_id = ? WHERE site_id = ? AND person_id = ?", (target_id, site_id, source_id)
        )
        self.move_links(site_id, source_id, target_id)
        self._sql("DELETE FROM persons WHERE site_id = ? AND person_id = ?", (site_id, source_id))
        return True

    def _has_merged(self, site_id: str, person_id: str) -> bool:
        return any(
            self._sql(f"SELECT 1 FROM merges WHERE site_id = ? AND {column} = ? LIMIT 1", (site_id, person_id))
            .fetchone()
            for column in ("source_id", "target_id")
        )  # fmt: skip

    def forget(self, site_id: str, person_id: str) -> None:
        """Erase the person: identifiers, links, calls about carts, traits, merges. See ``Privacy.remember_erasure``."""
        for member in self.everybody(site_id, person_id):
            self._sql("DELETE FROM identifiers WHERE site_id = ? AND person_id = ?", (site_id, member))
            self._sql("DELETE FROM links WHERE site_id = ? AND person_id = ?", (site_id, member))
            self._sql("DELETE FROM cart_calls WHERE site_id = ? AND person_id = ?", (site_id, member))
            self._sql("DELETE FROM persons WHERE site_id = ? AND person_id = ?", (site_id, member))
            for column in ("source_id", "target_id"):
                self._sql(f"DELETE FROM merges WHERE site_id = ? AND {column} = ?", (site_id, member))
