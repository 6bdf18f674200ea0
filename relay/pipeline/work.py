"""One message on its way through the processor."""

from msgspec import Struct

from relay.config import Site
from relay.identity.claims import Claims
from relay.identity.evidence import Evidence
from relay.identity.resolve import Resolution
from relay.model import Commerce, Kind, KlaviyoState, Message, Reason
from relay.pipeline import consent
from relay.pipeline.instructions import Instructions
from relay.store.base import Transaction
from relay.store.rows import Entry


class End(Struct, frozen=True):
    """A message goes no further: a duplicate, or dropped for ``reason``."""

    name: str
    reason: str = ""


class Work(Struct, kw_only=True):
    """One message on its way through the steps; each step fills in what it finds."""

    tx: Transaction
    site: Site
    entry: Entry
    message: Message
    now: float
    secrets: tuple[str, ...] = ()  #: that our own link tokens are signed with, newest first
    off: frozenset[Evidence] = frozenset()  #: what the site does not trust at present
    permission: consent.Permission = consent.EVERYTHING
    commerce: Commerce = Commerce(kind=Kind.OTHER, name="")
    klaviyo: KlaviyoState = KlaviyoState()
    claims: Claims = Claims()
    instructions: Instructions = Instructions()
    event_id: int | None = None
    resolution: Resolution = Resolution(reason=Reason.NO_IDENTITY)
    is_named: bool = False
    has_news: bool = False
