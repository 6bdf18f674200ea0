"""Three servers in one process. The databases live in a folder that is gone when the demo ends."""

import asyncio
import contextlib
import secrets
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from msgspec import Struct

from relay.app import Relay
from relay.config import Consent, Secret, Settings, Site
from relay.demo.sandbox import Account, build_sandbox
from relay.demo.storefront import build_storefront
from relay.demo.storefront.controls import LINK_PROPERTY
from relay.errors import SettingsError

CONSOLE_PASSWORD = "demo"  # noqa: S105 - of a demo whose data ends with it
WRITE_KEY = "demo"


class Ports(Struct, frozen=True):
    """Where the demo listens."""

    shop: int
    relay: int
    sandbox: int

    @property
    def shop_url(self) -> str:
        return f"http://localhost:{self.shop}"

    @property
    def relay_url(self) -> str:
        return f"http://localhost:{self.relay}"

    @property
    def sandbox_url(self) -> str:
        return f"http://localhost:{self.sandbox}"


async def run(ports: Ports, *, hold_seconds: float, ready: Callable[[], None]) -> None:
    """Serve until a signal; ``ready`` is called once everything answers. Raises SettingsError for a taken port."""
    with tempfile.TemporaryDirectory(prefix="backflow-demo-") as folder:
        account = Account()
        relay = Relay(settings(ports, account, Path(folder), hold_seconds))
        shop = build_storefront(
            tag_url=f"{ports.relay_url}/tag.js?key={WRITE_KEY}",
            klaviyo_url=ports.sandbox_url,
            klaviyo_company_id=account.company_id,
            sandbox_url=ports.sandbox_url,
        )
        sandbox = build_sandbox(account, shop_url=ports.shop_url)
        servers = [
            _Server(application, port)
            for application, port in ((sandbox, ports.sandbox), (relay, ports.relay), (shop, ports.shop))
        ]
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        async with contextlib.AsyncExitStack() as stack:
            for server in servers:
                await stack.enter_async_context(server)
            ready()
            await stop.wait()


def settings(ports: Ports, account: Account, folder: Path, hold_seconds: float) -> Settings:
    """The demo's settings: what an operator would write, made up."""
    site = Site(
        site_id="demo",
        write_key=WRITE_KEY,
        server_key=Secret("demo-server-key"),
        allowed_origins=frozenset({ports.shop_url}),
        klaviyo_api_key=Secret(next(iter(account.private_keys))),
        klaviyo_url=ports.sandbox_url,
        hold_seconds=hold_seconds,
        consent=Consent.AUTO,
        link_property=LINK_PROPERTY,
    )
    return Settings(
        secret_keys=(Secret(secrets.token_hex(32)),),
        sites=(site,),
        database_url=f"sqlite:///{folder}/relay.db",
        console_password=Secret(CONSOLE_PASSWORD),
        host="127.0.0.1",
        port=ports.relay,
    )


class _Server:
    """One uvicorn server that starts and stops with a ``with`` block."""

    def __init__(self, application: Any, port: int) -> None:
        self._port = port
        config = uvicorn.Config(application, host="127.0.0.1", port=port, log_config=None, access_log=False)
        self._server = uvicorn.Server(config)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._serve())
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.02)

    async def __aexit__(self, *exc: object) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task

    async def _serve(self) -> None:
        # uvicorn would take the signals for itself, three times over, and exit the process on a taken port.
        try:
            await self._server._serve()
        except SystemExit:
            raise SettingsError("port", f"{self._port} is taken; choose another one (relay demo --help)") from None
