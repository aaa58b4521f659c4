"""How a command of the pair works on a site: its failover room loaded, the site's own user, who acts."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from staffetta.cli.installed_site import hand_on, is_handed_on
from staffetta.cli.options import appliance_option, person_at_terminal
from staffetta.cli.site_process import become, set_up_site


def on_site(command: Callable[..., None], *, asks: str = "") -> Callable[..., None]:
    """Run a command with the failover service of the appliance it names, as the site's own user.

    ``asks`` is a question, with the command's options in braces, that is put first unless ``--yes`` is given. It is the
    command that a person gave which asks: the installed release's own may not know ``--yes``, or not ask.
    """

    def load() -> Any:
        from staffetta.site.failover import service

        return service

    return _on_site(command, load, asks)


def on_jobs(command: Callable[..., None]) -> Callable[..., None]:
    """The same with the service of pair jobs."""

    def load() -> Any:
        from staffetta.site.failover import job_service

        return job_service

    return _on_site(command, load)


def _on_site(command: Callable[..., None], load: Callable[[], Any], asks: str = "") -> Callable[..., None]:
    @appliance_option
    @wraps(command)
    def run(folder: Path, **options: Any) -> None:
        if asks and not options.pop("yes") and not is_handed_on():
            click.confirm(asks.format(**options), abort=True, err=True)
        if hand_on(folder, without=("yes",) if asks else ()):
            return
        actor = person_at_terminal()
        user = set_up_site(folder)
        service = load()
        become(user)
        command(service, actor, **options)

    return run
