"""PostgreSQL sessions: where they lead, what they promise, when they are given up."""

from collections.abc import Callable
from typing import Any

import psycopg
from msgspec import Struct
from psycopg import RawCursor
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool

from relay.errors import SettingsError, StoreUnavailable
from relay.store.dialect import Session, adapt, told

#: How long opening a session may take, and how long a caller waits for a free one, in seconds.
CONNECT_SECONDS = 5
#: How long the pool tries on its own; the next caller makes it try again, so an outage of hours ends in seconds.
RECONNECT_SECONDS = 3.0
#: How long a relay may do nothing inside a transaction before PostgreSQL ends it: a frozen one must not hold locks.
IDLE_IN_TRANSACTION_SECONDS = 60
#: A server that has gone without a word is noticed within about 25 s (TCP only).
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
#: PostgreSQL 14 is the first that ends idle sessions: that is how a frozen worker loses its leases.
OLDEST = 140_000


class Address(Struct, frozen=True):
    """What ``RELAY_DATABASE_URL`` says, in libpq's words, and how it may be shown."""

    parameters: dict[str, Any]
    shown: str


def address(url: str) -> Address:
    """Raises SettingsError for a URL libpq does not understand; its text never holds the URL, which has a password."""
    try:
        given = {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
        int(str(given.get("port", 5432)).partition(",")[0])
    except (psycopg.Error, ValueError):
        problem = "expected postgresql://user:password@host:5432/database"
        raise SettingsError("RELAY_DATABASE_URL", problem) from None
    if "@" in str(given.get("host", "")):  # what stands before it there is the end of the password
        raise SettingsError("RELAY_DATABASE_URL", "expected one @, before the host; in a password it is written %40")
    user = f"{given['user']}@" if "user" in given else ""
    port = f":{given['port']}" if "port" in given else ""
    shown = f"postgresql://{user}{given.get('host', 'localhost')}{port}/{given.get('dbname', '')}"
    defaults = {"connect_timeout": CONNECT_SECONDS, "application_name": "backflow", **_KEEPALIVE}
    return Address({**defaults, **given, "client_encoding": "UTF8"}, shown)


def open_session(where: Address, *, statement_seconds: float) -> Session:
    """One session of its own. Raises psycopg.Error."""
    session: Session = psycopg.connect(**where.parameters, autocommit=True, cursor_factory=RawCursor)
    promise(session, statement_seconds)
    return session


def open_pool(where: Address, size: int, *, statement_seconds: float) -> ConnectionPool[Session]:
    """Up to ``size`` sessions, opened when they are needed."""

    def configure(session: Session) -> None:
        promise(session, statement_seconds)

    return ConnectionPool(
        kwargs={**where.parameters, "autocommit": True, "cursor_factory": RawCursor},
        min_size=1,
        max_size=size,
        configure=configure,
        check=is_there,
        timeout=CONNECT_SECONDS,
        reconnect_timeout=RECONNECT_SECONDS,
        num_workers=1,
        open=True,
    )


def promise(session: Session, statement_seconds: float) -> None:
    """What every session keeps to. Each statement is a transaction of its own unless it says BEGIN."""
    adapt(session)
    session.execute(
        "SELECT set_config('statement_timeout', $1, false),"
        " set_config('idle_in_transaction_session_timeout', $2, false),"
        # A lock is taken first and what it guards is read after it, by a statement that sees the latest commits.
        " set_config('default_transaction_isolation', 'read committed', false),"
        # A commit that returned is on disk, whatever the server's default.
        " CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END",
        (f"{statement_seconds * 1000:.0f}", f"{IDLE_IN_TRANSACTION_SECONDS * 1000}"),
    )


def is_there(session: Session) -> None:
    """Raises psycopg.OperationalError when the server has closed the session. Asks the socket, not the server: free."""
    for _ in range(2):  # the first reads the server's farewell, the second finds the end behind it
        session.pgconn.consume_input()
    if session.pgconn.status != psycopg.pq.ConnStatus.OK:
        raise psycopg.OperationalError("the server has closed the session")


def examine(session: Session) -> None:
    """Raises StoreUnavailable for a server that cannot keep the promises."""
    if session.info.server_version < OLDEST:
        raise StoreUnavailable(f"PostgreSQL 14 or newer is needed, this is {session.info.server_version // 10_000}")
    encoding = session.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreUnavailable(f"the database's encoding is {encoding}; expected UTF8")


def in_session(pool: ConnectionPool[Session], work: Callable[[Session], Any]) -> Any:
    """Run ``work`` in a session of the pool. What the driver raises leaves as an error of ours."""
    try:
        with pool.connection() as session:
            return work(session)
    except BaseException as error:
        mine = told(error)
        if mine is error:
            raise
        raise mine from error
