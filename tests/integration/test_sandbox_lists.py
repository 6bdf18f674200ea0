"""The sandbox's lists over HTTP, in process: reading, making, joining, leaving; and what Klaviyo refuses."""

from collections.abc import Iterator
from typing import Any

import pytest

from relay.demo.sandbox import ALL_SCOPES
from tests.integration.sandbox_calls import Body, Sandbox, fault, pointers

MEMBERS = "/api/lists/NEWS01/relationships/profiles"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    sandbox.call("POST", "/_sandbox/lists", {"id": "NEWS01", "name": "News", "members": ["a@example.com"]})
    yield sandbox
    sandbox.close()


def members(*ids: str) -> Body:
    return {"data": [{"type": "profile", "id": one} for one in ids]}


def list_body(**attributes: Any) -> Body:
    return {"data": {"type": "list", "attributes": attributes}}


def on_list(sandbox: Sandbox, list_id: str = "NEWS01") -> list[str]:
    """Addresses of who is on a list."""
    people = {profile["id"]: profile["email"] for profile in sandbox.state()["profiles"]}
    (one,) = [one for one in sandbox.state()["lists"] if one["id"] == list_id]
    return [people[member] for member in one["members"]]


def test_a_seeded_list_has_its_members_and_makes_those_it_does_not_know(sandbox: Sandbox) -> None:
    known = sandbox.seed(email="b@example.com")
    made = sandbox.call(
        "POST", "/_sandbox/lists", {"id": "VIP001", "name": "VIP", "members": [known, "c@example.com"]}
    ).json()
    assert (made["id"], made["members"][0]) == ("VIP001", known)
    assert on_list(sandbox, "VIP001") == ["b@example.com", "c@example.com"]
    profiles = {profile["email"]: profile["lists"] for profile in sandbox.state()["profiles"]}
    assert profiles == {"a@example.com": ["NEWS01"], "b@example.com": ["VIP001"], "c@example.com": ["VIP001"]}


@pytest.mark.parametrize(
    ("seed", "pointer"),
    [
        ({"id": "X", "name": "X", "members": ["01NOBODY"]}, "/members/0"),
        ({"id": "X", "name": "X", "members": ["a@@example.com"]}, "/members/0"),
        ({"id": "X", "name": "X", "opt_in_process": "none"}, "/data"),
    ],
    ids=["unknown_id", "bad_address", "bad_opt_in"],
)
def test_a_list_that_cannot_be_seeded_is_refused(sandbox: Sandbox, seed: Body, pointer: str) -> None:
    answer = sandbox.call("POST", "/_sandbox/lists", seed)
    assert (answer.status_code, pointers(answer)) == (400, [pointer])
    assert [one["id"] for one in sandbox.state()["lists"]] == ["NEWS01"]


# -- reading and making -----------------------------------------------------------------------------------------------


def test_lists_are_found_by_name(sandbox: Sandbox) -> None:
    sandbox.call("POST", "/_sandbox/lists", {"id": "VIP001", "name": "VIP"})
    found = sandbox.call("GET", "/api/lists", params={"filter": "any(name,['News','Sale'])"}).json()
    assert [(one["id"], one["attributes"]["name"]) for one in found["data"]] == [("NEWS01", "News")]
    assert found["data"][0]["attributes"]["opt_in_process"] == "single_opt_in"


def test_lists_come_ten_a_page(sandbox: Sandbox) -> None:
    for number in range(11):
        sandbox.call("POST", "/api/lists", list_body(name=f"L{number:02}"))
    answer = sandbox.call("GET", "/api/lists", params={"sort": "name", "fields[list]": "name"}).json()
    names = [one["attributes"] for one in answer["data"]]
    assert len(names) == 10
    answer = sandbox.call("GET", answer["links"]["next"]).json()
    names += [one["attributes"] for one in answer["data"]]
    assert names == [{"name": f"L{number:02}"} for number in range(11)] + [{"name": "News"}]
    assert answer["links"]["next"] is None
    assert sandbox.call("GET", "/api/lists", params={"page[size]": "11"}).status_code == 400


def test_one_list_is_read_with_the_number_of_its_members(sandbox: Sandbox) -> None:
    plain = sandbox.call("GET", "/api/lists/NEWS01").json()["data"]
    assert "profile_count" not in plain["attributes"]
    counted = sandbox.call("GET", "/api/lists/NEWS01", params={"additional-fields[list]": "profile_count"}).json()
    assert counted["data"]["attributes"]["profile_count"] == 1
    assert sandbox.call("GET", "/api/lists/NOBODY").status_code == 404


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"filter": 'equals(name,"News")'}, "filter"),
        ({"filter": "less-than(created,2026-01-01T00:00:00Z)"}, "filter"),
        ({"fields[list]": "members"}, "fields[list]"),
        ({"sort": "opt_in_process"}, "sort"),
        ({"include": "profiles"}, "include"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_query_lists_do_not_have_is_refused(sandbox: Sandbox, query: dict[str, str], parameter: str) -> None:
    answer = sandbox.call("GET", "/api/lists", params=query)
    assert (answer.status_code, fault(answer)["source"]) == (400, {"parameter": parameter})


@pytest.mark.parametrize(("sent", "made"), [({}, "single_opt_in"), ({"opt_in_process": "double_opt_in"},) * 2])
def test_a_list_is_made_with_its_opt_in_process(sandbox: Sandbox, sent: Body, made: Any) -> None:
    answer = sandbox.call("POST", "/api/lists", list_body(name="Sale", **sent))
    assert answer.status_code == 201
    shown = answer.json()["data"]
    assert len(shown["id"]) == 6
    expected = made if isinstance(made, str) else made["opt_in_process"]
    assert (shown["attributes"]["name"], shown["attributes"]["opt_in_process"]) == ("Sale", expected)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (list_body(), "/data/attributes/name"),
        (list_body(name=" "), "/data/attributes/name"),
        (list_body(name="Sale", opt_in_process="triple"), "/data/attributes/opt_in_process"),
        (list_body(name="Sale", members=[]), "/data/attributes/members"),
    ],
    ids=["no_name", "blank_name", "unknown_opt_in", "unknown_field"],
)
def test_an_impossible_list_is_refused(sandbox: Sandbox, body: Body, pointer: str) -> None:
    answer = sandbox.call("POST", "/api/lists", body)
    assert (answer.status_code, pointers(answer)) == (400, [pointer])
    assert [one["id"] for one in sandbox.state()["lists"]] == ["NEWS01"]


# -- joining and leaving ----------------------------------------------------------------------------------------------


def test_profiles_join_a_list_once_and_consent_stays(sandbox: Sandbox) -> None:
    new = sandbox.seed(email="b@example.com", consent="UNSUBSCRIBED")
    for _ in range(2):
        answer = sandbox.call("POST", MEMBERS, members(new))
        assert (answer.status_code, answer.content) == (204, b"")
    assert on_list(sandbox) == ["a@example.com", "b@example.com"]
    state = sandbox.state()
    assert [(c["action"], c["list_name"], c["profile"]["email"]) for c in state["changes"]] == [
        ("added", "News", "b@example.com")
    ]
    assert [p["consent"] for p in state["profiles"]] == ["NEVER_SUBSCRIBED", "UNSUBSCRIBED"]


def test_profiles_leave_a_list_and_consent_stays(sandbox: Sandbox) -> None:
    profile = sandbox.seed(email="a@example.com", consent="SUBSCRIBED")
    stranger = sandbox.seed(email="b@example.com")
    answer = sandbox.call("DELETE", MEMBERS, members(profile, stranger))
    assert (answer.status_code, answer.content) == (204, b"")
    assert on_list(sandbox) == []
    state = sandbox.state()
    assert [(c["action"], c["profile"]["email"]) for c in state["changes"]] == [("removed", "a@example.com")]
    assert state["profiles"][0]["consent"] == "SUBSCRIBED"
    assert state["profiles"][0]["consents"]["suppressions"] == []


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_unknown_profiles_are_all_named_and_nobody_moves(sandbox: Sandbox, method: str) -> None:
    known = sandbox.seed(email="a@example.com")
    other = sandbox.seed(email="b@example.com")
    answer = sandbox.call(method, MEMBERS, members(known, "01NOBODY", other, "01NEITHER"))
    assert (answer.status_code, pointers(answer)) == (404, ["/data/1/id", "/data/3/id"])
    assert on_list(sandbox) == ["a@example.com"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("body", "found"),
    [
        pytest.param(members(), ["/data"], id="nobody"),
        pytest.param({"data": [{"type": "profile"}, {"id": "1"}]}, ["/data/0/id", "/data/1/type"], id="half"),
        pytest.param({"data": [{"type": "list", "id": "1"}]}, ["/data/0/type"], id="wrong_type"),
        pytest.param({"data": {"type": "profile", "id": "1"}}, ["/data"], id="one_without_array"),
        pytest.param(members(*map(str, range(1001))), ["/data"], id="1001"),
    ],
)
def test_an_impossible_membership_is_refused(sandbox: Sandbox, method: str, body: Body, found: list[str]) -> None:
    answer = sandbox.call(method, MEMBERS, body)
    assert (answer.status_code, pointers(answer)) == (400, found)
    assert on_list(sandbox) == ["a@example.com"]


def test_a_thousand_profiles_join_at_once(sandbox: Sandbox) -> None:
    ids = [sandbox.seed(email=f"p{number}@example.com") for number in range(1000)]
    assert sandbox.call("POST", MEMBERS, members(*ids)).status_code == 204
    assert len(on_list(sandbox)) == 1001


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_an_unknown_list_is_not_found(sandbox: Sandbox, method: str) -> None:
    profile = sandbox.seed(email="a@example.com")
    answer = sandbox.call(method, "/api/lists/NOBODY/relationships/profiles", members(profile))
    assert (answer.status_code, fault(answer)["code"]) == (404, "not_found")


# -- the gate ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "missing"),
    [
        ("GET", "/api/lists", "lists:read"),
        ("POST", "/api/lists", "lists:write"),
        ("POST", MEMBERS, "lists:write"),
        ("DELETE", MEMBERS, "profiles:write"),
        ("GET", "/api/profiles/01X?include=lists", "lists:read"),
        ("POST", "/api/profile-subscription-bulk-create-jobs", "subscriptions:write"),
        ("POST", "/api/profile-subscription-bulk-delete-jobs", "lists:write"),
    ],
)
def test_each_operation_needs_its_scope(sandbox: Sandbox, method: str, path: str, missing: str) -> None:
    sandbox.call("POST", "/_sandbox/scopes", {"scopes": sorted(ALL_SCOPES - {missing})})
    answer = sandbox.call(method, path, {})
    assert answer.status_code == 403
    assert missing in fault(answer)["detail"]


def test_leaving_a_list_needs_a_media_type(sandbox: Sandbox) -> None:
    headers = {"authorization": "Klaviyo-API-Key pk_demo", "revision": "2026-10-15"}
    assert sandbox.call("DELETE", MEMBERS, members("1"), headers=headers).status_code == 415


def test_the_lists_of_a_profile_come_with_it_where_they_are_asked_for(sandbox: Sandbox) -> None:
    profile = sandbox.seed(email="a@example.com")
    sandbox.call("POST", "/_sandbox/lists", {"id": "VIP001", "name": "VIP", "members": [profile]})
    path = f"/api/profiles/{profile}"
    answer = sandbox.call("GET", path, params={"include": "lists", "fields[list]": "name"}).json()
    linked = answer["data"]["relationships"]["lists"]["data"]
    assert linked == [{"type": "list", "id": "NEWS01"}, {"type": "list", "id": "VIP001"}]
    assert [one["attributes"] for one in answer["included"]] == [{"name": "News"}, {"name": "VIP"}]
    plain = sandbox.call("GET", path).json()
    assert "included" not in plain
    assert "data" not in plain["data"]["relationships"]["lists"]
    refused = sandbox.call("GET", path, params={"include": "segments"})
    assert (refused.status_code, fault(refused)["source"]) == (400, {"parameter": "include"})


def test_profiles_with_their_lists_have_limits_of_their_own(sandbox: Sandbox) -> None:
    path = f"/api/profiles/{sandbox.seed(email='a@example.com')}"
    sandbox.call("POST", "/_sandbox/limits", {"enabled": True})
    asked = [sandbox.call("GET", path, params={"include": "lists"}) for _ in range(2)]
    assert [answer.status_code for answer in asked] == [200, 429]
    assert asked[0].headers["ratelimit-limit"] == "15"
    assert {sandbox.call("GET", path).status_code for _ in range(5)} == {200}


def test_only_150_lists_are_made_a_day(sandbox: Sandbox) -> None:
    sandbox.call("POST", "/_sandbox/limits", {"enabled": True})
    answers = []
    for number in range(151):
        sandbox.now += 1
        answers.append(sandbox.call("POST", "/api/lists", list_body(name=f"L{number}")))
    assert [answer.status_code for answer in answers] == [201] * 150 + [429]
    assert int(answers[-1].headers["retry-after"]) > 3600
