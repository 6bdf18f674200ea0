"""What of a minute's calls is left, as Klaviyo tells with every answer, and how fast it may be used. Pure.

Others spend the account's calls too: the shop's other integrations, scripts, another relay. Klaviyo's headers
describe the steady window, which is fixed and a minute long: ``RateLimit-Limit`` calls, of which
``RateLimit-Remaining`` are left. Not every answer says when it ends (``RateLimit-Reset``); then it shows in the calls
that are left: they can only become more when a new one has begun.
"""

from msgspec import Struct

from relay.klaviyo.answer import Left

WINDOW_SECONDS = 60.0
#: Answers overtake each other, and those under way are counted by Klaviyo before they are by us: so many calls, or this
#: share of the limit, say nothing.
SLACK_CALLS, SLACK_SHARE = 2, 0.02
#: However much others take: this share of an even use of what is left is ours, so that nothing stands still.
FLOOR = 0.02


def pace(left: float, seconds: float, others: float) -> float:
    """Calls a second, when ``left`` may be made in ``seconds`` of which others make ``others`` a second."""
    even = left / max(seconds, 0.1)
    return max(even - others, even * FLOOR)


class Seen(Struct):
    """One steady window as its answers have shown it. Times in seconds of one clock that nobody sets."""

    since: float
    ends: float
    top: int  #: calls left when it was first seen
    left: int
    before: float = 0.0  #: calls a second that others have made in the window before
    ours: int = 0  #: answers of ours since then

    def others(self, now: float, slack: float) -> float:
        """Calls a second that somebody else has made since it was first seen."""
        unexplained = self.top - self.left - self.ours
        return unexplained / max(1.0, now - self.since) if unexplained > slack else 0.0

    def pace(self, now: float, slack: float) -> float:
        """Calls a second from now on. Others are taken to go on as they did, and a little is left for misjudgement."""
        others = max(self.before, self.others(now, slack))
        return pace(self.left - slack if others else self.left, self.ends - now, others)


class Quota:
    """What is known of one endpoint's steady window, and when the next call to it may go."""

    def __init__(self) -> None:
        self._seen: Seen | None = None
        self._slack = 0.0
        self._last = float("-inf")

    def hear(self, left: Left, now: float) -> None:
        """Take in what an answer says of the window."""
        self._slack = max(SLACK_CALLS, left.limit * SLACK_SHARE)
        seen = self._seen
        if seen is None or now >= seen.ends or left.remaining > seen.left + self._slack:
            before = 0.0 if seen is None else seen.others(min(now, seen.ends), self._slack)
            self._seen = seen = Seen(now, now + WINDOW_SECONDS, left.remaining, left.remaining, before)
        else:
            seen.left = min(seen.left, left.remaining)
            seen.ours += 1
        if left.reset is not None:
            seen.ends = min(seen.ends, now + left.reset)

    def wait(self, now: float) -> float:
        """Seconds until a call may go, as far as others' use of the account is concerned."""
        seen = self._seen
        if seen is None or now >= seen.ends:
            return 0.0
        calls = seen.pace(now, self._slack)
        return (min(self._last + 1.0 / calls, seen.ends) if calls > 0 else seen.ends) - now

    def go(self, now: float) -> None:
        """A call goes."""
        self._last = now
