"""How a command of the pair works on a site: its failover room loaded, the site's own user, who acts."""

import getpass
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from staffetta.cli.site_process import become, set_up_site
from staffetta.control.paths import AppliancePaths

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


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
    @click.option(
        "--appliance",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        required=True,
        envvar="STAFFETTA_APPLIANCE",
        help="The appliance's folder.",
    )
    @wraps(command)
    def run(folder: Path, **options: Any) -> None:
        actor = _actor()
        _name_installed_version(AppliancePaths(folder.absolute()))
        user = set_up_site(folder)
        service = load()
        import encodings.idna  # noqa: F401 - what connecting to a host imports only when it does

        become(user)
        command(service, actor, **options)

    return run


def _name_installed_version(paths: AppliancePaths) -> None:
    """This interpreter may be another release's than the one that is installed."""
    try:
        os.environ.setdefault("STAFFETTA_VERSION", (paths.releases("site") / "current").readlink().name)
    except OSError:
        return


def _actor() -> str:
    """Who acts, as the audit log names the person at this terminal."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
