"""What an install job does next: facts in, one decision out, with nothing read and nothing done.

The journal says what was reached, the facts say what is; where they differ, the facts win:
- an effect whose result can be seen (a staged release, a started generation, `current`) is skipped if it is there;
- only a generation that passed its probe is activated, and only a confirmed one becomes `current`;
- a generation that keeper has given up undoes the job, one that was merely lost (keeper or the power went) is
  started again, at most `attempts` times;
- what is living, and what is `current`, is never removed;
- keeper remembers generations that failed long ago: those that were there before the job's own start do not count.
So a process killed at any point needs no memory: the next one reads the journal, looks, and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from staffetta.base.installs.record import JobRecord
from staffetta.base.installs.states import InstallEvent, InstallState
from staffetta.packages import Version


class GenerationState(StrEnum):
    """Keeper's generation states."""

    STARTING = "starting"
    STANDBY = "standby"
    ACTIVE = "active"
    RESERVE = "reserve"
    DRAINING = "draining"
    GONE = "gone"
    FAILED = "failed"


NOT_LIVING = frozenset({GenerationState.GONE, GenerationState.FAILED})


@dataclass(frozen=True, slots=True)
class GenerationFact:
    """A generation of the job's program, as keeper reports it; `running`: some process of it is still there."""

    id: str
    version: Version
    state: GenerationState
    confirmed: bool = False
    failure: str | None = None
    running: bool = False

    @property
    def is_living(self) -> bool:
        return self.running or self.state not in NOT_LIVING


@dataclass(frozen=True, slots=True)
class Facts:
    """What is, at this moment.

    `staged`: the tree holds the job's version, whole. `fetched`: its package file is there, with the right hash.
    `leftovers`: files of the job other than the release remain. `waited`: seconds this run has waited at this step.
    `failures`: how often in a row, in this run, this step's effect could not be done.
    """

    current: Version | None
    staged: bool = False
    fetched: bool = False
    leftovers: bool = False
    generations: tuple[GenerationFact, ...] = ()
    waited: float = 0.0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """`[installs]` of settings.toml.

    `attempts`: how often a generation is started. `start_seconds`: how long it may take until it is ready.
    `leave_seconds`: how long a stopped generation may take to leave. `tries`: how often removing what is left over
    is tried before the job ends without it. `poll_seconds`, `retry_seconds`: the pause between two looks, and after
    something that could not be done.
    """

    attempts: int = 3
    start_seconds: float = 90.0
    leave_seconds: float = 60.0
    tries: int = 5
    poll_seconds: float = 0.1
    retry_seconds: float = 1.0


class Effect(StrEnum):
    """What can be done to the appliance; `steps.py` does each, and doing one twice is the same as once."""

    VERIFY = "verify"
    RESERVE = "reserve"
    FETCH = "fetch"
    STAGE = "stage"
    CHECK = "check"
    SNAPSHOT = "snapshot"
    MIGRATE = "migrate"
    START = "start"
    PROVE = "prove"
    ACTIVATE = "activate"
    CONFIRM = "confirm"
    FLIP = "flip"
    PRUNE = "prune"
    GO_BACK = "go-back"
    STOP = "stop"
    CLEAR = "clear"


CLOSING = frozenset({Effect.VERIFY, Effect.RESERVE, Effect.CHECK, Effect.SNAPSHOT, Effect.MIGRATE, Effect.PROVE})
"""Effects that leave nothing to see: once one has succeeded its step is done. All others are done when it shows."""


@dataclass(frozen=True, slots=True)
class Act:
    """Do this (to this generation); then look again, or, if it is a closing effect, the step is done."""

    effect: Effect
    generation: str | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """Write that this happened."""

    event: InstallEvent
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again after this many seconds."""

    seconds: float


Decision = Act | Advance | Wait

_DONE = Advance(InstallEvent.DONE)
_SIMPLE = {
    InstallState.VERIFY: Effect.VERIFY,
    InstallState.RESERVE: Effect.RESERVE,
    InstallState.CHECK: Effect.CHECK,
    InstallState.MIGRATE: Effect.MIGRATE,
}


def plan(job: JobRecord, facts: Facts, limits: Limits) -> Decision:
    """The next thing to do for a job that is not over."""
    mine = tuple(each for each in facts.generations if each.version == job.version)
    match job.state:
        case InstallState.DOWNLOAD:
            return _DONE if facts.fetched or facts.staged else Act(Effect.FETCH)
        case InstallState.STAGE:
            return _DONE if facts.staged else Act(Effect.STAGE)
        case InstallState.SNAPSHOT:
            return _DONE if job.previous is None else Act(Effect.SNAPSHOT)
        case InstallState.START:
            return _start(job, facts, mine, limits)
        case InstallState.PROVE | InstallState.ACTIVATE | InstallState.CONFIRM | InstallState.FLIP:
            return _switch(job, facts, mine, limits)
        case InstallState.COMMIT:
            return _DONE if facts.current == job.version else Act(Effect.FLIP)
        case InstallState.PRUNE:
            return _prune(job, facts, mine, limits)
        case InstallState.UNDO:
            return _undo(job, facts, mine, limits)
        case _:
            return Act(_SIMPLE[job.state])


def _start(job: JobRecord, facts: Facts, mine: tuple[GenerationFact, ...], limits: Limits) -> Decision:
    coming = _coming(mine)
    if coming is None:
        return _start_one(job, mine, limits)
    if coming.state is not GenerationState.STARTING:
        return _DONE
    return _await_ready(facts, limits)


def _start_one(job: JobRecord, mine: tuple[GenerationFact, ...], limits: Limits) -> Decision:
    failed = _failed(job, mine)
    if failed is not None:
        return failed
    if job.attempts >= limits.attempts:
        return Advance(
            InstallEvent.FAILED,
            f"It was started {job.attempts} times and was gone each time before it could take over.",
        )
    return Act(Effect.START)


def _switch(job: JobRecord, facts: Facts, mine: tuple[GenerationFact, ...], limits: Limits) -> Decision:
    """From the probe to the flip: every step needs the generation."""
    if job.state is InstallState.FLIP and facts.current == job.version:
        return _DONE
    own = _coming(mine)
    if own is None:
        return _failed(job, mine) or Advance(InstallEvent.LOST)
    if own.state is GenerationState.STARTING:
        return _await_ready(facts, limits)
    if job.state is InstallState.PROVE:
        return _DONE if own.id == job.proved else Act(Effect.PROVE, own.id)
    if own.id != job.proved:
        return Advance(InstallEvent.LOST)  # another one than was proven: it must prove itself too
    if job.state is InstallState.ACTIVATE:
        return _DONE if own.state is GenerationState.ACTIVE else Act(Effect.ACTIVATE, own.id)
    if own.state is not GenerationState.ACTIVE:
        return Advance(InstallEvent.LOST)
    if job.state is InstallState.CONFIRM:
        return _DONE if own.confirmed else Act(Effect.CONFIRM, own.id)
    return Act(Effect.FLIP) if own.confirmed else Advance(InstallEvent.LOST)


def _prune(job: JobRecord, facts: Facts, mine: tuple[GenerationFact, ...], limits: Limits) -> Decision:
    active = any(each.state is GenerationState.ACTIVE for each in mine)
    idle = next((each for each in mine if _is_idle(each)), None)
    if active and idle is not None and facts.failures < limits.tries:
        return Act(Effect.STOP, idle.id)
    if facts.leftovers and facts.failures < limits.tries:
        return Act(Effect.PRUNE)
    return _DONE


def _undo(job: JobRecord, facts: Facts, mine: tuple[GenerationFact, ...], limits: Limits) -> Decision:
    active = next((each for each in mine if each.state is GenerationState.ACTIVE), None)
    settled = facts.current == job.version or (active is not None and active.confirmed)
    if settled:
        return Advance(InstallEvent.KEPT) if job.proved is not None else _DONE
    if active is not None:
        return Act(Effect.GO_BACK)
    if facts.failures >= limits.tries:
        return _DONE
    idle = next((each for each in mine if _is_idle(each)), None)
    if idle is not None:
        return Act(Effect.STOP, idle.id)
    if not facts.leftovers and not facts.staged:
        return _DONE
    if any(each.is_living for each in mine):
        return Wait(limits.poll_seconds) if facts.waited < limits.leave_seconds else _DONE
    return Act(Effect.CLEAR)


def _coming(mine: tuple[GenerationFact, ...]) -> GenerationFact | None:
    """The generation that counts: the active one, else one that is ready, else one that is starting."""
    for state in (GenerationState.ACTIVE, GenerationState.STANDBY, GenerationState.STARTING):
        for each in mine:
            if each.state is state:
                return each
    return None


def _is_idle(generation: GenerationFact) -> bool:
    return generation.state in (GenerationState.STARTING, GenerationState.STANDBY)


def _await_ready(facts: Facts, limits: Limits) -> Decision:
    if facts.waited < limits.start_seconds:
        return Wait(limits.poll_seconds)
    return Advance(InstallEvent.FAILED, f"It did not get ready within {limits.start_seconds:.0f} seconds.")


def _failed(job: JobRecord, mine: tuple[GenerationFact, ...]) -> Decision | None:
    """The end of the job if the generation it started has failed."""
    if job.attempts == 0:
        return None
    for each in mine:
        if each.state is GenerationState.FAILED and each.id not in job.stale:
            return Advance(InstallEvent.FAILED, f"It did not hold: {each.failure or 'keeper gave it up'}.")
    return None
