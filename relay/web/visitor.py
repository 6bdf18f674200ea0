"""Which visitor a request comes from: the cookie, the mirror, or a new one. No graph is asked."""

import uuid
from collections.abc import Iterable

from msgspec import Struct

from relay.identity import cookie
from relay.identity.cookie import Visit, VisitorTokens
from relay.identity.evidence import Recognition


class Visitor(Struct, frozen=True):
    """The visitor of a request and what has to be given back for it to be known next time."""

    visitor_id: str | None
    recognition: Recognition
    set_cookie: str | None = None
    mirror: str | None = None


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
        return Visitor(visit.visitor_id, recognition) if visit else Visitor(None, Recognition.NONE)
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


def named_by_server(anonymous_id: str | None) -> Visitor:
    """A server names its visitors itself; the name space is its own, so it can name no browser's visitor."""
    if anonymous_id is None:
        return Visitor(None, Recognition.NONE)
    return Visitor(f"anonymous:{anonymous_id}", Recognition.ANONYMOUS_ID)
