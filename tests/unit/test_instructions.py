"""What a call asks of Klaviyo beyond its event, in RudderStack's and Segment's words, as tables."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.identity.claims import Claims, claims
from relay.model import Commerce, Kind, Message, ProfilePatch, SubscriptionChange, Trust
from relay.pipeline import optin
from relay.pipeline.instructions import Instructions, instructions, of_the_person
from relay.web.console.words import NOTES

LIST, OTHER, DEFAULT = "Y6nRLr", "XUepkK", "DeFau1"
ANN = {"email": "ann@mail.com"}
BOTH = ANN | {"phone": "+4930901820"}
AT = 1_800_000_000.0
EARLIER, EARLIER_AT = "2026-01-15T08:00:00Z", 1_768_464_000.0


def asked(
    trust: Trust = Trust.SERVER, default: str | None = None, channels: tuple[str, ...] = ("email",), **fields: Any
) -> Instructions:
    fields.setdefault("type", "identify")
    message = Message(message_id="m1", occurred_at=AT, **fields)
    said = claims(message, Commerce(kind=Kind.OTHER, name=""), trust, "DE")
    return instructions(message, said, trust, default, channels)


def marketing(*channels: str, list_id: str | None = None, **fields: Any) -> SubscriptionChange:
    return SubscriptionChange(channels=channels, list_id=list_id, **({"consented_at": AT} | fields))


# --- the switches ---------------------------------------------------------------------------------------------------

SWITCHES: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"All": True}, True),
    ({"All": False}, False),
    ({"all": False}, False),
    ({"Klaviyo": False}, False),
    ({"klaviyo": False}, False),
    ({"KLAVIYO": False, "All": True}, False),
    ({"Actions Klaviyo": False}, False),
    ({"Klaviyo (Actions)": False}, False),
    ({"All": False, "Klaviyo": True}, True),
    ({"All": False, "Klaviyo": {"listId": LIST}}, True),
    ({"All": False, "Klaviyo": {}}, True),
    ({"All": False, "Mixpanel": True}, False),
    ({"Mixpanel": False}, True),
    ({"All": "false"}, False),
    ({"Klaviyo": "False "}, False),
    ({"All": False, "Klaviyo": "true"}, False),
    ({"All": None, "Klaviyo": None}, True),
    ({"Klaviyo": 0}, True),
]


@pytest.mark.parametrize(("integrations", "is_for_klaviyo"), SWITCHES)
def test_the_switches_of_a_call(integrations: dict[str, Any], is_for_klaviyo: bool) -> None:
    assert asked(traits=ANN, integrations=integrations).is_for_klaviyo is is_for_klaviyo


def test_what_is_not_for_klaviyo_asks_for_nothing() -> None:
    traits = ANN | {"subscribe": True, "listId": LIST}
    assert asked(traits=traits, integrations={"All": False}) == Instructions(is_for_klaviyo=False)


def test_klaviyos_own_answers_ask_for_nothing() -> None:
    assert asked(Trust.KLAVIYO, traits=ANN | {"subscribe": True}, integrations={"All": False}) == Instructions()


# --- lists ----------------------------------------------------------------------------------------------------------

JOINS: dict[str, tuple[dict[str, Any], str | None, tuple[str, ...]]] = {
    "nothing": ({}, None, ()),
    "integrations": ({"integrations": {"Klaviyo": {"listId": LIST}}}, LIST, ()),
    "nested-trait": ({"traits": {"properties": {"listId": f" {LIST} "}}}, LIST, ()),
    "trait": ({"traits": {"listId": LIST}}, LIST, ()),
    "nested-trait-before-the-others": (
        {"traits": {"listId": OTHER, "properties": {"listId": LIST}}, "integrations": {"Klaviyo": {"listId": "third"}}},
        LIST, (),
    ),
    "group": ({"type": "group", "group_id": LIST}, LIST, ()),
    "group-of-a-company": ({"type": "group", "group_id": "acme-inc"}, None, ()),
    "group-without-id": ({"type": "group"}, None, ()),
    "the-list-of-a-track-is-the-sdks": ({"type": "track", "integrations": {"Klaviyo": {"listId": LIST}}}, None, ()),
    "no-text": ({"traits": {"listId": 7}}, None, ("unreadable_list",)),
    "no-id": ({"traits": {"listId": "../profiles"}}, None, ("unreadable_list",)),
    "null": ({"traits": {"listId": None}}, None, ()),
    "not-beside-a-subscription": ({"traits": {"listId": LIST, "subscribe": True}}, None, ()),
    "not-beside-an-unreadable-one": ({"traits": {"listId": LIST, "subscribe": "no"}}, None, ("unreadable_subscribe",)),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "joins", "notes"), JOINS.values(), ids=JOINS)
def test_joining_a_list(fields: dict[str, Any], joins: str | None, notes: tuple[str, ...]) -> None:
    found = asked(default=DEFAULT, **{**fields, "user_id": "7", "traits": {**ANN, **fields.get("traits", {})}})
    assert (found.joins, found.notes) == (joins, notes)
    assert found.leaves is None


# --- subscriptions ----------------------------------------------------------------------------------------------------

SUBSCRIPTIONS: dict[str, tuple[dict[str, Any], SubscriptionChange | None, tuple[str, ...]]] = {
    "nothing": ({}, None, ()),
    "true": ({"subscribe": True}, marketing("email", list_id=DEFAULT), ()),
    "its-own-list": ({"subscribe": True, "listId": LIST}, marketing("email", list_id=LIST), ()),
    "both-channels": (
        {"subscribe": True, "consent": ["email", "sms"]}, marketing("email", "sms", list_id=DEFAULT), (),
    ),
    "one-text": ({"subscribe": True, "consent": "SMS"}, marketing("sms", list_id=DEFAULT), ()),
    "texts": ({"subscribe": True, "consent": "email, sms"}, marketing("email", "sms", list_id=DEFAULT), ()),
    "truth-by-channel": (
        {"subscribe": True, "consent": {"email": True, "sms": "true"}}, marketing("email", list_id=DEFAULT), (),
    ),
    "sms-consent": ({"subscribe": True, "smsConsent": True}, marketing("email", "sms", list_id=DEFAULT), ()),
    "sms-consent-overrides": (
        {"subscribe": True, "consent": ["email", "sms"], "smsConsent": False}, marketing("email", list_id=DEFAULT), (),
    ),
    "sms-consent-alone-is-no-wish": ({"smsConsent": True}, None, ()),
    "sms-consent-as-a-text": (
        {"subscribe": True, "smsConsent": "true"}, marketing("email", list_id=DEFAULT), (),
    ),
    "no-channel": ({"subscribe": True, "consent": []}, None, ("unreadable_consent",)),
    "unknown-channel": ({"subscribe": True, "consent": ["push"]}, None, ("unreadable_consent",)),
    "unreadable-channel": ({"subscribe": True, "consent": 1}, None, ("unreadable_consent",)),
    "where-and-when": (
        {"subscribe": True, "consentedAt": EARLIER, "consentSource": " Quiz "},
        marketing("email", list_id=DEFAULT, consented_at=EARLIER_AT, source="Quiz"), (),
    ),
    "historical": (
        {"subscribe": True, "consentedAt": EARLIER, "historicalImport": True},
        marketing("email", list_id=DEFAULT, consented_at=EARLIER_AT, historical=True), (),
    ),
    "historical-without-a-time": (
        {"subscribe": True, "historicalImport": True}, marketing("email", list_id=DEFAULT), (),
    ),
    "historical-in-the-future": (
        {"subscribe": True, "consentedAt": "2099-01-01T00:00:00Z", "historicalImport": True},
        marketing("email", list_id=DEFAULT), (),
    ),
    "historical-as-a-text": (
        {"subscribe": True, "consentedAt": EARLIER, "historicalImport": "true"},
        marketing("email", list_id=DEFAULT, consented_at=EARLIER_AT), (),
    ),
    **{
        f"{value!r}-is-no-truth-value": ({"subscribe": value}, None, ("unreadable_subscribe",))
        for value in ("false", "true", "yes", 1, 0, "", [True], {"email": True})
    },
}  # fmt: skip


@pytest.mark.parametrize("nested", [True, False], ids=["nested", "flat"])
@pytest.mark.parametrize(("said", "change", "notes"), SUBSCRIPTIONS.values(), ids=SUBSCRIPTIONS)
def test_subscribing(
    said: dict[str, Any], change: SubscriptionChange | None, notes: tuple[str, ...], nested: bool
) -> None:
    found = asked(default=DEFAULT, traits=BOTH | ({"properties": said} if nested else said))
    assert (found.subscribe, found.unsubscribe, found.notes) == (change, None, notes)
    assert found.is_dated is (change is not None and change.consented_at == EARLIER_AT)


@pytest.mark.parametrize(
    ("channels", "said", "meant"),
    [
        (("email", "sms"), {}, ("email", "sms")),
        (("sms",), {}, ("sms",)),
        (("email", "sms"), {"consent": ["email"]}, ("email",)),
        (("email", "sms"), {"smsConsent": False}, ("email",)),
        (("sms",), {"consent": "email", "smsConsent": True}, ("email", "sms")),
    ],
)
def test_the_site_says_what_an_opt_in_is_for_that_names_no_channel(
    channels: tuple[str, ...], said: dict[str, Any], meant: tuple[str, ...]
) -> None:
    found = asked(channels=channels, traits=BOTH | {"properties": {"subscribe": True} | said})
    assert found.subscribe == marketing(*meant)
    left = asked(channels=channels, traits=BOTH | {"properties": {"subscribe": False}})
    assert left.unsubscribe == marketing("email", "sms"), "who wants no more wants none, whatever the setting"


UNSUBSCRIPTIONS: dict[str, tuple[dict[str, Any], SubscriptionChange]] = {
    "everything": ({}, marketing("email", "sms")),
    "one-channel": ({"consent": "sms"}, marketing("sms")),
    "a-list": ({"listId": LIST, "consent": ["email"]}, marketing("email", list_id=LIST)),
    "sms-may-go-on": ({"smsConsent": True}, marketing("email")),
    "nor-sms": ({"consent": ["email"], "smsConsent": False}, marketing("email", "sms")),
    "never-historical": ({"historicalImport": True, "consentedAt": EARLIER}, marketing("email", "sms",
                                                                                     consented_at=EARLIER_AT)),
}  # fmt: skip


@pytest.mark.parametrize(("said", "change"), UNSUBSCRIPTIONS.values(), ids=UNSUBSCRIPTIONS)
def test_unsubscribing_is_from_everything_unless_said_otherwise(
    said: dict[str, Any], change: SubscriptionChange
) -> None:
    found = asked(default=DEFAULT, traits=BOTH | {"properties": {"subscribe": False} | said})
    assert (found.subscribe, found.unsubscribe, found.notes) == (None, change, ())


def test_a_group_is_a_list_whose_traits_say_the_same() -> None:
    for said, subscribe, unsubscribe in (
        ({"subscribe": True}, marketing("email", list_id=LIST), None),
        ({"subscribe": True, "smsConsent": True}, marketing("email", "sms", list_id=LIST), None),
        ({"subscribe": False}, None, marketing("email", "sms", list_id=LIST)),
        ({"subscribe": "false"}, None, None),
    ):
        found = asked(type="group", group_id=LIST, traits=said, context={"traits": BOTH}, default=DEFAULT)
        assert (found.subscribe, found.unsubscribe, found.joins) == (subscribe, unsubscribe, None)


@pytest.mark.parametrize("type_", ["track", "page", "screen", "alias"])
def test_traits_that_an_sdk_repeats_with_every_call_subscribe_nobody(type_: str) -> None:
    repeated = BOTH | {"subscribe": True, "properties": {"subscribe": True}}
    found = asked(type=type_, traits=repeated, context={"traits": repeated}, properties=repeated, event="Quiz Done")
    assert found == Instructions()


REACHED: list[tuple[str, Trust, dict[str, Any], dict[str, Any], tuple[str, ...], tuple[str, ...]]] = [
    ("a browser by the address it gives", Trust.BROWSER, ANN, {}, ("email",), ()),
    ("a browser not by a number it does not give", Trust.BROWSER, ANN, {"smsConsent": True}, ("email",),
     ("sms_without_phone",)),
    ("a browser not by an address it does not give", Trust.BROWSER, {"phone": "+4930901820"}, {}, (),
     ("email_without_address",)),
    ("a browser by a number alone", Trust.BROWSER, {"phone": "030 901820"}, {"consent": "sms"}, ("sms",), ()),
    ("nobody by a bad number", Trust.SERVER, ANN | {"phone": "12"}, {"smsConsent": True}, ("email",),
     ("sms_without_phone",)),
    ("nobody by a bad address", Trust.SERVER, {"email": "ann at mail"}, {}, (), ("email_without_address",)),
    ("a server's customer by what is known", Trust.SERVER, {}, {"smsConsent": True}, ("email", "sms"), ()),
]  # fmt: skip


@pytest.mark.parametrize(("trust", "traits", "said", "channels", "notes"), [row[1:] for row in REACHED],
                         ids=[row[0] for row in REACHED])  # fmt: skip
def test_a_channel_needs_the_address_the_call_speaks_of(
    trust: Trust, traits: dict[str, Any], said: dict[str, Any], channels: tuple[str, ...], notes: tuple[str, ...]
) -> None:
    found = asked(trust, user_id="7", traits=traits | {"subscribe": True} | said)
    assert (found.subscribe.channels if found.subscribe else ()) == channels
    assert found.notes == notes


def test_a_browser_that_names_nobody_is_left_to_be_refused() -> None:
    """The wish is kept as it is: it ends as one of nobody, where everybody can see it."""
    for subscribes in (True, False):
        found = asked(Trust.BROWSER, user_id="7", traits={"subscribe": subscribes})
        assert (found.subscribe or found.unsubscribe) is not None


def test_a_browser_may_say_when_but_imports_no_history() -> None:
    said = {"subscribe": True, "consentedAt": EARLIER, "historicalImport": True}
    assert asked(Trust.BROWSER, traits=ANN | said).subscribe == marketing("email", consented_at=EARLIER_AT)
    ahead = said | {"consentedAt": "2099-01-01T00:00:00Z"}
    assert asked(Trust.BROWSER, traits=ANN | ahead).subscribe == marketing("email")


NEWS: dict[str, tuple[SubscriptionChange, bool, dict[str, Any], tuple[str, ...]]] = {
    "never-heard": (marketing("email"), False, {}, ("email",)),
    "the-same-again": (marketing("email"), False, {"email": 1.0}, ()),
    "another-channel": (marketing("email", "sms"), False, {"email": 1.0}, ("sms",)),
    "another-list": (marketing("email", list_id=LIST), False, {"email": 1.0, f"email:{OTHER}": 1.0}, ("email",)),
    "that-list-again": (marketing("email", list_id=LIST), False, {f"email:{LIST}": 1.0}, ()),
    "a-later-time-is-told": (marketing("email", consented_at=2.0), True, {"email": 1.0}, ("email",)),
    "the-same-time-is-told": (marketing("email", consented_at=1.0), True, {"email": 1.0}, ()),
    "an-earlier-time-is-told": (marketing("email", consented_at=0.5), True, {"email": 1.0}, ()),
    "a-memory-of-nothing": (marketing("email"), False, {"email": "x"}, ("email",)),
}  # fmt: skip


@pytest.mark.parametrize(("change", "is_dated", "memory", "channels"), NEWS.values(), ids=NEWS)
def test_what_an_sdk_repeats_is_no_new_opt_in(
    change: SubscriptionChange, is_dated: bool, memory: dict[str, Any], channels: tuple[str, ...]
) -> None:
    assert optin.new_channels(change, memory, is_dated=is_dated) == channels


MEMORIES: dict[str, tuple[SubscriptionChange, bool, dict[str, Any]]] = {
    "subscribed": (marketing("email"), True, {"email": AT, "sms": 1.0, f"email:{LIST}": 1.0}),
    "subscribed-to-a-list": (
        marketing("sms", list_id=LIST), True, {"email": 1.0, "sms": 1.0, f"email:{LIST}": 1.0, f"sms:{LIST}": AT},
    ),
    "left-a-list": (marketing("email", "sms", list_id=LIST), False, {"email": 1.0, "sms": 1.0}),
    "left-a-channel": (marketing("email"), False, {"sms": 1.0}),
    "left-everything": (marketing("email", "sms"), False, {}),
}  # fmt: skip


@pytest.mark.parametrize(("change", "subscribes", "after"), MEMORIES.values(), ids=MEMORIES)
def test_what_is_remembered_of_opt_ins(change: SubscriptionChange, subscribes: bool, after: dict[str, Any]) -> None:
    before = {"email": 1.0, "sms": 1.0, f"email:{LIST}": 1.0}
    assert optin.remember(before, change, subscribes=subscribes) == after
    assert before == {"email": 1.0, "sms": 1.0, f"email:{LIST}": 1.0}


# --- changes of a profile ---------------------------------------------------------------------------------------------

PATCHES: dict[str, tuple[dict[str, Any], dict[str, Any], ProfilePatch | None, tuple[str, ...]]] = {
    "nothing": ({}, {}, None, ()),
    "unset": ({"fieldsToUnset": ["plan", "plan", "firstName"]}, {}, ProfilePatch(unset=("plan", "firstName")), ()),
    "unset-one": ({"fieldsToUnset": "plan"}, {}, ProfilePatch(unset=("plan",)), ()),
    "append-the-traits-value": (
        {"fieldsToAppend": ["skus"]}, {"skus": ["a", "b"], "plan": "gold"}, ProfilePatch(append={"skus": ["a", "b"]}),
        (),
    ),
    "append-a-value-said": ({"fieldsToAppend": {"skus": "a"}}, {}, ProfilePatch(append={"skus": "a"}), ()),
    "unappend": ({"fieldsToUnappend": ["skus"]}, {"skus": "a"}, ProfilePatch(unappend={"skus": "a"}), ()),
    "all-three": (
        {"fieldsToUnset": ["a"], "fieldsToAppend": ["b"], "fieldsToUnappend": ["c"]}, {"b": 1, "c": 2},
        ProfilePatch(unset=("a",), append={"b": 1}, unappend={"c": 2}), (),
    ),
    "no-such-trait": ({"fieldsToAppend": ["skus"]}, {}, None, ("unreadable_patch",)),
    "no-name": ({"fieldsToUnset": [7, "plan"]}, {}, ProfilePatch(unset=("plan",)), ("unreadable_patch",)),
    "nothing-to-do": ({"fieldsToUnset": [], "fieldsToAppend": None, "fieldsToUnappend": {}}, {}, None, ()),
}  # fmt: skip


@pytest.mark.parametrize("trust", [Trust.SERVER, Trust.BROWSER])
@pytest.mark.parametrize(("options", "traits", "patch", "notes"), PATCHES.values(), ids=PATCHES)
def test_changes_of_a_profile(
    options: dict[str, Any], traits: dict[str, Any], patch: ProfilePatch | None, notes: tuple[str, ...], trust: Trust
) -> None:
    found = asked(trust, traits=ANN | traits, integrations={"Klaviyo": options})
    assert (found.patch, found.notes) == (patch, notes)


def test_a_server_may_change_a_profile_with_any_call_and_a_browser_with_its_identify_alone() -> None:
    fields: dict[str, Any] = {
        "type": "track", "event": "Quiz Done", "context": {"traits": ANN | {"skus": "a"}},
        "integrations": {"Klaviyo": {"fieldsToAppend": ["skus"], "fieldsToUnset": ["plan"]}},
    }  # fmt: skip
    assert asked(Trust.SERVER, **fields).patch == ProfilePatch(append={"skus": "a"}, unset=("plan",))
    assert asked(Trust.BROWSER, **fields).patch is None


# --- audiences --------------------------------------------------------------------------------------------------------

AUDIENCE = {"computation_class": "audience", "computation_key": "vips", "external_audience_id": LIST}
MEMBERS: dict[str, tuple[dict[str, Any], str | None, str | None]] = {
    "trait-true": ({"traits": {"vips": True}}, LIST, None),
    "trait-false": ({"traits": {"vips": False}}, None, LIST),
    "event-true": ({"type": "track", "event": "Audience Entered", "properties": {"vips": True}}, LIST, None),
    "event-false": ({"type": "track", "event": "Audience Exited", "properties": {"vips": False}}, None, LIST),
    "entered": ({"type": "track", "event": "Audience Entered"}, LIST, None),
    "exited": ({"type": "track", "event": "audience exited"}, None, LIST),
}


@pytest.mark.parametrize("where", ["personas", "audience"])
@pytest.mark.parametrize(("fields", "joins", "leaves"), MEMBERS.values(), ids=MEMBERS)
def test_an_audience_is_a_list(fields: dict[str, Any], joins: str | None, leaves: str | None, where: str) -> None:
    found = asked(**fields, context={where: AUDIENCE, "traits": ANN})
    assert found == Instructions(joins=joins, leaves=leaves, is_membership=True)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"traits": {"vips": "false"}}, id="text"),
        pytest.param({"traits": {"vips": 1}}, id="number"),
        pytest.param({"traits": {}}, id="untold"),
        pytest.param({"type": "track", "event": "Quiz Done"}, id="another event"),
        pytest.param({"traits": {"vips": True}, "context": {"personas": AUDIENCE | {"external_audience_id": None}}},
                     id="no list"),
    ],
)  # fmt: skip
def test_an_audience_that_cannot_be_read_changes_nothing(fields: dict[str, Any]) -> None:
    found = asked(**({"context": {"personas": AUDIENCE}} | fields))
    assert found == Instructions(is_membership=True, notes=("unreadable_audience",))


def test_an_audiences_list_may_stand_in_the_integrations() -> None:
    context = {"personas": {"computation_class": "audience", "computation_key": "vips"}}
    found = asked(traits=ANN | {"vips": True}, context=context, integrations={"Klaviyo": {"listId": OTHER}})
    assert found.joins == OTHER


def test_a_computed_trait_is_a_trait_and_a_browser_has_no_audiences() -> None:
    computed = {"computation_class": "trait", "computation_key": "ltv"}
    assert asked(traits=ANN | {"ltv": 7}, context={"personas": computed}) == Instructions()
    assert asked(Trust.BROWSER, traits=ANN | {"vips": True}, context={"personas": AUDIENCE}) == Instructions()


# --- what is remembered -----------------------------------------------------------------------------------------------

TOLD: dict[str, tuple[dict[str, Any], ProfilePatch | None, dict[str, Any]]] = {
    "plain": ({"plan": "gold"}, None, {"plan": "gold"}),
    "the-memory-is-ours": ({optin.MEMORY: {"email": 1.0}, "plan": "gold"}, None, {"plan": "gold"}),
    "words": ({"plan": "gold", "subscribe": True, "consent": "sms", "listId": LIST}, None, {"plan": "gold"}),
    "a-consent-of-the-shops-own": ({"consent": "2026"}, None, {"consent": "2026"}),
    "nested": (
        {"properties": {"subscribe": True, "listId": LIST, "color": "red"}}, None, {"properties": {"color": "red"}},
    ),
    "nothing-else-nested": ({"properties": {"subscribe": True}}, None, {"properties": None}),
    "cleared": ({"plan": "gold"}, ProfilePatch(unset=("plan", "vip")), {"plan": "", "vip": ""}),
    "appended": (
        {"skus": "a", "sizes": 4, "plan": "gold"}, ProfilePatch(append={"skus": "a"}, unappend={"sizes": 4}),
        {"skus": "", "sizes": "", "plan": "gold"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("traits", "patch", "told"), TOLD.values(), ids=TOLD)
def test_what_is_remembered_of_a_person(
    traits: dict[str, Any], patch: ProfilePatch | None, told: dict[str, Any]
) -> None:
    assert of_the_person(traits, patch) == told


def test_what_is_cleared_is_cleared_however_it_is_spelt() -> None:
    told = of_the_person({}, ProfilePatch(unset=("firstName",)))
    assert set(told) == {"firstName", "first_name", "firstname", "$first_name", "name"}
    assert set(told.values()) == {""}


# --- whatever is sent -------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["All", "Klaviyo", "listId", "subscribe", "consent", "smsConsent", "properties", "traits", "personas", "email",
     "phone", "fieldsToUnset", "fieldsToAppend", "computation_class", "computation_key", "external_audience_id",
     "consentedAt", "historicalImport", "consentSource"]
) | st.text(max_size=5)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([LIST, "audience", "email", "sms"])
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
OBJECT = st.dictionaries(WORDS, JSON, max_size=6)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(Trust), st.sampled_from(["identify", "track", "group", "page"]), OBJECT, OBJECT, OBJECT, OBJECT
)  # fmt: skip
def test_whatever_is_sent_is_read_without_an_error_and_left_as_it_is(
    trust: Trust, type_: str, traits: dict[str, Any], context: dict[str, Any], integrations: dict[str, Any],
    properties: dict[str, Any],
) -> None:  # fmt: skip
    message = Message(
        type=type_, message_id="m1", occurred_at=AT, traits=traits, context=context, integrations=integrations,
        properties=properties, event="Audience Entered", group_id=LIST,
    )  # fmt: skip
    before = copy.deepcopy(message)
    found = instructions(message, Claims(), trust, DEFAULT)
    of_the_person(message.traits, found.patch)
    assert repr(message) == repr(before)  # NaN is not equal to itself
    assert set(found.notes) <= NOTES.keys()
    said = [
        holder.get("subscribe") for holder in (traits, traits.get("properties")) if isinstance(holder, dict)
    ]  # fmt: skip
    assert found.subscribe is None or True in [value is True for value in said]
    assert found.unsubscribe is None or True in [value is False for value in said]
