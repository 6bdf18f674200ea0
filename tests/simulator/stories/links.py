"""Links that reach others than those they were sent to."""

from tests.simulator.browsers import Kind
from tests.simulator.parameters import DAY, MINUTE
from tests.simulator.scene import Scene
from tests.simulator.stage import Story
from tests.simulator.stories import story

#: How many open a link that is shared in public.
CROWD = 60


@story()
async def forwarded_link(scene: Scene) -> Story:
    """Ann forwards a mail; Bob opens its link, Klaviyo blocked, and leaves a cart. To all the world he is Ann."""
    ann = scene.somebody(Kind.SAFARI)
    link = scene.mail(ann.person)
    await ann.visits(link)
    yield 3 * 60 * MINUTE
    bob = scene.somebody(blocks_klaviyo=True)
    tab = await bob.visits(link)
    yield MINUTE
    await tab.add_to_cart()
    yield 9 * DAY
    await bob.fills_a_cart()


@story(guard="a form is stronger than a link: whoever gives an address is that person, before and after")
async def forwarded_link_then_address(scene: Scene) -> Story:
    """As before, but Bob gives his own address within the hold: nothing he did is Ann's."""
    link = scene.mail(scene.somebody().person)
    bob = scene.somebody(blocks_klaviyo=True)
    tab = await bob.fills_a_cart(link)
    yield MINUTE
    await tab.check_out()
    yield 20 * DAY
    await bob.fills_a_cart(link)


@story(guard="a _kx that many browsers open is demoted")
async def viral_link(scene: Scene) -> Story:
    """A mail's link is posted in a forum: scores of strangers open it and leave carts."""
    ann = scene.somebody(Kind.SAFARI)
    link = scene.mail(ann.person)
    await ann.visits(link)
    yield DAY
    for number in range(CROWD):
        reader = scene.somebody(Kind.SAFARI if number % 2 else Kind.CHROME, blocks_klaviyo=True)
        tab = await reader.visits(link)
        yield scene.cast.chance.uniform(1, 20) * MINUTE
        if number >= 8:  # by then it has been in many browsers
            await tab.add_to_cart()


@story(guard="a click ID seen in three jars ties nothing; srsltid never does")
async def viral_click_id(scene: Scene) -> Story:
    """A shopper's address with fbclid and srsltid is copied to many in one office, minutes apart."""
    ann = scene.somebody()
    shared = {**scene.ad(), "srsltid": "AfmBOoshared"}
    await ann.signs_up(shared)
    for number in range(12):
        yield 0.5 * MINUTE
        reader = scene.somebody(Kind.SAFARI if number % 2 else Kind.FIREFOX, blocks_klaviyo=True)
        tab = await reader.beside(ann).visits(shared)
        if number >= 2:
            await tab.add_to_cart()


@story(guard="srsltid never ties anything")
async def shared_free_listing(scene: Scene) -> Story:
    """Two people of one household come by the same free listing within minutes; one of them is known."""
    ann, listing = scene.somebody(Kind.SAFARI), {"srsltid": "AfmBOo1"}
    await ann.signs_up(listing)
    yield 2 * MINUTE
    bob = scene.somebody(Kind.CHROME, device="phone", blocks_klaviyo=True)
    await bob.beside(ann).fills_a_cart(listing)


@story()
async def sofa_link(scene: Scene) -> Story:
    """Ann, known in her app's browser, sends the ad's address to Bob beside her: one network, minutes, two devices."""
    ann, link = scene.somebody(Kind.SAFARI), scene.ad()
    await ann.on(scene.cast.browser("phone", Kind.IN_APP)).signs_up(link)
    yield 2 * MINUTE
    tab = await scene.somebody(Kind.SAFARI).beside(ann).visits(link)
    yield MINUTE
    await tab.add_to_cart()


@story(guard="another network: no hand-over")
async def link_to_a_friend(scene: Scene) -> Story:
    """As before, but Bob sits elsewhere."""
    ann, link = scene.somebody(Kind.SAFARI), scene.ad()
    await ann.on(scene.cast.browser("phone", Kind.IN_APP)).signs_up(link)
    yield 2 * MINUTE
    tab = await scene.somebody(Kind.SAFARI).visits(link)
    yield MINUTE
    await tab.add_to_cart()


@story()
async def cart_link(scene: Scene) -> Story:
    """Ann sends Bob the link to her cart; he opens it at home, adds what he likes and leaves."""
    hers = await scene.somebody(Kind.SAFARI, blocks_klaviyo=True).fills_a_cart()
    yield MINUTE
    await hers.check_out()
    yield 3 * 60 * MINUTE
    his = await scene.somebody(blocks_klaviyo=True).visits()
    if hers.cart is not None:
        his.take_over_cart(hers.cart.token)
    yield MINUTE
    await his.add_to_cart()


@story()
async def analytics_link(scene: Scene) -> Story:
    """The shop decorates links between its hosts with analytics' client ID; Bob gets Ann's by a copied link."""
    ann = scene.somebody(Kind.SAFARI)
    await ann.logs_in()
    yield MINUTE
    bob = scene.somebody()
    copied = ann.browser.jar.cookie("_ga", scene.now)
    if copied is not None:
        bob.browser.jar.set_by_script("_ga", copied, 400 * DAY, scene.now)
    await bob.fills_a_cart()
