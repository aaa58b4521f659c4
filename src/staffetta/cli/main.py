"""The entry point: finds the group that was asked for, and turns an error into words and an exit status.

A group's file is imported only when it is used, so that a release needs only what its own commands import.
"""

import importlib
import sys
from typing import Final

import click

from staffetta.cli.failures import said_of

COMMAND: Final = "staffetta"
"""Its name, however it was started: help, errors and the shells' completions go by it."""

GROUPS: Final = {
    "appliance": ("appliance_cmd", "Set up and steer the appliance on this machine."),
    "backup": ("backup_cmd", "Make a backup of the site on this machine, and restore one."),
    "console": ("console_cmd", "The representative console in a terminal."),
    "doctor": ("doctor_cmd", "Check the appliance on this machine, and say what to do."),
    "failover": ("failover_cmd", "The pair: establish it, become primary, break it."),
    "jump-client": ("jump_client_cmd", "The unattended agent on a remote computer."),
    "lab": ("lab_cmd", "A whole world on this machine: the demo and the live tests."),
    "site": ("site_cmd", "Look after the site on this machine."),
    "vendor": ("vendor_cmd", "Build, sign, publish and serve releases."),
}

# The lock with what a group needs, where it has another name than the group.
_LOCKS: Final = {
    "appliance": "base",
    "backup": "site",
    "console": "client",
    "doctor": "base",
    "failover": "site",
    "jump-client": "client",
    "lab": "dev",
}


class LazyGroups(click.Group):
    """The top group: knows the names of the groups, imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the groups, sorted."""
        return sorted(GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one group; a group that is no part of this release says so when it is run."""
        if cmd_name not in GROUPS:
            return None
        module, help_text = GROUPS[cmd_name]
        try:
            command = importlib.import_module(f"staffetta.cli.{module}").group
        except ModuleNotFoundError as error:
            return _absent(cmd_name, help_text, error.name or module)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the groups with one line each, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in sorted(GROUPS.items())])


def _absent(name: str, help_text: str, missing: str) -> click.Command:
    where = f"locks/{_LOCKS.get(name, name)}.txt"
    why = f"This environment lacks what it needs ({missing}): install {where} of the source into it."

    @click.command(name, help=f"{help_text} {why}", context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1)
    def absent(arguments: tuple[str, ...]) -> None:
        raise click.ClickException(f"`staffetta {name}` cannot run here. {why}")

    return absent


EPILOG: Final = """
\b
Examples:
  staffetta appliance status
  staffetta doctor
  staffetta console connect till-7

\b
Exit status: 0 done; 1 not done (`doctor`: something to do); 2 not understood;
3 refused; 4 not found; 5 not now; 6 does not answer; 7 damaged; 8 no room;
130 interrupted. What went wrong is said on standard error.
"""


@click.group(cls=LazyGroups, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.version_option(package_name="staffetta")
def cli() -> None:
    """Staffetta: remote support from an appliance you own, upgraded with nobody noticing."""


def main() -> None:
    """Run the command; what fails is said on standard error and sets the exit status (`failures`)."""
    try:
        status = cli.main(prog_name=COMMAND, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except Exception as error:
        said = said_of(error)
        if said is None:
            raise
        message, status = said
        click.echo(f"staffetta: {message}", err=True)
    sys.exit(status if isinstance(status, int) else 0)
