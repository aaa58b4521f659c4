"""The jobs themselves, as plain functions of the time: each may be stopped anywhere and run again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from axes.models import AccessAttempt
from django.conf import settings

from staffetta.kernel.log import get_logger
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.sessions import SessionStore
from staffetta.site.backup.work import sweep as sweep_backup_work
from staffetta.site.data import blobs
from staffetta.site.failover import job_service as pair_jobs
from staffetta.site.failover import service as failover
from staffetta.site.processes.tasks import prune_snapshots
from staffetta.site.support import service as support
from staffetta.site.support.models import LiveSession
from staffetta.site.worker.settings import WorkerSettings

_log = get_logger(__name__)

PROBES_KEPT: Final = timedelta(minutes=10)
ATTEMPTS_KEPT: Final = timedelta(days=1)
LEFTOVERS_KEPT: Final = timedelta(days=1)
"""Longer than any upload takes: what is older was left by a process that was killed."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something done again and again while this generation is active."""

    name: str
    every_seconds: float
    work: Callable[[datetime], None]


def jobs(limits: WorkerSettings) -> tuple[Job, ...]:
    """Return every job of the worker."""
    return (
        Job("expire-sessions", limits.expire_sessions_seconds, expire_sessions),
        Job("data-sync", limits.data_sync_seconds, failover.sync_round),
        Job("watch-peer", limits.watch_peer_seconds, failover.look),
        Job("pair-job", limits.pair_job_seconds, pair_jobs.run),
        Job("pair-work", limits.pair_job_seconds, pair_jobs.work),
        Job("tidy", limits.tidy_seconds, tidy),
    )


def expire_sessions(now: datetime) -> None:
    """End sessions of which an end has been gone longer than it dials."""
    for session in support.expire_silent(now):
        _log.info("session ended: an end was gone too long", extra={"session": session})


def tidy(now: datetime) -> None:
    """Remove what nobody will look at again; records, reports and the blobs they hold are not among it."""
    SessionStore.clear_expired()
    AccessAttempt.objects.filter(attempt_time__lt=now - ATTEMPTS_KEPT).delete()
    Account.objects.filter(probe=True, created_at__lt=now - PROBES_KEPT).delete()
    LiveSession.objects.filter(probe=True, opened_at__lt=now - PROBES_KEPT).delete()
    if swept := blobs.sweep(now - LEFTOVERS_KEPT):
        _log.info("removed what killed processes left in the file store", extra={"files": swept})
    sweep_backup_work()
    prune_snapshots(Path(settings.STAFFETTA_SITE_FOLDER) / "snapshots")
