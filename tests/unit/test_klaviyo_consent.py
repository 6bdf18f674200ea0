"""What Klaviyo tells of a person's consent, and which opt-ins still count after a withdrawal."""

import math
from typing import Any

import pytest

from relay.klaviyo.consent import Channel, Subscriber, fresh_channels, may_subscribe, profiles_found, standing
from relay.model import Recipient, SubscriptionChange

NOON = 1_795_348_800.0  # 2026-11-22T12:00:00Z
AT_NOON = "2026-11-22T12:00:00+00:00"
EARLIER, LATER = "2026-11-20T12:00:00+00:00", "2026-11-22T12:30:00+00:00"


def answer(email: Any = None, sms: Any = None, **attributes: Any) -> dict[str, Any]:
    """An answer of ``GET /api/profiles`` about one profile."""
    subscriptions = {"email": email and {"marketing": email}, "sms": sms and {"marketing": sms, "transactional": None}}
    told = {"email": "ada@shop.example", "phone_number": None, "subscriptions": subscriptions} | attributes
    return {"data": [{"type": "profile", "id": "01KADA", "attributes": told, "links": {}}], "links": {"next": None}}


def read(document: Any) -> Subscriber:
    return profiles_found(document)["01KADA"]


def suppressed(reason: str, at: str | None = AT_NOON) -> dict[str, Any]:
    return {"consent": "SUBSCRIBED", "suppression": [{"reason": reason, "timestamp": at}]}


# -- reading ----------------------------------------------------------------------------------------------------------


def test_profiles_are_found_by_their_id() -> None:
    document = answer(phone_number="+442071234567")
    document["data"].append({"type": "profile", "id": "01KBOB", "attributes": {}})
    found = profiles_found(document)
    assert list(found) == ["01KADA", "01KBOB"]
    assert (found["01KADA"].email, found["01KADA"].phone_number) == ("ada@shop.example", "+442071234567")
    assert (found["01KBOB"].email, found["01KBOB"].channels) == (None, {})
    assert profiles_found({"data": []}) == {}


@pytest.mark.parametrize(
    "document",
    [None, {}, {"errors": []}, {"data": {}}, {"data": [{"id": "1"}]}, {"data": [{"attributes": {}}]}, {"data": None}],
)
def test_anything_else_is_no_answer_rather_than_nobody(document: Any) -> None:
    with pytest.raises(ValueError, match="none about profiles"):
        profiles_found(document)


def test_a_bad_answer_is_told_without_what_stood_in_it() -> None:
    with pytest.raises(ValueError, match="profiles") as caught:
        profiles_found({"data": [{"id": "1", "attributes": {"email": {"secret": "ada@shop.example"}}}]})
    assert "ada@" not in str(caught.value)
    assert caught.value.__cause__ is None


EMAIL: dict[str, tuple[Any, str, float | None]] = {
    "nothing_told": (None, "NEVER_SUBSCRIBED", None),
    "never_asked": ({"consent": "NEVER_SUBSCRIBED", "suppression": []}, "NEVER_SUBSCRIBED", None),
    "subscribed": ({"consent": "SUBSCRIBED", "consent_timestamp": AT_NOON}, "SUBSCRIBED", None),
    "unsubscribed": (
        {"consent": "UNSUBSCRIBED", "suppression": [{"reason": "UNSUBSCRIBE", "timestamp": AT_NOON}],
         "consent_timestamp": EARLIER, "last_updated": LATER},
        "UNSUBSCRIBED", NOON,
    ),
    "unsubscribed_without_suppression": (
        {"consent": "UNSUBSCRIBED", "consent_timestamp": EARLIER, "last_updated": AT_NOON}, "UNSUBSCRIBED", NOON,
    ),
    "unsubscribed_at_no_time": ({"consent": "UNSUBSCRIBED"}, "UNSUBSCRIBED", math.inf),
    "unsubscribed_at_an_odd_time": ({"consent": "UNSUBSCRIBED", "last_updated": "soon"}, "UNSUBSCRIBED", math.inf),
    "suppressed_by_the_shop": (suppressed("USER_SUPPRESSED"), "SUBSCRIBED", NOON),
    "complained": (suppressed("SPAM_COMPLAINT"), "SUBSCRIBED", NOON),
    "suppressed_for_a_new_reason": (suppressed("SOMETHING_NEW"), "SUBSCRIBED", NOON),
    "suppressed_at_no_time": (suppressed("UNSUBSCRIBE", None), "SUBSCRIBED", math.inf),
    "bounced": (suppressed("HARD_BOUNCE"), "SUBSCRIBED", None),
    "invalid": (suppressed("INVALID_EMAIL"), "SUBSCRIBED", None),
    "time_without_zone": (suppressed("UNSUBSCRIBE", "2026-11-22T12:00:00.000000"), "SUBSCRIBED", NOON),
    "several_suppressions": (
        {"consent": "UNSUBSCRIBED", "suppression": [
            {"reason": "UNSUBSCRIBE", "timestamp": EARLIER}, {"reason": "SPAM_COMPLAINT", "timestamp": AT_NOON},
            {"reason": "HARD_BOUNCE", "timestamp": LATER},
        ]},
        "UNSUBSCRIBED", NOON,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("marketing", "consent", "withdrawn_at"), EMAIL.values(), ids=EMAIL)
def test_consent_to_email_is_read(marketing: Any, consent: str, withdrawn_at: float | None) -> None:
    assert read(answer(marketing)).channels["email"] == Channel(consent, withdrawn_at)


@pytest.mark.parametrize(
    ("marketing", "expected"),
    [
        (None, Channel()),
        ({"consent": "SUBSCRIBED", "consent_timestamp": AT_NOON}, Channel("SUBSCRIBED")),
        (
            {"consent": "UNSUBSCRIBED", "consent_timestamp": EARLIER, "last_updated": AT_NOON},
            Channel("UNSUBSCRIBED", NOON),
        ),
    ],
    ids=["no_number", "subscribed", "unsubscribed"],
)
def test_consent_to_sms_is_read_for_marketing_alone(marketing: Any, expected: Channel) -> None:
    document = answer(sms=marketing)
    if marketing:
        document["data"][0]["attributes"]["subscriptions"]["sms"]["transactional"] = {"consent": "UNSUBSCRIBED"}
    assert read(document).channels["sms"] == expected


def test_lists_somebody_left_are_read_with_the_last_time() -> None:
    left = [
        {"list_id": "NEWS01", "reason": "UNSUBSCRIBE", "timestamp": AT_NOON},
        {"list_id": "NEWS01", "reason": "USER_SUPPRESSED", "timestamp": EARLIER},
        {"list_id": "VIP001", "reason": "UNSUBSCRIBE", "timestamp": None},
    ]
    found = read(answer({"consent": "SUBSCRIBED", "list_suppressions": left}))
    assert found.left_lists == {"NEWS01": NOON, "VIP001": math.inf}
    assert found.channels["email"].withdrawn_at is None


def test_consent_that_was_not_asked_for_is_not_told() -> None:
    assert read(answer(subscriptions=None)).channels == {}


# -- whether an opt-in counts -----------------------------------------------------------------------------------------


def optin(at: float, *channels: str, list_id: str | None = None, historical: bool = False) -> SubscriptionChange:
    return SubscriptionChange(channels=channels or ("email",), consented_at=at, list_id=list_id, historical=historical)


def state(email: float | None = None, sms: float | None = None, **left_lists: float) -> Subscriber:
    channels = {"email": Channel(withdrawn_at=email), "sms": Channel(withdrawn_at=sms)}
    return Subscriber(klaviyo_id="01KADA", channels=channels, left_lists=left_lists)


CASES: dict[str, tuple[Subscriber | None, SubscriptionChange, tuple[str, ...]]] = {
    "nobody": (None, optin(NOON), ("email",)),
    "nothing_withdrawn": (state(), optin(NOON - 10**8), ("email",)),
    "fresh": (state(email=NOON), optin(NOON + 1), ("email",)),
    "stale": (state(email=NOON), optin(NOON - 1), ()),
    "the_same_moment": (state(email=NOON), optin(NOON), ()),
    "the_same_second": (state(email=NOON), optin(NOON + 0.9), ()),
    "just_after": (state(email=NOON + 0.4), optin(NOON + 1.1), ("email",)),
    "at_a_time_nobody_knows": (state(email=math.inf), optin(NOON + 10**9), ()),
    "old_but_historical": (state(email=NOON), optin(NOON - 86400, historical=True), ()),
    "new_and_historical": (state(email=NOON), optin(NOON + 60, historical=True), ("email",)),
    "other_channel": (state(sms=NOON), optin(NOON - 1), ("email",)),
    "one_of_two": (state(sms=NOON), optin(NOON - 1, "email", "sms"), ("email",)),
    "two_of_two": (state(email=NOON, sms=NOON), optin(NOON + 1, "email", "sms"), ("email", "sms")),
    "left_this_list": (state(NEWS01=NOON), optin(NOON - 1, list_id="NEWS01"), ()),
    "back_to_this_list": (state(NEWS01=NOON), optin(NOON + 1, list_id="NEWS01"), ("email",)),
    "left_another_list": (state(VIP001=NOON), optin(NOON - 1, list_id="NEWS01"), ("email",)),
    "sms_of_a_list_left_by_email": (state(NEWS01=NOON), optin(NOON - 1, "sms", list_id="NEWS01"), ("sms",)),
    "not_told": (Subscriber(klaviyo_id="01KADA"), optin(NOON), ()),
}


@pytest.mark.parametrize(("told", "change", "fresh"), CASES.values(), ids=CASES)
def test_only_an_opt_in_after_the_withdrawal_counts(
    told: Subscriber | None, change: SubscriptionChange, fresh: tuple[str, ...]
) -> None:
    assert fresh_channels(told, change) == fresh
    assert may_subscribe(told, change) is (fresh == change.channels)


# -- whose consent ----------------------------------------------------------------------------------------------------

ADA = Subscriber(
    klaviyo_id="01KADA", email="Ada@shop.example", phone_number="+442071111111",
    channels={"email": Channel("UNSUBSCRIBED", NOON), "sms": Channel("UNSUBSCRIBED", NOON)},
    left_lists={"NEWS01": NOON},
)  # fmt: skip
BOB = Subscriber(
    klaviyo_id="01KBOB", email="bob@shop.example", phone_number="+442072222222",
    channels={"email": Channel(), "sms": Channel("SUBSCRIBED")},
)  # fmt: skip


@pytest.mark.parametrize(
    ("recipient", "email", "sms"),
    [
        (Recipient(email="ada@shop.example", phone_number="+442071111111"), NOON, NOON),
        (Recipient(email="ada@shop.example", phone_number="+442072222222"), NOON, None),
        (Recipient(email="bob@shop.example", phone_number="+442071111111"), None, NOON),
        (Recipient(email="ada@shop.example", phone_number="+442079999999"), NOON, None),
        (Recipient(email="new@shop.example", phone_number="+442071111111"), None, NOON),
        (Recipient(klaviyo_id="01KADA", email="second@shop.example"), NOON, NOON),
    ],
    ids=["one_profile", "two", "two_turned", "new_number", "new_address", "second_address"],
)
def test_each_address_stands_as_its_own_profile_does(
    recipient: Recipient, email: float | None, sms: float | None
) -> None:
    told = standing([ADA, BOB], recipient)
    assert told is not None
    assert (told.channels["email"].withdrawn_at, told.channels["sms"].withdrawn_at) == (email, sms)
    assert (told.left_lists != {}) is (email == NOON)


@pytest.mark.parametrize(
    "recipient", [Recipient(email="new@shop.example"), Recipient(external_id="7"), Recipient(klaviyo_id="01KNEW")]
)
def test_a_new_address_has_withdrawn_nothing(recipient: Recipient) -> None:
    assert standing([ADA, BOB], recipient) is None
    assert standing([], recipient) is None


def test_consent_that_was_not_asked_for_lets_nobody_be_subscribed() -> None:
    told = standing([Subscriber(klaviyo_id="01KADA", email="ada@shop.example")], Recipient(email="ada@shop.example"))
    assert not may_subscribe(told, optin(NOON))
