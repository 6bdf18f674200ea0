"""Every test, browser ones included: ``python -m tests``. Arguments go on to pytest."""

import sys

import pytest

from e2e import chromium


def main() -> int:
    chromium.find_or_install()
    return int(pytest.main(["tests", "e2e", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
