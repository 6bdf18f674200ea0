"""Whose a visitor's anonymous event is: reads what the rule of ``identity.resolve`` needs, and asks it."""

from collections.abc import Collection

from relay.identity import guards, traces
from relay.identity.evidence import Evidence, Recognition
from relay.identity.resolve import Link, Neighbour, Resolution, resolve, still_said
from relay.identity.traces import TraceKind
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
    links = own(tx, site_id, visitor_id)
    return resolve(
        links,
        recognition,
        at,
        is_kiosk=is_kiosk(tx, site_id, visitor_id, links, at),
        off=off,
        neighbours=lambda: neighbours(tx, site_id, visitor_id, at),
    )


def own(tx: Transaction, site_id: str, visitor_id: str) -> list[Link]:
    """The visitor's live links, without those from before somebody signed out, or refused, elsewhere in this browser.

    Of all traces only Shopify's client ID is in two jars at the same time, the page's and the pixel's, and in one
    browser alone: a former jar is not seen again, and a checkout may be opened on another device.
    """
    links = tx.graph.links(site_id, visitor_id)
    if not links or not tx.traces.is_ended_beside(site_id, visitor_id, TraceKind.CLIENT_ID):
        return links
    jars = [jars for jars in tx.traces.shared(site_id, visitor_id) if jars and jars[0].kind is TraceKind.CLIENT_ID]
    ended_at = max((tx.graph.ended_at(site_id, other) for other in traces.neighbours(visitor_id, jars)), default=0.0)
    return [link for link in links if link.last_at > ended_at]


def others(tx: Transaction, site_id: str, visitor_id: str) -> dict[str, Evidence]:
    """The other visitors that are the same browser, each with the evidence of it."""
    return traces.neighbours(visitor_id, tx.traces.shared(site_id, visitor_id))


def neighbours(tx: Transaction, site_id: str, visitor_id: str, at: float) -> list[Neighbour]:
    """The other visitors that are the same browser, with those of their links that still count for it."""
    found = []
    for other, evidence in others(tx, site_id, visitor_id).items():
        links = tx.graph.links(site_id, other)
        kiosk = is_kiosk(tx, site_id, other, links, at)
        ended_at = tx.graph.ended_at(site_id, other)
        found.append(Neighbour(visitor_id=other, evidence=evidence, links=links, is_kiosk=kiosk, ended_at=ended_at))
    return still_said(found, tx.graph.ended_at(site_id, visitor_id)) if found else found


def signed_out_at(tx: Transaction, site_id: str, visitor_id: str) -> float | None:
    """When somebody last signed out in this browser, in any of its jars."""
    jars = [visitor_id, *others(tx, site_id, visitor_id)]
    return max((at for jar in jars if (at := tx.graph.signed_out_at(site_id, jar)) is not None), default=None)


def is_kiosk(tx: Transaction, site_id: str, visitor_id: str, links: Collection[Link], at: float) -> bool:
    """Whether the visitor serves many persons around that time."""
    if not links:
        return False
    return guards.is_kiosk(tx.graph.persons_since(site_id, visitor_id, at - guards.KIOSK_SECONDS))
