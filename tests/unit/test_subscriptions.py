"""Subscriptions: bodies before Klaviyo's official client, who goes into which call, and whom nothing reaches."""

import importlib
from typing import Any

import pytest

from relay.klaviyo.subscriptions import (
    MAX_SUBSCRIBED,
    MAX_UNSUBSCRIBED,
    Wish,
    may_unsubscribe,
    subscribe_body,
    unsubscribe_body,
)
from relay.model import Reason, Recipient, SubscriptionChange
from tests.unit.judge import judged

#: The client builds this module lazily, so that type checkers see none of its names.
models: Any = importlib.import_module("openapi_client.models")

SAID = 1_767_323_045.9  # 2026-01-02T03:04:05.9Z
ADA = Recipient(klaviyo_id="01KADA", email="ada@shop.example", phone_number="+442071234567", external_id="7")


def change(*channels: str, **fields: Any) -> SubscriptionChange:
    return SubscriptionChange(channels=channels or ("email",), consented_at=SAID, **fields)


def person(number: int) -> Recipient:
    return Recipient(email=f"p{number}@shop.example")


def people(body: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The profiles of a call."""
    assert body is not None
    found: list[dict[str, Any]] = body["data"]["attributes"]["profiles"]["data"]
    return found


@pytest.mark.parametrize("list_id", [None, "NEWS01"])
@pytest.mark.parametrize("source", [None, "Footer form"])
@pytest.mark.parametrize("historical", [False, True])
@pytest.mark.parametrize("channels", [("email",), ("sms",), ("email", "sms")], ids="+".join)
def test_the_official_client_takes_every_body_whole(
    channels: tuple[str, ...], historical: bool, source: str | None, list_id: str | None
) -> None:
    wishes: list[Wish] = [(ADA, change(*channels, historical=historical, source=source, list_id=list_id))]
    subscribing, unsubscribing = subscribe_body(wishes).body, unsubscribe_body(wishes).body
    assert subscribing is not None
    assert unsubscribing is not None
    judged(models.SubscriptionCreateJobCreateQuery, subscribing)
    judged(models.SubscriptionDeleteJobCreateQuery, unsubscribing)


def test_a_subscription_is_marketing_alone_with_its_source_and_list() -> None:
    job = subscribe_body([(ADA, change("email", "sms", source="Footer form", list_id="NEWS01"))])
    yes = {"marketing": {"consent": "SUBSCRIBED"}}
    attributes = {
        "email": "ada@shop.example",
        "phone_number": "+442071234567",
        "subscriptions": {"email": yes, "sms": yes},
    }
    assert job.body == {
        "data": {
            "type": "profile-subscription-bulk-create-job",
            "attributes": {
                "profiles": {"data": [{"type": "profile", "attributes": attributes}]},
                "custom_source": "Footer form",
            },
            "relationships": {"list": {"data": {"type": "list", "id": "NEWS01"}}},
        }
    }


def test_the_time_of_consent_is_told_for_what_was_said_long_ago_only() -> None:
    (old,) = people(subscribe_body([(ADA, change(historical=True))]).body)
    (new,) = people(subscribe_body([(ADA, change())]).body)
    at = {"consent": "SUBSCRIBED", "consented_at": "2026-01-02T03:04:05Z"}
    assert old["attributes"]["subscriptions"] == {"email": {"marketing": at}}
    assert new["attributes"]["subscriptions"] == {"email": {"marketing": {"consent": "SUBSCRIBED"}}}


def test_a_withdrawal_has_neither_source_nor_time() -> None:
    job = unsubscribe_body([(ADA, change("sms", source="Footer form", historical=True))])
    assert job.body is not None
    assert job.body["data"]["attributes"].keys() == {"profiles"}
    (one,) = people(job.body)
    assert one == {
        "type": "profile",
        "attributes": {
            "phone_number": "+442071234567",
            "subscriptions": {"sms": {"marketing": {"consent": "UNSUBSCRIBED"}}},
        },
    }


@pytest.mark.parametrize("build", [subscribe_body, unsubscribe_body])
@pytest.mark.parametrize(
    ("channels", "recipient", "sent"),
    [
        (("email", "sms"), ADA, {"email", "phone_number"}),
        (("email",), ADA, {"email"}),
        (("sms",), ADA, {"phone_number"}),
        (("email", "sms"), Recipient(email="a@shop.example"), {"email"}),
        (("email", "sms"), Recipient(phone_number="+442071234567"), {"phone_number"}),
    ],
    ids=["both", "email_asked_for", "sms_asked_for", "email_known", "number_known"],
)
def test_a_channel_goes_with_its_own_address_and_nothing_else_is_named(
    build: Any, channels: tuple[str, ...], recipient: Recipient, sent: set[str]
) -> None:
    (one,) = people(build([(recipient, change(*channels))]).body)
    assert one.keys() == {"type", "attributes"}
    assert one["attributes"].keys() == sent | {"subscriptions"}
    fields = {"email": "email", "sms": "phone_number"}
    assert {fields[channel] for channel in one["attributes"]["subscriptions"]} == sent


@pytest.mark.parametrize("build", [subscribe_body, unsubscribe_body])
@pytest.mark.parametrize(
    ("channels", "recipient"),
    [
        (("email",), Recipient(klaviyo_id="01KADA", external_id="7")),
        (("email",), Recipient(phone_number="+442071234567")),
        (("sms",), Recipient(email="a@shop.example")),
        (("email", "sms"), Recipient(kx="abc.DEMO42")),
        (("push",), ADA),
    ],
    ids=["no_address", "a_number_for_email", "an_address_for_sms", "link", "other_channel"],
)
def test_whom_no_channel_reaches_is_left_out_with_the_reason(
    build: Any, channels: tuple[str, ...], recipient: Recipient
) -> None:
    alone = build([(recipient, change(*channels))])
    assert (alone.body, alone.places, alone.left_out) == (None, (None,), {0: Reason.UNSENDABLE})
    between = build([(recipient, change(*channels)), (person(1), change())])
    assert (between.places, between.left_out) == ((None, 0), {0: Reason.UNSENDABLE})
    assert [one["attributes"]["email"] for one in people(between.body)] == ["p1@shop.example"]


@pytest.mark.parametrize(("build", "most"), [(subscribe_body, MAX_SUBSCRIBED), (unsubscribe_body, MAX_UNSUBSCRIBED)])
def test_a_full_call_leaves_the_rest_for_the_next(build: Any, most: int) -> None:
    job = build([(person(number), change()) for number in range(most + 2)])
    assert len(people(job.body)) == most
    assert job.places == (*range(most), None, None)
    assert job.left_out == {}


@pytest.mark.parametrize(
    ("second", "together"),
    [
        (change(), True),
        (change("email", "sms"), True),
        (change(list_id="NEWS01"), False),
        (change(source="Checkout"), False),
        (change(historical=True), False),
    ],
    ids=["same", "other_channels", "other_list", "other_source", "long_ago"],
)
def test_a_call_subscribes_in_one_way_only(second: SubscriptionChange, together: bool) -> None:
    job = subscribe_body([(person(1), change()), (person(2), second), (person(3), change())])
    assert job.places == ((0, 1, 2) if together else (0, None, 1))


def test_a_call_unsubscribes_from_one_list_only() -> None:
    changes = [
        change(list_id="NEWS01"),
        change(source="Checkout", list_id="NEWS01"),
        change(),
        change(list_id="VIP001"),
    ]
    job = unsubscribe_body([(person(number), one) for number, one in enumerate(changes)])
    assert job.places == (0, 1, None, None)


@pytest.mark.parametrize("build", [subscribe_body, unsubscribe_body])
def test_an_address_is_named_once_in_a_call(build: Any) -> None:
    shared = Recipient(email="other@shop.example", phone_number=ADA.phone_number)
    job = build([(ADA, change("email", "sms")), (ADA, change()), (shared, change("sms")), (shared, change("email"))])
    assert job.places == (0, None, None, 1)


@pytest.mark.parametrize("build", [subscribe_body, unsubscribe_body])
def test_nothing_asked_for_is_no_call(build: Any) -> None:
    job = build([])
    assert (job.body, job.places, job.left_out) == (None, (), {})


@pytest.mark.parametrize(
    ("pointers", "expected"),
    [
        (["/data/attributes/profiles/data/1/attributes/email"], {2}),
        (["/data/attributes/profiles/data/0", "/data/attributes/profiles/data/1/id"], {0, 2}),
        (["/data", "/data/attributes/profiles/data", "/data/relationships/list/data/id"], set()),
        (["/data/attributes/profiles/data/11/attributes/email"], set()),
    ],
    ids=["one", "two", "nobody", "beyond"],
)
def test_pointers_name_changes(pointers: list[str], expected: set[int]) -> None:
    nobody = Recipient(external_id="7")
    job = subscribe_body([(person(0), change()), (nobody, change()), (person(2), change())])
    assert job.pointed(pointers) == expected


@pytest.mark.parametrize(
    ("list_id", "lists", "allowed"),
    [
        (None, set(), True),
        ("NEWS01", {"NEWS01", "VIP001"}, True),
        ("NEWS01", {"VIP001"}, False),
        ("NEWS01", set(), False),
    ],
)
def test_only_members_are_unsubscribed_from_a_list(list_id: str | None, lists: set[str], allowed: bool) -> None:
    assert may_unsubscribe(lists, change(list_id=list_id)) is allowed
