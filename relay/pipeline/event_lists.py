"""Which events a site lets go to Klaviyo, by its lists of names. Pure.

They are about track calls, as in the field. An event is named by what its caller calls it and by what it means in the
Segment spec: ``Product Added`` on a list is GA4's ``add_to_cart`` too. Letter case, spaces, underscores and hyphens do
not matter. Who is on both lists is kept here. Whatever the lists say, the event is recorded, its identifiers are heard,
and an order ends the story of its cart.
"""

from functools import lru_cache

from relay.config import Site
from relay.model import Kind, Message
from relay.pipeline.vocabulary import folded


def lets_through(message: Message, kind: Kind, site: Site) -> bool:
    """Whether the site's lists let ``message``, of this meaning, go to Klaviyo."""
    if message.type != "track" or (site.events_allow is None and not site.events_block):
        return True
    names = {folded(message.event or ""), folded(kind)}
    if not names.isdisjoint(_folded(site.events_block)):
        return False
    return site.events_allow is None or not names.isdisjoint(_folded(site.events_allow))


@lru_cache(maxsize=256)
def _folded(names: frozenset[str]) -> frozenset[str]:
    return frozenset(folded(name) for name in names)
