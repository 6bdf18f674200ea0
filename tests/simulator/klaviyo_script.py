"""The baseline: Klaviyo's own script as it is documented. One for each jar; what it knows goes when its jar forgets.

It knows a visitor by ``$exchange_id`` in the script-written cookie ``__kla_id``; events of unknown visitors wait in
local storage and are replayed once it knows them. The profiles it makes stand in the sandbox's account.
"""

import base64
import json

from msgspec import Struct

from relay.demo.sandbox import Account, bodies
from tests.simulator.browsers import Browser
from tests.simulator.parameters import DAY, parameter
from tests.simulator.truth import Native, Truth

COOKIE, QUEUE = "__kla_id", "kl-post-identification-sync"


class Queued(Struct, frozen=True):
    message_id: str
    at: float


class KlaviyoScript:
    """The script on a page of ``browser``. It does nothing where it is blocked or not allowed to run."""

    def __init__(self, browser: Browser, account: Account, truth: Truth, *, runs: bool, decorated: bool) -> None:
        self._browser = browser
        self._account = account
        self._truth = truth
        self._decorated = decorated
        self.runs = runs

    def load(self, kx: str | None, now: float) -> None:
        """The page is loaded, by a link of an e-mail if it carries a ``_kx``."""
        if not self.runs:
            return
        if kx is not None and self._account.profiles.owner("kx", kx) is not None:
            self._write(kx, now)
        else:
            self._write(self.exchange_id(now), now)
        self._replay(now)

    def identify(self, email: str, now: float) -> None:
        """A form, a login or a checkout tells the script an address."""
        if not self.runs:
            return
        attributes = bodies.ProfileAttributes(email=email)
        profile, _ = self._account.observe(bodies.Profile(type="profile", attributes=attributes))
        if profile is not None:
            self._write(self._account.profiles.mint_exchange_id(profile), now)
            self._replay(now)

    def track(self, message_id: str, now: float) -> None:
        if not self.runs:
            return
        if self.exchange_id(now) is None:
            self._queue(now).append(Queued(message_id, now))
        else:
            self._file(message_id, now)

    def exchange_id(self, now: float) -> str | None:
        """By what the cookie says the visitor is known; None for a stranger."""
        value = self._browser.jar.cookie(COOKIE, now)
        if value is None:
            return None
        found = json.loads(base64.b64decode(value)).get("$exchange_id")
        return found if isinstance(found, str) else None

    def queued(self, now: float) -> int:
        return len(self._browser.jar.storage(now).get(QUEUE, ()))

    def _queue(self, now: float) -> list[Queued]:
        queue: list[Queued] = self._browser.jar.storage(now).setdefault(QUEUE, [])
        return queue

    def _write(self, exchange_id: str | None, now: float) -> None:
        known = {"cid": "Y2lk"} | ({} if exchange_id is None else {"$exchange_id": exchange_id})
        value = base64.b64encode(json.dumps(known).encode()).decode()
        lifetime = parameter("klaviyo_cookie_days") * DAY
        self._browser.jar.set_by_script(COOKIE, value, lifetime, now, decorated=self._decorated)

    def _replay(self, now: float) -> None:
        if self.exchange_id(now) is None:
            return
        oldest = now - parameter("klaviyo_queue_days") * DAY
        for entry in self._queue(now):
            if entry.at >= oldest:
                self._file(entry.message_id, now)
        self._queue(now).clear()

    def _file(self, message_id: str, now: float) -> None:
        profile = self._account.profiles.owner("kx", self.exchange_id(now) or "")
        self._truth.natives[message_id].append(Native(profile.email if profile else None, now))
