"""Room on a file system, and making a whole tree durable."""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from staffetta.kernel.sizes import spoken_size
from staffetta.releases.errors import DiskFull

SPARE: Final = 16 << 20
"""Bytes that must stay free beside what is asked for, so that databases and logs are never the ones to fail."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def require_space(folder: Path, size: int, files: int = 0) -> None:
    """Raise ``DiskFull`` unless ``size`` bytes and ``files`` new files fit on the folder's file system.

    What counts is what an ordinary user may use; a file system without a limit on files reports none.
    """
    state = os.statvfs(folder)
    free = state.f_bavail * state.f_frsize
    if free < size + SPARE:
        raise DiskFull(
            f"Too little room on the disk: {spoken_size(size + SPARE)} are needed, {spoken_size(free)} are free "
            f"in {folder}. Nothing was changed; make room and try again."
        )
    if state.f_files and state.f_favail < files:
        raise DiskFull(
            f"The disk cannot hold that many files: {files} are needed, {state.f_favail} are free in {folder}. "
            "Nothing was changed; remove files and try again."
        )


@contextmanager
def disk_full_named(folder: Path) -> Iterator[None]:
    """Turn the system's "no space left" into ``DiskFull``; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(f"The disk ran full while writing in {folder}. Make room and try again.") from None


def sync_file_system(folder: Path) -> None:
    """Write everything of the folder's file system to the disk: one ``syncfs`` instead of thousands of ``fsync``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _LIBC.syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(descriptor)
