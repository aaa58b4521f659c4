"""Bytes in a folder, named by their SHA-256: streamed in, stored once, handed out, and removed when nobody holds them.

- Bytes become a blob by a second name (a hard link) inside the write transaction that makes its row, after they are
  synced to disk; the first name goes after the commit. A process killed in between has lost nothing.
- Removing looks again, under the write lock, whether somebody stored the same bytes meanwhile.
"""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from django.conf import settings
from django.db import models, transaction

from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import NoSpace
from staffetta.kernel.files import sync_directory
from staffetta.kernel.ids import new_id
from staffetta.site.data.errors import BlobDamaged, BlobMissing, DataError
from staffetta.site.data.models import Blob

SPARE_BYTES: Final = 64 * 1024 * 1024
"""Room that storing leaves on the disk, so that the database can still write."""

_HOLDERS: Final[list[type[models.Model]]] = []


class NoRoomForBlob(DataError, NoSpace):
    """The disk has too little room for what is being stored."""

    code = "no-space"
    http_status = NoSpace.http_status
    exit_status = NoSpace.exit_status


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """What was stored: its name and size in bytes; ``new`` is False when the same bytes were there already."""

    sha256: str
    size: int
    new: bool


def add_holder(model: type[models.Model]) -> None:
    """Register a table that refers to blobs by its columns ``sha256`` and ``size``: a blob that any holds is kept."""
    if model not in _HOLDERS:
        _HOLDERS.append(model)


def missing() -> list[tuple[str, int]]:
    """Return SHA-256 and size of what a table refers to and is not here yet: data-sync fetches it."""
    found: dict[str, int] = {}
    for model in _HOLDERS:
        rows = model._default_manager.exclude(sha256__in=Blob.objects.values("sha256"))
        found.update(rows.values_list("sha256", "size"))
    return sorted(found.items(), key=lambda one: (one[1], one[0]))


def incoming_path(sha256: str) -> Path:
    """Return where the bytes of a blob that is being fetched gather; what is there of it is gone on with."""
    if not _is_sha256(sha256):
        raise BlobMissing(f"{sha256[:80]!r} is not a SHA-256.")
    _incoming().mkdir(mode=0o700, parents=True, exist_ok=True)
    return _incoming() / f"fetched-{sha256}"


def require_room(folder: Path, more: int) -> None:
    """Raise ``NoRoomForBlob`` unless ``more`` bytes leave the database its room on the disk of ``folder``."""
    room = os.statvfs(folder)
    if room.f_bavail * room.f_frsize < SPARE_BYTES + more:
        raise NoRoomForBlob("The disk is nearly full; delete files or recordings first.")


class BlobWriter:
    """Takes bytes piece by piece into the incoming folder; ``store`` makes them a blob, leaving without it drops them.

    Use as a context manager.
    """

    def __init__(self) -> None:
        incoming = _incoming()
        incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = incoming / new_id()
        self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    def write(self, piece: bytes) -> None:
        """Add bytes. Raises ``NoRoomForBlob`` rather than filling the disk."""
        require_room(self._path.parent, len(piece))
        self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)

    def store(self) -> StoredBlob:
        """Make the bytes a blob, in the caller's transaction if there is one."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return _place(self._path, self._hash.hexdigest(), self.size)

    def drop(self) -> None:
        """Forget what was written; harmless after ``store``."""
        if not self._file.closed:
            self._file.close()
        self._path.unlink(missing_ok=True)


def adopt(path: Path, sha256: str, size: int) -> StoredBlob:
    """Make a finished file on the same disk a blob after checking it against ``sha256`` and ``size``.

    The file goes away when the caller's transaction commits. Raises ``BlobDamaged`` when they differ; it stays then.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        length = os.fstat(file.fileno()).st_size
        os.fsync(file.fileno())
    if (found, length) != (sha256, size):
        raise BlobDamaged(f"{path.name} has {length} bytes with SHA-256 {found}, not the {size} of {sha256}.")
    return _place(path, sha256, size)


def settle(path: Path, sha256: str, size: int) -> StoredBlob:
    """As ``adopt``, for a file that the caller has just checked and synced to disk itself.

    For many large files at once: the database is not kept waiting while they are read again.
    """
    return _place(path, sha256, size)


def path_of(sha256: str) -> Path:
    """Return the file that holds a blob. Raises ``BlobMissing``."""
    path = _resting_place(sha256)
    if not Blob.objects.filter(pk=sha256).exists() or not path.exists():
        raise BlobMissing(f"No bytes are stored under {sha256}.")
    return path


def release(sha256: str) -> None:
    """Remove a blob that no table holds any more: its row with the caller's transaction, its file after that."""
    with transaction.atomic():
        if any(model._default_manager.filter(sha256=sha256).exists() for model in _HOLDERS):
            return
        Blob.objects.filter(pk=sha256).delete()
        transaction.on_commit(lambda: _unlink_unclaimed(sha256))


def sweep(before: datetime) -> int:
    """Remove what killed processes left: incoming files older than ``before``, and blobs' files that have no row.

    Returns how many files went. May run beside everything else: each file is judged under the write lock.
    """
    gone = 0
    for path in _folder().glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime >= before.timestamp():
                continue
        if path.parent == _incoming():
            path.unlink(missing_ok=True)
            gone += 1
        elif not Blob.objects.filter(pk=path.name).exists():
            gone += _unlink_unclaimed(path.name)
    return gone


def _unlink_unclaimed(sha256: str) -> bool:
    with transaction.atomic():
        if Blob.objects.filter(pk=sha256).exists():
            return False
        _resting_place(sha256).unlink(missing_ok=True)
        return True


def _place(path: Path, sha256: str, size: int) -> StoredBlob:
    """Give the bytes their second name, and take the first away once the row is committed."""
    resting = _resting_place(sha256)
    with transaction.atomic():
        _, new = Blob.objects.get_or_create(pk=sha256, defaults={"size": size, "stored_at": utc_now()})
        if not resting.exists():
            resting.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.link(path, resting)
            sync_directory(resting.parent)
            sync_directory(resting.parent.parent)
        transaction.on_commit(lambda: path.unlink(missing_ok=True))
    return StoredBlob(sha256, size, new)


def _resting_place(sha256: str) -> Path:
    if not _is_sha256(sha256):
        raise BlobMissing(f"{sha256[:80]!r} is not a SHA-256.")
    return _folder() / sha256[:2] / sha256


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _folder() -> Path:
    return Path(settings.STAFFETTA_SITE_FOLDER) / "blobs"


def _incoming() -> Path:
    return _folder() / "incoming"
