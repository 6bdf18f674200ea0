"""Find a Chromium for the browser tests, or get one.

Order: the ``CHROMIUM`` environment variable, a Chromium or Chrome on the PATH, the build that Playwright
has already downloaded, Debian's package (as root, where apt is), Playwright's own download. The headless shell comes
first: the same engine without the windows' own pages, which cost a whole Chromium four times the work for every new
browser context.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome")

#: Debian's packages, the wanted one first.
DEBIANS = ("chromium-headless-shell", "chromium")

#: Headless in a container: no sandbox as root, no background calls to hosts the tests never asked for.
ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def arguments() -> list[str]:
    """The command line switches to start Chromium with."""
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return ["--no-sandbox", *ARGUMENTS] if as_root else ARGUMENTS


def find() -> str | None:
    """The path of a usable Chromium, or None."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    for name in NAMES:
        if path := shutil.which(name):
            return path
    return _playwrights_own()


def find_or_install() -> str:
    """Like ``find``, but gets a Chromium when there is none, saying what it does. Raises SystemExit if it cannot."""
    if path := find():
        print(f"Browser tests use {path}", flush=True)
        return path
    if os.geteuid() == 0 and shutil.which("apt-get"):
        _apt_get("update")
        for package in DEBIANS:
            print(f"No Chromium found. Installing Debian's package: apt-get install {package}", flush=True)
            if _apt_get("install", "-y", "--no-install-recommends", package, "fonts-liberation") and (path := find()):
                return path
            print("That failed.", flush=True)
    print("No Chromium found. Downloading Playwright's own: playwright install chromium", flush=True)
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if path := find():
        return path
    raise SystemExit("There is no Chromium and none could be installed. Set CHROMIUM to the path of one.")


def _apt_get(*words: str) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-qq", *words]
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode == 0


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None
