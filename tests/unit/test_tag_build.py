"""The committed build of the tag is the build of the committed sources, small, and free of what it must not do."""

import hashlib
import json
import re
from pathlib import Path

import brotli
import pytest

from relay.config import Consent, Site
from relay.web.tag import CLICK_IDS, LARGEST_SNIPPET, inline_snippet, snippet

URL = "https://r.shop.com"
STATIC = Path(__file__).parents[2] / "static"
TAG = STATIC / "dist" / "tag.js"
LARGEST = 9300  # bytes with brotli 11, as the relay serves it
LARGEST_CORE = 3072  # of those what remains when no source listens; as the build has measured it

BANNER = re.compile(
    r"/\*! backflow\.js (?P<version>\S+) (?P<licence>\S+) sources=(?P<sources>[0-9a-f]{16}) core=(?P<core>\d+) \*/\n"
)


@pytest.fixture(scope="module")
def tag() -> str:
    return TAG.read_text(encoding="utf-8")


def shop(consent: Consent = Consent.AUTO) -> Site:
    return Site(site_id="shop", write_key="wk_live_3f9a2c", consent=consent)


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
    assert banner(tag)["sources"] == hashed.hexdigest()[:16], "dist/tag.js is stale: npm run build in static/"


def test_build_names_its_version_and_licence(tag: str) -> None:
    assert banner(tag)["version"] == package()["version"]
    assert banner(tag)["licence"] == package()["license"] == "Apache-2.0"


def test_build_is_small() -> None:
    assert len(brotli.compress(TAG.read_bytes(), quality=11)) <= LARGEST


def test_core_is_small(tag: str) -> None:
    assert int(banner(tag)["core"]) <= LARGEST_CORE


@pytest.mark.parametrize("consent", Consent)
def test_snippets_are_small(consent: Consent) -> None:
    site = shop(consent)
    assert len(brotli.compress(inline_snippet(URL, site).encode(), quality=11)) <= LARGEST_SNIPPET
    assert len(snippet(URL, site)) <= LARGEST_SNIPPET // 4


def test_line_to_paste_names_the_relay_and_the_key() -> None:
    line = '<script async src="https://r.shop.com/tag.js?key=wk_live_3f9a2c"></script>'
    assert snippet(URL, shop()) == snippet(URL + "/", shop()) == line
    assert inline_snippet(URL, shop()).endswith("</script>\n" + line)


def test_inline_stub_bears_the_nonce_of_the_page() -> None:
    assert inline_snippet(URL, shop(), nonce="r4nd0m").startswith('<script nonce="r4nd0m">')
    assert inline_snippet(URL, shop()).startswith("<script>")


def test_snippets_cannot_be_broken_out_of() -> None:
    for text in (
        snippet('https://r.shop.com/"><b>', shop()),
        inline_snippet('https://r.shop.com/"><b>', shop(), '"><b>'),
    ):
        assert "<b>" not in text


def test_every_parameter_has_a_lifetime_and_what_names_a_recipient_a_short_one() -> None:
    assert all(0 < days <= 365 for days in CLICK_IDS.values())
    assert all(CLICK_IDS[name] == 1 for name in ("_kx", "bf", "mc_eid"))


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
