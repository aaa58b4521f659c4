"""Files that survive a power cut: written beside, synced, renamed, their folder synced."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from staffetta.kernel.ids import new_id


def sync_directory(path: Path) -> None:
    """Make the names inside a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` by ``data`` so that a reader, or a power cut, sees the old or the new and nothing between."""
    beside = path.with_name(f".{path.name}.{new_id()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def replace_link(path: Path, target: str) -> None:
    """Make the symbolic link ``path`` lead to ``target``, in one rename that a power cut cannot halve."""
    beside = path.with_name(f".{path.name}-{new_id()}")
    beside.symlink_to(target)
    beside.replace(path)
    sync_directory(path.parent)


@contextlib.contextmanager
def appearing_whole(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Open a file that is written beside ``path`` and appears there when the block ends without an error, synced."""
    beside = path.with_name(f".{path.name}.{new_id()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as lower-case hex, reading it in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
