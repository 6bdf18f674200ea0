"""The rules of resolution as tables: whose an anonymous event is, and whose a waiting one."""

import pytest

from relay.identity.evidence import Evidence, Recognition
from relay.identity.resolve import SESSION_SECONDS, Link, Neighbour, late, resolve, still_said
from relay.model import Reason

NOW = 1_000_000.0
SESSION = SESSION_SECONDS
KX, FORM, SERVER, ORDER = Evidence.KX, Evidence.FORM, Evidence.SERVER, Evidence.ORDER


def link(person: str, evidence: Evidence, ago: float = 0.0, *, sendable: bool = True) -> Link:
    """A link last confirmed ``ago`` seconds before NOW."""
    at = NOW - ago
    return Link(person_id=person, evidence=evidence, first_at=at - 100, last_at=at, message_id="m", sendable=sendable)


# Whose is an anonymous event?


@pytest.mark.parametrize(
    ("links", "person", "reason"),
    [
        pytest.param([], None, Reason.NO_IDENTITY, id="no link"),
        pytest.param([link("A", FORM)], "A", None, id="one person"),
        pytest.param([link("A", FORM, 400 * 86400)], "A", None, id="one person, long ago"),
        pytest.param([link("A", KX)], "A", None, id="one link of a mail"),
        pytest.param([link("A", FORM, 50), link("A", ORDER, 90)], "A", None, id="one person, two signs"),
        pytest.param(
            [link("A", FORM, 86400), link("B", FORM, 60)], "B", None, id="two persons, in the second's session"
        ),
        pytest.param(
            [link("A", FORM, 86400), link("B", FORM, SESSION)], "B", None, id="two persons, session just not over"
        ),
        pytest.param(
            [link("A", FORM, 86400), link("B", FORM, SESSION + 1)],
            None,
            Reason.SHARED_DEVICE,
            id="two persons, session over",
        ),
        pytest.param(
            [link("A", FORM, 60), link("B", ORDER, 60)], None, Reason.SHARED_DEVICE, id="two persons at the same moment"
        ),
        pytest.param(
            [link("A", FORM, 10), link("B", FORM, -60)], None, Reason.SHARED_DEVICE, id="two persons, before the sign"
        ),
        pytest.param(
            [link("A", ORDER, 86400), link("B", FORM, 60)], "B", None, id="the latest sign outdoes the stronger one"
        ),
        pytest.param([link("A", FORM, 86400), link("B", KX, 60)], "A", None, id="a mail's link does not outdo a login"),
        pytest.param([link("A", KX, 86400), link("B", FORM, 86400)], "B", None, id="a login outdoes a mail's link"),
        pytest.param([link("A", KX, 60), link("B", KX, 30)], None, Reason.SHARED_DEVICE, id="two mails' links"),
        pytest.param([link("A", FORM, sendable=False)], "A", Reason.IDENTITY_PENDING, id="a person without an address"),
        pytest.param([link("A", KX, sendable=False)], "A", Reason.IDENTITY_PENDING, id="a link not looked up yet"),
        pytest.param(
            [link("A", KX, sendable=False), link("B", FORM, 86400)], "B", None, id="a link not looked up and a login"
        ),
        pytest.param(
            [link("A", KX, 5, sendable=False), link("B", KX, 9)], "B", None, id="a link looked up and one that is not"
        ),
    ],
)
def test_whose_an_anonymous_event_is(links: list[Link], person: str | None, reason: Reason | None) -> None:
    for order in (links, links[::-1]):
        found = resolve(order, Recognition.COOKIE, NOW)
        assert (found.person_id, found.reason) == (person, reason)


def test_the_strongest_sign_of_the_person_is_named() -> None:
    found = resolve([link("A", FORM, 5), link("A", ORDER, 86400), link("A", KX, 1)], Recognition.COOKIE, NOW)
    assert "reported an order" in found.evidence
    assert found.confidence == 0.99


@pytest.mark.parametrize(
    "links",
    [[], [link("A", FORM, sendable=False)], [link("A", FORM, 9999), link("B", FORM, 8888)]],
    ids=["nobody", "pending", "shared"],
)
def test_what_is_not_decided_has_no_confidence(links: list[Link]) -> None:
    assert resolve(links, Recognition.COOKIE, NOW).confidence == 0.0


# What do the browser's other jars still say?


@pytest.mark.parametrize(
    ("ended_ago", "theirs_ended_ago", "still"),
    [
        pytest.param(None, None, ["A", "B"], id="nobody has signed out"),
        pytest.param(50, None, ["B"], id="here, after one and before the other"),
        pytest.param(100, None, ["B"], id="here, at the moment of the one's sign"),
        pytest.param(10, None, [], id="here, after both"),
        pytest.param(None, 50, ["B"], id="in a third jar"),
        pytest.param(10, 50, [], id="the latest counts"),
    ],
)
def test_a_sign_out_in_one_jar_holds_for_all_of_them(
    ended_ago: float | None, theirs_ended_ago: float | None, still: list[str]
) -> None:
    jars = [
        Neighbour(visitor_id="a", evidence=Evidence.ANALYTICS, links=[link("A", FORM, 100)]),
        Neighbour(visitor_id="b", evidence=Evidence.CLICK, links=[link("B", FORM, 20)]),
        Neighbour(
            visitor_id="c",
            evidence=Evidence.ANALYTICS,
            links=[],
            ended_at=0.0 if theirs_ended_ago is None else NOW - theirs_ended_ago,
        ),
    ]
    said = still_said(jars, 0.0 if ended_ago is None else NOW - ended_ago)
    assert [each.person_id for other in said for each in other.links] == still


# Whose is an earlier, waiting event, once a person has given a sign?


@pytest.mark.parametrize(
    ("links", "person", "ago", "theirs"),
    [
        pytest.param([link("A", FORM)], "A", 13 * 86400, True, id="the only person, however long ago"),
        pytest.param([link("A", KX)], "A", 86400, True, id="the only recipient of a link"),
        pytest.param([link("A", KX), link("B", KX, 9)], "A", 60, False, id="two recipients of links"),
        pytest.param([link("A", FORM), link("B", KX, 9)], "A", 86400, True, id="a login beside a mail's link"),
        pytest.param([link("A", KX), link("B", FORM, 9)], "A", 60, False, id="a mail's link beside a login"),
        pytest.param([link("A", FORM), link("B", FORM, 9)], "A", SESSION, True, id="two persons, within the session"),
        pytest.param([link("A", FORM), link("B", FORM, 9)], "A", SESSION + 1, False, id="two persons, before it"),
        pytest.param([link("A", FORM), link("B", FORM, 9)], "A", -1, False, id="two persons, after the sign"),
        pytest.param([link("B", FORM)], "A", 60, False, id="somebody else"),
        pytest.param([], "A", 60, False, id="nobody"),
    ],
)
def test_whose_a_waiting_event_is(links: list[Link], person: str, ago: float, theirs: bool) -> None:
    assert late(links, person, NOW - ago, NOW) is theirs
