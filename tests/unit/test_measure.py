"""Precision and recall per class of evidence, and when a class is switched off."""

import pytest

from relay.identity.evidence import Evidence
from relay.identity.measure import FEWEST_LABELS, Score, scores, suspected, switched_off, wilson_lower


@pytest.mark.parametrize(
    ("right", "n", "lower"),
    [(0, 0, 0.0), (0, 10, 0.0), (10, 10, 0.7225), (20, 20, 0.8389), (95, 100, 0.8882), (999, 1000, 0.9944)],
)
def test_wilsons_lower_bound(right: int, n: int, lower: float) -> None:
    """Reference values: Wilson's interval without continuity correction, as statsmodels computes it."""
    assert wilson_lower(right, n) == pytest.approx(lower, abs=5e-4)


def test_scores_are_read_from_the_sums() -> None:
    found = scores([("kx:right", 8), ("form:wrong", 1), ("kx:missed", 2), ("form:right", 9), ("cookie:right", 5)])
    assert [score.name for score in found] == ["form", "kx", "cookie"]
    form, kx, _ = found
    assert (form.precision, form.recall) == (0.9, 0.9)
    assert (kx.precision, kx.recall) == (1.0, 0.8)


def test_suspicions_are_measured_by_band_and_switch_nothing_off() -> None:
    labels = [
        ("behaviour_0.80:wrong", 30),
        ("behaviour_0.95:right", 9),
        ("behaviour_0.95:wrong", 1),
        ("behaviour:missed", 5),
    ]
    found = suspected([*labels, ("kx:right", 3)])
    assert [score.name for score in found] == ["behaviour", "behaviour_0.95", "behaviour_0.80"]
    total, surest, _ = found
    assert (total.right, total.wrong, total.missed) == (9, 31, 5)
    assert surest.precision == 0.9
    assert scores(labels) == []
    assert switched_off(scores(labels), 0.99) == frozenset()
    assert suspected([("kx:right", 3)]) == []


def test_without_labels_nothing_is_claimed() -> None:
    assert Score(name="kx").precision is None
    assert Score(name="kx").recall is None
    assert scores([]) == []


@pytest.mark.parametrize(
    ("name", "right", "wrong", "off"),
    [
        pytest.param("kx", 0, FEWEST_LABELS - 1, False, id="too few labels to say"),
        pytest.param("kx", FEWEST_LABELS, 0, False, id="always right"),
        pytest.param("kx", 29, 1, False, id="one of few wrong"),
        pytest.param("kx", 32, 8, False, id="one in five wrong, and not sure yet"),
        pytest.param("kx", 20, 12, True, id="three in eight wrong"),
        pytest.param("kx", 98, 2, False, id="hardly ever wrong"),
        pytest.param("click_id", 20, 20, True, id="a coin"),
        pytest.param("form", 10, 100, False, id="nor what shoppers type themselves"),
        pytest.param("order", 0, 100, False, id="the shop's own word is never switched off"),
        pytest.param("server_identify", 0, 100, False, id="nor what its server says"),
        pytest.param("cookie", 0, 100, False, id="a way of recognition is no class of evidence"),
    ],
)
def test_a_class_is_switched_off_below_the_limit(name: str, right: int, wrong: int, off: bool) -> None:
    found = switched_off([Score(name=name, right=right, wrong=wrong)], 0.6)
    assert found == (frozenset({Evidence(name)}) if off else frozenset())


def test_a_class_comes_back_when_it_has_mended() -> None:
    worse, better = Score(name="kx", right=15, wrong=15), Score(name="kx", right=115, wrong=15)
    assert switched_off([worse], 0.6) == {Evidence.KX}
    assert switched_off([better], 0.6) == frozenset()
