"""`staffetta failover`: the pair of appliances, from the terminal of one of them. Asks and prints only."""

import getpass
import json
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from staffetta.cli.site_process import become, set_up_site
from staffetta.control.paths import AppliancePaths
from staffetta.kernel.errors import Unavailable

SYNC_SECONDS = 3600.0

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group("failover")
def group() -> None:
    """The pair of appliances: establish it, become primary, break it."""


def on_site(command: Callable[..., None]) -> Callable[..., None]:
    """Run a command with the failover service of the appliance it names, as the site's own user."""

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
        import encodings.idna  # noqa: F401 - what connecting to a host would import only after root's rights went

        from staffetta.site.failover import service

        become(user)
        command(service, actor, **options)

    return run


@group.command("status")
@json_option
@on_site
def status_command(service: Any, actor: str, as_json: bool) -> None:
    """What this appliance is, how its peer is, how far data-sync is."""
    picture = service.picture()
    if as_json:
        click.echo(json.dumps(service.pictures.to_json(picture), indent=2))
        return
    click.echo(f"Role: {picture.role} (role term {picture.term}), site version {picture.site_version}")
    click.echo(f"Inter-appliance pre-shared key: {'set' if picture.key_set else 'not set'}")
    if picture.relationship is None:
        click.echo("Failover is not configured.")
        return
    click.echo(f"Peer: {picture.relationship.peer}, reaches this appliance at {picture.relationship.own}")
    seen = picture.peer
    if seen is None or seen.seen_at is None:
        click.echo("  not heard yet")
    else:
        click.echo(
            f"  {seen.role or 'unknown'} (role term {seen.term}), site version {seen.site_version}, "
            f"heard {seen.seen_at:%Y-%m-%d %H:%M:%S} UTC"
        )
    sync = picture.sync
    if sync.finished_at is None:
        click.echo("Last data-sync: none yet")
    else:
        click.echo(f"Last data-sync: {sync.finished_at:%Y-%m-%d %H:%M:%S} UTC")
        click.echo(f"  behind: {sync.records_behind} records, {sync.blobs_behind} files, {sync.bytes_behind} bytes")
    if sync.error:
        click.echo(f"  {sync.error}")
    for alarm in picture.alarms:
        click.echo(f"Warning: {alarm.sentence}")


@group.command("key")
@click.option("--generate", is_flag=True, help="Have a new key drawn, and print it.")
@click.option("--file", type=click.File("r"), help="Take the key from FILE; - is standard input.")
@click.option("--show", is_flag=True, help="Print the key that is set.")
@on_site
def key_command(service: Any, actor: str, generate: bool, file: Any, show: bool) -> None:
    """Set or show the inter-appliance pre-shared key; both appliances need the same one."""
    if generate + (file is not None) + show != 1:
        raise click.UsageError("Give one of --generate, --file and --show.")
    if show:
        click.echo(service.preshared_key() or "No key is set.")
    elif generate:
        click.echo(service.set_preshared_key(None, actor))
    else:
        service.set_preshared_key(file.read(4096), actor)
        click.echo("The pre-shared key is set.")


@group.command("establish")
@click.option("--backup", required=True, metavar="HOST:PORT", help="Where the new backup's own address and port is.")
@click.option("--reverse", required=True, metavar="HOST:PORT", help="Where the new backup reaches this appliance.")
@on_site
def establish_command(service: Any, actor: str, backup: str, reverse: str) -> None:
    """Make this appliance the primary of a new relationship, after every check has held on both."""
    from staffetta.site.failover.errors import NotEstablished
    from staffetta.wire.pair import parse_endpoint

    try:
        service.establish(parse_endpoint(backup), parse_endpoint(reverse), actor)
    except NotEstablished as error:
        for check in error.checks:
            click.echo(f"{'ok    ' if check.ok else 'FAILED'}  {check.name}: {check.detail}", err=True)
        raise
    click.echo("The relationship is established: this appliance is the primary. Data-sync begins by itself.")


@group.command("sync-now")
@click.option("--wait", is_flag=True, help="Wait until a whole round has ended.")
@on_site
def sync_now_command(service: Any, actor: str, wait: bool) -> None:
    """Have the backup pull everything new at once."""
    asked = service.sync_now(actor)
    click.echo("Data-sync is asked for.")
    if wait:
        if not service.wait_for_sync(asked, SYNC_SECONDS):
            raise Unavailable("Data-sync did not end in an hour: see `staffetta failover status`.")
        click.echo("Data-sync has ended.")


@group.command("become-primary")
@click.option("--sync/--no-sync", default=True, show_default=True, help="Pull a data-sync from the peer meanwhile.")
@yes_option
@on_site
def become_primary_command(service: Any, actor: str, sync: bool, yes: bool) -> None:
    """Make this appliance the primary; a peer that answers becomes the backup."""
    if not yes:
        click.confirm("This appliance takes over from its peer. Go on?", abort=True)
    service.become_primary(actor, with_sync=sync)
    click.echo("This appliance is the primary. Point the shared address here if it does not follow by itself.")


@group.command("break")
@yes_option
@on_site
def break_command(service: Any, actor: str, yes: bool) -> None:
    """Break the failover relationship; nothing but the relationship is lost."""
    if not yes:
        click.confirm("The relationship ends on both appliances. Go on?", abort=True)
    if service.break_relationship(actor):
        click.echo("The relationship is broken on both appliances.")
    else:
        click.echo("The relationship is broken here. The peer did not answer: break it there too.")


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
