"""Options that several groups of commands have, and who gives a command."""

import getpass
import os
from pathlib import Path

import click

from staffetta.control.delivered import APPLIANCE, Delivered

# Whether it may be read is said by what reads it, in words that name the remedy.
FOLDER = click.Path(file_okay=False, readable=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

USUAL_APPLIANCE = APPLIANCE if Delivered.is_here() else None
appliance_option = click.option(
    "--appliance",
    "folder",
    type=FOLDER,
    default=USUAL_APPLIANCE,
    show_default=USUAL_APPLIANCE is not None,
    required=USUAL_APPLIANCE is None,
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
