"""`staffetta appliance metrics`: let Prometheus read this appliance's metrics, or nobody. Asks and prints only."""

import json
from pathlib import Path

import click

from staffetta.cli.control_options import with_control
from staffetta.cli.options import json_option, person_at_terminal
from staffetta.control.appliance import ApplianceControl
from staffetta.control.local import to_json
from staffetta.kernel.files import appearing_whole


@click.group("metrics")
def group() -> None:
    """Metrics for Prometheus, off until a token is made."""


@group.command("status")
@json_option
@with_control
def status_command(appliance: ApplianceControl, as_json: bool) -> None:
    """Whether metrics can be read, and where."""
    access = appliance.metrics_access()
    if as_json:
        click.echo(json.dumps(to_json(access), indent=2))
    elif access.made_at is None:
        click.echo("Metrics are off. Turn them on with: staffetta appliance metrics enable")
    else:
        click.echo(f"{access.url}: with the token that {access.made_by} made on {access.made_at:%Y-%m-%d %H:%M} UTC")


@group.command("enable")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the token to this file, which only its owner can read; by default it is printed.",
)
@with_control
def enable_command(appliance: ApplianceControl, output: Path | None) -> None:
    """Make a token: the only time that it can be seen. One made before counts no more.

    \b
    Example, as root:
      staffetta appliance metrics enable --output /etc/prometheus/staffetta.token
    """
    actor = person_at_terminal()
    if output is None:
        token = appliance.make_metrics_token(actor)
        click.echo(f"Metrics are at {appliance.metrics_access().url} for whoever shows this bearer token:", err=True)
        click.echo(token)
        return
    with appearing_whole(output) as file:  # before a token is made: the one before counts while this cannot be written
        file.write(f"{appliance.make_metrics_token(actor)}\n".encode())
    click.echo(f"Metrics are at {appliance.metrics_access().url} for whoever shows the bearer token in {output}.")


@group.command("disable")
@with_control
def disable_command(appliance: ApplianceControl) -> None:
    """Let nobody read metrics any more."""
    appliance.withdraw_metrics_token(person_at_terminal())
    click.echo("Metrics are off.")
