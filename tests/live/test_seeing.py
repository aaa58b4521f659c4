"""The lab can see: one keystroke dropped or doubled, before the console or behind the far terminal, turns it red."""

import time

import pytest

from staffetta.lab.judge import judge
from staffetta.lab.report import Report
from staffetta.lab.single import Single

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

TYPING_SECONDS = 9.0
"""Long enough for the keystroke that is broken: the 101st token, or the 701st byte."""


@pytest.mark.req("S1")
def test_one_keystroke_dropped_or_doubled_turns_the_report_red(alpha: Single) -> None:
    faults = {"computer-1": "", "computer-2": "drop@typist", "computer-3": "double@echo", "computer-4": "drop@echo"}
    works = [alpha.technician.work_on(computer, fault) for computer, fault in faults.items()]
    time.sleep(TYPING_SECONDS)
    found = {work.computer: work.finish(alpha.admin) for work in works}
    assert [(one["lost"], one["doubled"]) for one in found.values()] == [(0, 0), (1, 0), (0, 1), (1, 0)]
    for computer, session in found.items():
        report = Report("single", "upgraded", {"requests": 1, "failed": 0, "longest_gap_ms": 0}, sessions=[session])
        # Nothing was upgraded here, and another world runs beside it: how long it paused is not what it is about.
        session |= {"resumed": 1, "generations": ["before", "after"], "longest_pause_ms": 0.0}
        red = judge(report, expected="upgraded", kills=False)
        assert bool(red) == (computer != "computer-1"), (computer, red)
