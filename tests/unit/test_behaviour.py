"""Behaviour: the weights as tables, and what holds of every score."""

from collections.abc import Mapping
from math import log2
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.identity import behaviour
from relay.identity.behaviour import (
    LEAST_LEAD,
    PRIOR_LABELS,
    PRIORS,
    Candidate,
    Feature,
    Item,
    Model,
    band,
    compare,
    in_words,
    items,
    probability,
    score,
    suspect,
    weights,
)
from relay.model import Commerce, Kind, Product

HOME, OFFICE = Item(Feature.NETWORK, b"home"), Item(Feature.NETWORK, b"office")
SAFARI, CHROME = Item(Feature.BROWSER, b"safari"), Item(Feature.BROWSER, b"chrome")
LAMP, SOFA = Item(Feature.PRODUCTS, b"lamp"), Item(Feature.PRODUCTS, b"sofa")
CARTED = Item(Feature.CART, b"lamp")
FEW = 900  # visitors, so that with the assumed ones there are 1,000


def bits(mine: set[Item], theirs: set[Item], seen: Mapping[Item, int], model: Model) -> float:
    return score(weights(compare(mine, theirs), seen, model), model)


# The model


def test_the_assumptions_stand_until_there_are_labels_and_give_way_to_them() -> None:
    assert {feature: (Model().m(feature), Model().u(feature)) for feature in Feature} == {
        feature: pytest.approx((prior.m, prior.u)) for feature, prior in PRIORS.items()
    }
    pairs = {(Feature.BROWSER, True): (900, 1000), (Feature.BROWSER, False): (10, 1000)}
    learned = Model(visitors=FEW, pairs=pairs)
    assert learned.m(Feature.BROWSER) == pytest.approx((900 + PRIOR_LABELS * 0.3) / (1000 + PRIOR_LABELS))
    assert learned.u(Feature.BROWSER) == pytest.approx((10 + PRIOR_LABELS * 0.02) / (1000 + PRIOR_LABELS))
    assert learned.m(Feature.NETWORK) == PRIORS[Feature.NETWORK].m


def test_a_label_moves_the_assumption_only_so_far() -> None:
    once = Model(pairs={(Feature.BROWSER, True): (0, 1)})
    assert PRIORS[Feature.BROWSER].m * 0.9 < once.m(Feature.BROWSER) < PRIORS[Feature.BROWSER].m


def test_the_more_visitors_the_less_probable_any_one_of_them() -> None:
    assert Model(visitors=FEW).prior == pytest.approx(log2(0.0005 / 0.9995))
    assert Model(visitors=10_000).prior < Model(visitors=FEW).prior


@pytest.mark.parametrize(("score_bits", "chance"), [(0, 0.5), (1, 2 / 3), (-1, 1 / 3), (10, 1024 / 1025), (-5000, 0.0)])
def test_bits_are_log2_odds(score_bits: float, chance: float) -> None:
    assert probability(score_bits) == pytest.approx(chance, abs=1e-9)


# Weights


def test_an_agreement_weighs_by_how_rare_the_value_is() -> None:
    model = Model(visitors=FEW)
    found = {n: weights({Feature.NETWORK: {HOME}}, {HOME: n}, model)[Feature.NETWORK] for n in (2, 20, 200, 900)}
    # m / frequency, and the frequency is (n + 100 * u) / (900 + 100).
    assert found[2] == pytest.approx(log2(0.5 / 0.00205))
    assert found[200] == pytest.approx(log2(0.5 / 0.20005))
    assert found[2] > found[20] > found[200] > found[900]
    assert found[900] == 0.0, "what everybody has speaks neither for nor against"


def test_a_disagreement_weighs_against_and_what_is_missing_does_not() -> None:
    model = Model(visitors=FEW)
    differ = weights(compare({HOME, SAFARI}, {OFFICE, SAFARI}), {SAFARI: 2}, model)
    assert differ[Feature.NETWORK] == pytest.approx(log2(0.5 / 0.9995))
    assert set(weights(compare({HOME, SAFARI}, {SAFARI, LAMP}), {SAFARI: 2}, model)) == {Feature.BROWSER}


def test_the_weights_add_up_to_the_prior() -> None:
    model = Model(visitors=FEW)
    seen = {HOME: 2, SAFARI: 50}
    expected = log2(0.0005 / 0.9995) + log2(0.5 / 0.00205) + log2(0.3 / 0.052)
    assert bits({HOME, SAFARI}, {HOME, SAFARI}, seen, model) == pytest.approx(expected)


def test_each_further_value_of_a_feature_counts_half() -> None:
    model = Model(visitors=FEW)
    one = weights({Feature.PRODUCTS: {LAMP}}, {LAMP: 9}, model)[Feature.PRODUCTS]
    two = weights({Feature.PRODUCTS: {LAMP, SOFA}}, {LAMP: 9, SOFA: 9}, model)[Feature.PRODUCTS]
    assert two == pytest.approx(1.5 * one)


def test_products_and_cart_are_one_interest_and_count_once() -> None:
    model = Model(visitors=FEW)
    seen = {LAMP: 9, CARTED: 2}
    apart = [weights({item.feature: {item}}, seen, model)[item.feature] for item in (LAMP, CARTED)]
    together = weights({Feature.PRODUCTS: {LAMP}, Feature.CART: {CARTED}}, seen, model)
    assert list(together.values()) == [max(apart)]


@pytest.mark.parametrize(
    ("changed", "is_same"),
    [
        ({}, True),
        ({"locale": "en-GB"}, False),
        ({"timezone": "Europe/London"}, False),
        ({"screen": {"width": 1280, "height": 720}}, False),
        ({"screen": {"width": 1080, "height": 1920}}, True),
    ],
    ids=["nothing", "language", "time zone", "screen", "screen turned"],
)
def test_system_browser_language_screen_and_time_zone_are_one_value(changed: dict[str, Any], is_same: bool) -> None:
    context = {"locale": "de-DE", "timezone": "Europe/Berlin", "screen": {"width": 1920, "height": 1080}}
    one, other = (shown(each) for each in (context, context | changed))
    assert [item.feature for item in one] == [Feature.BROWSER]
    assert (one == other) is is_same


def plain(feature: Feature, value: str) -> bytes:
    return f"{feature} {value}".encode()


def shown(context: dict[str, Any], kind: Kind = Kind.PAGE, **changes: Any) -> list[Item]:
    commerce = Commerce(kind=kind, name=kind, **changes.pop("commerce", {}))
    given = {"network": None, "browser": "iOS/Mobile Safari", "code": plain} | changes
    return items(context, commerce, **given)


@pytest.mark.parametrize("context", [{"screen": 7, "locale": ["de"], "timezone": None}, {"screen": {"width": "wide"}}])
def test_a_context_that_cannot_be_read_is_as_good_as_none(context: dict[str, Any]) -> None:
    assert shown(context) == shown({})


def test_what_is_put_into_the_cart_has_been_looked_at_too() -> None:
    lamp = {"product": Product(product_id="7")}
    assert {item.feature for item in shown({}, Kind.PRODUCT_VIEWED, browser=None, commerce=lamp)} == {Feature.PRODUCTS}
    carted = shown({}, Kind.PRODUCT_ADDED, browser=None, commerce=lamp | {"cart_token": "token?key=1"})
    assert sorted(item.feature for item in carted) == [Feature.CART, Feature.CART, Feature.PRODUCTS]


def test_a_message_of_many_lines_shows_only_so_many_products() -> None:
    lines = tuple(Product(product_id=str(n)) for n in range(500))
    found = shown({}, Kind.CART_VIEWED, commerce={"items": lines})
    assert sum(item.feature is Feature.PRODUCTS for item in found) == behaviour.MOST_ITEMS_A_MESSAGE


# Who is suspected


def candidate(person: str, score_bits: float, visitor: str = "v") -> Candidate:
    return Candidate(person_id=person, visitor_id=visitor, bits=score_bits, weights={})


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        pytest.param([], None, id="nobody"),
        pytest.param([candidate("ann", -0.1)], None, id="improbable"),
        pytest.param([candidate("ann", 0.1)], "ann", id="more probable than not"),
        pytest.param([candidate("ann", 5), candidate("bob", 5 - LEAST_LEAD)], "ann", id="clearly ahead"),
        pytest.param([candidate("ann", 5), candidate("bob", 4)], None, id="two that fit about equally well"),
        pytest.param([candidate("ann", 5), candidate("ann", 5, "w")], "ann", id="two browsers of one person"),
    ],
)
def test_who_is_suspected(candidates: list[Candidate], expected: str | None) -> None:
    found = suspect(candidates)
    assert (found.person_id if found else None) == expected
    assert suspect(reversed(candidates)) == found


@pytest.mark.parametrize(
    ("chance", "name"), [(0.5, "0.50"), (0.8, "0.80"), (0.899, "0.80"), (0.9, "0.90"), (0.95, "0.95"), (1.0, "0.95")]
)
def test_bands(chance: float, name: str) -> None:
    assert band(chance) == name


def test_the_words_say_what_agrees_the_weightiest_first() -> None:
    found = {Feature.BROWSER: 1.44, Feature.NETWORK: 4.6, Feature.PRODUCTS: -1.0}
    assert in_words(found) == (
        "was on the same network (+4.6); has the same system, browser, language, screen and time zone (+1.4)"
    )


# What always holds

SKETCHES = st.frozensets(st.builds(Item, st.sampled_from(Feature), st.sampled_from([b"a", b"b", b"c"])), max_size=8)
COUNTS = st.integers(0, 500)
MODELS = st.builds(
    Model,
    visitors=st.integers(0, 5000),
    pairs=st.dictionaries(
        st.tuples(st.sampled_from(Feature), st.booleans()),
        st.tuples(COUNTS, COUNTS).map(lambda n: (min(n), max(n))),
        max_size=8,
    ),
)


@given(SKETCHES, SKETCHES, MODELS, st.integers(1, 5000))
def test_a_score_does_not_depend_on_who_is_asked_about(
    mine: frozenset[Item], theirs: frozenset[Item], model: Model, n: int
) -> None:
    seen = dict.fromkeys(mine | theirs, n)
    assert bits(set(mine), set(theirs), seen, model) == bits(set(theirs), set(mine), seen, model)


@given(SKETCHES, SKETCHES, MODELS, st.sampled_from(Feature), st.integers(0, 5000), st.integers(0, 5000))
def test_one_more_agreement_never_lowers_a_score(
    mine: frozenset[Item], theirs: frozenset[Item], model: Model, feature: Feature, n: int, others: int
) -> None:
    more = Item(feature, b"new")
    seen = dict.fromkeys(mine | theirs, others) | {more: n}
    before = bits(set(mine), set(theirs), seen, model)
    assert bits({*mine, more}, {*theirs, more}, seen, model) >= before - 1e-9


@given(MODELS, st.sampled_from(Feature), st.integers(0, 5000), st.integers(0, 5000))
def test_a_rarer_value_never_weighs_less(model: Model, feature: Feature, one: int, other: int) -> None:
    item = Item(feature, b"x")
    rare, common = (weights({feature: {item}}, {item: n}, model)[feature] for n in sorted((one, other)))
    assert rare >= common
