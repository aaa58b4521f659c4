"""A folder of its own beside the site's data for each backup or restore under way, and room on the disk for it.

What a killed one left is removed by whoever comes next: a folder that is in use is locked (flock).
"""

import contextlib
import errno
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import OperationalError

from staffetta.kernel.ids import new_id
from staffetta.site.backup.errors import NoRoomForBackup, RestoreRunning

SPARE_BYTES: Final = 64 * 1024**2
"""Room that is left on the site's disk, so that the database can still write."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """Make a folder on the site's disk that goes away with everything in it."""
    sweep()
    path, descriptor = _made()
    try:
        with full_disk_said():
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


@contextlib.contextmanager
def the_only_restore() -> Iterator[None]:
    """Be the only restore. Raises ``RestoreRunning``."""
    descriptor = os.open(_site() / "restore.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RestoreRunning("Another restore is under way on this site; wait until it has ended.") from None
    else:
        yield
    finally:
        os.close(descriptor)


def check_room(needed: int) -> None:
    """Raise ``NoRoomForBackup`` unless the site's disk has room for so many bytes and some more."""
    free = shutil.disk_usage(_site()).free
    if free < needed + SPARE_BYTES:
        raise NoRoomForBackup(
            f"This needs {needed + SPARE_BYTES} bytes on the site's disk, and it has {free}: delete files or "
            "recordings first. Nothing was changed."
        )


@contextlib.contextmanager
def full_disk_said() -> Iterator[None]:
    """Turn the system's error for a full disk, and the database's, into ``NoRoomForBackup``."""
    try:
        yield
    except (OSError, sqlite3.OperationalError, OperationalError) as error:
        if _says_full(error):
            raise NoRoomForBackup("The disk became full; nothing was changed. Make room and try again.") from error
        raise


def _says_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    told = error.__cause__ if isinstance(error, OperationalError) else error
    return isinstance(told, sqlite3.Error) and told.sqlite_errorcode == sqlite3.SQLITE_FULL


def sweep() -> int:
    """Remove what killed backups and restores left; returns how many folders went."""
    gone = 0
    for path in _place().iterdir():
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(path, ignore_errors=True)
            gone += 1
        finally:
            os.close(descriptor)
    return gone


def _made() -> tuple[Path, int]:
    while True:
        path = _place() / new_id()
        path.mkdir(mode=0o700)
        # Between these two lines somebody may take it for a left-over and remove it: then another is made.
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_ino == path.stat().st_ino:
                    return path, descriptor
            os.close(descriptor)


def _place() -> Path:
    path = _site() / "backup-work"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def _site() -> Path:
    return Path(settings.STAFFETTA_SITE_FOLDER)
