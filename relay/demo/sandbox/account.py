"""One Klaviyo account in memory: who is known, what was recorded, what was asked.

Behind the doors of ``gate``; knows nothing of HTTP. Not thread-safe: one event loop owns it.
"""

import asyncio
import secrets
import string
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from relay.demo.sandbox import bodies, rules
from relay.demo.sandbox.answers import Fault, duplicate_profile, invalid, not_found
from relay.demo.sandbox.list_bodies import OptIn
from relay.demo.sandbox.mailing import Lists
from relay.demo.sandbox.profiles import Directory, Identifiers, Profile
from relay.demo.sandbox.records import Change, Metric, RecordedEvent, Request

#: The scopes of the operations the sandbox speaks.
ALL_SCOPES = frozenset(
    {
        "accounts:read",
        "data-privacy:write",
        "events:read",
        "events:write",
        "lists:read",
        "lists:write",
        "metrics:read",
        "profiles:read",
        "profiles:write",
        "subscriptions:write",
    }
)

#: Requests remembered; older ones fall out.
LOG_LENGTH = 20_000


class Account:
    """An account with its keys.

    Args:
        company_id: the public key, six characters; also the tail of every ``_kx``.
        private_keys: private key -> its scopes.
        anonymous_tracking: the account setting that lets the on-page script keep events of unknown visitors.
        opt_in_process: the account's default, for new lists and for subscriptions without a list.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        company_id: str = "DEMO42",
        private_keys: dict[str, frozenset[str]] | None = None,
        *,
        anonymous_tracking: bool = True,
        opt_in_process: OptIn = "single_opt_in",
        now: Callable[[], float] = time.time,
    ) -> None:
        self.company_id = company_id
        self._keys = {"pk_demo": ALL_SCOPES} if private_keys is None else dict(private_keys)
        self.restore_scopes()
        self.anonymous_tracking = anonymous_tracking
        self.opt_in_process: OptIn = opt_in_process
        self.now = now
        self.version = 0
        self._changed = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """Forget everything that was received; keys and settings stay."""
        self.profiles = Directory(self.company_id)
        self.lists = Lists()
        self.changes: deque[Change] = deque(maxlen=LOG_LENGTH)
        self.metrics: dict[str, Metric] = {}
        self.events: list[RecordedEvent] = []
        self._by_key: dict[tuple[str, str, str], RecordedEvent] = {}
        self.requests: deque[Request] = deque(maxlen=LOG_LENGTH)
        self.refused: deque[dict[str, Any]] = deque(maxlen=LOG_LENGTH)
        self.vanished: list[dict[str, Any]] = []
        self.lookups: list[dict[str, Any]] = []
        self.deletions: list[dict[str, Any]] = []
        self.unknown_routes: list[dict[str, str]] = []
        self.announce()

    def restore_scopes(self) -> None:
        """Give every key the scopes it began with."""
        self.private_keys = dict(self._keys)

    def announce(self) -> None:
        """Something happened: wake those who wait in ``changed``."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, seconds: float) -> bool:
        """Wait for the next ``announce``; False when ``seconds`` have passed without one."""
        try:
            async with asyncio.timeout(seconds):
                return await self._changed.wait()
        except TimeoutError:
            return False

    # -- events ---------------------------------------------------------------------------------------------

    def record(
        self,
        event: bodies.BulkEntryAttributes,
        sent: bodies.Profile,
        *,
        via: str,
        backfill: bool | None = None,
    ) -> str | None:
        """Process one validated event as Klaviyo does after its 202.

        Returns what became of it when it is not a plain new event: ``deduplicated``, ``unknown _kx``,
        ``unknown profile``. ``backfill`` is the flag of a bulk call's profile group.
        """
        now = self.now()
        metric = event.metric.data.attributes.name
        profile, problem = self._subject(sent, now, via)
        if profile is None:
            self.vanished.append({"reason": problem, "metric": metric, "unique_id": event.unique_id, "at": now})
            return problem
        self.profiles.update(profile, sent, now, clear=False)
        seconds = rules.timestamp(event.time) if event.time else None
        occurred = float(int(now)) if seconds is None else seconds
        key = (profile.id, metric, event.unique_id or str(int(occurred)))
        if earlier := self._by_key.get(key):
            earlier.deduplicated_repeats += 1
            return "deduplicated"
        recorded = RecordedEvent(
            id=secrets.token_urlsafe(8),
            metric=metric,
            profile_id=profile.id,
            properties=event.properties,
            value=event.value,
            value_currency=event.value_currency,
            time=occurred,
            unique_id=event.unique_id,
            backfill=bool(event.backfill or backfill),
            received_at=now,
            via=via,
        )
        self._by_key[key] = recorded
        self.events.append(recorded)
        profile.last_event_date = max(profile.last_event_date or 0, occurred)
        if metric not in self.metrics:
            self.metrics[metric] = Metric(_metric_id(), metric, now)
        return None

    def repeats(self, events: list[tuple[str, bodies.BulkEntryAttributes, bodies.Profile]]) -> list[Fault]:
        """A ``unique_id`` repeated for the same profile and metric fails a whole bulk call (spec).

        Klaviyo does not say whether earlier calls count; here they do, the harder case for a sender.
        ``events`` come with their pointer and their profile; every repeat is named.
        """
        seen: set[tuple[object, str, str]] = set()
        faults = []
        for where, event, sent in events:
            if event.unique_id is None:
                continue
            identifiers = Identifiers.of(sent)
            found = self.profiles.matches(identifiers)
            who = found[0].id if found else next(iter(identifiers.given()))
            key = (who, event.metric.data.attributes.name, event.unique_id)
            if key in seen or key in self._by_key:
                detail = "unique_id is repeated for the same profile and metric."
                pointer = f"{where}/attributes/unique_id"
                faults.append(Fault(code="duplicate", title="Duplicate.", detail=detail, pointer=pointer))
            seen.add(key)
        return faults

    def _subject(self, sent: bodies.Profile, now: float, via: str) -> tuple[Profile | None, str | None]:
        identifiers = Identifiers.of(sent)
        if identifiers.id and self.profiles.get(identifiers.id) is None:
            return None, "unknown profile"
        found = self.profiles.matches(identifiers)
        if not found and [kind for kind, _ in identifiers.given()] == ["kx"]:
            return None, "unknown _kx"
        profile = found[0] if found else self.profiles.create(now)
        self.profiles.identify(profile, identifiers, replace=via == "server")
        return profile, None

    # -- profiles -------------------------------------------------------------------------------------------

    def upsert(self, sent: bodies.UpsertProfile) -> tuple[Profile, bool]:
        """Create or update (profile-import): the profile and whether it is new. 404 and 409 as ``Refused``."""
        now = self.now()
        identifiers = Identifiers.of(sent)
        if identifiers.id and self.profiles.get(identifiers.id) is None:
            raise not_found(f"A profile with id {identifiers.id} does not exist.")
        found = self.profiles.matches(identifiers)
        if len(found) > 1:
            raise duplicate_profile(found[1].id)
        if not found and [kind for kind, _ in identifiers.given()] == ["kx"]:
            raise invalid("Invalid exchange id.", "/data/attributes/_kx")
        profile = found[0] if found else self.profiles.create(now)
        self.profiles.identify(profile, identifiers, replace=True)
        self.profiles.update(profile, sent, now, clear=True)
        return profile, not found

    def observe(self, sent: bodies.Profile) -> tuple[Profile | None, str | None]:
        """A profile call of the browser: the profile, or why nothing came of it."""
        profile, problem = self._subject(sent, self.now(), "script")
        if profile is not None:
            self.profiles.update(profile, sent, self.now(), clear=False)
        return profile, problem

    def seed(self, sent: bodies.Profile) -> Profile:
        """A profile as if it had always been there (or the one that has these identifiers, updated)."""
        now = self.now()
        identifiers = Identifiers.of(sent)
        found = self.profiles.matches(identifiers)
        profile = found[0] if found else self.profiles.create(now)
        self.profiles.identify(profile, identifiers, replace=True)
        self.profiles.update(profile, sent, now, clear=False)
        return profile

    def forget(self, kind: str, value: str) -> None:
        """A deletion request: the profile and its events go. An unknown one is accepted as well."""
        profile = self.profiles.owner(kind, value)
        self.deletions.append({"identifier": kind, "value": value, "found": profile is not None, "at": self.now()})
        if profile is not None:
            self.profiles.delete(profile)
            self.lists.forget(profile.id)
            self.changes = deque((c for c in self.changes if c.profile_id != profile.id), maxlen=LOG_LENGTH)
            self.events = [event for event in self.events if event.profile_id != profile.id]
            self._by_key = {key: event for key, event in self._by_key.items() if key[0] != profile.id}


def _metric_id() -> str:
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(6))
