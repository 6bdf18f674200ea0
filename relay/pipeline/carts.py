"""An order may be told before the cart it came from: what the shop's server says waits for the browser's word.

A browser's messages may be delayed, kept in its queue until the next page. The server's call is remembered by the hash
of its cart and checkout; a browser that turns out to have had them at that time is tied as if it had spoken first.
"""

from relay.identity.resolve import Resolution
from relay.identity.traces import TraceKind, holder
from relay.model import Message, Trust
from relay.pipeline.sender import Sender
from relay.store.base import Transaction
from relay.store.traces import CartCall

_KINDS = (TraceKind.CART, TraceKind.CHECKOUT)


def browser_of(tx: Transaction, site_id: str, sender: Sender, at: float) -> str | None:
    """The visitor that a server's call about a cart comes from; None where that is not certain."""
    if sender.trust is not Trust.SERVER:
        return None
    return holder([tx.traces.jars(site_id, trace) for trace in sender.traces if trace.kind in _KINDS], at)


def remember(tx: Transaction, site_id: str, message: Message, sender: Sender, named: Resolution) -> None:
    """A server's call has named its person and its cart, and no browser is known to have that (``browser_of``)."""
    carts = [trace for trace in sender.traces if trace.kind in _KINDS]
    if sender.trust is not Trust.SERVER or not carts or named.person_id is None or named.sign is None:
        return
    call = CartCall(
        message_id=message.message_id,
        person_id=named.person_id,
        evidence=named.sign.evidence,
        at=message.occurred_at,
    )
    tx.traces.note_call(site_id, carts, call, now=sender.now)


def answered(tx: Transaction, site_id: str, visitor_id: str, sender: Sender) -> list[CartCall]:
    """The server's calls that came from this visitor, as is clear now, the oldest first. Each is answered once."""
    if sender.trust is not Trust.BROWSER:
        return []
    found = {
        call.message_id: call
        for trace in sender.traces
        if trace.kind in _KINDS
        for call in tx.traces.calls(site_id, trace)
        if holder(tx.traces.jars_of_call(site_id, call), call.at) == visitor_id
    }
    for message_id in found:
        tx.traces.end_call(site_id, message_id)
    return sorted(found.values(), key=lambda call: call.at)
