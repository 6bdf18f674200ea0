"""All calls with one key: as fast as Klaviyo allows and no faster, and not at all where it has asked for quiet.

Klaviyo counts per account in fixed windows: burst in one second, steady in one minute. A leaky bucket (aiolimiter) lets
through at most its capacity plus its rate times the window, in any window. The bucket is small, so that nearly all of
the steady limit can be used all the time, and whatever comes in a burst is spread over the next seconds: an event that
was held for minutes loses nothing by them. Where somebody else uses the account's calls too, the pace gives way before
Klaviyo has to ask for it (``delivery.quota``).
"""

import asyncio
import math

from aiolimiter import AsyncLimiter

from relay.clock import Clock
from relay.delivery.breaker import Breaker, Ticket
from relay.delivery.quota import Quota
from relay.klaviyo.answer import Answer
from relay.klaviyo.endpoints import Endpoint

#: Share of the steady limit that is used in the worst window: the rest is for calls that arrive a little bunched
#: (with 3,500 a minute, by up to 0.3 s).
SHARE = 0.995
#: The bucket holds this share of the burst limit.
BUCKET = 1 / 35
#: Calls that may be claimed and under way: what the pace lets go within this many seconds. More than Klaviyo needs to
#: answer, so that waiting for answers never slows the pace; little enough that a lease outlives the wait.
AHEAD_SECONDS = 1.0
#: Klaviyo's slowest useful answer is not below this; a window smaller than two would stand still between calls.
FEWEST = 2


def capacity(endpoint: Endpoint) -> int:
    """Calls that may go out at once."""
    return max(1, int(endpoint.value.burst * BUCKET))


def rate(endpoint: Endpoint) -> float:
    """Calls a second after that."""
    return (endpoint.value.steady * SHARE - capacity(endpoint)) / 60.0


class Traffic:
    """The calls of one API key, whichever site or station makes them: Klaviyo's limits are per account."""

    def __init__(self, clock: Clock, *, is_paced: bool = True) -> None:
        """``is_paced`` False is for a stand-in without limits."""
        self._clock = clock
        self._limiters: dict[Endpoint, AsyncLimiter] = {}
        self._is_paced = is_paced
        self._key = Breaker()
        self._breakers = {endpoint: Breaker() for endpoint in Endpoint}
        self._quotas = {endpoint: Quota() for endpoint in Endpoint}
        #: Whose time the pace is kept in: the limiters' own.
        self._loop: asyncio.AbstractEventLoop | None = None

    async def admit(self, endpoint: Endpoint) -> Ticket | None:
        """Wait for the pace; leave for one call, or None when the endpoint has been closed meanwhile."""
        if self.room(endpoint) == 0:
            return None
        if self._is_paced and not await self._turn(endpoint):
            return None
        now = self._clock.monotonic()
        key = self._key.admit(now)
        if key is None:
            return None
        ticket = self._breakers[endpoint].admit(now)
        if ticket is None:
            self._key.give_back(key)
            return None
        return Ticket(asks=ticket.asks or key.asks)

    async def _turn(self, endpoint: Endpoint) -> bool:
        """Wait for the pace; False when others leave so little that it is too long a wait with a claim in hand."""
        self._loop = asyncio.get_running_loop()
        await self._limiter(endpoint).acquire()
        while (seconds := self._quota_wait(endpoint)) > 0:
            if seconds > AHEAD_SECONDS:
                return False
            await asyncio.sleep(seconds)
        self._quotas[endpoint].go(self._loop.time())
        return True

    def _quota_wait(self, endpoint: Endpoint) -> float:
        """Seconds until others leave room for a call; asked from any thread."""
        return 0.0 if self._loop is None else self._quotas[endpoint].wait(self._loop.time())

    def give_back(self, endpoint: Endpoint, ticket: Ticket) -> None:
        """The call was not made after all."""
        self._key.give_back(ticket)
        self._breakers[endpoint].give_back(ticket)

    def hear(self, endpoint: Endpoint, ticket: Ticket, answer: Answer) -> None:
        """Take in how a call ended. A refused key (401) closes every endpoint, anything else only this one."""
        now = self._clock.monotonic()
        if answer.left is not None and self._loop is not None:
            self._quotas[endpoint].hear(answer.left, self._loop.time())
        if answer.status == 401:
            self._key.hear(ticket, answer, now)
            self._breakers[endpoint].give_back(ticket)
            return
        if answer.status is not None and answer.status < 500:
            self._key.hear(ticket, Answer(status=200), now)
        else:
            self._key.give_back(ticket)  # no word about the key
        self._breakers[endpoint].hear(ticket, answer, now)

    def room(self, endpoint: Endpoint) -> int:
        """How many calls to the endpoint may be under way or waiting for their turn."""
        now = self._clock.monotonic()
        if self._quota_wait(endpoint) > AHEAD_SECONDS:
            return 0
        window = max(FEWEST, math.ceil(rate(endpoint) * AHEAD_SECONDS) + capacity(endpoint))
        return min(self._key.room(now, window), self._breakers[endpoint].room(now, window))

    def is_well(self, endpoint: Endpoint) -> bool:
        """Whether nothing speaks against calling it."""
        return self._key.is_closed and self._breakers[endpoint].is_closed

    def lacks_scope(self, endpoint: Endpoint) -> bool:
        """Whether the key may not use this endpoint, and it is not yet time to ask again."""
        breaker = self._breakers[endpoint]
        return bool(breaker.refusal) and breaker.until(self._clock.monotonic()) > 0

    def opens_in(self) -> float | None:
        """Seconds until the next closed endpoint may be asked again; None when none is closed."""
        now = self._clock.monotonic()
        breakers = (self._key, *self._breakers.values())
        waits = [breaker.until(now) for breaker in breakers if not breaker.is_closed]
        waits += [wait for endpoint in Endpoint if (wait := self._quota_wait(endpoint) - AHEAD_SECONDS) > 0]
        return min(waits, default=None)

    def refusals(self) -> dict[str, str]:
        """Why Klaviyo does not take our key: for ``EVERYTHING``, or by the name of an endpoint."""
        found = {EVERYTHING: self._key.refusal} if self._key.refusal else {}
        return found | {e.name: b.refusal for e, b in self._breakers.items() if b.refusal}

    def _limiter(self, endpoint: Endpoint) -> AsyncLimiter:
        # Made where it is first used: a limiter belongs to the event loop it runs in.
        if endpoint not in self._limiters:
            self._limiters[endpoint] = AsyncLimiter(capacity(endpoint), capacity(endpoint) / rate(endpoint))
        return self._limiters[endpoint]


#: The scope that stands for every endpoint.
EVERYTHING = "everything"
