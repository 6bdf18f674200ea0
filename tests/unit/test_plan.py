"""The rules of ownership as tables: what a claim changes, a browser's and a server's."""

import pytest

from relay.identity.identifiers import PRECEDENCE, Identifier, IdentifierKind
from relay.identity.plan import Owner, Plan, plan
from relay.model import Trust

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
