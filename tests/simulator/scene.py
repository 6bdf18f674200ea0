"""The vocabulary of the stories: somebody before a browser, and the openings that most visits have."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tests.simulator.browsers import Browser, Kind
from tests.simulator.people import Cast
from tests.simulator.tab import NO_LINK, Tab
from tests.simulator.truth import Person


class Scene:
    """Where one story is told: whatever happens in it goes by its name."""

    def __init__(self, cast: Cast, story: str) -> None:
        self.cast = cast
        self.story = story

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self.cast.stage.now

    def somebody(self, kind: Kind = Kind.CHROME, *, device: str | None = None, **browser: Any) -> "Somebody":
        """Somebody new at home, before a browser that consents: all that most hazards need."""
        return Somebody(self, *self.cast.plain(kind, device=device, **browser))

    def tab(self, person: Person, browser: Browser, address: str, **how: Any) -> Tab:
        """A tab of their own in which nothing is open yet."""
        return Tab(self.cast, person, browser, address, self.story, **how)

    def mail(self, reader: Person) -> dict[str, str]:
        """The parameters of a link in another e-mail that Klaviyo has sent to ``reader``."""
        return {"_kx": self.cast.link(reader)}

    def ad(self) -> dict[str, str]:
        """The parameters of an ad's link, clicked once."""
        return {"fbclid": f"IwAR{self.cast.chance.getrandbits(120):x}"}


class Somebody(Struct, frozen=True, eq=False):
    """A person before a browser, in the network of ``address``. What they do here begins with a page they open, by a
    ``link`` or not, in a tab of its own: the tab is where it goes on."""

    scene: Scene
    person: Person
    browser: Browser
    address: str

    def at(self, other: "Somebody") -> "Somebody":
        """The same person before another's browser, where that stands."""
        return Somebody(self.scene, self.person, other.browser, other.address)

    def beside(self, other: "Somebody") -> "Somebody":
        """The same person with the own browser, in the other's network."""
        return Somebody(self.scene, self.person, self.browser, other.address)

    def on(self, browser: Browser) -> "Somebody":
        """The same person in the same place, before another browser."""
        return Somebody(self.scene, self.person, browser, self.address)

    def tab(self, **how: Any) -> Tab:
        """A tab in which nothing is open yet."""
        return self.scene.tab(self.person, self.browser, self.address, **how)

    async def visits(self, link: Mapping[str, str] = NO_LINK, **how: Any) -> Tab:
        tab = self.tab()
        await tab.land(link, **how)
        return tab

    async def signs_up(self, link: Mapping[str, str] = NO_LINK) -> Tab:
        tab = await self.visits(link)
        await tab.sign_up()
        return tab

    async def logs_in(self) -> Tab:
        tab = await self.visits()
        await tab.log_in()
        return tab

    async def fills_a_cart(self, link: Mapping[str, str] = NO_LINK, **how: Any) -> Tab:
        tab = await self.visits(link, **how)
        await tab.add_to_cart()
        return tab
