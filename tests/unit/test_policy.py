"""From Klaviyo's answer to what becomes of the delivery, and the states a delivery can take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.delivery.policy import (
    FEWEST_TRIES,
    RETRY_FIRST,
    RETRY_FOR,
    RETRY_LAST,
    WAIT_DEFAULT,
    Dead,
    Delivered,
    GivenBack,
    Outcome,
    RetryAt,
    WaitUntil,
    outcome,
)
from relay.delivery.states import OPEN, STEPS, State, check_step
from relay.errors import IllegalTransition
from relay.klaviyo.answer import NOT_SENT, Answer
from relay.model import Reason

NOW = 1_000_000.0


def after(answer: Answer, *, attempts: int = 1, begun: float = 0.0, jitter: float = 0.5) -> Outcome:
    """What follows from ``answer`` to a delivery first tried ``begun`` seconds ago."""
    return outcome(answer, attempts=attempts, first_attempt_at=NOW - begun, now=NOW, jitter=jitter)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_delivered(status: int) -> None:
    assert after(Answer(status=status)) == Delivered()


@pytest.mark.parametrize("attempts", [1, 50])
@pytest.mark.parametrize(("told", "wait"), [(7.0, 7.0), (0.0, 0.0), (None, WAIT_DEFAULT)])
def test_too_many_requests_wait_as_told_however_long_it_goes_on(attempts: int, told: float | None, wait: float) -> None:
    answer = Answer(status=429, retry_after=told)
    assert after(answer, attempts=attempts, begun=10 * RETRY_FOR) == WaitUntil(NOW + wait)


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 503, 504, 520, 599, None], ids=str)
def test_what_may_pass_is_retried(status: int | None) -> None:
    assert after(Answer(status=status)) == RetryAt(NOW + RETRY_FIRST * 0.5)


@pytest.mark.parametrize(
    ("attempts", "ceiling"), [(1, 5.0), (2, 10.0), (3, 20.0), (10, 2560.0), (11, 3600.0), (12, 3600.0), (5000, 3600.0)]
)
def test_the_wait_doubles_up_to_an_hour(attempts: int, ceiling: float) -> None:
    assert after(Answer(status=500), attempts=attempts, jitter=0.0) == RetryAt(NOW)
    assert after(Answer(status=500), attempts=attempts, jitter=0.25) == RetryAt(NOW + ceiling * 0.25)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1e6))
def test_a_retry_is_never_in_the_past_and_jitters_within_its_ceiling(
    attempts: int, jitter: float, told: float | None
) -> None:
    found = after(Answer(status=503, retry_after=told), attempts=attempts, jitter=jitter)
    if isinstance(found, RetryAt):
        assert NOW <= found.due_at <= NOW + max(RETRY_LAST, told or 0.0)
        assert found.due_at >= NOW + (told or 0.0)
    else:
        assert found == Dead(Reason.RETRIES_EXHAUSTED)
        assert attempts >= FEWEST_TRIES


def test_a_fault_that_says_how_long_it_lasts_is_believed() -> None:
    assert after(Answer(status=503, retry_after=90.0)) == RetryAt(NOW + 90.0)


@pytest.mark.parametrize(
    ("attempts", "begun", "dead"),
    [
        pytest.param(80, RETRY_FOR - 1800.0, False, id="within three days"),
        pytest.param(80, RETRY_FOR - 1799.0, True, id="the next try would be later"),
        pytest.param(FEWEST_TRIES, RETRY_FOR, True, id="enough tries"),
        pytest.param(FEWEST_TRIES - 1, 10 * RETRY_FOR, False, id="days of pause, few tries"),
    ],
)
def test_after_three_days_of_trying_it_is_dead(attempts: int, begun: float, dead: bool) -> None:
    found = after(Answer(status=500), attempts=attempts, begun=begun)
    assert (found == Dead(Reason.RETRIES_EXHAUSTED)) is dead


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_not_the_deliverys_fault(status: int) -> None:
    assert after(Answer(status=status, scope="profiles:write"), attempts=99, begun=10 * RETRY_FOR) == GivenBack()


def test_a_call_that_was_not_made_costs_nothing() -> None:
    assert after(NOT_SENT, attempts=99, begun=10 * RETRY_FOR) == GivenBack()


@pytest.mark.parametrize(
    "status", [301, 302, 307, 308, 400, 402, 404, 405, 406, 409, 410, 411, 413, 414, 415, 422, 451]
)
def test_a_final_refusal_is_dead_at_once(status: int) -> None:
    assert after(Answer(status=status, retry_after=5.0)) == Dead(Reason.REFUSED)


@given(st.none() | st.integers(100, 599), st.integers(1, 200), st.floats(0, 1e7), st.floats(0, 1, exclude_max=True))
def test_every_answer_has_an_outcome(status: int | None, attempts: int, begun: float, jitter: float) -> None:
    assert isinstance(after(Answer(status=status), attempts=attempts, begun=begun, jitter=jitter), Outcome)


# The states of a delivery

ALLOWED = {
    ("waiting", "held"), ("waiting", "ready"), ("waiting", "suppressed"), ("waiting", "expired"),
    ("held", "sending"), ("held", "suppressed"), ("ready", "sending"), ("ready", "suppressed"),
    ("sending", "delivered"), ("sending", "ready"), ("sending", "dead"), ("sending", "suppressed"),
    ("dead", "ready"), ("dead", "suppressed"),
}  # fmt: skip


@pytest.mark.parametrize("source", State, ids=str)
@pytest.mark.parametrize("target", State, ids=str)
def test_a_delivery_takes_only_the_steps_that_are_drawn(source: State, target: State) -> None:
    if (source.value, target.value) in ALLOWED:
        check_step(source, target)
    else:
        with pytest.raises(IllegalTransition):
            check_step(source, target)


def test_what_is_final_stays_and_what_is_open_can_end() -> None:
    assert set(State) - OPEN == {State.DELIVERED, State.SUPPRESSED, State.DEAD, State.EXPIRED}
    assert {state for state in State if not STEPS[state]} == {State.DELIVERED, State.SUPPRESSED, State.EXPIRED}
    for state in OPEN:
        reached, todo = set[State](), [state]
        while todo:
            for target in STEPS[todo.pop()] - reached:
                reached.add(target)
                todo.append(target)
        assert State.SUPPRESSED in reached
