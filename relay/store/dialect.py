"""PostgreSQL's reading of the SQL that the store's modules speak: placeholders, values, errors.

The modules write ``?`` (or ``?1``) for values, as SQLite does. What only PostgreSQL shall read stands in
``/*pg ... */``, a comment to every other database.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.types.string import StrDumperUnknown

from relay.errors import StoreRefused, StoreUnavailable

Session = psycopg.Connection[tuple[Any, ...]]

_TOKENS = re.compile(r"'(?:[^']|'')*'|/\*pg (.*?) \*/|\?(\d*)")
#: Classes of SQLSTATE that speak of the values and not of the database: data, constraints, program limits (a text too
#: long for an index).
_OF_VALUES = {"22", "23", "54"}


@lru_cache(maxsize=1024)
def translated(sql: str) -> str:
    """``sql`` with PostgreSQL's own placeholders, ``$1`` and so on."""
    numbers = count(1)

    def one(token: re.Match[str]) -> str:
        if token[0].startswith("'"):
            return token[0]
        if token[1] is not None:
            return token[1]
        return f"${token[2] or next(numbers)}"

    return _TOKENS.sub(one, sql)


class Speaking:
    """A PostgreSQL session that the SQL modules can use (``store.connection.Connection``)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._session.execute(translated(sql).encode(), parameters)


def adapt(session: psycopg.Connection[Any]) -> None:
    """Have the session take Python's values as SQLite does."""
    session.adapters.register_dumper(bool, _Flag)
    session.adapters.register_dumper(str, _Text)


def told(error: BaseException) -> BaseException:
    """A driver's error as one of ours, without the values that PostgreSQL quotes; any other error as it is."""
    if not isinstance(error, psycopg.Error):
        return error
    state = error.sqlstate or ""
    if state[:2] in _OF_VALUES or isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return StoreRefused(f"{type(error).__name__} {state}".rstrip())
    return StoreUnavailable(error.diag.message_primary or " ".join(str(error).split()))


class _Flag(Dumper):
    """Yes and no are 1 and 0 in every column."""

    oid = psycopg.postgres.types["int8"].oid

    def dump(self, obj: bool) -> Buffer:
        return b"1" if obj else b"0"


class _Text(StrDumperUnknown):
    """PostgreSQL's texts cannot hold U+0000, and a caller may send one: it is kept as U+FFFD, the replacement."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\x00", "\ufffd"))
