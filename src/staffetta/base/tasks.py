"""Base's one-shot tasks, run by keeper with a named version's code: migrate the database, keep a copy of it."""

import os
from collections.abc import Mapping
from typing import Any, Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "staffetta.base.web.settings")
django.setup()

from staffetta.base.web import database  # noqa: E402 - needs Django set up
from staffetta.control.paths import ProcessEnvironment  # noqa: E402
from staffetta.kernel.clock import utc_now  # noqa: E402

KEPT_SNAPSHOTS: Final = 3
"""So many copies of the database are kept, the newest."""


def migrate(environment: ProcessEnvironment) -> Mapping[str, Any]:
    """Bring the database to this version's tables; the first time, make the first account."""
    done = database.migrate()
    return {"migrated": True, "applied": done.applied, "first_account": done.first_account}


def snapshot(environment: ProcessEnvironment) -> Mapping[str, Any]:
    """Copy the database into `base/snapshots`; nothing to do on an appliance that has none yet."""
    if not (environment.paths.base / "base.sqlite3").exists():
        return {"snapshot": None, "bytes": 0}
    folder = environment.paths.base / "snapshots"
    folder.mkdir(mode=0o700, exist_ok=True)
    to = folder / f"{utc_now():%Y%m%dT%H%M%S%f}-{environment.version}.sqlite3"
    size = database.snapshot(to)
    for old in sorted(folder.glob("*.sqlite3"))[:-KEPT_SNAPSHOTS]:
        old.unlink(missing_ok=True)
    return {"snapshot": to.name, "bytes": size}


TASKS: Final = {"migrate": migrate, "snapshot": snapshot}
