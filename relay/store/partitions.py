"""The journal's partitions on PostgreSQL: ranges of ``seq``, made before they are needed, dropped once empty.

Deleting rows leaves their room behind until a vacuum has found it; a dropped partition gives it back at once.
"""

import psycopg
from psycopg import sql

from relay.store.dialect import Session

#: Rows of a partition: about 1 GB of requests.
ROWS = 1_000_000
#: How long a drop waits for those who read or append before it lets them go first, in milliseconds.
_PATIENCE = 500


def provide(session: Session) -> None:
    """See to it that the range of the next row and the one after it exist."""
    current = _reached(session) // ROWS
    for number in (current, current + 1):
        if number not in _existing(session):
            _make(session, number)


def drop_empty(session: Session) -> None:
    """Drop the ranges that every site has done with. One that is in use is left for the next time."""
    reached = _reached(session)
    for number in _existing(session):
        if (number + 1) * ROWS <= reached and _is_empty(session, number):
            try:
                _drop(session, number)
            except psycopg.errors.LockNotAvailable:
                return


def _make(session: Session, number: int) -> None:
    # Attached, not created in place: that would lock out the door for as long as somebody reads.
    low, high = sql.Literal(number * ROWS), sql.Literal((number + 1) * ROWS)
    with session.transaction():
        # Two relays that need the same range: the second one waits here and finds it made.
        session.execute("LOCK TABLE journal IN SHARE UPDATE EXCLUSIVE MODE")
        if number in _existing(session):
            return
        session.execute(sql.SQL("CREATE TABLE {} (LIKE journal INCLUDING DEFAULTS)").format(_name(number)))
        session.execute(
            sql.SQL("ALTER TABLE journal ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                _name(number), low, high
            )
        )


def _drop(session: Session, number: int) -> None:
    with session.transaction():
        session.execute(f"SET LOCAL lock_timeout = {_PATIENCE}")
        # With the lock held nobody is between taking a number and keeping its row: empty stays empty.
        session.execute("LOCK TABLE journal IN ACCESS EXCLUSIVE MODE")
        if number in _existing(session) and _is_empty(session, number):
            session.execute(sql.SQL("DROP TABLE {}").format(_name(number)))


def _existing(session: Session) -> list[int]:
    rows = session.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = 'journal'::regclass ORDER BY relname"
    )
    return [int(name.rpartition("_")[2]) for (name,) in rows]


def _is_empty(session: Session, number: int) -> bool:
    return session.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(_name(number))).fetchone() is None


def _reached(session: Session) -> int:
    """The last number given."""
    row = session.execute("SELECT last_value FROM journal_seq").fetchone()
    return int(row[0]) if row else 0


def _name(number: int) -> sql.Identifier:
    return sql.Identifier(f"journal_{number:08d}")
