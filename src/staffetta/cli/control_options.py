"""How a command of the appliance gets at base: the client of the control socket of the appliance it names."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from staffetta.cli.options import appliance_option
from staffetta.control.appliance import ApplianceControl
from staffetta.control.paths import AppliancePaths


def with_control(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the client of the appliance it names."""

    @appliance_option
    @wraps(command)
    def run(folder: Path, **options: Any) -> None:
        with ApplianceControl(AppliancePaths(folder.absolute()).control_socket) as appliance:
            command(appliance, **options)

    return run
