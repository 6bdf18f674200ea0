"""Who shops: persons with their devices, browsers and places, drawn from the shares in ``parameters``."""

from random import Random
from typing import Any

from msgspec import Struct

from relay.demo.sandbox import bodies
from tests.simulator.browsers import Browser, Kind
from tests.simulator.parameters import HOUR, parameter
from tests.simulator.stage import Stage
from tests.simulator.truth import Person

USER_AGENTS = {
    (
        "phone",
        Kind.SAFARI,
    ): "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/18.5 Mobile/15E148 Safari/604.1",
    (
        "phone",
        Kind.IN_APP,
    ): "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Mobile/15E148 Instagram 380.0.0.29.93 (iPhone15,3; iOS 18_5; en_GB; en; scale=3.00; 1290x2796)",
    ("phone", Kind.IN_APP_ANDROID): (
        "Mozilla/5.0 (Linux; Android 14; SM-S918B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0"
        " Chrome/138.0.0.0 Mobile Safari/537.36 Instagram 380.0.0.29.93 Android (34/14; 420dpi; samsung; en_GB)"
    ),
    ("phone", Kind.CHROME): "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/138.0.0.0 Mobile Safari/537.36",
    ("desktop", Kind.CHROME): "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/138.0.0.0 Safari/537.36",
    ("desktop", Kind.BRAVE): "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/138.0.0.0 Safari/537.36",
    ("desktop", Kind.SAFARI): "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/18.5 Safari/605.1.15",
    ("desktop", Kind.FIREFOX): "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:141.0) Gecko/20100101 Firefox/141.0",
}

FIRST = (
    "Ada",
    "Ben",
    "Chidi",
    "Dana",
    "Elif",
    "Femke",
    "Goran",
    "Hana",
    "Ines",
    "Jonas",
    "Kaya",
    "Lena",
    "Mika",
    "Nora",
)
LAST = ("Ahmed", "Becker", "Costa", "Dahl", "Eriksen", "Fischer", "Garcia", "Hoang", "Ivanova", "Jansen", "Kowalski")
HOSTS = ("mail.net", "post.net", "inbox.net", "letters.org", "bytes.io")


class Shopper(Struct, eq=False):
    """A person with what they shop on, and the addresses of the networks they do it from."""

    person: Person
    phone: Browser
    in_app: Browser
    desktop: Browser | None
    home: str
    carrier: str
    office: str | None


class Cast:
    """Makes the people of one stage, in the same order for the same seed."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.chance = Random(stage.chance.getrandbits(64))
        self._n_browsers = 0
        self._n_homes = 0
        size = int(parameter("carrier_addresses"))
        self._carriers = [f"100.64.{n}.{self.chance.randrange(1, 255)}" for n in range(size)]
        self._offices = [f"198.51.100.{n}" for n in range(1, 9)]

    def happens(self, name: str) -> bool:
        """Whether something of this share happens this time."""
        return self.chance.random() < parameter(name)

    def home(self) -> str:
        """The address of another household, in a network of its own."""
        self._n_homes += 1
        return f"{80 + self._n_homes // 65536}.{self._n_homes // 256 % 256}.{self._n_homes % 256}.7"

    def person(self, **traits: Any) -> Person:
        """Somebody new. Subscribers have always had a profile at Klaviyo."""
        number = len(self.stage.truth.people) + 1
        first, last, host = self.chance.choice(FIRST), self.chance.choice(LAST), self.chance.choice(HOSTS)
        person = Person(
            f"{first} {last} {number}",
            [f"{first}.{last}{number}@{host}".lower()],
            f"c{1000 + number}",
            **({"has_account": self.happens("has_account"), "is_subscriber": self.happens("is_subscriber")} | traits),
        )
        self.stage.truth.people.append(person)
        if person.is_subscriber:
            attributes = bodies.ProfileAttributes(email=person.email)
            self.stage.account.seed(bodies.Profile(type="profile", attributes=attributes))
        return person

    def browser(self, device: str, kind: Kind | None = None, **traits: Any) -> Browser:
        """A browser of a "phone" or "desktop"; ``kind`` and ``traits`` only where a story is about them."""
        drawn = kind or self._kind(device)
        self._n_browsers += 1
        answers = self.chance.random()
        denied, unanswered = parameter("consent_denied"), parameter("consent_unanswered")
        usual: dict[str, Any] = {
            "blocks_klaviyo": self.happens(f"blocker_{device}"),
            "is_strict": self.happens("firefox_strict"),
            "consent": False if answers < denied else None if answers < denied + unanswered else True,
            "gpc": self.happens("gpc"),
            "clock_is_ahead": self.chance.uniform(-4, 4) * HOUR if self.happens("clock_is_wrong") else 0.0,
        }
        plain = {"blocks_klaviyo": False, "is_strict": False, "consent": True, "gpc": False, "clock_is_ahead": 0.0}
        name = f"b{self._n_browsers}"
        return Browser(name, drawn, USER_AGENTS[device, drawn], **{**(plain if kind else usual), **traits})

    def shopper(self, *, home: str | None = None, **traits: Any) -> Shopper:
        """Somebody with a phone and perhaps a desktop."""
        phone = self.browser("phone")
        # Whoever has answered the banner so in one browser does in the others: it is the same person.
        same: dict[str, Any] = {"consent": phone.consent, "gpc": phone.gpc}
        return Shopper(
            person=self.person(**traits),
            phone=phone,
            in_app=self.browser("phone", Kind.IN_APP if phone.kind is Kind.SAFARI else Kind.IN_APP_ANDROID, **same),
            desktop=self.browser("desktop", **same) if self.happens("has_desktop") else None,
            home=home or self.home(),
            carrier=self.chance.choice(self._carriers),
            office=self.chance.choice(self._offices) if self.happens("works_in_an_office") else None,
        )

    def plain(
        self, kind: Kind = Kind.CHROME, *, device: str | None = None, **browser: Any
    ) -> tuple[Person, Browser, str]:
        """A person, one browser that consents, and the address of their home: all that most hazards need."""
        device = device or ("phone" if kind in (Kind.SAFARI, Kind.IN_APP) else "desktop")
        person = self.person(has_account=False, is_subscriber=False)
        return person, self.browser(device, kind, **browser), self.home()

    def private_window(self, browser: Browser) -> Browser:
        """A window of ``browser`` with a jar of its own, thrown away when it is closed."""
        self._n_browsers += 1
        return Browser(
            f"b{self._n_browsers}",
            browser.kind,
            browser.user_agent,
            blocks_klaviyo=browser.blocks_klaviyo,
            is_strict=browser.is_strict,
            is_private=True,
            consent=browser.consent,
            gpc=browser.gpc,
            clock_is_ahead=browser.clock_is_ahead,
        )

    def link(self, person: Person) -> str:
        """The ``_kx`` in the links of another e-mail that Klaviyo has sent to the person."""
        attributes = bodies.ProfileAttributes(email=person.email)
        profile = self.stage.account.seed(bodies.Profile(type="profile", attributes=attributes))
        return self.stage.account.profiles.mint_exchange_id(profile)

    def _kind(self, device: str) -> Kind:
        if device == "phone":
            return Kind.SAFARI if self.happens("phone_is_apple") else Kind.CHROME
        drawn = self.chance.random()
        for kind in (Kind.SAFARI, Kind.FIREFOX, Kind.BRAVE):
            drawn -= parameter(f"desktop_{kind.name.lower()}")
            if drawn < 0:
                return kind
        return Kind.CHROME
