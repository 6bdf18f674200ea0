"""One browser, several people."""

from tests.simulator.browsers import Kind
from tests.simulator.parameters import DAY, HOUR, MINUTE
from tests.simulator.people import Cast
from tests.simulator.stage import Story
from tests.simulator.stories import story
from tests.simulator.tab import Tab


@story(guard="two persons on one browser: what happens there anonymously is nobody's")
async def family_tablet(cast: Cast) -> Story:
    """Ann and Bob have both logged in on the tablet; days later one of them leaves a cart without saying who."""
    ann, tablet, home = cast.plain(Kind.SAFARI, blocks_klaviyo=True)
    bob, _, _ = cast.plain()
    for person in (ann, bob):
        tab = Tab(cast, person, tablet, home, "family_tablet")
        await tab.land()
        await tab.log_in()
        tab.close()
        yield DAY
    tab = Tab(cast, ann, tablet, home, "family_tablet")
    await tab.land()
    await tab.add_to_cart()


@story(guard="whoever logs in within the hold takes what was done before in this session")
async def next_on_the_tablet(cast: Cast) -> Story:
    """Ann, long known on the tablet, is away; Bob fills a cart and logs in a minute later."""
    ann, tablet, home = cast.plain(Kind.SAFARI, blocks_klaviyo=True)
    tab = Tab(cast, ann, tablet, home, "next_on_the_tablet")
    await tab.land()
    await tab.log_in()
    yield 3 * DAY
    bob, _, _ = cast.plain()
    tab = Tab(cast, bob, tablet, home, "next_on_the_tablet")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.log_in()


@story(guard="signing out ends the tie")
async def signed_out(cast: Cast) -> Story:
    """Ann signs out; Bob uses the browser after her, anonymously."""
    ann, chrome, home = cast.plain(blocks_klaviyo=True)
    tab = Tab(cast, ann, chrome, home, "signed_out")
    await tab.land()
    await tab.log_in()
    await tab.add_to_cart()
    yield 10 * MINUTE
    await tab.sign_out()
    yield HOUR
    bob, _, _ = cast.plain()
    tab = Tab(cast, bob, chrome, home, "signed_out")
    await tab.land()
    await tab.add_to_cart()


@story()
async def silent_partner(cast: Cast) -> Story:
    """Only Ann ever says who she is on the tablet; Bob uses it too and never does. To all the world it is hers."""
    ann, tablet, home = cast.plain(Kind.SAFARI, blocks_klaviyo=True)
    tab = Tab(cast, ann, tablet, home, "silent_partner")
    await tab.land()
    await tab.log_in()
    yield 5 * DAY
    bob, _, _ = cast.plain()
    tab = Tab(cast, bob, tablet, home, "silent_partner")
    await tab.land()
    await tab.add_to_cart()


@story(guard="a browser with many customers belongs to nobody")
async def kiosk(cast: Cast) -> Story:
    """A terminal in the store: every quarter of an hour another customer, who orders or just leaves a cart."""
    _, terminal, store = cast.plain(blocks_klaviyo=True)
    for day in range(3):
        for number in range(12):
            customer, _, _ = cast.plain()
            tab = Tab(cast, customer, terminal, store, "kiosk")
            await tab.land()
            yield MINUTE
            if number % 3 == 2 and (day, number) > (0, 6):  # by then it has had many customers
                await tab.add_to_cart()
            elif number % 3 != 2:
                await tab.add_to_cart()
                yield MINUTE
                await tab.check_out()
                yield MINUTE
                await tab.order()
            tab.close()
            yield 12 * MINUTE
        yield 21 * HOUR


@story(guard="a browser with many customers belongs to nobody")
async def shop_staff(cast: Cast) -> Story:
    """Staff type customers' orders at the counter; between them they try the shop's own pages."""
    staff, desk, store = cast.plain(blocks_klaviyo=True)
    for number in range(16):
        customer, _, _ = cast.plain()
        tab = Tab(cast, customer, desk, store, "shop_staff")
        await tab.land()
        await tab.add_to_cart()
        yield MINUTE
        await tab.check_out()
        yield MINUTE
        await tab.order()
        yield 8 * MINUTE
        if number >= 5:
            tab = Tab(cast, staff, desk, store, "shop_staff")
            await tab.land()
            await tab.add_to_cart()
        yield 20 * MINUTE


@story(guard="the shipping address is never an identifier")
async def gift(cast: Cast) -> Story:
    """Ann has a present sent to Bob, and later leaves a cart; Bob, known elsewhere, leaves one too."""
    ann, chrome, home = cast.plain(blocks_klaviyo=True)
    bob, safari, elsewhere = cast.plain(Kind.SAFARI, blocks_klaviyo=True)
    tab = Tab(cast, bob, safari, elsewhere, "gift")
    await tab.land()
    await tab.log_in()
    yield DAY
    tab = Tab(cast, ann, chrome, home, "gift")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.order(
        ships_to={"first_name": bob.name, "address1": "Elm Street 1", "city": "Kiel", "phone": "+493012345678"}
    )
    yield 3 * DAY
    for person, browser, address in ((ann, chrome, home), (bob, safari, elsewhere)):
        tab = Tab(cast, person, browser, address, "gift")
        await tab.land()
        await tab.add_to_cart()
        yield HOUR


@story(guard="two persons on one browser: what happens there anonymously is nobody's")
async def guest_at_the_laptop(cast: Cast) -> Story:
    """Bob checks out on Ann's laptop with his own address; a week later she leaves a cart."""
    ann, laptop, home = cast.plain(blocks_klaviyo=True)
    tab = Tab(cast, ann, laptop, home, "guest_at_the_laptop")
    await tab.land()
    await tab.log_in()
    yield DAY
    bob, _, _ = cast.plain()
    tab = Tab(cast, bob, laptop, home, "guest_at_the_laptop")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.check_out()
    yield 7 * DAY
    tab = Tab(cast, ann, laptop, home, "guest_at_the_laptop")
    await tab.land()
    await tab.add_to_cart()


@story(guard="signing out ends the tie, and Klaviyo's old cookie does not bring it back")
async def signed_out_but_klaviyo_remembers(cast: Cast) -> Story:
    """Ann signs out; Klaviyo's cookie still names her. A blocker then stops its script, and Bob uses the browser."""
    ann, chrome, home = cast.plain()
    tab = Tab(cast, ann, chrome, home, "signed_out_but_klaviyo_remembers")
    await tab.land()
    await tab.log_in()
    yield 10 * MINUTE
    await tab.sign_out()
    yield HOUR
    chrome.blocks_klaviyo = True
    bob, _, _ = cast.plain()
    tab = Tab(cast, bob, chrome, home, "signed_out_but_klaviyo_remembers")
    await tab.land()
    await tab.add_to_cart()


@story(guard="two persons on one browser: what happens there anonymously is nobody's")
async def other_readers_mail(cast: Cast) -> Story:
    """Bob reads his mail on Ann's laptop, where she has logged in: his link, then her cart a week later."""
    ann, laptop, home = cast.plain(blocks_klaviyo=True)
    tab = Tab(cast, ann, laptop, home, "other_readers_mail")
    await tab.land()
    await tab.log_in()
    yield DAY
    bob, _, _ = cast.plain()
    tab = Tab(cast, bob, laptop, home, "other_readers_mail")
    await tab.land({"_kx": cast.link(bob)})
    yield 7 * DAY
    tab = Tab(cast, ann, laptop, home, "other_readers_mail")
    await tab.land()
    await tab.add_to_cart()


@story()
async def terminals_second_customer(cast: Cast) -> Story:
    """The day's second customer at a terminal leaves a cart and no name: nobody can know yet that it is one."""
    _, terminal, store = cast.plain(blocks_klaviyo=True)
    first, second = cast.plain()[0], cast.plain()[0]
    tab = Tab(cast, first, terminal, store, "terminals_second_customer")
    await tab.land()
    await tab.add_to_cart()
    yield MINUTE
    await tab.check_out()
    yield MINUTE
    await tab.order()
    yield 8 * MINUTE
    tab = Tab(cast, second, terminal, store, "terminals_second_customer")
    await tab.land()
    await tab.add_to_cart()


@story()
async def morning_and_evening(cast: Cast) -> Story:
    """In the morning Bob leaves a cart on the tablet; in the evening Ann logs in there for the first time."""
    bob, tablet, home = cast.plain(Kind.SAFARI, blocks_klaviyo=True)
    tab = Tab(cast, bob, tablet, home, "morning_and_evening")
    await tab.land()
    await tab.add_to_cart()
    yield 10 * HOUR
    ann, _, _ = cast.plain()
    tab = Tab(cast, ann, tablet, home, "morning_and_evening")
    await tab.land()
    await tab.log_in()


@story()
async def between_two_logins(cast: Cast) -> Story:
    """Ann signs out, Bob leaves a cart, Ann logs in again hours later."""
    ann, tablet, home = cast.plain(Kind.SAFARI, blocks_klaviyo=True)
    tab = Tab(cast, ann, tablet, home, "between_two_logins")
    await tab.land()
    await tab.log_in()
    yield MINUTE
    await tab.sign_out()
    yield HOUR
    bob, _, _ = cast.plain()
    tab = Tab(cast, bob, tablet, home, "between_two_logins")
    await tab.land()
    await tab.add_to_cart()
    yield 5 * HOUR
    tab = Tab(cast, ann, tablet, home, "between_two_logins")
    await tab.land()
    await tab.log_in()
