"""Klaviyo's official client as the judge of a request body: its models ignore what they do not know, so a body passes
only if nothing of it is missing or changed after it went through them and came back.
"""

import copy
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any


def judged(model: Any, body: dict[str, Any]) -> None:
    """Fail unless the client's model takes the body and gives back every member of it."""
    assert _plain(model.from_dict(copy.deepcopy(body)).to_dict()) == body


def _plain(value: Any) -> Any:
    """What the client says, without what it fills in itself, and with times as they are written on the wire."""
    if isinstance(value, dict):
        filled_in = (None, False)
        return {key: _plain(inner) for key, inner in value.items() if inner not in filled_in}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()[:19] + "Z"
    if isinstance(value, date):
        return value.isoformat()
    return value.value if isinstance(value, Enum) else value
