"""The tar inside a backup: members one after the other, in a fixed order, with a list of hashes as the last one.

Plain enough for every `tar`, and read strictly here: regular files only, names and order as in ``Place``, padding of
zeros, nothing after the end. `sha256sum -c SHA256SUMS` in the unpacked folder checks all of it.
"""

import hashlib
import io
import re
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO, Final

from staffetta.site.backup.age import Sink
from staffetta.site.backup.errors import BackupDamaged, NotABackup

MANIFEST: Final = "manifest.json"
DOCUMENTS: Final = "documents.jsonl"
RECORDS: Final = "records.jsonl"
BLOBS: Final = "blobs/"
DATABASE: Final = "database.sqlite3"
CHECKSUMS: Final = "SHA256SUMS"

PIECE: Final = 256 * 1024
_IN_MEMORY: Final = 4 * 1024**2
_BLOCK: Final = tarfile.BLOCKSIZE
_END: Final = 2 * _BLOCK
_BLOB: Final = re.compile(r"blobs/[0-9a-f]{64}")
_ORDER: Final = (MANIFEST, DOCUMENTS, RECORDS, BLOBS, DATABASE, CHECKSUMS)


def blob_name(sha256: str) -> str:
    """Return the member's name of a blob."""
    return BLOBS + sha256


class ArchiveWriter:
    """Writes the members to ``sink``, in the order of the format; ``finish`` adds the hashes and the end."""

    def __init__(self, sink: Sink, made_at: datetime) -> None:
        self._sink = sink
        self._time = int(made_at.timestamp())
        self._sums = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by finish

    def add(self, name: str, size: int, source: BinaryIO) -> str:
        """Write one member from the next ``size`` bytes of ``source``; returns their SHA-256."""
        digest = hashlib.sha256()
        self._sink.write(self._header(name, size))
        left = size
        while left:
            piece = source.read(min(PIECE, left))
            if not piece:
                raise BackupDamaged(f"{name} became shorter while it was read; make the backup again.")
            digest.update(piece)
            self._sink.write(piece)
            left -= len(piece)
        self._sink.write(bytes(-size % _BLOCK))
        self._sums.write(_sum_line(digest.hexdigest(), name))
        return digest.hexdigest()

    def add_bytes(self, name: str, content: bytes) -> str:
        """Write one small member; returns its SHA-256."""
        return self.add(name, len(content), io.BytesIO(content))

    def finish(self) -> None:
        """Write the hashes and the end of the tar."""
        with self._sums as sums:
            size = sums.tell()
            sums.seek(0)
            self._sink.write(self._header(CHECKSUMS, size))
            while piece := sums.read(PIECE):
                self._sink.write(piece)
        self._sink.write(bytes(-size % _BLOCK) + bytes(_END))

    def _header(self, name: str, size: int) -> bytes:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size, self._time, 0o600
        # Sizes beyond 8 GiB are then a number in the header, not a header of their own.
        return info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")


class OpenMember:
    """A member that is being read; ``pieces`` yields its bytes once, and ``read`` all of a small one."""

    def __init__(self, archive: "ArchiveReader", name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._archive = archive

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes."""
        return self._archive.pieces()

    def read(self, most: int) -> bytes:
        """Return the bytes. Raises ``BackupDamaged`` when there are more than ``most``."""
        if self.size > most:
            raise BackupDamaged(f"{self.name} has {self.size} bytes, more than the {most} it may have.")
        return b"".join(self.pieces())


class ArchiveReader:
    """Reads members from a tar, one after the other. Raises ``BackupDamaged`` or ``NotABackup`` as it comes to them.

    ``source`` is read to its end, so that whatever else checks itself at its end (age) has done so.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._left = 0
        self._padding = 0
        self._name = ""
        self._digest = hashlib.sha256()
        self._sums = hashlib.sha256()
        self._sums_size = 0

    def members(self) -> Iterator[OpenMember]:
        """Yield each member but the list of hashes, which is checked; one that was not read is skipped over."""
        former = (-1, "")
        while True:
            found = self._next()
            place = (_place(found.name), found.name)
            if place <= former:
                raise BackupDamaged(f"{found.name} is not where it belongs in a backup.")
            former = place
            if found.name == CHECKSUMS:
                self._finish(found)
                return
            yield found
            self._close()

    def pieces(self) -> Iterator[bytes]:
        """Yield what is left of the present member."""
        while self._left:
            piece = self._source.read(min(PIECE, self._left))
            if not piece:
                raise BackupDamaged("The backup ends too early: it was not copied whole.")
            self._left -= len(piece)
            self._digest.update(piece)
            yield piece

    def digest(self) -> str:
        """Return the SHA-256 of what was read of the present member; of all of it, once ``pieces`` has ended."""
        return self._digest.hexdigest()

    def _next(self) -> OpenMember:
        block = self._exactly(_BLOCK)
        try:
            info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError):
            if not self._name:
                raise NotABackup("The file is neither a backup of a site nor encrypted with a password.") from None
            raise BackupDamaged("The backup is damaged: a member's header cannot be read.") from None
        if not self._name and info.name != MANIFEST:
            raise NotABackup("The file is a tar, but not a backup of a site: it does not begin with manifest.json.")
        if info.type != tarfile.REGTYPE or info.size < 0:
            raise BackupDamaged(f"The backup holds {info.name[:80]!r}, which is no regular file.")
        self._name, self._left, self._padding = info.name, info.size, -info.size % _BLOCK
        self._digest = hashlib.sha256()
        return OpenMember(self, info.name, info.size)

    def _close(self) -> None:
        for _piece in self.pieces():
            pass
        if any(self._exactly(self._padding)):
            raise BackupDamaged(f"The backup is damaged behind {self._name}.")
        line = _sum_line(self._digest.hexdigest(), self._name)
        self._sums.update(line)
        self._sums_size += len(line)

    def _finish(self, found: OpenMember) -> None:
        for _piece in self.pieces():
            pass
        if found.size != self._sums_size or self._digest.digest() != self._sums.digest():
            raise BackupDamaged("The backup is damaged: its contents are not those that its list of hashes names.")
        if any(self._exactly(self._padding)) or any(self._exactly(_END)):
            raise BackupDamaged("The backup is damaged behind its last member.")
        # `tar` itself fills up with zeros; anything else was not written by us.
        while rest := self._source.read(PIECE):
            if any(rest):
                raise BackupDamaged("Something was added behind the end of the backup.")

    def _exactly(self, size: int) -> bytes:
        found = self._source.read(size)
        while 0 < len(found) < size and (more := self._source.read(size - len(found))):
            found += more
        if len(found) < size:
            if not self._name:
                raise NotABackup("The file is too short to be a backup.")
            raise BackupDamaged("The backup ends too early: it was not copied whole.")
        return found


def _place(name: str) -> int:
    if _BLOB.fullmatch(name):
        return _ORDER.index(BLOBS)
    if name not in _ORDER or name == BLOBS:
        raise BackupDamaged(f"The backup holds {name[:80]!r}, which does not belong there.")
    return _ORDER.index(name)


def _sum_line(sha256: str, name: str) -> bytes:
    return f"{sha256}  {name}\n".encode("ascii")
