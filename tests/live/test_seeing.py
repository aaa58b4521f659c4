"""The lab can see: a keystroke dropped or doubled, a long pause, a session that ends: each turns the report red."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from staffetta.lab.judge import PAUSE_BOUND_MS, judge
from staffetta.lab.report import Report
from staffetta.lab.single import Single
from staffetta.lab.site import Work
from staffetta.lab.world import wait_until

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

TYPED = 200
"""So many keystrokes must have arrived: the one that is broken is in the 21st token, or the 141st byte."""


@pytest.mark.req("S1")
def test_one_keystroke_dropped_or_doubled_turns_the_report_red(alpha: Single) -> None:
    faults = {"computer-1": "", "computer-2": "drop@typist", "computer-3": "double@echo", "computer-4": "drop@echo"}
    works = [alpha.technician.work_on(computer, fault) for computer, fault in faults.items()]
    folder = alpha.world.folder / "computers"
    first = alpha.technician.sittings - len(works) + 1
    for number, work in enumerate(works, first):
        written = folder / f"{work.computer}-written-{number}"
        wait_until(f"the keystrokes on {work.computer}", lambda file=written: file.stat().st_size > TYPED, 60)
    found = {work.computer: work.finish(alpha.admin) for work in works}
    assert [(one["lost"], one["doubled"]) for one in found.values()] == [(0, 0), (1, 0), (0, 1), (1, 0)]
    for computer, session in found.items():
        words = problems(session)
        assert any("lost 1" in one or "doubled 1" in one for one in words) == (computer != "computer-1"), words


@pytest.mark.req("S1")
def test_a_gateway_that_stands_still_for_longer_than_the_bound_turns_the_report_red(alpha: Single) -> None:
    work = alpha.technician.work_on("computer-1")
    gateways = alpha.appliance.processes("site", "gateway")
    assert gateways
    try:
        for pid in gateways:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2 * PAUSE_BOUND_MS / 1000)
    finally:
        for pid in gateways:
            os.kill(pid, signal.SIGCONT)
    session = work.finish(alpha.admin)
    assert (session["ended"], session["lost"], session["doubled"]) == (False, 0, 0)
    assert any("paused for" in one for one in problems(session)), session


@pytest.mark.req("S1")
def test_a_session_that_ends_under_the_technicians_hands_turns_the_report_red(alpha: Single) -> None:
    work = alpha.technician.work_on("computer-2")
    os.kill(shell_of(work), signal.SIGKILL)
    wait_until("the console to end", lambda: not work.program.running, 30)
    session = work.finish(alpha.admin)
    assert session["ended"]
    assert "the shell session on computer-2 ended" in problems(session)


def problems(session: dict[str, Any]) -> list[str]:
    """What a report in which nothing but this session might be wrong is red for."""
    report = Report("single", "upgraded", {"requests": 1, "failed": 0, "longest_gap_ms": 0})
    report.sessions = [session | {"resumed": 1, "generations": ["before", "after"]}]  # nothing was upgraded here
    return judge(report, expected="upgraded", kills=False)


def shell_of(work: Work) -> int:
    """The shell on the remote computer in which the program runs that the technician types into."""
    written = f"{work.computer}-written-{work.technician.sittings}"
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            if len(command) > 2 and command[1].endswith(b"/echo.py") and command[2].endswith(written.encode()):
                return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):  # not a process, or one that has just left
            continue
    raise AssertionError(f"no program writes {written}")
