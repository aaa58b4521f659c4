"""`staffetta jump-client`: put the unattended agent on this computer, enrol it, run it."""

import asyncio
import shlex
import socket
import sys
from pathlib import Path

import click

from staffetta.clients.enrolment import check_free, enrol, token_in
from staffetta.clients.installation import install
from staffetta.clients.running import run_jump_client
from staffetta.kernel.clock import utc_now

state_option = click.option(
    "--state", "root", type=click.Path(path_type=Path), required=True, help="The client's own folder (mode 0700)."
)
token_option = click.option(
    "--token", required=True, help="The installer token from /login > Jump > Jump Clients; - reads it from input."
)
name_option = click.option(
    "--name", default=socket.gethostname, show_default="the host name", help="What reps see this computer as."
)


@click.group()
def group() -> None:
    """The unattended agent on a remote computer."""


@group.command("enrol")
@token_option
@state_option
@name_option
def enrol_command(token: str, root: Path, name: str) -> None:
    """Make this computer a Jump Client of the site that the token names."""
    text = _token(token)
    state = check_free(root)
    identity = asyncio.run(enrol(state, text, token_in(text), name))
    click.echo(f"Enrolled as {name} ({identity}). Run it with: staffetta jump-client run --state {root}")


@group.command("install")
@token_option
@state_option
@name_option
@click.option(
    "--root",
    "trust",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The vendor's root of trust (root.json); only what it signs is installed.",
)
def install_command(token: str, root: Path, name: str, trust: Path) -> None:
    """Fetch the client from the site, check the vendor's signature, put it in place, and enrol."""
    text = _token(token)
    state = check_free(root)
    done = asyncio.run(install(state, text, token_in(text), name, trust.read_bytes(), utc_now(), click.echo))
    click.echo(f"Client {done.version} is installed; enrolled as {name} ({done.client}).")
    click.echo(f"Run it with: {shlex.join(done.command)}")


@group.command("run")
@state_option
def run_command(root: Path) -> None:
    """Run the enrolled Jump Client in the foreground until SIGTERM; logs go to standard error."""
    run_jump_client(root)


def _token(given: str) -> str:
    if given != "-":
        return given
    if sys.stdin.isatty():
        click.echo("Installer token: ", nl=False, err=True)
    return sys.stdin.readline()
