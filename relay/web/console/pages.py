"""The console's routes."""

from starlette.routing import Route

from relay.config import Settings
from relay.store.base import Store


class Console:
    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def routes(self) -> list[Route]:
        return []
