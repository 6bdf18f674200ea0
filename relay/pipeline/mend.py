"""Damaged JSON that real callers send, made readable so that nothing is lost beside the damage.

- A lone surrogate (a title cut in the middle of an emoji) or a broken UTF-8 byte becomes U+FFFD.
- A byte order mark at the beginning goes.
- ``NaN`` and ``Infinity`` (Python's json.dumps writes them) become null.
- A message nested too deep for any decoder is replaced by a marker, so that its neighbours are kept.

Only called when the fast decoder has refused a body; linear in its size.
"""

import re

#: Far above any real event (Klaviyo takes 10), far below what exhausts a decoder.
MAX_DEPTH = 100
#: Stands where a message was nested deeper than MAX_DEPTH. No message of the Segment spec can be this.
TOO_DEEP = b'"\\u0000too deep"'

#: A string, or what is left of one that never ends: that the pattern always matches at a quote keeps it linear.
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rf"(?P<pair>{_HIGH}{_LOW})|(?P<lone>{_HIGH}|{_LOW})|\\.", re.DOTALL)
_NO_NUMBER = re.compile(rf"{_STRING}|(?P<no_number>-?\b(?:NaN|Infinity)\b)", re.DOTALL)
_BRACKET = re.compile(rf"{_STRING}|[\[\]{{}}]".encode(), re.DOTALL)


def mend(body: bytes, *, message_level: int) -> bytes:
    """``body`` made readable. ``message_level`` is how deep messages begin: 1 a single call, 3 in a batch."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    text = _ESCAPE.sub(lambda escape: "\\ufffd" if escape["lone"] else escape[0], text)
    text = _NO_NUMBER.sub(lambda token: "null" if token["no_number"] else token[0], text)
    return _cut_deep_messages(text.encode(), message_level)


def is_too_deep(message: bytes) -> bool:
    """Whether ``message`` is nested deeper than MAX_DEPTH. The count spares nearly all messages the scan."""
    if message.count(b"{") + message.count(b"[") <= MAX_DEPTH:
        return False
    depth = 0
    for token in _BRACKET.finditer(message):
        if token[0] in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif token[0] in (b"]", b"}"):
            depth -= 1
    return False


def _cut_deep_messages(body: bytes, message_level: int) -> bytes:
    parts: list[bytes] = []
    kept_to = start = depth = deepest = 0
    for token in _BRACKET.finditer(body):
        if token[0] in (b"[", b"{"):
            depth += 1
            if depth == message_level:
                start, deepest = token.start(), depth
            deepest = max(deepest, depth)
        elif token[0] in (b"]", b"}"):
            if depth == message_level and deepest - message_level >= MAX_DEPTH:
                parts += [body[kept_to:start], TOO_DEEP]
                kept_to = token.end()
            depth -= 1
    return b"".join([*parts, body[kept_to:]])
