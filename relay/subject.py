"""Whom a request about personal data is about (the law's *data subject*), and what of a site's data is theirs."""

from collections.abc import Collection
from enum import StrEnum

from msgspec import Struct

from relay.identity.identifiers import Identifier, IdentifierKind, normal_email
from relay.store.base import Transaction

#: One person: by an e-mail address as it was typed, by an identifier in its normal form, or by several of theirs.
Whom = str | Identifier | Collection[Identifier]


class Asker(StrEnum):
    """Who asks, as the audit says it."""

    OPERATOR = "operator"
    SHOPIFY = "shopify"


class Subject(Struct, frozen=True, kw_only=True):
    """What a site knows of somebody. ``own``: their visitors that are proven nobody else's."""

    identifiers: frozenset[Identifier]
    persons: tuple[str, ...] = ()
    visitors: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    @property
    def marks(self) -> frozenset[str]:
        """The words that journal rows about them are known by."""
        visitors = {f'"visitor_id":"{visitor}"' for visitor in self.own}
        return frozenset(visitors.union(*map(_marks, self.identifiers)))


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
    """Everybody who owns one of the identifiers: to the shop, who are named together are one."""
    owners = {owner.person_id for owner in tx.graph.owners(site_id, identifiers).values()}
    found, persons, visitors = set(identifiers), list[str](), list[str]()
    for person_id in sorted(owners):
        found |= set(tx.graph.identifiers_of(site_id, person_id))
        persons += tx.graph.everybody(site_id, person_id)
        visitors += tx.graph.visitors_of(site_id, person_id)
    visitors = list(dict.fromkeys(visitors))
    # On a shared device what is proven to be another person's stays theirs.
    own = [v for v in visitors if all(link.person_id in owners for link in tx.graph.links(site_id, v))]
    return Subject(identifiers=frozenset(found), persons=tuple(persons), visitors=tuple(visitors), own=tuple(own))


def _marks(identifier: Identifier) -> set[str]:
    """How an identifier stands in a journal row. An ID alone may be as short as a price."""
    if identifier.kind is IdentifierKind.CUSTOMER_ID:
        return {f'"userid":{space}"{identifier.value}"' for space in ("", " ")}
    return {identifier.value}
