"""One delivery as a line of the live stream: what, where it stands, why, when. Pure; no addresses in or out."""

import re
from collections.abc import Mapping, Set
from typing import Any

from msgspec import Struct

from relay.config import Site
from relay.delivery.states import OPEN, State
from relay.klaviyo.mapping import metric_name
from relay.model import DeliveryKind, Reason
from relay.web.console import words

#: A name of an event is the caller's own, and with a public key anybody's: an address in it is not shown.
_ADDRESS = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+")


class Line(Struct, frozen=True, kw_only=True):
    """A delivery for people's eyes. Times in epoch seconds; ``when`` says what the time ``at`` is."""

    id: int
    title: str
    suffix: str
    state: State
    why: str
    evidence: str
    confidence: float | None  #: 0 to 1; None where nobody was resolved
    occurred_at: float
    when: str
    at: float | None
    attempts: int
    error: str
    only_recorded: bool


def line(row: Mapping[str, Any], site: Site, paused: Set[str], now: float) -> Line:
    """``row`` is one of ``Outbox.recent``; ``paused`` are the scopes Klaviyo refuses at present."""
    kind, state = DeliveryKind(row["kind"]), State(row["state"])
    is_event = kind is DeliveryKind.EVENT
    title, suffix = _names(row["metric"], site.metric_suffix) if is_event else (words.ERRANDS[kind][0], "")
    when, at = _when(row, state, site, now)
    return Line(
        id=row["delivery_id"],
        title=title,
        suffix=suffix,
        state=state,
        why=_why(row, kind, state, site, paused, now),
        evidence=row["evidence"] if state is not State.WAITING else "",
        confidence=row["confidence"] if row["evidence"] and state is not State.WAITING else None,
        occurred_at=row["occurred_at"],
        when=when,
        at=at,
        attempts=row["attempts"],
        error=answer(row["status"], row["error"]) if row["error"] else "",
        only_recorded=is_event and _is_only_recorded(row, state, site, now),
    )


def hide_addresses(text: str) -> str:
    return _ADDRESS.sub("[address]", text)


def _names(metric: str, suffix: str) -> tuple[str, str]:
    """The metric as Klaviyo names it, in two parts."""
    whole = metric_name(metric, suffix)
    shown = whole.removesuffix(suffix) if suffix else whole
    return hide_addresses(shown), suffix if whole != shown else ""


def _why(row: Mapping[str, Any], kind: DeliveryKind, state: State, site: Site, paused: Set[str], now: float) -> str:
    reason, cause = Reason(row["reason"]), Reason(row["cause"])
    errand = kind is not DeliveryKind.EVENT
    if errand and state not in (State.SUPPRESSED, State.DEAD, State.EXPIRED):
        sentences = [words.ERRANDS[kind][1]]
    else:
        sentences = [words.REASONS[reason]]
        if state is State.DEAD and cause in words.CAUSES:
            sentences.append(words.REASONS[cause])
    match state:
        case State.DELIVERED if not errand:
            sentences.append("So Backflow told Klaviyo.")
        case State.HELD:
            sentences.append("Held for a moment in case Klaviyo recognises the shopper itself; if not, it is sent.")
        case State.WAITING:
            sentences.append("It is sent once they are recognised.")
        case State.DEAD:
            sentences.append("Once the cause is mended, relay replay sends it again.")
        case State.READY:
            sentences.append(_standing(row, kind, site, paused, now))
    return " ".join(sentence for sentence in sentences if sentence)


def _standing(row: Mapping[str, Any], kind: DeliveryKind, site: Site, paused: Set[str], now: float) -> str:
    """Why a ready delivery has not left yet."""
    if site.klaviyo_api_key is None:
        return "It waits for a Klaviyo API key."
    if paused & {words.EVERYTHING, kind.value}:
        return "It waits until Klaviyo accepts the API key again."
    if row["status"] == 429:
        return "Klaviyo asked to slow down; it is sent as soon as it may be."
    if row["error"]:
        return "Klaviyo did not take the last try; it is tried again."
    return "It is next in line."


def _when(row: Mapping[str, Any], state: State, site: Site, now: float) -> tuple[str, float | None]:
    match state:
        case State.DELIVERED:
            return "sent", _settled(row)
        case State.HELD:
            return "held until", row["due_at"]
        case State.WAITING:
            return "waits until", max(row["occurred_at"], row["created_at"]) + site.waiting_seconds
        case State.READY:
            if row["due_at"] <= now:
                return "due since", row["due_at"]
            return "next try" if row["error"] else "due", row["due_at"]
        case State.SENDING:
            return "being sent", None
        case State.SUPPRESSED:
            return "decided", _settled(row)
        case State.DEAD:
            return "given up", _settled(row)
        case State.EXPIRED:
            return "expired", _settled(row)


def _settled(row: Mapping[str, Any]) -> float:
    """When the delivery ended; what is suppressed from the start ended as it was created."""
    return float(row["settled_at"] or row["created_at"])


def answer(status: int | None, error: str) -> str:
    """How a try ended: Klaviyo's status and code, or the kind of network failure; never Klaviyo's own words."""
    named = hide_addresses(error)
    if status is None or named == f"http_{status}":
        return named.replace("http_", "status ")
    return f"{status} {named}"


def _is_only_recorded(row: Mapping[str, Any], state: State, site: Site, now: float) -> bool:
    """Whether it starts no flow: marked so, or too old when it leaves (the sender's own rule)."""
    if state not in OPEN and state is not State.DELIVERED:
        return False
    left = _settled(row) if state is State.DELIVERED else max(now, row["due_at"])
    return bool(row["backfill"]) or left - row["occurred_at"] > site.abandonment_seconds
