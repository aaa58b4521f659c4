"""The appliance's own key in ``site/secret.key`` and what is derived from it; a secret never shows itself.

Derived by HKDF-SHA256 (RFC 5869) with one label per purpose, so that no two purposes share a key.
"""

import base64
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from staffetta.kernel.files import sync_directory
from staffetta.kernel.ids import new_id
from staffetta.site.data.errors import SecretUnreadable

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_FORMAT: Final = "v1:"


def load_or_create(path: Path) -> bytes:
    """Return the key in ``path``; draw it (mode 0600, synced to disk) when there is none yet.

    Two processes that start together end with the same key: the file appears whole or not at all.
    """
    try:
        return _checked(path)
    except FileNotFoundError:
        pass
    beside = path.with_name(f".{path.name}.{new_id()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:
            return _checked(path)
        finally:
            beside.unlink()
    finally:
        sync_directory(path.parent)
    return _checked(path)


def _checked(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise SecretUnreadable(f"{path} must hold {_KEY_BYTES} bytes; restore it from this appliance's copy.")
    return key


def derive(key: bytes, purpose: str) -> bytes:
    """Return 32 bytes for one purpose."""
    return HKDF(SHA256(), length=32, salt=None, info=f"staffetta site {purpose}".encode()).derive(key)


class Secret:
    """Bytes that only ``reveal`` shows: not ``repr``, ``str``, a log line, a template or a serializer."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """Return the bytes themselves."""
        return self._value

    def __repr__(self) -> str:
        return "[secret]"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("A secret is not pickled.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def seal(key: bytes, place: str, secret: Secret) -> str:
    """Encrypt for storage (AES-256-GCM), bound to ``place`` so that a value copied elsewhere does not open."""
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, secret.reveal(), place.encode())
    return _FORMAT + base64.b64encode(nonce + sealed).decode("ascii")


def unseal(key: bytes, place: str, text: str) -> Secret:
    """Decrypt what ``seal`` made; anything else raises ``SecretUnreadable``."""
    problem = SecretUnreadable(
        f"The stored secret {place} cannot be opened with this appliance's key; restore site/secret.key."
    )
    if not text.startswith(_FORMAT):
        raise problem
    try:
        packed = base64.b64decode(text.removeprefix(_FORMAT), validate=True)
        return Secret(AESGCM(key).decrypt(packed[:_NONCE_BYTES], packed[_NONCE_BYTES:], place.encode()))
    except (InvalidTag, ValueError):
        raise problem from None
