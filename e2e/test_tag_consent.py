"""Consent platforms on the page: nothing is stored or sent before their yes, nothing after their no."""

import json
import threading

import pytest
from playwright.sync_api import Page

from e2e.tag_page import Answer, TagPage, name_of
from e2e.test_tag import QUEUE, expect, outrun, page_errors, run, site, visit

pytestmark = pytest.mark.browser
__all__ = ["page_errors", "site"]

STORED = "Object.keys(localStorage).concat(Object.keys(sessionStorage))"

TCF = """<script>
  const listeners = [];
  window.__tcfapi = (command, version, callback) => { if (command === "addEventListener") listeners.push(callback);
    callback({eventStatus: "cmpuishown", gdprApplies: true, purpose: {consents: {}}}, true); };
  window.say = (consents, gdprApplies = true) => listeners.forEach((listener) =>
    listener({eventStatus: "useractioncomplete", gdprApplies, purpose: {consents}}, true));
</script>"""
ONETRUST = """<script>
  function OptanonWrapper() {}
  window.say = (groups) => { window.OnetrustActiveGroups = groups; window.OneTrust = {IsAlertBoxClosed: () => true}; };
</script>"""
COOKIEBOT = """<script id="Cookiebot" data-cbid="0"></script><script>
  window.say = (marketing) => { window.Cookiebot =
    {hasResponse: true, consent: {necessary: true, preferences: false, statistics: false, marketing}}; };
</script>"""
GOOGLE = """<script>
  window.dataLayer = window.dataLayer || [];
  function gtag() { dataLayer.push(arguments); }
  gtag("consent", "default", {ad_storage: "denied", analytics_storage: "denied", region: ["DE"], wait_for_update: 500});
  gtag("consent", "default", {ad_storage: "granted", analytics_storage: "granted"});
  gtag("js", new Date());
  window.say = (ad_storage) => gtag("consent", "update", {ad_storage, analytics_storage: "denied"});
</script>"""

PLATFORMS = {
    "tcf": (TCF, "say({1: true, 3: true, 4: true})", "say({1: true})"),
    "tcf-elsewhere": (TCF, "say({}, false)", "say({})"),
    "onetrust": (ONETRUST, "say(',C0001,C0004,')", "say(',C0001,C0002,')"),
    "cookiebot": (COOKIEBOT, "say(true)", "say(false)"),
    "google": (GOOGLE, "say('granted')", "say('denied')"),
}
platforms = pytest.mark.parametrize(("html", "yes", "no"), PLATFORMS.values(), ids=PLATFORMS)


def test_a_refusal_in_one_tab_holds_in_every_other(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "required"
    visit(page, site)
    expect(page, site, run(page, "backflow.consent({marketing: true, analytics: true})"), must=("Consent Updated",))
    other = page.context.new_page()
    visit(other, site)
    other.evaluate("backflow.consent({marketing: false})")
    site.wait_for("page", "Consent Updated")
    for tab in (page, other):
        tab.evaluate("() => { window.dispatchEvent(new PageTransitionEvent('pagehide')); }")  # looks at consent anew
        tab.evaluate("backflow.track('After the refusal')")
    visit(other, site)
    outrun(other, site)
    said = [m["properties"]["marketing"] for m in site.messages if name_of(m) == "Consent Updated"]
    assert said == [True, False]
    assert "After the refusal" not in {name_of(message) for message in site.messages}
    assert page.evaluate("JSON.parse(localStorage['backflow.consent']).marketing") is False


def test_two_tabs_whose_platforms_differ_tell_their_choice_once_each(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = ONETRUST
    other = page.context.new_page()
    for tab, groups in ((page, ",C0004,"), (other, ",C0001,")):
        visit(tab, site)
        tab.evaluate(f"say('{groups}')")
        tab.evaluate("() => { window.dispatchEvent(new PageTransitionEvent('pagehide')); }")
    site.wait_for("Consent Updated")
    for tab in (page, other, page):
        tab.evaluate("() => { window.dispatchEvent(new PageTransitionEvent('pagehide')); }")
    expect(page, site, run(page, "1"), must=())
    said = [m["properties"]["marketing"] for m in site.messages if name_of(m) == "Consent Updated"]
    assert said == [True, False]


def test_tcf_answer_without_data_throws_nothing_into_the_page(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = "<script>window.__tcfapi = (_, version, call) => setTimeout(call, 0, null, false);</script>"
    visit(page, site)
    page.evaluate("backflow.track('Unanswered')")
    outrun(page, site)
    assert site.arrivals == []


@platforms
def test_nothing_is_stored_or_sent_before_the_choice_and_all_of_it_after_a_yes(
    page: Page, site: TagPage, html: str, yes: str, no: str
) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = html
    visit(page, site, "/?gclid=G1")
    page.evaluate("backflow.track('Before')")
    assert page.evaluate(STORED) == []
    assert site.arrivals == []
    expect(page, site, run(page, f"() => {{ {yes} }}"), must=("Before", "page"))
    for message in site.messages:
        assert message["context"]["consent"]["marketing"] is True
        assert message["context"]["consent"]["source"] in ("tcf", "onetrust", "cookiebot", "google")
    assert site.message("Before")["context"]["clickIds"] == {"gclid": "G1"}


@platforms
def test_a_no_leaves_only_the_bare_refusal(page: Page, site: TagPage, html: str, yes: str, no: str) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = html
    visit(page, site, "/?gclid=G1")
    page.evaluate("backflow.track('Before')")
    page.evaluate(f"() => {{ {no} }}")
    site.wait_for("Consent Updated")
    page.evaluate("backflow.track('After')")
    page.wait_for_function(f"{QUEUE} === 0")
    assert site.names == ["Consent Updated"]
    assert set(site.messages[0]["context"]) == {"library", "consent", "capture"}
    assert page.evaluate(STORED) == ["backflow.consent"]


@platforms
def test_a_choice_in_the_moment_of_leaving_still_counts(
    page: Page, site: TagPage, html: str, yes: str, no: str
) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = html
    visit(page, site)
    page.evaluate(f"() => {{ backflow.track('Before'); {yes}; location.href = 'about:blank'; }}")
    site.wait_for("Before")


def test_choice_of_the_shop_stands_above_a_platform(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = GOOGLE
    visit(page, site)
    page.evaluate("() => { backflow.track('Before'); say('granted'); backflow.consent({marketing: false}); }")
    site.wait_for("Consent Updated")
    assert site.message("Consent Updated")["context"]["consent"]["source"] == "api"
    assert "Before" not in site.names


@pytest.mark.parametrize("policy", ["assumed", "auto", "required"])
@pytest.mark.parametrize("word", ["denied", "false", "no", 0, 1])
def test_what_is_no_plain_yes_is_a_no(page: Page, site: TagPage, word: str | int, policy: str) -> None:
    site.settings["consent"] = policy
    site.hold_tag = threading.Event()
    site.pages["/"] = site.stub()
    page.goto(site.shop, wait_until="commit")
    page.wait_for_function("window.backflow")
    page.evaluate("(marketing) => { backflow.consent({marketing, analytics: true}); }", word)
    page.evaluate("backflow.identify({email: 'ann@shop.test'})")
    assert page.evaluate(STORED) == ["backflow.consent"]
    site.hold_tag.set()
    site.wait_for("Consent Updated")
    page.evaluate("(marketing) => { backflow.consent({marketing}); }", word)
    page.evaluate("backflow.track('After')")
    page.wait_for_function(f"{QUEUE} === 0")
    visit(page, site, "/next")
    outrun(page, site)
    assert set(site.names) == {"Consent Updated"}
    assert {message["context"]["consent"]["marketing"] for message in site.messages} == {False}


@pytest.mark.parametrize(("groups", "after"), [(",C0001,", []), (",C0001,C0004,", ["page"])], ids=["no", "yes"])
def test_what_a_platform_was_told_holds_on_the_next_page_until_the_platform_has_arrived(
    page: Page, site: TagPage, groups: str, after: list[str]
) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = ONETRUST
    visit(page, site)
    page.evaluate("(groups) => say(groups)", groups)
    site.wait_for("Consent Updated")
    outrun(page, site)
    before = len(site.messages)
    visit(page, site, "/next")  # without the platform
    page.evaluate("backflow.page()") if not after else site.wait(lambda: site.messages[before:], "the next page")
    outrun(page, site)
    assert site.names[before:] == after


def test_klaviyos_switch_that_is_on_again_lets_events_through_again(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "auto"
    page.context.add_cookies([{"name": "__kla_off", "value": "true", "url": site.shop}])
    visit(page, site)
    site.wait_for("Consent Updated")
    page.context.clear_cookies()
    visit(page, site, "/next")
    site.wait_for("page")


def test_platform_that_fails_when_asked_has_not_answered(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = "<script>window.OneTrust = {IsAlertBoxClosed() { throw new Error('not yet'); }};</script>"
    visit(page, site)
    page.evaluate("backflow.track('Before')")
    assert page.evaluate(STORED) == []
    expect(page, site, run(page, "backflow.consent({marketing: true})"), must=("Before",))


def test_consent_mode_without_a_denial_lets_everything_through(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = """<script>window.dataLayer = [["consent", "default", {ad_storage: "granted"}]];</script>"""
    visit(page, site)
    site.wait_for("page")
    assert site.message("page")["context"]["consent"] == {"marketing": True, "analytics": False, "source": "google"}


def test_google_layer_without_consent_commands_is_no_platform(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "auto"
    site.pages["/"] = """<script>window.dataLayer = [{event: "gtm.js"}, null, () => {}, ["js", new Date()]];</script>"""
    visit(page, site)
    site.wait_for("page")
    assert "consent" not in site.message("page")["context"]


def test_what_waits_for_a_choice_stays_when_an_earlier_request_is_answered(page: Page, site: TagPage) -> None:
    site.settings["consent"] = "auto"
    held = threading.Event()
    site.answers(Answer(held=held))
    visit(page, site)
    site.wait_for_arrivals(1)
    page.evaluate("""() => { window.OneTrust = {IsAlertBoxClosed: () => false}; backflow.track("Undecided");
      backflow.identify({email: "ann@shop.test"}); }""")
    held.set()
    page.wait_for_function(f"{QUEUE} === 0")
    outrun(page, site)
    assert len(site.arrivals) == 1
    page.evaluate("() => { OnetrustActiveGroups = 'C0004'; OneTrust.IsAlertBoxClosed = () => true; }")
    site.wait_for("Undecided", "identify")
    assert site.message("Undecided")["context"]["consent"]["source"] == "onetrust"


@pytest.mark.parametrize("policy", ["assumed", "auto", "required"])
def test_a_refusal_told_to_the_shop_outlives_klaviyos_switch(page: Page, site: TagPage, policy: str) -> None:
    site.settings["consent"] = policy
    visit(page, site)
    page.evaluate("backflow.consent({marketing: false})")
    site.wait_for("Consent Updated")
    page.context.add_cookies([{"name": "__kla_off", "value": "true", "url": site.shop}])
    visit(page, site, "/off")
    page.context.clear_cookies()
    before = len(site.messages)
    visit(page, site, "/on")
    page.evaluate("backflow.track('After')")
    outrun(page, site)
    assert site.names[before:] == []


@pytest.mark.parametrize("policy", ["assumed", "auto", "required"])
@pytest.mark.parametrize("early", [True, False], ids=["stub", "tag"])
def test_a_plain_false_is_a_refusal(page: Page, site: TagPage, policy: str, early: bool) -> None:
    site.settings["consent"] = policy
    if early:
        site.hold_tag = threading.Event()
        site.pages["/"] = site.stub()
        page.goto(site.shop, wait_until="commit")
        page.wait_for_function("window.backflow")
    else:
        visit(page, site)
    page.evaluate("() => { backflow.consent(false); backflow.track('After'); }")
    if site.hold_tag:
        page.evaluate("location.href = '/next'")
        page.wait_for_url("**/next", wait_until="commit")
        site.hold_tag.set()
    site.wait_for("Consent Updated")
    visit(page, site, "/later")
    page.evaluate("backflow.track('Later')")
    outrun(page, site)
    assert not {"After", "Later"} & set(site.names)
    assert site.message("Consent Updated")["properties"]["marketing"] is False


#: What stands in the page before the platform's script has arrived.
PLACEHOLDERS = {
    "tcf": "window.__tcfapi = () => {};",
    "onetrust": "function OptanonWrapper() {}",
    "cookiebot": "document.currentScript.id = 'Cookiebot';",
}


@pytest.mark.parametrize(("source", "script"), PLACEHOLDERS.items(), ids=PLACEHOLDERS)
@pytest.mark.parametrize("kept", [True, False, None], ids=["yes", "no", "nothing"])
def test_what_a_platform_was_told_holds_as_long_as_only_its_placeholder_is_there(
    page: Page, site: TagPage, source: str, script: str, kept: bool | None
) -> None:
    site.settings["consent"] = "auto"
    told = json.dumps({"marketing": kept, "analytics": False, "source": source}, separators=(",", ":"))
    if kept is not None:
        page.add_init_script(f"localStorage['backflow.consent'] = '{told}';")
    site.pages["/"] = f"<script>{script}</script>"
    visit(page, site)
    page.evaluate("backflow.track('Quick')")
    if kept:
        site.wait_for("Quick")
    else:
        outrun(page, site)
        assert site.names == []
