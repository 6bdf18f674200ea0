"""Addresses and orders: what is typed, mistyped, bought and refused."""

from tests.simulator.browsers import Kind
from tests.simulator.parameters import DAY, HOUR, MINUTE
from tests.simulator.scene import Scene
from tests.simulator.stage import Story
from tests.simulator.stories import story


@story(guard="what is held is recalled when another address is given in the same session")
async def typed_wrong(scene: Scene) -> Story:
    """A slip of the finger makes it somebody else's address at the checkout; corrected within a minute."""
    ann = scene.somebody(blocks_klaviyo=True)
    tab = await ann.fills_a_cart()
    yield MINUTE
    await tab.check_out(typed=ann.person.email.replace(".", "", 1))
    yield MINUTE
    await tab.check_out()


@story()
async def typed_another(scene: Scene) -> Story:
    """Gives a partner's address at the checkout first, then the own: two people, as far as anybody can see."""
    partner = scene.somebody()
    tab = await scene.somebody(blocks_klaviyo=True).fills_a_cart()
    yield MINUTE
    await tab.check_out(typed=partner.person.email)
    yield MINUTE
    await tab.check_out()


@story()
async def typed_wrong_for_good(scene: Scene) -> Story:
    """Types somebody else's address at the checkout and never sees it."""
    stranger = scene.somebody()
    tab = await scene.somebody(blocks_klaviyo=True).fills_a_cart()
    yield MINUTE
    await tab.check_out(typed=stranger.person.email)


@story(guard="an order ends the story of the cart")
async def buys_at_once(scene: Scene) -> Story:
    """Known by the cookie, fills a cart and orders within the hold: nothing was abandoned."""
    ann = scene.somebody(Kind.SAFARI)
    await ann.signs_up()
    yield 15 * DAY
    tab = await ann.fills_a_cart()
    yield MINUTE
    await tab.check_out()
    yield MINUTE
    await tab.order()


@story(guard="an order ends the story of the cart, on whichever device")
async def buys_elsewhere(scene: Scene) -> Story:
    """An anonymous cart on the phone, the order on the laptop within the hour, the login on the phone afterwards."""
    ann = scene.somebody(Kind.SAFARI, blocks_klaviyo=True)
    tab = await ann.fills_a_cart()
    yield HOUR
    laptop = await ann.on(scene.cast.browser("desktop", Kind.CHROME, blocks_klaviyo=True)).fills_a_cart()
    yield MINUTE
    await laptop.order()
    yield HOUR
    await tab.log_in()


@story(guard="a denied consent: nothing kept, nothing sent")
async def says_no(scene: Scene) -> Story:
    """Says no to the banner, fills a cart, checks out with an address."""
    tab = await scene.somebody(consent=False).fills_a_cart()
    yield MINUTE
    await tab.check_out()


@story(guard="an unanswered banner: nothing kept, nothing sent")
async def says_nothing(scene: Scene) -> Story:
    """Never answers the banner."""
    tab = await scene.somebody(consent=None).fills_a_cart()
    yield MINUTE
    await tab.check_out()


@story(guard="Global Privacy Control: nothing forwarded, no ties")
async def privacy_control(scene: Scene) -> Story:
    """The browser sends Sec-GPC; the shopper gives an address and leaves a cart."""
    tab = await scene.somebody(Kind.FIREFOX, gpc=True, blocks_klaviyo=True).logs_in()
    await tab.add_to_cart()
    yield MINUTE


@story(guard="a withdrawn consent recalls what is held")
async def changes_their_mind(scene: Scene) -> Story:
    """Fills a cart, and takes the consent back a minute later."""
    tab = await scene.somebody(blocks_klaviyo=True).logs_in()
    action = await tab.add_to_cart()
    yield MINUTE
    await tab.answer_banner(False)
    action.is_permitted = False


@story()
async def signs_up_mother(scene: Scene) -> Story:
    """Logged in, signs up a parent for the newsletter, and fills a cart in the same visit."""
    mother = scene.somebody()
    tab = await scene.somebody(blocks_klaviyo=True).logs_in()
    yield MINUTE
    await tab.sign_up(typed=mother.person.email)
    yield 5 * MINUTE
    await tab.add_to_cart()


@story(guard="one message, one event, whatever is repeated")
async def lost_answers(scene: Scene) -> Story:
    """The network swallows answers: the tag sends everything twice, once from an address of another network."""
    tab = scene.somebody(Kind.SAFARI, blocks_klaviyo=True).tab(repeats_from=scene.cast.home())
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.check_out()
    yield 10 * MINUTE
    await tab.add_to_cart()
