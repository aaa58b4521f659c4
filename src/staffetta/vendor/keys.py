"""The publisher's private keys as files, and which of them may lie on a machine that is on the network.

    <keys>/offline/root-1.pem root-2.pem targets.pem clients.pem     needed to publish; kept off line between
    <keys>/online/snapshot.pem timestamp.pem statement.pem           needed to serve

Ed25519, PKCS#8 PEM, mode 0600. Losing the online keys loses freshness only: they sign nothing that installs (U14).
"""

from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # the documented place

from staffetta.kernel.files import write_atomically
from staffetta.vendor.errors import AlreadyPublished, KeyMissing


class KeyName(StrEnum):
    """A key's name: its file without the ending, below the folder of keys."""

    ROOT_1 = "offline/root-1"
    ROOT_2 = "offline/root-2"
    TARGETS = "offline/targets"
    CLIENTS = "offline/clients"
    SNAPSHOT = "online/snapshot"
    TIMESTAMP = "online/timestamp"
    STATEMENT = "online/statement"


ROOT_KEYS: Final = (KeyName.ROOT_1, KeyName.ROOT_2)
"""Either of the two signs a root: losing one is no disaster."""


class KeyFolder:
    """The folder of private keys. Keys are read when they are asked for, so a server needs the online ones only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self) -> None:
        """Make every key; raises ``AlreadyPublished`` if one is there, since it may have signed something."""
        for name in KeyName:
            if self._path(name).exists():
                raise AlreadyPublished(f"There is a key at {self._path(name)} already; keys are never written over.")
        for place in (self._folder, self._folder / "offline", self._folder / "online"):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in KeyName:
            key = Ed25519PrivateKey.generate()
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_atomically(self._path(name), pem, 0o600)

    def private(self, name: KeyName) -> Ed25519PrivateKey:
        """Return a private key; raises ``KeyMissing``."""
        path = self._path(name)
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except FileNotFoundError:
            raise KeyMissing(
                f"The key {path} is not here; bring the medium it is on, or name another folder."
            ) from None
        except ValueError:
            raise KeyMissing(f"The file {path} is no private key, or it is damaged.") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyMissing(f"The key {path} is no Ed25519 key.")
        return key

    def signer(self, name: KeyName) -> CryptoSigner:
        """Return a signer of TUF metadata; raises ``KeyMissing``."""
        return CryptoSigner(self.private(name))

    def _path(self, name: KeyName) -> Path:
        return self._folder / f"{name}.pem"
