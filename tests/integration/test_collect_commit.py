"""A 2xx means committed: nothing is answered before its commit, and what cannot be kept is a 503 and comes back."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay.store import journal
from tests.factories import ORIGIN, SERVER_KEY, call
from tests.integration.door import Answer, Door


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with Door(tmp_path) as door:
        yield door


def committed(door: Door) -> int:
    """How many rows another process would find in the journal."""
    with closing(sqlite3.connect(door.store.journal_path)) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM journal").fetchone()
        return int(rows)


def body_of(message: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"batch": [message], "writeKey": SERVER_KEY})


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until ``condition`` holds."""
    while not condition():  # noqa: ASYNC110 - it comes true in another thread, which knows no asyncio.Event
        await asyncio.sleep(0)


def test_event_is_not_acknowledged_before_commit(door: Door) -> None:
    at_answer: list[int] = []
    gate, holds = threading.Event(), threading.Event()

    def hold(connection: sqlite3.Connection) -> None:
        holds.set()
        assert gate.wait(30)

    def note(event: MutableMapping[str, Any]) -> None:
        at_answer.append(committed(door))

    async def story() -> Answer:
        blocked = asyncio.create_task(door.store._journal.run(hold))
        await until(holds.is_set)
        request = asyncio.create_task(door.call("POST", "/v1/batch", [body_of(call())], {}, on_send=note))
        await until(lambda: door.store._journal._jobs.qsize() == 1)
        assert (at_answer, committed(door)) == ([], 0)
        gate.set()
        await blocked
        return await request

    try:
        answer = door.run(story())
    finally:
        gate.set()
    assert answer.status == 200
    assert at_answer == [1, 1]


def test_every_request_of_a_shared_commit_is_committed_before_its_answer(door: Door) -> None:
    seen: list[bool] = []

    async def request(message: dict[str, Any]) -> Answer:
        def note(event: MutableMapping[str, Any]) -> None:
            with closing(sqlite3.connect(door.store.journal_path)) as connection:
                rows = connection.execute("SELECT site_id, body FROM journal").fetchall()
            kept = [journal.opened(door.store._keys, site_id, body) for site_id, body in rows]
            seen.append(message["messageId"] in {each.message_id for entry in kept for each in entry.messages})

        return await door.call("POST", "/v1/batch", [body_of(message)], {}, on_send=note)

    async def story() -> list[Answer]:
        return list(await asyncio.gather(*[request(call()) for _ in range(40)]))

    assert {answer.status for answer in door.run(story())} == {200}
    assert seen == [True] * 80


def test_a_full_queue_is_a_503_and_loses_nothing_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.store.writer.MAX_QUEUED", 3)
    gate, holds = threading.Event(), threading.Event()

    def hold(connection: sqlite3.Connection) -> None:
        holds.set()
        assert gate.wait(30)

    with Door(tmp_path) as door:

        async def story() -> list[Answer]:
            blocked = asyncio.create_task(door.store._journal.run(hold))
            await until(holds.is_set)
            requests = [
                asyncio.create_task(door.call("POST", "/v1/batch", [body_of(call())], {"origin": ORIGIN}))
                for _ in range(5)
            ]
            await until(lambda: sum(request.done() for request in requests) == 2)
            gate.set()
            await blocked
            return [await request for request in requests]

        try:
            answers = door.run(story())
        finally:
            gate.set()
        busy = [answer for answer in answers if answer.status == 503]
        assert len(busy) == 2
        assert busy[0].error["code"] == "busy"
        assert busy[0].header("retry-after") == "5"
        assert busy[0].header("access-control-allow-origin") == ORIGIN
        assert sorted(answer.status for answer in answers) == [200, 200, 200, 503, 503]
        assert len(door.kept_ids()) == 3


def test_a_caller_who_goes_away_while_waiting_harms_nobody(door: Door) -> None:
    async def story() -> Answer:
        gone = asyncio.create_task(door.call("POST", "/v1/batch", [body_of(call())], {}))
        await until(lambda: len(asyncio.all_tasks()) > 1)
        gone.cancel()
        return await door.call("POST", "/v1/batch", [body_of(call())], {})

    assert door.run(story()).status == 200


def test_the_bell_rings_after_the_commit_and_only_for_what_was_kept(door: Door) -> None:
    rung: list[tuple[str, int]] = []
    door.relay._collect._intake._journal_rings = lambda site_id: rung.append((site_id, committed(door)))
    door.browser([call()])
    door.browser([])
    door.browser([call()], origin="https://evil.example")
    door.browser([call()])
    assert rung == [("shop", 1), ("shop", 2)]


# --- a database that cannot be written -------------------------------------------------------------------------------


def pragma(door: Door, name: str, value: int) -> None:
    """Set a pragma on the connection that writes the journal, while it is idle."""
    door.store._journal._connection.execute(f"PRAGMA {name} = {value}").close()


def big(index: int) -> bytes:
    return body_of(call(properties={"text": f"{index}" * 30_000}))


def assert_unavailable(answer: Answer) -> None:
    assert (answer.status, answer.error["code"]) == (503, "unavailable")
    assert answer.header("retry-after") == "5"
    assert answer.cookie is None
    assert "sqlite" not in answer.body.decode().lower()


def test_a_full_disk_is_a_503_until_there_is_room(door: Door) -> None:
    assert door.post("/v1/batch", body_of(call())).status == 200
    pages = door.run(door.store._journal.run(lambda c: c.execute("PRAGMA page_count").fetchone()[0]))
    pragma(door, "max_page_count", pages)
    for index in range(3):
        assert_unavailable(door.post("/v1/batch", big(index)))
    assert committed(door) == 1
    pragma(door, "max_page_count", 1_000_000)
    assert door.post("/v1/batch", big(4)).status == 200
    assert committed(door) == 2


def test_a_read_only_database_is_a_503_until_it_is_mended(door: Door) -> None:
    pragma(door, "query_only", 1)
    assert_unavailable(door.browser([call()]))
    assert committed(door) == 0
    pragma(door, "query_only", 0)
    assert door.browser([call()]).status == 200
    assert committed(door) == 1


def test_a_database_locked_by_another_is_a_503_until_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.files.BUSY_SECONDS", 0.05)
    with Door(tmp_path) as door:
        with closing(sqlite3.connect(door.store.journal_path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert_unavailable(door.browser([call()]))
            other.execute("ROLLBACK")
        assert door.browser([call()]).status == 200
        assert committed(door) == 1


def test_a_closed_store_is_a_503(door: Door) -> None:
    door.run(door.store.close())
    assert_unavailable(door.browser([call()]))


def test_a_connection_of_no_use_is_replaced(door: Door) -> None:
    # As after an I/O error that leaves the transaction in an unknown state.
    door.store._journal._connection.close()
    assert_unavailable(door.browser([call()]))
    assert door.browser([call()]).status == 200
    assert committed(door) == 1


def test_a_database_that_cannot_even_be_opened_again_is_asked_each_time(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: Path, **options: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    door.store._journal._connection.close()
    with monkeypatch.context() as patched:
        patched.setattr("relay.store.writer.connect", gone)
        for _ in range(3):
            assert_unavailable(door.browser([call()]))
    assert door.browser([call()]).status == 200


def test_a_server_request_of_many_visitors_is_kept_whole_or_not_at_all(door: Door) -> None:
    pages = door.run(door.store._journal.run(lambda c: c.execute("PRAGMA page_count").fetchone()[0]))
    pragma(door, "max_page_count", pages)
    messages = [call(anonymousId=f"visitor-{n}", properties={"text": "x" * 3000}) for n in range(20)]
    assert_unavailable(door.server(messages))
    assert committed(door) == 0
    pragma(door, "max_page_count", 1_000_000)
    assert door.server(messages).status == 200
    assert committed(door) == 20


def test_processing_that_holds_the_state_does_not_hold_up_collecting(door: Door) -> None:
    gate, holds = threading.Event(), threading.Event()

    def hold(tx: object) -> None:
        holds.set()
        assert gate.wait(30)

    async def story() -> Answer:
        processing = asyncio.create_task(door.store.transact(hold))
        await until(holds.is_set)
        answer = await door.call("POST", "/v1/batch", [body_of(call())], {})
        gate.set()
        await processing
        return answer

    try:
        assert door.run(story()).status == 200
    finally:
        gate.set()
