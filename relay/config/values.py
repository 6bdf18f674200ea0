"""Reading a value where the operator wrote it: an error names that place and what was expected."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

from relay.config import keys
from relay.config.secret import Secret
from relay.errors import SettingsError

Choice = TypeVar("Choice", bound=StrEnum)

_WORDS = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}


class Values:
    """The values of one place: the environment, or a site's table over it.

    Every reader takes a setting's name without its prefix and raises SettingsError for what it cannot read.
    """

    def __init__(
        self, values: Mapping[str, str], *, site: str | None = None, table: Mapping[str, str] | None = None
    ) -> None:
        """``table`` holds the values of the file's table for ``site``: they go before ``values``."""
        self._values = {**values, **(table or {})}
        self._from_environment = values
        self._table = table or {}
        self._site = site

    def of_site(self, site_id: str, table: Mapping[str, str]) -> "Values":
        """The values of one of several sites. What belongs to one shop is no default for another."""
        shared = {k: v for k, v in self._values.items() if k.removeprefix("RELAY_") not in keys.OWN}
        return Values(shared, site=site_id, table=table)

    def key(self, name: str) -> str:
        """How the value is called where the operator wrote it."""
        key = f"RELAY_{name}"
        is_in_environment = key in self._from_environment and key not in self._table
        return key if self._site is None or is_in_environment else f"sites.{self._site}.{name.lower()}"

    def as_written(self, name: str, default: str) -> str:
        """The value with its spaces, and empty where it is empty."""
        return self._values.get(f"RELAY_{name}", default)

    def text(self, name: str) -> str | None:
        """The value without surrounding space; None when absent or blank."""
        return (self._values.get(f"RELAY_{name}") or "").strip() or None

    def required(self, name: str, expected: str) -> str:
        value = self.text(name)
        if value is None:
            raise SettingsError(self.key(name), f"is missing; expected {expected}")
        return value

    def number(self, name: str, default: float, *, low: float, high: float) -> float:
        value = self.text(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise SettingsError(self.key(name), f"expected a number from {low:g} to {high:g}, got {value!r}")
        return number

    def choice(self, name: str, default: Choice) -> Choice:
        value = self.text(name)
        if value is None:
            return default
        try:
            return type(default)(value.lower())
        except ValueError:
            names = ", ".join(type(default))
            raise SettingsError(self.key(name), f"expected one of {names}, got {value!r}") from None

    def switch(self, name: str, default: bool) -> bool:
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in _WORDS:
            raise SettingsError(self.key(name), f"expected on or off, got {value!r}")
        return _WORDS[value.lower()]

    def secret(self, name: str) -> Secret | None:
        value = self.text(name)
        return None if value is None else Secret(value)

    def header(self, name: str, expected: str) -> Secret | None:
        """A secret that is sent in an HTTP header, so of ASCII's visible characters. The error does not tell it."""
        value = self.text(name)
        if value and not re.fullmatch(r"[\x21-\x7e]+", value):
            raise SettingsError(
                self.key(name), f"expected {expected}, found a blank, a line break or a character that no key has"
            )
        return None if value is None else Secret(value)

    def matching(self, name: str, pattern: str, expected: str) -> str | None:
        """The value, which has the form of ``pattern`` as a whole."""
        value = self.text(name)
        if value and not re.fullmatch(pattern, value):
            raise SettingsError(self.key(name), f"expected {expected}, got {value!r}")
        return value

    def several(self, name: str) -> list[str]:
        """What stands between the commas, in the order it is written."""
        return [one.strip() for one in (self.text(name) or "").split(",") if one.strip()]

    def names(self, name: str) -> frozenset[str] | None:
        """Names of events: none of them for the word ``none``; None where nothing is said."""
        value = self.text(name)
        if value is None:
            return None
        names = frozenset(self.several(name))
        if not names:
            raise SettingsError(self.key(name), "expected names of events, comma separated, or none")
        return frozenset() if names == {"none"} else names

    def url(self, name: str, default: str) -> str:
        value = (self.text(name) or default).rstrip("/")
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise SettingsError(self.key(name), "expected a URL such as https://a.klaviyo.com")
        return value
