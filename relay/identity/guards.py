"""Guards against the wrong person: numbers beyond which a sign proves nothing. Pure; each number has its reason.

The classes of evidence are ``identity.evidence``'s, the rules that use these guards ``identity.resolve``'s.
"""

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher

from relay.identity.identifiers import IdentifierKind

DAY = 86400.0

#: So many persons who signed in, ordered or filled in a form in one browser within a day: a till, a kiosk, a call
#: centre. A household rarely has more than two who do so on the same day.
KIOSK_PERSONS = 3
KIOSK_SECONDS = DAY

#: More browsers than that opened links of one recipient's for the first time within a week, and the recipient has given
#: no sign in any of them: the mail has been passed on. A recipient's own are a telephone and a computer.
LINK_BROWSERS = 2
LINK_WINDOW_SECONDS = 7 * DAY
#: A link's sign fades: whose hands a browser is in by now is a guess when nothing else was heard for so long.
LINK_LIFE_SECONDS = 90 * DAY

#: Values of one kind that one person may have (Segment Unify: five, except for what never changes). Whoever has dozens
#: of addresses is a shop assistant, a test or a mistake of the shop's. Beyond it the new value is not taken: the least
#: telling identifier of the call is left out and the person looked for again (Unify's rule as well).
IDENTIFIER_LIMITS: Mapping[IdentifierKind, int] = {
    IdentifierKind.EMAIL: 5,
    IdentifierKind.KLAVIYO_ID: 5,
    IdentifierKind.CUSTOMER_ID: 5,
    IdentifierKind.PHONE: 5,
    IdentifierKind.KX: 50,
}

#: Persons one browser may claim to be within a day; and identifiers that one address (IPv6: one /64 network) may bring
#: within an hour to browsers that are not tied to their person yet, whether the relay has heard of them or not. An
#: office's or a carrier's shoppers stay far below; somebody who tries addresses out, guessed or stolen, does not.
CLAIMS_A_VISITOR = 10
CLAIMS_AN_ADDRESS = 500
CLAIM_WINDOW_SECONDS = 3600.0

#: New browsers of one person within a week that somebody should look at: a leaked link or an identifier of many.
ALARM_BROWSERS = 20
ALARM_WINDOW_SECONDS = 7 * DAY


def is_kiosk(persons_of_the_day: int) -> bool:
    """Whether a browser serves so many persons that what is done anonymously there is anybody's."""
    return persons_of_the_day >= KIOSK_PERSONS


def is_passed_on(first_opened_at: Iterable[float]) -> bool:
    """Whether a recipient's links have been opened by too many browsers, each of which opened its first at these times.

    Once it has happened it stays: which of them is the recipient's nobody can tell any more.
    """
    times = sorted(first_opened_at)
    return any(
        later - earlier <= LINK_WINDOW_SECONDS for earlier, later in zip(times, times[LINK_BROWSERS:], strict=False)
    )


def is_correction(typed: str, corrected: str) -> bool:
    """Whether one address is the other with a slip of the finger: the same mailbox or the same host, nearly alike.

    0.85 is one wrong, missing or swapped character in an address of eight or more.
    """
    (name, _, host), (other_name, _, other_host) = typed.rpartition("@"), corrected.rpartition("@")
    alike = SequenceMatcher(None, typed, corrected).ratio() >= 0.85
    return typed != corrected and alike and (name == other_name or host == other_host)


def has_room(kind: IdentifierKind, held: int, limits: Mapping[str, int] | None = None) -> bool:
    """Whether a person who has ``held`` values of a kind may get another."""
    return held < limit(kind, limits)


def limit(kind: IdentifierKind, limits: Mapping[str, int] | None = None) -> int:
    """How many values of a kind one person may have. Of exchange IDs the newest stay: the oldest gives way, since
    Klaviyo makes another for every message and the newest is the one that works."""
    return (limits or {}).get(kind, IDENTIFIER_LIMITS[kind])
