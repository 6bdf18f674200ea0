"""Requests about personal data in SQL: open until they are carried out; then what they were about is forgotten too."""

from enum import StrEnum

import msgspec
from msgspec import Struct

from relay.store.connection import Connection
from relay.store.keyring import Keyring

#: Where a subject is sealed for.
_PLACE = "privacy_requests.subject"


class Topic(StrEnum):
    """What is asked for; the names are those of Shopify's compliance webhooks."""

    REDACT_CUSTOMER = "customers/redact"
    TELL_CUSTOMER = "customers/data_request"
    REDACT_SHOP = "shop/redact"


class Subject(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom a request is about, as the shop names them. Nobody: the whole shop."""

    email: str | None = None
    phone: str | None = None
    customer_id: str | None = None


class Request(Struct, frozen=True, kw_only=True):
    """One request; ``request_id`` is the webhook's, so that a repeated one is the same."""

    site_id: str
    request_id: str
    topic: Topic
    subject: Subject
    received_at: float


class Requests:
    """The requests of all sites, inside a transaction."""

    def __init__(self, connection: Connection, keys: Keyring) -> None:
        self._sql = connection.execute
        self._keys = keys

    def add(self, request: Request) -> bool:
        """Note a request; False when it is noted already."""
        row = self._sql(
            "INSERT INTO privacy_requests (site_id, request_id, topic, subject, received_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (site_id, request_id) DO NOTHING RETURNING request_id",
            (
                request.site_id,
                request.request_id,
                request.topic,
                self._keys.of(request.site_id).seal(_PLACE, msgspec.json.encode(request.subject)),
                request.received_at,
            ),
        ).fetchone()
        return row is not None

    def open(self, site_id: str) -> list[Request]:
        """What has not been carried out, oldest first."""
        rows = self._sql(
            "SELECT request_id, topic, subject, received_at FROM privacy_requests"
            " WHERE site_id = ? AND done_at IS NULL ORDER BY received_at, request_id",
            (site_id,),
        ).fetchall()
        return [
            Request(
                site_id=site_id,
                request_id=request_id,
                topic=Topic(topic),
                subject=msgspec.json.decode(self._keys.of(site_id).open(_PLACE, subject), type=Subject),
                received_at=received_at,
            )
            for request_id, topic, subject, received_at in rows
        ]

    def close(self, site_id: str, request_id: str, *, at: float) -> None:
        """It has been carried out: that it was stays, about whom does not."""
        self._sql(
            "UPDATE privacy_requests SET done_at = ?, subject = ? WHERE site_id = ? AND request_id = ?",
            (at, b"", site_id, request_id),
        )

    def close_old(self, site_id: str, topic: Topic, *, received_before: float, at: float) -> None:
        """Close what nobody closes by hand, once its time is over."""
        self._sql(
            "UPDATE privacy_requests SET done_at = ?, subject = ?"
            " WHERE site_id = ? AND topic = ? AND done_at IS NULL AND received_at < ?",
            (at, b"", site_id, topic, received_before),
        )

    def erase_site(self, site_id: str) -> bool:
        """Delete what is kept of a shop's customers; False while something of it is on its way to Klaviyo.

        What stays names nobody: sums, the processor's position, names of metrics, hashes against resurrection. Of those
        who have asked what is kept of them nothing is; whom Klaviyo is to erase has a request of their own.
        """
        self._sql("DELETE FROM privacy_requests WHERE site_id = ? AND topic = ?", (site_id, Topic.TELL_CUSTOMER))
        for table in ERASED:
            keep = " AND state <> 'sending'" if table == "deliveries" else ""
            self._sql(f"DELETE FROM {table} WHERE site_id = ?{keep}", (site_id,))
        return self._sql("SELECT 1 FROM deliveries WHERE site_id = ? LIMIT 1", (site_id,)).fetchone() is None


#: The tables that hold something of customers.
ERASED = (
    *("identifiers", "links", "merges", "unties", "traces", "claims", "cart_calls", "persons"),
    *("sketches", "terms", "suspicions"),
    *("failures", "proofs", "deliveries", "events", "scrubs"),
)
