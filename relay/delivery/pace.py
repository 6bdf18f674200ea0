"""Pacing: stay below Klaviyo's limits for each endpoint, so that a 429 is the exception.

Klaviyo counts per account in fixed windows: burst in one second, steady in one minute. The limiters (aiolimiter's leaky
buckets) are set below that, since a bucket may empty across two windows.
"""

from aiolimiter import AsyncLimiter
from msgspec import Struct

from relay.model import DeliveryKind


class Limit(Struct, frozen=True):
    """Calls allowed in a second and in a minute (Klaviyo's API reference, revision 2026-10-15)."""

    burst: int
    steady: int


LIMITS = {
    DeliveryKind.EVENT: Limit(350, 3500),
    DeliveryKind.PROFILE: Limit(75, 750),
    DeliveryKind.LOOKUP: Limit(75, 750),
    DeliveryKind.DELETION: Limit(3, 60),
}
#: Share of a limit that is used.
SHARE = 0.45


class Pace:
    """The limiters of one account."""

    def __init__(self) -> None:
        self._limiters = {
            kind: (AsyncLimiter(max(1, limit.burst * SHARE), 1.0), AsyncLimiter(limit.steady * SHARE, 60.0))
            for kind, limit in LIMITS.items()
        }

    async def wait(self, kind: DeliveryKind) -> None:
        """Return when a call of this kind may be made."""
        burst, steady = self._limiters[kind]
        await steady.acquire()
        await burst.acquire()
