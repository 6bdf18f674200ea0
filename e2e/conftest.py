"""The browser all journeys share."""

from typing import Any

import pytest

from e2e import chromium


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    path = chromium.find()
    if path is None:
        pytest.exit("No Chromium: run the tests with `python -m tests`, which finds or installs one.", returncode=2)
    return {"executable_path": path, "args": chromium.arguments(), "headless": True}
