"""Why a delivery is whose it is: the chain in sentences, for whole stories from the door to Klaviyo."""

import msgspec
import pytest

from relay import forget
from relay.identity import guards, telling
from relay.identity.evidence import Evidence
from relay.web.console import why
from tests.integration.test_identity_across import ANN, BOB, CLICK, GA, TOKEN, known
from tests.integration.world import CART, DAY, LAMP, MINUTE, Browser, World, in_world, klaviyo_script
from tests.unit.test_traces import INSTAGRAM, SAFARI

MASKED = "a***@mail.com"


async def explained(world: World, asked: object) -> list[why.Explanation]:
    now = world.clock.now()
    return await world.store.read(lambda tx: why.explain(tx, world.site, str(asked), now=now))


async def chain(world: World, metric: str = "Added to Cart") -> why.Explanation:
    """The chain of the latest delivery of a metric."""
    latest = (await world.deliveries(metric))[-1]
    (found,) = await explained(world, latest["delivery_id"])
    whole = msgspec.json.encode(found).decode()
    assert not any(email in whole for email in (ANN, BOB)), "addresses are masked"
    return found


def texts(explanation: why.Explanation, kind: str) -> list[str]:
    return [step.text for step in explanation.steps if step.kind == kind]


async def buys(world: World, shopper: Browser, email: str = ANN) -> None:
    order = {"order_id": "1042", "total": 20, "products": [LAMP], "email": email, "cart_token": TOKEN}
    shopper.context = {"shopify": {"cartToken": TOKEN}}
    await shopper.post({"type": "page"})
    await world.settle()
    await world.server({"type": "track", "event": "Order Completed", "properties": order, "messageId": "order-message"})
    await world.settle()


@in_world()
async def test_an_order_is_told_with_its_number_and_day(world: World) -> None:
    shopper = world.browser()
    await buys(world, shopper)
    await world.settle(DAY)
    await shopper.add_to_cart()
    await world.pass_hold()
    found = await chain(world)
    assert found.title == CART
    assert texts(found, "event") == ["Product Added (Lamp). The tag or an SDK in the browser reported it."]
    (sign,) = texts(found, "sign")
    assert sign.startswith("This browser placed order 1042 on ")
    assert sign.endswith(f"; the shop's server reported it for {MASKED}.")
    assert texts(found, "recognition") == ["The browser was recognised by our signed first-party cookie."]
    assert texts(found, "standing")[0].startswith("Delivered: ")
    assert texts(found, "confidence") == ["99 % sure: a chain is as strong as its weakest step."]


@pytest.mark.parametrize(
    ("context", "shared"),
    [
        pytest.param(GA, "the ID that Google Analytics keeps in the browser (_ga)", id="analytics"),
        pytest.param({"shopify": {"cartToken": TOKEN}}, "the cart", id="cart"),
        pytest.param({"shopify": {"clientId": "0c1d2e3f-aaaa"}}, "Shopify's ID of the browser", id="client-id"),
    ],
)
@in_world()
async def test_another_browser_is_named_with_what_the_two_share(
    world: World, context: dict[str, object], shared: str
) -> None:
    shopper = await known(world, context)
    shopper.lose_everything()
    await world.settle(DAY)
    await shopper.add_to_cart()
    await world.pass_hold()
    found = await chain(world)
    (first,) = await world.rows("SELECT visitor_id v FROM links")
    (second,) = await world.rows("SELECT visitor_id v FROM deliveries WHERE metric <> ''")
    assert texts(found, "bridge") == [f"This browser shares {shared} with another one we know (visitor {first['v']})."]
    assert found.visitor_id == second["v"]
    (sign,) = texts(found, "sign")
    assert sign.startswith("A form was filled in, or a login made, in that browser on ")
    assert sign.endswith(f"; it gave {MASKED}.")


@in_world()
async def test_a_click_handed_over_by_an_app_is_told(world: World) -> None:
    await known(world, CLICK, **{"User-Agent": INSTAGRAM})
    shopper = world.browser(**{"User-Agent": SAFARI})
    shopper.context = dict(CLICK)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert "an ad's click, handed over within minutes" in texts(await chain(world), "bridge")[0]


@in_world()
async def test_a_mails_link_is_told_and_that_the_mail_has_gone_round(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    readers = [world.browser() for _ in range(guards.LINK_BROWSERS + 1)]
    await readers[0].land(kx)
    await world.settle()
    await readers[0].add_to_cart()
    await world.pass_hold()
    found = await chain(world)
    assert texts(found, "sign")[0].endswith(f"in a Klaviyo message that was sent to {MASKED}.")
    assert texts(found, "useless") == []
    for reader in readers[1:]:
        await reader.land(kx)
    await readers[0].add_to_cart()
    await world.settle()
    found = await chain(world)
    (useless,) = texts(found, "useless")
    assert useless.startswith(
        f"This browser is tied to {MASKED} by a link in a Klaviyo message. The mail has gone round"
    )
    assert "the e-mail has been passed on" in texts(found, "standing")[0]
    assert texts(found, "sign") == []


@pytest.mark.parametrize(
    ("how", "words"),
    [("sign out", "the shopper signed out"), ("refuse", "the shopper withdrew consent")],
)
@in_world()
async def test_a_tie_that_has_ended_says_when_and_why(world: World, how: str, words: str) -> None:
    shopper = await known(world, {})
    if how == "sign out":
        await shopper.sign_out()
    else:
        await shopper.post({"type": "page", "context": {"consent": {"marketing": False}}})
    await world.settle(MINUTE)
    await shopper.add_to_cart()
    await world.settle()
    found = await chain(world)
    (ended,) = texts(found, "ended")
    assert ended.startswith(f"This browser was tied to {MASKED} by a form, login or checkout in the browser. Ended on ")
    assert ended.endswith(f": {words}.")
    assert "Nobody knows yet who this shopper is." in texts(found, "standing")[0]


@in_world()
async def test_a_tie_of_the_jar_before_that_a_sign_out_has_cut_off_is_told(world: World) -> None:
    shopper = await known(world, GA)
    await world.settle(MINUTE)
    shopper.lose_everything()
    await shopper.post({"type": "page"})
    await shopper.sign_out()
    await world.settle(MINUTE)
    await shopper.add_to_cart()
    await world.settle()
    (useless,) = texts(await chain(world), "useless")
    assert useless.startswith(f"The other browser is tied to {MASKED} by a form, login or checkout in the browser. It ")
    assert useless.endswith(": the shopper signed out in this browser.")


@in_world()
async def test_what_a_correction_has_ended_is_told(world: World) -> None:
    shopper = world.browser()
    await shopper.identify(email="amn@mail.com")
    await world.settle(MINUTE)
    await shopper.identify(email=ANN)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert any(text.endswith("corrected the address a moment later.") for text in texts(await chain(world), "ended"))


@in_world()
async def test_whom_other_browsers_could_have_named_is_told_where_nobody_is_named(world: World) -> None:
    await known(world, GA, ANN)
    await known(world, GA, BOB)
    third = world.browser()
    third.context = dict(GA)
    await third.add_to_cart()
    await world.pass_hold()
    found = await chain(world)
    assert "Several people use this browser" in texts(found, "standing")[0]
    assert len(texts(found, "bridge")) == 2
    ties = [text.partition(" by ")[0] for text in texts(found, "tie")]
    assert sorted(ties) == [f"The other browser is tied to {name}***@mail.com" for name in "ab"]


@in_world()
async def test_who_was_made_one_by_which_word_is_told(world: World) -> None:
    shopper = world.browser()
    await shopper.identify("7")
    await shopper.add_to_cart()
    await world.settle()
    await world.server({"type": "identify", "userId": "7", "traits": {"email": ANN}})  # makes one with an address
    await world.server({"type": "identify", "userId": "8", "traits": {"email": BOB}})
    stranger = world.browser()
    await stranger.identify("9")
    await world.settle()
    await world.server({"type": "identify", "userId": "9", "traits": {"email": BOB}, "messageId": "the-word"})
    await stranger.add_to_cart()
    await world.pass_hold()
    (merge,) = texts(await chain(world), "merge")
    assert merge.startswith("The shop's server named customer 9*** and b***@mail.com as one in message the-word on ")


@in_world(min_precision=0.9)
async def test_the_measured_precision_of_each_class_in_the_chain_is_told(world: World) -> None:
    async def count(label: str, n: int) -> None:
        await world.store.transact(lambda tx: tx.ledger.count("shop", "label", label, n))

    shopper = await known(world, {})
    await world.settle(DAY)
    await count("form:right", 199)
    await count("form:wrong", 1)
    await count("cookie:right", 9)
    await shopper.add_to_cart()
    await world.pass_hold()
    assert texts(await chain(world), "measured") == [
        "Measured in this shop: a form, login or checkout in the browser named the right person 199 of 200 times"
        " (99.5 %; with 95 % certainty at least 97.2 %).",
        "Measured in this shop: our cookie named the right person 9 of 9 times (100 %; with 95 % certainty at least"
        " 70 %). Fewer than 30 answers say little.",
    ]


@in_world(min_precision=0.9)
async def test_a_class_that_is_switched_off_is_told(world: World) -> None:
    _, kx = await world.sandbox.profile(email=ANN)
    shopper = world.browser()
    await shopper.land(kx)
    await world.settle()
    await world.store.transact(lambda tx: tx.ledger.count("shop", "label", "kx:wrong", 100))
    await shopper.add_to_cart()
    await world.settle()
    found = await chain(world)
    assert "it is switched off (RELAY_MIN_PRECISION)" in texts(found, "standing")[0]
    assert "Switched off: this class of evidence" in texts(found, "useless")[0]


@in_world()
async def test_what_klaviyo_handles_itself_is_told_in_the_consoles_words(world: World) -> None:
    shopper = await known(world, {})
    await shopper.add_to_cart(context=klaviyo_script(identified=True))
    await world.settle()
    found = await chain(world)
    assert texts(found, "standing")[0].startswith("Suppressed: Klaviyo handles this itself: its own script knew this")
    assert texts(found, "sign"), "whose it is is told all the same"


@in_world()
async def test_a_message_is_explained_with_all_that_it_has_become(world: World) -> None:
    await buys(world, world.browser())
    found = await explained(world, "order-message")
    assert {each.title for each in found} == {"Placed Order - Backup Flow", "Ordered Product - Backup Flow"}
    assert all("order 1042" in texts(each, "event")[0] for each in found)
    for each in found:
        assert each.unique_id is not None
        assert await explained(world, each.unique_id) == [each]
        assert await explained(world, each.delivery_id) == [each]
    assert await explained(world, "nothing") == []


@in_world()
async def test_an_event_that_became_no_delivery_is_explained_too(world: World) -> None:
    shopper = await known(world, {})
    await shopper.post({"type": "page", "messageId": "a-page"})
    await world.settle()
    (found,) = await explained(world, "a-page")
    assert found.delivery_id is None
    assert texts(found, "standing") == [
        "Klaviyo is told nothing of it: it becomes no metric there, and asks for nothing."
    ]
    assert MASKED in texts(found, "sign")[0]


@in_world()
async def test_nothing_is_told_of_whoever_is_erased(world: World) -> None:
    shopper = await known(world, {})
    await shopper.add_to_cart()
    await world.pass_hold()
    await forget.forget(world.store, [world.site], ANN, now=world.clock.now())
    found = await chain(world)
    assert MASKED not in str(found)
    assert "Lamp" not in str(found)


@in_world()
async def test_an_address_in_a_name_or_an_id_is_hidden(world: World) -> None:
    await world.browser().track(f"Mail to {ANN} opened", messageId=f"m-{ANN}")
    await world.settle()
    (found,) = await explained(world, f"m-{ANN}")
    assert ANN not in str(found)
    assert texts(found, "event")[0].startswith("Mail to [address] opened")


def test_every_class_of_evidence_has_a_sentence_of_its_own() -> None:
    told = {telling.sign(evidence, 0.0, MASKED) for evidence in Evidence}
    assert len(told) == len(Evidence)
    assert all(MASKED in text and text.endswith(".") for text in told)
