"""What a browser leaves, and when two jars that share it are one browser."""

from typing import Any

import pytest

from relay.identity.evidence import Evidence
from relay.identity.traces import (
    ENOUGH,
    HANDOVER_SECONDS,
    RULES,
    Sighting,
    Trace,
    TraceKind,
    browser,
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
        pytest.param({"cookies": {"_ga": "denied", "_fbp": 7}}, set(), id="cookies of another form"),
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


@pytest.mark.parametrize("kind", [TraceKind.CART, TraceKind.GA, TraceKind.FBP])
@pytest.mark.parametrize(
    ("changes", "is_one"),
    [
        pytest.param({"first_at": NOW + 60, "last_at": NOW + 90}, True, id="one after the other"),
        pytest.param({"first_at": NOW - 60, "last_at": NOW}, True, id="told in the other order"),
        pytest.param({"first_at": NOW + 10, "last_at": NOW + 20}, False, id="at the same time: a link passed on"),
        pytest.param({"first_at": NOW + 60, "browser": "iOS/Chrome Mobile"}, False, id="in another browser"),
    ],
)
def test_a_value_in_two_jars_is_one_browser_that_lost_its_cookie(
    kind: TraceKind, changes: dict[str, Any], is_one: bool
) -> None:
    before = jar("before", kind=kind, first_at=NOW, last_at=NOW + 30)
    assert ("before" in neighbours("after", [[before, jar("after", kind=kind, **changes)]])) is is_one


def test_the_best_evidence_of_a_neighbour_counts() -> None:
    ga = [jar("a", kind=TraceKind.GA), jar("b", kind=TraceKind.GA)]
    cart = [jar("a", kind=TraceKind.CART), jar("b", kind=TraceKind.CART)]
    for order in ([ga, cart], [cart, ga]):
        assert neighbours("a", order) == {"b": Evidence.CLIENT_ID}


def test_a_trace_of_one_jar_ties_nothing() -> None:
    assert neighbours("a", [[jar("a")], []]) == {}
