"""Has a command on the site done by the installed release's own code, as the site's user: it knows the site's data."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from staffetta.cli.options import person_at_terminal
from staffetta.cli.site_process import SiteUser, site_in
from staffetta.control.paths import AppliancePaths
from staffetta.kernel.errors import Unavailable

_ENVIRONMENT: Final = ("PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TERM", "TZ", "NO_COLOR", "COLUMNS")
_HANDED_ON: Final = "STAFFETTA_HANDED_ON"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class NotStarted(Unavailable):
    """The installed release's command cannot be started."""

    code = "not-started"


def hand_on(folder: Path, *, without: Sequence[str] = (), extra: Sequence[str] = (), files: Sequence[int] = ()) -> bool:
    """Whether the installed release's own command has done what was asked; if not, who calls does the work.

    The command now running (of this process's code, which may be older or newer than the site: the Debian package's)
    is given anew with the arguments that were given, but the parameters named in ``without``, and with ``extra``.
    ``files`` are descriptors it inherits; an open file among the parameters becomes its standard input. It has the
    rights of the site's user only, since base's user may write releases; and no controlling terminal, into which it
    could type as root. When it fails, this process leaves with its exit status.
    False when this process was handed the work itself, or no release is installed. Raises what ``site_in``
    raises, and ``NotStarted``.
    """
    paths = AppliancePaths(folder.absolute())
    release = paths.releases("site") / "current"
    if is_handed_on() or not release.exists():
        return False
    paths, user = site_in(folder)
    ctx = click.get_current_context()
    command = [str(release.resolve() / "bin" / "staffetta"), *ctx.command_path.split()[1:]]
    command += ["--appliance", str(paths.root), *extra, *_given(ctx, {*without, "folder"})]
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    signals = _PassedOn()
    try:
        child = _start(command, user, _input(ctx), files)
    except OSError as error:
        raise NotStarted(f"{command[0]} cannot be started ({error.strerror}). Is the installed site whole?") from None
    signals.to(child)
    status = child.wait()
    if status != 0:
        sys.exit(status if status > 0 else 128 - status)
    return True


def is_handed_on() -> bool:
    """Whether another release's command has handed its work to this process, and has asked what is to be asked."""
    return _HANDED_ON in os.environ


class _PassedOn:
    """Signals that this process gets, from before the child is started on: it has a session of its own."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._waiting: list[int] = []
        for number in _SIGNALS:
            signal.signal(number, self._got)

    def to(self, child: "subprocess.Popen[bytes]") -> None:
        """From now on they go to this child, with those that have come meanwhile."""
        self._child = child
        for number in self._waiting:
            child.send_signal(number)

    def _got(self, number: int, _frame: object) -> None:
        if self._child is None:
            self._waiting.append(number)
        else:
            self._child.send_signal(number)


def _given(ctx: click.Context, without: set[str]) -> Iterator[str]:
    """The arguments that were given to the command, as one gives them; arguments without a name come last."""
    last: list[str] = []
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name in without or ctx.get_parameter_source(name) is ParameterSource.DEFAULT:
            continue
        value = ctx.params[name]
        if isinstance(parameter, click.Argument):
            last += [] if value is None else [_as_given(value)]
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            yield parameter.opts[0] if value else parameter.secondary_opts[0]
        else:
            yield f"{parameter.opts[0]}={'-' if hasattr(value, 'fileno') else _as_given(value)}"
    if last:
        yield from ("--", *last)


def _as_given(value: Any) -> str:
    return str(value.absolute() if isinstance(value, Path) else value)


def _input(ctx: click.Context) -> Any:
    """The file among the command's parameters, opened with the rights of who gave it; else standard input itself."""
    return next((value for value in ctx.params.values() if hasattr(value, "fileno")), None)


def _start(command: list[str], user: SiteUser, given: Any, files: Sequence[int]) -> "subprocess.Popen[bytes]":
    environment = {
        name: value for name, value in os.environ.items() if name in _ENVIRONMENT or name.startswith("STAFFETTA_")
    }
    environment |= {"SUDO_USER": person_at_terminal(), _HANDED_ON: "1"}
    rights: dict[str, Any] = {}
    if os.geteuid() == 0:
        rights = {"user": user.uid, "group": user.gid, "extra_groups": []}
    return subprocess.Popen(
        command, stdin=given, env=environment, pass_fds=files, cwd="/", start_new_session=True, **rights
    )
