"""Who really did what: the judge's own book, which neither the relay nor Klaviyo ever sees."""

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
    """The person has shown in this browser who they are."""

    browser_id: str
    person: Person
    how: str
    at: float


#: What a person can show, strongest first.
SIGNS = ("order", "form", "hand-over", "kx")


class Native(NamedTuple):
    """What Klaviyo's own script has filed: ``at`` later than the action when it was replayed."""

    message_id: str
    email: str | None
    at: float


class Truth:
    """Everything that happened."""

    def __init__(self) -> None:
        self.people: list[Person] = []
        self.actions: dict[str, Action] = {}
        self.orders: dict[str, Person] = {}
        self.bought: list[tuple[Person, float]] = []
        self.carts: list[Cart] = []
        self.signs: list[Sign] = []
        self.ends: list[tuple[str, float]] = []  #: browsers signed out of, or cleared
        self.natives: list[Native] = []

    def hand_over(self, old: str, new: str, person: Person, now: float) -> None:
        """The person goes on in another browser; a sign there if they had given one in the old."""
        if any(sign.browser_id == old and sign.person is person for sign in self.signs):
            self.signs.append(Sign(new, person, "hand-over", now))

    def best_sign(self, action: Action, *, within: float) -> str | None:
        """The strongest sign that the actor has given in the action's browser, before it or ``within`` so many seconds
        after it, with nobody signing out or clearing the browser in between; None if there is none."""
        found = {
            sign.how
            for sign in self.signs
            if sign.browser_id == action.browser_id
            and sign.person is action.person
            and sign.at <= action.at + within
            and not any(
                browser_id == action.browser_id and min(sign.at, action.at) <= at <= max(sign.at, action.at)
                for browser_id, at in self.ends
            )
        }
        return next((how for how in SIGNS if how in found), None)

    def has_bought(self, person: Person, since: float, *, within: float) -> bool:
        """Whether the person has ordered in the time after ``since``."""
        return any(buyer is person and since <= at <= since + within for buyer, at in self.bought)
