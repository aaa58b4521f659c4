"""`staffetta failover`: the pair of appliances, from the terminal of one of them. Asks and prints only."""

import json
from functools import partial
from typing import Any

import click

from staffetta.cli import pair_job_cmd
from staffetta.cli.failover_site import on_site
from staffetta.cli.options import json_option, yes_option
from staffetta.kernel.errors import NotFound, Unavailable

SYNC_SECONDS = 3600.0


class NoKey(NotFound):
    """There is no pre-shared key to show."""

    code = "no-key"


@click.group("failover")
def group() -> None:
    """The pair of appliances: establish it, become primary, upgrade it, break it."""


for _command in pair_job_cmd.COMMANDS:
    group.add_command(_command)


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
    if sync.finished_at is not None or sync.records_behind:
        records = f"{sync.records_behind} records, " if sync.records_behind else ""
        click.echo(f"  behind: {records}{sync.blobs_behind} files, {sync.bytes_behind} bytes")
    if sync.trouble:
        click.echo(f"  {sync.trouble}")
    if picture.two_certificates:
        click.echo("Note: each appliance shows a certificate of its own for the site, this one's is self-signed;")
        click.echo("  browsers stop at the other one after a move: install one certificate on both.")
    for alarm in picture.alarms:
        click.echo(f"Warning: {alarm.sentence}")


@group.command("key")
@click.option("--generate", is_flag=True, help="Have a new key drawn, and print it.")
@click.option("--file", type=click.File("r"), help="Take the key from FILE; - is standard input.")
@click.option("--show", is_flag=True, help="Print the key that is set.")
@click.option("--fingerprint", is_flag=True, help="Print its fingerprint alone.")
@on_site
def key_command(service: Any, actor: str, generate: bool, file: Any, show: bool, fingerprint: bool) -> None:
    """Set or show the inter-appliance pre-shared key; both appliances need the same one.

    Its fingerprint, the same on both then, goes to standard error beside the key.
    """
    if generate + (file is not None) + show + fingerprint != 1:
        raise click.UsageError("Give one of --generate, --file, --show and --fingerprint.")
    if fingerprint:
        click.echo(_that_is_set(service.key_fingerprint()))
        return
    if show:
        click.echo(_that_is_set(service.preshared_key()))
    elif generate:
        click.echo(service.set_preshared_key(None, actor))
    else:
        service.set_preshared_key(file.read(4096), actor)
        click.echo("The pre-shared key is set.")
    click.echo(f"Fingerprint: {service.key_fingerprint()}", err=True)


def _that_is_set(text: str | None) -> str:
    if text is None:
        raise NoKey("No pre-shared key is set: `staffetta failover key --generate` draws one.")
    return text


_REPLACES = (
    "The configuration of this appliance, its users and passwords too, replaces that of {backup}. "
    "Two appliances that were a pair before are joined instead. Go on?"
)


@group.command("establish")
@click.option("--backup", required=True, metavar="HOST:PORT", help="Where the new backup's own address and port is.")
@click.option("--reverse", required=True, metavar="HOST:PORT", help="Where the new backup reaches this appliance.")
@yes_option
@partial(on_site, asks=_REPLACES)
def establish_command(service: Any, actor: str, backup: str, reverse: str) -> None:
    """Make this appliance the primary of a new relationship, after every check has held on both.

    The configuration of this appliance replaces what was configured on a new backup.
    """
    from staffetta.site.failover.checklist import not_looked_at
    from staffetta.site.failover.errors import NotEstablished
    from staffetta.wire.pair import parse_endpoint

    try:
        service.establish(parse_endpoint(backup), parse_endpoint(reverse), actor)
    except NotEstablished as error:
        for check in error.checks:
            click.echo(f"{'ok    ' if check.ok else 'FAILED'}  {check.name}: {check.detail}", err=True)
        for ahead in not_looked_at(error.checks):
            click.echo(f"-       {ahead.name}: not looked at. {ahead.asks}", err=True)
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


_WITH_SYNC = (
    "This appliance becomes the primary after a last data-sync, and its peer the backup; if the peer does not answer, "
    "nothing is changed. Go on?"
)
_WITHOUT_SYNC = (
    "This appliance becomes the primary without a last data-sync; its peer, if it answers, the backup. "
    "Both serve if the peer runs but cannot be reached from here. Go on?"
)


@group.command("become-primary")
@click.option("--sync/--no-sync", default=True, show_default=True, help="Pull a data-sync from the peer meanwhile.")
@yes_option
@on_site
def become_primary_command(service: Any, actor: str, sync: bool, yes: bool) -> None:
    """Make this appliance the primary; a peer that answers becomes the backup."""
    service.require_may_become_primary()
    if not yes:
        click.confirm(_WITH_SYNC if sync else _WITHOUT_SYNC, abort=True, err=True)
    service.become_primary(actor, with_sync=sync)
    click.echo("This appliance is the primary. The shared address follows by itself, if the pair has one.")
    click.echo("Where a DNS record or a translation moves the traffic, point it here now.")


@group.command("break")
@yes_option
@on_site
def break_command(service: Any, actor: str, yes: bool) -> None:
    """Break the failover relationship; nothing but the relationship is lost."""
    if not yes:
        click.confirm("The relationship ends on both appliances. Go on?", abort=True, err=True)
    if service.break_relationship(actor):
        click.echo("The relationship is broken on both appliances.")
    else:
        click.echo("The relationship is broken here. The peer did not answer: break it there too.")
