"""Looks into a program's folder in a child with the rights of that program's user, of bounded memory, time and answer.

Whatever lies there may have been put there by a program that somebody took over. Were it looked at as root, a pipe
would hold the doctor up, an endless file fill the memory, and a program that a manifest names run as root.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from staffetta.base.doctor.facts import Unseen
from staffetta.base.layout import User
from staffetta.control.local import from_json, to_json
from staffetta.kernel.errors import StaffettaError

LONGEST_SECONDS: Final = 60.0
ALL_SECONDS: Final = 180.0
LARGEST_ANSWER: Final = 1 << 20
MEMORY: Final = 1 << 30
_CPU_SECONDS: Final = 90
_NO_NEW_PRIVILEGES: Final = 38  # prctl(2), PR_SET_NO_NEW_PRIVS
_NAMES: Final = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Apart:
    """Children that look, of which all together take `ALL_SECONDS` at most, each no more than ``longest``."""

    until: float
    longest: float = LONGEST_SECONDS

    @classmethod
    def begin(cls, seconds: float = ALL_SECONDS, longest: float = LONGEST_SECONDS) -> Apart:
        """The time begins now."""
        return cls(time.monotonic() + seconds, longest)

    def look(self, what: str, owner: User | None, kind: type[T], question: Callable[[], T | Unseen]) -> T | Unseen:
        """What ``question`` answers, a ``kind`` of plain values; asked with the rights of ``owner`` when this is root.

        ``what`` begins the sentence that says why there is no answer. Root never looks at what belongs to nobody known.
        """
        if os.geteuid() == 0 and owner is None:
            return Unseen(f"{what} could not be seen: keeper's configuration does not tell whose it is.")
        end = min(self.until, time.monotonic() + self.longest)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            _answer(what, write, owner, question)
        os.close(write)
        try:
            said = _read(read, end)
        finally:
            os.close(read)
            _end(child)
        if said is None:
            return Unseen(f"{what} could not be seen in time.")
        try:
            answer = json.loads(said)
            if "unseen" in answer:
                return Unseen(str(answer["unseen"]))
            return from_json(kind, answer["seen"])
        except (ValueError, KeyError, TypeError, StaffettaError):
            return Unseen(f"{what} could not be seen: whoever looked was stopped, or had too much to tell.")


def not_plain(path: Path, largest: int) -> str | None:
    """Why a file is not to be read: it is no plain file, or larger than this many bytes. A missing file is none of it.

    Raises OSError where this user may not look. What is put there before it is read meets the child's limits.
    """
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    for is_it, name in _NAMES:
        if is_it(found.st_mode):
            return f"{path} is {name} and not a file."
    return f"{path} is far too large ({found.st_size} bytes)." if found.st_size > largest else None


def _answer(what: str, write: int, owner: User | None, question: Callable[[], object]) -> NoReturn:
    """Everything that the child does. It never returns, so that nothing of the parent's is ended twice."""
    try:
        _confine(owner)
        try:
            seen = question()
            answer: dict[str, object] = {"seen": to_json(seen)}
            if isinstance(seen, Unseen):
                answer = {"unseen": seen.why}
        except MemoryError:
            answer = {"unseen": f"{what} could not be seen: that takes more memory than is given to it."}
        except Exception as error:  # noqa: BLE001 - whatever a hostile file brings about is one sentence of the report
            answer = {"unseen": f"{what} could not be seen ({type(error).__name__}: {error})."}
        view = memoryview(json.dumps(answer).encode())
        while view:
            view = view[os.write(write, view) :]
    finally:
        os._exit(0)


def _confine(owner: User | None) -> None:
    """Leave the terminal, the environment and root's rights behind, and take no more than is given."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.chdir("/")
    os.umask(0o077)
    os.environ.clear()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for limit, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, _CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hardest = resource.getrlimit(limit)[1]
        allowed = most if hardest == resource.RLIM_INFINITY else min(most, hardest)
        resource.setrlimit(limit, (allowed, allowed))
    if owner is not None and os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(owner.gid, owner.gid, owner.gid)
        os.setresuid(owner.uid, owner.uid, owner.uid)
    if ctypes.CDLL(None, use_errno=True).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _read(descriptor: int, end: float) -> bytes | None:
    """Everything until its end, or until it is too much; None when it is not there in time."""
    said = b""
    while len(said) <= LARGEST_ANSWER:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return None
        piece = os.read(descriptor, 1 << 16)
        if not piece:
            break
        said += piece
    return said if len(said) <= LARGEST_ANSWER else b""


def _end(child: int) -> None:
    """End the child and what it has started, whether it is done or not."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
