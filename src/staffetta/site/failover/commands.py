"""Executing the commands of a pair job on this appliance, each at most once: the journal is a table.

- A command of a lower rank than the stored job's is refused; one of a higher rank raises it.
- A repeated ``(job, step, verb)`` is answered from the journal; one that is being executed is told so.
- What is refused at once is not journalled, so it may be tried again; work that failed is: its next attempt has another
  key.
"""

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import StaffettaError, Unavailable
from staffetta.kernel.log import bound, get_logger
from staffetta.site.failover import holds, job_effects, job_store
from staffetta.site.failover.job_command import WORK, Command, Reply, UnderWay, Verb
from staffetta.site.failover.job_facts import Answered
from staffetta.site.failover.job_record import PairJobRecord
from staffetta.site.failover.job_states import JobState
from staffetta.site.failover.models import PairCommand

_log = get_logger(__name__)

BUSY: Final = timedelta(seconds=20)
"""An execution at once that began longer ago than this was killed: it is executed again. All of them may be."""


def execute(command: Command) -> Reply:
    """Execute a command, or answer it from the journal.

    Raises ``NoSuchPairJob``, ``Fenced``, ``NotNow`` for a job that has ended, and whatever hinders the effect.
    """
    now = utc_now()
    with transaction.atomic():
        job = job_store.fence(command.job, command.rank)
        entry, made = PairCommand.objects.get_or_create(
            job_id=job.id,
            step=command.step,
            verb=command.verb.value,
            defaults={"arguments": dict(command.arguments)},
        )
        if entry.done_at is not None:
            return _answer(entry)
        if command.verb in WORK:
            return UnderWay()
        if not made and entry.began_at is not None and now - entry.began_at < BUSY:
            return UnderWay()
        PairCommand.objects.filter(pk=entry.pk).update(began_at=now, arguments=dict(command.arguments))
    with bound(job=command.job):
        try:
            done = job_effects.do(job, command)
        except BaseException:
            PairCommand.objects.filter(pk=entry.pk, done_at=None).delete()
            raise
        return _journal(entry, True, done)


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
    PairCommand.objects.filter(pk=entry.pk).update(began_at=now)
    command = Command(job.id, entry.step, job.term, job.owner, Verb(entry.verb), entry.arguments)
    with bound(job=job.id):
        try:
            _journal(entry, True, job_effects.do(job, command))
        except Unavailable as error:
            _log.info("work for the pair job is tried again: %s", error.message, extra={"verb": entry.verb})
        except StaffettaError as error:
            _log.warning("work for the pair job failed: %s", error.message, extra={"verb": entry.verb})
            _journal(entry, False, job_effects.Done(error.message))


def settle(job: PairJobRecord) -> None:
    """The job has ended: nothing on this appliance is hindered for its sake any more.

    Clients stay held where an undone job has left a newer version than the other appliance has.
    """
    holds.thaw(job.id)
    holds.resume(job.id)
    if job.state is JobState.FINISHED:
        holds.release_clients(job.id)
    job_store.forget_password(job.id)


def _journal(entry: PairCommand, ok: bool, done: "job_effects.Done") -> Answered:
    entry.ok, entry.sentence, entry.value, entry.done_at = ok, done.sentence, done.value, utc_now()
    entry.save(update_fields=["ok", "sentence", "value", "done_at"])
    return _answer(entry)


def _answer(entry: PairCommand) -> Answered:
    return Answered(entry.step, entry.verb, entry.ok, entry.sentence, entry.value)
