"""Klaviyo's rate limits: fixed windows of one second (burst) and one minute (steady), per account and endpoint.

Off until a test switches them on, so that nothing else is slowed by them.
"""

from msgspec import Struct


class Rate(Struct, frozen=True):
    """Calls allowed per second and per minute."""

    burst: int
    steady: int


class Verdict(Struct, frozen=True):
    """``retry_after`` is in whole seconds and None if the call is allowed; ``headers`` describe the steady window."""

    retry_after: int | None
    headers: dict[str, str]


class RateLimits:
    """Counts calls. ``enabled`` False lets everything through and sends no headers."""

    def __init__(self) -> None:
        self.enabled = False
        self._windows: dict[tuple[str, int], tuple[int, int]] = {}

    def reset(self) -> None:
        self._windows.clear()

    def take(self, endpoint: str, rate: Rate, now: float) -> Verdict:
        """Count one call of ``endpoint`` at ``now`` (seconds). A refused call counts in no window."""
        if not self.enabled:
            return Verdict(None, {})
        second, minute = int(now), int(now) // 60
        burst_used = self._used(endpoint, 1, second)
        steady_used = self._used(endpoint, 60, minute)
        until_minute = 60 - int(now) % 60
        if steady_used >= rate.steady:
            return Verdict(until_minute, {})
        if burst_used >= rate.burst:
            return Verdict(1, {})
        self._windows[endpoint, 1] = (second, burst_used + 1)
        self._windows[endpoint, 60] = (minute, steady_used + 1)
        return Verdict(
            None,
            {
                "RateLimit-Limit": str(rate.steady),
                "RateLimit-Remaining": str(rate.steady - steady_used - 1),
                "RateLimit-Reset": str(until_minute),
            },
        )

    def _used(self, endpoint: str, length: int, window: int) -> int:
        at, used = self._windows.get((endpoint, length), (window, 0))
        return used if at == window else 0
