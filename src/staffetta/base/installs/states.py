"""The install table: what an install job of base or site can be at, and what leads from one to the next.

Everything that affects where a job is must be in this table; `plan.py` chooses among its events.
Rules:
- Until the flip is known to have happened, every failure leads to `undo`; from `commit` on nothing does.
- A started generation that is lost (keeper or the power went) is started again from `start`, not undone at once.
- An undo that finds the new generation confirmed turns back to `flip`: what keeper has kept is finished.
"""

from enum import StrEnum
from itertools import pairwise

from staffetta.kernel.states import StateTable


class InstallState(StrEnum):
    """The step a job is at, or its end."""

    VERIFY = "verify"
    RESERVE = "reserve"
    DOWNLOAD = "download"
    STAGE = "stage"
    CHECK = "check"
    SNAPSHOT = "snapshot"
    MIGRATE = "migrate"
    START = "start"
    PROVE = "prove"
    ACTIVATE = "activate"
    CONFIRM = "confirm"
    FLIP = "flip"
    COMMIT = "commit"
    PRUNE = "prune"
    UNDO = "undo"
    COMMITTED = "committed"
    UNDONE = "undone"


class InstallEvent(StrEnum):
    """What can happen to a job at a step."""

    DONE = "done"
    FAILED = "failed"
    LOST = "lost"  # the started generation is no longer there, through no fault of its own
    KEPT = "kept"  # keeper had confirmed the new generation before the failure was written


STEPS: tuple[InstallState, ...] = (
    InstallState.VERIFY,
    InstallState.RESERVE,
    InstallState.DOWNLOAD,
    InstallState.STAGE,
    InstallState.CHECK,
    InstallState.SNAPSHOT,
    InstallState.MIGRATE,
    InstallState.START,
    InstallState.PROVE,
    InstallState.ACTIVATE,
    InstallState.CONFIRM,
    InstallState.FLIP,
    InstallState.COMMIT,
    InstallState.PRUNE,
)
"""The steps of a job that goes well, in order."""

_NEEDS_GENERATION = (InstallState.PROVE, InstallState.ACTIVATE, InstallState.CONFIRM, InstallState.FLIP)

INSTALL = StateTable(
    name="install",
    initial=InstallState.VERIFY,
    transitions={
        **{(step, InstallEvent.DONE): after for step, after in pairwise(STEPS)},
        (InstallState.PRUNE, InstallEvent.DONE): InstallState.COMMITTED,
        **{(step, InstallEvent.FAILED): InstallState.UNDO for step in STEPS[: STEPS.index(InstallState.COMMIT)]},
        **{(step, InstallEvent.LOST): InstallState.START for step in _NEEDS_GENERATION},
        (InstallState.UNDO, InstallEvent.KEPT): InstallState.FLIP,
        (InstallState.UNDO, InstallEvent.DONE): InstallState.UNDONE,
    },
    finals=frozenset({InstallState.COMMITTED, InstallState.UNDONE}),
)
