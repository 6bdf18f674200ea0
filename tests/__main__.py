"""Every test, browser ones included: ``python -m tests``. Arguments go on to pytest; paths among them are run alone."""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from e2e import chromium

#: What is told of a group, and its folders. Within a group tests run beside each other: each has servers, ports and
#: files of its own, and waits for what it wants to see, however slow the machine. The groups keep apart what would only
#: be in each other's way: a browser's event loop and asyncio.run, a crash test and forty pages.
GROUPS = (
    ("rules, stores, HTTP", ("tests/unit", "tests/contract", "tests/integration", "tests/simulator")),
    ("journeys in a browser", ("e2e",)),
    ("whole processes", ("tests/process",)),
)
#: Four at once also on two cores: a test of a browser or a process mostly waits, for a timer of the tag or an answer.
BESIDE = ("-n", "4", "--dist", "worksteal")


def main(arguments: Sequence[str]) -> int:
    """Run the groups one after the other; pytest's exit code, of the first group that did not end well."""
    chromium.find_or_install()
    if any(Path(argument.partition("::")[0]).exists() for argument in arguments):
        return _run(arguments)
    begun, codes = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        for number, (words, paths) in enumerate(GROUPS, 1):
            print(f"\n== {number} of {len(GROUPS)}: {words}", flush=True)
            report = f"--junit-xml={folder}/{number}.xml"
            codes.append(_run([*paths, *BESIDE, report, *arguments]))
            if codes[-1] == pytest.ExitCode.INTERRUPTED:
                break
        _tell(sorted(Path(folder).iterdir()), time.monotonic() - begun)
    found = [code for code in codes if code != pytest.ExitCode.NO_TESTS_COLLECTED]  # -k may leave nothing of a group
    return next((code for code in found if code), 0) if found else codes[-1]


def _run(arguments: Sequence[str]) -> int:
    code = subprocess.call([sys.executable, "-m", "pytest", *arguments])
    return 128 - code if code < 0 else code  # ended by a signal: as a shell says it


def _tell(reports: Sequence[Path], seconds: float) -> None:
    """Close with pytest's own words, for all groups together."""
    sums: Counter[str] = Counter()
    print("\n== all groups")
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - written by pytest just now
            ends = {end.tag for end in case} & {"failure", "error", "skipped"}
            for end in sorted(ends) or ["passed"]:
                word = {"failure": "failed", "error": "errors"}.get(end, end)
                sums[word] += 1
                if end in ("failure", "error"):
                    print(f"{'FAILED' if end == 'failure' else 'ERROR'} {case.get('classname')}::{case.get('name')}")
    told = ", ".join(f"{sums[word]} {word}" for word in ("failed", "passed", "skipped", "errors") if sums[word])
    print(f" {told or 'no tests ran'} in {seconds:.2f}s ".center(80, "="), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
