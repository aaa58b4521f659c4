"""The way to the newest as the page draws it: what is installed, where the job is, what comes next."""

from dataclasses import replace

import pytest

from staffetta.base.web.way import Stop, StopState, stops
from staffetta.control.appliance import Job, JobState, Updates

from .control_server import AT, JOB, STATUS, WAY

pytestmark = pytest.mark.req("U2")

UPDATES = Updates(AT, (), way=WAY)
BASE = Job(JOB, "base", "1.1", JobState.RUNNING, "download", AT)


def drawn(*found: Stop) -> list[tuple[str, str]]:
    return [(f"{one.kind} {one.version}", str(one.state)) for one in found]


INSTALLED = [("base 1.0", "installed"), ("site 1.0", "installed")]
AHEAD = [("base 1.1", "next"), ("site 1.1", "later")]


def test_what_is_installed_comes_first_then_what_is_next_and_what_it_needs() -> None:
    found = stops(STATUS, UPDATES, None)
    assert drawn(*found) == [*INSTALLED, *AHEAD]
    assert found[-1].requires == ("base 1.1 or newer",)
    assert drawn(*stops(replace(STATUS, site_version=None), UPDATES, None))[0:2] == [INSTALLED[0], AHEAD[0]]
    assert drawn(*stops(STATUS, Updates(AT, ()), None)) == INSTALLED


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (BASE, [("base 1.1", "running"), ("site 1.1", "next")]),
        (replace(BASE, state=JobState.UNDOING, step="undo"), [("base 1.1", "undoing"), ("site 1.1", "next")]),
        (replace(BASE, kind="site", version="1.0.5"), [("site 1.0.5", "running"), *AHEAD]),  # not of this way
        (replace(BASE, version="1.0", step="prune"), AHEAD),  # it is installed; the job tidies up
        (replace(BASE, state=JobState.UNDONE), AHEAD),
    ],
)
def test_where_the_appliance_is_while_a_job_runs(job: Job, expected: list[tuple[str, str]]) -> None:
    assert drawn(*stops(STATUS, UPDATES, job)) == [*INSTALLED, *expected]


def test_what_is_being_installed_says_its_step() -> None:
    assert [str(one.step) for one in stops(STATUS, UPDATES, BASE) if one.state is StopState.RUNNING] == ["Download"]
