"""Pacing stays below Klaviyo's limits wherever its windows begin. Time is a loop's own that jumps from wait to wait."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from relay.delivery.pace import LIMITS, Limit, Pace
from relay.model import DeliveryKind

T = TypeVar("T")

#: Calls a second and a minute of Klaviyo's API reference: events, profile import, profiles, deletion jobs.
KLAVIYO = {
    DeliveryKind.EVENT: Limit(350, 3500),
    DeliveryKind.PROFILE: Limit(75, 750),
    DeliveryKind.LOOKUP: Limit(75, 750),
    DeliveryKind.DELETION: Limit(3, 60),
}


class _Jump(selectors.DefaultSelector):
    """Waits for nothing: hands the time it was asked to wait to the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # A little more than asked for: a wait can be too short to be seen in a float.
        self.now += timeout + 1e-6 if timeout else 0.0
        return super().select(0)


def in_jumping_time(work: Callable[[], Awaitable[T]]) -> T:
    """Run ``work`` on a loop whose clock jumps ahead instead of waiting."""
    selector = _Jump()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    with asyncio.Runner(loop_factory=lambda: loop) as runner:

        async def run() -> T:
            return await work()

        return runner.run(run())


def times_of(kind: DeliveryKind, calls: int) -> list[float]:
    """When each of so many calls, all wanted at once, may be made."""

    async def work() -> list[float]:
        pace, loop = Pace(), asyncio.get_running_loop()
        times = []
        for _ in range(calls):
            await pace.wait(kind)
            times.append(loop.time())
        return times

    return in_jumping_time(work)


def most_in(seconds: float, times: list[float]) -> int:
    """The most calls in any window of this length, wherever it begins."""
    most, first = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_the_limits_are_klaviyos() -> None:
    assert KLAVIYO == LIMITS
    assert set(LIMITS) == set(DeliveryKind)


@pytest.mark.parametrize("kind", DeliveryKind, ids=str)
def test_no_window_holds_more_calls_than_klaviyo_allows(kind: DeliveryKind) -> None:
    limit = KLAVIYO[kind]
    times = times_of(kind, limit.steady * 3)
    assert times == sorted(times)
    assert most_in(1.0, times) <= limit.burst
    assert most_in(60.0, times) <= limit.steady


@pytest.mark.parametrize("kind", DeliveryKind, ids=str)
def test_most_of_what_klaviyo_allows_is_used(kind: DeliveryKind) -> None:
    limit = KLAVIYO[kind]
    times = times_of(kind, limit.steady * 3)
    assert most_in(60.0, times) >= limit.steady * 0.8
    assert len(times) / times[-1] >= limit.steady / 60 * 0.7


@pytest.mark.parametrize("kind", DeliveryKind, ids=str)
def test_the_first_calls_wait_for_nothing(kind: DeliveryKind) -> None:
    assert times_of(kind, max(1, KLAVIYO[kind].burst // 2))[-1] == 0.0


def test_one_kind_does_not_wait_for_another() -> None:
    async def work() -> float:
        pace = Pace()
        for _ in range(3):
            await pace.wait(DeliveryKind.DELETION)
        before = asyncio.get_running_loop().time()
        await pace.wait(DeliveryKind.EVENT)
        return asyncio.get_running_loop().time() - before

    assert in_jumping_time(work) == 0.0


def test_two_accounts_do_not_share_a_pace() -> None:
    async def work() -> float:
        for _ in range(5):
            await Pace().wait(DeliveryKind.DELETION)
        return asyncio.get_running_loop().time()

    assert in_jumping_time(work) == 0.0
