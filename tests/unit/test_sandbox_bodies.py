"""The sandbox's bodies against the models of Klaviyo's official client: the same fields, the same ones required."""

import importlib
import re
from typing import Any

import msgspec
import pytest

from relay.demo.sandbox import bodies, list_bodies
from relay.demo.sandbox.answers import Fault

#: The client builds this module lazily, so that type checkers see none of its names.
models: Any = importlib.import_module("openapi_client.models")

PAIRS: dict[type[bodies.Body], str] = {
    bodies.EventCreate: "EventCreateQueryV2",
    bodies.Event: "EventCreateQueryV2ResourceObject",
    bodies.EventAttributes: "EventCreateQueryV2ResourceObjectAttributes",
    bodies.MetricBox: "EventCreateQueryV2ResourceObjectAttributesMetric",
    bodies.Metric: "MetricCreateQueryResourceObject",
    bodies.MetricAttributes: "MetricCreateQueryResourceObjectAttributes",
    bodies.ProfileBox: "EventCreateQueryV2ResourceObjectAttributesProfile",
    bodies.Profile: "EventProfileCreateQueryResourceObject",
    bodies.ProfileAttributes: "EventProfileCreateQueryResourceObjectAttributes",
    bodies.Location: "ProfileLocation",
    bodies.ProfileMeta: "OnsiteProfileMeta",
    bodies.PatchProperties: "ProfileMetaPatchProperties",
    bodies.PatchIdentifiers: "PatchIdentifiers",
    bodies.BulkCreateJob: "EventsBulkCreateJob",
    bodies.BulkJob: "EventsBulkCreateJobResourceObject",
    bodies.BulkJobAttributes: "EventsBulkCreateJobResourceObjectAttributes",
    bodies.BulkBox: "EventsBulkCreateJobResourceObjectAttributesEventsBulkCreate",
    bodies.Bulk: "EventsBulkCreateQueryResourceObject",
    bodies.BulkAttributes: "EventsBulkCreateQueryResourceObjectAttributes",
    bodies.BulkEntries: "EventsBulkCreateQueryResourceObjectAttributesEvents",
    bodies.BulkEntry: "BaseEventCreateQueryBulkEntryResourceObject",
    bodies.BulkEntryAttributes: "BaseEventCreateQueryBulkEntryResourceObjectAttributes",
    bodies.ProfileUpsert: "ProfileUpsertQuery",
    bodies.UpsertProfile: "ProfileUpsertQueryResourceObject",
    bodies.UpsertAttributes: "ProfileUpsertQueryResourceObjectAttributes",
    bodies.DeletionJob: "DataPrivacyCreateDeletionJobQuery",
    bodies.Deletion: "DataPrivacyCreateDeletionJobQueryResourceObject",
    bodies.DeletionAttributes: "DataPrivacyCreateDeletionJobQueryResourceObjectAttributes",
    bodies.DeletionProfileBox: "DataPrivacyCreateDeletionJobQueryResourceObjectAttributesProfile",
    bodies.DeletionProfile: "DataPrivacyProfileQueryResourceObject",
    bodies.DeletionIdentifiers: "DataPrivacyProfileQueryResourceObjectAttributes",
    list_bodies.ListCreate: "ListCreateQuery",
    list_bodies.NewList: "ListCreateQueryResourceObject",
    list_bodies.ListAttributes: "ListCreateQueryResourceObjectAttributes",
    list_bodies.Members: "ListMembersAddQuery",
    list_bodies.Member: "ListListResponseObjectResourceRelationshipsProfilesDataInner",
    list_bodies.SubscribeJob: "SubscriptionCreateJobCreateQuery",
    list_bodies.SubscribeJobData: "SubscriptionCreateJobCreateQueryResourceObject",
    list_bodies.SubscribeJobAttributes: "SubscriptionCreateJobCreateQueryResourceObjectAttributes",
    list_bodies.Profiles: "SubscriptionCreateJobCreateQueryResourceObjectAttributesProfiles",
    list_bodies.JobRelationships: "SubscriptionCreateJobCreateQueryResourceObjectRelationships",
    list_bodies.ListBox: "SubscriptionCreateJobCreateQueryResourceObjectRelationshipsList",
    list_bodies.ListNamed: "SubscriptionCreateJobCreateQueryResourceObjectRelationshipsListData",
    list_bodies.Subscriber: "ProfileSubscriptionCreateQueryResourceObject",
    list_bodies.SubscribeAttributes: "ProfileSubscriptionCreateQueryResourceObjectAttributes",
    list_bodies.ChannelsSubscribed: "SubscriptionChannels",
    list_bodies.EmailSubscribed: "EmailSubscriptionParameters",
    list_bodies.SmsSubscribed: "SMSSubscriptionParameters",
    list_bodies.Subscribed: "SubscriptionParameters",
    list_bodies.TrackingAllowed: "OpenTrackingSubscriptionParameters",
    list_bodies.UnsubscribeJob: "SubscriptionDeleteJobCreateQuery",
    list_bodies.UnsubscribeJobData: "SubscriptionDeleteJobCreateQueryResourceObject",
    list_bodies.UnsubscribeJobAttributes: "SubscriptionDeleteJobCreateQueryResourceObjectAttributes",
    list_bodies.Unsubscriber: "ProfileSubscriptionDeleteQueryResourceObject",
    list_bodies.UnsubscribeAttributes: "ProfileSubscriptionDeleteQueryResourceObjectAttributes",
    list_bodies.ChannelsUnsubscribed: "UnsubscriptionChannels",
    list_bodies.EmailUnsubscribed: "EmailUnsubscriptionParameters",
    list_bodies.SmsUnsubscribed: "SMSUnsubscriptionParameters",
    list_bodies.Unsubscribed: "UnsubscriptionParameters",
}

#: Envelopes of the browser's endpoints, which a client for servers does not have; what they hold is above.
BROWSER_ONLY = {bodies.ClientBulkCreate, bodies.ClientProfile}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS.items(), ids=PAIRS.values())
def test_a_body_has_the_official_clients_fields(ours: type[bodies.Body], theirs: str) -> None:
    model = getattr(models, theirs)
    fields = {(field.alias or name): field.is_required() for name, field in model.model_fields.items()}
    assert {f.encode_name: f.required for f in msgspec.structs.fields(ours)} == fields


def test_every_body_is_compared() -> None:
    def below(kind: type[bodies.Body]) -> set[type[bodies.Body]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    modules = (bodies.__name__, list_bodies.__name__)
    ours = {kind for kind in below(bodies.Body) if kind.__module__ in modules}
    assert ours - {bodies.Body} == set(PAIRS) | BROWSER_ONLY


def test_enumerations_spell_what_the_official_client_spells() -> None:
    spelled = {
        value
        for kind in PAIRS
        for field in msgspec.structs.fields(kind)
        if field.name == "type"
        for value in re.findall(r"'([a-z-]+)'", str(field.type))
    }
    enums = (
        "Event", "Metric", "Profile", "EventBulkCreate", "EventBulkCreateJob", "DataPrivacyDeletionJob", "List",
        "ProfileSubscriptionBulkCreateJob", "ProfileSubscriptionBulkDeleteJob",
    )  # fmt: skip
    assert spelled == {member.value for name in enums for member in getattr(models, f"{name}Enum")}


NAMES = msgspec.Raw(b'{"type": "list", "attributes": {"name": "News"}}')
NUMBER = msgspec.Raw(b'{"type": "list", "attributes": {"name": 7}}')
NOTHING = msgspec.Raw(b"null")


def test_every_bad_item_of_an_array_is_named_and_the_good_ones_keep_their_place() -> None:
    faults: list[Fault] = []
    good = bodies.items([NUMBER, NAMES, NOTHING, NUMBER], list_bodies.NewList, "/data", faults)
    assert [(where, item.attributes.name) for where, item in good] == [("/data/1", "News")]
    assert [fault.pointer for fault in faults] == ["/data/0/attributes/name", "/data/2", "/data/3/attributes/name"]
