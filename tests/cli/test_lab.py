"""A world that is left running to look at goes with everything in it, by Ctrl-C, with its report's status."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.req("U9")

STORY = """
import sys
from lab.reports import single
from staffetta.cli import lab_cmd
from staffetta.cli.main import main
from staffetta.lab.stories import story_named

class Told(story_named("single")):
    def run(self):
        program = self.world.start("sleeper", ["sleep", "600"])
        print("world", self.world.folder, program.process.pid, flush=True)
        self.report = single()
        self.report.problems += sys.argv.pop().split()
        return self.report

    def where_to_look(self):
        return "left to look at"

lab_cmd._story = lambda words: Told
main()
"""
TESTS = Path(__file__).parents[1]


@pytest.mark.live
@pytest.mark.parametrize(("problem", "status"), [("", 0), ("lost", 1)])
def test_what_is_looked_at_ends_by_ctrl_c_with_the_status_of_the_report(problem: str, status: int) -> None:
    looked = subprocess.Popen(
        [sys.executable, "-c", STORY, "lab", "single", problem],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert looked.stdout is not None
    _, folder, pid = next(line for line in looked.stdout if line.startswith("world ")).split()
    assert Path(folder).is_dir()
    next(line for line in looked.stdout if line.startswith("The report as a page"))
    looked.send_signal(signal.SIGINT)
    looked.communicate(timeout=30)
    assert looked.returncode == status
    assert not Path(folder).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
