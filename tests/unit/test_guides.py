"""What a guide names as its proof exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "relay" / "guides").glob("*.md"))
TESTS = frozenset(
    name
    for folder in ("tests", "e2e")
    for path in (ROOT / folder).rglob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_every_test_that_a_guide_names_is_there(guide: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", guide.read_text()))
    assert named
    assert named <= TESTS
