"""`staffetta appliance init`: lay out a new appliance, with what the operating system's package delivered."""

from __future__ import annotations

import os
import pwd
import shlex
import sys
from pathlib import Path

import click

from staffetta.base.layout import User
from staffetta.base.setup import NewAppliance, initialise
from staffetta.cli.options import FILE, appliance_option
from staffetta.control.delivered import APPLIANCE, BASE_ACCOUNT, SITE_ACCOUNT, START, Delivered


@click.command("init")
@appliance_option
@click.option("--name", required=True, help="What people call the appliance.")
@click.option("--bundle", type=FILE, help="A bundle that holds the first base package.")
@click.option("--root", type=FILE, help="The vendor's root of trust (1.root.json).")
@click.option("--address", required=True, help="The IP address to listen on.")
@click.option("--hostname", help="The site's shared name; the (shared) address by default.")
@click.option("--shared-address", help="An IP address that follows the primary of a pair; the same on both appliances.")
@click.option("--shared-interface", help="The network interface on which the shared address is put.")
@click.option("--site-port", type=int, default=443, show_default=True, help="The port of /login and of all clients.")
@click.option("--appliance-port", type=int, default=8443, show_default=True, help="The port of /appliance.")
@click.option("--update-server", help="The update server's URL.")
@click.option("--base-user", type=int, help="Numeric user and group that base runs under.")
@click.option("--site-user", type=int, help="Numeric user and group that the site runs under.")
def init_command(
    folder: Path,
    name: str,
    bundle: Path | None,
    root: Path | None,
    address: str,
    hostname: str | None,
    shared_address: str | None,
    shared_interface: str | None,
    site_port: int,
    appliance_port: int,
    update_server: str | None,
    base_user: int | None,
    site_user: int | None,
) -> None:
    """Lay out a new appliance with its first base; its folder must have a short path.

    Bundle, root of trust, update server and the two users come from the operating system's package where this command
    does. Without it name the first three and, as root, the users.

    \b
    Example, with the Debian package:
      staffetta appliance init --name alpha --address 192.0.2.10 --hostname support.example.com
    """
    delivered = Delivered.read()
    new = NewAppliance(
        folder=folder,
        name=name,
        hostname=hostname or shared_address or address,
        address=address,
        site_port=site_port,
        appliance_port=appliance_port,
        update_server=update_server or _delivered(delivered, "update-server").update_server,
        bundle=bundle or _delivered(delivered, "bundle").bundle,
        root=root or _delivered(delivered, "root").root,
        base_user=_user(base_user, BASE_ACCOUNT, delivered),
        site_user=_user(site_user, SITE_ACCOUNT, delivered),
        shared_address=shared_address,
        shared_interface=shared_interface,
    )
    paths = initialise(new, click.echo)
    click.echo(f"The appliance {name} is laid out in {paths.root}.")
    start = [sys.executable, "-m", "staffetta.keeper", "--appliance", str(paths.root)]
    click.echo(f"Start it: {START if delivered and paths.root == APPLIANCE else shlex.join(start)}")
    click.echo("Then sign in to /appliance as admin with the password `password`, which must be changed at once.")


def _delivered(found: Delivered | None, option: str) -> Delivered:
    if found is None:
        raise click.UsageError(f"Name --{option}: this command came with no operating system's package that does.")
    return found


def _user(number: int | None, account: str, delivered: Delivered | None) -> User | None:
    """The user that was named, or else the account that came with the package; None is whoever starts keeper."""
    if number is not None:
        return User(number, number)
    if delivered is None or os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(account)
    except KeyError:
        raise click.UsageError(f"There is no account {account}: install the package staffetta again.") from None
    return User(found.pw_uid, found.pw_gid)
