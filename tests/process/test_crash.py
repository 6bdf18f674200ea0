"""The real program under load, killed with SIGKILL at random moments. ``--crashes 200`` is the long form."""

import json
import random
import threading
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from e2e.servers import RelayProcess, SandboxControl, free_port, served, wait_until
from relay.demo.sandbox import Account, build_sandbox

SEED = 20_261_122


class Caller(threading.Thread):
    """Sends one batch after the other, each again and again until it is acknowledged."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.acknowledged: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.is_set():
            ids = [str(uuid.uuid4()) for _ in range(5)]
            batch = [
                {
                    "type": "track",
                    "event": "Product Added",
                    "messageId": message_id,
                    "userId": f"customer-{index}",
                    "context": {"traits": {"email": f"customer-{index}@harbour.example"}},
                    "properties": {"product_id": "1", "name": "Mug", "price": 12, "currency": "EUR"},
                }
                for index, message_id in enumerate(ids)
            ]
            body = json.dumps({"writeKey": "journey-server-key", "batch": batch}).encode()
            while not self._is_acknowledged(body):
                if self.enough.wait(0.05):
                    return
            self.acknowledged += ids
            # Slower than Klaviyo's limit for single events, which the relay keeps to: else the end takes minutes.
            self.enough.wait(0.1)

    def _is_acknowledged(self, body: bytes) -> bool:
        try:
            request = urllib.request.Request(f"{self.url}/v1/batch", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def test_everything_acknowledged_arrives_exactly_once_however_often_the_relay_is_killed(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    crashes = pytestconfig.getoption("--crashes")
    chance = random.Random(SEED)
    with served(build_sandbox(Account()), free_port()) as url:
        sandbox = SandboxControl(url)
        relay = RelayProcess(
            tmp_path, port=free_port(), shop_url="http://localhost", klaviyo_url=url, hold_seconds="0"
        ).start()
        caller = Caller(relay.url)
        caller.start()
        for _ in range(crashes):
            before = len(caller.acknowledged)
            wait_until(lambda before=before: len(caller.acknowledged) > before, "the relay takes batches")
            threading.Event().wait(chance.uniform(0, 0.4))  # the moment of death, not a wait for something
            relay.kill()
            relay.start()
        caller.enough.set()
        caller.join(10)
        acknowledged = set(caller.acknowledged)
        assert len(acknowledged) >= 5 * crashes

        def settled() -> bool:
            sums = relay.metrics()
            return not any('state="held"' in n or 'state="ready"' in n or 'state="sending"' in n for n in sums)

        wait_until(lambda: relay.messages("received") >= len(acknowledged) and settled(), "all is settled", 120)
        events = sandbox.state()["events"]
        arrived = [event["unique_id"].rpartition(":")[2] for event in events]
        assert len(arrived) == len(set(arrived)), "nothing twice"
        assert acknowledged <= set(arrived), f"lost: {len(acknowledged - set(arrived))}"
        received, accepted = relay.messages("received"), relay.messages("accepted")
        assert received == accepted + relay.messages("duplicate") + relay.messages("dropped")
        assert accepted == len(arrived)
        assert relay.stop() == 0


def test_stopping_relay_finishes_what_it_sends_and_gives_the_rest_back(tmp_path: Path) -> None:
    with served(build_sandbox(Account()), free_port()) as url:
        sandbox = SandboxControl(url)
        relay = RelayProcess(
            tmp_path, port=free_port(), shop_url="http://localhost", klaviyo_url=url, hold_seconds="0"
        ).start()
        sandbox.answers({"path": "/api/events", "times": 1, "delay_seconds": 1.0})
        caller = Caller(relay.url)
        caller.start()
        wait_until(lambda: len(caller.acknowledged) >= 50, "batches are taken")
        caller.enough.set()
        caller.join(10)

        assert relay.stop() == 0
        relay.start()
        wait_until(lambda: len(sandbox.backups()) >= len(caller.acknowledged), "everything arrives", 60)

        assert all(event["deduplicated_repeats"] == 0 for event in sandbox.backups()), "a stop sends nothing again"
        relay.stop()
