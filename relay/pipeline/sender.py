"""Where a message came from, as far as identity is concerned."""

from msgspec import Struct

from relay.identity.evidence import Evidence, Recognition
from relay.identity.traces import Trace
from relay.model import Trust


class Sender(Struct, frozen=True, kw_only=True):
    """The caller of one message. ``now`` is when it is processed; ``off`` what the site does not trust at present."""

    trust: Trust
    visitor_id: str | None
    recognition: Recognition
    now: float
    traces: tuple[Trace, ...] = ()
    address: str | None = None  #: the IP address where it is a public one: counted by, never kept
    network: str | None = None
    browser: str | None = None
    off: frozenset[Evidence] = frozenset()
