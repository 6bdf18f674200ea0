"""What SQLite is told of its rows: no event looks through a whole site, whoever has opened the file before."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from relay.identity.evidence import Evidence
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.traces import Trace, TraceKind
from relay.model import Trust
from relay.store import dispatch, history, holdings, ledger, outbox, requests, sketches, statistics
from relay.store.base import Transaction
from tests import factories, plans
from tests.contract import conftest
from tests.contract.conftest import OpenStore
from tests.factories import NOW

FILES = ("relay.db", "relay.journal.db")
EMAIL = Identifier(IdentifierKind.EMAIL, "jane@shop.example")
KX = Identifier(IdentifierKind.KX, "k" * 43 + ".DEMO42")


def connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def told(path: Path) -> list[tuple[str, str, str]]:
    with closing(connected(path)) as db:
        return db.execute("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY tbl, idx").fetchall()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A database that a relay has made and closed."""
    OpenStore(conftest.sqlite, tmp_path).close()
    return tmp_path


def a_shoppers_way(tx: Transaction) -> None:
    """What the processor and the sender ask while a person comes, signs in, buys, and is told of."""
    person = tx.graph.new_person("shop", NOW)
    tx.graph.attach("shop", EMAIL, person, trust=Trust.SERVER, at=NOW, message_id="m")
    tx.graph.tie("shop", "v", person, Evidence.FORM, at=NOW, message_id="m")
    tx.graph.links("shop", "v")
    tx.graph.owners("shop", [EMAIL])
    tx.graph.is_new("shop", person, since=NOW)
    tx.graph.new_visitors("shop", person, NOW, at_most=20)
    tx.graph.is_passed_on("shop", person)
    tx.graph.visitors_of("shop", person)
    tx.graph.count("shop", person, IdentifierKind.EMAIL)
    tx.graph.recipient("shop", person)
    tx.graph.end_evidence("shop", person, Evidence.KX, at=NOW, reason="unknown")
    tx.graph.unlink("shop", "v", person, None, at=NOW)
    tx.graph.untie("shop", "v", at=NOW, reason="signed_out")
    recipient = tx.graph.new_person("shop", NOW)
    tx.graph.attach("shop", KX, recipient, trust=Trust.BROWSER, at=NOW, message_id="m")
    tx.graph.tie("shop", "v", recipient, Evidence.KX, at=NOW, message_id="m")
    assert tx.graph.fold("shop", recipient, person, at=NOW, message_id="m")
    tx.graph.keep_newest("shop", person, IdentifierKind.KX, 1)
    tx.outbox.hand_over("shop", recipient, person)
    tx.traces.note("shop", Trace(TraceKind.GA, "1"), "v", at=NOW, network=None, browser=None)
    tx.traces.shared("shop", "v")
    tx.ledger.add_event(factories.stored_event(received_at=NOW))
    tx.outbox.unsent("shop", visitors=["v"], person_id=person, and_gone=True)
    tx.outbox.last_order_at("shop", visitors=["v"], person_ids=[person])
    tx.outbox.hold_on("shop", "v", until=NOW, at_most=1)
    tx.dispatch.next_due("shop")
    tx.dispatch.is_due("shop", now=NOW)
    tx.graph.forget("shop", person)


def test_a_shoppers_way_leads_through_no_whole_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "HEARD", {})
    opened = OpenStore(conftest.sqlite, tmp_path)
    opened.do(a_shoppers_way)
    opened.append()
    opened.entries()
    opened.close()
    assert {"Dispatch.next_due", "Outbox.unsent", "Traces.shared", "SqliteStore.entries"} <= {
        plan.caller for plan in plans.HEARD.values()
    }
    assert plans.wrong(plans.HEARD.values()) == []
    # Nor does a quiet site look through what the others have been sent since.
    steps = [step for plan in plans.HEARD.values() if plan.caller == "SqliteStore.entries" for step in plan.steps]
    assert steps == ["SEARCH journal USING INDEX journal_by_site (site_id=? AND seq>?)"]


@pytest.mark.parametrize(
    ("step", "is_whole"),
    [
        ("SEARCH links USING INDEX links_by_person (site_id=? AND person_id=?)", False),
        ("SEARCH links USING INDEX links_by_person (site_id=?)", True),
        ("SEARCH identifiers USING PRIMARY KEY (site_id=? AND kind=?)", True),
        ("SEARCH identifiers USING PRIMARY KEY (site_id=? AND kind=? AND hash=?)", False),
        ("SEARCH d USING INDEX deliveries_due (site_id=? AND kind=? AND due_at<?)", False),
        ("SEARCH deliveries USING INTEGER PRIMARY KEY (rowid=?)", False),
        ("SEARCH e USING AUTOMATIC COVERING INDEX (event_id=?)", True),
        ("SEARCH positions USING INDEX sqlite_autoindex_positions_1 (site_id=?)", False),
        ("SEARCH events", False),
        ("SCAN deliveries", True),
        ("SCAN counts", False),
        ("USE TEMP B-TREE FOR ORDER BY", False),
    ],
)
def test_a_search_of_a_whole_site_is_noticed(step: str, is_whole: bool) -> None:
    assert plans.is_whole(step) is is_whole


def test_who_may_look_through_a_site_is_still_there() -> None:
    parts = (dispatch, holdings, history, ledger, outbox, requests, sketches)
    methods = {
        f"{name}.{method}"
        for part in parts
        for name, kind in vars(part).items()
        if isinstance(kind, type)
        for method in vars(kind)
    }
    assert set(plans.WHOLE) <= methods


def test_every_index_has_a_shape(folder: Path) -> None:
    """SQLite reads what it cannot use without a word: a name that is no index's, or numbers of other columns."""
    for name in FILES:
        with closing(connected(folder / name)) as db:
            shapes = {(table, index): stat.split() for table, index, stat in told(folder / name)}
            seen = set()
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for _, index, _, origin, _ in db.execute(f"PRAGMA index_list({table})").fetchall():
                    columns = db.execute(f"PRAGMA index_info({index})").fetchall()
                    listed = db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (index,)).fetchone()
                    assert listed or origin == "pk"
                    shape = shapes[table, index if listed else table]
                    assert len(shape) == len(columns) + 1
                    seen.add((table, index if listed else table))
            assert seen == set(shapes)


@pytest.mark.parametrize("name", FILES)
def test_an_operators_analyze_gives_way_at_the_next_start(folder: Path, name: str) -> None:
    before = told(folder / name)
    with closing(connected(folder / name)) as db:
        db.execute("ANALYZE")
    assert told(folder / name) != before
    OpenStore(conftest.sqlite, folder).close()
    assert told(folder / name) == before


@pytest.mark.parametrize("name", FILES)
def test_a_database_made_before_is_told_too(folder: Path, name: str) -> None:
    before = told(folder / name)
    with closing(connected(folder / name)) as db:
        db.execute("DROP TABLE sqlite_stat1")
    OpenStore(conftest.sqlite, folder).close()
    assert told(folder / name) == before


def test_samples_give_way_to_shapes(folder: Path) -> None:
    """Some builds of SQLite take samples with an ANALYZE, and prefer them."""
    known = "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_stat4'"
    with closing(connected(folder / "relay.db")) as db:  # this build may not be one of them
        db.execute("CREATE TABLE samples (tbl, idx, nEq, nLt, nDLt, sample)")
        db.execute("PRAGMA writable_schema = ON")
        db.execute(
            "UPDATE sqlite_master SET name = 'sqlite_stat4', tbl_name = 'sqlite_stat4',"
            " sql = replace(sql, 'samples', 'sqlite_stat4') WHERE name = 'samples'"
        )
    with closing(connected(folder / "relay.db")) as db:
        assert db.execute(known).fetchone() == (1,)
    OpenStore(conftest.sqlite, folder).close()
    with closing(connected(folder / "relay.db")) as db:
        assert db.execute(known).fetchone() == (0,)


def test_what_is_told_already_is_not_written_again(folder: Path) -> None:
    with closing(connected(folder / "relay.db")) as db, closing(connected(folder / "relay.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        statistics.tell(db)
