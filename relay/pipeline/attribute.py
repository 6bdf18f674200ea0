"""Whose event this is: claims become changes of the graph, the graph answers with a person or nobody.

The rules are ``identity.resolve``'s and ``identity.guards``'; this module carries them out inside the processor's
transaction.
"""

import msgspec
from msgspec import Struct

from relay.config import Site
from relay.identity import guards
from relay.identity.claims import Claims
from relay.identity.evidence import STRONG, WORTH, Evidence, Recognition
from relay.identity.identifiers import Identifier, IdentifierKind
from relay.identity.resolve import NOBODY, Link, Resolution, proven, resolve
from relay.model import Kind, Message, Reason, Trust
from relay.pipeline import carts, endings, labels, recall, suspect
from relay.pipeline.addresses import AddressKind, address_kind
from relay.pipeline.growth import watched
from relay.pipeline.late import release
from relay.pipeline.links import follow_exchange
from relay.pipeline.naming import person_of
from relay.pipeline.sender import Sender
from relay.pipeline.whose import neighbours, whose
from relay.store.base import Transaction
from relay.store.traces import CartCall


class Attribution(Struct, frozen=True, kw_only=True):
    """The outcome: the resolution, whether the call itself names its person, and whether there is something new to tell
    of their profile."""

    resolution: Resolution
    is_named: bool = False
    has_news: bool = False


def attribute(tx: Transaction, site: Site, message: Message, kind: Kind, claims: Claims, sender: Sender) -> Attribution:
    """Apply what ``message`` claims and say whose it is."""
    visitor_id, at = sender.visitor_id, message.occurred_at
    if kind is Kind.SIGNED_OUT and visitor_id is not None:
        links = endings.sign_out(tx, site, visitor_id, at=at, now=sender.now)
        return Attribution(resolution=resolve(links, sender.recognition, at, off=sender.off))
    if visitor_id is None:
        had = carts.browser_of(tx, site.site_id, sender, at)
        if had is not None and not endings.is_left_alone(tx, site, had):
            sender = msgspec.structs.replace(sender, visitor_id=had, recognition=Recognition.CART)
            visitor_id = had
        is_new_trace = False
    else:
        had = visitor_id
        is_new_trace = _note_traces(tx, site, sender, visitor_id, at)
        if not endings.is_left_alone(tx, site, visitor_id):
            for call in carts.answered(tx, site.site_id, visitor_id, sender):
                _tie_by_call(tx, site, visitor_id, call, message, sender)
    direct, has_news = _apply_claims(tx, site, message, kind, claims, sender)
    if direct is not None and had is None and claims.is_author:
        carts.remember(tx, site.site_id, message, sender, direct)
    if visitor_id is not None:
        follow_exchange(tx, site, message, claims, sender, visitor_id)
    if is_new_trace and visitor_id is not None:
        _release_across(tx, site, visitor_id, sender, at)
    if direct is not None:
        # Also when there is no address yet, or the call is not believed: it has named its person, and is nobody else's.
        return Attribution(resolution=direct, is_named=direct.person_id is not None, has_news=has_news)
    if visitor_id is not None:
        return Attribution(resolution=whose(tx, site.site_id, visitor_id, sender.recognition, at, off=sender.off))
    return Attribution(resolution=NOBODY)


def _note_traces(tx: Transaction, site: Site, sender: Sender, visitor_id: str, at: float) -> bool:
    """Keep what the browser has left; whether any of it is new there. A server's word of a cart is no browser's."""
    if sender.trust is not Trust.BROWSER:
        return False
    noted = [
        tx.traces.note(site.site_id, trace, visitor_id, at=at, network=sender.network, browser=sender.browser)
        for trace in sender.traces
    ]
    return any(noted)


def _tie_by_call(
    tx: Transaction, site: Site, visitor_id: str, call: CartCall, message: Message, sender: Sender
) -> None:
    """Tie the browser that turns out to have had the cart a server has spoken of, as of then."""
    graph, site_id = tx.graph, site.site_id
    if not graph.is_known(site_id, call.person_id):
        return  # erased since
    person_id = graph.canonical(site_id, call.person_id)
    then = msgspec.structs.replace(message, message_id=call.message_id, occurred_at=call.at)
    sender = msgspec.structs.replace(sender, recognition=Recognition.CART)
    _tie(tx, site, visitor_id, person_id, person_id, call.evidence, then, sender, is_known=True)
    named = _named(person_id, call.evidence, call.message_id, call.at)
    recall.for_sign(tx, site, visitor_id, named, Claims(), at=call.at, now=sender.now)
    if graph.is_sendable(site_id, person_id):
        release(tx, site, person_id, sign_at=call.at, sender=sender)


def _release_across(tx: Transaction, site: Site, visitor_id: str, sender: Sender, at: float) -> None:
    """A trace has shown that two visitors are one browser: what waits at the one may be the other's person's."""
    others = neighbours(tx, site.site_id, visitor_id, at)
    if not others:
        return
    found = [
        whose(tx, site.site_id, each, sender.recognition, at, off=sender.off)
        for each in (visitor_id, *(other.visitor_id for other in others))
    ]
    for person_id in dict.fromkeys(one.person_id for one in found if one.reason is None and one.person_id):
        release(tx, site, person_id, sign_at=at, sender=sender)


def _apply_claims(
    tx: Transaction, site: Site, message: Message, kind: Kind, claims: Claims, sender: Sender
) -> tuple[Resolution | None, bool]:
    """The person the call itself names (None when it names nobody; nobody where it may not be believed) and whether
    their profile has become another: by a trait, or by what an identify call says of who they are. Another call's event
    carries that itself."""
    if not claims.identifiers:
        return None, False
    found = person_of(tx, site, message, claims, sender)
    if found is None:
        return Resolution(reason=Reason.CLAIM_REFUSED), False
    graph, site_id, at, person_id = tx.graph, site.site_id, message.occurred_at, found.person_id
    evidence = Evidence.SIGNED_CUSTOMER if claims.is_signed else _evidence(sender.trust, kind, claims)
    named_id = person_id
    if sender.visitor_id is not None and evidence is Evidence.FORM:
        named_id = graph.known_here(site_id, sender.visitor_id, person_id)
    has_news = graph.remember_traits(site_id, named_id, claims.traits)
    if sender.visitor_id is not None and claims.is_author:
        _tie(tx, site, sender.visitor_id, person_id, named_id, evidence, message, sender, is_known=found.is_known)
    named = _named(named_id, evidence, message.message_id, at)
    if sender.visitor_id is not None and claims.is_author and WORTH[evidence].strength >= STRONG:
        recall.for_sign(tx, site, sender.visitor_id, named, claims, at=at, now=sender.now)
    if not graph.is_sendable(site_id, named_id):
        return msgspec.structs.replace(named, reason=Reason.IDENTITY_PENDING), has_news
    release(tx, site, named_id, sign_at=at, sender=sender)
    has_news |= found.is_new_here and message.type == "identify"
    return named, has_news


def _named(person_id: str, evidence: Evidence, message_id: str, at: float) -> Resolution:
    """Whom a call names by itself."""
    sign = Link(person_id=person_id, evidence=evidence, first_at=at, last_at=at, message_id=message_id, sendable=True)
    return proven(sign, Recognition.DIRECT)


def _tie(
    tx: Transaction,
    site: Site,
    visitor_id: str,
    holder_id: str,
    person_id: str,
    evidence: Evidence,
    message: Message,
    sender: Sender,
    *,
    is_known: bool,
) -> None:
    """Tie the visitor to the person, and judge by it what was tied there before. ``holder_id`` is who the call's
    identifier belongs to; in this browser that is ``person_id`` for now (``Claimed.known_here``)."""
    graph, site_id, at = tx.graph, site.site_id, message.occurred_at
    before = graph.links(site_id, visitor_id)
    if WORTH[evidence].strength >= STRONG:
        labels.label(tx, site, visitor_id, sender.recognition, person_id, is_known=is_known, at=at)
        suspect.judge(tx, site, visitor_id, person_id)
        persons = graph.persons_since(site_id, visitor_id, at - guards.KIOSK_SECONDS)
        if persons >= guards.CLAIMS_A_VISITOR and person_id not in {link.person_id for link in before}:
            tx.ledger.count(site_id, "refused_identifier", "claims_of_one_browser")
            return
    with watched(tx, site, person_id, now=sender.now):
        graph.tie(site_id, visitor_id, holder_id, evidence, at=at, message_id=message.message_id)


def _evidence(trust: Trust, kind: Kind, claims: Claims) -> Evidence:
    if all(_is_mailbox(identifier) for identifier in claims.identifiers):
        return Evidence.MAILBOX
    if trust is Trust.BROWSER:
        return Evidence.FORM
    is_checkout = kind in (Kind.ORDER_COMPLETED, Kind.CHECKOUT_STARTED)
    return Evidence.ORDER if is_checkout and trust is Trust.SERVER else Evidence.SERVER


def _is_mailbox(identifier: Identifier) -> bool:
    """Whether it is the address of a mailbox and not of a person: of several people, or of a marketplace's order. An
    example's address stands for a person wherever one is tried out, and Klaviyo writes to none."""
    kinds = (AddressKind.ROLE, AddressKind.RELAY)
    return identifier.kind is IdentifierKind.EMAIL and address_kind(identifier.value) in kinds
