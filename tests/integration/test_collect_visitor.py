"""Who a visitor is: the cookie to the letter, the mirror that brings it back, and nobody without consent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay.config import Consent, Secret
from relay.identity.cookie import VisitorTokens
from tests import factories
from tests.factories import DAY, NOW, ORIGIN, PUBLIC_KEY, SIGNING_KEY, call, uuid4
from tests.integration.door import Door


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with Door(tmp_path) as door:
        yield door


def with_site(folder: Path, **changes: Any) -> Door:
    return Door(folder, factories.settings(sites=(factories.site(**changes),)))


# --- the cookie ------------------------------------------------------------------------------------------------------


def tokens_at(door: Door, *keys: str) -> VisitorTokens:
    return VisitorTokens(keys or (SIGNING_KEY,), "shop", door.clock)


def visitor_of(door: Door) -> str | None:
    return door.journal()[-1].visitor_id


ATTRIBUTES = [
    ("https", None, "__Host-bf", "; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax"),
    ("http", None, "bf", "; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax"),
    ("https", "shop.example", "bf", "; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax; Domain=shop.example"),
    ("http", "shop.example", "bf", "; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax; Domain=shop.example"),
]


@pytest.mark.parametrize(
    ("scheme", "domain", "name", "attributes"), ATTRIBUTES, ids=["https", "http", "https domain", "http domain"]
)
def test_the_cookie_to_the_letter(tmp_path: Path, scheme: str, domain: str | None, name: str, attributes: str) -> None:
    with with_site(tmp_path, cookie_domain=domain) as door:
        header = door.browser([call()], scheme=scheme).header("set-cookie") or ""
        value = header.removeprefix(f"{name}=").removesuffix(attributes)
        assert header == f"{name}={value}{attributes}"
        visit = tokens_at(door).read_cookie(value)
        assert visit is not None
        assert (visit.visitor_id, visit.first_issued, visit.signed_at) == (visitor_of(door), NOW, NOW)


def test_a_returning_visitor_is_known_and_its_cookie_left_alone_for_a_day(door: Door) -> None:
    first = door.browser([call()])
    visitor = visitor_of(door)
    door.clock.advance(DAY - 1)
    again = door.browser([call()], cookie=first.cookie, visitor=first.mirror)
    assert again.cookie is None
    assert again.mirror == first.mirror
    assert visitor_of(door) == visitor
    assert [entry.recognition for entry in door.journal()] == ["new", "cookie"]


def test_the_cookie_is_renewed_after_a_day_and_keeps_its_first_issue(door: Door) -> None:
    first = door.browser([call()])
    visitor = visitor_of(door)
    door.clock.advance(DAY)
    again = door.browser([call()], cookie=first.cookie, visitor=first.mirror)
    assert again.cookie is not None
    assert again.cookie != first.cookie
    visit = tokens_at(door).read_cookie(again.cookie.partition("=")[2])
    assert visit is not None
    assert (visit.visitor_id, visit.first_issued, visit.signed_at) == (visitor, NOW, NOW + DAY)
    assert again.mirror not in (None, first.mirror)
    assert visitor_of(door) == visitor


def test_the_mirror_is_not_the_cookies_value(door: Door) -> None:
    answer = door.browser([call()])
    assert answer.cookie is not None
    assert answer.mirror is not None
    assert answer.mirror not in answer.cookie
    assert answer.mirror.split(".")[-1] != answer.cookie.split(".")[-1]


def test_the_mirror_brings_a_lost_cookie_back(door: Door) -> None:
    first = door.browser([call()])
    visitor = visitor_of(door)
    door.clock.advance(9 * DAY)
    again = door.browser([call()], visitor=first.mirror)
    assert again.cookie is not None
    visit = tokens_at(door).read_cookie(again.cookie.partition("=")[2])
    assert visit is not None
    assert (visit.visitor_id, visit.first_issued) == (visitor, NOW)
    assert door.journal()[-1].recognition == "mirror"


def test_the_cookie_goes_before_the_mirror(door: Door) -> None:
    ours, other = door.browser([call()]), door.browser([call()])
    visitor = door.journal()[0].visitor_id
    answer = door.browser([call()], cookie=ours.cookie, visitor=other.mirror)
    assert visitor_of(door) == visitor
    assert answer.mirror is not None
    assert tokens_at(door).read_mirror(answer.mirror) == tokens_at(door).read_mirror(ours.mirror or "")


def bad_tokens(door: Door) -> dict[str, str]:
    foreign_site = VisitorTokens((SIGNING_KEY,), "other", door.clock)
    foreign_key = VisitorTokens(("a-key-of-somebody-else",), "shop", door.clock)
    ours = tokens_at(door).cookie("victim", int(NOW))
    return {
        "garbage": "garbage",
        "unsigned": f"victim.{int(NOW)}",
        "another visitor's signature": ours.replace("victim", "attack"),
        "another site's": foreign_site.cookie("victim", int(NOW)),
        "another key's": foreign_key.cookie("victim", int(NOW)),
        "a mirror": tokens_at(door).mirror("victim", int(NOW)),
        "cut": ours[:-3],
        "long": "a" * 4000,
        "not ascii": "\xff\xfe.\xe9.1",
    }


def test_forged_and_foreign_cookies_are_ignored_and_replaced(door: Door) -> None:
    for name, token in bad_tokens(door).items():
        answer = door.browser([call()], cookie=f"__Host-bf={token}")
        assert answer.status == 200, name
        assert answer.cookie is not None, name
        assert visitor_of(door) not in ("victim", "attack", None), name
        assert door.journal()[-1].recognition == "new", name


# --- the handle -------------------------------------------------------------------------------------------------------


def pixel(handle: object, **context: Any) -> dict[str, Any]:
    """A message of Shopify's pixel, which found ``handle`` among the attributes of the cart."""
    return call(context={"shopify": {"clientId": "c", "checkoutToken": "t", "handle": handle}} | context)


def test_the_handle_comes_with_a_new_mirror_and_not_again(door: Door) -> None:
    first = door.browser([call()])
    handle = first.json["handle"]
    visit = tokens_at(door).read_handle(handle)
    assert visit is not None
    assert visit.visitor_id == visitor_of(door)
    assert handle not in (first.mirror, (first.cookie or "").partition("=")[2])
    again = door.browser([call()], cookie=first.cookie, visitor=first.mirror)
    assert "handle" not in again.json
    door.clock.advance(DAY)
    later = door.browser([call()], cookie=first.cookie, visitor=first.mirror)
    assert later.json["handle"] != handle


def test_the_handle_names_the_visitor_where_neither_cookie_nor_mirror_comes(door: Door) -> None:
    first = door.browser([call()])
    visitor_id = visitor_of(door)
    answer = door.browser([pixel(first.json["handle"])])
    assert (door.journal()[-1].visitor_id, door.journal()[-1].recognition) == (visitor_id, "handle")
    # Staff and apps see it in the order: it must not be changed into the shopper's cookie.
    assert answer.json == {"success": True}
    assert answer.header("set-cookie") is None


def test_cookie_and_mirror_go_before_the_handle(door: Door) -> None:
    ours, other = door.browser([call()]), door.browser([call()])
    visitor_id = door.journal()[0].visitor_id
    door.browser([pixel(other.json["handle"])], cookie=ours.cookie)
    assert visitor_of(door) == visitor_id
    door.browser([pixel(other.json["handle"])], visitor=ours.mirror)
    assert visitor_of(door) == visitor_id


@pytest.mark.parametrize("handle", [None, "", 7, [], "x", "a" * 5000, "\u00e9", "mirror", "cookie"], ids=repr)
def test_what_is_no_handle_names_nobody(door: Door, handle: object) -> None:
    first = door.browser([call()])
    visitor_id = visitor_of(door)
    given = {"mirror": first.mirror, "cookie": (first.cookie or "").partition("=")[2]}
    answer = door.browser([pixel(given.get(str(handle), handle))])
    assert answer.status == 200
    assert visitor_of(door) not in (None, visitor_id)
    assert door.journal()[-1].recognition == "new"


def test_without_consent_a_handle_names_nobody_and_none_is_given(door: Door) -> None:
    handle = door.browser([call()]).json["handle"]
    answer = door.browser([pixel(handle, consent={"marketing": False, "source": "shopify"})])
    assert answer.json == {"success": True}
    assert visitor_of(door) is None


def test_a_server_gets_no_handle_and_names_nobody_by_one(door: Door) -> None:
    handle = door.browser([call()]).json["handle"]
    answer = door.server([pixel(handle)])
    assert answer.json == {"success": True}
    assert visitor_of(door) is None


def test_forged_and_foreign_mirrors_are_ignored(door: Door) -> None:
    tokens = bad_tokens(door) | {"a mirror": tokens_at(door).cookie("victim", int(NOW)), "empty": ""}
    for name, token in tokens.items():
        answer = door.browser([call()], visitor=token)
        assert answer.status == 200, name
        assert answer.mirror not in (token, None), name
        assert visitor_of(door) not in ("victim", "attack", None), name


def test_a_cookie_of_the_other_name_is_not_read(door: Door) -> None:
    # Another host of the shop's domain can write a plain "bf", but no "__Host-bf".
    door.browser([call()], cookie=f"bf={tokens_at(door).cookie('victim', int(NOW))}")
    assert visitor_of(door) != "victim"


@pytest.mark.parametrize("order", ["ours first", "ours last", "two headers"])
def test_of_several_cookies_of_the_name_the_signed_one_counts(door: Door, order: str) -> None:
    ours = f"__Host-bf={tokens_at(door).cookie('regular', int(NOW))}"
    cookies = {"ours first": [f"{ours}; __Host-bf=old"], "ours last": [f"__Host-bf=old; x=1; {ours}"]}
    headers = [("origin", ORIGIN), *[("cookie", value) for value in cookies.get(order, ["__Host-bf=old", ours])]]
    body = msgspec.json.encode({"batch": [call()], "writeKey": PUBLIC_KEY})
    answer = door.run(door.call("POST", "/v1/batch", [body], headers))
    assert answer.cookie is None
    assert visitor_of(door) == "regular"


def test_a_cookie_of_an_old_key_is_accepted_and_the_new_key_signs(tmp_path: Path) -> None:
    with Door(tmp_path / "old") as door:
        first = door.browser([call()])
        visitor = visitor_of(door)
    rotated = factories.settings(secret_keys=(Secret("the-newest-signing-key"), Secret(SIGNING_KEY)))
    with Door(tmp_path / "new", rotated) as door:
        assert door.browser([call()], cookie=first.cookie).cookie is None
        assert visitor_of(door) == visitor
        door.clock.advance(DAY)
        renewed = door.browser([call()], cookie=first.cookie).cookie or ""
        assert tokens_at(door, "the-newest-signing-key").read_cookie(renewed.partition("=")[2]) is not None
        assert tokens_at(door, SIGNING_KEY).read_cookie(renewed.partition("=")[2]) is None


def test_a_repeat_whose_first_answer_got_lost_is_the_same_visitor(door: Door) -> None:
    message = call()
    door.browser([message])
    first = visitor_of(door)
    repeat = door.browser([message, call()])
    assert repeat.cookie is not None
    assert visitor_of(door) == first


def test_another_first_message_is_another_visitor(door: Door) -> None:
    door.browser([call()])
    first = visitor_of(door)
    door.browser([call()])
    assert visitor_of(door) != first


@pytest.mark.parametrize("message_id", ["1", "order-1001", "00000001-0000-1000-8000-000000000000", None])
def test_message_ids_that_may_be_shared_never_share_a_visitor(door: Door, message_id: str | None) -> None:
    message = call(messageId=message_id)
    door.browser([message])
    first = visitor_of(door)
    door.browser([message])
    assert visitor_of(door) != first


@pytest.mark.parametrize(
    ("policy", "consent"),
    [
        (Consent.REQUIRED, None),
        (Consent.AUTO, {"source": "onetrust"}),
        (Consent.AUTO, {"marketing": False, "source": "onetrust"}),
        (Consent.ASSUMED, {"marketing": False}),
    ],
    ids=["required", "platform silent", "denied", "denied though assumed"],
)
def test_without_consent_nobody_is_recognised_and_nothing_is_stored(
    tmp_path: Path, policy: Consent, consent: dict[str, Any] | None
) -> None:
    with with_site(tmp_path, consent=policy) as door:
        private = {"email": "jane@private.example"}
        message = call(
            event="jane bought", properties=private, traits=private, userId="jane", anonymousId="jane-1",
            context={"consent": consent, "page": {"url": "https://shop.example/?email=jane"}},
        )  # fmt: skip
        answer = door.browser([message], headers={"user-agent": "jane's browser"})
        assert answer.status == 200
        assert answer.json == {"success": True}
        assert answer.cookie is None
        (entry,) = door.journal()
        assert (entry.visitor_id, entry.ip, entry.user_agent) == (None, None, None)
        assert b"jane" not in msgspec.json.encode(entry)
        assert len(entry.messages) == 1  # counted, not lost


def test_without_consent_an_old_cookie_is_neither_renewed_nor_mirrored(door: Door) -> None:
    first = door.browser([call()])
    visitor = visitor_of(door)
    door.clock.advance(2 * DAY)
    answer = door.browser([call(context={"consent": {"marketing": False}})], cookie=first.cookie)
    assert (answer.cookie, answer.json) == (None, {"success": True})
    # Whose refusal it is must be known: their ties end.
    assert visitor_of(door) == visitor


def test_with_consent_for_one_message_the_others_stay_bare(door: Door) -> None:
    refused = call(event="secret thing", context={"consent": {"marketing": False}})
    answer = door.browser([refused, call(context={"consent": {"marketing": True}})])
    assert answer.cookie is not None
    (entry,) = door.journal()
    assert b"secret thing" not in msgspec.json.encode(entry)
    assert b"Product Added" in msgspec.json.encode(entry)


def test_global_privacy_control_travels_into_the_journal(door: Door) -> None:
    door.browser([call()], headers={"sec-gpc": "1"})
    door.browser([call()], headers={"sec-gpc": "0"})
    assert [entry.gpc for entry in door.journal()] == [True, False]


# --- servers ---------------------------------------------------------------------------------------------------------


def test_server_callers_get_no_cookie_and_no_mirror(door: Door) -> None:
    answer = door.server(
        [call()], visitor=tokens_at(door).mirror("victim", 1), headers={"cookie": f"__Host-bf={'x' * 40}"}
    )
    assert answer.json == {"success": True}
    assert answer.header("set-cookie") is None
    assert visitor_of(door) is None


def test_a_server_cannot_name_a_browsers_visitor(door: Door) -> None:
    door.browser([call()])
    visitor = visitor_of(door)
    door.server([call(anonymousId=visitor)])
    assert visitor_of(door) == f"anonymous:{visitor}"


def test_a_browser_cannot_name_its_visitor(door: Door) -> None:
    door.browser([call(anonymousId="victim")])
    assert "victim" not in (visitor_of(door) or "")


def test_a_servers_batch_keeps_its_visitors_apart_and_in_order(door: Door) -> None:
    names = ["a", "b", "b", None, "a"]
    messages = [call(anonymousId=name) for name in names]
    door.server([*messages, {"type": "nonsense"}])
    entries = door.journal()
    assert [(entry.visitor_id, len(entry.messages)) for entry in entries] == [
        ("anonymous:a", 1), ("anonymous:b", 2), (None, 1), ("anonymous:a", 1),
    ]  # fmt: skip
    assert [entry.recognition for entry in entries] == ["anonymous_id", "anonymous_id", "none", "anonymous_id"]
    assert door.kept_ids() == [message["messageId"] for message in messages]
    assert door.drops() == {"unknown_type": 1}


def test_a_servers_batch_sends_nobody_anothers_cart(door: Door) -> None:
    jane = call(type="identify", event=..., anonymousId="a", userId="7", traits={"email": "jane@shop.example"})
    door.server([jane, call(anonymousId="b"), call(anonymousId="a")])
    door.process()
    sql = "SELECT visitor_id, state, person_id IS NULL FROM deliveries WHERE kind = 'event' ORDER BY delivery_id"
    rows = door.run(door.store.transact(lambda tx: list(tx.connection.execute(sql))))
    assert rows == [("anonymous:b", "waiting", 1), ("anonymous:a", "held", 0)]


@pytest.mark.parametrize("name", ["", " ", "null", "undefined", "0", "00000000-0000-0000-0000-000000000000", "x" * 257])
def test_placeholders_name_no_visitor(door: Door, name: str) -> None:
    door.server([call(anonymousId=name)])
    assert (visitor_of(door), door.journal()[0].recognition) == (None, "none")


def test_a_servers_drops_alone_are_counted_once(door: Door) -> None:
    door.server([{"type": "nonsense"}, 7])
    assert len(door.journal()) == 1
    assert door.drops() == {"unknown_type": 1, "invalid_message": 1}


def test_ids_of_the_tests_are_such_as_the_tag_makes(door: Door) -> None:
    assert tokens_at(door).mint(uuid4()) is not None
