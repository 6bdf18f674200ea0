"""The profile inside an event and in a profile update: who it is for, and what is said about the person."""

from typing import Any

import pytest

from relay.klaviyo.mapping import profile_body
from relay.klaviyo.profiles import resource
from relay.model import Proof, Reason, Recipient

PROOF = Proof(reason=Reason.KLAVIYO_ABSENT, evidence="checkout e-mail", confidence=1.0)
OWN = {"BackflowEvidence": "checkout e-mail", "BackflowRecovered": True}


def told(**traits: Any) -> dict[str, Any]:
    """What is said about a person with these traits, without the identifier and Backflow's own properties."""
    attributes: dict[str, Any] = resource(Recipient(email="a@b.example", traits=traits), PROOF)["attributes"]
    assert attributes.pop("email") == "a@b.example"
    assert {key: attributes["properties"].pop(key) for key in OWN} == OWN
    if not attributes["properties"]:
        del attributes["properties"]
    return attributes


IDENTITIES: dict[str, tuple[Recipient, str | None, dict[str, str]]] = {
    "klaviyo-id-alone": (
        Recipient(klaviyo_id="01K", email="a@b.example", phone_number="+4420", kx="x.y"), "01K", {},
    ),
    "email-and-phone": (
        Recipient(email="a@b.example", phone_number="+4420", kx="x.y"), None,
        {"email": "a@b.example", "phone_number": "+4420"},
    ),
    "phone": (Recipient(phone_number="+4420", kx="x.y"), None, {"phone_number": "+4420"}),
    "exchange-id-as-the-last-resort": (Recipient(kx="x.y"), None, {"_kx": "x.y"}),
}  # fmt: skip


@pytest.mark.parametrize(("recipient", "klaviyo_id", "identity"), IDENTITIES.values(), ids=IDENTITIES)
def test_the_strongest_identifier_decides(
    recipient: Recipient, klaviyo_id: str | None, identity: dict[str, str]
) -> None:
    profile = resource(recipient, PROOF)
    assert (profile["type"], profile.get("id")) == ("profile", klaviyo_id)
    assert profile["attributes"] == identity | {"properties": OWN}


def test_nobody_is_no_recipient() -> None:
    with pytest.raises(ValueError, match="identifier"):
        resource(Recipient(traits={"email": "a@b.example"}), PROOF)


def test_identifiers_among_the_traits_are_never_sent() -> None:
    traits = dict.fromkeys(
        ("email", "$email", "phone", "phoneNumber", "id", "user_id", "userId", "external_id", "externalId",
         "anonymous_id", "anonymousId", "$anonymous", "$id", "_kx", "$exchange_id"),
        "secret",
    )  # fmt: skip
    assert told(**traits) == {}


def test_a_profile_update_is_the_same_profile_with_the_last_visit() -> None:
    recipient = Recipient(email="a@b.example", traits={"plan": "gold"})
    assert profile_body(recipient, PROOF) == {"data": resource(recipient, PROOF)}
    seen = profile_body(recipient, PROOF, last_seen=1795000000.5)["data"]["attributes"]["properties"]
    assert seen == OWN | {"plan": "gold", "BackflowLastSeen": "2026-11-18T11:06:40Z"}


TRAITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "segment-names": ({"firstName": "Ada", "lastName": "L"}, {"first_name": "Ada", "last_name": "L"}),
    "snake-names": ({"first_name": "Ada", "last_name": "L"}, {"first_name": "Ada", "last_name": "L"}),
    "klaviyo-names": ({"$first_name": "Ada", "$last_name": "L"}, {"first_name": "Ada", "last_name": "L"}),
    "first-spelling-wins": (
        {"$first_name": "B", "firstName": "A"}, {"first_name": "A"},
    ),
    "the-other-spelling-stays": (
        {"state": "B", "region": "A"}, {"location": {"region": "A"}, "properties": {"state": "B"}},
    ),
    "whole-name": ({"name": "Ada King Lovelace"}, {"first_name": "Ada King", "last_name": "Lovelace"}),
    "one-word-name": ({"name": " Ada "}, {"first_name": "Ada"}),
    "known-parts-beat-the-whole-name": (
        {"name": "A B", "firstName": "Ada"}, {"first_name": "Ada", "properties": {"name": "A B"}},
    ),
    "company": ({"company": "Engines"}, {"organization": "Engines"}),
    "company-object": (
        {"company": {"name": "Engines", "seats": 3}},
        {"organization": "Engines", "properties": {"company": {"seats": 3}}},
    ),
    "organization": ({"$organization": "Engines"}, {"organization": "Engines"}),
    "job": ({"title": "Countess"}, {"title": "Countess"}),
    "avatar": ({"avatar": "https://a.example/i.png"}, {"image": "https://a.example/i.png"}),
    "locale": ({"locale": "en-US"}, {"locale": "en-US"}),
    "locale-underscore": ({"locale": "pt_br"}, {"locale": "pt-BR"}),
    "locale-script": ({"language": "zh-hans-CN"}, {"locale": "zh-Hans-CN"}),
    "locale-region-number": ({"locale": "es-419"}, {"locale": "es-419"}),
    "no-locale": ({"locale": "English (US)"}, {"properties": {"locale": "English (US)"}}),
    "address-object": (
        {"address": {"street": "1 St", "city": "London", "state": "LDN", "postalCode": 10115, "country": "UK"}},
        {"location": {"address1": "1 St", "city": "London", "region": "LDN", "zip": "10115", "country": "UK"}},
    ),
    "flat-place": (
        {"city": "Rome", "region": "RM", "country": "IT", "zip": "00184", "timezone": "Europe/Rome"},
        {"location": {"city": "Rome", "region": "RM", "country": "IT", "zip": "00184", "timezone": "Europe/Rome"}},
    ),
    "address-object-before-flat": (
        {"city": "Rome", "address": {"city": "London", "floor": 2}},
        {"location": {"city": "London"}, "properties": {"city": "Rome", "address": {"floor": 2}}},
    ),
    "address-line": ({"address": "1 St"}, {"location": {"address1": "1 St"}}),
    "coordinates": (
        {"location": {"latitude": "51.5", "longitude": -0.1}}, {"location": {"latitude": 51.5, "longitude": -0.1}},
    ),
    "no-coordinates": (
        {"latitude": 91, "longitude": "east"}, {"properties": {"latitude": 91, "longitude": "east"}},
    ),
    "custom": (
        {"plan": "gold", "tags": ["a", "b"], "age": 36, "vip": True},
        {"properties": {"plan": "gold", "tags": ["a", "b"], "age": 36, "vip": True}},
    ),
    "reserved": ({"$consent": ["email"], "BackflowRecovered": False}, {}),
    "wrong-types-are-custom": (
        {"firstName": ["Ada"], "city": {"name": "Rome"}, "title": True},
        {"properties": {"firstName": ["Ada"], "city": {"name": "Rome"}, "title": True}},
    ),
    "broken-characters": ({"firstName": "A\0\ud800"}, {"first_name": "A\ufffd\ufffd"}),
}  # fmt: skip


@pytest.mark.parametrize(("traits", "expected"), TRAITS.values(), ids=TRAITS)
def test_traits(traits: dict[str, Any], expected: dict[str, Any]) -> None:
    assert told(**traits) == expected
