"""Who does the work behind the door: for each site a processor, a sender and the housekeeping, each under its lease.

Of all processes on a database one holds a lease at a time. The others wait for it and take over when it is lost. Sites
with one API key are sent for by one process, which holds the key's lease too: Klaviyo's limits are per account, so its
sites must share one pace (``delivery.pace``).
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from relay import privacy
from relay.clock import Clock
from relay.config import Settings, Site
from relay.delivery.pace import Traffic
from relay.delivery.worker import Sender
from relay.identity.link_token import LinkTokens
from relay.klaviyo.client import KlaviyoClient
from relay.observe import describe
from relay.pipeline.process import Processor
from relay.store import retention
from relay.store.base import Store

log = logging.getLogger("relay")

#: How long a stopping relay finishes what it is sending before it gives the rest back.
DRAIN_SECONDS = 20.0
#: How long a failed worker waits before it starts again.
RESTART_SECONDS = 1.0


class Bell(asyncio.Event):
    """Says that there is work: to this process, and through the store to every other one."""

    def __init__(self, name: str, ring_elsewhere: Callable[[str], None]) -> None:
        super().__init__()
        self._name = name
        self._ring_elsewhere = ring_elsewhere

    def set(self) -> None:
        self.sound()
        self._ring_elsewhere(self._name)

    def sound(self) -> None:
        """Ring in this process only."""
        super().set()


class Bells:
    """How a station tells the next one that there is work: one journal bell and one outbox bell a site."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._bells = {
            name: Bell(name, store.ring)
            for site in settings.sites
            for name in (f"journal {site.site_id}", f"outbox {site.site_id}")
        }

    def journal(self, site_id: str) -> Bell:
        return self._bells[f"journal {site_id}"]

    def outbox(self, site_id: str) -> Bell:
        return self._bells[f"outbox {site_id}"]

    def ring_journal(self, site_id: str) -> None:
        self.journal(site_id).set()

    def hear(self, name: str) -> None:
        """Another process has rung."""
        if name in self._bells:
            self._bells[name].sound()


class Workers:
    """The processor, the sender and the housekeeping of every site.

    Raises SettingsError when another process works on a database that allows only one.
    """

    def __init__(self, settings: Settings, store: Store, clock: Clock, bells: Bells) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._bells = bells
        self._leases = store.leases(bells.hear)
        #: By API key: sites of one Klaviyo account share its limits.
        self._traffic: dict[str, Traffic] = {}
        self._clients: list[KlaviyoClient] = []
        #: Who is sending now, by site.
        self._senders: dict[str, Sender] = {}
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._others: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to wait for the leases, and to work under them."""
        for site in self._settings.sites:
            traffic = self._traffic.setdefault(site.klaviyo_api_key or site.site_id, Traffic(self._clock))
            client = KlaviyoClient(site, traffic)
            self._clients.append(client)
            self._sending[site.site_id] = self._keep_running(site, "sender", partial(self._send, site, client, traffic))
            housekeeping = partial(retention.run, self._store, site, self._clock)
            self._others.append(self._keep_running(site, "processor", partial(self._process, site)))
            self._others.append(self._keep_running(site, "processor", housekeeping, "retention"))
            requests = partial(privacy.run, self._store, site, self._clock)
            self._others.append(self._keep_running(site, "processor", requests, "privacy"))

    async def stop(self) -> None:
        """Let senders finish what they hold for up to DRAIN_SECONDS, then give it back."""
        for task in self._others:
            task.cancel()
        for site_id, task in self._sending.items():
            if site_id in self._senders:
                self._senders[site_id].stop()
            else:
                task.cancel()
        if self._sending:
            _, slow = await asyncio.wait(self._sending.values(), timeout=DRAIN_SECONDS)
            for task in slow:
                task.cancel()
        await asyncio.gather(*self._sending.values(), *self._others, return_exceptions=True)
        for client in self._clients:
            await client.close()
        await self._leases.close()

    async def _send(self, site: Site, client: KlaviyoClient, traffic: Traffic) -> None:
        sender = Sender(
            site,
            self._store,
            client,
            traffic,
            self._clock,
            outbox_rings=self._bells.outbox(site.site_id),
            journal_rings=self._bells.journal(site.site_id),
            links=LinkTokens(self._settings.secret_keys, site.site_id, site.link_seconds),
        )
        await sender.start()
        self._senders[site.site_id] = sender
        try:
            await sender.run()
        finally:
            del self._senders[site.site_id]

    async def _process(self, site: Site) -> None:
        processor = Processor(
            site,
            self._store,
            self._clock,
            journal_rings=self._bells.journal(site.site_id),
            outbox_rings=self._bells.outbox(site.site_id),
            secrets=self._settings.secret_keys,
        )
        await processor.run()

    def _keep_running(
        self, site: Site, role: str, work: Callable[[], Awaitable[None]], called: str | None = None
    ) -> asyncio.Task[None]:
        """A fault of ours must not end a worker while the door stays open: it is reported, and the worker goes on."""
        name = f"{called or role} {site.site_id}"

        async def kept_running() -> None:
            while True:
                try:
                    lost = await self._take(site, role)
                    log.info("at work", extra={"site": site.site_id, "reason": name})
                    if await _until(lost, work):
                        return
                    log.warning("a lease is lost; another process may have it", extra={"site": site.site_id})
                except Exception as error:
                    log.critical("a worker failed and starts again", extra={"problem": f"{name}: {describe(error)}"})
                    await self._clock.wait(asyncio.Event(), RESTART_SECONDS)

        return asyncio.create_task(kept_running(), name=name)

    async def _take(self, site: Site, role: str) -> asyncio.Event:
        """Wait until the role is ours; the event is set when it is lost."""
        while True:
            account = await self._leases.take(self._account(site), "account") if role == "sender" else None
            lost = await self._leases.take(site.site_id, role)
            # What was lost while we waited for the other is somebody else's; both held at once are lost at once.
            if account is None or not account.is_set():
                return lost

    def _account(self, site: Site) -> str:
        """What the sites of one API key have in common; the key itself stays out of it.

        Of this process's sites: where each process has sites of its own, none of them must wait for another.
        """
        key = site.klaviyo_api_key or site.site_id
        sites = sorted(each.site_id for each in self._settings.sites if each.klaviyo_api_key == site.klaviyo_api_key)
        return hashlib.blake2b("\0".join((key, *sites)).encode(), digest_size=16).hexdigest()


async def _until(lost: asyncio.Event, work: Callable[[], Awaitable[None]]) -> bool:
    """Do ``work`` until it has ended (True) or ``lost`` is set (False)."""
    working = asyncio.ensure_future(work())
    losing = asyncio.ensure_future(lost.wait())
    try:
        await asyncio.wait((working, losing), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
            return True
        return False
    finally:
        for task in (working, losing):
            task.cancel()
        await asyncio.gather(working, losing, return_exceptions=True)
