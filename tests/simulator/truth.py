"""Who really did what: the judge's own book, which neither the relay nor Klaviyo ever sees."""

from collections import defaultdict
from typing import NamedTuple

from msgspec import Struct


class Person(Struct, eq=False):
    """Somebody who shops. ``addresses`` are theirs, the first one in use."""

    name: str
    addresses: list[str]
    customer_id: str
    has_account: bool = False
    is_subscriber: bool = False

    @property
    def email(self) -> str:
        return self.addresses[0]


class Cart(Struct, eq=False):
    """What one person put together in one visit. Times in epoch seconds."""

    token: str
    person: Person
    story: str
    browser: str  #: its kind
    started_at: float
    ordered_at: float | None = None
    typed_address: bool = False  #: the checkout was told an address: the shop's own server knows whose cart it is


class Action(Struct, eq=False):
    """One event of the shop that becomes a metric at Klaviyo."""

    message_id: str
    metric: str  #: without suffix
    person: Person
    story: str
    browser_id: str
    at: float
    is_permitted: bool  #: consent was given and no Global Privacy Control stands against it
    cart: Cart | None = None


class Sign(NamedTuple):
    """The person has shown in some browser who they are."""

    person: Person
    how: str
    at: float


#: What a person can show, strongest first.
SIGNS = ("order", "form", "hand-over", "kx")


class Native(NamedTuple):
    """What Klaviyo's own script has filed: ``at`` later than the action when it was replayed."""

    email: str | None
    at: float


class Truth:
    """Everything that happened."""

    def __init__(self) -> None:
        self.people: list[Person] = []
        self.actions: dict[str, Action] = {}  #: by message ID
        self.orders: dict[str, Person] = {}  #: by order ID
        self.carts: list[Cart] = []
        self.natives: dict[str, list[Native]] = defaultdict(list)  #: by message ID
        self._signs: dict[str, list[Sign]] = defaultdict(list)  #: by browser
        self._ends: dict[str, list[float]] = defaultdict(list)  #: by browser
        self._bought: dict[str, list[float]] = defaultdict(list)  #: by person

    def sign(self, browser_id: str, person: Person, how: str, now: float) -> None:
        """The person shows in this browser who they are; ``how`` is one of ``SIGNS``."""
        self._signs[browser_id].append(Sign(person, how, now))

    def hand_over(self, old: str, new: str, person: Person, now: float) -> None:
        """The person goes on in another browser; a sign there if they had given one in the old."""
        if any(sign.person is person for sign in self._signs[old]):
            self.sign(new, person, "hand-over", now)

    def end(self, browser_id: str, now: float) -> None:
        """The browser has been signed out of, or cleared: what was shown before holds no longer."""
        self._ends[browser_id].append(now)

    def buy(self, person: Person, order_id: str, cart: Cart | None, now: float) -> None:
        self.orders[order_id] = person
        self._bought[person.name].append(now)
        if cart is not None:
            cart.ordered_at = now

    def has_bought(self, person: Person, since: float, until: float) -> bool:
        """Whether the person has ordered in between."""
        return any(since <= at < until for at in self._bought[person.name])

    def best_sign(self, action: Action, *, within: float) -> str | None:
        """The strongest sign that the actor has given in the action's browser, before it or ``within`` so many seconds
        after it, with nobody signing out or clearing the browser in between; None if there is none."""
        found = {
            sign.how
            for sign in self._signs[action.browser_id]
            if sign.person is action.person
            and sign.at <= action.at + within
            and not any(
                min(sign.at, action.at) <= at <= max(sign.at, action.at) for at in self._ends[action.browser_id]
            )
        }
        return next((how for how in SIGNS if how in found), None)
