"""Once a fault of ours is mended: the messages it had stopped go through the journal once more."""

from collections.abc import Sequence
from functools import partial

import msgspec

from relay.config import Site
from relay.store.base import Store, Transaction

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
        while failed := await store.read(partial(_failures, site_id=site.site_id)):
            for seq, message_ids in failed.items():
                for row in await store.entries(site.site_id, seq - 1, 1):
                    if row.seq != seq:
                        continue
                    messages = [m for m in row.entry.messages if m.message_id in message_ids]
                    await store.append(msgspec.structs.replace(row.entry, messages=messages, drops={}))
                    n += len(messages)
                forget = partial(_forget, site_id=site.site_id, seq=seq, message_ids=message_ids)
                await store.transact(forget, site.site_id)
    return n


def _failures(tx: Transaction, *, site_id: str) -> dict[int, set[str]]:
    return tx.ledger.failures(site_id, GROUP)


def _forget(tx: Transaction, *, site_id: str, seq: int, message_ids: set[str]) -> None:
    tx.ledger.forget_failures(site_id, seq, message_ids)
