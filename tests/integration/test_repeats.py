"""What arrives again changes nothing: the whole processor, journal to commit, on a database in a file.

Browsers, servers and Klaviyo's answers come in any order; then any part of the beginning comes once more, as it does
when an answer of ours is lost, with the same message IDs, at once or after more has happened.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw, Struct

from relay.identity.evidence import Recognition
from relay.identity.identifiers import IdentifierKind
from relay.model import Trust
from relay.pipeline.parse import Received
from relay.pipeline.process import Processor
from relay.store.base import Transaction
from relay.store.rows import Entry
from relay.store.sqlite import SqliteStore
from tests import factories
from tests.fakes.clock import FakeClock

SITE = factories.site()
ANN, BOB = "ann@mail.com", "bob@mail.com"
VISITORS = ("phone", "laptop")
#: Klaviyo's links and whose they are: two of Ann's, one of Bob's.
LINKS = {f"{letter * 43}.DEMO42": email for letter, email in (("a", ANN), ("b", ANN), ("c", BOB))}


class Act(Struct, frozen=True):
    """Something that is sent once, and may arrive more than once."""

    what: str
    visitor: str = ""
    name: str = ""
    seconds: float = 1.0  #: since the act before


def acts(what: str, *columns: Iterable[str]) -> st.SearchStrategy[Act]:
    return st.builds(Act, st.just(what), *(st.sampled_from(list(column)) for column in columns), seconds=SECONDS)


SECONDS = st.sampled_from([1.0, 60.0, 2_000.0, 90_000.0])
ACT = st.one_of(
    acts("identify", VISITORS, (ANN, BOB)),
    acts("cart", VISITORS),
    acts("opens", VISITORS, tuple(LINKS)),
    acts("order", VISITORS, (ANN, BOB)),
    acts("sign_out", VISITORS),
    acts("refuses", VISITORS),
    acts("answer", ("",), tuple(LINKS)),
    acts("klaviyo_knows", VISITORS),
)


STORY = st.lists(ACT, min_size=1, max_size=9)


def order_id(number: int) -> str:
    """Two orders, each of which several messages report."""
    return str(number % 2)


def entry(act: Act, number: int, at: float, now: float) -> Entry:
    """What the journal holds of an act of ``at`` that arrives at ``now``."""
    trust, visitor_id = Trust.BROWSER, act.visitor or None
    context: dict[str, Any] = {"shopify": {"cartToken": f"c4rt-of-the-{act.visitor}"}}
    body: dict[str, Any] = {"type": "page"}
    match act.what:
        case "identify":
            body = {"type": "identify", "traits": {"email": act.name}}
        case "cart":
            body = factories.call()
        case "opens":
            context["clickIds"] = {"_kx": act.name}
        case "order":
            order = {"order_id": order_id(number), "total": 20, "email": act.name, "products": [{"product_id": "7"}]}
            order["cart_token"] = f"c4rt-of-the-{act.visitor}"
            body = {"type": "track", "event": "Order Completed", "properties": order}
            trust, visitor_id, context = Trust.SERVER, None, {}
        case "sign_out":
            body = {"type": "track", "event": "Signed Out"}
        case "refuses":
            context["consent"] = {"marketing": False}
        case "answer":
            traits = {"outcome": "found", "kx": act.name, "email": LINKS[act.name], "klaviyo_id": LINKS[act.name][:3]}
            body, trust, context = {"type": "identify", "traits": traits}, Trust.KLAVIYO, {}
        case "klaviyo_knows":
            context["klaviyo"] = {"present": True, "identified": True}
    body = body | {"messageId": f"m{number}", "context": context}
    return Entry(
        site_id=SITE.site_id,
        received_at=now,
        trust=trust,
        messages=[Received(body["type"], body["messageId"], at, Raw(msgspec.json.encode(body)))],
        visitor_id=visitor_id,
        recognition=Recognition.COOKIE if visitor_id else Recognition.NONE,
    )


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a relay's database with nothing in it."""
    folder = tmp_path_factory.mktemp("empty")
    asyncio.run(SqliteStore(folder / "relay.db", ["a key"], [SITE.site_id]).close())
    return folder


class Outcome(Struct, frozen=True):
    """What the relay has to tell, whom it knows where, and what it has counted; persons by their addresses."""

    deliveries: list[tuple[Any, ...]] = []
    links: list[tuple[Any, ...]] = []
    counts: list[tuple[Any, ...]] = []


#: Counted as often as they arrive.
ARRIVALS = ("received", "duplicate", "dropped")


def says(tx: Transaction) -> Outcome:
    def named(person_id: str | None) -> tuple[str, ...]:
        if person_id is None:
            return ()
        graph = tx.graph
        found = graph.identifiers_of(SITE.site_id, graph.canonical(SITE.site_id, person_id))
        return tuple(sorted(i.value for i in found if i.kind is not IdentifierKind.KLAVIYO_ID))

    deliveries = tx.connection.execute(
        "SELECT unique_id, kind, metric, state, reason, backfill, person_id FROM deliveries ORDER BY unique_id"
    ).fetchall()
    links = [
        (visitor, link.evidence, named(link.person_id), link.first_at, link.last_at)
        for visitor in VISITORS
        for link in tx.graph.links(SITE.site_id, visitor)
    ]
    counts = [(name, reason, n) for _, name, reason, n in tx.ledger.counts() if name not in ARRIVALS]
    return Outcome([(*row[:-1], named(row[-1])) for row in deliveries], sorted(links), sorted(counts))


async def told(story: Sequence[Act], *, before: int = 0, again: int = 0, folder: Path) -> tuple[Outcome, Outcome]:
    """The outcome of ``story`` when its first ``again`` acts arrive once more after ``before`` of them: then, and in
    the end."""
    clock = FakeClock()
    store = SqliteStore(folder / "relay.db", ["a key"], [SITE.site_id])

    def processor() -> Processor:
        return Processor(SITE, store, clock, journal_rings=asyncio.Event(), outbox_rings=asyncio.Event())

    try:
        working, sent, then = processor(), list[tuple[int, Act, float]](), Outcome()
        for number, act in enumerate(story):
            clock.advance(act.seconds)
            sent.append((number, act, clock.now()))
            await store.append(entry(act, number, clock.now(), clock.now()))
            await working.process_next()
            if number + 1 == before:
                for earlier, one, at in sent[:again]:
                    await store.append(entry(one, earlier, at, clock.now()))
                working = processor()  # another process, which has to find out where the first one was
                while await working.process_next():
                    pass
                then = await store.read(says)
        return then, await store.read(says)
    finally:
        await store.close()


def outcomes(empty: Path, story: Sequence[Act], **repeated: int) -> tuple[Outcome, Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(empty, folder, dirs_exist_ok=True)
        return asyncio.run(told(story, folder=Path(folder), **repeated))


@st.composite
def repeats(draw: st.DrawFn) -> tuple[list[Act], int, int]:
    """A story, after how many of its acts the first come again, and how many."""
    story = draw(STORY)
    before = draw(st.integers(1, len(story)))
    return story, before, draw(st.integers(1, before))


@settings(max_examples=25, deadline=None)
@given(repeats())
def test_what_arrives_again_changes_nothing(empty: Path, repeated: tuple[list[Act], int, int]) -> None:
    story, before, again = repeated
    at_once, in_the_end = outcomes(empty, story, before=before, again=again)
    assert at_once == outcomes(empty, story[:before])[1]
    assert in_the_end == outcomes(empty, story)[1]
    assert_each_once(story, in_the_end)


def assert_each_once(story: Sequence[Act], outcome: Outcome) -> None:
    """Every cart and every order is told of once: none is lost, and an order reported by two messages is one."""
    metrics = Counter(row[2] for row in outcome.deliveries)
    orders = {order_id(number) for number, act in enumerate(story) if act.what == "order"}
    assert metrics["Added to Cart"] == sum(act.what == "cart" for act in story)
    assert metrics["Placed Order"] == len(orders)
