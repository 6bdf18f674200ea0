"""Two real relays on one PostgreSQL: who holds the lease works, the other takes over, and nothing is sent twice."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from e2e.servers import SECRET_KEY, RelayProcess, SandboxControl, free_port, served, wait_until
from relay.demo.sandbox import Account, build_sandbox
from relay.store.postgres import PostgresStore
from tests.postgres import Server, own_server
from tests.process.callers import Caller, Carts


@pytest.fixture
def klaviyo() -> Iterator[SandboxControl]:
    with served(build_sandbox(Account()), free_port()) as url:
        yield SandboxControl(url)


@pytest.fixture
def relays(tmp_path: Path, postgres: Server, klaviyo: SandboxControl) -> Iterator[list[RelayProcess]]:
    url = postgres.database()
    with two_relays(tmp_path, url, klaviyo) as relays:
        yield relays
    postgres.forget(url)


@contextlib.contextmanager
def two_relays(folder: Path, url: str, klaviyo: SandboxControl, **settings: str) -> Iterator[list[RelayProcess]]:
    """Two relays at work on the database at ``url``."""
    relays = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        relays.append(
            RelayProcess(
                folder / name,
                port=free_port(),
                shop_url="http://localhost",
                klaviyo_url=klaviyo.url,
                hold_seconds="0",
                database_url=url,
                **settings,
            )
        )
    try:
        yield [relay.start() for relay in relays]
    finally:
        for relay in relays:
            relay.kill()


def callers(relays: list[RelayProcess]) -> list[Caller]:
    started: list[Caller] = [Carts(relay.url) for relay in relays]
    for caller in started:
        caller.start()
    return started


def all_acknowledged(callers: list[Caller]) -> set[str]:
    for caller in callers:
        caller.enough.set()
    for caller in callers:
        caller.join(5)  # one whose relay is dead goes on asking
    return {message_id for caller in callers for message_id in caller.acknowledged}


def arrived(klaviyo: SandboxControl) -> list[str]:
    return [event["unique_id"].rpartition(":")[2] for event in klaviyo.state()["events"]]


def test_two_relays_at_work_send_each_message_exactly_once(relays: list[RelayProcess], klaviyo: SandboxControl) -> None:
    calling = callers(relays)
    wait_until(lambda: all(len(caller.acknowledged) >= 60 for caller in calling), "both take batches")
    acknowledged = all_acknowledged(calling)
    wait_until(lambda: acknowledged <= set(arrived(klaviyo)), "everything arrives", 60)

    ids = arrived(klaviyo)
    assert len(ids) == len(set(ids))
    assert all(event["deduplicated_repeats"] == 0 for event in klaviyo.state()["events"]), "nobody works twice"
    for relay in relays:  # each tells the sums of both
        assert relay.messages("received") == relay.messages("accepted") == len(ids)
        assert relay.messages("duplicate") == relay.messages("dropped") == 0
    assert [relay.stop() for relay in relays] == [0, 0]


@pytest.mark.parametrize("killed", [0, 1])
def test_a_relay_that_is_killed_hands_over_and_nothing_is_lost(
    relays: list[RelayProcess], klaviyo: SandboxControl, killed: int
) -> None:
    """One of the two holds the leases: killing either must leave the other at work."""
    calling = callers(relays)
    wait_until(lambda: len(arrived(klaviyo)) >= 40, "events arrive")
    before = {caller: len(caller.acknowledged) for caller in calling}
    relays[killed].kill()
    survivor = calling[1 - killed]
    wait_until(lambda: len(survivor.acknowledged) >= before[survivor] + 40, "the other one goes on taking batches")
    acknowledged = all_acknowledged(calling)
    # What the killed one had claimed is given back by whoever sends now.
    wait_until(lambda: acknowledged <= set(arrived(klaviyo)), "everything arrives", 60)

    ids = arrived(klaviyo)
    assert len(ids) == len(set(ids))
    other = relays[1 - killed]
    assert other.messages("received") == other.messages("accepted") + other.messages("duplicate")
    assert other.messages("accepted") == len(ids)
    assert other.stop() == 0


def test_a_relay_that_stops_hands_over_what_it_has_not_sent(
    relays: list[RelayProcess], klaviyo: SandboxControl
) -> None:
    calling = callers(relays)
    wait_until(lambda: len(arrived(klaviyo)) >= 40, "events arrive")
    assert relays[0].stop() == 0
    before = len(calling[1].acknowledged)
    wait_until(lambda: len(calling[1].acknowledged) >= before + 40, "the other one goes on taking batches")
    acknowledged = all_acknowledged(calling)
    wait_until(lambda: acknowledged <= set(arrived(klaviyo)), "everything arrives", 60)
    assert all(event["deduplicated_repeats"] == 0 for event in klaviyo.state()["events"]), "a stop sends nothing again"
    assert relays[1].stop() == 0


SITES = """
[sites.north]
write_key = "north"
klaviyo_api_key = "pk_demo"
klaviyo_url = "{url}"
[sites.south]
write_key = "south"
klaviyo_api_key = "pk_demo"
klaviyo_url = "{url}"
"""


def test_one_relay_sends_for_all_sites_of_one_account(
    tmp_path: Path, postgres: Server, klaviyo: SandboxControl
) -> None:
    """Klaviyo's limits are per account: two relays that send for one would each take all of them."""
    (tmp_path / "sites.toml").write_text(SITES.format(url=klaviyo.url))
    url = postgres.database()
    with contextlib.ExitStack() as stack:
        taken = stack.enter_context(psycopg.connect(url, autocommit=True))
        for role in ("sender", "processor"):
            taken.execute("SELECT pg_advisory_lock(%s)", (lock(url, role, "north"),))
        one, two = stack.enter_context(two_relays(tmp_path, url, klaviyo, config=str(tmp_path / "sites.toml")))
        wait_until(lambda: at_work(one) >= {"sender south", "processor south"}, "one has what is to be had")
        os.kill(pid(one), signal.SIGSTOP)  # it cannot take what is free now, and the other one can
        taken.close()
        wait_until(lambda: "processor north" in at_work(two), "the other one takes what is free")
        assert not {name for name in at_work(two) if name.startswith("sender")}
        os.kill(pid(one), signal.SIGCONT)
        wait_until(lambda: at_work(one) >= {"sender north", "sender south"}, "one sends for both sites")
        one.kill()
        wait_until(lambda: at_work(two) >= {"sender north", "sender south"}, "the other one takes over")
        assert two.stop() == 0
    postgres.forget(url)


def at_work(relay: RelayProcess) -> set[str]:
    """The roles a relay has said it has, each with its site."""
    lines = [json.loads(line) for line in relay.log.read_text().splitlines() if line.startswith("{")]
    return {line["reason"] for line in lines if line["message"] == "at work"}


def lock(url: str, role: str, site_id: str) -> int:
    """The number of a lease."""
    store = PostgresStore(url, [SECRET_KEY], ["default"])
    asyncio.run(store.close())
    return store._key(role, site_id)


def pid(relay: RelayProcess) -> int:
    assert relay._process is not None
    return relay._process.pid


def test_a_database_that_crashes_and_comes_back_costs_nothing_but_time(tmp_path: Path, klaviyo: SandboxControl) -> None:
    with own_server() as server, two_relays(tmp_path, server.database(), klaviyo) as relays:
        calling = callers(relays)
        wait_until(lambda: len(arrived(klaviyo)) >= 40, "events arrive")
        before = [len(caller.acknowledged) for caller in calling]
        server.stop(signal.SIGQUIT)
        server.start()
        wait_until(
            lambda: all(len(caller.acknowledged) >= n + 40 for caller, n in zip(calling, before, strict=True)),
            "both take batches again, without a restart",
            60,
        )
        acknowledged = all_acknowledged(calling)
        wait_until(lambda: acknowledged <= set(arrived(klaviyo)), "everything arrives", 60)
        ids = arrived(klaviyo)
        assert len(ids) == len(set(ids))
        assert relays[0].messages("accepted") == len(ids)
        assert [relay.stop() for relay in relays] == [0, 0]
