"""The identity graph: nothing is lost by a merge, an untie takes effect at once, and forgotten means gone."""

from typing import Any

import pytest

from relay.identity.evidence import Evidence
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.traces import Trace, TraceKind
from relay.model import Recipient, Trust
from relay.store.base import Transaction
from relay.store.graph import Graph
from relay.store.links import CONSENT_WITHDRAWN, OPTED_OUT, SIGNED_OUT
from tests.contract.conftest import OpenStore
from tests.factories import NOW

EMAIL, PHONE, CUSTOMER, KLAVIYO, KX = (
    IdentifierKind.EMAIL,
    IdentifierKind.PHONE,
    IdentifierKind.CUSTOMER_ID,
    IdentifierKind.KLAVIYO_ID,
    IdentifierKind.KX,
)


def person(
    graph: Graph, *identifiers: tuple[IdentifierKind, str], trust: Trust = Trust.BROWSER, at: float = NOW
) -> str:
    """A new person with these identifiers."""
    person_id = graph.new_person("shop", at)
    for kind, value in identifiers:
        graph.attach("shop", Identifier(kind, value), person_id, trust=trust, at=at, message_id="m")
    return person_id


def tie(graph: Graph, visitor: str, person_id: str, evidence: Evidence = Evidence.FORM, at: float = NOW) -> None:
    graph.tie("shop", visitor, person_id, evidence, at=at, message_id="m")


# --- identifiers -----------------------------------------------------------------------------------------------------


def test_an_identifier_has_one_owner(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        email = Identifier(EMAIL, "jane@shop.example")
        jane = person(tx.graph, (EMAIL, email.value), (CUSTOMER, "7"))
        (owner,) = tx.graph.owners("shop", [email, Identifier(PHONE, "+49")]).values()
        assert (owner.person_id, owner.has_email, owner.sendable) == (jane, True, True)
        john = person(tx.graph, (EMAIL, email.value))
        assert tx.graph.owners("shop", [email])[email].person_id == john
        assert tx.graph.owners("other", [email]) == {}

    opened.do(work)


def test_the_same_value_of_another_kind_is_another_identifier(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        person(tx.graph, (CUSTOMER, "7"))
        assert tx.graph.owners("shop", [Identifier(PHONE, "7")]) == {}

    opened.do(work)


def test_a_servers_word_is_not_weakened_by_a_browsers(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane = person(tx.graph, (EMAIL, "jane@shop.example"), trust=Trust.SERVER)
        for trust in (Trust.BROWSER, Trust.SERVER, Trust.BROWSER):
            tx.graph.attach(
                "shop", Identifier(EMAIL, "jane@shop.example"), jane, trust=trust, at=NOW + 1, message_id="n"
            )
        person(tx.graph)
        tx.graph.attach(
            "shop", Identifier(EMAIL, "typo@shop.example"), jane, trust=Trust.BROWSER, at=NOW + 9, message_id="o"
        )
        assert tx.graph.recipient("shop", jane) == Recipient(email="jane@shop.example")

    opened.do(work)


RECIPIENTS: list[tuple[str, list[tuple[IdentifierKind, str, Trust, float]], Recipient | None]] = [
    ("nothing", [], None),
    ("customer ID only", [(CUSTOMER, "7", Trust.SERVER, 0)], None),
    ("kx nobody has confirmed", [(KX, "kx", Trust.BROWSER, 0)], None),
    ("kx confirmed", [(KX, "kx", Trust.KLAVIYO, 0)], Recipient(kx="kx")),
    ("email", [(EMAIL, "a@x.example", Trust.BROWSER, 0)], Recipient(email="a@x.example")),
    ("phone", [(PHONE, "+4930123", Trust.BROWSER, 0)], Recipient(phone_number="+4930123")),
    ("the latest of two", [(EMAIL, "old@x.example", Trust.BROWSER, 0), (EMAIL, "new@x.example", Trust.BROWSER, 1)],
     Recipient(email="new@x.example")),
    ("a server's before a later browser's",
     [(EMAIL, "server@x.example", Trust.SERVER, 0), (EMAIL, "browser@x.example", Trust.BROWSER, 1)],
     Recipient(email="server@x.example")),
    ("klaviyo's ID without an email", [(KLAVIYO, "01K", Trust.KLAVIYO, 0), (PHONE, "+4930123", Trust.BROWSER, 0)],
     Recipient(klaviyo_id="01K", phone_number="+4930123")),
    ("email before klaviyo's ID", [(KLAVIYO, "01K", Trust.KLAVIYO, 0), (EMAIL, "a@x.example", Trust.BROWSER, 0)],
     Recipient(email="a@x.example")),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), [row[1:] for row in RECIPIENTS], ids=[row[0] for row in RECIPIENTS])
def test_whom_klaviyo_is_told(
    opened: OpenStore, given: list[tuple[IdentifierKind, str, Trust, float]], expected: Recipient | None
) -> None:
    def work(tx: Transaction) -> None:
        jane = tx.graph.new_person("shop", NOW)
        for kind, value, trust, later in given:
            tx.graph.attach("shop", Identifier(kind, value), jane, trust=trust, at=NOW + later, message_id="m")
        assert tx.graph.recipient("shop", jane) == expected
        assert tx.graph.is_sendable("shop", jane) is (expected is not None)

    opened.do(work)


def test_a_refuted_identifier_reaches_nobody(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        kx = Identifier(KX, "kx")
        jane = person(tx.graph, (KX, "kx"), trust=Trust.KLAVIYO)
        assert not tx.graph.is_refuted("shop", kx)
        tx.graph.refute("shop", kx)
        assert tx.graph.is_refuted("shop", kx)
        assert not tx.graph.is_refuted("other", kx)
        assert tx.graph.recipient("shop", jane) is None

    opened.do(work)


def test_traits_add_up_and_the_latest_value_stays(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane = person(tx.graph, (EMAIL, "jane@shop.example"))
        assert tx.graph.remember_traits("shop", jane, {"firstName": "Jane", "plan": "a", "gone": None}) is True
        assert tx.graph.remember_traits("shop", jane, {"plan": "b"}) is True
        assert tx.graph.remember_traits("shop", jane, {"plan": "b", "firstName": None}) is False
        assert tx.graph.traits("shop", jane) == {"firstName": "Jane", "plan": "b"}
        assert tx.graph.traits("other", jane) == {}

    opened.do(work)


# --- links -----------------------------------------------------------------------------------------------------------


def test_a_link_is_renewed_not_doubled(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane = person(tx.graph, (EMAIL, "jane@shop.example"))
        for at in (NOW, NOW + 10, NOW + 5):
            tie(tx.graph, "browser", jane, at=at)
        (link,) = tx.graph.links("shop", "browser")
        assert (link.person_id, link.evidence, link.first_at, link.last_at) == (jane, Evidence.FORM, NOW, NOW + 10)
        assert link.sendable is True
        assert tx.graph.links("other", "browser") == []

    opened.do(work)


def test_each_evidence_is_a_link_of_its_own(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane = person(tx.graph)
        tie(tx.graph, "browser", jane, Evidence.FORM)
        tie(tx.graph, "browser", jane, Evidence.KX)
        assert {link.evidence for link in tx.graph.links("shop", "browser")} == {Evidence.FORM, Evidence.KX}
        assert tx.graph.visitors_of("shop", jane) == ["browser"]

    opened.do(work)


def test_an_untied_visitor_is_nobodys_at_once_and_can_be_tied_again(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane = person(tx.graph)
        tie(tx.graph, "browser", jane)
        tie(tx.graph, "another", jane)
        tx.graph.untie("shop", "browser", at=NOW + 1, reason="signed_out")
        assert tx.graph.links("shop", "browser") == []
        assert tx.graph.visitors_of("shop", jane) == ["another"]
        tie(tx.graph, "browser", jane, at=NOW + 60)
        (link,) = tx.graph.links("shop", "browser")
        assert link.first_at == NOW + 60  # what was before the end does not count again
        rows = tx.connection.execute("SELECT ended_at, end_reason FROM links WHERE visitor_id = 'browser'").fetchall()
        assert [tuple(row) for row in rows] == [(None, None)]

    opened.do(work)


def test_an_untied_link_stays_in_the_books_with_its_reason(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        tie(tx.graph, "browser", person(tx.graph))
        tx.graph.untie("shop", "browser", at=NOW + 1, reason="signed_out")
        rows = tx.connection.execute("SELECT ended_at, end_reason FROM links").fetchall()
        assert [tuple(row) for row in rows] == [(NOW + 1, "signed_out")]

    opened.do(work)


def test_one_class_of_evidence_can_be_ended_for_a_person(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane = person(tx.graph)
        tie(tx.graph, "a", jane, Evidence.KX)
        tie(tx.graph, "b", jane, Evidence.KX)
        tie(tx.graph, "b", jane, Evidence.FORM)
        tx.graph.end_evidence("shop", jane, Evidence.KX, at=NOW, reason="unknown_link")
        assert tx.graph.links("shop", "a") == []
        assert [link.evidence for link in tx.graph.links("shop", "b")] == [Evidence.FORM]

    opened.do(work)


# --- merges ----------------------------------------------------------------------------------------------------------


def test_a_claim_is_nobodys_place_and_goes_with_its_claimant(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        email, customer, phone = (
            Identifier(EMAIL, "m@shop.example"),
            Identifier(CUSTOMER, "7"),
            Identifier(PHONE, "+49301"),
        )
        mallory = person(tx.graph, (EMAIL, email.value))
        for claimed in (customer, phone):
            tx.graph.claim("shop", claimed, mallory, at=NOW, message_id="m")
        assert tx.graph.claims("shop", mallory, customer)
        assert tx.graph.owners("shop", [customer, phone]) == {}
        assert tx.graph.customer_id("shop", mallory) is None
        assert set(tx.graph.identifiers_of("shop", mallory)) == {email, customer, phone}
        assert tx.graph.recipient("shop", mallory) == Recipient(email=email.value, phone_number=phone.value)
        ann = person(tx.graph, (EMAIL, "ann@shop.example"), (CUSTOMER, "7"), (PHONE, phone.value), trust=Trust.SERVER)
        assert {owner.person_id for owner in tx.graph.owners("shop", [customer, phone]).values()} == {ann}
        assert tx.graph.identifiers_of("shop", mallory) == [email], "a server has said that they are another's"
        assert tx.graph.recipient("shop", mallory) == Recipient(email=email.value)
        tx.graph.forget("shop", mallory)
        assert not tx.graph.claims("shop", mallory, customer)
        assert set(tx.graph.owners("shop", [customer, phone])) == {customer, phone}

    opened.do(work)


def test_a_claimed_number_alone_is_no_address(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        someone = person(tx.graph, (CUSTOMER, "7"))
        tx.graph.claim("shop", Identifier(PHONE, "+49301"), someone, at=NOW, message_id="m")
        assert not tx.graph.is_sendable("shop", someone)
        assert tx.graph.recipient("shop", someone) is None

    opened.do(work)


def test_what_a_browser_was_believed_before_there_were_claims_is_one(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        customer = Identifier(CUSTOMER, "7")
        mallory = person(tx.graph, (EMAIL, "m@shop.example"), (CUSTOMER, "7"))
        assert tx.graph.owners("shop", [customer]) == {}
        ann = person(tx.graph, (EMAIL, "ann@shop.example"), (CUSTOMER, "7"), trust=Trust.SERVER)
        assert tx.graph.owners("shop", [customer])[customer].person_id == ann
        assert tx.graph.claims("shop", mallory, customer)

    opened.do(work)


def chain(graph: Graph) -> tuple[str, str, str]:
    """Three persons, each part of the next."""
    first = person(graph, (EMAIL, "first@shop.example"), at=NOW)
    second = person(graph, (PHONE, "+4930123"), at=NOW + 1)
    third = person(graph, (CUSTOMER, "7"), at=NOW + 2)
    graph.unite("shop", first, second, at=NOW, message_id="m")
    graph.unite("shop", second, third, at=NOW, message_id="m")
    return first, second, third


def test_merged_persons_are_one_by_every_way(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        first, second, third = chain(tx.graph)
        assert {tx.graph.canonical("shop", each) for each in (first, second, third)} == {third}
        assert set(tx.graph.members("shop", third)) == {first, second, third}
        email = Identifier(EMAIL, "first@shop.example")
        owner = tx.graph.owners("shop", [email])[email]
        assert (owner.person_id, owner.has_email) == (third, True)
        assert tx.graph.recipient("shop", third) == Recipient(email="first@shop.example", phone_number="+4930123")
        tie(tx.graph, "browser", first)
        assert tx.graph.links("shop", "browser")[0].person_id == third
        assert tx.graph.visitors_of("shop", third) == ["browser"]
        assert {each.kind for each in tx.graph.identifiers_of("shop", third)} == {EMAIL, PHONE, CUSTOMER}

    opened.do(work)


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        pytest.param((Trust.SERVER, 0), (Trust.SERVER, 9), "own", id="the later one is of who became part of them"),
        pytest.param((Trust.BROWSER, 9), (Trust.SERVER, 0), "others", id="a server's word before a browser's"),
        pytest.param((Trust.BROWSER, 0), (Trust.BROWSER, 9), "own", id="browsers' both"),
    ],
)
def test_a_united_person_is_told_by_their_own_address(
    opened: OpenStore, own: tuple[Trust, float], others: tuple[Trust, float], expected: str
) -> None:
    def work(tx: Transaction) -> None:
        kept, gone = tx.graph.new_person("shop", NOW), tx.graph.new_person("shop", NOW)
        for holder, name, (trust, after) in ((kept, "own", own), (gone, "others", others)):
            email = Identifier(EMAIL, f"{name}@shop.example")
            tx.graph.attach("shop", email, holder, trust=trust, at=NOW + after, message_id="m")
            assert tx.graph.is_told_by_server("shop", email) is (trust is Trust.SERVER)
            assert not tx.graph.is_told_by_server("other", email)
        tx.graph.unite("shop", gone, kept, at=NOW, message_id="m")
        assert tx.graph.recipient("shop", kept) == Recipient(email=f"{expected}@shop.example")

    opened.do(work)


def test_merges_of_another_site_do_not_count(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        first, _, _ = chain(tx.graph)
        assert tx.graph.canonical("other", first) == first
        assert tx.graph.members("other", first) == [first]

    opened.do(work)


def test_a_revoked_merge_parts_them_again_with_all_they_had(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        first, second, third = chain(tx.graph)
        tie(tx.graph, "browser", first)
        tx.connection.execute("UPDATE merges SET revoked_at = ? WHERE source_id = ?", (NOW, first))
        assert tx.graph.canonical("shop", first) == first
        assert set(tx.graph.members("shop", third)) == {second, third}
        assert tx.graph.recipient("shop", first) == Recipient(email="first@shop.example")
        assert tx.graph.recipient("shop", third) == Recipient(phone_number="+4930123")
        assert tx.graph.links("shop", "browser")[0].person_id == first
        tx.graph.unite("shop", first, second, at=NOW + 1, message_id="n")
        assert tx.graph.canonical("shop", first) == third

    opened.do(work)


def test_a_circle_of_merges_comes_to_an_end(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        first, second, third = chain(tx.graph)
        tx.graph.unite("shop", third, first, at=NOW + 1, message_id="m")
        assert tx.graph.canonical("shop", first) in (first, second, third)
        assert set(tx.graph.members("shop", first)) == {first, second, third}

    opened.do(work)


# --- links' recipients -----------------------------------------------------------------------------------------------


def recipient(graph: Graph, kx: str = "kx-1", at: float = NOW) -> str:
    """Whoever opened a link, before Klaviyo has said who that is."""
    return person(graph, (KX, kx), at=at)


def test_who_opened_a_link_is_whom_klaviyo_names_and_nobody_besides(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane, opener = person(tx.graph, (EMAIL, "jane@shop.example")), recipient(tx.graph)
        tie(tx.graph, "browser", opener, Evidence.KX)
        assert tx.graph.fold("shop", opener, jane, at=NOW + 1, message_id="answer")
        assert tx.graph.owners("shop", [Identifier(KX, "kx-1")])[Identifier(KX, "kx-1")].holder_id == jane
        (link,) = tx.graph.links("shop", "browser")
        assert (link.person_id, link.evidence, link.first_at, link.message_id) == (jane, Evidence.KX, NOW, "m")
        assert not tx.graph.is_known("shop", opener)
        assert tx.graph.members("shop", jane) == [jane], "nobody has to be followed"
        assert tx.graph.everybody("shop", jane) == [jane, opener], "what was filed under them is found"
        assert tx.graph.canonical("shop", opener) == jane
        assert tx.history.merges("shop", [jane, opener]) == []
        assert not tx.graph.revoke("shop", opener, jane, at=NOW + 2)

    opened.do(work)


@pytest.mark.parametrize("known", [(EMAIL, "john@shop.example"), (CUSTOMER, "7"), (PHONE, "+4930123")])
def test_whoever_is_known_by_more_than_a_link_is_not_folded(
    opened: OpenStore, known: tuple[IdentifierKind, str]
) -> None:
    def work(tx: Transaction) -> None:
        jane, john = person(tx.graph, (EMAIL, "jane@shop.example")), person(tx.graph, (KX, "kx-1"), known)
        tie(tx.graph, "browser", john, Evidence.KX)
        assert not tx.graph.fold("shop", john, jane, at=NOW, message_id="answer")
        assert tx.graph.links("shop", "browser")[0].person_id == john
        assert tx.graph.everybody("shop", jane) == [jane]

    opened.do(work)


def test_whose_merge_was_taken_back_is_not_folded(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane, opener = person(tx.graph, (EMAIL, "jane@shop.example")), recipient(tx.graph)
        tx.graph.unite("shop", opener, jane, at=NOW, message_id="m")
        assert tx.graph.revoke("shop", opener, jane, at=NOW + 1)
        assert not tx.graph.fold("shop", opener, jane, at=NOW, message_id="late")
        assert tx.graph.canonical("shop", opener) == opener

    opened.do(work)


#: Two links of one browser, the person's and the one that turns out to be theirs too: (first, last, ended, reason), in
#: seconds; what becomes of them.
JOINED = [
    ("both live", (0, 5, None, None), (2, 9, None, None), (0, 9, None, None)),
    ("the older came later", (4, 9, None, None), (1, 2, None, None), (1, 9, None, None)),
    ("signed out, then opened", (0, 5, 6, "signed_out"), (7, 7, None, None), (7, 7, None, None)),
    ("opened before and after", (0, 5, 6, "signed_out"), (4, 7, None, None), (0, 7, None, None)),
    ("cut, then opened anew", (0, 5, 6, "unlinked"), (7, 7, None, None), (7, 7, None, None)),
    ("cut, the old link repeated", (0, 5, 6, "unlinked"), (4, 7, None, None), (0, 5, 6, "unlinked")),
    ("the other had been ended", (0, 5, None, None), (1, 2, 3, "signed_out"), (0, 5, None, None)),
    ("the other had been cut", (0, 5, 6, "signed_out"), (1, 2, 9, "unlinked"), (0, 5, 6, "signed_out")),
    ("both ended", (0, 5, 6, "signed_out"), (1, 8, 9, "consent_withdrawn"), (1, 8, 9, "consent_withdrawn")),
]  # fmt: skip


@pytest.mark.parametrize(("theirs", "other", "joined"), [row[1:] for row in JOINED], ids=[row[0] for row in JOINED])
def test_two_links_of_one_browser_become_one(
    opened: OpenStore, theirs: tuple[Any, ...], other: tuple[Any, ...], joined: tuple[Any, ...]
) -> None:
    def work(tx: Transaction) -> None:
        jane, opener = person(tx.graph, (EMAIL, "jane@shop.example")), recipient(tx.graph)
        for who, (first, last, ended, reason) in ((jane, theirs), (opener, other)):
            tx.connection.execute(
                "INSERT INTO links (site_id, visitor_id, person_id, evidence, first_at, last_at, message_id, ended_at,"
                " end_reason) VALUES ('shop', 'browser', ?, 'kx', ?, ?, 'm', ?, ?)",
                (who, NOW + first, NOW + last, ended and NOW + ended, reason),
            )
        assert tx.graph.fold("shop", opener, jane, at=NOW, message_id="answer")
        (one,) = tx.history.ties("shop", "browser")
        first, last, ended, reason = joined
        assert one.person_id == jane
        assert (one.first_at - NOW, one.last_at - NOW, one.end_reason) == (first, last, reason)
        assert one.ended_at == (ended and NOW + ended)

    opened.do(work)


def test_links_of_other_browsers_and_classes_are_kept_beside(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane, opener = person(tx.graph, (EMAIL, "jane@shop.example")), recipient(tx.graph)
        tie(tx.graph, "laptop", jane)
        tie(tx.graph, "laptop", opener, Evidence.KX)
        tie(tx.graph, "phone", opener, Evidence.KX)
        assert tx.graph.fold("shop", opener, jane, at=NOW, message_id="answer")
        assert {link.evidence for link in tx.graph.links("shop", "laptop")} == {Evidence.FORM, Evidence.KX}
        assert sorted(tx.graph.visitors_of("shop", jane)) == ["laptop", "phone"]

    opened.do(work)


def test_the_oldest_values_give_way(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane = person(tx.graph, (EMAIL, "jane@shop.example"))
        other = person(tx.graph, (KX, "kx-0"), at=NOW - 1)
        tx.graph.unite("shop", other, jane, at=NOW, message_id="m")
        for n in (3, 1, 2):
            tx.graph.attach("shop", Identifier(KX, f"kx-{n}"), jane, trust=Trust.KLAVIYO, at=NOW + n, message_id="m")
        assert tx.graph.keep_newest("shop", jane, KX, 4) == 0
        assert tx.graph.keep_newest("shop", jane, KX, 2) == 2
        kept = {each.value for each in tx.graph.identifiers_of("shop", jane)}
        assert kept == {"jane@shop.example", "kx-2", "kx-3"}

    opened.do(work)


def test_one_browser_of_persons_who_are_one_counts_once(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane, others = (
            person(tx.graph, (EMAIL, "jane@shop.example")),
            [recipient(tx.graph, f"kx-{n}") for n in range(4)],
        )
        for other in others:
            tx.graph.unite("shop", other, jane, at=NOW, message_id="m")
            tie(tx.graph, "browser", other, Evidence.KX)
        assert not tx.graph.is_passed_on("shop", jane)
        assert tx.graph.new_visitors("shop", jane, NOW, at_most=9) == 1
        for n in range(2):
            tie(tx.graph, f"browser-{n}", others[n], Evidence.KX)
        assert tx.graph.is_passed_on("shop", jane)
        assert [tx.graph.new_visitors("shop", jane, NOW, at_most=n) for n in (9, 2)] == [3, 2]
        tie(tx.graph, "browser", jane)
        assert not tx.graph.is_passed_on("shop", jane), "a sign of their own there, whichever of them gave it"

    opened.do(work)


def test_of_many_weak_links_the_newest_are_looked_at_and_every_strong_one(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        jane = person(tx.graph, (EMAIL, "jane@shop.example"))
        tie(tx.graph, "browser", jane, at=NOW - 1)
        for n in range(30):
            tie(tx.graph, "browser", recipient(tx.graph, f"kx-{n}"), Evidence.KX, at=NOW + n)
        links = tx.graph.links("shop", "browser")
        assert [link.person_id for link in links if link.evidence is Evidence.FORM] == [jane]
        weak = [link.last_at - NOW for link in links if link.evidence is Evidence.KX]
        assert sorted(weak) == list(range(10, 30))

    opened.do(work)


# --- forgotten -------------------------------------------------------------------------------------------------------


def test_a_forgotten_person_is_gone(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        first, second, third = chain(tx.graph)
        bystander = person(tx.graph, (EMAIL, "john@shop.example"))
        for visitor, who in (("a", first), ("b", second), ("c", third), ("d", bystander)):
            tie(tx.graph, visitor, who)
            tx.graph.remember_traits("shop", who, {"firstName": visitor})
        folded = recipient(tx.graph)
        assert tx.graph.fold("shop", folded, third, at=NOW, message_id="m")
        tx.graph.forget("shop", third)
        for table in ("persons", "identifiers", "links", "merges"):
            rows = tx.connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - the tests' own names
            assert len(rows) == (0 if table == "merges" else 1), table
            assert all(bystander in tuple(row) for row in rows)

    opened.do(work)


def test_a_person_is_known_to_their_own_site_until_they_are_forgotten(opened: OpenStore) -> None:
    jane = opened.do(lambda tx: tx.graph.new_person("shop", NOW))
    assert opened.do(lambda tx: tx.graph.is_known("shop", jane)) is True
    assert opened.do(lambda tx: tx.graph.is_known("other", jane)) is False
    assert opened.do(lambda tx: tx.graph.is_known("shop", "somebody")) is False
    opened.do(lambda tx: tx.graph.forget("shop", jane))
    assert opened.do(lambda tx: tx.graph.is_known("shop", jane)) is False


# --- for behaviour ---------------------------------------------------------------------------------------------------


def test_who_has_signed_in_here_is_said_by_strong_live_links_alone(opened: OpenStore) -> None:
    def work(tx: Transaction) -> None:
        ann, bob, cleo = (person(tx.graph) for _ in range(3))
        tie(tx.graph, "v", ann)
        tie(tx.graph, "v", bob, Evidence.KX)
        assert tx.graph.signed_in("shop", "v") == {ann}
        tx.graph.unite("shop", ann, cleo, at=NOW, message_id="m")
        assert tx.graph.signed_in("shop", "v") == {cleo}
        tx.graph.untie("shop", "v", at=NOW, reason="unlinked")
        assert tx.graph.signed_in("shop", "v") == set()
        assert tx.graph.was_tied("shop", "v")
        assert not tx.graph.was_tied("shop", "w")

    opened.do(work)


# --- endings ---------------------------------------------------------------------------------------------------------


def test_the_latest_ending_of_each_reason_stays(opened: OpenStore) -> None:
    def end(tx: Transaction) -> None:
        tx.graph.untie("shop", "v", at=NOW, reason=SIGNED_OUT)
        tx.graph.untie("shop", "v", at=NOW - 10, reason=SIGNED_OUT)
        tx.graph.untie("shop", "v", at=NOW + 5, reason=CONSENT_WITHDRAWN)
        tx.graph.mark("shop", "v", at=NOW + 9, reason=OPTED_OUT)

    opened.do(end)
    said = {SIGNED_OUT: NOW, CONSENT_WITHDRAWN: NOW + 5, OPTED_OUT: NOW + 9}
    assert opened.do(lambda tx: tx.graph.endings("shop", "v")) == said
    assert opened.do(lambda tx: tx.graph.ended_at("shop", "v")) == NOW + 5, "to be left alone ends nothing"
    assert opened.do(lambda tx: tx.graph.ended_at("shop", "another")) == 0.0
    assert opened.do(lambda tx: tx.graph.ended_at("other", "v")) == 0.0
    opened.do(lambda tx: tx.graph.unmark("shop", "v", reason=OPTED_OUT))
    assert opened.do(lambda tx: tx.graph.endings("shop", "v")) == {SIGNED_OUT: NOW, CONSENT_WITHDRAWN: NOW + 5}


def test_a_browser_that_is_to_be_left_alone_keeps_the_ties_it_has(opened: OpenStore) -> None:
    def tie(tx: Transaction) -> str:
        person = tx.graph.new_person("shop", NOW)
        tx.graph.mark("shop", "v", at=NOW + 9, reason=OPTED_OUT)
        tx.graph.tie("shop", "v", person, Evidence.FORM, at=NOW, message_id="m")
        return person

    person = opened.do(tie)
    assert [link.person_id for link in opened.do(lambda tx: tx.graph.links("shop", "v"))] == [person]


@pytest.mark.parametrize(
    ("kind", "jar", "is_beside"),
    [
        pytest.param(TraceKind.CLIENT_ID, "pixel", True, id="in the other jar of the same value"),
        pytest.param(TraceKind.CLIENT_ID, "page", False, id="in this jar"),
        pytest.param(TraceKind.CLIENT_ID, "stranger", False, id="in a jar of another value"),
        pytest.param(TraceKind.GA, "pixel", False, id="of a value of another kind"),
    ],
)
def test_a_sign_out_beside_is_one_in_another_jar_with_the_same_value(
    opened: OpenStore, kind: TraceKind, jar: str, is_beside: bool
) -> None:
    def note(tx: Transaction) -> None:
        for visitor, value in (("page", "one"), ("pixel", "one"), ("stranger", "two")):
            trace = Trace(TraceKind.CLIENT_ID, f"client-{value}")
            tx.traces.note("shop", trace, visitor, at=NOW, network=None, browser=None)
        tx.graph.untie("shop", jar, at=NOW, reason=SIGNED_OUT)

    opened.do(note)
    assert opened.do(lambda tx: tx.traces.is_ended_beside("shop", "page", kind)) is is_beside
    assert not opened.do(lambda tx: tx.traces.is_ended_beside("other", "page", kind))
