"""The verdict: what Klaviyo has received, held against the truth. Pure.

Only *live* events count, those that start flows. Events of browsing (views, carts, checkouts) are judged apart from
orders, whose person a server names: they would flatter the precision.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct

from relay.identity.evidence import WORTH
from tests.simulator.parameters import HOUR, parameter
from tests.simulator.truth import SIGNS, Action, Native, Truth

NOBODY = "nobody's own words"


class Sent(Struct, frozen=True):
    """A live backup event as Klaviyo has it. ``at`` is when it came in, ``email`` whom it is filed under."""

    unique_id: str
    email: str | None
    evidence: str
    at: float

    @property
    def message_id(self) -> str:
        """Of the message it was made from; of an order, its ID."""
        return self.unique_id.split(":")[2]

    @property
    def evidence_class(self) -> str:
        """The class whose words stand first in ``BackflowEvidence``."""
        return next((str(one) for one, worth in WORTH.items() if self.evidence.startswith(worth.words)), NOBODY)


class Tally(Struct):
    """Backup events and what was wrong with them."""

    sent: int = 0
    wrong: int = 0


class Recall(Struct):
    """Actions that Klaviyo's script missed and whose person could be known, and those that reached Klaviyo."""

    due: int = 0
    told: int = 0


class Reach(Struct):
    """Abandoned carts, and those whose person Klaviyo was told of: by its own script, and with the relay's events."""

    abandoned: int = 0
    by_klaviyo: int = 0
    with_relay: int = 0

    @property
    def lift(self) -> float:
        """By how much the relay's events raise what Klaviyo's script reaches: 0.4 is 40 %."""
        return self.with_relay / self.by_klaviyo - 1.0 if self.by_klaviyo else 0.0


ALL, UNNAMED = "all abandoned carts", "those without an address at the checkout"


class Score(Struct, kw_only=True):
    carts: int
    reach: dict[str, Reach]  #: ``ALL``, ``UNNAMED`` (a shop's own integration could not help there), each browser's
    orders_sent: int
    orders_wrong: int
    native: Tally  #: Klaviyo's own events: filed, and under another person
    by_evidence: dict[str, Tally]
    by_story: dict[str, Tally]
    recall: dict[str, Recall]
    doubles: Counter[str]  #: by story: one action sent twice, or sent where Klaviyo's script had filed it already
    late_replays: Counter[str]  #: by story: Klaviyo's script has filed an action after its backup had been sent
    after_order: Counter[str]  #: by story: started a flow although the order had been reported
    forbidden: Counter[str]  #: by story: sent without consent or against Global Privacy Control
    examples: list[str]  #: of wrong persons and doubles, in words

    @property
    def sent(self) -> int:
        return sum(tally.sent for tally in self.by_evidence.values())

    @property
    def wrong(self) -> int:
        return sum(tally.wrong for tally in self.by_evidence.values())

    @property
    def precision(self) -> float:
        return 1.0 - self.wrong / self.sent if self.sent else 1.0

    @property
    def lift(self) -> float:
        return self.reach[ALL].lift


def score(truth: Truth, events: Sequence[Sent]) -> Score:
    """Judge ``events``, every live backup event that Klaviyo has received."""
    window = parameter("flow_hours") * HOUR
    browsing = [event for event in events if event.message_id in truth.actions]
    orders = [event for event in events if event.message_id in truth.orders]
    if strays := len(events) - len(browsing) - len(orders):
        raise AssertionError(f"{strays} events that nobody has caused")
    verdict = Score(
        carts=len(truth.carts),
        reach=_reach(truth, browsing, window),
        orders_sent=len(orders),
        orders_wrong=sum(event.email not in truth.orders[event.message_id].addresses for event in orders),
        native=_natives(truth),
        by_evidence=defaultdict(Tally),
        by_story=defaultdict(Tally),
        recall=_recall(truth, browsing, window),
        doubles=Counter(),
        late_replays=Counter(),
        after_order=Counter(),
        forbidden=Counter(),
        examples=[],
    )
    seen: Counter[str] = Counter()
    for event in browsing:
        action = truth.actions[event.message_id]
        seen[event.unique_id] += 1
        _judge(verdict, truth, event, action, truth.natives[action.message_id], is_repeated=seen[event.unique_id] > 1)
    return verdict


def _judge(
    verdict: Score, truth: Truth, event: Sent, action: Action, natives: Iterable[Native], *, is_repeated: bool
) -> None:
    is_wrong = event.email not in action.person.addresses
    for tally in (verdict.by_evidence[event.evidence_class], verdict.by_story[action.story]):
        tally.sent += 1
        tally.wrong += is_wrong
    if is_wrong:
        verdict.examples.append(
            f"wrong person in {action.story}: {action.metric} of {action.person.name} filed under {event.email}"
            f" ({event.evidence_class})"
        )
    if is_repeated or any(native.at <= event.at for native in natives):
        verdict.doubles[action.story] += 1
        verdict.examples.append(f"double in {action.story}: {action.metric} of {action.person.name}")
    elif any(native.at > event.at for native in natives):
        verdict.late_replays[action.story] += 1
    # An order is reported five seconds after it was placed; what has left in these is nobody's fault.
    if truth.has_bought(action.person, action.at, event.at - 10):
        verdict.after_order[action.story] += 1
    if not action.is_permitted:
        verdict.forbidden[action.story] += 1


def _reach(truth: Truth, events: Iterable[Sent], window: float) -> dict[str, Reach]:
    by_klaviyo, by_relay = set[int](), set[int]()  # by identity: a cart's token may be in two hands
    for action in truth.actions.values():
        if action.cart is not None and any(
            native.email in action.person.addresses and native.at <= action.at + window
            for native in truth.natives[action.message_id]
        ):
            by_klaviyo.add(id(action.cart))
    for event in events:
        action = truth.actions[event.message_id]
        if action.cart is not None and event.email in action.person.addresses:
            by_relay.add(id(action.cart))
    reach = {ALL: Reach(), UNNAMED: Reach()}
    for cart in truth.carts:
        if cart.ordered_at is None and not truth.has_bought(cart.person, cart.started_at, cart.started_at + window):
            for name in (ALL, cart.browser, *([] if cart.typed_address else [UNNAMED])):
                found = reach.setdefault(name, Reach())
                found.abandoned += 1
                found.by_klaviyo += id(cart) in by_klaviyo
                found.with_relay += id(cart) in by_klaviyo or id(cart) in by_relay
    return reach


def _natives(truth: Truth) -> Tally:
    tally = Tally()
    for message_id, natives in truth.natives.items():
        tally.sent += len(natives)
        tally.wrong += sum(native.email not in truth.actions[message_id].person.addresses for native in natives)
    return tally


def _recall(truth: Truth, events: Iterable[Sent], window: float) -> dict[str, Recall]:
    """By the best sign the actor has given in that browser: of what Klaviyo's script missed, how much was told rightly.
    What was bought within the window is left out: nobody has abandoned it."""
    told = {event.message_id for event in events if event.email in truth.actions[event.message_id].person.addresses}
    recall = {how: Recall() for how in SIGNS}
    for action in truth.actions.values():
        if not action.is_permitted or truth.natives[action.message_id]:
            continue
        if truth.has_bought(action.person, action.at, action.at + window):
            continue
        if (best := truth.best_sign(action, within=window)) is not None:
            recall[best].due += 1
            recall[best].told += action.message_id in told
    return recall
