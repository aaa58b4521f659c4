"""How an install job looks, folded from its events: pure, so that page, stream and tests see the same.

Events come in with the time at which they arrive; nothing is read, nothing is done.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from staffetta.control.appliance import EventKind, InstallEvent, JobState
from staffetta.ui import bars

LEAST_EVIDENCE: Final = timedelta(seconds=1)
"""No estimate is made from less than this."""

STEP_LABELS: Final[Mapping[str, str | Promise]] = {
    "verify": _("Verify signatures and requirements"),
    "reserve": _("Reserve disk space"),
    "download": _("Download"),
    "stage": _("Unpack beside the running version"),
    "check": _("Check every file"),
    "snapshot": _("Keep a copy of the database"),
    "migrate": _("Extend the database"),
    "start": _("Start the new version, unseen"),
    "prove": _("The new version proves itself"),
    "activate": _("Hand over the open sockets"),
    "confirm": _("Confirm that it answers"),
    "flip": _("Make it the current version"),
    "commit": _("Commit"),
    "prune": _("Remove what is no longer needed"),
    "undo": _("Go back to how it was"),
}


class StepState(StrEnum):
    """How far a step is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


MARKS: Final[Mapping[StepState, tuple[str, str | Promise]]] = {
    StepState.RUNNING: ("▸", _("running")),
    StepState.DONE: ("✓", _("done")),
    StepState.FAILED: ("✕", _("did not succeed")),
}
"""The sign of a state and the word for it, which screen readers say instead."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a job as it is listed."""

    name: str
    text: str
    state: StepState
    started: datetime
    ended: datetime | None = None

    @property
    def label(self) -> str | Promise:
        """What the step does; a step this version does not know is shown by its name."""
        return STEP_LABELS.get(self.name, self.name)

    @property
    def sign(self) -> str:
        return MARKS[self.state][0]

    @property
    def word(self) -> str | Promise:
        return MARKS[self.state][1]

    @property
    def took(self) -> timedelta | None:
        return None if self.ended is None else self.ended - self.started


@dataclass(frozen=True, slots=True)
class Picture:
    """A job as a page shows it. `last` is the sequence of the newest kept event in it.

    `note` is what an event without a sequence said last; bytes and the estimate are those of the step under way.
    `outcome` is set when the job has ended, and `reason` is then its last sentence.
    """

    steps: tuple[Step, ...] = ()
    last: int = 0
    note: str = ""
    bytes_done: int | None = None
    bytes_total: int | None = None
    remaining: timedelta | None = None
    outcome: JobState | None = None
    reason: str = ""
    measured_from: tuple[datetime, int] | None = None

    @property
    def undone(self) -> bool:
        return self.outcome is JobState.UNDONE

    @property
    def undoing(self) -> bool:
        return self.outcome is None and bool(self.steps) and self.steps[-1].name == "undo"


@dataclass(frozen=True, slots=True)
class Row:
    """A step and where it lies on the axis of time, from the first step's beginning to the last one's end or to now."""

    step: Step
    place: bars.Place


def rows(picture: Picture, now: datetime) -> tuple[Row, ...]:
    """The steps on a common axis."""
    if not picture.steps:
        return ()
    first, last = picture.steps[0].started, picture.steps[-1].ended or now
    return tuple(Row(one, bars.span(one.started, one.ended or last, first, last)) for one in picture.steps)


def after(picture: Picture, event: InstallEvent, now: datetime) -> Picture:
    """The picture after one more event."""
    last = picture.last if event.sequence is None else max(picture.last, event.sequence)
    match event.kind:
        case EventKind.PROGRESS:
            return _progressed(picture, event, now)
        case EventKind.MOVED:
            return picture
        case EventKind.STEP:
            return Picture(steps=_with_step(picture.steps, event, event.time or now), last=last)
        case EventKind.ENDED:
            outcome = event.state or JobState.COMMITTED
            steps = _closed(picture.steps, StepState.DONE, event.time or now)
            return Picture(steps=steps, last=last, outcome=outcome, reason=event.text)


def _progressed(picture: Picture, event: InstallEvent, now: datetime) -> Picture:
    if event.bytes_done is None:
        return replace(picture, note=event.text)
    measured_from = picture.measured_from or (now, event.bytes_done)
    return replace(
        picture,
        note=event.text,
        bytes_done=event.bytes_done,
        bytes_total=event.bytes_total,
        measured_from=measured_from,
        remaining=_estimate(measured_from, event.bytes_done, event.bytes_total, now),
    )


def _estimate(since: tuple[datetime, int], done: int, total: int | None, now: datetime) -> timedelta | None:
    """How long the rest takes at the mean rate since the first measure of this step."""
    elapsed, moved = now - since[0], done - since[1]
    if total is None or elapsed < LEAST_EVIDENCE or moved <= 0:
        return None
    return elapsed * (max(0, total - done) / moved)


def _with_step(steps: tuple[Step, ...], event: InstallEvent, at: datetime) -> tuple[Step, ...]:
    """A step begins: the one before it is done, or has failed if the job goes back to this one."""
    if steps and steps[-1].name == event.step and steps[-1].ended is None:
        return (*steps[:-1], replace(steps[-1], text=event.text))
    goes_back = event.step == "undo" or any(step.name == event.step for step in steps)
    closed = _closed(steps, StepState.FAILED if goes_back else StepState.DONE, at)
    return (*closed, Step(event.step, event.text, StepState.RUNNING, at))


def _closed(steps: tuple[Step, ...], state: StepState, at: datetime) -> tuple[Step, ...]:
    if not steps or steps[-1].ended is not None:
        return steps
    return (*steps[:-1], replace(steps[-1], state=state, ended=at))
