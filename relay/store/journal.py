"""What a row of the journal holds: one request as JSON, sealed. And how rows that name somebody are found."""

from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

import msgspec

from relay.store import vault
from relay.store.connection import Connection
from relay.store.keyring import Keyring
from relay.store.rows import Entry
from relay.store.vault import Unreadable

T = TypeVar("T")

_PLACE = "journal.body"
#: Rows that are opened in one go while looking for words, and rows deleted by one statement.
CHUNK = 500
_entries = msgspec.json.Decoder(Entry)


def sealed(keys: Keyring, entry: Entry) -> bytes:
    """A request as its row holds it."""
    return keys.of(entry.site_id).seal(_PLACE, msgspec.json.encode(entry))


def opened(keys: Keyring, site_id: str, body: bytes) -> Entry:
    """The request in a row. Raises Unreadable, whether it does not open or is no request."""
    return decoded(_text(keys, site_id, body))


def decoded(text: bytes) -> Entry:
    """Raises Unreadable."""
    try:
        return _entries.decode(text)
    except (msgspec.DecodeError, ValueError):
        raise Unreadable("a journal row holds no request") from None


def search(
    keys: Keyring, site_id: str, marks: Collection[str], after: int, connection: Connection
) -> tuple[list[tuple[int, bytes]], int | None]:
    """Of the next rows behind ``after`` those that hold one of ``marks``, opened; and where to go on, None at the end.

    A row that does not open tells nobody anything, and is passed over.
    """
    rows = connection.execute(
        "SELECT seq, body FROM journal WHERE site_id = ? AND seq > ? ORDER BY seq LIMIT ?", (site_id, after, CHUNK)
    ).fetchall()
    wanted = [mark.lower().encode() for mark in marks]
    found = []
    for seq, body in rows:
        try:
            text = _text(keys, site_id, body)
        except Unreadable:
            continue
        spoken = _spoken(text)
        if any(mark in spoken for mark in wanted):
            found.append((seq, text))
    return found, rows[-1][0] if len(rows) == CHUNK else None


def groups(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """``rows`` in pieces of CHUNK."""
    return (rows[n : n + CHUNK] for n in range(0, len(rows), CHUNK))


def _text(keys: Keyring, site_id: str, body: bytes) -> bytes:
    # A relay of the version before, which may still collect beside this one, does not seal.
    return keys.of(site_id).open(_PLACE, body) if vault.is_sealed(body) else body


def _spoken(text: bytes) -> bytes:
    """The row in lower case, with nothing written as an escape: some callers write ``+`` or ``@`` as one."""
    if b"\\u" in text:
        try:
            text = msgspec.json.encode(msgspec.json.decode(text))
        except (msgspec.DecodeError, ValueError):
            return text.lower()
    return text.decode("utf-8", "replace").lower().encode()
