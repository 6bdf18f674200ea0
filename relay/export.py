"""Export: everything held of one person, for whoever is asked for it (GDPR, articles 15 and 20)."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from relay import subject
from relay.config import Site
from relay.identity.evidence import WORTH, Evidence
from relay.identity.identifiers import Identifier
from relay.store.base import Store, Transaction
from relay.store.rows import Audited, JournalRow
from relay.subject import Asker, Subject, Whom

log = logging.getLogger("relay.export")

Document = dict[str, Any]


async def export(
    store: Store, sites: Sequence[Site], whom: Whom, *, now: float, by: Asker = Asker.OPERATOR
) -> Document:
    """What every site holds of a person, as a JSON document; times as ISO 8601 in UTC.

    Raises ValueError when ``whom`` is a text and no e-mail address, or StoreError. The document is for the person: it
    belongs in no log.
    """
    identifiers = subject.named(whom)
    first = identifiers[0]
    found: Document = {}
    for site in sites:
        site_id = site.site_id
        held, owner = await store.read(partial(_held, site_id=site_id, identifiers=identifiers))
        held["journal"] = [_request(row) for row in await store.mentions(site_id, owner.marks)]
        counts = {name: len(rows) for name, rows in held.items()}
        note = partial(_note, site_id=site_id, by=by, subject=(first.kind, first.value), counts=counts, now=now)
        await store.transact(note, site_id)
        found[site_id] = held
    log.info("a person's data was exported", extra={"reason": by})
    return {"exported_at": _time(now), "sites": found}


async def audit(
    store: Store, sites: Sequence[Site], whom: Whom | None = None, *, limit: int
) -> list[tuple[str, Audited]]:
    """The latest erasures and exports as (site, line), newest first; only those asked for by this name of a person.

    Raises ValueError when ``whom`` is a text and no e-mail address, or StoreError.
    """
    names = (None,) if whom is None else tuple((each.kind.value, each.value) for each in subject.named(whom))

    def read(tx: Transaction) -> list[tuple[str, Audited]]:
        return [
            (site.site_id, line)
            for site in sites
            for name in names
            for line in tx.privacy.audit(site.site_id, limit=limit, subject=name)
        ]

    return await store.read(read)


def _held(tx: Transaction, site_id: str, identifiers: Sequence[Identifier]) -> tuple[Document, Subject]:
    who = subject.find(tx, site_id, identifiers)
    held = tx.holdings
    links = held.links(site_id, who.persons)
    own = [each.visitor_id for each in who.tenures if each.is_whole]
    document: Document = {
        "identifiers": held.identifiers(site_id, who.persons),
        "persons": [
            row | {"traits": tx.graph.traits(site_id, row["person_id"])} for row in held.persons(site_id, who.persons)
        ],
        "visitors": [link | {"evidence_in_words": _words(link["evidence"])} for link in links],
        "merges": held.merges(site_id, who.persons),
        # Of a browser that others use too, what they did in it is not this person's to have.
        "events": held.events(site_id, who.persons, who.tenures),
        "deliveries": held.deliveries(site_id, who.persons, who.tenures),
        "traces": held.traces(site_id, who.tenures),
        "cart_calls": held.cart_calls(site_id, who.persons),
        "unties": held.unties(site_id, who.tenures),
        "suspicions": held.suspicions(site_id, who.persons, own),
        "sketches": held.sketches(site_id, own),
    }
    return {name: [_dated(row) for row in rows] for name, rows in document.items()}, who


def _note(
    tx: Transaction, site_id: str, by: Asker, subject: tuple[str, str], counts: dict[str, int], now: float
) -> None:
    tx.privacy.note(site_id, "export", by=by, subject=subject, counts=counts, at=now)


def _words(evidence: str) -> str:
    return WORTH[Evidence(evidence)].words


def _request(row: JournalRow) -> Document:
    entry: Document = msgspec.json.decode(msgspec.json.encode(row.entry))
    return {"seq": row.seq} | _dated(entry)


def _dated(row: Document) -> Document:
    """The row with its times in words."""
    return {
        name: _time(value) if name.endswith("_at") and isinstance(value, float | int) else value
        for name, value in row.items()
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
