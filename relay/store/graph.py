"""The identity graph in SQL: persons, their identifiers and visitors' links in one, and what is asked across them."""

from relay.identity.evidence import LINKS, Evidence
from relay.identity.resolve import Link
from relay.store.links import Links


class Graph(Links):
    """Reads and changes the graph of one site at a time, inside a transaction."""

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
            if evidence == Evidence.FORM:  # whom a server means by an ID only a server says
                person = self.known_here(site_id, visitor_id, person)
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

    def forget(self, site_id: str, person_id: str) -> None:
        """Erase the person: identifiers, links, traits, merges. See ``Privacy.remember_erasure``."""
        for member in self.members(site_id, person_id):
            self._sql("DELETE FROM identifiers WHERE site_id = ? AND person_id = ?", (site_id, member))
            self._sql("DELETE FROM links WHERE site_id = ? AND person_id = ?", (site_id, member))
            self._sql("DELETE FROM persons WHERE site_id = ? AND person_id = ?", (site_id, member))
            for column in ("source_id", "target_id"):
                self._sql(f"DELETE FROM merges WHERE site_id = ? AND {column} = ?", (site_id, member))
