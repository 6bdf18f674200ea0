"""The pace gives way to whoever else uses the account's calls, before Klaviyo has to ask for it."""

import asyncio

import httpx
import pytest

from relay.delivery.pace import Traffic
from relay.delivery.quota import FLOOR, Quota, pace
from relay.klaviyo.answer import Answer, Left
from relay.klaviyo.endpoints import Endpoint
from relay.klaviyo.response import calls_left
from tests.fakes.clock import FakeClock
from tests.unit.test_pace import in_jumping_time

EVENT = Endpoint.CREATE_EVENT
LIMIT = EVENT.value.steady


@pytest.mark.parametrize(
    ("left", "seconds", "others", "calls"),
    [
        pytest.param(3500, 60.0, 0.0, 3500 / 60, id="all of it"),
        pytest.param(600, 60.0, 0.0, 10.0, id="little is left"),
        pytest.param(600, 6.0, 0.0, 100.0, id="little time too"),
        pytest.param(600, 30.0, 5.0, 15.0, id="others go on"),
        pytest.param(600, 60.0, 50.0, 0.2, id="others take all: a little is ours"),
        pytest.param(0, 60.0, 0.0, 0.0, id="nothing is left"),
        pytest.param(10, 0.0, 0.0, 100.0, id="at the very end"),
    ],
)
def test_what_is_left_is_spread_over_what_is_left_of_the_minute(
    left: int, seconds: float, others: float, calls: float
) -> None:
    assert pace(left, seconds, others) == pytest.approx(calls)
    assert FLOOR == 0.02


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({"RateLimit-Limit": "3500", "RateLimit-Remaining": "3499", "RateLimit-Reset": "7"}, Left(3500, 3499, 7.0)),
        ({"ratelimit-limit": "3500, 350;w=1", "ratelimit-remaining": "12"}, Left(3500, 12)),
        ({"RateLimit-Limit": "3500", "RateLimit-Remaining": "0", "RateLimit-Reset": "soon"}, Left(3500, 0)),
        ({"RateLimit-Limit": "3500", "RateLimit-Remaining": "1", "RateLimit-Reset": "-1"}, Left(3500, 1)),
        ({"RateLimit-Limit": "0", "RateLimit-Remaining": "1"}, None),
        ({"RateLimit-Limit": "many", "RateLimit-Remaining": "1"}, None),
        ({"RateLimit-Remaining": "1"}, None),
        ({}, None),
    ],
)
def test_headers_that_say_what_is_left_are_read(headers: dict[str, str], left: Left | None) -> None:
    assert calls_left(httpx.Headers(headers)) == left


def heard(*answers: tuple[float, Left]) -> Quota:
    quota = Quota(57.0)
    for at, left in answers:
        quota.hear(left, at)
    return quota


def test_nothing_is_held_back_before_anything_is_known() -> None:
    assert Quota(57.0).wait(0.0) == 0.0


def test_nothing_is_held_back_for_calls_of_ours() -> None:
    quota = heard(*((n / 57.0, Left(3500, 3499 - n)) for n in range(57 * 30)))
    quota.go(30.0)
    assert quota.wait(30.0) == 0.0


def test_answers_that_overtake_each_other_begin_no_new_minute() -> None:
    quota = heard((0.0, Left(3500, 100)), (0.1, Left(3500, 90)), (0.2, Left(3500, 110)))
    quota.go(0.2)
    assert quota.wait(0.2) > 0.5


@pytest.mark.parametrize(("reset", "until"), [(None, 60.0), (7.0, 7.0)])
def test_where_nothing_is_left_the_next_minute_is_waited_for(reset: float | None, until: float) -> None:
    quota = heard((0.0, Left(3500, 0, reset)))
    assert quota.wait(0.0) == until
    assert quota.wait(until) == 0.0


def test_calls_that_have_become_more_are_a_new_minute() -> None:
    quota = heard((0.0, Left(3500, 0)), (5.0, Left(3500, 3499)))
    quota.go(5.0)
    assert quota.wait(5.0) == 0.0


class Account:
    """Klaviyo's count of one endpoint's calls, in fixed minutes; ``begun`` seconds of the first one are over."""

    def __init__(self, begun: float, *, says_reset: bool) -> None:
        self._begun = begun
        self._says_reset = says_reset
        self._used: dict[int, int] = {}
        self.refused = 0

    def call(self, now: float) -> Answer:
        window, passed = divmod(now + self._begun, 60.0)
        used = self._used.get(int(window), 0)
        if used >= LIMIT:
            self.refused += 1
            return Answer(status=429, retry_after=60.0 - passed)
        self._used[int(window)] = used + 1
        reset = float(60 - int(passed)) if self._says_reset else None
        return Answer(status=202, left=Left(LIMIT, LIMIT - used - 1, reset))


@pytest.mark.parametrize("says_reset", [True, False])
@pytest.mark.parametrize("begun", [0.0, 25.0, 59.0])
@pytest.mark.parametrize("others", [0, 10, 40, 55])
def test_beside_another_integration_nobody_is_refused(others: int, begun: float, says_reset: bool) -> None:
    """It makes ``others`` calls a second, all the time; of the rest we use nearly all."""
    minutes = 3
    account = Account(begun, says_reset=says_reset)

    async def other() -> None:
        while others and asyncio.get_running_loop().time() < 60.0 * minutes:
            account.call(asyncio.get_running_loop().time())
            await asyncio.sleep(1.0 / others)

    async def ours() -> int:
        traffic, loop, n = Traffic(FakeClock()), asyncio.get_running_loop(), 0
        while loop.time() < 60.0 * minutes:
            if (ticket := await traffic.admit(EVENT)) is None:
                await asyncio.sleep(1.0)
                continue
            traffic.hear(EVENT, ticket, account.call(loop.time()))
            n += 1
        return n

    async def both() -> int:
        beside = asyncio.create_task(other())
        n = await ours()
        await beside
        return n

    made = in_jumping_time(both)
    assert account.refused == 0
    free = LIMIT - 60 * others
    reserve = 0.02 * (free if not others else LIMIT)
    assert made >= minutes * (free - reserve) * (1.0 if not others else 0.75)


def test_a_wait_that_is_too_long_is_not_waited_with_a_claim_in_hand() -> None:
    async def told() -> None:
        traffic = Traffic(FakeClock())
        ticket = await traffic.admit(EVENT)
        assert ticket is not None
        traffic.hear(EVENT, ticket, Answer(status=202, left=Left(LIMIT, 0, 30.0)))
        assert traffic.room(EVENT) == 0
        assert await traffic.admit(EVENT) is None
        assert traffic.room(Endpoint.IMPORT_PROFILE) > 0, "limits are each endpoint's own"
        assert 28.0 < (traffic.opens_in() or 0.0) <= 30.0
        await asyncio.sleep(30.0)
        assert traffic.room(EVENT) > 0
        assert await traffic.admit(EVENT)

    in_jumping_time(told)
