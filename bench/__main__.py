"""`python -m bench`: measures in worlds of its own, writes docs/performance.md, removes the worlds.

Exit status 0 when all that was asked for was measured, 1 when something could not be, 2 for wrong options.
"""

import argparse
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import console_list, pair_pause, requests_failed, session_pause, sync_age
from bench.document import Circumstances, Section, renew
from bench.pair_stage import PairStage
from bench.stage import Stage
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import StaffettaError, Unavailable
from staffetta.lab.world import World

ROOT: Final = Path(__file__).resolve().parents[1]
DOCUMENT: Final = ROOT / "docs" / "performance.md"


@dataclass(frozen=True, slots=True)
class Scene:
    """A world of its own, and what is measured in it, in order."""

    stage: Callable[[World, Path], Stage | PairStage]
    numbers: dict[str, Callable[[Any, int], Section]]


SCENES: Final = (
    Scene(Stage, {"N1": requests_failed.measure, "N2": session_pause.measure}),
    Scene(Stage, {"N14": console_list.measure}),
    Scene(PairStage, {"N2-pair": pair_pause.measure, "N12": sync_age.measure}),
)
NUMBERS: Final = [number for scene in SCENES for number in scene.numbers]


def main() -> int:
    """Measure what the options name; each number is written as soon as it is known."""
    given = _options()
    _end_in_time(given.minutes)
    try:
        for scene in SCENES:
            asked = [number for number in scene.numbers if number in given.only]
            if asked and not _measure(scene, asked, given.updates):
                return 1
    finally:
        signal.alarm(0)
    _say(f"{DOCUMENT.relative_to(ROOT)} is written.")
    return 0


def _measure(scene: Scene, asked: list[str], rounds: int) -> bool:
    """Set the scene's world up and measure in it; say whether all that was asked for could be measured."""
    world = World(_say, [str(Path(sys.executable).with_name("staffetta"))], ROOT)
    try:
        stage = scene.stage(world, ROOT / ".cache" / "builds")
        _say("The world is set up:")
        stage.set_up()
        for number in asked:
            _say(f"{number} is measured:")
            _write(scene.numbers[number](stage, rounds))
    except (StaffettaError, OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"Could not measure: {error}\n")
        _keep_logs(world)
        return False
    finally:
        world.close()
    return True


def _options() -> argparse.Namespace:
    def numbers(text: str) -> list[str]:
        asked = [one.strip().lower() for one in text.split(",") if one.strip()]
        found = {
            one: [number for number in NUMBERS if one in (number.lower(), _whole(number).lower())] for one in asked
        }
        if not asked or not all(found.values()):
            raise argparse.ArgumentTypeError(f"known numbers: {', '.join(NUMBERS)}")
        return [number for number in NUMBERS if any(number in those for those in found.values())]

    def at_least_one(text: str) -> int:
        if not text.isdigit() or int(text) < 1:
            raise argparse.ArgumentTypeError("a whole number from 1")
        return int(text)

    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--updates", type=at_least_one, default=3, metavar="N", help="how often each event is measured")
    parser.add_argument("--only", type=numbers, default=NUMBERS, metavar="N1,N2", help="measure only these")
    parser.add_argument("--minutes", type=at_least_one, default=30, metavar="N", help="give up after this long")
    return parser.parse_args()


def _whole(number: str) -> str:
    """Return the number that a part belongs to: N2 of N2-pair."""
    return number.partition("-")[0]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _end_in_time(minutes: int) -> None:
    """Give up after ``minutes``, and end as by Ctrl-C when asked to: the world is removed in any case."""

    def late(_number: int, _frame: object) -> None:
        raise Unavailable(f"{minutes} minutes are over; measure less (--updates, --only), or allow more (--minutes).")

    def asked(number: int, _frame: object) -> None:
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(one, signal.SIG_IGN)
        sys.exit(128 + number)

    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGINT, asked)
    signal.alarm(60 * minutes)


def _write(section: Section) -> None:
    """Put one section into the document, the others stay."""
    circumstances = Circumstances(
        at=utc_now(),
        commit=_commit(),
        kernel=f"{platform.system()} {platform.release()}",
        cpus=os.cpu_count() or 1,
        python=platform.python_version(),
        command="make bench" + (f' ARGS="{shlex.join(sys.argv[1:])}"' if sys.argv[1:] else ""),
    )
    before = DOCUMENT.read_text() if DOCUMENT.exists() else ""
    DOCUMENT.write_text(renew(before, {section.number: section.text(circumstances)}))
    _say(section.verdict)


def _commit() -> str:
    """Return the commit of this tree, and whether files differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    commit = git("rev-parse", "--short=12", "HEAD") or "unknown"
    changed = git("status", "--porcelain", "--", ".", f":!{DOCUMENT.relative_to(ROOT)}")
    return f"{commit} with uncommitted changes" if changed else commit


def _keep_logs(world: World) -> None:
    """Keep the logs of a run that failed, since the world itself is removed."""
    kept = Path(tempfile.mkdtemp(prefix="staffetta-logs-"))
    shutil.copytree(world.logs, kept, dirs_exist_ok=True)
    for folder in world.folder.glob("*/logs"):
        shutil.copytree(folder, kept / folder.parent.name, dirs_exist_ok=True)
    sys.stderr.write(f"The logs are in {kept}.\n")


if __name__ == "__main__":
    sys.exit(main())
