"""The property that puts a person's link token onto their profile, where the site asks for one."""

from relay.clock import Clock
from relay.config import Site
from relay.identity.link_token import LinkTokens
from relay.store.rows import Claimed


class LinkProperty:
    """Makes the property of one site's profiles."""

    def __init__(self, site: Site, links: LinkTokens | None, clock: Clock) -> None:
        """Without ``links`` no profile gets a token."""
        self._name = site.link_property
        self._links = links
        self._clock = clock

    def of(self, delivery: Claimed) -> dict[str, str]:
        """The property by its name; nothing where the site has none, nobody is known, or the profile is another's: who
        opens a mail there would be taken for the person."""
        if self._name is None or self._links is None or delivery.person_id is None or not delivery.is_own:
            return {}
        return {self._name: self._links.token(delivery.person_id, self._clock.now())}
