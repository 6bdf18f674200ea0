"""A request past the gate, and what all operations read from its query."""

import base64
import binascii
from urllib.parse import urlencode

from msgspec import Struct
from starlette.datastructures import QueryParams

from relay.demo.sandbox.account import Account
from relay.demo.sandbox.answers import invalid


class Call(Struct):
    """A request past the gate. ``notes`` go into the log; ``headers`` onto the answer."""

    account: Account
    path: str
    query: QueryParams
    raw: bytes
    base: str
    revision: str
    notes: list[str]
    headers: dict[str, str]

    def note(self, what: str | None) -> None:
        if what is not None:
            self.notes.append(what)

    def only_query(self, *allowed: str) -> None:
        """Refuse query parameters the endpoint does not have, and repeated ones."""
        for name in self.query:
            if name not in allowed:
                raise invalid(f"'{name}' is not a valid query parameter.", parameter=name)
            if len(self.query.getlist(name)) > 1:
                raise invalid(f"'{name}' may be given once.", parameter=name)

    def page_size(self) -> int:
        """``page[size]``: 1 to 100, 20 without it."""
        text = self.query.get("page[size]", "20")
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100:
            raise invalid("Page size must be an integer between 1 and 100.", parameter="page[size]")
        return int(text)

    def offset(self) -> int:
        """Where ``page[cursor]`` points; 0 without it."""
        if "page[cursor]" not in self.query:
            return 0
        try:
            kind, _, number = base64.urlsafe_b64decode(self.query["page[cursor]"]).decode("ascii").partition("::")
            if kind == "from" and int(number) >= 0:
                return int(number)
        except (binascii.Error, ValueError):
            pass
        raise invalid("Invalid page cursor.", parameter="page[cursor]")

    def link(self, changes: dict[str, str]) -> str:
        """The address of this call with some query parameters changed."""
        query = urlencode(dict(self.query) | changes)
        return f"{self.base}{self.path}" + (f"?{query}" if query else "")


def cursor(offset: int) -> str:
    """The opaque value of ``page[cursor]`` for an offset."""
    return base64.urlsafe_b64encode(f"from::{offset}".encode()).decode("ascii")
