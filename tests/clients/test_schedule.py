"""When a passive client checks in, how long it stays and how often it is woken: for every clock and every setting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staffetta.clients.jump_client import schedule
from staffetta.clients.jump_client.schedule import LONGEST_SECONDS, Allowance
from staffetta.clients.updating.plan import question_after

pytestmark = pytest.mark.req("C4")

moments = st.floats(0, 1e10)
jitters = st.floats(0, 1, exclude_max=True)
intervals = st.floats(1, LONGEST_SECONDS)


@given(st.floats(-10, 1e9))
def test_no_setting_makes_it_later_than_every_24_hours(hours: float) -> None:
    assert 0 < schedule.interval(hours) <= LONGEST_SECONDS


@given(moments, moments, intervals, jitters)
def test_the_next_check_in_is_in_time_and_spread(monotonic: float, wall: float, every: float, jitter: float) -> None:
    due = schedule.next_due(monotonic, wall, every, jitter)
    left = due.left(monotonic, wall)
    assert every * (1 - schedule.SPREAD) - 1e-3 <= left <= every + 1e-3
    assert due.left(monotonic + left + 1e-3, wall) == 0


@given(moments, moments, intervals, jitters, st.floats(0, 1e6), st.floats(-1e6, 1e6))
def test_whichever_clock_says_first_that_it_is_time_is_believed(
    monotonic: float, wall: float, every: float, jitter: float, went: float, set_by: float
) -> None:
    """A computer that slept, or whose clock was set, is never later than the interval by either clock."""
    due = schedule.next_due(monotonic, wall, every, jitter)
    left = due.left(monotonic + went, wall + went + set_by)
    assert 0 <= left <= max(0.0, every - went) + 1e-3
    if went + set_by >= every:
        assert left <= 1e-3


@given(intervals, st.integers(1, 100), jitters)
def test_a_site_that_is_not_reached_is_tried_again_later_and_later(every: float, failures: int, jitter: float) -> None:
    first = schedule.due_after_failure(0, 0, every, failures, jitter).left(0, 0)
    later = schedule.due_after_failure(0, 0, every, failures + 1, jitter).left(0, 0)
    assert 0 < first <= later <= min(every, schedule.FAILED_LONGEST_SECONDS)


@given(moments, st.integers(0, 3), st.booleans(), st.none() | moments, moments, st.floats(0, 100))
def test_it_leaves_only_with_nothing_to_do_and_after_its_linger(
    now: float, sessions: int, asking: bool, welcomed: float | None, last_use: float, linger: float
) -> None:
    left = schedule.may_leave_in(now, sessions, asking, welcomed, last_use, linger)
    if sessions or asking or welcomed is None:
        assert left == linger
        return
    assert left >= 0
    if left == 0:
        assert now >= max(welcomed, last_use) + linger - 1e-3
    else:
        assert left <= max(welcomed, last_use) - now + linger + 1e-3


@given(st.floats(1, 86_400), intervals)
def test_between_check_ins_only_who_waits_for_a_turn_asks(retry: float, every: float) -> None:
    assert question_after(retry, every) == (retry if retry < 3600 else every)


@given(st.lists(st.floats(0, 30), max_size=200), st.integers(1, 10), st.floats(0.1, 20))
def test_no_sequence_of_calls_happens_more_often_than_allowed(pauses: list[float], most: int, seconds: float) -> None:
    allowance, now, taken = Allowance(most, seconds, 0.0), 0.0, list[float]()
    for pause in pauses:
        now += pause
        if allowance.take(now):
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= most + (taken[last] - taken[first]) / seconds + 1e-6


def test_what_is_allowed_happens() -> None:
    allowance = Allowance(2, 10.0, 0.0)
    assert [allowance.take(now) for now in (0, 0, 0, 9, 10, 10, 20)] == [True, True, False, False, True, False, True]
