"""The sandbox's reader of Klaviyo filters: what it accepts, and that a value cannot break out of its quotes."""

import pytest

from relay.demo.sandbox.answers import Refused
from relay.demo.sandbox.filters import (
    LIST_FILTERS,
    METRIC_FILTERS,
    PROFILE_FILTERS,
    Condition,
    parse,
    select,
    select_lists,
)
from relay.demo.sandbox.mailing import Lists
from relay.demo.sandbox.profiles import Directory, Identifiers

GOOD = {
    "double_quotes": ('equals(email,"a@example.com")', ("equals", "email", ("a@example.com",))),
    "single_quotes": ("equals(email,'a@example.com')", ("equals", "email", ("a@example.com",))),
    "plus_address": ('equals(email,"a+b@example.com")', ("equals", "email", ("a+b@example.com",))),
    "escaped_quote": (r'equals(external_id,"a\"b")', ("equals", "external_id", ('a"b',))),
    "escaped_backslash": (r'equals(external_id,"a\\")', ("equals", "external_id", ("a\\",))),
    "other_quote_inside": ('equals(external_id,"o\'neil")', ("equals", "external_id", ("o'neil",))),
    "any": ('any(id,["x","y"])', ("any", "id", ("x", "y"))),
    "any_with_space": ("any(id,['x', 'y'])", ("any", "id", ("x", "y"))),
    "exchange_id": ('equals(_kx,"abc.DEMO42")', ("equals", "_kx", ("abc.DEMO42",))),
    "brackets_inside_a_value": ('equals(external_id,"a),(b]")', ("equals", "external_id", ("a),(b]",))),
    "date": (
        "greater-than(updated,2026-01-01T00:00:00Z)",
        ("greater-than", "updated", ("2026-01-01T00:00:00Z",)),
    ),
}

BAD = {
    "empty": "",
    "unquoted": "equals(email,a@example.com)",
    "unknown_field": 'equals(first_name,"a")',
    "unknown_operator": 'contains(email,"a")',
    "any_of_one_without_brackets": 'any(email,"a@example.com")',
    "any_on_kx": 'any(_kx,["a"])',
    "list_on_kx": 'equals(_kx,["a","b"])',
    "equals_on_a_date": "equals(created,2026-01-01T00:00:00Z)",
    "unclosed_bracket": 'equals(email,"a"',
    "unclosed_quote": 'equals(email,"a)',
    "trailing_comma": 'equals(email,"a"),',
    "trailing_text": 'equals(email,"a") or 1',
    "empty_list": "any(id,[])",
    "broken_out_value": 'equals(email,"a"),any(id,["x"])"',
    "broken_out_of_a_value": 'equals(external_id,"x" or "1"="1")',
    "nested": 'not(equals(email,"a"))',
    "no_value": "equals(email,)",
}


@pytest.mark.parametrize(("text", "expected"), GOOD.values(), ids=GOOD.keys())
def test_a_filter_klaviyo_has_is_read(text: str, expected: tuple[str, str, tuple[str, ...]]) -> None:
    assert parse(text, PROFILE_FILTERS) == [Condition(*expected)]


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_a_filter_klaviyo_lacks_is_refused_with_its_parameter_named(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(text, PROFILE_FILTERS)
    assert caught.value.status == 400
    assert caught.value.faults[0].parameter == "filter"


def test_metrics_have_no_filter_by_name() -> None:
    with pytest.raises(Refused):
        parse('equals(name,"Added to Cart")', METRIC_FILTERS)


def test_the_name_of_a_list_is_asked_for_in_brackets() -> None:
    with pytest.raises(Refused):
        parse('equals(name,"News")', LIST_FILTERS)
    assert parse('equals(name,["News"])', LIST_FILTERS) == [Condition("equals", "name", ("News",))]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('any(name,["News","Sale"])', ["News", "Sale"]),
        ('equals(id,"AAAAA1")', ["News"]),
        ("greater-than(created,1970-01-01T00:00:05Z)", ["Sale", "VIP"]),
        ('equals(name,["News"]),greater-than(updated,1970-01-01T00:00:05Z)', []),
    ],
)
def test_lists_are_selected_by_name_id_and_date(text: str, names: list[str]) -> None:
    lists = Lists()
    for number, name in enumerate(("News", "Sale", "VIP")):
        lists.create(name, number * 10.0, opt_in="single_opt_in", list_id=f"AAAAA{number + 1}")
    assert [one.name for one in select_lists(lists, parse(text, LIST_FILTERS))] == names


def test_several_conditions_must_all_hold() -> None:
    people = directory()
    both = parse('equals(email,"a@example.com"),equals(external_id,"1")', PROFILE_FILTERS)
    clash = parse('equals(email,"a@example.com"),equals(external_id,"2")', PROFILE_FILTERS)
    assert [profile.email for profile in select(people, both)] == ["a@example.com"]
    assert select(people, clash) == []


def test_an_email_is_found_whatever_its_case() -> None:
    found = select(directory(), parse('equals(email,"A@Example.com")', PROFILE_FILTERS))
    assert [profile.external_id for profile in found] == ["1"]


def test_a_value_with_quotes_selects_only_itself() -> None:
    people = directory()
    odd = people.create(1.0)
    people.identify(odd, Identifiers(external_id='x","y'), replace=True)
    found = select(people, parse(r'equals(external_id,"x\",\"y")', PROFILE_FILTERS))
    assert [profile.id for profile in found] == [odd.id]


def test_dates_bound_a_selection() -> None:
    people = directory()
    assert len(select(people, parse("greater-than(created,1970-01-01T00:00:05Z)", PROFILE_FILTERS))) == 1
    assert len(select(people, parse("less-than(created,1970-01-01T00:00:05Z)", PROFILE_FILTERS))) == 1


def directory() -> Directory:
    people = Directory("DEMO42")
    for number, (name, created) in enumerate((("a", 1.0), ("b", 10.0)), start=1):
        profile = people.create(created)
        people.identify(profile, Identifiers(email=f"{name}@example.com", external_id=str(number)), replace=True)
    return people
