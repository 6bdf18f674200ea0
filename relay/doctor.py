"""What ``relay doctor`` examines: settings, database, Klaviyo's key, and what Safari will do with the cookie."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from relay.clock import SystemClock
from relay.config import SHORT_SECRET, Settings, Site
from relay.delivery.pace import Traffic
from relay.errors import StoreError
from relay.klaviyo.client import KlaviyoClient
from relay.pipeline import metrics
from relay.store.base import Store
from relay.store.requests import Topic
from relay.web.console.words import NOTES

#: Sums of the ledger that tell of faults in the shop's own calls.
_NOTED = ("noted_identifier", "refused_identifier", "refused_instruction", "refused_property")
#: For as long as the journal has them.
_PUT_BACK = "`relay replay --failed` puts them back (within seven days)"


class Check(Struct, frozen=True):
    """One finding: ``ok``, a ``warning``, or ``failed`` when the relay cannot do its work."""

    subject: str
    state: Literal["ok", "warning", "failed"]
    text: str


async def examine(settings: Settings, store: Store, relay_url: str | None = None) -> list[Check]:
    """Every finding, in the order of an event's path. ``relay_url`` is where browsers reach the relay."""
    relay_host = urlsplit(relay_url).hostname if relay_url else None
    return [check async for check in _examine(settings, store, relay_host)]


async def _examine(settings: Settings, store: Store, relay_host: str | None) -> AsyncIterator[Check]:
    try:
        await store.check()
        yield Check("Database", "ok", f"{store.shown} can be written")
    except StoreError as error:
        yield Check("Database", "failed", str(error))
    async for check in _keys(store):
        yield check
    if any(len(key) < SHORT_SECRET for key in settings.secret_keys):
        yield Check("Signing keys", "warning", f"RELAY_SECRET_KEYS has a key of fewer than {SHORT_SECRET} characters")
    if settings.console_password is None:
        yield Check("Console", "warning", "closed: RELAY_CONSOLE_PASSWORD is not set")
    for site in settings.sites:
        for check in _site_settings(site):
            yield check
        yield await _klaviyo(site)
        yield Check(f"Scopes for {site.site_id}", "ok", scopes(site))
        for check in (*await _books(site, store), *await requests(site, store)):
            yield check
        for origin in sorted(site.allowed_origins):
            if (misfit := _cookie_misfit(origin, site, relay_host)) is not None:
                yield misfit
                continue
            yield await asyncio.to_thread(_cookie_life, origin, settings, relay_host)


async def _keys(store: Store) -> AsyncIterator[Check]:
    """Whether what is kept of people can be opened. A database that cannot be read is told of elsewhere."""
    try:
        opens = await store.opens()
    except StoreError:
        return
    shut = [site_id for site_id, is_open in opens.items() if not is_open]
    if shut:
        text = f"RELAY_SECRET_KEYS does not open the data of {', '.join(shut)}: list the key it was made with again"
        yield Check("Data keys", "failed", text)
    else:
        text = f"RELAY_SECRET_KEYS opens the data of {', '.join(opens)}; a backup of the database needs these keys too"
        yield Check("Data keys", "ok", text)


def _site_settings(site: Site) -> list[Check]:
    subject = f"Site {site.site_id}"
    if not site.allowed_origins:
        return [Check(subject, "warning", "no browser may send: RELAY_ALLOWED_ORIGINS is empty")]
    found = [Check(subject, "ok", f"browsers may send from {', '.join(sorted(site.allowed_origins))}")]
    found += [
        Check(subject, "warning", f"{origin} is not https: its cookies are not Secure")
        for origin in sorted(site.allowed_origins)
        if origin.startswith("http://") and "localhost" not in origin
    ]
    return found


def scopes(site: Site) -> str:
    """What the site's key must be allowed at Klaviyo, by the settings and by what its calls may ask for."""
    needed = ["events:write", "profiles:write", *(["profiles:read"] if _asks_first(site) else [])]
    return (
        f"the key needs {', '.join(needed)}{_why_asked(site)}. Only if your calls ask for it: lists:write to put people"
        " on lists or take them off; subscriptions:write, lists:write and profiles:read to subscribe and unsubscribe;"
        " lists:read to unsubscribe from one list; data-privacy:write for relay forget"
    )


def _asks_first(site: Site) -> bool:
    """Whether Klaviyo is asked for a profile before anything is filed under it."""
    return not (site.create_profiles and site.update_profiles)


def _why_asked(site: Site) -> str:
    switches = {"RELAY_CREATE_PROFILES": site.create_profiles, "RELAY_UPDATE_PROFILES": site.update_profiles}
    off = [name for name, is_on in switches.items() if not is_on]
    return f" (to ask whether a profile is there: {' and '.join(off)} off)" if off else ""


async def _books(site: Site, store: Store) -> list[Check]:
    """What the shop's own calls have left in the books: metrics made, and what could not be used."""
    try:
        n = await store.read(lambda tx: tx.ledger.metrics(site.site_id))
        counts = await store.read(lambda tx: tx.ledger.counts())
        failed = await store.read(lambda tx: tx.ledger.failed(site.site_id))
        unreadable = await store.read(lambda tx: len(tx.ledger.unreadable(site.site_id)))
        asked = await store.read(lambda tx: tx.privacy.requests(site.site_id))
    except StoreError:
        return []  # said above
    used = f"{n} of the {metrics.ROOM} this shop may make"
    found = [Check(f"Metrics of {site.site_id}", "warning" if metrics.is_nearly_full(n) else "ok", used)]
    odd = [
        f"{'once' if count == 1 else f'{count:,} times'} {NOTES[reason]}"
        for site_id, name, reason, count in counts
        if site_id == site.site_id and name in _NOTED and reason in NOTES
    ]
    journal = f"Journal of {site.site_id}"
    if failed:
        text = f"{failed:,} messages could not be processed by a fault of the relay; once it is mended, {_PUT_BACK}"
        found.append(Check(journal, "warning", text))
    if unreadable:
        text = f"{unreadable:,} rows are damaged and set aside (the disk's fault, or a copy's); restored, {_PUT_BACK}"
        found.append(Check(journal, "warning", text))
    if asked:
        text = f"{', '.join(f'{n} {action}(s)' for action, n in asked.items())}; `relay audit` lists them"
        found.append(Check(f"Personal data of {site.site_id}", "ok", text))
    return found + [Check(f"Calls of {site.site_id}", "warning", text) for text in odd]


async def requests(site: Site, store: Store) -> list[Check]:
    """What customers have asked the shop for, and nobody has done yet."""
    try:
        found = await store.read(lambda tx: tx.requests.open(site.site_id))
    except StoreError:
        return []  # said above
    words = {
        Topic.TELL_CUSTOMER: "asks what is kept of them: answer within 30 days",
        Topic.REDACT_CUSTOMER: "is to be erased: done soon if an address is known, else by `relay forget`",
        Topic.REDACT_SHOP: "all customers are to be erased: done as soon as nothing of them is on its way",
    }
    return [
        Check(
            f"Requests to {site.site_id}",
            "warning",
            f"customer {request.subject.customer_id}: {words[request.topic]}"
            if request.subject.customer_id
            else words[request.topic],
        )
        for request in found
    ]


async def _klaviyo(site: Site) -> Check:
    subject = f"Klaviyo for {site.site_id}"
    if site.klaviyo_api_key is None:
        return Check(subject, "failed", "RELAY_KLAVIYO_API_KEY is not set: deliveries wait")
    client = KlaviyoClient(site, Traffic(SystemClock()))
    try:
        # A look-up of nothing: it tells whether the key is accepted and whether it may read profiles.
        answer = await client.look_up("x" * 43 + ".XXXXXX")
    finally:
        await client.close()
    if answer.status is None:
        return Check(subject, "failed", f"{site.klaviyo_url} does not answer ({answer.error})")
    if answer.status == 401:
        return Check(subject, "failed", "the API key is not accepted (401)")
    if answer.status == 403:
        if _asks_first(site):
            text = f"the API key may not read profiles (profiles:read): deliveries wait{_why_asked(site)}"
            return Check(subject, "failed", text)
        text = "the API key may not read profiles (profiles:read): events of e-mail links go out under their _kx"
        return Check(subject, "warning", text)
    if answer.status >= 400:
        return Check(subject, "warning", f"answered {answer.status} {answer.error}")
    return Check(subject, "ok", "the API key is accepted and may read profiles")


def _cookie_misfit(origin: str, site: Site, relay_host: str | None) -> Check | None:
    """A cookie that every browser refuses, because its domain is not one of the host that sets it."""
    for host in (urlsplit(origin).hostname, relay_host):
        if site.cookie_domain and host and not f".{host}".endswith(f".{site.cookie_domain.lstrip('.')}"):
            text = f"RELAY_COOKIE_DOMAIN is {site.cookie_domain}, to which {host} does not belong: no browser keeps it"
            return Check(f"Cookie for {urlsplit(origin).hostname}", "failed", text)
    return None


def _cookie_life(origin: str, settings: Settings, relay_host: str | None) -> Check:
    """What Safari does with the cookie of a relay that browsers reach at ``relay_host``.

    WebKit (NetworkTaskCocoa.mm) keeps it as asked when the relay answers under the page's own host. Otherwise it cuts
    it to 7 days when the relay's name leads by CNAME to somebody else's domain, or its address is in another network.
    """
    host = urlsplit(origin).hostname or ""
    subject = f"Safari and {host}"
    if relay_host == host or (relay_host is None and settings.path_prefix):
        return Check(subject, "ok", "the relay is a path of the shop: the cookie lives 400 days")
    if relay_host is None:
        return Check(
            subject,
            "warning",
            "run `relay doctor --relay-url https://r.shop.com` to learn how long it keeps the cookie",
        )
    try:
        shop, _ = _addresses(host)
        own, name = _addresses(relay_host)
    except OSError:
        return Check(subject, "warning", f"{host} or {relay_host} could not be resolved from here")
    domain = host.removeprefix("www.")
    if name and name != relay_host and not f".{name}".endswith(f".{domain}"):
        return Check(subject, "warning", f"{relay_host} leads to {name}: 7 days, renewed at each visit")
    if any(same_network(a, b) for a in shop for b in own):
        return Check(subject, "ok", f"{relay_host} is in the shop's network: the cookie lives 400 days")
    return Check(subject, "warning", f"{relay_host} is in another network: 7 days, renewed at each visit")


def _addresses(host: str) -> tuple[set["Address"], str]:
    """The addresses of ``host`` and the name at the end of its CNAME chain."""
    found = socket.getaddrinfo(host, 443, flags=socket.AI_CANONNAME)
    names = [info[3].rstrip(".").lower() for info in found if info[3]]
    return {ipaddress.ip_address(info[4][0]) for info in found}, names[0] if names else ""


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def same_network(one: Address, other: Address) -> bool:
    """Whether WebKit takes the two for one party: the same first 16 bits (IPv4) or 64 bits (IPv6)."""
    if one.version != other.version:
        return False
    kept = 16 if one.version == 4 else 64
    return int(one) >> (one.max_prefixlen - kept) == int(other) >> (other.max_prefixlen - kept)
