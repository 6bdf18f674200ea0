"""What people do: each story one idea, told as an asynchronous generator that yields the seconds until it goes on.

``STORIES`` knows them by name. ``guard`` says what keeps the relay from taking one person for another in it; None where
nothing can, because nobody but the people themselves could know better.
"""

from collections.abc import Callable

from msgspec import Struct

from tests.simulator.people import Cast
from tests.simulator.stage import Story


class Told(Struct, frozen=True, kw_only=True):
    """One story of the repertoire."""

    name: str
    tell: Callable[[Cast], Story]
    guard: str | None
    is_hazard: bool

    @property
    def idea(self) -> str:
        """Its first line."""
        return (self.tell.__doc__ or "").strip().partition("\n")[0]


STORIES: dict[str, Told] = {}


def story(
    *, guard: str | None = None, is_hazard: bool = True
) -> Callable[[Callable[[Cast], Story]], Callable[[Cast], Story]]:
    """Take a story into the repertoire under its function's name."""

    def keep(tell: Callable[[Cast], Story]) -> Callable[[Cast], Story]:
        name: str = getattr(tell, "__name__", "")
        STORIES[name] = Told(name=name, tell=tell, guard=guard, is_hazard=is_hazard)
        return tell

    return keep


def load() -> dict[str, Told]:
    """The whole repertoire, by name."""
    from tests.simulator.stories import everyday, links, native, returns, sharing, typing  # noqa: F401

    return STORIES
