"""A pair job as its page shows it: steps with words, signs and times, and what can be done with it now."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils.translation import gettext as _

from staffetta.site.failover.job_record import PairJobRecord
from staffetta.site.failover.job_states import STEPS, JobState, Step, StepState

_SIGNS: Final = {StepState.DONE: "✓", StepState.RUNNING: "▸", StepState.FAILED: "✗"}


@dataclass(frozen=True, slots=True)
class ShownStep:
    """One step: ``sign`` and ``word`` say how it stands, ``seconds`` is None for one to come."""

    name: str
    label: str
    state: str
    sign: str
    word: str
    seconds: float | None
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
    steps: tuple[ShownStep, ...]
    over: bool
    can_pause: bool
    can_resume: bool
    can_undo: bool


def picture_of(job: PairJobRecord, now: datetime) -> ShownJob:
    """The job for people."""
    words = {StepState.DONE: _("done"), StepState.RUNNING: _("running"), StepState.FAILED: _("failed")}
    done = [
        ShownStep(
            one.step.value,
            _label(one.step),
            one.state,
            _SIGNS[one.state],
            words[one.state],
            one.seconds(now),
            one.evidence,
        )
        for one in job.steps
    ]
    going_on = not job.state.ended and job.step in STEPS
    to_come = STEPS[STEPS.index(job.step) + 1 : -1] if going_on else ()
    coming = [ShownStep(one.value, _label(one), "to-come", "·", _("to come"), None, "") for one in to_come]
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
        steps=(*done, *coming),
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
    what = {
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
    return what if len(step.sides) == 2 else f"{what} ({step.sides[0]})"
