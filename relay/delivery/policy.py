"""From Klaviyo's answer to what becomes of the delivery. Pure.

| answer                              | outcome                                                             |
|-------------------------------------|---------------------------------------------------------------------|
| 2xx                                 | delivered                                                           |
| 429                                 | wait as told; costs no attempt                                      |
| 408, 425, 5xx, time-out, reset      | retry with full jitter, 5 s doubling to 1 h; dead after 72 h        |
| 401                                 | our key: everything pauses, deliveries wait, no attempt spent       |
| 403                                 | our key lacks a scope: this kind of delivery pauses                 |
| any other 4xx, 3xx                  | dead at once: the same body will be refused again                   |
"""

from msgspec import Struct

from relay.klaviyo.answer import Answer
from relay.model import Reason

#: First ceiling of the jitter and its last, in seconds.
RETRY_FIRST, RETRY_LAST = 5.0, 3600.0
#: How long a delivery is retried before it is dead, in seconds, and how often at least: a pause or a stopped relay
#: may have taken up all of that time.
RETRY_FOR, FEWEST_TRIES = 72 * 3600.0, 10
#: When a 429 does not say how long: one steady window of Klaviyo's.
WAIT_DEFAULT = 60.0
#: How long a pause lasts before one delivery asks again, in seconds.
PAUSE_SECONDS = 60.0

_RETRIED = {408, 425}


class Delivered(Struct, frozen=True):
    pass


class RetryAt(Struct, frozen=True):
    """Try again at ``due_at``."""

    due_at: float


class WaitUntil(Struct, frozen=True):
    """Klaviyo said how long; the attempt does not count."""

    due_at: float


class PauseUntil(Struct, frozen=True):
    """Our key is refused: for everything, or for this kind of delivery."""

    due_at: float
    everything: bool
    reason: str


class Dead(Struct, frozen=True):
    reason: Reason


Outcome = Delivered | RetryAt | WaitUntil | PauseUntil | Dead


def outcome(answer: Answer, *, attempts: int, first_attempt_at: float, now: float, jitter: float) -> Outcome:
    """What follows from ``answer`` to try number ``attempts``. Times in epoch seconds, ``jitter`` in [0, 1)."""
    status = answer.status
    if status is not None and 200 <= status < 300:
        return Delivered()
    if status == 429:
        return WaitUntil(now + (WAIT_DEFAULT if answer.retry_after is None else answer.retry_after))
    if status == 401:
        return PauseUntil(now + PAUSE_SECONDS, everything=True, reason="Klaviyo does not accept the API key (401)")
    if status == 403:
        missing = answer.scope or "a scope"
        return PauseUntil(now + PAUSE_SECONDS, everything=False, reason=f"the API key is missing {missing} (403)")
    if status is None or status >= 500 or status in _RETRIED:
        ceiling = min(RETRY_LAST, RETRY_FIRST * 2.0 ** min(attempts - 1, 20))
        due_at = now + max(answer.retry_after or 0.0, ceiling * jitter)
        if attempts >= FEWEST_TRIES and due_at - first_attempt_at > RETRY_FOR:
            return Dead(Reason.RETRIES_EXHAUSTED)
        return RetryAt(due_at)
    return Dead(Reason.REFUSED)
