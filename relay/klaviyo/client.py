"""Bytes out: one HTTP client for one Klaviyo account. It sends once and reports; retrying is ``delivery.policy``'s.

What comes back is reduced to what may be kept: status, waiting time, Klaviyo's code, pointer and missing scope. Its
``detail`` can quote addresses, so it is read for the waiting time of a 429 and then forgotten.
"""

import math
import re
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec

from relay.config import Site
from relay.klaviyo.answer import Answer, Found
from relay.klaviyo.mapping import REVISION

#: Klaviyo answers in well under a second; a hanging connection must not hold a lease for long.
TIMEOUT_SECONDS = 20.0
#: httpx gets slower with more connections than this, as measured.
MAX_CONNECTIONS = 8

_JSON_API = "application/vnd.api+json"
_AVAILABLE_IN = re.compile(r"available in (\d+(?:\.\d+)?) second")
_SCOPE = re.compile(r"\b[a-z-]+:(?:read|write|full)\b")


class KlaviyoClient:
    """Klaviyo's server API for one site. Redirects are not followed: an event never goes to another host."""

    def __init__(self, site: Site) -> None:
        self._client = httpx.AsyncClient(
            base_url=site.klaviyo_url,
            headers={
                "Authorization": f"Klaviyo-API-Key {site.klaviyo_api_key or ''}",
                "revision": REVISION,
                "Accept": _JSON_API,
                "User-Agent": "backflow-relay",
            },
            timeout=TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
            follow_redirects=False,
        )

    async def create_event(self, body: dict[str, Any]) -> Answer:
        return await self._send("POST", "/api/events", body)

    async def import_profile(self, body: dict[str, Any]) -> Answer:
        return await self._send("POST", "/api/profile-import", body)

    async def request_deletion(self, email: str) -> Answer:
        """Ask Klaviyo to erase the profile with this address (asynchronous and irreversible there)."""
        profile = {"data": {"type": "profile", "attributes": {"email": email}}}
        body = {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": profile}}}
        return await self._send("POST", "/api/data-privacy-deletion-jobs", body)

    async def look_up(self, exchange_id: str) -> Answer:
        """Whose ``_kx`` is this? Needs ``profiles:read``; a 2xx without ``found`` means that nobody has it."""
        parameters = {"filter": f'equals(_kx,"{exchange_id}")', "fields[profile]": "email,phone_number"}
        return await self._send("GET", "/api/profiles", parameters=parameters)

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, parameters: dict[str, str] | None = None
    ) -> Answer:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": _JSON_API}
        try:
            response = await self._client.request(method, path, content=content, headers=headers, params=parameters)
        except httpx.HTTPError as error:
            return Answer(status=None, error=type(error).__name__)
        if response.is_success:
            return Answer(status=response.status_code, found=_found(response) if method == "GET" else None)
        return _refusal(response)


def _found(response: httpx.Response) -> Found | None:
    try:
        profile = response.json()["data"][0]
        attributes = profile["attributes"]
        return Found(profile["id"], attributes.get("email"), attributes.get("phone_number"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _refusal(response: httpx.Response) -> Answer:
    try:
        first = response.json()["errors"][0]
        code, detail = str(first.get("code", "")), str(first.get("detail", ""))
        pointer = str((first.get("source") or {}).get("pointer", ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        code = detail = pointer = ""
    status = response.status_code
    scope = _SCOPE.search(detail) if status in (401, 403) else None
    return Answer(
        status=status,
        retry_after=_retry_after(response, detail),
        error=" ".join(part for part in (code[:100], pointer[:200]) if part) or f"http_{status}",
        scope=scope[0] if scope else None,
    )


def _retry_after(response: httpx.Response, detail: str) -> float | None:
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
