"""Sketches and suspicions: noted once, counted right, found by what is rare, and gone when they must be."""

import pytest

from relay.identity.behaviour import BLOCK_SECONDS, BLOCKS, CANDIDATES, MOST_ITEMS, Feature, Item
from relay.identity.evidence import Evidence
from relay.store.base import Transaction
from relay.store.retention import keep_house
from relay.store.sketches import NOTE_EVERY_SECONDS, SKETCH_SECONDS, Suspicion
from tests import factories
from tests.contract.conftest import OpenStore
from tests.factories import DAY, NOW

HOME = Item(Feature.NETWORK, b"home")
SAFARI = Item(Feature.BROWSER, b"safari")
LAMP, SOFA = Item(Feature.PRODUCTS, b"lamp"), Item(Feature.PRODUCTS, b"sofa")
CARTED = Item(Feature.CART, b"lamp")


def note(opened: OpenStore, visitor: str, *items: Item, at: float = NOW, site: str = "shop") -> bool:
    return opened.do(lambda tx: tx.sketches.note(site, visitor, items, at=at))


def sketch(opened: OpenStore, visitor: str, site: str = "shop") -> dict[Item, int]:
    return opened.do(lambda tx: tx.sketches.items(site, visitor))


def known(opened: OpenStore, visitor: str, *items: Item, at: float = NOW, person: str = "ann") -> None:
    """A visitor in whose browser somebody has signed in."""

    def tie(tx: Transaction) -> None:
        tx.sketches.note("shop", visitor, items, at=at)
        tx.graph.tie("shop", visitor, person, Evidence.FORM, at=at, message_id="m")

    opened.do(tie)


def candidates(opened: OpenStore, visitor: str, at: float = NOW) -> list[str]:
    def find(tx: Transaction) -> list[str]:
        return tx.sketches.candidates("shop", visitor, tx.sketches.items("shop", visitor), at=at)

    return opened.do(find)


def suspicion(visitor: str = "stranger", **changes: object) -> Suspicion:
    given = {"person_id": "ann", "other_id": "hers", "probability": 0.9, "weights": {Feature.NETWORK: 4.5}, "at": NOW}
    return Suspicion(visitor_id=visitor, **(given | changes))  # type: ignore[arg-type]


def suspect(opened: OpenStore, *found: Suspicion) -> None:
    for one in found:
        opened.do(lambda tx, one=one: tx.sketches.suspect("shop", one))  # type: ignore[misc]


def suspected(opened: OpenStore) -> list[Suspicion]:
    return opened.do(lambda tx: tx.sketches.suspicions("shop"))


# --- sketches --------------------------------------------------------------------------------------------------------


def test_a_value_is_new_once_and_counted_once_for_each_visitor(opened: OpenStore) -> None:
    assert note(opened, "a", HOME, SAFARI)
    assert not note(opened, "a", HOME, SAFARI)
    assert note(opened, "a", HOME, LAMP, LAMP)
    assert note(opened, "b", HOME)
    assert sketch(opened, "a") == {HOME: 2, SAFARI: 1, LAMP: 1}
    assert sketch(opened, "b") == {HOME: 2}
    assert sketch(opened, "nobody") == {}
    assert opened.do(lambda tx: tx.sketches.model("shop")).visitors == 2
    assert sketch(opened, "a", "other") == {}


def test_a_visitor_that_shows_nothing_is_still_counted(opened: OpenStore) -> None:
    note(opened, "a")
    assert opened.do(lambda tx: tx.sketches.model("shop")).visitors == 1


def test_only_so_many_values_of_a_feature_are_kept(opened: OpenStore) -> None:
    products = [Item(Feature.PRODUCTS, bytes([n])) for n in range(MOST_ITEMS[Feature.PRODUCTS] + 5)]
    assert note(opened, "a", *products)
    assert not note(opened, "a", products[-1])
    assert note(opened, "a", HOME), "another feature has room of its own"
    assert len(sketch(opened, "a")) == MOST_ITEMS[Feature.PRODUCTS] + 1


def test_a_code_holds_no_value_and_differs_by_feature_and_site(opened: OpenStore) -> None:
    def codes(tx: Transaction) -> set[bytes]:
        places = [("shop", Feature.CART), ("shop", Feature.PRODUCTS), ("other", Feature.CART)]
        assert tx.sketches.code(*places[0], "lamp") == tx.sketches.code(*places[0], "lamp")
        return {tx.sketches.code(*place, "lamp") for place in places}

    assert sorted(map(len, opened.do(codes))) == [8, 8, 8]


# --- candidates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "found"),
    [
        pytest.param([HOME], True, id="a network"),
        pytest.param([CARTED], True, id="a cart"),
        pytest.param([LAMP, SOFA], True, id="a set of rare products"),
        pytest.param([LAMP], False, id="one product"),
        pytest.param([SAFARI], False, id="a browser"),
        pytest.param([SAFARI, LAMP], False, id="a browser and a product"),
    ],
)
def test_what_brings_two_visitors_together(opened: OpenStore, items: list[Item], found: bool) -> None:
    note(opened, "stranger", *items)
    known(opened, "hers", *items)
    assert candidates(opened, "stranger") == (["hers"] if found else [])


def test_only_visitors_with_a_link_are_candidates(opened: OpenStore) -> None:
    for visitor in ("stranger", "another"):
        note(opened, visitor, HOME)
    known(opened, "hers", HOME)
    opened.do(lambda tx: tx.graph.untie("shop", "hers", at=NOW, reason="unlinked"))
    assert candidates(opened, "stranger") == []


def test_a_value_of_many_visitors_brings_nobody(opened: OpenStore) -> None:
    note(opened, "stranger", HOME)
    known(opened, "hers", HOME)
    for n in range(BLOCKS[Feature.NETWORK] - 2):
        note(opened, f"colleague {n}", HOME)
    assert candidates(opened, "stranger") == ["hers"]
    note(opened, "one more", HOME)
    assert candidates(opened, "stranger") == []


def test_candidates_are_bounded_and_those_of_long_ago_are_none(opened: OpenStore) -> None:
    note(opened, "stranger", HOME, at=NOW)
    for n in range(CANDIDATES + 3):
        known(opened, f"hers {n:02}", HOME, at=NOW - n)
    assert candidates(opened, "stranger") == [f"hers {n:02}" for n in range(CANDIDATES)]
    assert candidates(opened, "stranger", at=NOW + BLOCK_SECONDS + 1) == []


def test_another_visitor_is_found_wherever_one_stands_in_the_order(opened: OpenStore) -> None:
    note(opened, "b", HOME)
    assert opened.do(lambda tx: tx.sketches.another("shop", "b")) is None
    note(opened, "a")
    note(opened, "c", site="other")
    assert opened.do(lambda tx: tx.sketches.another("shop", "b")) == "a"
    assert opened.do(lambda tx: tx.sketches.another("shop", "a")) == "b"


# --- what was learned ------------------------------------------------------------------------------------------------


def test_pairs_are_counted_by_feature_and_truth(opened: OpenStore) -> None:
    def learn(tx: Transaction) -> None:
        for shared in ({HOME}, set[Item](), {HOME}):
            tx.sketches.learn("shop", {Feature.NETWORK: shared}, is_same=True)
        tx.sketches.learn("shop", {Feature.NETWORK: set(), Feature.BROWSER: {SAFARI}}, is_same=False)
        tx.sketches.learn("other", {Feature.NETWORK: {HOME}}, is_same=False)

    opened.do(learn)
    assert opened.do(lambda tx: tx.sketches.model("shop")).pairs == {
        (Feature.NETWORK, True): (2, 3),
        (Feature.NETWORK, False): (0, 1),
        (Feature.BROWSER, False): (1, 1),
    }


# --- suspicions ------------------------------------------------------------------------------------------------------


def test_a_visitor_has_one_suspicion_and_the_latest_stands(opened: OpenStore) -> None:
    known(opened, "hers", HOME)
    suspect(opened, suspicion(), suspicion(person_id="bob", probability=0.97, at=NOW + 1))
    (found,) = suspected(opened)
    assert found == suspicion(person_id="bob", probability=0.97, at=NOW + 1)
    assert found.words == "was on the same network (+4.5)"


def test_a_verdict_stands(opened: OpenStore) -> None:
    known(opened, "hers", HOME)
    suspect(opened, suspicion())
    opened.do(lambda tx: tx.sketches.judge("shop", "stranger", "right"))
    suspect(opened, suspicion(person_id="bob"))
    opened.do(lambda tx: tx.sketches.acquit("shop", "stranger"))
    (found,) = suspected(opened)
    assert (found.person_id, found.verdict) == ("ann", "right")
    assert opened.do(lambda tx: tx.sketches.suspicion("shop", "stranger")) == found


def test_what_is_no_longer_probable_goes(opened: OpenStore) -> None:
    known(opened, "hers", HOME)
    suspect(opened, suspicion())
    opened.do(lambda tx: tx.sketches.acquit("shop", "stranger"))
    assert suspected(opened) == []


def test_the_newest_are_shown_first_and_only_while_the_known_browser_is_tied(opened: OpenStore) -> None:
    known(opened, "hers", HOME)
    known(opened, "his", HOME, person="bob")
    suspect(opened, suspicion("a", at=NOW), suspicion("b", at=NOW + 1), suspicion("c", other_id="his"))
    assert [one.visitor_id for one in suspected(opened)] == ["b", "a", "c"]
    opened.do(lambda tx: tx.graph.untie("shop", "his", at=NOW, reason="unlinked"))
    assert [one.visitor_id for one in suspected(opened)] == ["b", "a"]
    assert [one.visitor_id for one in opened.do(lambda tx: tx.sketches.suspicions("shop", limit=1))] == ["b"]


# --- forgetting ------------------------------------------------------------------------------------------------------


def test_a_forgotten_visitor_leaves_nothing_and_takes_what_was_derived_along(opened: OpenStore) -> None:
    known(opened, "hers", HOME, SAFARI)
    note(opened, "stranger", HOME)
    suspect(opened, suspicion(), suspicion("hers", person_id="bob", other_id="his"))
    opened.do(lambda tx: tx.sketches.forget("shop", visitors=["hers"]))
    assert sketch(opened, "hers") == {}
    assert sketch(opened, "stranger") == {HOME: 1}
    assert opened.do(lambda tx: tx.sketches.model("shop")).visitors == 1
    for visitor in ("stranger", "hers"):
        assert opened.do(lambda tx, v=visitor: tx.sketches.suspicion("shop", v)) is None  # type: ignore[misc]
    opened.do(lambda tx: tx.sketches.forget("shop", visitors=["hers", "nobody"]))
    assert sketch(opened, "stranger") == {HOME: 1}


def test_suspicions_of_a_forgotten_person_go(opened: OpenStore) -> None:
    known(opened, "hers", HOME)
    known(opened, "his", HOME, person="bob")
    suspect(opened, suspicion("a"), suspicion("b", person_id="bob", other_id="his"))
    opened.do(lambda tx: tx.sketches.forget("shop", persons=["ann"]))
    assert [one.visitor_id for one in suspected(opened)] == ["b"]


def test_sketches_and_suspicions_go_after_a_month_without_a_sign(opened: OpenStore) -> None:
    assert SKETCH_SECONDS == 30 * DAY
    known(opened, "hers", HOME)
    note(opened, "stranger", HOME, SAFARI)
    suspect(opened, suspicion())
    note(opened, "hers", HOME, at=NOW + NOTE_EVERY_SECONDS + 1)
    note(opened, "elsewhere", HOME, site="other")
    opened.run(keep_house(opened.store, factories.site(), NOW + SKETCH_SECONDS))
    assert sketch(opened, "stranger") == {HOME: 2, SAFARI: 1}
    opened.run(keep_house(opened.store, factories.site(), NOW + SKETCH_SECONDS + 1))
    assert sketch(opened, "stranger") == {}
    assert sketch(opened, "hers") == {HOME: 1}
    assert suspected(opened) == []
    assert opened.do(lambda tx: tx.sketches.model("shop")).visitors == 1
    assert sketch(opened, "elsewhere", "other") == {HOME: 1}
    assert terms(opened) == [1, 1], "what nobody has is not counted any more"


def test_what_a_visitor_has_not_shown_for_a_month_goes_when_they_come_again(opened: OpenStore) -> None:
    note(opened, "a", HOME, LAMP)
    note(opened, "a", HOME, at=NOW + 20 * DAY)
    note(opened, "a", HOME, at=NOW + 31 * DAY)
    assert sketch(opened, "a") == {HOME: 1}
    assert terms(opened) == [1, 1]


def terms(opened: OpenStore) -> list[int]:
    """How many visitors have each value of the shop's."""
    rows = opened.do(lambda tx: tx.connection.execute("SELECT n FROM terms WHERE site_id = 'shop'").fetchall())
    return [row[0] for row in rows]
