"""`staffetta site`: look after the site on this machine."""

import os
from pathlib import Path

import click
import django

from staffetta.control.paths import AppliancePaths, read_description
from staffetta.kernel.errors import NotFound, Refused


class NoSite(NotFound):
    """The appliance has no site yet."""

    code = "no-site"


class NotTheOwner(Refused):
    """The site's data belongs to another user."""

    code = "not-the-owner"


@click.group()
def group() -> None:
    """Look after the site on this machine."""


@group.command("reset-password")
@click.argument("username")
@click.option(
    "--appliance",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The appliance's folder.",
)
def reset_password_command(username: str, root: Path) -> None:
    """Give USERNAME of the site a new one-time password, for one that was lost.

    It is printed once and must be changed at the next sign-in; the user is signed out everywhere and a lock after too
    many failures is lifted. Run it as root or as the site's own user.
    """
    paths = AppliancePaths(root.absolute())
    read_description(paths)
    owner = _owner_of(paths.site)
    os.environ["STAFFETTA_APPLIANCE"] = str(paths.root)
    os.environ["DJANGO_SETTINGS_MODULE"] = "staffetta.site.web.settings"
    django.setup()
    # Only now can what has tables be imported; all of it before root's rights go, since the site's user need not be
    # able to read the interpreter that root has started.
    from axes.handlers.proxy import AxesProxyHandler
    from django.contrib.auth.hashers import get_hashers
    from django.db import connections

    from staffetta.site.accounts.service import reset_password_by_command

    AxesProxyHandler.get_implementation()
    get_hashers()
    connections.all()
    _become(owner)
    made = reset_password_by_command(username)
    click.echo(f"User name:         {made.username}")
    click.echo(f"One-time password: {made.password}")


def _owner_of(site: Path) -> os.stat_result:
    """Return whose the site's data is. Raises ``NoSite`` or, when not root, ``NotTheOwner``."""
    try:
        owner = site.stat()
        present = all((site / name).exists() for name in ("site.sqlite3", "secret.key"))
    except FileNotFoundError:
        present = False
    except PermissionError:
        raise NotTheOwner(f"{site} cannot be read: run this as root or as the site's own user.") from None
    if not present:
        raise NoSite(f"{site} holds no site yet: install one first.")
    if os.geteuid() not in (0, owner.st_uid):
        raise NotTheOwner(f"{site} belongs to another user: run this as root or as the site's own user.")
    return owner


def _become(owner: os.stat_result) -> None:
    """Work as the owner of the site's data, so that nothing in it ends up belonging to root."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
