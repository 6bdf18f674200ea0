"""The consent station: what may be kept and forwarded, by signal, site policy, caller and GPC."""

from typing import Any

import pytest

from relay.config import Consent
from relay.model import Trust
from relay.pipeline.consent import EVERYTHING, NOTHING, OWN_RECORDS, Permission, is_denied, permission

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


@pytest.mark.parametrize("value", ["false", 0, "", "denied", None], ids=repr)
def test_only_the_explicit_false_is_a_no(value: object) -> None:
    assert permission({"consent": {"marketing": value}}, BROWSER, ASSUMED, gpc=False) == EVERYTHING
    assert not is_denied({"consent": {"marketing": value}})


@pytest.mark.parametrize("consent", ["yes", 1, [], True, [{"marketing": True}]], ids=repr)
def test_a_consent_field_of_another_shape_is_no_signal(consent: object) -> None:
    assert permission({"consent": consent}, BROWSER, REQUIRED, gpc=False) == NOTHING
    assert permission({"consent": consent}, BROWSER, ASSUMED, gpc=False) == EVERYTHING


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
