"""Late, repeated, taken back: in whatever order calls arrive, the graph says the same of a browser in the end."""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from relay.identity.evidence import Recognition
from relay.identity.identifiers import IdentifierKind
from relay.identity.traces import Trace, TraceKind
from relay.model import Kind, Trust
from relay.pipeline.whose import whose
from tests.unit.test_identity_laws import (
    CUSTOMERS,
    EMAILS,
    LAWFUL,
    LINKS,
    VISITORS,
    Call,
    World,
    some,
)

BEGIN = 1_000_000.0
#: Who a browser says it is, of whichever ID it pretends to be, the links it opens, its sign-outs, and what the shop
#: left in it.
BROWSER = st.builds(
    Call,
    st.just(Trust.BROWSER),
    st.sampled_from(VISITORS),
    some(EMAILS, CUSTOMERS),
    st.none() | st.sampled_from(LINKS),
    st.sampled_from([Kind.IDENTIFY, Kind.PAGE, Kind.CHECKOUT_STARTED, Kind.SIGNED_OUT]),
)
ORDER = st.builds(
    Call, st.just(Trust.SERVER), st.sampled_from(VISITORS), some(EMAILS), st.none(), st.just(Kind.ORDER_COMPLETED)
)
#: A shop's server that does not contradict itself: a customer ID is always the same address's. (Where it does, its
#: later word moves the ID, and the last to arrive is taken for the later one.)
CUSTOMER = st.sampled_from(list(zip(EMAILS, CUSTOMERS, strict=True))).flatmap(
    lambda both: st.builds(
        Call,
        st.just(Trust.SERVER),
        st.none() | st.sampled_from(VISITORS),
        st.sampled_from([both, both[:1], both[1:]]),
        st.none(),
        st.just(Kind.IDENTIFY),
    )
)
TRACES = st.lists(
    st.sampled_from(
        [
            Trace(TraceKind.CART, "cart-of-all"),
            Trace(TraceKind.GA, "1234567890.1700000000"),
            Trace(TraceKind.CLIENT_ID, "client-of-all"),
        ]
    ),
    unique=True,
    max_size=2,
).map(tuple)


class Heard(msgspec.Struct, frozen=True):
    """A call with its time and its ID, which it keeps however late and often it arrives."""

    call: Call
    at: float
    message_id: str
    traces: tuple[Trace, ...]


def dated(calls: Sequence[tuple[Call, float, tuple[Trace, ...]]]) -> list[Heard]:
    heard, at = [], BEGIN
    for n, (call, seconds, traces) in enumerate(calls):
        at += seconds
        heard.append(Heard(call, at, f"m{n}", traces if call.trust is Trust.BROWSER else ()))
    return heard


SECONDS = st.sampled_from([1.0, 600.0, 3600.0, 90_000.0])
STORY = st.lists(st.tuples(BROWSER | ORDER | CUSTOMER, SECONDS, TRACES), max_size=8).map(dated)


def outcome(heard: Iterable[Heard]) -> dict[str, tuple[object, ...]]:
    """What the relay says of every browser afterwards: whose it is (by address) or why nobody's."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        world = World(connection)
        last = BEGIN
        for one in heard:
            last = max(last, one.at)
            world.hear_at(one.call, one.at, one.message_id, one.traces)
        return says(world, last)


def says(world: World, last: float) -> dict[str, tuple[object, ...]]:
    said: dict[str, tuple[object, ...]] = {}
    for visitor in VISITORS:
        for later in (1.0, 3600.0, 86_400.0):
            found = whose(world.tx, "shop", visitor, Recognition.COOKIE, last + later)
            names = () if found.person_id is None else addresses(world, found.person_id)
            said[f"{visitor} after {later:g} s"] = (names, found.reason, found.evidence)
    return said


def addresses(world: World, person_id: str) -> tuple[str, ...]:
    graph = world.tx.graph
    return tuple(
        sorted(i.value for i in graph.identifiers_of("shop", person_id) if i.kind is not IdentifierKind.CUSTOMER_ID)
    )


@LAWFUL
@given(STORY, st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing_in_the_end(story: list[Heard], chance: object) -> None:
    shuffled = list(story)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert outcome(shuffled) == outcome(story)


@LAWFUL
@given(STORY, st.integers(0, 8))
def test_what_arrives_again_changes_nothing(story: list[Heard], n: int) -> None:
    assert outcome([*story, *story[:n]]) == outcome(story)


@LAWFUL
@given(STORY, BROWSER.filter(lambda call: call.identifiers or call.exchange_id), SECONDS)
def test_a_tie_that_is_cut_leaves_the_browser_as_if_it_had_never_been(
    story: list[Heard], call: Call, seconds: float
) -> None:
    """A visitor that nothing else was heard of: what cutting its tie leaves is what there was without it."""
    stranger = msgspec.structs.replace(call, visitor="stranger", kind=Kind.PAGE)
    at = (story[-1].at if story else BEGIN) + seconds
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        world = World(connection)
        for one in story:
            world.hear_at(one.call, one.at, one.message_id, one.traces)
        world.hear_at(stranger, at, "tie", (Trace(TraceKind.CART, "cart-of-all"),))
        for link in world.tx.graph.links("shop", "stranger"):
            world.tx.graph.unlink("shop", "stranger", link.person_id, None, at=at)
        cut = says(world, at)
        found = whose(world.tx, "shop", "stranger", Recognition.COOKIE, at + 1)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        world = World(connection)
        for one in story:
            world.hear_at(one.call, one.at, one.message_id, one.traces)
        silent = Call(Trust.BROWSER, "stranger", kind=Kind.PAGE)
        world.hear_at(silent, at, "tie", (Trace(TraceKind.CART, "cart-of-all"),))
        assert cut == says(world, at)
        never = whose(world.tx, "shop", "stranger", Recognition.COOKIE, at + 1)
    assert (found.reason, found.evidence, found.confidence) == (never.reason, never.evidence, never.confidence)
