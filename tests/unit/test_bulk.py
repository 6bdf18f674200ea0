"""Many events in one body: Klaviyo's caps, one profile's events together, and whom an error points at."""

from typing import Any

import msgspec
import pytest

from relay.klaviyo.bulk import MAX_BYTES, MAX_EVENTS, Bulk, bulk


def event(unique_id: str, email: str = "ann@mail.com", metric: str = "Viewed Product", **properties: Any) -> Any:
    attributes = {
        "properties": properties,
        "unique_id": unique_id,
        "metric": {"data": {"type": "metric", "attributes": {"name": metric}}},
        "profile": {"data": {"type": "profile", "attributes": {"email": email}}},
    }
    return {"data": {"type": "event", "attributes": attributes}}


def read(job: Bulk) -> list[tuple[str, list[str]]]:
    """Whose events the body holds, and which."""
    attributes = msgspec.json.decode(msgspec.json.encode(job.body))["data"]["attributes"]
    return [
        (
            group["attributes"]["profile"]["data"]["attributes"]["email"],
            [each["attributes"]["unique_id"] for each in group["attributes"]["events"]["data"]],
        )
        for group in attributes["events-bulk-create"]["data"]
    ]


def test_one_persons_events_stand_together_in_their_order() -> None:
    job = bulk([event("1"), event("2", "bob@mail.com"), event("3"), event("4", "bob@mail.com")])
    assert read(job) == [("ann@mail.com", ["1", "3"]), ("bob@mail.com", ["2", "4"])]
    assert job.places == ((0, 0), (1, 0), (0, 1), (1, 1))


def test_an_event_inside_does_not_name_its_profile_again() -> None:
    body = event("1")
    (group,) = bulk([body]).body["data"]["attributes"]["events-bulk-create"]["data"]
    (inside,) = group["attributes"]["events"]["data"]
    assert set(msgspec.json.decode(inside)["attributes"]) == {"properties", "unique_id", "metric"}
    assert "profile" in body["data"]["attributes"], "what was given is left as it was"


def test_a_repeat_waits_for_the_next_call() -> None:
    job = bulk([event("1"), event("1"), event("1", "bob@mail.com"), event("1", metric="Added to Cart")])
    assert job.places == ((0, 0), None, (1, 0), (0, 1))


def test_no_call_holds_more_events_than_klaviyo_takes() -> None:
    job = bulk([event(str(n)) for n in range(MAX_EVENTS + 2)])
    assert [place for place in job.places if place is None] == [None, None]
    assert len(read(job)[0][1]) == MAX_EVENTS


@pytest.mark.parametrize("emails", ["one", "many"])
def test_no_call_is_larger_than_klaviyo_takes(emails: str) -> None:
    job = bulk([event(str(n), f"{n if emails == 'many' else 0}@mail.com", text="x" * 90_000) for n in range(60)])
    size = len(msgspec.json.encode(job.body))
    assert MAX_BYTES - 100_000 < size <= MAX_BYTES
    assert job.places.count(None) == 60 - sum(len(ids) for _, ids in read(job))
    assert job.too_large == frozenset()


def test_an_event_too_large_for_any_call_is_named() -> None:
    job = bulk([event("1"), event("2", **{str(n): "x" * 99_000 for n in range(50)}), event("3")])
    assert job.too_large == {1}
    assert read(job) == [("ann@mail.com", ["1", "3"])]


@pytest.mark.parametrize(
    ("pointer", "named"),
    [
        ("/data/attributes/events-bulk-create/data/0/attributes/events/data/1/attributes/time", {2}),
        ("/data/attributes/events-bulk-create/data/1/attributes/events/data/0", {1}),
        ("/data/attributes/events-bulk-create/data/0/attributes/profile/data/attributes/email", {0, 2}),
        ("/data/attributes/events-bulk-create/data/0/attributes/events/data/10/attributes/time", set()),
        ("/data/attributes/events-bulk-create", set()),
        ("/data", set()),
        ("", set()),
        ("what?", set()),
    ],
)
def test_a_pointer_names_its_events(pointer: str, named: set[int]) -> None:
    job = bulk([event("1"), event("2", "bob@mail.com"), event("3")])
    assert job.pointed([pointer]) == named


def test_several_pointers_name_all_of_theirs() -> None:
    job = bulk([event(str(n)) for n in range(5)])
    at = "/data/attributes/events-bulk-create/data/0/attributes/events/data/{}/attributes/time"
    assert job.pointed([at.format(1), at.format(3)]) == {1, 3}
