"""`staffetta jump-client`: put the unattended agent on this computer, enrol it, run it, let it check in."""

import asyncio
import os
import shlex
import socket
import sys
from pathlib import Path

import click

from staffetta.cli.options import FILE
from staffetta.clients import installed
from staffetta.clients.enrolment import check_free, enrol, token_in
from staffetta.clients.installation import install
from staffetta.clients.jump_client.local_asking import NotCheckedIn, ask_running
from staffetta.clients.running import run_jump_client
from staffetta.clients.unit import unit
from staffetta.clients.updating import starting
from staffetta.control.delivered import Delivered
from staffetta.kernel.clock import utc_now
from staffetta.wire.vocabulary import ClientMode

state_option = click.option(
    "--state", "root", type=click.Path(path_type=Path), required=True, help="The client's own folder (mode 0700)."
)
token_option = click.option(
    "--token", required=True, help="The installer token from /login > Jump > Jump Clients; - reads it from input."
)
name_option = click.option(
    "--name", default=socket.gethostname, show_default="the host name", help="What reps see this computer as."
)
mode_option = click.option(
    "--passive/--active",
    default=None,
    help="Check in now and then, or keep a connection open; else as the installer token says.",
)


@click.group()
def group() -> None:
    """The unattended agent on a remote computer."""


@group.command("enrol")
@token_option
@state_option
@name_option
@mode_option
def enrol_command(token: str, root: Path, name: str, passive: bool | None) -> None:
    """Make this computer a Jump Client of the site that the token names."""
    text = _token(token)
    state = check_free(root)
    done = asyncio.run(enrol(state, text, token_in(text), name, _wanted(passive)))
    click.echo(f"Enrolled as {name} ({done.client}). Run it with: staffetta jump-client run --state {root}")
    _say_mode(passive, done.mode)


@group.command("install")
@token_option
@state_option
@name_option
@mode_option
@click.option(
    "--root",
    "trust",
    type=FILE,
    help="The vendor's root of trust (root.json); only what it signs is installed. The Debian package brings one.",
)
def install_command(token: str, root: Path, name: str, trust: Path | None, passive: bool | None) -> None:
    """Fetch the client from the site, check the vendor's signature, put it in place, and enrol.

    \b
    Example:
      staffetta jump-client install --state /var/lib/staffetta-jump-client --token -
    """
    if trust is None:
        delivered = Delivered.read()
        if delivered is None:
            raise click.UsageError("Name --root: this command came with no operating system's package that brings it.")
        trust = delivered.root
    text = _token(token)
    state = check_free(root)
    done = asyncio.run(
        install(state, text, token_in(text), name, trust.read_bytes(), utc_now(), click.echo, _wanted(passive))
    )
    click.echo(f"Client {done.version} is installed; enrolled as {name} ({done.client}).")
    _say_mode(passive, done.mode)
    click.echo(f"Run it with: {shlex.join(done.command)}")
    click.echo("Have systemd run it at every boot: see staffetta jump-client unit --help")


@group.command("run")
@state_option
def run_command(root: Path) -> None:
    """Run the enrolled Jump Client in the foreground until SIGTERM; logs go to standard error."""
    run_jump_client(root)


@group.command("unit")
@state_option
def unit_command(root: Path) -> None:
    """Print the systemd unit that runs the installed Jump Client at every boot, as the user that owns its folder.

    \b
    Example, as root:
      staffetta jump-client unit --state /var/lib/staffetta-jump-client \\
        > /etc/systemd/system/staffetta-jump-client.service
      systemctl enable --now staffetta-jump-client
    """
    click.echo(unit(root), nl=False)


@group.command("check-in")
@state_option
def check_in_command(root: Path) -> None:
    """Check in with the site now: it is asked for a new version, and sessions that wait begin.

    Tells the Jump Client that runs here. When none runs, a passive one does it now, and ends when there is no more to
    do.
    """
    done = asyncio.run(ask_running(root))
    if done is not None:
        if not done.reached:
            raise NotCheckedIn(done.sentence)
        click.echo(done.sentence)
        return
    client = installed.load(root)
    click.echo(f"No Jump Client runs here now; {client.name} checks in once.")
    command = starting.command(root, once=True)
    if os.access(command[0], os.X_OK):
        os.execv(command[0], command)  # noqa: S606 - the release installed here, no shell
    run_jump_client(root, once=True)


def _wanted(passive: bool | None) -> ClientMode | None:
    if passive is None:
        return None
    return ClientMode.PASSIVE if passive else ClientMode.ACTIVE


def _say_mode(passive: bool | None, mode: ClientMode) -> None:
    if mode is ClientMode.PASSIVE:
        click.echo("It is a passive Jump Client: it checks in now and then, and can be woken.")
    elif passive:
        click.echo("This site knows no passive Jump Clients yet, so it is an active one.", err=True)


def _token(given: str) -> str:
    if given != "-":
        return given
    if sys.stdin.isatty():
        asked: str = click.prompt("Installer token (what you paste is not shown)", hide_input=True, err=True)
        return asked
    return sys.stdin.readline()
