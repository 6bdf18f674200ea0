"""Klaviyo's rate limits: fixed windows of one second (burst) and one minute (steady), per account and endpoint; a few
endpoints have one of a day as well.

Off until a test switches them on, so that nothing else is slowed by them.
"""

from msgspec import Struct


class Rate(Struct, frozen=True):
    """Calls allowed per second and per minute, and per day where that is limited too."""

    burst: int
    steady: int
    daily: int | None = None


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
        windows = [(60, rate.steady), (1, rate.burst)]
        if rate.daily is not None:
            windows.insert(0, (86400, rate.daily))
        used = {length: self._used(endpoint, length, int(now) // length) for length, _ in windows}
        for length, allowed in windows:
            if used[length] >= allowed:
                return Verdict(length - int(now) % length, {})
        for length in used:
            self._windows[endpoint, length] = (int(now) // length, used[length] + 1)
        return Verdict(
            None,
            {
                "RateLimit-Limit": str(rate.steady),
                "RateLimit-Remaining": str(rate.steady - used[60] - 1),
                "RateLimit-Reset": str(60 - int(now) % 60),
            },
        )

    def _used(self, endpoint: str, length: int, window: int) -> int:
        at, used = self._windows.get((endpoint, length), (window, 0))
        return used if at == window else 0
