"""The token of our own links: names one person of one site, cannot be made by others, ends, and changes seldom."""

import pytest

from relay.identity.cookie import VisitorTokens
from relay.identity.link_token import LinkTokens, Opened
from tests.factories import DAY, NOW
from tests.fakes.clock import FakeClock

PERSON = "0f" * 16
LIFETIME = 30 * DAY


def tokens(*keys: str, site_id: str = "shop") -> LinkTokens:
    return LinkTokens(keys or ("key",), site_id, LIFETIME)


def test_a_token_names_its_person() -> None:
    token = tokens().token(PERSON, NOW)
    assert tokens().read(token, NOW) == Opened(PERSON, is_expired=False)


def test_a_token_reveals_nothing_but_a_random_id() -> None:
    person, issued, signature = tokens().token(PERSON, NOW).split(".")
    assert person == PERSON
    assert int(issued, 16) <= NOW
    assert len(signature) == 43
    assert len(tokens().token(PERSON, NOW)) < 100


def test_a_token_stays_the_same_for_half_of_its_time() -> None:
    """A profile's property that changed with every event would be noise."""
    half = LIFETIME / 2
    start = NOW // half * half
    assert tokens().token(PERSON, start) == tokens().token(PERSON, start + half - 1)
    assert tokens().token(PERSON, start) != tokens().token(PERSON, start + half)


@pytest.mark.parametrize("day", range(15))
def test_a_token_is_good_for_half_of_its_time_at_least_and_never_longer_than_all(day: int) -> None:
    made = NOW + day * DAY
    token = tokens().token(PERSON, made)
    assert tokens().read(token, made + LIFETIME / 2 - 1) == Opened(PERSON, is_expired=False)
    assert tokens().read(token, made + LIFETIME) == Opened(PERSON, is_expired=True)


@pytest.mark.parametrize(
    "forged",
    [
        "",
        ".",
        "..",
        PERSON,
        f"{PERSON}.69781f00",
        tokens("another key").token(PERSON, NOW),
        tokens(site_id="another").token(PERSON, NOW),
        tokens().token(PERSON, NOW)[:-1],
        tokens().token(PERSON, NOW).replace("0f", "1f", 1),
        VisitorTokens(["key"], "shop", FakeClock()).cookie(PERSON, int(NOW)),
        VisitorTokens(["key"], "shop", FakeClock()).mirror(PERSON, int(NOW)),
        VisitorTokens(["key"], "shop", FakeClock()).handle(PERSON, int(NOW)),
        "é" * 20,
        "\ud800",
    ],
    ids=repr,
)
def test_what_is_not_ours_is_nobodys(forged: str) -> None:
    assert tokens().read(forged, NOW) is None


def test_a_token_of_an_older_key_counts_while_the_key_is_listed() -> None:
    old = tokens("old").token(PERSON, NOW)
    assert tokens("new", "old").read(old, NOW) == Opened(PERSON, is_expired=False)
    assert tokens("new").read(old, NOW) is None
    assert tokens("new", "old").token(PERSON, NOW) == tokens("new").token(PERSON, NOW)
