"""The command as people and programs meet it: errors in one form, JSON for what is listed, completions, progress."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pexpect
import pytest
from click.testing import CliRunner

from staffetta.cli.failures import INTERRUPTED, said_of
from staffetta.cli.live_line import LiveLine
from staffetta.cli.main import GROUPS, cli
from staffetta.kernel import errors
from staffetta.kernel.errors import StaffettaError

pytestmark = pytest.mark.req("U18")
COMMAND = (sys.executable, "-c", "from staffetta.cli.main import main; main()")
DOCUMENT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env={**os.environ, **variables}, timeout=60
    )


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


EVERY = dict(commands(cli))


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("appliance", "status", "--appliance", "/nowhere"), 6, "No appliance that you may steer runs in /nowhere"),
        (("doctor", "--appliance", "/nowhere"), 4, "/nowhere holds no appliance"),
        (("failover", "status", "--appliance", "/nowhere"), 4, "/nowhere holds no appliance"),
        (("backup", "create", "x", "--no-password", "--appliance", "/nowhere"), 4, "/nowhere holds no appliance"),
        (("console", "list", "--state", "/nowhere"), 4, "Nobody is signed in"),
        (("vendor", "bundle", "base/1.0", "--repository", "/nowhere", "--output", "x"), None, "/nowhere"),
        (("appliance", "nonsense"), 2, "No such command 'nonsense'. See `staffetta appliance --help`."),
        (("doctor", "--nonsense"), 2, "See `staffetta doctor --help`."),
        (("appliance", "install"), 2, "Missing argument 'TARGET'. See `staffetta appliance install --help`."),
    ],
)
def test_what_fails_is_one_line_with_a_status(arguments: tuple[str, ...], status: int | None, said: str) -> None:
    done = run(*arguments)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("staffetta: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert done.returncode == status if status is not None else done.returncode in range(1, 9)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_a_user_without_the_rights_gets_a_sentence_and_no_trace() -> None:
    with tempfile.TemporaryDirectory(prefix="stx-") as closed:  # only its owner may look into it
        (Path(closed) / "appliance.json").write_text("{}")
        child = os.fork()
        if child == 0:  # this interpreter may lie where another user cannot start it anew
            os.setgroups([])
            os.setgid(20009)
            os.setuid(20009)
            error = CliRunner().invoke(cli, ["doctor", "--offline", "--appliance", closed]).exception
            said = None if error is None else said_of(error)
            os._exit(0 if said is not None and said[1] == 3 and "Run the command as root" in said[0] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), 3, "/a/b: Permission denied. Run the command as"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/a"), 4, "/a: No such file or directory. Check"),
        (OSError(errno.ENOSPC, "No space left on device"), 8, "No space left on device. Make room"),
        (OSError(errno.EIO, "Input/output error", "/a"), 1, "/a: Input/output error."),
        (click.Abort(), 1, "not confirmed"),
        (errors.Unavailable("Gone. Try again."), 6, "Gone. Try again."),
    ],
)
def test_errors_of_the_system_come_in_words(error: Exception, status: int, said: str) -> None:
    words = said_of(error)
    assert words is not None
    assert (words[1], said in words[0]) == (status, True)


def test_a_busy_database_is_no_trace_and_a_fault_of_ours_is(tmp_path: Path) -> None:
    class OperationalError(Exception):
        """As Django raises it, from SQLite's own."""

    def of(statement: str) -> tuple[str, int] | None:
        with closing(sqlite3.connect(tmp_path / "some.sqlite3", timeout=0)) as database:
            try:
                database.execute(statement)
            except sqlite3.OperationalError as error:
                raised = OperationalError(str(error))
                raised.__cause__ = error
                return said_of(raised)
        raise AssertionError(statement)

    with closing(sqlite3.connect(tmp_path / "some.sqlite3", isolation_level=None)) as holder:
        holder.execute("CREATE TABLE some (a)")
        holder.execute("BEGIN EXCLUSIVE")
        said = of("INSERT INTO some VALUES (1)")
    assert said is not None
    assert (said[1], "Try again" in said[0]) == (6, True)
    assert of("SELECT * FROM no_such_table") is None, "that does not pass by waiting"
    assert said_of(KeyError("a fault")) is None


def test_an_interrupted_command_leaves_with_130() -> None:
    try:
        raise click.Abort from KeyboardInterrupt()
    except click.Abort as error:
        assert said_of(error) == ("Interrupted.", INTERRUPTED)


def test_version_and_help_leave_with_0() -> None:
    version = run("--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert re.search(r"\d+\.\d+", version.stdout)
    for group in ("", *GROUPS):
        said = CliRunner().invoke(cli, [*([group] if group else []), "--help"])
        assert (said.exit_code, said.stderr, "Usage: " in said.stdout) == (0, "", True), group


SHOWS = ("status", "list", "show", "jobs", "check", "watch", "doctor")


@pytest.mark.parametrize("path", [path for path in EVERY if path[-1] in SHOWS], ids=" ".join)
def test_whatever_lists_or_shows_has_json(path: tuple[str, ...]) -> None:
    if path == ("failover", "watch"):
        return  # for people at a terminal; programs ask `failover jobs --json`
    assert "--json" in {option for one in EVERY[path].params for option in one.opts}, path


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_and_option_says_what_it_is_for(path: tuple[str, ...]) -> None:
    command = EVERY[path]
    assert command.help, path
    for one in command.params:
        if isinstance(one, click.Option):
            assert one.help, f"{' '.join(path)} {one.opts}"


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_examples_are_commands_that_exist(path: tuple[str, ...]) -> None:
    for line in (EVERY[path].help or "").splitlines():
        words = line.strip().split(">")[0].split()
        if words[:1] != ["staffetta"]:
            continue
        command: click.Command | None = cli
        rest = words[1:]
        while rest and isinstance(command, click.Group):
            command = command.get_command(click.Context(command), rest.pop(0))
        assert command is not None, line
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        assert {word for word in rest if word.startswith("--")} <= known, line


def test_the_documented_statuses_are_those_of_the_errors() -> None:
    documented = {int(number) for number in re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE)}
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, StaffettaError)]
    of_errors = {one.exit_status for one in kinds}
    assert documented == of_errors | {0, INTERRUPTED}


@pytest.mark.parametrize(
    ("shell", "words", "place", "expected"),
    [
        ("bash", "staffetta fail", "1", "failover"),
        ("zsh", "staffetta appliance shared", "2", "shared-address"),
        ("fish", "staffetta doctor", "--off", "--offline"),
        ("bash", "staffetta appliance install --appliance /nowhere ", "5", ""),
    ],
)
def test_shells_are_answered(shell: str, words: str, place: str, expected: str) -> None:
    said = run(_STAFFETTA_COMPLETE=f"{shell}_complete", COMP_WORDS=words, COMP_CWORD=place)
    assert (said.returncode, said.stderr) == (0, "")
    assert expected in said.stdout
    assert expected or not said.stdout.strip()
    source = run(_STAFFETTA_COMPLETE=f"{shell}_source")
    assert "_STAFFETTA_COMPLETE" in source.stdout or "_staffetta" in source.stdout


def test_a_pipe_gets_plain_lines_and_a_terminal_one_that_is_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    lines = LiveLine()
    for done in range(5):
        lines.now(f"download {done}", "download")
    lines.line("Downloaded.")
    lines.now("stage", "stage")
    assert capsys.readouterr().out == "download 0\nDownloaded.\nstage\n"
    code = (
        "from staffetta.cli.live_line import LiveLine; l = LiveLine(); "
        "[l.now(f'download {n} ' + 'x' * 300, 'd') for n in range(3)]; l.line('Downloaded.')"
    )
    terminal = pexpect.spawn(sys.executable, ["-c", code], dimensions=(24, 80), encoding="utf-8")
    terminal.expect(pexpect.EOF)
    written = terminal.before or ""
    assert written.count("\n") == 1, "only the line that stays ends"
    assert written.count("\r\x1b[2K") == 4
    assert all(len(part) < 80 for part in written.split("\r\x1b[2K"))
