"""Base's own database: brought to this version's tables, and copied while it is in use.

What base's tasks `migrate` and `snapshot` do for the pages; each may be done twice. Needs Django set up.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from staffetta.base.web.models import Account
from staffetta.base.web.sessions import SessionStore
from staffetta.kernel.files import sync_directory
from staffetta.kernel.ids import new_id
from staffetta.ui.signin.accounts import seed_admin


@dataclass(frozen=True, slots=True)
class Migrated:
    """How many migrations were applied, and whether the first account was made."""

    applied: int
    first_account: bool


def migrate() -> Migrated:
    """Bring the tables to this version (migrations only add), make the first account, drop sessions that are over."""
    executor = MigrationExecutor(connection)
    planned = executor.migration_plan(executor.loader.graph.leaf_nodes())
    call_command("migrate", interactive=False, verbosity=0)
    first = seed_admin(Account)
    SessionStore.clear_expired()
    connection.close()
    return Migrated(applied=len(planned), first_account=first is not None)


def snapshot(to: Path) -> int:
    """Copy the database to the file `to` (0600), whole and at one moment, beside writers; returns its bytes."""
    beside = to.with_name(f".{to.name}.{new_id()}")
    beside.touch(mode=0o600, exist_ok=False)
    try:
        with (
            closing(sqlite3.connect(settings.DATABASES["default"]["NAME"])) as source,
            closing(sqlite3.connect(beside)) as copy,
        ):
            copy.execute("PRAGMA synchronous=FULL")
            source.backup(copy, pages=-1)
        beside.replace(to)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(to.parent)
    return to.stat().st_size
