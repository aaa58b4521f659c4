"""Secrets on their way between the two appliances of a pair: wrapped with a key that only these two can derive.

AES-SIV (RFC 5297): deterministic, so that an unchanged secret has an unchanged text and documents can be compared by
their digests; bound to its place, so that it opens nowhere else.
"""

import base64
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from staffetta.site.data.errors import SecretUnreadable
from staffetta.site.data.secrets import Secret

_KEY_BYTES: Final = 64


class PairSealer:
    """Seals for the pair. ``preshared`` is the key that both appliances hold, the origins are theirs."""

    def __init__(self, preshared: bytes, origins: tuple[str, str]) -> None:
        salt = " ".join(sorted(origins)).encode()
        hkdf = HKDF(SHA256(), length=_KEY_BYTES, salt=salt, info=b"staffetta pair secrets v1")
        self._key = AESSIV(hkdf.derive(preshared))

    def seal(self, place: str, secret: Secret) -> str:
        """Return the sealed text."""
        return base64.b64encode(self._key.encrypt(secret.reveal(), [place.encode()])).decode("ascii")

    def unseal(self, place: str, text: str) -> Secret:
        """Open it. Raises ``SecretUnreadable`` when the two appliances hold different keys, or it was changed."""
        try:
            return Secret(self._key.decrypt(base64.b64decode(text, validate=True), [place.encode()]))
        except (InvalidTag, ValueError):
            raise SecretUnreadable(
                f"The secret {place} does not open: set the same inter-appliance key on both appliances."
            ) from None
