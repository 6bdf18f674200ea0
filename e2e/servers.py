"""The journeys' cast: shop and Klaviyo sandbox in threads, the relay as the real program in a process of its own."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

#: Below the ports that systems give to outgoing calls (from 32768): a server that is down gets its port back.
PORTS = range(20_000, 32_000)
_claims: list[socket.socket] = []
#: What the relays of the journeys sign and encrypt with.
SECRET_KEY = "a secret key of the journeys and long enough"


def free_port() -> int:
    """A port that no other test process on this machine is given as long as this one lives.

    The claim is a UDP socket with the same number: it is in the way of no TCP server, and goes with its process.
    """
    while True:
        port = random.choice(PORTS)
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port


@contextlib.contextmanager
def served(application: Any, port: int) -> Iterator[str]:
    """``application`` on localhost, for the time of the block; gives its URL."""
    config = uvicorn.Config(application, host="127.0.0.1", port=port, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    url = f"http://localhost:{port}"
    wait_until(lambda: server.started, f"{url} is up")
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(10)


def wait_until(condition: Any, what: str, seconds: float = 60.0) -> Any:
    """Wait for a named condition; its value. Fails with the name when it does not come true."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain until {what}"
        threading.Event().wait(0.02)


class RelayProcess:
    """``relay serve`` with settings in the environment; can be stopped, killed and started again on the same data."""

    def __init__(self, folder: Path, *, port: int, shop_url: str, klaviyo_url: str, **settings: str) -> None:
        self.port = port
        self.url = f"http://localhost:{port}"
        self.log = folder / "relay.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RELAY_")},
            "RELAY_SECRET_KEYS": SECRET_KEY,
            "RELAY_DATABASE_URL": f"sqlite:///{folder / 'relay.db'}",
            "RELAY_WRITE_KEY": "journey",
            "RELAY_SERVER_KEY": "journey-server-key",
            "RELAY_ALLOWED_ORIGINS": shop_url,
            "RELAY_KLAVIYO_API_KEY": "pk_demo",
            "RELAY_KLAVIYO_URL": klaviyo_url,
            "RELAY_HOLD_SECONDS": "1",
            "RELAY_PORT": str(port),
            **{f"RELAY_{name.upper()}": value for name, value in settings.items()},
        }

    def start(self) -> "RelayProcess":
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "relay", "serve"], env=self._environment, stdout=log, stderr=log
            )
        wait_until(self._is_ready, f"the relay is ready (its log: {self.log})")
        return self

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        return self._end(signal.SIGKILL)

    def metrics(self) -> dict[str, float]:
        """The relay's own sums, by metric with labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(n) for name, _, n in (line.rpartition(" ") for line in lines if not line.startswith("#"))}

    def deliveries(self, state: str, reason: str) -> float:
        """How many deliveries stand there."""
        label = f'backflow_deliveries{{reason="{reason}",site="default",state="{state}"}}'
        return self.metrics().get(label, 0.0)

    def messages(self, end: str) -> float:
        """How many messages ended so (``received``, ``accepted``, ``duplicate``, ``dropped``)."""
        own = f'backflow_messages_total{{end="{end}",'
        return sum(n for name, n in self.metrics().items() if name.startswith(own))

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the relay ended early:\n{self.log.read_text()}"
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _end(self, number: int) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(30)
        self._process = None
        return code


class SandboxControl:
    """Klaviyo's stand-in as the tests see it: what arrived, and scripted faults."""

    def __init__(self, url: str) -> None:
        self.url = url

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self._call("GET", "/_sandbox/state")
        return state

    def reset(self) -> None:
        self._call("POST", "/_sandbox/reset", {})

    def answers(self, *scripted: dict[str, Any]) -> None:
        self._call("POST", "/_sandbox/answers", list(scripted))

    def scopes(self, *scopes: str) -> None:
        self._call("POST", "/_sandbox/scopes", {"scopes": list(scopes)})

    def limits(self, *, enabled: bool) -> None:
        """Klaviyo's rate limits, off until a test wants them."""
        self._call("POST", "/_sandbox/limits", {"enabled": enabled})

    def requests(self) -> list[dict[str, Any]]:
        """The latest calls, oldest first."""
        found: list[dict[str, Any]] = self.state()["requests"]
        return found

    def seed(self, **profile: str) -> dict[str, Any]:
        """A profile that Klaviyo knows already; its ``id`` and ``_kx``."""
        made: dict[str, Any] = self._call("POST", "/_sandbox/profiles", profile)
        return made

    def make_list(self, list_id: str) -> None:
        """An empty list of people."""
        self._call("POST", "/_sandbox/lists", {"id": list_id, "name": f"List {list_id}"})

    def events(self, metric: str, wait_for: int = 1, timeout: float = 60.0) -> list[dict[str, Any]]:
        """The events of ``metric``, once there are ``wait_for`` of them."""
        query = urllib.parse.urlencode({"metric": metric, "wait_for": wait_for, "timeout": timeout})
        try:
            found = self._call("GET", f"/_sandbox/events?{query}", timeout=timeout + 10)
        except urllib.error.HTTPError as late:
            found = json.loads(late.read())
        events: list[dict[str, Any]] = found["events"]
        assert len(events) >= wait_for, f"{len(events)} of {wait_for} {metric!r} arrived; {self.summary()}"
        return events

    def backups(self) -> list[dict[str, Any]]:
        """Everything that came from the relay."""
        return [event for event in self.state()["events"] if event["metric"].endswith(" - Backup Flow")]

    def summary(self) -> str:
        """What arrived, for the message of a failed assertion."""
        state = self.state()
        kept = [(event["metric"], event["profile"].get("email")) for event in state["events"]]
        return f"arrived: {kept}; refused: {state['refused']}; unknown routes: {state['unknown_routes']}"

    def _call(self, method: str, path: str, body: Any = None, timeout: float = 30.0) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = answer.read()
        return json.loads(text) if text else None
