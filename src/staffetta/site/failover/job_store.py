"""Pair jobs in the database: loaded and stored as whole documents, each change fenced by rank and revision.

Who ends a job, or brings it to a person, writes that into the audit log in the same transaction: so it is there once,
whatever is killed. The other appliance has it by data-sync.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from django.db import transaction

from staffetta.kernel.ids import ID_PATTERN
from staffetta.kernel.journal import gate_from_environment
from staffetta.site.data import audit
from staffetta.site.data.secrets import Secret
from staffetta.site.failover import job_record
from staffetta.site.failover.job_errors import BadPairJob, Fenced, NoSuchPairJob, NotNow
from staffetta.site.failover.job_record import PairJobRecord, StepRecord, Targets
from staffetta.site.failover.job_states import JobState, Step, StepState
from staffetta.site.failover.models import PairJob, PairJobStep

_ENDED: Final = [state.value for state in JobState if state.ended]


def load(job: str) -> PairJobRecord:
    """Return a job. Raises ``NoSuchPairJob``."""
    row = PairJob.objects.filter(pk=job).first()
    if row is None:
        raise NoSuchPairJob(f"There is no pair job {job} here.")
    return _record(row)


def newest(count: int = 20) -> tuple[PairJobRecord, ...]:
    """Return the last jobs, newest first."""
    return tuple(_record(row) for row in PairJob.objects.order_by("-started")[:count])


def under_way() -> PairJobRecord | None:
    """Return the job that has not ended, if there is one."""
    row = PairJob.objects.exclude(state__in=_ENDED).order_by("-started").first()
    return None if row is None else _record(row)


def to_look_after() -> PairJobRecord | None:
    """Return the job that has not ended, or else one whose end the other appliance does not know."""
    job = under_way()
    if job is not None:
        return job
    row = PairJob.objects.order_by("-started").first()
    return None if row is None or row.told == _mark(_record(row)) else _record(row)


def has_ended(job: str) -> bool:
    """Whether nothing more will happen for a job; one that is not known here will do nothing either."""
    return not PairJob.objects.filter(pk=job).exclude(state__in=_ENDED).exists()


def add(job: PairJobRecord, password: bytes | None) -> None:
    """Store a new job. Raises ``NotNow`` while another one has not ended."""
    with _gated(job.id, job.step), transaction.atomic():
        _refuse_second(job.id)
        _write(job, told="")
        if password is not None:
            PairJob.objects.filter(pk=job.id).update(backup_password=Secret(password))


def change(job: str, how: Callable[[PairJobRecord], PairJobRecord]) -> PairJobRecord:
    """Change the stored job in one transaction and return its next revision."""
    with _gated(job, load(job).step), transaction.atomic():
        before = load(job)
        after = how(before)
        after = replace(after, revision=after.revision + 1)
        _write(after)
        _note(before, after)
    return after


def save(job: PairJobRecord) -> PairJobRecord | None:
    """Store the owner's next revision; None when the stored job is no longer the one that ``job`` was made from."""
    with _gated(job.id, job.step), transaction.atomic():
        kept = load(job.id)
        if kept.revision != job.revision or kept.rank > job.rank or kept.state.ended:
            return None
        after = replace(job, revision=job.revision + 1)
        _write(after)
        _note(kept, after)
    return after


def receive(job: PairJobRecord) -> bool:
    """Store what the other appliance tells, unless it is known; say whether it was new.

    Raises ``Fenced`` when a later owner or the job's end is known here, ``NotNow`` while another job is under way.
    """
    if not ID_PATTERN.fullmatch(job.id):
        raise BadPairJob("That is not the id of a pair job.")
    with _gated(job.id, job.step), transaction.atomic():
        row = PairJob.objects.filter(pk=job.id).first()
        if row is not None:
            kept = _record(row)
            if _mark(kept) == _mark(job) and kept.state.ended == job.state.ended:
                return False
            if not job.supersedes(kept):
                raise Fenced(f"The pair job is at job term {kept.term}, revision {kept.revision}, here.")
        elif not job.state.ended:
            _refuse_second(job.id)
        _write(job, told=_mark(job))
    return True


def fence(job: str, rank: tuple[int, str]) -> PairJobRecord:
    """Note that this rank acts on the job. Raises ``Fenced`` for a lower one, ``NotNow`` for a job that has ended."""
    kept = load(job)
    if kept.state.ended:
        raise NotNow(f"The pair job has ended here: {kept.state}.")
    if rank < kept.rank:
        raise Fenced("The other appliance has taken this pair job over.")
    if rank > kept.rank:
        PairJob.objects.filter(pk=job).update(job_term=rank[0], owner=rank[1])
        kept = replace(kept, term=rank[0], owner=rank[1])
    return kept


def is_told(job: PairJobRecord) -> bool:
    """Whether the other appliance is known to have this revision."""
    return PairJob.objects.filter(pk=job.id, told=_mark(job)).exists()


def note_told(job: PairJobRecord) -> None:
    """Note that the other appliance has this revision."""
    PairJob.objects.filter(pk=job.id).update(told=_mark(job))


def backup_password(job: str) -> bytes | None:
    """Return the password that the backup of this job is encrypted with, if one was given."""
    row = PairJob.objects.get(pk=job)
    return None if row.backup_password is None else row.backup_password.reveal()


def forget_password(job: str) -> None:
    """Remove the password: the backup is made, or the job has ended."""
    PairJob.objects.filter(pk=job).update(backup_password=None)


@contextlib.contextmanager
def _gated(job: str, step: Step) -> Iterator[None]:
    """Let a crash test's gate, if one listens, see each write of a job before it begins and after its commit."""
    gate = gate_from_environment()
    entry = {"type": "job", "program": "pair", "job": job, "step": step.value}
    if gate is not None:
        gate.pass_through("pair", "before", entry)
    yield
    if gate is not None:
        gate.pass_through("pair", "after", entry)


def _note(before: PairJobRecord, after: PairJobRecord) -> None:
    if job_record.newsworthy(before, after):
        why = {} if after.state is JobState.FINISHED else {"why": after.error}
        audit.note(f"pair job {after.id}", f"failover.upgrade-{after.state}", "", {**after.targets.told, **why})


def _mark(job: PairJobRecord) -> str:
    return f"{job.term} {job.owner} {job.revision}"


def _refuse_second(job: str) -> None:
    other = under_way()
    if other is not None and other.id != job:
        raise NotNow(f"Another pair job is under way ({other.id}, {other.state} at {other.step}): let it end first.")


def _write(job: PairJobRecord, told: str | None = None) -> None:
    values = {
        "kind": job.kind,
        "a": job.a,
        "b": job.b,
        "owner": job.owner,
        "job_term": job.term,
        "revision": job.revision,
        "state": job.state.value,
        "step": job.step.value,
        "target_base": job.targets.base,
        "target_site": job.targets.site,
        "actor": job.actor[:150],
        "sentence": job.sentence,
        "error": job.error,
        "started": job.started,
        "ended": job.ended,
    }
    if told is not None:
        values["told"] = told
    row, _ = PairJob.objects.update_or_create(pk=job.id, defaults=values)
    kept = {one.number: one for one in row.steps.all()}
    for number, step in enumerate(job.steps, start=1):
        fields = {
            "step": step.step.value,
            "appliance": "+".join(side.value for side in step.step.sides),
            "state": step.state.value,
            "attempt": step.attempt,
            "started": step.started,
            "ended": step.ended,
            "evidence": step.evidence,
        }
        found = kept.get(number)
        if found is None or any(getattr(found, name) != value for name, value in fields.items()):
            PairJobStep.objects.update_or_create(job=row, number=number, defaults=fields)
    row.steps.filter(number__gt=len(job.steps)).delete()


def _record(row: PairJob) -> PairJobRecord:
    return PairJobRecord(
        id=row.id,
        kind=row.kind,
        a=row.a,
        b=row.b,
        owner=row.owner,
        term=row.job_term,
        state=JobState(row.state),
        step=Step(row.step),
        targets=Targets(row.target_site, row.target_base),
        actor=row.actor,
        started=row.started,
        steps=tuple(
            StepRecord(Step(one.step), StepState(one.state), one.attempt, one.started, one.ended, one.evidence)
            for one in row.steps.order_by("number")
        ),
        sentence=row.sentence,
        error=row.error,
        ended=row.ended,
        revision=row.revision,
    )
