"""The way of an appliance to the newest software, as the page draws it: what is installed, what comes next; pure."""

from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise

from staffetta.base.web.picture import STEP_LABELS
from staffetta.control.appliance import ApplianceStatus, Job, JobState, Updates, Waypoint


class StopState(StrEnum):
    """How far the appliance is with a stop."""

    INSTALLED = "installed"
    RUNNING = "running"
    UNDOING = "undoing"  # the job goes back to what was before
    NEXT = "next"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop of the way: a package, what it still needs, and the job's step while it is being installed."""

    kind: str
    version: str
    state: StopState
    requires: tuple[str, ...] = ()
    step: str | Promise = ""


def stops(status: ApplianceStatus, updates: Updates, job: Job | None) -> tuple[Stop, ...]:
    """The way, from what is installed on; only that where nothing is newer. `job` is the one under way, if any.

    What is being installed comes right after what is installed, also when it is not of this way: it was uploaded, or
    chosen beside it.
    """
    installed = [Stop("base", status.base_version, StopState.INSTALLED)]
    if status.site_version is not None:
        installed.append(Stop("site", status.site_version, StopState.INSTALLED))
    running = _running(installed, job)
    ahead = [
        one for one in updates.way if not any((stop.kind, stop.version) == (one.kind, one.version) for stop in running)
    ]
    return (*installed, *running, *(_ahead(one, number) for number, one in enumerate(ahead)))


def _running(installed: list[Stop], job: Job | None) -> list[Stop]:
    """The package of the job; a job that only tidies up after itself is at no stop."""
    if job is None or job.state.ended or any((job.kind, job.version) == (one.kind, one.version) for one in installed):
        return []
    state = StopState.UNDOING if job.state is JobState.UNDOING else StopState.RUNNING
    return [Stop(job.kind, job.version, state, step=STEP_LABELS.get(job.step, job.step))]


def _ahead(one: Waypoint, number: int) -> Stop:
    return Stop(one.kind, one.version, StopState.LATER if number else StopState.NEXT, one.requires)
