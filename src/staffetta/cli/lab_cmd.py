"""`staffetta lab`: runs a story, prints its steps as they are taken, its report, and where to look afterwards."""

import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import click

import staffetta
from staffetta.kernel.errors import InvalidInput, NotFound, StaffettaError
from staffetta.lab.faults import Fault
from staffetta.lab.page import page
from staffetta.lab.stories import DEFAULT, STORIES, story_named
from staffetta.lab.story import Options, Story
from staffetta.lab.world import World

_ENDED_EARLY = "\nThe story ended early; what it had started stays up. Ctrl-C ends everything and removes what it made."


@click.command(
    "lab",
    epilog=f"Stories: {'; '.join(f'{story.name} ({story.about})' for story in STORIES.values())}. "
    f"Without a name: {DEFAULT}. `staffetta lab steps [STORY]` lists a story's steps.",
)
@click.argument("words", nargs=-1, metavar="[STORY]")
@click.option("--exit", "leave", is_flag=True, help="End when the story ends: 0 only if nothing was lost.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as JSON.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as one page.")
@click.option("--clients", type=click.IntRange(1, 50), help="How many Jump Clients; by default as many as it needs.")
@click.option(
    "--megabytes", type=click.IntRange(1, 2000), help="The size of the file that is moved, by default the story's own."
)
@click.option("--break", "fault", metavar="FAULT@STEP", help="Break something on purpose; see the error for a list.")
@click.option("--seed", type=int, help="Draws which processes are killed; the report names the one that was used.")
@click.option(
    "--from",
    "older",
    type=click.Choice(["this", "previous"]),
    default="this",
    show_default=True,
    help="Upgrade from a release of this tree, or from the release before it (named in `previous-release`).",
)
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="Where builds are kept between runs.")
def group(
    words: tuple[str, ...],
    leave: bool,
    report: Path | None,
    html: Path | None,
    clients: int | None,
    megabytes: int | None,
    fault: str | None,
    seed: int | None,
    older: str,
    cache: Path | None,
) -> None:
    """Run a story in a world of its own on this machine, with real programs, and report what its users noticed."""
    if words[:1] == ("steps",):
        click.echo("\n".join(_story(words[1:]).steps))
        return
    kind = _story(words)
    source = _source_tree()
    seed = int(time.time()) if seed is None else seed
    options = Options(
        cache or source / ".cache" / "builds",
        clients,
        Fault.parse(fault) if fault else None,
        seed,
        previous=older == "previous",
        megabytes=megabytes,
    )
    started = time.monotonic()
    world = World(click.echo, [_command()], source)
    _end_with(world)
    try:
        story = kind(world, options)
        try:
            result = story.run()
        except (StaffettaError, OSError) as error:
            result = story.report
            result.outcome = "failed"
            click.echo(f"The story failed: {error}", err=True)
            _keep_logs(world)
        if report:
            report.write_text(result.to_json())
        as_page = world.folder / "report.html"
        as_page.write_text(page(result))
        if html:
            html.write_text(page(result))
        click.echo(result.to_text())
        click.echo(f"  {time.monotonic() - started:.0f} s in all.")
        if leave:
            if result.outcome != "failed" and not result.good:
                _keep_logs(world)
            sys.exit(0 if result.good else 1)
        _end_with(world, 0 if result.good else 1)
        click.echo(story.where_to_look() if result.good or result.outcome != "failed" else _ENDED_EARLY)
        click.echo(f"The report as a page, with a timeline: {(html or as_page).absolute().as_uri()}")
        threading.Event().wait()
    finally:
        world.close()


def _story(words: tuple[str, ...]) -> type[Story]:
    if len(words) > 1:
        raise InvalidInput(f"One story at a time; given were {', '.join(words)}.")
    return story_named(words[0] if words else DEFAULT)


def _source_tree() -> Path:
    tree = Path(staffetta.__file__).resolve().parents[2]
    if not (tree / "pyproject.toml").exists():
        raise NotFound("The lab builds releases from the source tree; run it from a checkout of the project.")
    return tree


def _command() -> str:
    beside = Path(sys.executable).with_name("staffetta")
    return str(beside) if beside.exists() else (shutil.which("staffetta") or "staffetta")


def _end_with(world: World, status: int | None = None) -> None:
    """Ctrl-C and SIGTERM end the world and remove all it made; with what ``status``, None: that of a signal."""

    def end(number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        click.echo("\nEnding the world …", err=True)
        world.close()
        click.echo("It is gone, with everything it had made.", err=True)
        sys.exit(128 + number if status is None else status)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)


def _keep_logs(world: World) -> None:
    """Keep the logs of a world that failed, since the world itself is removed."""
    kept = Path(tempfile.mkdtemp(prefix="staffetta-logs-"))
    shutil.copytree(world.logs, kept, dirs_exist_ok=True)
    for folder in world.folder.glob("*/logs"):
        shutil.copytree(folder, kept / folder.parent.name, dirs_exist_ok=True)
    click.echo(f"Its logs are in {kept}.", err=True)
