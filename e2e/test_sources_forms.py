"""Addresses that shoppers type: read when they hand them over, never else."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from e2e.platforms import Announced
from e2e.tag_page import name_of
from e2e.test_tag import expect, page_errors, run, visit

pytestmark = pytest.mark.browser
__all__ = ["page_errors"]

PAGE = (
    """<!doctype html><title>Form</title><link rel=icon href=data:,><script>window._learnq = [];</script><!--tag-->"""
)


@pytest.fixture
def site() -> Iterator[Announced]:
    with Announced() as shop:
        yield shop


def submit(page: Page, site: Announced, form: str) -> None:
    site.html = f"{PAGE}<form id=f onsubmit='return false'>{form}<button>Go</button></form>"
    visit(page, site)
    page.evaluate("document.querySelector('#f button').click()")


@pytest.mark.parametrize(
    ("form", "traits"),
    [
        ("<input type=email name=email value=ann@shop.test>", {"email": "ann@shop.test"}),
        ("<input name='contact[email]' value=' ann@shop.test '>", {"email": "ann@shop.test"}),
        ("<input type=text autocomplete=email value=ann@shop.test>", {"email": "ann@shop.test"}),
        (
            "<input type=email name=email value=ann@shop.test><input type=tel name=phone value='+49 151 1234567'>",
            {"email": "ann@shop.test", "phone": "+49 151 1234567"},
        ),
        (
            "<input type=email name=email value=ann@shop.test><input type=email name=email2 value=ann@shop.test>",
            {"email": "ann@shop.test"},
        ),
        (
            "<input type=email name=login value=ann@shop.test><input type=password name=password value=bob@shop.test>",
            {"email": "ann@shop.test"},
        ),
    ],
    ids=["email", "by-name", "by-autocomplete", "with-phone", "typed-twice", "login"],
)
def test_address_is_read_on_submit(page: Page, site: Announced, form: str, traits: dict[str, str]) -> None:
    submit(page, site, form)
    expect(page, site, run(page, "1"), must=("identify",))
    message = site.message("identify")
    assert message["traits"] == traits
    assert message["context"]["capture"] == ["form"]


@pytest.mark.parametrize(
    "form",
    [
        "<input type=password name=email value=ann@shop.test>",
        "<input type=hidden name=email value=ann@shop.test>",
        "<input type=email name=email autocomplete=off value=ann@shop.test>",
        "<input type=text name=card_email autocomplete=cc-name value=ann@shop.test>",
        "<input type=email name=email value=ann@shop.test data-backflow-ignore>",
        "<div data-backflow-ignore><input type=email name=email value=ann@shop.test></div>",
        "<input type=email name=friend_email value=ann@shop.test>",
        "<input type=email name='properties[Recipient email]' value=ann@shop.test>",
        "<input type=email name=email value=ann@shop.test><input type=email name=email_2 value=bob@shop.test>",
        "<input type=email name=email value='not an address' formnovalidate>",
        "<input type=tel name=cc-number autocomplete=cc-number value='4111 1111 1111 1111'>",
        "<input name=q value=ann@shop.test>",
        "<input type=text name=s id=mobile-search value=4006381333931>",
        "<input type=email name=email placeholder=\"Your friend's address\" value=ann@shop.test>",
    ],
    ids=["password", "hidden", "autocomplete-off", "card", "opted-out", "opted-out-around", "friend", "recipient",
      "two-people",
         "no-address", "card-number", "search", "phones-search", "a-friends-placeholder"],
)  # fmt: skip
def test_address_that_is_not_the_shoppers_or_not_to_be_read_is_left_alone(
    page: Page, site: Announced, form: str
) -> None:
    submit(page, site, form.replace("type=email name=email value='not", "type=text name=email value='not"))
    expect(page, site, run(page, "1"), must=(), must_not=("identify",))


@pytest.mark.parametrize(
    ("attributes", "theirs"),
    [
        ("id=refer-a-friend", False),
        ("class=invite-form", False),
        ("class='wishlist-share-form'", False),
        ("id=referral", False),
        ("id=email-preferences class=card", True),
        ("class='off-canvas shared-layout'", True),
        ("class='woocommerce-shipping-calculator'", True),
        ("class='welcome-gift-popup user-friendly'", True),
    ],
)
def test_address_in_a_form_for_somebody_else_is_not_the_shoppers(
    page: Page, site: Announced, attributes: str, theirs: bool
) -> None:
    site.html = f"""{PAGE}<form {attributes} onsubmit='return false'>
      <input type=email name=email placeholder="Email, for a gift" value=bob@shop.test><button>Send</button></form>"""
    visit(page, site)
    if theirs:
        expect(page, site, run(page, "document.querySelector('button').click()"), must=("identify",))
    else:
        expect(page, site, run(page, "document.querySelector('button').click()"), must=(), must_not=("identify",))


def test_address_that_is_only_typed_is_not_read(page: Page, site: Announced) -> None:
    site.html = f"{PAGE}<input type=email id=email><button id=b>Later</button>"
    visit(page, site)
    page.fill("#email", "ann@shop.test")
    page.focus("#b")
    script = "() => fetch('/elsewhere?x=1', {method: 'POST', body: 'note=hello'}).then(() => 1)"
    expect(page, site, run(page, script), must=(), must_not=("identify",))


@pytest.mark.parametrize(
    "body",
    ["JSON.stringify({email: email.value})", "new URLSearchParams({email: email.value})",
      "'email=' + encodeURIComponent(email.value)",
     "(() => { const data = new FormData(); data.append('email', email.value); return data; })()"],
    ids=["json", "search-params", "urlencoded", "form-data"],
)  # fmt: skip
def test_address_left_and_then_sent_to_the_shop_without_a_form_is_read(page: Page, site: Announced, body: str) -> None:
    site.html = f"{PAGE}<input type=email id=email><button id=b>Next</button>"
    visit(page, site)
    page.fill("#email", "ann+tag@shop.test")
    page.focus("#b")
    expect(
        page,
        site,
        run(page, f"() => fetch('/checkout/step', {{method: 'POST', body: {body}}}).then(() => 1)"),
        must=("identify",),
    )
    assert site.message("identify")["traits"] == {"email": "ann+tag@shop.test"}


def test_address_sent_in_a_request_object_is_read_too(page: Page, site: Announced) -> None:
    site.html = f"{PAGE}<input type=email id=email><button id=b>Next</button>"
    visit(page, site)
    page.fill("#email", "ann@shop.test")
    page.focus("#b")
    script = """() => fetch(new Request("/newsletter", {method: "POST", body: JSON.stringify({email: email.value})}))
      .then(() => 1)"""
    expect(page, site, run(page, script), must=("identify",))
    assert site.message("identify")["traits"] == {"email": "ann@shop.test"}


def test_address_sent_to_somebody_else_is_not_read(page: Page, site: Announced) -> None:
    site.html = f"{PAGE}<input type=email id=email><button id=b>Next</button>"
    visit(page, site)
    page.fill("#email", "ann@shop.test")
    page.focus("#b")
    script = f"() => fetch('{site.relay}/spy', {{method: 'POST', mode: 'no-cors', body: email.value}}).then(() => 1)"
    expect(page, site, run(page, script), must=(), must_not=("identify",))


def test_form_submitted_by_script_is_read_and_still_submitted(page: Page, site: Announced) -> None:
    site.html = f"{PAGE}<form id=f action=/welcome><input type=email name=email value=ann@shop.test></form>"
    visit(page, site)
    page.evaluate("() => { f.submit(); }")
    page.wait_for_url("**/welcome?email=ann%40shop.test")
    site.wait_for("identify")


def test_who_signs_in_again_after_another_has_done_so_is_told_again(page: Page, site: Announced) -> None:
    site.html = (
        f"""{PAGE}<form id=f onsubmit='return false'><input type=email name=email><button>Log in</button></form>"""
    )
    visit(page, site)
    for name in ("ann", "bob", "ann"):
        page.fill("#f input", f"{name}@shop.test")
        page.evaluate("document.querySelector('#f button').click()")
        page.evaluate("() => { backflow.reset(); }")
    expect(page, site, run(page, "1"), must=("identify",))
    out = ("Signed Out", None)
    said = [
        (name_of(m), (m.get("traits") or {}).get("email")) for m in site.messages if name_of(m) in ("identify", *out)
    ]
    assert said == [
        ("identify", "ann@shop.test"),
        out,
        ("identify", "bob@shop.test"),
        out,
        ("identify", "ann@shop.test"),
        out,
    ]


def test_the_same_address_is_told_once_a_page(page: Page, site: Announced) -> None:
    site.html = f"""{PAGE}<form id=f onsubmit='return false'><input type=email name=email value=ann@shop.test>
      <button>Go</button></form>"""
    visit(page, site)
    script = """() => { for (let n = 0; n < 3; n++) f.querySelector('button').click();
      _learnq.push(['identify', {$email: 'ann@shop.test'}]); }"""
    expect(page, site, run(page, script), must=("identify",))
    assert site.names.count("identify") == 1
