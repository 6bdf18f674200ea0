"""Profiles on their way, and a site's word on which profiles may be made or changed at all."""

import logging
from collections.abc import Awaitable, Callable

import msgspec

from relay.config import Site
from relay.delivery.link_property import LinkProperty
from relay.delivery.pace import Traffic
from relay.delivery.sent import Sent, proof, recipient, skipped
from relay.klaviyo import mapping
from relay.klaviyo.answer import Answer, found, property_of
from relay.klaviyo.client import KlaviyoClient
from relay.klaviyo.endpoints import Endpoint
from relay.klaviyo.profiles import APPENDED
from relay.model import ProfilePatch, Reason, Recipient
from relay.store.rows import Claimed

log = logging.getLogger("relay.delivery")

#: Profiles remembered as being there, so that a shopper's tenth event asks nothing. They do not vanish by themselves.
MOST_REMEMBERED = 50_000

#: By which field of theirs profiles are looked for, the strongest first.
_FIELDS = (
    ("id", "klaviyo_id"),
    ("email", "email"),
    ("phone_number", "phone_number"),
    ("external_id", "external_id"),
)


class Profiles:
    """Sends the profile changes of one site."""

    def __init__(self, site: Site, client: KlaviyoClient, traffic: Traffic, link_property: LinkProperty) -> None:
        self._site = site
        self._link_property = link_property
        self._client = client
        self._traffic = traffic
        self._there: set[str] = set()

    async def send(self, delivery: Claimed) -> Sent:
        """Create or update a profile, as far as the site allows."""
        whom = recipient(delivery)
        if not self._site.update_profiles:
            if not self._site.create_profiles:
                return skipped(Reason.UPDATE_DISABLED)
            is_there, answer = await self._exists(whom)
            if is_there:
                return skipped(Reason.UPDATE_DISABLED)
            if is_there is None:
                return Sent(answer=answer)
        elif (stopped := await self.may_file(whom)) is not None:
            return stopped
        patch = msgspec.json.decode(delivery.payload, type=ProfilePatch) if delivery.payload else ProfilePatch()
        is_unsure = False
        if patch.append and not delivery.is_first:
            is_there, answer = await self._has_appended(whom, delivery.unique_id)
            is_unsure = is_there is None
            if is_unsure and answer.status != 403:
                return Sent(answer=answer)
            if is_there or (is_unsure and delivery.attempts > 1):
                patch = msgspec.structs.replace(patch, append={})

        def call(narrowed: Claimed) -> Awaitable[Answer]:
            body = mapping.profile_body(
                recipient(narrowed),
                proof(narrowed),
                last_seen=narrowed.occurred_at,
                patch=patch,
                flatten=self._site.flatten_properties,
                link=self._link_property.of(narrowed),
                change=delivery.unique_id,
            )
            return self._client.import_profile(body)

        sent = await self.with_narrowed(delivery, call)
        if is_unsure and not patch.append and sent.answer.is_good:
            log.warning(
                "what was to be appended may be there already and was not sent again",
                extra={"site": self._site.site_id},
            )
            return Sent(answer=msgspec.structs.replace(sent.answer, error="append_unknown"))
        return sent

    async def _has_appended(self, whom: Recipient, change: str) -> tuple[bool | None, Answer]:
        """Whether an earlier try of ``change``, whose answer is not known, has reached the profile.

        Of one person's changes one is under way at a time, so the latest that appended is named on the profile. None:
        Klaviyo has not answered, or does not say (403) since the key may not read or the person has no field to be
        found by.
        """
        fields = [(field, value) for field, name in _FIELDS if (value := getattr(whom, name))]
        if not fields or self._traffic.lacks_scope(Endpoint.GET_PROFILES):
            return None, Answer(status=403, was_sent=False)
        for field, value in fields:
            answer = await self._client.find_profiles(field, [value])
            if not answer.is_good:
                return None, answer
            if property_of(answer, APPENDED) == change:
                return True, answer
        return False, Answer(status=200)

    async def may_file(self, whom: Recipient) -> Sent | None:
        """None when something may be filed under this person; otherwise how the delivery ends.

        Filing makes a profile where there is none, so a site that makes none has Klaviyo asked first.
        """
        if self._site.create_profiles:
            return None
        is_there, answer = await self._exists(whom)
        if is_there is None:
            return Sent(answer=answer)
        return None if is_there else skipped(Reason.CREATION_DISABLED)

    async def with_narrowed(self, delivery: Claimed, call: Callable[[Claimed], Awaitable[Answer]]) -> Sent:
        """Make a call; when its identifiers belong to two profiles (409), once more by the strongest of them alone.

        Klaviyo would have to merge two persons to take both, and that is not ours to decide.
        """
        answer = await call(delivery)
        if answer.status == 409:
            whom = recipient(delivery)
            narrowed = mapping.narrow(whom)
            if narrowed != whom:
                answer = await call(msgspec.structs.replace(delivery, recipient=narrowed))
        return Sent(answer=answer)

    async def _exists(self, whom: Recipient) -> tuple[bool | None, Answer]:
        """Whether Klaviyo has a profile of this person; None when it has not answered."""
        fields = [(field, value) for field, name in _FIELDS if (value := getattr(whom, name))]
        for field, value in fields or ([("_kx", whom.kx)] if whom.kx else []):
            if f"{field}:{value}" in self._there:
                return True, Answer(status=200)
            if field == "_kx":
                answer = await self._client.look_up(value)
            else:
                answer = await self._client.find_profiles(field, [value])
            if not answer.is_good:
                return None, answer
            if found(answer) is not None:
                if len(self._there) >= MOST_REMEMBERED:
                    self._there.clear()
                self._there.add(f"{field}:{value}")
                return True, answer
        return False, Answer(status=200)
