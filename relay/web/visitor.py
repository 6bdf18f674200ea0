"""Which visitor a request comes from: the cookie, the mirror, or a new one. No graph is asked."""

import uuid
from collections.abc import Iterable
from itertools import groupby

import msgspec
from msgspec import Struct

from relay.identity import cookie
from relay.identity.cookie import Visit, VisitorTokens
from relay.identity.evidence import Recognition
from relay.identity.identifiers import normal_customer_id
from relay.pipeline.parse import Received
from relay.store.rows import Entry


class Visitor(Struct, frozen=True):
    """The visitor of a request and what has to be given back for it to be known next time."""

    visitor_id: str | None
    recognition: Recognition
    set_cookie: str | None = None
    mirror: str | None = None


NOBODY = Visitor(None, Recognition.NONE)


def recognise(
    tokens: VisitorTokens,
    cookies: Iterable[bytes],
    mirror: str | None,
    first_message_id: str,
    *,
    now: float,
    secure: bool,
    domain: str | None,
    may_know: bool,
) -> Visitor:
    """The visitor by cookie, else by mirror, else a new one.

    ``cookies`` are the request's ``Cookie`` headers. Without consent (``may_know``) nothing is issued or renewed.
    """
    name = cookie.cookie_name(secure=secure, domain=domain)
    values = [v for header in cookies for v in cookie.read_cookie_header(header.decode("latin-1"), name)]
    visit = next((found for value in values if (found := tokens.read_cookie(value))), None)
    recognition = Recognition.COOKIE
    from_mirror = tokens.read_mirror(mirror) if mirror else None
    is_due = visit is not None and visit.is_due(now)
    if visit is None:
        visit, recognition, is_due = from_mirror, Recognition.MIRROR, True
    if not may_know:
        return Visitor(visit.visitor_id, recognition) if visit else NOBODY
    if visit is None:
        minted = tokens.mint(first_message_id) or uuid.uuid4().hex
        visit, recognition = Visit(minted, int(now), int(now)), Recognition.NEW
    fresh = from_mirror is not None and from_mirror.visitor_id == visit.visitor_id and not from_mirror.is_due(now)
    value = tokens.cookie(visit.visitor_id, visit.first_issued) if is_due else None
    return Visitor(
        visit.visitor_id,
        recognition,
        set_cookie=None if value is None else cookie.set_cookie(value, secure=secure, domain=domain),
        mirror=mirror if fresh else tokens.mirror(visit.visitor_id, visit.first_issued),
    )


def named_by_server(entry: Entry) -> list[Entry]:
    """A server's request speaks of many visitors: one entry for each run of messages of the same one, in order.

    A server names its visitors itself; the name space is its own, so it can name no browser's visitor.
    """
    runs = [list(run) for _, run in groupby(entry.messages, key=_name_of)] or [[]]
    entries = [
        msgspec.structs.replace(
            entry,
            messages=run,
            drops={},
            visitor_id=name,
            recognition=Recognition.ANONYMOUS_ID if name else Recognition.NONE,
        )
        for run in runs
        for name in [_name_of(run[0]) if run else None]
    ]
    return [msgspec.structs.replace(entries[0], drops=entry.drops), *entries[1:]]


def _name_of(message: Received) -> str | None:
    # The placeholders that templates print for a missing ID ("null", "undefined") are no visitor's name either.
    name = normal_customer_id(message.anonymous_id or "")
    return None if name is None else f"anonymous:{name}"
