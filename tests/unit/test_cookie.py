"""The signed cookie and its mirror: to the letter, and nothing forged, foreign or swapped gets in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.identity import cookie
from relay.identity.cookie import Visit, VisitorTokens
from tests.factories import DAY, NOW, uuid4
from tests.fakes.clock import FakeClock

KEY, NEW_KEY = "the-first-signing-key", "the-second-signing-key"
VISITOR = "0123456789abcdef0123456789abcdef"


def tokens(*keys: str, site_id: str = "shop", clock: FakeClock | None = None) -> VisitorTokens:
    return VisitorTokens(keys or (KEY,), site_id, clock or FakeClock())


# --- the cookie's attributes -----------------------------------------------------------------------------------------

ATTRIBUTES = [
    (True, None, "__Host-bf=v; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax"),
    (True, "shop.example", "bf=v; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax; Domain=shop.example"),
    (False, None, "bf=v; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax"),
    (False, "shop.example", "bf=v; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax; Domain=shop.example"),
]


@pytest.mark.parametrize(
    ("secure", "domain", "expected"), ATTRIBUTES, ids=["https", "https with domain", "http", "http with domain"]
)
def test_set_cookie_to_the_letter(secure: bool, domain: str | None, expected: str) -> None:
    assert cookie.set_cookie("v", secure=secure, domain=domain) == expected


def test_it_lives_for_400_days() -> None:
    assert cookie.MAX_AGE == 400 * DAY


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("bf=a", ["a"]),
        ("x=1; bf=a; y=2", ["a"]),
        ("bf=old; bf=new", ["old", "new"]),
        ("bf=a=b", ["a=b"]),
        ("  bf=a  ;x=1", ["a"]),
        ("bf=", []),
        ("bf", []),
        ("", []),
        ("__Host-bf=a; xbf=b; BF=c", []),
        (";;;=;", []),
    ],
)
def test_all_values_of_the_cookies_name_are_read(header: str, values: list[str]) -> None:
    assert cookie.read_cookie_header(header, "bf") == values


# --- signed tokens ---------------------------------------------------------------------------------------------------


def test_a_token_tells_visitor_first_issue_and_signing() -> None:
    clock = FakeClock()
    issued = tokens(clock=clock).cookie(VISITOR, int(NOW - 9 * DAY))
    assert tokens().read_cookie(issued) == Visit(VISITOR, int(NOW - 9 * DAY), int(NOW))


def test_the_signing_time_is_the_relays_clock() -> None:
    clock = FakeClock()
    clock.advance(5 * DAY)
    visit = tokens().read_mirror(tokens(clock=clock).mirror(VISITOR, int(NOW)))
    assert visit is not None
    assert visit.signed_at == int(NOW + 5 * DAY)


@pytest.mark.parametrize(
    ("age", "due"), [(0, False), (DAY - 1, False), (DAY, True), (30 * DAY, True), (-DAY, False)], ids=str
)
def test_a_token_is_due_after_a_day(age: float, due: bool) -> None:
    assert Visit(VISITOR, int(NOW), int(NOW)).is_due(NOW + age) is due


def test_cookie_mirror_and_handle_are_not_each_other() -> None:
    ours = tokens()
    made = {"cookie": ours.cookie, "mirror": ours.mirror, "handle": ours.handle}
    read = {"cookie": ours.read_cookie, "mirror": ours.read_mirror, "handle": ours.read_handle}
    for name, make in made.items():
        readers = [reader for reader in read if read[reader](make(VISITOR, 1)) is not None]
        assert readers == [name]


def test_a_token_is_good_for_its_own_site_only() -> None:
    assert tokens(site_id="other").read_cookie(tokens().cookie(VISITOR, 1)) is None
    assert tokens(site_id="other").read_mirror(tokens().mirror(VISITOR, 1)) is None
    assert tokens(site_id="other").read_handle(tokens().handle(VISITOR, 1)) is None


def test_every_single_changed_character_is_noticed() -> None:
    ours = tokens()
    issued = ours.cookie(VISITOR, int(NOW))
    for index, character in enumerate(issued[:-1]):  # the last base64 character carries bits of padding
        forged = issued[:index] + ("B" if character == "A" else "A") + issued[index + 1 :]
        assert ours.read_cookie(forged) is None, index


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_is_taken_for_a_token(text: str) -> None:
    assert tokens().read_cookie(text) is None
    assert tokens().read_mirror(text) is None
    assert tokens().read_handle(text) is None


@pytest.mark.parametrize("value", ["", ".", "..", f"{VISITOR}.1.x", "\xff" * 40, "a" * 8000, f"{VISITOR}.1..", "\x00"])
def test_damaged_tokens_are_nobody(value: str) -> None:
    assert tokens().read_cookie(value) is None


# --- rotation --------------------------------------------------------------------------------------------------------


def test_old_keys_are_accepted_and_the_newest_signs() -> None:
    rotated = tokens(NEW_KEY, KEY)
    assert rotated.read_cookie(tokens(KEY).cookie(VISITOR, 1)) == Visit(VISITOR, 1, int(NOW))
    assert rotated.read_handle(tokens(KEY).handle(VISITOR, 1)) == Visit(VISITOR, 1, int(NOW))
    assert rotated.cookie(VISITOR, 1) == tokens(NEW_KEY).cookie(VISITOR, 1)
    assert tokens(KEY).read_cookie(rotated.cookie(VISITOR, 1)) is None


def test_a_key_that_was_taken_out_is_not_accepted() -> None:
    assert tokens(NEW_KEY).read_cookie(tokens(KEY).cookie(VISITOR, 1)) is None


# --- new visitors ----------------------------------------------------------------------------------------------------


def test_the_same_first_message_makes_the_same_visitor() -> None:
    first = uuid4()
    assert tokens().mint(first) == tokens().mint(first)
    assert tokens().mint(first.upper()) == tokens().mint(first)


def test_another_message_makes_another_visitor() -> None:
    assert tokens().mint(uuid4()) != tokens().mint(uuid4())


def test_sites_and_keys_make_visitors_of_their_own() -> None:
    first = uuid4()
    assert len({tokens().mint(first), tokens(site_id="other").mint(first), tokens(NEW_KEY).mint(first)}) == 3


def test_a_visitor_id_does_not_show_the_message_it_came_from() -> None:
    first = uuid4()
    minted = tokens().mint(first)
    assert minted is not None
    assert len(minted) == 32
    assert first.replace("-", "") not in minted


@pytest.mark.parametrize(
    "message_id",
    [
        "",
        "1",
        "order-1001",
        "00000001-0000-1000-8000-000000000000",
        "00000001-0000-7000-8000-000000000000",
        "00000001-0000-4000-c000-000000000000",
        "00000001-0000-4000-8000-000000000000 ",
        "00000001-0000-4000-8000-000000000000\n",
        "{00000001-0000-4000-8000-000000000000}",
        "00000001000040008000000000000000",
    ],
    ids=["empty", "number", "order", "v1", "v7", "variant", "space", "newline", "braces", "no dashes"],
)
def test_message_ids_that_are_no_random_uuid_prove_nothing(message_id: str) -> None:
    assert tokens().mint(message_id) is None


@pytest.mark.parametrize(
    "message_id",
    [
        pytest.param("hx3k2m9q1z0-4294967295-1-77", id="the tag's"),
        pytest.param("1795519740123000-0.8273645172635417", id="the inline stub's"),
        pytest.param("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed", id="UUID 4"),
    ],
)
def test_the_ids_that_our_own_tag_makes_make_a_visitor(message_id: str) -> None:
    assert tokens().mint(message_id) == tokens().mint(message_id) is not None
