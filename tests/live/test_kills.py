"""SIGKILL at every journal write: of keeper, base and each site process, with users at work; nothing is lost.

In CI a pair is upgraded, and at each step of the pair job and of every install job that it begins on either appliance
one process is killed, drawn from a seed that the report records. `make soak` kills every process before and after every
write, in a pair and in an appliance by itself.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from staffetta.base.installs.states import STEPS as INSTALL_STEPS
from staffetta.lab.faults import PROCESSES
from staffetta.site.failover.job_states import STEPS as PAIR_STEPS
from worlds import run_lab

pytestmark = [pytest.mark.live]

Note = Callable[[dict[str, Any]], None]
SMALL = ("--clients", "3", "--megabytes", "20")
"""As many Jump Clients as have work to do, and a file that is under way for five seconds, over and over."""


def nothing_was_lost(report: dict[str, Any]) -> None:
    assert report["problems"] == []
    undone = [upgrade["error"] for upgrade in report["upgrades"] if upgrade["state"] == "undone"]
    assert all(undone), "a job that was undone must name its reason"
    assert report["sessions"]
    for session in report["sessions"]:
        assert (session["ended"], session["lost"], session["doubled"]) == (False, 0, 0)


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Notes for docs/soak.md what a run was about."""

    def of(report: dict[str, Any]) -> None:
        if not report:
            return
        record_property("kills", len(report["kills"]))
        record_property("undone", sum(upgrade["state"] == "undone" for upgrade in report["upgrades"]))
        pauses = [session["longest_pause_ms"] / 1000 for session in report["sessions"]]
        record_property("longest pause", f"{max(pauses, default=0):.0f} s")

    return of


def single_survived(report: dict[str, Any]) -> None:
    assert report["outcome"] == "upgraded"
    nothing_was_lost(report)
    ended = [(upgrade["kind"], upgrade["state"]) for upgrade in report["upgrades"]]
    assert [one for one in ended if one[1] == "committed"] == [("base", "committed"), ("site", "committed")]
    (session,) = report["sessions"]
    assert session["recording"] == "complete"


def pair_survived(report: dict[str, Any]) -> None:
    assert report["outcome"] == "upgraded"
    nothing_was_lost(report)
    assert report["upgrades"][-1]["state"] == "finished"
    assert [session["kind"] for session in report["sessions"]] == ["shell", "shell", "files"]
    assert report["sessions"][-1]["sha256_ok"] is True
    assert report["sessions"][-1]["files"] >= 1
    for found in report["sync"].values():
        assert found["a"] == found["b"] > 0
        assert not any(found[key] for key in ("only_a", "only_b", "doubled"))
    assert report["fleet"]["updated"] == report["fleet"]["clients"] == 3


def steps_killed_at(report: dict[str, Any], kind: str, side: str) -> set[str]:
    """The steps of that kind of job at whose writes on that appliance a process was killed."""
    points = [kill["at"].split(".") for kill in report["kills"] if kill["appliance"] == side]
    return {step for one, step, _when in points if one == kind}


@pytest.mark.timeout(1500)
@pytest.mark.req("U10", "F7", "S1", "F5")
def test_every_step_is_killed_once_on_both_and_the_pair_is_upgraded(tmp_path: Path, note: Note) -> None:
    seed = random.randrange(10**6)
    fault = ("--break", "kill-any@any.every.after", "--seed", str(seed), *SMALL)
    status, report, output = run_lab(tmp_path / "report.json", *fault, story="asynchronous", seconds=1400)
    note(report)
    assert status == 0, f"seed {seed}\n{output}"
    pair_survived(report)
    written = [(kill["appliance"], kill["at"]) for kill in report["kills"]]
    assert len(set(written)) == len(written), f"seed {seed}"
    for side in "AB":
        for kind in ("base", "site"):
            # What is written first is the job itself, at its first step.
            missed = {"job", *(step.value for step in INSTALL_STEPS[1:])} - steps_killed_at(report, kind, side)
            assert not missed, f"seed {seed}: {kind} on {side}: {missed}"
        missed = {step.value for step in PAIR_STEPS} - steps_killed_at(report, "pair", side)
        assert not missed, f"seed {seed}: the pair job on {side}: {missed}"
        killed = {kill["process"] for kill in report["kills"] if kill["appliance"] == side}
        assert killed == set(PROCESSES), f"seed {seed}: {side}"


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.req("U10")
@pytest.mark.parametrize("process", PROCESSES)
def test_one_appliance_survives(process: str, tmp_path: Path, note: Note) -> None:
    """One process, killed before and after every journal write of both jobs of an appliance by itself."""
    status, report, output = run_lab(
        tmp_path / "report.json", "--break", f"kill-{process}@any.every.both", seconds=2900
    )
    note(report)
    assert status == 0, output
    single_survived(report)
    assert {kill["process"] for kill in report["kills"]} == {process}
    assert len(report["kills"]) >= 50


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.req("U10", "F7")
@pytest.mark.parametrize("process", PROCESSES)
def test_a_pair_survives(process: str, tmp_path: Path, note: Note) -> None:
    """One process, killed before and after every write of the pair job, on the appliance that writes it."""
    fault = ("--break", f"kill-{process}@pair.every.both", *SMALL)
    status, report, output = run_lab(tmp_path / "report.json", *fault, story="asynchronous", seconds=2900)
    note(report)
    assert status == 0, output
    pair_survived(report)
    assert {kill["process"] for kill in report["kills"]} == {process}
    for side in "AB":
        missed = {step.value for step in PAIR_STEPS} - steps_killed_at(report, "pair", side)
        assert not missed, f"on {side}: {missed}"
