"""One visit: a person before a browser on the shop's pages. Sends what the tag would send, tells Klaviyo's script what
the theme would tell it, and writes down the truth.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.integration.world import iso
from tests.simulator.browsers import CLICK_IDS, Browser
from tests.simulator.klaviyo_script import KlaviyoScript
from tests.simulator.parameters import DAY
from tests.simulator.people import Cast
from tests.simulator.truth import Action, Cart, Person

#: Seconds between two looks of the tag at what Klaviyo's script knows (static/src/sources/klaviyo-state.js).
LOOK = 2.0
#: Seconds in which Klaviyo's script loads where it is late.
LATE = 1.5
NO_LINK: Mapping[str, str] = {}
SHOP = "https://shop.example.com"
#: Days that the tag keeps a click ID (relay/web/tag.py).
_KEPT = {"_kx": 1, "srsltid": 1, "fbclid": 90, "gclid": 90}


class Tab:
    """``story`` names what is being told; ``address`` is the network's, as the relay's proxy sees it. With
    ``repeats_from`` every answer is lost the first time, and the tag sends the same again from that address."""

    def __init__(
        self, cast: Cast, person: Person, browser: Browser, address: str, story: str, *, repeats_from: str | None = None
    ) -> None:
        self._cast = cast
        self._stage = cast.stage
        self._truth = cast.stage.truth
        self.person = person
        self.browser = browser
        self.address = address
        self.story = story
        self._repeats_from = repeats_from
        self.cart: Cart | None = None
        self._taken_over: str | None = None
        self._path = "/"
        self._is_open = True
        self._klaviyo_answers_at = 0.0

    # Coming and going

    async def land(self, link: Mapping[str, str] = NO_LINK, *, klaviyo_is_late: bool | None = None) -> None:
        """Load a page; ``link`` are the parameters of the address that led there (``_kx``, ``fbclid``, ...). Klaviyo's
        script is late as often as the table says, or as told."""
        now, jar = self._stage.now, self.browser.jar
        jar.touch(now)
        arrived = {name: value for name, value in link.items() if name not in self.browser.strips()}
        runs = self.browser.consent is True and not self.browser.blocks_klaviyo
        self._klaviyo = KlaviyoScript(
            self.browser,
            self._stage.account,
            self._truth,
            runs=runs,
            decorated=bool(arrived.keys() & (CLICK_IDS | {"_kx"})),
        )
        if self.browser.consent is True:
            known = jar.storage(now).setdefault("click_ids", {})
            known |= {name: (value, now + _KEPT[name] * DAY) for name, value in arrived.items() if name in _KEPT}
            number = self._stage.chance.randrange(10**9, 10**10)
            for name, minted in (("_ga", f"GA1.1.{number}.{int(now)}"), ("_fbp", f"fb.1.{int(now * 1000)}.{number}")):
                if not self.browser.blocks_klaviyo:  # what blocks Klaviyo blocks these
                    jar.set_by_script(name, jar.cookie(name, now) or minted, 400 * DAY, now)
        if "_kx" in arrived:
            owner = self._stage.account.profiles.owner("kx", arrived["_kx"])
            if owner is not None and owner.email in self.person.addresses:
                self._sign("kx")
        self._klaviyo.load(arrived.get("_kx"), now)
        is_late = self._cast.happens("klaviyo_is_late") if klaviyo_is_late is None else klaviyo_is_late
        self._klaviyo_answers_at = now + (LATE if is_late else 0)
        if self.browser.consent is not None and not jar.storage(now).get("asked"):
            await self.answer_banner(self.browser.consent)
        await self._tell("page")
        self._stage.later(LOOK, self._look)

    async def answer_banner(self, consent: bool) -> None:
        """Say yes or no; after a no Klaviyo's script does not run either, and the tag forgets what it has stored."""
        now, jar = self._stage.now, self.browser.jar
        self.browser.consent = consent
        self._klaviyo.runs = self._klaviyo.runs and consent
        jar.storage(now)["asked"] = True
        answer = {"marketing": consent, "analytics": consent}
        await self._tell("track", event="Consent Updated", properties=answer, even_denied=True)
        if not consent:
            jar.storage(now).pop("mirror", None)
            jar.storage(now).pop("click_ids", None)

    def take_over_cart(self, token: str) -> None:
        """A link to somebody's cart puts it into this browser: what is added now goes into it."""
        self._taken_over = token

    def close(self) -> None:
        """The page is gone: what its timers would have done is not done."""
        self._is_open = False

    # Shopping

    async def view(self, product: int = 7) -> Action:
        self._path = f"/products/{product}"
        return await self._act("Product Viewed", "Viewed Product", _product(product))

    async def browse(self) -> None:
        """Another page, nothing that becomes a metric."""
        self.browser.jar.touch(self._stage.now)
        await self._tell("page")

    async def add_to_cart(self, product: int = 7) -> Action:
        if self.cart is None:
            self.cart = Cart(
                token=self._taken_over or f"cart-{self._stage.new_id()}",
                person=self.person,
                story=self.story,
                browser=self.browser.kind,
                started_at=self._stage.now,
            )
            self._truth.carts.append(self.cart)
        return await self._act("Product Added", "Added to Cart", _product(product) | {"cart_id": self._token})

    async def check_out(self, typed: str | None = None) -> Action:
        """Start a checkout with an address: the person's own, or what they have ``typed`` instead."""
        email = typed or self.person.email
        if self.cart is not None:
            self.cart.typed_address = True
        if email in self.person.addresses:
            self._sign("form")
        properties = {"email": email, "value": 20, "currency": "EUR", "cart_id": self._token, "products": [_product(7)]}
        knows = self._klaviyo.exchange_id(self._stage.now) is not None
        action = await self._act("Checkout Started", "Started Checkout", properties, is_native=knows)
        if self._klaviyo.runs and self._cast.happens("klaviyo_hears_checkout"):
            await self._tell("identify", traits={"email": email}, seen_by=["klaviyo"])
            self._klaviyo.identify(email, self._stage.now)
            if not knows:
                self._klaviyo.track(action.message_id, self._stage.now)
        self._notice()
        return action

    async def order(self, *, ships_to: dict[str, str] | None = None, is_seen: bool | None = None) -> None:
        """Buy: the shop's server reports it, and the thank-you page as often as the table says, or as told
        (``is_seen``). ``ships_to`` is another person's postal address, for a gift."""
        now, person = self._stage.now, self.person
        order_id = f"o{len(self._truth.orders) + 1000}"
        self._truth.buy(person, order_id, self.cart, now)
        self._sign("order")
        properties = {
            "order_id": order_id, "total": 20, "currency": "EUR", "cart_id": self._token, "email": person.email,
            "products": [_product(7)],
            **({"shipping_address": ships_to} if ships_to else {}),
        }  # fmt: skip
        if self._cast.happens("order_seen_by_browser") if is_seen is None else is_seen:
            await self._tell("track", event="Order Completed", properties=properties)
        server = {
            "type": "track", "event": "Order Completed", "messageId": self._stage.new_id(), "timestamp": iso(now),
            "properties": properties, "context": {"traits": {"email": person.email}},
            **({"userId": person.customer_id} if person.has_account else {}),
        }  # fmt: skip
        self._stage.later(5.0, lambda: self._stage.report(server))

    # Saying who one is

    async def sign_up(self, typed: str | None = None) -> None:
        """Fill in Klaviyo's newsletter form; where its script is blocked, a form of the shop's own."""
        email = typed or self.person.email
        if email in self.person.addresses:
            self._sign("form")
            self.person.is_subscriber = True
        seen_by = ["form", "klaviyo"] if self._klaviyo.runs else ["form"]
        await self._tell("identify", traits={"email": email}, seen_by=seen_by)
        self._klaviyo.identify(email, self._stage.now)
        self._notice()

    async def log_in(self) -> None:
        """Log in; the next page tells Klaviyo's script and the tag who it is."""
        self._sign("form")
        traits = {"email": self.person.email}
        await self._tell("identify", userId=self.person.customer_id, traits=traits, seen_by=["api", "klaviyo"])
        self._klaviyo.identify(self.person.email, self._stage.now)
        self._notice()

    async def sign_out(self) -> None:
        self._truth.end(self.browser.browser_id, self._stage.now)
        await self._tell("track", event="Signed Out")
        self.browser.jar.storage(self._stage.now).pop("click_ids", None)

    # How it is told

    @property
    def _token(self) -> str:
        return self.cart.token if self.cart else "cart-none"

    def _sign(self, how: str) -> None:
        self._truth.sign(self.browser.browser_id, self.person, how, self._stage.now)

    async def _act(self, event: str, metric: str, properties: dict[str, Any], *, is_native: bool = True) -> Action:
        now, browser = self._stage.now, self.browser
        browser.jar.touch(now)
        action = Action(
            message_id=self._stage.new_id(),
            metric=metric,
            person=self.person,
            story=self.story,
            browser_id=browser.browser_id,
            at=now,
            is_permitted=browser.consent is True and not browser.gpc,
            cart=self.cart if metric in ("Added to Cart", "Started Checkout") else None,
        )
        self._truth.actions[action.message_id] = action
        await self._tell("track", messageId=action.message_id, event=event, properties=properties)
        if is_native:
            self._klaviyo.track(action.message_id, now)
        return action

    async def _tell(
        self, kind: str, *, even_denied: bool = False, seen_by: Sequence[str] = ("api",), **fields: Any
    ) -> None:
        """One message of the tag's, and which of its sources saw it happen. Without an answer to the banner it sends
        nothing, after a no it says so once."""
        browser, now = self.browser, self._stage.now
        if browser.consent is None or (browser.consent is False and not even_denied):
            return
        message = {
            "type": kind,
            "messageId": self._stage.new_id(),
            "timestamp": iso(now + browser.clock_is_ahead),
        } | fields
        message["context"] = self._context(now) | {"capture": list(seen_by)}
        if self._repeats_from is not None:
            await self._stage.post(browser, self.address, [message], is_answered=False)
        await self._stage.post(browser, self._repeats_from or self.address, [message])

    def _context(self, now: float) -> dict[str, Any]:
        consent = {"marketing": self.browser.consent, "analytics": self.browser.consent, "source": "onetrust"}
        context: dict[str, Any] = {"library": {"name": "backflow.js", "version": "0.1.0"}, "consent": consent}
        if not self.browser.consent:
            return context
        storage = self.browser.jar.storage(now)
        klaviyo = self._klaviyo_state(now)
        if not klaviyo["identified"]:
            storage["unknown"] = True
        clicks = {name: value for name, (value, until) in storage.get("click_ids", {}).items() if until > now}
        return context | {
            "page": {"url": SHOP + self._path, "path": self._path, "title": "Shop", "referrer": ""},
            "locale": "en-GB",
            "timezone": "Europe/Berlin",
            "userAgent": self.browser.user_agent,
            "screen": {"width": 390, "height": 844, "density": 3},
            "clickIds": clicks,
            "cookies": self.browser.jar.cookies(now, of_server=False),
            "klaviyo": klaviyo,
            "gpc": self.browser.gpc,
        }  # fmt: skip

    def _klaviyo_state(self, now: float) -> dict[str, Any]:
        """What the tag sees: the script's stub is part of the theme, so it is there even where a blocker stops the
        script, but then it never answers."""
        answers = self._klaviyo.runs and now >= self._klaviyo_answers_at
        identified = (self._klaviyo.exchange_id(now) is not None) if answers else None
        return {"present": True, "identified": identified, "queued": self._klaviyo.queued(now)}

    def _notice(self) -> None:
        """Klaviyo's script may know somebody now: the tag sees it at its next look, unless the page has been left."""
        self._stage.later(LOOK, self._look)

    async def _look(self) -> None:
        now = self._stage.now
        storage = self.browser.jar.storage(now)
        if self._is_open and storage.get("unknown") and self._klaviyo_state(now)["identified"]:
            del storage["unknown"]
            await self._tell("identify", traits={})


def _product(number: int) -> dict[str, Any]:
    return {"product_id": str(number), "name": f"Lamp {number}", "price": 20.0, "quantity": 1, "currency": "EUR"}
