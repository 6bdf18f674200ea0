"""The token of our own e-mail links (``bf``): names one person of a site, signed, good for a limited time.

It is written onto the person's profile at Klaviyo, so that templates can put it into links. What it names is a random
ID of the relay's: whoever reads the token learns nothing from it, and without the signing key nobody can make one for
somebody else. The same person's stays the same until half of its time is over, so that a profile does not change with
every event; whatever Klaviyo sends is then good for at least the other half.
"""

import hashlib
from collections.abc import Sequence

from itsdangerous import BadSignature, Signer
from msgspec import Struct


class Opened(Struct, frozen=True):
    """What a genuine token says. ``is_expired``: it names its person, and proves nothing any more."""

    person_id: str
    is_expired: bool


class LinkTokens:
    """Signs and reads the tokens of one site. ``secret_keys`` newest first; every one of them is accepted.

    ``lifetime`` in seconds.
    """

    def __init__(self, secret_keys: Sequence[str], site_id: str, lifetime: float) -> None:
        self._signer = Signer(
            list(reversed(secret_keys)),
            salt=f"backflow.link.{site_id}",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )
        self._lifetime = lifetime

    def token(self, person_id: str, now: float) -> str:
        """The token of a person at this time, the same for half of a lifetime."""
        period = self._lifetime / 2
        issued = int(now // period * period)
        return self._signer.sign(f"{person_id}.{issued:x}").decode()

    def read(self, token: str, now: float) -> Opened | None:
        """What ``token`` says, or None for a forged, foreign or damaged one."""
        try:
            person_id, _, issued = self._signer.unsign(token).decode().rpartition(".")
            return Opened(person_id, is_expired=now >= int(issued, 16) + self._lifetime)
        except (BadSignature, ValueError):
            return None
