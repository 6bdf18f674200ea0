"""Everyday life: most of what happens in a shop, drawn from the shares in ``parameters``."""

from tests.simulator.parameters import DAY, MINUTE, parameter
from tests.simulator.people import Cast, Shopper
from tests.simulator.scene import Scene
from tests.simulator.stage import Story
from tests.simulator.stories import story
from tests.simulator.tab import Tab


@story(is_hazard=False)
async def everyday(scene: Scene) -> Story:
    """One person's visits over the weeks: mails, ads and bookmarks, carts, checkouts and orders."""
    async for pause in life(scene, scene.cast.shopper()):
        yield pause


@story(is_hazard=False)
async def couple(scene: Scene) -> Story:
    """Two people of one household, each on their own devices, now and then on a tablet that both use."""
    cast = scene.cast
    home = cast.home()
    one, other = cast.shopper(home=home), cast.shopper(home=home)
    if cast.happens("shares_a_tablet"):
        one.desktop = other.desktop = cast.browser("desktop", consent=one.phone.consent, gpc=one.phone.gpc)
    cast.stage.tell(life(scene, other), begins_in=cast.chance.random() * DAY)
    async for pause in life(scene, one):
        yield pause


async def life(scene: Scene, shopper: Shopper) -> Story:
    while True:
        yield scene.cast.chance.expovariate(1.0 / (parameter("days_between_visits") * DAY))
        async for pause in visit(scene, shopper):
            yield pause


async def visit(scene: Scene, shopper: Shopper) -> Story:
    """One visit, from the link to the leaving."""
    cast, person = scene.cast, shopper.person
    is_phone = shopper.desktop is None or cast.happens("phone")
    browser = shopper.phone if is_phone or shopper.desktop is None else shopper.desktop
    address = shopper.home
    if is_phone and cast.happens("other_network"):
        address = shopper.carrier
    elif not is_phone and shopper.office and cast.happens("desktop_at_the_office"):
        address = shopper.office
    if cast.happens("clears_cookies"):
        browser.jar.clear()
        cast.stage.truth.end(browser.browser_id, cast.stage.now)
    if cast.happens("private_window"):
        browser = cast.private_window(browser)
    link = _link(scene, shopper)
    if "fbclid" in link and is_phone and not browser.is_private and cast.happens("ad_in_app"):
        async for pause in _stay(cast, scene.tab(person, shopper.in_app, address), link):
            yield pause
        if not cast.happens("opens_in_browser"):
            return
        yield cast.chance.expovariate(1.0 / (parameter("minutes_to_the_browser") * MINUTE))
        cast.stage.truth.hand_over(shopper.in_app.browser_id, browser.browser_id, person, cast.stage.now)
    async for pause in _stay(cast, scene.tab(person, browser, address), link):
        yield pause


def _link(scene: Scene, shopper: Shopper) -> dict[str, str]:
    """Where a visit comes from: the parameters of its link."""
    cast = scene.cast
    if shopper.person.is_subscriber and cast.happens("from_mail"):
        return scene.mail(shopper.person)
    if cast.happens("from_ad"):
        return scene.ad()
    if cast.happens("from_free_listing"):
        return {"srsltid": f"AfmBOo{cast.chance.randrange(20):04d}"}  # few: they are indexed and shared
    return {}


async def _stay(cast: Cast, tab: Tab, link: dict[str, str]) -> Story:
    """On the page: look, perhaps say who one is, perhaps fill a cart, perhaps buy."""
    chance, person = cast.chance, tab.person
    await tab.land(link)
    yield _reads(cast)
    await tab.view(chance.randrange(1, 40))
    yield _reads(cast)
    if not person.is_subscriber and not tab.browser.blocks_klaviyo and cast.happens("signs_up"):
        await tab.sign_up()
        if cast.happens("tab_closed_at_once"):
            tab.close()
            return
        yield _reads(cast)
    is_in = person.has_account and cast.happens("logs_in")
    if is_in:
        await tab.log_in()
        yield _reads(cast)
    if cast.happens("adds_to_cart"):
        async for pause in _fill_a_cart(cast, tab):
            yield pause
    if is_in and cast.happens("signs_out"):
        await tab.sign_out()
    tab.close()


async def _fill_a_cart(cast: Cast, tab: Tab) -> Story:
    await tab.add_to_cart(cast.chance.randrange(1, 40))
    for _ in range(cast.chance.randint(0, int(parameter("pages_after_the_cart")))):
        yield _reads(cast)
        await tab.browse()
    yield _reads(cast)
    if cast.happens("starts_checkout"):
        await tab.check_out()
        if cast.happens("tab_closed_at_once"):
            tab.close()
            return
        yield cast.chance.expovariate(1.0 / (parameter("minutes_at_the_checkout") * MINUTE))
        if cast.happens("completes_order"):
            await tab.order()


def _reads(cast: Cast) -> float:
    """Seconds on a page."""
    return cast.chance.expovariate(1.0 / parameter("seconds_on_a_page"))
