"""What a client's journal of updates means: wherever it was cut off, the next starts finish the update or undo it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staffetta.clients.updating import plan
from staffetta.clients.updating.plan import AtStart, Failed, Pending, Progress

OLD, NEW = "1.0.0", "1.1.0"
BOTH = frozenset({OLD, NEW})
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def _at_start(running: str, current: str, on_disk: frozenset[str] = BOTH, **progress: Any) -> AtStart:
    return plan.at_start(Progress(**progress), running, current, on_disk)


@pytest.mark.req("U10", "C4")
@pytest.mark.parametrize(
    ("running", "current", "starts", "on_disk", "what"),
    [
        (OLD, OLD, 0, BOTH, AtStart.FLIP),  # killed between the journal and the flip
        (OLD, NEW, 0, BOTH, AtStart.RUN_CURRENT),  # killed between the flip and the restart
        (NEW, NEW, 0, BOTH, AtStart.COUNT),
        (NEW, NEW, 2, BOTH, AtStart.COUNT),
        (NEW, NEW, 3, BOTH, AtStart.BACK),
        (NEW, NEW, 3, frozenset({NEW}), AtStart.COUNT),  # nothing to go back to
        (OLD, NEW, 3, BOTH, AtStart.BACK),
        (OLD, OLD, 0, frozenset({OLD}), AtStart.BACK),  # somebody removed it
    ],
)
def test_what_is_done_at_a_start(
    running: str, current: str, starts: int, on_disk: frozenset[str], what: AtStart
) -> None:
    assert _at_start(running, current, on_disk, pending=Pending(NEW, OLD, starts)) is what


def test_going_back_is_finished() -> None:
    back = Pending(NEW, OLD, 3)
    assert _at_start(NEW, NEW, back=back) is AtStart.RESUME_BACK
    assert _at_start(OLD, OLD, back=back) is AtStart.GO_ON
    assert _at_start(NEW, NEW, frozenset({NEW}), back=back) is AtStart.GO_ON
    assert _at_start(OLD, OLD) is AtStart.GO_ON


class Disk:
    """A computer's disk as updates see it, on which every write may be the last before a kill."""

    def __init__(self, kill_at: set[int]) -> None:
        self.journal: list[dict[str, Any]] = []
        self.current = OLD
        self._writes = 0
        self._kill_at = kill_at

    def write(self, change: Any) -> None:
        self._writes += 1
        if self._writes in self._kill_at:
            raise KeyboardInterrupt
        change()

    def note(self, step: str, **more: str) -> None:
        self.write(lambda: self.journal.append({"step": step, "version": NEW, "at": "2026-11-24T12:00:00Z", **more}))

    def flip(self, version: str) -> None:
        def change() -> None:
            self.current = version

        self.write(change)


def _run(disk: Disk, good: bool) -> str:
    """Run the client from a start to its steady state, as ``starting`` and ``following`` do; returns what runs."""
    running = disk.current
    while True:
        progress = plan.read(disk.journal)
        match plan.at_start(progress, running, disk.current, BOTH):
            case AtStart.COUNT:
                disk.note("started")
                if good:
                    disk.note("proven", previous=OLD)
                    return running
                disk.note("back", previous=OLD, why="it did not reach the site")
                disk.flip(OLD)
            case AtStart.FLIP:
                disk.flip(NEW)
            case AtStart.BACK:
                disk.note("back", previous=OLD, why="started again and again")
                disk.flip(OLD)
            case AtStart.RESUME_BACK:
                disk.flip(OLD)
            case AtStart.RUN_CURRENT:
                pass
            case AtStart.GO_ON:
                if running == NEW or plan.unwanted(progress, NOW):
                    return running
                disk.note("flip", previous=OLD)
                disk.flip(NEW)
        running = disk.current


@pytest.mark.req("U10", "C4")
@given(good=st.booleans(), kill_at=st.sets(st.integers(1, 30)))
def test_cut_off_anywhere_any_number_of_times_it_ends_at_a_version_that_works(good: bool, kill_at: set[int]) -> None:
    disk = Disk(kill_at)
    while True:
        try:
            running = _run(disk, good)
            break
        except KeyboardInterrupt:
            assert disk.current in BOTH
    assert running == disk.current
    progress = plan.read(disk.journal)
    assert progress.pending is None
    if not good:
        assert running == OLD and progress.failed is not None
    elif progress.failed is None:
        assert running == NEW and progress.version == NEW
    else:
        assert running == OLD, "killed so often that it looked broken"
    assert plan.at_start(progress, running, disk.current, BOTH) is AtStart.GO_ON
    again = plan.read(plan.kept(progress))
    assert (again.version, again.previous, again.updated_at) == (
        progress.version,
        progress.previous,
        progress.updated_at,
    )
    assert again.failed == progress.failed


@pytest.mark.parametrize(
    ("at", "unwanted"),
    [
        (NOW.isoformat(), NEW),
        ((NOW - timedelta(hours=23)).isoformat(), NEW),
        ((NOW + timedelta(hours=1)).isoformat(), NEW),
        ((NOW - timedelta(hours=25)).isoformat(), ""),
        ((NOW + timedelta(days=400)).isoformat(), ""),  # the clock was wrong then, or is now: it is tried
        ("2026-11-24T12:00:00.000000Z", NEW),
        ("no time", NEW),
        ("2026-11-24T12:00:00", NEW),
    ],
)
def test_a_version_that_failed_is_unwanted_for_a_day(at: str, unwanted: str) -> None:
    assert plan.unwanted(Progress(failed=Failed(NEW, at, "why")), NOW) == unwanted


def test_what_the_site_is_told() -> None:
    assert plan.details(Progress(), OLD, "") == {}
    progress = Progress(version=NEW, updated_at="then", failed=Failed("2.0", "later", "x" * 2000))
    told = plan.details(progress, NEW, "3.0")
    assert (told["updated_at"], told["update_waiting"], told["update_failed"]) == ("then", "3.0", "2.0")
    assert all(len(value) <= 1024 for value in told.values())
    assert "updated_at" not in plan.details(progress, OLD, "")


def test_steps_of_a_newer_version_change_nothing() -> None:
    entries = [{"step": "flip", "version": NEW, "previous": OLD, "at": ""}, {"step": "newer", "version": "9"}, {}]
    assert plan.read(entries) == plan.read(entries[:1])


def test_what_fails_is_tried_again_later_each_time_but_within_five_minutes() -> None:
    waits = [plan.retry_after(failures, 0.0) for failures in (1, 2, 3, 5, 6, 1000)]
    assert waits == [10.0, 20.0, 40.0, 160.0, 300.0, 300.0]
    assert plan.retry_after(1, 0.99) == pytest.approx(5.05)
