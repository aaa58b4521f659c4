"""Options that several groups of commands have, and who gives a command."""

import getpass
import os
from pathlib import Path

import click

from staffetta.control.delivered import APPLIANCE, Delivered

FOLDER = click.Path(file_okay=False, path_type=Path)

_USUAL = APPLIANCE if Delivered.is_here() else None
appliance_option = click.option(
    "--appliance",
    "folder",
    type=FOLDER,
    default=_USUAL,
    show_default=_USUAL is not None,
    required=_USUAL is None,
    envvar="STAFFETTA_APPLIANCE",
    help="The appliance's folder.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")


def person_at_terminal() -> str:
    """Who gives the command, as audit logs name them."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
