"""The document of a pair job, and the only ways in which it changes; pure, so that both appliances keep the same one.

A document is stored where its rank, ``(term, owner)``, is not below what is stored there, and a command is executed
under the same rule. An owner that sees a higher rank has lost the job and stops. Within a rank the revision rises with
every change. Fields that a newer release adds are ignored by an older one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from staffetta.kernel.clock import format_time, parse_time
from staffetta.kernel.states import advance
from staffetta.site.failover.job_errors import BadPairJob
from staffetta.site.failover.job_states import (
    AFTER,
    PAIR_JOB,
    UNBROKEN,
    JobEvent,
    JobState,
    Side,
    Step,
    StepState,
    before_swing,
)

ASYNCHRONOUS: Final = "asynchronous"


@dataclass(frozen=True, slots=True)
class Targets:
    """The versions both appliances shall have; ``base`` is None when there is no newer base to install."""

    site: str
    base: str | None = None

    @property
    def told(self) -> dict[str, str | int | bool]:
        """What the audit log tells of them."""
        return {"site": self.site} if self.base is None else {"site": self.site, "base": self.base}


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step as it went; ``attempt`` counts from 1."""

    step: Step
    state: StepState
    attempt: int
    started: datetime
    ended: datetime | None = None
    evidence: str = ""

    @property
    def key(self) -> str:
        """Names this attempt among the commands of the job."""
        return f"{self.step.value}.{self.attempt}"

    def seconds(self, now: datetime) -> float:
        """How long it took, or has taken."""
        return ((self.ended or now) - self.started).total_seconds()


@dataclass(frozen=True, slots=True)
class PairJobRecord:
    """A pair job: who owns it, where it is, what was done. ``sentence`` is what it does or waits for now."""

    id: str
    kind: str
    a: str
    b: str
    owner: str
    term: int
    state: JobState
    step: Step
    targets: Targets
    actor: str
    started: datetime
    steps: tuple[StepRecord, ...]
    sentence: str = ""
    error: str = ""
    ended: datetime | None = None
    revision: int = 1

    @property
    def rank(self) -> tuple[int, str]:
        """What fences: a document or command of a lower rank than the stored one is refused."""
        return self.term, self.owner

    @property
    def pausable(self) -> bool:
        """Whether a person can hold it now: not in the seconds in which traffic moves."""
        return self.state in (JobState.RUNNING, JobState.WAITING) and self.step not in UNBROKEN

    @property
    def resumable(self) -> bool:
        """Whether it waits for a person to let it go on."""
        return self.state in (JobState.PAUSED, JobState.NEEDS_A_PERSON)

    @property
    def undoable(self) -> bool:
        """Whether a person can have it undone: before traffic moves, or when it is stuck with traffic not moved."""
        if self.state.ended or self.state is JobState.UNDOING:
            return False
        return before_swing(self.step) or (self.state is JobState.NEEDS_A_PERSON and not self.swung)

    @property
    def record(self) -> StepRecord:
        """The present step's present attempt."""
        return self.steps[-1]

    def origin(self, side: Side) -> str:
        """The origin of an appliance."""
        return self.a if side is Side.A else self.b

    def side(self, origin: str) -> Side:
        """Which appliance an origin is. Raises ``BadPairJob`` for a stranger."""
        if origin == self.a:
            return Side.A
        if origin == self.b:
            return Side.B
        raise BadPairJob(f"{origin} is no appliance of the pair job {self.id}.")

    @property
    def swung(self) -> bool:
        """Whether B had become primary by this job."""
        return any(one.step is Step.SWING and one.state is StepState.DONE for one in self.steps)

    def supersedes(self, other: "PairJobRecord") -> bool:
        """Whether this document takes the place of another of the same job; an end is final, whoever saw it."""
        if self.state.ended or other.state.ended:
            return self.state.ended and not other.state.ended
        return (self.rank, self.revision) > (other.rank, other.revision)


def begin(job: str, *, a: str, b: str, targets: Targets, actor: str, now: datetime) -> PairJobRecord:
    """A new job, owned by A."""
    first = StepRecord(Step.PREFLIGHT, StepState.RUNNING, 1, now)
    return PairJobRecord(
        id=job,
        kind=ASYNCHRONOUS,
        a=a,
        b=b,
        owner=a,
        term=1,
        state=JobState.RUNNING,
        step=Step.PREFLIGHT,
        targets=targets,
        actor=actor,
        started=now,
        steps=(first,),
        sentence="The job begins.",
    )


def begun_by(job: PairJobRecord, actor: str) -> PairJobRecord:
    """The same job, with the name of who begins it."""
    return replace(job, actor=actor)


def abandoned(job: PairJobRecord, reason: str, now: datetime) -> PairJobRecord:
    """There is no pair any more: the job ends where it is."""
    if job.state is not JobState.UNDOING:
        job = undo(job, reason, now)
    return step_done(replace(job, error=reason), reason, now)


def step_done(job: PairJobRecord, evidence: str, now: datetime) -> PairJobRecord:
    """The present step is done; the next begins, or the job ends."""
    closed = _close(going_on(job), StepState.DONE, evidence, now)
    if job.state is JobState.UNDOING:
        return replace(
            closed, state=JobState(advance(PAIR_JOB, job.state, JobEvent.ALL_UNDONE)), ended=now, sentence=evidence
        )
    after = AFTER[job.step]
    if after is Step.DONE:
        state = JobState(advance(PAIR_JOB, closed.state, JobEvent.ALL_DONE))
        return replace(closed, state=state, step=Step.DONE, ended=now, sentence=evidence, error="")
    return _enter(replace(closed, error=""), after, now)


def again(job: PairJobRecord, step: Step, reason: str, now: datetime) -> PairJobRecord:
    """The present step did not hold: ``step`` (the same or an earlier one) is tried anew."""
    return _enter(replace(_close(going_on(job), StepState.FAILED, reason, now), error=reason), step, now)


def undo(job: PairJobRecord, reason: str, now: datetime) -> PairJobRecord:
    """Everything goes back to what it was."""
    state = JobState(advance(PAIR_JOB, job.state, JobEvent.FAILED))
    closed = _close(job, StepState.FAILED, reason, now)
    return _enter(replace(closed, state=state, error=reason), Step.UNDO, now)


def give_up(job: PairJobRecord, reason: str) -> PairJobRecord:
    """It goes no further without a person, who reads the reason."""
    return replace(job, state=JobState(advance(PAIR_JOB, job.state, JobEvent.GAVE_UP)), error=reason, sentence=reason)


def held_up(job: PairJobRecord, sentence: str) -> PairJobRecord:
    """What it needs is not there."""
    if job.state is JobState.RUNNING:
        return replace(job, state=JobState(advance(PAIR_JOB, job.state, JobEvent.HELD_UP)), sentence=sentence)
    return replace(job, sentence=sentence)


def going_on(job: PairJobRecord) -> PairJobRecord:
    """What it needed is there."""
    if job.state is JobState.WAITING:
        return replace(job, state=JobState(advance(PAIR_JOB, job.state, JobEvent.GOES_ON)))
    return job


def pause(job: PairJobRecord, actor: str) -> PairJobRecord:
    """A person holds it."""
    state = JobState(advance(PAIR_JOB, job.state, JobEvent.PAUSED))
    return replace(job, state=state, sentence=f"Paused by {actor} at {job.step}.")


def resume(job: PairJobRecord, actor: str, now: datetime) -> PairJobRecord:
    """A person lets it go on; a step that had failed is tried anew, an undo that was stuck goes on undoing."""
    failed = job.state is JobState.NEEDS_A_PERSON
    state = JobState(advance(PAIR_JOB, job.state, JobEvent.RESUMED))
    resumed = replace(job, state=state, sentence=f"Resumed by {actor}.")
    if job.step is Step.UNDO:
        return undo(resumed, job.error, now)
    return again(resumed, job.step, job.error, now) if failed else resumed


def handed_over(job: PairJobRecord, owner: str) -> PairJobRecord:
    """Another appliance owns it from now on; whoever owned it is fenced."""
    return replace(job, owner=owner, term=job.term + 1)


def newsworthy(before: PairJobRecord, after: PairJobRecord) -> bool:
    """Whether the audit log tells of this change: the job has ended, or has come to need a person."""
    return after.state is not before.state and (after.state.ended or after.state is JobState.NEEDS_A_PERSON)


def _close(job: PairJobRecord, state: StepState, evidence: str, now: datetime) -> PairJobRecord:
    last = job.steps[-1]
    if last.ended is not None:
        return job
    return replace(job, steps=(*job.steps[:-1], replace(last, state=state, ended=now, evidence=evidence)))


def _enter(job: PairJobRecord, step: Step, now: datetime) -> PairJobRecord:
    attempt = 1 + sum(1 for one in job.steps if one.step is step)
    return replace(job, step=step, steps=(*job.steps, StepRecord(step, StepState.RUNNING, attempt, now)))


# The document


def to_document(job: PairJobRecord) -> dict[str, Any]:
    """The job as one JSON object, as it goes to the peer and to ``--json``."""
    return {
        "id": job.id,
        "kind": job.kind,
        "a": job.a,
        "b": job.b,
        "owner": job.owner,
        "term": job.term,
        "revision": job.revision,
        "state": job.state.value,
        "step": job.step.value,
        "targets": {"site": job.targets.site, "base": job.targets.base},
        "actor": job.actor,
        "started": format_time(job.started),
        "ended": _time_text(job.ended),
        "sentence": job.sentence,
        "error": job.error,
        "steps": [
            {
                "step": one.step.value,
                "name": one.step.what,
                "appliance": "+".join(one.step.sides),
                "state": one.state.value,
                "attempt": one.attempt,
                "started": format_time(one.started),
                "ended": _time_text(one.ended),
                "seconds": None if one.ended is None else round(one.seconds(one.ended), 3),
                "evidence": one.evidence,
            }
            for one in job.steps
        ],
    }


def from_document(raw: Mapping[str, Any]) -> PairJobRecord:
    """Read what the other appliance sent. Raises ``BadPairJob``."""
    try:
        steps = tuple(
            StepRecord(
                Step(one["step"]),
                StepState(one["state"]),
                int(one["attempt"]),
                parse_time(one["started"]),
                _time(one.get("ended")),
                str(one.get("evidence", "")),
            )
            for one in raw["steps"]
        )
        targets = raw["targets"]
        base = targets.get("base")
        job = PairJobRecord(
            id=str(raw["id"]),
            kind=str(raw["kind"]),
            a=str(raw["a"]),
            b=str(raw["b"]),
            owner=str(raw["owner"]),
            term=int(raw["term"]),
            state=JobState(raw["state"]),
            step=Step(raw["step"]),
            targets=Targets(str(targets["site"]), None if base is None else str(base)),
            actor=str(raw.get("actor", "")),
            started=parse_time(raw["started"]),
            steps=steps,
            sentence=str(raw.get("sentence", "")),
            error=str(raw.get("error", "")),
            ended=_time(raw.get("ended")),
            revision=int(raw.get("revision", 1)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadPairJob(f"The pair job's document cannot be understood: {error!r}.") from None
    if not steps or job.owner not in (job.a, job.b) or job.a == job.b:
        raise BadPairJob(f"The document of the pair job {job.id} contradicts itself.")
    return job


def _time(text: object) -> datetime | None:
    return None if text is None else parse_time(str(text))


def _time_text(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)
