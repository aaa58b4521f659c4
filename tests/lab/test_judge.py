"""The lab can see: every kind of loss turns the report red, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staffetta.kernel.errors import InvalidInput
from staffetta.lab.faults import Fault
from staffetta.lab.judge import Difference, compare, longest_gap, longest_pause, most_at_once
from staffetta.lab.report import Report, StepTaken, judge

COUNTER = b"".join(b"%06d;" % number for number in range(200))


def test_the_same_keys_are_no_difference() -> None:
    assert compare(COUNTER, COUNTER) == Difference(0, 0)


@given(position=st.integers(0, len(COUNTER) - 1))
def test_one_dropped_key_is_one_lost(position: int) -> None:
    arrived = COUNTER[:position] + COUNTER[position + 1 :]
    assert compare(COUNTER, arrived) == Difference(1, 0)


@given(position=st.integers(0, len(COUNTER) - 1))
def test_one_doubled_key_is_one_doubled(position: int) -> None:
    arrived = COUNTER[: position + 1] + COUNTER[position:]
    assert compare(COUNTER, arrived) == Difference(0, 1)


@given(start=st.integers(0, 1000), length=st.integers(1, 300))
def test_a_replayed_stretch_is_doubled_and_a_cut_one_lost(start: int, length: int) -> None:
    stretch = COUNTER[start : start + length]
    assert compare(COUNTER, COUNTER[: start + length] + stretch + COUNTER[start + length :]).doubled == len(stretch)
    assert compare(COUNTER, COUNTER[:start] + COUNTER[start + length :]).lost == len(stretch)


def test_swapped_keys_are_seen() -> None:
    arrived = COUNTER[:12] + COUNTER[13:14] + COUNTER[12:13] + COUNTER[14:]
    assert compare(COUNTER, arrived) != Difference(0, 0)


def test_the_longest_pause_counts_what_never_came() -> None:
    assert longest_pause([0.0, 1.0, 2.0], [0.1, 1.5], end=9.0) == 7.0
    assert longest_pause([0.0, 1.0], [0.1, 1.5], end=9.0) == 0.5
    assert longest_pause([], [], end=9.0) == 0.0


def test_the_longest_gap_is_between_successes() -> None:
    assert longest_gap([1.0, 1.5, 4.0, 4.1]) == 2.5
    assert longest_gap([1.0]) == 0.0


def test_what_lies_over_each_other_is_counted() -> None:
    assert most_at_once([]) == 0
    assert most_at_once([(1.0, 2.0), (2.0, 3.0), (5.0, float("inf"))]) == 1
    assert most_at_once([(1.0, 3.0), (2.0, 4.0), (2.5, 2.6), (3.0, 9.0)]) == 3


def good_report() -> Report:
    return Report(
        "single",
        outcome="upgraded",
        http={"requests": 100, "failed": 0, "longest_gap_ms": 20.0},
        users=[{"name": "requests on new connections", "requests": 60, "failed": 0},
               {"name": "the uploader", "requests": 40, "failed": 0}],
        sessions=[
            {
                "kind": "shell", "ended": False, "longest_pause_ms": 80.0, "sent": 700, "lost": 0, "doubled": 0,
                "resumed": 1, "generations": ["site-a", "site-b"], "recording": "complete",
            }
        ],
        fleet={"clients": 3, "updated": 3, "limit": 1, "most_at_once": 1},
        steps=[StepTaken("publish", "A", 1.0, "signed")],
    )  # fmt: skip


def test_a_story_in_which_nothing_was_lost_is_good() -> None:
    assert judge(good_report(), expected="upgraded", kills=False) == []


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("ended", True, "ended"),
        ("lost", 1, "lost 1"),
        ("doubled", 1, "doubled 1"),
        ("longest_pause_ms", 1000.0, "paused"),
        ("sent", 0, "sent nothing"),
        ("resumed", 0, "never resumed"),
        ("generations", ["site-a"], "never resumed"),
        ("recording", "incomplete (3 of 4 keystrokes)", "recording"),
    ],
)
def test_each_bound_that_does_not_hold_turns_the_report_red(key: str, value: object, words: str) -> None:
    report = good_report()
    report.sessions[0][key] = value
    problems = judge(report, expected="upgraded", kills=False)
    assert len(problems) == 1
    assert words in problems[0]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("updated", 2, "2 of 3 Jump Clients"),
        ("most_at_once", 2, "more than 1"),
        ("most_at_once", 0, "no Jump Client was seen"),
    ],
)
@pytest.mark.parametrize("kills", [False, True])
def test_a_fleet_that_does_not_follow_or_all_at_once_is_red(key: str, value: int, words: str, kills: bool) -> None:
    report = good_report()
    assert report.fleet is not None
    report.fleet[key] = value
    (problem,) = judge(report, expected="upgraded", kills=kills)
    assert words in problem


def test_no_client_may_follow_a_site_that_was_not_upgraded() -> None:
    report = good_report()
    report.outcome = "unchanged"
    (problem,) = judge(report, expected="unchanged", kills=False)
    assert "3 of 3 Jump Clients are on the newer version, not 0" in problem


def test_failed_requests_other_outcomes_and_empty_stories_are_red() -> None:
    report = good_report()
    report.http["failed"] = 1
    report.outcome = "failed"
    assert len(judge(report, expected="upgraded", kills=False)) == 2
    assert len(judge(Report("single", outcome="upgraded"), expected="upgraded", kills=False)) == 2


@pytest.mark.parametrize("kills", [False, True])
def test_a_user_who_did_nothing_is_red_and_named(kills: bool) -> None:
    report = good_report()
    report.users[1]["requests"] = 0
    assert judge(report, expected="upgraded", kills=kills) == ["the uploader made no request"]


def test_with_processes_killed_requests_may_fail_but_keys_may_not_be_lost() -> None:
    report = good_report()
    report.http["failed"] = 9
    report.sessions[0]["longest_pause_ms"] = 4000.0
    assert judge(report, expected="upgraded", kills=True) == []
    report.sessions[0]["lost"] = 1
    assert len(judge(report, expected="upgraded", kills=True)) == 1


def test_the_text_and_the_json_say_the_same() -> None:
    report = good_report()
    report.problems.append("the shell session lost 1 and doubled 0 keystrokes")
    assert "RED: the shell session lost 1" in report.to_text()
    assert '"good": false' in report.to_json()


@pytest.mark.parametrize(
    "text", ["", "drop", "drop@nowhere", "kill-nobody@base.flip.before", "kill-any@base", "crash@base"]
)
def test_unknown_faults_are_refused_with_the_list_of_known_ones(text: str) -> None:
    with pytest.raises(InvalidInput, match="drop@typist"):
        Fault.parse(text)


def test_a_kill_meets_its_point_only() -> None:
    fault = Fault.parse("kill-gateway@site.flip.before")
    assert fault.is_kill
    assert fault.meets("site", "flip", "before")
    assert not fault.meets("site", "flip", "after")
    assert not fault.meets("base", "flip", "before")
    every = Fault.parse("kill-any@any.every.both")
    assert every.meets("base", "stage", "after")
