"""The relay under test and the time it lives in: a real door, journal, processor, sender and database, a Klaviyo
sandbox behind a real socket, and a clock that jumps from one happening to the next.

Whatever is due on the way is delivered at its own time, so that hours are as true as in a relay that runs for months.
"""

import heapq
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec

from relay.web.proxies import BehindProxies
from tests.integration.world import ORIGIN, RELAY, SERVER_KEY, WRITE_KEY, World, iso
from tests.simulator.browsers import Browser, Shape
from tests.simulator.parameters import DAY
from tests.simulator.truth import Truth

Step = Callable[[], Awaitable[None]]
#: A story: tells what happens, and yields for how many seconds nothing does.
Story = AsyncIterator[float]

_PROXY = "127.0.0.1"


class Stage:
    """One shop with one relay. ``chance`` is the only source of chance of everything that happens on it."""

    def __init__(self, folder: Path, chance: Random, *, shape: Shape = Shape.PATH) -> None:
        self.chance = chance
        self.shape = shape
        self.truth = Truth()
        domain = "example.com" if shape is Shape.SIBLING else None
        self.world = World(folder, cookie_domain=domain)
        self.account = self.world.sandbox.account
        self._door = httpx.ASGITransport(BehindProxies(self.world.collect, _PROXY), client=(_PROXY, 1))
        self._happenings: list[tuple[float, int, Step]] = []
        self._numbers = itertools.count()
        self._has_news = False
        self._due: float | None = None

    async def __aenter__(self) -> "Stage":
        await self.world.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.world.__aexit__(*error)

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self.world.clock.now()

    def new_id(self) -> str:
        """A random ID as the tag makes them, a UUID version 4 in form."""
        digits = f"{self.chance.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def later(self, seconds: float, step: Step) -> None:
        """Have ``step`` happen in so many seconds."""
        heapq.heappush(self._happenings, (self.now + seconds, next(self._numbers), step))

    def tell(self, story: Story, *, begins_in: float = 0.0) -> None:
        """Have a story told from then on."""

        async def go_on() -> None:
            try:
                pause = await anext(story)
            except StopAsyncIteration:
                return
            self.later(pause, go_on)

        self.later(begins_in, go_on)

    async def play(self, *, seconds: float) -> None:
        """Let everything happen that happens within ``seconds``."""
        end = self.now + seconds
        self.later(DAY, self._keep_house)
        while self._happenings and self._happenings[0][0] <= end:
            at, _, step = heapq.heappop(self._happenings)
            await self._wait_until(at)
            await step()
            await self._work()
        await self._wait_until(end)

    async def post(
        self, browser: Browser, address: str, messages: list[dict[str, Any]], *, is_answered: bool = True
    ) -> None:
        """A batch of the tag's, as it comes through the shop's proxy from ``address``. An answer may get lost."""
        jar, now = browser.jar, self.now
        body: dict[str, Any] = {"writeKey": WRITE_KEY, "sentAt": iso(now + browser.clock_is_ahead), "batch": messages}
        if mirror := jar.storage(now).get("mirror"):  # after a no too: the relay shall learn who refuses
            body["visitor"] = mirror
        headers = {
            "Origin": ORIGIN,
            "User-Agent": browser.user_agent,
            "Content-Type": "text/plain",
            "X-Forwarded-For": address,
        }
        if cookies := jar.cookies(now, of_server=True):
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        if browser.gpc:
            headers["Sec-GPC"] = "1"
        answer = await self._send("/v1/batch", headers, body)
        if not is_answered:
            return
        if set_cookie := answer.headers.get("Set-Cookie"):
            pair, *attributes = set_cookie.split("; ")
            name, _, value = pair.partition("=")
            (max_age,) = (float(one.partition("=")[2]) for one in attributes if one.startswith("Max-Age="))
            jar.set_by_server(name, value, max_age, now, self.shape)
        if browser.consent and (mirror := answer.json().get("visitor")):
            jar.storage(now)["mirror"] = mirror

    async def report(self, *messages: dict[str, Any]) -> None:
        """The shop's server reports."""
        headers = {"Content-Type": "application/json"}
        await self._send("/v1/batch", headers, {"writeKey": SERVER_KEY, "batch": list(messages)})

    async def _send(self, path: str, headers: dict[str, str], body: Any) -> httpx.Response:
        request = httpx.Request("POST", RELAY + path, headers=headers, content=msgspec.json.encode(body))
        answer = await self._door.handle_async_request(request)
        await answer.aread()
        if answer.status_code != 200:
            raise AssertionError(f"the relay refuses: {answer.status_code} {answer.text}")
        self._has_news = True
        return answer

    async def _work(self) -> None:
        """The relay at work, as it is in every moment: processes what has come in and delivers what is due."""
        if self._has_news:
            await self.world.process()
            self._has_news = False
            await self._find_due()
        while self._due is not None and self._due <= self.now:
            await self.world.deliver()
            await self.world.process()
            await self._find_due()

    async def _find_due(self) -> None:
        site_id = self.world.site.site_id
        self._due = await self.world.store.read(lambda tx: tx.dispatch.next_due(site_id))

    async def _wait_until(self, at: float) -> None:
        while self._due is not None and self._due <= at:
            self.world.clock.advance(max(0.0, self._due - self.now))
            await self._work()
        self.world.clock.advance(max(0.0, at - self.now))

    async def _keep_house(self) -> None:
        await self.world.keep_house()
        await self._find_due()
        self.later(DAY, self._keep_house)
