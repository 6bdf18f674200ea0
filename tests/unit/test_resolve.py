"""The rules of resolution as tables: whose an anonymous event is, whose a waiting one, and what a claim changes."""

import pytest

from relay.identity.evidence import Evidence, Recognition
from relay.identity.identifiers import PRECEDENCE, Identifier, IdentifierKind
from relay.identity.resolve import SESSION_SECONDS, Link, Neighbour, Owner, Plan, late, plan, resolve, still_said
from relay.model import Reason, Trust

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


# What claims change

EMAIL = Identifier(IdentifierKind.EMAIL, "ann@mail.com")
PHONE = Identifier(IdentifierKind.PHONE, "+12025550123")
CUSTOMER = Identifier(IdentifierKind.CUSTOMER_ID, "7")
LINK = Identifier(IdentifierKind.KX, "kx")
PROFILE = Identifier(IdentifierKind.KLAVIYO_ID, "01A")


def owner(person: str, *, email: bool = False, sendable: bool | None = None, confirmed: bool = True) -> Owner:
    """``sendable`` unless told: who has an e-mail address is."""
    return Owner(
        person_id=person, has_email=email, sendable=email if sendable is None else sendable, is_confirmed=confirmed
    )


ANN = owner("ann", email=True)
BOB = owner("bob", email=True)
ID_ONLY = owner("id")
#: What a browser alone has named: an ID, a number.
ID_HEARD = owner("id", confirmed=False)
PHONE_ONLY = owner("phone", sendable=True, confirmed=False)
LINK_ONLY = owner("link")

Case = tuple[list[Identifier], dict[Identifier, Owner], Plan]


def case(
    name: str,
    claimed: list[Identifier],
    owners: dict[Identifier, Owner],
    person: str | None,
    attach: list[Identifier],
    unite: tuple[str, ...] = (),
    claim: tuple[Identifier, ...] = (),
) -> object:
    planned = Plan(person_id=person, attach=tuple(attach), unite=unite, claim=claim)
    return pytest.param(claimed, owners, planned, id=name)


BROWSER = [
    case("nobody known", [EMAIL, CUSTOMER, PHONE], {}, None, [EMAIL], claim=(CUSTOMER, PHONE)),
    case("known address", [EMAIL], {EMAIL: ANN}, "ann", [EMAIL]),
    case(
        "known address, new ID and number",
        [EMAIL, CUSTOMER, PHONE],
        {EMAIL: ANN},
        "ann",
        [EMAIL],
        claim=(CUSTOMER, PHONE),
    ),
    case(
        "known address, its own ID and number",
        [EMAIL, CUSTOMER, PHONE],
        {EMAIL: ANN, CUSTOMER: ANN, PHONE: ANN},
        "ann",
        [EMAIL, CUSTOMER, PHONE],
    ),
    case("known address, another's ID", [EMAIL, CUSTOMER], {EMAIL: ANN, CUSTOMER: BOB}, "ann", [EMAIL]),
    case("known address, another's number", [EMAIL, PHONE], {EMAIL: ANN, PHONE: BOB}, "ann", [EMAIL]),
    case(
        "known address, an ID alone",
        [EMAIL, CUSTOMER],
        {EMAIL: ANN, CUSTOMER: ID_ONLY},
        "ann",
        [EMAIL],
        claim=(CUSTOMER,),
    ),
    case("new address, a server's ID alone", [EMAIL, CUSTOMER], {CUSTOMER: ID_ONLY}, None, [EMAIL], claim=(CUSTOMER,)),
    case("new address, an ID alone", [EMAIL, CUSTOMER], {CUSTOMER: ID_HEARD}, None, [EMAIL], claim=(CUSTOMER,)),
    case("new address, another's ID", [EMAIL, CUSTOMER], {CUSTOMER: BOB}, None, [EMAIL]),
    case("new address, known number", [EMAIL, PHONE], {PHONE: PHONE_ONLY}, None, [EMAIL], claim=(PHONE,)),
    case("new address, another's number", [EMAIL, PHONE], {PHONE: ANN}, None, [EMAIL]),
    case("known ID", [CUSTOMER], {CUSTOMER: BOB}, "bob", [CUSTOMER]),
    case("an ID heard before", [CUSTOMER], {CUSTOMER: ID_HEARD}, "id", [CUSTOMER]),
    case("an ID a server has named alone", [CUSTOMER], {CUSTOMER: ID_ONLY}, "id", [CUSTOMER]),
    case("known ID, new number", [CUSTOMER, PHONE], {CUSTOMER: BOB}, "bob", [CUSTOMER], claim=(PHONE,)),
    case("known ID, another's number", [CUSTOMER, PHONE], {CUSTOMER: BOB, PHONE: ANN}, "bob", [CUSTOMER]),
    case("new ID, new number", [CUSTOMER, PHONE], {}, None, [PHONE], claim=(CUSTOMER,)),
    case("new ID, known number", [CUSTOMER, PHONE], {PHONE: PHONE_ONLY}, "phone", [PHONE], claim=(CUSTOMER,)),
    case("an ID alone, new number", [CUSTOMER, PHONE], {CUSTOMER: ID_ONLY}, None, [PHONE], claim=(CUSTOMER,)),
    case("new ID, another's number", [CUSTOMER, PHONE], {PHONE: ANN}, None, [CUSTOMER]),
    case("known number alone", [PHONE], {PHONE: ANN}, "ann", [PHONE]),
    case("new number alone", [PHONE], {}, None, [PHONE]),
]


@pytest.mark.parametrize(("claimed", "owners", "planned"), BROWSER)
def test_what_a_browsers_claim_changes(
    claimed: list[Identifier], owners: dict[Identifier, Owner], planned: Plan
) -> None:
    assert plan(claimed, owners, Trust.BROWSER) == planned


@pytest.mark.parametrize(("claimed", "owners", "planned"), BROWSER)
def test_a_browsers_claim_takes_nothing_and_unites_nobody(
    claimed: list[Identifier], owners: dict[Identifier, Owner], planned: Plan
) -> None:
    assert planned.unite == ()
    for identifier in planned.attach:
        owner = owners.get(identifier)
        assert owner is None or owner.person_id == planned.person_id


@pytest.mark.parametrize(("claimed", "owners", "planned"), BROWSER)
def test_a_browser_gives_nobody_an_id_or_a_number_beside_an_address(
    claimed: list[Identifier], owners: dict[Identifier, Owner], planned: Plan
) -> None:
    beside = [i for i in planned.attach if i.kind is not IdentifierKind.EMAIL and EMAIL in claimed]
    assert all(owners[i].is_confirmed and owners[i].person_id == planned.person_id for i in beside)


SERVER_CASES = [
    case("nobody known", [EMAIL, CUSTOMER, PHONE], {}, None, [EMAIL, CUSTOMER, PHONE]),
    case("known address", [EMAIL], {EMAIL: ANN}, "ann", [EMAIL]),
    case("known address, second ID", [EMAIL, CUSTOMER], {EMAIL: ANN}, "ann", [EMAIL, CUSTOMER]),
    case("known address, another's ID moves", [EMAIL, CUSTOMER], {EMAIL: ANN, CUSTOMER: BOB}, "ann", [EMAIL, CUSTOMER]),
    case(
        "known address, an ID alone is united",
        [EMAIL, CUSTOMER],
        {EMAIL: ANN, CUSTOMER: ID_ONLY},
        "ann",
        [EMAIL, CUSTOMER],
        ("id",),
    ),
    case("a change of address", [EMAIL, CUSTOMER], {CUSTOMER: BOB}, "bob", [EMAIL, CUSTOMER]),
    case("an address for an ID", [EMAIL, CUSTOMER], {CUSTOMER: ID_ONLY}, "id", [EMAIL, CUSTOMER]),
    case("an address for an ID that a browser named", [EMAIL, CUSTOMER], {CUSTOMER: ID_HEARD}, "id", [EMAIL, CUSTOMER]),
    case(
        "known address, an ID that a browser named is united",
        [EMAIL, CUSTOMER],
        {EMAIL: ANN, CUSTOMER: ID_HEARD},
        "ann",
        [EMAIL, CUSTOMER],
        ("id",),
    ),
    case("known address, another's number stays", [EMAIL, PHONE], {EMAIL: ANN, PHONE: BOB}, "ann", [EMAIL]),
    case("new address, another's number stays", [EMAIL, PHONE], {PHONE: BOB}, None, [EMAIL]),
    case("new address, a number alone stays", [EMAIL, PHONE], {PHONE: PHONE_ONLY}, None, [EMAIL]),
    case("new ID, another's number stays", [CUSTOMER, PHONE], {PHONE: BOB}, None, [CUSTOMER]),
    case("known number alone", [PHONE], {PHONE: ANN}, "ann", [PHONE]),
    case("a link's recipient is known", [EMAIL, LINK], {EMAIL: ANN, LINK: LINK_ONLY}, "ann", [EMAIL, LINK], ("link",)),
    case("a link's recipient is new", [EMAIL, PROFILE, LINK], {LINK: LINK_ONLY}, "link", [EMAIL, PROFILE, LINK]),
    case(
        "a profile with a new address",
        [EMAIL, PROFILE, LINK],
        {PROFILE: owner("old", sendable=True), LINK: LINK_ONLY},
        "old",
        [EMAIL, PROFILE, LINK],
        ("link",),
    ),
]


@pytest.mark.parametrize("trust", [Trust.SERVER, Trust.KLAVIYO])
@pytest.mark.parametrize(("claimed", "owners", "planned"), SERVER_CASES)
def test_what_a_servers_claim_changes(
    claimed: list[Identifier], owners: dict[Identifier, Owner], planned: Plan, trust: Trust
) -> None:
    assert plan(claimed, owners, trust) == planned


@pytest.mark.parametrize(("claimed", "owners", "planned"), SERVER_CASES)
def test_a_servers_claim_unites_nobody_who_has_an_address(
    claimed: list[Identifier], owners: dict[Identifier, Owner], planned: Plan
) -> None:
    by_id = {known.person_id: known for known in owners.values()}
    assert all(not by_id[united].sendable for united in planned.unite)


def test_the_tables_claims_stand_in_the_order_of_precedence() -> None:
    for parameters in (*BROWSER, *SERVER_CASES):
        claimed: list[Identifier] = parameters.values[0]  # type: ignore[attr-defined]
        assert [c.kind for c in claimed] == sorted([c.kind for c in claimed], key=PRECEDENCE.index)
