"""Shoppers who come back after Klaviyo's script has forgotten them: what Backflow is for."""

from tests.simulator.browsers import Kind
from tests.simulator.parameters import DAY, MINUTE
from tests.simulator.people import Cast
from tests.simulator.stage import Story
from tests.simulator.stories import story
from tests.simulator.tab import Tab


@story(is_hazard=False)
async def safari_returns(cast: Cast) -> Story:
    """Signs up in Safari, comes back two weeks later as a stranger to every script, and leaves a cart."""
    person, safari, home = cast.plain(Kind.SAFARI)
    tab = Tab(cast, person, safari, home, "safari_returns")
    await tab.land()
    await tab.sign_up()
    yield 14 * DAY
    tab = Tab(cast, person, safari, home, "safari_returns")
    await tab.land()
    await tab.view()
    yield MINUTE
    await tab.add_to_cart()


@story(is_hazard=False)
async def mail_reader_returns(cast: Cast) -> Story:
    """Comes by a mail's link in Safari, which gives scripts a day; comes back after three and leaves a cart."""
    person, safari, home = cast.plain(Kind.SAFARI)
    await Tab(cast, person, safari, home, "mail_reader_returns").land(_kx=cast.link(person))
    yield 3 * DAY
    tab = Tab(cast, person, safari, home, "mail_reader_returns")
    await tab.land()
    await tab.add_to_cart()


@story(is_hazard=False)
async def blocker(cast: Cast) -> Story:
    """A blocker stops Klaviyo's script for good; the shopper logs in, and another day leaves a cart."""
    person, chrome, home = cast.plain(blocks_klaviyo=True)
    tab = Tab(cast, person, chrome, home, "blocker")
    await tab.land()
    await tab.log_in()
    yield 2 * DAY
    tab = Tab(cast, person, chrome, home, "blocker")
    await tab.land()
    await tab.add_to_cart()


@story(is_hazard=False)
async def brave_reader(cast: Cast) -> Story:
    """Brave takes ``_kx`` away and blocks Klaviyo; the address given at a checkout is all there is."""
    person, brave, home = cast.plain(Kind.BRAVE)
    tab = Tab(cast, person, brave, home, "brave_reader")
    await tab.land(_kx=cast.link(person))
    await tab.add_to_cart()
    yield 2 * MINUTE
    await tab.check_out()
    yield 9 * DAY
    tab = Tab(cast, person, brave, home, "brave_reader")
    await tab.land(_kx=cast.link(person))
    await tab.add_to_cart()


@story(is_hazard=False)
async def in_app_hand_over(cast: Cast) -> Story:
    """Signs up inside an app's browser, opens the same link in Safari two minutes later, leaves a cart there."""
    person, safari, home = cast.plain(Kind.SAFARI)
    link = {"fbclid": f"IwAR{cast.chance.getrandbits(120):x}"}
    tab = Tab(cast, person, cast.browser("phone", Kind.IN_APP), home, "in_app_hand_over")
    await tab.land(**link)
    yield MINUTE
    await tab.sign_up()
    yield 2 * MINUTE
    tab.close()
    cast.stage.truth.hand_over(tab.browser.browser_id, safari.browser_id, person, cast.stage.now)
    tab = Tab(cast, person, safari, home, "in_app_hand_over")
    await tab.land(**link)
    yield MINUTE
    await tab.add_to_cart()

