"""One-shot tasks that keeper runs with a release's code: bring the database up to date, and copy it.

Both may run beside a generation that serves: migrations only add, and the copy is one read transaction.
"""

import contextlib
import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from staffetta.kernel.clock import utc_now
from staffetta.kernel.files import sync_directory
from staffetta.site.processes.errors import NoRoomForSnapshot, OtherDatabase

SNAPSHOTS_KEPT: Final = 2
_SPARE_BYTES: Final = 64 * 1024**2
_SUFFIX: Final = ".sqlite3"


def migrate() -> dict[str, object]:
    """Apply what this release's migrations add; on a new site the apps make its identity and first account."""
    before = _applied()
    call_command("migrate", interactive=False, verbosity=0)
    return {"task": "migrate", "applied": len(_applied() - before)}


def snapshot(folder: Path, version: str) -> dict[str, object]:
    """Copy the database into ``folder``, whole and consistent, and keep the newest ``SNAPSHOTS_KEPT`` copies.

    A site that has no database yet has nothing to copy: ``path`` is None then.
    Raises ``NoRoomForSnapshot`` before anything is written, ``OtherDatabase`` for a database by URL.
    """
    source = _database_file()
    if not source.exists():
        return {"task": "snapshot", "path": None, "bytes": 0}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    needed = snapshot_bytes()
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise NoRoomForSnapshot(
            f"A copy of the database needs {needed} bytes and {folder} has {free}: delete files or recordings first."
        )
    started = time.monotonic()
    path = folder / f"{utc_now():%Y%m%dT%H%M%S.%fZ}-{version}{_SUFFIX}"
    beside = path.with_name(f".{path.name}")
    try:
        _copy(source, beside)
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(folder)
    prune_snapshots(folder)
    return {
        "task": "snapshot",
        "path": str(path),
        "bytes": path.stat().st_size,
        "seconds": round(time.monotonic() - started, 3),
    }


def snapshot_bytes() -> int:
    """Return what a copy of the database takes at most. Raises ``OtherDatabase`` for a database by URL."""
    source = _database_file()
    return _size(source) + _size(source.with_name(source.name + "-wal"))


def prune_snapshots(folder: Path) -> int:
    """Remove all but the newest copies, and what a killed task left; return how many files went."""
    names = sorted(path for path in folder.glob(f"*{_SUFFIX}") if not path.name.startswith("."))
    gone = [*names[:-SNAPSHOTS_KEPT], *(path for path in folder.glob(f".*{_SUFFIX}") if _stale(path))]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def copy_database(destination: Path) -> None:
    """Copy the database, whole and consistent, to a file that nobody keeps or removes but the caller.

    Raises ``OtherDatabase`` for a database by URL.
    """
    _copy(_database_file(), destination)


def _copy(source: Path, destination: Path) -> None:
    """In one step: in pieces the copy starts again at every write beside it and never ends."""
    os.close(os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    with (
        contextlib.closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as reading,
        contextlib.closing(sqlite3.connect(destination)) as writing,
    ):
        reading.backup(writing, pages=-1)
        # One file, without a write-ahead log beside it, which is what a restore puts back.
        writing.execute("PRAGMA journal_mode=DELETE")
    descriptor = os.open(destination, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stale(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > 3600
    return False


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _database_file() -> Path:
    database = settings.DATABASES["default"]
    if database["ENGINE"] != "django.db.backends.sqlite3":
        raise OtherDatabase("The site's database is not the embedded one: copy it with its own tools (pg_dump).")
    return Path(database["NAME"])


def _applied() -> set[tuple[str, str]]:
    return set(MigrationRecorder(connection).applied_migrations())
