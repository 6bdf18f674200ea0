"""Reads the bodies a theme sends: JSON, URL-encoded forms and multipart ``FormData``, with ``a[b]`` names nested.

Multipart is read with the standard library's MIME parser: the forms here are small and carry no files.
"""

from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

MAX_BODY = 64 * 1024  #: bytes; a cart call is a few hundred


async def read_form(request: Request) -> dict[str, Any]:
    """The fields of the body: texts, or objects and lists where the names nest (or the JSON says so).

    Raises HTTPException: 413 for a body over ``MAX_BODY``, 400 for one that cannot be read.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, "The form is too large.")
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("application/json", "text/json"):
        return _from_json(bytes(body))
    if kind == "multipart/form-data":
        return _nested(_multipart_pairs(bytes(body), content_type))
    return _nested(_urlencoded_pairs(bytes(body)))


def text(form: dict[str, Any], name: str, limit: int = 200) -> str:
    """A field as trimmed text, cut to ``limit`` characters; empty if it is missing or not a text."""
    value = form.get(name, "")
    return value.strip()[:limit] if isinstance(value, str) else ""


def _from_json(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, "The body is not a JSON object.") from error


def _urlencoded_pairs(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1000)
    except ValueError as error:
        raise HTTPException(400, "The form cannot be read.") from error


def _multipart_pairs(body: bytes, content_type: str) -> list[tuple[str, str]]:
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body
    )
    if not message.is_multipart():
        raise HTTPException(400, "The form cannot be read.")
    pairs = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes):
            pairs.append((name, value.decode(errors="replace")))
    return pairs


def _nested(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """``a=1, b[c]=2, d[]=3, e[0][f]=4`` -> ``{a: 1, b: {c: 2}, d: [3], e: {0: {f: 4}}}``."""
    fields: dict[str, Any] = {}
    for name, value in pairs:
        head, *rest = name.replace("]", "").split("[")
        place, last = fields, head
        for step in rest:
            if step == "":
                break
            below = place.setdefault(last, {})
            if not isinstance(below, dict):
                break
            place, last = below, step
        if name.endswith("[]"):
            values = place.setdefault(last, [])
            if isinstance(values, list):
                values.append(value)
        else:
            place[last] = value
    return fields
