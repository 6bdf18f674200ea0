"""Shoppers who come back after Klaviyo's script has forgotten them: what Backflow is for."""

from tests.simulator.browsers import Kind
from tests.simulator.parameters import DAY, MINUTE
from tests.simulator.scene import Scene, Somebody
from tests.simulator.stage import Story
from tests.simulator.stories import story


@story(is_hazard=False)
async def safari_returns(scene: Scene) -> Story:
    """Signs up in Safari, comes back two weeks later as a stranger to every script, and leaves a cart."""
    ann = scene.somebody(Kind.SAFARI)
    await ann.signs_up()
    yield 14 * DAY
    tab = await ann.visits()
    await tab.view()
    yield MINUTE
    await tab.add_to_cart()


@story(is_hazard=False)
async def mail_reader_returns(scene: Scene) -> Story:
    """Comes by a mail's link in Safari, which gives scripts a day; comes back after three and leaves a cart."""
    ann = scene.somebody(Kind.SAFARI)
    await ann.visits(scene.mail(ann.person))
    yield 3 * DAY
    await ann.fills_a_cart()


@story(is_hazard=False)
async def blocker(scene: Scene) -> Story:
    """A blocker stops Klaviyo's script for good; the shopper logs in, and another day leaves a cart."""
    ann = scene.somebody(blocks_klaviyo=True)
    await ann.logs_in()
    yield 2 * DAY
    await ann.fills_a_cart()


@story(is_hazard=False)
async def brave_reader(scene: Scene) -> Story:
    """Brave takes ``_kx`` away and blocks Klaviyo; the address given at a checkout is all there is."""
    ann = scene.somebody(Kind.BRAVE)
    tab = await ann.fills_a_cart(scene.mail(ann.person))
    yield 2 * MINUTE
    await tab.check_out()
    yield 9 * DAY
    await ann.fills_a_cart(scene.mail(ann.person))


@story(is_hazard=False)
async def in_app_hand_over(scene: Scene) -> Story:
    """Signs up inside an app's browser, opens the same link in Safari two minutes later, leaves a cart there."""
    ann, link = scene.somebody(Kind.SAFARI), scene.ad()
    in_app = ann.on(scene.cast.browser("phone", Kind.IN_APP))
    tab = await in_app.visits(link)
    yield MINUTE
    await tab.sign_up()
    yield 2 * MINUTE
    tab.close()
    scene.cast.stage.truth.hand_over(in_app.browser.browser_id, ann.browser.browser_id, ann.person, scene.now)
    tab = await ann.visits(link)
    yield MINUTE
    await tab.add_to_cart()


@story(is_hazard=False)
async def reads_mail_everywhere(scene: Scene) -> Story:
    """One reader, three devices, every week another mail: a link in many browsers, and all of them hers."""
    cast = scene.cast
    person = cast.person(has_account=False, is_subscriber=True)
    safari, laptop = cast.browser("phone", Kind.SAFARI), cast.browser("desktop", Kind.CHROME, blocks_klaviyo=True)
    tablet, home = cast.browser("desktop", Kind.SAFARI), cast.home()
    for _ in range(3):
        link = scene.mail(person)
        for browser in (safari, laptop, tablet):
            ann = Somebody(scene, person, browser, home)
            await ann.visits(link)
            yield 3 * DAY
            await ann.fills_a_cart()
            yield DAY


@story(is_hazard=False)
async def mail_scanner(scene: Scene) -> Story:
    """The employer's mail gateway opens the link first, in a real browser of its own; then its reader does."""
    ann = scene.somebody(blocks_klaviyo=True)
    link = scene.mail(ann.person)
    gateway = scene.somebody(blocks_klaviyo=True)
    await gateway.visits(link)
    yield MINUTE
    await ann.visits(link)
    yield 2 * DAY
    await ann.fills_a_cart()


@story(is_hazard=False)
async def orders_as_guest(scene: Scene) -> Story:
    """Orders as a guest, without any form that the tag could read; weeks later leaves a cart in the same browser."""
    ann = scene.somebody(Kind.SAFARI)
    tab = await ann.fills_a_cart()
    yield MINUTE
    await tab.order(is_seen=True)
    yield 20 * DAY
    await ann.fills_a_cart()


@story(is_hazard=False)
async def orders_unseen(scene: Scene) -> Story:
    """As before, but the thank-you page is never seen: only the shop's server reports the order, with its cart."""
    ann = scene.somebody(Kind.SAFARI)
    tab = await ann.fills_a_cart()
    yield MINUTE
    await tab.order(is_seen=False)
    yield 20 * DAY
    await ann.fills_a_cart()


@story(is_hazard=False)
async def blocker_comes_later(scene: Scene) -> Story:
    """Klaviyo's script has queued a view; then a blocker stops it. What its stub is told since, nobody replays."""
    ann = scene.somebody()
    tab = await ann.visits()
    await tab.view()
    yield 2 * DAY
    ann.browser.blocks_klaviyo = True
    tab = await ann.fills_a_cart()
    yield MINUTE
    await tab.log_in()
