"""The sandbox over HTTP, in process: each slip of a body, header or query is answered as Klaviyo answers it."""

import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from relay.demo.sandbox import ALL_SCOPES, build_sandbox
from tests.integration.sandbox_calls import HEADERS, Body, Sandbox, fault, pointers

ATTRIBUTES = "/data/attributes"
PROFILE = f"{ATTRIBUTES}/profile/data"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()


def event_body() -> Body:
    return {
        "data": {
            "type": "event",
            "attributes": {
                "properties": {"ProductName": "Mug"},
                "time": "2026-11-22T11:59:00Z",
                "value": 12.5,
                "value_currency": "EUR",
                "unique_id": "m1:added_to_cart",
                "metric": {"data": {"type": "metric", "attributes": {"name": "Added to Cart - Backup Flow"}}},
                "profile": {"data": {"type": "profile", "attributes": {"email": "a@example.com"}}},
            },
        }
    }


def bulk_body(*unique_ids: str) -> Body:
    events = []
    for unique_id in unique_ids:
        attributes = event_body()["data"]["attributes"] | {"unique_id": unique_id}
        del attributes["profile"]
        events.append({"type": "event", "attributes": attributes})
    profile = {"data": {"type": "profile", "attributes": {"email": "a@example.com"}}}
    group = {"type": "event-bulk-create", "attributes": {"profile": profile, "events": {"data": events}}}
    return {"data": {"type": "event-bulk-create-job", "attributes": {"events-bulk-create": {"data": [group]}}}}


def profile_body(**attributes: Any) -> Body:
    return {"data": {"type": "profile", "attributes": attributes}}


def deletion_body(attributes: Body, **resource: Any) -> Body:
    profile = {"data": {"type": "profile", "attributes": attributes} | resource}
    return {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": profile}}}


def nested(levels: int) -> Any:
    return "leaf" if levels == 0 else {"in": nested(levels - 1)}


#: change to a good event body -> pointer of the fault
EVENT_FAULTS: dict[str, tuple[Callable[[Body], Any], str]] = {
    "no_data": (lambda b: b.clear(), "/data"),
    "unknown_top_field": (lambda b: b.update(meta={}), "/meta"),
    "wrong_type": (lambda b: b["data"].update(type="events"), "/data/type"),
    "unknown_attribute": (lambda b: attributes(b).update(uniqueId="x"), f"{ATTRIBUTES}/uniqueId"),
    "no_properties": (lambda b: attributes(b).pop("properties"), f"{ATTRIBUTES}/properties"),
    "null_properties": (lambda b: attributes(b).update(properties=None), f"{ATTRIBUTES}/properties"),
    "no_metric": (lambda b: attributes(b).pop("metric"), f"{ATTRIBUTES}/metric"),
    "bare_metric_name": (lambda b: attributes(b).update(metric="Added"), f"{ATTRIBUTES}/metric"),
    "empty_metric_name": (lambda b: metric(b).update(name=""), f"{ATTRIBUTES}/metric/data/attributes/name"),
    "blank_metric_name": (lambda b: metric(b).update(name=" "), f"{ATTRIBUTES}/metric/data/attributes/name"),
    "metric_name_of_128": (lambda b: metric(b).update(name="x" * 128), f"{ATTRIBUTES}/metric/data/attributes/name"),
    "no_profile": (lambda b: attributes(b).pop("profile"), f"{ATTRIBUTES}/profile"),
    "profile_without_box": (
        lambda b: attributes(b).update(profile={"email": "a@example.com"}),
        f"{ATTRIBUTES}/profile/email",
    ),
    "nobody": (lambda b: person(b).clear(), f"{PROFILE}/attributes"),
    "unknown_profile_field": (lambda b: person(b).update(firstName="A"), f"{PROFILE}/attributes/firstName"),
    "meta_in_its_old_place": (lambda b: person(b).update(meta={}), f"{PROFILE}/attributes/meta"),
    "bad_email": (lambda b: person(b).update(email="a@@example.com"), f"{PROFILE}/attributes/email"),
    "email_without_domain": (lambda b: person(b).update(email="a@localhost"), f"{PROFILE}/attributes/email"),
    "national_phone": (lambda b: person(b).update(phone_number="0151 2345678"), f"{PROFILE}/attributes/phone_number"),
    "phone_with_spaces": (
        lambda b: person(b).update(phone_number="+49 151 12345678"),
        f"{PROFILE}/attributes/phone_number",
    ),
    "phone_too_short": (lambda b: person(b).update(phone_number="+4915"), f"{PROFILE}/attributes/phone_number"),
    "external_id_of_65": (lambda b: person(b).update(external_id="x" * 65), f"{PROFILE}/attributes/external_id"),
    "number_as_external_id": (lambda b: person(b).update(external_id=7), f"{PROFILE}/attributes/external_id"),
    "unknown_place": (
        lambda b: person(b).update(location={"postcode": "1"}),
        f"{PROFILE}/attributes/location/postcode",
    ),
    "empty_profile_id": (lambda b: attributes(b)["profile"]["data"].update(id=""), f"{PROFILE}/id"),
    "date_without_time": (lambda b: attributes(b).update(time="2026-11-22"), f"{ATTRIBUTES}/time"),
    "seconds_as_time": (lambda b: attributes(b).update(time=1795000000), f"{ATTRIBUTES}/time"),
    "impossible_time": (lambda b: attributes(b).update(time="2026-02-30T00:00:00Z"), f"{ATTRIBUTES}/time"),
    "time_before_1990": (lambda b: attributes(b).update(time="1989-12-31T23:59:59Z"), f"{ATTRIBUTES}/time"),
    "time_in_two_years": (lambda b: attributes(b).update(time="2028-11-22T00:00:00Z"), f"{ATTRIBUTES}/time"),
    "value_as_text": (lambda b: attributes(b).update(value="12.50"), f"{ATTRIBUTES}/value"),
    "value_as_bool": (lambda b: attributes(b).update(value=True), f"{ATTRIBUTES}/value"),
    "lower_case_currency": (lambda b: attributes(b).update(value_currency="eur"), f"{ATTRIBUTES}/value_currency"),
    "currency_sign": (lambda b: attributes(b).update(value_currency="€"), f"{ATTRIBUTES}/value_currency"),
    "invented_currency": (lambda b: attributes(b).update(value_currency="XQZ"), f"{ATTRIBUTES}/value_currency"),
    "number_as_unique_id": (lambda b: attributes(b).update(unique_id=1), f"{ATTRIBUTES}/unique_id"),
    "empty_unique_id": (lambda b: attributes(b).update(unique_id=""), f"{ATTRIBUTES}/unique_id"),
    "backfill_as_text": (lambda b: attributes(b).update(backfill="true"), f"{ATTRIBUTES}/backfill"),
    "401_properties": (
        lambda b: attributes(b).update(properties={f"p{i}": i for i in range(401)}),
        f"{ATTRIBUTES}/properties",
    ),
    "long_string": (
        lambda b: attributes(b).update(properties={"a/b": "x" * 100_001}),
        f"{ATTRIBUTES}/properties/a~1b",
    ),
    "long_array": (
        lambda b: attributes(b).update(properties={"Items": [0] * 4001}),
        f"{ATTRIBUTES}/properties/Items",
    ),
    "eleven_levels": (
        lambda b: attributes(b).update(properties=nested(11)),
        f"{ATTRIBUTES}/properties" + "/in" * 10,
    ),
}


def attributes(body: Body) -> Body:
    found: Body = body["data"]["attributes"]
    return found


def metric(body: Body) -> Body:
    found: Body = attributes(body)["metric"]["data"]["attributes"]
    return found


def person(body: Body) -> Body:
    found: Body = attributes(body)["profile"]["data"]["attributes"]
    return found


# -- events ---------------------------------------------------------------------------------------------------


def test_a_good_event_is_answered_202_without_a_body(sandbox: Sandbox) -> None:
    answer = sandbox.call("POST", "/api/events", event_body())
    assert (answer.status_code, answer.content) == (202, b"")
    (event,) = sandbox.state()["events"]
    assert event["metric"] == "Added to Cart - Backup Flow"
    assert event["profile"]["email"] == "a@example.com"
    assert (event["value"], event["value_currency"], event["unique_id"]) == (12.5, "EUR", "m1:added_to_cart")
    assert (event["via"], event["backfill"], event["triggers_flows"]) == ("server", False, True)


@pytest.mark.parametrize(("change", "pointer"), EVENT_FAULTS.values(), ids=EVENT_FAULTS.keys())
@pytest.mark.parametrize("path", ["/api/events", "/client/events?company_id=DEMO42"])
def test_a_bad_event_is_refused_with_its_place(
    sandbox: Sandbox, path: str, change: Callable[[Body], Any], pointer: str
) -> None:
    body = event_body()
    change(body)
    headers = HEADERS if path.startswith("/api") else HEADERS | {"content-type": "application/json"}
    if not path.startswith("/api"):
        headers = {name: value for name, value in headers.items() if name != "authorization"}
    answer = sandbox.call("POST", path, body, headers=headers)
    error = fault(answer)
    assert (answer.status_code, error["code"], error["source"]) == (400, "invalid", {"pointer": pointer})
    state = sandbox.state()
    assert (state["events"], state["profiles"]) == ([], [])
    assert state["refused"][0]["pointers"] == [pointer]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda b: attributes(b).update(properties={}), id="no_properties_to_tell"),
        pytest.param(lambda b: attributes(b).update(properties=nested(10)), id="ten_levels"),
        pytest.param(lambda b: attributes(b).update(properties={f"p{i}": 0 for i in range(400)}), id="400_properties"),
        pytest.param(lambda b: metric(b).update(name="x" * 127), id="metric_name_of_127"),
        pytest.param(lambda b: attributes(b).update(value=None, value_currency=None, time=None), id="nulls"),
        pytest.param(lambda b: attributes(b).update(time="2027-11-01T00:00:00+02:00"), id="time_ahead"),
        pytest.param(lambda b: person(b).update(_kx="x" * 43 + ".DEMO42"), id="exchange_id"),
        pytest.param(lambda b: person(b).update(email="jörg+a@exämple.com"), id="international_email"),
        pytest.param(lambda b: person(b).update(phone_number="+4915112345678"), id="phone"),
        pytest.param(lambda b: person(b).update(location={"latitude": "52.5", "longitude": 13}), id="coordinates"),
    ],
)
def test_what_klaviyo_takes_is_taken(sandbox: Sandbox, change: Callable[[Body], Any]) -> None:
    body = event_body()
    change(body)
    assert sandbox.call("POST", "/api/events", body).status_code == 202


def test_several_faults_are_all_named(sandbox: Sandbox) -> None:
    body = event_body()
    attributes(body).update(value_currency="eur", time="yesterday")
    person(body).update(email="nope")
    errors = sandbox.call("POST", "/api/events", body).json()["errors"]
    assert [e["source"]["pointer"] for e in errors] == [
        f"{ATTRIBUTES}/time",
        f"{ATTRIBUTES}/value_currency",
        f"{PROFILE}/attributes/email",
    ]


NO_JSON = {
    "empty": b"",
    "cut_off": b'{"data": {"type": "event"',
    "not_a_number": b'{"data": NaN}',
    "not_utf8": b"\xff\xfe",
    "bottomless": b'{"data": {"type": "event", "attributes": {"properties": {"a": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("raw", NO_JSON.values(), ids=NO_JSON.keys())
def test_a_body_that_is_no_json_is_refused(sandbox: Sandbox, raw: bytes) -> None:
    answer = sandbox.call("POST", "/api/events", raw)
    assert (answer.status_code, fault(answer)["detail"]) == (400, "Invalid JSON body.")


def test_a_body_over_five_megabytes_is_refused(sandbox: Sandbox) -> None:
    body = event_body()
    attributes(body)["properties"] = {f"p{i}": "x" * 99_000 for i in range(51)}
    assert sandbox.call("POST", "/api/events", body).status_code == 413


@pytest.mark.parametrize(("revision", "status"), [("2026-07-15", 400), ("2026-10-15", 202)])
def test_profile_meta_sits_beside_attributes_since_october(sandbox: Sandbox, revision: str, status: int) -> None:
    body = event_body()
    attributes(body)["profile"]["data"]["meta"] = {"patch_properties": {"append": {"skus": "1"}}}
    answer = sandbox.call("POST", "/api/events", body, headers=HEADERS | {"revision": revision})
    assert answer.status_code == status


def test_a_repeat_is_answered_202_and_logged(sandbox: Sandbox) -> None:
    for _ in range(3):
        assert sandbox.call("POST", "/api/events", event_body()).status_code == 202
    state = sandbox.state()
    assert [e["deduplicated_repeats"] for e in state["events"]] == [2]
    assert [r["notes"] for r in state["requests"]] == [[], ["deduplicated"], ["deduplicated"]]


def test_an_unknown_exchange_id_is_answered_202_and_logged(sandbox: Sandbox) -> None:
    body = event_body()
    attributes(body)["profile"]["data"]["attributes"] = {"_kx": "x" * 43 + ".DEMO42"}
    assert sandbox.call("POST", "/api/events", body).status_code == 202
    state = sandbox.state()
    assert (state["events"], state["profiles"]) == ([], [])
    assert state["requests"][0]["notes"] == ["unknown _kx"]


# -- bulk -----------------------------------------------------------------------------------------------------


def test_a_bulk_call_records_all_its_events(sandbox: Sandbox) -> None:
    assert sandbox.call("POST", "/api/event-bulk-create-jobs", bulk_body("1", "2")).status_code == 202
    assert [e["unique_id"] for e in sandbox.state()["events"]] == ["1", "2"]


def test_backfill_of_a_group_holds_for_its_events(sandbox: Sandbox) -> None:
    body = bulk_body("1")
    body["data"]["attributes"]["events-bulk-create"]["data"][0]["attributes"]["backfill"] = True
    sandbox.call("POST", "/api/event-bulk-create-jobs", body)
    assert [e["triggers_flows"] for e in sandbox.state()["events"]] == [False]


@pytest.mark.parametrize("earlier", [True, False], ids=["known_from_before", "twice_in_the_call"])
def test_a_repeated_unique_id_fails_the_whole_bulk_call(sandbox: Sandbox, earlier: bool) -> None:
    if earlier:
        sandbox.call("POST", "/api/event-bulk-create-jobs", bulk_body("2"))
    known = len(sandbox.state()["events"])
    answer = sandbox.call("POST", "/api/event-bulk-create-jobs", bulk_body("1", "2" if earlier else "1"))
    assert answer.status_code == 400
    assert fault(answer)["source"]["pointer"].endswith("/data/1/attributes/unique_id")
    assert len(sandbox.state()["events"]) == known


def test_one_bad_event_fails_the_whole_bulk_call(sandbox: Sandbox) -> None:
    body = bulk_body("1", "2")
    group = body["data"]["attributes"]["events-bulk-create"]["data"][0]["attributes"]
    group["events"]["data"][1]["attributes"]["value_currency"] = "eur"
    answer = sandbox.call("POST", "/api/event-bulk-create-jobs", body)
    where = "/data/attributes/events-bulk-create/data/0/attributes/events/data/1/attributes/value_currency"
    assert (answer.status_code, fault(answer)["source"]["pointer"]) == (400, where)
    assert sandbox.state()["events"] == []


def test_every_bad_event_of_a_bulk_call_is_named(sandbox: Sandbox) -> None:
    body = bulk_body("1", "2", "3", "4")
    first = body["data"]["attributes"]["events-bulk-create"]["data"][0]
    second = copy.deepcopy(first)
    body["data"]["attributes"]["events-bulk-create"]["data"] = [first, second, copy.deepcopy(first)]
    events = first["attributes"]["events"]["data"]
    events[0]["attributes"]["value"] = "12.50"
    events[1]["attributes"]["value_currency"] = "eur"
    events[3]["attributes"]["metric"] = "Added"
    second["attributes"]["profile"]["data"]["attributes"]["email"] = "nope"
    body["data"]["attributes"]["events-bulk-create"]["data"][2]["attributes"]["events"] = "none"
    answer = sandbox.call("POST", "/api/event-bulk-create-jobs", body)
    groups = "/data/attributes/events-bulk-create/data"
    assert answer.status_code == 400
    assert set(pointers(answer)) == {
        f"{groups}/0/attributes/events/data/0/attributes/value",
        f"{groups}/0/attributes/events/data/1/attributes/value_currency",
        f"{groups}/0/attributes/events/data/3/attributes/metric",
        f"{groups}/1/attributes/profile/data/attributes/email",
        f"{groups}/2/attributes/events",
    }
    assert sandbox.state()["events"] == []


def test_every_repeat_in_a_bulk_call_is_named(sandbox: Sandbox) -> None:
    sandbox.call("POST", "/api/event-bulk-create-jobs", bulk_body("old"))
    answer = sandbox.call("POST", "/api/event-bulk-create-jobs", bulk_body("old", "new", "twice", "twice"))
    events = "/data/attributes/events-bulk-create/data/0/attributes/events/data"
    assert pointers(answer) == [f"{events}/0/attributes/unique_id", f"{events}/3/attributes/unique_id"]
    assert {e["code"] for e in answer.json()["errors"]} == {"duplicate"}
    assert len(sandbox.state()["events"]) == 1


@pytest.mark.parametrize(("count", "status"), [(0, 400), (1000, 202), (1001, 400)])
def test_a_bulk_call_has_between_1_and_1000_events(sandbox: Sandbox, count: int, status: int) -> None:
    body = bulk_body(*map(str, range(count)))
    assert sandbox.call("POST", "/api/event-bulk-create-jobs", body).status_code == status


def test_an_event_in_a_bulk_call_has_no_profile_of_its_own(sandbox: Sandbox) -> None:
    body = bulk_body("1")
    group = body["data"]["attributes"]["events-bulk-create"]["data"][0]["attributes"]
    group["events"]["data"][0]["attributes"]["profile"] = group["profile"]
    assert sandbox.call("POST", "/api/event-bulk-create-jobs", body).status_code == 400


# -- profiles -------------------------------------------------------------------------------------------------


def test_profile_import_answers_201_then_200_with_the_whole_profile(sandbox: Sandbox) -> None:
    first = sandbox.call("POST", "/api/profile-import", profile_body(email="A@example.com", first_name="Ann"))
    second = sandbox.call("POST", "/api/profile-import", profile_body(email="a@example.com", last_name="Lee"))
    assert (first.status_code, second.status_code) == (201, 200)
    shown = second.json()["data"]
    assert (shown["type"], shown["id"]) == ("profile", first.json()["data"]["id"])
    assert (shown["attributes"]["first_name"], shown["attributes"]["last_name"]) == ("Ann", "Lee")
    assert not {"_kx", "anonymous_id"} & set(shown["attributes"])


def test_profile_import_has_no_anonymous_id(sandbox: Sandbox) -> None:
    answer = sandbox.call("POST", "/api/profile-import", profile_body(email="a@example.com", anonymous_id="x"))
    assert (answer.status_code, fault(answer)["source"]) == (400, {"pointer": f"{ATTRIBUTES}/anonymous_id"})


def test_identifiers_of_two_profiles_are_answered_409_with_the_other_ones_id(sandbox: Sandbox) -> None:
    sandbox.call("POST", "/api/profile-import", profile_body(email="a@example.com"))
    other = sandbox.call("POST", "/api/profile-import", profile_body(phone_number="+12025550123")).json()["data"]["id"]
    both = profile_body(email="a@example.com", phone_number="+12025550123")
    answer = sandbox.call("POST", "/api/profile-import", both)
    error = fault(answer)
    assert (answer.status_code, error["code"]) == (409, "duplicate_profile")
    assert error["meta"] == {"duplicate_profile_id": other}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(profile_body(first_name="Ann"), 400, id="nobody"),
        pytest.param(profile_body(_kx="x" * 43 + ".DEMO42"), 400, id="only_an_unknown_exchange_id"),
        pytest.param({"data": {"type": "profile", "id": "01XYZ", "attributes": {}}}, 404, id="unknown_id"),
        pytest.param(profile_body(email="a@example.com", properties={"x": "y" * 99_999}), 413, id="over_100_kb"),
    ],
)
def test_an_impossible_profile_import_is_refused(sandbox: Sandbox, body: Body, status: int) -> None:
    assert sandbox.call("POST", "/api/profile-import", body).status_code == status
    assert sandbox.state()["profiles"] == []


def test_arrays_of_a_profile_are_patched_with_simple_values(sandbox: Sandbox) -> None:
    sandbox.call("POST", "/api/profile-import", profile_body(email="a@example.com", properties={"skus": ["1"]}))
    body = profile_body(email="a@example.com")
    body["data"]["meta"] = {"patch_properties": {"append": {"skus": ["2", 3]}, "unappend": {"skus": "1"}}}
    answer = sandbox.call("POST", "/api/profile-import", body)
    assert (answer.status_code, answer.json()["data"]["attributes"]["properties"]) == (200, {"skus": ["2", 3]})
    body["data"]["meta"] = {"patch_properties": {"append": {"skus": {"id": 4}}}}
    refused = sandbox.call("POST", "/api/profile-import", body)
    assert (refused.status_code, pointers(refused)) == (400, ["/data/meta/patch_properties/append/skus"])


def test_an_exchange_id_is_looked_up(sandbox: Sandbox) -> None:
    seeded = sandbox.call("POST", "/_sandbox/profiles", {"email": "a@example.com"}).json()
    found = sandbox.call("GET", "/api/profiles", params={"filter": f'equals(_kx,"{seeded["_kx"]}")'}).json()
    nobody = sandbox.call("GET", "/api/profiles", params={"filter": f'equals(_kx,"{"y" * 43}.DEMO42")'}).json()
    assert [p["id"] for p in found["data"]] == [seeded["id"]]
    assert nobody["data"] == []
    assert [(x["field"], x["found"]) for x in sandbox.state()["lookups"]] == [("_kx", 1), ("_kx", 0)]


def test_several_people_are_found_at_once_by_address_or_id(sandbox: Sandbox) -> None:
    ids = {name: sandbox.seed(email=f"{name}@example.com") for name in "abcd"}
    emails = 'any(email,["A@example.com","nobody@example.com","c@example.com"])'
    by_email = sandbox.call("GET", "/api/profiles", params={"filter": emails}).json()["data"]
    by_id = sandbox.call("GET", "/api/profiles", params={"filter": f'any(id,["{ids["b"]}","01NOBODY"])'}).json()["data"]
    assert {p["id"] for p in by_email} == {ids["a"], ids["c"]}
    assert [p["id"] for p in by_id] == [ids["b"]]


def test_a_quote_in_a_filter_value_cannot_widen_the_selection(sandbox: Sandbox) -> None:
    for name in ("a", "b"):
        sandbox.call("POST", "/_sandbox/profiles", {"email": f"{name}@example.com"})
    evil = 'x"),any(email,["a@example.com","b@example.com"]'
    escaped = evil.replace('"', '\\"')
    quoted = sandbox.call("GET", "/api/profiles", params={"filter": f'equals(external_id,"{escaped}")'})
    assert (quoted.status_code, quoted.json()["data"]) == (200, [])
    broken = sandbox.call("GET", "/api/profiles", params={"filter": 'equals(email,"a@example.com" or "1"="1")'})
    assert (broken.status_code, fault(broken)["source"]) == (400, {"parameter": "filter"})


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"filter": 'equals(first_name,"a")'}, "filter"),
        ({"page[size]": "101"}, "page[size]"),
        ({"page[size]": "0"}, "page[size]"),
        ({"page[size]": "ten"}, "page[size]"),
        ({"page[cursor]": "nonsense"}, "page[cursor]"),
        ({"fields[profile]": "email,shoe_size"}, "fields[profile]"),
        ({"sort": "first_name"}, "sort"),
        ({"email": "a@example.com"}, "email"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_query_klaviyo_lacks_is_refused(sandbox: Sandbox, query: dict[str, str], parameter: str) -> None:
    answer = sandbox.call("GET", "/api/profiles", params=query)
    assert (answer.status_code, fault(answer)["source"]) == (400, {"parameter": parameter})


def test_pages_follow_the_cursor_of_the_next_link(sandbox: Sandbox) -> None:
    for number in range(5):
        sandbox.call("POST", "/_sandbox/profiles", {"email": f"p{number}@example.com"})
    query = {"page[size]": "2", "sort": "email", "fields[profile]": "email"}
    answer = sandbox.call("GET", "/api/profiles", params=query).json()
    seen = [p["attributes"] for p in answer["data"]]
    while following := answer["links"]["next"]:
        answer = sandbox.call("GET", following).json()
        seen += [p["attributes"] for p in answer["data"]]
    assert seen == [{"email": f"p{number}@example.com"} for number in range(5)]


def test_one_profile_is_read_with_its_consent(sandbox: Sandbox) -> None:
    seed = {"email": "a@example.com", "consent": "UNSUBSCRIBED"}
    profile_id = sandbox.call("POST", "/_sandbox/profiles", seed).json()["id"]
    query = {"additional-fields[profile]": "subscriptions", "fields[profile]": "subscriptions,location.city"}
    shown = sandbox.call("GET", f"/api/profiles/{profile_id}", params=query).json()["data"]["attributes"]
    assert shown["location"] == {"city": None}
    marketing = shown["subscriptions"]["email"]["marketing"]
    assert (marketing["consent"], marketing["can_receive_email_marketing"]) == ("UNSUBSCRIBED", False)
    assert sandbox.call("GET", "/api/profiles/01NOBODY").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(deletion_body({"email": "a@example.com"}), 202, id="by_email"),
        pytest.param(deletion_body({"phone_number": "+12025550123"}), 202, id="somebody_unknown"),
        pytest.param(deletion_body({}), 400, id="nobody"),
        pytest.param(deletion_body({"email": "a@example.com"}, id="01ABC"), 400, id="two_identifiers"),
        pytest.param(deletion_body({"external_id": "c1"}), 400, id="external_id"),
        pytest.param(deletion_body({"email": "nope"}), 400, id="bad_email"),
    ],
)
def test_a_deletion_names_exactly_one_identifier(sandbox: Sandbox, body: Body, status: int) -> None:
    sandbox.call("POST", "/api/events", event_body())
    assert sandbox.call("POST", "/api/data-privacy-deletion-jobs", body).status_code == status
    gone = status == 202 and "email" in json.dumps(body)
    assert (sandbox.state()["events"] == []) is gone


def test_the_account_tells_its_public_key(sandbox: Sandbox) -> None:
    (account,) = sandbox.call("GET", "/api/accounts").json()["data"]
    assert (account["id"], account["attributes"]["public_api_key"]) == ("DEMO42", "DEMO42")


def test_a_metric_exists_once_its_first_event_came(sandbox: Sandbox) -> None:
    assert sandbox.call("GET", "/api/metrics").json()["data"] == []
    sandbox.call("POST", "/api/events", event_body())
    (metric,) = sandbox.call("GET", "/api/metrics").json()["data"]
    assert metric["attributes"]["name"] == "Added to Cart - Backup Flow"
    assert len(metric["id"]) == 6


# -- the gate -------------------------------------------------------------------------------------------------


def without(*names: str, **others: str) -> dict[str, str]:
    return {name: value for name, value in (HEADERS | others).items() if name not in names}


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        pytest.param(without("authorization"), 401, "not_authenticated", id="no_key"),
        pytest.param(without(authorization="Bearer pk_demo"), 401, "not_authenticated", id="bearer"),
        pytest.param(without(authorization="Klaviyo-API-Key pk_other"), 401, "authentication_failed", id="other_key"),
        pytest.param(without("revision"), 400, "invalid", id="no_revision"),
        pytest.param(without(revision="2026-01-15"), 400, "invalid", id="revision_before_backfill"),
        pytest.param(without(revision="2026-10-16"), 400, "invalid", id="unknown_revision"),
        pytest.param(without(revision="15.10.2026"), 400, "invalid", id="misspelled_revision"),
        pytest.param(without("content-type"), 415, "unsupported_media_type", id="no_media_type"),
        pytest.param(without(**{"content-type": "text/plain"}), 415, "unsupported_media_type", id="text"),
    ],
)
def test_headers_are_checked(sandbox: Sandbox, headers: dict[str, str], status: int, code: str) -> None:
    answer = sandbox.call("POST", "/api/events", event_body(), headers=headers)
    assert (answer.status_code, fault(answer)["code"]) == (status, code)
    assert sandbox.state()["events"] == []


def test_plain_json_is_a_media_type_too(sandbox: Sandbox) -> None:
    headers = HEADERS | {"content-type": "application/json; charset=utf-8"}
    assert sandbox.call("POST", "/api/events", event_body(), headers=headers).status_code == 202


def test_a_missing_scope_is_named(sandbox: Sandbox) -> None:
    scopes = sorted(ALL_SCOPES - {"events:write"})
    sandbox.call("POST", "/_sandbox/scopes", {"scopes": scopes})
    answer = sandbox.call("POST", "/api/events", event_body())
    assert answer.status_code == 403
    assert "events:write" in fault(answer)["detail"]
    assert sandbox.call("GET", "/api/metrics").status_code == 200
    sandbox.call("POST", "/_sandbox/reset")
    assert sandbox.call("POST", "/api/events", event_body()).status_code == 202


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/event", 404),
        ("GET", "/api/flows", 404),
        ("PATCH", "/api/events", 405),
        ("POST", "/client/event", 404),
    ],
)
def test_calls_klaviyo_lacks_are_recorded(sandbox: Sandbox, method: str, path: str, status: int) -> None:
    assert sandbox.call(method, path, {}).status_code == status
    state = sandbox.state()
    assert state["unknown_routes"] == [{"method": method, "path": path}]


def test_a_trailing_slash_is_the_same_path(sandbox: Sandbox) -> None:
    assert sandbox.call("POST", "/api/events/", event_body()).status_code == 202
    assert sandbox.state()["requests"][0]["path"] == "/api/events"


def test_the_log_never_holds_the_key(sandbox: Sandbox) -> None:
    sandbox.call("POST", "/api/events", event_body(), headers=without(authorization="Klaviyo-API-Key pk_secret77"))
    sandbox.call("POST", "/api/events", event_body())
    text = sandbox.call("GET", "/_sandbox/state").text
    assert "pk_secret77" not in text
    assert "pk_demo" not in text


# -- the browser's endpoints ----------------------------------------------------------------------------------

CLIENT = {"revision": "2026-10-15", "content-type": "application/json", "origin": "https://shop.test"}


def test_client_calls_need_the_public_key_and_no_other(sandbox: Sandbox) -> None:
    good = sandbox.call("POST", "/client/events?company_id=DEMO42", event_body(), headers=CLIENT)
    assert (good.status_code, good.headers["access-control-allow-origin"]) == (202, "*")
    assert sandbox.call("POST", "/client/events?company_id=OTHER1", event_body(), headers=CLIENT).status_code == 400
    assert sandbox.call("POST", "/client/events", event_body(), headers=CLIENT).status_code == 400
    assert sandbox.call("POST", "/client/events?company_id=DEMO42", event_body()).status_code == 400
    assert [e["via"] for e in sandbox.state()["events"]] == ["script"]


def test_client_calls_pass_a_browsers_preflight(sandbox: Sandbox) -> None:
    headers = {
        "origin": "https://shop.test",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,revision",
    }
    answer = sandbox.call("OPTIONS", "/client/events?company_id=DEMO42", headers=headers)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "revision" in answer.headers["access-control-allow-headers"]
    assert sandbox.state()["requests"] == []


def test_a_client_profile_call_hands_out_its_exchange_id(sandbox: Sandbox) -> None:
    path = "/client/profiles?company_id=DEMO42"
    first = sandbox.call("POST", path, profile_body(email="a@example.com"), headers=CLIENT)
    again = sandbox.call("POST", path, profile_body(email="a@example.com"), headers=CLIENT)
    kx = first.headers["x-sandbox-exchange-id"]
    assert (first.status_code, again.headers["x-sandbox-exchange-id"]) == (202, kx)
    assert sandbox.state()["profiles"][0]["_kx"] == [kx]


def test_a_client_bulk_call_has_one_profile(sandbox: Sandbox) -> None:
    group = bulk_body("1", "2")["data"]["attributes"]["events-bulk-create"]["data"][0]
    path = "/client/event-bulk-create?company_id=DEMO42"
    assert sandbox.call("POST", path, {"data": group}, headers=CLIENT).status_code == 202
    assert sandbox.call("POST", path, {"data": [group]}, headers=CLIENT).status_code == 400
    assert [(e["via"], e["unique_id"]) for e in sandbox.state()["events"]] == [("script", "1"), ("script", "2")]


# -- scripted answers and limits ------------------------------------------------------------------------------


def test_scripted_answers_are_consumed_in_order_by_matching_requests(sandbox: Sandbox) -> None:
    scripts = [
        {"path": "/api/events", "method": "POST", "status": 500},
        {"path": "/api/events", "status": 429, "times": 2, "headers": {"Retry-After": "3"}},
    ]
    assert sandbox.call("POST", "/_sandbox/answers", scripts).json() == {"waiting": 2}
    assert sandbox.call("GET", "/api/accounts").status_code == 200
    answers = [sandbox.call("POST", "/api/events", event_body()) for _ in range(4)]
    assert [a.status_code for a in answers] == [500, 429, 429, 202]
    assert answers[1].headers["retry-after"] == "3"
    assert fault(answers[1])["detail"].startswith("Request was throttled. Expected available in")
    state = sandbox.state()
    assert (len(state["events"]), state["refused"], state["scripts_waiting"]) == (1, [], [])


def test_after_effect_does_the_work_and_loses_the_answer(sandbox: Sandbox) -> None:
    script = {"path": "/api/events", "status": 504, "after_effect": True}
    sandbox.call("POST", "/_sandbox/answers", [script])
    assert sandbox.call("POST", "/api/events", event_body()).status_code == 504
    assert sandbox.call("POST", "/api/events", event_body()).status_code == 202
    assert [e["deduplicated_repeats"] for e in sandbox.state()["events"]] == [1]


def test_a_scripted_body_is_sent_as_it_is(sandbox: Sandbox) -> None:
    sandbox.call("POST", "/_sandbox/answers", [{"path": "/api/*", "status": 200, "body": {"data": []}}])
    assert sandbox.call("GET", "/api/profiles").json() == {"data": []}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 500, 503])
def test_scripted_statuses_have_bodies_in_klaviyos_form(sandbox: Sandbox, status: int) -> None:
    sandbox.call("POST", "/_sandbox/answers", [{"path": "/api/events", "status": status}])
    answer = sandbox.call("POST", "/api/events", event_body())
    assert (answer.status_code, fault(answer)["status"]) == (status, status)
    assert sandbox.state()["events"] == []


@pytest.mark.parametrize(
    "script",
    [
        {"path": "/api/events", "status": 99},
        {"path": "/api/events", "times": 0, "status": 500},
        {"path": "/api/events", "after_effect": True},
        {"path": "/api/events", "stauts": 500},
        {"status": 500},
    ],
    ids=["status", "times", "after_effect_of_nothing", "misspelled", "no_path"],
)
def test_a_script_that_makes_no_sense_is_refused(sandbox: Sandbox, script: Body) -> None:
    assert sandbox.call("POST", "/_sandbox/answers", [script]).status_code == 400
    assert sandbox.state()["scripts_waiting"] == []


def test_limits_answer_429_with_retry_after_once_switched_on(sandbox: Sandbox) -> None:
    assert [sandbox.call("GET", "/api/accounts").status_code for _ in range(3)] == [200, 200, 200]
    sandbox.call("POST", "/_sandbox/limits", {"enabled": True})
    first, second = (sandbox.call("GET", "/api/accounts") for _ in range(2))
    assert (first.status_code, first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == (
        200,
        "15",
        "14",
    )
    assert (second.status_code, second.headers["retry-after"]) == (429, "1")
    assert fault(second)["detail"] == "Request was throttled. Expected available in 1 second."
    assert sandbox.call("GET", "/api/metrics").status_code == 200


def test_one_poisoned_event_fails_its_call_and_is_pointed_at(sandbox: Sandbox) -> None:
    script = {"path": "/api/event-bulk-create-jobs", "body_contains": "poison", "status": 400, "points_at_text": True}
    sandbox.call("POST", "/_sandbox/answers", [script | {"times": 5}])
    good = sandbox.call("POST", "/api/event-bulk-create-jobs", bulk_body("1", "2"))
    bad = sandbox.call("POST", "/api/event-bulk-create-jobs", bulk_body("3", "4", "poison-5"))
    assert (good.status_code, bad.status_code) == (202, 400)
    where = "/data/attributes/events-bulk-create/data/0/attributes/events/data/2/attributes/unique_id"
    assert pointers(bad) == [where]
    state = sandbox.state()
    assert [e["unique_id"] for e in state["events"]] == ["1", "2"]
    assert [script["times"] for script in state["scripts_waiting"]] == [4]


# -- control --------------------------------------------------------------------------------------------------


def test_reset_forgets_everything_received(sandbox: Sandbox) -> None:
    sandbox.call("POST", "/api/events", event_body())
    sandbox.call("POST", "/api/nonsense", {})
    sandbox.call("POST", "/_sandbox/lists", {"id": "NEWS01", "name": "News", "members": ["a@example.com"]})
    sandbox.call("POST", "/_sandbox/answers", [{"path": "/api/events", "status": 500}])
    assert sandbox.call("POST", "/_sandbox/reset").status_code == 204
    state = sandbox.state()
    for name in (
        "profiles",
        "events",
        "lists",
        "changes",
        "metrics",
        "requests",
        "refused",
        "unknown_routes",
        "scripts_waiting",
    ):
        assert state[name] == [], name


def test_state_is_not_sent_again_while_nothing_happened(sandbox: Sandbox) -> None:
    etag = sandbox.call("GET", "/_sandbox/state").headers["etag"]
    same = {"if-none-match": etag}
    assert sandbox.call("GET", "/_sandbox/state", headers=same).status_code == 304
    sandbox.call("POST", "/api/events", event_body())
    assert sandbox.call("GET", "/_sandbox/state", headers=same).status_code == 200


def test_waiting_for_events_ends_with_the_event_or_with_the_time(sandbox: Sandbox) -> None:
    name = "Added to Cart - Backup Flow"

    async def both() -> tuple[httpx.Response, httpx.Response]:
        query = {"metric": name, "wait_for": "1", "timeout": "30"}
        waiting = asyncio.create_task(sandbox.http.get("/_sandbox/events", params=query))
        await sandbox.http.post("/api/events", content=json.dumps(event_body()), headers=HEADERS)
        return await waiting, await sandbox.http.get(
            "/_sandbox/events", params=query | {"wait_for": "2", "timeout": "0"}
        )

    came, missed = sandbox.runner.run(both())
    assert (came.status_code, [e["metric"] for e in came.json()["events"]]) == (200, [name])
    assert (missed.status_code, len(missed.json()["events"])) == (408, 1)


def test_without_open_control_the_sandbox_can_only_be_read() -> None:
    app = build_sandbox(open_control=False, shop_url="https://shop.test/")

    async def calls() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://klaviyo.test") as http:
            levers = ("reset", "answers", "limits", "scopes", "profiles", "lists", "anonymous-tracking")
            posts = [await http.post(f"/_sandbox/{name}", content=b"{}") for name in levers]
            return [*posts, await http.get("/_sandbox/state")]

    *levers, state = asyncio.run(calls())
    assert {answer.status_code for answer in levers} == {404}
    assert (state.status_code, state.json()["shop_url"]) == (200, "https://shop.test/")


def test_the_onsite_script_is_served_for_its_own_company_only(sandbox: Sandbox) -> None:
    by_path = sandbox.call("GET", "/onsite/js/DEMO42/klaviyo.js")
    by_query = sandbox.call("GET", "/onsite/js/klaviyo.js?company_id=DEMO42")
    assert by_path.status_code == by_query.status_code == 200
    assert by_path.headers["content-type"].startswith("text/javascript")
    assert "__COMPANY__" not in by_path.text
    assert sandbox.call("GET", "/onsite/js/OTHER1/klaviyo.js").status_code == 404


def test_the_page_and_its_files_are_served(sandbox: Sandbox) -> None:
    page = sandbox.call("GET", "/")
    assert "What Klaviyo received" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    for name in ("received.css", "received.js", "cards.js", "words.js"):
        assert sandbox.call("GET", f"/_page/{name}").status_code == 200, name
    assert sandbox.call("GET", "/_page/onsite.js").status_code == 404


def test_bodies_are_not_changed_by_the_checks(sandbox: Sandbox) -> None:
    body = event_body()
    before = copy.deepcopy(attributes(body)["properties"])
    sandbox.call("POST", "/api/events", body)
    assert sandbox.state()["events"][0]["properties"] == before
