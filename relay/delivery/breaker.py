"""Whether an endpoint may be called now. Pure: time comes in as seconds of a clock that nobody sets.

    closed ----- FAILURES calls in a row without a good answer ------> open, 2 s doubling to 60 s
    closed ----- 429 -----------------------------------------------> open as long as told
    closed ----- 401, 403 ------------------------------------------> open for PAUSE_SECONDS
    open ------- time is over --> half-open: one call asks ----------> closed, or open again

While it is open no call is made and no delivery spends an attempt: those that wait stay as they are.
"""

from msgspec import Struct

from relay.delivery.policy import PAUSE_SECONDS, RETRIED, WAIT_DEFAULT
from relay.klaviyo.answer import Answer

#: Calls in a row that fail before it is the endpoint's fault and no longer theirs.
FAILURES = 5
#: How long an outage is left alone before one call asks, at first and at most, in seconds.
OUTAGE_FIRST, OUTAGE_LAST = 2.0, 60.0


class Ticket(Struct, frozen=True):
    """Leave to make one call; what came of it is told to ``Breaker.hear``, or ``give_back`` if it was not made."""

    asks: bool  #: the one call that finds out whether the endpoint is well again


class Breaker:
    """One endpoint's, or one key's."""

    def __init__(self) -> None:
        self._failures = 0
        self._outages = 0
        self._is_closed = True
        self._until = 0.0
        self._asking = False
        #: Why Klaviyo does not let us in, when it is the key's fault; empty otherwise.
        self.refusal = ""

    @property
    def is_closed(self) -> bool:
        """Whether everything is well."""
        return self._is_closed

    def until(self, now: float) -> float:
        """Seconds until the next call may be made; 0 when it may be made now."""
        return 0.0 if self._is_closed else max(0.0, self._until - now)

    def room(self, now: float, window: int) -> int:
        """How many calls may be under way: ``window`` of them when all is well, one when it is time to ask."""
        if self._is_closed:
            return window
        return 0 if now < self._until else 1

    def admit(self, now: float) -> Ticket | None:
        """Leave for one call, or None."""
        if self._is_closed:
            return Ticket(asks=False)
        if now < self._until or self._asking:
            return None
        self._asking = True
        return Ticket(asks=True)

    def give_back(self, ticket: Ticket) -> None:
        """The call was not made, or nobody has waited for its answer."""
        if ticket.asks:
            self._asking = False

    def hear(self, ticket: Ticket, answer: Answer, now: float) -> None:
        """Take in how a call ended."""
        self.give_back(ticket)
        status = answer.status
        if status in (401, 403):
            missing = f"is missing {answer.scope or 'a scope'}" if status == 403 else "is not accepted"
            self.refusal = f"the API key {missing} ({status})"
            self._open(now + PAUSE_SECONDS)
        elif status == 429:
            self._open(now + (WAIT_DEFAULT if answer.retry_after is None else answer.retry_after))
        elif status is None or status >= 500 or status in RETRIED:
            self._hear_failure(ticket, answer, now)
        elif ticket.asks or self._is_closed:
            # The word of a call that was under way before does not close what has been opened since.
            self._is_closed = True
            self._failures = self._outages = 0
            self.refusal = ""

    def _hear_failure(self, ticket: Ticket, answer: Answer, now: float) -> None:
        self._failures += 1
        if not ticket.asks and (self._failures < FAILURES or not self._is_closed):
            return
        pause = min(OUTAGE_LAST, OUTAGE_FIRST * 2.0 ** min(self._outages, 10))
        self._outages += 1
        self._open(now + max(pause, answer.retry_after or 0.0))

    def _open(self, until: float) -> None:
        self._until = until if self._is_closed else max(self._until, until)
        self._is_closed = False
