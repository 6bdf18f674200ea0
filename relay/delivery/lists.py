"""People on their way onto a list and off it. Being on a list is no consent: subscriptions are told apart."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from relay.config import Site
from relay.delivery import members
from relay.delivery.pace import Traffic
from relay.delivery.policy import is_refused
from relay.delivery.profiles import Profiles
from relay.delivery.sent import Sent, proof, recipient, skipped
from relay.klaviyo import lists, mapping
from relay.klaviyo.answer import Answer
from relay.klaviyo.client import Body, KlaviyoClient
from relay.klaviyo.endpoints import Endpoint
from relay.model import ListChange, Reason
from relay.store.rows import Claimed

Call = Callable[[str, Body], Awaitable[Answer]]


class Lists:
    """Changes the lists of one site's account."""

    def __init__(self, site: Site, client: KlaviyoClient, traffic: Traffic, profiles: Profiles) -> None:
        self._site = site
        self._client = client
        self._traffic = traffic
        self._profiles = profiles

    async def add(self, batch: Sequence[Claimed]) -> list[Sent]:
        """Put people on lists; who has no profile gets one, where the site makes any."""
        ids = {index: whom.klaviyo_id for index, d in enumerate(batch) if (whom := recipient(d)).klaviyo_id}
        sent: dict[int, Sent] = {}
        others = [index for index in range(len(batch)) if index not in ids]
        if others and not self._traffic.lacks_scope(Endpoint.GET_PROFILES):
            known = await members.find(self._client, [batch[index] for index in others])
            ids |= {others[place]: profiles[0].klaviyo_id for place, profiles in known.found.items()}
            for place, unasked in known.unasked.items():
                # Without the scope to read profiles the import tells who they are.
                if unasked.answer.status != 403 or not self._site.create_profiles:
                    sent[others[place]] = unasked
        for index in others:
            if index in ids or index in sent:
                continue
            if not self._site.create_profiles:
                sent[index] = skipped(Reason.CREATION_DISABLED)
                continue
            made = await self._import(batch[index])
            if (klaviyo_id := _id_of(made.answer)) is None:
                sent[index] = made
            else:
                ids[index] = klaviyo_id
        return await self._change(batch, ids, sent, self._client.add_to_list)

    async def remove(self, batch: Sequence[Claimed]) -> list[Sent]:
        """Take people off lists; who has no profile is on none."""
        known = await members.find(self._client, batch)
        ids = {index: profiles[0].klaviyo_id for index, profiles in known.found.items()}
        unknown = {index: skipped(Reason.NOT_A_MEMBER) for index in range(len(batch)) if index not in ids}
        sent = unknown | known.unasked
        return await self._change(batch, ids, sent, self._client.remove_from_list)

    async def _change(
        self, batch: Sequence[Claimed], ids: dict[int, str], sent: dict[int, Sent], call: Call
    ) -> list[Sent]:
        """One call for each list and thousand members."""
        sent = dict(sent)
        lists_of = {index: msgspec.json.decode(batch[index].payload or "{}", type=ListChange).list_id for index in ids}
        for list_id, indexes in members.groups(list(ids), lists_of.__getitem__).items():
            for some in members.chunks(indexes, lists.MAX_MEMBERS):
                sent |= await self._call(list_id, {index: ids[index] for index in some}, call)
        return [sent[index] for index in range(len(batch))]

    async def _call(self, list_id: str, ids: dict[int, str], call: Call) -> dict[int, Sent]:
        body = lists.add_body(list(ids.values()))
        answer = await call(list_id, body)
        pointed = lists.pointed(body, answer.pointers)
        rest = {index: klaviyo_id for index, klaviyo_id in ids.items() if klaviyo_id not in pointed}
        sent = {index: Sent(answer=answer) for index in ids}
        if answer.status == 400 and not pointed and len(ids) > 1:
            whole = list(ids)  # it does not say who: half of them at a time
            for half in (whole[: len(whole) // 2], whole[len(whole) // 2 :]):
                sent |= await self._call(list_id, {index: ids[index] for index in half}, call)
        elif is_refused(answer) and pointed and rest:
            # Klaviyo names those it does not have: the others go without them.
            sent |= await self._call(list_id, rest, call)
        return sent

    async def _import(self, delivery: Claimed) -> Sent:
        def call(narrowed: Claimed) -> Awaitable[Answer]:
            whom = msgspec.structs.replace(recipient(narrowed), traits={})
            return self._client.import_profile(mapping.profile_body(whom, proof(narrowed)))

        return await self._profiles.with_narrowed(delivery, call)


def _id_of(answer: Answer) -> str | None:
    try:
        found: Any = answer.document["data"]["id"]
    except (LookupError, TypeError):
        return None
    return found if answer.is_good and isinstance(found, str) else None
