"""One SQLite file: its writing thread, whose commits are shared, and a reading connection beside it.

Requests that arrive while a commit is being synced share the next one (group commit without a timer: a timer brings
nothing, as measured). WAL with synchronous=FULL: a commit that returned is on disk.
"""

import asyncio
import queue
import sqlite3
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from relay.errors import StoreBusy, StoreUnavailable
from relay.store.checkpoints import PAGES, Checkpoints
from relay.store.files import connect, naming, told

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]

#: Requests that may wait for the journal before callers are told to come back (503).
MAX_QUEUED = 1000
#: Requests that share one commit at most: bounds how long the first of them waits.
MAX_GROUP = 256


class _Job:
    """A piece of work for the writer and where its outcome goes."""

    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None

    def finish(self) -> None:
        if self.future.cancelled():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Writer:
    """One file's writing thread, and a reading connection beside it.

    With ``shared_commits`` jobs that wait together are committed together: right for appends, which cannot fail
    one by one. Otherwise each job is a transaction of its own.
    """

    def __init__(self, path: Path, *, shared_commits: bool) -> None:
        """Raises StoreUnavailable."""
        self._path = path
        self._limit = MAX_GROUP if shared_commits else 1
        self._jobs: queue.Queue[_Job | None] = queue.Queue(MAX_QUEUED)
        with naming(path):
            self._connection = connect(path, carry_over_at=PAGES)
            self._reader = connect(path)
            self._checkpoints = Checkpoints(path)
        self._reading = ThreadPoolExecutor(1, f"reader {path.name}")
        self._is_broken = False
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._work, name=f"writer {path.name}", daemon=True)
        self._thread.start()

    async def run(self, work: Work) -> Any:
        """Run ``work`` in a transaction; returns its result after the commit."""
        job = _Job(work, asyncio.get_running_loop())
        with self._closing:  # what is queued is queued before the end, so somebody will take it up
            if self._closed:
                raise StoreUnavailable("the store is closed")
            try:
                self._jobs.put_nowait(job)
            except queue.Full:
                raise StoreBusy("the write queue is full") from None
        return await job.future

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a thread and on a connection of its own, on one state of the file."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reading, self._read, work)
        except RuntimeError as error:  # the executor's word for being shut down
            raise StoreUnavailable("the store is closed") from error
        except sqlite3.Error as error:
            raise told(error) from error

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._reader.execute("BEGIN")
        try:
            return work(self._reader)
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # as in _commit
            raise
        finally:
            self._reader.execute("ROLLBACK")

    def close(self) -> None:
        """Finish what is queued, then close the file."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._jobs.put(None)
        self._thread.join()
        self._reading.shutdown()
        self._checkpoints.close()
        self._connection.close()
        self._reader.close()

    def _work(self) -> None:
        while (group := self._next_group()) is not None:
            rows = self._commit(group)
            # One call into the loop wakes every request of the group.
            group[0].loop.call_soon_threadsafe(_finish, group)
            self._checkpoints.after_commit(rows)

    def _next_group(self) -> list[_Job] | None:
        first = self._jobs.get()
        if first is None:
            return None
        group = [first]
        while len(group) < self._limit:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            group.append(job)
        return group

    def _commit(self, group: list[_Job]) -> int:
        """How many rows were written."""
        try:
            if self._is_broken:
                self._connection = connect(self._path, carry_over_at=PAGES)
                self._is_broken = False
            before = self._connection.total_changes
            self._connection.execute("BEGIN IMMEDIATE")
            for job in group:
                result = job.work(self._connection)
                # A cursor must die in this thread: freed by another one, it breaks the statement at work here.
                job.result = None if isinstance(result, sqlite3.Cursor) else result
                del result
            self._connection.execute("COMMIT")
            return self._connection.total_changes - before
        except BaseException as error:  # every job must hear of it, whatever it was
            traceback.clear_frames(error.__traceback__)  # they may hold cursors
            self._roll_back()
            failure = told(error)
            for job in group:
                job.error = failure
            return 0

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            # The connection is of no use any more (the disk is gone): the next job gets a new one.
            self._connection.close()
            self._is_broken = True


def _finish(group: list[_Job]) -> None:
    for job in group:
        job.finish()
