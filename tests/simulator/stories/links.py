"""Links that reach others than those they were sent to."""

from tests.simulator.browsers import Kind
from tests.simulator.parameters import DAY, MINUTE
from tests.simulator.people import Cast
from tests.simulator.stage import Story
from tests.simulator.stories import story
from tests.simulator.tab import Tab

#: How many open a link that is shared in public.
CROWD = 60


@story()
async def forwarded_link(cast: Cast) -> Story:
    """Ann forwards a mail; Bob opens its link, Klaviyo blocked, and leaves a cart. To all the world he is Ann."""
    ann, safari, home = cast.plain(Kind.SAFARI)
    link = cast.link(ann)
    await Tab(cast, ann, safari, home, "forwarded_link").land({"_kx": link})
    yield 3 * 60 * MINUTE
    bob, chrome, elsewhere = cast.plain(blocks_klaviyo=True)
    tab = Tab(cast, bob, chrome, elsewhere, "forwarded_link")
    await tab.land({"_kx": link})
    yield MINUTE
    await tab.add_to_cart()
    yield 9 * DAY
    tab = Tab(cast, bob, chrome, elsewhere, "forwarded_link")
    await tab.land()
    await tab.add_to_cart()


@story(guard="a form is stronger than a link: whoever gives an address is that person, before and after")
async def forwarded_link_then_address(cast: Cast) -> Story:
    """As before, but Bob gives his own address within the hold: nothing he did is Ann's."""
    ann, _, _ = cast.plain()
    link = cast.link(ann)
    bob, chrome, elsewhere = cast.plain(blocks_klaviyo=True)
    tab = Tab(cast, bob, chrome, elsewhere, "forwarded_link_then_address")
    await tab.land({"_kx": link})
    await tab.add_to_cart()
    yield MINUTE
    await tab.check_out()
    yield 20 * DAY
    tab = Tab(cast, bob, chrome, elsewhere, "forwarded_link_then_address")
    await tab.land({"_kx": link})
    await tab.add_to_cart()


@story(guard="a _kx that many browsers open is demoted")
async def viral_link(cast: Cast) -> Story:
    """A mail's link is posted in a forum: scores of strangers open it and leave carts."""
    ann, safari, home = cast.plain(Kind.SAFARI)
    link = cast.link(ann)
    await Tab(cast, ann, safari, home, "viral_link").land({"_kx": link})
    yield DAY
    for number in range(CROWD):
        reader, browser, elsewhere = cast.plain(Kind.SAFARI if number % 2 else Kind.CHROME, blocks_klaviyo=True)
        tab = Tab(cast, reader, browser, elsewhere, "viral_link")
        await tab.land({"_kx": link})
        yield cast.chance.uniform(1, 20) * MINUTE
        if number >= 8:  # by then it has been in many browsers
            await tab.add_to_cart()


@story(guard="a click ID seen in three jars ties nothing; srsltid never does")
async def viral_click_id(cast: Cast) -> Story:
    """A shopper's address with fbclid and srsltid is copied to many in one office, minutes apart."""
    ann, chrome, office = cast.plain()
    shared = {"fbclid": f"IwAR{cast.chance.getrandbits(120):x}", "srsltid": "AfmBOoshared"}
    tab = Tab(cast, ann, chrome, office, "viral_click_id")
    await tab.land(shared)
    await tab.sign_up()
    for number in range(12):
        yield 0.5 * MINUTE
        reader, browser, _ = cast.plain(Kind.SAFARI if number % 2 else Kind.FIREFOX, blocks_klaviyo=True)
        tab = Tab(cast, reader, browser, office, "viral_click_id")
        await tab.land(shared)
        if number >= 2:
            await tab.add_to_cart()


@story(guard="srsltid never ties anything")
async def shared_free_listing(cast: Cast) -> Story:
    """Two people of one household come by the same free listing within minutes; one of them is known."""
    ann, safari, home = cast.plain(Kind.SAFARI)
    tab = Tab(cast, ann, safari, home, "shared_free_listing")
    await tab.land({"srsltid": "AfmBOo1"})
    await tab.sign_up()
    yield 2 * MINUTE
    bob, chrome, _ = cast.plain(Kind.CHROME, device="phone", blocks_klaviyo=True)
    tab = Tab(cast, bob, chrome, home, "shared_free_listing")
    await tab.land({"srsltid": "AfmBOo1"})
    await tab.add_to_cart()


@story()
async def sofa_link(cast: Cast) -> Story:
    """Ann, known in her app's browser, sends the ad's address to Bob beside her: one network, minutes, two devices."""
    ann, _, home = cast.plain(Kind.SAFARI)
    link = {"fbclid": f"IwAR{cast.chance.getrandbits(120):x}"}
    tab = Tab(cast, ann, cast.browser("phone", Kind.IN_APP), home, "sofa_link")
    await tab.land(link)
    await tab.sign_up()
    yield 2 * MINUTE
    bob, safari, _ = cast.plain(Kind.SAFARI)
    tab = Tab(cast, bob, safari, home, "sofa_link")
    await tab.land(link)
    yield MINUTE
    await tab.add_to_cart()


@story(guard="another network: no hand-over")
async def link_to_a_friend(cast: Cast) -> Story:
    """As before, but Bob sits elsewhere."""
    ann, _, home = cast.plain(Kind.SAFARI)
    link = {"fbclid": f"IwAR{cast.chance.getrandbits(120):x}"}
    tab = Tab(cast, ann, cast.browser("phone", Kind.IN_APP), home, "link_to_a_friend")
    await tab.land(link)
    await tab.sign_up()
    yield 2 * MINUTE
    bob, safari, elsewhere = cast.plain(Kind.SAFARI)
    tab = Tab(cast, bob, safari, elsewhere, "link_to_a_friend")
    await tab.land(link)
    yield MINUTE
    await tab.add_to_cart()


@story()
async def cart_link(cast: Cast) -> Story:
    """Ann sends Bob the link to her cart; he opens it at home, adds what he likes and leaves."""
    ann, safari, home = cast.plain(Kind.SAFARI, blocks_klaviyo=True)
    hers = Tab(cast, ann, safari, home, "cart_link")
    await hers.land()
    await hers.add_to_cart()
    yield MINUTE
    await hers.check_out()
    yield 3 * 60 * MINUTE
    bob, chrome, elsewhere = cast.plain(blocks_klaviyo=True)
    his = Tab(cast, bob, chrome, elsewhere, "cart_link")
    await his.land()
    if hers.cart is not None:
        his.take_over_cart(hers.cart.token)
    yield MINUTE
    await his.add_to_cart()


@story()
async def analytics_link(cast: Cast) -> Story:
    """The shop decorates links between its hosts with analytics' client ID; Bob gets Ann's by a copied link."""
    ann, safari, home = cast.plain(Kind.SAFARI)
    tab = Tab(cast, ann, safari, home, "analytics_link")
    await tab.land()
    await tab.log_in()
    yield MINUTE
    bob, chrome, elsewhere = cast.plain()
    copied = safari.jar.cookie("_ga", cast.stage.now)
    if copied is not None:
        chrome.jar.set_by_script("_ga", copied, 400 * DAY, cast.stage.now)
    tab = Tab(cast, bob, chrome, elsewhere, "analytics_link")
    await tab.land()
    await tab.add_to_cart()
