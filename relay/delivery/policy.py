"""From Klaviyo's answer to what becomes of the delivery. Pure.

| answer                              | outcome                                                             |
|-------------------------------------|---------------------------------------------------------------------|
| 2xx                                 | delivered                                                           |
| 429                                 | wait as told; costs no attempt                                      |
| 408, 425, 5xx, time-out, reset      | retry with full jitter, 5 s doubling to 1 h; dead after 72 h        |
| 401, 403                            | our key: given back, costs no attempt; ``breaker`` keeps them       |
| no call was made                    | given back                                                          |
| any other 4xx, 3xx                  | dead at once: the same body will be refused again                   |

A call that carries many deliveries (``delivery.bulk``) can also end with ``Alone`` for some of them, and a site's own
rules (``delivery.profiles``, ``delivery.lists``) with ``Skipped``.
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
#: How long a refused key or a missing scope is left alone before one call asks again, in seconds.
PAUSE_SECONDS = 60.0

#: Statuses below 500 that may pass.
RETRIED = frozenset({408, 425})


class Delivered(Struct, frozen=True):
    pass


class RetryAt(Struct, frozen=True):
    """Try again at ``due_at``."""

    due_at: float


class WaitUntil(Struct, frozen=True):
    """Klaviyo said how long; the attempt does not count."""

    due_at: float


class GivenBack(Struct, frozen=True):
    """Klaviyo has not looked at it; the attempt does not count."""


class Alone(Struct, frozen=True):
    """Refused together with others: tried again by itself, at ``due_at``."""

    due_at: float


class Skipped(Struct, frozen=True):
    """Klaviyo must not be told after all."""

    reason: Reason


class Dead(Struct, frozen=True):
    reason: Reason


Outcome = Delivered | RetryAt | WaitUntil | GivenBack | Alone | Skipped | Dead


def is_refused(answer: Answer) -> bool:
    """Whether Klaviyo has read the call and will not take it."""
    return outcome(answer, attempts=1, first_attempt_at=0.0, now=0.0, jitter=0.0) == Dead(Reason.REFUSED)


def outcome(answer: Answer, *, attempts: int, first_attempt_at: float, now: float, jitter: float) -> Outcome:
    """What follows from ``answer`` to try number ``attempts``. Times in epoch seconds, ``jitter`` in [0, 1)."""
    status = answer.status
    if answer.is_good:
        return Delivered()
    if not answer.was_sent or status in (401, 403):
        return GivenBack()
    if status == 429:
        return WaitUntil(now + (WAIT_DEFAULT if answer.retry_after is None else answer.retry_after))
    if status is None or status >= 500 or status in RETRIED:
        ceiling = min(RETRY_LAST, RETRY_FIRST * 2.0 ** min(attempts - 1, 20))
        due_at = now + max(answer.retry_after or 0.0, ceiling * jitter)
        if attempts >= FEWEST_TRIES and due_at - first_attempt_at > RETRY_FOR:
            return Dead(Reason.RETRIES_EXHAUSTED)
        return RetryAt(due_at)
    return Dead(Reason.REFUSED)
