"""What the simulator shows: tables, a picture and a guide, the same for the same verdict."""

from collections import Counter
from xml.etree import ElementTree

import pytest

from tests.simulator import guide, plot
from tests.simulator.__main__ import main
from tests.simulator.browsers import Shape
from tests.simulator.score import ALL, UNNAMED, Reach, Recall, Score, Tally

COMMAND = "python -m tests.simulator --people 9 --seed 7 --guide"


def verdict() -> Score:
    return Score(
        carts=20,
        reach={ALL: Reach(10, 4, 8), UNNAMED: Reach(5, 1, 2), "Safari": Reach(6, 1, 5), "Firefox": Reach(4, 3, 3)},
        orders_sent=3,
        orders_wrong=0,
        native=Tally(30, 1),
        by_evidence={"form": Tally(40, 0), "kx": Tally(10, 1)},
        by_story={"everyday": Tally(49, 0), "forwarded_link": Tally(1, 1)},
        recall={"form": Recall(50, 40)},
        doubles=Counter(),
        late_replays=Counter(everyday=5),
        after_order=Counter(),
        forbidden=Counter(),
        examples=[],
    )


def test_the_picture_is_an_image_without_scripts_and_the_same_each_time() -> None:
    drawn = plot.draw(verdict(), COMMAND)
    root = ElementTree.fromstring(drawn)  # noqa: S314 - drawn just now
    assert root.tag.endswith("svg")
    assert [node for node in root.iter() if node.tag.endswith("script")] == []
    words = {node.text for node in root.iter() if node.text}
    assert {ALL, UNNAMED, "Safari", "Firefox", "40 %"} <= words
    assert plot.draw(verdict(), COMMAND) == drawn


def test_the_guide_gets_its_figures_between_its_marks_alone() -> None:
    text = "before\n<!-- results -->\nwhat was there\n<!-- /results -->\nbetween\n<!-- stories --><!-- /stories -->\n"
    text = text.replace("--><!-- /stories", "-->\n<!-- /stories") + "<!-- parameters -->\n<!-- /parameters -->\nafter\n"
    written = guide.write(text, {Shape.PATH: verdict(), Shape.SIBLING: verdict()}, COMMAND)
    results = guide.block(written, "results")
    assert COMMAND in results
    assert "| all abandoned carts | 10 | 4 (40%) | 8 (80%) | +100% |" in results
    assert "| backup events filed under who really acted | >= 99.9% | 98.000% | missed |" in results
    assert "| `kx` | 10 | 1 |" in results
    assert "what was there" not in written
    assert [word in written for word in ("before", "between", "after")] == [True] * 3
    assert guide.write(written, {Shape.PATH: verdict(), Shape.SIBLING: verdict()}, COMMAND) == written


def test_a_guide_without_marks_is_not_written() -> None:
    with pytest.raises(AssertionError, match="no marks for results"):
        guide.write("words", {Shape.PATH: verdict(), Shape.SIBLING: verdict()}, COMMAND)


def test_one_story_can_be_told_alone_and_the_exit_code_says_whether_the_goals_are_met(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--story", "klaviyo_knows", "--casts", "1", "--days", "20"]) == 0
    shown = capsys.readouterr().out
    assert "--story klaviyo_knows --casts 1 --seed 7" in shown
    assert main(["--story", "silent_partner", "--casts", "1", "--days", "30"]) == 1
    assert "wrong person in silent_partner" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--story", "nothing"], "--story"),
        (["--guide", "--story", "kiosk"], "--guide"),
        (["--people", "many"], "--people"),
    ],
)
def test_a_bad_argument_is_named(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert word in capsys.readouterr().err
