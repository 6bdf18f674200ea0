"""What the console says: every state, reason and drop of the house in a sentence for a merchant. Pure.

The names themselves (``held``, ``suppressed``, ...) are those of the code, so that a page, a metric and a log line
can be laid side by side.
"""

from msgspec import Struct

from relay.config import Forward, Site
from relay.delivery.states import State
from relay.model import DeliveryKind, DropReason, Reason

#: Why a delivery stands where it stands.
REASONS: dict[Reason, str] = {
    Reason.KLAVIYO_ABSENT: (
        "Klaviyo's script was not on the page: the browser blocked it, or the shop's server reported this."
    ),
    Reason.KLAVIYO_UNIDENTIFIED: "Klaviyo's script was on the page but did not know this shopper.",
    Reason.FORWARD_ALL: "This shop sends every event of a shopper it recognises, whatever Klaviyo's script saw.",
    Reason.NATIVE: "Klaviyo's own script knew this shopper and handles it. A second copy would mean a second e-mail.",
    Reason.NATIVE_REPLAYED: (
        "Klaviyo's own script recognised the shopper shortly afterwards and sends this itself. A second copy would"
        " mean a second e-mail."
    ),
    Reason.NO_IDENTITY: "Nobody knows yet who this shopper is.",
    Reason.SHARED_DEVICE: "Several people use this browser and nothing says which of them it was. No guess is made.",
    Reason.IDENTITY_PENDING: "The shopper is known, but not yet an address that Klaviyo could be told.",
    Reason.GPC: "The browser asks every site not to pass data on (Global Privacy Control), so nothing is sent.",
    Reason.SHADOW: "This shop only watches for now (shadow mode), so profiles in Klaviyo are left as they are.",
    Reason.UNSENDABLE: "The shopper's address is gone, so there is nobody left to send it to.",
    Reason.CONSENT_WITHDRAWN: "The shopper withdrew consent before it had left.",
    Reason.FORGOTTEN: "The shopper asked to be forgotten.",
    Reason.TOO_OLD: "Nobody recognised the shopper in time, so it was given up.",
    Reason.NO_READ_SCOPE: (
        "The API key may not read profiles, so Klaviyo could not be asked. Events of this shopper go out under the"
        " message link's own ID."
    ),
    Reason.REFUSED: "Klaviyo refused it, and would refuse the same again.",
    Reason.RETRIES_EXHAUSTED: "Klaviyo did not take it within three days of trying.",
}

#: Reasons to send: they explain a delivery's end too, when that end has a reason of its own.
CAUSES = frozenset({Reason.KLAVIYO_ABSENT, Reason.KLAVIYO_UNIDENTIFIED, Reason.FORWARD_ALL})

#: Why a received message was not kept.
DROPS: dict[DropReason, str] = {
    DropReason.INVALID_MESSAGE: "not a message of the Segment format, or a field of the wrong type",
    DropReason.TOO_LARGE: "larger than the 32 KB a message may have",
    DropReason.TOO_DEEP: "nested too deeply",
    DropReason.UNKNOWN_TYPE: "of a type that is not identify, track, page, screen, group or alias",
    DropReason.MISSING_EVENT: "an event without a name",
    DropReason.INVALID_TIMESTAMP: "with a time that cannot be read or cannot be true",
    DropReason.CONSENT: "the shopper has not given consent, or refused it: counted, nothing kept",
    DropReason.BOT: "sent by a search engine or another robot",
    DropReason.PROCESSING_FAILED: (
        "a fault of the relay: kept in the journal for seven days; the log says what went wrong"
    ),
}

#: What each state means, in the order of a delivery's life.
STATES: dict[State, str] = {
    State.DELIVERED: "Klaviyo has taken it",
    State.HELD: "waits a moment, in case Klaviyo recognises the shopper itself",
    State.WAITING: "nobody knows the shopper yet",
    State.READY: "next in line, or to be tried again",
    State.SENDING: "on its way to Klaviyo now",
    State.SUPPRESSED: "must not be sent, each for a reason",
    State.DEAD: "given up after a refusal or three days of trying",
    State.EXPIRED: "the shopper was never recognised in time",
}

#: What a delivery that is not an event asks of Klaviyo: its title, and why.
ERRANDS: dict[DeliveryKind, tuple[str, str]] = {
    DeliveryKind.PROFILE: ("Profile update", "The shop told something new about this shopper."),
    DeliveryKind.LOOKUP: (
        "Whose link is this?",
        "A shopper came through a link of a Klaviyo message, so Klaviyo is asked whom it was sent to.",
    ),
    DeliveryKind.DELETION: ("Erasure", "A shopper asked to be forgotten, so Klaviyo is asked to erase the profile."),
}

FORWARD: dict[Forward, str] = {
    Forward.BACKUP: "Sends only what Klaviyo's own script could not file under a shopper.",
    Forward.ALL: "Sends every event of a shopper it recognises, beside what Klaviyo's own script sends.",
    Forward.SHADOW: "Shadow mode: everything is only recorded in Klaviyo; no flow starts and no profile changes.",
}


class Problem(Struct, frozen=True, kw_only=True):
    """Something about the destination that is not as it should be. ``blocking``: deliveries wait because of it."""

    title: str
    advice: str
    blocking: bool
    scope: str = ""
    reason: str = ""
    since: float | None = None


#: The pause for everything, as the sender names it; the other scopes are kinds of delivery.
EVERYTHING = "everything"

#: By scope: what is wrong, whether deliveries wait for it, and what the key needs.
_PAUSES: dict[str, tuple[str, bool, str]] = {
    EVERYTHING: ("Klaviyo does not accept the API key", True, ""),
    DeliveryKind.EVENT: ("The API key may not write events", True, "events:write"),
    DeliveryKind.PROFILE: ("The API key may not write profiles", True, "profiles:write"),
    DeliveryKind.LOOKUP: ("The API key may not read profiles", False, "profiles:read"),
    DeliveryKind.DELETION: ("The API key may not erase profiles", True, "data-privacy:write"),
}


def key_setting(site: Site) -> str:
    """Where the operator writes the site's Klaviyo key."""
    return "RELAY_KLAVIYO_API_KEY" if site.site_id == "default" else f"klaviyo_api_key of the site {site.site_id}"


def missing_key(site: Site) -> Problem:
    return Problem(
        title="No Klaviyo API key is set",
        advice=(
            f"Create a private API key in Klaviyo (Settings, API keys), put it into {key_setting(site)} and restart"
            " the relay. Until then nothing is sent and nothing is lost: deliveries wait here."
        ),
        blocking=True,
    )


def pause(site: Site, scope: str, reason: str, since: float) -> Problem:
    """What Klaviyo refuses and what to do about it. ``since`` in epoch seconds."""
    title, blocking, missing = _PAUSES.get(scope, (f"Klaviyo refuses: {scope}", True, ""))
    if scope == EVERYTHING:
        advice = (
            f"Check in Klaviyo (Settings, API keys) that the private key still exists, put a valid one into"
            f" {key_setting(site)} and restart the relay."
        )
    else:
        needed = f" with the scope {missing}" if missing else ""
        advice = (
            f"In Klaviyo (Settings, API keys) create a private key{needed}, put it into {key_setting(site)} and restart"
            " the relay."
        )
    if blocking:
        advice += " Nothing is lost: deliveries wait and Klaviyo is asked again every minute."
    else:
        advice += (
            " Events are sent all the same; only shoppers who come through a link of a Klaviyo message are told"
            " apart less well."
        )
    return Problem(title=title, advice=advice, blocking=blocking, scope=scope, reason=reason, since=since)


def retrying(n: int, error: str) -> Problem:
    """Klaviyo answers with errors of its own, asks to slow down, or does not answer."""
    some = "One delivery is" if n == 1 else f"{n:,} deliveries are"
    return Problem(
        title=f"{some} being tried again",
        advice=(
            "Klaviyo did not take the last try. There is nothing to do: each is tried again, at growing intervals,"
            " for three days. If it lasts, look at status.klaviyo.com and at the relay's way out to the internet."
        ),
        blocking=False,
        reason=error,
    )
