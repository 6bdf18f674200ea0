"""Who is on a list: the bodies that put profiles on it and take them off, and what Klaviyo answers about one. Pure.

Being on a list is no consent: neither call changes a subscription (API reference, Add Profiles to List).
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

#: Profiles a call may name.
MAX_MEMBERS = 1000

_POINTER = re.compile(r"/data/(\d+)(?:/|$)")


def add_body(klaviyo_ids: Sequence[str]) -> dict[str, Any]:
    """Return the body of ``POST /api/lists/{id}/relationships/profiles``, each profile once.

    Raises ValueError for none or more than 1,000.
    """
    named = list(dict.fromkeys(klaviyo_ids))
    if not 1 <= len(named) <= MAX_MEMBERS:
        raise ValueError(f"a call names between 1 and {MAX_MEMBERS} profiles, not {len(named)}")
    return {"data": [{"type": "profile", "id": one} for one in named]}


def remove_body(klaviyo_ids: Sequence[str]) -> dict[str, Any]:
    """Return the body of ``DELETE`` on the same path, which is that of adding. Raises ValueError as ``add_body``."""
    return add_body(klaviyo_ids)


def pointed(body: dict[str, Any], pointers: Iterable[str]) -> set[str]:
    """The IDs in one of these bodies that pointers of Klaviyo's name: profiles it does not have."""
    indexes = {int(match[1]) for pointer in pointers if (match := _POINTER.match(pointer))}
    return {one["id"] for index, one in enumerate(body["data"]) if index in indexes}


def lists_of(document: Any) -> set[str]:
    """Return the IDs of the lists a profile is on, from ``GET /api/profiles/{id}?include=lists``.

    Raises ValueError for an answer that does not tell: no list at all and no word about lists are different things.
    """
    try:
        linked = document["data"].get("relationships", {}).get("lists", {}).get("data")
        included = document.get("included")
        if linked is None and included is None:
            raise ValueError("the answer does not tell the profile's lists")
        return {one["id"] for one in [*(linked or ()), *(included or ())] if one["type"] == "list"}
    except (LookupError, TypeError, AttributeError):
        raise ValueError("the answer is none about a profile and its lists") from None
