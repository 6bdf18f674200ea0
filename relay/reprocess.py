"""Once a fault of ours is mended: the messages it had stopped go through the journal once more."""

from collections.abc import Sequence
from functools import partial

import msgspec

from relay.config import Site
from relay.store.base import Store, Transaction
from relay.store.rows import JournalRow

#: Messages taken up at once.
GROUP = 100


async def reprocess(store: Store, sites: Sequence[Site]) -> int:
    """Put messages whose processing failed back into the journal; how many. Raises StoreError.

    As they were received, so with the identity and the time they came with. They are put back before they are
    forgotten: after a crash in between they come twice, and the second is a duplicate by its message ID. What the
    journal has not kept (see ``store.retention``) cannot come back.
    """
    n = 0
    for site in sites:
        n += await _restored(store, site.site_id)
        while failed := await store.read(partial(_failures, site_id=site.site_id)):
            for seq, message_ids in failed.items():
                for row in await store.entries(site.site_id, seq - 1, 1):
                    if row.seq != seq:
                        continue
                    if row.is_damaged:  # only since its messages have failed
                        await store.transact(partial(_note_unreadable, row=row), site.site_id)
                    messages = [m for m in row.entry.messages if m.message_id in message_ids]
                    await store.append(msgspec.structs.replace(row.entry, messages=messages, drops={}))
                    n += len(messages)
                forget = partial(_forget, site_id=site.site_id, seq=seq, message_ids=message_ids)
                await store.transact(forget, site.site_id)
    return n


async def _restored(store: Store, site_id: str) -> int:
    """Put back what can be read again of the rows that were damaged; how many messages. The others stay set aside."""
    n = 0
    for seq in await store.read(lambda tx: tx.ledger.unreadable(site_id)):
        found = [row for row in await store.entries(site_id, seq - 1, 1) if row.seq == seq]
        if any(row.is_damaged for row in found):
            continue
        for row in found:
            await store.append(row.entry)
            n += len(row.entry.messages)
        await store.transact(partial(_forget, site_id=site_id, seq=seq, message_ids={""}), site_id)
    return n


def _note_unreadable(tx: Transaction, *, row: JournalRow) -> None:
    tx.ledger.note_unreadable(row.entry.site_id, row.seq, at=row.entry.received_at)


def _failures(tx: Transaction, *, site_id: str) -> dict[int, set[str]]:
    return tx.ledger.failures(site_id, GROUP)


def _forget(tx: Transaction, *, site_id: str, seq: int, message_ids: set[str]) -> None:
    tx.ledger.forget_failures(site_id, seq, message_ids)
