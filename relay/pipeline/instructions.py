"""What a call asks of Klaviyo beyond its event: lists, subscriptions, changes of a profile, or to be left alone. Pure.

Read are the words of RudderStack's and Segment's calls, and nothing is changed in the message:

| where                                        | what                                                            |
|----------------------------------------------|-----------------------------------------------------------------|
| ``integrations.{All, Klaviyo}`` false        | the call is not for Klaviyo; ``Klaviyo: true`` outdoes ``All``  |
| ``integrations.Klaviyo.listId``              | of an identify call: the person joins that list                 |
| ``integrations.Klaviyo.fieldsTo{Unset, ...}``| properties to clear, to append to, to take away from            |
| ``traits.properties`` or ``traits``          | of an identify call: ``listId``, and what ``optin`` reads       |
| ``groupId`` and the traits of a group call   | the list, and what ``optin`` reads                              |
| ``context.personas``                         | a Segment audience: its list is joined by true, left by false   |

Who subscribes joins the list by that, after its opt-in, and is not put on it besides.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from relay.config import LIST_ID
from relay.identity.claims import Claims
from relay.klaviyo.traits import spellings
from relay.model import Message, ProfilePatch, SubscriptionChange, Trust
from relay.pipeline import optin, values

#: What Klaviyo is called among the integrations, without case, spaces and brackets.
_KLAVIYO = frozenset({"klaviyo", "actionsklaviyo", "klaviyoactions"})
_ALL = "all"
#: The form of every list ID seen. A group may be a company: only what looks like a list is joined for being named.
_LOOKS_LIKE_A_LIST = r"[A-Za-z0-9]{6}"


class Instructions(Struct, frozen=True, kw_only=True):
    """What the call asks for. ``notes`` names what could not be read, for the books."""

    is_for_klaviyo: bool = True
    patch: ProfilePatch | None = None
    joins: str | None = None  #: a list's ID
    leaves: str | None = None
    subscribe: SubscriptionChange | None = None
    is_dated: bool = False  #: the call says when the person has agreed
    unsubscribe: SubscriptionChange | None = None
    is_membership: bool = False  #: a call about an audience: no event of the shop's
    notes: tuple[str, ...] = ()


def instructions(
    message: Message,
    claims: Claims,
    trust: Trust,
    default_list: str | None,
    default_channels: tuple[str, ...] = ("email",),
) -> Instructions:
    """Read ``message``. ``default_list`` is the list of those who subscribe without naming one, ``default_channels``
    what they subscribe to when they name no channel."""
    if trust is Trust.KLAVIYO:
        return Instructions()
    options = _options(message.integrations)
    if options is None:
        return Instructions(is_for_klaviyo=False)
    patch, notes = _patch(message, options, trust)
    audience = _audience(message) if trust is Trust.SERVER else None
    if audience is not None:
        return _membership(message, audience, options, patch, notes)
    list_id, is_list_wanted = _list(message, options, notes)
    found = optin.wish(said(message), list_id, message, claims, trust, default_channels)
    subscribe = unsubscribe = None
    if found.change is not None and found.subscribes:
        subscribe = msgspec.structs.replace(found.change, list_id=list_id or default_list)
    elif found.change is not None:
        unsubscribe = found.change
    return Instructions(
        patch=patch,
        joins=list_id if is_list_wanted and not found.is_said else None,
        subscribe=subscribe,
        is_dated=found.is_dated,
        unsubscribe=unsubscribe,
        notes=(*notes, *found.notes),
    )


def of_the_person(traits: dict[str, Any], patch: ProfilePatch | None) -> dict[str, Any]:
    """Return the traits that are to be remembered: without instructions, and with an empty text, which says nothing, in
    the place of those that ``patch`` clears or makes other at Klaviyo than they are here."""
    told = _without_words(traits)
    told.pop(optin.MEMORY, None)
    if isinstance(nested := told.get("properties"), dict):
        told["properties"] = _without_words(nested) or None
    if patch is not None:
        for name in (*patch.unset, *patch.append, *patch.unappend):
            told |= dict.fromkeys(spellings(name), "")
    return told


def _without_words(traits: dict[str, Any]) -> dict[str, Any]:
    """Drop the words of ``optin`` where they are meant as such: ``consent`` alone may be a property of the shop's."""
    if not {"subscribe", "listId", "list_id"} & traits.keys():
        return dict(traits)
    return {name: value for name, value in traits.items() if name not in optin.WORDS}


def _options(integrations: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What is said to Klaviyo's integration, None when the call is not for it."""
    every = own = None
    for name, value in integrations.items():
        folded = _folded(name)
        if folded == _ALL:
            every = value
        elif folded in _KLAVIYO and own is None:
            own = value
    if isinstance(own, dict):
        return own
    if _is_off(own) or (_is_off(every) and own is not True):
        return None
    return {}


def is_switch(integration: str) -> bool:
    """Whether what stands under this name is about Klaviyo, or about all."""
    return _folded(integration) in (_ALL, *_KLAVIYO)


def _folded(integration: str) -> str:
    return re.sub(r"[^a-z]", "", integration.lower())


def _is_off(switch: Any) -> bool:
    # Here the text counts too: who wrote it did not want the call to go out.
    return switch is False or (isinstance(switch, str) and switch.strip().lower() == "false")


def said(message: Message) -> Mapping[str, Any]:
    """The traits that may hold words about subscriptions; RudderStack nests them in ``properties``."""
    if message.type not in ("identify", "group"):
        return {}
    nested = message.traits.get("properties")
    return {**message.traits, **nested} if isinstance(nested, dict) else message.traits


def _list(message: Message, options: Mapping[str, Any], notes: list[str]) -> tuple[str | None, bool]:
    """The list a call is about, and whether its person is to join it."""
    if message.type == "group":
        list_id = _list_id(message.group_id, notes)
        return list_id, list_id is not None and re.fullmatch(_LOOKS_LIKE_A_LIST, list_id) is not None
    if message.type != "identify":
        return None, False
    traits = said(message)
    named = traits.get("listId", traits.get("list_id"))
    list_id = _list_id(options.get("listId") if named is None else named, notes)
    return list_id, list_id is not None


def _list_id(raw: Any, notes: list[str]) -> str | None:
    if raw is None:
        return None
    found = values.text(raw)
    if found is None or not re.fullmatch(LIST_ID, found):
        notes.append("unreadable_list")
        return None
    return found


def _patch(message: Message, options: Mapping[str, Any], trust: Trust) -> tuple[ProfilePatch | None, list[str]]:
    """The changes of a profile. A browser's are heard in identify calls, where it describes its person."""
    names = ("fieldsToAppend", "fieldsToUnappend", "fieldsToUnset")
    if (message.type != "identify" and trust is not Trust.SERVER) or not any(options.get(name) for name in names):
        return None, []
    notes: list[str] = []
    context = message.context.get("traits")
    traits = message.traits if message.type == "identify" else context if isinstance(context, dict) else {}
    patch = ProfilePatch(
        append=_values(options.get("fieldsToAppend"), traits, notes),
        unappend=_values(options.get("fieldsToUnappend"), traits, notes),
        unset=_names(options.get("fieldsToUnset"), notes),
    )
    return (patch if patch != ProfilePatch() else None), notes


def _values(raw: Any, traits: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """RudderStack lists names of traits; an object may say the values itself."""
    wanted = raw if isinstance(raw, dict) else {name: traits.get(name) for name in _names(raw, notes)}
    found = {name: value for name, value in wanted.items() if name and value is not None}
    if len(found) < len(wanted):
        notes.append("unreadable_patch")
    return found


def _names(raw: Any, notes: list[str]) -> tuple[str, ...]:
    every = [] if raw is None else raw if isinstance(raw, list) else [raw]
    found = tuple(dict.fromkeys(name for one in every if (name := values.text(one)) is not None))
    if any(values.text(one) is None for one in every):
        notes.append("unreadable_patch")
    return found


def _audience(message: Message) -> Mapping[str, Any] | None:
    for name in ("personas", "audience"):
        found = message.context.get(name)
        if isinstance(found, dict) and found.get("computation_class") == "audience":
            return found
    return None


def _membership(
    message: Message,
    audience: Mapping[str, Any],
    options: Mapping[str, Any],
    patch: ProfilePatch | None,
    notes: list[str],
) -> Instructions:
    """An audience's member comes or goes: a truth value under the audience's key, or the name of Segment's event."""
    list_id = _list_id(audience.get("external_audience_id") or options.get("listId"), notes)
    holder = message.properties if message.type == "track" else message.traits
    is_member = holder.get(str(audience.get("computation_key")))
    if is_member is None and message.type == "track":
        is_member = {"audience entered": True, "audience exited": False}.get((message.event or "").lower())
    readable = isinstance(is_member, bool) and list_id is not None
    return Instructions(
        patch=patch,
        joins=list_id if readable and is_member else None,
        leaves=list_id if readable and not is_member else None,
        is_membership=True,
        notes=(*notes, *(() if readable else ("unreadable_audience",))),
    )
