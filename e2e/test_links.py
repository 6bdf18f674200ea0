"""A link of an e-mail that knows its recipient: from the profile at Klaviyo through the relay into another browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from e2e.servers import RelayProcess, SandboxControl, wait_until
from e2e.shopper import Shopper

ADDED = "Added to Cart - Backup Flow"
MUG = "/products/stoneware-mug"


@pytest.fixture
def relay(tmp_path: Path, relay_port: int, shop_url: str, sandbox: SandboxControl) -> Iterator[RelayProcess]:
    """A relay whose shop has links of its own."""
    process = RelayProcess(
        tmp_path, port=relay_port, shop_url=shop_url, klaviyo_url=sandbox.url, link_property="BackflowLink"
    )
    process.start()
    yield process
    process.stop()


def token_of(sandbox: SandboxControl, email: str) -> str:
    """What a template prints for ``{{ person.BackflowLink }}``."""

    def found() -> Any:
        profiles = [profile for profile in sandbox.state()["profiles"] if profile["email"] == email]
        return profiles and profiles[0]["properties"].get("BackflowLink")

    token: str = wait_until(found, f"the profile of {email} has its token")
    return token


def test_a_link_of_our_own_recognises_its_recipient_in_another_browser(
    shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl, browser: Any
) -> None:
    shopper.add_to_cart().start_checkout().give_email("ida@harbour.example")
    sandbox.events(ADDED)
    bf = token_of(sandbox, "ida@harbour.example")
    phone = Shopper(browser.new_context().new_page(), shopper.shop_url)

    link = urlencode({"bf": bf, "to": MUG, "utm_source": "Klaviyo"})
    answers: list[Any] = []
    phone.page.on("response", lambda response: answers.append(response) if "/go?" in response.url else None)
    phone.page.goto(f"{relay.url}/go?{link}")

    (redirect,) = answers
    assert redirect.status == 302
    assert "bf=" in redirect.all_headers()["set-cookie"], "the redirect itself sets the cookie"
    assert phone.page.url == f"{phone.shop_url}{MUG}?utm_source=Klaviyo"
    cookie = phone.cookie("bf")
    assert cookie is not None

    phone.add_to_cart(MUG).wait_until_told()
    events = sandbox.events(ADDED, wait_for=2)

    assert phone.cookie("bf") == cookie, "the same visitor"
    assert {event["profile"]["email"] for event in events} == {"ida@harbour.example"}
    assert "opened a link that we had signed" in events[-1]["properties"]["BackflowEvidence"]
    assert phone.errors == []
    phone.context.close()


def test_the_demo_plays_a_link_of_our_own(
    shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl, browser: Any
) -> None:
    stranger = Shopper(browser.new_context().new_page(), shopper.shop_url)
    stranger.visit("/")
    stranger.page.get_by_test_id("demo-panel-toggle").click()
    stranger.page.get_by_test_id("demo-own-email").fill("ida@harbour.example")
    stranger.page.get_by_test_id("demo-backflow-link").click()
    expect(stranger.page.get_by_text("has not told Klaviyo of this person yet")).to_be_visible()

    shopper.add_to_cart().start_checkout().give_email("ida@harbour.example")
    sandbox.events(ADDED)
    stranger.visit("/")  # the panel stays open
    stranger.page.get_by_test_id("demo-own-email").fill("Ida@harbour.example")
    stranger.page.get_by_test_id("demo-backflow-link").click()
    stranger.page.wait_for_url("**/?utm_source=klaviyo**")
    stranger.add_to_cart(MUG).wait_until_told()

    assert {event["profile"]["email"] for event in sandbox.events(ADDED, wait_for=2)} == {"ida@harbour.example"}
    stranger.context.close()


def test_a_forged_link_leads_to_the_shop_and_to_nobody(
    shopper: Shopper, relay: RelayProcess, sandbox: SandboxControl
) -> None:
    shopper.page.goto(f"{relay.url}/go?" + urlencode({"bf": "f" * 32 + ".69781f00." + "A" * 43, "to": MUG}))

    assert shopper.page.url == f"{shopper.shop_url}{MUG}"
    shopper.add_to_cart(MUG).wait_until_told()
    wait_until(lambda: relay.deliveries("waiting", "no_identity") >= 2, "the stranger's cart waits")
    assert sandbox.backups() == []
