"""Whose a visitor's anonymous event is: reads what the rule of ``identity.resolve`` needs, and asks it."""

from collections.abc import Collection

from relay.identity import guards, traces
from relay.identity.evidence import Evidence, Recognition
from relay.identity.resolve import Link, Neighbour, Resolution, resolve
from relay.store.base import Transaction


def whose(
    tx: Transaction,
    site_id: str,
    visitor_id: str,
    recognition: Recognition,
    at: float,
    *,
    off: Collection[Evidence] = (),
) -> Resolution:
    """The person behind what the visitor does anonymously at ``at``, or nobody yet and why."""
    links = tx.graph.links(site_id, visitor_id)
    return resolve(
        links,
        recognition,
        at,
        is_kiosk=is_kiosk(tx, site_id, visitor_id, links, at),
        off=off,
        neighbours=lambda: neighbours(tx, site_id, visitor_id, at),
    )


def neighbours(tx: Transaction, site_id: str, visitor_id: str, at: float) -> list[Neighbour]:
    """The other visitors that are the same browser, with their links."""
    found = []
    for other, evidence in traces.neighbours(visitor_id, tx.traces.shared(site_id, visitor_id)).items():
        links = tx.graph.links(site_id, other)
        kiosk = is_kiosk(tx, site_id, other, links, at)
        found.append(Neighbour(visitor_id=other, evidence=evidence, links=links, is_kiosk=kiosk))
    return found


def is_kiosk(tx: Transaction, site_id: str, visitor_id: str, links: Collection[Link], at: float) -> bool:
    """Whether the visitor serves many persons around that time."""
    if not links:
        return False
    return guards.is_kiosk(tx.graph.persons_since(site_id, visitor_id, at - guards.KIOSK_SECONDS))
