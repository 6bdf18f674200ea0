"""Calls to one fresh sandbox, in process; what its tests share."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import httpx

from relay.demo.sandbox import Account, build_sandbox

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
HEADERS = {
    "authorization": "Klaviyo-API-Key pk_demo",
    "revision": "2026-10-15",
    "content-type": "application/vnd.api+json",
}
Body = dict[str, Any]


class Sandbox:
    """Calls one fresh sandbox application."""

    def __init__(self) -> None:
        self.now = NOW
        self.account = Account(now=lambda: self.now)
        self.runner = asyncio.Runner()
        app = build_sandbox(self.account)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://klaviyo.test")

    def close(self) -> None:
        self.runner.run(self.http.aclose())
        self.runner.close()

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = options.pop("headers", HEADERS)
        return self.runner.run(self.http.request(method, path, content=content, headers=headers, **options))

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.call("GET", "/_sandbox/state").json()
        return state

    def seed(self, **profile: Any) -> str:
        """The id of a new profile."""
        made: str = self.call("POST", "/_sandbox/profiles", profile).json()["id"]
        return made


def fault(answer: httpx.Response) -> dict[str, Any]:
    """The only error of a well-formed JSON:API error document."""
    (error,) = faults(answer)
    return error


def faults(answer: httpx.Response) -> list[dict[str, Any]]:
    """The errors of a well-formed JSON:API error document."""
    assert answer.headers["content-type"] == "application/vnd.api+json"
    errors: list[dict[str, Any]] = answer.json()["errors"]
    for error in errors:
        assert {"id", "status", "code", "title", "detail", "source"} <= set(error)
        assert error["status"] == answer.status_code
    return errors


def pointers(answer: httpx.Response) -> list[str]:
    """Where its errors point."""
    return [error["source"]["pointer"] for error in faults(answer)]
