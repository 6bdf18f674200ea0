"""The sandbox behind a real server, judged by Klaviyo's official client: bodies, answers, errors, lost connections."""

import importlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from klaviyo_api import KlaviyoAPI
from openapi_client.exceptions import BadRequestException, ForbiddenException, UnauthorizedException

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


def test_a_delay_holds_the_answer_back(http: httpx.Client) -> None:
    http.post("/_sandbox/answers", json=[{"path": "/api/events", "delay_seconds": 0.6}])
    with pytest.raises(httpx.ReadTimeout):
        http.post("/api/events", content=b"{}", timeout=0.1)
    assert state(http)["events"] == []
