"""Opening a backup: decrypt it, check everything in it, and lay it out on the site's disk; nothing is applied here."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from staffetta.kernel.files import sync_directory
from staffetta.site.backup import age, archive, lines, manifest
from staffetta.site.backup.archive import ArchiveReader, OpenMember
from staffetta.site.backup.errors import BackupDamaged, PasswordNeeded
from staffetta.site.backup.manifest import Content, Manifest


@dataclass(frozen=True, slots=True)
class LaidOutBlob:
    """A blob that was checked and synced to disk."""

    sha256: str
    size: int
    path: Path


@dataclass(frozen=True, slots=True)
class Opened:
    """A backup that is whole, laid out on this disk. ``records`` is None when they were left out."""

    manifest: Manifest
    documents: BinaryIO
    records: BinaryIO | None
    blobs: tuple[LaidOutBlob, ...]


def plain(source: BinaryIO, password: bytes | None) -> BinaryIO:
    """Return a reader of the tar in a backup. Raises ``PasswordNeeded``, ``WrongPassword`` and what age raises.

    A password that is not needed is not looked at.
    """
    if not age.is_age(source):
        return source
    if password is None:
        raise PasswordNeeded("The backup is encrypted: give its password. Without it, it cannot be restored.")
    return age.decrypting_reader(source, password)


def read_manifest(source: BinaryIO, password: bytes | None) -> Manifest:
    """Return what a backup says of itself, reading no further than that; it may be damaged further on."""
    return manifest.read(next(ArchiveReader(plain(source, password)).members()).read(manifest.MOST_BYTES))


def lay_out(
    source: BinaryIO, password: bytes | None, folder: Path, stack: ExitStack, require: Callable[[Manifest], None]
) -> Opened:
    """Read a backup to its end, check all of it, and lay it out in ``folder``; files without names go to ``stack``.

    ``require`` may refuse it by what it says of itself, before the rest is read.
    Raises ``BackupDamaged`` for whatever is not as it was written, and what ``plain`` and ``manifest.read`` raise.
    """
    reader = ArchiveReader(plain(source, password))
    said: Manifest | None = None
    kept: dict[str, BinaryIO] = {}
    blobs: list[LaidOutBlob] = []
    for member in reader.members():
        if said is None:
            said = manifest.read(member.read(manifest.MOST_BYTES))
            require(said)
        elif member.name.startswith(archive.BLOBS):
            blobs.append(_lay_blob(reader, member, folder))
        elif member.name == archive.DATABASE:
            _check(member, _all(reader, member, None), said.database)
        else:
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 - the stack closes it
            announced = said.documents if member.name == archive.DOCUMENTS else said.records
            _check(member, _all(reader, member, file), announced)
            kept[member.name] = file
    assert said is not None  # the reader yields a manifest first or raises
    documents, records = kept.get(archive.DOCUMENTS), kept.get(archive.RECORDS)
    if documents is None or (records is None) != (said.records is None):
        raise BackupDamaged("The backup is not whole: it lacks a part that its manifest names.")
    if (len(blobs), sum(blob.size for blob in blobs)) != (said.blobs, said.blob_bytes):
        raise BackupDamaged("The backup is not whole: it lacks files that its manifest counts.")
    if blobs:
        sync_directory(blobs[0].path.parent)
    _check_lines("documents", lines.read_documents(documents), said.documents)
    if records is not None and said.records is not None:
        _check_lines("records", lines.read_records(records), said.records)
    return Opened(said, documents, records, tuple(blobs))


def _check(member: OpenMember, sha256: str, announced: Content | None) -> None:
    if announced is None or (member.size, sha256) != (announced.size, announced.sha256):
        raise BackupDamaged(f"The backup is damaged: {member.name} is not what its manifest says.")


def _check_lines(what: str, read: Iterator[object], announced: Content) -> None:
    if sum(1 for _one in read) != announced.count:
        raise BackupDamaged(f"The backup is damaged: it does not hold as many {what} as its manifest says.")


def _all(reader: ArchiveReader, member: OpenMember, into: BinaryIO | None) -> str:
    for piece in member.pieces():
        if into is not None:
            into.write(piece)
    if into is not None:
        into.flush()
    return reader.digest()


def _lay_blob(reader: ArchiveReader, member: OpenMember, folder: Path) -> LaidOutBlob:
    place = folder / "blobs"
    place.mkdir(mode=0o700, exist_ok=True)
    path = place / member.name.removeprefix(archive.BLOBS)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        found = _all(reader, member, file)
        os.fsync(file.fileno())
    if found != path.name:
        raise BackupDamaged(f"The backup is damaged: the file {path.name} has other bytes than its name says.")
    return LaidOutBlob(path.name, member.size, path)
