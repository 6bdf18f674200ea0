"""When an endpoint is left alone, and how it is found to be well again."""

import pytest

from relay.delivery.breaker import FAILURES, OUTAGE_FIRST, OUTAGE_LAST, Breaker, Ticket
from relay.delivery.policy import PAUSE_SECONDS, WAIT_DEFAULT
from relay.klaviyo.answer import Answer

GOOD, BAD, SILENT = Answer(status=202), Answer(status=503), Answer(status=None, error="ReadTimeout")
WINDOW = 60


def call(breaker: Breaker, answer: Answer, now: float = 0.0) -> Ticket:
    ticket = breaker.admit(now)
    assert ticket is not None
    breaker.hear(ticket, answer, now)
    return ticket


def broken(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        call(breaker, BAD, now)
    return breaker


@pytest.mark.parametrize("status", [200, 202, 204, 301, 400, 404, 409, 422])
def test_an_answer_about_the_call_itself_keeps_it_closed(status: int) -> None:
    breaker = Breaker()
    for _ in range(3 * FAILURES):
        call(breaker, Answer(status=status))
    assert breaker.is_closed


@pytest.mark.parametrize("answer", [BAD, SILENT, Answer(status=500), Answer(status=408), Answer(status=425)])
def test_some_failures_in_a_row_open_it(answer: Answer) -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        call(breaker, answer)
    assert breaker.room(0.0, WINDOW) == WINDOW
    call(breaker, answer)
    assert breaker.room(0.0, WINDOW) == 0
    assert breaker.admit(0.0) is None
    assert breaker.refusal == "", "an outage is nothing the operator can mend"


def test_a_good_answer_in_between_begins_the_row_anew() -> None:
    breaker = Breaker()
    for _ in range(FAILURES):
        call(breaker, BAD)
        call(breaker, GOOD)
    assert breaker.is_closed


def test_one_call_asks_when_the_time_is_over() -> None:
    breaker = broken()
    assert breaker.room(OUTAGE_FIRST, WINDOW) == 1
    ticket = breaker.admit(OUTAGE_FIRST)
    assert ticket == Ticket(asks=True)
    assert breaker.admit(OUTAGE_FIRST) is None
    breaker.hear(ticket, GOOD, OUTAGE_FIRST)
    assert breaker.room(OUTAGE_FIRST, WINDOW) == WINDOW


def test_each_question_in_vain_doubles_the_wait() -> None:
    breaker, now, waits = broken(), 0.0, []
    for _ in range(8):
        waits.append(breaker.until(now))
        now += breaker.until(now)
        call(breaker, BAD, now)
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert max(waits) == OUTAGE_LAST
    call(breaker, GOOD, now + OUTAGE_LAST)
    for _ in range(FAILURES):
        call(breaker, BAD, 1000.0)
    assert breaker.until(1000.0) == OUTAGE_FIRST


def test_a_question_that_was_not_put_can_be_put_by_another() -> None:
    breaker = broken()
    ticket = breaker.admit(OUTAGE_FIRST)
    assert ticket is not None
    breaker.give_back(ticket)
    assert breaker.admit(OUTAGE_FIRST) == Ticket(asks=True)


@pytest.mark.parametrize(("told", "wait"), [(17.0, 17.0), (0.5, 0.5), (None, WAIT_DEFAULT)])
def test_too_many_requests_close_the_door_as_long_as_told(told: float | None, wait: float) -> None:
    breaker = Breaker()
    call(breaker, Answer(status=429, retry_after=told))
    assert breaker.until(0.0) == wait
    assert breaker.room(wait, WINDOW) == 1
    assert breaker.refusal == ""


def test_the_longest_wait_asked_for_counts() -> None:
    breaker = Breaker()
    tickets = [breaker.admit(0.0) for _ in range(3)]
    for ticket, wait in zip(tickets, (5.0, 30.0, 1.0), strict=True):
        assert ticket is not None
        breaker.hear(ticket, Answer(status=429, retry_after=wait), 0.0)
    assert breaker.until(0.0) == 30.0


def test_a_late_good_answer_does_not_close_what_has_been_opened_since() -> None:
    breaker = Breaker()
    late = breaker.admit(0.0)
    call(breaker, Answer(status=429, retry_after=9.0))
    assert late is not None
    breaker.hear(late, GOOD, 1.0)
    assert breaker.until(1.0) == 8.0


def test_late_failures_do_not_make_an_outage_longer() -> None:
    breaker = Breaker()
    tickets = [breaker.admit(0.0) for _ in range(50)]
    for ticket in tickets:
        assert ticket is not None
        breaker.hear(ticket, BAD, 0.0)
    assert breaker.until(0.0) == OUTAGE_FIRST


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(status=401), "the API key is not accepted (401)"),
        (Answer(status=403, scope="lists:write"), "the API key is missing lists:write (403)"),
        (Answer(status=403), "the API key is missing a scope (403)"),
    ],
)
def test_a_refused_key_is_left_alone_and_says_why(answer: Answer, words: str) -> None:
    breaker = Breaker()
    call(breaker, answer)
    assert (breaker.until(0.0), breaker.refusal) == (PAUSE_SECONDS, words)
    call(breaker, answer, PAUSE_SECONDS)
    assert breaker.until(PAUSE_SECONDS) == PAUSE_SECONDS
    call(breaker, GOOD, 2 * PAUSE_SECONDS)
    assert (breaker.is_closed, breaker.refusal) == (True, "")
