"""Native, backup, waiting or suppressed: the decision for one event. Pure.

| Klaviyo's script             | visitor known to us | what happens                                              |
|------------------------------|---------------------|-----------------------------------------------------------|
| knew the visitor             | any                 | suppressed, ``native``                                    |
| any, but its integration     | any                 | suppressed, ``native``                                    |
| with the shop tells it itself|                     |                                                           |
| did not, or was not there    | yes                 | held, then sent unless Klaviyo identifies the visitor     |
| did not, or was not there    | no                  | waits for late identity                                   |
| any                          | named by a call that| suppressed, ``claim_refused``: it is nobody else's        |
|                              | is not believed     |                                                           |

Where the site files events under anonymous IDs, nobody's do not wait: they are sent as a stranger's, once and for all.
What a call asks for beyond its event (``asked``) is no business of Klaviyo's script: it is neither held nor native's.
``all`` sends what is resolved without looking at Klaviyo; ``shadow`` decides like ``backup`` and only records.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from relay.config import Forward, Site
from relay.delivery.states import State
from relay.identity.resolve import Resolution
from relay.model import KlaviyoState, Message, Reason


class Decision(Struct, frozen=True, kw_only=True):
    """Where a delivery begins. Times in epoch seconds."""

    state: State
    reason: Reason
    cause: Reason
    due_at: float
    backfill: bool = False


def klaviyo_state(context: Mapping[str, Any]) -> KlaviyoState:
    """What the tag saw of Klaviyo's script; anything but a real boolean is unknown."""
    seen = context.get("klaviyo")
    if not isinstance(seen, dict):
        return KlaviyoState()
    present, identified, queued = (seen.get(name) for name in ("present", "identified", "queued"))
    return KlaviyoState(
        present=present if isinstance(present, bool) else None,
        identified=identified if isinstance(identified, bool) else None,
        queued=queued if isinstance(queued, int) and not isinstance(queued, bool) else None,
    )


def knows(klaviyo: KlaviyoState) -> bool:
    """Whether Klaviyo's script was there and knew the visitor.

    A cookie it once wrote files nothing while the script is blocked.
    """
    return klaviyo.identified is True and klaviyo.present is not False


def is_told(message: Message, klaviyo: KlaviyoState) -> bool:
    """Whether the page has just told Klaviyo's script who the shopper is, while it holds events of them.

    A script that has not answered may be blocked by now: what it once queued it will not replay.
    """
    told_by = message.context.get("capture")
    return (
        message.type == "identify"
        and klaviyo.present is True
        and klaviyo.identified is False
        and (klaviyo.queued or 0) > 0
        and isinstance(told_by, list)
        and "klaviyo" in told_by
    )


def cause(klaviyo: KlaviyoState, site: Site) -> Reason:
    """Why Klaviyo has to be told by us."""
    if site.forward is Forward.ALL:
        return Reason.FORWARD_ALL
    return Reason.KLAVIYO_UNIDENTIFIED if klaviyo.present else Reason.KLAVIYO_ABSENT


def decide(
    klaviyo: KlaviyoState,
    resolution: Resolution,
    site: Site,
    *,
    may_forward: bool,
    occurred_at: float,
    now: float,
    may_be_anonymous: bool = False,
    is_integrations: bool = False,
    why_not: Reason = Reason.GPC,
) -> Decision:
    """The fate of an event that happened at ``occurred_at``, decided at ``now``. ``why_not``: where it may not be
    forwarded.

    ``may_be_anonymous``: its visitor has an ID to file it under, and it is nothing that needs its person.
    ``is_integrations``: Klaviyo's own integration with the shop tells it (see ``pipeline.integration``).
    """
    why = cause(klaviyo, site)
    if not may_forward:
        return Decision(state=State.SUPPRESSED, reason=why_not, cause=why, due_at=now)
    if (knows(klaviyo) or is_integrations) and site.forward is not Forward.ALL:
        return Decision(state=State.SUPPRESSED, reason=Reason.NATIVE, cause=why, due_at=now)
    if resolution.reason is Reason.CLAIM_REFUSED:
        return Decision(state=State.SUPPRESSED, reason=Reason.CLAIM_REFUSED, cause=why, due_at=now)
    if resolution.reason is not None or resolution.person_id is None:
        unresolved = resolution.reason or Reason.NO_IDENTITY
        if site.anonymous_id and may_be_anonymous and resolution.person_id is None:
            found = send(why, site, occurred_at=occurred_at, now=now)
            return msgspec.structs.replace(found, reason=Reason.ANONYMOUS)
        return Decision(state=State.WAITING, reason=unresolved, cause=why, due_at=now)
    return send(why, site, occurred_at=occurred_at, now=now)


def asked(
    resolution: Resolution,
    site: Site,
    *,
    may_forward: bool,
    is_proven: bool,
    now: float,
    why_not: Reason = Reason.GPC,
) -> Decision:
    """The fate of what a call asks for beyond its event. ``is_proven``: the call itself names whom it is for, and a
    browser's names them by an address."""
    state, reason = State.READY, Reason.ASKED
    if not may_forward:
        state, reason = State.SUPPRESSED, why_not
    elif site.forward is Forward.SHADOW:
        state, reason = State.SUPPRESSED, Reason.SHADOW
    elif not is_proven or resolution.person_id is None:
        state, reason = State.SUPPRESSED, Reason.UNPROVEN
    elif resolution.reason is not None:
        state, reason = State.WAITING, resolution.reason
    return Decision(state=state, reason=reason, cause=Reason.ASKED, due_at=now)


def of_the_past(decision: Decision) -> Decision:
    """The same for an event of an import: recorded without starting a flow, now or when its person is found."""
    if decision.state is State.SUPPRESSED:
        return decision
    return msgspec.structs.replace(decision, backfill=True)


def send(why: Reason, site: Site, *, occurred_at: float, now: float) -> Decision:
    """A resolved event that Klaviyo shall be told, found or released at ``now``.

    It is held first, so that Klaviyo's own script, which may be learning the same identity at this moment, can
    say so. What is older than the abandonment window is recorded without starting a flow.
    """
    hold = 0.0 if why in (Reason.FORWARD_ALL, Reason.ASKED) else site.hold_seconds
    return Decision(
        state=State.HELD if hold > 0 else State.READY,
        reason=why,
        cause=why,
        due_at=now + hold,
        backfill=site.forward is Forward.SHADOW or now - occurred_at > site.abandonment_seconds,
    )
