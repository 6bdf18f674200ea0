"""Pacing stays below Klaviyo's limits wherever its windows begin. Time is a loop's own that jumps from wait to wait."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from relay.delivery.breaker import FAILURES, OUTAGE_FIRST
from relay.delivery.pace import EVERYTHING, Traffic
from relay.delivery.policy import PAUSE_SECONDS
from relay.klaviyo.answer import Answer
from relay.klaviyo.endpoints import Endpoint
from tests.fakes.clock import FakeClock

T = TypeVar("T")
GOOD, BUSY, BAD_KEY = Answer(status=202), Answer(status=429, retry_after=7.0), Answer(status=401)
EVENT, BULK = Endpoint.CREATE_EVENT, Endpoint.BULK_EVENTS


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


def times_of(endpoint: Endpoint, calls: int) -> list[float]:
    """When each of so many calls, all wanted at once, may be made."""

    async def work() -> list[float]:
        traffic, loop = Traffic(FakeClock()), asyncio.get_running_loop()
        times = []
        for _ in range(calls):
            assert await traffic.admit(endpoint)
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


@pytest.mark.parametrize("endpoint", Endpoint, ids=lambda e: e.name.lower())
def test_no_window_holds_more_calls_than_klaviyo_allows(endpoint: Endpoint) -> None:
    times = times_of(endpoint, endpoint.value.steady * 3)
    assert times == sorted(times)
    assert most_in(1.0, times) <= endpoint.value.burst
    assert most_in(60.0, times) <= endpoint.value.steady


@pytest.mark.parametrize("endpoint", Endpoint, ids=lambda e: e.name.lower())
def test_nearly_all_that_klaviyo_allows_is_used(endpoint: Endpoint) -> None:
    """All but 2 % of it; of 15 calls a minute all but one."""
    times = times_of(endpoint, endpoint.value.steady * 3)
    goal = 0.92 if endpoint.value.steady < 60 else 0.97 if endpoint.value.steady < 150 else 0.98
    assert len(times) / times[-1] >= endpoint.value.steady / 60 * goal


def test_one_endpoint_does_not_wait_for_another() -> None:
    async def work() -> float:
        traffic = Traffic(FakeClock())
        for _ in range(3):
            await traffic.admit(Endpoint.REQUEST_DELETION)
        before = asyncio.get_running_loop().time()
        await traffic.admit(EVENT)
        return asyncio.get_running_loop().time() - before

    assert in_jumping_time(work) == 0.0


def test_two_keys_do_not_share_a_pace() -> None:
    async def work() -> float:
        for _ in range(5):
            await Traffic(FakeClock()).admit(Endpoint.REQUEST_DELETION)
        return asyncio.get_running_loop().time()

    assert in_jumping_time(work) == 0.0


async def hear(traffic: Traffic, endpoint: Endpoint, answer: Answer) -> None:
    """One call, and how it ended."""
    ticket = await traffic.admit(endpoint)
    assert ticket is not None
    traffic.hear(endpoint, ticket, answer)


def story(told: Callable[[Traffic, FakeClock], Awaitable[None]]) -> None:
    clock = FakeClock()
    asyncio.run(told(Traffic(clock, is_paced=False), clock))  # type: ignore[arg-type]


def test_a_refused_key_closes_every_endpoint_until_one_call_has_asked() -> None:
    async def told(traffic: Traffic, clock: FakeClock) -> None:
        await hear(traffic, EVENT, BAD_KEY)
        assert [traffic.room(endpoint) for endpoint in Endpoint] == [0] * len(Endpoint)
        assert await traffic.admit(BULK) is None
        assert list(traffic.refusals()) == [EVERYTHING]
        clock.advance(PAUSE_SECONDS)
        assert [traffic.room(endpoint) for endpoint in Endpoint] == [1] * len(Endpoint)
        asks = await traffic.admit(BULK)
        assert asks is not None
        assert await traffic.admit(EVENT) is None, "one call asks, whatever the endpoint"
        traffic.hear(BULK, asks, GOOD)
        assert traffic.refusals() == {}
        assert traffic.is_well(EVENT)

    story(told)


def test_a_missing_scope_closes_its_endpoint_only() -> None:
    async def told(traffic: Traffic, clock: FakeClock) -> None:
        await hear(traffic, Endpoint.GET_PROFILES, Answer(status=403, scope="profiles:read"))
        assert traffic.lacks_scope(Endpoint.GET_PROFILES)
        assert traffic.is_well(EVENT)
        assert list(traffic.refusals()) == ["GET_PROFILES"]
        assert "profiles:read" in traffic.refusals()["GET_PROFILES"]
        clock.advance(PAUSE_SECONDS)
        assert not traffic.lacks_scope(Endpoint.GET_PROFILES), "it is time to ask again"

    story(told)


def test_an_answered_call_says_nothing_about_other_endpoints_outages() -> None:
    async def told(traffic: Traffic, clock: FakeClock) -> None:
        for _ in range(FAILURES):
            await hear(traffic, EVENT, Answer(status=503))
        assert traffic.room(EVENT) == 0
        await hear(traffic, Endpoint.IMPORT_PROFILE, GOOD)
        assert traffic.room(EVENT) == 0
        assert traffic.opens_in() == OUTAGE_FIRST

    story(told)


def test_setting_the_machines_clock_neither_opens_nor_closes_an_endpoint() -> None:
    async def told(traffic: Traffic, clock: FakeClock) -> None:
        await hear(traffic, EVENT, BUSY)
        clock.jump(86400.0)
        assert traffic.room(EVENT) == 0
        clock.jump(-2 * 86400.0)
        clock.advance(7.0)
        assert traffic.room(EVENT) == 1

    story(told)
