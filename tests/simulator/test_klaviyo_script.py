"""The baseline does what Klaviyo documents of its script, no less: a weak baseline would flatter us."""

from relay.demo.sandbox import Account, bodies
from tests.simulator.browsers import Browser, Kind
from tests.simulator.klaviyo_script import KlaviyoScript
from tests.simulator.parameters import DAY, HOUR
from tests.simulator.truth import Truth

ANN = "ann@mail.net"


class Page:
    """Pages of one browser on which Klaviyo's script runs."""

    def __init__(self, kind: Kind = Kind.CHROME, *, runs: bool = True) -> None:
        self.browser = Browser("b1", kind, "ua")
        self.account = Account(now=lambda: 0.0)
        self.truth = Truth()
        self.runs = runs

    def load(self, now: float, kx: str | None = None, *, decorated: bool = False) -> KlaviyoScript:
        self.browser.jar.touch(now)
        script = KlaviyoScript(self.browser, self.account, self.truth, runs=self.runs, decorated=decorated)
        script.load(kx, now)
        return script

    def link(self) -> str:
        attributes = bodies.ProfileAttributes(email=ANN)
        profile = self.account.seed(bodies.Profile(type="profile", attributes=attributes))
        return self.account.profiles.mint_exchange_id(profile)

    def filed(self) -> list[tuple[str, str | None, float]]:
        return [(message_id, one.email, one.at) for message_id, found in self.truth.natives.items() for one in found]


def test_an_event_of_a_known_visitor_is_filed_at_once() -> None:
    page = Page()
    page.load(0, page.link()).track("m1", 5)
    assert page.filed() == [("m1", ANN, 5)]


def test_an_event_of_a_stranger_waits_and_is_replayed_once() -> None:
    page = Page()
    script = page.load(0)
    script.track("m1", 5)
    assert page.filed() == []
    assert script.queued(6) == 1
    script.identify(ANN, 60)
    page.load(HOUR)
    assert page.filed() == [("m1", ANN, 60)]
    assert script.queued(HOUR) == 0


def test_a_replay_leaves_out_what_is_older_than_two_weeks() -> None:
    page = Page()
    page.load(0).track("old", 0)
    page.load(10 * DAY).track("new", 10 * DAY)
    page.load(15 * DAY).identify(ANN, 15 * DAY)
    assert page.filed() == [("new", ANN, 15 * DAY)]


def test_safari_forgets_whom_klaviyo_knew_after_a_week_and_after_a_mails_link_after_a_day() -> None:
    page = Page(Kind.SAFARI)
    page.load(0).identify(ANN, 0)
    assert page.load(6 * DAY).exchange_id(6 * DAY)
    assert page.load(14 * DAY).exchange_id(14 * DAY) is None
    reader = Page(Kind.SAFARI)
    script = reader.load(0, reader.link(), decorated=True)
    assert script.exchange_id(0.9 * DAY)
    assert script.exchange_id(1.1 * DAY) is None


def test_chrome_keeps_whom_klaviyo_knew() -> None:
    page = Page()
    page.load(0).identify(ANN, 0)
    assert page.load(200 * DAY).exchange_id(200 * DAY)


def test_an_unknown_link_identifies_nobody() -> None:
    page = Page()
    assert page.load(0, "forged.DEMO42").exchange_id(1) is None


def test_a_blocked_script_files_and_queues_nothing() -> None:
    page = Page(runs=False)
    script = page.load(0, page.link())
    script.track("m1", 1)
    script.identify(ANN, 2)
    assert page.filed() == []
    assert script.queued(3) == 0
    assert script.exchange_id(3) is None
