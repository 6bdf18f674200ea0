"""The judge judges rightly: small truths, each with a verdict that can be told without him."""

import pytest

from relay.identity.evidence import WORTH, Evidence
from tests.simulator.parameters import DAY, HOUR, MINUTE
from tests.simulator.score import ALL, UNNAMED, Score, Sent, score
from tests.simulator.truth import Action, Cart, Native, Person, Truth


class Told:
    """One person, one browser, one cart; what is sent and filed is the test's."""

    def __init__(self) -> None:
        self.truth = Truth()
        self.ann, self.bob = Person("ann", ["ann@a.net"], "1"), Person("bob", ["bob@b.net"], "2")
        self.cart = Cart(token="t", person=self.ann, story="everyday", browser="Safari", started_at=0.0)
        self.truth.carts.append(self.cart)
        self.truth.actions["m1"] = Action(
            message_id="m1", metric="Added to Cart", person=self.ann, story="everyday", browser_id="b1", at=0.0,
            is_permitted=True, cart=self.cart,
        )  # fmt: skip
        self.events: list[Sent] = []

    def sent(self, email: str = "ann@a.net", *, at: float = 3 * MINUTE, evidence: Evidence = Evidence.FORM) -> None:
        self.events.append(Sent("backflow:added_to_cart:m1", email, WORTH[evidence].words + "; by cookie", at))

    def filed(self, email: str = "ann@a.net", *, at: float = 0.0) -> None:
        self.truth.natives["m1"].append(Native(email, at))

    def verdict(self) -> Score:
        return score(self.truth, self.events)


@pytest.mark.parametrize(
    ("filed", "sent", "expected"),
    [
        pytest.param(None, None, (1, 0, 0), id="nobody told of it"),
        pytest.param(("ann@a.net", 0), None, (1, 1, 1), id="Klaviyo at once"),
        pytest.param(("ann@a.net", 23 * HOUR), None, (1, 1, 1), id="Klaviyo in time"),
        pytest.param(("ann@a.net", 25 * HOUR), None, (1, 0, 0), id="Klaviyo too late"),
        pytest.param(("bob@b.net", 0), None, (1, 0, 0), id="Klaviyo, somebody else"),
        pytest.param(None, "ann@a.net", (1, 0, 1), id="the relay"),
        pytest.param(None, "bob@b.net", (1, 0, 0), id="the relay, somebody else"),
    ],
)
def test_when_a_cart_is_reached(
    filed: tuple[str, float] | None, sent: str | None, expected: tuple[int, int, int]
) -> None:
    told = Told()
    if filed:
        told.filed(filed[0], at=filed[1])
    if sent:
        told.sent(sent)
    reach = told.verdict().reach[ALL]
    assert (reach.abandoned, reach.by_klaviyo, reach.with_relay) == expected


def test_a_cart_is_not_abandoned_when_its_person_orders_within_the_day() -> None:
    told = Told()
    told.truth.buy(told.ann, "o1", None, 2 * HOUR)
    assert told.verdict().reach[ALL].abandoned == 0
    told = Told()
    told.truth.buy(told.ann, "o1", None, 3 * DAY)
    told.truth.buy(told.bob, "o2", None, HOUR)
    assert told.verdict().reach[ALL].abandoned == 1


def test_two_people_with_one_carts_token_have_two_carts() -> None:
    told = Told()
    told.truth.carts.append(Cart(token="t", person=told.bob, story="everyday", browser="Safari", started_at=0.0))
    told.sent()
    reach = told.verdict().reach[ALL]
    assert (reach.abandoned, reach.with_relay) == (2, 1)


def test_a_cart_whose_checkout_has_heard_an_address_is_counted_apart() -> None:
    told = Told()
    told.cart.typed_address = True
    assert (told.verdict().reach[ALL].abandoned, told.verdict().reach[UNNAMED].abandoned) == (1, 0)


def test_an_event_under_another_persons_address_is_wrong_in_its_class_and_story() -> None:
    told = Told()
    told.sent("bob@b.net", evidence=Evidence.KX)
    verdict = told.verdict()
    assert (verdict.sent, verdict.wrong, verdict.precision) == (1, 1, 0.0)
    assert (verdict.by_evidence["kx"].wrong, verdict.by_story["everyday"].wrong) == (1, 1)
    assert verdict.examples == ["wrong person in everyday: Added to Cart of ann filed under bob@b.net (kx)"]


def test_a_second_address_of_the_same_person_is_right() -> None:
    told = Told()
    told.ann.addresses.append("ann@work.net")
    told.sent("ann@work.net")
    assert told.verdict().precision == 1.0


@pytest.mark.parametrize(
    ("filed_at", "times", "doubles", "late"),
    [
        pytest.param(None, 1, 0, 0, id="once"),
        pytest.param(None, 2, 1, 0, id="twice"),
        pytest.param(0.0, 1, 1, 0, id="Klaviyo had it"),
        pytest.param(2 * MINUTE, 1, 1, 0, id="Klaviyo had replayed it"),
        pytest.param(10 * MINUTE, 1, 0, 1, id="Klaviyo replays it afterwards"),
    ],
)
def test_what_is_a_double(filed_at: float | None, times: int, doubles: int, late: int) -> None:
    told = Told()
    if filed_at is not None:
        told.filed("bob@b.net", at=filed_at)  # whoever Klaviyo takes it for
    for _ in range(times):
        told.sent()
    verdict = told.verdict()
    assert (verdict.doubles.total(), verdict.late_replays.total()) == (doubles, late)


def test_what_is_sent_after_the_order_is_counted() -> None:
    told = Told()
    told.truth.buy(told.ann, "o1", told.cart, MINUTE)
    told.sent()
    assert told.verdict().after_order["everyday"] == 1


def test_what_is_sent_without_permission_is_counted() -> None:
    told = Told()
    told.truth.actions["m1"].is_permitted = False
    told.sent()
    assert told.verdict().forbidden["everyday"] == 1


def test_orders_are_judged_apart() -> None:
    told = Told()
    told.truth.buy(told.ann, "o1", None, 0.0)
    told.events = [
        Sent("backflow:placed_order:o1", "bob@b.net", "", 9.0),
        Sent("backflow:ordered_product:o1:7", "ann@a.net", "", 9.0),
    ]
    verdict = told.verdict()
    assert (verdict.sent, verdict.orders_sent, verdict.orders_wrong) == (0, 2, 1)


def test_an_event_that_nobody_has_caused_is_no_small_matter() -> None:
    told = Told()
    told.events = [Sent("backflow:added_to_cart:m9", "ann@a.net", "", 9.0)]
    with pytest.raises(AssertionError, match="nobody has caused"):
        told.verdict()


@pytest.mark.parametrize(
    ("signs", "ended_at", "best"),
    [
        pytest.param([], None, None, id="never said who"),
        pytest.param([("kx", -DAY)], None, "kx", id="came by a mail"),
        pytest.param([("kx", -DAY), ("form", -2 * DAY)], None, "form", id="the strongest counts"),
        pytest.param([("form", -DAY)], -HOUR, None, id="signed out since"),
        pytest.param([("form", HOUR)], None, "form", id="said so afterwards"),
        pytest.param([("form", 25 * HOUR)], None, None, id="said so too late"),
        pytest.param([("form", HOUR)], 30 * MINUTE, None, id="signed out in between"),
    ],
)
def test_which_sign_could_have_told(signs: list[tuple[str, float]], ended_at: float | None, best: str | None) -> None:
    told = Told()
    for how, at in signs:
        told.truth.sign("b1", told.ann, how, at)
    told.truth.sign("b1", told.bob, "order", -DAY)
    told.truth.sign("b2", told.ann, "order", -DAY)
    if ended_at is not None:
        told.truth.end("b1", ended_at)
    assert told.truth.best_sign(told.truth.actions["m1"], within=DAY) == best
    recall = told.verdict().recall
    assert {how for how, one in recall.items() if one.due} == ({best} if best else set())


def test_recall_counts_what_klaviyo_missed_and_was_told_rightly() -> None:
    told = Told()
    told.truth.sign("b1", told.ann, "form", -DAY)
    assert (told.verdict().recall["form"].due, told.verdict().recall["form"].told) == (1, 0)
    told.sent()
    assert told.verdict().recall["form"].told == 1
    told.filed(at=2 * DAY)
    assert told.verdict().recall["form"].due == 0
