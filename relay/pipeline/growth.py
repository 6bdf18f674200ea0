"""The growth of a person, watched: many new browsers in little time are a leaked link, or an identifier of many."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from relay.config import Site
from relay.identity import guards
from relay.store.base import Transaction

log = logging.getLogger("relay.identity")


@contextmanager
def watched(tx: Transaction, site: Site, person_id: str, *, now: float) -> Iterator[None]:
    """Note it once when what is done inside takes the person past the number, by one browser or by many at once.

    Invariant: whatever gives a person browsers is done inside, and ``now`` never runs back. So the number cannot be
    passed unseen, and whoever is past it is not noted again for the next browser.
    """
    since, most = now - guards.ALARM_WINDOW_SECONDS, guards.ALARM_BROWSERS
    before = tx.graph.new_visitors(site.site_id, person_id, since, at_most=most)
    yield
    if before < most <= tx.graph.new_visitors(site.site_id, person_id, since, at_most=most):
        tx.ledger.count(site.site_id, "noted_identifier", "many_browsers")
        log.warning("a person gains browsers fast", extra={"site": site.site_id, "reason": f"{most} within a week"})
