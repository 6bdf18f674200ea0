"""The body of a request: read whole, bounded, uncompressed."""

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from relay.errors import RequestRefused
from relay.pipeline.parse import MAX_BATCH_BYTES
from relay.web.security import Headers

#: What is read of a body that is too large before it is refused: closing early would look like a lost connection to a
#: browser, and the tag would send it again instead of splitting it.
DRAINED = 4 * MAX_BATCH_BYTES

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def read(headers: Headers, receive: Receive, most: int = MAX_BATCH_BYTES) -> bytes:
    """The whole body. Raises RequestRefused (413) when it is larger than ``most`` bytes, (400) when it breaks off."""
    chunks, size, more = [], 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise RequestRefused(400, "incomplete_body", "the body broke off")
        chunk = event.get("body", b"")
        more = event.get("more_body", False)
        size += len(chunk)
        if size <= most:
            chunks.append(chunk)
        elif size > max(DRAINED, most):
            break
    if size > most:
        raise _too_large(most)
    return b"".join(chunks)


def decoded(body: bytes, headers: Headers) -> bytes:
    """The body uncompressed, never growing beyond a batch's cap. Raises RequestRefused (400, 413, 415)."""
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    # axios, in RudderStack's SDK for Node, calls every compressed body a form.
    is_compressed_form = encoding == b"gzip" and media_type == b"application/x-www-form-urlencoded"
    if media_type not in (b"", b"text/plain", b"application/json") and not is_compressed_form:
        raise RequestRefused(415, "unsupported_media_type", "Content-Type: expected application/json or text/plain")
    if encoding in (b"", b"identity"):
        return body
    if encoding != b"gzip":
        raise RequestRefused(415, "unsupported_encoding", "Content-Encoding: expected gzip or none")
    unzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        plain = unzip.decompress(body, MAX_BATCH_BYTES + 1)
    except zlib.error:
        raise RequestRefused(400, "invalid_gzip", "the body is not valid gzip") from None
    if len(plain) > MAX_BATCH_BYTES:
        raise _too_large(MAX_BATCH_BYTES)
    if not unzip.eof:
        raise RequestRefused(400, "invalid_gzip", "the gzip body breaks off")
    return plain


def _too_large(most: int) -> RequestRefused:
    return RequestRefused(413, "body_too_large", f"the body: expected at most {most} bytes")
