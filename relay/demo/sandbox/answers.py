"""Answers in Klaviyo's form: JSON:API documents and JSON:API errors.

Wordings marked "seen" stand so in public logs and SDK fixtures; the others follow their pattern.
"""

import uuid
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

MEDIA_TYPE = "application/vnd.api+json"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``errors``: what is wrong and where (a JSON pointer into the body, or a query parameter)."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    code: str = "invalid"
    title: str = "Invalid input."
    meta: dict[str, Any] = {}


class Refused(Exception):
    """A request ends with this HTTP status and these faults."""

    def __init__(self, status: int, *faults: Fault, headers: dict[str, str] | None = None) -> None:
        super().__init__("; ".join(fault.detail for fault in faults))
        self.status = status
        self.faults = faults
        self.headers = headers or {}


def invalid(detail: str, pointer: str | None = None, *, parameter: str | None = None) -> Refused:
    """A 400 for a body (``pointer``) or a query (``parameter``)."""
    return Refused(400, Fault(detail=detail, pointer=pointer, parameter=parameter))


def not_authenticated() -> Refused:
    """A 401 for a request without credentials (seen)."""
    return Refused(
        401,
        Fault(
            code="not_authenticated",
            title="Authentication credentials were not provided.",
            detail="Missing or invalid authorization scheme. Please use Klaviyo-API-Key.",
            pointer="/data/",
        ),
    )


def authentication_failed() -> Refused:
    """A 401 for a key that the account does not have (seen)."""
    return Refused(
        401,
        Fault(
            code="authentication_failed",
            title="Incorrect authentication credentials.",
            detail="Incorrect authentication credentials.",
            pointer="/data/",
        ),
    )


def permission_denied(scopes: tuple[str, ...]) -> Refused:
    """A 403 that names the scopes the key lacks."""
    return Refused(
        403,
        Fault(
            code="permission_denied",
            title="You do not have permission to perform this action.",
            detail=f"The API key specified is missing required scopes for this request: {', '.join(scopes)}",
            pointer="/data/",
        ),
    )


def not_found(detail: str = "The requested resource could not be found.") -> Refused:
    """A 404."""
    return Refused(404, Fault(code="not_found", title="Not found.", detail=detail, pointer="/data/"))


def duplicate_profile(profile_id: str) -> Refused:
    """A 409 that names the other profile in ``meta.duplicate_profile_id`` (seen)."""
    return Refused(
        409,
        Fault(
            code="duplicate_profile",
            title="Conflict.",
            detail="A profile already exists with one of these identifiers.",
            pointer="/data/attributes",
            meta={"duplicate_profile_id": profile_id},
        ),
    )


def throttled(seconds: int) -> Refused:
    """A 429 with ``Retry-After`` in whole seconds (seen)."""
    plural = "" if seconds == 1 else "s"
    return Refused(
        429,
        Fault(
            code="throttled",
            title="Request was throttled.",
            detail=f"Request was throttled. Expected available in {seconds} second{plural}.",
            pointer="/data/",
        ),
        headers={"Retry-After": str(seconds)},
    )


def of_status(status: int) -> Refused:
    """The refusal Klaviyo would most likely give with this status, for scripted answers."""
    match status:
        case 400:
            return invalid("Invalid input.", "/data")
        case 401:
            return authentication_failed()
        case 403:
            return permission_denied(("events:write",))
        case 404:
            return not_found()
        case 409:
            return duplicate_profile("01GDDKASAP8TKDDA2GRZDSVP4H")
        case 429:
            return throttled(1)
    title = HTTPStatus(status).phrase
    code = "error" if status >= 500 else "invalid"
    return Refused(status, Fault(code=code, title=f"{title}.", detail=f"{title}.", pointer="/data/"))


def refusal(refused: Refused) -> Response:
    """The JSON:API error document."""
    errors = [_entry(refused.status, fault) for fault in refused.faults]
    return document({"errors": errors}, status=refused.status, headers=refused.headers)


def document(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON:API document as an HTTP answer."""
    return Response(msgspec.json.encode(content), status, headers, MEDIA_TYPE)


def accepted(headers: dict[str, str] | None = None) -> Response:
    """202 with an empty body: validated, to be processed later."""
    return Response(status_code=202, headers=headers)


def _entry(status: int, fault: Fault) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "status": status,
        "code": fault.code,
        "title": fault.title,
        "detail": fault.detail,
        "source": {"parameter": fault.parameter} if fault.parameter else {"pointer": fault.pointer or "/data"},
    }
    if fault.meta:
        entry["meta"] = fault.meta
    return entry
