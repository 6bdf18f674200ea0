"""What a call asks of a profile's properties beyond setting them: to clear some, to add to lists or take away. Pure.

Klaviyo's own attributes are cleared by a null, custom properties by ``meta.patch_properties``. Identifiers are neither:
clearing one would take the profile from its person. What has been set again meanwhile is not cleared.
"""

from typing import Any

from relay.klaviyo.limits import OWN, Trimmer
from relay.klaviyo.traits import IDENTIFIERS, attributes_of
from relay.model import ProfilePatch


def apply(profile: dict[str, Any], patch: ProfilePatch, traits: dict[str, Any], trimmer: Trimmer) -> None:
    """Write ``patch`` into a profile resource of Klaviyo's whose attributes are filled from ``traits``."""
    changes: dict[str, Any] = {}
    for operation, wanted in (("append", patch.append), ("unappend", patch.unappend)):
        found = {
            trimmer.text(name): value
            for name, raw in wanted.items()
            if _is_custom(name) and not attributes_of(name) and (value := simple(raw, trimmer)) is not None
        }
        if found:
            changes[operation] = found
    appended = changes.get("append", {})
    gone = [name for name in patch.unset if traits.get(name) in (None, "") and name not in appended]
    _clear(profile["attributes"], [path for name in gone for path in attributes_of(name)])
    if unset := [trimmer.text(name) for name in gone if _is_custom(name) and not attributes_of(name)]:
        changes["unset"] = list(dict.fromkeys(unset))
    if changes:
        profile["meta"] = {"patch_properties": changes}


def simple(raw: Any, trimmer: Trimmer) -> Any:
    """Return a text, number or truth value, or a list of nothing but such, as Klaviyo appends them; else None."""
    values = raw if isinstance(raw, list) else [raw]
    if any(isinstance(value, dict | list) for value in values):
        return None
    return trimmer.value(raw)


def _is_custom(name: str) -> bool:
    return bool(name) and name not in IDENTIFIERS and not name.startswith(("$", OWN))


def _clear(attributes: dict[str, Any], paths: list[tuple[str, ...]]) -> None:
    for path in paths:
        holder = attributes
        if len(path) == 2:
            holder = attributes.setdefault(path[0], {})
        holder.setdefault(path[-1], None)
