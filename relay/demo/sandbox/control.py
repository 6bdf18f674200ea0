"""The sandbox's own routes under ``/_sandbox``: what was received, and levers for tests. Klaviyo has none of these."""

import time
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.demo.sandbox import answers, seeds
from relay.demo.sandbox.account import Account
from relay.demo.sandbox.answers import Refused
from relay.demo.sandbox.faults import Scripts
from relay.demo.sandbox.limits import RateLimits
from relay.demo.sandbox.mailing import MailingList
from relay.demo.sandbox.profiles import Profile
from relay.demo.sandbox.records import Change, RecordedEvent

#: The longest wait of one long poll, in seconds.
LONGEST_WAIT = 60.0


class Scopes(Struct, forbid_unknown_fields=True):
    scopes: list[str]
    key: str | None = None


class Switch(Struct, forbid_unknown_fields=True):
    enabled: bool


class Control:
    """Handlers over one account, its scripts and its limits."""

    def __init__(self, account: Account, scripts: Scripts, limits: RateLimits, shop_url: str | None) -> None:
        self.account = account
        self.scripts = scripts
        self.limits = limits
        self.shop_url = shop_url

    def routes(self, *, levers: bool) -> list[Route]:
        """What may be read; with ``levers`` also what changes the sandbox."""
        reading = [
            Route("/_sandbox/state", _guarded(self.state), methods=["GET"]),
            Route("/_sandbox/events", _guarded(self.events), methods=["GET"]),
        ]
        changing = [
            Route("/_sandbox/reset", _guarded(self.reset), methods=["POST"]),
            Route("/_sandbox/answers", _guarded(self.answer), methods=["POST"]),
            Route("/_sandbox/limits", _guarded(self.limit), methods=["POST"]),
            Route("/_sandbox/scopes", _guarded(self.scopes), methods=["POST"]),
            Route("/_sandbox/profiles", _guarded(self.seed), methods=["POST"]),
            Route("/_sandbox/lists", _guarded(self.seed_list), methods=["POST"]),
            Route("/_sandbox/anonymous-tracking", _guarded(self.anonymous_tracking), methods=["POST"]),
        ]
        return reading + changing if levers else reading

    async def state(self, request: Request) -> Response:
        """Everything, as JSON. ``If-None-Match`` with the last ETag answers 304 while nothing has happened."""
        account = self.account
        etag = f'"{account.version}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        state = {
            "company_id": account.company_id,
            "shop_url": self.shop_url,
            "anonymous_tracking": account.anonymous_tracking,
            "now": account.now(),
            "profiles": [self._profile(profile) for profile in account.profiles],
            "lists": [_list(one) for one in account.lists],
            "changes": [self._change(change) for change in account.changes],
            "events": [self._event(event) for event in account.events],
            "metrics": list(account.metrics.values()),
            "lookups": account.lookups,
            "deletions": account.deletions,
            "vanished": account.vanished,
            "requests": list(account.requests),
            "refused": list(account.refused),
            "unknown_routes": account.unknown_routes,
            "scripts_waiting": self.scripts.waiting(),
            "limits_enabled": self.limits.enabled,
        }
        return _json(state, headers=headers)

    async def events(self, request: Request) -> Response:
        """Events of ``metric`` (all without it), once there are ``wait_for`` of them or ``timeout`` seconds passed.

        200 with the events when there are enough, 408 with those there are when the time is up.
        """
        metric = request.query_params.get("metric")
        wanted = int(_number(request, "wait_for", 0, 1_000_000))
        seconds = _number(request, "timeout", 10, LONGEST_WAIT)
        deadline = time.monotonic() + seconds
        while True:
            found = [event for event in self.account.events if metric is None or event.metric == metric]
            left = deadline - time.monotonic()
            if len(found) >= wanted:
                return _json({"events": [self._event(event) for event in found]})
            if left <= 0:
                return _json({"events": [self._event(event) for event in found]}, status=408)
            await self.account.changed(left)

    async def reset(self, request: Request) -> Response:
        """Forget what was received, scripted answers and rate windows; limits are off and scopes full again."""
        self.scripts.reset()
        self.limits.reset()
        self.limits.enabled = False
        self.account.restore_scopes()
        self.account.reset()
        return Response(status_code=204)

    async def answer(self, request: Request) -> Response:
        """Queue scripted answers (see ``faults.Script``)."""
        return _json({"waiting": self.scripts.add(await request.body())})

    async def limit(self, request: Request) -> Response:
        """Switch rate limits on or off: ``{"enabled": true}``."""
        self.limits.enabled = _read(await request.body(), Switch).enabled
        self.limits.reset()
        return _json({"enabled": self.limits.enabled})

    async def scopes(self, request: Request) -> Response:
        """Set the scopes of a key (of all keys without ``key``); unknown keys are added."""
        sent = _read(await request.body(), Scopes)
        for key in [sent.key] if sent.key else list(self.account.private_keys):
            self.account.private_keys[key] = frozenset(sent.scopes)
        return _json({"scopes": sorted(sent.scopes)})

    async def seed(self, request: Request) -> Response:
        """Make a profile as if it had always been there; answers its ``id`` and a fresh ``_kx``."""
        profile = seeds.seed_profile(self.account, _read(await request.body(), seeds.Profile))
        kx = self.account.profiles.mint_exchange_id(profile)
        self.account.announce()
        return _json({"id": profile.id, "_kx": kx}, status=201)

    async def seed_list(self, request: Request) -> Response:
        """Make a list, in the place of an earlier one with its id; answers the profile ids of its members."""
        made = seeds.seed_list(self.account, _read(await request.body(), seeds.List))
        self.account.announce()
        return _json({"id": made.id, "members": list(made.members)}, status=201)

    async def anonymous_tracking(self, request: Request) -> Response:
        """Switch the account setting the on-page script asks for: ``{"enabled": false}``."""
        self.account.anonymous_tracking = _read(await request.body(), Switch).enabled
        self.account.announce()
        return _json({"enabled": self.account.anonymous_tracking})

    def _event(self, event: RecordedEvent) -> dict[str, Any]:
        profile = self.account.profiles.get(event.profile_id)
        who = self._profile(profile) if profile else {"id": event.profile_id}
        shown: dict[str, Any] = msgspec.to_builtins(event)
        del shown["profile_id"]
        return shown | {"profile": who, "triggers_flows": not event.backfill}

    def _change(self, change: Change) -> dict[str, Any]:
        profile = self.account.profiles.get(change.profile_id)
        shown: dict[str, Any] = msgspec.to_builtins(change)
        del shown["profile_id"]
        return shown | {"profile": self._profile(profile) if profile else {"id": change.profile_id}}

    def _profile(self, profile: Profile) -> dict[str, Any]:
        """A profile with its lists; ``consent`` is that to e-mail marketing, the rest is in ``consents``."""
        shown: dict[str, Any] = msgspec.to_builtins(profile)
        shown["_kx"] = shown.pop("exchange_ids")
        lists = [one.id for one in self.account.lists.of(profile.id)]
        return shown | {"consent": profile.consents.email.consent, "lists": lists}


def _list(one: MailingList) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(one)
    return shown | {"members": list(one.members)}


def _guarded(handler: Any) -> Any:
    async def guarded(request: Request) -> Response:
        try:
            answer: Response = await handler(request)
        except Refused as refused:
            return answers.refusal(refused)
        return answer

    return guarded


def _read(raw: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise answers.invalid(str(error)) from None


def _number(request: Request, name: str, default: float, most: float) -> float:
    try:
        value = float(request.query_params.get(name, default))
    except ValueError:
        raise answers.invalid("must be a number", parameter=name) from None
    if not 0 <= value <= most:
        raise answers.invalid(f"must be between 0 and {most:g}", parameter=name)
    return value


def _json(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, "application/json")
