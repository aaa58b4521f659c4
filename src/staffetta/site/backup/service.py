"""Acting on backups: make one, look into one, restore one; each is written to the audit log."""

from pathlib import Path
from typing import BinaryIO, Final

from staffetta.kernel.files import appearing_whole
from staffetta.site.backup.errors import PasswordNeeded
from staffetta.site.backup.making import write_backup
from staffetta.site.backup.manifest import Manifest
from staffetta.site.backup.opening import read_manifest
from staffetta.site.backup.restoring import Restored, restore_backup
from staffetta.site.backup.rules import Wanted
from staffetta.site.backup.work import full_disk_said
from staffetta.site.data import audit

__all__ = ["Manifest", "Restored", "Wanted", "create", "create_file", "read_manifest", "restore"]

CREATED: Final = "backup.created"


def create(destination: BinaryIO, wanted: Wanted, password: bytes | None, actor: str) -> Manifest:
    """Write a backup to an open file, for ``actor``. Raises ``PasswordNeeded`` for an empty one, ``NoRoomForBackup``.

    With ``password`` None it is a plain tar in which the site's secrets can be read; that must be meant. The caller
    sees to it that the file appears whole or not at all.
    """
    if password is not None and not password:
        raise PasswordNeeded("The password is empty; choose one, or say that there is to be none.")
    said = write_backup(destination, wanted, password)
    destination.flush()
    audit.note(
        actor,
        CREATED,
        detail={
            "full": said.full,
            "logged_history": said.records is not None,
            "encrypted": password is not None,
            "bytes": said.content_bytes,
        },
    )
    return said


def create_file(path: Path, wanted: Wanted, password: bytes | None, actor: str) -> Manifest:
    """The same into a file that appears at ``path`` when it is whole (mode 0600, synced)."""
    with full_disk_said(), appearing_whole(path) as file:
        return create(file, wanted, password, actor)


def restore(source: BinaryIO, password: bytes | None, actor: str) -> Restored:
    """Check a backup and put it back, for ``actor``; see ``restoring.restore_backup``."""
    return restore_backup(source, password, actor)
