"""Sealing: bound to site and place, never the same twice, and shut to whoever changes a bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.store.vault import Unreadable, Vault, is_sealed, new_data_key, unwrapped, wrapped

KEY = bytes(range(32))
VAULT = Vault("shop", KEY, ["a secret"])


@given(st.binary(), st.text())
def test_what_is_sealed_opens(plain: bytes, place: str) -> None:
    sealed = VAULT.seal(place, plain)
    assert VAULT.open(place, sealed) == plain
    assert is_sealed(sealed)
    assert sealed != VAULT.seal(place, plain)


@pytest.mark.parametrize(
    ("vault", "place"),
    [
        pytest.param(VAULT, "identifiers.phone", id="another place"),
        pytest.param(Vault("other", KEY), "identifiers.email", id="another site"),
        pytest.param(Vault("shop", bytes(32)), "identifiers.email", id="another key"),
    ],
)
def test_a_value_does_not_open_elsewhere(vault: Vault, place: str) -> None:
    with pytest.raises(Unreadable) as raised:
        vault.open(place, VAULT.seal("identifiers.email", b"jane@shop.example"))
    assert "jane" not in str(raised.value)


@given(st.integers(0, 8 * 45 - 1))
def test_a_changed_bit_shuts_it(bit: int) -> None:
    sealed = bytearray(VAULT.seal("p", b"jane@shop.example"[:16]))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Unreadable):
        VAULT.open("p", bytes(sealed))


@pytest.mark.parametrize("nothing", [b"", b"\x01", b"\x01" * 12, b"{}", b'{"email":"jane@shop.example"}'])
def test_what_was_never_sealed_is_unreadable_and_no_other_error(nothing: bytes) -> None:
    with pytest.raises(Unreadable):
        VAULT.open("p", nothing)


def test_hashes_tell_kind_value_site_and_use_apart() -> None:
    other = Vault("other", new_data_key())
    hashes = {
        VAULT.look_up("email", "a"),
        VAULT.look_up("phone", "a"),
        VAULT.look_up("email", "b"),
        VAULT.look_up("emai", "la"),
        VAULT.erased("email", "a"),
        other.look_up("email", "a"),
    }
    assert len(hashes) == 6
    assert VAULT.look_up("email", "a") == Vault("shop", KEY).look_up("email", "a")


def test_a_data_key_opens_with_the_secret_it_was_wrapped_with_alone() -> None:
    kept = wrapped(KEY, "newest", "shop")
    assert unwrapped(kept, "newest", "shop") == KEY
    assert unwrapped(kept, "older", "shop") is None
    assert unwrapped(kept, "newest", "other") is None
    assert unwrapped(kept[:-1], "newest", "shop") is None
    assert unwrapped(b"", "newest", "shop") is None
    assert KEY not in kept
    assert kept != wrapped(KEY, "newest", "shop")
