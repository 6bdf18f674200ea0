"""When a browser was one person's, by all the ties it has had."""

import math

import msgspec
import pytest

from relay.identity.tenure import Tenure, Term, tenure

EVER = math.inf
JUST_AFTER = math.nextafter(20.0, EVER)


def ann(since: float, until: float = EVER) -> Term:
    return Term(is_theirs=True, since=since, until=until)


def bob(since: float, until: float = EVER) -> Term:
    return Term(is_theirs=False, since=since, until=until)


def opened(term: Term) -> Term:
    """A tie by a link alone."""
    return msgspec.structs.replace(term, is_strong=False)


@pytest.mark.parametrize(
    ("terms", "within", "without"),
    [
        pytest.param([], [], [0, 10], id="nobody's"),
        pytest.param([bob(10)], [], [0, 10, 99], id="another's"),
        pytest.param([ann(10)], [-99, 0, 10, 99], [], id="theirs alone"),
        pytest.param([ann(10, 20)], [0, 10, 20], [JUST_AFTER, 99], id="until they signed out"),
        pytest.param([ann(10, 20), ann(15)], [0, 20, 99], [], id="signed in by two signs, one of which has ended"),
        pytest.param([ann(10, 20), bob(30)], [0, 20], [25, 30, 99], id="another came later"),
        pytest.param([ann(10), bob(30)], [0, 10, 29], [30, 99], id="another came while they were there"),
        pytest.param([bob(5, 20), ann(30, 40)], [30, 40], [0, 5, 20, 25, 41], id="another had gone before"),
        pytest.param([bob(5, 20), ann(10, 40)], [JUST_AFTER, 40], [5, 10, 20], id="another went when they were there"),
        pytest.param([bob(5), ann(10, 40)], [], [0, 5, 10, 20, 40], id="another was there all the time"),
        pytest.param([bob(1, 2), ann(10), bob(30)], [10, 29], [2, 5, 30], id="between two"),
        pytest.param([opened(ann(10))], [0, 10, 99], [], id="theirs by a link, and nobody else's"),
        pytest.param([opened(ann(10)), bob(30)], [], [0, 10, 29, 30], id="a link of theirs in another's browser"),
        pytest.param([ann(10), opened(bob(30))], [0, 10, 30, 99], [], id="a link of another's in their browser"),
        pytest.param([opened(ann(10)), opened(bob(30))], [0, 29], [30], id="two links"),
        pytest.param([ann(10), bob(10)], [0, 9], [10, 11], id="both at once"),
    ],
)
def test_what_is_theirs(terms: list[Term], within: list[float], without: list[float]) -> None:
    found = tenure("v", terms)
    assert tenure("v", terms[::-1]) == found
    assert [at for at in within if found is None or not found.covers(at)] == []
    assert [at for at in without if found is not None and found.covers(at)] == []
    assert (found is not None) is bool(within)


def test_only_what_was_never_anybody_elses_is_wholly_theirs() -> None:
    assert tenure("v", [ann(10)]) == Tenure(visitor_id="v")
    assert [t.is_whole for t in (Tenure(visitor_id="v"), Tenure(visitor_id="v", until=9))] == [True, False]
