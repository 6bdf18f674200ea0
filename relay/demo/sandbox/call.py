"""A request past the gate, and what all operations read from its query."""

import base64
import binascii
from typing import TypeVar
from urllib.parse import urlencode

from msgspec import Struct
from starlette.datastructures import QueryParams

from relay.demo.sandbox.account import Account
from relay.demo.sandbox.answers import invalid

Item = TypeVar("Item")


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

    def page_size(self, default: int = 20, most: int = 100) -> int:
        """``page[size]``: 1 to ``most``, ``default`` without it."""
        text = self.query.get("page[size]", str(default))
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
            raise invalid(f"Page size must be an integer between 1 and {most}.", parameter="page[size]")
        return int(text)

    def page(self, found: list[Item], size: int) -> tuple[list[Item], dict[str, str | None]]:
        """The page of ``found`` that ``page[cursor]`` asks for, and the links of the answer."""
        start = self.offset()
        links = {"self": self.link({}), "prev": None, "next": None}
        if start + size < len(found):
            links["next"] = self.link({"page[cursor]": cursor(start + size)})
        if start > 0:
            links["prev"] = self.link({"page[cursor]": cursor(max(0, start - size))})
        return found[start : start + size], links

    def sorting(self, *names: str) -> tuple[str, bool]:
        """``sort``: the field (the first without it) and whether it runs downwards."""
        sort = self.query.get("sort", names[0])
        name = sort.removeprefix("-")
        if name not in names:
            raise invalid(f"'{sort}' is not a valid sort.", parameter="sort")
        return name, sort.startswith("-")

    def fields(self, kind: str, allowed: frozenset[str]) -> set[str] | None:
        """``fields[kind]``: the only fields to show, None for all."""
        parameter = f"fields[{kind}]"
        if parameter not in self.query:
            return None
        fields = set(self.query[parameter].split(","))
        for name in sorted(fields - allowed):
            raise invalid(f"'{name}' is not a valid field for this resource.", parameter=parameter)
        return fields

    def asks_for(self, parameter: str, *allowed: str) -> set[str]:
        """The comma-separated values of a parameter such as ``include``; others than ``allowed`` are refused."""
        asked = {name for name in self.query.get(parameter, "").split(",") if name}
        for name in sorted(asked.difference(allowed)):
            raise invalid(f"'{name}' is not a valid value here.", parameter=parameter)
        return asked

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
