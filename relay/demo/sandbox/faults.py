"""Scripted answers: what a test wants the next requests to meet.

A script is consumed by the next matching requests, in the order in which scripts were given.
"""

from typing import Any

import msgspec
from msgspec import Struct

from relay.demo.sandbox.answers import Refused, invalid


class Script(Struct, forbid_unknown_fields=True, kw_only=True):
    """One scripted answer.

    ``path`` is exact, or ends in ``*``; ``method`` None means any. ``times`` requests meet it. ``status`` None
    lets the ordinary answer through (for a mere delay). ``after_effect`` does the work first and then loses
    the answer: with ``status`` the caller gets that status, with ``reset`` the connection closes unanswered.
    """

    path: str
    method: str | None = None
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = {}
    body: Any = None
    after_effect: bool = False
    delay_seconds: float = 0
    reset: bool = False


class Scripts:
    """The scripts that wait for their requests."""

    def __init__(self) -> None:
        self._waiting: list[Script] = []

    def reset(self) -> None:
        self._waiting.clear()

    def add(self, raw: bytes) -> int:
        """Queue a JSON list of scripts (or one); returns how many wait now. ``Refused`` (400) if it does not fit."""
        try:
            given = msgspec.json.decode(raw)
            scripts = msgspec.convert(given if isinstance(given, list) else [given], list[Script])
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise invalid(str(error)) from None
        for script in scripts:
            _check(script)
        self._waiting.extend(scripts)
        return len(self._waiting)

    def take(self, method: str, path: str) -> Script | None:
        """The first script this request meets, with one of its times used up."""
        for script in self._waiting:
            if script.method not in (None, method) or not _matches(script.path, path):
                continue
            script.times -= 1
            if script.times == 0:
                self._waiting.remove(script)
            return script
        return None

    def waiting(self) -> list[Script]:
        """Scripts that no request has used up yet: a test can see that its fault was really met."""
        return list(self._waiting)


def _matches(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern.rstrip("/")


def _check(script: Script) -> None:
    problems: list[Refused] = []
    if script.times < 1:
        problems.append(invalid("times must be at least 1", "/times"))
    if script.status is not None and not 200 <= script.status <= 599:
        problems.append(invalid("status must be between 200 and 599", "/status"))
    if script.after_effect and script.status is None and not script.reset:
        problems.append(invalid("after_effect needs a status or reset", "/after_effect"))
    if problems:
        raise problems[0]
