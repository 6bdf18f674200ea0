"""Visitors' links to persons in SQL: made and renewed by a sign, ended and never deleted."""

from relay.identity import guards
from relay.identity.evidence import LINKS, Evidence
from relay.store.claimed import STRONG_ONES, Claimed
from relay.store.outbox import marks

_LINKS = ", ".join(f"'{evidence}'" for evidence in sorted(LINKS))

#: Why a link has ended: the shopper has signed out or refused, or the operator has taken it back. What was taken back
#: counts for nothing any more, as if it had never been.
SIGNED_OUT, CONSENT_WITHDRAWN, UNLINKED = "signed_out", "consent_withdrawn", "unlinked"
#: Stands among the endings and ends nothing: the browser's last word was to be left alone (``pipeline.endings``).
OPTED_OUT = "opted_out"
_COUNTS = f"coalesce(links.end_reason, '') <> '{UNLINKED}'"

_STAYS_ENDED = (
    f"links.ended_at > excluded.last_at OR (links.end_reason = 'unlinked' AND links.evidence NOT IN ({STRONG_ONES}))"
)
_IS_ENDED = "links.ended_at IS NOT NULL OR links.last_at <= excluded.ended_at"

#: What a link says beside whom it ties to whom by what.
_LASTS = "first_at, last_at, message_id, ended_at, end_reason"
_Lasts = tuple[float, float, str, float | None, str | None]

#: A link that has gone round does so in far fewer browsers than this: the others need not be counted.
_ENOUGH_VISITORS = 50


class Links(Claimed):
    """The links between visitors and persons, inside a transaction."""

    def tie(
        self, site_id: str, visitor_id: str, person_id: str, evidence: Evidence, *, at: float, message_id: str
    ) -> None:
        """Link the visitor to the person, or renew the link."""
        # A sign from before a sign-out that arrives after it does not undo it.
        ended_at, end_reason = self._sql(
            "SELECT max(at), max(reason) FROM unties WHERE site_id = ? AND visitor_id = ? AND at > ? AND reason <> ?",
            (site_id, visitor_id, at, OPTED_OUT),
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
        self.mark(site_id, visitor_id, at=at, reason=reason)
        # Whoever has given a sign since is still there: this may arrive late.
        self._sql(
            "UPDATE links SET ended_at = ?, end_reason = ? WHERE site_id = ? AND visitor_id = ? AND ended_at IS NULL"
            " AND last_at <= ?",
            (at, reason, site_id, visitor_id, at),
        )

    def mark(self, site_id: str, visitor_id: str, *, at: float, reason: str) -> None:
        """Note an ending, or ``OPTED_OUT``; the latest of a reason stays."""
        self._sql(
            "INSERT INTO unties (site_id, visitor_id, reason, at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (site_id, visitor_id, reason) DO UPDATE SET at = excluded.at WHERE excluded.at > unties.at",
            (site_id, visitor_id, reason, at),
        )

    def unmark(self, site_id: str, visitor_id: str, *, reason: str) -> None:
        self._sql(
            "DELETE FROM unties WHERE site_id = ? AND visitor_id = ? AND reason = ?", (site_id, visitor_id, reason)
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

    def move_links(self, site_id: str, source_id: str, target_id: str) -> None:
        """Make one person's links the other's. Where a visitor is tied to both by the same class it is one link."""
        rows = self._sql(
            f"SELECT visitor_id, evidence, {_LASTS} FROM links WHERE site_id = ? AND person_id = ?",
            (site_id, source_id),
        ).fetchall()
        for visitor_id, evidence, *moved in rows:
            key = (site_id, visitor_id, target_id, evidence)
            kept = self._sql(
                f"SELECT {_LASTS} FROM links WHERE site_id = ? AND visitor_id = ? AND person_id = ? AND evidence = ?",
                key,
            ).fetchone()
            lasts = tuple(moved) if kept is None else _joined(kept, tuple(moved))
            self._sql(
                f"INSERT INTO links (site_id, visitor_id, person_id, evidence, {_LASTS}) VALUES ({marks('123456789')})"
                " ON CONFLICT (site_id, visitor_id, person_id, evidence) DO UPDATE SET first_at = excluded.first_at,"
                " last_at = excluded.last_at, message_id = excluded.message_id, ended_at = excluded.ended_at,"
                " end_reason = excluded.end_reason",
                (*key, *lasts),
            )
        self._sql("DELETE FROM links WHERE site_id = ? AND person_id = ?", (site_id, source_id))

    # A visitor's

    def live(self, site_id: str, visitor_id: str, *, weak: int) -> list[tuple[str, str, float, float, str]]:
        """The visitor's live links, all that are strong and the newest that are not: the person before merges, the
        evidence, first and last time, the last message."""
        columns = "person_id, evidence, first_at, last_at, message_id"
        where = "site_id = ? AND visitor_id = ? AND ended_at IS NULL"
        return [
            *self._sql(
                f"SELECT {columns} FROM links WHERE {where} AND evidence IN ({STRONG_ONES})", (site_id, visitor_id)
            ).fetchall(),
            *self._sql(
                f"SELECT {columns} FROM links WHERE {where} AND evidence NOT IN ({STRONG_ONES})"
                " ORDER BY last_at DESC, person_id LIMIT ?",
                (site_id, visitor_id, weak),
            ).fetchall(),
        ]

    def persons_since(self, site_id: str, visitor_id: str, since: float) -> int:
        """How many persons have given a strong sign in this browser since then, whether they are still tied or not."""
        rows = self._sql(
            f"SELECT DISTINCT person_id FROM links WHERE site_id = ? AND visitor_id = ? AND last_at >= ?"
            f" AND evidence IN ({STRONG_ONES}) AND {_COUNTS}",
            (site_id, visitor_id, since),
        ).fetchall()
        if len(rows) < 2:
            return len(rows)
        return len({self.known_here(site_id, visitor_id, self.canonical(site_id, row[0])) for row in rows})

    def signed_in(self, site_id: str, visitor_id: str) -> set[str]:
        """The persons whom a strong sign ties to the visitor now."""
        rows = self._sql(
            f"SELECT DISTINCT person_id FROM links WHERE site_id = ? AND visitor_id = ? AND ended_at IS NULL"
            f" AND evidence IN ({STRONG_ONES})",
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
        return self.endings(site_id, visitor_id).get(SIGNED_OUT)

    def endings(self, site_id: str, visitor_id: str) -> dict[str, float]:
        """When the visitor's links were last ended, by each reason; and ``OPTED_OUT``."""
        rows = self._sql("SELECT reason, at FROM unties WHERE site_id = ? AND visitor_id = ?", (site_id, visitor_id))
        return dict(rows.fetchall())

    def ended_at(self, site_id: str, visitor_id: str) -> float:
        """When all of the visitor's links were last ended; 0.0: never."""
        said = self.endings(site_id, visitor_id)
        return max((at for reason, at in said.items() if reason != OPTED_OUT), default=0.0)

    # A person's

    def visitors_of(self, site_id: str, person_id: str, *, only_strong: bool = False) -> list[str]:
        """The visitors with a live link to the person; ``only_strong``: one that names them by itself."""
        only = f" AND evidence IN ({STRONG_ONES})" if only_strong else ""
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

    def new_visitors(self, site_id: str, person_id: str, since: float, *, at_most: int) -> int:
        """How many browsers have been tied to the person for the first time since then, by whatever evidence. It is
        counted no further than ``at_most``."""
        visitors: set[str] = set()
        for member in self.members(site_id, person_id):
            if len(visitors) < at_most:
                rows = self._sql(
                    "SELECT DISTINCT visitor_id FROM links WHERE site_id = ? AND person_id = ? AND first_at >= ?"
                    f" AND {_COUNTS} LIMIT ?",
                    (site_id, member, since, at_most),
                )
                visitors.update(row[0] for row in rows)
        return min(len(visitors), at_most)

    def is_passed_on(self, site_id: str, person_id: str) -> bool:
        """Whether too many browsers, in none of which the person has given a sign of their own, opened their links."""
        members = self.members(site_id, person_id)
        opened: dict[str, float] = {}
        for member in members:
            rows = self._sql(
                f"SELECT visitor_id, min(first_at) FROM links"
                f" WHERE site_id = ? AND person_id = ? AND evidence IN ({_LINKS})"
                f" AND {_COUNTS} AND NOT EXISTS (SELECT 1 FROM links own WHERE own.site_id = links.site_id"
                f" AND own.visitor_id = links.visitor_id AND own.person_id IN ({marks(members)})"
                f" AND own.evidence IN ({STRONG_ONES}) AND coalesce(own.end_reason, '') <> '{UNLINKED}')"
                " GROUP BY visitor_id LIMIT ?",
                (site_id, member, *members, _ENOUGH_VISITORS),
            )
            for visitor_id, first_at in rows.fetchall():
                opened[visitor_id] = min(first_at, opened.get(visitor_id, first_at))
        return guards.is_passed_on(opened.values())


def _joined(kept: _Lasts, moved: _Lasts) -> _Lasts:
    """What one link says in place of two. A sign from after an end counts anew, as in ``tie``."""
    first_at, last_at, _, ended_at, reason = kept
    if ended_at is None and moved[3] is None:
        return min(first_at, moved[0]), *(moved if moved[1] >= last_at else kept)[1:]
    if ended_at is None:
        return kept
    if moved[3] is None:
        # What the operator has cut stays cut, but for what was opened since.
        is_new = moved[0] > ended_at
        if is_new or (reason != UNLINKED and moved[1] > ended_at):
            return moved if is_new else (min(first_at, moved[0]), *moved[1:])
        return kept
    return max(kept, moved, key=lambda lasts: (lasts[4] != UNLINKED, lasts[3]))
