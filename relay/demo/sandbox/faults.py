"""Scripted answers: what a test wants the next requests to meet.

A script is consumed by the next matching requests, in the order in which scripts were given.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct, structs

from relay.demo.sandbox import answers
from relay.demo.sandbox.answers import Refused, invalid
from relay.demo.sandbox.bodies import pointer


class Script(Struct, forbid_unknown_fields=True, kw_only=True):
    """One scripted answer.

    ``path`` is exact, or ends in ``*``; ``method`` None means any; ``body_contains`` is met only by requests whose
    raw body has this text in it. ``times`` requests meet it. ``status`` None lets the ordinary answer through (for a
    mere delay). ``after_effect`` does the work first and then loses the answer: with ``status`` the caller gets that
    status, with ``reset`` the connection closes unanswered. ``reset_after_bytes`` sends the answer's head and that
    many bytes of its body, and then closes: of the ordinary answer, or of the one with ``status``.

    A refusal points at ``pointer``; with ``points_at_text`` instead at every place of the JSON body that has
    ``body_contains`` in it, one error each.
    """

    path: str
    method: str | None = None
    body_contains: str | None = None
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = {}
    body: Any = None
    pointer: str | None = None
    points_at_text: bool = False
    after_effect: bool = False
    delay_seconds: float = 0
    reset: bool = False
    reset_after_bytes: int | None = None

    def refusal(self, status: int, raw: bytes) -> Refused:
        """What to answer to this body."""
        refused = answers.of_status(status)
        pointers = [self.pointer] if self.pointer else []
        if self.points_at_text and self.body_contains:
            pointers = places(self.body_contains, raw)
        if not pointers:
            return refused
        (fault,) = refused.faults
        told = [structs.replace(fault, pointer=pointer) for pointer in pointers]
        return Refused(status, *told, headers=refused.headers)


class Scripts:
    """The scripts that wait for their requests."""

    def __init__(self) -> None:
        self._waiting: list[Script] = []
        self._released = asyncio.Event()

    def reset(self) -> None:
        """Forget every script; answers that are held back go on at once."""
        self._waiting.clear()
        self._released.set()
        self._released = asyncio.Event()

    async def delay(self, seconds: float) -> None:
        """Hold an answer back, until a reset at the longest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._released.wait()

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

    def take(self, method: str, path: str, raw: bytes) -> Script | None:
        """The first script this request meets, with one of its times used up."""
        for script in self._waiting:
            if script.method not in (None, method) or not _matches(script.path, path):
                continue
            if script.body_contains is not None and script.body_contains.encode() not in raw:
                continue
            script.times -= 1
            if script.times == 0:
                self._waiting.remove(script)
            return script
        return None

    def waiting(self) -> list[Script]:
        """Scripts that no request has used up yet: a test can see that its fault was really met."""
        return list(self._waiting)


def places(text: str, raw: bytes) -> list[str]:
    """JSON pointers to the strings of a body that have ``text`` in them; none for a body that is no JSON."""

    def inside(value: Any, where: str) -> Iterator[str]:
        if isinstance(value, str) and text in value:
            yield where
        elif isinstance(value, dict | list):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                yield from inside(item, where + pointer(key))

    try:
        return list(inside(msgspec.json.decode(raw), ""))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


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
    if script.body_contains == "":
        problems.append(invalid("body_contains may not be empty", "/body_contains"))
    if script.points_at_text and script.body_contains is None:
        problems.append(invalid("points_at_text needs body_contains", "/points_at_text"))
    if (script.pointer or script.points_at_text) and (script.status is None or script.status < 400):
        problems.append(invalid("a pointer needs a status of 400 or more", "/status"))
    if script.reset_after_bytes is not None and (script.reset_after_bytes < 0 or script.reset):
        problems.append(invalid("reset_after_bytes must be at least 0 and goes without reset", "/reset_after_bytes"))
    if problems:
        raise problems[0]
