"""Every test, browser ones included: ``python -m tests``. Arguments go on to pytest."""

import os
import subprocess
import sys

import pytest

from e2e import chromium

#: Tests that need nothing but themselves run beside each other; those of whole processes and browsers one by one, so
#: that no test is slowed by another.
TOGETHER = ["tests/unit", "tests/contract", "tests/integration"]
ALONE = ["tests/process", "e2e"]


def main() -> int:
    chromium.find_or_install()
    beside = ["-n", str(min(4, os.cpu_count() or 1)), "--dist", "worksteal"]
    codes = [_run([*TOGETHER, *beside]), _run(ALONE)]
    if codes.count(pytest.ExitCode.NO_TESTS_COLLECTED) < len(codes):  # -k may leave nothing of one half
        codes = [code for code in codes if code != pytest.ExitCode.NO_TESTS_COLLECTED]
    return max(codes)


def _run(arguments: list[str]) -> int:
    return subprocess.call([sys.executable, "-m", "pytest", *arguments, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
