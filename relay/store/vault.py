"""How a site's personal data is kept: values encrypted, and found again by a keyed hash. No I/O.

Every site has a random data key of its own. The database keeps it wrapped: encrypted under one of RELAY_SECRET_KEYS, so
renewing those re-encrypts 32 bytes and nothing else. From the data key come two keys (HKDF, RFC 5869): one for values
(AES-256-GCM, NIST SP 800-38D), one for look-ups (HMAC-SHA256).

Invariant: a sealed value is bound to its site and its place. Copied elsewhere, or changed by one bit, it does not open.
"""

import hashlib
import hmac
import os
from collections.abc import Iterator, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

#: How a sealed value begins: the version of its form. No JSON, address or ID begins with this byte.
SEALED = b"\x01"
#: Bytes of a key, and of a nonce. Random nonces are safe for 2**32 values under one key (SP 800-38D, section 8.3).
KEY_BYTES, _NONCE_BYTES = 32, 12


class Unreadable(ValueError):
    """What is kept does not open: it was changed, moved, or kept under another key. Holds nothing of it."""


class Vault:
    """Seals, opens and looks up one site's values."""

    def __init__(self, site_id: str, data_key: bytes, secrets: Sequence[str] = ()) -> None:
        """``secrets``: the signing keys, which alone made the hashes of erasures before there was a data key."""
        self.site_id = site_id
        self._cipher = AESGCM(_derived(data_key, b"backflow values"))
        self._look_up_key = _derived(data_key, b"backflow look-ups")
        self._secrets = [secret.encode() for secret in secrets]

    def seal(self, place: str, plain: bytes) -> bytes:
        """``plain`` encrypted for ``place``: a column, with the kind where a column holds several."""
        nonce = os.urandom(_NONCE_BYTES)
        return SEALED + nonce + self._cipher.encrypt(nonce, plain, self._bound_to(place))

    def open(self, place: str, sealed: bytes) -> bytes:
        """What was sealed for ``place``. Raises Unreadable."""
        if not is_sealed(sealed):
            raise Unreadable(f"a value of {place} is not encrypted")
        nonce, kept = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, kept, self._bound_to(place))
        except (InvalidTag, ValueError):
            raise Unreadable(f"a value of {place} does not open") from None

    def look_up(self, kind: str, value: str) -> bytes:
        """What a value in its normal form is found by."""
        return hmac.digest(self._look_up_key, f"{kind}\0{value}".encode(), hashlib.sha256)

    def erased(self, kind: str, value: str) -> bytes:
        """What stays of an erased value. Not what it was found by: nobody can tell from the tables who came again."""
        return self.look_up(f"erased {kind}", value)

    def all_erased(self, kind: str, value: str) -> Iterator[bytes]:
        """Every hash an erasure can have left of the value."""
        yield self.erased(kind, value)
        for secret in self._secrets:
            yield hmac.digest(secret, f"{kind}:{value}".encode(), hashlib.sha256)

    def _bound_to(self, place: str) -> bytes:
        return f"{self.site_id}\0{place}".encode()


def is_sealed(value: bytes) -> bool:
    return value[:1] == SEALED


def new_data_key() -> bytes:
    return os.urandom(KEY_BYTES)


def wrapped(data_key: bytes, secret: str, site_id: str) -> bytes:
    """The data key as the database may hold it."""
    salt, nonce = os.urandom(16), os.urandom(_NONCE_BYTES)
    return SEALED + salt + nonce + AESGCM(_wrapping(secret, salt)).encrypt(nonce, data_key, site_id.encode())


def unwrapped(kept: bytes, secret: str, site_id: str) -> bytes | None:
    """The data key, or None when ``secret`` is not the one it is wrapped with."""
    salt, nonce, rest = kept[1:17], kept[17 : 17 + _NONCE_BYTES], kept[17 + _NONCE_BYTES :]
    try:
        return AESGCM(_wrapping(secret, salt)).decrypt(nonce, rest, site_id.encode())
    except (InvalidTag, ValueError):
        return None


def _wrapping(secret: str, salt: bytes) -> bytes:
    return _derived(secret.encode(), b"backflow data key", salt)


def _derived(key: bytes, purpose: bytes, salt: bytes | None = None) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt, purpose).derive(key)
