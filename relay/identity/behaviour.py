"""Behaviour: how probable it is that an unknown visitor and a known one are the same person. Pure.

Fellegi and Sunter's model (1969), as Splink's documentation tells it: a prior chance that two records are one
person's, and for each feature the chance that it agrees for the same person (m) and for different ones (u). An
agreement adds log2(m/u) to the score, a disagreement log2((1-m)/(1-u)); what one of the two does not have adds
nothing. Term frequency: the u of an agreement is how common the very value is in the shop. m and u are learned from
the shop's own later logins.

Invariants kept here:
- what comes out is a *suspicion*: shown and measured. Nothing is resolved, sent or changed by it (``identity.resolve``
  knows nothing of this module), so an error costs nobody an e-mail;
- an agreement never lowers a score, and it does not matter which of the two is asked about;
- what depends on each other counts once: system, browser, language, screen and time zone are one feature; of the
  products seen and the cart the better one counts; each further value that agrees in a feature counts half of the one
  before.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from math import exp2, log2
from typing import Any

from msgspec import Struct

from relay.model import Commerce, Kind


class Feature(StrEnum):
    """What of a visitor is compared."""

    NETWORK = "network"
    BROWSER = "browser"
    PRODUCTS = "products"
    CART = "cart"


class Item(Struct, frozen=True, order=True):
    """One value of a feature, as a code: a keyed hash that cannot be read back."""

    feature: Feature
    code: bytes


class Prior(Struct, frozen=True):
    """What is assumed of a feature until there are labels, and what it is worth in words."""

    m: float
    u: float
    words: str


#: Assumed (no public data holds shopping, addresses and true identities together), and outweighed by the shop's own
#: labels. m: of two jars of one person, every second pair meets on the home's network, every third is one device (a
#: private window, cleared cookies), every second comes back to a product, every tenth to a cart. u: of two strangers,
#: one pair in 2,000 shares a network, one in 50 a browser, one in 100 a product, one in 1,000 something in the cart.
PRIORS = {
    Feature.NETWORK: Prior(0.5, 0.0005, "was on the same network"),
    Feature.BROWSER: Prior(0.3, 0.02, "has the same system, browser, language, screen and time zone"),
    Feature.PRODUCTS: Prior(0.5, 0.01, "looked at the same products"),
    Feature.CART: Prior(0.1, 0.001, "put the same into the cart"),
}
#: Features of the same interest: only the better agreement of them counts.
_INTEREST = frozenset({Feature.PRODUCTS, Feature.CART})

#: How many labels the assumptions of m and u are worth, and how many visitors those of a value's frequency.
PRIOR_LABELS = 20
PRIOR_VISITORS = 100
#: How many other jars of the same person a visitor has within the month, about. Assumed: the lambda of the model.
OTHER_JARS = 0.5
#: Below it nothing is suspected.
LEAST_PROBABILITY = 0.5
#: So many bits (4 to 1) the best person must be ahead of the next: a household's members fit about equally well.
LEAST_LEAD = 2.0
#: Lower ends of the bands of probability whose precision is shown.
BANDS = (0.95, 0.9, 0.8, LEAST_PROBABILITY)

#: A value in more visitors than that does not bring candidates: an office, a carrier, a bestseller.
BLOCKS = {Feature.NETWORK: 20, Feature.PRODUCTS: 10, Feature.CART: 10}
#: So many rare products must be shared where nothing else brings two together.
RARE_SET = 2
BLOCK_SECONDS = 7 * 86400.0
#: Known visitors that are compared with an unknown one, and pairs learned from one login, at most.
CANDIDATES = 10
PAIRS = 5
#: Values of a feature that are kept for one visitor, and those taken from one message, at most.
MOST_ITEMS = {Feature.NETWORK: 8, Feature.BROWSER: 4, Feature.PRODUCTS: 40, Feature.CART: 20}
MOST_ITEMS_A_MESSAGE = 10

_CART_KINDS = frozenset({Kind.PRODUCT_ADDED, Kind.CART_VIEWED, Kind.CHECKOUT_STARTED, Kind.ORDER_COMPLETED})


def items(
    context: Mapping[str, Any],
    commerce: Commerce,
    *,
    network: str | None,
    browser: str | None,
    code: Callable[[Feature, str], bytes],
) -> list[Item]:
    """What a browser's message shows of its visitor. ``code`` makes a value one that cannot be read back."""
    found: list[tuple[Feature, str | None]] = [
        (Feature.NETWORK, network),
        (Feature.BROWSER, f"{browser} {_setting(context)}" if browser else None),
    ]
    if commerce.kind in _CART_KINDS:
        found += [(Feature.CART, commerce.cart_token and f"token {commerce.cart_token.partition('?')[0]}")]
    lines = [p for p in (commerce.product, *commerce.items) if p is not None][:MOST_ITEMS_A_MESSAGE]
    for line in lines:
        product = line.product_id or line.sku or line.name
        found += [(Feature.PRODUCTS, product)]
        found += [(Feature.CART, product and f"product {product}")] if commerce.kind in _CART_KINDS else []
    codes = [Item(feature, code(feature, value)) for feature, value in found if value]
    return list(dict.fromkeys(codes))


class Model(Struct, frozen=True):
    """What has been learned: visitors with a sketch, and by feature and truth (are the two one person?) how many pairs
    agreed, of how many that could be compared."""

    visitors: int = 0
    pairs: Mapping[tuple[Feature, bool], tuple[int, int]] = {}

    @property
    def prior(self) -> float:
        """The log2 odds that a visitor and any other one are the same person (lambda)."""
        chance = OTHER_JARS / (self.visitors + PRIOR_VISITORS)
        return log2(chance / (1 - chance))

    def m(self, feature: Feature) -> float:
        return self._share(feature, PRIORS[feature].m, same=True)

    def u(self, feature: Feature) -> float:
        return self._share(feature, PRIORS[feature].u, same=False)

    def frequency(self, feature: Feature, visitors: int) -> float:
        """How common a value is that ``visitors`` have: the chance that a stranger has it."""
        return (visitors + PRIOR_VISITORS * self.u(feature)) / (self.visitors + PRIOR_VISITORS)

    def _share(self, feature: Feature, prior: float, *, same: bool) -> float:
        agreed, of = self.pairs.get((feature, same), (0, 0))
        return (agreed + PRIOR_LABELS * prior) / (of + PRIOR_LABELS)


def compare(mine: Collection[Item], theirs: Collection[Item]) -> dict[Feature, frozenset[Item]]:
    """What the two share, of each feature that both have."""
    common = {item.feature for item in mine} & {item.feature for item in theirs}
    shared = frozenset(mine) & frozenset(theirs)
    return {f: frozenset(item for item in shared if item.feature is f) for f in Feature if f in common}


def weights(
    compared: Mapping[Feature, Collection[Item]], visitors: Mapping[Item, int], model: Model
) -> dict[Feature, float]:
    """The match weight of each feature that counts, in bits. ``visitors``: how many have each of the shared values."""
    found = {feature: _weight(feature, shared, visitors, model) for feature, shared in compared.items()}
    interest = [feature for feature in found if feature in _INTEREST]
    if len(interest) > 1:
        agreed = [feature for feature in interest if compared[feature]] or interest
        counts = max(agreed, key=lambda feature: (abs(found[feature]), feature))
        found = {feature: weight for feature, weight in found.items() if feature is counts or feature not in _INTEREST}
    return found


def score(found: Mapping[Feature, float], model: Model) -> float:
    """The log2 odds that the two are one person."""
    return model.prior + sum(found.values())


def probability(bits: float) -> float:
    """Log2 odds as a probability."""
    return 1 / (1 + exp2(-max(-60.0, min(60.0, bits))))


class Candidate(Struct, frozen=True, kw_only=True):
    """A known visitor that may be the same person's as an unknown one, with what speaks for it."""

    person_id: str
    visitor_id: str
    bits: float
    weights: Mapping[Feature, float]


def suspect(candidates: Iterable[Candidate]) -> Candidate | None:
    """The person who is suspected, by the best of their visitors; None where it is improbable or not clear who."""
    best: dict[str, Candidate] = {}
    for one in candidates:
        if one.person_id not in best or _rank(one) > _rank(best[one.person_id]):
            best[one.person_id] = one
    ranked = sorted(best.values(), key=_rank, reverse=True)
    if not ranked or probability(ranked[0].bits) < LEAST_PROBABILITY:
        return None
    return None if len(ranked) > 1 and ranked[0].bits - ranked[1].bits < LEAST_LEAD else ranked[0]


def band(chance: float) -> str:
    """The band of probability, by its lower end: ``0.90``."""
    return f"{next((low for low in BANDS if chance >= low), 0.0):.2f}"


def in_words(found: Mapping[Feature, float]) -> str:
    """What speaks for a suspicion, the weightiest first; the weights in bits."""
    agreed: Sequence[tuple[Feature, float]] = sorted(
        ((feature, weight) for feature, weight in found.items() if weight > 0), key=lambda each: -each[1]
    )
    return "; ".join(f"{PRIORS[feature].words} ({weight:+.1f})" for feature, weight in agreed)


def _rank(one: Candidate) -> tuple[float, str, str]:
    return one.bits, one.person_id, one.visitor_id


def _weight(feature: Feature, shared: Collection[Item], visitors: Mapping[Item, int], model: Model) -> float:
    m = model.m(feature)
    if not shared:
        return min(0.0, log2((1 - m) / (1 - model.u(feature))))
    each = (max(0.0, log2(m / model.frequency(feature, visitors.get(item, 0)))) for item in shared)
    return sum(weight * exp2(-place) for place, weight in enumerate(sorted(each, reverse=True)))


def _setting(context: Mapping[str, Any]) -> str:
    screen = context.get("screen")
    sides = [screen.get(side) for side in ("width", "height")] if isinstance(screen, dict) else []
    numbers = sorted(f"{side:g}" for side in sides if isinstance(side, int | float))  # a telephone turned is the same
    words = [value for name in ("locale", "timezone") if isinstance(value := context.get(name), str)]
    return " ".join([*words, *numbers]).lower()
