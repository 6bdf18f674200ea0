"""The rules of ownership: from the identifiers that a call names to changes of the graph. No I/O.

Invariants kept here:
- what a browser says never unites two persons; only a server's word does, by a recorded row that can be revoked;
- a customer ID or a number that a browser alone has named beside an address names its claimant in no other browser and
  to no server: the server's word says whose it is, before the claim or after it.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from relay.identity.identifiers import Identifier, IdentifierKind
from relay.model import Trust

#: What a browser may name at will: a shop's IDs can be counted up, a number can be anybody's. Its word for one of these
#: is kept as a claim beside the address it gave; whose they are a server says (the shop's, Shopify, Klaviyo).
CLAIMABLE = frozenset({IdentifierKind.CUSTOMER_ID, IdentifierKind.PHONE})


class Owner(Struct, frozen=True, kw_only=True):
    """Who has an identifier now (canonical person) and what else is known of them."""

    person_id: str
    has_email: bool
    sendable: bool
    is_confirmed: bool = True  #: False: one of ``CLAIMABLE`` that no server has named yet
    holder_id: str = ""  #: the person it was given to, before merges: there it stays, so that a merge can be revoked


class Plan(Struct, frozen=True, kw_only=True):
    """What claims change. ``person_id`` None: a new person. ``attach`` also moves; ``unite`` merges into the person.

    ``claim``: what a browser has said of the person without a server's word. It names them to nobody else.
    """

    person_id: str | None
    attach: tuple[Identifier, ...]
    unite: tuple[str, ...] = ()
    claim: tuple[Identifier, ...] = ()


def plan(identifiers: Sequence[Identifier], owners: Mapping[Identifier, Owner], trust: Trust) -> Plan:
    """Whose these identifiers are, given who owns them now. ``identifiers`` in order of precedence, not empty.

    | said                      | by a browser                           | by a server                             |
    |---------------------------|----------------------------------------|-----------------------------------------|
    | an address                | names its person                       | names its person                        |
    | an ID beside it           | a claim of that person, unless a       | theirs now; whoever was known by it     |
    |                           | server has named another's             | alone is them (united, revocably)       |
    | a number beside it        | likewise                               | theirs, unless it is somebody's already |
    | an ID with an address     | names its person                       | names its person                        |
    | an ID without one         | somebody without an address: waits for | the same, never whom a browser has      |
    |                           | the server's word; in a browser that   | claimed it for                          |
    |                           | has claimed it, its claimant           |                                         |
    | a number, with or without | names who is told by that number       | with an ID the ID's person, else the    |
    | such an ID                |                                        | same                                    |

    A claim is nobody's place: a server finds nobody by it, and takes nothing from anybody when it names the value. What
    is known by an ID alone becomes the server's person's, so it matters not which of the two was heard first.
    A server whose identify call names a new address for a known customer tells a change of address (in other calls
    the ID is left out then: ``pipeline.naming``); two addresses that are both known already stay two persons.
    """
    return _browser_plan(identifiers, owners) if trust is Trust.BROWSER else _server_plan(identifiers, owners)


def _server_plan(identifiers: Sequence[Identifier], owners: Mapping[Identifier, Owner]) -> Plan:
    confirmed = {identifier: owner for identifier, owner in owners.items() if owner.is_confirmed}
    person = _first_owner(identifiers, confirmed) or _first_owner(identifiers, owners)
    attach, unite = [], []
    for identifier in identifiers:
        owner = owners.get(identifier)
        if owner is None or (person is not None and owner.person_id == person.person_id):
            attach.append(identifier)
        elif identifier.kind is not IdentifierKind.PHONE:
            # The server's word moves the identifier. A person who has no address of their own (known so far
            # by an ID alone) is the same person; one with an address keeps it and stays apart.
            attach.append(identifier)
            if not owner.sendable:
                unite.append(owner.person_id)
    return Plan(person_id=person.person_id if person else None, attach=tuple(attach), unite=tuple(dict.fromkeys(unite)))


def _first_owner(identifiers: Sequence[Identifier], owners: Mapping[Identifier, Owner]) -> Owner | None:
    """Who owns the most telling of these identifiers.

    A phone is shared in households: it finds a person only when nothing else is said, is never taken from its
    person, and never unites.
    """
    telling = [i for i in identifiers if i.kind is not IdentifierKind.PHONE] or identifiers
    return next((owners[i] for i in telling if i in owners), None)


def _browser_plan(identifiers: Sequence[Identifier], owners: Mapping[Identifier, Owner]) -> Plan:
    naming, person = _named(identifiers, owners)
    attach, claim = [], []
    for identifier in identifiers:
        owner = owners.get(identifier)
        is_theirs = owner is not None and person is not None and owner.person_id == person.person_id
        if identifier == naming or (is_theirs and owner is not None and owner.is_confirmed):
            attach.append(identifier)
        elif identifier.kind not in CLAIMABLE:
            if owner is None:
                attach.append(identifier)
        elif owner is not None and owner.is_confirmed and owner.sendable:
            pass  # a server has said whose it is
        else:
            claim.append(identifier)
    return Plan(person_id=person.person_id if person else None, attach=tuple(attach), claim=tuple(claim))


def _named(identifiers: Sequence[Identifier], owners: Mapping[Identifier, Owner]) -> tuple[Identifier, Owner | None]:
    """Which of the identifiers says who a browser's call is of, and who that is; None: somebody new."""
    by_kind = {identifier.kind: identifier for identifier in identifiers}
    customer, phone = by_kind.get(IdentifierKind.CUSTOMER_ID), by_kind.get(IdentifierKind.PHONE)
    first = identifiers[0]
    if first != customer or (first in owners and owners[first].is_confirmed and owners[first].sendable):
        return first, owners.get(first)
    if phone is not None and (phone not in owners or not owners[phone].is_confirmed):
        return phone, owners.get(phone)  # the ID has no address yet; whoever is told by the number has typed it
    return first, owners.get(first)
