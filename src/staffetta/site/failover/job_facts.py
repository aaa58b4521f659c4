"""What a pair job decides by, and what it can decide: facts of both appliances, limits, decisions; values only.

An appliance says its own facts (verb ``facts``); fields that a newer release adds are ignored by an older one.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from staffetta.site.data.roles import Role
from staffetta.site.failover.job_states import Side, Step


class InstallState(StrEnum):
    """What an install job of base is at."""

    RUNNING = "running"
    COMMITTED = "committed"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class OfferFact:
    """A package on offer; one that is not selectable says in ``needs`` what must come before."""

    target: str
    kind: str
    version: str
    selectable: bool
    needs: tuple[str, ...] = ()
    eula_missing: bool = False


@dataclass(frozen=True, slots=True)
class InstallFact:
    """An install job that this pair job has begun, by the key of its step."""

    step: str
    state: InstallState
    text: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """A command of this job that the appliance has executed; ``value`` is what the verb returns, if anything."""

    step: str
    verb: str
    ok: bool
    sentence: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """What base says over the site door.

    ``offers`` are those of the last time that the update server answered, at ``checked_at``.
    ``grant_job`` is the job that the grant is used by, if any; ``install`` says which install is under way.
    ``shared`` is the state of the shared address: absent, disabled, released, held; ``shared_term`` the highest role
    term for which it was moved.
    """

    base_version: str
    site_version: str
    shared: str
    offers: tuple[OfferFact, ...] = ()
    granted_until: datetime | None = None
    grant_job: str | None = None
    clock_problem: str | None = None
    install: str | None = None
    updates_error: str | None = None
    checked_at: datetime | None = None
    shared_term: int = 0


@dataclass(frozen=True, slots=True)
class ApplianceFacts:
    """One appliance at one moment, by its own word. ``base`` is None while base does not answer.

    ``suspended_by``, ``frozen_by``, ``held_by``: the job that has switched off the roles' automatic behaviour, made
    configuration read-only, holds clients back. ``behind``: records and blobs that data-sync still has to fetch.
    ``job_term``, ``job_owner``: the rank of this job's document as it is stored there.
    """

    origin: str
    host: str
    role: Role
    term: int
    site_version: str
    time: datetime
    base: BaseFacts | None = None
    related: bool = False
    covers_shared_name: bool = False
    shared_name: str = ""
    suspended_by: str | None = None
    frozen_by: str | None = None
    frozen_until: datetime | None = None
    held_by: str | None = None
    sync_finished: datetime | None = None
    behind: int = 0
    sync_error: str = ""
    sessions_live: int = 0
    other_job: str | None = None
    job_term: int = 0
    job_owner: str = ""
    installs: tuple[InstallFact, ...] = ()
    answers: tuple[Answered, ...] = ()

    def answer(self, step: str, verb: str) -> Answered | None:
        """What this appliance answered to a command, if it was executed."""
        return next((one for one in self.answers if one.step == step and one.verb == verb), None)

    def install(self, step: str) -> InstallFact | None:
        """The install job begun for a step, if there is one."""
        return next((one for one in self.installs if one.step == step), None)


@dataclass(frozen=True, slots=True)
class Facts:
    """Both appliances at this moment; one that does not answer is None.

    ``clock_difference``: seconds between their clocks, already less the time the question took. ``tried``: how often
    the same command was sent in a row without effect, ``refusal`` what was said to the last. ``silent``: seconds since
    the missing one last answered, ``why`` what came instead. ``waited``: seconds in the present step.
    """

    a: ApplianceFacts | None
    b: ApplianceFacts | None
    now: datetime
    clock_difference: float = 0.0
    tried: int = 0
    refusal: str = ""
    silent: float = 0.0
    why: str = ""
    waited: float = 0.0

    def of(self, side: Side) -> ApplianceFacts | None:
        """One appliance."""
        return self.a if side is Side.A else self.b


@dataclass(frozen=True, slots=True)
class Limits:
    """What a pair job waits for, and how often it tries. Times in seconds.

    ``attempts`` is of a step, ``probes`` of proving an appliance: on a busy machine a probe runs out of its time.
    ``freeze_seconds`` is how long configuration stays read-only at most, should the job die meanwhile.
    """

    clock_seconds: float = 2.0
    synced_seconds: float = 60.0
    sync_patience_seconds: float = 600.0
    freeze_seconds: float = 30.0
    freeze_left_seconds: float = 5.0
    tries: int = 5
    attempts: int = 3
    probes: int = 6


DEFAULTS: Final = Limits()


class Need(StrEnum):
    """What a job that cannot go on waits for."""

    NOTHING = "nothing"  # its own work is under way
    PEER = "peer"
    GRANT = "grant"
    BASE = "base"


@dataclass(frozen=True, slots=True)
class Do:
    """Ask this of an appliance, then look again. Asking twice is the same as once.

    ``then`` is asked right after it was done, where looking again would cost time: the promotion after the step-down.
    """

    side: Side
    verb: str
    sentence: str
    arguments: tuple[tuple[str, str | int], ...] = ()
    then: "Do | None" = None


@dataclass(frozen=True, slots=True)
class StepDone:
    """The present step is done; the evidence says how one can tell."""

    evidence: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """The other appliance owns the job from now on."""

    to: Side


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again later; ``need`` says whether something is missing."""

    sentence: str
    need: Need = Need.NOTHING


@dataclass(frozen=True, slots=True)
class Again:
    """The step did not hold: begin this one (the same or an earlier one) anew."""

    step: Step
    reason: str


@dataclass(frozen=True, slots=True)
class Undo:
    """Everything back to what it was."""

    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A person must look."""

    reason: str


Decision = Do | StepDone | HandOver | Wait | Again | Undo | GiveUp
