"""Acting on the file store (S6): store, replace, list, find, delete."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from staffetta.kernel.clock import utc_now
from staffetta.site.data import audit, blobs
from staffetta.site.data.blobs import BlobWriter
from staffetta.site.management.errors import BadUpload, FileUnknown
from staffetta.site.management.models import StoredFile

NAME_LENGTH: Final = 255


@dataclass(frozen=True, slots=True)
class FileSummary:
    """A stored file as the list shows it; size in bytes."""

    id: str
    name: str
    sha256: str
    size: int
    stored_by: str
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class StoreTotals:
    """How many files there are, and their sizes together in bytes."""

    files: int
    size: int


def connect() -> None:
    """Register that stored files hold blobs."""
    blobs.add_holder(StoredFile)


def checked_name(name: str) -> str:
    """Return a file name without folders. Raises ``BadUpload`` for one that cannot be shown or saved."""
    clean = name.replace("\\", "/").rpartition("/")[2].strip()
    if clean in ("", ".", "..") or len(clean) > NAME_LENGTH or not clean.isprintable():
        raise BadUpload(_("The file needs a name of 1 to 255 printable characters."))
    return clean


def store(actor: str, name: str, writer: BlobWriter) -> tuple[FileSummary, bool]:
    """Keep what was written under ``name``; returns the file and whether it replaced one of that name.

    Raises ``BadUpload`` for a name that cannot be used.
    """
    clean = checked_name(name)
    with transaction.atomic():
        blob = writer.store()
        row = StoredFile.objects.filter(name=clean).first()
        former = row.sha256 if row is not None else None
        if row is None:
            row = StoredFile(name=clean)
        row.sha256, row.size, row.stored_by, row.stored_at = blob.sha256, blob.size, actor, utc_now()
        row.save()
        if former is not None and former != blob.sha256:
            blobs.release(former)
        audit.note(
            actor,
            "file.stored" if former is None else "file.replaced",
            clean,
            {"size": blob.size, "sha256": blob.sha256},
        )
    return _summary(row), former is not None


def list_files() -> tuple[FileSummary, ...]:
    """Return every file by name."""
    return tuple(_summary(row) for row in StoredFile.objects.order_by("name"))


def totals() -> StoreTotals:
    """Return how much is stored."""
    found = StoredFile.objects.aggregate(size=Sum("size"))
    return StoreTotals(StoredFile.objects.count(), found["size"] or 0)


def find(file_id: str) -> tuple[FileSummary, Path]:
    """Return a file and where its bytes are. Raises ``FileUnknown``, ``BlobMissing``."""
    row = _row(file_id)
    return _summary(row), blobs.path_of(row.sha256)


def delete(actor: str, file_id: str) -> str:
    """Remove a file, and its bytes if nothing else holds them; returns its name. Raises ``FileUnknown``."""
    with transaction.atomic():
        row = _row(file_id)
        row.delete()
        blobs.release(row.sha256)
        audit.note(actor, "file.deleted", row.name, {"size": row.size, "sha256": row.sha256})
    return row.name


def _row(file_id: str) -> StoredFile:
    row = StoredFile.objects.filter(pk=file_id).first()
    if row is None:
        raise FileUnknown(_("There is no such file."))
    return row


def _summary(row: StoredFile) -> FileSummary:
    return FileSummary(row.id, row.name, row.sha256, row.size, row.stored_by, row.stored_at)
