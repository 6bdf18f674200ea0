"""Who works, on PostgreSQL: leases are locks of one session a process, and bells ring in that session too.

A session's locks go when it ends, however it ends: a killed worker's at once, a frozen one's when PostgreSQL has heard
nothing for LEASE_SECONDS. Whoever waits asks every HEARTBEAT_SECONDS. A holder whose session is gone is told, and what
it still does meanwhile is harmless: a position that has moved is not processed again, and a second try of a delivery
carries the same ``unique_id``. A pooler on the way must leave each client a session of its own (PgBouncer: session
mode).
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import AsyncRawCursor

from relay.observe import describe
from relay.store.sessions import Address

log = logging.getLogger("relay.leases")

#: How often the session shows that it lives, and asks for what it does not have.
HEARTBEAT_SECONDS = 2.0
#: After how much silence PostgreSQL ends the session.
LEASE_SECONDS = 15
#: How long a heartbeat may take before the session counts as lost.
ANSWER_SECONDS = 5.0

_Session = psycopg.AsyncConnection[tuple[Any, ...]]


def channel(home: str) -> str:
    """Where the bells of a database's schema ring."""
    return f"backflow_{hashlib.blake2b(home.encode(), digest_size=8).hexdigest()}"


class SessionLeases:
    """The leases of one process. ``hear`` is told the bells that other processes ring."""

    def __init__(
        self, address: Address, home: str, name: str, hear: Callable[[str], None], key: Callable[[str, str], int]
    ) -> None:
        self._address = address
        self._channel = channel(home)
        self._name = name
        self._hear = hear
        self._key = key
        self._wanted: dict[int, asyncio.Future[asyncio.Event]] = {}
        self._held: dict[int, asyncio.Event] = {}
        self._session: asyncio.Task[None] | None = None

    async def take(self, name: str, role: str) -> asyncio.Event:
        """Wait until the role is ours; the event is set when it is lost."""
        if self._session is None:
            self._session = asyncio.create_task(self._stay())
        key = self._key(role, name)
        if key in self._held:
            return self._held[key]
        if key not in self._wanted:
            self._wanted[key] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._wanted[key])

    async def close(self) -> None:
        """Give everything back."""
        if self._session is not None:
            self._session.cancel()
            await asyncio.gather(self._session, return_exceptions=True)
            self._session = None

    async def _stay(self) -> None:
        """Keep a session open; open another when it is lost."""
        while True:
            try:
                async with await self._open() as session:
                    while True:
                        await self._beat(session)
            except Exception as error:
                log.warning("the session that holds the leases is lost", extra={"problem": describe(error)})
            finally:
                for lost in self._held.values():
                    lost.set()
                self._held.clear()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _open(self) -> _Session:
        session: _Session = await psycopg.AsyncConnection.connect(
            **self._address.parameters, autocommit=True, cursor_factory=AsyncRawCursor
        )
        try:
            await session.execute("SELECT set_config('idle_session_timeout', $1, false)", (f"{LEASE_SECONDS}s",))
            await session.execute(f"LISTEN {self._channel}")
        except BaseException:
            await session.close()
            raise
        return session

    async def _beat(self, session: _Session) -> None:
        """Ask for what is wanted, then hear the bells until the next beat."""
        async with asyncio.timeout(ANSWER_SECONDS):
            await session.execute("SELECT 1")
            for key in list(self._wanted):
                row = await (await session.execute("SELECT pg_try_advisory_lock($1)", (key,))).fetchone()
                if row is not None and row[0]:
                    self._held[key] = asyncio.Event()
                    self._wanted.pop(key).set_result(self._held[key])
        async with contextlib.aclosing(session.notifies(timeout=HEARTBEAT_SECONDS)) as bells:
            async for bell in bells:
                ringer, _, name = bell.payload.partition(" ")
                if ringer != self._name:
                    self._hear(name)
