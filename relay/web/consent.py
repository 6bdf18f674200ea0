"""Whether a shop needs a signal of consent that a route outside of its pages cannot see."""

from relay.config import Consent, Site
from relay.model import DropReason
from relay.store.base import Store


async def needs_signal(store: Store, site: Site) -> bool:
    """Under ``required`` always; under ``auto`` once the shop's own pages have withheld something for want of consent:
    so there is a consent platform on them. Raises StoreError."""
    if site.consent is not Consent.AUTO:
        return site.consent is Consent.REQUIRED
    counts = await store.read(lambda tx: tx.ledger.counts())
    return any(each[:3] == (site.site_id, "dropped", DropReason.CONSENT) for each in map(tuple, counts))
