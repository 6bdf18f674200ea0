"""What a browser leaves, and when two jars that share it are one browser."""

from typing import Any

import pytest

from relay.identity.evidence import Evidence
from relay.identity.traces import (
    CART_SECONDS,
    ENOUGH,
    HANDOVER_SECONDS,
    NOTE_EVERY_SECONDS,
    RULES,
    THANKS_SECONDS,
    Sighting,
    Trace,
    TraceKind,
    browser,
    holder,
    is_handover,
    neighbours,
    network,
    source,
    traces,
)
from relay.model import Commerce, Kind, Trust

NOW = 1_800_000_000.0
INSTAGRAM = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/22B83"
    " Instagram 357.0.0.27.94 (iPhone15,2; iOS 18_1; de_DE; de; scale=3.00; 1179x2556; 657654321)"
)
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1"
    " Mobile/15E148 Safari/604.1"
)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
WEBVIEW = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/AP1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0"
    " Chrome/130.0.0.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/490.0.0.51.108;]"
)
CLICK = "IwAR0abcdefghijklmnop"
TTP, UUID = "2rqaAWvf61W3sdK4dU4SkfsymlG", "70d79c3a-f35a-4733-92d1-b6c196544886"


def of(context: dict[str, Any], *, cart_token: str | None = None, trust: Trust = Trust.BROWSER) -> set[Trace]:
    return set(traces(context, Commerce(kind=Kind.PRODUCT_ADDED, name="Product Added", cart_token=cart_token), trust))


@pytest.mark.parametrize(
    ("context", "found"),
    [
        pytest.param({}, set(), id="nothing"),
        pytest.param({"cookies": {"_ga": "GA1.1.1234567890.1700000000"}}, {("_ga", "1234567890.1700000000")}, id="_ga"),
        pytest.param(
            {"cookies": {"_fbp": "fb.1.1700000000000.987654321"}}, {("_fbp", "fb.1.1700000000000.987654321")}, id="_fbp"
        ),
        pytest.param({"cookies": {"_ttp": TTP}}, {("_ttp", TTP)}, id="_ttp"),
        pytest.param({"cookies": {"_ttp": f"{TTP}.tt.1"}}, {("_ttp", f"{TTP}.tt.1")}, id="_ttp with an ending"),
        pytest.param({"cookies": {"_scid": UUID}}, {("_scid", UUID)}, id="_scid, a UUID"),
        pytest.param(
            {"cookies": {"_scid": "FbhIa63nhiL--hmqLw-M_u7NBOxUIfEW"}},
            {("_scid", "FbhIa63nhiL--hmqLw-M_u7NBOxUIfEW")},
            id="_scid, base 64",
        ),
        pytest.param(
            {"cookies": {"_rdt_uuid": f"1754915740517.{UUID}"}},
            {("_rdt_uuid", f"1754915740517.{UUID}")},
            id="_rdt_uuid",
        ),
        pytest.param(
            {"cookies": {"_gcl_aw": f"GCL.1700000000.{CLICK}", "_epik": CLICK, "_fbc": f"fb.1.1.{CLICK}"}},
            set(),
            id="a cookie that keeps a click is no browser's ID",
        ),
        pytest.param(
            {"cookies": dict.fromkeys(("_ga", "_fbp", "_ttp", "_scid", "_rdt_uuid"), "denied by the shopper")},
            set(),
            id="cookies that say no",
        ),
        pytest.param({"cookies": {"_ga": "denied", "_fbp": 7, "_ttp": [TTP]}}, set(), id="cookies of another form"),
        pytest.param({"cookies": "all", "clickIds": ["fbclid"], "shopify": 1}, set(), id="fields of another type"),
        pytest.param({"clickIds": {"fbclid": CLICK}}, {("click", f"fbclid={CLICK}")}, id="a click"),
        pytest.param({"clickIds": {"fbclid": "undefined"[:7]}}, set(), id="a click too short to be one"),
        pytest.param(
            {"clickIds": dict.fromkeys(("gbraid", "wbraid", "srsltid", "utm_id", "_kx", "igshid", "bf"), CLICK)},
            set(),
            id="what names a campaign, a share or a person is no click",
        ),
        pytest.param(
            {"shopify": {"clientId": "c1d2e3f4-0000", "checkoutToken": "0123456789abcdef", "cartToken": "hWN1xPt0ken"}},
            {("client_id", "c1d2e3f4-0000"), ("checkout", "0123456789abcdef"), ("cart", "hWN1xPt0ken")},
            id="Shopify's own",
        ),
    ],
)
def test_what_a_call_leaves(context: dict[str, Any], found: set[tuple[str, str]]) -> None:
    assert {(trace.kind.value, trace.value) for trace in of(context)} == found


@pytest.mark.parametrize(
    "value",
    [
        *("undefined", "Undefined", "anonymous", "00000000", "00000000-0000-0000-0000-000000000000", "null"),
        *("[object Object]", "{{ cart.token }}", "${checkoutToken}", "%CART_TOKEN%", "not available", "(not set)"),
        *("undefined-undefined", "cart_token", "11111111", "1-1-1-1-1-1", "0123abc"),
    ],
)
def test_what_stands_for_no_value_ties_nothing(value: str) -> None:
    assert of({"shopify": dict.fromkeys(("clientId", "checkoutToken"), value)}, cart_token=value) == set()
    assert of({"shopify": {"cartToken": value}}, trust=Trust.SERVER) == set()


@pytest.mark.parametrize("value", ["undefined", "anonymous", "00000000"])
def test_a_placeholder_is_no_click(value: str) -> None:
    assert of({"clickIds": {"fbclid": value}}) == set()


@pytest.mark.parametrize(
    "value",
    [
        *("088f00482e00dfb0628480ccde9afcdd", "Z2NwLXVzLWVhc3QxOjAxSlE4", UUID, "hWN1xPt0ken"),
        "gid://shopify/Cart/c1-7a2abe82733a34e84aa472d57fb5c3c1",
    ],
)
def test_what_shops_give_to_carts_is_a_token(value: str) -> None:
    assert of({"shopify": {"checkoutToken": value}}) == {Trace(TraceKind.CHECKOUT, value)}


def test_the_carts_secret_key_is_no_part_of_its_token() -> None:
    assert of({}, cart_token="hWN1xPt0ken?key=abc123") == {Trace(TraceKind.CART, "hWN1xPt0ken")}


def test_klaviyos_answers_leave_nothing() -> None:
    assert of({"clickIds": {"fbclid": CLICK}}, trust=Trust.KLAVIYO) == set()


@pytest.mark.parametrize(
    ("ip", "found"),
    [
        ("203.0.113.7", "cb0071/24"),
        ("203.0.113.250", "cb0071/24"),
        ("::ffff:203.0.113.7", "cb0071/24"),
        ("2001:db8:1:2:3::4", "20010db800010002/64"),
        ("2001:db8:1:2:ffff::9", "20010db800010002/64"),
        ("somewhere", None),
        ("", None),
        (None, None),
    ],
)
def test_the_network_of_an_address(ip: str | None, found: str | None) -> None:
    assert network(ip) == found


@pytest.mark.parametrize(
    ("ip", "found"),
    [
        ("198.41.0.4", "198.41.0.4"),
        ("2a02:908:1:2::1", "2a02090800010002/64"),
        ("2a02:908:1:2:ffff::9", "2a02090800010002/64"),
        ("192.168.0.7", None),
        ("fd00::1", None),
        ("somewhere", None),
        (None, None),
    ],
)
def test_whom_a_call_comes_from(ip: str | None, found: str | None) -> None:
    assert source(ip) == found


@pytest.mark.parametrize(
    ("user_agent", "found"),
    [
        (INSTAGRAM, "iOS/app:Instagram"),
        (SAFARI, "iOS/Mobile Safari"),
        (CHROME, "Windows/Chrome"),
        (WEBVIEW, "Android/app:wv"),
        ("", None),
        (None, None),
    ],
)
def test_a_browser_by_its_user_agent(user_agent: str | None, found: str | None) -> None:
    assert browser(user_agent) == found


def jar(visitor: str, **changes: Any) -> Sighting:
    defaults: dict[str, Any] = {
        "kind": TraceKind.CLICK, "first_at": NOW, "last_at": NOW, "network": "cb0071/24", "browser": browser(SAFARI),
    }  # fmt: skip
    return Sighting(visitor_id=visitor, **(defaults | changes))


APP = jar("app", browser=browser(INSTAGRAM))


@pytest.mark.parametrize(
    ("other", "is_one"),
    [
        pytest.param(jar("own", first_at=NOW + 120), True, id="opened in the device's own browser minutes later"),
        pytest.param(jar("own", first_at=NOW - 120), True, id="told in the other order"),
        pytest.param(jar("own", first_at=NOW + HANDOVER_SECONDS + 1), False, id="too late"),
        pytest.param(jar("own", network="cb0072/24"), False, id="on another network"),
        pytest.param(jar("own", network=None), False, id="on a network nobody knows"),
        pytest.param(jar("own", browser=browser(CHROME)), False, id="on another system: a link sent to the desk"),
        pytest.param(jar("own", browser=browser(INSTAGRAM)), False, id="in the same app of two people"),
        pytest.param(jar("own", browser=None), False, id="in a browser nobody knows"),
    ],
)
def test_a_click_is_one_persons_only_when_it_is_handed_over(other: Sighting, is_one: bool) -> None:
    assert is_handover(APP, other) is is_one
    assert neighbours("app", [[APP, other]]) == ({"own": Evidence.CLICK} if is_one else {})


def test_two_browsers_of_one_system_are_a_link_passed_on() -> None:
    assert neighbours("a", [[jar("a"), jar("b")]]) == {}


def test_a_click_seen_in_three_jars_ties_none_of_them() -> None:
    own = jar("own", first_at=NOW + 60)
    assert neighbours("app", [[APP, own, jar("third", first_at=NOW + 90_000)]]) == {}


@pytest.mark.parametrize("kind", [kind for kind in TraceKind if kind is not TraceKind.CLICK])
def test_a_value_seen_in_too_many_jars_ties_none_of_them(kind: TraceKind) -> None:
    rule = RULES[kind]
    jars = [jar(f"v{n}", kind=kind, first_at=NOW + n, last_at=NOW + n) for n in range(rule.most_jars + 1)]
    assert neighbours("v0", [jars[:-1]]) == {f"v{n}": rule.evidence for n in range(1, rule.most_jars)}
    assert neighbours("v0", [jars]) == {}
    assert rule.most_jars < ENOUGH


BY_SUCCESSION = [kind for kind in TraceKind if kind not in (TraceKind.CLICK, TraceKind.CLIENT_ID)]


@pytest.mark.parametrize("kind", BY_SUCCESSION)
@pytest.mark.parametrize(
    ("changes", "is_one"),
    [
        pytest.param({"first_at": NOW + 60, "last_at": NOW + 90}, True, id="one after the other"),
        pytest.param({"first_at": NOW - 60, "last_at": NOW}, True, id="told in the other order"),
        pytest.param({"first_at": NOW + 10, "last_at": NOW + 20}, False, id="at the same time: a link passed on"),
        pytest.param({"first_at": NOW + 60, "browser": "iOS/Chrome Mobile"}, False, id="in another browser"),
        pytest.param({"first_at": NOW + 60, "browser": None}, False, id="in a browser nobody knows"),
    ],
)
def test_a_value_in_two_jars_is_one_browser_that_lost_its_cookie(
    kind: TraceKind, changes: dict[str, Any], is_one: bool
) -> None:
    before = jar("before", kind=kind, first_at=NOW, last_at=NOW + 30)
    assert ("before" in neighbours("after", [[before, jar("after", kind=kind, **changes)]])) is is_one


@pytest.mark.parametrize("kind", [kind for kind in TraceKind if kind is not TraceKind.CLICK])
def test_two_browsers_that_nobody_knows_are_not_the_same_program(kind: TraceKind) -> None:
    jars = [jar(name, kind=kind, browser=None) for name in ("a", "b")]
    assert neighbours("a", [jars]) == {}


@pytest.mark.parametrize(
    ("kind", "changes", "is_one"),
    [
        (TraceKind.CHECKOUT, {"first_at": NOW + 60}, True),
        (TraceKind.CHECKOUT, {"first_at": NOW + 60, "network": "cb0072/24"}, False),
        (TraceKind.CHECKOUT, {"first_at": NOW + 60, "network": None}, False),
        (TraceKind.CART, {"first_at": NOW + 60, "network": "cb0072/24"}, True),
        (TraceKind.CLIENT_ID, {"first_at": NOW + 60, "network": "cb0072/24"}, True),
        (TraceKind.CLIENT_ID, {"first_at": NOW + 10, "last_at": NOW + 20}, True),
        (TraceKind.CLIENT_ID, {"first_at": NOW + 60, "browser": browser(CHROME)}, False),
    ],
)
def test_each_kind_is_guarded_by_how_its_value_may_get_elsewhere(
    kind: TraceKind, changes: dict[str, Any], is_one: bool
) -> None:
    before = jar("before", kind=kind, first_at=NOW, last_at=NOW + 30)
    assert ("before" in neighbours("after", [[before, jar("after", kind=kind, **changes)]])) is is_one


HOUR = 3600.0


def seen(visitor: str, first: float, last: float, **changes: Any) -> Sighting:
    """A cart in a jar; times in seconds before (negative) or after the order."""
    return jar(visitor, **{"kind": TraceKind.CART, "first_at": NOW + first, "last_at": NOW + last} | changes)


@pytest.mark.parametrize(
    ("jars", "found"),
    [
        pytest.param([], None, id="in no jar"),
        pytest.param([seen("a", -600, -60)], "a", id="in one, a minute ago"),
        pytest.param([seen("a", -600, 60)], "a", id="in one that is still there"),
        pytest.param([seen("a", THANKS_SECONDS, 90)], "a", id="in one, at the thanks for the order"),
        pytest.param([seen("a", THANKS_SECONDS + 1, 90)], None, id="in one that got the link afterwards"),
        pytest.param([seen("a", -HOUR, -CART_SECONDS - 1)], None, id="in one, longer ago than a session"),
        pytest.param([seen("a", -HOUR, HOUR)], None, id="in one, before and after, and nobody knows when else"),
        pytest.param([seen("a", -720, -60), seen("b", -420, -420)], None, id="a link opened in between"),
        pytest.param([seen("a", -720, -420), seen("b", -60, -60)], None, id="a link opened while its owner pays"),
        pytest.param([seen("a", -9 * HOUR, -8 * HOUR), seen("b", -600, -60)], "b", id="a jar that was lost long ago"),
        pytest.param([seen("a", -9 * HOUR, -8 * HOUR, browser=browser(CHROME)), seen("b", -600, -60)], None,
                     id="another program's, long ago: its owner may have come back there unseen"),
        pytest.param([seen("a", -9 * HOUR, -CART_SECONDS - NOTE_EVERY_SECONDS), seen("b", -600, -60)], None,
                     id="the other was noted so long ago that it may just be at work"),
        pytest.param([seen("a", -600, -60), seen("b", THANKS_SECONDS + 1, 500)], "a", id="a link opened afterwards"),
        pytest.param([seen(f"v{n}", -60, -60) for n in range(4)], None, id="in many"),
    ],
)  # fmt: skip
def test_a_servers_call_is_of_the_browser_that_has_its_cart_or_of_none(jars: list[Sighting], found: str | None) -> None:
    assert holder([jars], NOW) == found
    assert holder([jars[::-1], []], NOW) == found


def test_the_cart_and_the_checkout_of_an_order_must_be_one_browsers() -> None:
    cart, checkout = seen("a", -600, -300), seen("a", -290, -60, kind=TraceKind.CHECKOUT)
    assert holder([[cart], [checkout]], NOW) == "a"
    assert holder([[cart], [seen("b", -290, -60, kind=TraceKind.CHECKOUT)]], NOW) is None


def test_the_best_evidence_of_a_neighbour_counts() -> None:
    ga = [jar("a", kind=TraceKind.GA), jar("b", kind=TraceKind.GA)]
    cart = [jar("a", kind=TraceKind.CART), jar("b", kind=TraceKind.CART)]
    for order in ([ga, cart], [cart, ga]):
        assert neighbours("a", order) == {"b": Evidence.CLIENT_ID}


def test_a_trace_of_one_jar_ties_nothing() -> None:
    assert neighbours("a", [[jar("a")], []]) == {}
