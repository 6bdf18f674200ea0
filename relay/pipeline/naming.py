"""Whom a call's own words name: found, made, or made one of several, and what the words add to them.

The rules are ``identity.plan``'s and ``identity.guards``'; this module carries them out inside the processor's
transaction. What the person has to do with the browser is ``attribute``'s.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from relay.config import Site
from relay.identity import guards
from relay.identity.claims import Claims
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.plan import Owner, Plan, plan
from relay.model import Message, Trust
from relay.pipeline.growth import watched
from relay.pipeline.sender import Sender
from relay.store.base import Transaction


class Named(Struct, frozen=True, kw_only=True):
    """The person a call names. ``is_new_here``: it has said something of who they are that was not known."""

    person_id: str
    is_known: bool
    is_new_here: bool


def person_of(tx: Transaction, site: Site, message: Message, claims: Claims, sender: Sender) -> Named | None:
    """Apply what the call says of who somebody is; None when it may not be believed, and has changed nothing."""
    graph, site_id, at = tx.graph, site.site_id, message.occurred_at
    owners = graph.owners(site_id, [*claims.identifiers, *([claims.former] if claims.former else [])])
    claims = _without_anothers_address(message, claims, owners, sender)
    if _claims_too_much(tx, site, claims.identifiers, owners, sender):
        return None
    planned = _plan(tx, site, claims, owners, sender)
    if claims.is_merge and (gone := _merged_away(tx, site, owners, claims)) is not None:
        # Two customers with an address each stay two by any other word; by this one they are one, until it is revoked.
        united = [each for each in (*planned.unite, gone) if each != planned.person_id]
        planned = msgspec.structs.replace(planned, unite=tuple(dict.fromkeys(united)))
    person_id = planned.person_id or graph.new_person(site_id, at)
    is_new_here = any(owners.get(i) is None or owners[i].person_id != person_id for i in planned.attach)
    folded = _unite(tx, site, planned.unite, person_id, message, sender) if planned.unite else set()
    for identifier in planned.attach:
        owner = owners.get(identifier)
        is_theirs = owner is not None and owner.person_id in (person_id, *planned.unite)
        holder = owner.holder_id if owner is not None and is_theirs and owner.holder_id not in folded else person_id
        graph.attach(site_id, identifier, holder, trust=sender.trust, at=at, message_id=message.message_id)
    for identifier in planned.claim:
        if graph.claims(site_id, person_id, identifier) or _has_room(tx, site, person_id, identifier):
            is_new_here |= not graph.claims(site_id, person_id, identifier)
            graph.claim(
                site_id, identifier, person_id, at=at, message_id=message.message_id, visitor_id=sender.visitor_id
            )
    if any(identifier.kind is IdentifierKind.KX for identifier in planned.attach):
        limit = guards.limit(IdentifierKind.KX, site.identifier_limits)
        if dropped := graph.keep_newest(site_id, person_id, IdentifierKind.KX, limit):
            tx.ledger.count(site_id, "refused_identifier", "limit_kx", dropped)
    return Named(person_id=person_id, is_known=planned.person_id is not None, is_new_here=is_new_here)


def _without_anothers_address(
    message: Message, claims: Claims, owners: Mapping[Identifier, Owner], sender: Sender
) -> Claims:
    """The claims without the customer ID, where the shop's server tells an event of a known customer beside an address
    that is not theirs: somebody has bought for another, or a till sends one ID for everybody. The event is the
    address's; that a customer has another address now, an identify call says (Shopify's orders are read alike)."""
    by_kind = {identifier.kind: identifier for identifier in claims.identifiers}
    email, customer = by_kind.get(IdentifierKind.EMAIL), by_kind.get(IdentifierKind.CUSTOMER_ID)
    if sender.trust is not Trust.SERVER or message.type in ("identify", "alias") or email is None or customer is None:
        return claims
    known, named = owners.get(customer), owners.get(email)
    if known is None or not known.has_email or (named is not None and named.person_id == known.person_id):
        return claims
    left = tuple(identifier for identifier in claims.identifiers if identifier != customer)
    return msgspec.structs.replace(claims, identifiers=left)


def _plan(tx: Transaction, site: Site, claims: Claims, owners: Mapping[Identifier, Owner], sender: Sender) -> Plan:
    """What the claims change. Where the person has no room for an identifier, the least telling one is left out and the
    person looked for again (Segment Unify's rule): at a till that sends one customer ID for everybody it is that ID
    that says nothing, and each address is its own person's."""
    left = claims.identifiers
    former = claims.former if claims.former in owners else None
    while True:
        identifiers = left
        if former is not None:
            # Somebody known goes by another ID now. Who has an address comes first: the other is the same person then.
            identifiers = tuple(sorted([*left, former], key=lambda i: i not in owners or not owners[i].sendable))
        planned = plan(identifiers, owners, sender.trust)
        full = _without_room(tx, site, planned, owners)
        if full is None:
            return planned
        if former is not None:
            former = None
        else:  # what one identifier alone names has room for it, so there are two at least
            refused = left[-1] if full == left[0] else full
            left = tuple(identifier for identifier in left if identifier != refused)


def _without_room(tx: Transaction, site: Site, planned: Plan, owners: Mapping[Identifier, Owner]) -> Identifier | None:
    """The first identifier that would be one too many of its kind for the person it is said to be of."""
    if planned.person_id is None:
        return None
    for identifier in planned.attach:
        owner = owners.get(identifier)
        is_theirs = owner is not None and owner.person_id in (planned.person_id, *planned.unite)
        if not is_theirs and not _has_room(tx, site, planned.person_id, identifier):
            return identifier
    return None


def _has_room(tx: Transaction, site: Site, person_id: str, identifier: Identifier) -> bool:
    if identifier.kind is IdentifierKind.KX:
        return True  # the oldest gives way
    held = tx.graph.count(site.site_id, person_id, identifier.kind)
    if guards.has_room(identifier.kind, held, site.identifier_limits):
        return True
    tx.ledger.count(site.site_id, "refused_identifier", f"limit_{identifier.kind}")
    return False


def _merged_away(
    tx: Transaction,
    site: Site,
    owners: Mapping[Identifier, Owner],
    claims: Claims,
) -> str | None:
    """The other person, where the customers whom the shop platform has made one are known as two.

    Both IDs must be known by a server's word: who but names somebody's ID in a browser does not become one with them.
    """
    kept = next((each for each in claims.identifiers if each.kind is IdentifierKind.CUSTOMER_ID), None)
    if (
        claims.former is None
        or kept is None
        or not all(each in owners and tx.graph.is_told_by_server(site.site_id, each) for each in (claims.former, kept))
    ):
        return None
    gone = owners[claims.former].person_id
    return gone if gone != owners[kept].person_id else None


def _unite(
    tx: Transaction, site: Site, others: Sequence[str], person_id: str, message: Message, sender: Sender
) -> set[str]:
    """Make these persons one with the first: by a merge that can be revoked, or, of whom nothing but a link's exchange
    ID was known, for good. Returns the latter, who are no more."""
    site_id, at, message_id = site.site_id, message.occurred_at, message.message_id
    folded = set()
    with watched(tx, site, person_id, now=sender.now):
        for other in others:
            if tx.graph.fold(site_id, other, person_id, at=at, message_id=message_id):
                tx.outbox.hand_over(site_id, other, person_id)
                folded.add(other)
            else:
                tx.graph.unite(site_id, other, person_id, at=at, message_id=message_id)
    return folded


def _claims_too_much(
    tx: Transaction,
    site: Site,
    identifiers: Sequence[Identifier],
    owners: Mapping[Identifier, Owner],
    sender: Sender,
) -> bool:
    """Whether an address on the net brings more identifiers to browsers that were not tied to their persons yet than
    its shoppers can have: somebody tries them out, be they new to the relay or stolen from elsewhere."""
    if sender.trust is not Trust.BROWSER or sender.address is None:
        return False
    first = identifiers[0]
    for person_id in tx.graph.signed_in(site.site_id, sender.visitor_id) if sender.visitor_id is not None else ():
        if first in owners and owners[first].person_id == person_id:
            return False
        if tx.graph.claims(site.site_id, person_id, first):
            return False
    new = len(identifiers)
    window, now = guards.CLAIM_WINDOW_SECONDS, sender.now
    if tx.traces.claims(site.site_id, sender.address, at=now, window=window) >= guards.CLAIMS_AN_ADDRESS:
        tx.ledger.count(site.site_id, "refused_identifier", "claims_of_one_address")
        return True
    tx.traces.count_claims(site.site_id, sender.address, new, at=now, window=window)
    return False
