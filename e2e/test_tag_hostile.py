"""The tag on pages that make its life hard: the page goes on as if the tag were not there, and nothing is lost."""

import json

import pytest
from playwright.sync_api import Page

from e2e.tag_page import KEY, Answer, TagPage, name_of
from e2e.test_tag import MESSAGE_ID, expect, page_errors, run, site, visit

pytestmark = pytest.mark.browser
__all__ = ["page_errors", "site"]

HOSTILE = {
    "storage-throws": """for (const name of ["localStorage", "sessionStorage"])
        Object.defineProperty(window, name, {get() { throw new DOMException("no", "SecurityError"); }});""",
    "storage-full": "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };",
    "fetch-throws": "window.fetch = () => { throw new Error('no'); };",
    "fetch-rejects": "window.fetch = () => Promise.reject(new TypeError('blocked'));",
    "fetch-missing": "window.fetch = undefined;",
    "fetch-answers-nonsense": "window.fetch = () => 7;",
    "insecure-origin": "delete Navigator.prototype.locks; delete Crypto.prototype.randomUUID;",
    "no-keepalive": "delete Request.prototype.keepalive; Navigator.prototype.sendBeacon = undefined;",
    "locks-throw": "LockManager.prototype.request = () => { throw new Error('no'); };",
    "locks-reject": "LockManager.prototype.request = () => Promise.reject(new DOMException('no', 'SecurityError'));",
    "cookies-throw": """Object.defineProperty(document, 'cookie',
        {get() { throw new DOMException('no', 'SecurityError'); }});""",
    "json-throws": "JSON.stringify = JSON.parse = () => { throw new Error('no'); };",
    "json-nonsense": "JSON.stringify = () => 'nonsense'; JSON.parse = () => null;",
    "array-methods": """for (const name of ["map", "filter", "forEach", "find", "includes", "some", "every", "reduce",
        "indexOf", "concat", "flat", "at"]) Array.prototype[name] = () => { throw new Error(name); };""",
    "array-grown": "Array.prototype.mine = function () {}; Object.prototype.theirs = undefined;",
    "frozen-prototypes": """for (const type of [Object, Array, Function, String, Promise, Map, Set, RegExp, Date,
        Request, Response, XMLHttpRequest, EventTarget, Storage, History, Node, Element]) Object.freeze(type.prototype);
        Object.freeze(history); Object.freeze(Object); Object.freeze(JSON);""",
    "ad-blocker-stubs": """window.fbq = window.gtag = function () {}; window.dataLayer = {push() {}};
        window._learnq = window.klaviyo = {push() {}, identify() {}, track() {}};
        window._klOnsite = {push() {}}; window.ga = function () {}; window.google_tag_manager = {};""",
    "timers-stopped": "window.setInterval = window.requestIdleCallback = () => 0;",
    "backflow-is-taken": "window.backflow = {mine: true};",
    "backflow-is-a-word": "window.backflow = 'mine';",
}


@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE)
def test_tag_works_and_the_page_is_unharmed_where(page: Page, site: TagPage, script: str) -> None:
    site.pages["/"] = f"<script>{script}</script>"
    visit(page, site)
    page.evaluate("() => { backflow.track('Still', {here: true, list: [1, {two: 2}]}); }")
    site.wait_for("Still")
    assert site.message("Still")["properties"] == {"here": True, "list": [1, {"two": 2}]}
    expect(page, site, run(page, "() => { backflow.push(['track', 'Pushed']); }"), must=("Pushed",))
    assert all(MESSAGE_ID.match(message["messageId"]) for message in site.messages)
    assert len(site.messages) == len({name_of(message) for message in site.messages})


@pytest.mark.parametrize(
    "asks",
    [
        "if ('fbq' in window) window.fbq('track', 'AddToCart');",
        "if (!('dataLayer' in window)) window.dataLayer = []; window.dataLayer.push({event: 'x'});",
        "if ('dataLayer' in window) window.dataLayer.push({event: 'x'});",
        "if (window.hasOwnProperty('bodlEvents')) window.bodlEvents.cart.addItem(() => {});",
        "for (const name of ['bodlEvents', 'gtag', 'fbq', 'dataLayer']) if (name in window) window[name].x;",
    ],
)
def test_page_that_asks_whether_a_vendor_is_there_gets_the_same_answer(page: Page, site: TagPage, asks: str) -> None:
    visit(page, site)
    site.wait_for("page")
    page.evaluate(asks)  # An exception would end the page's own handler.
    expect(page, site, run(page, "1"), must=())


@pytest.mark.parametrize("late", ["json-throws", "fetch-throws", "fetch-missing", "array-methods", "frozen-prototypes"])
def test_what_the_page_breaks_later_changes_nothing(page: Page, site: TagPage, late: str) -> None:
    visit(page, site)
    site.wait_for("page")
    page.evaluate(f"() => {{ {HOSTILE[late]}; backflow.track('Still'); }}")
    site.wait_for("Still")
    assert len(site.arrivals) == 2


def test_page_that_has_neither_keepalive_nor_beacons_is_left_without_a_word(page: Page, site: TagPage) -> None:
    site.pages["/"] = f"<script>{HOSTILE['no-keepalive']}</script>"
    visit(page, site)
    site.wait_for("page")
    page.evaluate("() => { backflow.track('Leaving'); dispatchEvent(new PageTransitionEvent('pagehide')); }")
    site.wait_for("Leaving")


def test_page_that_freezes_everything_and_leaves_at_once_loses_nothing(page: Page, site: TagPage) -> None:
    site.pages["/"] = f"<script>{HOSTILE['frozen-prototypes']}</script>"
    visit(page, site)
    page.evaluate("() => { backflow.track('Leaving'); location.href = '/next'; }")
    site.wait_for("Leaving")


CSP = (
    "default-src 'none'; script-src 'nonce-r4nd0m' 'strict-dynamic'; connect-src {relay}; img-src data:; "
    "require-trusted-types-for 'script'; trusted-types 'none'; report-to csp"
)


def test_strict_policy_with_nonce_and_trusted_types_is_not_violated(page: Page, site: TagPage) -> None:
    site.headers["Content-Security-Policy"] = CSP.format(relay=site.relay)
    nonce = '<script nonce="r4nd0m"'
    site.pages["/"] = (
        f"{nonce}>window.violations = []; document.addEventListener('securitypolicyviolation',"
        " (event) => violations.push(event.violatedDirective + ' ' + event.blockedURI));</script>"
        + site.stub().replace("<script", nonce)
        + f"{nonce}>backflow.track('Early');</script>"
        + f'{nonce} async src="{site.relay}/tag.js?key={KEY}"></script>'
    )
    page.goto(site.shop)
    site.wait_for("Early", "page")
    assert site.names.count("Early") == 1
    violations = page.evaluate("violations")
    # The page's own second line, which has no nonce, is the only thing that was refused.
    assert all(violation.startswith("script-src-elem") for violation in violations), violations
    assert len(violations) == 1


def test_wrapped_history_and_prototypes_are_as_the_page_left_them(page: Page, site: TagPage) -> None:
    site.pages["/"] = """<script>window.before = [history.pushState, history.replaceState, JSON.stringify,
      Array.prototype.push, EventTarget.prototype.addEventListener, Object.keys(window).join()];</script>"""
    visit(page, site)
    same = """[history.pushState, history.replaceState, JSON.stringify, Array.prototype.push,
      EventTarget.prototype.addEventListener].every((value, index) => value === before[index])"""
    assert page.evaluate(same)
    globals_made = set(page.evaluate("Object.keys(window)")) - set(page.evaluate("before[5]").split(","))
    assert globals_made <= {"backflow", "before"}, json.dumps(sorted(globals_made))


def test_beacon_that_throws_while_the_relay_is_down_throws_nothing_into_the_page(page: Page, site: TagPage) -> None:
    visit(page, site)
    site.wait_for("page")
    site.plan.otherwise = Answer(drops=True)
    page.evaluate("""() => { navigator.sendBeacon = () => { window.tried = 1; throw new Error("beacon"); };
      backflow.track("Kept"); dispatchEvent(new PageTransitionEvent("pagehide")); }""")
    page.wait_for_function("window.tried")
    site.plan.otherwise = Answer()
    site.wait_for("Kept")  # What has failed is tried again, and the page has heard of nothing.
