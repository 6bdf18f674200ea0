"""The rules of resolution: from a visitor's live links to a person. No I/O.

Invariants kept here:
- a visitor with two strong persons is a shared device: an anonymous event there belongs to nobody, unless it
  falls into the session of the latest strong sign; with many persons in a day it is a kiosk: not even then;
- a person found through another browser (``identity.traces``) counts only where this one knows nobody itself, and only
  when every such browser names the same person; nothing is found through two bridges;
- a sign-out or a refusal in one jar of a browser holds for all of them: nothing from before it names anybody in
  another one (``still_said``);
- where the rules do not decide, the answer is nobody.
"""

from collections.abc import Callable, Collection, Sequence

import msgspec
from msgspec import Struct

from relay.identity import guards
from relay.identity.evidence import LINKS, RECOGNISED, STRONG, WORTH, Evidence, Recognition
from relay.model import Reason

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
    is_passed_on: bool = False  #: too many browsers have opened this person's links (``guards.is_passed_on``)


class Neighbour(Struct, frozen=True, kw_only=True):
    """Another visitor that is the same browser, by the evidence of a trace they share."""

    visitor_id: str
    evidence: Evidence
    links: Sequence[Link]
    is_kiosk: bool = False
    ended_at: float = 0.0  #: when somebody last signed out or refused there


class Sign(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a resolution rests on: the sign of the person, and how the browser that gave it was found."""

    evidence: Evidence
    message_id: str
    at: float
    recognition: Recognition
    visitor_id: str | None = None  #: the browser that gave the sign, when it is another visitor
    bridge: Evidence | None = None  #: what ties that one to this


class Resolution(Struct, frozen=True, kw_only=True):
    """Who an event belongs to and why; ``person_id`` None means nobody yet, for ``reason``."""

    person_id: str | None = None
    reason: Reason | None = None
    evidence: str = ""
    confidence: float = 0.0
    sign: Sign | None = None


NOBODY = Resolution(reason=Reason.NO_IDENTITY)


def resolve(
    links: Sequence[Link],
    recognition: Recognition,
    at: float,
    *,
    is_kiosk: bool = False,
    off: Collection[Evidence] = (),
    neighbours: Callable[[], Sequence[Neighbour]] = tuple,
) -> Resolution:
    """The person behind an anonymous event of a visitor at time ``at``, by the visitor's live links.

    ``off`` are classes of evidence the site does not trust: they name nobody, and still veto. ``neighbours`` is asked
    only when the visitor's own links name nobody.
    """
    own = _own(links, recognition, at, is_kiosk=is_kiosk, off=off)
    if any(unusable(link, at) is None for link in links):
        return own
    found: dict[str, tuple[Resolution, Neighbour]] = {}
    for other in neighbours():
        if other.evidence in off:
            continue
        theirs = _own(other.links, recognition, at, is_kiosk=other.is_kiosk, off=off)
        if theirs.person_id is None:
            if any(unusable(link, at) is None for link in other.links):
                return Resolution(reason=theirs.reason)  # several people's: so it is here
        elif theirs.reason is None:
            before = found.get(theirs.person_id)
            if before is None or WORTH[before[1].evidence].strength < WORTH[other.evidence].strength:
                found[theirs.person_id] = (theirs, other)
    if len(found) > 1:
        return Resolution(reason=Reason.SHARED_DEVICE)
    for theirs, other in found.values():
        return _through(theirs, other)
    return own


def still_said(others: Sequence[Neighbour], ended_at: float) -> list[Neighbour]:
    """What other jars of a browser still say: only what is newer than every sign-out and refusal in any of its jars.
    ``ended_at``: when that was in the jar that asks."""
    ended_at = max([ended_at, *(other.ended_at for other in others)])
    return [
        msgspec.structs.replace(other, links=[link for link in other.links if link.last_at > ended_at])
        for other in others
    ]


def _own(
    links: Sequence[Link], recognition: Recognition, at: float, *, is_kiosk: bool, off: Collection[Evidence]
) -> Resolution:
    usable = [link for link in links if unusable(link, at) is None]
    if not usable:
        return Resolution(reason=next((r for link in links if (r := unusable(link, at))), Reason.NO_IDENTITY))
    newest = max(usable, key=_recency)
    if is_strong(newest) and not newest.sendable:
        # Somebody has signed in here since by an ID alone: what follows is theirs, whoever was known before.
        return Resolution(person_id=newest.person_id, reason=Reason.IDENTITY_PENDING)
    sendable = [link for link in usable if link.sendable]
    strong = [link for link in sendable if is_strong(link)]
    if is_kiosk and strong:
        return Resolution(reason=Reason.KIOSK)
    candidates = strong or sendable or usable
    latest = max(candidates, key=_recency)
    if len({link.person_id for link in strong}) > 1:
        in_session = 0 <= at - latest.last_at <= SESSION_SECONDS
        if not in_session or len({link.person_id for link in strong if link.last_at == latest.last_at}) > 1:
            return Resolution(reason=Reason.SHARED_DEVICE)
    if not strong and len({link.person_id for link in sendable}) > 1:
        # Two recipients' links opened in one browser and nothing stronger: whose hands it is in is a guess.
        return Resolution(reason=Reason.SHARED_DEVICE)
    if not latest.sendable:
        return Resolution(person_id=latest.person_id, reason=Reason.IDENTITY_PENDING)
    trusted = [link for link in candidates if link.person_id == latest.person_id and link.evidence not in off]
    if not trusted:
        return Resolution(reason=Reason.EVIDENCE_OFF)
    return proven(max(trusted, key=_worth), recognition)


def unusable(link: Link, at: float) -> Reason | None:
    """Why a link proves nothing for an event at ``at``."""
    if link.evidence in LINKS:
        if link.is_passed_on:
            return Reason.FORWARDED_LINK
        if at - link.last_at > guards.LINK_LIFE_SECONDS:
            return Reason.NO_IDENTITY
    if link.evidence is Evidence.MAILBOX and not 0 <= at - link.last_at <= SESSION_SECONDS:
        return Reason.SHARED_MAILBOX
    return None


def is_strong(link: Link) -> bool:
    """Whether the link names its person by itself."""
    return WORTH[link.evidence].strength >= STRONG


def _recency(link: Link) -> tuple[float, int]:
    return link.last_at, WORTH[link.evidence].strength


def _worth(link: Link) -> int:
    return WORTH[link.evidence].strength


def proven(link: Link, recognition: Recognition) -> Resolution:
    """A resolution to the link's person with its chain in words and the confidence of its weakest step."""
    worth, (certainty, words) = WORTH[link.evidence], RECOGNISED[recognition]
    chain = f"{worth.words}; {words}" if words else worth.words
    sign = Sign(evidence=link.evidence, message_id=link.message_id, at=link.last_at, recognition=recognition)
    return Resolution(person_id=link.person_id, evidence=chain, confidence=min(worth.confidence, certainty), sign=sign)


def _through(theirs: Resolution, other: Neighbour) -> Resolution:
    """What was found in another browser, with the bridge to it."""
    bridge = WORTH[other.evidence]
    sign = None
    if theirs.sign is not None:
        sign = msgspec.structs.replace(theirs.sign, visitor_id=other.visitor_id, bridge=other.evidence)
    return Resolution(
        person_id=theirs.person_id,
        evidence=f"{theirs.evidence}; {bridge.words}",
        confidence=min(theirs.confidence, bridge.confidence),
        sign=sign,
    )


def late(
    links: Sequence[Link],
    person_id: str,
    occurred_at: float,
    sign_at: float,
    *,
    is_kiosk: bool = False,
) -> bool:
    """Whether an earlier, waiting event of a visitor belongs to ``person_id``, who has just given a sign.

    With one strong person on the visitor all its waiting events are theirs. On a shared device only those of
    the session that led to the sign are, at a kiosk and of a shared mailbox likewise at most those.
    """
    usable = [link for link in links if link.sendable and unusable(link, sign_at) is None]
    strong = {link.person_id for link in usable if is_strong(link)}
    is_session = 0 <= sign_at - occurred_at <= SESSION_SECONDS
    if is_kiosk and strong:
        return False
    if strong <= {person_id}:
        if strong:
            return True
        mailboxes = all(link.evidence is Evidence.MAILBOX for link in usable)
        return {link.person_id for link in usable} == {person_id} and (is_session or not mailboxes)
    return person_id in strong and is_session
