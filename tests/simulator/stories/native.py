"""Klaviyo's own script and the relay about the same visitor: nobody gets both."""

from tests.simulator.browsers import Kind
from tests.simulator.parameters import DAY, MINUTE
from tests.simulator.people import Cast
from tests.simulator.stage import Story
from tests.simulator.stories import story
from tests.simulator.tab import Tab


@story(guard="what Klaviyo's script knew is left to it")
async def klaviyo_knows(cast: Cast) -> Story:
    """Klaviyo's script knows the shopper, and so does the relay."""
    person, chrome, home = cast.plain()
    tab = Tab(cast, person, chrome, home, "klaviyo_knows")
    await tab.land()
    await tab.sign_up()
    yield 2 * DAY
    tab = Tab(cast, person, chrome, home, "klaviyo_knows")
    await tab.land()
    yield MINUTE
    await tab.view()
    await tab.add_to_cart()


@story(guard="the hold: Klaviyo's script says in time that it knew")
async def klaviyo_is_late(cast: Cast) -> Story:
    """Klaviyo's script loads only after the shopper has put the product into the cart."""
    person, chrome, home = cast.plain()
    tab = Tab(cast, person, chrome, home, "klaviyo_is_late")
    await tab.land()
    await tab.sign_up()
    yield 2 * DAY
    tab = Tab(cast, person, chrome, home, "klaviyo_is_late")
    await tab.land(klaviyo_is_late=True)
    await tab.add_to_cart()
    yield MINUTE


@story(guard="the hold: Klaviyo replays what it has queued")
async def signs_up_at_once(cast: Cast) -> Story:
    """A stranger fills a cart and signs up in Klaviyo's form a minute later: Klaviyo replays the cart itself."""
    person, chrome, home = cast.plain()
    tab = Tab(cast, person, chrome, home, "signs_up_at_once")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.sign_up()
    yield MINUTE


@story()
async def signs_up_late(cast: Cast) -> Story:
    """Known by the relay's cookie alone; the cart has been sent when Klaviyo's form is filled in: it replays."""
    person, safari, home = cast.plain(Kind.SAFARI)
    tab = Tab(cast, person, safari, home, "signs_up_late")
    await tab.land()
    await tab.sign_up()
    yield 15 * DAY
    tab = Tab(cast, person, safari, home, "signs_up_late")
    await tab.land()
    await tab.add_to_cart()
    yield 10 * MINUTE
    await tab.sign_up()
    yield MINUTE


@story(guard="whom the page tells Klaviyo's script while it holds events, they are left to it")
async def closes_the_tab(cast: Cast) -> Story:
    """Signs up in Klaviyo's form and closes the page in the same second: the tag cannot tell that Klaviyo knows."""
    person, chrome, home = cast.plain()
    tab = Tab(cast, person, chrome, home, "closes_the_tab")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.sign_up()
    tab.close()


@story(guard="one message, one event, whatever is repeated")
async def two_tabs(cast: Cast) -> Story:
    """Two tabs of one browser, the login in the second, carts in both."""
    person, chrome, home = cast.plain(blocks_klaviyo=True)
    first, second = (Tab(cast, person, chrome, home, "two_tabs") for _ in range(2))
    await first.land()
    await first.add_to_cart()
    await second.land()
    await second.log_in()
    await second.add_to_cart()
    yield MINUTE
    await first.add_to_cart()
    await first.check_out()
