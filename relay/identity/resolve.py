"""The rules of resolution: from live links to a person, and from claims to changes of the graph. No I/O.

Invariants kept here:
- what a browser says never unites two persons; only a server's word does, by a recorded row that can be revoked;
- a visitor with two strong persons is a shared device: an anonymous event there belongs to nobody, unless it
  falls into the session of the latest strong sign;
- where the rules do not decide, the answer is nobody.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from relay.identity.evidence import RECOGNISED, STRONG, WORTH, Evidence, Recognition
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.model import Reason, Trust

#: A session ends after 30 minutes without a sign of the person (the field's usual bound: GA4, Segment, Shopify).
SESSION_SECONDS = 30 * 60.0


class Link(Struct, frozen=True, kw_only=True):
    """A live tie of a visitor to a person. ``person_id`` is canonical (merges followed); times in epoch seconds."""

    person_id: str
    evidence: Evidence
    first_at: float
    last_at: float
    message_id: str
    sendable: bool  #: the person has an address Klaviyo can be told


class Resolution(Struct, frozen=True, kw_only=True):
    """Who an event belongs to and why; ``person_id`` None means nobody yet, for ``reason``."""

    person_id: str | None = None
    reason: Reason | None = None
    evidence: str = ""
    confidence: float = 0.0


def resolve(links: Sequence[Link], recognition: Recognition, at: float) -> Resolution:
    """The person behind an anonymous event of a visitor at time ``at``, by the visitor's live links."""
    if not links:
        return Resolution(reason=Reason.NO_IDENTITY)
    newest = max(links, key=lambda link: (link.last_at, WORTH[link.evidence].strength))
    if WORTH[newest.evidence].strength >= STRONG and not newest.sendable:
        # Somebody has signed in here since by an ID alone: what follows is theirs, whoever was known before.
        return Resolution(person_id=newest.person_id, reason=Reason.IDENTITY_PENDING)
    sendable = [link for link in links if link.sendable]
    strong = [link for link in sendable if WORTH[link.evidence].strength >= STRONG]
    candidates = strong or sendable or list(links)
    latest = max(candidates, key=lambda link: (link.last_at, WORTH[link.evidence].strength))
    if len({link.person_id for link in strong}) > 1:
        in_session = 0 <= at - latest.last_at <= SESSION_SECONDS
        if not in_session or len({link.person_id for link in strong if link.last_at == latest.last_at}) > 1:
            return Resolution(reason=Reason.SHARED_DEVICE)
    if not strong and len({link.person_id for link in sendable}) > 1:
        # Two recipients' links opened in one browser and nothing stronger: whose hands it is in is a guess.
        return Resolution(reason=Reason.SHARED_DEVICE)
    if not latest.sendable:
        return Resolution(person_id=latest.person_id, reason=Reason.IDENTITY_PENDING)
    best = max(
        (link for link in candidates if link.person_id == latest.person_id),
        key=lambda link: WORTH[link.evidence].strength,
    )
    return proven(best.person_id, best.evidence, recognition)


def proven(person_id: str, evidence: Evidence, recognition: Recognition) -> Resolution:
    """A resolution to ``person_id`` with its chain in words and the confidence of its weakest step."""
    worth, (certainty, words) = WORTH[evidence], RECOGNISED[recognition]
    chain = f"{worth.words}; {words}" if words else worth.words
    return Resolution(person_id=person_id, evidence=chain, confidence=min(worth.confidence, certainty))


def late(links: Sequence[Link], person_id: str, occurred_at: float, sign_at: float) -> bool:
    """Whether an earlier, waiting event of a visitor belongs to ``person_id``, who has just given a sign.

    With one strong person on the visitor all its waiting events are theirs. On a shared device only those of
    the session that led to the sign are.
    """
    strong = {link.person_id for link in links if link.sendable and WORTH[link.evidence].strength >= STRONG}
    if strong <= {person_id}:
        return bool(strong) or {link.person_id for link in links if link.sendable} == {person_id}
    return person_id in strong and 0 <= sign_at - occurred_at <= SESSION_SECONDS


class Owner(Struct, frozen=True, kw_only=True):
    """Who has an identifier now (canonical person) and what else is known of them."""

    person_id: str
    has_email: bool
    has_customer_id: bool
    sendable: bool


class Plan(Struct, frozen=True, kw_only=True):
    """What claims change. ``person_id`` None: a new person. ``attach`` also moves; ``unite`` merges into the person."""

    person_id: str | None
    attach: tuple[Identifier, ...]
    unite: tuple[str, ...] = ()


def plan(identifiers: Sequence[Identifier], owners: Mapping[Identifier, Owner], trust: Trust) -> Plan:
    """Whose these identifiers are, given who owns them now. ``identifiers`` in order of precedence, not empty.

    A server that names a new address for a known customer tells a change of address; two addresses that are both
    known already stay two persons.
    """
    if trust is Trust.BROWSER:
        return _browser_plan(identifiers, owners)
    person = _first_owner(identifiers, owners)
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
    by_kind = {identifier.kind: identifier for identifier in identifiers}
    email = by_kind.get(IdentifierKind.EMAIL)
    customer = by_kind.get(IdentifierKind.CUSTOMER_ID)
    person: Owner | None = None
    if email is None:
        person = _first_owner(identifiers, owners)
    elif email in owners:
        person = owners[email]
    elif customer is not None and customer in owners and not owners[customer].has_email:
        person = owners[customer]
    attach = []
    for identifier in identifiers:
        owner = owners.get(identifier)
        if owner is not None:
            mine = person is not None and owner.person_id == person.person_id
        else:
            mine = not (identifier.kind is IdentifierKind.CUSTOMER_ID and person is not None and person.has_customer_id)
        if mine:
            attach.append(identifier)
    return Plan(person_id=person.person_id if person else None, attach=tuple(attach))
