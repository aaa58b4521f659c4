"""The lab can see: every kind of loss turns the report red, and nothing else does."""

from collections import Counter

import pytest
import reports
from hypothesis import given
from hypothesis import strategies as st

from staffetta.kernel.errors import InvalidInput
from staffetta.lab.faults import PROCESSES, Draw, Fault
from staffetta.lab.judge import judge
from staffetta.lab.measures import Difference, compare, gaps, longest_gap, longest_pause, most_at_once, pauses
from staffetta.lab.report import Report

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


def test_of_waits_that_overlap_the_longest_is_the_pause() -> None:
    assert pauses([0.0, 1.0, 1.1, 5.0], [0.05, 1.5, 1.7, 5.01], end=9.0, least=0.1) == [(1.1, pytest.approx(0.6))]
    assert pauses([0.0, 1.0], [0.05], end=9.0, least=0.1) == [(1.0, 8.0)]
    assert gaps([1.0, 1.05, 4.0], least=0.1) == [(1.05, pytest.approx(2.95))]


def test_what_lies_over_each_other_is_counted() -> None:
    assert most_at_once([]) == 0
    assert most_at_once([(1.0, 2.0), (2.0, 3.0), (5.0, float("inf"))]) == 1
    assert most_at_once([(1.0, 3.0), (2.0, 4.0), (2.5, 2.6), (3.0, 9.0)]) == 3


def test_the_longest_gap_is_between_successes() -> None:
    assert longest_gap([1.0, 1.5, 4.0, 4.1]) == 2.5
    assert longest_gap([1.0]) == 0.0


def test_a_story_in_which_nothing_was_lost_is_good() -> None:
    assert judge(reports.single(), expected="upgraded", kills=False) == []


def test_a_pair_in_which_nothing_was_lost_is_good() -> None:
    assert judge(reports.pair(), expected="upgraded", kills=False) == []


@pytest.mark.parametrize(
    ("part", "key", "value", "words"),
    [
        ("records", "only_a", 1, "1 records only on A"),
        ("records", "only_b", 2, "2 records only on B"),
        ("records", "doubled", 1, "1 records doubled"),
        ("records", "lost", 1, "1 records lost"),
        ("recordings", "only_a", 1, "1 recordings only on A"),
        ("recordings", "doubled", 1, "1 recordings doubled"),
        ("recordings", "b", 0, "nothing was compared"),
    ],
)
def test_one_record_lost_or_doubled_turns_a_pair_red(part: str, key: str, value: int, words: str) -> None:
    report = reports.pair()
    assert report.sync is not None
    report.sync[part][key] = value
    (problem,) = judge(report, expected="upgraded", kills=False)
    assert words in problem


def test_clients_behind_too_many_at_once_or_nobody_looking_turn_a_pair_red() -> None:
    report = reports.pair()
    assert report.fleet is not None
    report.fleet |= {"updated": 7, "most_at_once": 4}
    assert len(judge(report, expected="upgraded", kills=False)) == 2
    report.sync = report.fleet = None
    assert len(judge(report, expected="upgraded", kills=False)) == 4


def test_a_damaged_file_is_red_and_its_session_named() -> None:
    report = reports.pair()
    report.sessions[1]["sha256_ok"] = False
    (problem,) = judge(report, expected="upgraded", kills=False)
    assert "files session on computer-2" in problem


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
        ("sha256_ok", False, "another hash"),
    ],
)
def test_each_bound_that_does_not_hold_turns_the_report_red(key: str, value: object, words: str) -> None:
    report = reports.single()
    report.sessions[0][key] = value
    problems = judge(report, expected="upgraded", kills=False)
    assert len(problems) == 1
    assert words in problems[0]


def test_of_files_bytes_are_counted_and_no_recording_is_expected() -> None:
    report = reports.single()
    report.sessions[0] |= {"kind": "files", "sha256_ok": True, "recording": None, "sent": 200_000_000}
    assert judge(report, expected="upgraded", kills=False) == []
    assert "sent 200000000 bytes" in report.to_text()
    report.sessions[0]["lost"] = 3
    assert judge(report, expected="upgraded", kills=False) == ["the files session lost 3 and doubled 0 bytes"]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("updated", 2, "1 of 3 Jump Clients"),
        ("most_at_once", 2, "more than 1"),
        ("most_at_once", 0, "no Jump Client was seen"),
    ],
)
@pytest.mark.parametrize("kills", [False, True])
def test_a_fleet_that_does_not_follow_or_all_at_once_is_red(key: str, value: int, words: str, kills: bool) -> None:
    report = reports.single()
    assert report.fleet is not None
    report.fleet[key] = value
    (problem,) = judge(report, expected="upgraded", kills=kills)
    assert words in problem


def test_no_client_may_follow_a_site_that_was_not_upgraded() -> None:
    report = reports.single()
    report.outcome = "unchanged"
    (problem,) = judge(report, expected="unchanged", kills=False)
    assert "3 of 3 Jump Clients are on the newer version, not 0" in problem


def test_failed_requests_other_outcomes_and_empty_stories_are_red() -> None:
    report = reports.single()
    report.http["failed"] = 1
    report.outcome = "failed"
    assert len(judge(report, expected="upgraded", kills=False)) == 2
    assert len(judge(Report("single", outcome="upgraded"), expected="upgraded", kills=False)) == 2


@pytest.mark.parametrize("kills", [False, True])
def test_a_user_who_did_nothing_is_red_and_named(kills: bool) -> None:
    report = reports.single()
    report.users[1]["requests"] = 0
    assert judge(report, expected="upgraded", kills=kills) == ["the uploader made no request"]


def test_with_processes_killed_requests_may_fail_but_keys_may_not_be_lost() -> None:
    report = reports.single()
    report.http["failed"] = 9
    report.sessions[0]["longest_pause_ms"] = 4000.0
    assert judge(report, expected="upgraded", kills=True) == []
    report.sessions[0]["lost"] = 1
    assert len(judge(report, expected="upgraded", kills=True)) == 1


def test_the_text_and_the_json_say_the_same() -> None:
    report = reports.single()
    report.problems.append("the shell session lost 1 and doubled 0 keystrokes")
    assert "RED: the shell session lost 1" in report.to_text()
    assert '"good": false' in report.to_json()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "drop",
        "drop@nowhere",
        "kill-nobody@base.flip.before",
        "kill-any@base",
        "crash@base",
        "lose@site",
        "kill-web-c@base.flip.before",
    ],
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


def test_a_fault_of_a_pair_names_its_side() -> None:
    fault = Fault.parse("kill-base-web-b@pair.every.both")
    assert (fault.process, fault.side) == ("base-web", "B")
    assert fault.needs_pair
    assert Fault.parse("lose@record").needs_pair
    assert not Fault.parse("kill-any@any.every.both").needs_pair


def test_no_process_is_left_out_by_chance_and_keeper_has_rarer_turns() -> None:
    draw = Draw("1 A")
    killed = []
    for _ in range(32):
        name = next(one for one in draw.candidates() if one != "keeper" or len(killed) > 15)  # keeper is away at first
        draw.note(name)
        killed.append(name)
    assert Counter(killed) == {name: 2 if name == "keeper" else 6 for name in PROCESSES}
    assert Draw("1 A").candidates() == Draw("1 A").candidates() != Draw("2 A").candidates()
