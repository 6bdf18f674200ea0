"""The browser all journeys share, and the cast: shop, relay and Klaviyo's stand-in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Playwright, expect

from e2e import browsers
from e2e.servers import RelayProcess, SandboxControl, free_port, served
from e2e.shopper import Shopper
from relay.demo.sandbox import Account, build_sandbox
from relay.demo.storefront import build_storefront

# What is right comes at once; a busy machine may take its time.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_name: str, playwright: Playwright) -> dict[str, Any]:
    return browsers.launch_arguments(browser_name, playwright)


@pytest.fixture(scope="session", autouse=True)
def _shop_test_ids(playwright: Playwright) -> None:
    playwright.selectors.set_test_id_attribute("data-test")


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxControl]:
    with served(build_sandbox(Account()), free_port()) as url:
        yield SandboxControl(url)


@pytest.fixture(scope="session")
def relay_port() -> int:
    """The relay is started anew for each journey, always where the shop's snippet expects it."""
    return free_port()


@pytest.fixture(scope="session")
def shop_url(sandbox_server: SandboxControl, relay_port: int) -> Iterator[str]:
    shop = build_storefront(
        tag_url=f"http://localhost:{relay_port}/tag.js?key=journey",
        klaviyo_url=sandbox_server.url,
        klaviyo_company_id="DEMO42",
        sandbox_url=sandbox_server.url,
    )
    with served(shop, free_port()) as url:
        yield url


@pytest.fixture
def sandbox(sandbox_server: SandboxControl) -> SandboxControl:
    """Klaviyo, empty."""
    sandbox_server.reset()
    return sandbox_server


@pytest.fixture
def relay(tmp_path: Path, relay_port: int, shop_url: str, sandbox: SandboxControl) -> Iterator[RelayProcess]:
    """The relay, empty, running."""
    process = RelayProcess(tmp_path, port=relay_port, shop_url=shop_url, klaviyo_url=sandbox.url)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def shopper(page: Page, shop_url: str) -> Shopper:
    """A new browser in front of the shop."""
    return Shopper(page, shop_url)
