"""SIGKILL at every journal write: of keeper, base and each site process, with users at work; nothing is lost.

In CI every point of both jobs once, the process drawn from a seed that the report records. `make soak` kills every
process at every point.
"""

import random
from pathlib import Path
from typing import Any

import pytest

from staffetta.lab.faults import PROCESSES
from worlds import run_lab

pytestmark = [pytest.mark.live]


def survived(report: dict[str, Any]) -> None:
    assert report["outcome"] == "upgraded"
    ended = [(upgrade["kind"], upgrade["state"]) for upgrade in report["upgrades"]]
    assert [one for one in ended if one[1] == "committed"] == [("base", "committed"), ("site", "committed")]
    undone = [upgrade["error"] for upgrade in report["upgrades"] if upgrade["state"] != "committed"]
    assert all(undone), "a job that was undone must name its reason"
    (session,) = report["sessions"]
    assert (session["ended"], session["lost"], session["doubled"]) == (False, 0, 0)
    assert session["recording"] == "complete"


@pytest.mark.timeout(1500)
@pytest.mark.req("U10")
def test_every_step_is_killed_once_and_the_upgrade_ends(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    status, report, output = run_lab(
        tmp_path / "report.json", "--break", "kill-any@any.every.both", "--seed", str(seed), seconds=1400
    )
    assert status == 0, f"seed {seed}\n{output}"
    survived(report)
    points = {kill["at"] for kill in report["kills"]}
    assert len(points) == len(report["kills"]) >= 50, f"seed {seed}: {sorted(points)}"
    assert {kill["process"] for kill in report["kills"]} == set(PROCESSES), f"seed {seed}"


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.req("U10")
@pytest.mark.parametrize("process", PROCESSES)
def test_the_whole_matrix(process: str, tmp_path: Path) -> None:
    """One process, killed before and after every journal write of both jobs."""
    status, report, output = run_lab(
        tmp_path / "report.json", "--break", f"kill-{process}@any.every.both", seconds=2900
    )
    assert status == 0, output
    survived(report)
    assert {kill["process"] for kill in report["kills"]} == {process}
    assert len(report["kills"]) >= 50


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.req("U10", "F7")
def test_the_pair_job_is_killed_at_each_of_its_writes_and_ends(tmp_path: Path) -> None:
    """Of both appliances, each write of the pair job once, before and after; the process drawn from a seed."""
    seed = random.randrange(10**6)
    fault = ("--break", "kill-any@pair.every.both", "--seed", str(seed))
    status, report, output = run_lab(tmp_path / "report.json", *fault, story="asynchronous", seconds=2900)
    assert status == 0, f"seed {seed}\n{output}"
    assert report["upgrades"][-1]["state"] == "finished", f"seed {seed}"
    assert all(one["error"] for one in report["upgrades"] if one["state"] == "undone"), f"seed {seed}"
    assert {kill["appliance"] for kill in report["kills"]} == {"A", "B"}, f"seed {seed}"
    for session in report["sessions"]:
        assert (session["ended"], session["lost"], session["doubled"]) == (False, 0, 0), f"seed {seed}"
