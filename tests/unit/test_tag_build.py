"""The committed build of the tag is the build of the committed sources, small, and free of what it must not do."""

import hashlib
import json
import re
from pathlib import Path

import brotli
import pytest

STATIC = Path(__file__).parents[2] / "static"
TAG = STATIC / "dist" / "tag.js"
LARGEST = 5200  # bytes with brotli 11, as the relay serves it

BANNER = re.compile(r"/\*! backflow\.js (?P<version>\S+) (?P<licence>\S+) sources=(?P<sources>[0-9a-f]{64}) \*/\n")


@pytest.fixture(scope="module")
def tag() -> str:
    return TAG.read_text(encoding="utf-8")


def package() -> dict[str, str]:
    content: dict[str, str] = json.loads((STATIC / "package.json").read_text(encoding="utf-8"))
    return content


def banner(tag: str) -> re.Match[str]:
    found = BANNER.match(tag)
    assert found, tag[:200]
    return found


def test_build_is_fresh(tag: str) -> None:
    hashed = hashlib.sha256()
    source = STATIC / "src"
    for path in sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()):
        hashed.update(path.encode() + b"\0" + (source / path).read_bytes() + b"\0")
    hashed.update(package()["version"].encode())
    assert banner(tag)["sources"] == hashed.hexdigest(), "dist/tag.js is stale: npm run build in static/"


def test_build_names_its_version_and_licence(tag: str) -> None:
    assert banner(tag)["version"] == package()["version"]
    assert banner(tag)["licence"] == package()["license"] == "Apache-2.0"


def test_build_is_small() -> None:
    assert len(brotli.compress(TAG.read_bytes(), quality=11)) <= LARGEST


def test_settings_are_expected_once_and_as_an_expression(tag: str) -> None:
    assert tag.count("__BACKFLOW_SETTINGS__") == 1
    assert re.search(r"[=(,:]__BACKFLOW_SETTINGS__[,;)}]", tag)


@pytest.mark.parametrize(
    "forbidden",
    [r"document\.cookie\s*=[^=]", r"\beval\b", r"new Function", r"beforeunload", r"[\"']unload[\"']", r"innerHTML"],
    ids=["cookie-write", "eval", "new-function", "beforeunload", "unload", "inner-html"],
)
def test_build_never_contains(tag: str, forbidden: str) -> None:
    assert re.search(forbidden, tag) is None


def test_lock_file_names_no_host() -> None:
    assert "://" not in (STATIC / "package-lock.json").read_text(encoding="utf-8").replace("https://opencollective", "")
