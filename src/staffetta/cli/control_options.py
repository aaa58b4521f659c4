"""How a command of the appliance gets at base: the client of the control socket of the appliance it names."""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
import httpx
from click.shell_completion import CompletionItem

from staffetta.cli.options import USUAL_APPLIANCE, appliance_option
from staffetta.control.appliance import ApplianceControl
from staffetta.control.paths import AppliancePaths
from staffetta.kernel.errors import StaffettaError


class _Completing(ApplianceControl):
    """Somebody waits at a prompt."""

    TIMEOUT = httpx.Timeout(2.0)


def offers_known(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The packages on offer that begin so, for the shell."""
    return _known(
        context,
        incomplete,
        lambda appliance: [(one.target, f"{one.kind} {one.version}") for one in appliance.updates().offers],
    )


def jobs_known(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The install jobs that begin so, for the shell."""
    return _known(
        context,
        incomplete,
        lambda appliance: [(job.id, f"{job.kind} {job.version}, {job.state}") for job in appliance.jobs()],
    )


def _known(
    context: click.Context, incomplete: str, ask: Callable[[ApplianceControl], list[tuple[str, str]]]
) -> list[CompletionItem]:
    """What base knows; nothing if it does not answer, since a shell is no place for an error."""
    folder = context.params.get("folder") or os.environ.get("STAFFETTA_APPLIANCE") or USUAL_APPLIANCE
    if folder is None:
        return []
    try:
        with _Completing(AppliancePaths(Path(folder).absolute()).control_socket) as appliance:
            return [CompletionItem(name, help=about) for name, about in ask(appliance) if name.startswith(incomplete)]
    except StaffettaError:
        return []


def with_control(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the client of the appliance it names."""

    @appliance_option
    @wraps(command)
    def run(folder: Path, **options: Any) -> None:
        with ApplianceControl(AppliancePaths(folder.absolute()).control_socket) as appliance:
            command(appliance, **options)

    return run
