"""How tests come by a whole world: a story of the lab that stays up, or the lab's own command run to its end."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from staffetta.lab.single import Single
from staffetta.lab.story import Options, Story
from staffetta.lab.world import World

ROOT = Path(__file__).parents[1]
STAFFETTA = str(Path(sys.executable).with_name("staffetta"))
CACHE = ROOT / ".cache" / "builds"

Told = TypeVar("Told", bound=Story)


def run_lab(report: Path, *options: str, story: str = "single", seconds: float = 600) -> tuple[int, Any, str]:
    """Run `staffetta lab STORY --exit` as a newcomer does; return its status, its report and what it printed."""
    done = subprocess.run(
        [STAFFETTA, "lab", story, "--exit", "--report", str(report), *options],
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
    with a_story(Single, clients) as story:
        for step in ("publish", "install_base", "install_site", "enrol_clients"):
            print(getattr(story, step)())
        yield story


@contextlib.contextmanager
def a_story(kind: type[Told], clients: int | None = None, *, previous: bool = False) -> Iterator[Told]:
    """Yield a story that has not begun, in a world that ends with the block; if that fails, print the world's logs."""
    world = World(print, [STAFFETTA], ROOT)
    try:
        yield kind(world, Options(CACHE, clients, previous=previous))
    except BaseException:
        for log in sorted([*world.logs.glob("*.log"), *world.folder.glob("*/logs/*.log")]):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
        raise
    finally:
        world.close()
