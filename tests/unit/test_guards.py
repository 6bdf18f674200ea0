"""The guards' numbers at their edges."""

import pytest

from relay.identity.guards import (
    DAY,
    IDENTIFIER_LIMITS,
    KIOSK_PERSONS,
    LINK_BROWSERS,
    LINK_WINDOW_SECONDS,
    has_room,
    is_kiosk,
    is_passed_on,
)
from relay.identity.identifiers import IdentifierKind

NOW = 1_800_000_000.0


def test_a_household_is_no_kiosk() -> None:
    assert not is_kiosk(KIOSK_PERSONS - 1)
    assert is_kiosk(KIOSK_PERSONS)


@pytest.mark.parametrize(
    ("opened", "passed_on"),
    [
        pytest.param([], False, id="by nobody"),
        pytest.param([NOW] * LINK_BROWSERS, False, id="by as many browsers as one person has"),
        pytest.param([NOW] * (LINK_BROWSERS + 1), True, id="by one more at once"),
        pytest.param([NOW + n * LINK_WINDOW_SECONDS for n in range(9)], False, id="by one new browser a week"),
        pytest.param(
            [NOW - 300 * DAY, NOW, NOW + DAY, NOW + 2 * DAY, NOW + 3 * DAY], True, id="by many after a long quiet"
        ),
        pytest.param([NOW + n * DAY for n in range(4)][::-1], True, id="in whatever order it is told"),
    ],
)
def test_links_are_passed_on_when_many_browsers_open_them_within_a_week(opened: list[float], passed_on: bool) -> None:
    assert is_passed_on(opened) is passed_on


def test_every_kind_of_identifier_has_a_limit() -> None:
    assert set(IDENTIFIER_LIMITS) == set(IdentifierKind)
    assert all(limit > 0 for limit in IDENTIFIER_LIMITS.values())


def test_the_sites_own_limit_goes_first() -> None:
    assert has_room(IdentifierKind.EMAIL, 1, {"email": 2})
    assert not has_room(IdentifierKind.EMAIL, 2, {"email": 2})
    assert not has_room(IdentifierKind.EMAIL, IDENTIFIER_LIMITS[IdentifierKind.EMAIL])
    assert has_room(IdentifierKind.PHONE, 1, {"email": 1})
