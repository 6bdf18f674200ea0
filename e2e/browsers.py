"""The browser of the tests: Chromium, unless ``pytest --browser firefox`` or ``--browser webkit`` asks for another.

Firefox and WebKit are Playwright's own builds, which its own command gets (``playwright install firefox webkit``).
"""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Playwright

from e2e import chromium


def launch_arguments(name: str, playwright: Playwright) -> dict[str, Any]:
    """What Playwright needs to start ``name``. Without a Chromium the run ends, without another the test is skipped."""
    if name != "chromium":
        path = Path(getattr(playwright, name).executable_path)
        if not path.exists():
            pytest.skip(f"There is no {name} of Playwright's own at {path}: `playwright install {name}` gets it")
        return {"headless": True}
    found = chromium.find()
    if found is None:
        pytest.exit("No Chromium: run the tests with `python -m tests`, which finds or installs one.", returncode=2)
    return {"executable_path": found, "args": chromium.arguments(), "headless": True}
