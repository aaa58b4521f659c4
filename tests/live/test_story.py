"""The main job: base and site are upgraded under a technician's hands and nobody notices."""

from pathlib import Path

import pytest

from worlds import run_lab

pytestmark = [pytest.mark.live, pytest.mark.measures, pytest.mark.timeout(900)]


@pytest.mark.req("U3", "U8", "U9", "U10", "U12", "U15", "U17", "C4", "C5", "S1", "S2", "H3")
def test_nobody_notices(tmp_path: Path) -> None:
    status, report, output = run_lab(tmp_path / "report.json")
    assert status == 0, output
    assert report["outcome"] == "upgraded"
    assert report["http"]["failed"] == 0
    assert report["http"]["requests"] > 1000
    assert [upgrade["kind"] for upgrade in report["upgrades"]] == ["base", "site"]
    users = {user["name"]: user for user in report["users"]}
    for name in ("site, new connections", "site, kept alive", "site, long upload", "progress of site 1.1.0"):
        assert users[name]["requests"] > 0, f"nobody was the user “{name}”"
        assert users[name]["failed"] == 0
    (session,) = report["sessions"]
    assert not session["ended"]
    assert (session["lost"], session["doubled"]) == (0, 0)
    assert session["resumed"] >= 1
    assert len(session["generations"]) >= 2
    assert session["recording"] == "complete"
    assert report["sync"] is None
    fleet = report["fleet"]
    assert fleet["clients"] == fleet["updated"] == 3
    assert (fleet["limit"], fleet["most_at_once"]) == (1, 1)
    assert report["world"]
    assert not Path(report["world"]).exists(), "the world left something behind"
    assert left_running(report["world"]) == []


def left_running(folder: str) -> list[str]:
    """The command lines of processes that were started with something of this folder, or for an appliance in it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            told = (entry / "cmdline").read_bytes() + b"\0" + (entry / "environ").read_bytes()
        except OSError:  # not a process, or one that has just left
            continue
        if f"{folder}/".encode() in told:
            found.append((entry / "cmdline").read_bytes().decode(errors="replace"))
    return found
