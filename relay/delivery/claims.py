"""What the sender asks the outbox for next: live events first, a backlog behind them, as much as the pace lets go."""

from collections import Counter
from collections.abc import Container, Iterator

from relay.config import Site
from relay.delivery.lanes import Lane
from relay.delivery.pace import Traffic
from relay.klaviyo.endpoints import Endpoint
from relay.model import DeliveryKind, Recipient
from relay.store.base import Transaction
from relay.store.rows import Claimed, Want

#: An event that has been due for longer than this is backlog.
LIVE_SECONDS = 60.0
#: A backlog of fewer events goes one by one: a bulk call gives no word on each event.
FEWEST_FOR_BULK = 200
#: How long a claim holds: the wait for the pace and every call of a batch, each of which may take its whole time-out.
LEASE_SECONDS = 300.0

Batch = tuple[Lane, list[Claimed]]


class Claims:
    """Claims for one site, under one owner's name."""

    def __init__(self, site: Site, traffic: Traffic, owner: str) -> None:
        self._site = site
        self._traffic = traffic
        self._owner = owner

    def take(
        self, tx: Transaction, under_way: Counter[Lane], now: float, *, resting: Container[Lane] = ()
    ) -> list[Batch]:
        """Claim what may go now in lanes that are not ``resting``, beside the calls ``under_way`` in each."""
        claim = _Claim(self._site, self._owner, tx, now, profiles_first=self._traffic.is_well(Endpoint.IMPORT_PROFILE))
        found: list[Batch] = []
        for lane in Lane:
            if lane in (Lane.EVENT, Lane.BULK) or lane in resting:
                continue
            room = self._room(lane) - under_way[lane]
            if room > 0:
                found += claim.batches(lane, Want(kind=lane.value.kind, limit=room * lane.value.most))
        return found if Lane.EVENT in resting else [*found, *self._events(claim, under_way)]

    def _events(self, claim: "_Claim", under_way: Counter[Lane]) -> Iterator[Batch]:
        room = self._room(Lane.EVENT) - under_way[Lane.EVENT]
        live_since = claim.now - LIVE_SECONDS
        event = DeliveryKind.EVENT
        if room > 0:
            live = claim.batches(Lane.EVENT, Want(kind=event, limit=room, due_since=live_since))
            yield from live
            room -= len(live)
        untried: bool | None = None
        if self._may_go_in_bulk():
            most = Lane.BULK.value.most
            backlog = Want(kind=event, limit=most, due_before=live_since, untried=True)
            if claim.has(backlog, FEWEST_FOR_BULK):
                untried = False
                for _ in range(self._room(Lane.BULK) - under_way[Lane.BULK]):
                    yield from claim.batches(Lane.BULK, backlog)
        if room > 0:
            yield from claim.batches(Lane.EVENT, Want(kind=event, limit=room, due_before=live_since, untried=untried))

    def _may_go_in_bulk(self) -> bool:
        """Not while events do not get through one by one, and not where every profile has to be asked for first."""
        well = self._traffic.is_well
        return well(Endpoint.CREATE_EVENT) and well(Endpoint.BULK_EVENTS) and self._site.create_profiles

    def _room(self, lane: Lane) -> int:
        endpoints = lane.value.endpoints
        if lane in (Lane.EVENT, Lane.PROFILE) and not (self._site.create_profiles and self._site.update_profiles):
            endpoints += (Endpoint.GET_PROFILES,)  # asked before every one of them
        room = min(self._traffic.room(endpoint) for endpoint in endpoints)
        return room if lane.value.most == 1 else min(room, lane.value.at_once)


class _Claim:
    """One claim's circumstances, and the recipients it has found so far."""

    def __init__(self, site: Site, owner: str, tx: Transaction, now: float, *, profiles_first: bool) -> None:
        self._site = site
        self._owner = owner
        self._tx = tx
        self.now = now
        self._profiles_first = profiles_first
        self._found: dict[tuple[str | None, str | None], Recipient | None] = {}

    def has(self, want: Want, n: int) -> bool:
        return self._tx.dispatch.has_backlog(self._site.site_id, want, n, now=self.now)

    def batches(self, lane: Lane, want: Want) -> list[Batch]:
        """Claim, and part what was claimed into calls: those of a lane with many must ask for the same thing."""
        claimed = self._tx.dispatch.claim(
            self._site.site_id,
            want,
            now=self.now,
            lease_owner=self._owner,
            lease_until=self.now + LEASE_SECONDS,
            recipient=self._recipient,
            profiles_first=self._profiles_first,
        )
        if lane.value.most == 1:
            return [(lane, [delivery]) for delivery in claimed]
        return [(lane, claimed)] if claimed else []

    def _recipient(self, person_id: str | None, visitor_id: str | None) -> Recipient | None:
        key = (person_id, visitor_id)
        if key not in self._found:
            self._found[key] = self._look_up(person_id, visitor_id)
        return self._found[key]

    def _look_up(self, person_id: str | None, visitor_id: str | None) -> Recipient | None:
        site_id, graph = self._site.site_id, self._tx.graph
        if person_id is not None:
            return graph.recipient(site_id, graph.canonical(site_id, person_id))
        if self._site.anonymous_id and visitor_id is not None:
            return Recipient(anonymous_id=visitor_id)
        return None
