"""Lists: bodies before Klaviyo's official client, and what is read from its answers."""

import importlib
from typing import Any

import pytest

from relay.klaviyo.lists import MAX_MEMBERS, add_body, lists_of, pointed, remove_body
from tests.unit.judge import judged

#: The client builds this module lazily, so that type checkers see none of its names.
models: Any = importlib.import_module("openapi_client.models")


@pytest.mark.parametrize("count", [1, MAX_MEMBERS])
def test_the_official_client_takes_both_bodies_whole(count: int) -> None:
    ids = [f"01K{number}" for number in range(count)]
    judged(models.ListMembersAddQuery, add_body(ids))
    judged(models.ListMembersDeleteQuery, remove_body(ids))
    assert [one["id"] for one in add_body(ids)["data"]] == ids


def test_the_judge_notices_a_member_that_the_client_does_not_know() -> None:
    body = add_body(["a"])
    body["data"][0]["nickname"] = "Enchantress"
    with pytest.raises(AssertionError):
        judged(models.ListMembersAddQuery, body)


def test_each_profile_is_named_once() -> None:
    assert add_body(["b", "a", "b"]) == {"data": [{"type": "profile", "id": "b"}, {"type": "profile", "id": "a"}]}


@pytest.mark.parametrize("build", [add_body, remove_body])
@pytest.mark.parametrize("count", [0, MAX_MEMBERS + 1])
def test_a_call_names_between_one_and_a_thousand_profiles(build: Any, count: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 1000 profiles"):
        build([str(number) for number in range(count)])


@pytest.mark.parametrize(
    ("pointers", "expected"),
    [
        (["/data/1/id"], {"b"}),
        (["/data/0", "/data/2/id"], {"a", "c"}),
        (["/data", "/data/", "/data/9/id", "/data/attributes/1"], set()),
        ([], set()),
    ],
)
def test_pointers_name_the_profiles_klaviyo_does_not_have(pointers: list[str], expected: set[str]) -> None:
    assert pointed(add_body(["a", "b", "c"]), pointers) == expected


LIST = {"type": "list", "id": "NEWS01"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"data": {"relationships": {"lists": {"data": [LIST]}}}}, {"NEWS01"}),
        ({"data": {"relationships": {"lists": {"data": []}}}}, set()),
        ({"data": {"relationships": {"lists": {"links": {}}}}, "included": [LIST]}, {"NEWS01"}),
        ({"data": {}, "included": [LIST, {"type": "segment", "id": "SEG001"}]}, {"NEWS01"}),
        ({"data": {}, "included": []}, set()),
        (
            {"data": {"relationships": {"lists": {"data": [LIST]}}}, "included": [{"type": "list", "id": "VIP001"}]},
            {"NEWS01", "VIP001"},
        ),
    ],
    ids=["linked", "linked_to_none", "included", "others_included", "none_included", "both"],
)
def test_the_lists_of_a_profile_are_read(document: Any, expected: set[str]) -> None:
    assert lists_of(document) == expected


@pytest.mark.parametrize(
    "document",
    [
        {"data": {"relationships": {"lists": {"links": {}}}}},
        {"data": {}},
        {"data": []},
        {"errors": []},
        {"data": {"relationships": None}},
        {"data": {}, "included": [{"id": "NEWS01"}]},
        None,
        "text",
    ],
    ids=["no_lists_asked_for", "nothing", "many", "refusal", "null", "no_type", "none", "text"],
)
def test_an_answer_that_does_not_tell_is_no_answer(document: Any) -> None:
    with pytest.raises(ValueError, match="the answer"):
        lists_of(document)
