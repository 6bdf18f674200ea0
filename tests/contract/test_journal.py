"""The first door: what was appended is there, whole, in order, for its own site, until it may go."""

import asyncio

import pytest
from msgspec import Raw

from relay.errors import StoreUnavailable
from relay.model import Trust
from relay.pipeline.parse import read_body
from tests import factories
from tests.contract.conftest import OpenStore
from tests.factories import DAY, NOW


def test_an_entry_comes_back_as_it_was_put_in(opened: OpenStore) -> None:
    body = Raw('{"event":"Ünïcode \\u0000 🛒","properties":{"a":[1.5,null,18446744073709551615]}}'.encode())
    message = factories.received(message_id="m", body=body, anonymous_id="a", type="page", occurred_at=NOW - 0.25)
    entry = factories.entry(
        messages=[message], drops={"bot": 2, "unknown_type": 1}, trust=Trust.SERVER, gpc=True, ip=None, user_agent=None,
        visitor_id="anonymous:a", recognition="anonymous_id", received_at=NOW + 0.125,
    )  # fmt: skip
    opened.run(opened.store.append(entry))
    (row,) = opened.entries()
    (stored,) = row.entry.messages
    assert bytes(stored.body) == bytes(body)
    assert read_body(stored) == read_body(message)
    for field in set(entry.__struct_fields__) - {"messages"}:
        assert getattr(row.entry, field) == getattr(entry, field), field
    for field in set(message.__struct_fields__) - {"body"}:
        assert getattr(stored, field) == getattr(message, field), field


def test_a_damaged_row_is_told_as_such_and_hides_none_behind_it(opened: OpenStore) -> None:
    for message_id in ("a", "b", "c"):
        opened.append(messages=[factories.received(message_id=message_id)])
    first, second, third = opened.entries()
    sound = opened.overwrite(second.seq, b"\xa5\x5a" * 20)
    rows = opened.entries()
    assert [row.seq for row in rows] == [first.seq, second.seq, third.seq]
    assert [row.is_damaged for row in rows] == [False, True, False]
    damaged = rows[1].entry
    assert (damaged.site_id, damaged.received_at) == ("shop", second.entry.received_at)
    assert (damaged.messages, damaged.drops) == ([], {"unreadable": 1})
    opened.overwrite(second.seq, sound)
    assert opened.kept_ids() == ["a", "b", "c"]


def test_entries_come_in_the_order_they_were_appended(opened: OpenStore) -> None:
    messages = [factories.received() for _ in range(20)]
    for index, message in enumerate(messages):
        opened.append(messages=[message], received_at=NOW - index)  # the clock may go back, the order does not
    assert opened.kept_ids() == [message.message_id for message in messages]
    positions = [row.seq for row in opened.entries()]
    assert positions == sorted(set(positions))


def test_entries_of_one_request_stay_together_and_in_order(opened: OpenStore) -> None:
    entries = [factories.entry() for _ in range(5)]
    opened.run(opened.store.append(*entries))
    assert opened.kept_ids() == [entry.messages[0].message_id for entry in entries]


def test_appends_at_the_same_time_are_all_kept_once(opened: OpenStore) -> None:
    entries = [factories.entry() for _ in range(200)]

    async def story() -> None:
        await asyncio.gather(*[opened.store.append(entry) for entry in entries])

    opened.run(story())
    assert sorted(opened.kept_ids()) == sorted(entry.messages[0].message_id for entry in entries)


def test_reading_goes_on_behind_a_position_and_up_to_a_limit(opened: OpenStore) -> None:
    for _ in range(5):
        opened.append()
    rows = opened.entries()
    assert opened.entries(after=rows[1].seq, limit=2) != []
    assert [row.seq for row in opened.entries(after=rows[1].seq, limit=2)] == [rows[2].seq, rows[3].seq]
    assert opened.entries(after=rows[-1].seq) == []
    assert len(opened.entries(limit=1)) == 1


def test_a_site_sees_its_own_entries_only(opened: OpenStore) -> None:
    for site_id in ("shop", "other", "shop"):
        opened.append(site_id=site_id)
    assert (len(opened.entries("shop")), len(opened.entries("other")), opened.entries("third")) == (2, 1, [])
    assert {row.entry.site_id for row in opened.entries("shop")} == {"shop"}


def test_entries_outlive_the_process(opened: OpenStore) -> None:
    opened.append()
    ids = opened.kept_ids()
    opened.reopen()
    assert opened.kept_ids() == ids


# --- what may go -----------------------------------------------------------------------------------------------------


def test_trim_takes_only_what_is_processed_and_old(opened: OpenStore) -> None:
    ages = [9, 8, 1, 9]
    for age in ages:
        opened.append(received_at=NOW - age * DAY)
    seqs = [row.seq for row in opened.entries()]
    assert opened.run(opened.store.trim("shop", seqs[2], NOW - 7 * DAY)) == 2
    assert [row.seq for row in opened.entries()] == seqs[2:]


def test_nothing_unprocessed_is_trimmed_however_old(opened: OpenStore) -> None:
    opened.append(received_at=NOW - 400 * DAY)
    assert opened.run(opened.store.trim("shop", 0, NOW)) == 0
    assert len(opened.entries()) == 1


def test_trim_leaves_other_sites_alone(opened: OpenStore) -> None:
    opened.append(site_id="other", received_at=NOW - 9 * DAY)
    (row,) = opened.entries("other")
    assert opened.run(opened.store.trim("shop", row.seq, NOW)) == 0
    assert len(opened.entries("other")) == 1


def test_positions_are_not_given_again_after_trimming(opened: OpenStore) -> None:
    opened.append(received_at=NOW - 9 * DAY)
    (row,) = opened.entries()
    opened.run(opened.store.trim("shop", row.seq, NOW))
    opened.reopen()
    opened.append()
    assert opened.entries()[0].seq > row.seq


# --- erasure ---------------------------------------------------------------------------------------------------------


def with_text(text: str) -> dict[str, object]:
    return {"messages": [factories.received(body=Raw(f'{{"traits":{{"email":"{text}"}}}}'.encode()))]}


def test_scrub_takes_processed_entries_that_hold_the_address(opened: OpenStore) -> None:
    for text in ("jane@shop.example", "JANE@Shop.Example", "john@shop.example", "jane@shop.example"):
        opened.append(**with_text(text))
    rows = opened.entries()
    opened.do(lambda tx: tx.ledger.advance("shop", rows[2].seq))
    assert opened.run(opened.store.scrub("shop", ["jane@shop.example"])) == 2
    # The last one is still to be processed: the erasure's hash keeps it from bringing the person back.
    assert [row.seq for row in opened.entries()] == [rows[2].seq, rows[3].seq]


def test_scrub_leaves_other_sites_alone(opened: OpenStore) -> None:
    opened.append(site_id="other", **with_text("jane@shop.example"))
    opened.do(lambda tx: tx.ledger.advance("other", 10))
    opened.do(lambda tx: tx.ledger.advance("shop", 10))
    assert opened.run(opened.store.scrub("shop", ["jane@shop.example"])) == 0
    assert len(opened.entries("other")) == 1


# --- the end ---------------------------------------------------------------------------------------------------------


def test_a_closed_store_takes_nothing_more(opened: OpenStore) -> None:
    opened.append()
    opened.run(opened.store.close())
    opened.run(opened.store.close())  # twice is no fault
    for story in (
        lambda: opened.store.append(factories.entry()),
        lambda: opened.store.entries("shop", 0, 1),
        lambda: opened.store.trim("shop", 1, NOW),
        lambda: opened.store.transact(lambda tx: None),
        lambda: opened.store.check(),
    ):
        with pytest.raises(StoreUnavailable):
            opened.run(story())


def test_closing_finishes_what_is_queued(opened: OpenStore) -> None:
    entries = [factories.entry() for _ in range(50)]

    async def story() -> list[BaseException | None]:
        appends = [asyncio.ensure_future(opened.store.append(entry)) for entry in entries]
        await asyncio.sleep(0)
        await opened.store.close()
        return list(await asyncio.gather(*appends, return_exceptions=True))

    outcomes = opened.run(story())
    opened.reopen()
    assert outcomes == [None] * 50
    assert len(opened.entries()) == 50


def test_a_store_that_can_write_says_so(opened: OpenStore) -> None:
    opened.run(opened.store.check())
    assert opened.entries() == []
