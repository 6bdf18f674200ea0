"""What kind of mailbox an address is."""

import pytest

from relay.pipeline.addresses import AddressKind, address_kind
from relay.web.console.words import NOTES

KINDS = {
    AddressKind.ROLE: [
        "info@shop.com", "sales@shop.com", "support@shop.com", "noreply@shop.com", "no-reply@shop.com",
        "no_reply@shop.com", "do-not-reply@shop.com", "postmaster@shop.com", "abuse@shop.com",
        "support+ticket@shop.com",
        "customer.service@shop.com", "mailer-daemon@shop.com", "webmaster@shop.co.uk",
    ],
    AddressKind.RELAY: [
        "a1b2c3@marketplace.amazon.com", "a1b2c3@marketplace.amazon.co.uk", "a1b2c3@marketplace.amazon.de",
        "x@members.ebay.com", "x@members.ebay.co.uk", "x@relay.walmart.com", "info@marketplace.amazon.com",
    ],
    AddressKind.RESERVED: [
        "ann@example.com", "ann@mail.example.org", "ann@example.net", "ann@shop.example", "ann@shop.test",
        "ann@a.invalid", "root@localhost", "info@example.com",
    ],
    AddressKind.PERSONAL: [
        "ann@mail.com", "x7@privaterelay.appleid.com", "ann@mozmail.com", "ann@duck.com", "information@shop.com",
        "ann.info@shop.com", "supporter@shop.com", "ann@notexample.com", "ann@example.com.au", "ann@amazon.com",
        "ann@ebay.com", "ann@test.com", "ann+info@shop.com",
    ],
}  # fmt: skip
EVERY = [(address, kind) for kind, addresses in KINDS.items() for address in addresses]


@pytest.mark.parametrize(("address", "kind"), EVERY, ids=[address for address, _ in EVERY])
def test_the_kind_of_an_address(address: str, kind: AddressKind) -> None:
    assert address_kind(address) is kind


def test_every_kind_that_is_counted_is_explained() -> None:
    assert {f"{kind}_email" for kind in AddressKind if kind is not AddressKind.PERSONAL} <= NOTES.keys()
