"""SIGKILL at every step of the pair job, of one process of one appliance, with users at work; nothing is lost.

In CI every step once, process and appliance drawn from a seed that the report records. `make soak` kills every process
of each appliance at every step.
"""

import random
from pathlib import Path
from typing import Any

import pytest

from staffetta.lab.faults import PROCESSES
from staffetta.site.failover.job_states import STEPS, Step
from worlds import run_lab

pytestmark = [pytest.mark.live]

CLIENTS = 3
POINTS = {f"pair.{step}.after" for step in STEPS if step is not Step.DONE}


def survived(report: dict[str, Any]) -> None:
    assert report["problems"] == []
    assert report["outcome"] == "upgraded"
    *undone, last = report["upgrades"]
    assert last["state"] == "finished"
    assert all((one["state"], bool(one["error"])) == ("undone", True) for one in undone), undone
    assert [session["kind"] for session in report["sessions"]] == ["shell", "shell"]
    for session in report["sessions"]:
        assert (session["ended"], session["lost"], session["doubled"]) == (False, 0, 0)
        assert session["recording"] == "complete"
    for name in ("records", "recordings"):
        found = report["sync"][name]
        assert not any(found.get(key, 0) for key in ("only_a", "only_b", "doubled", "lost")), (name, found)
    print(f"longest pause {max(one['longest_pause_ms'] for one in report['sessions']):.0f} ms, {len(undone)} undone")


@pytest.mark.timeout(1500)
@pytest.mark.req("F7", "F9")
def test_every_step_is_killed_once_and_the_pair_is_upgraded(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    status, report, output = run_lab(
        tmp_path / "report.json", "--break", "kill-any@pair.every.after", "--seed", str(seed),
        "--clients", str(CLIENTS), story="asynchronous", seconds=1400,
    )  # fmt: skip
    print(output)
    assert status == 0, f"seed {seed}\n{output}"
    survived(report)
    assert {kill["at"] for kill in report["kills"]} == POINTS, f"seed {seed}"
    assert {kill["appliance"] for kill in report["kills"]} == {"A", "B"}, f"seed {seed}"


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.req("F7", "F9")
@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("process", PROCESSES)
def test_the_whole_matrix_of_the_pair(process: str, side: str, tmp_path: Path) -> None:
    """One process of one appliance, killed at every step of the pair job."""
    status, report, output = run_lab(
        tmp_path / "report.json", "--break", f"kill-{process}-{side}@pair.every.after",
        "--clients", str(CLIENTS), story="asynchronous", seconds=2900,
    )  # fmt: skip
    assert status == 0, output
    survived(report)
    assert {(kill["process"], kill["appliance"]) for kill in report["kills"]} == {(process, side.upper())}
    assert {kill["at"] for kill in report["kills"]} == POINTS
