"""A client's files on its computer: private to one user, written atomically, refused when others could read them."""

import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from staffetta.clients.errors import NotSetUp, UnreadableAnswer, UnsafeFile
from staffetta.kernel.files import write_atomically
from staffetta.wire.identity import KEY_BYTES, SigningKey


class StateDirectory:
    """One folder, mode 0700, of one client."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self) -> None:
        """Make the folder, or check that it is ours."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = self.root.stat()
        if state.st_uid != os.geteuid():
            raise UnsafeFile(f"{self.root} belongs to another user (id {state.st_uid}); use a folder of your own.")
        if stat.S_IMODE(state.st_mode) & 0o022:
            raise UnsafeFile(f"{self.root} can be changed by others; run: chmod 700 {self.root}")

    def exists(self, name: str) -> bool:
        """Whether a file of this name is there."""
        return (self.root / name).exists()

    def key(self, name: str) -> SigningKey:
        """Return the key stored under ``name``. Raises NotSetUp without one, UnsafeFile if others could read it."""
        seed = self._private_bytes(name)
        if len(seed) != KEY_BYTES:
            raise UnreadableAnswer(f"{self.root / name} is not a key; restore it, or enrol this client anew.")
        return SigningKey(seed)

    def key_or_new(self, name: str) -> SigningKey:
        """Return the key stored under ``name``; make and store one first if there is none."""
        if not self.exists(name):
            write_atomically(self.root / name, secrets.token_bytes(KEY_BYTES), 0o600)
        return self.key(name)

    def read(self, name: str) -> dict[str, Any]:
        """Return the JSON object stored under ``name``, under the same conditions as a key."""
        try:
            value = json.loads(self._private_bytes(name))
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise UnreadableAnswer(f"{self.root / name} is damaged; restore it, or set this client up anew.")
        return value

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Store a JSON object, readable by this user only, atomically and synced."""
        write_atomically(self.root / name, (json.dumps(value, indent=1) + "\n").encode(), 0o600)

    def remove(self, name: str) -> None:
        """Delete a file if it is there."""
        (self.root / name).unlink(missing_ok=True)

    def _private_bytes(self, name: str) -> bytes:
        path = self.root / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotSetUp(f"There is no {path}.") from None
        except OSError as error:
            raise UnsafeFile(f"{path} cannot be opened: {error.strerror}.") from None
        with os.fdopen(descriptor, "rb") as file:
            state = os.fstat(file.fileno())
            if state.st_uid not in (os.geteuid(), 0):
                raise UnsafeFile(f"{path} belongs to another user (id {state.st_uid}); it is not used.")
            if stat.S_IMODE(state.st_mode) & 0o077:
                raise UnsafeFile(f"{path} can be read by others; run: chmod 600 {path}")
            return file.read()
