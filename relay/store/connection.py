"""The one thing the SQL modules need of a database, whichever it is."""

from collections.abc import Sequence
from typing import Any, Protocol


class Connection(Protocol):
    """An open transaction: executes SQL with ``?`` placeholders and answers a DB-API cursor."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any: ...
