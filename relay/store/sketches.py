"""Sketches of visitors in SQL: coded values by which behaviour compares them, what was learned, and who is suspected.

A visitor's go after ``SKETCH_SECONDS``, or with a sign-out, a refusal, an erasure; what was learned names nobody and
stays. What the values mean and what follows from them is ``identity.behaviour``'s; nothing here is read when it is
decided whose an event is.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec
from msgspec import Struct

from relay.identity.behaviour import BLOCK_SECONDS, BLOCKS, CANDIDATES, MOST_ITEMS, RARE_SET, Feature, Item, Model
from relay.identity.behaviour import in_words as in_words
from relay.store.connection import Connection
from relay.store.keyring import Keyring

#: A device's network and browser change within weeks; a shopper's second visit comes within days.
SKETCH_SECONDS = 30 * 86400.0
#: A value seen again is noted at most this often: network and browser are in every message.
NOTE_EVERY_SECONDS = 6 * 3600.0
#: Visitors that one round of retention takes.
AT_ONCE = 1000

#: The row that every visitor with a sketch has: it counts them, and finds one at random.
_VISITOR, _ANY = "visitor", b""


class Suspicion(Struct, frozen=True, kw_only=True):
    """An unknown visitor that may be a person's, for the weights (in bits) of what agrees; times in epoch seconds.

    ``verdict`` is ``right`` or ``wrong`` once a strong sign has told, else None.
    """

    visitor_id: str
    person_id: str
    other_id: str  #: the person's visitor that it resembles
    probability: float
    weights: Mapping[Feature, float]
    at: float
    verdict: str | None = None

    @property
    def words(self) -> str:
        """Why, in words."""
        return in_words(self.weights)


_SUSPICION = "visitor_id, person_id, other_id, probability, weights, at, verdict"


class Sketches:
    """The sketches and suspicions of one site at a time, inside a transaction."""

    def __init__(self, connection: Connection, keys: Keyring) -> None:
        self._sql = connection.execute
        self._keys = keys

    # Sketches

    def code(self, site_id: str, feature: Feature, value: str) -> bytes:
        """What stands for a value: a keyed hash, short, as it is told apart within one shop."""
        return self._keys.of(site_id).look_up(f"sketch {feature}", value)[:8]

    def note(self, site_id: str, visitor_id: str, items: Iterable[Item], *, at: float) -> bool:
        """Add to the visitor's sketch; whether anything was new. One statement when nothing is; two for each value."""
        rows = self._sql(
            "SELECT kind, code, last_at FROM sketches WHERE site_id = ? AND visitor_id = ?", (site_id, visitor_id)
        ).fetchall()
        known = {(kind, bytes(code)): last_at for kind, code, last_at in rows}
        for kind, code in [key for key, last_at in known.items() if last_at < at - SKETCH_SECONDS]:
            self._drop(site_id, kind, code, visitor_id)
            del known[kind, code]
        held = {feature: sum(kind == feature for kind, _ in known) for feature in Feature}
        is_new = False
        for kind, code in [(_VISITOR, _ANY), *((str(item.feature), item.code) for item in items)]:
            last_at = known.get((kind, code))
            if last_at is None:
                if kind in MOST_ITEMS:
                    feature = Feature(kind)
                    if held[feature] >= MOST_ITEMS[feature]:
                        continue
                    held[feature] += 1
                self._add(site_id, kind, code, visitor_id, at)
                known[kind, code] = at
                is_new = True
            elif at > last_at + NOTE_EVERY_SECONDS:
                self._sql(
                    "UPDATE sketches SET last_at = ? WHERE site_id = ? AND kind = ? AND code = ? AND visitor_id = ?",
                    (at, site_id, kind, code, visitor_id),
                )
        return is_new

    def items(self, site_id: str, visitor_id: str) -> dict[Item, int]:
        """The visitor's sketch: each value, and how many visitors have it."""
        rows = self._sql(
            "SELECT s.kind, s.code, t.n FROM sketches s JOIN terms t ON t.site_id = s.site_id AND t.kind = s.kind"
            " AND t.code = s.code WHERE s.site_id = ? AND s.visitor_id = ? AND s.kind <> ?",
            (site_id, visitor_id, _VISITOR),
        ).fetchall()
        return {Item(Feature(kind), bytes(code)): n for kind, code, n in rows}

    def candidates(self, site_id: str, visitor_id: str, mine: Mapping[Item, int], *, at: float) -> list[str]:
        """Visitors with a link that share a network, a cart or a set of rare products with this one lately, those that
        share most first, up to ``CANDIDATES``. ``mine`` is this visitor's sketch.

        Bounded: a value of many visitors (``BLOCKS``) brings none of them.
        """
        rare = [item for item, n in mine.items() if 1 < n <= BLOCKS.get(item.feature, 0)]
        if not rare:
            return []
        rows = self._sql(
            # SQLite keeps the order of a cross join: from the few values to who has them.
            f"WITH mine (kind, code) AS (VALUES {', '.join(['(?, ?)'] * len(rare))})"
            " SELECT o.visitor_id FROM mine CROSS JOIN sketches o"
            " WHERE o.site_id = ? AND o.kind = mine.kind AND o.code = mine.code AND o.visitor_id <> ?"
            " AND o.last_at >= ?"
            " AND EXISTS (SELECT 1 FROM links l WHERE l.site_id = o.site_id AND l.visitor_id = o.visitor_id"
            " AND l.ended_at IS NULL) GROUP BY o.visitor_id"
            " HAVING count(*) >= ? OR max(CASE WHEN o.kind = 'products' THEN 0 ELSE 1 END) = 1"
            " ORDER BY count(*) DESC, max(o.last_at) DESC, o.visitor_id LIMIT ?",
            (
                *(part for item in rare for part in (item.feature, item.code)),
                site_id,
                visitor_id,
                at - BLOCK_SECONDS,
                RARE_SET,
                CANDIDATES,
            ),
        ).fetchall()
        return [row[0] for row in rows]

    def another(self, site_id: str, visitor_id: str) -> str | None:
        """Another visitor, as good as at random: IDs are random, and the next one is asked for."""
        for side in (">", "<"):
            row = self._sql(
                f"SELECT visitor_id FROM sketches WHERE site_id = ? AND kind = ? AND code = ? AND visitor_id {side} ?"
                " ORDER BY visitor_id LIMIT 1",
                (site_id, _VISITOR, _ANY, visitor_id),
            ).fetchone()
            if row is not None:
                return str(row[0])
        return None

    # What was learned

    def model(self, site_id: str) -> Model:
        """What the shop's own pairs have taught."""
        row = self._sql(
            "SELECT n FROM terms WHERE site_id = ? AND kind = ? AND code = ?", (site_id, _VISITOR, _ANY)
        ).fetchone()
        rows = self._sql("SELECT feature, is_same, agreed, n FROM comparisons WHERE site_id = ?", (site_id,)).fetchall()
        pairs = {(Feature(feature), bool(same)): (int(agreed), int(n)) for feature, same, agreed, n in rows}
        return Model(visitors=row[0] if row else 0, pairs=pairs)

    def learn(self, site_id: str, compared: Mapping[Feature, Collection[Item]], *, is_same: bool) -> None:
        """A pair whose truth is known now: is it one person, and which features agreed?"""
        for feature, shared in compared.items():
            self._sql(
                "INSERT INTO comparisons (site_id, feature, is_same, agreed, n) VALUES (?, ?, ?, ?, 1)"
                " ON CONFLICT (site_id, feature, is_same) DO UPDATE SET agreed = comparisons.agreed + excluded.agreed,"
                " n = comparisons.n + 1",
                (site_id, feature, int(is_same), int(bool(shared))),
            )

    # Suspicions

    def suspect(self, site_id: str, suspicion: Suspicion) -> None:
        """Note whom the visitor may be, instead of what was suspected before. A verdict stands."""
        self._sql(
            f"INSERT INTO suspicions (site_id, {_SUSPICION}) VALUES (?, ?, ?, ?, ?, ?, ?, NULL)"
            " ON CONFLICT (site_id, visitor_id) DO UPDATE SET person_id = excluded.person_id,"
            " other_id = excluded.other_id, probability = excluded.probability, weights = excluded.weights,"
            " at = excluded.at WHERE suspicions.verdict IS NULL",
            (
                site_id,
                suspicion.visitor_id,
                suspicion.person_id,
                suspicion.other_id,
                suspicion.probability,
                msgspec.json.encode(suspicion.weights).decode(),
                suspicion.at,
            ),
        )

    def acquit(self, site_id: str, visitor_id: str) -> None:
        """What was suspected is not so any more."""
        self._sql(
            "DELETE FROM suspicions WHERE site_id = ? AND visitor_id = ? AND verdict IS NULL", (site_id, visitor_id)
        )

    def suspicion(self, site_id: str, visitor_id: str) -> Suspicion | None:
        """Whom the visitor may be, judged or not."""
        row = self._sql(
            f"SELECT {_SUSPICION} FROM suspicions WHERE site_id = ? AND visitor_id = ?", (site_id, visitor_id)
        ).fetchone()
        return _suspicion(row) if row else None

    def judge(self, site_id: str, visitor_id: str, verdict: str) -> None:
        """A strong sign has told whose the visitor is."""
        self._sql(
            "UPDATE suspicions SET verdict = ? WHERE site_id = ? AND visitor_id = ?", (verdict, site_id, visitor_id)
        )

    def suspicions(self, site_id: str, *, limit: int = 100) -> list[Suspicion]:
        """For the console: the newest suspicions, as far as the visitor that they point at is still a person's."""
        rows = self._sql(
            f"SELECT {_SUSPICION} FROM suspicions WHERE site_id = ? AND EXISTS (SELECT 1 FROM links l WHERE"
            " l.site_id = suspicions.site_id AND l.visitor_id = suspicions.other_id AND l.ended_at IS NULL)"
            " ORDER BY at DESC, visitor_id LIMIT ?",
            (site_id, limit),
        ).fetchall()
        return [_suspicion(row) for row in rows]

    # Forgetting

    def forget(self, site_id: str, *, visitors: Iterable[str] = (), persons: Iterable[str] = ()) -> None:
        """Erase the visitors' sketches, and every suspicion of them, derived from them, or of the persons."""
        for visitor in visitors:
            theirs = "(kind, code) IN (SELECT kind, code FROM sketches WHERE site_id = ? AND visitor_id = ?)"
            self._sql(f"UPDATE terms SET n = n - 1 WHERE site_id = ? AND {theirs}", (site_id, site_id, visitor))
            self._sql(f"DELETE FROM terms WHERE site_id = ? AND n <= 0 AND {theirs}", (site_id, site_id, visitor))
            self._sql("DELETE FROM sketches WHERE site_id = ? AND visitor_id = ?", (site_id, visitor))
            self._sql("DELETE FROM suspicions WHERE site_id = ? AND visitor_id = ?", (site_id, visitor))
            self._sql("DELETE FROM suspicions WHERE site_id = ? AND other_id = ?", (site_id, visitor))
        for person in persons:
            self._sql("DELETE FROM suspicions WHERE site_id = ? AND person_id = ?", (site_id, person))

    def delete(self, site_id: str, *, seen_before: float) -> int:
        """Retention: visitors that have not been seen since (up to ``AT_ONCE``), and suspicions of before; how many
        visitors went."""
        rows = self._sql(
            "SELECT visitor_id FROM sketches WHERE site_id = ? AND kind = 'visitor' AND last_at < ? LIMIT ?",
            (site_id, seen_before, AT_ONCE),
        ).fetchall()
        self.forget(site_id, visitors=[row[0] for row in rows])
        self._sql("DELETE FROM suspicions WHERE site_id = ? AND at < ?", (site_id, seen_before))
        return len(rows)

    def _add(self, site_id: str, kind: str, code: bytes, visitor_id: str, at: float) -> None:
        self._sql(
            "INSERT INTO sketches (site_id, kind, code, visitor_id, last_at) VALUES (?, ?, ?, ?, ?)",
            (site_id, kind, code, visitor_id, at),
        )
        self._sql(
            "INSERT INTO terms (site_id, kind, code, n) VALUES (?, ?, ?, 1)"
            " ON CONFLICT (site_id, kind, code) DO UPDATE SET n = terms.n + 1",
            (site_id, kind, code),
        )

    def _drop(self, site_id: str, kind: str, code: bytes, visitor_id: str) -> None:
        key = (site_id, kind, code)
        self._sql(
            "DELETE FROM sketches WHERE site_id = ? AND kind = ? AND code = ? AND visitor_id = ?", (*key, visitor_id)
        )
        self._sql("UPDATE terms SET n = n - 1 WHERE site_id = ? AND kind = ? AND code = ?", key)
        self._sql("DELETE FROM terms WHERE site_id = ? AND kind = ? AND code = ? AND n <= 0", key)


def _suspicion(row: tuple[str, str, str, float, str, float, str | None]) -> Suspicion:
    visitor, person, other, chance, body, at, verdict = row
    return Suspicion(
        visitor_id=visitor,
        person_id=person,
        other_id=other,
        probability=chance,
        weights=msgspec.json.decode(body, type=dict[Feature, float]),
        at=at,
        verdict=verdict,
    )
