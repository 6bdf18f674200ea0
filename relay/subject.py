"""Whom a request about personal data is about (the law's *data subject*), and what of a site's data is theirs."""

import math
from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct

from relay.identity.evidence import STRONG, WORTH
from relay.identity.identifiers import Identifier, IdentifierKind, normal_email
from relay.identity.tenure import Tenure, Term, tenure
from relay.store.base import Transaction

#: One person: by an e-mail address as it was typed, by an identifier in its normal form, or by several of theirs.
Whom = str | Identifier | Collection[Identifier]
#: Ties that ended so were wrong all along.
_WRONG = frozenset({"unlinked", "corrected", "unknown_kx"})


class Asker(StrEnum):
    """Who asks, as the audit says it."""

    OPERATOR = "operator"
    SHOPIFY = "shopify"


class Subject(Struct, frozen=True, kw_only=True):
    """What a site knows of somebody.

    ``visitors`` are tied to them now, maybe to others too; ``tenures`` are those that were theirs and nobody else's,
    and when; ``marks`` the words that journal rows about them are known by.
    """

    identifiers: frozenset[Identifier]
    persons: tuple[str, ...] = ()
    visitors: tuple[str, ...] = ()
    tenures: tuple[Tenure, ...] = ()
    marks: frozenset[str] = frozenset()


def named(whom: Whom) -> tuple[Identifier, ...]:
    """The identifiers a request names. Raises ValueError when a text is no e-mail address, or nobody is named."""
    if isinstance(whom, str):
        email = normal_email(whom)
        if email is None:
            raise ValueError("expected an e-mail address")
        return (Identifier(IdentifierKind.EMAIL, email),)
    identifiers = (whom,) if isinstance(whom, Identifier) else tuple(whom)
    if not identifiers:
        raise ValueError("expected an identifier")
    return identifiers


def find(tx: Transaction, site_id: str, identifiers: Collection[Identifier]) -> Subject:
    """Everybody who owns one of the identifiers: to the shop, who are named together are one.

    A household shares its phone, so beside anything else that number names nobody: whoever has it here may be another,
    and what is found of them would not be the asker's. It is left out then, unless its owner is nobody else.
    """
    owned = tx.graph.owners(site_id, identifiers)
    telling = {owner.person_id for each, owner in owned.items() if each.kind is not IdentifierKind.PHONE}
    is_by_phone = all(each.kind is IdentifierKind.PHONE for each in identifiers)
    anothers = {
        each
        for each, owner in owned.items()
        if not is_by_phone and owner.person_id not in telling and (telling or _has_a_name(tx, site_id, owner.person_id))
    }
    owners = {owner.person_id for each, owner in owned.items() if each not in anothers}
    found, persons, visitors = set(identifiers) - anothers, list[str](), list[str]()
    for person_id in sorted(owners):
        found |= set(tx.graph.identifiers_of(site_id, person_id))
        persons += tx.graph.everybody(site_id, person_id)
        visitors += tx.graph.visitors_of(site_id, person_id)
    tenures = tuple(_tenures(tx, site_id, persons))
    marks = frozenset[str]().union(*map(_marks, found), *(_marks_of(tx, site_id, each) for each in tenures))
    return Subject(
        identifiers=frozenset(found),
        persons=tuple(persons),
        visitors=tuple(dict.fromkeys(visitors)),
        tenures=tenures,
        marks=marks,
    )


def _has_a_name(tx: Transaction, site_id: str, person_id: str) -> bool:
    """Whether more than a number is known of the person: an address, or the shop's own ID."""
    names = (IdentifierKind.EMAIL, IdentifierKind.CUSTOMER_ID)
    return any(each.kind in names for each in tx.graph.identifiers_of(site_id, person_id))


def _tenures(tx: Transaction, site_id: str, persons: Sequence[str]) -> Iterator[Tenure]:
    """When each visitor that is or was tied to the persons was theirs: what others did in it is not."""
    for visitor in dict.fromkeys(link["visitor_id"] for link in tx.holdings.links(site_id, persons)):
        terms = [
            Term(
                is_theirs=tie.person_id in persons,
                since=tie.first_at,
                until=math.inf if tie.ended_at is None else tie.ended_at,
                is_strong=WORTH[tie.evidence].strength >= STRONG,
            )
            for tie in tx.history.ties(site_id, visitor)
            if tie.end_reason not in _WRONG
        ]
        if (found := tenure(visitor, terms)) is not None:
            yield found


def _marks_of(tx: Transaction, site_id: str, tenure: Tenure) -> set[str]:
    """How what a visitor did stands in journal rows: by the visitor, or where that is others' too by each message."""
    if tenure.is_whole:
        return {f'"visitor_id":"{tenure.visitor_id}"'}
    encode = msgspec.json.encode
    return {
        f"{encode(message_id).decode()},{encode(at).decode()}"
        for message_id, at in tx.holdings.messages(site_id, tenure)
    }


def _marks(identifier: Identifier) -> set[str]:
    """How an identifier stands in a journal row. An ID alone may be as short as a price."""
    if identifier.kind is IdentifierKind.CUSTOMER_ID:
        return {f'"userid":{space}"{identifier.value}"' for space in ("", " ")}
    return {identifier.value}
