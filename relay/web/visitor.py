"""Which visitor a request comes from: the cookie, the mirror, the handle, or a new one. No graph is asked."""

import uuid
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Struct

from relay.identity import cookie
from relay.identity.cookie import Visit, VisitorTokens
from relay.identity.evidence import Recognition
from relay.identity.identifiers import normal_customer_id
from relay.model import Trust
from relay.pipeline.parse import Received
from relay.store.rows import Entry


class Visitor(Struct, frozen=True):
    """The visitor of a request and what has to be given back for it to be known next time."""

    visitor_id: str | None
    recognition: Recognition
    set_cookie: str | None = None
    mirror: str | None = None
    handle: str | None = None


NOBODY = Visitor(None, Recognition.NONE)


def recognise(
    tokens: VisitorTokens,
    cookies: Iterable[bytes],
    mirror: str | None,
    first: Received | None,
    *,
    now: float,
    secure: bool,
    domain: str | None,
    may_know: bool,
    handle: str | None = None,
) -> Visitor:
    """The visitor by cookie, else by mirror, else by ``handle``, else a new one.

    ``cookies`` are the request's ``Cookie`` headers, ``first`` is its first message. Without consent (``may_know``)
    nothing is issued or renewed, and neither is anything for a handle: others than the shopper have seen it.
    """
    name = cookie.cookie_name(secure=secure, domain=domain)
    values = [v for header in cookies for v in cookie.read_cookie_header(header.decode("latin-1"), name)]
    visit = next((found for value in values if (found := tokens.read_cookie(value))), None)
    recognition = Recognition.COOKIE
    from_mirror = tokens.read_mirror(mirror) if mirror else None
    is_due = visit is not None and visit.is_due(now)
    if visit is None:
        visit, recognition, is_due = from_mirror, Recognition.MIRROR, True
    if visit is None and handle and (named := tokens.read_handle(handle)) is not None:
        return Visitor(named.visitor_id, Recognition.HANDLE)
    if not may_know:
        return Visitor(visit.visitor_id, recognition) if visit else NOBODY
    if visit is None:
        # The ID its SDK has given it, if it has: as long as no cookie comes back, the visitor goes by that one.
        # (Not by a former one: an alias of a browser's proves nothing.)
        anonymous = first.anonymous_id if first and first.type != "alias" else None
        names = (anonymous or "", first.message_id) if first else ()
        minted = next(filter(None, map(tokens.mint, names)), None) or uuid.uuid4().hex
        visit, recognition = Visit(minted, int(now), int(now)), Recognition.NEW
    fresh = from_mirror is not None and from_mirror.visitor_id == visit.visitor_id and not from_mirror.is_due(now)
    value = tokens.cookie(visit.visitor_id, visit.first_issued) if is_due else None
    return Visitor(
        visit.visitor_id,
        recognition,
        set_cookie=None if value is None else cookie.set_cookie(value, secure=secure, domain=domain),
        mirror=mirror if fresh else tokens.mirror(visit.visitor_id, visit.first_issued),
        handle=None if fresh else tokens.handle(visit.visitor_id, visit.first_issued),
    )


def handle_in(context: Mapping[str, Any]) -> str | None:
    """The handle that Shopify's pixel has found among the attributes of the cart."""
    shopify = context.get("shopify")
    handle = shopify.get("handle") if isinstance(shopify, dict) else None
    return handle if isinstance(handle, str) else None


def named_by_caller(entry: Entry, tokens: VisitorTokens) -> list[Entry]:
    """A request without a visitor of ours: one entry for each run of messages of the same anonymous ID, in order.

    Random IDs (UUID v4, as SDKs make them) name the same visitor whoever says them, since nobody can guess one: the
    browser that keeps it, or the server it was passed on to. Any other ID names one for servers alone, in a name space
    of their own. A browser without either stays the new visitor that ``entry`` names; its alias speaks of a former ID,
    which is for servers to say.
    """

    def name_of(message: Received) -> str | None:
        # The placeholders that templates print for a missing ID ("null", "undefined") are no visitor's name either.
        name = normal_customer_id(message.anonymous_id or "")
        if name is None or (entry.trust is Trust.BROWSER and message.type == "alias"):
            return None
        if (visitor_id := tokens.mint(name)) is not None:
            return visitor_id
        return f"anonymous:{name}" if entry.trust is Trust.SERVER else None

    named = Recognition.ANONYMOUS_ID if entry.trust is Trust.SERVER else Recognition.SDK
    runs = [(name, list(run)) for name, run in groupby(entry.messages, key=name_of)] or [(None, [])]
    entries = [
        msgspec.structs.replace(
            entry,
            messages=run,
            drops={},
            visitor_id=name or entry.visitor_id,
            recognition=named if name else entry.recognition,
        )
        for name, run in runs
    ]
    return [msgspec.structs.replace(entries[0], drops=entry.drops), *entries[1:]]
