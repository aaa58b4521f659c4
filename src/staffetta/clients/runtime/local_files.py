"""A file on this computer that is moved: read as it was when opened, or stored beside its name and renamed when whole.

Everything here may wait for a disk and belongs into a thread. Both are closed from the event loop while a thread may
still be at work in them: a lock keeps a closed descriptor from being used.
"""

import contextlib
import errno
import os
import stat
import threading
from pathlib import Path
from typing import Final

from staffetta.clients.runtime.file_errors import problem, problem_at, problem_of
from staffetta.kernel.files import sync_directory
from staffetta.kernel.ids import new_id
from staffetta.wire.files import Trouble

_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What a file system says that has no hard links."""


def place_of(text: str, base: Path) -> Path:
    """Return the path that a person's words name; what is relative, or begins with ``~/``, is below ``base``."""
    if "\0" in text or not text:
        raise problem(Trouble.BAD_PATH, "That cannot be the name of a file.")
    path = base / text.removeprefix("~/")
    if text.endswith("/") or text in (".", "..", "~"):
        raise problem_at(Trouble.IS_A_DIRECTORY, path)
    return path


class Source:
    """A regular file, opened for reading. What is added to it after that is not read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._descriptor: int | None = None
        self._closed = False
        self._lock = threading.Lock()

    def open(self) -> None:
        """Open it and learn its size. Raises FileProblem."""
        with self._lock:
            if self._closed:
                return
            try:
                descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            except OSError as error:
                raise problem_of(error, self.path) from None
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                os.close(descriptor)
                what = Trouble.IS_A_DIRECTORY if stat.S_ISDIR(facts.st_mode) else Trouble.NOT_A_FILE
                raise problem_at(what, self.path)
            self._descriptor, self.size = descriptor, facts.st_size

    def read(self, place: int, count: int) -> bytes:
        """Return exactly ``count`` bytes from ``place`` on. Raises FileProblem, also if the file is shorter by now."""
        with self._lock:
            if self._descriptor is None:
                raise problem(Trouble.CANCELLED, f"{self.path} is no longer read.")
            data = b""
            while len(data) < count:
                try:
                    more = os.pread(self._descriptor, count - len(data), place + len(data))
                except OSError as error:
                    raise problem_of(error, self.path) from None
                if not more:
                    raise problem_at(Trouble.FILE_CHANGED, self.path)
                data += more
            return data

    def close(self) -> None:
        """Close it; safe to repeat."""
        with self._lock:
            self._closed = True
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


class Landing:
    """A file that is being stored: written beside ``path``, there only when it is whole and on the disk."""

    def __init__(self, path: Path, size: int, overwrite: bool) -> None:
        self.path = path
        self._size = size
        self._overwrite = overwrite
        self._beside = path.with_name(f".{path.name[:60]}.{new_id()}.part")
        self._descriptor: int | None = None
        self._closed = False
        self._lock = threading.Lock()

    def open(self) -> None:
        """Begin it. Raises FileProblem if the file cannot be stored there; nothing is changed then."""
        with self._lock:
            if self._closed:
                return
            mode = check_place(self.path, self._size, self._overwrite)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            try:
                self._descriptor = os.open(self._beside, flags, 0o666)
                if mode is not None:
                    os.fchmod(self._descriptor, mode)
            except OSError as error:
                raise problem_of(error, self.path) from None

    def write(self, data: bytes) -> None:
        """Append bytes. Raises FileProblem."""
        rest = memoryview(data)
        with self._lock:
            try:
                while rest and self._descriptor is not None:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError as error:
                raise problem_of(error, self.path) from None

    def keep(self) -> None:
        """Make the whole file durable under its name. Raises FileProblem, also if a file came there meanwhile."""
        with self._lock:
            if self._descriptor is None:
                raise problem(Trouble.CANCELLED, f"{self.path} is no longer stored.")
            try:
                os.fsync(self._descriptor)
                if self._overwrite:
                    self._beside.replace(self.path)
                else:
                    _name(self._beside, self.path)
                os.close(self._descriptor)
                self._descriptor = None
                sync_directory(self.path.parent)
            except OSError as error:
                raise problem_of(error, self.path) from None

    def discard(self) -> None:
        """Remove what was written unless it was kept; safe to repeat."""
        with self._lock:
            self._closed = True
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
                with contextlib.suppress(OSError):
                    self._beside.unlink()


def check_place(path: Path, size: int, overwrite: bool) -> int | None:
    """Raise FileProblem for what can be known before the first byte; return the mode of the file to be replaced."""
    try:
        facts = path.lstat()
    except FileNotFoundError:
        facts = None
    except OSError as error:
        raise problem_of(error, path) from None
    try:
        if not path.parent.is_dir():
            raise problem_at(Trouble.NO_SUCH_FOLDER, path)
        if facts is not None:
            if path.is_dir():
                raise problem_at(Trouble.IS_A_DIRECTORY, path)
            if not overwrite:
                raise problem_at(Trouble.ALREADY_THERE, path)
            if not (stat.S_ISREG(facts.st_mode) or stat.S_ISLNK(facts.st_mode)):
                raise problem_at(Trouble.NOT_A_FILE, path)
        disk = os.statvfs(path.parent)
    except OSError as error:
        raise problem_of(error, path) from None
    if disk.f_bavail * disk.f_frsize < size:
        raise problem_at(Trouble.NO_SPACE, path)
    return stat.S_IMODE(facts.st_mode) & 0o777 if facts is not None and stat.S_ISREG(facts.st_mode) else None


def _name(beside: Path, path: Path) -> None:
    """Give the file its name unless there is one of that name by now."""
    try:
        path.hardlink_to(beside)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        beside.replace(path)
    else:
        beside.unlink()
