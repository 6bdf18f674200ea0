"""The sandbox's consent over HTTP, in process: subscribing, unsubscribing and its trap, and what Klaviyo refuses."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from relay.klaviyo.consent import may_subscribe, profiles_found, standing
from relay.klaviyo.lists import add_body, lists_of
from relay.klaviyo.subscriptions import may_unsubscribe, subscribe_body, unsubscribe_body
from relay.model import Recipient, SubscriptionChange
from tests.integration.sandbox_calls import NOW, Body, Sandbox, fault, pointers

SUBSCRIBE = "/api/profile-subscription-bulk-create-jobs"
UNSUBSCRIBE = "/api/profile-subscription-bulk-delete-jobs"
PROFILES = "/data/attributes/profiles/data"
FIRST = f"{PROFILES}/0/attributes"
EARLIER = "2026-11-20T10:00:00Z"
YES, NO = {"consent": "SUBSCRIBED"}, {"consent": "UNSUBSCRIBED"}
EMAIL, SMS = {"email": {"marketing": YES}}, {"sms": {"marketing": YES}}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()


def person(subscriptions: Body, **attributes: Any) -> Body:
    profile_id = attributes.pop("id", None)
    made: Body = {"type": "profile", "attributes": attributes | {"subscriptions": subscriptions}}
    return made | ({"id": profile_id} if profile_id else {})


def job(*people: Body, kind: str = "create", list_id: str | None = None, **attributes: Any) -> Body:
    data: Body = {
        "type": f"profile-subscription-bulk-{kind}-job",
        "attributes": {"profiles": {"data": list(people)}} | attributes,
    }
    if list_id:
        data["relationships"] = {"list": {"data": {"type": "list", "id": list_id}}}
    return {"data": data}


def unsubscribing(*people: Body, list_id: str | None = None) -> Body:
    return job(*people, kind="delete", list_id=list_id)


def seen(sandbox: Sandbox, email: str = "a@example.com") -> Body:
    """``subscriptions`` of a profile as the API shows them."""
    query = {"filter": f'equals(email,"{email}")', "additional-fields[profile]": "subscriptions"}
    (profile,) = sandbox.call("GET", "/api/profiles", params=query).json()["data"]
    found: Body = profile["attributes"]["subscriptions"]
    return found


def marketing(sandbox: Sandbox, email: str = "a@example.com") -> Body:
    found: Body = seen(sandbox, email)["email"]["marketing"]
    return found


def news(sandbox: Sandbox, *members: str, **options: Any) -> None:
    seed = {"id": "NEWS01", "name": "News", "members": list(members)} | options
    assert sandbox.call("POST", "/_sandbox/lists", seed).status_code == 201


# -- subscribing ------------------------------------------------------------------------------------------------------


def test_nobody_is_subscribed_without_having_said_so(sandbox: Sandbox) -> None:
    sandbox.seed(email="a@example.com")
    shown = marketing(sandbox)
    assert (shown["consent"], shown["can_receive_email_marketing"]) == ("NEVER_SUBSCRIBED", True)
    assert (shown["consent_timestamp"], shown["suppression"], shown["list_suppressions"]) == (None, [], [])
    assert seen(sandbox)["sms"] is None


def test_a_new_subscriber_becomes_a_profile_with_consent_time_and_source(sandbox: Sandbox) -> None:
    answer = sandbox.call("POST", SUBSCRIBE, job(person(EMAIL, email="A@example.com"), custom_source="Footer form"))
    assert (answer.status_code, answer.content) == (202, b"")
    shown = marketing(sandbox)
    assert (shown["consent"], shown["consent_timestamp"]) == ("SUBSCRIBED", "2026-11-22T12:00:00+00:00")
    assert (shown["method"], shown["custom_method_detail"], shown["double_optin"]) == ("API", "Footer form", False)
    (change,) = sandbox.state()["changes"]
    assert (change["action"], change["kinds"], change["source"], change["list_id"]) == (
        "subscribed",
        ["email"],
        "Footer form",
        None,
    )


def test_marketing_and_transactional_sms_are_kept_apart(sandbox: Sandbox) -> None:
    both = {"email": {"marketing": YES}, "sms": {"transactional": YES}}
    sandbox.call("POST", SUBSCRIBE, job(person(both, email="a@example.com", phone_number="+12025550123")))
    shown = seen(sandbox)
    assert (shown["sms"]["marketing"]["consent"], shown["sms"]["transactional"]["consent"]) == (
        "NEVER_SUBSCRIBED",
        "SUBSCRIBED",
    )
    assert shown["sms"]["transactional"]["can_receive_sms_transactional"] is True
    sandbox.call("POST", SUBSCRIBE, job(person(SMS, phone_number="+12025550123"), custom_source="Checkout"))
    sms = seen(sandbox)["sms"]["marketing"]
    assert (sms["consent"], sms["can_receive_sms_marketing"], sms["method_detail"]) == ("SUBSCRIBED", True, "Checkout")
    assert len(sandbox.state()["profiles"]) == 1
    assert marketing(sandbox)["consent"] == "SUBSCRIBED"


def test_subscribers_join_the_list(sandbox: Sandbox) -> None:
    news(sandbox)
    people = [person(EMAIL, email=f"{name}@example.com") for name in "ab"]
    sandbox.call("POST", SUBSCRIBE, job(*people, list_id="NEWS01"))
    state = sandbox.state()
    assert [profile["lists"] for profile in state["profiles"]] == [["NEWS01"], ["NEWS01"]]
    assert [change["list_name"] for change in state["changes"]] == ["News", "News"]


@pytest.mark.parametrize(
    ("reason", "left"),
    [("UNSUBSCRIBE", []), ("SPAM_COMPLAINT", []), ("USER_SUPPRESSED", []), ("HARD_BOUNCE", ["HARD_BOUNCE"])],
)
def test_subscribing_lifts_suppressions_but_no_bounce(sandbox: Sandbox, reason: str, left: list[str]) -> None:
    sandbox.seed(email="a@example.com", suppression=reason)
    assert marketing(sandbox)["can_receive_email_marketing"] is False
    sandbox.call("POST", SUBSCRIBE, job(person(EMAIL, email="a@example.com")))
    shown = marketing(sandbox)
    assert [one["reason"] for one in shown["suppression"]] == left
    assert shown["can_receive_email_marketing"] is not left


def test_subscribing_by_sms_leaves_a_withdrawn_email_consent_alone(sandbox: Sandbox) -> None:
    sandbox.seed(email="a@example.com", phone_number="+12025550123", consent="UNSUBSCRIBED")
    sandbox.call("POST", SUBSCRIBE, job(person(SMS, phone_number="+12025550123")))
    shown = seen(sandbox)
    assert shown["sms"]["marketing"]["consent"] == "SUBSCRIBED"
    assert shown["email"]["marketing"]["consent"] == "UNSUBSCRIBED"
    assert shown["email"]["marketing"]["can_receive_email_marketing"] is False


def test_an_old_opt_in_wins_over_a_newer_withdrawal(sandbox: Sandbox) -> None:
    """Klaviyo does not compare: who sends a stale opt-in has subscribed somebody who left."""
    sandbox.seed(email="a@example.com", consent="UNSUBSCRIBED", consent_at=NOW - 60)
    subscribed = {"email": {"marketing": YES | {"consented_at": EARLIER}}}
    sandbox.call("POST", SUBSCRIBE, job(person(subscribed, email="a@example.com"), historical_import=True))
    shown = marketing(sandbox)
    assert (shown["consent"], shown["consent_timestamp"]) == ("SUBSCRIBED", "2026-11-20T10:00:00+00:00")
    assert shown["suppression"] == []


@pytest.mark.parametrize(("historical", "consent"), [(False, "NEVER_SUBSCRIBED"), (True, "SUBSCRIBED")])
def test_double_opt_in_waits_for_a_confirmation_unless_the_consent_is_old(
    sandbox: Sandbox, historical: bool, consent: str
) -> None:
    news(sandbox, opt_in_process="double_opt_in")
    at = {"consented_at": EARLIER} if historical else {}
    body = job(
        person({"email": {"marketing": YES | at}}, email="a@example.com"),
        list_id="NEWS01",
        historical_import=historical,
    )
    assert sandbox.call("POST", SUBSCRIBE, body).status_code == 202
    assert marketing(sandbox)["consent"] == consent
    state = sandbox.state()
    assert state["profiles"][0]["lists"] == (["NEWS01"] if historical else [])
    assert [change["action"] for change in state["changes"]] == ["subscribed" if historical else "confirmation_asked"]


def test_an_id_that_nobody_has_vanishes(sandbox: Sandbox) -> None:
    answer = sandbox.call("POST", SUBSCRIBE, job(person(EMAIL, id="01NOBODY", email="a@example.com")))
    assert answer.status_code == 202
    state = sandbox.state()
    assert (state["profiles"], state["changes"]) == ([], [])
    assert [one["reason"] for one in state["vanished"]] == ["unknown profile"]


def test_an_id_beside_another_address_rewrites_the_address(sandbox: Sandbox) -> None:
    profile = sandbox.seed(email="a@example.com")
    sandbox.call("POST", SUBSCRIBE, job(person(EMAIL, id=profile, email="new@example.com")))
    (only,) = sandbox.state()["profiles"]
    assert (only["id"], only["email"], only["consent"]) == (profile, "new@example.com", "SUBSCRIBED")


def test_a_number_of_somebody_else_is_subscribed_for_them(sandbox: Sandbox) -> None:
    sandbox.seed(email="b@example.com", phone_number="+12025550123")
    people = person(EMAIL | SMS, email="a@example.com", phone_number="+12025550123")
    sandbox.call("POST", SUBSCRIBE, job(people))
    found = {p["email"]: (p["consent"], p["consents"]["sms"]["consent"]) for p in sandbox.state()["profiles"]}
    assert found == {
        "b@example.com": ("NEVER_SUBSCRIBED", "SUBSCRIBED"),
        "a@example.com": ("SUBSCRIBED", "NEVER_SUBSCRIBED"),
    }


# -- what is refused --------------------------------------------------------------------------------------------------

#: a good subscribing job -> a bad one, and where
FAULTS: dict[str, tuple[Callable[[Body], Any], str]] = {
    "nobody": (lambda b: b["profiles"].update(data=[]), PROFILES),
    "1001": (lambda b: b["profiles"].update(data=b["profiles"]["data"] * 1001), PROFILES),
    "no_subscriptions": (lambda b: one(b).pop("subscriptions"), f"{FIRST}/subscriptions"),
    "no_channel": (lambda b: one(b).update(subscriptions={}), f"{FIRST}/subscriptions"),
    "no_kind": (lambda b: one(b).update(subscriptions={"email": {}}), f"{FIRST}/subscriptions"),
    "no_address": (lambda b: one(b).pop("email"), f"{FIRST}/email"),
    "no_number": (lambda b: one(b).update(subscriptions=SMS), f"{FIRST}/phone_number"),
    "bad_address": (lambda b: one(b).update(email="a@@example.com"), f"{FIRST}/email"),
    "bad_number": (lambda b: one(b).update(phone_number="0151 2345678"), f"{FIRST}/phone_number"),
    "external_id": (lambda b: one(b).update(external_id="c1"), f"{FIRST}/external_id"),
    "other_channel": (
        lambda b: one(b)["subscriptions"].update(whatsapp={"marketing": YES}),
        f"{FIRST}/subscriptions/whatsapp",
    ),
    "withdrawal": (
        lambda b: one(b).update(subscriptions={"email": {"marketing": NO}}),
        f"{FIRST}/subscriptions/email/marketing/consent",
    ),
    "list_in_attributes": (lambda b: b.update(list_id="NEWS01"), "/data/attributes/list_id"),
    "time_without_the_flag": (
        lambda b: one(b)["subscriptions"]["email"]["marketing"].update(consented_at=EARLIER),
        f"{FIRST}/subscriptions/email/marketing/consented_at",
    ),
    "the_flag_without_a_time": (
        lambda b: b.update(historical_import=True),
        f"{FIRST}/subscriptions/email/marketing/consented_at",
    ),
}


def one(attributes: Body) -> Body:
    found: Body = attributes["profiles"]["data"][0]["attributes"]
    return found


@pytest.mark.parametrize(("change", "pointer"), FAULTS.values(), ids=FAULTS.keys())
def test_a_bad_subscription_is_refused_with_its_place(
    sandbox: Sandbox, change: Callable[[Body], Any], pointer: str
) -> None:
    body = job(person({"email": {"marketing": dict(YES)}}, email="a@example.com"))
    change(body["data"]["attributes"])
    answer = sandbox.call("POST", SUBSCRIBE, body)
    assert (answer.status_code, pointers(answer)) == (400, [pointer])
    assert (sandbox.state()["profiles"], sandbox.state()["changes"]) == ([], [])


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("2026-11-22T12:00:00Z", "'consented_at' must be in the past."),
        ("2026-11-23T00:00:00Z", "'consented_at' must be in the past."),
        ("yesterday", "Invalid ISO 8601 date and time."),
    ],
)
def test_a_historical_consent_lies_in_the_past(sandbox: Sandbox, text: str, detail: str) -> None:
    subscribed = {"email": {"marketing": YES | {"consented_at": text}}}
    answer = sandbox.call("POST", SUBSCRIBE, job(person(subscribed, email="a@example.com"), historical_import=True))
    assert (answer.status_code, fault(answer)["detail"]) == (400, detail)


def test_every_bad_profile_is_named_and_nobody_is_subscribed(sandbox: Sandbox) -> None:
    people = [person(EMAIL, email="a@example.com"), person(SMS), {"type": "profile"}, person(EMAIL, email="nope")]
    answer = sandbox.call("POST", SUBSCRIBE, job(*people))
    assert set(pointers(answer)) == {
        f"{PROFILES}/1/attributes/phone_number",
        f"{PROFILES}/2/attributes",
        f"{PROFILES}/3/attributes/email",
    }
    assert sandbox.state()["profiles"] == []


@pytest.mark.parametrize(("path", "kind"), [(SUBSCRIBE, "create"), (UNSUBSCRIBE, "delete")])
def test_an_unknown_list_is_not_found_and_nothing_happens(sandbox: Sandbox, path: str, kind: str) -> None:
    consent = EMAIL if kind == "create" else {"email": {"marketing": NO}}
    answer = sandbox.call("POST", path, job(person(consent, email="a@example.com"), kind=kind, list_id="NOBODY"))
    assert (answer.status_code, pointers(answer)) == (404, ["/data/relationships/list/data/id"])
    assert sandbox.state()["profiles"] == []


@pytest.mark.parametrize(
    ("path", "kind", "count", "status"),
    [
        (SUBSCRIBE, "create", 1000, 202),
        (SUBSCRIBE, "create", 1001, 400),
        (UNSUBSCRIBE, "delete", 100, 202),
        (UNSUBSCRIBE, "delete", 101, 400),
    ],
)
def test_a_job_has_its_largest_size(sandbox: Sandbox, path: str, kind: str, count: int, status: int) -> None:
    consent = EMAIL if kind == "create" else {"email": {"marketing": NO}}
    people = [person(consent, email=f"p{number}@example.com") for number in range(count)]
    assert sandbox.call("POST", path, job(*people, kind=kind)).status_code == status
    assert len(sandbox.state()["profiles"]) == (count if status == 202 else 0)


# -- unsubscribing ----------------------------------------------------------------------------------------------------


def test_unsubscribing_suppresses_all_email_from_now_on(sandbox: Sandbox) -> None:
    sandbox.seed(email="a@example.com", phone_number="+12025550123", consent="SUBSCRIBED", sms_consent="SUBSCRIBED")
    answer = sandbox.call(
        "POST", UNSUBSCRIBE, unsubscribing(person({"email": {"marketing": NO}}, email="a@example.com"))
    )
    assert (answer.status_code, answer.content) == (202, b"")
    shown = seen(sandbox)
    now = "2026-11-22T12:00:00+00:00"
    assert shown["email"]["marketing"]["consent"] == "UNSUBSCRIBED"
    assert shown["email"]["marketing"]["suppression"] == [{"reason": "UNSUBSCRIBE", "timestamp": now}]
    assert shown["email"]["marketing"]["can_receive_email_marketing"] is False
    assert shown["sms"]["marketing"]["consent"] == "SUBSCRIBED"


def test_unsubscribing_from_sms_marketing_keeps_transactional_messages(sandbox: Sandbox) -> None:
    both = {"sms": {"marketing": YES, "transactional": YES}}
    sandbox.seed(email="a@example.com", phone_number="+12025550123")
    sandbox.call("POST", SUBSCRIBE, job(person(both, phone_number="+12025550123")))
    sandbox.call("POST", UNSUBSCRIBE, unsubscribing(person({"sms": {"marketing": NO}}, phone_number="+12025550123")))
    sms = seen(sandbox)["sms"]
    assert (sms["marketing"]["consent"], sms["transactional"]["consent"]) == ("UNSUBSCRIBED", "SUBSCRIBED")


def test_unsubscribing_from_a_list_leaves_the_rest_alone(sandbox: Sandbox) -> None:
    sandbox.seed(email="a@example.com", consent="SUBSCRIBED")
    news(sandbox, "a@example.com")
    body = unsubscribing(person({"email": {"marketing": NO}}, email="a@example.com"), list_id="NEWS01")
    sandbox.call("POST", UNSUBSCRIBE, body)
    shown = marketing(sandbox)
    assert (shown["consent"], shown["suppression"], shown["can_receive_email_marketing"]) == ("SUBSCRIBED", [], True)
    assert [(s["list_id"], s["reason"]) for s in shown["list_suppressions"]] == [("NEWS01", "UNSUBSCRIBE")]
    state = sandbox.state()
    assert state["profiles"][0]["lists"] == []
    assert [(c["action"], c["everywhere"]) for c in state["changes"]] == [("unsubscribed", False)]


def test_unsubscribing_from_a_list_somebody_is_not_on_unsubscribes_everywhere(sandbox: Sandbox) -> None:
    sandbox.seed(email="a@example.com", consent="SUBSCRIBED")
    news(sandbox, "b@example.com")
    body = unsubscribing(person({"email": {"marketing": NO}}, email="a@example.com"), list_id="NEWS01")
    assert sandbox.call("POST", UNSUBSCRIBE, body).status_code == 202
    shown = marketing(sandbox)
    assert (shown["consent"], shown["can_receive_email_marketing"]) == ("UNSUBSCRIBED", False)
    state = sandbox.state()
    assert [(c["everywhere"], c["not_on_list"]) for c in state["changes"]] == [(True, True)]
    assert state["requests"][-2]["notes"] == ["unsubscribed everywhere: not on the list"]


def test_subscribing_to_a_list_again_lifts_its_own_suppression(sandbox: Sandbox) -> None:
    news(sandbox, unsubscribed=["a@example.com"])
    assert len(marketing(sandbox)["list_suppressions"]) == 1
    sandbox.call("POST", SUBSCRIBE, job(person(EMAIL, email="a@example.com")))
    assert len(marketing(sandbox)["list_suppressions"]) == 1
    sandbox.call("POST", SUBSCRIBE, job(person(EMAIL, email="a@example.com"), list_id="NEWS01"))
    assert marketing(sandbox)["list_suppressions"] == []


def test_who_unsubscribes_unknown_is_remembered_as_unsubscribed(sandbox: Sandbox) -> None:
    sandbox.call("POST", UNSUBSCRIBE, unsubscribing(person({"email": {"marketing": NO}}, email="a@example.com")))
    assert marketing(sandbox)["consent"] == "UNSUBSCRIBED"


@pytest.mark.parametrize(
    ("someone", "pointer"),
    [
        (person({"email": {"marketing": NO}}, id="01X", email="a@example.com"), f"{PROFILES}/0/id"),
        (person({"email": {"marketing": NO}}), f"{FIRST}/email"),
        (person({"sms": {"marketing": NO}}, email="a@example.com"), f"{FIRST}/phone_number"),
        (person(EMAIL, email="a@example.com"), f"{FIRST}/subscriptions/email/marketing/consent"),
        (
            person({"email": {"marketing": NO | {"consented_at": EARLIER}}}, email="a@example.com"),
            f"{FIRST}/subscriptions/email/marketing/consented_at",
        ),
    ],
    ids=["by_id", "no_address", "no_number", "consent", "time"],
)
def test_a_bad_withdrawal_is_refused_with_its_place(sandbox: Sandbox, someone: Body, pointer: str) -> None:
    answer = sandbox.call("POST", UNSUBSCRIBE, unsubscribing(someone))
    assert (answer.status_code, pointers(answer)) == (400, [pointer])
    assert sandbox.state()["profiles"] == []


# -- seeds ------------------------------------------------------------------------------------------------------------


def test_seeded_consent_has_its_time(sandbox: Sandbox) -> None:
    sandbox.seed(
        email="a@example.com", phone_number="+12025550123", consent="UNSUBSCRIBED", sms_consent="SUBSCRIBED",
        consent_at=NOW - 3600,
    )  # fmt: skip
    shown = seen(sandbox)
    hour_ago = "2026-11-22T11:00:00+00:00"
    assert shown["email"]["marketing"]["suppression"] == [{"reason": "UNSUBSCRIBE", "timestamp": hour_ago}]
    assert (shown["sms"]["marketing"]["consent"], shown["sms"]["marketing"]["consent_timestamp"]) == (
        "SUBSCRIBED",
        hour_ago,
    )


def test_a_consent_klaviyo_does_not_have_is_refused(sandbox: Sandbox) -> None:
    answer = sandbox.call("POST", "/_sandbox/profiles", {"email": "a@example.com", "consent": "MAYBE"})
    assert answer.status_code == 400
    assert sandbox.state()["profiles"] == []


# -- what the relay sends and reads -----------------------------------------------------------------------------------

ADA = Recipient(email="ada@example.com", phone_number="+12025550123")


def told(sandbox: Sandbox) -> Any:
    """What the relay reads of Ada's consent."""
    query = {"filter": 'any(email,["ada@example.com"])', "additional-fields[profile]": "subscriptions"}
    return standing(profiles_found(sandbox.call("GET", "/api/profiles", params=query).json()).values(), ADA)


def test_the_relay_subscribes_reads_and_unsubscribes(sandbox: Sandbox) -> None:
    news(sandbox)
    opt_in = SubscriptionChange(
        channels=("email", "sms"), consented_at=NOW - 86400, list_id="NEWS01", source="Footer form", historical=True
    )
    assert may_subscribe(told(sandbox), opt_in)
    assert sandbox.call("POST", SUBSCRIBE, subscribe_body([(ADA, opt_in)]).body).status_code == 202
    ada = told(sandbox)
    assert {name: channel.consent for name, channel in ada.channels.items()} == {
        "email": "SUBSCRIBED",
        "sms": "SUBSCRIBED",
    }
    lists = lists_of(sandbox.call("GET", f"/api/profiles/{ada.klaviyo_id}", params={"include": "lists"}).json())
    leave = SubscriptionChange(channels=("email",), consented_at=NOW, list_id="NEWS01")
    assert (lists, may_unsubscribe(lists, leave)) == ({"NEWS01"}, True)
    assert sandbox.call("POST", UNSUBSCRIBE, unsubscribe_body([(ADA, leave)]).body).status_code == 202
    ada = told(sandbox)
    assert (ada.left_lists, ada.channels["email"].withdrawn_at) == ({"NEWS01": NOW}, None)
    assert not may_subscribe(ada, opt_in)
    assert not may_unsubscribe(set(), leave)


@pytest.mark.parametrize(("seconds", "allowed"), [(-60, False), (60, True)])
def test_the_relay_sees_who_has_left_since(sandbox: Sandbox, seconds: float, allowed: bool) -> None:
    sandbox.seed(email="ada@example.com", consent="UNSUBSCRIBED", consent_at=NOW - 3600)
    opt_in = SubscriptionChange(channels=("email",), consented_at=NOW - 3600 + seconds)
    assert may_subscribe(told(sandbox), opt_in) is allowed


def test_the_relay_puts_profiles_on_a_list(sandbox: Sandbox) -> None:
    news(sandbox)
    profile = sandbox.seed(email="ada@example.com")
    assert sandbox.call("POST", "/api/lists/NEWS01/relationships/profiles", add_body([profile])).status_code == 204
    shown = sandbox.call("GET", f"/api/profiles/{profile}", params={"include": "lists", "fields[list]": "id"})
    assert lists_of(shown.json()) == {"NEWS01"}
