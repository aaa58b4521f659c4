"""The table of a pair job: its states, its steps in their order, and what leads from one state to the next (F7).

Rules:
- Appliance A was primary when the job began and B was its backup; these letters stay when the roles are swapped.
- Until B has become primary every failure leads to `undoing`; afterwards the job goes on, or waits for a person.
- `needs-a-person` is no end: a person resumes it, and the step that failed is tried anew.
"""

from enum import StrEnum
from itertools import pairwise
from typing import Final

from staffetta.kernel.states import StateTable


class Side(StrEnum):
    """An appliance of the pair, by what it was when the job began."""

    A = "A"
    B = "B"

    @property
    def other(self) -> "Side":
        """The other appliance."""
        return Side.B if self is Side.A else Side.A


class JobState(StrEnum):
    """What a pair job is at."""

    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    UNDOING = "undoing"
    NEEDS_A_PERSON = "needs-a-person"
    FINISHED = "finished"
    UNDONE = "undone"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in (JobState.FINISHED, JobState.UNDONE)

    @property
    def acts(self) -> bool:
        """Whether its owner does something about it by itself."""
        return self in (JobState.RUNNING, JobState.WAITING, JobState.UNDOING)


class JobEvent(StrEnum):
    """What can happen to a pair job."""

    HELD_UP = "held-up"  # what it needs is not there: the peer, a grant
    GOES_ON = "goes-on"
    PAUSED = "paused"
    RESUMED = "resumed"
    FAILED = "failed"  # before B was primary
    GAVE_UP = "gave-up"  # after B was primary, or in an undo
    ALL_DONE = "all-done"
    ALL_UNDONE = "all-undone"


PAIR_JOB: Final = StateTable(
    "pair-job",
    JobState.RUNNING,
    {
        (JobState.RUNNING, JobEvent.HELD_UP): JobState.WAITING,
        (JobState.WAITING, JobEvent.GOES_ON): JobState.RUNNING,
        (JobState.RUNNING, JobEvent.PAUSED): JobState.PAUSED,
        (JobState.WAITING, JobEvent.PAUSED): JobState.PAUSED,
        (JobState.PAUSED, JobEvent.RESUMED): JobState.RUNNING,
        (JobState.NEEDS_A_PERSON, JobEvent.RESUMED): JobState.RUNNING,
        (JobState.RUNNING, JobEvent.FAILED): JobState.UNDOING,
        (JobState.WAITING, JobEvent.FAILED): JobState.UNDOING,
        (JobState.PAUSED, JobEvent.FAILED): JobState.UNDOING,
        (JobState.NEEDS_A_PERSON, JobEvent.FAILED): JobState.UNDOING,
        (JobState.RUNNING, JobEvent.GAVE_UP): JobState.NEEDS_A_PERSON,
        (JobState.WAITING, JobEvent.GAVE_UP): JobState.NEEDS_A_PERSON,
        (JobState.UNDOING, JobEvent.GAVE_UP): JobState.NEEDS_A_PERSON,
        (JobState.RUNNING, JobEvent.ALL_DONE): JobState.FINISHED,
        (JobState.UNDOING, JobEvent.ALL_UNDONE): JobState.UNDONE,
    },
    frozenset({JobState.FINISHED, JobState.UNDONE}),
)


class Step(StrEnum):
    """A step of an asynchronous pair upgrade."""

    PREFLIGHT = "preflight"
    BACKUP = "backup"
    SYNC = "sync"
    SUSPEND = "suspend"
    UPDATE_BASE_B = "update-base-b"
    UPDATE_SITE_B = "update-site-b"
    PROBE_B = "probe-b"
    FINAL_SYNC = "final-sync"
    SWING = "swing"
    HAND_OVER = "hand-over"
    UPDATE_BASE_A = "update-base-a"
    UPDATE_SITE_A = "update-site-a"
    PROBE_A = "probe-a"
    RESTORE_ROLES = "restore-roles"
    LAST_SYNC = "last-sync"
    RELEASE_CLIENTS = "release-clients"
    UNDO = "undo"
    DONE = "done"

    @property
    def what(self) -> str:
        """What is done, without the appliance: `update-site` for both."""
        return self.value.removesuffix("-a").removesuffix("-b")

    @property
    def sides(self) -> tuple[Side, ...]:
        """Where its work is done."""
        return _WHERE.get(self, (Side.A, Side.B))


STEPS: Final = tuple(step for step in Step if step is not Step.UNDO)
"""The steps of a job that goes well, in order."""

AFTER: Final[dict[Step, Step]] = dict(pairwise(STEPS))
"""Each step's next."""

_WHERE: Final = {
    Step.BACKUP: (Side.A,),
    Step.SYNC: (Side.B,),
    Step.UPDATE_BASE_B: (Side.B,),
    Step.UPDATE_SITE_B: (Side.B,),
    Step.PROBE_B: (Side.B,),
    Step.UPDATE_BASE_A: (Side.A,),
    Step.UPDATE_SITE_A: (Side.A,),
    Step.PROBE_A: (Side.A,),
    Step.LAST_SYNC: (Side.A,),
}

UNBROKEN: Final = frozenset({Step.FINAL_SYNC, Step.SWING, Step.HAND_OVER})
"""Seconds in which a person cannot pause: configuration is read-only, or nobody owns the job."""


def before_swing(step: Step) -> bool:
    """Whether traffic is still with A for sure, so that a failure can be undone."""
    return step in STEPS and STEPS.index(step) < STEPS.index(Step.SWING)


def after_swing(step: Step) -> bool:
    """Whether B is primary for sure."""
    return step in STEPS and STEPS.index(step) > STEPS.index(Step.SWING)


class StepState(StrEnum):
    """What a step is at."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
