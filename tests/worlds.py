"""How tests come by a whole world: a story of the lab that stays up, or the lab's own command run to its end."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from staffetta.lab.single import Single
from staffetta.lab.story import Options
from staffetta.lab.world import World

ROOT = Path(__file__).parents[1]
STAFFETTA = str(Path(sys.executable).with_name("staffetta"))
CACHE = ROOT / ".cache" / "builds"


def run_lab(report: Path, *options: str, seconds: float = 600) -> tuple[int, dict[str, Any], str]:
    """Run `staffetta lab single --exit` as a newcomer does; return its status, its report and what it printed."""
    done = subprocess.run(
        [STAFFETTA, "lab", "single", "--exit", "--report", str(report), *options],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    found = json.loads(report.read_text()) if report.exists() else {}
    return done.returncode, found, done.stdout + done.stderr


@contextlib.contextmanager
def a_world(clients: int = 4) -> Iterator[Single]:
    """Yield a story whose world is up: site installed, clients enrolled, nobody at work yet."""
    world = World(print, [STAFFETTA], ROOT)
    story = Single(world, Options(CACHE, clients))
    try:
        for step in ("publish", "install_base", "install_site", "enrol_clients"):
            print(getattr(story, step)())
        yield story
    except BaseException:
        for log in sorted([*world.logs.glob("*.log"), *world.folder.glob("alpha/logs/*.log")]):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
        raise
    finally:
        world.close()
