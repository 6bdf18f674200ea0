"""How many metrics a shop may make at Klaviyo."""

import pytest

from relay.klaviyo.mapping import STANDARD_METRICS
from relay.model import Reason
from relay.pipeline.metrics import MOST, RESERVE, ROOM, is_nearly_full, refusal

LISTED = frozenset({"Quiz Done"})


@pytest.mark.parametrize(
    ("name", "is_known", "n", "allowed", "refused"),
    [
        pytest.param("Quiz Done", False, 0, None, None, id="new"),
        pytest.param("Quiz Done", False, ROOM - 1, None, None, id="the last one"),
        pytest.param("Quiz Done", False, ROOM, None, Reason.METRIC_LIMIT, id="one too many"),
        pytest.param("Quiz Done", True, ROOM, None, None, id="made before"),
        pytest.param("Quiz Done", False, 0, LISTED, None, id="listed"),
        pytest.param("Quiz Done", False, ROOM, LISTED, Reason.METRIC_LIMIT, id="listed and too many"),
        pytest.param("quiz done", False, 0, LISTED, Reason.METRIC_NOT_ALLOWED, id="another spelling is another metric"),
        pytest.param("Quiz Begun", True, 0, LISTED, Reason.METRIC_NOT_ALLOWED, id="made before and no longer listed"),
        pytest.param("Quiz Done", False, 0, frozenset(), Reason.METRIC_NOT_ALLOWED, id="none listed"),
    ],
)
def test_which_metrics_may_be_made(
    name: str, is_known: bool, n: int, allowed: frozenset[str] | None, refused: Reason | None
) -> None:
    assert refusal(name, is_known=is_known, n=n, allowed=allowed) is refused


@pytest.mark.parametrize("name", sorted(STANDARD_METRICS))
def test_the_relays_own_metrics_are_always_let_through(name: str) -> None:
    assert refusal(name, is_known=False, n=MOST, allowed=frozenset()) is None


def test_the_reserve_has_room_for_klaviyos_own_metrics_and_the_relays() -> None:
    assert MOST - ROOM == RESERVE
    assert len(STANDARD_METRICS) + 40 < RESERVE
    assert not is_nearly_full(ROOM * 8 // 10)
    assert is_nearly_full(ROOM * 8 // 10 + 1)
