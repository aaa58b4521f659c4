"""Executing the commands of a pair job on this appliance, each at most once: the journal is a table.

- A command of a lower rank than the stored job's is refused; one of a higher rank raises it.
- A repeated ``(job, step, verb)`` is answered from the journal. One command at a time is executed, under a file's lock
  that dies with its process: what comes meanwhile is told so, what was killed is executed again.
- What is refused at once is not journalled, so it may be tried again; work that failed is: its next attempt has another
  key.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import transaction

from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import StaffettaError, Unavailable
from staffetta.kernel.log import bound, get_logger
from staffetta.site.failover import holds, identity, job_effects, job_store, preflight, roles
from staffetta.site.failover.errors import WrongRole
from staffetta.site.failover.job_command import WORK, Command, Reply, UnderWay, Verb
from staffetta.site.failover.job_facts import Answered
from staffetta.site.failover.job_record import PairJobRecord
from staffetta.site.failover.job_states import JobState
from staffetta.site.failover.models import PairCommand

_log = get_logger(__name__)

LOCK: Final = "pair-command.lock"
PATIENCE: Final = timedelta(minutes=10)
"""So long work is tried again while something it needs is away; then the owner, and people, are told what it is."""


def execute(command: Command) -> Reply:
    """Execute a command, or answer it from the journal.

    Raises ``NoSuchPairJob``, ``Fenced``, ``NotNow`` for a job that has ended, and whatever hinders the effect.
    """
    with transaction.atomic():
        job_store.fence(command.job, command.rank)
        entry = _entry(command)
    if entry.done_at is not None:
        return _answer(entry)
    if command.verb in WORK:
        return UnderWay()
    with _alone() as alone:
        return _execute(command) if alone else UnderWay()


def _execute(command: Command) -> Reply:
    with transaction.atomic():  # until this one had the lock, the job may have ended or another may own it
        job = job_store.fence(command.job, command.rank)
        entry = _entry(command)
    if entry.done_at is not None:  # by another process, meanwhile
        return _answer(entry)
    PairCommand.objects.filter(pk=entry.pk).update(began_at=utc_now(), arguments=dict(command.arguments))
    with bound(job=command.job):
        try:
            done = job_effects.do(job, command)
        except BaseException:
            PairCommand.objects.filter(pk=entry.pk, done_at=None).delete()
            raise
        return _journal(entry, True, done)


def _entry(command: Command) -> PairCommand:
    entry, _ = PairCommand.objects.get_or_create(
        job_id=command.job,
        step=command.step,
        verb=command.verb.value,
        defaults={"arguments": dict(command.arguments)},
    )
    return entry


@contextlib.contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other command is being executed on this appliance; none is until the block ends."""
    with (Path(settings.STAFFETTA_SITE_FOLDER) / LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def work(now: datetime) -> None:
    """Do the next piece of work that was asked for here; the worker's. Killed in the middle, it is done again."""
    verbs = [verb.value for verb in WORK]
    entry = PairCommand.objects.filter(verb__in=verbs, done_at=None).order_by("id").first()
    if entry is None:
        return
    job = job_store.load(entry.job_id)
    if job.state.ended:
        entry.delete()
        return
    if entry.began_at is None:
        entry.began_at = now
        entry.save(update_fields=["began_at"])
    command = Command(job.id, entry.step, job.term, job.owner, Verb(entry.verb), entry.arguments)
    with bound(job=job.id):
        try:
            _journal(entry, True, job_effects.do(job, command))
        except (Unavailable, WrongRole) as error:
            # Also a new primary that has yet to join what its backup had: the next round finds it done.
            if now - entry.began_at >= PATIENCE:
                _journal(entry, False, job_effects.Done(error.message))
            else:
                _log.info("work for the pair job is tried again: %s", error.message, extra={"verb": entry.verb})
        except StaffettaError as error:
            _log.warning("work for the pair job failed: %s", error.message, extra={"verb": entry.verb})
            _journal(entry, False, job_effects.Done(error.message))
        except Exception as error:  # noqa: BLE001 - whatever it was is told, not hidden
            # A full disk, say: tried again as another attempt, and told, instead of failing here for ever.
            _log.exception("work for the pair job failed", extra={"verb": entry.verb})
            _journal(entry, False, job_effects.Done(f"{entry.verb} failed: {error or type(error).__name__}"))


def settle(job: PairJobRecord) -> None:
    """The job has ended: nothing on this appliance is hindered for its sake any more.

    Clients stay held where an undone job has left a newer version than the other appliance has.
    """
    holds.thaw(job.id)
    holds.resume(job.id)
    if job.state is JobState.FINISHED:
        holds.release_clients(job.id)
    job_store.forget_password(job.id)


def settle_ended() -> None:
    """Let go of what is still held here for a job that has ended: killed before ``settle``, or kept for an older peer.

    Clients stay held while there is a peer of an older version.
    """
    for job in {holds.suspended_by(), holds.frozen_by(), holds.clients_held_by()}:
        if job is None or not job_store.has_ended(job):
            continue
        holds.thaw(job)
        holds.resume(job)
        if not _peer_is_older():
            holds.release_clients(job)
        job_store.forget_password(job)


def _peer_is_older() -> bool:
    relationship = roles.held()
    own = preflight.version(identity.installed_version())
    return relationship is not None and preflight.version(relationship.peer_version) < own


def _journal(entry: PairCommand, ok: bool, done: "job_effects.Done") -> Answered:
    entry.ok, entry.sentence, entry.value, entry.done_at = ok, done.sentence, done.value, utc_now()
    entry.save(update_fields=["ok", "sentence", "value", "done_at"])
    return _answer(entry)


def _answer(entry: PairCommand) -> Answered:
    return Answered(entry.step, entry.verb, entry.ok, entry.sentence, entry.value)
