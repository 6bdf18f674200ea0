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
    await Tab(cast, person, safari, home, "mail_reader_returns").land({"_kx": cast.link(person)})
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
    await tab.land({"_kx": cast.link(person)})
    await tab.add_to_cart()
    yield 2 * MINUTE
    await tab.check_out()
    yield 9 * DAY
    tab = Tab(cast, person, brave, home, "brave_reader")
    await tab.land({"_kx": cast.link(person)})
    await tab.add_to_cart()


@story(is_hazard=False)
async def in_app_hand_over(cast: Cast) -> Story:
    """Signs up inside an app's browser, opens the same link in Safari two minutes later, leaves a cart there."""
    person, safari, home = cast.plain(Kind.SAFARI)
    link = {"fbclid": f"IwAR{cast.chance.getrandbits(120):x}"}
    tab = Tab(cast, person, cast.browser("phone", Kind.IN_APP), home, "in_app_hand_over")
    await tab.land(link)
    yield MINUTE
    await tab.sign_up()
    yield 2 * MINUTE
    tab.close()
    cast.stage.truth.hand_over(tab.browser.browser_id, safari.browser_id, person, cast.stage.now)
    tab = Tab(cast, person, safari, home, "in_app_hand_over")
    await tab.land(link)
    yield MINUTE
    await tab.add_to_cart()


@story(is_hazard=False)
async def reads_mail_everywhere(cast: Cast) -> Story:
    """One reader, three devices, every week another mail: a link in many browsers, and all of them hers."""
    person = cast.person(has_account=False, is_subscriber=True)
    safari, laptop = cast.browser("phone", Kind.SAFARI), cast.browser("desktop", Kind.CHROME, blocks_klaviyo=True)
    tablet, home = cast.browser("desktop", Kind.SAFARI), cast.home()
    for _ in range(3):
        link = cast.link(person)
        for browser in (safari, laptop, tablet):
            await Tab(cast, person, browser, home, "reads_mail_everywhere").land({"_kx": link})
            yield 3 * DAY
            tab = Tab(cast, person, browser, home, "reads_mail_everywhere")
            await tab.land()
            await tab.add_to_cart()
            yield DAY


@story(is_hazard=False)
async def mail_scanner(cast: Cast) -> Story:
    """The employer's mail gateway opens the link first, in a real browser of its own; then its reader does."""
    person, laptop, office = cast.plain(blocks_klaviyo=True)
    link = cast.link(person)
    gateway, scanner, elsewhere = cast.plain(blocks_klaviyo=True)
    await Tab(cast, gateway, scanner, elsewhere, "mail_scanner").land({"_kx": link})
    yield MINUTE
    await Tab(cast, person, laptop, office, "mail_scanner").land({"_kx": link})
    yield 2 * DAY
    tab = Tab(cast, person, laptop, office, "mail_scanner")
    await tab.land()
    await tab.add_to_cart()


@story(is_hazard=False)
async def orders_as_guest(cast: Cast) -> Story:
    """Orders as a guest, without any form that the tag could read; weeks later leaves a cart in the same browser."""
    person, safari, home = cast.plain(Kind.SAFARI)
    tab = Tab(cast, person, safari, home, "orders_as_guest")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.order(is_seen=True)
    yield 20 * DAY
    tab = Tab(cast, person, safari, home, "orders_as_guest")
    await tab.land()
    await tab.add_to_cart()


@story(is_hazard=False)
async def orders_unseen(cast: Cast) -> Story:
    """As before, but the thank-you page is never seen: only the shop's server reports the order, with its cart."""
    person, safari, home = cast.plain(Kind.SAFARI)
    tab = Tab(cast, person, safari, home, "orders_unseen")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.order(is_seen=False)
    yield 20 * DAY
    tab = Tab(cast, person, safari, home, "orders_unseen")
    await tab.land()
    await tab.add_to_cart()


@story(is_hazard=False)
async def blocker_comes_later(cast: Cast) -> Story:
    """Klaviyo's script has queued a view; then a blocker stops it. What its stub is told since, nobody replays."""
    person, chrome, home = cast.plain()
    tab = Tab(cast, person, chrome, home, "blocker_comes_later")
    await tab.land()
    await tab.view()
    yield 2 * DAY
    chrome.blocks_klaviyo = True
    tab = Tab(cast, person, chrome, home, "blocker_comes_later")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.log_in()
