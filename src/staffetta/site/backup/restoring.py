"""Putting a backup back: everything is checked and lies on this disk before one transaction applies all of it.

Killed anywhere, the site is as it was or as it is meant to be. What the site had before is in a copy of the database
that is made first; bytes that only the former state names stay on the disk for it.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from django.conf import settings
from django.db import transaction

from staffetta.kernel.clock import utc_now
from staffetta.site.accounts.sign_ins import void_every_console
from staffetta.site.backup import lines, opening, rules, work
from staffetta.site.backup.errors import NotRestorable
from staffetta.site.backup.manifest import Manifest
from staffetta.site.backup.opening import Opened
from staffetta.site.data import audit, blobs, documents, guard, identity, records
from staffetta.site.data.errors import ReadOnlyHere
from staffetta.site.data.models import Blob, SiteInstance
from staffetta.site.data.roles import Role
from staffetta.site.data.sync import Sync
from staffetta.site.management.models import StoredFile
from staffetta.site.processes.errors import OtherDatabase
from staffetta.site.processes.tasks import snapshot, snapshot_bytes

FORMER: Final = "before-restore"
"""The folder in the site's data with copies of the database from before the newest restores."""
RESTORED: Final = "backup.restored"
WHEN_PUT_BACK: Final[list[str]] = []
"""What other rooms change in that copy (SQL): whoever puts it back means it, while a disk may be set back by mishap."""

_ROWS: Final = 1000
_FILE_TYPE: Final = StoredFile._meta.label


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: documents of the configuration removed that the backup lacks, records added.

    ``former`` is the copy of the database from before it, ``identity_changed`` whether the site has another identity
    key now: then its processes must be started anew.
    """

    manifest: Manifest
    removed: int
    records: int
    files_without_bytes: tuple[str, ...]
    former: Path | None
    identity_changed: bool


def restore_backup(source: BinaryIO, password: bytes | None, actor: str) -> Restored:
    """Check a backup and put it back in the name of ``actor``; an error has changed nothing.

    Raises what ``opening.lay_out`` raises; ``NoRoomForBackup``; ``RestoreRunning``; ``NotRestorable`` for a backup of
    a newer version; ``ReadOnlyHere`` on the backup appliance of a pair; ``DocumentDamaged`` or ``RecordGap`` for
    contents that contradict themselves.
    """
    _require_editable()
    with work.the_only_restore(), ExitStack() as stack:
        work.check_room(source.seek(0, 2) + 2 * _database_bytes())
        folder = stack.enter_context(work.work_folder())
        opened = opening.lay_out(source, password, folder, stack, _require_restorable_here)
        former = _copy_of_now()
        with transaction.atomic():
            _require_editable()
            return _apply(opened, actor, former)


def _require_editable() -> None:
    if not identity.role().serves:
        raise ReadOnlyHere(
            "This appliance is the backup of a pair: restore on its primary, and it all comes here by itself."
        )
    guard.require_editable()


def _require_restorable_here(said: Manifest) -> None:
    refusal = rules.refusal_to_restore(said.site_version, settings.STAFFETTA_VERSION)
    if refusal is not None:
        raise NotRestorable(refusal)
    # Laid out, and in the database: once in its log of what is under way, once for good.
    work.check_room(said.content_bytes + (2 * said.records.size if said.records is not None else 0))


def _apply(opened: Opened, actor: str, former: Path | None) -> Restored:
    """Everything, in the caller's transaction."""
    said = opened.manifest
    known_by = identity.site_identity().public
    for blob in opened.blobs:
        blobs.settle(blob.path, blob.sha256, blob.size)
    added = _insert_records(opened)
    brought = list(lines.read_documents(opened.documents))
    spared = {(one.type, one.key) for one in brought}
    spared |= {(_FILE_TYPE, one.id) for one in said.files_left_out}
    present = ((one.type, one.key) for one in documents.collect(Sync.CONFIG, lines.InTheClear()))
    removed = [key for key in present if key not in spared]
    documents.apply(Sync.CONFIG, brought, removed, lines.InTheClear())
    void_every_console(utc_now())
    if identity.role() is Role.ALONE:
        # Clients follow the highest term they have seen; on a new appliance it would begin with the lowest again.
        SiteInstance.objects.filter(only=True, role_term__lt=said.role_term).update(role_term=said.role_term)
    audit.note(
        actor,
        RESTORED,
        detail={"made_at": said.made_at.isoformat(), "origin": said.origin, "removed": len(removed), "records": added},
    )
    return Restored(
        manifest=said,
        removed=len(removed),
        records=added,
        files_without_bytes=_files_without_bytes(),
        former=former,
        identity_changed=identity.site_identity().public != known_by,
    )


def _insert_records(opened: Opened) -> int:
    if opened.records is None:
        return 0
    read: Iterator[records.RecordText] = lines.read_records(opened.records)
    added = 0
    while some := list(islice(read, _ROWS)):
        added += records.insert_foreign(some)
    return added


def _files_without_bytes() -> tuple[str, ...]:
    rows = StoredFile.objects.exclude(sha256__in=Blob.objects.values("sha256"))
    return tuple(rows.order_by("name").values_list("name", flat=True))


def _copy_of_now() -> Path | None:
    try:
        made = snapshot(Path(settings.STAFFETTA_SITE_FOLDER) / FORMER, settings.STAFFETTA_VERSION)
    except OtherDatabase:
        return None
    if made["path"] is None:
        return None
    path = Path(str(made["path"]))
    _mark_as_meant(path)
    return path


def _mark_as_meant(former: Path) -> None:
    with contextlib.closing(sqlite3.connect(former)) as copy, copy:
        for statement in WHEN_PUT_BACK:
            copy.execute(statement)


def _database_bytes() -> int:
    try:
        return snapshot_bytes()
    except OtherDatabase:
        return 0
