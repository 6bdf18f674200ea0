"""The sandbox behind a real server, judged by Klaviyo's official client: bodies, answers, errors, lost connections."""

import importlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
from klaviyo_api import KlaviyoAPI
from openapi_client.exceptions import (
    ApiException,
    BadRequestException,
    ForbiddenException,
    NotFoundException,
    UnauthorizedException,
)

from relay.demo.sandbox import build_sandbox

START_SECONDS = 10.0
#: The client builds this module lazily, so that type checkers see none of its names.
models: Any = importlib.import_module("openapi_client.models")


class Started(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @property
    def url(self) -> str:
        port = self.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    config = uvicorn.Config(build_sandbox(), host="127.0.0.1", port=0, log_level="error", ws="none", lifespan="off")
    server = Started(config)
    thread = threading.Thread(target=server.run, name="sandbox")
    thread.start()
    assert server.listening.wait(START_SECONDS)
    yield server.url
    server.should_exit = True
    thread.join(START_SECONDS)


@pytest.fixture
def http(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server) as http:
        http.post("/_sandbox/reset").raise_for_status()
        yield http


@pytest.fixture
def klaviyo(server: str, http: httpx.Client) -> KlaviyoAPI:
    return client(server)


def client(server: str, key: str = "pk_demo") -> KlaviyoAPI:
    """The official client, without its own retries."""
    klaviyo = KlaviyoAPI(key, max_delay=1, max_retries=1)
    klaviyo.api_client.configuration.host = server
    return klaviyo


def state(http: httpx.Client) -> dict[str, Any]:
    state: dict[str, Any] = http.get("/_sandbox/state").json()
    return state


def profile_of(**attributes: Any) -> Any:
    return models.EventProfileCreateQueryResourceObject(
        type=models.ProfileEnum.PROFILE,
        attributes=models.EventProfileCreateQueryResourceObjectAttributes(**attributes),
        meta=models.OnsiteProfileMeta(patch_properties=models.ProfileMetaPatchProperties(append={"skus": "1"})),
    )


def metric_of(name: str) -> Any:
    return models.EventCreateQueryV2ResourceObjectAttributesMetric(
        data=models.MetricCreateQueryResourceObject(
            type=models.MetricEnum.METRIC, attributes=models.MetricCreateQueryResourceObjectAttributes(name=name)
        )
    )


def event_of(**changes: Any) -> Any:
    fields = {
        "properties": {"ProductName": "Mug", "Items": [{"SKU": "1"}]},
        "time": datetime.now(UTC) - timedelta(minutes=1),
        "value": 12.5,
        "value_currency": "EUR",
        "unique_id": "m1",
        "metric": metric_of("Added to Cart - Backup Flow"),
        "profile": models.EventCreateQueryV2ResourceObjectAttributesProfile(
            data=profile_of(
                email="a@example.com",
                phone_number="+12025550123",
                _kx=None,
                location=models.ProfileLocation(city="Paris", latitude=48.85, longitude="2.35"),
                properties={"BackflowVisitor": True},
            )
        ),
    }
    return models.EventCreateQueryV2(
        data=models.EventCreateQueryV2ResourceObject(
            type=models.EventEnum.EVENT,
            attributes=models.EventCreateQueryV2ResourceObjectAttributes(**(fields | changes)),
        )
    )


def test_the_official_clients_event_is_accepted(klaviyo: KlaviyoAPI, http: httpx.Client) -> None:
    klaviyo.Events.create_event(event_of())
    (event,) = state(http)["events"]
    assert (event["metric"], event["value"], event["unique_id"]) == ("Added to Cart - Backup Flow", 12.5, "m1")
    assert event["profile"]["location"] == {"city": "Paris", "latitude": 48.85, "longitude": "2.35"}
    assert event["profile"]["properties"] == {"BackflowVisitor": True, "skus": ["1"]}


def test_the_official_clients_bulk_job_is_accepted(klaviyo: KlaviyoAPI, http: httpx.Client) -> None:
    entries = [
        models.BaseEventCreateQueryBulkEntryResourceObject(
            type=models.EventEnum.EVENT,
            attributes=models.BaseEventCreateQueryBulkEntryResourceObjectAttributes(
                properties={}, unique_id=unique_id, metric=metric_of("Viewed Product - Backup Flow")
            ),
        )
        for unique_id in ("1", "2")
    ]
    group = models.EventsBulkCreateQueryResourceObject(
        type=models.EventBulkCreateEnum.EVENT_MINUS_BULK_MINUS_CREATE,
        attributes=models.EventsBulkCreateQueryResourceObjectAttributes(
            backfill=True,
            profile=models.EventsBulkCreateQueryResourceObjectAttributesProfile(
                data=models.OnsiteProfileCreateQueryResourceObject(
                    type=models.ProfileEnum.PROFILE,
                    attributes=models.EventProfileCreateQueryResourceObjectAttributes(email="a@example.com"),
                )
            ),
            events=models.EventsBulkCreateQueryResourceObjectAttributesEvents(data=entries),
        ),
    )
    job = models.EventsBulkCreateJob(
        data=models.EventsBulkCreateJobResourceObject(
            type=models.EventBulkCreateJobEnum.EVENT_MINUS_BULK_MINUS_CREATE_MINUS_JOB,
            attributes=models.EventsBulkCreateJobResourceObjectAttributes(
                **{
                    "events-bulk-create": models.EventsBulkCreateJobResourceObjectAttributesEventsBulkCreate(
                        data=[group]
                    )
                }
            ),
        )
    )
    klaviyo.Events.bulk_create_events(job)
    assert [(e["unique_id"], e["triggers_flows"]) for e in state(http)["events"]] == [("1", False), ("2", False)]


def upsert_of(**attributes: Any) -> Any:
    return models.ProfileUpsertQuery(
        data=models.ProfileUpsertQueryResourceObject(
            type=models.ProfileEnum.PROFILE,
            attributes=models.ProfileUpsertQueryResourceObjectAttributes(**attributes),
        )
    )


def test_the_official_client_imports_and_reads_profiles(klaviyo: KlaviyoAPI, http: httpx.Client) -> None:
    made = klaviyo.Profiles.create_or_update_profile(upsert_of(email="a+b@example.com", first_name="Ann"))
    assert made.data.attributes.first_name == "Ann"
    found = klaviyo.Profiles.get_profiles(
        filter='equals(email,"a+b@example.com")', additional_fields_profile=["subscriptions"], page_size=5
    )
    assert [profile.id for profile in found.data] == [made.data.id]
    assert found.data[0].attributes.subscriptions.email.marketing.consent == "NEVER_SUBSCRIBED"
    assert klaviyo.Profiles.get_profile(made.data.id).data.attributes.email == "a+b@example.com"
    kx = http.post("/_sandbox/profiles", json={"email": "a+b@example.com"}).json()["_kx"]
    assert [p.id for p in klaviyo.Profiles.get_profiles(filter=f"equals(_kx,'{kx}')").data] == [made.data.id]


def test_the_official_client_reads_accounts_and_metrics(klaviyo: KlaviyoAPI) -> None:
    klaviyo.Events.create_event(event_of())
    assert klaviyo.Accounts.get_accounts().data[0].attributes.public_api_key == "DEMO42"
    assert [m.attributes.name for m in klaviyo.Metrics.get_metrics().data] == ["Added to Cart - Backup Flow"]


def test_the_official_client_asks_for_a_deletion(klaviyo: KlaviyoAPI, http: httpx.Client) -> None:
    klaviyo.Events.create_event(event_of())
    job = models.DataPrivacyCreateDeletionJobQuery.from_dict(
        {
            "data": {
                "type": "data-privacy-deletion-job",
                "attributes": {"profile": {"data": {"type": "profile", "attributes": {"email": "a@example.com"}}}},
            }
        }
    )
    klaviyo.Data_Privacy.request_profile_deletion(job)
    assert state(http)["profiles"] == []


def seeded(http: httpx.Client, **profile: Any) -> str:
    made: str = http.post("/_sandbox/profiles", json=profile).raise_for_status().json()["id"]
    return made


def test_the_official_client_pages_through_profiles(klaviyo: KlaviyoAPI, http: httpx.Client) -> None:
    ids = {seeded(http, email=f"p{number}@example.com") for number in range(250)}
    found: list[str] = []
    cursor = None
    sizes = []
    while True:
        page = klaviyo.Profiles.get_profiles(page_size=100, page_cursor=cursor)
        found += [profile.id for profile in page.data]
        sizes.append(len(page.data))
        if page.links.next is None:
            break
        cursor = parse_qs(urlsplit(page.links.next).query)["page[cursor]"][0]
    assert (sizes, set(found), len(found)) == ([100, 100, 50], ids, 250)


def test_the_official_client_finds_many_people_with_their_consent(klaviyo: KlaviyoAPI, http: httpx.Client) -> None:
    seeded(http, email="a@example.com", phone_number="+12025550123", consent="UNSUBSCRIBED", sms_consent="SUBSCRIBED")
    seeded(http, email="b@example.com", consent="SUBSCRIBED", suppression="HARD_BOUNCE")
    found = klaviyo.Profiles.get_profiles(
        filter='any(email,["a@example.com","b@example.com"])',
        additional_fields_profile=["subscriptions"],
        page_size=100,
        sort="email",
    )
    first, second = (profile.attributes.subscriptions for profile in found.data)
    assert first.email.marketing.consent == "UNSUBSCRIBED"
    assert [one.reason for one in first.email.marketing.suppression] == ["UNSUBSCRIBE"]
    assert first.email.marketing.suppression[0].timestamp.tzinfo is not None
    assert (first.sms.marketing.consent, first.sms.transactional.consent) == ("SUBSCRIBED", "NEVER_SUBSCRIBED")
    assert (second.email.marketing.consent, second.email.marketing.can_receive_email_marketing) == ("SUBSCRIBED", False)
    assert second.sms is None


def test_the_official_client_makes_and_reads_lists(klaviyo: KlaviyoAPI) -> None:
    query = {"data": {"type": "list", "attributes": {"name": "News", "opt_in_process": "double_opt_in"}}}
    made = klaviyo.Lists.create_list(models.ListCreateQuery.from_dict(query)).data
    assert made.attributes.opt_in_process == "double_opt_in"
    assert [one.id for one in klaviyo.Lists.get_lists(filter="equals(name,['News'])").data] == [made.id]
    assert klaviyo.Lists.get_list(made.id, additional_fields_list=["profile_count"]).data.attributes.profile_count == 0


def test_the_official_client_adds_reads_and_removes_members(klaviyo: KlaviyoAPI, http: httpx.Client) -> None:
    http.post("/_sandbox/lists", json={"id": "NEWS01", "name": "News"}).raise_for_status()
    profile = seeded(http, email="a@example.com")
    members = {"data": [{"type": "profile", "id": profile}]}
    klaviyo.Lists.add_profiles_to_list("NEWS01", models.ListMembersAddQuery.from_dict(members))
    shown = klaviyo.Profiles.get_profile(profile, include=["lists"])
    assert [one.id for one in shown.data.relationships.lists.data] == ["NEWS01"]
    assert [one["attributes"]["name"] for one in shown.included] == ["News"]
    klaviyo.Lists.remove_profiles_from_list("NEWS01", models.ListMembersDeleteQuery.from_dict(members))
    assert klaviyo.Profiles.get_profile(profile, include=["lists"]).data.relationships.lists.data == []
    unknown = models.ListMembersAddQuery.from_dict({"data": [{"type": "profile", "id": "01NOBODY"}]})
    with pytest.raises(NotFoundException) as missing:
        klaviyo.Lists.add_profiles_to_list("NEWS01", unknown)
    assert "/data/0/id" in str(missing.value.body)


def consent_job(kind: str, consent: str, consented_at: str | None = None, **attributes: Any) -> dict[str, Any]:
    marketing = {"consent": consent} | ({"consented_at": consented_at} if consented_at else {})
    channels = {"email": {"marketing": marketing}, "sms": {"marketing": marketing}}
    someone = {"email": "a@example.com", "phone_number": "+12025550123", "subscriptions": channels}
    people = {"data": [{"type": "profile", "attributes": someone}]}
    return {
        "data": {
            "type": f"profile-subscription-bulk-{kind}-job",
            "attributes": {"profiles": people} | attributes,
            "relationships": {"list": {"data": {"type": "list", "id": "NEWS01"}}},
        }
    }


def test_the_official_client_subscribes_and_unsubscribes(klaviyo: KlaviyoAPI, http: httpx.Client) -> None:
    http.post("/_sandbox/lists", json={"id": "NEWS01", "name": "News"}).raise_for_status()
    body = consent_job(
        "create", "SUBSCRIBED", "2026-01-02T03:04:05Z", custom_source="Footer form", historical_import=True
    )
    klaviyo.Profiles.bulk_subscribe_profiles(models.SubscriptionCreateJobCreateQuery.from_dict(body))
    (profile,) = state(http)["profiles"]
    assert (profile["consent"], profile["consents"]["sms"]["consent"], profile["lists"]) == (
        "SUBSCRIBED",
        "SUBSCRIBED",
        ["NEWS01"],
    )
    shown = klaviyo.Profiles.get_profile(profile["id"], additional_fields_profile=["subscriptions"])
    marketing = shown.data.attributes.subscriptions.email.marketing
    assert (marketing.custom_method_detail, marketing.consent_timestamp) == (
        "Footer form",
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    leaving = models.SubscriptionDeleteJobCreateQuery.from_dict(consent_job("delete", "UNSUBSCRIBED"))
    klaviyo.Profiles.bulk_unsubscribe_profiles(leaving)
    (profile,) = state(http)["profiles"]
    assert (profile["consent"], profile["consents"]["sms"]["consent"], profile["lists"]) == (
        "SUBSCRIBED",
        "UNSUBSCRIBED",
        [],
    )
    shown = klaviyo.Profiles.get_profile(profile["id"], additional_fields_profile=["subscriptions"])
    assert [one.list_id for one in shown.data.attributes.subscriptions.email.marketing.list_suppressions] == ["NEWS01"]


def test_the_official_client_meets_the_conflict_of_two_profiles(klaviyo: KlaviyoAPI, http: httpx.Client) -> None:
    seeded(http, email="a@example.com")
    other = seeded(http, phone_number="+12025550123")
    with pytest.raises(ApiException) as conflict:
        klaviyo.Profiles.create_or_update_profile(upsert_of(email="a@example.com", phone_number="+12025550123"))
    assert conflict.value.status == 409
    assert json.loads(conflict.value.body or "")["errors"][0]["meta"] == {"duplicate_profile_id": other}


def test_the_official_client_understands_the_refusals(server: str, http: httpx.Client) -> None:
    with pytest.raises(BadRequestException) as bad:
        client(server).Events.create_event(event_of(value_currency="euro"))
    assert "/data/attributes/value_currency" in str(bad.value.body)
    with pytest.raises(UnauthorizedException):
        client(server, "pk_wrong").Accounts.get_accounts()
    http.post("/_sandbox/scopes", json={"scopes": []})
    with pytest.raises(ForbiddenException) as denied:
        client(server).Events.create_event(event_of())
    assert "events:write" in str(denied.value.body)


@pytest.mark.parametrize("after_effect", [True, False], ids=["after_the_work", "before_the_work"])
def test_a_reset_closes_the_connection_without_an_answer(http: httpx.Client, after_effect: bool) -> None:
    http.post("/_sandbox/answers", json=[{"path": "/api/events", "reset": True, "after_effect": after_effect}])
    headers = {
        "authorization": "Klaviyo-API-Key pk_demo",
        "revision": "2026-10-15",
        "content-type": "application/json",
    }
    body = json.dumps(event_of(time=None).to_dict())
    with pytest.raises(httpx.TransportError):
        http.post("/api/events", content=body, headers=headers)
    seen = state(http)
    assert len(seen["events"]) == (1 if after_effect else 0)
    assert [(r["status"], r["error"]) for r in seen["requests"]] == [(0, "connection reset")]
    assert http.post("/api/events", content=body, headers=headers).status_code == 202


@pytest.mark.parametrize(("cut", "arrived"), [(0, b""), (20, b'{"data":{"type":"pro')], ids=["head", "part"])
def test_an_answer_can_be_cut_off_in_the_middle_of_its_body(http: httpx.Client, cut: int, arrived: bytes) -> None:
    http.post("/_sandbox/answers", json=[{"path": "/api/profile-import", "reset_after_bytes": cut}])
    headers = {
        "authorization": "Klaviyo-API-Key pk_demo",
        "revision": "2026-10-15",
        "content-type": "application/json",
    }
    body = {"data": {"type": "profile", "attributes": {"email": "a@example.com"}}}
    received: list[bytes] = []
    with http.stream("POST", "/api/profile-import", json=body, headers=headers) as answer:
        assert (answer.status_code, int(answer.headers["content-length"]) > cut) == (201, True)
        with pytest.raises(httpx.RemoteProtocolError, match=f"received {cut} bytes"):
            received.extend(answer.iter_raw())
    assert b"".join(received) == arrived
    seen = state(http)
    assert [profile["email"] for profile in seen["profiles"]] == ["a@example.com"]
    assert [(r["status"], r["notes"]) for r in seen["requests"]] == [(201, ["answer cut off"])]


def test_an_empty_answer_is_cut_off_after_its_head(http: httpx.Client) -> None:
    http.post("/_sandbox/answers", json=[{"path": "/api/events", "reset_after_bytes": 10}])
    headers = {
        "authorization": "Klaviyo-API-Key pk_demo",
        "revision": "2026-10-15",
        "content-type": "application/json",
    }
    body = json.dumps(event_of(time=None).to_dict())
    with pytest.raises(httpx.RemoteProtocolError):
        http.post("/api/events", content=body, headers=headers)
    assert len(state(http)["events"]) == 1


def test_a_delay_holds_the_answer_back(http: httpx.Client) -> None:
    http.post("/_sandbox/answers", json=[{"path": "/api/events", "delay_seconds": 0.6}])
    with pytest.raises(httpx.ReadTimeout):
        http.post("/api/events", content=b"{}", timeout=0.1)
    assert state(http)["events"] == []
