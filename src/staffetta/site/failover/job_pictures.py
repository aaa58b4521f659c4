"""A pair job as its page shows it: steps on a common axis of time, with words and signs, and what can be done now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils.translation import gettext as _

from staffetta.site.failover.job_record import PairJobRecord, StepRecord
from staffetta.site.failover.job_states import STEPS, JobState, Side, Step, StepState
from staffetta.ui import bars

_SIGNS: Final = {StepState.DONE: "✓", StepState.RUNNING: "▸", StepState.FAILED: "✗"}


@dataclass(frozen=True, slots=True)
class ShownAppliance:
    """An appliance by its letter in the job; ``host`` is empty when it is not known any more."""

    letter: str
    host: str


@dataclass(frozen=True, slots=True)
class ShownStep:
    """One attempt at a step, ``key``: ``sign`` and ``word`` say how it stands, ``appliances`` where its work is done.

    ``seconds`` and ``place``, where it lies on the axis from the job's beginning to its end or to now, are None for one
    to come. ``evidence`` changes no more once it is there.
    """

    key: str
    name: str
    label: str
    appliances: tuple[ShownAppliance, ...]
    state: str
    sign: str
    word: str
    seconds: float | None
    place: bars.Place | None
    evidence: str


@dataclass(frozen=True, slots=True)
class ShownJob:
    """The whole job."""

    id: str
    version: str
    state: str
    word: str
    sentence: str
    error: str
    actor: str
    started: datetime
    ended: datetime | None
    seconds: float
    appliances: tuple[ShownAppliance, ...]
    steps: tuple[ShownStep, ...]
    over: bool
    can_pause: bool
    can_resume: bool
    can_undo: bool


def picture_of(job: PairJobRecord, now: datetime, hosts: Mapping[str, str] | None = None) -> ShownJob:
    """The job for people; ``hosts`` are the addresses of its appliances by their origins, as far as they are known."""
    known = hosts or {}
    appliances = {side: ShownAppliance(side.value, known.get(job.origin(side), "")) for side in Side}
    words = {StepState.DONE: _("done"), StepState.RUNNING: _("running"), StepState.FAILED: _("failed")}
    last = job.ended or now

    def shown(step: Step, record: StepRecord | None) -> ShownStep:
        return ShownStep(
            key=step.value if record is None else f"{step.value}-{record.attempt}",
            name=step.value,
            label=_label(step),
            appliances=tuple(appliances[side] for side in step.sides),
            state="to-come" if record is None else record.state,
            sign="·" if record is None else _SIGNS[record.state],
            word=_("to come") if record is None else words[record.state],
            seconds=None if record is None else record.seconds(last),
            place=None if record is None else bars.span(record.started, record.ended or last, job.started, last),
            evidence="" if record is None else record.evidence,
        )

    going_on = not job.state.ended and job.step in STEPS
    to_come = STEPS[STEPS.index(job.step) + 1 : -1] if going_on else ()
    return ShownJob(
        id=job.id,
        version=job.targets.site,
        state=job.state,
        word=_state_word(job.state),
        sentence=job.sentence,
        error=job.error,
        actor=job.actor,
        started=job.started,
        ended=job.ended,
        seconds=(last - job.started).total_seconds(),
        appliances=tuple(appliances.values()),
        steps=(*(shown(one.step, one) for one in job.steps), *(shown(one, None) for one in to_come)),
        over=job.state.ended,
        can_pause=job.pausable,
        can_resume=job.resumable,
        can_undo=job.undoable,
    )


def _state_word(state: JobState) -> str:
    return {
        JobState.RUNNING: _("running"),
        JobState.WAITING: _("waiting"),
        JobState.PAUSED: _("paused"),
        JobState.UNDOING: _("going back"),
        JobState.NEEDS_A_PERSON: _("needs a person"),
        JobState.FINISHED: _("finished"),
        JobState.UNDONE: _("undone"),
    }[state]


def _label(step: Step) -> str:
    return {
        "preflight": _("Pre-flight checks"),
        "backup": _("Backup"),
        "sync": _("Data-sync"),
        "suspend": _("Suspend the roles' automatic changes"),
        "update-base": _("Update the base software"),
        "update-site": _("Update the site software"),
        "probe": _("Probe session"),
        "final-sync": _("Last data-sync before traffic moves"),
        "swing": _("Move the traffic"),
        "hand-over": _("Hand the job over"),
        "restore-roles": _("Restore the roles' automatic changes"),
        "last-sync": _("Data-sync"),
        "release-clients": _("Release the Jump Clients"),
        "undo": _("Go back"),
    }.get(step.what, step.what)
