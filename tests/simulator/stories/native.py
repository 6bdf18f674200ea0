"""Klaviyo's own script and the relay about the same visitor: nobody gets both."""

from tests.simulator.browsers import Kind
from tests.simulator.parameters import DAY, MINUTE
from tests.simulator.scene import Scene
from tests.simulator.stage import Story
from tests.simulator.stories import story


@story(guard="what Klaviyo's script knew is left to it")
async def klaviyo_knows(scene: Scene) -> Story:
    """Klaviyo's script knows the shopper, and so does the relay."""
    ann = scene.somebody()
    await ann.signs_up()
    yield 2 * DAY
    tab = await ann.visits()
    yield MINUTE
    await tab.view()
    await tab.add_to_cart()


@story(guard="the hold: Klaviyo's script says in time that it knew")
async def klaviyo_is_late(scene: Scene) -> Story:
    """Klaviyo's script loads only after the shopper has put the product into the cart."""
    ann = scene.somebody()
    await ann.signs_up()
    yield 2 * DAY
    await ann.fills_a_cart(klaviyo_is_late=True)
    yield MINUTE


@story(guard="the hold: Klaviyo replays what it has queued")
async def signs_up_at_once(scene: Scene) -> Story:
    """A stranger fills a cart and signs up in Klaviyo's form a minute later: Klaviyo replays the cart itself."""
    tab = await scene.somebody().fills_a_cart()
    yield MINUTE
    await tab.sign_up()
    yield MINUTE


@story()
async def signs_up_late(scene: Scene) -> Story:
    """Known by the relay's cookie alone; the cart has been sent when Klaviyo's form is filled in: it replays."""
    ann = scene.somebody(Kind.SAFARI)
    await ann.signs_up()
    yield 15 * DAY
    tab = await ann.fills_a_cart()
    yield 10 * MINUTE
    await tab.sign_up()
    yield MINUTE


@story(guard="whom the page tells Klaviyo's script while it holds events, they are left to it")
async def closes_the_tab(scene: Scene) -> Story:
    """Signs up in Klaviyo's form and closes the page in the same second: the tag cannot tell that Klaviyo knows."""
    tab = await scene.somebody().fills_a_cart()
    yield MINUTE
    await tab.sign_up()
    tab.close()


@story(guard="one message, one event, whatever is repeated")
async def two_tabs(scene: Scene) -> Story:
    """Two tabs of one browser, the login in the second, carts in both."""
    ann = scene.somebody(blocks_klaviyo=True)
    first = await ann.fills_a_cart()
    second = await ann.logs_in()
    await second.add_to_cart()
    yield MINUTE
    await first.add_to_cart()
    await first.check_out()
