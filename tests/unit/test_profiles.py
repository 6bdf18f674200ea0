"""The profile inside an event and in a profile update: who it is for, and what is said about the person."""

from typing import Any

import pytest

from relay.klaviyo.mapping import profile_body
from relay.klaviyo.profiles import external_id, narrow, resource
from relay.model import ProfilePatch, Proof, Reason, Recipient

PROOF = Proof(reason=Reason.KLAVIYO_ABSENT, evidence="checkout e-mail", confidence=1.0)
OWN = {"BackflowRecoveredBy": "checkout e-mail", "BackflowRecovered": True}


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
        Recipient(klaviyo_id="01K", email="a@b.example", phone_number="+4420", kx="x.y", external_id="7"), "01K", {},
    ),
    "customer-id-beside-an-address": (
        Recipient(email="a@b.example", external_id="7", kx="x.y", anonymous_id="z"), None,
        {"email": "a@b.example", "external_id": "7"},
    ),
    "customer-id-alone": (Recipient(external_id="7", kx="x.y"), None, {"external_id": "7"}),
    "customer-id-of-just-the-limit": (Recipient(external_id="x" * 64), None, {"external_id": "x" * 64}),
    "customer-id-too-long": (
        Recipient(email="a@b.example", external_id="x" * 65), None, {"email": "a@b.example"},
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
    for nobody in (Recipient(traits={"email": "a@b.example"}), Recipient(external_id="x" * 65)):
        with pytest.raises(ValueError, match="identifier"):
            resource(nobody, PROOF)


def test_an_anonymous_id_names_whom_nobody_knows_and_never_goes_beside_an_identifier() -> None:
    nobody = Recipient(anonymous_id="jar-1", traits={"firstName": "Ada"})
    assert resource(nobody, PROOF) == {"type": "profile", "attributes": {"anonymous_id": "jar-1"}}
    for known in (Recipient(email="a@b.example", anonymous_id="jar-1"), Recipient(kx="x.y", anonymous_id="jar-1")):
        assert "anonymous_id" not in resource(known, PROOF)["attributes"]


def test_a_profile_update_knows_no_anonymous_id() -> None:
    with pytest.raises(ValueError, match="identifier"):
        profile_body(Recipient(anonymous_id="jar-1"), PROOF)


@pytest.mark.parametrize(
    ("customer_id", "sent"), [("7", "7"), ("x" * 64, "x" * 64), ("x" * 65, None), ("", None), (None, None)]
)
def test_a_customer_id_is_sent_as_far_as_klaviyo_takes_it(customer_id: str | None, sent: str | None) -> None:
    assert external_id(customer_id) == sent


@pytest.mark.parametrize(
    ("recipient", "alone"),
    [
        (Recipient(klaviyo_id="01K", email="a@b.example"), Recipient(klaviyo_id="01K")),
        (Recipient(email="a@b.example", phone_number="+44", external_id="7"), Recipient(email="a@b.example")),
        (Recipient(phone_number="+44", external_id="7", kx="x.y"), Recipient(phone_number="+44")),
        (Recipient(external_id="7", kx="x.y"), Recipient(external_id="7")),
        (Recipient(kx="x.y"), Recipient(kx="x.y")),
        (Recipient(anonymous_id="jar-1"), Recipient(anonymous_id="jar-1")),
    ],
)
def test_the_same_person_by_the_strongest_identifier_alone(recipient: Recipient, alone: Recipient) -> None:
    assert narrow(recipient) == alone
    again = Recipient(email="a@b.example", phone_number="+44", traits={"plan": "gold"})
    assert narrow(again).traits == {"plan": "gold"}


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
    "every-name-of-the-field": (
        {"firstname": "Ada", "lastname": "L", "company": "E", "image": "https://a.example/i", "state": "LDN",
         "postalCode": "N1", "lat": 1, "long": 2, "ip": " 192.0.2.7 ", "locale": "en-GB"},
        {"first_name": "Ada", "last_name": "L", "organization": "E", "image": "https://a.example/i", "locale": "en-GB",
         "location": {"region": "LDN", "zip": "N1", "latitude": 1, "longitude": 2, "ip": "192.0.2.7"}},
    ),
    "ip-version-6": ({"address": {"ip": "2001:DB8::1"}}, {"location": {"ip": "2001:db8::1"}}),
    "no-ip": ({"ip": "home"}, {"properties": {"ip": "home"}}),
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


# --- clearing, adding to lists, taking away ---------------------------------------------------------------------------

PATCHES: dict[str, tuple[ProfilePatch, dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "nothing": (ProfilePatch(), {}, {}, {}),
    "custom-property": (ProfilePatch(unset=("plan", "plan")), {}, {}, {"unset": ["plan"]}),
    "attribute": (ProfilePatch(unset=("firstName", "company")), {}, {"first_name": None, "organization": None}, {}),
    "attribute-in-klaviyos-words": (ProfilePatch(unset=("$first_name",)), {}, {"first_name": None}, {}),
    "place": (ProfilePatch(unset=("city", "postalCode")), {}, {"location": {"city": None, "zip": None}}, {}),
    "whole-name": (ProfilePatch(unset=("name",)), {}, {"first_name": None, "last_name": None}, {}),
    "whole-address": (
        ProfilePatch(unset=("address",)), {"timezone": "Europe/Rome"},
        {"location": {"timezone": "Europe/Rome", "address1": None, "address2": None, "city": None, "region": None,
                      "country": None, "zip": None}}, {},
    ),
    "empty-is-gone": (ProfilePatch(unset=("plan",)), {"plan": ""}, {}, {"unset": ["plan"]}),
    "set-again-meanwhile": (ProfilePatch(unset=("plan", "firstName")), {"plan": "gold", "firstName": "Ada"},
                            {"first_name": "Ada", "properties": {"plan": "gold"}}, {}),
    "attribute-known-by-another-word": (ProfilePatch(unset=("first_name",)), {"firstName": "Ada"},
                                        {"first_name": "Ada"}, {}),
    "append": (ProfilePatch(append={"skus": ["a", "b"], "sizes": 42, "vip": True}), {}, {},
               {"append": {"skus": ["a", "b"], "sizes": 42, "vip": True}}),
    "unappend": (ProfilePatch(unappend={"skus": "a"}), {}, {}, {"unappend": {"skus": "a"}}),
    "all-three": (
        ProfilePatch(append={"a": 1}, unappend={"b": 2}, unset=("a", "c")), {}, {},
        {"append": {"a": 1}, "unappend": {"b": 2}, "unset": ["c"]},
    ),
    "no-simple-value": (ProfilePatch(append={"a": {"b": 1}, "c": [[1]], "d": None, "e": "", "f": []}), {}, {}, {}),
    "identifiers-stay": (
        ProfilePatch(append={"email": "x"}, unappend={"phone": "x"}, unset=("email", "phone_number", "external_id")),
        {}, {}, {},
    ),
    "attributes-are-no-lists": (ProfilePatch(append={"firstName": "x"}, unappend={"city": "x"}), {}, {}, {}),
    "reserved": (ProfilePatch(append={"$consent": 1}, unset=("$id", "BackflowRecovered", "")), {}, {}, {}),
    "broken-characters": (ProfilePatch(append={"a\0": "b\ud800"}), {}, {}, {"append": {"a\ufffd": "b\ufffd"}}),
}  # fmt: skip


@pytest.mark.parametrize(("patch", "traits", "attributes", "changes"), PATCHES.values(), ids=PATCHES)
def test_patches(
    patch: ProfilePatch, traits: dict[str, Any], attributes: dict[str, Any], changes: dict[str, Any]
) -> None:
    profile = profile_body(Recipient(email="a@b.example", traits=traits), PROOF, patch=patch)["data"]
    assert profile.get("meta", {}).get("patch_properties", {}) == changes
    assert profile["attributes"] == {"email": "a@b.example"} | attributes | {
        "properties": OWN | attributes.get("properties", {})
    }


def test_a_null_clears_nothing_by_itself() -> None:
    assert told(firstName=None, plan=None, city=None) == {}
