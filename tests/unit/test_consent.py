"""The consent station: what may be kept and forwarded, by signal, site policy, caller and GPC."""

from typing import Any

import pytest

from relay.config import Consent
from relay.model import Message, Trust
from relay.pipeline.consent import EVERYTHING, NOTHING, OWN_RECORDS, Permission, bare, is_denied, is_given, permission
from relay.pipeline.withheld import remains

AUTO, REQUIRED, ASSUMED = Consent.AUTO, Consent.REQUIRED, Consent.ASSUMED
BROWSER, SERVER, KLAVIYO = Trust.BROWSER, Trust.SERVER, Trust.KLAVIYO
YES, NO, NONE = {"marketing": True}, {"marketing": False}, None
ASKED = {"source": "onetrust"}  # a consent platform is on the page and has not answered yet

TABLE: list[tuple[str, dict[str, Any] | None, Trust, Consent, Permission]] = [
    ("yes, auto", YES, BROWSER, AUTO, EVERYTHING),
    ("yes, required", YES, BROWSER, REQUIRED, EVERYTHING),
    ("yes, assumed", YES, BROWSER, ASSUMED, EVERYTHING),
    ("no, auto", NO, BROWSER, AUTO, NOTHING),
    ("no, required", NO, BROWSER, REQUIRED, NOTHING),
    ("no, assumed", NO, BROWSER, ASSUMED, NOTHING),
    ("no signal, auto", NONE, BROWSER, AUTO, EVERYTHING),
    ("no signal, required", NONE, BROWSER, REQUIRED, NOTHING),
    ("no signal, assumed", NONE, BROWSER, ASSUMED, EVERYTHING),
    ("platform silent, auto", ASKED, BROWSER, AUTO, NOTHING),
    ("platform silent, required", ASKED, BROWSER, REQUIRED, NOTHING),
    ("platform silent, assumed", ASKED, BROWSER, ASSUMED, EVERYTHING),
    ("platform says yes, auto", {**ASKED, **YES}, BROWSER, AUTO, EVERYTHING),
    ("platform says no, assumed", {**ASKED, **NO}, BROWSER, ASSUMED, NOTHING),
    ("server without signal, required", NONE, SERVER, REQUIRED, EVERYTHING),
    ("server says no, assumed", NO, SERVER, ASSUMED, NOTHING),
    ("server says no, auto", NO, SERVER, AUTO, NOTHING),
    ("klaviyo's answer, required", NONE, KLAVIYO, REQUIRED, EVERYTHING),
    ("analytics alone is no yes", {"analytics": True, "source": "x"}, BROWSER, AUTO, NOTHING),
]  # fmt: skip


@pytest.mark.parametrize(
    ("consent", "trust", "policy", "expected"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_signal_policy_and_caller_decide(
    consent: dict[str, Any] | None, trust: Trust, policy: Consent, expected: Permission
) -> None:
    context = {} if consent is None else {"consent": consent}
    assert permission(context, trust, policy, gpc=False) == expected


@pytest.mark.parametrize("value", ["true", "yes", 1, "granted", [True], {"value": True}, None], ids=repr)
def test_only_the_explicit_true_is_a_yes(value: object) -> None:
    assert permission({"consent": {"marketing": value}}, BROWSER, REQUIRED, gpc=False) == NOTHING


@pytest.mark.parametrize("trust", [BROWSER, SERVER])
@pytest.mark.parametrize("value", ["false", 0, "", "denied", "granted", [True], {}], ids=repr)
def test_what_cannot_be_read_as_a_yes_allows_nothing_and_is_no_withdrawal(value: object, trust: Trust) -> None:
    for context in ({"consent": {"marketing": value}}, {"consent": {"categoryPreferences": {"marketing": value}}}):
        assert permission(context, trust, ASSUMED, gpc=False) == NOTHING
        assert not is_denied(context), "only a plain false unties"


@pytest.mark.parametrize("consent", ["yes", 1, True, False, [{"marketing": True}]], ids=repr)
def test_a_consent_of_another_shape_allows_nothing(consent: object) -> None:
    assert permission({"consent": consent}, BROWSER, ASSUMED, gpc=False) == NOTHING


@pytest.mark.parametrize("consent", [None, {}, [], {"marketing": None}, {"source": None}], ids=repr)
def test_an_empty_consent_is_no_signal(consent: object) -> None:
    assert permission({"consent": consent}, BROWSER, REQUIRED, gpc=False) == NOTHING
    assert permission({"consent": consent}, BROWSER, AUTO, gpc=False) == EVERYTHING


def test_segments_category_preferences_are_read() -> None:
    def preferences(value: object) -> dict[str, Any]:
        return {"consent": {"categoryPreferences": {"marketing": value}}}

    assert permission(preferences(True), BROWSER, REQUIRED, gpc=False) == EVERYTHING
    assert permission(preferences(False), BROWSER, ASSUMED, gpc=False) == NOTHING
    assert is_denied(preferences(False))


@pytest.mark.parametrize("policy", list(Consent))
@pytest.mark.parametrize("consent", [NO, ASKED, {"marketing": "denied"}, "no"], ids=repr)
def test_what_is_kept_of_a_refused_message_is_refused_again(consent: object, policy: Consent) -> None:
    kept = bare({"consent": consent, "page": {"url": "https://shop.com"}})
    assert permission(kept, BROWSER, policy, gpc=False) == NOTHING
    assert is_denied(kept) is is_denied({"consent": consent})
    assert set(kept) == {"consent"}


@pytest.mark.parametrize("trust", [BROWSER, SERVER])
@pytest.mark.parametrize("policy", list(Consent))
def test_global_privacy_control_is_kept_and_never_forwarded(policy: Consent, trust: Trust) -> None:
    assert permission({"consent": YES}, trust, policy, gpc=True) == OWN_RECORDS


def test_global_privacy_control_may_travel_in_the_context() -> None:
    assert permission({"gpc": True}, BROWSER, AUTO, gpc=False) == OWN_RECORDS
    assert permission({"gpc": "1"}, BROWSER, AUTO, gpc=False) == EVERYTHING


def test_global_privacy_control_does_not_soften_a_no() -> None:
    assert permission({"consent": NO}, BROWSER, ASSUMED, gpc=True) == NOTHING


def test_a_no_is_told_from_silence() -> None:
    assert is_denied({"consent": {"marketing": False}})
    assert not is_denied({"consent": ASKED})
    assert not is_denied({})


def test_only_a_plain_yes_is_a_yes_that_was_given() -> None:
    assert is_given({"consent": {"marketing": True}})
    assert not any(is_given({"consent": {"marketing": value}}) for value in (False, None, "true", 1))
    assert not is_given({})


# What the journal keeps of a call without permission

REFUSED = {"consent": {"marketing": False}, "page": {"url": "https://shop.example/secret"}, "ip": "203.0.113.9"}
BARE = {"consent": {"marketing": False}}


def body(type_: str = "identify", **fields: Any) -> dict[str, Any]:
    context = REFUSED | fields.pop("context", {})
    return remains(Message(type=type_, message_id="m", occurred_at=1.0, context=context, **fields), BROWSER)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"traits": {"email": "ann@mail.com"}}, id="no word of it"),
        pytest.param({"traits": {"email": "ann@mail.com", "subscribe": True}}, id="signing up"),
        pytest.param({"traits": {"email": "ann@mail.com", "subscribe": "false"}}, id="a text"),
        pytest.param({"type_": "track", "event": "x", "traits": {"subscribe": False}}, id="an event"),
    ],
)
def test_of_a_call_that_unsubscribes_nobody_nothing_is_kept(fields: dict[str, Any]) -> None:
    assert body(**fields) == {"event": "withheld", "context": BARE}


def test_of_one_that_unsubscribes_stay_the_words_and_whom_they_are_for() -> None:
    words = {"subscribe": False, "consent": ["sms"], "listId": "Y6nRLr"}
    traits = {"email": "ann@mail.com", "plan": "gold", "address": {"city": "Berlin", "country": "DE"}}
    kept = body(
        user_id="customer-7",
        traits=traits | {"properties": words | {"age": 40}},
        integrations={"All": False, "Klaviyo": {"listId": "Y6nRLr", "fieldsToUnset": ["plan"]}, "Mixpanel": {"a": 1}},
    )
    assert kept == {
        "event": "withheld",
        "context": BARE,
        "traits": {"email": "ann@mail.com", "address": {"country": "DE"}, "properties": words},
        "groupId": None,
        "integrations": {"All": False, "Klaviyo": {"listId": "Y6nRLr"}},
    }


def test_the_member_of_a_group_is_kept_from_the_context() -> None:
    member = {"traits": {"email": "ann@mail.com", "age": 40}}
    kept = body("group", group_id="Y6nRLr", traits={"subscribe": False, "email": "hq@company.com"}, context=member)
    assert kept["context"] == BARE | {"traits": {"email": "ann@mail.com"}}
    assert kept["groupId"] == "Y6nRLr"


@pytest.mark.parametrize(
    ("user_id", "trust", "is_kept"),
    [("customer-7", BROWSER, False), ("ann@mail.com", BROWSER, True), ("customer-7", SERVER, True)],
)
def test_a_customers_id_is_kept_where_it_is_heard(user_id: str, trust: Trust, is_kept: bool) -> None:
    message = Message(type="identify", message_id="m", occurred_at=1.0, user_id=user_id, traits={"subscribe": False})
    assert ("userId" in remains(message, trust)) is is_kept
