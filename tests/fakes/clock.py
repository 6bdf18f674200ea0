"""A clock that stands still until it is told to move."""

import asyncio


class FakeClock:
    """Time moves by ``advance`` only; whoever waits is woken when their time has come. Chance is a fixed number."""

    def __init__(self, now: float = 1_800_000_000.0, chance: float = 0.5) -> None:
        self._now = now
        self._passed = 0.0
        self._chance = chance
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._passed

    def jitter(self) -> float:
        return self._chance

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        if event.is_set():
            return True
        woken = asyncio.Event()
        self._sleepers.append((self._passed + seconds, woken))
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(woken.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._now += seconds
        self._passed += seconds
        due = [woken for at, woken in self._sleepers if at <= self._passed]
        self._sleepers = [(at, woken) for at, woken in self._sleepers if at > self._passed]
        for woken in due:
            woken.set()

    def jump(self, seconds: float) -> None:
        """Somebody sets the machine's clock, ahead or back; no time passes."""
        self._now += seconds
