"""The journal as the plain routes reach it: what they answer with a 2xx is on disk."""

import logging
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from relay.errors import RequestRefused, StoreBusy, StoreError
from relay.observe import describe
from relay.pipeline.parse import EARLIEST, Received
from relay.store.base import Store
from relay.store.rows import Entry

log = logging.getLogger("relay.collect")

RETRY_AFTER_SECONDS = 5


async def keep(store: Store, entry: Entry) -> None:
    """Commit ``entry``. Raises RequestRefused (503) when it cannot be kept now."""
    try:
        await store.append(entry)
    except StoreError as error:
        raise unavailable(error) from None


def unavailable(error: StoreError) -> RequestRefused:
    """The answer (503) when the database does not do what was asked; the log says why."""
    log.error("a request could not be kept", extra={"problem": describe(error)})
    code = "busy" if isinstance(error, StoreBusy) else "unavailable"
    return RequestRefused(503, code, "cannot be kept now", retry_after=RETRY_AFTER_SECONDS)


def received(message: Mapping[str, Any], at: float) -> Received:
    """A message of the relay's own making in the form the journal holds; ``at`` in epoch seconds."""
    body = Raw(msgspec.json.encode({name: value for name, value in message.items() if name != "messageId"}))
    message_id = message.get("messageId") or str(uuid.uuid4())
    return Received(message["type"], message_id, max(at, EARLIEST), body)
