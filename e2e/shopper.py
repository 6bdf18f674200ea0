"""A person in the demo shop, doing what people do."""

from playwright.sync_api import BrowserContext, Page, expect

#: A product without options.
CANDLE = "/products/cedar-candle"


class Shopper:
    """One browser. ``errors`` collects whatever the page's scripts threw: the tag must never add to it."""

    def __init__(self, page: Page, shop_url: str) -> None:
        self.page = page
        self.shop_url = shop_url
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    @property
    def context(self) -> BrowserContext:
        return self.page.context

    def visit(self, path: str = "/") -> "Shopper":
        self.page.goto(self.shop_url + path)
        return self

    def add_to_cart(self, path: str = CANDLE) -> "Shopper":
        """Look at a product and put it into the cart; returns when the shop shows it there."""
        self.visit(path)
        self.page.get_by_test_id("add-to-cart").click()
        expect(self.page.get_by_test_id("cart-drawer")).to_be_visible()
        expect(self.page.get_by_test_id("cart-line").first).to_be_visible()
        return self

    def start_checkout(self) -> "Shopper":
        return self.visit("/checkout")

    def give_email(self, email: str, phone: str = "") -> "Shopper":
        """Step one of the checkout."""
        self.page.get_by_test_id("checkout-email").fill(email)
        self.page.get_by_test_id("checkout-phone").fill(phone)
        self.page.get_by_test_id("continue").click()
        expect(self.page.get_by_test_id("step-address")).to_be_visible()
        return self

    def give_address(self) -> "Shopper":
        for field, value in {
            "first-name": "Ada",
            "last-name": "Lovelace",
            "address1": "12 St James's Square",
            "zip": "10115",
            "city": "Berlin",
        }.items():
            self.page.get_by_test_id(f"checkout-{field}").fill(value)
        self.page.get_by_test_id("continue").click()
        expect(self.page.get_by_test_id("step-payment")).to_be_visible()
        return self

    def pay(self) -> str:
        """The order's number."""
        self.page.get_by_test_id("pay").click()
        number = self.page.get_by_test_id("order-number")
        expect(number).to_be_visible()
        return str(number.get_attribute("data-order-id"))

    def sign_up_for_newsletter(self, email: str) -> "Shopper":
        """The footer's form: this is how Klaviyo's own script gets to know a visitor."""
        self.page.get_by_test_id("newsletter-email").fill(email)
        self.page.get_by_test_id("newsletter-submit").click()
        self.page.wait_for_function("klaviyo.isIdentified().then(known => known === true)")
        return self

    def wait_until_told(self) -> "Shopper":
        """Until the tag has nothing left to send."""
        self.page.wait_for_function("!Object.keys(localStorage).some(key => key.startsWith('backflow.queue'))")
        return self

    def lose_script_storage(self) -> "Shopper":
        """What Safari does after seven days: all that scripts have written is gone, HttpOnly cookies stay."""
        self.wait_until_told()
        self.page.evaluate("localStorage.clear(); sessionStorage.clear()")
        self.page.goto("about:blank")
        kept = [cookie for cookie in self.context.cookies() if cookie["httpOnly"]]
        self.context.clear_cookies()
        self.context.add_cookies(kept)  # type: ignore[arg-type]
        return self

    def lose_signed_cookie(self) -> "Shopper":
        """The signed cookie is gone, what scripts have stored is not."""
        self.wait_until_told()
        self.page.goto("about:blank")
        self.context.clear_cookies(name="bf")
        return self

    def cookie(self, name: str) -> str | None:
        return next((c["value"] for c in self.context.cookies() if c["name"] == name), None)
