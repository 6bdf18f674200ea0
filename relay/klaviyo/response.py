"""Klaviyo's HTTP response, reduced to what may be kept: status, waiting time, code, pointer and missing scope.

Its ``detail`` can quote addresses: it is read for the waiting time of a 429 and the scope of a 403, then forgotten.
"""

import math
import re
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from relay.klaviyo.answer import Answer, Left

_AVAILABLE_IN = re.compile(r"available in (\d+(?:\.\d+)?) second")
_SCOPE = re.compile(r"\b[a-z-]+:(?:read|write|full)\b")


def answer_of(response: httpx.Response, *, reads: bool) -> Answer:
    """How the call ended; with its JSON, where the caller ``reads`` that."""
    if not response.is_success:
        return _refusal(response)
    try:
        document = response.json() if reads else None
        return Answer(status=response.status_code, document=document, left=calls_left(response.headers))
    except ValueError:
        return Answer(status=None, error="no_json")  # cut short on its way: asked again


def _refusal(response: httpx.Response) -> Answer:
    try:
        errors = response.json()["errors"]
        code, detail = str(errors[0].get("code", "")), str(errors[0].get("detail", ""))
        pointers = [str((error.get("source") or {}).get("pointer", ""))[:200] for error in errors]
    except (ValueError, LookupError, TypeError, AttributeError):
        code, detail, pointers = "", "", [""]
    status = response.status_code
    scope = _SCOPE.search(detail) if status in (401, 403) else None
    return Answer(
        status=status,
        retry_after=retry_after(response, detail),
        error=" ".join(part for part in (code[:100], pointers[0]) if part) or f"http_{status}",
        scope=scope[0] if scope else None,
        left=calls_left(response.headers),
        pointers=tuple(pointer for pointer in pointers if pointer),
    )


def calls_left(headers: httpx.Headers) -> Left | None:
    """What ``RateLimit-Limit``, ``-Remaining`` and ``-Reset`` say; None without the first two, or where they are none.

    Numbers may be followed by the policy they belong to (``350, 350;w=1, 3500;w=60`` in drafts of the standard).
    """
    try:
        limit, remaining = (int(headers[f"RateLimit-{name}"].partition(",")[0]) for name in ("Limit", "Remaining"))
    except (KeyError, ValueError):
        return None
    reset = None
    with suppress(ValueError):
        reset = float(int(headers.get("RateLimit-Reset", "").partition(",")[0]))
    return Left(limit, remaining, reset if reset is not None and reset >= 0 else None) if limit > 0 else None


def retry_after(response: httpx.Response, detail: str) -> float | None:
    """Seconds to wait: the header, else the text of the error (seen live without the header)."""
    header = response.headers.get("Retry-After", "")
    with suppress(ValueError):
        if math.isfinite(seconds := float(header)):
            return max(0.0, seconds)
    with suppress(ValueError, TypeError):  # TypeError: a time without a zone
        at = parsedate_to_datetime(header)
        # By Klaviyo's own clock where it says what that is: ours may differ.
        told = response.headers.get("Date")
        seconds = (at - (parsedate_to_datetime(told) if told else datetime.now(UTC))).total_seconds()
        if seconds > 0:
            return seconds
    match = _AVAILABLE_IN.search(detail)
    return float(match[1]) if match else None
