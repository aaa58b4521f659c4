"""Pure: which files go into a backup, what is said of the rest, and whether this site can take a backup."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from packaging.version import InvalidVersion, Version

SMALL_FILE: Final = 200 * 1024
"""A backup that is not full holds files of the file store below this size in bytes."""
MOST_FILES: Final = 50
"""How many files of the file store it holds at most: those stored last."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for: ``full`` adds recordings and every file; without history, nothing of sessions is in it."""

    full: bool = False
    logged_history: bool = True


@dataclass(frozen=True, slots=True)
class File:
    """A file of the file store; size in bytes."""

    id: str
    name: str
    sha256: str
    size: int
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files go in, and which do not."""

    taken: tuple[File, ...]
    left_out: tuple[File, ...]


def select_files(files: Iterable[File], wanted: Wanted) -> Selection:
    """Divide the files of the file store."""
    newest_first = sorted(files, key=lambda file: (file.stored_at, file.id), reverse=True)
    if wanted.full:
        return Selection(tuple(newest_first), ())
    small = [file for file in newest_first if file.size < SMALL_FILE]
    taken = small[:MOST_FILES]
    kept = {file.id for file in taken}
    left = sorted((file for file in newest_first if file.id not in kept), key=lambda file: file.name)
    return Selection(tuple(taken), tuple(left))


def holds_recordings(wanted: Wanted) -> bool:
    """Whether recordings go in: without the history nothing would say whose they are."""
    return wanted.full and wanted.logged_history


def left_out_sentences(wanted: Wanted, files: int, recordings: int, *, embedded: bool) -> tuple[str, ...]:
    """Say what is missing in a backup, for its manifest and for who makes it. ``recordings``: of so many sessions."""
    said: list[str] = []
    if not wanted.logged_history:
        said.append("The logged history (session reports and the audit log) was left out, as asked.")
        said.append("The copy of the database was left out: it would hold the logged history.")
    elif not embedded:
        said.append("The copy of the database was left out: make one with the database's own tools.")
    if recordings:
        sessions = "1 session" if recordings == 1 else f"{recordings} sessions"
        said.append(f"Recordings were left out, those of {sessions}.")
    if files:
        said.append(
            f"{files} files of the file store were left out: only the newest {MOST_FILES} of less than "
            f"{SMALL_FILE // 1024} KB go in unless the backup is full."
        )
    return tuple(said)


def refusal_to_restore(made_by: str, here: str) -> str | None:
    """Why a site of version ``here`` cannot take a backup made by version ``made_by``, or None when it can."""
    try:
        newer = Version(made_by) > Version(here)
    except InvalidVersion:
        return f"The backup names {made_by[:40]!r} as the version of its site, which is none."
    if newer:
        return f"The backup was made by version {made_by}, this site is {here}: update the site first."
    return None
