"""What lies on the disk tells nobody who the shoppers are: the files of a whole journey, byte by byte."""

import asyncio
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from relay.app import open_store
from relay.config import Secret
from relay.errors import StoreError
from relay.store.sqlite import SqliteStore
from tests import factories
from tests.integration.test_forget import ANN, PHONE, erase, full_life
from tests.integration.world import MINUTE, World, in_world

#: As the shopper typed them, as they are normalised, and parts of them.
WORDS = (ANN, "ann@", PHONE, PHONE[1:], "Annabel", "Sea Street", "customer-ann")


def files_of(world: World) -> list[Path]:
    """Everything beside the database: the two files, their write-ahead logs, and whatever else there is."""
    return [path for path in world.store.path.parent.rglob("*") if path.is_file()]


def words_in(files: list[Path], *words: str) -> set[tuple[str, str]]:
    held = {path.name: path.read_bytes().lower() for path in files}
    return {(name, word) for name, content in held.items() for word in words if word.lower().encode() in content}


def check_point(world: World) -> None:
    for path in (world.store.path, world.store.journal_path):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


@in_world(country="US")
async def test_no_file_of_a_whole_journey_holds_an_address_a_number_or_a_name(world: World) -> None:
    await full_life(world)
    files = files_of(world)
    assert {"relay.db", "relay.journal.db", "relay.db-wal", "relay.journal.db-wal"} <= {path.name for path in files}
    assert words_in(files, *WORDS) == set()
    check_point(world)
    assert words_in(files_of(world), *WORDS) == set()
    # What may be read is there to be read: the search finds what it looks for.
    assert {name for name, _ in words_in(files_of(world), "Added to Cart")} >= {"relay.db"}


@in_world(country="US")
async def test_neither_do_those_of_an_erasure(world: World) -> None:
    await full_life(world)
    await erase(world)
    assert words_in(files_of(world), *WORDS) == set()
    await world.settle(MINUTE)
    await world.keep_house()
    check_point(world)
    assert words_in(files_of(world), *WORDS) == set()


@in_world(country="US")
async def test_no_log_line_holds_anything_of_the_person(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "relay"):
        await full_life(world)
        await erase(world)
        await world.keep_house()
    said = "\n".join(str(vars(record)) for record in caplog.records)
    assert "a person was erased" in said
    assert [word for word in WORDS if word.lower() in said.lower()] == []


def test_relays_that_start_together_agree_on_the_key(tmp_path: Path) -> None:
    settings = factories.settings(database_url=f"sqlite:///{tmp_path}/relay.db")

    async def hashes() -> set[bytes]:
        stores = await asyncio.gather(*(asyncio.to_thread(open_store, settings) for _ in range(6)))
        try:
            return {store._keys.of("shop").look_up("email", ANN) for store in stores}
        finally:
            await asyncio.gather(*(store.close() for store in stores))

    assert len(asyncio.run(hashes())) == 1


def test_a_site_that_is_taken_out_of_the_settings_keeps_its_key(tmp_path: Path) -> None:
    def hash_of(*sites: str, secrets: tuple[str, ...] = ("a",)) -> bytes | None:
        store = SqliteStore(tmp_path / "relay.db", [Secret(secret) for secret in secrets], sites)
        try:
            return store._keys.of("shop").look_up("email", ANN)
        finally:
            asyncio.run(store.close())

    first = hash_of("shop")
    assert hash_of("another") == first
    assert hash_of("another", secrets=("b", "a")) == first
    assert hash_of("shop", secrets=("b",)) == first


def test_a_site_the_store_was_not_opened_for_is_told_by_its_name(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "relay.db", *factories.KEYS)

    async def story() -> None:
        with pytest.raises(StoreError, match="without the site unknown"):
            await store.append(factories.entry(site_id="unknown"))
        await store.close()

    asyncio.run(story())
