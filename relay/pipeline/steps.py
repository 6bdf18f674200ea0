"""The steps of a message through the processor, each a function of one thing: the ``Work`` on that message.

A step fills in what it finds, or ends the message's way by returning an ``End``. Their order is in ``process``.
"""

from collections.abc import Iterator
from functools import lru_cache

import msgspec
from user_agents import parse as parse_user_agent

from relay.config import Forward
from relay.delivery.states import State
from relay.identity import traces
from relay.identity.claims import Claims, claims
from relay.identity.evidence import Evidence, Recognition
from relay.identity.identifiers import IdentifierKind
from relay.identity.resolve import SESSION_SECONDS
from relay.klaviyo import mapping
from relay.klaviyo.profiles import external_id
from relay.model import ABANDONMENT_KINDS, Commerce, DropReason, Kept, Kind, Reason, Trust
from relay.pipeline import (
    attribute,
    consent,
    decide,
    drafts,
    endings,
    instructions,
    links,
    orders,
    pages,
    recall,
    withdrawals,
    withheld,
)
from relay.pipeline.addresses import AddressKind, address_kind
from relay.pipeline.canonical import canonicalise, unreadable
from relay.pipeline.sender import Sender
from relay.pipeline.work import End as End
from relay.pipeline.work import Work as Work
from relay.store.rows import StoredEvent, Unsent


def refuse_bots(work: Work) -> End | None:
    if work.entry.trust is Trust.BROWSER and work.entry.user_agent and _is_bot(work.entry.user_agent):
        return End("dropped", DropReason.BOT)
    return None


def ask_consent(work: Work) -> End | None:
    """What may be done with the message. A refusal holds from when it was said, whatever has been said or has arrived
    since."""
    entry, site = work.entry, work.site
    at = min(work.message.occurred_at, entry.received_at)
    is_own = entry.trust is Trust.BROWSER
    work.permission = consent.permission(work.message.context, entry.trust, site.consent, gpc=entry.gpc)
    if not work.permission.keep:
        if entry.visitor_id is not None and consent.is_denied(work.message.context):
            endings.refuse(work.tx, site, entry.visitor_id, is_own=is_own, at=at, now=work.now)
        if withheld.wants_out(work.message):
            speak_canonical(work)
            hear_claims(work)
            for draft in withdrawals.drafts(work):
                work.tx.outbox.add(draft)
        return End("dropped", DropReason.CONSENT)
    if entry.visitor_id is not None and (is_own or consent.is_given(work.message.context)):
        is_opted_out = is_own and not work.permission.forward
        refused_at = endings.hear(work.tx, site, entry.visitor_id, is_opted_out=is_opted_out, at=at)
        if is_own and refused_at is not None and at < refused_at:
            work.permission = consent.BEFORE_REFUSAL
    return None


def speak_canonical(work: Work) -> End | None:
    work.commerce = canonicalise(work.message)
    work.klaviyo = decide.klaviyo_state(work.message.context)
    return None


def hear_claims(work: Work) -> End | None:
    """What the call says of its author, and what it asks for. What an erased person did before the erasure is emptied:
    it must not bring them back."""
    claimed = claims(work.message, work.commerce, work.entry.trust, work.site.country, work.site.profile_parameter)
    if _is_forgotten(work, claimed):
        work.commerce = Commerce(kind=Kind.OTHER, name="")
        return None
    work.instructions = instructions.instructions(
        work.message, claimed, work.entry.trust, work.site.list_id, work.site.subscribe_channels
    )
    # Whose a call is holds whether or not it is for Klaviyo; what it says of them then stays out of later events.
    is_told = work.instructions.is_for_klaviyo
    traits = instructions.of_the_person(claimed.traits, work.instructions.patch) if is_told else {}
    work.claims = msgspec.structs.replace(claimed, traits=traits)
    return None


def keep(work: Work) -> End | None:
    """Store the event; its message ID makes every later copy a duplicate. Of an event that becomes no metric only
    that it was there is kept, of the others what mapping them needs: the person's addresses belong to the graph."""
    kept = Kept(commerce=Commerce(kind=work.commerce.kind, name=work.commerce.kind))
    if work.instructions.is_membership or not mapping.actions(work.commerce, pages.events(work.message, work.site)):
        pass
    elif work.commerce.kind is Kind.PAGE:
        kept = pages.kept(work.message, work.commerce, details=work.site.page_details)
    else:
        page = work.message.context.get("page")
        url = page.get("url") if isinstance(page, dict) else None
        kept = Kept(
            commerce=msgspec.structs.replace(work.commerce, email=None, phone=None),
            page_url=url if isinstance(url, str) else None,
        )
    work.event_id = work.tx.ledger.add_event(
        StoredEvent(
            site_id=work.site.site_id,
            source=work.entry.trust,
            message_id=work.message.message_id,
            visitor_id=work.entry.visitor_id,
            kind=work.commerce.kind,
            name=kept.commerce.name,
            occurred_at=work.message.occurred_at,
            received_at=work.entry.received_at,
            body=msgspec.json.encode(kept),
        )
    )
    return End("duplicate") if work.event_id is None else None


def hear_klaviyo(work: Work) -> End | None:
    """Klaviyo's script has identified this visitor: what it queued itself until now, it replays itself.

    It is about to as soon as it hears an address (its own form, its ``identify``), though the page may be gone before
    it says so; then it replays what it saw happen, and nothing from when it was not there.
    """
    if work.entry.trust is not Trust.BROWSER or work.entry.visitor_id is None or work.site.forward is Forward.ALL:
        return None
    if work.klaviyo.present and work.klaviyo.identified is False:
        # The shopper is still here, and Klaviyo's script watches: a login in this visit has it replay what it queued.
        until = work.message.occurred_at + work.site.hold_seconds
        work.tx.outbox.hold_on(work.site.site_id, work.entry.visitor_id, until=until, at_most=SESSION_SECONDS)
    knows, is_told = decide.knows(work.klaviyo), decide.is_told(work.message, work.klaviyo)
    if not knows and not is_told:
        return None
    for delivery in work.tx.outbox.unsent(work.site.site_id, visitors=[work.entry.visitor_id], and_gone=True):
        if _is_servers(work, delivery):
            continue  # Klaviyo's script has seen nothing of it
        replays = knows or delivery.cause is Reason.KLAVIYO_UNIDENTIFIED
        if replays and delivery.occurred_at <= work.message.occurred_at and delivery.cause is not Reason.ASKED:
            if delivery.state is State.DEAD:
                work.tx.outbox.only_record(delivery)  # it had been due before Klaviyo knew: if it is replayed, silently
            else:
                work.tx.outbox.suppress(delivery, Reason.NATIVE_REPLAYED, at=work.now)
    return None


def _is_servers(work: Work, delivery: Unsent) -> bool:
    """Whether a server has told what is delivered; of what has no event, whether its call had named the person."""
    if delivery.source is not None:
        return delivery.source is not Trust.BROWSER
    sign = recall.sign_of(work.tx, work.site.site_id, delivery)
    return sign is not None and sign.recognition is Recognition.DIRECT and sign.evidence is Evidence.SERVER


def resolve(work: Work) -> End | None:
    site, entry, message = work.site, work.entry, work.message
    if not work.permission.forward:
        if work.commerce.kind is Kind.SIGNED_OUT and entry.visitor_id is not None:
            endings.sign_out(work.tx, site, entry.visitor_id, at=message.occurred_at, now=work.now)
        return None
    for refused in work.claims.refused:
        work.tx.ledger.count(site.site_id, "refused_identifier", refused)
    for noted in _notes(work):
        work.tx.ledger.count(site.site_id, "noted_identifier", noted)
    for unread in unreadable(work.commerce):
        work.tx.ledger.count(site.site_id, "refused_property", unread)
    for unread in work.instructions.notes:
        work.tx.ledger.count(site.site_id, "refused_instruction", unread)
    if entry.trust is Trust.KLAVIYO and message.traits.get("outcome") == "unknown":
        for claimed in work.claims.identifiers:
            links.end_unknown(work.tx, site, claimed.value, at=work.now)
        return None
    sender = Sender(
        trust=entry.trust,
        visitor_id=entry.visitor_id,
        recognition=Recognition(entry.recognition),
        now=work.now,
        traces=traces.traces(message.context, work.commerce, entry.trust),
        address=traces.source(entry.ip),
        network=traces.network(entry.ip),
        browser=traces.browser(entry.user_agent),
        off=work.off,
    )
    is_server = entry.trust is Trust.SERVER
    if is_server and entry.visitor_id is not None and endings.is_left_alone(work.tx, site, entry.visitor_id):
        sender = msgspec.structs.replace(sender, visitor_id=None)
    links.follow(work, sender)
    found = attribute.attribute(work.tx, site, message, work.commerce.kind, work.claims, sender)
    work.resolution, work.is_named, work.has_news = found.resolution, found.is_named, found.has_news
    work.resolution = orders.customer_of(work) or work.resolution
    return None


def end_the_story(work: Work) -> End | None:
    """After an order nobody has abandoned anything: what has not left yet is recorded without starting a flow.

    What somebody else has put into a cart in another browser of the buyer's, which they share, is a story of its own.
    """
    if work.commerce.kind is not Kind.ORDER_COMPLETED:
        return None
    person_id, site_id = work.resolution.person_id, work.site.site_id
    here = [work.entry.visitor_id] if work.entry.visitor_id else []
    visitors = list(here)
    for visitor_id in work.tx.graph.visitors_of(site_id, person_id) if person_id is not None else ():
        visitors.append(visitor_id)
        if any(link.message_id == work.message.message_id for link in work.tx.graph.links(site_id, visitor_id)):
            here.append(visitor_id)  # the order itself has named the browser that had its cart
    for delivery in work.tx.outbox.unsent(site_id, visitors=visitors, person_id=person_id, and_gone=True):
        owner = delivery.person_id and work.tx.graph.canonical(site_id, delivery.person_id)
        if person_id is not None and owner not in (None, person_id) and delivery.visitor_id not in here:
            continue
        if delivery.commerce_kind in ABANDONMENT_KINDS and delivery.occurred_at <= work.message.occurred_at:
            work.tx.outbox.only_record(delivery)
    return None


def queue_deliveries(work: Work) -> End | None:
    """Put what Klaviyo must be told, or is spared, into the outbox, each with its reason."""
    if work.entry.trust is not Trust.KLAVIYO:
        drafts.queue(work)
    return None


def _notes(work: Work) -> Iterator[str]:
    """What is remarkable about the call's identifiers and refused nevertheless by nobody here."""
    for identifier in work.claims.identifiers:
        match identifier.kind:
            case IdentifierKind.EMAIL:
                if (kind := address_kind(identifier.value)) is not AddressKind.PERSONAL:
                    yield f"{kind}_email"
            case IdentifierKind.CUSTOMER_ID:
                if not work.site.email_primary and external_id(identifier.value) is None:
                    yield "long_customer_id"


def _is_forgotten(work: Work, claimed: Claims) -> bool:
    former = () if claimed.former is None else (claimed.former,)
    named = [(each.kind.value, each.value) for each in (*claimed.everything, *former)]
    if work.entry.visitor_id is not None:
        named.append(("visitor", work.entry.visitor_id))
    at = work.tx.privacy.erased_at(work.site.site_id, named)
    return at is not None and work.message.occurred_at <= at


@lru_cache(maxsize=10_000)
def _is_bot(user_agent: str) -> bool:
    """Parsing an unseen string takes 2 ms, so this runs behind a cache, and never while collecting."""
    return bool(parse_user_agent(user_agent).is_bot)
