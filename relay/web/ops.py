"""For operators and their machines: is it alive, is it ready, what are the sums."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from relay.config import Site
from relay.errors import StoreError
from relay.identity import measure
from relay.identity.evidence import Evidence
from relay.observe import Sums
from relay.store.base import Store, Transaction


class Ops:
    """``/healthz``, ``/readyz`` and ``/metrics``."""

    def __init__(self, store: Store, sites: Sequence[Site]) -> None:
        self._store = store
        self._sites = sites
        self._sums = Sums()
        self._registry = CollectorRegistry()
        self._registry.register(self._sums)

    async def health(self, request: Request) -> Response:
        """Alive: the process answers."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Ready: both databases can be written now, so a batch would be kept."""
        try:
            await self._store.check()
        except StoreError:
            problem = {"status": "unavailable", "problem": "the database cannot be written"}
            return JSONResponse(problem, status_code=503, headers={"Retry-After": "5"})
        return JSONResponse({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        def read(tx: Transaction) -> None:
            pauses = [(site.site_id, p.scope) for site in self._sites for p in tx.ledger.pauses(site.site_id)]
            self._sums.refresh(tx.ledger.counts(), tx.outbox.sums(), pauses, self._off(tx))

        try:
            await self._store.read(read)
        except StoreError:
            return PlainTextResponse("the database cannot be read\n", status_code=503)
        body = generate_latest(self._registry)
        return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")

    def _off(self, tx: Transaction) -> list[tuple[str, str, bool]]:
        """Each site's classes of evidence, and whether it trusts them at present."""
        found = []
        for site in self._sites:
            off = measure.switched_off(measure.scores(tx.ledger.labels(site.site_id)), site.min_precision)
            found += [(site.site_id, evidence.value, evidence in off) for evidence in Evidence]
        return found
