"""What people do: each story one idea, told as an asynchronous generator that yields the seconds until it goes on, in
the words of ``scene``.

``STORIES`` knows them by name. ``guard`` says what keeps the relay from taking one person for another in it; None where
nothing can, because nobody but the people themselves could know better.
"""

from collections.abc import Callable

from msgspec import Struct

from tests.simulator.people import Cast
from tests.simulator.scene import Scene
from tests.simulator.stage import Story


class Told(Struct, frozen=True, kw_only=True):
    """One story of the repertoire."""

    name: str
    idea: str  #: the first line of what is said of it
    script: Callable[[Scene], Story]
    guard: str | None
    is_hazard: bool

    def tell(self, cast: Cast) -> Story:
        """Begin it with people of its own."""
        return self.script(Scene(cast, self.name))


STORIES: dict[str, Told] = {}


def story(
    *, guard: str | None = None, is_hazard: bool = True
) -> Callable[[Callable[[Scene], Story]], Callable[[Scene], Story]]:
    """Take a story into the repertoire under its function's name."""

    def keep(script: Callable[[Scene], Story]) -> Callable[[Scene], Story]:
        name: str = getattr(script, "__name__", "")
        idea = (script.__doc__ or "").strip().partition("\n")[0]
        STORIES[name] = Told(name=name, idea=idea, script=script, guard=guard, is_hazard=is_hazard)
        return script

    return keep


def load() -> dict[str, Told]:
    """The whole repertoire, by name."""
    from tests.simulator.stories import everyday, links, native, returns, sharing, typing  # noqa: F401

    return STORIES
