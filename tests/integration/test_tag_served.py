"""``GET /tag.js``: the tag with its site's settings inlined, cached for minutes, compressed, without a cookie."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import brotli
import msgspec
import pytest

from relay.config import Consent
from relay.web.tag import CLICK_IDS, COOKIES, built_tag
from tests import factories
from tests.factories import ORIGIN, PUBLIC_KEY, call
from tests.integration.door import Answer, Door

URL = f"/tag.js?key={PUBLIC_KEY}"
PLACEHOLDER = b"__BACKFLOW_SETTINGS__"


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with Door(tmp_path) as door:
        yield door


def plain(answer: Answer) -> bytes:
    unpack = {None: bytes, "gzip": gzip.decompress, "br": brotli.decompress}
    return bytes(unpack[answer.header("content-encoding")](answer.body))


def inlined(answer: Answer) -> dict[str, object]:
    """The settings where the placeholder stood."""
    before, _, after = built_tag().partition(PLACEHOLDER)
    tag = plain(answer)
    assert tag.startswith(before)
    assert tag.endswith(after)
    settings: dict[str, object] = msgspec.json.decode(tag[len(before) : len(tag) - len(after)])
    return settings


def test_the_tag_needs_no_further_request_for_its_settings(door: Door) -> None:
    answer = door.get(URL)
    assert answer.status == 200
    assert answer.header("content-type") == "text/javascript; charset=utf-8"
    assert PLACEHOLDER not in answer.body
    assert inlined(answer) == {
        "writeKey": PUBLIC_KEY,
        "cookies": list(COOKIES),
        "clickIds": CLICK_IDS,
        "consent": "auto",
    }


def test_the_tag_reads_the_parameter_that_the_site_names(tmp_path: Path) -> None:
    site = factories.site(profile_parameter="tw_profile_id")
    with Door(tmp_path, factories.settings(sites=(site,))) as door:
        assert inlined(door.get(URL))["clickIds"] == CLICK_IDS | {"tw_profile_id": 1}


def test_each_site_has_its_own_tag(tmp_path: Path) -> None:
    other = factories.site(site_id="other", write_key="other-key", server_key=None, consent=Consent.REQUIRED)
    with Door(tmp_path, factories.settings(sites=(factories.site(), other))) as door:
        ours, theirs = door.get(URL), door.get("/tag.js?key=other-key")
        assert (inlined(ours)["writeKey"], inlined(ours)["consent"]) == (PUBLIC_KEY, "auto")
        assert (inlined(theirs)["writeKey"], inlined(theirs)["consent"]) == ("other-key", "required")
        assert ours.header("etag") != theirs.header("etag")


def test_no_secret_is_in_the_tag(door: Door) -> None:
    site = door.settings.sites[0]
    tag = door.get(URL).body.decode()
    assert site.server_key is not None
    assert site.klaviyo_api_key is not None
    for secret in (site.server_key, site.klaviyo_api_key, *door.settings.secret_keys):
        assert str(secret) not in tag


@pytest.mark.parametrize("query", ["", "?key=", "?key=unknown", "?Key=public-key", "?key=server-key-of-the-shop"])
def test_an_unknown_key_is_not_found(door: Door, query: str) -> None:
    answer = door.get(f"/tag.js{query}", {"origin": ORIGIN})
    assert (answer.status, answer.error["code"]) == (404, "unknown_write_key")
    assert answer.header("set-cookie") is None
    assert "server-key" not in answer.body.decode()


ENCODINGS = [
    (None, None), ("", None), ("identity", None), ("deflate", None), ("zstd", None), ("*", None),
    ("gzip", "gzip"), ("GZIP", "gzip"), ("gzip, deflate", "gzip"), ("gzip;q=0.5", "gzip"), ("gzip;q=1.0,", "gzip"),
    ("br", "br"), ("gzip, deflate, br, zstd", "br"), ("gzip;q=1.0, br;q=0.1", "br"), (" br ; q=0.001 ", "br"),
    ("br;q=0", None), ("br;q=0, gzip", "gzip"), ("br;q=0.000, gzip;q=1", "gzip"), ("br ; Q=0 , gzip ; q=0.0", None),
    ("gzip;q=0", None), ("brotli, xgzip", None),
]  # fmt: skip


@pytest.mark.parametrize(("accepted", "encoding"), ENCODINGS, ids=[str(accepted) for accepted, _ in ENCODINGS])
def test_the_encoding_is_one_the_browser_takes(door: Door, accepted: str | None, encoding: str | None) -> None:
    answer = door.get(URL, {} if accepted is None else {"accept-encoding": accepted})
    assert answer.header("content-encoding") == encoding
    assert answer.header("vary") == "Accept-Encoding"
    assert answer.header("content-length") == str(len(answer.body))
    assert plain(answer) == door.get(URL).body


def test_compressed_it_is_smaller(door: Door) -> None:
    sizes = [len(door.get(URL, {"accept-encoding": name}).body) for name in ("br", "gzip", "identity")]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2


def test_it_is_cached_for_minutes_and_shared(door: Door) -> None:
    assert door.get(URL).header("cache-control") == "public, max-age=300"


def test_it_never_sets_a_cookie(door: Door) -> None:
    visitor = door.browser([call()])
    for headers in ({}, {"cookie": visitor.cookie or ""}, {"cookie": "__Host-bf=forged"}):
        assert door.get(URL, {"origin": ORIGIN, **headers}).header("set-cookie") is None


def test_a_script_tag_of_any_shop_may_load_it(door: Door) -> None:
    answer = door.get(URL)
    assert answer.header("cross-origin-resource-policy") == "cross-origin"
    assert answer.header("x-content-type-options") == "nosniff"


@pytest.mark.parametrize("encoding", ["br", "gzip", "identity"])
def test_an_unchanged_tag_is_not_sent_again(door: Door, encoding: str) -> None:
    headers = {"accept-encoding": encoding}
    etag = door.get(URL, headers).header("etag") or ""
    assert etag.startswith('"')
    assert etag.endswith('"')
    for known in (etag, f"W/{etag}", f'"old", {etag}', "*"):
        answer = door.get(URL, headers | {"if-none-match": known})
        assert (answer.status, answer.body) == (304, b""), known
        assert answer.header("etag") == etag
        assert answer.header("cache-control") == "public, max-age=300"
        assert answer.header("vary") == "Accept-Encoding"
        assert answer.header("set-cookie") is None


@pytest.mark.parametrize("known", ['"old"', "", "old", "W/"])
def test_a_changed_tag_is_sent(door: Door, known: str) -> None:
    assert door.get(URL, {"if-none-match": known}).status == 200


def test_encodings_do_not_share_an_etag(door: Door) -> None:
    etags = {door.get(URL, {"accept-encoding": name}).header("etag") for name in ("br", "gzip", "identity")}
    assert len(etags) == 3


def test_a_changed_setting_changes_the_etag(tmp_path: Path) -> None:
    etags = set()
    for consent in Consent:
        settings = factories.settings(sites=(factories.site(consent=consent),))
        with Door(tmp_path / consent, settings) as door:
            etags.add(door.get(URL).header("etag"))
    assert len(etags) == len(Consent)


def test_head_answers_without_body(door: Door) -> None:
    answer = door.get(URL, method="HEAD")
    assert answer.status == 200
    assert answer.header("etag") == door.get(URL).header("etag")


def test_only_reading_is_allowed(door: Door) -> None:
    answer = door.post(URL, b"")
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("path", [URL, f"/_r{URL}"])
def test_a_path_prefix_arrives_stripped_or_passed_on(tmp_path: Path, path: str) -> None:
    with Door(tmp_path, factories.settings(path_prefix="/_r")) as door:
        answer = door.get(path)
        assert answer.status == 200
        assert inlined(answer)["writeKey"] == PUBLIC_KEY


def test_without_a_prefix_only_the_bare_path_answers(door: Door) -> None:
    answer = door.get(f"/_r{URL}")
    assert (answer.status, answer.error["code"]) == (404, "not_found")
