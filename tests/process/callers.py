"""Callers that never give up, and what Klaviyo must hold in the end: each keeps book of what it was told is kept.

A caller sends one batch after the other, each again and again until it is acknowledged, as the tag and every Segment
SDK do. What is in flight when the relay dies is sent again: nobody knows whether it was kept.
"""

import json
import threading
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx

SERVER_KEY, WRITE_KEY, ORIGIN = "journey-server-key", "journey", "http://localhost"
SUFFIX = " - Backup Flow"

Message = dict[str, Any]


class Effect(NamedTuple):
    """One event that Klaviyo must count, once, for this person."""

    metric: str
    email: str
    unique_id: str


class Batch(NamedTuple):
    messages: list[Message]
    effects: list[Effect] = []
    #: What these persons' profiles say from now on.
    profiles: dict[str, dict[str, Any]] = {}
    #: Another one belongs to it: the caller does not end in between.
    goes_on: bool = False


def message(type: str, **fields: Any) -> Message:
    return {"type": type, "messageId": str(uuid.uuid4())} | fields


def cart(email: str, **fields: Any) -> tuple[Message, Effect]:
    """Somebody puts something into the cart."""
    properties = {"product_id": "1", "name": "Mug", "price": 12, "currency": "EUR"} | fields.pop("properties", {})
    added = message("track", event="Product Added", properties=properties, **fields)
    return added, Effect(f"Added to Cart{SUFFIX}", email, f"backflow:added_to_cart:{added['messageId']}")


class Caller(threading.Thread, ABC):
    """Calls until ``finish``. What was acknowledged is in ``acknowledged``, what must come of it in the other books."""

    #: Seconds between two batches.
    rest = 0.1

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.http = httpx.Client(base_url=url, timeout=15)
        self.enough = threading.Event()
        self.acknowledged: list[str] = []
        self.effects: list[Effect] = []
        self.profiles: dict[str, dict[str, Any]] = {}
        #: How often somebody's profile had changed.
        self.told_of = 0
        #: How the batches that were not acknowledged ended: by status, 0 without an answer.
        self.refusals: Counter[int] = Counter()

    @abstractmethod
    def batches(self) -> Iterator[Batch]:
        """What to send, without end."""

    @abstractmethod
    def post(self, messages: list[Message]) -> httpx.Response: ...

    def run(self) -> None:
        with self.http:
            for batch in self.batches():
                while not self.is_acknowledged(batch.messages):
                    threading.Event().wait(0.05)  # the relay may be starting: as a caller's own retry
                self.effects += batch.effects
                self.profiles |= batch.profiles
                self.told_of += len(batch.profiles)
                self.acknowledged += [each["messageId"] for each in batch.messages]
                if self.enough.wait(self.rest) and not batch.goes_on:
                    return

    def is_acknowledged(self, messages: list[Message]) -> bool:
        try:
            answer = self.post(messages)
        except httpx.HTTPError:
            self.refusals[0] += 1
            return False
        if answer.status_code == 200:
            assert answer.json()["success"] is True
            return True
        self.refusals[answer.status_code] += 1
        return False

    def finish(self, seconds: float = 30.0) -> None:
        """Begin nothing new; the last batch is acknowledged too."""
        self.enough.set()
        self.join(seconds)
        assert not self.is_alive(), f"the last batch is not acknowledged; refused so far: {dict(self.refusals)}"


class Server(Caller):
    """The shop's own server: high trust, all messages of a batch may be of different persons."""

    def post(self, messages: list[Message]) -> httpx.Response:
        return self.http.post("/v1/batch", auth=(SERVER_KEY, ""), json={"batch": messages})


class Carts(Server):
    """Five carts a batch, of five customers."""

    size = 5
    #: What every cart has beside the usual.
    properties: dict[str, Any] = {}

    def batches(self) -> Iterator[Batch]:
        while True:
            yield self.of_customers()

    def of_customers(self) -> Batch:
        messages, effects = [], []
        for index in range(self.size):
            email = f"customer-{index}@harbour.example"
            context = {"traits": {"email": email}}
            added, effect = cart(email, userId=f"customer-{index}", context=context, properties=self.properties)
            messages.append(added)
            effects.append(effect)
        news = {} if self.acknowledged else {effect.email: {"email": effect.email} for effect in effects}
        return Batch(messages, effects, news)


class Shop(Carts):
    """Carts, and with every batch an order of two lines."""

    def __init__(self, url: str, name: str = "shop", size: int = 5) -> None:
        super().__init__(url)
        self.shop_name, self.size = name, size

    def batches(self) -> Iterator[Batch]:
        number = 0
        while True:
            carts = self.of_customers()
            number += 1
            order_id, buyer = f"{self.shop_name}-{number}", f"customer-{number % self.size}"
            email = f"{buyer}@harbour.example"
            lines = [{"product_id": "1", "price": 12, "quantity": 2}, {"product_id": "2", "price": 8, "quantity": 1}]
            properties = {"order_id": order_id, "total": 32, "currency": "EUR", "products": lines}
            context = {"traits": {"email": email}}
            order = message("track", event="Order Completed", userId=buyer, context=context, properties=properties)
            placed = Effect(f"Placed Order{SUFFIX}", email, f"backflow:placed_order:{order_id}")
            ordered = [
                Effect(f"Ordered Product{SUFFIX}", email, f"backflow:ordered_product:{order_id}:{line['product_id']}")
                for line in lines
            ]
            yield Batch([*carts.messages, order], [*carts.effects, placed, *ordered], carts.profiles)


class Crm(Server):
    """Tells of five persons again and again, each time something newer."""

    rest = 0.3

    def batches(self) -> Iterator[Batch]:
        visits = 0
        while True:
            visits += 1
            person = f"regular-{visits % 5}"
            email = f"{person}@harbour.example"
            traits = {"email": email, "visits": visits, "last_shop": f"shop {visits % 3}"}
            yield Batch([message("identify", userId=person, traits=traits)], profiles={email: traits})


class Shopper(Caller):
    """One browser after the other: two carts before anybody knows who it is, then an address, then one more cart."""

    rest = 0.2

    def __init__(self, url: str, name: str = "shopper") -> None:
        super().__init__(url)
        self.shopper_name = name
        self.mirror: str | None = None

    def batches(self) -> Iterator[Batch]:
        number = 0
        while True:
            number += 1
            email = f"{self.shopper_name}-{number}@harbour.example"
            self.http.cookies.clear()
            self.mirror = None
            first, second, third = (cart(email) for _ in range(3))
            yield Batch([first[0], second[0]], goes_on=True)
            traits = {"email": email, "favourite": f"mug {number}"}
            # They become Klaviyo's business only now.
            yield Batch([message("identify", traits=traits)], [first[1], second[1]], {email: traits}, goes_on=True)
            yield Batch([third[0]], [third[1]])

    def post(self, messages: list[Message]) -> httpx.Response:
        body = {"writeKey": WRITE_KEY, "batch": messages} | ({"visitor": self.mirror} if self.mirror else {})
        headers = {"Origin": ORIGIN, "Content-Type": "text/plain", "User-Agent": "Mozilla/5.0 Chrome/131.0.0.0"}
        answer = self.http.post("/v1/batch", content=json.dumps(body), headers=headers)
        if answer.status_code == 200:
            self.mirror = answer.json().get("visitor", self.mirror)
        return answer
