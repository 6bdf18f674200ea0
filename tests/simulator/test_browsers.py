"""The jars of the simulated browsers forget as field practice says; a judge must itself be right."""

import pytest

from tests.simulator.browsers import Browser, Jar, Kind, Shape
from tests.simulator.parameters import DAY, HOUR

YEARS = 2 * 365 * DAY


@pytest.mark.parametrize(
    ("kind", "written_by", "kept", "gone"),
    [
        pytest.param(Kind.SAFARI, "script", 6.9, 7.1, id="Safari, script"),
        pytest.param(Kind.SAFARI, "decorated", 0.9, 1.1, id="Safari, script on a decorated landing page"),
        pytest.param(Kind.SAFARI, Shape.PATH, 399, 401, id="Safari, server"),
        pytest.param(Kind.SAFARI, Shape.SIBLING, 6.9, 7.1, id="Safari, sibling host"),
        pytest.param(Kind.IN_APP, "script", 6.9, 7.1, id="in-app, script"),
        pytest.param(Kind.IN_APP_ANDROID, "script", 399, 401, id="in-app on Android, script"),
        pytest.param(Kind.CHROME, "script", 399, 401, id="Chrome, script"),
        pytest.param(Kind.CHROME, "decorated", 399, 401, id="Chrome, decorated"),
        pytest.param(Kind.CHROME, Shape.SIBLING, 399, 401, id="Chrome, sibling host"),
        pytest.param(Kind.FIREFOX, "script", 399, 401, id="Firefox, script"),
        pytest.param(Kind.BRAVE, "script", 6.9, 7.1, id="Brave, script"),
        pytest.param(Kind.BRAVE, Shape.PATH, 179, 181, id="Brave, server"),
    ],
)
def test_how_long_a_cookie_is_kept(kind: Kind, written_by: Shape | str, kept: float, gone: float) -> None:
    jar = Jar(kind)
    if isinstance(written_by, Shape):
        jar.set_by_server("c", "v", YEARS, 0, written_by)
    else:
        jar.set_by_script("c", "v", YEARS, 0, decorated=written_by == "decorated")
    for day in range(0, int(kept) + 1, 3):  # somebody shops every few days: it is age alone that counts
        jar.touch(day * DAY)
    assert jar.cookie("c", kept * DAY) == "v"
    assert jar.cookie("c", gone * DAY) is None


def test_a_cookie_ends_when_it_was_asked_to() -> None:
    jar = Jar(Kind.CHROME)
    jar.set_by_server("c", "v", HOUR, 0, Shape.PATH)
    assert jar.cookie("c", HOUR - 1) == "v"
    assert jar.cookie("c", HOUR + 1) is None


@pytest.mark.parametrize(("kind", "is_kept"), [(Kind.SAFARI, False), (Kind.CHROME, True), (Kind.BRAVE, True)])
def test_what_scripts_store_goes_after_a_week_without_interaction_in_safari_alone(kind: Kind, is_kept: bool) -> None:
    jar = Jar(kind)
    jar.touch(0)
    jar.storage(0)["mirror"] = "token"
    assert jar.storage(6.9 * DAY) == {"mirror": "token"}
    jar.touch(6.9 * DAY)
    assert jar.storage(13 * DAY) == {"mirror": "token"}
    assert bool(jar.storage(14 * DAY)) is is_kept


def test_a_week_without_interaction_leaves_the_servers_cookie() -> None:
    jar = Jar(Kind.SAFARI)
    jar.touch(0)
    jar.set_by_server("ours", "v", YEARS, 0, Shape.PATH)
    jar.set_by_script("theirs", "v", YEARS, 0)
    assert jar.cookies(8 * DAY, of_server=True) == {"ours": "v"}
    assert jar.cookies(8 * DAY, of_server=False) == {}


@pytest.mark.parametrize(
    ("kind", "traits", "gone"),
    [
        (Kind.BRAVE, {}, {"_kx", "fbclid", "gclid", "srsltid"}),
        (Kind.FIREFOX, {}, set()),
        (Kind.FIREFOX, {"is_strict": True}, {"fbclid", "gclid"}),
        (Kind.FIREFOX, {"is_private": True}, {"fbclid", "gclid"}),
        (Kind.SAFARI, {}, set()),
        (Kind.SAFARI, {"is_private": True}, {"fbclid", "gclid", "srsltid"}),
        (Kind.CHROME, {"is_private": True}, set()),
    ],
)
def test_which_parameters_never_arrive(kind: Kind, traits: dict[str, bool], gone: set[str]) -> None:
    assert Browser("b", kind, "ua", **traits).strips() == gone
