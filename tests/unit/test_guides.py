"""What a guide names as its proof exists, and the numbers in it are those of the code."""

import re
from pathlib import Path

import pytest

from relay.config import Site
from relay.identity import guards, telling
from relay.identity.evidence import BRIDGES, WORTH, Evidence
from relay.identity.identifiers import PRECEDENCE, IdentifierKind
from relay.identity.measure import FEWEST_LABELS
from relay.identity.resolve import SESSION_SECONDS
from relay.identity.traces import CART_SECONDS, HANDOVER_SECONDS, RULES, TraceKind
from relay.store.links import CONSENT_WITHDRAWN, SIGNED_OUT, UNLINKED

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


#: As the guide names them.
_LIMITED = (IdentifierKind.EMAIL, IdentifierKind.PHONE, IdentifierKind.CUSTOMER_ID, IdentifierKind.KLAVIYO_ID)
IDENTITY = (ROOT / "relay" / "guides" / "identity.md").read_text()


def section(title: str) -> str:
    """A section of the guide of identity."""
    return IDENTITY.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The rows of the tables in a section, without their heads."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for n, row in enumerate(found) if "---" not in row[0] and "---" not in ([*found, [""]])[n + 1][0]]


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def test_each_class_of_evidence_is_worth_what_the_guide_says_in_its_order() -> None:
    told = {row[0].strip("`"): row[2] for row in rows(section("What ties a browser to a person"))}
    assert list(told) == list(Evidence)
    for evidence, worth in WORTH.items():
        assert numbers(told[evidence]) == [round(worth.confidence * 100, 1)], evidence


def test_every_class_of_evidence_has_a_source() -> None:
    sources = [*(ROOT / "relay" / "pipeline").glob("*.py"), ROOT / "relay" / "identity" / "traces.py"]
    used = {name for path in sources for name in re.findall(r"Evidence\.([A-Z_]+)", path.read_text())}
    assert used >= {evidence.name for evidence in Evidence}


def test_as_many_browsers_may_share_a_value_as_the_guide_says() -> None:
    bridges = {row[0].strip("`"): row for row in rows(section("What ties a browser to a person")) if len(row) == 4}
    most = {
        evidence: max(rule.most_jars for rule in RULES.values() if rule.evidence is evidence) for evidence in BRIDGES
    }
    assert {name: int(row[3]) for name, row in bridges.items()} == most
    assert {RULES[kind].most_jars for kind in (TraceKind.CART, TraceKind.CHECKOUT)} == {3}
    assert numbers(bridges["client_id"][1]) == [3]
    assert numbers(bridges["click_id"][1]) == [HANDOVER_SECONDS / 60]
    assert f"within {CART_SECONDS / 60:.0f} minutes" in section("What ties a browser to a person")


@pytest.mark.parametrize(
    ("guard", "expected"),
    [
        ("two people who", [SESSION_SECONDS / 60]),
        ("a till or a kiosk", [guards.KIOSK_PERSONS]),
        ("a link that was passed on", [guards.LINK_BROWSERS, guards.LINK_WINDOW_SECONDS / guards.DAY]),
        ("a link that fades", [guards.LINK_LIFE_SECONDS / guards.DAY]),
        ("values of one kind", [guards.IDENTIFIER_LIMITS[kind] for kind in (*_LIMITED, IdentifierKind.KX)]),
        ("one browser claims", [guards.CLAIMS_A_VISITOR]),
        ("one internet address", [guards.CLAIMS_AN_ADDRESS]),
        ("a person gains", [guards.ALARM_BROWSERS, guards.ALARM_WINDOW_SECONDS / guards.DAY]),
    ],
)
def test_the_guards_have_the_guides_numbers(guard: str, expected: list[float]) -> None:
    (number,) = [row[1] for row in rows(section("The guards")) if row[0].startswith(guard)]
    assert numbers(number) == expected


def test_every_kind_has_its_rule_of_uniqueness_and_its_limit_in_the_guide() -> None:
    told = {row[0].strip("`"): row[1] for row in rows(section("Whose a value is"))}
    assert list(told) == list(PRECEDENCE)
    for kind, limit in guards.IDENTIFIER_LIMITS.items():
        assert numbers(told[kind]) == [limit], kind


def test_windows_that_the_guide_tells_in_words_are_those_of_the_code() -> None:
    assert guards.KIOSK_SECONDS == guards.DAY
    assert guards.CLAIM_WINDOW_SECONDS == 3600
    life = section("The life of a tie")
    assert f"more than {guards.LINK_BROWSERS} browsers opened" in life
    assert f"within {guards.LINK_WINDOW_SECONDS / guards.DAY:.0f} days" in life
    assert f"nothing was heard for {guards.LINK_LIFE_SECONDS / guards.DAY:.0f} days" in life


def test_the_measure_is_the_guides() -> None:
    text = " ".join(section("The wrong-person rate").split())
    assert f"at least {FEWEST_LABELS} answers" in text
    assert f"`RELAY_MIN_PRECISION` ({Site(site_id='', write_key='').min_precision:g})" in text
    table = (ROOT / "README.md").read_text()
    limits = ",".join(f"{kind}={limit}" for kind, limit in guards.IDENTIFIER_LIMITS.items())
    (written,) = re.findall(r"\| `RELAY_IDENTIFIER_LIMITS` \| `([^`]+)`", table)
    assert sorted(written.split(",")) == sorted(limits.split(","))


def test_every_ending_of_a_tie_is_worded() -> None:
    """Wherever the code ends a tie, the reason it gives has words."""
    written = {SIGNED_OUT, CONSENT_WITHDRAWN, UNLINKED}
    for path in (ROOT / "relay" / "pipeline").glob("*.py"):
        ends = re.findall(r"(?:untie|unlink|end_evidence)\([^)]*reason=\"(\w+)\"", path.read_text())
        written |= set(ends)
    assert written == set(telling.ENDINGS)
