"""What comes back from sending one delivery, and what every station reads of a claimed one."""

from msgspec import Struct

from relay.delivery.policy import Outcome, Skipped
from relay.klaviyo.answer import NOT_SENT, Answer
from relay.model import Proof, Reason, Recipient
from relay.store.rows import Claimed


class Sent(Struct, frozen=True, kw_only=True):
    """How sending one delivery ended. ``outcome`` None: as ``policy.outcome`` reads the answer."""

    answer: Answer
    outcome: Outcome | None = None


def skipped(reason: Reason) -> Sent:
    """Klaviyo must not be told after all, and was not."""
    return Sent(answer=NOT_SENT, outcome=Skipped(reason))


def recipient(delivery: Claimed) -> Recipient:
    return delivery.recipient or Recipient()


def proof(delivery: Claimed) -> Proof:
    """Why Klaviyo is told: travels on the event itself."""
    return Proof(reason=delivery.cause, evidence=delivery.evidence, confidence=delivery.confidence)
