"""How many metrics a shop may make at Klaviyo: an account holds 200, and a name once made stays. Pure.

The relay's own names are always let through. A name of the shop's own making must be on its list, if it has one, and
comes into being only while there is room. The room is what Klaviyo allows less a reserve for the metrics of Klaviyo
itself (about 40 for e-mail, SMS, push, forms and reviews) and of the shop's own integration (about 15): a key that only
writes events cannot count them.
"""

from relay.klaviyo.mapping import STANDARD_METRICS
from relay.model import Reason

#: Per account (Klaviyo's help centre, on metrics).
MOST = 200
RESERVE = 60
ROOM = MOST - RESERVE
#: From here on every new name is worth a warning.
NEARLY = 0.8


def refusal(name: str, *, is_known: bool, n: int, allowed: frozenset[str] | None) -> Reason | None:
    """Why there may be no metric of this name; None if there may. ``n`` names have been made so far."""
    if name in STANDARD_METRICS:
        return None
    if allowed is not None and name not in allowed:
        return Reason.METRIC_NOT_ALLOWED
    return Reason.METRIC_LIMIT if not is_known and n >= ROOM else None


def is_nearly_full(n: int) -> bool:
    """Whether ``n`` names leave little room."""
    return n > ROOM * NEARLY
