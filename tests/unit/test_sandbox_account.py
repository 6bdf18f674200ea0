"""The sandbox's account: de-duplication, whose an event is, what vanishes behind a 202, merging of profile data."""

from typing import Any

import pytest

from relay.demo.sandbox import bodies
from relay.demo.sandbox.account import Account
from relay.demo.sandbox.answers import Refused
from relay.demo.sandbox.limits import Rate, RateLimits
from relay.demo.sandbox.profiles import is_exchange_id

NOW = 1_795_000_000.0


def account() -> Account:
    return Account(now=lambda: NOW)


def who(**attributes: Any) -> bodies.Profile:
    profile_id = attributes.pop("id", None)
    if "_kx" in attributes:
        attributes["kx"] = attributes.pop("_kx")
    return bodies.Profile(type="profile", id=profile_id, attributes=bodies.ProfileAttributes(**attributes))


def upserted(**attributes: Any) -> bodies.UpsertProfile:
    profile_id, meta = attributes.pop("id", None), attributes.pop("meta", None)
    return bodies.UpsertProfile(
        type="profile", id=profile_id, meta=meta, attributes=bodies.UpsertAttributes(**attributes)
    )


def event(name: str = "Added to Cart - Backup Flow", **fields: Any) -> bodies.BulkEntryAttributes:
    metric = bodies.MetricBox(bodies.Metric(type="metric", attributes=bodies.MetricAttributes(name=name)))
    return bodies.BulkEntryAttributes(metric=metric, properties=fields.pop("properties", {}), **fields)


def record(to: Account, what: bodies.BulkEntryAttributes, whose: bodies.Profile, via: str = "server") -> str | None:
    return to.record(what, whose, via=via)


# -- de-duplication -------------------------------------------------------------------------------------------


def test_a_repeated_unique_id_counts_once_and_the_first_stands() -> None:
    one = account()
    assert record(one, event(unique_id="m1", value=1), who(email="a@example.com")) is None
    assert record(one, event(unique_id="m1", value=2), who(email="a@example.com")) == "deduplicated"
    assert [(e.value, e.deduplicated_repeats) for e in one.events] == [(1, 1)]


@pytest.mark.parametrize(
    ("what", "whose"),
    [
        pytest.param(event(unique_id="m2"), who(email="a@example.com"), id="another_unique_id"),
        pytest.param(event("Viewed Product", unique_id="m1"), who(email="a@example.com"), id="another_metric"),
        pytest.param(event(unique_id="m1"), who(email="b@example.com"), id="another_profile"),
    ],
)
def test_profile_metric_and_unique_id_together_make_a_repeat(
    what: bodies.BulkEntryAttributes, whose: bodies.Profile
) -> None:
    one = account()
    record(one, event(unique_id="m1"), who(email="a@example.com"))
    assert record(one, what, whose) is None
    assert len(one.events) == 2


def test_the_same_profile_by_another_identifier_is_still_a_repeat() -> None:
    one = account()
    record(one, event(unique_id="m1"), who(email="a@example.com", external_id="c1"))
    assert record(one, event(unique_id="m1"), who(external_id="c1")) == "deduplicated"


def test_without_unique_id_one_event_a_second_survives() -> None:
    one = account()
    record(one, event(time="2026-11-20T10:00:00.100Z"), who(email="a@example.com"))
    repeat = record(one, event(time="2026-11-20T10:00:00.900Z"), who(email="a@example.com"))
    record(one, event(time="2026-11-20T10:00:01Z"), who(email="a@example.com"))
    assert repeat == "deduplicated"
    assert len(one.events) == 2


def test_a_script_and_a_server_event_share_unique_ids() -> None:
    one = account()
    record(one, event("Viewed Product", unique_id="m1"), who(email="a@example.com"), via="script")
    assert record(one, event("Viewed Product", unique_id="m1"), who(email="a@example.com")) == "deduplicated"


# -- whose an event is ----------------------------------------------------------------------------------------


def test_an_event_makes_its_profile_and_later_ones_add_to_it() -> None:
    one = account()
    record(one, event(unique_id="1"), who(email="A@Example.com", properties={"a": 1}))
    record(one, event(unique_id="2"), who(email="a@example.com", first_name="Ann", properties={"b": 2}))
    (profile,) = one.profiles
    assert (profile.email, profile.first_name, profile.properties) == ("a@example.com", "Ann", {"a": 1, "b": 2})


def test_an_identifier_of_another_profile_is_not_taken_from_it() -> None:
    one = account()
    record(one, event(unique_id="1"), who(email="a@example.com"))
    record(one, event(unique_id="2"), who(phone_number="+12025550123"))
    record(one, event(unique_id="3"), who(email="a@example.com", phone_number="+12025550123"))
    assert [(p.email, p.phone_number) for p in one.profiles] == [("a@example.com", None), (None, "+12025550123")]
    assert one.events[-1].profile_id == next(iter(one.profiles)).id


def test_id_then_external_id_then_email_then_phone_decide() -> None:
    one = account()
    by = {}
    for kind, value in (("phone_number", "+12025550123"), ("email", "a@example.com"), ("external_id", "c1")):
        record(one, event(unique_id=kind), who(**{kind: value}))
        by[kind] = one.events[-1].profile_id
    everything = {"email": "a@example.com", "phone_number": "+12025550123", "external_id": "c1"}
    record(one, event(unique_id="all"), who(**everything))
    assert one.events[-1].profile_id == by["external_id"]
    record(one, event(unique_id="id"), who(id=by["phone_number"], **everything))
    assert one.events[-1].profile_id == by["phone_number"]
    del everything["external_id"]
    record(one, event(unique_id="two"), who(**everything))
    assert one.events[-1].profile_id == by["email"]


def test_an_exchange_id_finds_its_profile_and_has_klaviyos_form() -> None:
    one = account()
    profile = one.seed(who(email="a@example.com"))
    kx = one.profiles.mint_exchange_id(profile)
    assert is_exchange_id(kx, "DEMO42")
    assert not is_exchange_id(kx, "OTHER1")
    assert record(one, event(), who(_kx=kx)) is None
    assert one.events[0].profile_id == profile.id


def test_an_unknown_exchange_id_alone_vanishes_and_makes_nobody() -> None:
    one = account()
    assert record(one, event(unique_id="m1"), who(_kx="x" * 43 + ".DEMO42")) == "unknown _kx"
    assert (list(one.profiles), one.events) == ([], [])
    assert [(v["reason"], v["unique_id"]) for v in one.vanished] == [("unknown _kx", "m1")]


def test_an_unknown_exchange_id_beside_an_email_does_no_harm() -> None:
    one = account()
    assert record(one, event(), who(_kx="x" * 43 + ".DEMO42", email="a@example.com")) is None
    assert len(one.events) == 1


def test_an_unknown_profile_id_vanishes_even_beside_an_email() -> None:
    one = account()
    assert record(one, event(), who(id="01GDDKASAP8TKDDA2GRZDSVP4H", email="a@example.com")) == "unknown profile"
    assert list(one.profiles) == []


def test_the_browser_cannot_change_an_identifier_but_the_server_can() -> None:
    one = account()
    record(one, event(unique_id="1"), who(email="a@example.com", external_id="c1"))
    record(one, event(unique_id="2"), who(external_id="c1", email="new@example.com"), via="script")
    (profile,) = one.profiles
    assert profile.email == "a@example.com"
    record(one, event(unique_id="3"), who(external_id="c1", email="new@example.com"))
    assert profile.email == "new@example.com"
    assert one.profiles.owner("email", "a@example.com") is None


def test_an_anonymous_profile_gets_its_email_later() -> None:
    one = account()
    record(one, event(unique_id="1"), who(anonymous_id="anon"))
    record(one, event(unique_id="2"), who(anonymous_id="anon", email="a@example.com"))
    (profile,) = one.profiles
    assert profile.email == "a@example.com"
    assert {e.profile_id for e in one.events} == {profile.id}


def test_backfill_of_an_event_or_of_its_group_is_recorded() -> None:
    one = account()
    one.record(event(unique_id="1", backfill=True), who(email="a@example.com"), via="server")
    one.record(event(unique_id="2"), who(email="a@example.com"), via="server", backfill=True)
    one.record(event(unique_id="3"), who(email="a@example.com"), via="server")
    assert [e.backfill for e in one.events] == [True, True, False]


def test_time_is_cut_to_the_second_and_defaults_to_now() -> None:
    one = account()
    record(one, event(unique_id="1", time="2026-11-20T10:00:00.900+01:00"), who(email="a@example.com"))
    record(one, event(unique_id="2"), who(email="a@example.com"))
    assert [e.time for e in one.events] == [1795165200.0, NOW]


# -- profile-import and deletion ------------------------------------------------------------------------------


def test_null_clears_a_field_and_an_absent_one_is_left_alone() -> None:
    one = account()
    one.upsert(upserted(email="a@example.com", first_name="Ann", last_name="Lee", phone_number="+12025550123"))
    profile, new = one.upsert(upserted(email="a@example.com", last_name=None, phone_number=None))
    assert not new
    assert (profile.first_name, profile.last_name, profile.phone_number) == ("Ann", None, None)
    assert one.profiles.owner("phone_number", "+12025550123") is None


def test_null_clears_single_properties_and_places_and_whole_ones() -> None:
    one = account()
    place = bodies.Location(city="Paris", country="France")
    one.upsert(upserted(email="a@example.com", location=place, properties={"size": "M", "plan": "gold"}))
    gone = bodies.Location(city=None)
    profile, _ = one.upsert(upserted(email="a@example.com", location=gone, properties={"size": None}))
    assert (profile.location, profile.properties) == ({"country": "France"}, {"plan": "gold"})
    one.upsert(upserted(email="a@example.com", location=None, properties=None))
    assert (profile.location, profile.properties) == ({}, {})


def test_a_null_in_an_event_clears_nothing() -> None:
    one = account()
    record(one, event(unique_id="1"), who(email="a@example.com", first_name="Ann"))
    record(one, event(unique_id="2"), who(email="a@example.com", first_name=None))
    assert next(iter(one.profiles)).first_name == "Ann"


def test_identifiers_of_two_profiles_conflict_and_change_nothing() -> None:
    one = account()
    one.upsert(upserted(email="a@example.com"))
    other, _ = one.upsert(upserted(phone_number="+12025550123"))
    with pytest.raises(Refused) as caught:
        one.upsert(upserted(email="a@example.com", phone_number="+12025550123", first_name="Ann"))
    assert caught.value.status == 409
    assert caught.value.faults[0].meta == {"duplicate_profile_id": other.id}
    assert [p.first_name for p in one.profiles] == [None, None]


def test_meta_patches_properties_and_secondary_emails() -> None:
    one = account()
    one.upsert(upserted(email="a@example.com", properties={"skus": ["1", "2"], "old": 1}))
    meta = bodies.ProfileMeta(
        patch_properties=bodies.PatchProperties(append={"skus": "3"}, unappend={"skus": ["1"]}, unset="old"),
        patch_identifiers=bodies.PatchIdentifiers(append={"email": ["B@example.com"]}),
    )
    profile, _ = one.upsert(upserted(email="a@example.com", meta=meta))
    assert profile.properties == {"skus": ["2", "3"]}
    assert one.profiles.owner("email", "b@example.com") is profile


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        pytest.param({"skus": ["1"]}, {"append": {"skus": "2"}}, {"skus": ["1", "2"]}, id="append_one"),
        pytest.param({"skus": ["1"]}, {"append": {"skus": ["2", 3]}}, {"skus": ["1", "2", 3]}, id="append_many"),
        pytest.param({}, {"append": {"skus": "1"}}, {"skus": ["1"]}, id="append_to_nothing"),
        pytest.param({"skus": "1"}, {"append": {"skus": "2"}}, {"skus": ["1", "2"]}, id="append_to_a_single_value"),
        pytest.param({"skus": ["1", "2", "1"]}, {"unappend": {"skus": "1"}}, {"skus": ["2"]}, id="unappend"),
        pytest.param({"skus": ["1"]}, {"unappend": {"skus": "9"}}, {"skus": ["1"]}, id="unappend_what_is_not_there"),
        pytest.param({"a": 1, "b": 2, "c": 3}, {"unset": ["a", "b", "x"]}, {"c": 3}, id="unset_many"),
    ],
)
def test_arrays_are_patched(before: dict[str, Any], patch: dict[str, Any], after: dict[str, Any]) -> None:
    one = account()
    one.upsert(upserted(email="a@example.com", properties=before))
    meta = bodies.ProfileMeta(patch_properties=bodies.PatchProperties(**patch))
    profile, new = one.upsert(upserted(email="a@example.com", meta=meta))
    assert (profile.properties, new) == (after, False)


def test_an_id_and_an_address_of_two_profiles_conflict() -> None:
    one = account()
    first, _ = one.upsert(upserted(email="a@example.com"))
    other, _ = one.upsert(upserted(email="b@example.com"))
    with pytest.raises(Refused) as caught:
        one.upsert(upserted(id=first.id, email="b@example.com"))
    assert caught.value.faults[0].meta == {"duplicate_profile_id": other.id}
    assert first.email == "a@example.com"


def test_deletion_takes_the_profile_its_events_and_its_exchange_ids() -> None:
    one = account()
    record(one, event(unique_id="1"), who(email="a@example.com"))
    record(one, event(unique_id="2"), who(email="b@example.com"))
    gone = next(iter(one.profiles))
    kx = one.profiles.mint_exchange_id(gone)
    news = one.lists.create("News", NOW, opt_in="single_opt_in")
    news.members[gone.id] = NOW
    one.forget("email", "A@example.com")
    one.forget("email", "nobody@example.com")
    assert [p.email for p in one.profiles] == ["b@example.com"]
    assert len(one.events) == 1
    assert one.profiles.owner("kx", kx) is None
    assert news.members == {}
    assert [d["found"] for d in one.deletions] == [True, False]


# -- rate limits ----------------------------------------------------------------------------------------------


def test_limits_that_are_off_let_everything_through_without_headers() -> None:
    limits = RateLimits()
    verdicts = [limits.take("GET /api/accounts", Rate(1, 15), NOW) for _ in range(50)]
    assert {(v.retry_after, len(v.headers)) for v in verdicts} == {(None, 0)}


def test_burst_and_steady_windows_are_fixed_and_per_endpoint() -> None:
    limits = RateLimits()
    limits.enabled = True
    minute = NOW - NOW % 60
    assert limits.take("a", Rate(1, 2), minute).retry_after is None
    assert limits.take("a", Rate(1, 2), minute + 0.9).retry_after == 1
    assert limits.take("b", Rate(1, 2), minute + 0.9).retry_after is None
    second = limits.take("a", Rate(1, 2), minute + 1)
    assert second.retry_after is None
    assert second.headers == {"RateLimit-Limit": "2", "RateLimit-Remaining": "0", "RateLimit-Reset": "59"}
    assert limits.take("a", Rate(1, 2), minute + 20).retry_after == 40
    assert limits.take("a", Rate(1, 2), minute + 60).retry_after is None


def test_a_daily_limit_outlasts_the_minute() -> None:
    limits = RateLimits()
    limits.enabled = True
    midnight = NOW - NOW % 86400
    assert limits.take("a", Rate(10, 150, 2), midnight + 60).retry_after is None
    assert limits.take("a", Rate(10, 150, 2), midnight + 7200).retry_after is None
    assert limits.take("a", Rate(10, 150, 2), midnight + 86000).retry_after == 400
    assert limits.take("a", Rate(10, 150, 2), midnight + 86400).retry_after is None
