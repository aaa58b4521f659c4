"""Making a backup: gather what belongs together from one picture of the database, then write it out.

Gathering is quick and happens on the site's own disk (in files without a name, blobs by hard links), so that a slow
destination keeps neither the database nor the file store waiting.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from django.conf import settings

from staffetta.kernel.clock import utc_now
from staffetta.kernel.files import sha256_of
from staffetta.site.accounts.models import Account
from staffetta.site.backup import archive, lines, manifest, rules, work
from staffetta.site.backup.age import EncryptingWriter, Sink
from staffetta.site.backup.archive import ArchiveWriter
from staffetta.site.backup.manifest import Content, Holds, LeftOutFile, Manifest
from staffetta.site.backup.picture import one_picture
from staffetta.site.backup.rules import File, Wanted
from staffetta.site.data import blobs, documents, identity
from staffetta.site.data.documents import Document
from staffetta.site.data.errors import BlobMissing
from staffetta.site.data.models import Blob, Record
from staffetta.site.data.sync import Sync
from staffetta.site.fleet.models import JumpClient
from staffetta.site.management.models import StoredFile
from staffetta.site.processes.errors import OtherDatabase
from staffetta.site.processes.tasks import copy_database, snapshot_bytes
from staffetta.site.support.models import SessionReport, SessionSegment

_ROWS: Final = 1000
_FILE_TYPE: Final = StoredFile._meta.label


@dataclass(frozen=True, slots=True)
class _Gathered:
    """All that goes into a backup, lying still on this disk."""

    manifest: Manifest
    documents: BinaryIO
    records: BinaryIO | None
    database: Path | None
    blobs: tuple[Path, ...]


def write_backup(destination: Sink, wanted: Wanted, password: bytes | None) -> Manifest:
    """Write a backup to ``destination``; returns what it says of itself. Raises ``NoRoomForBackup``.

    With no password it is a plain tar, in which the site's secrets can be read.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(work.work_folder())
        gathered = _gather(folder, wanted, stack, in_the_clear=password is None)
        if password is None:
            _write(destination, gathered)
        else:
            encrypting = EncryptingWriter(destination, password)
            _write(encrypting, gathered)
            encrypting.finish()
    return gathered.manifest


def _write(sink: Sink, gathered: _Gathered) -> None:
    said = gathered.manifest
    writer = ArchiveWriter(sink, said.made_at)
    writer.add_bytes(archive.MANIFEST, manifest.write(said))
    writer.add(archive.DOCUMENTS, said.documents.size, gathered.documents)
    if said.records is not None and gathered.records is not None:
        writer.add(archive.RECORDS, said.records.size, gathered.records)
    for path in gathered.blobs:
        with path.open("rb") as file:
            writer.add(archive.blob_name(path.name), os.fstat(file.fileno()).st_size, file)
    if said.database is not None and gathered.database is not None:
        with gathered.database.open("rb") as file:
            writer.add(archive.DATABASE, said.database.size, file)
    writer.finish()


def _gather(folder: Path, wanted: Wanted, stack: contextlib.ExitStack, *, in_the_clear: bool) -> _Gathered:
    made_at = utc_now()
    database, embedded = _database(folder, wanted)

    def lines_file() -> BinaryIO:
        return stack.enter_context(tempfile.TemporaryFile(dir=folder))

    with one_picture():
        selection = rules.select_files(_files(), wanted)
        left_out = {file.id for file in selection.left_out}
        documents_file, records_file = lines_file(), lines_file() if wanted.logged_history else None
        documents_said = lines.write_lines(documents_file, (lines.document_line(one) for one in _documents(left_out)))
        records_said = None
        if records_file is not None:
            rows = Record.objects.order_by("origin", "incarnation", "sequence").iterator(chunk_size=_ROWS)
            records_said = lines.write_lines(records_file, (lines.record_line(row) for row in rows))
        linked = _link(folder, _chosen_blobs(selection, wanted))
        recorded = SessionSegment.objects.values("report").distinct().count()
        segments = 0 if rules.holds_recordings(wanted) else SessionSegment.objects.values("sha256").distinct().count()
        holds = _holds(wanted, len(selection.taken), recorded)
        origin, term = identity.origin(), identity.role_term()
    said = Manifest(
        site_version=settings.STAFFETTA_VERSION,
        origin=origin,
        role_term=term,
        made_at=made_at,
        full=wanted.full,
        secrets_in_the_clear=in_the_clear,
        documents=documents_said,
        records=records_said,
        database=_said_of(database) if database is not None else None,
        blobs=len(linked),
        blob_bytes=sum(path.stat().st_size for path in linked),
        files_left_out=tuple(LeftOutFile(file.id, file.name, file.size) for file in selection.left_out),
        recordings_left_out=segments,
        left_out=rules.left_out_sentences(wanted, len(left_out), recorded - holds.recordings, embedded=embedded),
        holds=holds,
    )
    return _Gathered(said, documents_file, records_file, database, linked)


def _holds(wanted: Wanted, files: int, recorded: int) -> Holds:
    return Holds(
        users=Account.objects.filter(probe=False).count(),
        jump_clients=JumpClient.objects.filter(revoked_at=None).count(),
        files=files,
        sessions=SessionReport.objects.count() if wanted.logged_history else 0,
        recordings=recorded if rules.holds_recordings(wanted) else 0,
    )


def _database(folder: Path, wanted: Wanted) -> tuple[Path | None, bool]:
    """A copy of the database, if one belongs in; and whether the database is the embedded one."""
    try:
        # The copy, and the lines of the records, which say in more words what the database holds.
        work.check_room(snapshot_bytes() * 3)
    except OtherDatabase:
        return None, False
    if not wanted.logged_history:
        return None, True
    path = folder / archive.DATABASE
    copy_database(path)
    return path, True


def _said_of(path: Path) -> Content:
    return Content(0, path.stat().st_size, sha256_of(path))


def _files() -> Iterator[File]:
    for row in StoredFile.objects.iterator(chunk_size=_ROWS):
        yield File(row.id, row.name, row.sha256, row.size, row.stored_at)


def _documents(left_out: set[str]) -> Iterator[Document]:
    """Configuration, without the files whose bytes are left out: a list of files that are not there helps nobody."""
    for document in documents.collect(Sync.CONFIG, lines.InTheClear()):
        if document.type != _FILE_TYPE or document.key not in left_out:
            yield document


def _chosen_blobs(selection: rules.Selection, wanted: Wanted) -> Iterator[str]:
    """The files that were selected, the recordings if they belong in, and whatever is neither."""
    files = {file.sha256 for file in selection.taken}
    of_store = {file.sha256 for file in selection.left_out} | files
    recordings = rules.holds_recordings(wanted)
    segments = SessionSegment.objects
    for (sha256,) in Blob.objects.order_by("pk").values_list("pk").iterator(chunk_size=_ROWS):
        if sha256 in files:
            yield sha256
        elif segments.filter(sha256=sha256).exists():
            if recordings:
                yield sha256
        elif sha256 not in of_store:
            yield sha256


def _link(folder: Path, chosen: Iterator[str]) -> tuple[Path, ...]:
    """Give each blob a second name in ``folder``: what is deleted from now on is still there for this backup."""
    linked: list[Path] = []
    place = folder / "blobs"
    place.mkdir(mode=0o700)
    for sha256 in chosen:
        # One that the picture still shows may be gone by now; a restore says which files lack their bytes.
        with contextlib.suppress(BlobMissing, FileNotFoundError):
            os.link(blobs.path_of(sha256), place / sha256)
            linked.append(place / sha256)
    return tuple(linked)
