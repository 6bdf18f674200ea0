"""Pacing: stay below Klaviyo's limits for each endpoint, so that a 429 is the exception.

Klaviyo counts per account in fixed windows: burst in one second, steady in one minute. A leaky bucket (aiolimiter) lets
through at most its capacity plus its rate times the window, in any window; capacity and rate are chosen so that this
stays below both limits wherever Klaviyo's windows begin.
"""

from aiolimiter import AsyncLimiter
from msgspec import Struct

from relay.model import DeliveryKind


class Limit(Struct, frozen=True):
    """Calls that Klaviyo allows in a second and in a minute (its API reference, revision 2026-10-15)."""

    burst: int
    steady: int

    @property
    def capacity(self) -> int:
        """Calls that may go out at once: most of a burst, leaving room for what the rate adds in that second."""
        return max(1, int(self.burst * 0.8))

    @property
    def rate(self) -> float:
        """Calls a second after that: with a full bucket first, 97 % of the steady limit in a minute."""
        return (self.steady * 0.97 - self.capacity) / 60.0


LIMITS = {
    DeliveryKind.EVENT: Limit(350, 3500),
    DeliveryKind.PROFILE: Limit(75, 750),
    DeliveryKind.LOOKUP: Limit(75, 750),
    DeliveryKind.DELETION: Limit(3, 60),
}


class Pace:
    """The limiters of one account."""

    def __init__(self) -> None:
        self._limiters = {
            kind: AsyncLimiter(limit.capacity, limit.capacity / limit.rate) for kind, limit in LIMITS.items()
        }

    async def wait(self, kind: DeliveryKind) -> None:
        """Return when a call of this kind may be made."""
        await self._limiters[kind].acquire()
