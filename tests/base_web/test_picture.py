"""A job as it is shown, folded from its events."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from staffetta.base.installs.states import INSTALL, InstallState
from staffetta.base.web.picture import STEP_LABELS, Picture, StepState, after, rows
from staffetta.control.appliance import EventKind, InstallEvent, JobState
from staffetta.ui.bars import Place

AT = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)


def step(sequence: int, name: str, text: str = "") -> InstallEvent:
    return InstallEvent(sequence, EventKind.STEP, name, text, time=AT + timedelta(seconds=sequence))


def progress(done: int, total: int | None = 100) -> InstallEvent:
    return InstallEvent(None, EventKind.PROGRESS, "download", "", done, total)


def ended(sequence: int, state: JobState) -> InstallEvent:
    return InstallEvent(
        sequence, EventKind.ENDED, str(state), "why", state=state, time=AT + timedelta(seconds=sequence)
    )


def fold(*events: InstallEvent) -> Picture:
    picture = Picture()
    for event in events:
        picture = after(picture, event, AT)
    return picture


def states(picture: Picture) -> list[tuple[str, str]]:
    return [(one.name, str(one.state)) for one in picture.steps]


def test_every_step_of_an_install_has_a_label() -> None:
    steps = {str(state) for state in InstallState} - {str(state) for state in INSTALL.finals}
    assert steps == set(STEP_LABELS)


def test_a_job_that_goes_well() -> None:
    picture = fold(step(1, "verify"), step(2, "download"), step(5, "stage"), ended(6, JobState.COMMITTED))
    assert states(picture) == [("verify", "done"), ("download", "done"), ("stage", "done")]
    assert picture.steps[1].took == timedelta(seconds=3)
    assert (picture.outcome, picture.reason, picture.last) == (JobState.COMMITTED, "why", 6)


def test_the_step_that_led_to_going_back_is_the_one_that_failed() -> None:
    running = fold(step(1, "start"), step(2, "prove"), step(3, "undo"))
    assert states(running) == [("start", "done"), ("prove", "failed"), ("undo", "running")]
    assert running.undoing
    over = after(running, ended(4, JobState.UNDONE), AT)
    assert states(over)[-1] == ("undo", "done")
    assert over.undone
    assert not over.undoing


def test_a_generation_that_was_lost_is_started_again_and_both_tries_are_listed() -> None:
    picture = fold(step(1, "start", "one"), step(2, "start", "two"), step(3, "prove"), step(4, "start", "three"))
    assert states(picture) == [("start", "done"), ("prove", "failed"), ("start", "running")]
    assert picture.steps[0].text == "two"


def test_the_rest_is_estimated_from_what_was_measured_and_forgotten_with_the_step() -> None:
    picture = fold(step(1, "download"))
    picture = after(picture, progress(10), AT)
    assert picture.remaining is None
    picture = after(picture, progress(30), AT + timedelta(seconds=2))
    assert picture.remaining == timedelta(seconds=7)
    assert after(picture, progress(30, None), AT + timedelta(seconds=2)).remaining is None
    assert after(picture, progress(200), AT + timedelta(seconds=3)).remaining == timedelta()
    assert after(picture, step(3, "stage"), AT).bytes_done is None


def test_words_between_two_steps_are_shown_until_the_next() -> None:
    trouble = InstallEvent(None, EventKind.PROGRESS, "download", "The server does not answer; trying again.")
    picture = fold(step(1, "download"), progress(10), trouble)
    assert picture.note == "The server does not answer; trying again."
    assert picture.bytes_done == 10
    assert after(picture, step(2, "stage"), AT).note == ""


EVENTS = some.lists(
    some.one_of(
        some.builds(step, some.integers(1, 50), some.sampled_from([*STEP_LABELS, "a-step-of-later"])),
        some.builds(progress, some.integers(0, 200), some.none() | some.integers(0, 200)),
        some.builds(ended, some.integers(1, 50), some.sampled_from([JobState.COMMITTED, JobState.UNDONE])),
        some.just(InstallEvent(None, EventKind.MOVED, "", "")),
    )
)


@given(EVENTS)
def test_whatever_comes_at_most_the_last_step_is_open_and_the_last_id_never_falls(events: list[InstallEvent]) -> None:
    picture = Picture()
    for event in events:
        before, picture = picture, after(picture, event, AT)
        assert picture.last >= before.last
        assert picture.last >= (event.sequence or 0)
        for one in picture.steps[:-1]:
            assert one.ended is not None
            assert one.state is not StepState.RUNNING
        for one in picture.steps:
            assert (one.ended is None) == (one.state is StepState.RUNNING)
        assert picture.remaining is None or picture.remaining >= timedelta()


@pytest.mark.req("U3")
def test_steps_lie_on_one_axis_up_to_now_or_to_the_end() -> None:
    running = fold(step(0, "verify"), step(10, "download"))
    first, last = rows(running, AT + timedelta(seconds=40))
    assert (first.place, last.place) == (Place(0, 25), Place(25, 75))
    assert rows(Picture(), AT) == ()
