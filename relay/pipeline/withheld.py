"""What is kept of a call without permission: that there was one, and an unsubscription in it. Pure.

Whoever wants no more messages is heard whatever else they refuse, most of all then. So of such a call stay the words of
``optin`` that say so, and the address they are said of; nothing about the visit, and of no other call anything.
"""

from collections.abc import Collection, Mapping
from typing import Any

from relay.model import Message, Trust
from relay.pipeline import consent, instructions, optin

#: For whom a call speaks, and what it takes to read a phone number.
_WHOM = frozenset({"email", "phone", "phoneNumber", "phone_number", "country", "countryCode", "country_code"})
#: Where RudderStack's SDKs put those words, and where Segment's put the country.
_NESTED: tuple[tuple[str, Collection[str]], ...] = (("properties", optin.WORDS), ("address", _WHOM))


def wants_out(message: Message) -> bool:
    """Whether the call unsubscribes somebody."""
    return instructions.said(message).get("subscribe") is False


def remains(message: Message, trust: Trust) -> dict[str, Any]:
    """The body that the journal holds in the place of ``message``, a call whose consent forbids to keep it."""
    context = consent.bare(message.context)
    if not wants_out(message):
        return {"event": "withheld", "context": context}
    beside = _picked(message.context.get("traits"), _WHOM)
    body = {
        "event": "withheld",
        "context": context | ({"traits": beside} if beside else {}),
        "traits": _picked(message.traits, _WHOM | optin.WORDS)
        | {name: _picked(message.traits.get(name), names) for name, names in _NESTED if name in message.traits},
        "groupId": message.group_id,
        "integrations": {
            name: _picked(value, ("listId",)) if isinstance(value, dict) else value is not False and value != "false"
            for name, value in message.integrations.items()
            if instructions.is_switch(name)
        },
    }
    if trust is Trust.SERVER or (message.user_id is not None and "@" in message.user_id):
        body["userId"] = message.user_id  # a browser may name anybody's, and is not heard by it
    return body


def _picked(table: object, names: Collection[str]) -> dict[str, Any]:
    return {name: table[name] for name in names if name in table} if isinstance(table, Mapping) else {}
