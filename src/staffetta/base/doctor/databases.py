"""Checks a database beside the program that has it, so that nothing is left behind and nobody is held up for long.

A reader of a database in WAL mode may have to make the log's index, which would then belong to whoever reads. So: with
a log beside it, the database is opened only when its index is there too; without one, it is read as a file that does
not change, which makes nothing; if it did change, what looks like damage may be none, and it is looked at again. A
check that takes long is broken off, since a reader keeps the log from being reset.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from staffetta.base.doctor.apart import not_plain
from staffetta.base.doctor.facts import DatabaseSeen, DatabaseState, RoleSeen, Unseen
from staffetta.control.paths import AppliancePaths

LONGEST_SECONDS: Final = 10.0
TRIES: Final = 3
_LOOK_STEPS: Final = 100_000
"""So many steps of SQLite's machine lie between two looks at the clock."""


def check_database(paths: AppliancePaths, program: str, seconds: float = LONGEST_SECONDS) -> DatabaseSeen | Unseen:
    """Run SQLite's quick check on one program's database, for at most so long."""
    path = paths.data(program) / f"{program}.sqlite3"
    if not os.access(path.parent, os.X_OK):
        return Unseen(f"The database of {program} cannot be read by this user.")
    if not os.path.lexists(path):
        return DatabaseSeen(program, str(path), DatabaseState.ABSENT)
    if odd := not_plain(path, sys.maxsize):
        return DatabaseSeen(program, str(path), DatabaseState.DAMAGED, odd)
    if not os.access(path, os.R_OK):
        return Unseen(f"The database of {program} cannot be read by this user.")
    for _ in range(TRIES):
        before = _looks(path)
        state, said = _checked(path, seconds, has_log=_size(path, "-wal") is not None)
        if state is not DatabaseState.DAMAGED or _looks(path) == before:
            break
    else:
        state, said = DatabaseState.LEFT_ALONE, f"{path} is written to again and again; it could not be read between."
    return DatabaseSeen(program, str(path), state, said, path.stat().st_size, _size(path, "-wal") or 0)


def _looks(path: Path) -> tuple[int, int, int, int | None]:
    """What changes when the database is written to, or gets or loses its log."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size, _size(path, "-wal")


def _checked(path: Path, seconds: float, *, has_log: bool) -> tuple[DatabaseState, str]:
    if has_log and _size(path, "-shm") is None:
        return DatabaseState.LEFT_ALONE, _not_closed(path)
    try:
        with _opened(path, seconds, has_log=has_log) as database:
            rows = [str(row[0]) for row in database.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return DatabaseState.TOO_LARGE, f"{path} is too large to be checked in {seconds:.0f} s beside its program."
        return DatabaseState.LEFT_ALONE, f"{path} could not be read now: {error}."
    except sqlite3.DatabaseError as error:
        return DatabaseState.DAMAGED, f"{error}."
    if rows == ["ok"]:
        return DatabaseState.WHOLE, ""
    return DatabaseState.DAMAGED, "; ".join(" ".join(row.split()) for row in rows) + "."


def site_role(paths: AppliancePaths, seconds: float = LONGEST_SECONDS) -> RoleSeen | Unseen:
    """The role that the site has stored."""
    path = paths.site / "site.sqlite3"
    if not os.access(path.parent, os.X_OK):
        return Unseen("The role of the site cannot be read by this user.")
    if not os.path.lexists(path):
        return RoleSeen(None)
    if odd := not_plain(path, sys.maxsize):
        return Unseen(odd)
    if not os.access(path, os.R_OK):
        return Unseen("The role of the site cannot be read by this user.")
    has_log = _size(path, "-wal") is not None
    if has_log and _size(path, "-shm") is None:
        return Unseen(_not_closed(path))
    try:
        with _opened(path, seconds, has_log=has_log) as database:
            row = database.execute("SELECT role FROM data_siteinstance").fetchone()
    except sqlite3.DatabaseError as error:
        return Unseen(f"The role of the site could not be read from {path}: {error}.")
    return RoleSeen(None if row is None else str(row[0]))


def _not_closed(path: Path) -> str:
    return f"{path} was not closed; its program mends that when it starts."


@contextlib.contextmanager
def _opened(path: Path, seconds: float, *, has_log: bool) -> Iterator[sqlite3.Connection]:
    how = "mode=ro" if has_log else "mode=ro&immutable=1"
    end = time.monotonic() + seconds
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, timeout=2.0)) as database:
        database.set_progress_handler(lambda: time.monotonic() > end, _LOOK_STEPS)
        database.execute("PRAGMA trusted_schema=OFF")
        yield database


def _size(path: Path, suffix: str) -> int | None:
    try:
        return path.with_name(f"{path.name}{suffix}").stat().st_size
    except FileNotFoundError:
        return None
