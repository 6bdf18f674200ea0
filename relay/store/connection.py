"""The one thing the SQL modules need of a database, whichever it is.

They speak what SQLite and PostgreSQL both understand: CASE instead of ``max(a, b)``, names for inner queries, a CAST
where a value stands alone. What only PostgreSQL shall read stands in ``/*pg ... */``.
"""

from collections.abc import Sequence
from typing import Any, Protocol


class Connection(Protocol):
    """An open transaction: executes SQL with ``?`` placeholders and answers a DB-API cursor."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any: ...
