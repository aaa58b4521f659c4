"""How a command of the pair works on a site: its failover room loaded, the site's own user, who acts."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from staffetta.cli.installed_site import hand_on
from staffetta.cli.options import appliance_option, person_at_terminal
from staffetta.cli.site_process import become, set_up_site


def on_site(command: Callable[..., None]) -> Callable[..., None]:
    """Run a command with the failover service of the appliance it names, as the site's own user."""

    def load() -> Any:
        from staffetta.site.failover import service

        return service

    return _on_site(command, load)


def on_jobs(command: Callable[..., None]) -> Callable[..., None]:
    """The same with the service of pair jobs."""

    def load() -> Any:
        from staffetta.site.failover import job_service

        return job_service

    return _on_site(command, load)


def _on_site(command: Callable[..., None], load: Callable[[], Any]) -> Callable[..., None]:
    @appliance_option
    @wraps(command)
    def run(folder: Path, **options: Any) -> None:
        if hand_on(folder):
            return
        actor = person_at_terminal()
        user = set_up_site(folder)
        service = load()
        become(user)
        command(service, actor, **options)

    return run
