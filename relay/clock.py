"""Time and chance, the two things tests replace."""

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    """Where the relay takes time and chance from."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, for measuring how long something takes: nobody sets this clock."""
        ...

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait until ``event`` is set (True) or ``seconds`` have passed (False)."""
        ...

    def jitter(self) -> float:
        """A number in [0, 1), for spreading retries."""
        ...


class SystemClock:
    """The machine's own clock and chance."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await event.wait()
        except TimeoutError:
            return False

    def jitter(self) -> float:
        return random.random()  # noqa: S311 - spreading load needs no secrecy
