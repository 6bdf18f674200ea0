"""The lists of an account and who is on them."""

import secrets
import string
from collections.abc import Iterator

from msgspec import Struct

from relay.demo.sandbox.list_bodies import OptIn


class MailingList(Struct, kw_only=True):
    """One list. Times are seconds since the epoch; ``members`` are profile ids with the time they joined."""

    id: str
    name: str
    created: float
    updated: float
    opt_in_process: OptIn
    members: dict[str, float] = {}


class Lists:
    """All lists of an account."""

    def __init__(self) -> None:
        self._by_id: dict[str, MailingList] = {}

    def __iter__(self) -> Iterator[MailingList]:
        return iter(self._by_id.values())

    def get(self, list_id: str) -> MailingList | None:
        return self._by_id.get(list_id)

    def create(self, name: str, now: float, *, opt_in: OptIn, list_id: str | None = None) -> MailingList:
        """A new empty list, in the place of an earlier one with this id."""
        made = MailingList(id=list_id or short_id(), name=name, created=now, updated=now, opt_in_process=opt_in)
        self._by_id[made.id] = made
        return made

    def of(self, profile_id: str) -> list[MailingList]:
        """The lists a profile is on."""
        return [one for one in self if profile_id in one.members]

    def forget(self, profile_id: str) -> None:
        """Take a profile off all lists."""
        for one in self:
            one.members.pop(profile_id, None)


def short_id() -> str:
    """Six characters, as in ``Y6nRLr``."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(6))
