"""The states of a delivery, and who moves it::

(process) --> waiting      nobody yet                   (process) --> held        until due_at
(process) --> ready        due at due_at                (process) --> suppressed  final: Klaviyo must not be told

waiting --> held, ready    late identity                waiting --> suppressed, expired
held    --> sending        claimed once due             held    --> suppressed    Klaviyo knew the visitor after all
ready   --> sending        claimed                      ready   --> suppressed
sending --> delivered      2xx
sending --> ready          to be tried again, or its lease ran out, or the relay stopped
sending --> dead           final 4xx, retries exhausted, or its row is damaged
sending --> suppressed     nobody left to send to
dead    --> ready          replayed by the operator
dead    --> suppressed     nobody may replay it: what was heard since has recalled it

Of an order that only a browser had told of, what has not been tried, or has ended for the browser's sake, is begun anew
by the server's word of it (``store.outbox.Outbox.add``).
"""

from enum import StrEnum

from relay.errors import IllegalTransition


class State(StrEnum):
    """Where a delivery stands; see the drawing above."""

    WAITING = "waiting"
    HELD = "held"
    READY = "ready"
    SENDING = "sending"
    DELIVERED = "delivered"
    SUPPRESSED = "suppressed"
    DEAD = "dead"
    EXPIRED = "expired"


#: From each state, the states it may go to.
STEPS: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.HELD, State.READY, State.SUPPRESSED, State.EXPIRED}),
    State.HELD: frozenset({State.SENDING, State.SUPPRESSED}),
    State.READY: frozenset({State.SENDING, State.SUPPRESSED}),
    State.SENDING: frozenset({State.DELIVERED, State.READY, State.DEAD, State.SUPPRESSED}),
    State.DEAD: frozenset({State.READY, State.SUPPRESSED}),
    State.DELIVERED: frozenset(),
    State.SUPPRESSED: frozenset(),
    State.EXPIRED: frozenset(),
}
OPEN = frozenset({State.WAITING, State.HELD, State.READY, State.SENDING})


def check_step(source: State, target: State) -> None:
    """Raises IllegalTransition when a delivery cannot go from ``source`` to ``target``."""
    if target not in STEPS[source]:
        raise IllegalTransition(f"a delivery cannot go from {source} to {target}")
