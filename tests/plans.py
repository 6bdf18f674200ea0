"""Watches, in every test, how SQLite finds the rows that the store asks for: an event's few, or all of a site's.

Every key begins with ``site_id``, and a site is nearly all there is: a search that narrows no further takes longer with
every person stored. The plan of each query is asked for when it is first heard, with its values, where it runs.
"""

import re
import sqlite3
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from relay.store import statistics

#: Tables that stay small, and why. They may be read whole.
SMALL = {
    "positions": "a row a site",
    "data_keys": "a row a site",
    "destinations": "a row a site and endpoint",
    "counts": "a row a site and reason",
    "comparisons": "two rows a site and feature",
    "metrics": "a row a name that events have",
    "failures": "a row a message that a fault of ours has stopped",
    "scrubs": "a row an erasure of the last days",
    "privacy_requests": "a row a shop's request about a customer",
    "audit": "a row a request about personal data",
    "claims": "a row an address of the last day",
    "cart_calls": "a row an order or checkout of the last day whose browser was not known",
    "unsealed": "a row a table of an old database",
    "sqlite_sequence": "SQLite's own",
    "mine": "no table: the values of one visitor",
    "due": "no table: a subquery, up to its limit",
}
#: Who may look through a site, and why. No event waits for them.
WHOLE = {
    "Dispatch.dead": "the operator asks what all the dead died of",
    "Dispatch.replay": "the operator puts all the dead back",
    "Dispatch._end_recalled": "a worker has died: what is due, and no more, is looked through once",
    "History._merges": "the operator asks what a message has done",
    "Holdings._rows": "an export: no event pays for an index that only exports need",
    "Holdings.messages": "an erasure or an export",
    "Ledger.erase_events": "an erasure, likewise",
    "Outbox.expire": "every ten minutes, over what is open, and no more",
    "Outbox.recent": "the console's list walks back from the newest, to its limit",
    "Outbox.retrying": "the console, over what is due, and no more",
    "Outbox.sums": "the console and the metrics count all deliveries",
    "Requests.erase_site": "all of a site is erased",
    "Sketches.suspicions": "the console's list walks back from the newest, to its limit",
}
#: They run at a start, before anybody waits.
_AT_START = {"relay.store.migrate", "relay.store.sealing", "relay.store.statistics"}

_STEP = re.compile(r"(?P<how>SCAN|SEARCH) (?P<table>\S+)(?: USING (?P<what>[^(]*)(?:\((?P<columns>.*)\))?)?")


class Plan(NamedTuple):
    """How a query finds its rows: a step for each table."""

    caller: str
    sql: str
    steps: tuple[str, ...]

    def wrong(self) -> list[str]:
        """The steps that look through a site and may not."""
        return [] if self.caller in WHOLE else [step for step in self.steps if is_whole(step)]


#: What was heard in this process, by its words.
HEARD: dict[str, Plan] = {}


def is_whole(step: str) -> bool:
    """Whether a step of a plan looks through all rows, or all of a site, or all of a kind in it."""
    if "AUTOMATIC" in step:  # SQLite makes an index of all rows, for this once
        return True
    found = _STEP.match(step)
    if found is None or found["table"] in SMALL or "CONSTANT ROW" in step:
        return False
    if found["how"] == "SCAN":
        return True
    if found["what"] is None:
        return False  # the first or last row of an index
    narrowed = set(re.findall(r"(\w+)[=<>]", found["columns"] or ""))
    return narrowed <= {"site_id", *statistics.COARSE}


class Watched(sqlite3.Connection):
    """Notes the plan of every query that the store is the first to ask."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql not in HEARD:
            self._hear(sql, parameters, sys._getframe(1))
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        rows = list(parameters)
        if sql not in HEARD and rows:
            self._hear(sql, rows[0], sys._getframe(1))
        return super().executemany(sql, rows)

    def _hear(self, sql: str, parameters: Any, frame: Any) -> None:
        module = frame.f_globals.get("__name__", "")
        is_query = sql.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))
        if not is_query or not module.startswith("relay.store.") or module in _AT_START:
            return
        if not super().execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone():
            return  # a schema alone, in memory, and no store
        caller = frame.f_code.co_qualname.partition(".<locals>")[0]
        steps = tuple(row[3] for row in super().execute(f"EXPLAIN QUERY PLAN {sql}", parameters))
        HEARD[sql] = Plan(caller, sql, steps)


def wrong(plans: Iterable[Plan]) -> list[str]:
    """What may not be, in words."""
    return [f"{plan.caller}: {step}: {plan.sql}" for plan in plans for step in plan.wrong()]
