"""What the store holds, row by row."""

from collections.abc import Callable

from msgspec import Struct

from relay.delivery.states import State
from relay.model import DeliveryKind, DropReason, Reason, Recipient, Trust
from relay.pipeline.parse import Received


class Entry(Struct, frozen=True, kw_only=True):
    """One request as the journal holds it. ``drops`` counts the messages refused at the door, by reason."""

    site_id: str
    received_at: float
    trust: Trust
    messages: list[Received] = []
    drops: dict[str, int] = {}
    visitor_id: str | None = None
    recognition: str = "none"
    ip: str | None = None
    user_agent: str | None = None
    gpc: bool = False
    is_history: bool = False  #: of long ago: recorded, never the beginning of a flow


class JournalRow(Struct, frozen=True):
    seq: int
    entry: Entry
    is_damaged: bool = False  #: its bytes cannot be read: the entry has no messages, and one drop that says so

    @classmethod
    def read(
        cls, seq: int, site_id: str, received_at: float, body: bytes, opened: Callable[[bytes], Entry]
    ) -> "JournalRow":
        """A row as it is stored. One that ``opened`` cannot read must not stop those behind it, whatever is wrong."""
        try:
            return cls(seq, opened(body))
        except Exception:
            drops: dict[str, int] = {DropReason.UNREADABLE: 1}
            blank = Entry(site_id=site_id, received_at=received_at, trust=Trust.BROWSER, drops=drops)
            return cls(seq, blank, is_damaged=True)


class StoredEvent(Struct, frozen=True, kw_only=True):
    """An accepted event. ``body`` is a ``model.Kept`` as JSON; ``source`` the trust it came with."""

    site_id: str
    source: Trust
    message_id: str
    visitor_id: str | None
    kind: str
    name: str
    occurred_at: float
    received_at: float
    body: bytes


class Draft(Struct, frozen=True, kw_only=True):
    """A delivery to be put into the outbox.

    ``reason`` says why it stands in its state, ``cause`` why Klaviyo is told at all. ``payload`` is what a delivery
    without an event needs to be sent; of an event it is the address that the call itself named (a ``Recipient``).
    """

    site_id: str
    kind: DeliveryKind
    unique_id: str
    state: State
    reason: Reason
    cause: Reason
    occurred_at: float
    created_at: float
    due_at: float
    event_id: int | None = None
    commerce_kind: str = ""
    metric: str = ""
    action: str = ""
    line: int | None = None
    visitor_id: str | None = None
    person_id: str | None = None
    evidence: str = ""
    confidence: float = 0.0
    backfill: bool = False
    payload: str | None = None
    recipient: bytes | None = None  #: whom it names from the start: consent is an address's
    proof: str | None = None  #: what its resolution rests on (``identity.resolve.Sign`` as JSON)

    @classmethod
    def errand(
        cls,
        kind: DeliveryKind,
        *,
        site_id: str,
        unique_id: str,
        reason: Reason,
        payload: str,
        occurred_at: float,
        now: float,
        person_id: str | None = None,
    ) -> "Draft":
        """Something to ask of Klaviyo that is no event and no profile: due at once.

        An erasure names its person: it is the last thing told of them (``Dispatch.claim``).
        """
        return cls(
            site_id=site_id,
            kind=kind,
            unique_id=unique_id,
            state=State.READY,
            reason=reason,
            cause=reason,
            occurred_at=occurred_at,
            created_at=now,
            due_at=now,
            payload=payload,
            person_id=person_id,
        )


class Unsent(Struct, frozen=True, kw_only=True):
    """A delivery that has not left yet, as late identity and native replays look at it."""

    delivery_id: int
    kind: DeliveryKind
    state: State
    cause: Reason
    commerce_kind: str
    evidence: str
    confidence: float
    visitor_id: str | None
    person_id: str | None
    occurred_at: float
    created_at: float
    due_at: float
    backfill: bool
    is_tried: bool = False  #: Klaviyo may have it already
    source: Trust | None = None  #: who has told its event; None: it has none


class Want(Struct, frozen=True, kw_only=True):
    """What a claim asks for: up to ``limit`` deliveries of one kind, due in ``[due_since, due_before)``."""

    kind: DeliveryKind
    limit: int
    due_since: float = 0.0
    due_before: float = float("inf")
    untried: bool | None = None  #: only those that were never sent (True), or only those that were (False)


class Dying(Struct, frozen=True, kw_only=True):
    """Dead deliveries that died of the same thing."""

    what: str  #: the metric without the suffix, or the kind
    reason: Reason
    status: int | None
    error: str | None
    n: int
    first_at: float
    last_at: float


class Claimed(Struct, frozen=True, kw_only=True):
    """A delivery this worker holds the lease of, with everything needed to send it."""

    delivery_id: int
    site_id: str
    kind: DeliveryKind
    unique_id: str
    metric: str
    action: str
    line: int | None
    occurred_at: float
    attempts: int  #: tries begun, this one included
    first_attempt_at: float
    is_first: bool  #: Klaviyo cannot have seen it on an earlier try
    cause: Reason
    evidence: str
    confidence: float
    backfill: bool
    person_id: str | None
    payload: str | None
    recipient: Recipient | None
    is_own: bool  #: the recipient's address is the person's now, not another that the call had named, or a former one
    event: bytes | None  #: the event as kept (``model.Kept`` as JSON)


class Pause(Struct, frozen=True):
    """Klaviyo refuses the key for this scope until the operator mends it; asked again at ``until``."""

    scope: str
    until: float
    reason: str
    since: float


class Scrub(Struct, frozen=True):
    """An erasure whose rows may still be in the journal: those that hold one of ``marks``."""

    reference: str
    erased_at: float
    marks: tuple[str, ...]


class Audited(Struct, frozen=True, kw_only=True):
    """One request about a person's data: nothing in it tells who that was."""

    at: float
    action: str  #: ``erasure`` or ``export``
    asked_by: str
    subject: str  #: the beginning of a keyed hash: the same for the same person
    counts: dict[str, int]
