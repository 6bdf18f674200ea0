"""Addresses and orders: what is typed, mistyped, bought and refused."""

from tests.simulator.browsers import Kind
from tests.simulator.parameters import DAY, HOUR, MINUTE
from tests.simulator.people import Cast
from tests.simulator.stage import Story
from tests.simulator.stories import story
from tests.simulator.tab import Tab


@story(guard="what is held is recalled when another address is given in the same session")
async def typed_wrong(cast: Cast) -> Story:
    """A slip of the finger makes it somebody else's address at the checkout; corrected within a minute."""
    person, chrome, home = cast.plain(blocks_klaviyo=True)
    tab = Tab(cast, person, chrome, home, "typed_wrong")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.check_out(typed=person.email.replace(".", "", 1))
    yield MINUTE
    await tab.check_out()


@story()
async def typed_another(cast: Cast) -> Story:
    """Gives a partner's address at the checkout first, then the own: two people, as far as anybody can see."""
    partner, _, _ = cast.plain()
    person, chrome, home = cast.plain(blocks_klaviyo=True)
    tab = Tab(cast, person, chrome, home, "typed_another")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.check_out(typed=partner.email)
    yield MINUTE
    await tab.check_out()


@story()
async def typed_wrong_for_good(cast: Cast) -> Story:
    """Types somebody else's address at the checkout and never sees it."""
    stranger, _, _ = cast.plain()
    person, chrome, home = cast.plain(blocks_klaviyo=True)
    tab = Tab(cast, person, chrome, home, "typed_wrong_for_good")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.check_out(typed=stranger.email)


@story(guard="an order ends the story of the cart")
async def buys_at_once(cast: Cast) -> Story:
    """Known by the cookie, fills a cart and orders within the hold: nothing was abandoned."""
    person, safari, home = cast.plain(Kind.SAFARI)
    tab = Tab(cast, person, safari, home, "buys_at_once")
    await tab.land()
    await tab.sign_up()
    yield 15 * DAY
    tab = Tab(cast, person, safari, home, "buys_at_once")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.check_out()
    yield MINUTE
    await tab.order()


@story(guard="an order ends the story of the cart, on whichever device")
async def buys_elsewhere(cast: Cast) -> Story:
    """An anonymous cart on the phone, the order on the laptop within the hour, the login on the phone afterwards."""
    person, safari, home = cast.plain(Kind.SAFARI, blocks_klaviyo=True)
    tab = Tab(cast, person, safari, home, "buys_elsewhere")
    await tab.land()
    await tab.add_to_cart()
    yield HOUR
    laptop = Tab(cast, person, cast.browser("desktop", Kind.CHROME, blocks_klaviyo=True), home, "buys_elsewhere")
    await laptop.land()
    await laptop.add_to_cart()
    yield MINUTE
    await laptop.order()
    yield HOUR
    await tab.log_in()


@story(guard="a denied consent: nothing kept, nothing sent")
async def says_no(cast: Cast) -> Story:
    """Says no to the banner, fills a cart, checks out with an address."""
    person, chrome, home = cast.plain(consent=False)
    tab = Tab(cast, person, chrome, home, "says_no")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.check_out()


@story(guard="an unanswered banner: nothing kept, nothing sent")
async def says_nothing(cast: Cast) -> Story:
    """Never answers the banner."""
    person, chrome, home = cast.plain(consent=None)
    tab = Tab(cast, person, chrome, home, "says_nothing")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.check_out()


@story(guard="Global Privacy Control: nothing forwarded, no ties")
async def privacy_control(cast: Cast) -> Story:
    """The browser sends Sec-GPC; the shopper gives an address and leaves a cart."""
    person, firefox, home = cast.plain(Kind.FIREFOX, gpc=True, blocks_klaviyo=True)
    tab = Tab(cast, person, firefox, home, "privacy_control")
    await tab.land()
    await tab.log_in()
    await tab.add_to_cart()
    yield MINUTE


@story(guard="a withdrawn consent recalls what is held")
async def changes_their_mind(cast: Cast) -> Story:
    """Fills a cart, and takes the consent back a minute later."""
    person, chrome, home = cast.plain(blocks_klaviyo=True)
    tab = Tab(cast, person, chrome, home, "changes_their_mind")
    await tab.land()
    await tab.log_in()
    action = await tab.add_to_cart()
    yield MINUTE
    await tab.answer_banner(False)
    action.is_permitted = False


@story()
async def signs_up_mother(cast: Cast) -> Story:
    """Logged in, signs up a parent for the newsletter, and fills a cart in the same visit."""
    mother, _, _ = cast.plain()
    person, chrome, home = cast.plain(blocks_klaviyo=True)
    tab = Tab(cast, person, chrome, home, "signs_up_mother")
    await tab.land()
    await tab.log_in()
    yield MINUTE
    await tab.sign_up(typed=mother.email)
    yield 5 * MINUTE
    await tab.add_to_cart()


@story(guard="one message, one event, whatever is repeated")
async def lost_answers(cast: Cast) -> Story:
    """The network swallows answers: the tag sends everything twice, once from an address of another network."""
    person, safari, home = cast.plain(Kind.SAFARI, blocks_klaviyo=True)
    tab = Tab(cast, person, safari, home, "lost_answers", repeats_from=cast.home())
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.check_out()
    yield 10 * MINUTE
    await tab.add_to_cart()
