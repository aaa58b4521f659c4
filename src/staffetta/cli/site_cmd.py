"""`staffetta site`: look after the site on this machine."""

from pathlib import Path

import click

from staffetta.cli.installed_site import hand_on
from staffetta.cli.options import appliance_option
from staffetta.cli.site_process import become, set_up_site


@click.group()
def group() -> None:
    """Look after the site on this machine."""


@group.command("reset-password")
@click.argument("username")
@appliance_option
def reset_password_command(username: str, folder: Path) -> None:
    """Give USERNAME of the site a new one-time password, for one that was lost.

    It is printed once and must be changed at the next sign-in; the user is signed out everywhere and a lock after too
    many failures is lifted. Run it as root or as the site's own user.

    \b
    Example:
      staffetta site reset-password admin
    """
    if hand_on(folder):
        return
    user = set_up_site(folder)
    from axes.handlers.proxy import AxesProxyHandler
    from django.contrib.auth.hashers import get_hashers

    from staffetta.site.accounts.service import reset_password_by_command

    AxesProxyHandler.get_implementation()
    get_hashers()
    become(user)
    made = reset_password_by_command(username)
    click.echo(f"User name:         {made.username}")
    click.echo(f"One-time password: {made.password}")
