"""Messages a second from the wire to finished Klaviyo bodies, in one process, without network or database.

    python -m tests.benchmarks.sdk_mapping [--seconds 3]

The way of a message without what stores and sends it: envelope, each message checked, its whole body, the canonical
step, whose it is (claims; the syntax of an address is judged once), the metrics it becomes and their bodies as JSON.
Batches of 100, as SDKs send them. Beside it in the same run a yardstick: the same batches decoded and encoded again by
msgspec and nothing else. The ratio of the two says what the work costs, whatever the machine is. ``sdk_http`` measures
the same over HTTP, with the commit.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import msgspec

from relay.identity.claims import claims
from relay.klaviyo import mapping
from relay.model import Proof, Reason, Recipient, Trust
from relay.pipeline import parse
from relay.pipeline.canonical import canonicalise

BATCH = 100
NOW = 1_800_000_000.0
PROOF = Proof(reason=Reason.FORWARD_ALL, evidence="the shop's server said who this is", confidence=0.995)
CONTEXT = {
    "library": {"name": "analytics-node", "version": "3.1.0"},
    "page": {"url": "https://shop.example/products/lamp", "title": "Lamp", "referrer": "https://www.example.com/"},
    "userAgent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36",
    "locale": "en-US",
    "timezone": "Europe/Berlin",
    "traits": {"email": "ann@mail.com", "firstName": "Ann", "lastName": "Lee", "phone": "+4930901820"},
}


def product(number: int) -> dict[str, Any]:
    return {
        "product_id": str(number),
        "sku": f"LAMP-{number}",
        "name": f"Lamp {number}",
        "brand": "Lumen",
        "category": "Lamps",
        "variant": "brass",
        "price": 19.99,
        "quantity": 2,
        "url": f"https://shop.example/products/{number}",
        "image_url": f"https://cdn.shop.example/{number}.jpg",
    }


CALLS: dict[str, Callable[[int], dict[str, Any]]] = {
    "Product Added": lambda n: product(n) | {"currency": "EUR", "cart_id": f"c-{n}"},
    "Order Completed": lambda n: {
        "order_id": str(n),
        "total": 119.94,
        "shipping": 5,
        "tax": 12.5,
        "currency": "EUR",
        "coupon": "SPRING",
        "products": [product(n + line) for line in range(3)],
    },
}


def batch(event: str, properties: Callable[[int], dict[str, Any]]) -> bytes:
    """One request as an SDK writes it."""
    messages = [
        {
            "type": "track",
            "event": event,
            "messageId": f"node-next-{NOW:.0f}-{number}",
            "timestamp": "2027-01-15T08:00:00.000Z",
            "userId": f"customer-{number}",
            "anonymousId": None,
            "integrations": {},
            "context": CONTEXT,
            "properties": properties(number),
        }
        for number in range(BATCH)
    ]
    return msgspec.json.encode({"batch": messages, "sentAt": "2027-01-15T08:00:01.000Z"})


def finished(body: bytes) -> list[bytes]:
    """The bodies for Klaviyo of one request."""
    envelope = parse.read_envelope(body, "batch")
    skew = parse.clock_skew(envelope.sent_at, NOW)
    common = parse.common_fields(envelope)
    bodies = []
    for raw in envelope.batch:
        read = parse.read_message(raw, call="batch", received_at=NOW, skew=skew, common=common)
        if isinstance(read, parse.Drop):
            raise AssertionError(read.text)
        bodies += mapped(read[0])
    return bodies


def mapped(received: parse.Received) -> list[bytes]:
    """The bodies for Klaviyo of one message as the journal holds it."""
    message = parse.read_body(received)
    commerce = canonicalise(message)
    claimed = claims(message, commerce, Trust.SERVER, "DE")
    known = {str(identifier.kind): identifier.value for identifier in claimed.identifiers}
    recipient = Recipient(email=known.get("email"), phone_number=known.get("phone"), traits=claimed.traits)
    return [
        msgspec.json.encode(
            mapping.event_body(
                commerce=commerce,
                action=action,
                recipient=recipient,
                proof=PROOF,
                occurred_at=message.occurred_at,
                unique_id=mapping.unique_id(action, message.message_id, commerce),
                suffix=" - Backup Flow",
                backfill=False,
                page_url=None,
            )
        )
        for action in mapping.actions(commerce)
    ]


def bare(body: bytes) -> bytes:
    """The yardstick."""
    return msgspec.json.encode(msgspec.json.decode(body))


def cost(work: Callable[[bytes], object], body: bytes, seconds: float) -> float:
    """Microseconds of CPU a message, of the best of many short turns: what else runs on the machine only ever slows one
    down."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.process_time()
        work(body)
        best = min(best, time.process_time() - start)
    return best / BATCH * 1e6


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=3.0, help="how long each figure is measured")
    seconds = arguments.parse_args().seconds
    heads = f"{'KB':>6}{'bodies':>8}{'CPU µs':>8}{'a second':>10}{'bare µs':>9}{'ratio':>7}"
    print(f"{f'batches of {BATCH}':<18}{heads}")
    for event, properties in CALLS.items():
        body = batch(event, properties)
        bodies = len(finished(body))
        ours, yardstick = cost(finished, body, seconds), cost(bare, body, seconds)
        print(
            f"{event:<18}{len(body) / 1000:>6.0f}{bodies:>8}{ours:>8.1f}{1e6 / ours:>10,.0f}"
            f"{yardstick:>9.2f}{yardstick / ours:>7.3f}"
        )


if __name__ == "__main__":
    main()
