"""What holds of the identity graph after any sequence of calls whatever: the real graph, in a database in memory."""

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

import relay.store
from relay.config import Site
from relay.identity.claims import Claims
from relay.identity.evidence import Recognition
from relay.identity.identifiers import PRECEDENCE, Identifier, IdentifierKind
from relay.identity.traces import Trace
from relay.model import Kind, Message, Trust
from relay.pipeline.attribute import Attribution, attribute
from relay.pipeline.sender import Sender
from relay.store import keyring, sealing
from relay.store.base import Transaction

SITE = Site(site_id="shop", write_key="pk")
SCHEMA = sorted((Path(relay.store.__file__).parent / "migrations" / "state").glob("*.sql"))

EMAILS = tuple(Identifier(IdentifierKind.EMAIL, f"{name}@mail.com") for name in ("ann", "bob", "cleo"))
CUSTOMERS = tuple(Identifier(IdentifierKind.CUSTOMER_ID, name) for name in ("c1", "c2", "c3"))
PHONES = tuple(Identifier(IdentifierKind.PHONE, name) for name in ("+12025550101", "+12025550102"))
LINKS = ("k" * 43 + ".DEMO42", "l" * 43 + ".DEMO42")
PROFILES = tuple(Identifier(IdentifierKind.KLAVIYO_ID, name) for name in ("01A", "01B"))
VISITORS = ("v1", "v2", "v3")


class Call(Struct, frozen=True):
    """Somebody says something: in a browser, from the shop's server, or Klaviyo of one of its links."""

    trust: Trust
    visitor: str | None
    identifiers: tuple[Identifier, ...] = ()
    exchange_id: str | None = None
    kind: Kind = Kind.IDENTIFY
    seconds: float = 1.0


def some(*choices: tuple[Identifier, ...]) -> st.SearchStrategy[tuple[Identifier, ...]]:
    """At most one identifier of each kind, in the order of precedence."""
    return st.tuples(*(st.none() | st.sampled_from(kind) for kind in choices)).map(
        lambda found: tuple(sorted((i for i in found if i), key=lambda i: PRECEDENCE.index(i.kind)))
    )


SECONDS = st.sampled_from([1.0, 600.0, 3600.0])
CLAIMS = some(EMAILS, CUSTOMERS, PHONES)
BROWSER = st.builds(
    Call,
    st.just(Trust.BROWSER),
    st.sampled_from(VISITORS),
    CLAIMS,
    st.none() | st.sampled_from(LINKS),
    st.sampled_from([Kind.IDENTIFY, Kind.PAGE, Kind.CHECKOUT_STARTED, Kind.SIGNED_OUT]),
    SECONDS,
)
SERVER = st.builds(
    Call,
    st.just(Trust.SERVER),
    st.none() | st.sampled_from(["anonymous:a1", "anonymous:a2"]),
    CLAIMS,
    st.none(),
    st.sampled_from([Kind.IDENTIFY, Kind.ORDER_COMPLETED]),
    SECONDS,
)
KLAVIYO = st.builds(
    lambda kx, others: Call(
        Trust.KLAVIYO,
        None,
        tuple(sorted((Identifier(IdentifierKind.KX, kx), *others), key=lambda i: PRECEDENCE.index(i.kind))),
    ),
    st.sampled_from(LINKS),
    some(EMAILS, PROFILES, PHONES),
)
BROWSERS_ONLY = st.lists(BROWSER, max_size=12)
ANYBODY = st.lists(BROWSER | SERVER | KLAVIYO, max_size=12)
LAWFUL = settings(max_examples=150, deadline=None)


class World:
    """The graph, and what has been said to it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        for migration in SCHEMA:
            connection.executescript(migration.read_text())
        keys = keyring.load(connection, ["a key"], ["shop"])
        sealing.sqlite(connection, keys)
        self.tx = Transaction.on(connection, keys)
        self.now = 1_000_000.0
        self._numbers = itertools.count()

    def hear(self, call: Call) -> Attribution:
        self.now += call.seconds
        return self.hear_at(call, self.now, f"m{next(self._numbers)}")

    def hear_at(self, call: Call, at: float, message_id: str, traces: tuple[Trace, ...] = ()) -> Attribution:
        """``call`` as it happened at ``at``, whenever it arrives."""
        message = Message(type="identify", message_id=message_id, occurred_at=at)
        claims = Claims(identifiers=call.identifiers, exchange_id=call.exchange_id)
        recognition = Recognition.COOKIE if call.visitor else Recognition.NONE
        sender = Sender(trust=call.trust, visitor_id=call.visitor, recognition=recognition, now=at, traces=traces)
        return attribute(self.tx, SITE, message, call.kind, claims, sender)

    def owners(self, *kinds: tuple[Identifier, ...]) -> dict[Identifier, str]:
        """Who has which identifier now, merges followed."""
        known = self.tx.graph.owners("shop", [identifier for kind in kinds for identifier in kind])
        return {identifier: owner.person_id for identifier, owner in known.items()}

    def merges(self) -> int:
        n: int = self.tx.connection.execute("SELECT count(*) FROM merges").fetchone()[0]
        return n


def steps(calls: list[Call]) -> Iterator[tuple[World, Call, dict[Identifier, str], Attribution]]:
    """The world after each call, with the owners from before it and what came of the call."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        world = World(connection)
        for call in calls:
            before = world.owners(EMAILS, CUSTOMERS, PHONES, PROFILES)
            yield world, call, before, world.hear(call)


@LAWFUL
@given(ANYBODY)
def test_no_claim_of_a_browser_unites_persons_or_takes_an_identifier(calls: list[Call]) -> None:
    merges = 0
    for world, call, before, _ in steps(calls):
        if call.trust is Trust.BROWSER:
            after = world.owners(EMAILS, CUSTOMERS, PHONES, PROFILES)
            assert {identifier: after[identifier] for identifier in before} == before
            assert world.merges() == merges
        merges = world.merges()


def addresses_named(calls: list[Call], *, with_browsers: bool) -> list[set[Identifier]]:
    """The e-mail addresses of the person each server's call is told of."""
    named = []
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        world = World(connection)
        for call in calls:
            if call.trust is Trust.BROWSER and not with_browsers:
                world.now += call.seconds
                continue
            found = world.hear(call).resolution
            if call.trust is not Trust.BROWSER:
                theirs = [] if found.person_id is None else world.tx.graph.identifiers_of("shop", found.person_id)
                named.append({each for each in theirs if each.kind is IdentifierKind.EMAIL})
    return named


@LAWFUL
@given(ANYBODY)
def test_whatever_browsers_have_said_a_server_names_nobody_by_another_address(calls: list[Call]) -> None:
    """What a browser claims before or between adds no address to the person whom a server or Klaviyo means."""
    for heard, alone in zip(
        addresses_named(calls, with_browsers=True), addresses_named(calls, with_browsers=False), strict=True
    ):
        assert heard <= alone


@LAWFUL
@given(BROWSERS_ONLY)
def test_from_browsers_alone_nobody_has_two_addresses_or_two_ids(calls: list[Call]) -> None:
    for world, _, _, _ in steps(calls):
        for kind in (EMAILS, CUSTOMERS):
            owners = list(world.owners(kind).values())
            assert len(owners) == len(set(owners))


@LAWFUL
@given(ANYBODY)
def test_an_address_never_changes_its_person_whoever_speaks(calls: list[Call]) -> None:
    for world, _, before, _ in steps(calls):
        after = world.owners(EMAILS, PHONES)
        assert {i: after[i] for i in before if i in after} == {i: p for i, p in before.items() if i in after}


@LAWFUL
@given(ANYBODY)
def test_two_addresses_known_apart_stay_apart(calls: list[Call]) -> None:
    for world, _, before, _ in steps(calls):
        after = world.owners(EMAILS)
        for one, other in itertools.combinations([email for email in EMAILS if email in before], 2):
            if before[one] != before[other]:
                assert after[one] != after[other]


@LAWFUL
@given(ANYBODY)
def test_whoever_is_united_with_another_had_no_address(calls: list[Call]) -> None:
    seen: set[str] = set()
    for world, call, before, _ in steps(calls):
        rows = world.tx.connection.execute("SELECT source_id, target_id FROM merges").fetchall()
        for source, target in rows:
            if source in seen:
                continue
            seen.add(source)
            assert call.trust is not Trust.BROWSER
            assert world.tx.graph.canonical("shop", source) == world.tx.graph.canonical("shop", target)
            reachable = {i.kind for i, person in before.items() if person == source}
            assert reachable <= {IdentifierKind.CUSTOMER_ID}


@LAWFUL
@given(ANYBODY)
def test_a_call_that_names_its_author_is_theirs_and_nobody_elses(calls: list[Call]) -> None:
    for world, call, _, found in steps(calls):
        named = [identifier for identifier in call.identifiers if identifier.kind is not IdentifierKind.PHONE]
        if not named or found.resolution.reason is not None or call.kind is Kind.SIGNED_OUT:
            continue
        email = named[0]
        if email.kind is IdentifierKind.EMAIL:
            assert found.resolution.person_id == world.owners(EMAILS)[email]


@LAWFUL
@given(ANYBODY)
def test_an_anonymous_event_is_only_ever_somebodys_who_is_tied_to_the_browser(calls: list[Call]) -> None:
    for world, call, _, found in steps(calls):
        if call.visitor is None or call.identifiers or found.resolution.person_id is None:
            continue
        if call.kind is not Kind.SIGNED_OUT:
            tied = {link.person_id for link in world.tx.graph.links("shop", call.visitor)}
            assert found.resolution.person_id in tied


@LAWFUL
@given(ANYBODY, st.sampled_from(VISITORS))
def test_after_signing_out_a_browser_is_nobodys(calls: list[Call], visitor: str) -> None:
    out = Call(Trust.BROWSER, visitor, kind=Kind.SIGNED_OUT)
    page = Call(Trust.BROWSER, visitor, kind=Kind.PAGE)
    *_, (_, _, _, found) = steps([*calls, out, page])
    assert found.resolution.person_id is None
