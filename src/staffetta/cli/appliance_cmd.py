"""`staffetta appliance`: set one up, and ask and steer base over its control socket. Asks and prints only."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import click

from staffetta.cli import init_cmd, metrics_cmd
from staffetta.cli.control_options import jobs_known, offers_known, with_control
from staffetta.cli.live_line import LiveLine
from staffetta.cli.options import FILE, json_option, person_at_terminal
from staffetta.control.appliance import (
    ApplianceControl,
    ApplianceRefused,
    Certificate,
    EventKind,
    InstallEvent,
    JobState,
    Updates,
    to_json,
)
from staffetta.control.pairing import DEFAULT_HOURS, LEAST_HOURS, MOST_HOURS, SharedState
from staffetta.kernel.errors import Unavailable
from staffetta.kernel.sizes import spoken_size

REOPEN_SECONDS = 120.0
"""So long a watched job may be out of sight while base itself is replaced."""

wait_option = click.option("--wait", is_flag=True, help="Show the progress until the job has ended.")


@click.group("appliance")
def group() -> None:
    """Set up and steer the appliance on this machine."""


group.add_command(init_cmd.init_command)
group.add_command(metrics_cmd.group)


@group.command("status")
@json_option
@with_control
def status_command(appliance: ApplianceControl, as_json: bool) -> None:
    """What runs, who is connected, what time it is; `staffetta doctor` says what is wrong."""
    status = appliance.status()
    if as_json:
        _print_json(status)
        return
    click.echo(f"{status.name}: base {status.base_version}, site {status.site_version or 'not installed'}")
    click.echo(f"Time: {status.time:%Y-%m-%d %H:%M:%S} UTC")
    if status.clock_problem:
        click.echo(status.clock_problem)
    if status.in_pair:
        click.echo(f"Role in the pair: {status.role}")
    if status.sessions_live is not None:
        click.echo(f"Live sessions: {status.sessions_live}; Jump Clients online: {status.clients_online or 0}")
    for one in status.generations:
        failure = f": {one.failure}" if one.failure else ""
        click.echo(f"  {one.program} {one.version}  {one.state}{failure}  ({one.id})")
    if status.job:
        click.echo(f"Install job under way: {status.job}")


@group.group("updates")
def updates_group() -> None:
    """What the update server offers."""


@updates_group.command("check")
@json_option
@with_control
def check_command(appliance: ApplianceControl, as_json: bool) -> None:
    """Ask the update server now."""
    found = appliance.check_updates(person_at_terminal())
    _print_updates(found, as_json)
    if found.error is not None:
        raise Unavailable(found.error)


@updates_group.command("list")
@json_option
@with_control
def list_command(appliance: ApplianceControl, as_json: bool) -> None:
    """Show the last answer of the update server."""
    _print_updates(appliance.updates(), as_json)


@group.command("install")
@click.argument("target", shell_complete=offers_known)
@wait_option
@with_control
def install_command(appliance: ApplianceControl, target: str, wait: bool) -> None:
    """Install the offer TARGET, as `staffetta appliance updates list` names it.

    \b
    Example:
      staffetta appliance install site/site-1.1.0.tar.zst --wait
    """
    _began(appliance, appliance.install(target, person_at_terminal()), wait)


@group.command("install-file")
@click.argument("file", type=FILE)
@wait_option
@with_control
def install_file_command(appliance: ApplianceControl, file: Path, wait: bool) -> None:
    """Install from the bundle FILE (Manual installation).

    \b
    Example:
      staffetta appliance install-file site.bundle --wait
    """
    _began(appliance, appliance.install_file(file, person_at_terminal()), wait)


@group.group("eula")
def eula_group() -> None:
    """The licence agreement."""


@eula_group.command("show")
@json_option
@with_control
def eula_show_command(appliance: ApplianceControl, as_json: bool) -> None:
    """Print the agreement, and whether it is accepted."""
    eula = appliance.eula()
    if as_json:
        _print_json(eula)
        return
    click.echo(eula.text)
    if eula.accepted and eula.accepted_at is not None:
        click.echo(f"Accepted by {eula.accepted_by} on {eula.accepted_at:%Y-%m-%d %H:%M} UTC.")
    else:
        click.echo(f"Not accepted. Accept it with: staffetta appliance eula accept --sha256 {eula.sha256}")


@eula_group.command("accept")
@click.option("--sha256", help="Accept the text with this hash; by default the one that is shown now.")
@with_control
def eula_accept_command(appliance: ApplianceControl, sha256: str | None) -> None:
    """Accept the agreement in your name."""
    appliance.accept_eula(sha256 or appliance.eula().sha256, person_at_terminal())
    click.echo("The licence agreement is accepted.")


@group.command("jobs")
@json_option
@with_control
def jobs_command(appliance: ApplianceControl, as_json: bool) -> None:
    """List install jobs, newest first."""
    jobs = appliance.jobs()
    if as_json:
        _print_json(list(jobs))
        return
    for job in jobs:
        click.echo(f"{job.id}  {job.kind} {job.version}  {job.state}  {job.started:%Y-%m-%d %H:%M}  {job.text}")
    if not jobs:
        click.echo("Nothing was installed yet.")


@group.command("watch")
@click.argument("job", shell_complete=jobs_known)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an event a line.")
@with_control
def watch_command(appliance: ApplianceControl, job: str, as_json: bool) -> None:
    """Show the progress of JOB until it has ended."""
    _watch(appliance, job, as_json)


@group.group("certificate")
def certificate_group() -> None:
    """The certificates of the site and of /appliance."""


@certificate_group.command("show")
@json_option
@with_control
def certificate_show_command(appliance: ApplianceControl, as_json: bool) -> None:
    """Show both certificates with their warnings."""
    certificates = appliance.certificates()
    if as_json:
        _print_json(list(certificates))
        return
    for one in certificates:
        _print_certificate(one)


@certificate_group.command("install")
@click.argument("name", type=click.Choice(["site", "appliance"]))
@click.argument("files", type=FILE, nargs=-1, required=True)
@with_control
def certificate_install_command(appliance: ApplianceControl, name: str, files: tuple[Path, ...]) -> None:
    """Put your own private key and certificate chain (PEM FILES) in place, with no restart.

    \b
    Example:
      staffetta appliance certificate install site key.pem fullchain.pem
    """
    pem = "\n".join(file.read_text("ascii", errors="replace") for file in files)
    _print_certificate(appliance.replace_certificate(name, pem, person_at_terminal()))


@group.command("shared-address")
@click.argument("action", type=click.Choice(["enable", "disable", "status"]))
@json_option
@with_control
def shared_address_command(appliance: ApplianceControl, action: str, as_json: bool) -> None:
    """Tick or untick *Enabled* of the address that follows the primary of a pair, or show where it is."""
    if action == "status":
        shared = appliance.shared_address()
    else:
        shared = appliance.enable_shared_address(action == "enable", person_at_terminal())
    if as_json:
        _print_json(shared)
    elif shared.address is None:
        click.echo("This appliance was made without a shared address.")
    else:
        where = f" on {shared.interface}" if shared.interface else ""
        click.echo(f"{shared.address}, port {shared.port}{where}: {shared.state}")
        if shared.enabled and shared.state is SharedState.RELEASED:
            click.echo("It is taken when this appliance is the primary, or alone and nobody else answers there.")


@group.command("grant-pair-upgrade")
@click.option(
    "--hours",
    type=click.IntRange(LEAST_HOURS, MOST_HOURS),
    default=DEFAULT_HOURS,
    show_default=True,
    help="How long it is permitted.",
)
@click.option("--withdraw", is_flag=True, help="Permit none any more.")
@with_control
def grant_pair_upgrade_command(appliance: ApplianceControl, hours: int, withdraw: bool) -> None:
    """Permit one pair upgrade to install what is on offer on this appliance.

    \b
    Example, on each of the two before `staffetta failover upgrade`:
      staffetta appliance grant-pair-upgrade --hours 8
    """
    if withdraw:
        appliance.withdraw_pair_upgrade(person_at_terminal())
        click.echo("No pair upgrade is permitted on this appliance.")
        return
    grant = appliance.grant_pair_upgrade(hours, person_at_terminal())
    click.echo(f"One pair upgrade is permitted on this appliance until {grant.until:%Y-%m-%d %H:%M} UTC.")


def _began(appliance: ApplianceControl, job: str, wait: bool) -> None:
    click.echo(f"Install job {job} has begun.")
    if wait:
        _watch(appliance, job)


def _watch(appliance: ApplianceControl, job: str, as_json: bool = False) -> None:
    """Show a job to its end; as JSON, an event a line."""
    shown = LiveLine()
    for event in _events(appliance, job):
        if as_json:
            click.echo(json.dumps(to_json(event)))
        elif event.kind is EventKind.PROGRESS:
            if event.bytes_done is not None and event.bytes_total:
                shown.now(_carried(event.step, event.bytes_done, event.bytes_total), event.step)
            elif event.text:
                shown.now(f"  {event.text}", event.text)
        elif event.kind is not EventKind.MOVED:
            shown.line(event.text)
        if event.kind is EventKind.ENDED and event.state is not JobState.COMMITTED:
            raise ApplianceRefused("undone", event.text, 409)


def _carried(step: str, done: int, total: int) -> str:
    return f"  {step}: {spoken_size(done)} of {spoken_size(total)} ({done * 100 // total} %)"


def _events(appliance: ApplianceControl, job: str) -> Iterator[InstallEvent]:
    """A job's events to the end, across replacements of base."""
    last, lost = 0, time.monotonic()
    while True:
        try:
            for event in appliance.watch(job, last):
                last, lost = event.sequence or last, time.monotonic()
                yield event
                if event.kind is EventKind.ENDED:
                    return
        except Unavailable:
            if time.monotonic() - lost > REOPEN_SECONDS:
                raise
        time.sleep(0.1)


def _print_updates(updates: Updates, as_json: bool) -> None:
    if as_json:
        _print_json(updates)
        return
    when = "never" if updates.checked_at is None else f"{updates.checked_at:%Y-%m-%d %H:%M} UTC"
    click.echo(f"Last check: {when}")
    for offer in updates.offers:
        agreed = offer.eula is None or offer.eula_accepted
        ready = "" if not agreed else "can be installed" if offer.selectable else " ".join(offer.needs)
        click.echo(f"  {offer.target}  {offer.kind} {offer.version}  {spoken_size(offer.size)}  {ready}")
        if not agreed:
            click.echo("    The licence agreement must be accepted first: staffetta appliance eula show")
    if not updates.offers:
        click.echo("Nothing newer is on offer.")


def _print_certificate(one: Certificate) -> None:
    click.echo(f"{one.name}: {one.subject}, issued by {one.issuer}, for {', '.join(one.sans)}")
    click.echo(f"  valid from {one.not_before:%Y-%m-%d} to {one.not_after:%Y-%m-%d}, SHA-256 {one.sha256}")
    for warning in one.warnings:
        click.echo(f"  Warning: {warning}")


def _print_json(value: object) -> None:
    click.echo(json.dumps(to_json(value), indent=2))
