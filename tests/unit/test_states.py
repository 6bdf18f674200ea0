"""The states of a delivery: the table of steps, and the drawing of it."""

import itertools
import re

import pytest

from relay.delivery import states
from relay.delivery.states import OPEN, STEPS, State, check_step
from relay.errors import IllegalTransition

LEGAL = {
    ("waiting", "held"), ("waiting", "ready"), ("waiting", "suppressed"), ("waiting", "expired"),
    ("held", "sending"), ("held", "suppressed"),
    ("ready", "sending"), ("ready", "suppressed"),
    ("sending", "delivered"), ("sending", "ready"), ("sending", "dead"), ("sending", "suppressed"),
    ("dead", "ready"), ("dead", "suppressed"),
}  # fmt: skip
EVERY_PAIR = list(itertools.product(State, State))
FINAL = [State.DELIVERED, State.SUPPRESSED, State.EXPIRED]


@pytest.mark.parametrize(("source", "target"), EVERY_PAIR, ids=[f"{a}-{b}" for a, b in EVERY_PAIR])
def test_every_step_is_legal_or_refused(source: State, target: State) -> None:
    if (source.value, target.value) in LEGAL:
        check_step(source, target)
    else:
        with pytest.raises(IllegalTransition, match=f"from {source} to {target}"):
            check_step(source, target)


def test_every_state_has_its_row_in_the_table() -> None:
    assert set(STEPS) == set(State)


@pytest.mark.parametrize("state", FINAL)
def test_nothing_leaves_a_final_state(state: State) -> None:
    assert STEPS[state] == frozenset()


def test_open_states_are_those_that_still_go_somewhere_by_themselves() -> None:
    # A dead delivery moves only when the operator replays it, so it is settled.
    assert {state for state in State if STEPS[state]} - {State.DEAD} == OPEN


def test_every_open_state_can_reach_an_end() -> None:
    def ends(state: State, seen: frozenset[State]) -> bool:
        return state not in OPEN or any(ends(step, seen | {state}) for step in STEPS[state] - seen)

    assert all(ends(state, frozenset()) for state in OPEN)


def test_a_delivery_is_not_sent_without_being_claimed() -> None:
    assert {state for state in State if State.DELIVERED in STEPS[state]} == {State.SENDING}
    assert State.SENDING not in STEPS[State.WAITING]


def test_the_drawing_shows_exactly_the_steps_there_are() -> None:
    drawn = set()
    names = "|".join(State)
    for source, targets in re.findall(rf"\b({names})\s*-->\s*((?:{names})(?:, (?:{names}))*)", states.__doc__ or ""):
        drawn |= {(source, target) for target in targets.split(", ")}
    assert drawn == LEGAL
