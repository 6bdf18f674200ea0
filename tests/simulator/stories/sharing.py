"""One browser, several people."""

from tests.simulator.browsers import Kind
from tests.simulator.parameters import DAY, HOUR, MINUTE
from tests.simulator.scene import Scene
from tests.simulator.stage import Story
from tests.simulator.stories import story


@story(guard="two persons on one browser: what happens there anonymously is nobody's")
async def family_tablet(scene: Scene) -> Story:
    """Ann and Bob have both logged in on the tablet; days later one of them leaves a cart without saying who."""
    ann = scene.somebody(Kind.SAFARI, blocks_klaviyo=True)
    bob = scene.somebody().at(ann)
    for one in (ann, bob):
        tab = await one.logs_in()
        tab.close()
        yield DAY
    await ann.fills_a_cart()


@story(guard="whoever logs in within the hold takes what was done before in this session")
async def next_on_the_tablet(scene: Scene) -> Story:
    """Ann, long known on the tablet, is away; Bob fills a cart and logs in a minute later."""
    ann = scene.somebody(Kind.SAFARI, blocks_klaviyo=True)
    await ann.logs_in()
    yield 3 * DAY
    tab = await scene.somebody().at(ann).fills_a_cart()
    yield MINUTE
    await tab.log_in()


@story(guard="signing out ends the tie")
async def signed_out(scene: Scene) -> Story:
    """Ann signs out; Bob uses the browser after her, anonymously."""
    ann = scene.somebody(blocks_klaviyo=True)
    tab = await ann.logs_in()
    await tab.add_to_cart()
    yield 10 * MINUTE
    await tab.sign_out()
    yield HOUR
    await scene.somebody().at(ann).fills_a_cart()


@story()
async def silent_partner(scene: Scene) -> Story:
    """Only Ann ever says who she is on the tablet; Bob uses it too and never does. To all the world it is hers."""
    ann = scene.somebody(Kind.SAFARI, blocks_klaviyo=True)
    await ann.logs_in()
    yield 5 * DAY
    await scene.somebody().at(ann).fills_a_cart()


@story(guard="a browser with many customers belongs to nobody")
async def kiosk(scene: Scene) -> Story:
    """A terminal in the store: every quarter of an hour another customer, who orders or just leaves a cart."""
    terminal = scene.somebody(blocks_klaviyo=True)
    for day in range(3):
        for number in range(12):
            tab = await scene.somebody().at(terminal).visits()
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
async def shop_staff(scene: Scene) -> Story:
    """Staff type customers' orders at the counter; between them they try the shop's own pages."""
    staff = scene.somebody(blocks_klaviyo=True)
    for number in range(16):
        tab = await scene.somebody().at(staff).fills_a_cart()
        yield MINUTE
        await tab.check_out()
        yield MINUTE
        await tab.order()
        yield 8 * MINUTE
        if number >= 5:
            await staff.fills_a_cart()
        yield 20 * MINUTE


@story(guard="the shipping address is never an identifier")
async def gift(scene: Scene) -> Story:
    """Ann has a present sent to Bob, and later leaves a cart; Bob, known elsewhere, leaves one too."""
    ann = scene.somebody(blocks_klaviyo=True)
    bob = scene.somebody(Kind.SAFARI, blocks_klaviyo=True)
    await bob.logs_in()
    yield DAY
    tab = await ann.fills_a_cart()
    yield MINUTE
    await tab.order(
        ships_to={"first_name": bob.person.name, "address1": "Elm Street 1", "city": "Kiel", "phone": "+493012345678"}
    )
    yield 3 * DAY
    for one in (ann, bob):
        await one.fills_a_cart()
        yield HOUR


@story(guard="two persons on one browser: what happens there anonymously is nobody's")
async def guest_at_the_laptop(scene: Scene) -> Story:
    """Bob checks out on Ann's laptop with his own address; a week later she leaves a cart."""
    ann = scene.somebody(blocks_klaviyo=True)
    await ann.logs_in()
    yield DAY
    tab = await scene.somebody().at(ann).fills_a_cart()
    yield MINUTE
    await tab.check_out()
    yield 7 * DAY
    await ann.fills_a_cart()


@story(guard="signing out ends the tie, and Klaviyo's old cookie does not bring it back")
async def signed_out_but_klaviyo_remembers(scene: Scene) -> Story:
    """Ann signs out; Klaviyo's cookie still names her. A blocker then stops its script, and Bob uses the browser."""
    ann = scene.somebody()
    tab = await ann.logs_in()
    yield 10 * MINUTE
    await tab.sign_out()
    yield HOUR
    ann.browser.blocks_klaviyo = True
    await scene.somebody().at(ann).fills_a_cart()


@story(guard="two persons on one browser: what happens there anonymously is nobody's")
async def other_readers_mail(scene: Scene) -> Story:
    """Bob reads his mail on Ann's laptop, where she has logged in: his link, then her cart a week later."""
    ann = scene.somebody(blocks_klaviyo=True)
    await ann.logs_in()
    yield DAY
    bob = scene.somebody().at(ann)
    await bob.visits(scene.mail(bob.person))
    yield 7 * DAY
    await ann.fills_a_cart()


@story()
async def terminals_second_customer(scene: Scene) -> Story:
    """The day's second customer at a terminal leaves a cart and no name: nobody can know yet that it is one."""
    terminal = scene.somebody(blocks_klaviyo=True)
    first, second = scene.somebody().at(terminal), scene.somebody().at(terminal)
    tab = await first.fills_a_cart()
    yield MINUTE
    await tab.check_out()
    yield MINUTE
    await tab.order()
    yield 8 * MINUTE
    await second.fills_a_cart()


@story()
async def morning_and_evening(scene: Scene) -> Story:
    """In the morning Bob leaves a cart on the tablet; in the evening Ann logs in there for the first time."""
    bob = scene.somebody(Kind.SAFARI, blocks_klaviyo=True)
    await bob.fills_a_cart()
    yield 10 * HOUR
    await scene.somebody().at(bob).logs_in()


@story()
async def between_two_logins(scene: Scene) -> Story:
    """Ann signs out, Bob leaves a cart, Ann logs in again hours later."""
    ann = scene.somebody(Kind.SAFARI, blocks_klaviyo=True)
    tab = await ann.logs_in()
    yield MINUTE
    await tab.sign_out()
    yield HOUR
    await scene.somebody().at(ann).fills_a_cart()
    yield 5 * HOUR
    await ann.logs_in()
